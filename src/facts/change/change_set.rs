//! The change set itself.

use std::collections::{BTreeMap, BTreeSet};

use super::applications::{CompileEnv, PathSwitch, ReleaseChange, SpecChange};
use super::changed::Changed;
use super::notice::{Notice, RemovedModule, SkipReason};
use crate::facts::beam::{BeamFacts, DynamicCall};
use crate::facts::node::behaviours::{BehaviourKind, behaves};
use crate::facts::node::old_code::OldCodeUse;
use crate::facts::node::queries::BehaviourInfo;
use crate::name::{App, FunctionArity, Mfa, Module};

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

    /// The loops of special processes, by module; see [`Changed::loops`].
    pub fn loops(&self) -> BTreeMap<Module, Vec<FunctionArity>> {
        let loops = self.modules.iter();
        let loops = loops.map(|(module, changed)| (module.clone(), changed.loops()));
        loops.filter(|(_, loops)| !loops.is_empty()).collect()
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
        nature(&self.modules, &self.natures, behaviour)
    }

    /// What a module's beam declares: its behaviours that have processes, in order.
    pub fn declared<'a>(
        &'a self,
        facts: &'a BeamFacts,
    ) -> impl Iterator<Item = (&'a Module, BehaviourKind)> {
        let behaviours = facts.behaviours.iter();
        behaviours.filter_map(|b| Some((b, behaves(b, &|name| self.nature(name))?)))
    }
}

/// What a behaviour is, whether it is among the modules that take part or not.
pub(in crate::facts) fn nature(
    modules: &BTreeMap<Module, Changed>,
    others: &BTreeMap<Module, BehaviourInfo>,
    behaviour: &Module,
) -> Option<BehaviourInfo> {
    let new = modules.get(behaviour).and_then(|c| c.new.as_ref());
    let taking_part = new.map(|beam| BehaviourInfo {
        behaviours: beam.facts.behaviours.clone(),
        exports: beam.facts.exports.clone(),
    });
    taking_part.or_else(|| others.get(behaviour).cloned())
}
