//! File names as editors write them: `file:///srv/plans/a%20b.updo`, and back.
//!
//! Takes and gives text; no file is looked at. Everything that is no `file` is a document that lies nowhere.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What is written as `%XX`: all that RFC 3986 does not let stand in a path whatever it means there.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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
    let bytes: Vec<u8> = percent_decode(&path.as_bytes()[..end]).collect();
    (!bytes.contains(&0)).then(|| PathBuf::from(OsString::from_vec(bytes)))
}

/// The URI of a path.
pub(super) fn of(path: &Path) -> String {
    let path = percent_encode(path.as_os_str().as_bytes(), ESCAPED);
    format!("file://{path}")
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
