//! Rules: what was inferred, what the plan says, and both merged.
//!
//! [`infer`] judges facts, [`plan_rules`] is what the plan's statements amount to on this node, [`merge`] puts
//! the second over the first. Every value keeps its [`Origin`], so that each line of the script can say
//! where it comes from.

pub mod app_children;
mod attribution;
pub mod behaviour_restarts;
pub mod children;
pub mod children_found;
pub mod configuration;
pub mod conversions;
pub mod crossing;
mod cycles;
mod disturbed;
pub mod effects;
pub mod infer;
mod init_argument;
pub mod lints;
pub mod merge;
pub mod node_view;
mod old_code;
pub mod own_windows;
pub mod plan_rules;
pub mod removal;
mod removed_functions;
pub mod resolve;
pub mod shared_records;
pub mod states;
pub mod toolchain;
mod unresolved;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::facts::change::{EnvChange, PathSwitch};
use crate::facts::node::processes::ChildId;
pub use app_children::Listing;
pub use children::{Children, Renewal};

use crate::diag::Span;
use crate::graph::Graph;
use crate::graph::order::Component;
use crate::name::{App, Module};
use crate::plan::AppliedCheck;
use crate::term::{Atom, BigInt, Term};
use crate::twin::{Converters, Entry};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// Found in the facts; the text says how.
    Inferred(String),
    /// A statement of the plan.
    Plan {
        /// The statement.
        span: Span,
        /// Its reason.
        because: Option<String>,
    },
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct WithOrigin<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> WithOrigin<T> {
    /// The built-in value.
    pub fn default(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }

    /// A value found in the facts.
    pub fn inferred(value: T, how: impl Into<String>) -> Self {
        Self {
            value,
            origin: Origin::Inferred(how.into()),
        }
    }
}

/// What a module is to an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Its processes are supervisors: suspended, and their specifications renewed.
    Supervisor,
    /// Its processes keep a state: suspended, and converted if the module can.
    Server,
    /// No processes of its own: loaded.
    Library,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supervisor => "supervisor",
            Self::Server => "server",
            Self::Library => "plain",
        })
    }
}

/// Which code runs the conversion on the way down (OTP's module type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleType {
    /// The old code converts back, after it was loaded.
    Static,
    /// The new code converts back, before the old one is loaded.
    Dynamic,
}

/// What happens to the states of a module's processes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing: suspend, switch, resume.
    Soft,
    /// `code_change` with this `Extra`.
    Advanced(Term),
    /// The state is mapped by a function of another module.
    Convert {
        /// Module.
        module: Module,
        /// Function of one argument.
        function: Atom,
    },
}

/// How long to wait for a process to suspend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// OTP's five seconds.
    Default,
    /// This long.
    After(Duration),
    /// For ever (the deadline of the run still holds).
    Infinity,
    /// More milliseconds than a [`Duration`] takes: OTP reads any number, plans have none like that.
    Beyond(BigInt),
}

/// What happens to processes that still run old code when it must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// They go on. After a switch the old code stays until the next upgrade of the module, and its funs with it.
    Defer,
    /// They go on. After a switch old code that is not executed is purged at once, unless funs of it are kept.
    Soft,
    /// They are killed.
    Brutal,
    /// They get this long to leave.
    Wait(Duration),
}

/// All that is decided about one module.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleRules {
    /// Its class.
    pub class: WithOrigin<Class>,
    /// Its type.
    pub kind: WithOrigin<ModuleType>,
    /// Its conversion.
    pub change: WithOrigin<Change>,
    /// Its patience.
    pub timeout: WithOrigin<Timeout>,
    /// Before the switch: what of still older code.
    pub pre_purge: WithOrigin<Purge>,
    /// After the switch: what of the code just replaced.
    pub post_purge: WithOrigin<Purge>,
    /// For a supervisor: which children the plan starts and stops.
    pub children: WithOrigin<Children>,
    /// For a supervisor: how its children differ between the versions.
    pub renewal: Renewal,
    /// For the module of an application: how the children differ that it lists for its supervisor.
    pub listing: Option<Listing>,
    /// Whether its processes are restarted with the switch, because its behaviour changes.
    pub restart: WithOrigin<bool>,
    /// Whether a rehearsal tries its conversion: `true` although it acts, `false` not; nothing: what it does decides.
    pub rehearse: WithOrigin<Option<bool>>,
}

/// A `cycle` statement as far as it concerns this upgrade.
#[derive(Clone, Debug, PartialEq)]
pub struct Cycle {
    /// The members, by name.
    pub members: Vec<Module>,
    /// Whether the plan declares it.
    pub declared: Option<Origin>,
}

/// The keys of an application's `env` that change.
#[derive(Clone, Debug, PartialEq)]
pub struct AppEnvChange {
    /// The application.
    pub app: App,
    /// Its callback module: `config_change/3` is called there, if it is exported.
    pub callback: Option<Module>,
    /// The keys.
    pub keys: Vec<EnvChange>,
}

/// The form in which a process gives its state to a conversion that is computed before the switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateForm {
    /// `code_change(Vsn, State, Extra)`.
    Server,
    /// `code_change(Vsn, StateName, Data, Extra)`.
    StateMachine,
    /// `code_change(Vsn, State, Extra)` of a handler of events.
    Handler,
    /// `system_code_change(Misc, Module, Vsn, Extra)`.
    Special,
}

impl StateForm {
    /// The function that converts.
    pub fn entries(self) -> &'static [Entry] {
        match self {
            Self::Server | Self::Handler => &[("code_change", 3)],
            Self::StateMachine => &[("code_change", 4)],
            Self::Special => &[("system_code_change", 4)],
        }
    }
}

/// The conversions that are computed before the switch ([`crate::script::precompute`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precomputed {
    /// The modules.
    pub modules: BTreeMap<Module, StateForm>,
    /// What computes: the new versions of their conversions, and of what these call.
    pub converters: Converters,
    /// Modules whose conversions have returned for all processes in a rehearsal a moment ago: those are not tried on
    /// copies again.
    pub rehearsed: BTreeSet<Module>,
    /// Modules whose conversions depend on the state alone: what else runs meanwhile makes no difference to them.
    pub pure: BTreeSet<Module>,
    /// Those of them whose conversions have all taken next to no time in that rehearsal: a process computes its new state
    /// as soon as it is suspended, and is not asked for it once all are.
    pub early: BTreeSet<Module>,
}

impl Precomputed {
    /// Whether the processes of a module compute their new states as soon as they are suspended, where the slowest
    /// conversion of a rehearsal of all of them took so long.
    pub fn is_early(&self, module: &Module, slowest: Duration) -> bool {
        /// One that is not through is taken for a process that is busy, so it must not take longer.
        const EARLY: Duration = Duration::from_millis(2);
        self.pure.contains(module) && slowest < EARLY
    }
}

/// The windows that the plan writes, as far as they concern this upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnWindows {
    /// In their order, none of them empty; together all modules that are loaded.
    pub windows: Vec<Vec<Module>>,
    /// The statement.
    pub origin: Origin,
}

/// Everything decided: the input of the script.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// The modules that take part.
    pub modules: BTreeMap<Module, ModuleRules>,
    /// The graph they form, the plan's edges included.
    pub graph: Graph,
    /// The order, dependencies first.
    pub order: Vec<Component>,
    /// The cycles among them.
    pub cycles: Vec<Cycle>,
    /// The windows that the plan writes.
    pub windows: Option<OwnWindows>,
    /// Changed modules that the plan leaves out, and by which statement.
    pub left_out: Vec<(Module, Origin)>,
    /// How the configuration of applications follows their new `.app` files, when the plan wants that.
    pub env: Vec<AppEnvChange>,
    /// Applications whose code path is switched.
    pub moves: Vec<PathSwitch>,
    /// Applications that are removed, with the statement.
    pub removed_apps: BTreeMap<App, Origin>,
    /// The plan's checks on states that apply.
    pub state_checks: Vec<AppliedCheck>,
    /// Children that are terminated before the switch and started after it: their modules change their behaviour.
    pub restarts: Vec<ChildId>,
    /// Conversions that are computed before the switch.
    pub precomputed: Precomputed,
    /// In a live window: the modules whose processes convert their states by themselves, each with the last argument of
    /// `code_change`.
    pub live: BTreeMap<Module, Term>,
}
