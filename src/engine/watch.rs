//! The files that new code comes from, looked at again and again: `updo watch`.
//!
//! Takes a connection; gives what sizes and times of those files are, so that a caller sees when they change, and runs
//! an upgrade as `updo run` does. Files of this machine are looked at here, those of another by one question to the node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rehearsal::FirstPhase;
use super::rollout::RunContext;
use super::{Connection, Upgrade};
use crate::diag::Result;
use crate::exec::{Event, Outcome};
use crate::facts::local::files::{FileLook, looks_of};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::facts::node::node_files::Disk;
use crate::plan::{CodeFrom, Plan};
use crate::report::style::count;
use crate::state::file_cache::Seen;

/// How often files of this machine are looked at.
const NEAR: Duration = Duration::from_millis(100);

/// How often those of another machine are.
const FAR: Duration = Duration::from_millis(500);

/// Files by name, as they were at one moment.
pub type FilesLook = BTreeMap<String, FileLook>;

/// The files of a plan's new code.
pub struct Files<'c> {
    plan: &'c Plan,
    disk: Disk<'c>,
    /// Folders of the node, where its disk is the new code.
    folders: Vec<String>,
}

impl<'c> Files<'c> {
    /// Those of a connection's plan; `seen` is not used beyond it.
    pub fn new(connection: &'c Connection<'c>, facts: &NodeFacts, seen: &'c mut Seen) -> Self {
        let mut files = Self {
            plan: &connection.engine.plan,
            disk: Disk::new(&connection.session, facts.otp, seen),
            folders: Vec::new(),
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

    /// What the files look like now.
    ///
    /// # Errors
    /// E508 when the node does not answer.
    pub fn look(&mut self) -> Result<FilesLook> {
        match &self.plan.code {
            CodeFrom::Push(from) => Ok(looks_of(&from.patterns, &from.base)),
            CodeFrom::OnDisk => self.disk.looks(&self.folders),
        }
    }

    /// Whether the node has to be asked what files look like. Then a time is a whole second: a file that was written
    /// twice in one may look as if it was written once.
    pub fn are_far(&self) -> bool {
        matches!(self.plan.code, CodeFrom::OnDisk) && self.disk.is_far(&self.folders)
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
