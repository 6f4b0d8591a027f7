//! Callers of functions that will not be there any more: changed modules in their new version, and all others as
//! they run.
//!
//! The emulator does not tell what a loaded module imports, so the files of unchanged modules are looked at: those
//! in which the name occurs at all are found where they are, and only these are read. Asked only when a module is
//! deleted or loses functions.

use std::collections::{BTreeMap, BTreeSet};

use super::compared_node::ComparedNode;
use crate::diag::Result;
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Caller, Changed, RemovedModule};
use crate::facts::node::node_facts::CodeOrigin;
use crate::name::{FunctionArity, Mfa, Module};

/// Functions that go: all of a module's, or some.
type RemovedFunctions = BTreeMap<Module, Option<BTreeSet<FunctionArity>>>;

/// The callers of modules that are gone, and of functions that the new version of a module does not export any more, by
/// the module that they call. Those that go by the plan are reported with their callers, as those whose file has gone.
pub(super) fn callers(
    node: &mut ComparedNode<'_>,
    modules: &BTreeMap<Module, Changed>,
    gone: &[RemovedModule],
) -> Result<BTreeMap<Module, Vec<Caller>>> {
    let going = going(modules, gone);
    let facts = node.facts;
    let mut found: BTreeMap<Module, Vec<Caller>> = BTreeMap::new();
    if going.is_empty() {
        return Ok(found);
    }
    for (module, changed) in modules {
        if let Some(new) = &changed.new {
            add(&mut found, &going, module, &new.facts, true);
        }
    }
    let mut others: Vec<(&Module, &str)> = facts
        .loaded
        .iter()
        .filter(|(module, _)| !modules.contains_key(*module) && !going.contains_key(*module))
        .filter_map(|(module, loaded)| match &loaded.origin {
            CodeOrigin::File(file) if file.ends_with(".beam") => Some((module, file.as_str())),
            _ => None,
        })
        .collect();
    let core: BTreeSet<&Module> = facts.core().collect();
    others.retain(|(module, _)| !core.contains(module));
    let files: Vec<String> = others.iter().map(|(_, file)| (*file).to_owned()).collect();
    let names: Vec<&str> = going.keys().map(Module::as_str).collect();
    let naming = node.disk.naming(&files, &names)?;
    let files: Vec<String> = naming.into_iter().map(|at| files[at].clone()).collect();
    for bytes in node.disk.read(&files)?.into_iter().flatten() {
        let Ok(beam) = BeamFacts::read(&bytes) else {
            continue;
        };
        let runs = facts.loaded.get(&beam.module).map(|loaded| loaded.md5);
        if runs == Some(beam.digests.on(facts.otp)) {
            add(&mut found, &going, &beam.module, &beam, false);
        }
    }
    Ok(found)
}

/// What goes.
fn going(modules: &BTreeMap<Module, Changed>, gone: &[RemovedModule]) -> RemovedFunctions {
    let gone = gone.iter().map(|gone| (gone.module.clone(), None));
    let lost = modules.iter().filter_map(|(module, changed)| {
        let (loaded, new) = (changed.loaded.as_ref()?, changed.new.as_ref()?);
        let lost = loaded.exports.difference(&new.facts.exports);
        let lost: BTreeSet<_> = lost.cloned().collect();
        (!lost.is_empty()).then(|| (module.clone(), Some(lost)))
    });
    gone.chain(lost).collect()
}

fn add(
    found: &mut BTreeMap<Module, Vec<Caller>>,
    going: &RemovedFunctions,
    module: &Module,
    beam: &BeamFacts,
    changed: bool,
) {
    let mut calls: BTreeMap<&Module, Vec<Mfa>> = BTreeMap::new();
    for callee in &beam.imports {
        let Some(functions) = going.get(&callee.module) else {
            continue;
        };
        let name = callee.function_arity();
        if callee.module != *module && functions.as_ref().is_none_or(|f| f.contains(&name)) {
            calls
                .entry(&callee.module)
                .or_default()
                .push(callee.clone());
        }
    }
    for (callee, functions) in calls {
        found.entry(callee.clone()).or_default().push(Caller {
            module: module.clone(),
            functions,
            changed,
        });
    }
}
