//! What of an upgrade can fail behind the switch while there is no copy of the running version to go back to.
//!
//! Takes the steps of a run and what was decided, asks no node. What can only fail before the switch changes nothing,
//! and is no part of it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::step::{Action, Step};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::plan::{Plan, RollbackPolicy, RollbackTrigger, SOAK, When};
use crate::rules::{Change, Class, Ruleset};

/// How many modules or risks are named one by one.
const NAMED: usize = 5;

/// Something that can fail behind the switch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// A conversion that is not computed before the switch.
    Conversion(Module),
    /// The conversion of a supervisor: its new `init/1`.
    Init(Module),
    /// A function that the VM runs while it loads a module.
    OnLoad(Module),
    /// Children of a supervisor that are started or stopped.
    Children(Module),
    /// A call of the script.
    Call(String),
    /// A hook at a step, by its place.
    Hook(String),
    /// An application that is notified of its configuration.
    Configuration(Module),
    /// Further windows, when the first one is new already.
    Windows,
    /// A check of the plan.
    Verify(String),
    /// A hook `after upgrade`, or one `after rollout`.
    After(&'static str),
    /// Processes that end while they are watched.
    Soak(Duration),
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conversion(module) => write!(f, "the conversion of `{module}`"),
            Self::Init(module) => write!(f, "the new `init/1` of `{module}`"),
            Self::OnLoad(module) => write!(f, "`on_load` of `{module}`"),
            Self::Children(module) => write!(f, "a change of the children of `{module}`"),
            Self::Call(call) => write!(f, "the call `{call}`"),
            Self::Hook(place) => write!(f, "the hook `{place}`"),
            Self::Configuration(module) => write!(f, "`{module}:config_change/3`"),
            Self::Windows => f.write_str("a window after the first"),
            Self::Verify(name) => write!(f, "`{name}`"),
            Self::After(words) => write!(f, "a hook `{words}`"),
            Self::Soak(time) => write!(f, "the soak of {}", humantime::format_duration(*time)),
        }
    }
}

/// An upgrade that could not be undone everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoUndo {
    /// The modules of whose running version there is no copy.
    pub missing: BTreeSet<Module>,
    /// What can fail before all processes run again: some processes would keep their old state.
    pub within: Vec<Risk>,
    /// What can fail when every process is converted and runs: all is new then, and stays new.
    pub behind: Vec<Risk>,
}

impl NoUndo {
    /// What of these steps can fail behind the switch; `None` where there is a copy of everything, where nothing can
    /// fail, and where the plan says that failures are not undone. `checks` are those that will be asked.
    pub fn of(
        plan: &Plan,
        changes: &ChangeSet,
        rules: &Ruleset,
        steps: &[Step],
        checks: bool,
    ) -> Option<Self> {
        let one_way = |module: &&Module| {
            let changed = changes.modules.get(*module);
            changed.is_some_and(|changed| changed.loaded.is_some() && changed.old.is_none())
        };
        let missing: BTreeSet<Module> = rules.modules.keys().filter(one_way).cloned().collect();
        if missing.is_empty() || plan.rollback == RollbackPolicy::Never {
            return None;
        }
        let (mut within, mut behind) = of_steps(changes, rules, steps);
        // A supervisor's conversion changes its children.
        let converted: BTreeSet<Risk> = within.iter().cloned().collect();
        let said = |risk: &Risk| match risk {
            Risk::Children(module) => converted.contains(&Risk::Init(module.clone())),
            _ => false,
        };
        within.retain(|risk| !said(risk));
        behind.retain(|risk| !said(risk));
        behind.splice(0..0, of_plan(plan, checks));
        // Processes that end meanwhile count as a failed `verify`. The usual soak is part of every run, and no risk that
        // this one takes.
        let soaks = is_undone(plan, RollbackTrigger::Verify) && plan.soak != SOAK;
        behind.retain(|risk| soaks || !matches!(risk, Risk::Soak(_)));
        let can_fail = !within.is_empty() || !behind.is_empty();
        can_fail.then_some(Self {
            missing,
            within,
            behind,
        })
    }

    /// Several nodes as one; `None` where each of them can be undone.
    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut merged: Option<Self> = None;
        for one in all {
            let whole = merged.get_or_insert_with(Self::default);
            whole.missing.extend(one.missing.iter().cloned());
            for (from, to) in [
                (&one.within, &mut whole.within),
                (&one.behind, &mut whole.behind),
            ] {
                to.extend(from.iter().cloned());
                let mut seen = BTreeSet::new();
                to.retain(|risk| seen.insert(risk.clone()));
            }
        }
        merged
    }

    /// The modules, at most five by name.
    fn modules(&self) -> String {
        let names: Vec<String> = self.missing.iter().map(|m| format!("`{m}`")).collect();
        let more = if names.len() > NAMED { ", …" } else { "" };
        let named: Vec<String> = names.into_iter().take(NAMED).collect();
        format!("{}{more}", named.join(", "))
    }

    /// What can fail, for `if … fails`.
    fn risks(&self) -> String {
        let all: Vec<String> = self
            .within
            .iter()
            .chain(&self.behind)
            .map(ToString::to_string)
            .collect();
        match all.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            many if many.len() > NAMED => {
                let more = many.len() - NAMED;
                format!("{} or one of {more} more", many[..NAMED].join(", "))
            }
            [others @ .., last] => format!("{} or {last}", others.join(", ")),
        }
    }

    /// What is at stake, in one sentence without an end.
    pub fn words(&self) -> String {
        format!(
            "no copy of the running version of {}: if {} fails, the new code stays",
            self.modules(),
            self.risks()
        )
    }

    /// Whether a run must not begin without an answer: when something fails, processes would be left that are only half
    /// new. What fails later than that leaves everything new, as with `rollback manual`.
    pub fn wants_answer(&self) -> bool {
        !self.within.is_empty()
    }

    /// W317: what a preview says.
    pub fn warning(&self) -> Diagnostic {
        let mut diagnostic = Diagnostic::new(Code::W317, self.words())
            .note("none is in updo's store, on the node's disk or in `old from`")
            .note("what fails before the switch changes nothing");
        if self.wants_answer() {
            diagnostic = diagnostic
                .note("`updo run` asks about it; without a terminal, or with `--yes`, it needs `--no-undo` (E317)");
        }
        diagnostic.help(HELP)
    }

    /// E317: without a terminal there is no one to ask.
    pub fn refusal(&self) -> Diagnostic {
        Diagnostic::new(Code::E317, self.words())
            .note("nothing was changed: without a terminal, or with `--yes`, the question cannot be asked")
            .help(format!("go on without an undo: updo run … --no-undo\n{HELP}"))
    }
}

const HELP: &str = "say where the old beams are: `old from \"PATH/ebin\".`\n\
     or, the next time, let updo keep copies before the files are replaced: updo status PLAN --save\n\
     or do without an undo: `rollback never.`";

/// What can fail in the steps behind the first switch: until the last resume, and after it.
fn of_steps(changes: &ChangeSet, rules: &Ruleset, steps: &[Step]) -> (Vec<Risk>, Vec<Risk>) {
    let (mut within, mut behind) = (Vec::new(), Vec::new());
    let switch = |step: &Step| matches!(step.action, Action::Load(_) | Action::Delete(_));
    let Some(first) = steps.iter().position(switch) else {
        return (within, behind);
    };
    let resume = |step: &Step| matches!(step.action, Action::Resume(_));
    let last = steps.iter().rposition(resume).unwrap_or(0);
    for (at, step) in steps.iter().enumerate().skip(first) {
        let into = if at < last { &mut within } else { &mut behind };
        for risk in of_step(changes, rules, step) {
            if !into.contains(&risk) {
                into.push(risk);
            }
        }
    }
    (within, behind)
}

fn of_step(changes: &ChangeSet, rules: &Ruleset, step: &Step) -> Vec<Risk> {
    let on_load = |module: &&Module| {
        let new = changes.modules.get(*module).and_then(|c| c.new.as_ref());
        new.is_some_and(|new| new.facts.code.on_load.is_some())
    };
    match &step.action {
        Action::Load(modules) => {
            let modules = modules.iter().filter(on_load);
            modules.cloned().map(Risk::OnLoad).collect()
        }
        Action::CodeChange { modules, .. } => {
            let behind = modules.iter().filter(|(module, change)| {
                *change != Change::Soft && !rules.precomputed.modules.contains_key(module)
            });
            let class = |module: &Module| rules.modules.get(module).map(|rules| rules.class.value);
            let risk = |module: &Module| match class(module) {
                Some(Class::Supervisor) => Risk::Init(module.clone()),
                _ => Risk::Conversion(module.clone()),
            };
            behind.map(|(module, _)| risk(module)).collect()
        }
        Action::Children(children) => children
            .iter()
            .map(|child| Risk::Children(child.supervisor.clone()))
            .collect(),
        Action::Apply(call) => {
            let arity = call.args.as_list().map_or(0, <[_]>::len);
            vec![Risk::Call(format!(
                "{}:{}/{arity}",
                call.module.as_str(),
                call.function.as_str()
            ))]
        }
        Action::Hook { name, .. } => vec![Risk::Hook(name.clone())],
        Action::ConfigChange(changes) => changes
            .iter()
            .map(|change| Risk::Configuration(change.callback.clone()))
            .collect(),
        Action::Suspend(_) => vec![Risk::Windows],
        Action::Soak(time) => vec![Risk::Soak(*time)],
        // These cannot fail behind a switch, or are of OTP's engine, which undoes nothing in any case (W419).
        Action::Delete(_)
        | Action::Barrier(_)
        | Action::Precompute(_)
        | Action::Live { .. }
        | Action::Resume(_)
        | Action::Ahead(_)
        | Action::Env(_)
        | Action::Paths(_)
        | Action::ReleaseHandler { .. }
        | Action::TwinsLoad(_)
        | Action::TwinsDrop(_)
        | Action::Rehearse(..) => Vec::new(),
    }
}

/// Whether the plan wants a node that is new to go back after such a failure.
fn is_undone(plan: &Plan, trigger: RollbackTrigger) -> bool {
    plan.rollback == RollbackPolicy::Automatic && plan.rollback_on.contains(&trigger)
}

/// What the plan asks when the node is new, as far as a failure would be undone if it could be.
fn of_plan(plan: &Plan, checks: bool) -> Vec<Risk> {
    let undone = |trigger| is_undone(plan, trigger);
    let mut risks = Vec::new();
    let verifies = plan.verifies.iter().filter(|_| checks);
    for check in verifies {
        let trigger = match check.rollout {
            true => RollbackTrigger::Rollout,
            false => RollbackTrigger::Verify,
        };
        if undone(trigger) {
            risks.push(Risk::Verify(check.name.clone()));
        }
    }
    if undone(RollbackTrigger::Rollout) {
        let holds = plan.holds.iter().filter(|_| checks);
        risks.extend(holds.map(|hold| Risk::Verify(hold.name.clone())));
        let gates = plan.gates.iter();
        risks.extend(gates.map(|gate| Risk::Verify(gate.name.clone())));
    }
    for (when, trigger) in [
        (When::After, RollbackTrigger::After),
        (When::AfterRollout, RollbackTrigger::Rollout),
    ] {
        if undone(trigger) && plan.hooks.iter().any(|hook| hook.when == when) {
            risks.push(Risk::After(when.words()));
        }
    }
    risks
}
