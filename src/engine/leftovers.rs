//! What is left on a node of runs whose processes are dead, judged by their records; and putting it right.
//!
//! Ours is a process with a key of a run in its dictionary, and a suspended one of a module of the last recorded run
//! when that did not end well. Any other suspended process is not ours: it is counted and left alone.

use std::collections::BTreeMap;

use crate::diag::{Code, Diagnostic, Result};
use crate::exec::attach::Begun;
use crate::exec::{NodeState, StepKind};
use crate::facts::node::convert_again::{self, Retried};
use crate::facts::node::leftovers::{self, Leftovers, Mending, Touched};
use crate::facts::node::node_facts;
use crate::name::{Md5, Module, NodeName};
use crate::node::agent::protocol::{Codec, ToConvert};
use crate::node::{Session, agent};
use crate::state::runs::{RecordedRun, RunRecords};
use crate::term::{Atom, Pid, Term};

/// Modules that are named one by one.
const NAMED: usize = 8;

/// The code of a module by its MD5, against a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadedCode {
    /// As before the run.
    Former,
    /// As the run would have it.
    New,
    /// Neither, or no record says.
    Other,
}

/// A recorded run.
#[derive(Debug)]
struct KnownRun {
    summary: RecordedRun,
    begun: Option<Begun>,
}

/// What is left of runs.
#[derive(Debug)]
pub struct Traces {
    node: NodeName,
    /// What was seen.
    pub seen: Leftovers,
    /// The last run on this node.
    last: Option<KnownRun>,
    /// The runs of which there are saved states.
    runs: BTreeMap<String, KnownRun>,
    loaded: BTreeMap<Module, Md5>,
    /// Processes that were to be converted, and were not, under the new code.
    pub unconverted: Vec<Touched>,
    /// Processes that a run could neither convert nor take back, by that run.
    left: Option<LeftStates>,
}

/// Processes with a state of the old code under the new one.
#[derive(Clone, Debug)]
struct LeftStates {
    summary: RecordedRun,
    these: Vec<ToConvert>,
    /// Those that were tried again in vain, and why.
    failed: Vec<Retried>,
}

impl LeftStates {
    /// Those of the last run that came to an end here, as far as they live and their module is what the run has loaded.
    fn of(session: &Session, records: &RunRecords) -> Result<Option<Self>> {
        let ended = |run: &RecordedRun| {
            run.node == *session.node() && (run.state == "mixed" || run.state == run.goal)
        };
        let last = records.all().into_iter().rfind(ended);
        let Some(summary) = last.filter(|run| run.state == "mixed") else {
            return Ok(None);
        };
        let kept = records.to_convert(&summary.run);
        let kept = kept.and_then(|term| Vec::<ToConvert>::decode(&term).ok());
        let Some(mut these) = kept.filter(|these| !these.is_empty()) else {
            return Ok(None);
        };
        let known = KnownRun::read(records, summary);
        let facts = node_facts::gather(session)?;
        these.retain(|one| {
            let module = Module::new(one.module.as_str());
            let now = facts.loaded.get(&module).map(|loaded| loaded.md5);
            known.code(&module, now) == LoadedCode::New
        });
        let pids: Vec<Pid> = these.iter().flat_map(|one| one.pids.clone()).collect();
        let alive = convert_again::alive(session, &pids)?;
        for one in &mut these {
            one.pids.retain(|pid| alive.contains(pid));
        }
        these.retain(|one| !one.pids.is_empty());
        let found = (!these.is_empty()).then_some(Self {
            summary: known.summary,
            these,
            failed: Vec::new(),
        });
        Ok(found)
    }

    /// Converts them, and writes into the record what is left; `None` when nothing is.
    fn convert(self, session: &Session, records: &RunRecords) -> Result<Option<Self>> {
        let mut failed = convert_again::convert(session, &self.these)?;
        failed.retain(|one| one.failed.is_some());
        let mut these = self.these;
        for one in &mut these {
            one.pids.retain(|pid| failed.iter().any(|f| f.pid == *pid));
        }
        these.retain(|one| !one.pids.is_empty());
        if let Ok(record) = records.resume(&self.summary) {
            let old: Vec<(Atom, Vec<Pid>)> = these
                .iter()
                .map(|one| (one.module.clone(), one.pids.clone()))
                .collect();
            record.old_states(Some(&old.encode()));
            record.to_convert(Some(&these.encode()));
            record.finish(if these.is_empty() { "new" } else { "mixed" });
        }
        Ok((!these.is_empty()).then_some(Self {
            summary: self.summary,
            these,
            failed,
        }))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .these
            .iter()
            .map(|one| {
                let number = one.pids.len();
                format!(
                    "with their old state, under the new code: {number} of {}",
                    one.module
                )
            })
            .collect();
        for one in self.failed.iter().take(NAMED) {
            let why = one.failed.as_deref().unwrap_or_default();
            lines.push(format!("{}: {why}", Term::Pid(one.pid.clone())));
        }
        lines
    }
}

impl KnownRun {
    fn read(records: &RunRecords, summary: RecordedRun) -> Self {
        let script = records.script(&summary.run);
        Self {
            begun: script.as_ref().and_then(Begun::read),
            summary,
        }
    }

    fn modules(&self) -> Vec<Module> {
        let begun = self.begun.iter().flat_map(|begun| &begun.modules);
        begun.map(|(module, _, _)| module.clone()).collect()
    }

    fn unfinished(&self) -> bool {
        matches!(self.summary.state.as_str(), "running" | "unknown" | "mixed")
    }

    fn code(&self, module: &Module, now: Option<Md5>) -> LoadedCode {
        let begun = self.begun.iter().flat_map(|begun| &begun.modules);
        let mut found = begun.filter(|(name, _, _)| name == module);
        match found.next() {
            Some((_, _, new)) if *new == now => LoadedCode::New,
            Some((_, old, _)) if *old == now => LoadedCode::Former,
            _ => LoadedCode::Other,
        }
    }

    fn converts(&self, module: &Module) -> bool {
        let steps = self.begun.iter().flat_map(|begun| &begun.steps);
        let mut converting = steps.filter(|step| step.kind == StepKind::Convert);
        converting.any(|step| step.modules.contains(module))
    }
}

/// Looks at a node; `None` while a run is at work there.
///
/// # Errors
/// E508 when the node does not answer.
pub fn inspect(session: &Session, records: &RunRecords) -> Result<Option<Traces>> {
    let present =
        agent::present(session).map_err(|error| error.diagnostic("reading the lock holder"))?;
    let kept = match present {
        Some(holder) if !holder.kept => return Ok(None),
        holder => holder.is_some(),
    };
    let node = session.node().clone();
    let last = records.all().into_iter().rfind(|run| run.node == node);
    let last = last.map(|summary| KnownRun::read(records, summary));
    let mine = last.as_ref().map(KnownRun::modules).unwrap_or_default();
    let mut seen = leftovers::inspect(session, &mine)?;
    if kept {
        // Its code goes with its result.
        seen.agents.clear();
        seen.watchdogs.clear();
    }
    let mut runs = BTreeMap::new();
    for run in seen.processes.iter().filter_map(|one| one.run.as_ref()) {
        if let Some(summary) = records.find(Some(run)) {
            let known = || KnownRun::read(records, summary);
            runs.entry(run.clone()).or_insert_with(known);
        }
    }
    let loaded = if seen.processes.is_empty() {
        BTreeMap::new()
    } else {
        let facts = node_facts::gather(session)?;
        let loaded = facts.loaded.into_iter();
        loaded.map(|(name, module)| (name, module.md5)).collect()
    };
    let mut traces = Traces {
        node,
        seen,
        last,
        runs,
        loaded,
        unconverted: Vec::new(),
        left: LeftStates::of(session, records)?,
    };
    let unconverted = traces.seen.processes.iter().filter(|one| {
        !one.saved && traces.is_mine(one) && {
            let module = one.module.as_ref();
            let last = traces.last.as_ref();
            module.zip(last).is_some_and(|(module, last)| {
                last.converts(module) && traces.code(one) == LoadedCode::New
            })
        }
    });
    traces.unconverted = unconverted.cloned().collect();
    Ok(Some(traces))
}

impl Traces {
    fn is_mine(&self, one: &Touched) -> bool {
        one.run.is_some()
            || one.suspended
                && self.last.as_ref().is_some_and(|last| {
                    let modules = last.modules();
                    let of_run = one.module.as_ref().is_some_and(|m| modules.contains(m));
                    last.unfinished() && (of_run || self.seen.parents.contains(&one.pid))
                })
    }

    fn known(&self, one: &Touched) -> Option<&KnownRun> {
        match &one.run {
            Some(run) => self.runs.get(run),
            None => self.last.as_ref(),
        }
    }

    /// The code that a process runs.
    fn code(&self, one: &Touched) -> LoadedCode {
        match (self.known(one), &one.module) {
            (Some(known), Some(module)) => known.code(module, self.loaded.get(module).copied()),
            _ => LoadedCode::Other,
        }
    }

    fn mine(&self) -> impl Iterator<Item = &Touched> {
        self.seen.processes.iter().filter(|one| self.is_mine(one))
    }

    /// Whether nothing of a run is left.
    pub fn is_clean(&self) -> bool {
        self.mine().next().is_none()
            && self.seen.agents.is_empty()
            && self.seen.shims.is_empty()
            && self.seen.breakpoints.is_empty()
            && self.left.is_none()
    }

    /// Whether all that is left are states of the old code.
    pub fn is_only_states(&self) -> bool {
        self.left.is_some()
            && self.mine().next().is_none()
            && self.seen.agents.is_empty()
            && self.seen.shims.is_empty()
            && self.seen.breakpoints.is_empty()
    }

    /// What there is, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let some = |these: Vec<&Touched>| (!these.is_empty()).then(|| by_module(&these));
        if let Some(listed) = some(self.mine().filter(|one| one.suspended).collect()) {
            lines.push(format!("suspended: {listed}"));
        }
        if let Some(listed) = some(self.mine().filter(|one| one.saved).collect()) {
            lines.push(format!("with the state before their conversion: {listed}"));
        }
        if let Some(listed) = some(self.unconverted.iter().collect()) {
            lines.push(format!("not converted, under the new code: {listed}"));
        }
        let own = |one: &&Touched| one.run.is_some() || !self.seen.parents.contains(&one.pid);
        let mut modules: Vec<&Touched> = self.mine().filter(own).collect();
        modules.sort_by(|a, b| a.module.cmp(&b.module));
        modules.dedup_by(|a, b| a.module == b.module);
        for one in modules.iter().take(NAMED) {
            let Some(module) = &one.module else { continue };
            lines.push(match self.code(one) {
                LoadedCode::Former => format!("{module} has its former code"),
                LoadedCode::New => format!("{module} has its new code"),
                LoadedCode::Other => format!("{module} has code that no record here knows"),
            });
        }
        if modules.len() > NAMED {
            lines.push(format!("and {} more modules", modules.len() - NAMED));
        }
        lines.extend(self.left.iter().flat_map(LeftStates::lines));
        for agent in &self.seen.agents {
            lines.push(format!("{agent}: the code of the run's own processes"));
        }
        for module in &self.seen.shims {
            lines.push(format!(
                "{module} is loaded as the shim of a live window that was not ended: its processes go on; left alone"
            ));
        }
        for module in &self.seen.breakpoints {
            lines.push(format!("breakpoints in {module}"));
        }
        let others = self.seen.processes.iter();
        if let Some(listed) = some(others.filter(|one| !self.is_mine(one)).collect()) {
            lines.push(format!(
                "suspended, by no run that is recorded here, and left alone: {listed}"
            ));
        }
        lines
    }

    /// E623, when something is left.
    pub fn diagnostic(&self) -> Option<Diagnostic> {
        if self.is_clean() {
            return None;
        }
        let title = format!("a run has left something on {}", self.node);
        let mut diagnostic = Diagnostic::new(Code::E623, title);
        diagnostic.notes = self.lines();
        Some(diagnostic.help(format!("updo mend {}", self.node)))
    }

    /// What would put it right. Saved states of runs without a record stay as they are.
    pub fn mending(&self) -> Mending {
        let saved = |code| {
            let with = self.mine().filter(move |one| one.run.is_some());
            let with = with.filter(|one| self.code(one) == code);
            with.map(|one| one.pid.clone()).collect()
        };
        Mending {
            restore: saved(LoadedCode::Former),
            forget: saved(LoadedCode::New),
            resume: self
                .mine()
                .filter(|one| one.suspended)
                .map(|one| one.pid.clone())
                .collect(),
            agents: self.seen.agents.clone(),
            breakpoints: self.seen.breakpoints.clone(),
        }
    }

    /// Puts it right, looks again, and says in the record of the last run what the node is now.
    ///
    /// # Errors
    /// E508 when the node does not answer; E505 when a run has begun meanwhile.
    pub fn mend(&self, session: &Session, records: &RunRecords) -> Result<Traces> {
        leftovers::mend(session, &self.mending())?;
        let left = match self.left.clone() {
            Some(left) => left.convert(session, records)?,
            None => None,
        };
        let mut after = inspect(session, records)?
            .ok_or_else(|| agent::locked(session, "a run has begun meanwhile".to_owned()))?;
        // Why it was in vain is known only now.
        after.left = left;
        // It is resumed and looks like any other; its state is still that of the former code.
        after.unconverted.clone_from(&self.unconverted);
        if let Some(last) = &self.last
            && last.unfinished()
            && self.left.is_none()
            && let Some(begun) = &last.begun
            && let Ok(record) = records.resume(&last.summary)
        {
            let goal = if last.summary.goal == "old" {
                NodeState::Old
            } else {
                NodeState::New
            };
            let facts = node_facts::gather(session)?;
            let now = |module: &_| facts.loaded.get(module).map(|loaded| loaded.md5);
            let state = match begun.judge(goal, &now) {
                _ if !self.unconverted.is_empty() => NodeState::Mixed,
                state => state,
            };
            if !self.unconverted.is_empty() {
                record.old_states(Some(&by_process(&self.unconverted)));
            }
            record.finish(&state.to_string());
        }
        Ok(after)
    }

    /// The run that a rollback can bring back although it has left states of the old version.
    pub fn undoable(&self, records: &RunRecords) -> Option<&str> {
        let last = &self.last.as_ref()?.summary;
        let known = records.find(Some(&last.run))?;
        let back = records.is_undoable(&known) && records.rollback_term(&last.run).is_some();
        back.then_some(&*last.run)
    }
}

/// `[{Module, [Pid]}]`, as the agent takes it.
fn by_process(these: &[Touched]) -> Term {
    let mut pids: BTreeMap<&Module, Vec<Term>> = BTreeMap::new();
    for one in these {
        if let Some(module) = &one.module {
            let of_module = pids.entry(module).or_default();
            of_module.push(Term::Pid(one.pid.clone()));
        }
    }
    let each = pids.into_iter();
    Term::list(
        each.map(|(module, pids)| Term::tuple([Term::atom(module.as_str()), Term::list(pids)])),
    )
}

/// `3 of bank_account, 1 of bank_rate`.
fn by_module(these: &[&Touched]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for one in these {
        let name = one
            .module
            .as_ref()
            .map_or("no known module", Module::as_str);
        *counts.entry(name).or_default() += 1;
    }
    let more = counts.len().saturating_sub(NAMED);
    let shown = counts.iter().take(NAMED);
    let mut shown: Vec<String> = shown.map(|(name, n)| format!("{n} of {name}")).collect();
    if more > 0 {
        shown.push(format!("and {more} more modules"));
    }
    shown.join(", ")
}
