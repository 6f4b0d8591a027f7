//! What is in doubt, left alone, or goes, each with the reason.

use crate::name::{App, Mfa, Module};

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
    /// Loaded from a file that is not there, by a name relative to the node's current folder.
    NotFound(String),
    /// Loaded from one file, while the code path leads to another one that differs.
    Elsewhere {
        /// What runs.
        loaded: String,
        /// What the code path has.
        path: String,
    },
    /// A protocol that runs consolidated, and only an unconsolidated beam is offered.
    Unconsolidated,
    /// Part of kernel or stdlib, which the upgrade itself uses.
    Core,
}

/// A loaded module that the new version does not have any more, or that the plan removes: then it takes part.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedModule {
    /// The module.
    pub module: Module,
    /// How that is known.
    pub how: RemovalCause,
    /// Its callers after the upgrade: changed modules in their new version, others as they run.
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
        /// Their callers.
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
