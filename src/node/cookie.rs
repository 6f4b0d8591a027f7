//! The cookie: where it comes from, and the one thing that may be done with it.
//!
//! Takes a file, an environment variable or a value handed in, gives a [`Cookie`] that remembers its
//! [`Source`] and can digest a challenge. The value has no way out of this file: no accessor, no
//! `Display`, and `Debug` shows the source only. The rules for files are those of kernel's `auth`.

use std::fmt;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::private;
use crate::diag::{Code, Diagnostic, Result};

/// Longest cookie: the atom that a node makes of it has at most 255 characters.
const MAX_COOKIE: usize = 255;

/// Where a cookie came from; safe to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A file somebody named.
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

impl fmt::Display for Source {
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
    source: Source,
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie(.. from {})", self.source)
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        private::forget(&mut self.value);
    }
}

impl Cookie {
    /// A cookie from bytes that somebody else read (a prompt, an embedding program).
    ///
    /// Trailing blanks and line ends are cut off. E507 when nothing is left, or when it holds
    /// characters that Erlang does not allow in a cookie, or more than 255.
    pub fn new(value: impl AsRef<[u8]>, source: Source) -> Result<Self> {
        let value = value.as_ref();
        let end = value
            .iter()
            .rposition(|byte| !b" \r\n".contains(byte))
            .map_or(0, |at| at + 1);
        let value = &value[..end];
        let bad = |why: &str| {
            Err(Box::new(Diagnostic::new(
                Code::E507,
                format!("the cookie from {source} {why}"),
            )))
        };
        if value.is_empty() {
            return bad("is empty");
        }
        if value.len() > MAX_COOKIE {
            return bad("is longer than 255 characters");
        }
        if !value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            return bad("contains characters that no cookie may have (only printable ASCII)");
        }
        Ok(Self {
            value: value.into(),
            source,
        })
    }

    /// A cookie from a file, which must be a regular file that only its owner may access.
    ///
    /// E507 otherwise, as `erl` refuses it.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(path, Source::File(path.to_owned()))
    }

    /// A cookie from the value of an environment variable. E507 when it is not set.
    pub fn from_env(name: &str, value: Option<&str>) -> Result<Self> {
        match value {
            Some(value) => Self::new(value, Source::Env(name.to_owned())),
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
    /// says (`plan`, evaluated only if it gets that far), then `$HOME/.erlang.cookie`, or, as OTP 25 has it,
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
                Source::EnvFile("UPDO_COOKIE_FILE".to_owned(), path.clone()),
            );
        }
        if let Some(value) = env("UPDO_COOKIE") {
            return Self::new(value, Source::Env("UPDO_COOKIE".to_owned()));
        }
        if let Some(plan) = plan {
            return plan();
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
                Self::read(&path, Source::Home(path.clone()))
            }
            None => Err(Box::new(
                Diagnostic::new(Code::E507, "no cookie: none was named, and HOME is not set")
                    .help("name a file with --cookie-file, or set UPDO_COOKIE"),
            )),
        }
    }

    /// Where it came from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// MD5 of the cookie followed by the challenge in decimal: the answer that the handshake wants.
    pub(crate) fn digest(&self, challenge: u32) -> [u8; 16] {
        let mut md5 = Md5::new();
        md5.update(&self.value);
        md5.update(challenge.to_string().as_bytes());
        md5.finalize().into()
    }

    fn read(path: &Path, source: Source) -> Result<Self> {
        let file = private::File {
            what: "the cookie file",
            code: Code::E507,
            limit: 4 * MAX_COOKIE,
        };
        let mut value = file.read(path).map_err(|told| match path.exists() {
            true => told,
            false => Box::new(told.help("name the file with --cookie-file, or set UPDO_COOKIE")),
        })?;
        let cookie = Self::new(&value, source);
        private::forget(&mut value);
        cookie
    }
}

/// The system's words without Rust's `(os error 2)`.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let text = &text[..end];
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
        for value in ["", "\n", "  ", "gehe\u{1}im", "gehé", &"geheim".repeat(100)] {
            let error = Cookie::new(value, Source::Given).expect_err(value);
            assert_eq!(error.code, Code::E507);
            assert!(!format!("{error:?}").contains("gehe"));
        }
    }

    #[test]
    fn digest_is_what_erlang_computes() {
        // erlang:md5("kakor4711")
        let expected = 0x7f97_a007_ca93_398b_1f00_8795_d7a9_7f9f_u128;
        let cookie = Cookie::new("kakor\n", Source::Given).expect("cookie");
        assert_eq!(cookie.digest(4711), expected.to_be_bytes());
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
                            source: cookie.source.clone()
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
        let empty = |name: &str| (name == "UPDO_COOKIE").then(String::new);
        assert!(Cookie::find(None, None, &empty).is_err());
    }
}
