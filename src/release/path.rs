//! Where files are looked for: folders, given with wildcards.

#![expect(
    clippy::disallowed_methods,
    reason = "folders are searched for releases and applications"
)]

use std::path::{Path, PathBuf};

use crate::facts::local::globs;

use super::error::{Refusal, ReleaseError};

/// The `.app` files of a folder, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn app_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "app"))
        .collect();
    files.sort();
    Ok(files)
}

/// Folders, in order, each once.
#[derive(Clone, Debug, Default)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// Expands patterns (`lib/*/ebin`); what a pattern matches is sorted, and what is no folder is left out.
    ///
    /// # Errors
    /// When a pattern is malformed. One that matches nothing is no error, as to OTP.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, Refusal> {
        let mut folders: Vec<PathBuf> = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let plain = PathBuf::from(pattern);
            if plain.is_dir() {
                folders.push(plain);
                continue;
            }
            let found = globs::paths(pattern).map_err(|why| {
                Refusal::from(ReleaseError::BadPath(pattern.to_owned(), why.to_string()))
            })?;
            // What may not be looked into is as good as not there.
            folders.extend(found.paths.into_iter().filter(|path| path.is_dir()));
        }
        let mut seen = std::collections::BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        Ok(Self(folders))
    }

    /// The folders.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
    }

    /// The first file of this name, the current folder before the others.
    pub(super) fn find_from_here(&self, file: &str) -> Option<PathBuf> {
        let here = std::iter::once(Path::new("."));
        here.chain(self.folders())
            .map(|folder| {
                if folder == Path::new(".") {
                    PathBuf::from(file)
                } else {
                    folder.join(file)
                }
            })
            .find(|path| path.exists())
    }
}
