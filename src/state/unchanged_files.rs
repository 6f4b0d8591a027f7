//! What was read from files, as long as they are the same files.
//!
//! A file counts as the same by its inode, size and time of change (`stat(2)`). One that has changed within the last two
//! seconds is read each time: another change in the same instant would have the same time.

#![expect(
    clippy::disallowed_methods,
    reason = "whether a file has changed is asked of the file system"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many files are remembered.
const MOST: usize = 2_000;

/// Seconds that a file has to be unchanged.
const RESTED: i64 = 2;

/// Values of files, by their paths.
pub(super) struct UnchangedFiles<T>(Mutex<BTreeMap<PathBuf, (Identity, T)>>);

impl<T: Clone> UnchangedFiles<T> {
    /// Of none.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The value of a file: as it was read before, or by `read`.
    pub(super) fn read(&self, path: &Path, read: impl FnOnce(&Path) -> Option<T>) -> Option<T> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let identity = Identity::of(path)?;
        if let Some((was, value)) = lock().get(path)
            && *was == identity
        {
            return Some(value.clone());
        }
        let value = read(path)?;
        if identity.has_rested() {
            let mut known = lock();
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(path.to_owned(), (identity, value.clone()));
        }
        Some(value)
    }
}

/// What another content of a file would change.
#[derive(PartialEq)]
struct Identity {
    inode: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let known = fs::metadata(path).ok()?;
        Some(Self {
            inode: (known.dev(), known.ino()),
            size: known.size(),
            changed: (known.ctime(), known.ctime_nsec()),
        })
    }

    fn has_rested(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0));
        now.saturating_sub(self.changed.0) > RESTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, files) = (folder.path().join("file"), UnchangedFiles::new());
        let reads = Cell::new(0);
        let content = || {
            files.read(&path, |path| {
                reads.set(reads.get() + 1);
                fs::read_to_string(path).ok()
            })
        };
        assert_eq!(content(), None);
        for text in ["one", "two", "six"] {
            crate::atomic_file::replace(&path, text.as_bytes()).expect("written");
            assert_eq!(content().as_deref(), Some(text));
            assert_eq!(content().as_deref(), Some(text));
        }
        // Changed a moment ago: read each time.
        assert_eq!(reads.get(), 6);
        sleep(Duration::from_millis(3_100));
        (0..5).for_each(|_| assert_eq!(content().as_deref(), Some("six")));
        assert_eq!(reads.get(), 7);
        fs::write(&path, "ten").expect("written");
        assert_eq!(content().as_deref(), Some("ten"));
        fs::remove_file(&path).expect("removed");
        assert_eq!(content(), None);
    }
}
