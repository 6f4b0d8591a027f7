//! Every instruction of an appup, a relup or a run, as a typed value (OTP: appup(4), relup(4)).
//!
//! An [`Instruction`] is printed by [`super::print`] and read by [`super::read`]. It holds more than OTP has words for: what a
//! plan may say of a purge or a conversion, and hooks. What OTP does not look into (`Extra`, arguments, the
//! identity of a `sync_nodes`) stays a term.

use crate::name::{App, Module};
use crate::rules::{Change, ModuleType, Purge, Timeout};
use crate::term::{Atom, Term};

/// How an application is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartType {
    /// The node ends with it.
    Permanent,
    /// The node ends with it unless it ends normally.
    Transient,
    /// The node goes on without it.
    Temporary,
    /// Only loaded.
    Load,
    /// Neither loaded nor started.
    None,
}

/// The direction that a `code_change` states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the newer version.
    Up,
    /// Towards the older version.
    Down,
}

/// Whom `sync_nodes` waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Nodes {
    /// These.
    List(Vec<Atom>),
    /// Those that a function names.
    Call(Call),
}

/// A function and its arguments: any list, as OTP does not look further.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Module.
    pub module: Atom,
    /// Function.
    pub function: Atom,
    /// Arguments.
    pub args: Term,
}

/// One instruction, high or low level.
#[derive(Clone, Debug, PartialEq)]
pub enum Instruction {
    /// A module whose processes are suspended, converted, resumed.
    Update {
        /// The module.
        module: Module,
        /// Which code converts on the way down.
        kind: ModuleType,
        /// Patience when suspending.
        timeout: Timeout,
        /// What happens to the states.
        change: Change,
        /// Purging before the load.
        pre: Purge,
        /// Purging after the load.
        post: Purge,
        /// Modules it depends on.
        deps: Vec<Module>,
        /// Whether it is OTP's short form for a supervisor: static, with brutal purges, whatever is beside it.
        supervisor: bool,
    },
    /// A module that is replaced.
    LoadModule {
        /// The module.
        module: Module,
        /// Purging before the load.
        pre: Purge,
        /// Purging after the load.
        post: Purge,
        /// Modules it depends on.
        deps: Vec<Module>,
    },
    /// A module that is new.
    AddModule {
        /// The module.
        module: Module,
        /// Modules it depends on.
        deps: Vec<Module>,
    },
    /// A module that goes.
    DeleteModule {
        /// The module.
        module: Module,
        /// Modules it depends on.
        deps: Vec<Module>,
    },
    /// An application that is new: its modules are loaded, and it is started.
    AddApplication {
        /// The application.
        app: App,
        /// How.
        start: StartType,
    },
    /// An application that goes.
    RemoveApplication(App),
    /// An application that is stopped, replaced and started.
    RestartApplication(App),
    /// Object code is read before anything is touched.
    LoadObjectCode {
        /// The application.
        lib: App,
        /// Its version; any list.
        vsn: Term,
        /// The modules.
        modules: Vec<Module>,
    },
    /// From here on there is no way back.
    PointOfNoReturn,
    /// Object code becomes current.
    Load {
        /// The module.
        module: Module,
        /// Purging before.
        pre: Purge,
        /// Purging after.
        post: Purge,
    },
    /// Current code becomes old.
    Remove {
        /// The module.
        module: Module,
        /// Purging before.
        pre: Purge,
        /// Purging after.
        post: Purge,
    },
    /// Old code goes, with those that run it.
    Purge(Vec<Module>),
    /// Processes stand still; with a patience of their own where one is written.
    Suspend(Vec<(Module, Option<Timeout>)>),
    /// Processes go on.
    Resume(Vec<Module>),
    /// States are converted.
    CodeChange {
        /// As written.
        direction: Option<Direction>,
        /// The modules with their conversions: `Extra` is [`Change::Advanced`].
        modules: Vec<(Module, Change)>,
    },
    /// Children are terminated.
    Stop(Vec<Module>),
    /// Children are restarted.
    Start(Vec<Module>),
    /// Nodes wait for each other.
    SyncNodes {
        /// What they wait for.
        id: Term,
        /// The nodes.
        nodes: Nodes,
    },
    /// A function is called.
    Apply(Call),
    /// A new emulator is started first of all.
    RestartNewEmulator,
    /// The emulator is restarted at the end.
    RestartEmulator,
    /// Passes OTP's check and is refused when it runs.
    Restart,
    /// Passes OTP's check and is refused when it runs.
    Reboot,
    /// A hook of the plan: the run waits for it. OTP has no such instruction.
    Hook {
        /// Its number among the plan's hooks at steps.
        number: usize,
        /// Where it is, in the plan's words.
        name: String,
    },
}

impl Instruction {
    /// The instruction's word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Update { .. } => "update",
            Self::LoadModule { .. } => "load_module",
            Self::AddModule { .. } => "add_module",
            Self::DeleteModule { .. } => "delete_module",
            Self::AddApplication { .. } => "add_application",
            Self::RemoveApplication(_) => "remove_application",
            Self::RestartApplication(_) => "restart_application",
            Self::LoadObjectCode { .. } => "load_object_code",
            Self::PointOfNoReturn => "point_of_no_return",
            Self::Load { .. } => "load",
            Self::Remove { .. } => "remove",
            Self::Purge(_) => "purge",
            Self::Suspend(_) => "suspend",
            Self::Resume(_) => "resume",
            Self::CodeChange { .. } => "code_change",
            Self::Stop(_) => "stop",
            Self::Start(_) => "start",
            Self::SyncNodes { .. } => "sync_nodes",
            Self::Apply(_) => "apply",
            Self::RestartNewEmulator => "restart_new_emulator",
            Self::RestartEmulator => "restart_emulator",
            Self::Restart => "restart",
            Self::Reboot => "reboot",
            Self::Hook { .. } => "hook",
        }
    }

    /// The module and its dependencies, if the instruction takes part in the dependency order.
    pub fn dependent(&self) -> Option<(&Module, &[Module])> {
        match self {
            Self::Update { module, deps, .. }
            | Self::LoadModule { module, deps, .. }
            | Self::AddModule { module, deps }
            | Self::DeleteModule { module, deps } => Some((module, deps)),
            _ => None,
        }
    }

    /// Whether it is an appup's own: a relup has no such instruction.
    pub fn is_high_level(&self) -> bool {
        matches!(
            self,
            Self::Update { .. }
                | Self::LoadModule { .. }
                | Self::AddModule { .. }
                | Self::DeleteModule { .. }
                | Self::AddApplication { .. }
                | Self::RemoveApplication(_)
                | Self::RestartApplication(_)
        )
    }

    /// Whether code is switched by it, or taken away: what follows each other of these is done at one instant.
    pub fn is_switch(&self) -> bool {
        matches!(
            self,
            Self::Load { .. } | Self::Remove { .. } | Self::Purge(_)
        )
    }

    /// The same instruction with other dependencies, if it has any.
    #[must_use]
    pub fn with_deps(mut self, new: Vec<Module>) -> Self {
        match &mut self {
            Self::Update { deps, .. }
            | Self::LoadModule { deps, .. }
            | Self::AddModule { deps, .. }
            | Self::DeleteModule { deps, .. } => *deps = new,
            _ => {}
        }
        self
    }
}

impl StartType {
    /// The type that an atom names.
    pub fn parse(atom: &str) -> Option<Self> {
        Some(match atom {
            "permanent" => Self::Permanent,
            "transient" => Self::Transient,
            "temporary" => Self::Temporary,
            "load" => Self::Load,
            "none" => Self::None,
            _ => return None,
        })
    }
}

impl Call {
    /// A call in the application controller's interface.
    pub fn application(function: &str, args: impl IntoIterator<Item = Term>) -> Self {
        Self {
            module: "application".into(),
            function: function.into(),
            args: Term::list(args),
        }
    }

    /// For such a call: the function, and the first argument.
    pub fn of_application(&self) -> Option<(&str, &Term)> {
        let first = self.args.as_list()?.first()?;
        (self.module == "application").then(|| (self.function.as_str(), first))
    }

    /// The application that this call stops.
    pub fn stopped(&self) -> Option<App> {
        match self.of_application()? {
            ("stop", Term::Atom(app)) => Some(App::new(app.as_str())),
            _ => None,
        }
    }

    /// How many arguments there are; none when they are no list.
    pub fn arity(&self) -> usize {
        self.args.as_list().unwrap_or_default().len()
    }
}
