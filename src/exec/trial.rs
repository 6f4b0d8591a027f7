//! What a rehearsal tries, and within which bounds.

use std::time::Duration;

use crate::name::Module;
use crate::rules::StateForm;
use crate::term::{Atom, Term};
use crate::twin::Entry;

/// The bounds of a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processes of one module that are asked for their state, at most.
    pub at_most: usize,
    /// How many of them a second, at most.
    pub rate: u32,
    /// How long all of it may take.
    pub within: Duration,
    /// How long one conversion may take.
    pub conversion: Duration,
    /// How much memory one conversion may use, in words of the node (8 bytes).
    pub words: usize,
    /// How long a process may take to read the question; one that is later is counted as busy.
    pub wait: Duration,
    /// A process whose heap has more words than these is not asked: its state would be copied.
    pub most: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_most: 10_000,
            rate: 5_000,
            within: Duration::from_secs(10),
            conversion: Duration::from_secs(1),
            words: 16 << 20,
            wait: Duration::from_millis(200),
            most: 4 << 20,
        }
    }
}

/// How the states of a module's processes are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateKind {
    /// `code_change(Vsn, State, Extra)`.
    Server,
    /// `code_change(Vsn, StateName, Data, Extra)`.
    StateMachine,
    /// `code_change(Vsn, State, Extra)` of a handler of events.
    Handler,
    /// The new `init/1` with what the supervisor was started with; its child specifications are checked.
    Supervisor,
    /// `system_code_change(Misc, Module, Vsn, Extra)`.
    Special,
}

impl StateKind {
    /// The function that converts.
    pub fn entries(self) -> &'static [Entry] {
        let form = match self {
            Self::Server => StateForm::Server,
            Self::StateMachine => StateForm::StateMachine,
            Self::Handler => StateForm::Handler,
            Self::Special => StateForm::Special,
            Self::Supervisor => return &[("init", 1)],
        };
        form.entries()
    }
}

/// Whose code converts back in a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackBy {
    /// The new version's: its states are converted before the old code is there again.
    New,
    /// That of the version that runs: it converts when it is there again (`static`).
    Old,
}

/// The conversion of one module, to be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// The module.
    pub module: Module,
    /// The kind of its processes.
    pub kind: StateKind,
    /// The plan's `Extra`.
    pub extra: Term,
    /// Nothing is converted: only the shapes of the states are asked for.
    pub keep: bool,
    /// The plan's function that converts, in a module of the upgrade.
    pub by: Option<(Module, Atom)>,
    /// Who converts in a rollback, where that can be tried.
    pub back: Option<BackBy>,
    /// Of a supervisor: the `init/1` of the version that runs may be evaluated, for the children that it specifies.
    pub old_init: bool,
    /// What is looked for inside of states and in tables.
    pub seek: Seek,
    /// The plan's checks on its states.
    pub checks: Vec<TrialCheck>,
}

impl Trial {
    /// Of `code_change` with an `Extra` of `[]`: no way back, no checks.
    pub fn new(module: Module, kind: StateKind) -> Self {
        Self {
            module,
            kind,
            extra: Term::list([]),
            keep: false,
            by: None,
            back: None,
            old_init: false,
            seek: Seek::default(),
            checks: Vec::new(),
        }
    }

    /// The module whose function converts.
    pub fn converts(&self) -> &Module {
        self.by.as_ref().map_or(&self.module, |(module, _)| module)
    }
}

/// A check of the plan on a state and what it is converted to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialCheck {
    /// Its number among the plan's.
    pub number: usize,
    /// The fun, as Erlang.
    pub text: String,
    /// The plan's constants that it names.
    pub bindings: Vec<(String, Term)>,
    /// It names the module: a pair that no clause takes is no other module's.
    pub named: bool,
}

/// Records and structs that the new code does not know as the running one does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seek {
    /// Their names, and the size of the tuples that only the running code knows.
    pub records: Vec<(Atom, u32)>,
    /// Their names, and the keys that the new version has, in order.
    pub structs: Vec<(Atom, Vec<Atom>)>,
}
