//! The files that new code comes from, looked at again and again: `updo watch`.
//!
//! Takes a connection; gives what sizes and times of those files are, so that a caller sees when they change, and runs
//! an upgrade as `updo run` does. Files of this machine are looked at here, those of another by one question to the node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::rehearsal::FirstPhase;
use super::rollout::RunContext;
use super::{Connection, Upgrade};
use crate::diag::Result;
use crate::exec::{Event, Outcome};
use crate::facts::local::files::{FileLook, looks_of};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{self, CodeOrigin, NodeFacts};
use crate::facts::node::node_files::Disk;
use crate::plan::{CodeFrom, Plan};
use crate::report::style::count;
use crate::state::file_cache::Seen;

/// How often files of this machine are looked at.
const NEAR: Duration = Duration::from_millis(100);

/// How often those of another machine are.
const FAR: Duration = Duration::from_millis(500);

/// How often the node is asked for its code path.
const PATH: Duration = Duration::from_secs(1);

/// Files by name, as they were at one moment.
pub type FilesLook = BTreeMap<String, FileLook>;

/// The files of a plan's new code.
pub struct Files<'c> {
    plan: &'c Plan,
    disk: Disk<'c>,
    connection: &'c Connection<'c>,
    /// Folders of the node, where its disk is the new code.
    folders: Vec<String>,
    /// The code path as the node answered last, and when it was asked. Facts of a node have its folders as they are read,
    /// which a relative one is not.
    path: (Option<Vec<String>>, Instant),
    /// Folders with code that only the node can read.
    far: BTreeSet<String>,
}

impl<'c> Files<'c> {
    /// Those of a connection's plan; `seen` is not used beyond it.
    pub fn new(connection: &'c Connection<'c>, facts: &NodeFacts, seen: &'c mut Seen) -> Self {
        let mut files = Self {
            plan: &connection.engine.plan,
            disk: Disk::new(&connection.session, facts.otp, seen),
            connection,
            folders: Vec::new(),
            path: (None, Instant::now()),
            far: BTreeSet::new(),
        };
        files.of(facts);
        files
    }

    /// Follows what the node has loaded, and its code path, where both lead outside of OTP.
    pub fn of(&mut self, facts: &NodeFacts) {
        if matches!(self.plan.code, CodeFrom::Push(_)) {
            return;
        }
        let loaded = facts
            .loaded
            .values()
            .filter_map(|loaded| match &loaded.origin {
                CodeOrigin::File(file) => folder_of(file),
                _ => None,
            });
        let folders = loaded.chain(facts.path.iter().map(String::as_str));
        let folders = folders.filter(|folder| folder.starts_with('/') && !facts.is_otp(folder));
        let folders: BTreeSet<String> = folders.map(str::to_owned).collect();
        self.folders = folders.into_iter().collect();
    }

    /// Asks the node now and then for its code path, and follows it; whether it is another one. What is loaded may come
    /// from other files then, though none of them has changed.
    ///
    /// # Errors
    /// E508 when the node does not answer.
    pub fn path_is_another(&mut self) -> Result<bool> {
        let is_known = self.path.0.is_some() && self.path.1.elapsed() < PATH;
        if is_known || matches!(self.plan.code, CodeFrom::Push(_)) {
            return Ok(false);
        }
        let session = &self.connection.session;
        let now = node_facts::code_path(session)?;
        let before = self.path.0.replace(now);
        self.path.1 = Instant::now();
        if before == self.path.0 {
            return Ok(false);
        }
        let facts = node_facts::gather(session)?;
        let folders = self.folders.clone();
        self.of(&facts);
        // It may have become another one between the first look at the node and the first answer.
        Ok(before.is_some() || folders != self.folders)
    }

    /// What the files look like now.
    ///
    /// # Errors
    /// E508 when the node does not answer.
    pub fn look(&mut self) -> Result<FilesLook> {
        match &self.plan.code {
            CodeFrom::Push(from) => Ok(looks_of(&from.patterns, &from.base)),
            CodeFrom::OnDisk => {
                let looks = self.disk.looks(&self.folders)?;
                self.far_folders(&looks);
                Ok(looks)
            }
        }
    }

    /// Which folders with code only the node can read. One that was not there, or empty, is looked at once more when it
    /// has something in it.
    fn far_folders(&mut self, looks: &FilesLook) {
        let folders = looks.keys().filter_map(|file| folder_of(file));
        let with_code: BTreeSet<&str> = folders.collect();
        let mut far = BTreeSet::new();
        for folder in with_code {
            if !self.disk.is_far(&[folder.to_owned()]) {
                continue;
            }
            if !self.far.contains(folder) {
                self.disk.forget(folder);
            }
            far.insert(folder.to_owned());
        }
        self.far = far;
    }

    /// Folders with code that only the node can read.
    pub fn far(&self) -> impl Iterator<Item = &str> {
        self.far.iter().map(String::as_str)
    }

    /// Whether the node has to be asked what files look like. Then a time is a whole second: a file that was written
    /// twice in one may look as if it was written once.
    pub fn are_far(&self) -> bool {
        !self.far.is_empty()
    }

    /// How often to look.
    pub fn interval(&self) -> Duration {
        if self.are_far() { FAR } else { NEAR }
    }

    /// In words.
    pub fn words(&self) -> String {
        match &self.plan.code {
            CodeFrom::Push(from) => {
                let patterns = from.patterns.iter().map(|(pattern, _)| pattern.as_str());
                patterns.collect::<Vec<_>>().join(", ")
            }
            CodeFrom::OnDisk => match self.folders.as_slice() {
                [one] => one.clone(),
                folders => format!("{} of the node", count(folders.len(), "folder", "folders")),
            },
        }
    }
}

impl Connection<'_> {
    #[doc(hidden)]
    /// Runs an upgrade with what its rehearsal came to, as a rollout of this node alone would.
    pub fn run_rehearsed(
        &self,
        upgrade: &Upgrade,
        rehearsed: Option<&FirstPhase>,
        sink: &mut dyn FnMut(&Event),
    ) -> Outcome {
        let part = RunContext {
            rehearsed,
            ..RunContext::alone(self.engine)
        };
        self.run_in(upgrade, &part, sink)
    }
}
