//! Copies of beams, kept by MD5, because a node cannot give back the binary of what it runs. What puts them here without
//! being asked is `engine::copies`.
//!
//! One file per version: `<state>/beams/<first two digits>/<md5>.beam`, written beside and renamed, so that
//! a crash leaves a whole file or none. What is read back is checked against the MD5 by the caller's
//! reader, so a damaged store is an empty store. A copy's time says when it was last wanted; [`Store::forget`] takes
//! away copies not wanted for long when there are many.

#![expect(
    clippy::disallowed_methods,
    reason = "copies of beams are files of the state folder, and those not wanted for long are removed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::atomic_file;
use crate::name::Md5;
use crate::regular_file;

/// How many copies are always kept: the last five versions of a thousand modules.
const KEPT: usize = 5_000;

/// The largest beam that is given back; the reader of beams takes no larger one.
const LARGEST: u64 = 64 << 20;

/// How long a copy is kept at least after it was last wanted: a node may run for long what has not been saved again.
const WANTED: Duration = Duration::from_secs(90 * 24 * 3600);

/// A copy that was wanted within this time is not marked again.
const TODAY: Duration = Duration::from_secs(24 * 3600);

/// A folder of beams.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    /// What [`Store::put_all`] has put: the nodes of a rollout have the same beams, and one of them puts them.
    put: Arc<Mutex<BTreeSet<Md5>>>,
}

impl Store {
    /// The store in a state folder; nothing is created before something is put.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            folder: state.into().join("beams"),
            put: Arc::default(),
        }
    }

    fn path(&self, md5: &Md5) -> PathBuf {
        let name = md5.to_string();
        let first = name.get(..2).unwrap_or_default();
        self.folder.join(first).join(format!("{name}.beam"))
    }

    /// The copy of a version, if there is one.
    pub fn get(&self, md5: &Md5) -> Option<Vec<u8>> {
        regular_file::read(&self.path(md5), LARGEST).ok()
    }

    /// Whether there is a copy; it counts as wanted today.
    pub fn want(&self, md5: &Md5) -> bool {
        let path = self.path(md5);
        let Some(known) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) else {
            return false;
        };
        // Setting a time costs three calls of the system, and a command wants every module of a node.
        let wanted = known.modified().ok();
        if wanted.is_none_or(|at| at.elapsed().map_or(true, |age| age >= TODAY)) {
            let copy = regular_file::append(&path);
            // One whose time cannot be set is there all the same.
            let _ = copy.and_then(|copy| copy.set_modified(SystemTime::now()));
        }
        true
    }

    /// Keeps a copy; one that is there counts as wanted now.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn put(&self, md5: &Md5, bytes: &[u8]) -> std::io::Result<()> {
        if self.want(md5) {
            return Ok(());
        }
        let path = self.path(md5);
        let folder = path.parent().unwrap_or(&self.folder);
        atomic_file::private_folders(folder)?;
        atomic_file::replace_private(&path, bytes)
    }

    /// Keeps copies of several versions, each once; how many there were none of. Another thread that puts the same waits until they are there.
    ///
    /// # Errors
    /// As [`Store::put`]; those that can be written are.
    pub fn put_all<'b>(
        &self,
        beams: impl Iterator<Item = (Md5, &'b [u8])>,
    ) -> std::io::Result<usize> {
        let mut put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        let beams: BTreeMap<Md5, &[u8]> = beams.filter(|(md5, _)| !put.contains(md5)).collect();
        let written = self.put_missing(&beams)?;
        put.extend(beams.into_keys());
        Ok(written)
    }

    /// The same for those of which there is no copy at this moment, whatever has been put before.
    ///
    /// # Errors
    /// As [`Store::put_all`].
    pub fn put_missing(&self, beams: &BTreeMap<Md5, &[u8]>) -> std::io::Result<usize> {
        let missing: Vec<_> = beams
            .iter()
            .filter(|(md5, _)| !self.want(md5))
            .map(|(md5, bytes)| (self.path(md5), *bytes))
            .collect();
        let folders: BTreeSet<&Path> = missing
            .iter()
            .filter_map(|(path, _)| path.parent())
            .collect();
        let made = folders.into_iter().map(atomic_file::private_folders);
        // What keeps one folder from being made is no reason to leave out the others.
        let unmade = made.filter_map(Result::err).collect::<Vec<_>>();
        let written = atomic_file::replace_all_private(&missing);
        unmade.into_iter().next().map_or(written, Err)?;
        Ok(missing.len())
    }

    /// Takes away the copies not wanted for 90 days, the oldest first, until 5,000 are left. The number of
    /// those that are gone; what cannot be removed stays.
    pub fn forget(&self) -> usize {
        let before = SystemTime::now().checked_sub(WANTED);
        before.map_or(0, |before| self.forget_but(KEPT, before))
    }

    fn forget_but(&self, left: usize, before: SystemTime) -> usize {
        let folders = entries(&self.folder);
        let files: Vec<PathBuf> = folders.iter().flat_map(|folder| entries(folder)).collect();
        if files.len() <= left {
            return 0;
        }
        let wanted = |file: &Path| fs::symlink_metadata(file).and_then(|known| known.modified());
        let mut old: Vec<(SystemTime, &PathBuf)> = files
            .iter()
            .filter_map(|file| Some((wanted(file).ok().filter(|at| *at < before)?, file)))
            .collect();
        old.sort_unstable();
        let surplus = files.len() - left;
        let gone = old.iter().take(surplus);
        gone.filter(|(_, file)| fs::remove_file(file).is_ok())
            .count()
    }
}

/// What is in a folder; nothing when it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_can_be_got() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::new(folder.path());
        let md5 = Md5::from([7; 16]);
        assert_eq!(store.get(&md5), None);
        store.put(&md5, b"beam").expect("can write");
        store.put(&md5, b"other").expect("a second put is nothing");
        assert_eq!(store.get(&md5).as_deref(), Some(&b"beam"[..]));
        assert_eq!(
            std::fs::read_dir(folder.path().join("beams/07"))
                .expect("is there")
                .count(),
            1
        );
    }

    #[test]
    fn several_are_put_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::new(folder.path());
        let md5 = |number: u8| Md5::from([number; 16]);
        store.put(&md5(1), b"first").expect("can write");
        let beams = (0..20).map(|number| (md5(number % 10), &b"beam"[..]));
        store.put_all(beams).expect("can write");
        for number in 0..10 {
            let expected: &[u8] = if number == 1 { b"first" } else { b"beam" };
            assert_eq!(store.get(&md5(number)).as_deref(), Some(expected));
        }
        assert_eq!(store.get(&md5(10)), None);
        // What another process has dropped is put again by what looks.
        fs::remove_file(store.path(&md5(1))).expect("removed");
        let again = BTreeMap::from([(md5(1), &b"again"[..])]);
        store.put_missing(&again).expect("can write");
        assert_eq!(store.get(&md5(1)).as_deref(), Some(&b"again"[..]));
    }

    #[test]
    fn a_folder_that_cannot_be_made_keeps_no_other_from_being_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::new(folder.path());
        atomic_file::private_folders(&folder.path().join("beams")).expect("made");
        fs::write(folder.path().join("beams/02"), b"no folder").expect("written");
        let md5 = |number: u8| Md5::from([number; 16]);
        let put = store.put_all((1..4).map(|number| (md5(number), &b"beam"[..])));
        let why = put.expect_err("a file is in the way");
        assert_eq!(why.kind(), std::io::ErrorKind::AlreadyExists, "{why}");
        for (number, is_there) in [(1, true), (2, false), (3, true)] {
            assert_eq!(store.get(&md5(number)).is_some(), is_there, "{number}");
        }
    }

    /// Many that are old: the oldest go, never one that was wanted lately.
    #[test]
    fn unclaimed_entries_are_dropped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::new(folder.path());
        assert_eq!(store.forget(), 0, "an empty store");
        let now = SystemTime::now();
        let days = |days: u64| now - Duration::from_secs(days * 24 * 3600);
        for number in 0..8_u8 {
            store
                .put(&Md5::from([number; 16]), &[number])
                .expect("can write");
            let copy = fs::File::options()
                .append(true)
                .open(store.path(&Md5::from([number; 16])));
            let age = days(200 - u64::from(number));
            copy.expect("is there").set_modified(age).expect("its time");
        }
        assert_eq!(store.forget(), 0, "few are kept, however old");
        // The two oldest are wanted again: by a run that has put one, by a node that was looked at.
        store.put(&Md5::from([0; 16]), b"?").expect("is there");
        assert!(store.want(&Md5::from([1; 16])));
        assert!(!store.want(&Md5::from([9; 16])));
        assert_eq!(store.get(&Md5::from([0; 16])).as_deref(), Some(&[0][..]));
        let left = |store: &Store| -> Vec<u8> {
            (0..8)
                .filter(|n| store.get(&Md5::from([*n; 16])).is_some())
                .collect()
        };
        assert_eq!(store.forget_but(5, days(90)), 3);
        assert_eq!(left(&store), [0, 1, 5, 6, 7]);
        assert_eq!(store.forget_but(5, days(90)), 0);
        // Fewer than wanted lately are never left.
        assert_eq!(store.forget_but(0, days(90)), 3);
        assert_eq!(left(&store), [0, 1]);
    }
}
