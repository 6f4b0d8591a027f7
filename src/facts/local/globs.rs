//! Paths that match a pattern: `*`, `?`, `[…]` and `**`, as in a shell.
//!
//! Takes a pattern and gives the paths that are there, sorted. `**` means any number of folders, one in the other, through
//! symbolic links too: those of a release or of a build lead to applications. It looks into no folder twice, however
//! many ways lead there, so it ends where links go in circles; of several ways the one without links is reported.
//! Without `**` it is what the crate `glob` does. It never writes.

#![expect(
    clippy::disallowed_methods,
    reason = "folders are searched by patterns"
)]

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The pattern for any number of folders.
const ANY: &str = "**";

/// What was found, and what could not be looked into.
#[derive(Debug, Default)]
pub struct GlobMatches {
    /// Paths that match, sorted, each once.
    pub paths: BTreeSet<PathBuf>,
    /// Folders that could not be read, with the reason of the operating system.
    pub failed: Vec<(PathBuf, io::Error)>,
}

/// A pattern as it is from anywhere: a relative one below a folder. Nothing in the folder's name is a wildcard.
pub fn absolute(pattern: &str, base: &Path) -> String {
    let Some(base) = base.to_str().filter(|_| !pattern.starts_with('/')) else {
        return pattern.to_owned();
    };
    let inside = pattern.trim_start_matches("./");
    format!(
        "{}/{inside}",
        glob::Pattern::escape(base.trim_end_matches('/'))
    )
}

/// The paths that match a pattern, taken from the current folder unless it is absolute.
///
/// # Errors
/// When it is no pattern; the text says why.
pub fn paths(pattern: &str) -> Result<GlobMatches, glob::PatternError> {
    // Whether it is one is judged of the whole, so that the place in the error is right.
    glob::Pattern::new(pattern)?;
    let mut found = GlobMatches::default();
    let mut parts = split(pattern).into_iter();
    if let Some(first) = parts.next() {
        plain(&first, &mut found)?;
    }
    for part in parts {
        let starts = std::mem::take(&mut found.paths);
        let mut folders = below(&starts, &mut found.failed);
        if part.is_empty() {
            // At the end it means what is below, without the folder itself.
            folders.retain(|folder| {
                let mut above = folder.ancestors().skip(1);
                !starts.contains(folder) || above.any(|above| starts.contains(above))
            });
            found.paths = folders;
            continue;
        }
        for folder in folders {
            // A name that is not UTF-8 matches nothing, as in `glob`.
            let Some(text) = folder.to_str() else {
                continue;
            };
            let text = glob::Pattern::escape(text);
            let whole = if text.is_empty() || text.ends_with('/') {
                format!("{text}{part}")
            } else {
                format!("{text}/{part}")
            };
            plain(&whole, &mut found)?;
        }
    }
    Ok(found)
}

/// What is before, between and behind the `**` of a pattern; several in a row are one.
fn split(pattern: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut after_any = false;
    for component in pattern.split('/') {
        if component == ANY {
            if !after_any {
                parts.push(joined(&part, parts.is_empty()));
                part.clear();
            }
        } else {
            part.push(component);
        }
        after_any = component == ANY;
    }
    parts.push(joined(&part, parts.is_empty()));
    parts
}

/// Components as a pattern again; the root is the one pattern that ends in a slash, except for what says so itself.
fn joined(components: &[&str], first: bool) -> String {
    match components {
        [""] if first => "/".to_owned(),
        // `**/` is `**`: what it matches are folders anyway.
        [""] => String::new(),
        _ => components.join("/"),
    }
}

/// Adds what a pattern without `**` matches. An empty one is the current folder.
fn plain(pattern: &str, found: &mut GlobMatches) -> Result<(), glob::PatternError> {
    if pattern.is_empty() {
        found.paths.insert(PathBuf::new());
        return Ok(());
    }
    for path in glob::glob(pattern)? {
        match path {
            Ok(path) => {
                found.paths.insert(path);
            }
            Err(error) => found.failed.push((error.path().to_owned(), error.into())),
        }
    }
    Ok(())
}

/// The folders among these paths and all below them, each once, whatever it is called there.
fn below(starts: &BTreeSet<PathBuf>, failed: &mut Vec<(PathBuf, io::Error)>) -> BTreeSet<PathBuf> {
    let mut seen = HashSet::new();
    let mut folders = BTreeSet::new();
    let mut queue: VecDeque<PathBuf> = starts.iter().cloned().collect();
    let mut links = VecDeque::new();
    // Links wait until everything is seen that is there without them.
    while let Some(folder) = queue.pop_front().or_else(|| links.pop_front()) {
        let here = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &folder
        };
        let Ok(metadata) = fs::metadata(here) else {
            continue; // a link that leads nowhere, or in a circle
        };
        if !metadata.is_dir() || !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        match sorted(here) {
            Ok(entries) => {
                for entry in entries {
                    let path = folder.join(entry.file_name());
                    match entry.file_type() {
                        Ok(kind) if kind.is_symlink() => links.push_back(path),
                        Ok(kind) if kind.is_dir() => queue.push_back(path),
                        _ => {}
                    }
                }
                folders.insert(folder);
            }
            Err(error) => failed.push((folder, error)),
        }
    }
    folders
}

/// The entries of a folder by name: which of two links is followed must not depend on the file system.
fn sorted(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// What matches below a folder, without the folder's own name.
    fn found(folder: &Path, pattern: &str) -> Vec<String> {
        let root = folder.to_str().expect("UTF-8");
        let found = paths(&format!("{root}/{pattern}")).expect("a pattern");
        assert!(found.failed.is_empty(), "{found:?}");
        let inside = found.paths.iter().map(|path| {
            let path = path.strip_prefix(folder).expect("below the folder");
            path.display().to_string()
        });
        inside.collect()
    }

    fn world() -> tempfile::TempDir {
        let world = tempfile::tempdir().expect("a folder");
        for folder in ["a/ebin", "a/src/deep", "b-1.0/ebin", ".hidden/ebin"] {
            fs::create_dir_all(world.path().join(folder)).expect("a folder");
        }
        for file in [
            "a/ebin/x.beam",
            "a/src/deep/y.beam",
            "b-1.0/ebin/z.beam",
            ".hidden/ebin/h.beam",
        ] {
            fs::write(world.path().join(file), "").expect("a file");
        }
        world
    }

    /// Where no folder is reached twice it is exactly what `glob` says.
    #[test]
    fn matches_are_those_of_the_crate() {
        let world = world();
        let root = world.path().to_str().expect("UTF-8");
        for pattern in [
            "**",
            "**/",
            "**/*.beam",
            "**/**/*.beam",
            "a/**",
            "a/**/*.beam",
            "*/**/ebin",
            "**/ebin/**/*.beam",
            "**/src/*",
            "**/ebin/",
            "*/ebin/*.beam",
            "nowhere/**",
            "a/ebin/x.beam/**",
            "**/b-[0-9]*/**",
            "a/../**/z.beam",
        ] {
            let whole = format!("{root}/{pattern}");
            let wanted: BTreeSet<PathBuf> = glob::glob(&whole)
                .expect("a pattern")
                .map(|path| path.expect("it can be read"))
                .collect();
            let found = paths(&whole).expect("a pattern").paths;
            assert_eq!(found, wanted, "{pattern}");
        }
        for wrong in ["a**", "***", "[", "**/a**/[x]"] {
            assert!(paths(wrong).is_err(), "{wrong}");
        }
    }

    /// With three links to the top in every folder, `glob` alone would be busy until the sun goes out.
    #[test]
    fn links_in_circles() {
        let world = world();
        for folder in ["", "a", "a/src", "b-1.0", "a/src/deep"] {
            for name in ["up", "round", "again"] {
                symlink(world.path(), world.path().join(folder).join(name)).expect("a link");
            }
        }
        symlink("self", world.path().join("self")).expect("a link to itself");
        symlink("nowhere", world.path().join("lost")).expect("a link to nothing");
        let beams = [
            ".hidden/ebin/h.beam",
            "a/ebin/x.beam",
            "a/src/deep/y.beam",
            "b-1.0/ebin/z.beam",
        ];
        assert_eq!(found(world.path(), "**/*.beam"), beams);
        assert_eq!(found(world.path(), "**/ebin/**/*.beam").len(), 3);
        assert_eq!(found(world.path(), "**").len(), 8);
        // By way of a link all is found that lies there.
        let through = found(world.path(), "a/src/up/**/*.beam");
        assert_eq!(through.len(), beams.len(), "{through:?}");
    }

    /// A build's folder of links to applications, and two names for one folder.
    #[test]
    fn links_are_followed() {
        let world = world();
        let build = world.path().join("build/lib");
        fs::create_dir_all(&build).expect("a folder");
        symlink(world.path().join("a"), build.join("a")).expect("a link");
        symlink(world.path().join("a"), build.join("b")).expect("a link");
        assert_eq!(
            found(world.path(), "build/**/*.beam"),
            ["build/lib/a/ebin/x.beam", "build/lib/a/src/deep/y.beam"]
        );
        // The name without a link is reported when both are below.
        assert_eq!(
            found(world.path(), "**/ebin"),
            [".hidden/ebin", "a/ebin", "b-1.0/ebin"]
        );
    }

    #[test]
    fn from_here_and_from_the_root() {
        assert_eq!(split("**/a"), ["", "a"]);
        assert_eq!(split("/**/a"), ["/", "a"]);
        assert_eq!(split("x/**"), ["x", ""]);
        assert_eq!(split("x/**/**/y/**/z"), ["x", "y", "z"]);
        assert_eq!(split("x/*"), ["x/*"]);
        let here = paths("src/facts/**/globs.r?").expect("a pattern").paths;
        assert!(
            here.contains(Path::new("src/facts/local/globs.rs")),
            "{here:?}"
        );
        let here = paths("**/Cargo.tom?").expect("a pattern").paths;
        assert!(here.contains(Path::new("Cargo.toml")), "{here:?}");
    }
}
