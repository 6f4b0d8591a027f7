//! Every instruction that an appup or a relup may hold, as a typed value (OTP: appup(4), relup(4)).
//!
//! One [`Instruction`] prints as OTP's term and is read from one ([`super::read`]). High-level
//! instructions print in their shortest form. What OTP does not look into (`Extra`, arguments, the identity of a
//! `sync_nodes`) stays a term.

use std::fmt;
use std::time::Duration;

use super::high::{High, change_term, purge_term, timeout_term};
use super::{app_term, module_term};
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
        /// The modules with their conversions: [`Change::Advanced`] in what OTP has.
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
                pre: Purge::Brutal,
                post: Purge::Brutal,
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
                purge_term(*pre),
                purge_term(*post),
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
                Term::tuple([module_term(module), purge_term(*pre), purge_term(*post)]),
            ]),
            Self::Purge(modules)
            | Self::Resume(modules)
            | Self::Stop(modules)
            | Self::Start(modules) => Term::tuple([word, modules_term(modules)]),
            Self::Suspend(modules) => {
                let list = modules.iter().map(|(module, timeout)| match timeout {
                    None => module_term(module),
                    Some(timeout) => Term::tuple([module_term(module), timeout_term(timeout)]),
                });
                Term::tuple([word, Term::list(list)])
            }
            Self::CodeChange { direction, modules } => {
                let list = modules.iter().map(|(module, change)| {
                    let extra = match change {
                        Change::Advanced(extra) => extra.clone(),
                        other => change_term(other),
                    };
                    Term::tuple([module_term(module), extra])
                });
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
        let brutal = *pre == Purge::Brutal && *post == Purge::Brutal;
        let usual = *timeout == Timeout::Default;
        let nothing = Change::Advanced(Term::List(Vec::new()));
        match (kind, change) {
            (ModuleType::Dynamic, Change::Soft) if usual && brutal => short(word, module, deps),
            (ModuleType::Dynamic, change) if usual && brutal => {
                let deps = (!deps.is_empty()).then(|| modules_term(deps));
                let fixed = [word, module_term(module), change_term(change)];
                Term::tuple(fixed.into_iter().chain(deps))
            }
            (ModuleType::Static, change)
                if usual && brutal && deps.is_empty() && *change == nothing =>
            {
                Term::tuple([word, module_term(module), Term::atom("supervisor")])
            }
            (ModuleType::Dynamic, change) => {
                let timeout = (!usual).then(|| timeout_term(timeout));
                let rest = [
                    change_term(change),
                    purge_term(*pre),
                    purge_term(*post),
                    modules_term(deps),
                ];
                let first = [word, module_term(module)];
                Term::tuple(first.into_iter().chain(timeout).chain(rest))
            }
            (ModuleType::Static, change) => Term::tuple([
                word,
                module_term(module),
                Term::atom("static"),
                timeout_term(timeout),
                change_term(change),
                purge_term(*pre),
                purge_term(*post),
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
            Purge::Brutal => Purge::Brutal,
            Purge::Defer | Purge::Soft | Purge::Wait(_) => Purge::Soft,
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
                    // OTP takes no 0.
                    Timeout::After(time) => Timeout::After((*time).max(Duration::from_millis(1))),
                    other => other.clone(),
                },
                change: match change {
                    Change::Convert { .. } => return None,
                    other => other.clone(),
                },
                pre: if *supervisor {
                    Purge::Brutal
                } else {
                    purging(pre)
                },
                post: if *supervisor {
                    Purge::Brutal
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
