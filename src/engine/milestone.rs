//! A recorded run, or all runs of a rollout together: what it has made of the modules of its nodes, and whether it has gone
//! through on all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::exec::attach::Begun;
use crate::name::{Md5, Module, NodeName};
use crate::state::runs::{RecordedRun, RunRecords};

/// What a module was, and what it has become; `None`: not loaded.
pub(super) type Change = (Option<Md5>, Option<Md5>);

/// A run of its own, or a rollout: what it has made of the modules of its nodes.
#[derive(Clone, Debug)]
pub struct Milestone {
    /// The runs of its nodes, the oldest first.
    pub runs: Vec<RecordedRun>,
    /// What has become of each module, on whichever node.
    pub(super) changed: BTreeMap<Module, BTreeSet<Change>>,
}

impl Milestone {
    /// The name by which it is rolled back.
    pub fn name(&self) -> &str {
        self.runs.first().map_or("", RecordedRun::name)
    }

    /// `run 2db6`, `rollout aa97`.
    pub fn words(&self) -> String {
        let what = match self.runs.first().and_then(|run| run.rollout.as_ref()) {
            Some(_) => "rollout",
            None => "run",
        };
        format!("{what} {}", self.name())
    }

    /// The title of its plan.
    pub fn title(&self) -> &str {
        self.runs.first().map_or("", |run| &run.title)
    }

    /// The file of its plan.
    pub fn plan(&self) -> &Path {
        self.runs.first().map_or(Path::new(""), |run| &run.plan)
    }

    /// The target of its plan; empty when it had none for these nodes.
    pub(super) fn target(&self) -> &str {
        self.runs.first().map_or("", |run| &run.part.target)
    }

    /// When it began, in seconds since 1970.
    pub fn began(&self) -> u64 {
        self.runs.first().map_or(0, |run| run.began)
    }

    /// The newest of its runs that has left a node new.
    pub fn newest(&self) -> Option<&RecordedRun> {
        self.runs.iter().rfind(|run| run.state == "new")
    }

    /// Whether all of its nodes have gone back since.
    pub fn is_undone(&self) -> bool {
        self.newest().is_none()
    }

    /// Whether it has gone through on canaries only.
    pub fn is_canary(&self) -> bool {
        !self.is_undone() && self.runs.iter().all(|run| run.part.canary)
    }

    /// Whether it has gone through on all nodes that the target had. One that was rolled back later on some of them has.
    pub fn is_complete(&self) -> bool {
        let through = |run: &&RecordedRun| matches!(run.state.as_str(), "new" | "undone");
        let through = self.runs.iter().filter(through).count();
        let of = self.runs.iter().filter_map(|run| run.part.of).max();
        !self.is_undone() && through >= of.unwrap_or(self.runs.len())
    }

    /// Whether it was a run of any of these nodes.
    pub(super) fn concerns(&self, nodes: &[NodeName]) -> bool {
        self.runs.iter().any(|run| nodes.contains(&run.node))
    }

    /// The modules that it has changed.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.changed.keys()
    }

    /// Whether it has replaced a version of a module.
    pub(super) fn replaced(&self, module: &Module, md5: Option<Md5>) -> bool {
        let ways = self.changed.get(module);
        ways.is_some_and(|ways| ways.iter().any(|(old, _)| *old == md5))
    }

    /// Whether it has left a version of a module.
    pub(super) fn made(&self, module: &Module, md5: Option<Md5>) -> bool {
        let ways = self.changed.get(module);
        ways.is_some_and(|ways| ways.iter().any(|(_, new)| *new == md5))
    }
}

/// The runs that have left nodes new, those of a rollout together, in the order in which they began. What `updo reconcile`
/// has done since is no version of its own.
pub(super) fn milestones(records: &RunRecords, all: Vec<RecordedRun>) -> Vec<Milestone> {
    let mut found: Vec<Milestone> = Vec::new();
    for run in all
        .into_iter()
        .filter(|run| run.goal == "new" && run.part.to.is_none())
    {
        let begun = match run.state.as_str() {
            "new" | "undone" => records.script(&run.run),
            _ => None,
        };
        let begun = begun.as_ref().and_then(Begun::read);
        let name = run.name().to_owned();
        let at = match found.iter().position(|one| one.name() == name) {
            Some(at) => at,
            None => {
                found.push(Milestone {
                    runs: Vec::new(),
                    changed: BTreeMap::new(),
                });
                found.len() - 1
            }
        };
        let one = &mut found[at];
        one.runs.push(run);
        for (module, old, new) in begun.map_or_else(Vec::new, |begun| begun.modules) {
            one.changed.entry(module).or_default().insert((old, new));
        }
    }
    found.retain(|one| !one.changed.is_empty());
    found
}
