//! Every instruction that an appup or a relup may hold, as a typed value (OTP: appup(4), relup(4)).
//!
//! One [`Instruction`] prints as OTP's term and is read from one ([`super::read`]). High-level
//! instructions print in their shortest form. What OTP does not look into (`Extra`, arguments, the identity of a
//! `sync_nodes`) stays a term.

use std::fmt;

use super::high::High;
use super::{app_term, module_term};
use crate::name::{App, Module};
use crate::rules::{Change, ModuleType, Purge, Timeout};
use crate::term::{Atom, BigInt, Term};

/// What happens to processes that run old code when it must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purging {
    /// `soft_purge`: they live.
    Soft,
    /// `brutal_purge`: they are killed.
    Brutal,
}

/// How long to wait for a process to suspend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuspendTimeout {
    /// `default`.
    Default,
    /// `infinity`.
    Infinity,
    /// Milliseconds, more than 0.
    Milliseconds(BigInt),
}

/// What an `update` does to the states.
#[derive(Clone, Debug, PartialEq)]
pub enum Conversion {
    /// `soft`: nothing.
    Soft,
    /// `{advanced, Extra}`: `code_change` with `Extra`.
    Advanced(Term),
}

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
        timeout: SuspendTimeout,
        /// What happens to the states.
        change: Conversion,
        /// Purging before the load.
        pre: Purging,
        /// Purging after the load.
        post: Purging,
        /// Modules it depends on.
        deps: Vec<Module>,
    },
    /// A module that is replaced.
    LoadModule {
        /// The module.
        module: Module,
        /// Purging before the load.
        pre: Purging,
        /// Purging after the load.
        post: Purging,
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
        pre: Purging,
        /// Purging after.
        post: Purging,
    },
    /// Current code becomes old.
    Remove {
        /// The module.
        module: Module,
        /// Purging before.
        pre: Purging,
        /// Purging after.
        post: Purging,
    },
    /// Old code goes, with those that run it.
    Purge(Vec<Module>),
    /// Processes stand still; with a patience of their own where one is written.
    Suspend(Vec<(Module, Option<SuspendTimeout>)>),
    /// Processes go on.
    Resume(Vec<Module>),
    /// States are converted.
    CodeChange {
        /// As written.
        direction: Option<Direction>,
        /// The modules with their `Extra`.
        modules: Vec<(Module, Term)>,
    },
    /// Children are terminated.
    Stop(Vec<Module>),
    /// Children are restarted.
    Start(Vec<Module>),
    /// Nodes wait for each other.
    SyncNodes {
        /// What they wait for.
        id: Term,
        /// Who.
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

    /// The instruction as OTP's term; high-level ones in their shortest form.
    pub fn to_term(&self) -> Term {
        let word = Term::atom(self.word());
        match self {
            Self::Update { .. } => self.update_term(),
            Self::LoadModule {
                module,
                pre: Purging::Brutal,
                post: Purging::Brutal,
                deps,
            }
            | Self::AddModule { module, deps }
            | Self::DeleteModule { module, deps } => short(word, module, deps),
            Self::LoadModule {
                module,
                pre,
                post,
                deps,
            } => Term::tuple([
                word,
                module_term(module),
                pre.to_term(),
                post.to_term(),
                modules_term(deps),
            ]),
            Self::AddApplication {
                app,
                start: StartType::Permanent,
            } => Term::tuple([word, app_term(app)]),
            Self::AddApplication { app, start } => {
                Term::tuple([word, app_term(app), start.to_term()])
            }
            Self::RemoveApplication(app) | Self::RestartApplication(app) => {
                Term::tuple([word, app_term(app)])
            }
            Self::LoadObjectCode { lib, vsn, modules } => Term::tuple([
                word,
                Term::tuple([app_term(lib), vsn.clone(), modules_term(modules)]),
            ]),
            Self::Load { module, pre, post } | Self::Remove { module, pre, post } => Term::tuple([
                word,
                Term::tuple([module_term(module), pre.to_term(), post.to_term()]),
            ]),
            Self::Purge(modules)
            | Self::Resume(modules)
            | Self::Stop(modules)
            | Self::Start(modules) => Term::tuple([word, modules_term(modules)]),
            Self::Suspend(modules) => {
                let list = modules.iter().map(|(module, timeout)| match timeout {
                    None => module_term(module),
                    Some(timeout) => Term::tuple([module_term(module), timeout.to_term()]),
                });
                Term::tuple([word, Term::list(list)])
            }
            Self::CodeChange { direction, modules } => {
                let list = modules
                    .iter()
                    .map(|(module, extra)| Term::tuple([module_term(module), extra.clone()]));
                let direction = direction.map(|direction| {
                    Term::atom(match direction {
                        Direction::Up => "up",
                        Direction::Down => "down",
                    })
                });
                Term::tuple(
                    std::iter::once(word)
                        .chain(direction)
                        .chain([Term::list(list)]),
                )
            }
            Self::SyncNodes { id, nodes } => {
                let nodes = match nodes {
                    Nodes::List(nodes) => Term::list(nodes.iter().cloned().map(Term::Atom)),
                    Nodes::Call(call) => call.to_term(),
                };
                Term::tuple([word, id.clone(), nodes])
            }
            Self::Apply(call) => Term::tuple([word, call.to_term()]),
            Self::PointOfNoReturn
            | Self::RestartNewEmulator
            | Self::RestartEmulator
            | Self::Restart
            | Self::Reboot => word,
        }
    }

    fn update_term(&self) -> Term {
        let Self::Update {
            module,
            kind,
            timeout,
            change,
            pre,
            post,
            deps,
        } = self
        else {
            return Term::atom(self.word());
        };
        let word = Term::atom("update");
        let brutal = *pre == Purging::Brutal && *post == Purging::Brutal;
        let usual = *timeout == SuspendTimeout::Default;
        let nothing = Conversion::Advanced(Term::List(Vec::new()));
        match (kind, change) {
            (ModuleType::Dynamic, Conversion::Soft) if usual && brutal => short(word, module, deps),
            (ModuleType::Dynamic, change) if usual && brutal => {
                let deps = (!deps.is_empty()).then(|| modules_term(deps));
                let fixed = [word, module_term(module), change.to_term()];
                Term::tuple(fixed.into_iter().chain(deps))
            }
            (ModuleType::Static, change)
                if usual && brutal && deps.is_empty() && *change == nothing =>
            {
                Term::tuple([word, module_term(module), Term::atom("supervisor")])
            }
            (ModuleType::Dynamic, change) => {
                let timeout = (!usual).then(|| timeout.to_term());
                let rest = [
                    change.to_term(),
                    pre.to_term(),
                    post.to_term(),
                    modules_term(deps),
                ];
                let first = [word, module_term(module)];
                Term::tuple(first.into_iter().chain(timeout).chain(rest))
            }
            (ModuleType::Static, change) => Term::tuple([
                word,
                module_term(module),
                Term::atom("static"),
                timeout.to_term(),
                change.to_term(),
                pre.to_term(),
                post.to_term(),
                modules_term(deps),
            ]),
        }
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_term().fmt(f)
    }
}

fn modules_term(modules: &[Module]) -> Term {
    Term::List(modules.iter().map(module_term).collect())
}

/// `{Word, Module}` or `{Word, Module, Deps}`.
fn short(word: Term, module: &Module, deps: &[Module]) -> Term {
    let deps = (!deps.is_empty()).then(|| modules_term(deps));
    Term::tuple([word, module_term(module)].into_iter().chain(deps))
}

impl Purging {
    /// OTP's atom.
    pub fn to_term(self) -> Term {
        Term::atom(match self {
            Self::Soft => "soft_purge",
            Self::Brutal => "brutal_purge",
        })
    }
}

impl SuspendTimeout {
    /// OTP's term.
    pub fn to_term(&self) -> Term {
        match self {
            Self::Default => Term::atom("default"),
            Self::Infinity => Term::atom("infinity"),
            Self::Milliseconds(time) => Term::integer(time.clone()),
        }
    }
}

impl Conversion {
    /// OTP's term.
    pub fn to_term(&self) -> Term {
        match self {
            Self::Soft => Term::atom("soft"),
            Self::Advanced(extra) => Term::tuple([Term::atom("advanced"), extra.clone()]),
        }
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

    /// OTP's atom.
    pub fn to_term(self) -> Term {
        Term::atom(match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
            Self::Temporary => "temporary",
            Self::Load => "load",
            Self::None => "none",
        })
    }
}

impl Call {
    /// `{M, F, Args}`.
    pub fn to_term(&self) -> Term {
        Term::tuple([
            Term::Atom(self.module.clone()),
            Term::Atom(self.function.clone()),
            self.args.clone(),
        ])
    }

    /// A call in the application controller's interface.
    pub(super) fn application(function: &str, args: Vec<Term>) -> Self {
        Self {
            module: "application".into(),
            function: function.into(),
            args: Term::List(args),
        }
    }
}

impl Instruction {
    /// What a run's instruction is in an appup; `None` where OTP has no word for it (`{convert, F}`).
    ///
    /// Supervisors purge brutally, as OTP's short form says; a patient purge is a soft one to OTP.
    pub fn from_high(high: &High) -> Option<Self> {
        let purging = |purge: &Purge| match purge {
            Purge::Brutal => Purging::Brutal,
            Purge::Defer | Purge::Soft | Purge::Wait(_) => Purging::Soft,
        };
        Some(match high {
            High::AddModule { module, deps } => Self::AddModule {
                module: module.clone(),
                deps: deps.clone(),
            },
            High::DeleteModule { module, deps } => Self::DeleteModule {
                module: module.clone(),
                deps: deps.clone(),
            },
            High::LoadModule {
                module,
                pre,
                post,
                deps,
            } => Self::LoadModule {
                module: module.clone(),
                pre: purging(pre),
                post: purging(post),
                deps: deps.clone(),
            },
            High::Update {
                module,
                kind,
                timeout,
                change,
                pre,
                post,
                deps,
                supervisor,
            } => Self::Update {
                module: module.clone(),
                kind: if *supervisor {
                    ModuleType::Static
                } else {
                    *kind
                },
                timeout: match timeout {
                    Timeout::Default => SuspendTimeout::Default,
                    Timeout::Infinity => SuspendTimeout::Infinity,
                    // OTP takes no 0.
                    Timeout::After(time) => {
                        SuspendTimeout::Milliseconds(BigInt::from(time.as_millis().max(1)))
                    }
                },
                change: match change {
                    Change::Soft => Conversion::Soft,
                    Change::Advanced(extra) => Conversion::Advanced(extra.clone()),
                    Change::Convert { .. } => return None,
                },
                pre: if *supervisor {
                    Purging::Brutal
                } else {
                    purging(pre)
                },
                post: if *supervisor {
                    Purging::Brutal
                } else {
                    purging(post)
                },
                deps: deps.clone(),
            },
        })
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
