//! The change set: what differs between the running code and the new beams, by MD5 and never by vsn.
//!
//! Plain data. What is in doubt or left alone is in it too, with the reason; judging is for the stages that follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::app::app_specs::{CompileEnv, SpecChange};
use super::beam::code::effects::loops;
use super::beam::{BeamFacts, DynamicCall};
use super::compare::library_versions::PathSwitch;
use super::compare::releases::ReleaseChange;
use super::node::node_facts::BehaviourInfo;
use super::node::old_code::OldCodeUse;
use super::node::processes::ModuleProcesses;
use crate::name::{App, Mfa, Module};
use crate::term::Term;

/// A beam: its bytes, where it stands, what it says.
#[derive(Clone, Debug)]
pub struct Beam {
    /// The bytes as they are.
    pub bytes: Arc<[u8]>,
    /// The file name that `code:which/1` shall answer.
    pub file: String,
    /// Its facts.
    pub facts: BeamFacts,
}

/// What is known of the version that runs now.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningVersion {
    /// `module_info(md5)`.
    pub md5: [u8; 16],
    /// The file it was loaded from.
    pub file: String,
    /// Its exported functions.
    pub exports: BTreeSet<(Arc<str>, u32)>,
    /// The `vsn` attribute, as the conversion will be told it.
    pub vsn: Option<Term>,
}

/// A module that takes part.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The running version; `None` for a new module (or one not loaded).
    pub loaded: Option<RunningVersion>,
    /// The new version; `None` for a module to delete.
    pub new: Option<Beam>,
    /// A copy of the running version, proven by MD5, to go back to.
    pub old: Option<Beam>,
    /// Of a module that is not loaded: the version that the node would load by itself.
    pub unloaded: Option<Beam>,
    /// The application whose `modules` name it, if any.
    pub app: Option<App>,
    /// How many processes run it.
    pub processes: usize,
    /// Those processes.
    pub crew: ModuleProcesses,
}

impl Changed {
    /// Facts of the running version, when a copy of it was found.
    pub fn old_facts(&self) -> Option<&BeamFacts> {
        self.old.as_ref().map(|beam| &beam.facts)
    }

    /// Whether this is a gen_statem whose callback mode differs, as far as exports tell: `handle_event/4` is exported by
    /// one version only.
    pub fn turns_callback_mode(&self) -> bool {
        let (Some(old), Some(new)) = (&self.old, &self.new) else {
            return false;
        };
        let is_statem = |facts: &BeamFacts| {
            let behaviours = &facts.behaviours;
            behaviours.iter().any(|b| b.as_str() == "gen_statem")
        };
        let by_event = |facts: &BeamFacts| facts.exports("handle_event", 4);
        is_statem(&old.facts)
            && is_statem(&new.facts)
            && by_event(&old.facts) != by_event(&new.facts)
    }

    /// Whether an undo needs the old `code_change/4`: gen_statem asks for the callback mode only after it.
    pub fn undo_asks_code_change(&self) -> bool {
        let old = self.old.as_ref();
        self.turns_callback_mode() && old.is_some_and(|old| old.facts.exports("code_change", 4))
    }

    /// Facts of the version before: the running one, or that which the node would load.
    pub fn former_facts(&self) -> Option<&BeamFacts> {
        let former = self.old.as_ref().or(self.unloaded.as_ref());
        former.map(|beam| &beam.facts)
    }

    /// Whether the version before exports a function.
    pub fn had(&self, function: &Mfa) -> bool {
        let name = (function.function.clone(), function.arity);
        match &self.loaded {
            Some(loaded) => loaded.exports.contains(&name),
            None => self
                .unloaded
                .as_ref()
                .is_some_and(|beam| beam.facts.exports.contains(&name)),
        }
    }

    /// Whether the new version exports a function.
    pub fn has(&self, function: &Mfa) -> bool {
        self.new.as_ref().is_some_and(|n| {
            n.facts
                .exports
                .contains(&(function.function.clone(), function.arity))
        })
    }

    /// Whether the module is not loaded yet, known to the node or not.
    pub fn is_new(&self) -> bool {
        self.loaded.is_none()
    }
}

/// Why a module that differs is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// In a sticky directory.
    Sticky,
    /// Preloaded into the emulator.
    Preloaded,
    /// Cover compiled.
    Cover,
    /// Loaded from memory, without a file.
    NoFile,
    /// Loaded from one file, while the code path leads to another one that differs.
    Elsewhere {
        /// What runs.
        loaded: String,
        /// What the code path has.
        path: String,
    },
    /// A protocol that runs consolidated, and only an unconsolidated beam is offered.
    Unconsolidated,
    /// Part of kernel or stdlib, which the upgrade itself stands on.
    Core,
}

/// A loaded module that the new version does not have any more, or that the plan removes: then it takes part.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedModule {
    /// The module.
    pub module: Module,
    /// How that is known.
    pub how: RemovalCause,
    /// Who still calls it, after the upgrade: changed modules in their new version, others as they run.
    pub callers: Vec<Caller>,
}

/// How a deletion is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalCause {
    /// Its file is not there any more.
    File(String),
    /// The new specification of its application does not list it.
    Unlisted(App),
    /// The plan removes it; its file may be there.
    Plan,
}

/// A module that calls what is not there any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Caller {
    /// The caller.
    pub module: Module,
    /// What it calls.
    pub functions: Vec<Mfa>,
    /// Whether the caller takes part in the upgrade.
    pub changed: bool,
}

/// Something about the change set that is worth a word.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// A newer version of a running application is installed beside it.
    NewerBeside {
        /// The application.
        app: App,
        /// The version that runs.
        running: String,
        /// The other one.
        newer: String,
        /// Its folder of beams.
        folder: String,
    },
    /// A changed module is in several folders of the code path.
    SeveralInPath {
        /// The module.
        module: Module,
        /// The file that counts.
        taken: String,
        /// The others.
        others: Vec<String>,
    },
    /// Modules of folders with changes that are not loaded, on a node that loads on demand.
    OnDemand {
        /// The application, when they belong to one.
        app: Option<App>,
        /// The modules.
        modules: Vec<Module>,
    },
    /// Modules beside running ones that are not loaded and that nothing lists or calls, on a node that never loads code
    /// when it is called.
    Unlisted {
        /// The modules.
        modules: Vec<Module>,
    },
    /// A new version calls functions that its running version does not call, and that the node does not have.
    Missing {
        /// The caller.
        module: Module,
        /// The functions.
        functions: Vec<Mfa>,
    },
    /// Same code, other line information.
    LinesMoved {
        /// The modules.
        modules: Vec<Module>,
    },
    /// A new implementation of a protocol that runs consolidated and does not take part.
    ImplementationUnseen {
        /// The implementation.
        module: Module,
        /// The protocol.
        protocol: Module,
    },
    /// A module that takes part lost functions that others still call.
    LostFunctions {
        /// The module.
        module: Module,
        /// Who calls them.
        callers: Vec<Caller>,
    },
    /// A specification beside the beams that cannot be read.
    BadSpec {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// Processes that are suspended already.
    SuspendedBefore {
        /// The module that they run.
        module: Module,
        /// The processes.
        pids: Vec<String>,
    },
    /// Functions that are traced, or whose calls are counted.
    Traced {
        /// The module.
        module: Module,
        /// The functions: `quote/1`.
        functions: Vec<String>,
    },
    /// A supervisor or event manager that did not answer in time.
    Unresponsive {
        /// Registered name or pid.
        name: String,
    },
}

impl Notice {
    /// The module that takes part which it is about, if it is about one.
    pub fn module(&self) -> Option<&Module> {
        match self {
            Self::SeveralInPath { module, .. }
            | Self::ImplementationUnseen { module, .. }
            | Self::LostFunctions { module, .. }
            | Self::Missing { module, .. }
            | Self::SuspendedBefore { module, .. }
            | Self::Traced { module, .. } => Some(module),
            Self::NewerBeside { .. }
            | Self::OnDemand { .. }
            | Self::Unlisted { .. }
            | Self::LinesMoved { .. }
            | Self::BadSpec { .. }
            | Self::Unresponsive { .. } => None,
        }
    }
}

/// Everything that differs.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// The modules that take part, by name.
    pub modules: BTreeMap<Module, Changed>,
    /// Modules that differ and cannot be taken.
    pub untouched: Vec<(Module, SkipReason)>,
    /// Loaded modules that the new version does not have.
    pub gone: Vec<RemovedModule>,
    /// How many modules were compared.
    pub compared: usize,
    /// Those of them that are what they were.
    pub same: Vec<Module>,
    /// Version of each application that runs.
    pub app_vsn: BTreeMap<App, String>,
    /// Applications that are loaded and do not run.
    pub not_started: BTreeSet<App>,
    /// What is worth a word.
    pub notices: Vec<Notice>,
    /// Applications whose code path is switched.
    pub moves: Vec<PathSwitch>,
    /// Specifications that differ.
    pub specs: Vec<SpecChange>,
    /// New modules that no specification lists, each with a changed module that calls it.
    pub called: BTreeMap<Module, Module>,
    /// What new versions were compiled with, where the node has something else.
    pub compile_env: Vec<CompileEnv>,
    /// What the release that the new beams belong to brings beside them.
    pub release: Option<ReleaseChange>,
    /// What the behaviours are that changed modules declare, and that do not take part themselves.
    pub natures: BTreeMap<Module, BehaviourInfo>,
    /// What of the versions that have to go is in use.
    pub old_code: OldCodeUse,
}

impl ChangeSet {
    /// The calls of a new version whose module is not known before run time, as far as another module that takes part can be
    /// meant: one of which the function is known counts when such a module exports that, before or after.
    pub fn unresolved<'a>(&self, new: &'a BeamFacts) -> Vec<&'a DynamicCall> {
        let is_there = |call: &DynamicCall| {
            let Some((name, Some(arity))) = &call.function else {
                return true;
            };
            // Every module has it, in every version.
            if &**name == "module_info" && *arity < 2 {
                return false;
            }
            let mut others = self.modules.iter().filter(|(name, _)| **name != new.module);
            others.any(|(module, changed)| {
                let function = Mfa {
                    module: module.clone(),
                    function: name.clone(),
                    arity: *arity,
                };
                changed.has(&function) || changed.had(&function)
            })
        };
        let calls = new.code.dynamic_calls.iter();
        calls.filter(|call| is_there(call)).collect()
    }

    /// Whether every one of these modules that runs now has a copy to go back to.
    pub fn undo_is_exact<'a>(&self, mut modules: impl Iterator<Item = &'a Module>) -> bool {
        modules.all(|module| {
            self.modules
                .get(module)
                .is_none_or(|changed| changed.loaded.is_none() || changed.old.is_some())
        })
    }

    /// The loops of special processes of the modules that run, by the running version as far as there is a copy of it.
    pub fn loops(&self) -> BTreeMap<Module, Vec<(String, u32)>> {
        let special = self.modules.iter().filter_map(|(module, changed)| {
            changed.loaded.as_ref()?;
            let beams = [&changed.old, &changed.new];
            let beam = beams.into_iter().flatten().find(|beam| {
                beam.facts.exports("system_code_change", 4)
                    || beam.facts.exports("system_continue", 3)
            })?;
            let loops = loops(&beam.bytes);
            (!loops.is_empty()).then(|| (module.clone(), loops))
        });
        special.collect()
    }

    /// The version that an application has after the upgrade: that of the specification beside the new beams, if there
    /// is one; empty for an application that does not run.
    pub fn new_vsn(&self, app: &App) -> &str {
        let new = self.specs.iter().find(|spec| spec.app == *app);
        let new = new.and_then(|spec| spec.vsn.as_ref());
        new.map_or_else(
            || self.app_vsn.get(app).map_or("", String::as_str),
            |(_, new)| new,
        )
    }

    /// What a behaviour is, whether it takes part or not.
    pub fn nature(&self, behaviour: &Module) -> Option<BehaviourInfo> {
        let new = self.modules.get(behaviour).and_then(|c| c.new.as_ref());
        let taking_part = new.map(|beam| BehaviourInfo {
            behaviours: beam.facts.behaviours.clone(),
            exports: beam.facts.exports.clone(),
        });
        taking_part.or_else(|| self.natures.get(behaviour).cloned())
    }
}
