//! The cookie: where it comes from, and the one thing that may be done with it.
//!
//! Takes a file, an environment variable or a value handed in, gives a [`Cookie`] that remembers its
//! [`CookieSource`] and can digest a challenge. The value has no way out of this file: no accessor, no
//! `Display`, and `Debug` shows the source only. The rules for files are those of kernel's `auth`.

#![expect(clippy::disallowed_methods, reason = "cookies are kept in files")]

use std::fmt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use zeroize::Zeroize;

use super::secret_file;
use crate::diag::{Code, Diagnostic, Result};

/// Longest cookie: the atom that a node makes of it has at most 255 characters.
const MAX_COOKIE: usize = 255;

/// Where a cookie came from; safe to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CookieSource {
    /// A file named by the user.
    File(PathBuf),
    /// A file named by an environment variable.
    EnvFile(String, PathBuf),
    /// The value of an environment variable.
    Env(String),
    /// The `.erlang.cookie` of the home directory (or of its configuration folder).
    Home(PathBuf),
    /// Typed by the user, or handed in by the embedding program.
    Given,
}

impl fmt::Display for CookieSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Home(path) => write!(f, "{}", path.display()),
            Self::EnvFile(name, path) => write!(f, "{} (from env {name})", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Given => f.write_str("the caller"),
        }
    }
}

/// A cookie. Its value cannot be printed or taken out.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    value: Box<[u8]>,
    source: CookieSource,
    warning: Option<Box<Diagnostic>>,
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie(.. from {})", self.source)
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl Cookie {
    /// A cookie from bytes read elsewhere (a prompt, an embedding program).
    ///
    /// What `erl` makes of it: line ends at the end are cut off, with blanks behind the first of them; blanks before
    /// that belong to the cookie. A file holds ASCII; any other source may hold what Latin-1 has, in UTF-8, as
    /// `-setcookie` takes it. E507 when nothing but blanks is left, for other characters, or for more than 255.
    pub fn new(value: impl AsRef<[u8]>, source: CookieSource) -> Result<Self> {
        let value = value.as_ref();
        let bad = |why: &str| {
            Err(Box::new(Diagnostic::new(
                Code::E507,
                format!("the cookie from {source} {why}"),
            )))
        };
        let end = value.iter().position(|byte| b"\r\n".contains(byte));
        let (value, behind) = value.split_at(end.unwrap_or(value.len()));
        if !behind.iter().all(|byte| b" \r\n".contains(byte)) {
            return bad("has more than one line");
        }
        if value.iter().all(|byte| *byte == b' ') {
            return bad("is empty");
        }
        let printable = |byte: &u8| (b' '..=b'~').contains(byte);
        let mut latin1: Vec<u8> = Vec::with_capacity(value.len());
        if value.iter().all(printable) {
            latin1.extend_from_slice(value);
        } else if matches!(
            source,
            CookieSource::File(_) | CookieSource::EnvFile(..) | CookieSource::Home(_)
        ) {
            return bad("contains characters that no cookie file may have (only printable ASCII)");
        } else {
            let text = std::str::from_utf8(value).unwrap_or("\0");
            let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok());
            let good = |byte: &u8| printable(byte) || *byte >= 0xa0;
            for byte in bytes {
                match byte.filter(good) {
                    Some(byte) => latin1.push(byte),
                    None => {
                        latin1.zeroize();
                        return bad(
                            "contains characters that no cookie may have (only those of Latin-1)",
                        );
                    }
                }
            }
        }
        if latin1.len() > MAX_COOKIE {
            latin1.zeroize();
            return bad("is longer than 255 characters");
        }
        Ok(Self {
            value: latin1.into(),
            source,
            warning: None,
        })
    }

    /// A cookie from a file, which must be a regular file that only its owner may access.
    ///
    /// E507 otherwise, as `erl` refuses it. The `releases/COOKIE` of a mix release may be open to others: mix makes it
    /// so, and its start script reads it; then there is a [`Cookie::warning`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(path, CookieSource::File(path.to_owned()))
    }

    /// A cookie from the value of an environment variable. E507 when it is not set.
    pub fn from_env(name: &str, value: Option<&str>) -> Result<Self> {
        match value {
            Some(value) => Self::new(value, CookieSource::Env(name.to_owned())),
            None => Err(Box::new(
                Diagnostic::new(
                    Code::E507,
                    format!("the cookie is to come from env {name}, which is not set"),
                )
                .help(format!("export {name}, or name a file with --cookie-file")),
            )),
        }
    }

    /// The cookie by the usual precedence.
    ///
    /// `file` (`--cookie-file`), then env `UPDO_COOKIE_FILE`, then `UPDO_COOKIE`, then what the plan
    /// says (`plan`, evaluated only if it gets that far), then `RELEASE_COOKIE`, which the start script of a mix release
    /// goes by, then `$HOME/.erlang.cookie`, or, as OTP 25 has it,
    /// `$XDG_CONFIG_HOME/erlang/.erlang.cookie` when that does not exist. An empty
    /// variable counts as not set. E507 when the first that is there cannot be used, or none is there.
    pub fn find(
        file: Option<&Path>,
        plan: Option<&dyn Fn() -> Result<Cookie>>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let env = |name: &str| env(name).filter(|value| !value.is_empty());
        if let Some(path) = file {
            return Self::from_file(path);
        }
        if let Some(path) = env("UPDO_COOKIE_FILE") {
            let path = PathBuf::from(path);
            return Self::read(
                &path,
                CookieSource::EnvFile("UPDO_COOKIE_FILE".to_owned(), path.clone()),
            );
        }
        if let Some(value) = env("UPDO_COOKIE") {
            return Self::new(value, CookieSource::Env("UPDO_COOKIE".to_owned()));
        }
        if let Some(plan) = plan {
            return plan();
        }
        if let Some(value) = env("RELEASE_COOKIE") {
            return Self::new(value, CookieSource::Env("RELEASE_COOKIE".to_owned()));
        }
        match env("HOME") {
            Some(home) => {
                let home_file = Path::new(&home).join(".erlang.cookie");
                let config = env("XDG_CONFIG_HOME")
                    .map_or_else(|| Path::new(&home).join(".config"), PathBuf::from);
                let config_file = config.join("erlang").join(".erlang.cookie");
                let path = if !home_file.exists() && config_file.exists() {
                    config_file
                } else {
                    home_file
                };
                Self::read(&path, CookieSource::Home(path.clone()))
            }
            None => Err(Box::new(
                Diagnostic::new(Code::E507, "no cookie: none was named, and HOME is not set")
                    .help("name a file with --cookie-file, or set UPDO_COOKIE"),
            )),
        }
    }

    /// Where it came from.
    pub fn source(&self) -> &CookieSource {
        &self.source
    }

    /// W329: its file lets others in.
    pub fn warning(&self) -> Option<&Diagnostic> {
        self.warning.as_deref()
    }

    /// MD5 of the cookie followed by the challenge in decimal: the answer that the handshake wants.
    pub(crate) fn digest(&self, challenge: u32) -> [u8; 16] {
        let mut md5 = Md5::new();
        md5.update(&self.value);
        md5.update(challenge.to_string().as_bytes());
        md5.finalize().into()
    }

    fn read(path: &Path, source: CookieSource) -> Result<Self> {
        let file = secret_file::SecretFile {
            what: "the cookie file",
            code: Code::E507,
            limit: 4 * MAX_COOKIE,
        };
        let by_mix = is_of_release(path);
        let read = match by_mix {
            true => file.read_public(path),
            false => file.read(path),
        };
        let mut value = read.map_err(|diagnostic| match path.exists() {
            true => diagnostic,
            false => {
                Box::new(diagnostic.help("name the file with --cookie-file, or set UPDO_COOKIE"))
            }
        })?;
        let cookie = Self::new(&value, source);
        value.zeroize();
        let mut cookie = cookie?;
        let open = std::fs::metadata(path).ok();
        if let Some(mode) = open.and_then(|meta| secret_file::open_to_others(&meta))
            && by_mix
        {
            let file = secret_file::SecretFile {
                code: Code::W329,
                ..file
            };
            let diagnostic = file.is_open(path, mode);
            cookie.warning = Some(Box::new(diagnostic.note(
                "mix makes it so; any user that can read it can run any code on the nodes of this cookie",
            )));
        }
        Ok(cookie)
    }
}

/// Whether this is the `releases/COOKIE` of a release.
fn is_of_release(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name);
    path.file_name().is_some_and(|name| name == "COOKIE")
        && folder.is_some_and(|name| name == "releases")
}

/// The system's words without Rust's `(os error 2)`.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn no_env(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn never_shows_its_value() {
        let cookie = Cookie::from_env("UPDO_COOKIE", Some("geheim")).expect("cookie");
        assert_eq!(format!("{cookie:?}"), "Cookie(.. from env UPDO_COOKIE)");
        assert_eq!(cookie.source().to_string(), "env UPDO_COOKIE");
        let long = "geheim".repeat(100);
        for value in [
            "",
            "\n",
            "  ",
            "gehe\u{1}im",
            "gehe\u{85}im",
            "geheж",
            "geheim\nim",
            &long,
        ] {
            let error = Cookie::new(value, CookieSource::Given).expect_err(value);
            assert_eq!(error.code, Code::E507);
            assert!(!format!("{error:?}").contains("gehe"));
        }
    }

    #[test]
    fn digest_is_what_erlang_computes() {
        // erlang:md5("kakor4711")
        let expected = 0x7f97_a007_ca93_398b_1f00_8795_d7a9_7f9f_u128;
        let cookie = Cookie::new("kakor\n", CookieSource::Given).expect("cookie");
        assert_eq!(cookie.digest(4711), expected.to_be_bytes());
    }

    #[test]
    fn blanks_and_letters_are_those_of_erl() {
        let file = || CookieSource::File(PathBuf::from("c"));
        let value = |value: &[u8], source| Cookie::new(value, source).map(|c| c.value.to_vec());
        for (text, expected) in [
            (&b"kakor"[..], &b"kakor"[..]),
            (b"kakor\r\n", b"kakor"),
            (b"kakor \n \n", b"kakor "),
            (b" ka kor ", b" ka kor "),
        ] {
            for source in [file(), CookieSource::Given] {
                assert_eq!(value(text, source).expect("a cookie"), expected, "{text:?}");
            }
        }
        let letters = "kàkor".as_bytes();
        assert_eq!(
            value(letters, CookieSource::Given).expect("Latin-1"),
            b"k\xe0kor"
        );
        assert!(value(letters, file()).is_err(), "erl refuses such a file");
        assert!(value(b"k\xe0kor", CookieSource::Given).is_err(), "no UTF-8");
    }

    #[cfg(unix)]
    #[test]
    fn the_cookie_of_a_mix_release_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("releases/COOKIE");
        fs::create_dir(dir.path().join("releases")).expect("mkdir");
        fs::write(&path, "kakor").expect("write");
        let with = |mode: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            Cookie::from_file(&path).expect("a cookie")
        };
        let cookie = with(0o644);
        let diagnostic = cookie.warning().expect("it is open");
        assert_eq!(diagnostic.code, Code::W329);
        assert!(
            diagnostic.title.contains("releases/COOKIE is open"),
            "{}",
            diagnostic.title
        );
        assert!(with(0o400).warning().is_none());
    }

    #[cfg(unix)]
    #[test]
    fn files_open_to_others_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("c");
        fs::write(&path, "kakor\n").expect("write");
        for (mode, good) in [(0o400, true), (0o600, true), (0o640, false), (0o404, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            match Cookie::from_file(&path) {
                Ok(cookie) => assert!(
                    good && cookie
                        == Cookie {
                            value: (*b"kakor").into(),
                            source: cookie.source.clone(),
                            warning: None,
                        }
                ),
                Err(error) => {
                    assert!(!good);
                    assert_eq!(error.code, Code::E507);
                    assert_eq!(error.help, Some(format!("chmod 400 {}", path.display())));
                }
            }
        }
        assert!(Cookie::from_file(dir.path()).is_err());
        let missing = Cookie::from_file(dir.path().join("no")).expect_err("missing");
        assert!(
            missing.title.ends_with("no such file or directory"),
            "{}",
            missing.title
        );
    }

    #[test]
    fn precedence_and_source() {
        let env = |name: &str| match name {
            "UPDO_COOKIE" => Some("abc".to_owned()),
            "HOME" => Some("/nowhere".to_owned()),
            _ => None,
        };
        let plan = || Cookie::from_env("SHOP_COOKIE", Some("def"));
        let found = Cookie::find(None, Some(&plan), &env).expect("env wins");
        assert_eq!(found.source().to_string(), "env UPDO_COOKIE");
        let found = Cookie::find(None, Some(&plan), &no_env).expect("plan");
        assert_eq!(found.source().to_string(), "env SHOP_COOKIE");
        assert_eq!(
            Cookie::find(None, None, &no_env).expect_err("none").code,
            Code::E507
        );
        let missing = Cookie::find(None, None, &|name| {
            (name == "HOME").then(|| "/nowhere".to_owned())
        });
        assert!(
            missing
                .expect_err("no file")
                .title
                .contains("/nowhere/.erlang.cookie")
        );
        let release = |name: &str| (name == "RELEASE_COOKIE").then(|| "ghi".to_owned());
        let found = Cookie::find(None, None, &release).expect("the release's");
        assert_eq!(found.source().to_string(), "env RELEASE_COOKIE");
        let found = Cookie::find(None, Some(&plan), &release).expect("the plan wins");
        assert_eq!(found.source().to_string(), "env SHOP_COOKIE");
        let empty = |name: &str| (name == "UPDO_COOKIE").then(String::new);
        assert!(Cookie::find(None, None, &empty).is_err());
    }
}
