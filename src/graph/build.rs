//! From the facts of old and new beams to edges.
//!
//! `calls` edges equal what xref finds in modules mode (its query `strict ME || AM`),
//! `needs` and `loses` come from comparing exports of both versions, the rest from what the code shows.

use std::collections::{BTreeMap, BTreeSet};

use super::{Graph, Reason};
use crate::facts::beam::bifs::bifs;
use crate::facts::beam::{BeamFacts, Evidence, HiddenRef};
use crate::facts::change::{ChangeSet, Changed};
use crate::name::{FunctionArity, Mfa, Module};
use crate::term::Atom;

/// The graph of all modules in a change set.
pub fn build(changes: &ChangeSet) -> Graph {
    let mut graph = Graph::new(changes.modules.keys().cloned());
    let owners = name_owners(changes);
    for (module, changed) in &changes.modules {
        if let Some(new) = &changed.new {
            calls(&mut graph, changes, module, &new.facts);
            hidden(&mut graph, changes, module, &new.facts);
            sends(&mut graph, &owners, module, &new.facts);
            for behaviour in &new.facts.behaviours {
                graph.add(module, behaviour, Reason::Behaviour);
            }
        }
        loses(&mut graph, changes, module, changed);
    }
    graph
}

/// The graph of the calls between any modules, as an OTP of release `otp` sees them: nothing is new or
/// old here, so there are soft edges only.
pub fn of_beams(beams: &[BeamFacts], otp: u32) -> Graph {
    let bifs = bifs(otp);
    let mut graph = Graph::new(beams.iter().map(|facts| facts.module.clone()));
    for facts in beams {
        for callee in facts.imports.iter().filter(|callee| !bifs.contains(callee)) {
            let reason = Reason::Calls {
                callee: callee.clone(),
                from: None,
            };
            graph.add(&facts.module, &callee.module, reason);
        }
    }
    graph
}

/// `module_info/0,1`: the compiler writes it into every module.
fn is_about_itself(callee: &Mfa) -> bool {
    &*callee.function == "module_info" && callee.arity < 2
}

/// Call edges, and for each whether the callee's new version is needed.
fn calls(graph: &mut Graph, changes: &ChangeSet, module: &Module, new: &BeamFacts) {
    // What every module answers in every version makes nothing wait.
    for callee in new.imports.iter().filter(|callee| !is_about_itself(callee)) {
        let Some(other) = changes.modules.get(&callee.module) else {
            continue;
        };
        let needed = !other.had(callee) && other.has(callee);
        let sites: Vec<_> = new
            .code
            .call_sites
            .iter()
            .filter(|site| site.to == *callee)
            .map(|site| site.from.clone())
            .collect();
        let reason = |from| {
            let callee = callee.clone();
            if needed {
                Reason::Needs { callee, from }
            } else {
                Reason::Calls { callee, from }
            }
        };
        if sites.is_empty() {
            graph.add(module, &callee.module, reason(None));
        }
        for site in sites {
            graph.add(module, &callee.module, reason(Some(site)));
        }
    }
}

/// The old version of `module` calls functions that others lose: those others wait for `module`.
fn loses(graph: &mut Graph, changes: &ChangeSet, module: &Module, changed: &Changed) {
    let Some(old) = changed.old_facts() else {
        return;
    };
    for callee in &old.imports {
        let Some(other) = changes.modules.get(&callee.module) else {
            continue;
        };
        if other.had(callee) && !other.has(callee) {
            let from = old
                .code
                .call_sites
                .iter()
                .find(|site| site.to == *callee)
                .map(|site| site.from.clone());
            graph.add(
                &callee.module,
                module,
                Reason::Loses {
                    callee: callee.clone(),
                    from,
                },
            );
        }
    }
}

/// References in code and literals. Bare atoms only count when nothing better is known about the pair.
fn hidden(graph: &mut Graph, changes: &ChangeSet, module: &Module, new: &BeamFacts) {
    for seen in &new.code.hidden {
        if seen.evidence == Evidence::MfaLiteral && !is_function(changes, seen) {
            continue; // any `{Atom, Atom, List}` has this form
        }
        if matches!(
            seen.evidence,
            Evidence::AtomInCode | Evidence::AtomInLiteral
        ) && graph.edge(module, &seen.module).is_some()
        {
            continue;
        }
        let function = seen.function.as_ref().map(|(name, arity)| match arity {
            Some(arity) => Mfa {
                module: seen.module.clone(),
                function: name.clone(),
                arity: *arity,
            }
            .to_string(),
            None => format!("{}:{name}", seen.module),
        });
        let reason = Reason::Hidden {
            evidence: seen.evidence,
            function,
            from: seen.from.clone(),
        };
        graph.add(module, &seen.module, reason);
    }
}

/// Which module registers a name.
pub(crate) fn name_owners(changes: &ChangeSet) -> BTreeMap<Atom, Module> {
    let mut owners = BTreeMap::new();
    for (module, changed) in &changes.modules {
        let Some(new) = &changed.new else { continue };
        for name in &new.facts.code.registers {
            owners.insert(name.clone(), module.clone());
        }
    }
    // A server registered under its module's own name needs no further evidence.
    for module in changes.modules.keys() {
        owners
            .entry(Atom::new(module.as_str()))
            .or_insert_with(|| module.clone());
    }
    owners
}

fn sends(graph: &mut Graph, owners: &BTreeMap<Atom, Module>, module: &Module, new: &BeamFacts) {
    for (name, from) in &new.code.sends_to {
        if let Some(owner) = owners.get(name) {
            graph.add(
                module,
                owner,
                Reason::Sends {
                    name: name.clone(),
                    from: from.clone(),
                },
            );
        }
    }
}

/// Whether a literal that looks like a function is one: the module exports it, before or after.
pub(crate) fn is_function(changes: &ChangeSet, seen: &HiddenRef) -> bool {
    let (Some(other), Some((name, arity))) = (changes.modules.get(&seen.module), &seen.function)
    else {
        return false;
    };
    let exports = |functions: &BTreeSet<FunctionArity>| {
        functions
            .iter()
            .any(|f| f.name == *name && arity.is_none_or(|arity| arity == f.arity))
    };
    other
        .new
        .as_ref()
        .is_some_and(|beam| exports(&beam.facts.exports))
        || other
            .loaded
            .as_ref()
            .is_some_and(|loaded| exports(&loaded.exports))
}
