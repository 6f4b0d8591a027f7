//! The change set: what differs between the running code and the new beams, by MD5 and never by vsn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::beam::BeamFacts;
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
pub struct Loaded {
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
    pub loaded: Option<Loaded>,
    /// The new version; `None` for a module to delete.
    pub new: Option<Beam>,
    /// A copy of the running version, proven by MD5, to go back to.
    pub old: Option<Beam>,
    /// The application whose `modules` name it, if any.
    pub app: Option<App>,
    /// Processes that run it, found by their initial call.
    pub processes: usize,
}

impl Changed {
    /// Facts of the running version, when a copy of it was found.
    pub fn old_facts(&self) -> Option<&BeamFacts> {
        self.old.as_ref().map(|beam| &beam.facts)
    }

    /// Whether the running version exports a function.
    pub fn had(&self, function: &Mfa) -> bool {
        self.loaded.as_ref().is_some_and(|l| {
            l.exports
                .contains(&(function.function.clone(), function.arity))
        })
    }

    /// Whether the new version exports a function.
    pub fn has(&self, function: &Mfa) -> bool {
        self.new.as_ref().is_some_and(|n| {
            n.facts
                .exports
                .contains(&(function.function.clone(), function.arity))
        })
    }

    /// Whether the module is not loaded yet.
    pub fn is_new(&self) -> bool {
        self.loaded.is_none()
    }
}

/// Why a module that differs is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untouched {
    /// In a sticky directory.
    Sticky,
    /// Preloaded into the emulator.
    Preloaded,
    /// Cover compiled.
    Cover,
    /// Loaded from another file than the one compared.
    OtherFile,
    /// Part of kernel or stdlib, which the upgrade itself stands on.
    Core,
}

/// Everything that differs.
#[derive(Clone, Debug, Default)]
pub struct ChangeSet {
    /// The modules that take part, by name.
    pub modules: BTreeMap<Module, Changed>,
    /// Modules that differ and cannot be taken.
    pub untouched: Vec<(Module, Untouched)>,
    /// Loaded modules whose file is gone.
    pub gone: Vec<Module>,
    /// How many modules were compared.
    pub compared: usize,
    /// Version of each application that runs.
    pub app_vsn: BTreeMap<App, String>,
}

impl ChangeSet {
    /// Whether every one of these modules that runs now has a copy to go back to.
    pub fn undo_is_exact<'a>(&self, mut modules: impl Iterator<Item = &'a Module>) -> bool {
        modules.all(|module| {
            self.modules
                .get(module)
                .is_none_or(|changed| changed.loaded.is_none() || changed.old.is_some())
        })
    }
}
