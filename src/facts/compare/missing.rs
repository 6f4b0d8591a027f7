//! New modules that only changed ones call, and functions that new versions call and that are not there.
//!
//! A node in embedded mode loads nothing by being called: a module that no specification lists has to come with its
//! callers. What cannot be found anywhere is noted, as far as the running version of the caller does not call it
//! already: optional libraries are asked for and called only where they are present.

use std::collections::{BTreeMap, BTreeSet};

use super::compared_node::ComparedNode;
use crate::diag::Result;
use crate::facts::beam::{BeamFacts, Evidence};
use crate::facts::change::{Beam, Changed, Notice};
use crate::facts::node::queries;
use crate::name::{Mfa, Module};

/// What the new versions call that neither the node nor the upgrade has.
pub(super) fn missing(
    node: &ComparedNode<'_>,
    modules: &BTreeMap<Module, Changed>,
) -> Result<Vec<Notice>> {
    let calls: Vec<(Module, Vec<Mfa>)> = modules
        .iter()
        .filter_map(|(module, changed)| {
            let new = &changed.new.as_ref()?.facts;
            // Without a copy of the running version nothing shows what is called anew; tasks of mix run elsewhere.
            let unknown = changed.loaded.is_some() && changed.old.is_none();
            if unknown || module.as_str().starts_with("Elixir.Mix.Tasks.") {
                return None;
            }
            let before = changed.former_facts().map(|old| &old.imports);
            let calls = new.imports.iter().filter(|call| call.module != *module);
            let calls = calls.filter(|call| before.is_none_or(|before| !before.contains(*call)));
            Some((module.clone(), calls.cloned().collect()))
        })
        .filter(|(_, calls): &(_, Vec<Mfa>)| !calls.is_empty())
        .collect();
    let called: BTreeSet<Module> = calls
        .iter()
        .flat_map(|(_, calls)| calls.iter().map(|call| call.module.clone()))
        .filter(|callee| !modules.contains_key(callee))
        .collect();
    let known = queries::natures(node.session, node.facts, &called)?;
    let unloaded: Vec<&Module> = called.iter().filter(|m| !known.contains_key(*m)).collect();
    let nowhere = nowhere(node, &unloaded)?;
    let mut notices = Vec::new();
    for (module, calls) in calls {
        let is_missing = |call: &Mfa| -> bool {
            if let Some(changed) = modules.get(&call.module) {
                return changed.new.is_some() && !changed.has(call);
            }
            match known.get(&call.module) {
                Some(nature) => !nature.exports.contains(&call.function_arity()),
                None => nowhere.contains(&call.module),
            }
        };
        let functions: Vec<Mfa> = calls.into_iter().filter(is_missing).collect();
        if !functions.is_empty() {
            notices.push(Notice::Missing { module, functions });
        }
    }
    Ok(notices)
}

/// Those of the modules that are not loaded which a call would not find.
fn nowhere(node: &ComparedNode<'_>, unloaded: &[&Module]) -> Result<BTreeSet<Module>> {
    let all: Vec<Module> = unloaded.iter().map(|module| (*module).clone()).collect();
    if node.facts.embedded || all.is_empty() {
        return Ok(all.into_iter().collect());
    }
    let files = queries::where_is_file(node.session, &all)?;
    let found = all.into_iter().zip(files);
    Ok(found
        .filter(|(_, file)| file.is_none())
        .map(|(module, _)| module)
        .collect())
}

/// Which of some modules these beams call, or name where that means the module, each with one of its callers.
pub(super) fn called(
    beams: &BTreeMap<Module, Beam>,
    candidates: &BTreeSet<Module>,
) -> BTreeMap<Module, Module> {
    let mut found = BTreeMap::new();
    if candidates.is_empty() {
        return found;
    }
    for (caller, beam) in beams {
        let Ok(facts) = BeamFacts::read_whole(&beam.bytes, candidates) else {
            continue;
        };
        let imports = facts.imports.iter().map(|call| &call.module);
        // An atom may be anything, and one that begins with `Elixir.` is a module.
        let hidden = facts.code.hidden.iter().filter(|hidden| {
            let bare = matches!(
                hidden.evidence,
                Evidence::AtomInCode | Evidence::AtomInLiteral
            );
            !bare || hidden.module.as_str().starts_with("Elixir.")
        });
        for module in imports.chain(hidden.map(|hidden| &hidden.module)) {
            if candidates.contains(module) {
                found
                    .entry(module.clone())
                    .or_insert_with(|| caller.clone());
            }
        }
    }
    found
}
