//! What differs around the modules: specifications, environments, folders, the release.

use std::collections::BTreeMap;

use crate::name::{App, Module};
use crate::term::{Atom, Term};

/// An application whose code path is switched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSwitch {
    /// The application.
    pub app: App,
    /// The name by which `code:replace_path/2` knows the folder.
    pub name: String,
    /// The folder of beams that runs.
    pub from: String,
    /// The folder of the new version.
    pub to: String,
}

/// What modules of an application were compiled with, and the node does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct CompileEnv {
    /// The application with the modules.
    pub app: App,
    /// Its specification.
    pub file: String,
    /// The application that is configured.
    pub of: App,
    /// The key, and those in its value.
    pub path: Vec<Term>,
    /// What it was; `None` where it was not set.
    pub compiled: Option<Term>,
    /// What it is on the node.
    pub runs: Option<Term>,
}

/// How a new specification differs from the running application.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecChange {
    /// The application.
    pub app: App,
    /// The file.
    pub file: String,
    /// The versions, running and new, when they differ.
    pub vsn: Option<(String, String)>,
    /// Modules that only the new one lists.
    pub added: Vec<Module>,
    /// Modules that only the running one lists.
    pub removed: Vec<Module>,
    /// What would become of the keys of `env`.
    pub env: Vec<EnvChange>,
    /// The callback module of the application, which is notified when `env` changes.
    pub callback: Option<Module>,
}

/// A key of an application's `env` that a new specification changes.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvChange {
    /// The key.
    pub key: Atom,
    /// What it is now; `None` for a key that is new.
    pub was: Option<Term>,
    /// The new default; `None` for a key that goes.
    pub new: Option<Term>,
}

/// How the release that new beams belong to differs from what runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReleaseChange {
    /// Its version.
    pub vsn: String,
    /// Its folder, `ROOT/releases/VSN`.
    pub folder: String,
    /// The keys of its `sys.config` that differ.
    pub config: BTreeMap<App, Vec<Atom>>,
    /// Why its `sys.config` cannot be compared key by key, when it differs.
    pub unread: Option<String>,
    /// What differs in `runtime.exs`, as `depot: port`; empty when that does not show. `None` when nothing differs.
    pub runtime: Option<Vec<String>>,
    /// Elixir and the run-time system, where the release was made with a newer one: name, its version, the node's.
    pub newer: Vec<(String, String, String)>,
}

impl ReleaseChange {
    /// Whether the configuration differs.
    pub fn is_reconfigured(&self) -> bool {
        !self.config.is_empty() || self.unread.is_some() || self.runtime.is_some()
    }
}
