//! Which node of a target runs which version: the digests of its modules against the records of runs.
//!
//! Takes records and what nodes have loaded; says which version is meant, the one that the last run through all nodes has
//! left, and what each node is to it. Asks no node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::milestone::{Milestone, milestones};
use super::{Settings, Upgrade};
use crate::facts::app::versions::name_of;
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::name::{App, Md5, Module, NodeName};
use crate::state::runs::RecordedRun;
use crate::state::versions::{self, CodeVersion, ModuleVersion};

/// The releases from which digests of the same beam are others than before.
const DIGESTS: [u32; 3] = [25, 28, 29];

/// Whether nodes of two OTP releases count the digest of a beam in the same way.
pub fn same_digests(one: u32, other: u32) -> bool {
    DIGESTS
        .iter()
        .all(|since| (one >= *since) == (other >= *since))
}

/// What a node runs of what is not OTP's own, and has a file.
fn version_now(facts: &NodeFacts) -> CodeVersion {
    let modules = facts.loaded.iter().filter_map(|(module, loaded)| {
        let CodeOrigin::File(file) = &loaded.origin else {
            return None;
        };
        let version = ModuleVersion {
            md5: loaded.md5,
            app: app_of(facts, module, file),
        };
        (!facts.is_otp_file(file)).then(|| (module.clone(), version))
    });
    CodeVersion {
        otp: facts.otp,
        modules: modules.collect(),
    }
}

/// The application that lists a module, or from whose folder it is.
fn app_of(facts: &NodeFacts, module: &Module, file: &str) -> Option<App> {
    let of_folder = || {
        let folder = folder_of(file)?;
        let mut apps = facts.apps.keys();
        let there = apps.find(|app| facts.folder_of_app(app) == Some(folder));
        there.cloned().or_else(|| name_of(folder).map(App::new))
    };
    facts.app_of(module).cloned().or_else(of_folder)
}

/// What a node runs when an upgrade has gone through.
pub(super) fn version_after(upgrade: &Upgrade) -> CodeVersion {
    let mut version = version_now(&upgrade.facts);
    for module in upgrade.rules.modules.keys() {
        let changed = upgrade.changes.modules.get(module);
        match changed.and_then(|changed| changed.new.as_ref()) {
            Some(beam) => {
                let of = ModuleVersion {
                    md5: beam.facts.md5,
                    app: app_of(&upgrade.facts, module, &beam.file),
                };
                version.modules.insert(module.clone(), of);
            }
            None => _ = version.modules.remove(module),
        }
    }
    version
}

/// Keeps a version; its name. Without it no node can be brought to it later, and the run is as good.
pub(super) fn keep(state: &Path, version: &CodeVersion) -> Option<String> {
    if state.as_os_str().is_empty() {
        return None;
    }
    versions::keep(state, version).ok()
}

/// What a node is to the version that is meant. The unusual comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It runs code that no recorded run explains.
    Unknown,
    /// It runs what a recorded run has replaced, or lacks what one has loaded.
    Behind,
    /// It went back by `updo rollback` since, and has not been restarted.
    RolledBack,
    /// It runs what a later run has left, which has not gone through everywhere.
    Ahead,
    /// Its OTP release counts digests in another way than any node of the run.
    OtherOtp,
    /// It runs the version.
    Same,
}

impl Standing {
    /// The word of the screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Behind => "behind",
            Self::RolledBack => "rolled back",
            Self::Ahead => "ahead",
            Self::OtherOtp => "other OTP",
            Self::Same => "same",
        }
    }
}

/// What a node is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// In a word.
    pub standing: Standing,
    /// The run that it lacks, that it is ahead by, or that has taken it back.
    pub since: Option<String>,
    /// The same in words: `rollout aa97`.
    pub words: String,
    /// The modules that differ.
    pub differs: Vec<Module>,
    /// Those of them that no run explains.
    pub unknown: Vec<Module>,
    /// The place of the first run that it lacks.
    pub lacks: Option<usize>,
    /// Whether modules that runs have changed are not loaded: on a node that loads code on demand its disk decides.
    pub unloaded: bool,
}

/// The records as far as they say which version a node should run.
#[derive(Clone, Debug, Default)]
pub struct History {
    milestones: Vec<Milestone>,
    /// The one whose version is meant.
    meant: Option<usize>,
    /// That version, once for each way to count digests that its nodes have.
    versions: Vec<CodeVersion>,
    /// The newest record of each node.
    last: BTreeMap<NodeName, RecordedRun>,
}

/// Which version is meant.
#[derive(Clone, Copy, Debug)]
pub enum Meant<'a> {
    /// That of the last run, of any plan, that has gone through on nodes of the target.
    Last,
    /// That of the last run of this plan that has gone through on them.
    OfPlan,
    /// That of this run or rollout.
    Named(&'a str),
}

/// The nodes that are asked about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The file of the plan, absolute.
    pub plan: &'a Path,
    /// The plan's target; empty when it has none for them.
    pub target: &'a str,
    /// The nodes of the target.
    pub nodes: &'a [NodeName],
}

impl Asked<'_> {
    /// Whether a run was one of this target.
    fn is_of(&self, one: &Milestone) -> bool {
        let is_target = one.target() == self.target && !self.target.is_empty();
        one.plan() == self.plan && (is_target || one.concerns(self.nodes))
    }
}

impl History {
    /// Reads the records of a state folder, as far as they are about these nodes, or about others of their target.
    pub fn read(settings: &Settings, asked: Asked<'_>, meant: Meant<'_>) -> Self {
        let records = settings.records();
        let all = records.all();
        let last = all.iter().map(|run| (run.node.clone(), run.clone()));
        let mut history = Self {
            last: last.collect(),
            milestones: milestones(&records, all),
            ..Self::default()
        };
        let of_target = history.milestones.iter().filter(|one| asked.is_of(one));
        let theirs = of_target.flat_map(|one| one.runs.iter().map(|run| run.node.clone()));
        let nodes: Vec<NodeName> = theirs.chain(asked.nodes.iter().cloned()).collect();
        // Another target may run the same modules, of other versions.
        history
            .milestones
            .retain(|one| asked.is_of(one) || one.concerns(&nodes));
        let is_meant = |one: &Milestone| match meant {
            Meant::Last => one.is_complete(),
            Meant::OfPlan => one.is_complete() && asked.is_of(one),
            Meant::Named(name) => {
                let is_named = one.name() == name || one.runs.iter().any(|run| run.run == name);
                is_named && !one.is_undone()
            }
        };
        let meant = history.milestones.iter().rposition(is_meant);
        match meant {
            Some(at) => history.until(at, settings),
            None => history,
        }
    }

    /// The same with the version that another run has left.
    fn until(mut self, at: usize, settings: &Settings) -> Self {
        self.meant = Some(at);
        let new = self.milestones[at].runs.iter();
        let new = new.filter(|run| run.state == "new");
        let names: BTreeSet<&String> = new.filter_map(|run| run.part.version.as_ref()).collect();
        let mut found: Vec<CodeVersion> = Vec::new();
        for name in names {
            let Some(version) = versions::load(&settings.state_dir, name) else {
                continue;
            };
            // Nodes that load code on demand have loaded more or less of the same.
            match found
                .iter_mut()
                .find(|known| same_digests(known.otp, version.otp))
            {
                Some(known) => {
                    for (module, of) in version.modules {
                        known.modules.entry(module).or_insert(of);
                    }
                }
                None => found.push(version),
            }
        }
        self.versions = found;
        self
    }

    /// How a node comes to the version that is meant: over each version of the same plan that it lacks, in their order,
    /// as the other nodes have. The last one is that version itself.
    pub fn steps(&self, lacks: Option<usize>, settings: &Settings) -> Vec<Self> {
        let Some(meant) = self.meant else {
            return Vec::new();
        };
        let between = |at: &usize| {
            let one = &self.milestones[*at];
            one.is_complete() && one.plan() == self.milestones[meant].plan()
        };
        let before = (lacks.unwrap_or(meant)..meant).filter(between);
        let before = before.map(|at| self.clone().until(at, settings));
        let known = before.filter(Self::is_known);
        known.chain([self.clone()]).collect()
    }

    /// The run or rollout whose version is meant.
    pub fn meant(&self) -> Option<&Milestone> {
        self.milestones.get(self.meant?)
    }

    /// Whether the run that is meant is one that a node lacks, when it lacks those from a place on.
    pub fn is_behind(&self, lacks: usize) -> bool {
        self.meant.is_some_and(|meant| meant >= lacks)
    }

    /// Whether it is known what nodes ran after the run that is meant.
    pub fn is_known(&self) -> bool {
        !self.versions.is_empty()
    }

    /// The last one that has gone through, by whatever plan.
    pub fn last_through(&self) -> Option<&Milestone> {
        self.milestones.iter().rfind(|one| one.is_complete())
    }

    /// The newest run of a plan, whatever has become of it.
    pub fn newest_of(&self, plan: &Path) -> Option<&Milestone> {
        self.milestones.iter().rfind(|one| one.plan() == plan)
    }

    /// The version that is meant, as a node of an OTP release counts digests.
    pub fn version(&self, otp: u32) -> Option<&CodeVersion> {
        let mut all = self.versions.iter();
        all.find(|version| same_digests(version.otp, otp))
    }

    /// The modules that runs up to the one that is meant have changed.
    pub fn changed(&self) -> BTreeSet<&Module> {
        let until = self.meant.map_or(0, |at| at + 1);
        self.milestones[..until]
            .iter()
            .flat_map(Milestone::modules)
            .collect()
    }

    /// Without a version that is known: the one of most nodes, module by module.
    pub fn of_most(&mut self, nodes: &[&NodeFacts]) {
        self.meant = None;
        let mut counts: BTreeMap<(Module, Md5), usize> = BTreeMap::new();
        let Some(first) = nodes.first() else { return };
        let alike = nodes.iter().filter(|one| same_digests(one.otp, first.otp));
        for version in alike.map(|facts| version_now(facts)) {
            for (module, of) in version.modules {
                *counts.entry((module, of.md5)).or_default() += 1;
            }
        }
        let mut most: BTreeMap<Module, (usize, Md5)> = BTreeMap::new();
        for ((module, md5), count) in counts {
            let known = most.entry(module).or_insert((count, md5));
            if known.0 < count {
                *known = (count, md5);
            }
        }
        let of = |(_, md5)| ModuleVersion { md5, app: None };
        self.versions = vec![CodeVersion {
            otp: first.otp,
            modules: most
                .into_iter()
                .map(|(module, one)| (module, of(one)))
                .collect(),
        }];
    }

    /// What a node is to the version that is meant. `creation`: the life of the node in which it was looked at.
    pub fn judge(&self, node: &NodeName, creation: u32, facts: &NodeFacts) -> Verdict {
        let mut verdict = Verdict {
            standing: Standing::Same,
            since: None,
            words: String::new(),
            differs: Vec::new(),
            unknown: Vec::new(),
            lacks: None,
            unloaded: false,
        };
        let Some(version) = self.version(facts.otp) else {
            verdict.standing = Standing::OtherOtp;
            return verdict;
        };
        let (mut lacking, mut ahead) = (None, None);
        let changed = self.changed();
        let goes = |module: &&&Module| !version.modules.contains_key(**module);
        let wanted = version
            .modules
            .iter()
            .map(|(module, of)| (module, Some(of.md5)));
        for (module, wanted) in wanted.chain(changed.iter().filter(goes).map(|m| (*m, None))) {
            let runs = facts.loaded.get(module).map(|loaded| loaded.md5);
            if runs == wanted {
                continue;
            }
            if runs.is_none() && !facts.embedded {
                // It is loaded when it is called, from the disk.
                verdict.unloaded |= changed.contains(module);
                continue;
            }
            verdict.differs.push(module.clone());
            match (self.later(module, runs), self.earlier(module, runs)) {
                (_, Some(at)) => lacking = Some(lacking.map_or(at, |known: usize| known.min(at))),
                (Some(at), None) => ahead = ahead.max(Some(at)),
                // A module that a release has not loaded at its start was added by a run, or by another installation.
                (None, None) => verdict.unknown.push(module.clone()),
            }
        }
        let named = |at: usize| &self.milestones[at];
        let (standing, since) = match (verdict.unknown.is_empty(), ahead, lacking) {
            (false, ..) => (Standing::Unknown, None),
            (true, Some(at), _) => (Standing::Ahead, Some(named(at))),
            (true, None, Some(at)) => (Standing::Behind, Some(named(at))),
            (true, None, None) => (Standing::Same, None),
        };
        verdict.standing = standing;
        verdict.lacks = lacking.filter(|_| standing == Standing::Behind);
        verdict.since = since.map(|one| one.name().to_owned());
        verdict.words = since.map_or_else(String::new, Milestone::words);
        if standing == Standing::Ahead
            && let Some(one) = since
        {
            verdict.words += match (one.is_canary(), one.is_undone(), one.is_complete()) {
                (_, true, _) => ", which was rolled back on the other nodes",
                (true, false, false) => ", as a canary",
                (false, false, false) => ", which has not gone through everywhere",
                (_, _, true) => "",
            };
        }
        if standing == Standing::Behind
            && let Some(run) = self.gone_back(node, creation)
        {
            verdict.standing = Standing::RolledBack;
            verdict.words = format!("run {}", run.run);
            verdict.since = Some(run.run.clone());
        }
        verdict
    }

    /// The rollback by which a node went back since the version that is meant, in this life of it.
    fn gone_back(&self, node: &NodeName, creation: u32) -> Option<&RecordedRun> {
        let meant = self.meant()?;
        let run = self.last.get(node)?;
        let is_back = run.goal == "old" && run.state == "old" && run.creation == Some(creation);
        (is_back && run.began >= meant.began()).then_some(run)
    }

    /// The last run behind the one that is meant which has left a module so.
    fn later(&self, module: &Module, md5: Option<Md5>) -> Option<usize> {
        let from = self.meant.map_or(0, |at| at + 1);
        let at = self.milestones[from..]
            .iter()
            .rposition(|one| one.made(module, md5))?;
        Some(from + at)
    }

    /// The first run, not behind the one that is meant, since which a module should not be so any more.
    fn earlier(&self, module: &Module, md5: Option<Md5>) -> Option<usize> {
        let until = self.meant.map_or(0, |at| at + 1);
        let all = &self.milestones[..until];
        if let Some(at) = all.iter().position(|one| one.replaced(module, md5)) {
            return Some(at);
        }
        // What a run has left that was rolled back, or is over: the next one that has changed the module since.
        let made = all.iter().rposition(|one| one.made(module, md5))?;
        let next = all[made + 1..]
            .iter()
            .position(|one| one.changed.contains_key(module));
        next.map(|next| made + 1 + next)
    }
}

/// The applications of modules, with the versions that a node has started them in.
pub fn apps(facts: &NodeFacts, modules: &BTreeSet<&Module>) -> BTreeMap<App, String> {
    let mut apps = BTreeMap::new();
    for module in modules {
        let app = facts.app_of(module);
        if let Some((app, running)) = app.and_then(|app| Some((app, facts.apps.get(app)?))) {
            apps.insert(app.clone(), running.vsn.clone());
        }
    }
    apps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::node::node_facts::LoadedModule;

    fn md5(number: u8) -> Option<Md5> {
        (number > 0).then(|| Md5::from([number; 16]))
    }

    fn run(name: &str, node: &str, state: &str, of: usize) -> RecordedRun {
        RecordedRun {
            run: name.to_owned(),
            rollout: None,
            node: NodeName::new(node),
            creation: Some(1),
            title: "Taxes".to_owned(),
            plan: "/plans/shop.updo".into(),
            owner: "anna@ops1".to_owned(),
            began: 1,
            state: state.to_owned(),
            goal: "new".to_owned(),
            note: None,
            keep: 0,
            part: crate::state::runs::RunPart {
                of: Some(of),
                ..Default::default()
            },
        }
    }

    /// A run that has changed modules from one version to another; 0: not loaded.
    fn milestone(runs: Vec<RecordedRun>, changed: &[(&str, u8, u8)]) -> Milestone {
        let mut all: BTreeMap<Module, BTreeSet<_>> = BTreeMap::new();
        for (module, old, new) in changed {
            let ways = all.entry(Module::new(*module)).or_default();
            ways.insert((md5(*old), md5(*new)));
        }
        Milestone { runs, changed: all }
    }

    fn facts(embedded: bool, loaded: &[(&str, u8)]) -> NodeFacts {
        let loaded = loaded.iter().map(|(module, number)| {
            let loaded = LoadedModule {
                md5: md5(*number).expect("loaded"),
                origin: CodeOrigin::File(format!("/srv/shop/ebin/{module}.beam")),
            };
            (Module::new(*module), loaded)
        });
        NodeFacts {
            otp: 25,
            embedded,
            loaded: loaded.collect(),
            otp_lib: "/usr/lib/erlang/lib".to_owned(),
            ..NodeFacts::default()
        }
    }

    /// Two runs through all nodes, and a third one on a canary; the second is meant.
    fn history() -> History {
        let mut canary = run("c", "a@h", "new", 3);
        canary.part.canary = true;
        let cart = ModuleVersion {
            md5: md5(3).expect("loaded"),
            app: None,
        };
        let till = ModuleVersion {
            md5: md5(2).expect("loaded"),
            app: None,
        };
        let history = History {
            milestones: vec![
                milestone(
                    vec![run("a", "a@h", "new", 1)],
                    &[("cart", 1, 2), ("till", 1, 2)],
                ),
                milestone(vec![run("b", "a@h", "new", 1)], &[("cart", 2, 3)]),
                milestone(vec![canary], &[("cart", 3, 4)]),
            ],
            meant: Some(1),
            versions: vec![CodeVersion {
                otp: 25,
                modules: [(Module::new("cart"), cart), (Module::new("till"), till)].into(),
            }],
            last: BTreeMap::new(),
        };
        assert!(!history.milestones[2].is_complete() && history.milestones[1].is_complete());
        history
    }

    fn judged(
        history: &History,
        embedded: bool,
        loaded: &[(&str, u8)],
    ) -> (Standing, String, usize) {
        let facts = facts(embedded, loaded);
        let verdict = history.judge(&NodeName::new("x@h"), 1, &facts);
        (verdict.standing, verdict.words, verdict.differs.len())
    }

    #[test]
    fn the_first_run_that_a_node_lacks_is_named() {
        let history = history();
        let is = |loaded: &[(&str, u8)]| judged(&history, false, loaded);
        let no = String::new;
        assert_eq!(is(&[("cart", 3), ("till", 2)]), (Standing::Same, no(), 0));
        assert_eq!(
            is(&[("cart", 2), ("till", 2)]),
            (Standing::Behind, "run b".to_owned(), 1)
        );
        assert_eq!(
            is(&[("cart", 1), ("till", 1)]),
            (Standing::Behind, "run a".to_owned(), 2)
        );
        assert_eq!(
            is(&[("cart", 9), ("till", 1)]),
            (Standing::Unknown, no(), 2)
        );
        let ahead = (Standing::Ahead, "run c, as a canary".to_owned(), 1);
        assert_eq!(is(&[("cart", 4), ("till", 2)]), ahead);
        // Nothing of it is loaded: its disk decides. In a release that is what its boot file lacks.
        assert_eq!(is(&[]), (Standing::Same, no(), 0));
        assert_eq!(judged(&history, true, &[("cart", 3)]).0, Standing::Unknown);
    }

    #[test]
    fn a_node_that_was_taken_back_is_left_in_this_life_of_it() {
        let mut history = history();
        let mut back = run("d", "x@h", "old", 1);
        back.goal = "old".to_owned();
        history.last.insert(NodeName::new("x@h"), back);
        let facts = facts(false, &[("cart", 2), ("till", 2)]);
        let is = |creation| {
            history
                .judge(&NodeName::new("x@h"), creation, &facts)
                .standing
        };
        assert_eq!((is(1), is(2)), (Standing::RolledBack, Standing::Behind));
    }

    #[test]
    fn through_is_what_all_nodes_have_been() {
        let through = |states: &[&str], of| {
            let runs = states.iter().map(|state| run("a", "a@h", state, of));
            milestone(runs.collect(), &[("cart", 1, 2)]).is_complete()
        };
        assert!(through(&["new", "new"], 2));
        assert!(
            through(&["new", "undone"], 2),
            "one of them went back later"
        );
        assert!(!through(&["new"], 2), "one was not begun");
        assert!(!through(&["new", "old"], 2), "one has failed");
        assert!(!through(&["undone", "undone"], 2), "all of them went back");
        assert!(!through(&["new", "running"], 2));
    }

    #[test]
    fn digests_are_compared_among_releases_that_count_alike() {
        assert!(same_digests(25, 27) && same_digests(23, 24) && same_digests(29, 30));
        assert!(!same_digests(24, 25) && !same_digests(27, 28) && !same_digests(28, 29));
        let history = history();
        let facts = NodeFacts {
            otp: 28,
            ..facts(false, &[("cart", 3)])
        };
        let verdict = history.judge(&NodeName::new("x@h"), 1, &facts);
        assert_eq!(verdict.standing, Standing::OtherOtp);
    }
}
