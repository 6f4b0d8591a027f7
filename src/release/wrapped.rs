//! Behaviours of an application that run their callback modules in servers of their own, without a node.
//!
//! A run sees the processes; here the behaviour's own beam says what it is, and child specifications say whose processes
//! the servers are: OTP's release handler finds them by `modules`, whatever they execute.

use std::collections::{BTreeMap, BTreeSet};

use super::infer::Beams;
use crate::facts::beam::children::{Child, listed, specified};
use crate::facts::change::{Beam, ChangeSet};
use crate::facts::node::behaviours::{BehaviourKind, ProcessKind, behaves};
use crate::facts::node::queries::BehaviourInfo;
use crate::name::Module;

/// What is known of all modules of both versions as behaviours.
pub(super) fn natures(old: &Beams, new: &Beams) -> BTreeMap<Module, BehaviourInfo> {
    let beams = old.iter().chain(new);
    let nature = |(module, beam): (&Module, &Beam)| {
        let info = BehaviourInfo {
            behaviours: beam.facts.behaviours.clone(),
            exports: beam.facts.exports.clone(),
        };
        (module.clone(), info)
    };
    beams.map(nature).collect()
}

/// The modules that child specifications of either version name.
pub(super) fn named(
    old: &Beams,
    new: &Beams,
    natures: &BTreeMap<Module, BehaviourInfo>,
) -> BTreeSet<Module> {
    let about = |name: &Module| natures.get(name).cloned();
    let mut found = BTreeSet::new();
    for beams in [old, new] {
        let world = |module: &Module| beams.get(module).map(|beam| &*beam.bytes);
        for (module, beam) in beams {
            let mut behaviours = beam.facts.behaviours.iter();
            let supervises = behaviours.any(|behaviour| {
                behaves(behaviour, &about)
                    .is_some_and(|found| found.runs == ProcessKind::Supervisor)
            });
            let children: Vec<Child> = if supervises {
                specified(module, &world).children
            } else if beam.facts.exports("start", 2) {
                let listed = listed(module, &world);
                let children = listed.into_iter().flat_map(|listed| listed.children);
                children.map(|listed| listed.child).collect()
            } else {
                Vec::new()
            };
            found.extend(
                children
                    .into_iter()
                    .filter_map(|child| child.modules)
                    .flatten(),
            );
        }
    }
    found
}

/// Says of the modules that specifications name which behaviour runs them.
pub(super) fn tell(changes: &mut ChangeSet, named: &BTreeSet<Module>) {
    let mut wrapped = Vec::new();
    for (module, changed) in changes.modules.iter().filter(|(m, _)| named.contains(*m)) {
        let Some(new) = &changed.new else { continue };
        let wraps = |(_, kind): &(&Module, BehaviourKind)| {
            kind.wraps && matches!(kind.runs, ProcessKind::Server(_))
        };
        if let Some((behaviour, _)) = changes.declared(&new.facts).find(wraps) {
            wrapped.push((module.clone(), behaviour.clone()));
        }
    }
    for (module, behaviour) in wrapped {
        if let Some(changed) = changes.modules.get_mut(&module) {
            changed.module_processes.wrapped_in = Some(behaviour);
        }
    }
}
