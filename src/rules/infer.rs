//! Classes and conversions, from what the new beams are.

use std::collections::BTreeMap;

use super::{Change, Class, Kind, ModuleRules, Purge, Ruled, Timeout};
use crate::facts::beam::BeamFacts;
use crate::facts::change::{ChangeSet, Changed};
use crate::name::Module;
use crate::term::Term;

/// Behaviours whose processes are supervisors.
const SUPERVISORS: &[&str] = &[
    "supervisor",
    "Elixir.Supervisor",
    "Elixir.DynamicSupervisor",
];

/// Behaviours whose processes are servers, and the arity of their `code_change`.
const SERVERS: &[(&str, u32)] = &[
    ("gen_server", 3),
    ("Elixir.GenServer", 3),
    ("gen_statem", 4),
    ("gen_event", 3),
    ("Elixir.GenEvent", 3),
    ("gen_fsm", 4),
    ("Elixir.GenStage", 3),
];

/// The rules of every module of a change set, before any plan.
pub fn infer(changes: &ChangeSet) -> BTreeMap<Module, ModuleRules> {
    changes
        .modules
        .iter()
        .map(|(module, changed)| (module.clone(), rules(changed)))
        .collect()
}

fn rules(changed: &Changed) -> ModuleRules {
    let (class, change) = match &changed.new {
        Some(new) => {
            let class = class(&new.facts, changed.old_facts());
            let change = change(class.value, &new.facts);
            (class, change)
        }
        None => (
            Ruled::inferred(Class::Plain, "deleted in the new version"),
            Ruled::default(Change::Soft),
        ),
    };
    ModuleRules {
        class,
        change,
        kind: Ruled::default(Kind::Dynamic),
        timeout: Ruled::default(Timeout::Default),
        pre_purge: Ruled::default(Purge::Soft),
        post_purge: Ruled::default(Purge::Soft),
    }
}

/// The class of a module: from the new beam, else from the old one (its processes are still there).
fn class(new: &BeamFacts, old: Option<&BeamFacts>) -> Ruled<Class> {
    if let Some(found) = class_of(new) {
        return found;
    }
    match old.and_then(class_of) {
        Some(found) => Ruled::inferred(found.value, "its running version has processes of its own"),
        None => Ruled::inferred(Class::Plain, "no behaviour with processes"),
    }
}

fn class_of(facts: &BeamFacts) -> Option<Ruled<Class>> {
    if let Some(found) = facts
        .behaviours
        .iter()
        .find(|b| SUPERVISORS.contains(&b.as_str()))
    {
        return Some(Ruled::inferred(
            Class::Supervisor,
            format!("behaviour {found}"),
        ));
    }
    if let Some(found) = facts
        .behaviours
        .iter()
        .find(|b| SERVERS.iter().any(|(s, _)| *s == b.as_str()))
    {
        return Some(Ruled::inferred(Class::Server, format!("behaviour {found}")));
    }
    if facts.exports("system_code_change", 4) {
        return Some(Ruled::inferred(
            Class::Server,
            "exports system_code_change/4",
        ));
    }
    let like_a_server = facts.exports("init", 1)
        && (facts.exports("handle_call", 3) || facts.exports("callback_mode", 0))
        && (facts.exports("code_change", 3) || facts.exports("code_change", 4));
    like_a_server.then(|| Ruled::inferred(Class::Server, "exports the callbacks of a server"))
}

fn change(class: Class, new: &BeamFacts) -> Ruled<Change> {
    let nothing = || Change::Advanced(Term::List(Vec::new()));
    match class {
        Class::Plain => Ruled::default(Change::Soft),
        Class::Supervisor => Ruled::inferred(nothing(), "supervisors renew their specifications"),
        Class::Server => match converter(new) {
            Some(function) => Ruled::inferred(nothing(), format!("exports {function}")),
            None => Ruled::inferred(
                Change::Soft,
                "exports no code_change: suspended, not converted",
            ),
        },
    }
}

/// The conversion callback that a server's module exports and its behaviour calls.
pub fn converter(facts: &BeamFacts) -> Option<&'static str> {
    let arities: Vec<u32> = SERVERS
        .iter()
        .filter(|(name, _)| facts.behaviours.iter().any(|b| b.as_str() == *name))
        .map(|(_, arity)| *arity)
        .collect();
    let has = |arity| {
        facts.exports("code_change", arity) && (arities.is_empty() || arities.contains(&arity))
    };
    if facts.exports("system_code_change", 4) && arities.is_empty() {
        return Some("system_code_change/4");
    }
    if has(3) {
        return Some("code_change/3");
    }
    has(4).then_some("code_change/4")
}
