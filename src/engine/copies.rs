//! Copies of the beams that a node runs, kept while its disk still has them.
//!
//! Takes a connection and what the node has loaded, and fills the store of the state folder. A node cannot give back
//! loaded object code: once its files are replaced, only such a copy leads back. So every command that compares a node
//! keeps what is not kept yet, without being asked; each version costs one read, once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Connection;
use crate::diag::{Code, Diagnostic, Result};
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::facts::node::node_files::{Disk, OnDisk};
use crate::name::{Md5, Module};
use crate::state::beams::Store;
use crate::state::file_cache::Seen;

/// For how long a command that was not asked for copies makes them: the next one goes on. Only a far node with many
/// applications takes so long, and only the first time.
pub const UNASKED: Duration = Duration::from_secs(5);

/// How many files are looked at between two looks at the clock.
const AT_ONCE: usize = 64;

/// Why there is no copy of a running module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// Its file does not exist.
    Missing,
    /// Its file has another version.
    Replaced,
    /// Its file cannot be read, or is no beam.
    Unreadable(String),
}

impl NotKept {
    /// In words, behind the name of the module.
    pub fn words(&self) -> String {
        match self {
            Self::Missing => "its file does not exist".to_owned(),
            Self::Replaced => "its file has another version".to_owned(),
            Self::Unreadable(why) => format!("its file cannot be used: {why}"),
        }
    }
}

/// What keeping copies has come to.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// How many copies were made.
    pub now: usize,
    /// How many versions had no copy.
    pub wanted: usize,
    /// How many had one already.
    pub before: usize,
    /// Those that cannot be kept, with the file that is the reason.
    pub lost: Vec<(Module, String, NotKept)>,
    /// How many were not looked at, for time was over.
    pub left: usize,
}

impl Connection<'_> {
    #[doc(hidden)]
    /// Keeps copies of what the node runs, as far as its disk still has it: of every loaded module but those of OTP's own
    /// applications. `within` bounds the time.
    ///
    /// # Errors
    /// E508 when the node does not answer, E802 when the store cannot be written.
    pub fn keep_copies(&self, facts: &NodeFacts, within: Option<Duration>) -> Result<Kept> {
        let mut seen = Seen::open(&self.engine.settings.state_dir, self.session.node());
        self.keep_copies_of(facts, &mut seen, within)
    }

    /// The same with what is remembered of the node's files.
    pub(super) fn keep_copies_of(
        &self,
        facts: &NodeFacts,
        seen: &mut Seen,
        within: Option<Duration>,
    ) -> Result<Kept> {
        // Without a state folder there is no store.
        if self.engine.settings.state_dir.as_os_str().is_empty() {
            return Ok(Kept::default());
        }
        let store = &self.engine.store;
        let (wanted, before) = wanted(facts, store);
        let mut kept = Kept {
            wanted: wanted.len(),
            before,
            left: wanted.len(),
            ..Kept::default()
        };
        if wanted.is_empty() {
            return Ok(kept);
        }
        let mut disk = Disk::new(&self.session, facts.otp, seen);
        disk.keep(store, BTreeSet::new());
        let began = Instant::now();
        for some in wanted.chunks(AT_ONCE) {
            if within.is_some_and(|within| began.elapsed() >= within) {
                break;
            }
            keep_some(&mut disk, facts, store, some, &mut kept)?;
            kept.left -= some.len();
        }
        // What cannot be remembered is looked at again the next time.
        let _ = disk.seen.save();
        if kept.now > 0 {
            store.forget();
        }
        Ok(kept)
    }
}

/// A module that has no copy, its file, and the version that runs.
type Wanted<'f> = (&'f Module, &'f str, Md5);

/// The running versions that have no copy, and how many have one.
fn wanted<'f>(facts: &'f NodeFacts, store: &Store) -> (Vec<Wanted<'f>>, usize) {
    let (mut wanted, mut before) = (Vec::new(), 0);
    for (module, loaded) in &facts.loaded {
        let CodeOrigin::File(file) = &loaded.origin else {
            continue;
        };
        if facts.is_otp_file(file) {
            continue;
        }
        match store.want(&loaded.md5) {
            true => before += 1,
            false => wanted.push((module, file.as_str(), loaded.md5)),
        }
    }
    (wanted, before)
}

/// Keeps some of them. Only files that are what runs are read whole.
fn keep_some(
    disk: &mut Disk<'_>,
    facts: &NodeFacts,
    store: &Store,
    some: &[Wanted<'_>],
    kept: &mut Kept,
) -> Result<()> {
    let files: Vec<String> = some.iter().map(|(_, file, _)| (*file).to_owned()).collect();
    let mut agreeing = Vec::new();
    let mut lose = |(module, file, _): &Wanted<'_>, why: NotKept| {
        let lost = ((*module).clone(), (*file).to_owned(), why);
        kept.lost.push(lost);
    };
    for (one, what) in some.iter().zip(disk.beams(&files)?) {
        match what {
            OnDisk::Beam(beam) if beam.md5 == one.2 => agreeing.push(one),
            OnDisk::Beam(_) => lose(one, NotKept::Replaced),
            OnDisk::Missing => lose(one, NotKept::Missing),
            OnDisk::Broken(why) => lose(one, NotKept::Unreadable(why)),
        }
    }
    let files: Vec<String> = agreeing
        .iter()
        .map(|(_, file, _)| (*file).to_owned())
        .collect();
    let mut copies = Vec::new();
    for (one, bytes) in agreeing.into_iter().zip(disk.read(&files)?) {
        let is_running = |bytes: &Vec<u8>| Disk::is_version(bytes, facts.otp, &one.2);
        match bytes.filter(is_running) {
            Some(bytes) => copies.push((one.2, bytes)),
            // It was replaced between the two looks.
            None => lose(one, NotKept::Replaced),
        }
    }
    let put = copies.iter().map(|(md5, bytes)| (*md5, &bytes[..]));
    store.put_all(put).map_err(|why| {
        Diagnostic::new(Code::E802, "the store of beams cannot be written").note(why.to_string())
    })?;
    kept.now += copies.len();
    Ok(())
}
