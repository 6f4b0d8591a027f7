//! File names as editors write them: `file:///srv/plans/a%20b.updo`, and back.
//!
//! Takes and gives text; no file is looked at. Everything that is no `file` is a document that lies nowhere.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The path of a `file` URI on this machine.
pub(super) fn path(uri: &str) -> Option<PathBuf> {
    let (scheme, rest) = uri.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("file") {
        return None;
    }
    let (host, path) = rest.split_at(rest.find('/')?);
    if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
        return None;
    }
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let bytes = decoded(&path.as_bytes()[..end]);
    (!bytes.contains(&0)).then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// The URI of a path.
pub(super) fn of(path: &Path) -> String {
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
        if plain {
            uri.push(char::from(*byte));
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    uri
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_the_way_through_a_uri() {
        for name in ["/srv/a.updo", "/srv/a b/Größe+100%.updo", "/x/:c?#.updo"] {
            assert_eq!(path(&of(Path::new(name))).as_deref(), Some(Path::new(name)));
        }
        assert_eq!(path("file://localhost/a%2fb"), Some("/a/b".into()));
        assert_eq!(path("file:///c%3A/x"), Some("/c:/x".into()));
        for odd in [
            "untitled:Untitled-1",
            "file://",
            "file://far/x",
            "",
            "http://h/x",
            "file:///a%00b",
        ] {
            assert_eq!(path(odd), None, "{odd}");
        }
        assert_eq!(path("file:///%zz%"), Some("/%zz%".into()));
    }
}
