//! A step of a run as a value: what the agent does at once, and what that is to the screen.
//!
//! [`Action`] has a variant for each step of `src/node/agent/PROTOCOL.md`; [`super::step_term`] is the only place that knows its
//! term.

use std::time::Duration;

use super::barrier::Barrier;
use super::event::StepKind;
use super::trial::{Limits, Trial};
use crate::facts::change::EnvChange;
use crate::name::{App, Module};
use crate::rules::{Change, StateForm, Timeout};
use crate::script::instruction::{Call, Direction, Instruction};
use crate::script::lower::Library;
use crate::term::{Atom, Term};

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its number, from 1.
    pub id: u32,
    /// What it is to the screen.
    pub kind: StepKind,
    /// The modules concerned, in the order in which they are shown.
    pub modules: Vec<Module>,
    /// What the agent does.
    pub(super) action: Action,
}

/// What the agent does in one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Processes are suspended, in ranks, callers first.
    Suspend(Vec<Vec<(Module, Timeout)>>),
    /// New code of all modules becomes current at one instant.
    Load(Vec<Module>),
    /// Modules are deleted at one instant.
    Delete(Vec<Module>),
    /// States are converted.
    CodeChange {
        /// Towards the newer version or the older one.
        direction: Direction,
        /// The modules with their conversions.
        modules: Vec<(Module, Change)>,
    },
    /// States are computed by twins while all processes are suspended and nothing is switched.
    Precompute(Vec<(Module, StateForm, Term)>),
    /// All modules become current at one instant with no process suspended.
    Live {
        /// Those whose processes convert their states, each when it first comes by a callback.
        convert: Vec<Module>,
        /// All of them.
        modules: Vec<Module>,
    },
    /// The window ends: all processes go on.
    Resume(Vec<Module>),
    /// Those of these modules go on, ahead of the others.
    Ahead(Vec<Module>),
    /// A function is called.
    Apply(Call),
    /// Children of supervisors are stopped and started, in order.
    Children(Vec<ChildStep>),
    /// Keys of applications are set, replaced or taken away.
    Env(Vec<(App, EnvChange)>),
    /// The code path leads to other folders.
    Paths(Vec<PathMove>),
    /// Applications are notified that their configuration has changed.
    ConfigChange(Vec<ConfigChange>),
    /// What was suspended is watched for so long.
    Soak(Duration),
    /// The node waits for a hook of the plan.
    Hook {
        /// For how long.
        timeout: Duration,
        /// Its number among the plan's hooks.
        number: usize,
        /// Its place, in the plan's words.
        name: String,
    },
    /// The node waits for others with which it switches at one instant.
    Barrier(Barrier),
    /// OTP's release handler carries out all of a script.
    ReleaseHandler {
        /// The script, as a relup has it.
        script: Vec<Instruction>,
        /// From where it reads object code.
        libraries: Vec<Library>,
    },
    /// Twins of the new versions of these modules are loaded.
    TwinsLoad(Vec<Module>),
    /// They are taken away.
    TwinsDrop(Vec<Module>),
    /// A conversion is tried by a twin on copies of the states of all processes, within limits of its own.
    Rehearse(Trial, Limits),
}

/// What is done with children of the supervisors of one module.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildStep {
    /// The supervisors' module; for what an application lists, the application's.
    pub supervisor: Module,
    /// What is done.
    pub action: ChildAction,
}

/// What is done with a child, or with all that was inferred.
#[derive(Clone, Debug, PartialEq)]
pub enum ChildAction {
    /// A child is started, by its identifier.
    Start(Term),
    /// Terminated and deleted.
    Stop(Term),
    /// Terminated.
    Halt(Term),
    /// Deleted.
    Forget(Term),
    /// Terminated where the upgrade that is left has added it; in records of earlier versions.
    Added(Term),
    /// The children that a conversion has changed, on the way there.
    Renewed(RenewedChildren),
    /// What was added is terminated, on the way back.
    Revoked(KnownChildren),
    /// What was stopped is started again, on the way back.
    Reinstated(KnownChildren),
    /// The children that an application lists, on the way there.
    Listed(ListedChildren),
    /// What was started of them is stopped, on the way back.
    Unlisted(ListedChildren),
    /// What was stopped of them is started, on the way back.
    Relisted(ListedChildren),
}

/// What each supervisor does by what it knows of its own conversion.
#[derive(Clone, Debug, PartialEq)]
pub struct RenewedChildren {
    /// Whether all that it has added are started.
    pub start: bool,
    /// Which of those that went are stopped; `None`: none, whatever went.
    pub stop: Option<Vec<Term>>,
    /// Which of those that are another server's now are started anew.
    pub restart: Option<Vec<Term>>,
    /// Whether what runs on without a specification is reported.
    pub tell: bool,
}

/// What is known of the children, for a supervisor that has kept nothing: identifiers.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownChildren {
    /// Those that are new.
    pub start: Vec<Term>,
    /// Those that went.
    pub stop: Vec<Term>,
    /// Those that are another server's.
    pub restart: Vec<Term>,
}

/// What is known of the children that an application lists.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedChildren {
    /// Names of their supervisor.
    pub names: Vec<Term>,
    /// Those that are new.
    pub start: Vec<ListEntry>,
    /// Those that went.
    pub stop: Vec<ListEntry>,
    /// The whole list.
    pub order: Vec<ListEntry>,
    /// Whether it is an error when their supervisor is not found.
    pub strict: bool,
}

/// One entry of such a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListEntry {
    /// Whether only `child_spec/1` knows the identifier.
    pub like: bool,
    /// The identifier, as far as it is known.
    pub id: Term,
    /// What the list has.
    pub item: Option<Term>,
}

/// An application whose code path is switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathMove {
    /// The name by which `code:replace_path/2` knows it.
    pub name: String,
    /// The folder that it has.
    pub was: String,
    /// The folder that it gets.
    pub folder: String,
}

/// What the callback module of an application is notified of.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigChange {
    /// The module.
    pub callback: Module,
    /// Keys with other values.
    pub changed: Vec<(Atom, Term)>,
    /// Keys that are new.
    pub added: Vec<(Atom, Term)>,
    /// Keys that are gone.
    pub removed: Vec<Atom>,
}

impl Action {
    /// What it is to the screen.
    pub fn kind(&self) -> StepKind {
        match self {
            Self::Suspend(_) => StepKind::Suspend,
            Self::Load(_) => StepKind::Load,
            Self::Delete(_) => StepKind::Delete,
            Self::CodeChange { .. } => StepKind::Convert,
            Self::Precompute(_) => StepKind::Compute,
            Self::Live { .. } => StepKind::Live,
            Self::Resume(_) | Self::Ahead(_) => StepKind::Resume,
            Self::Apply(_) => StepKind::Apply,
            Self::Children(_) => StepKind::Children,
            Self::Env(_) => StepKind::Env,
            Self::Paths(_) => StepKind::Paths,
            Self::ConfigChange(_) => StepKind::Config,
            Self::Soak(_) => StepKind::Soak,
            Self::Hook { .. } => StepKind::Hook,
            Self::Barrier(_) => StepKind::Together,
            Self::ReleaseHandler { .. } => StepKind::ReleaseHandler,
            Self::TwinsLoad(_) => StepKind::Load,
            Self::TwinsDrop(_) => StepKind::Delete,
            Self::Rehearse(..) => StepKind::Convert,
        }
    }

    /// The modules concerned, each once.
    pub fn modules(&self) -> Vec<Module> {
        match self {
            Self::Suspend(ranks) => ranks.iter().flatten().map(|(m, _)| m.clone()).collect(),
            Self::Load(modules)
            | Self::Delete(modules)
            | Self::Live { modules, .. }
            | Self::Resume(modules)
            | Self::Ahead(modules)
            | Self::TwinsLoad(modules)
            | Self::TwinsDrop(modules) => modules.clone(),
            Self::Rehearse(trial, _) => vec![trial.module.clone()],
            Self::CodeChange { modules, .. } => modules.iter().map(|(m, _)| m.clone()).collect(),
            Self::Precompute(modules) => modules.iter().map(|(m, _, _)| m.clone()).collect(),
            Self::Children(all) => {
                let mut supervisors: Vec<Module> = Vec::new();
                for ChildStep { supervisor, .. } in all {
                    if !supervisors.contains(supervisor) {
                        supervisors.push(supervisor.clone());
                    }
                }
                supervisors
            }
            Self::Apply(_)
            | Self::Env(_)
            | Self::Paths(_)
            | Self::ConfigChange(_)
            | Self::Soak(_)
            | Self::Hook { .. }
            | Self::Barrier(_)
            | Self::ReleaseHandler { .. } => Vec::new(),
        }
    }

    /// The same about fewer modules. What is not about modules stays.
    fn retain(&mut self, keep: &dyn Fn(&Module) -> bool) {
        match self {
            Self::Suspend(ranks) => {
                for rank in ranks.iter_mut() {
                    rank.retain(|(module, _)| keep(module));
                }
                ranks.retain(|rank| !rank.is_empty());
            }
            Self::Load(modules)
            | Self::Delete(modules)
            | Self::Resume(modules)
            | Self::Ahead(modules) => modules.retain(keep),
            Self::Live { convert, modules } => {
                convert.retain(keep);
                modules.retain(keep);
            }
            Self::CodeChange { modules, .. } => modules.retain(|(module, _)| keep(module)),
            Self::Precompute(modules) => modules.retain(|(module, _, _)| keep(module)),
            // No rollback has twins.
            Self::TwinsLoad(_) | Self::TwinsDrop(_) | Self::Rehearse(..) => {}
            Self::Apply(_)
            | Self::Children(_)
            | Self::Env(_)
            | Self::Paths(_)
            | Self::ConfigChange(_)
            | Self::Soak(_)
            | Self::Hook { .. }
            | Self::Barrier(_)
            | Self::ReleaseHandler { .. } => {}
        }
    }

    /// For a step about applications: their names, or what is called.
    fn applications(&self) -> Option<Vec<String>> {
        let name = |text: &str| Term::atom(text).to_string();
        let mut names: Vec<String> = match self {
            Self::Env(keys) => keys.iter().map(|(app, _)| name(app.as_str())).collect(),
            Self::Paths(paths) => paths.iter().map(|path| name(&path.name)).collect(),
            Self::ConfigChange(all) => {
                let call =
                    |one: &ConfigChange| format!("{}:config_change/3", name(one.callback.as_str()));
                all.iter().map(call).collect()
            }
            _ => return None,
        };
        let mut known = std::collections::BTreeSet::new();
        names.retain(|name| known.insert(name.clone()));
        Some(names)
    }
}

impl Step {
    /// A step about the modules that its action names.
    pub(super) fn new(id: usize, action: Action) -> Self {
        Self::about(id, action.modules(), action)
    }

    /// A step about these modules.
    pub(super) fn about(id: usize, modules: Vec<Module>, action: Action) -> Self {
        Self {
            id: u32::try_from(id).unwrap_or(u32::MAX),
            kind: action.kind(),
            modules,
            action,
        }
    }

    /// For a hook: its number among the plan's hooks, and its place in the plan's words.
    pub fn hook(&self) -> Option<(usize, &str)> {
        match &self.action {
            Action::Hook { number, name, .. } => Some((*number, name.as_str())),
            _ => None,
        }
    }

    /// For a barrier: which one.
    pub fn barrier(&self) -> Option<&Barrier> {
        match &self.action {
            Action::Barrier(barrier) => Some(barrier),
            _ => None,
        }
    }

    /// The same about fewer modules; whether anything of it is left.
    pub(super) fn retain(&mut self, keep: &dyn Fn(&Module) -> bool) -> bool {
        let had = !self.modules.is_empty();
        self.modules.retain(keep);
        self.action.retain(keep);
        !(had && self.modules.is_empty())
    }

    /// What it is about, in words. Of modules all, or the first few and how many more.
    pub fn what(&self) -> String {
        const SHOWN: usize = 4;
        match &self.action {
            Action::Hook { name, .. } => return name.clone(),
            Action::Barrier(barrier) => return barrier.words(),
            Action::Apply(call) => {
                let (module, function) = (&call.module, &call.function);
                let [module, function] = [module, function].map(|name| Term::Atom(name.clone()));
                return format!("{module}:{function}/{}", call.arity());
            }
            Action::Soak(time) => {
                return format!("watched for {}", humantime::format_duration(*time));
            }
            _ => {}
        }
        if let Some(names) = self.action.applications() {
            return names.join(", ");
        }
        let names = self.modules.iter().take(SHOWN);
        let names: Vec<String> = names.map(ToString::to_string).collect();
        match self.modules.len().saturating_sub(SHOWN) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// Numbers steps one after the other, from `first`.
pub(super) fn number<'a>(steps: impl IntoIterator<Item = &'a mut Step>, first: usize) {
    for (at, step) in steps.into_iter().enumerate() {
        step.id = u32::try_from(first + at).unwrap_or(u32::MAX);
    }
}
