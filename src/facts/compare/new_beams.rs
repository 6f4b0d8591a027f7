//! What looking for new code gives, on the node's disk or among pushed files.

use std::collections::BTreeMap;

use crate::facts::change::{
    Beam, CompileEnv, Notice, ReleaseChange, RemovedModule, SkipReason, SpecChange,
};
use crate::name::Module;

/// The beams that differ from what runs, and what was noticed on the way.
#[derive(Debug, Default)]
pub(super) struct NewBeams {
    /// The beams.
    pub(super) beams: BTreeMap<Module, Beam>,
    /// Modules that differ and cannot be taken.
    pub(super) untouched: Vec<(Module, SkipReason)>,
    /// Loaded modules that the new version does not have; their callers are not known yet.
    pub(super) gone: Vec<RemovedModule>,
    /// How many modules were compared.
    pub(super) compared: usize,
    /// Those of them that are what they were.
    pub(super) same: Vec<Module>,
    /// What is worth a word.
    pub(super) notices: Vec<Notice>,
    /// Specifications that differ.
    pub(super) specs: Vec<SpecChange>,
    /// What new versions were compiled with, where the node has something else.
    pub(super) compile_env: Vec<CompileEnv>,
    /// New modules that no specification lists, each with a changed module that calls it.
    pub(super) called: BTreeMap<Module, Module>,
    /// What the release brings beside the beams.
    pub(super) release: Option<ReleaseChange>,
}
