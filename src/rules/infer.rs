//! Classes and conversions: from the new beam, the old one, and the processes that really run.

use std::collections::BTreeMap;

use super::children::renewal;
use super::{
    Change, Children, Class, ModuleRules, ModuleType, Purge, Renewal, Timeout, WithOrigin,
    app_children,
};
use crate::facts::beam::BeamFacts;
use crate::facts::change::{ChangeSet, Changed};
use crate::facts::node::behaviours::{BehaviourKind, ProcessKind};
use crate::facts::node::processes::{Example, ModuleProcesses, Start};
use crate::name::Module;
use crate::term::Term;

/// The rules of every module of a change set, before any plan.
pub fn infer(changes: &ChangeSet) -> BTreeMap<Module, ModuleRules> {
    changes
        .modules
        .iter()
        .map(|(module, changed)| (module.clone(), rules(changes, module, changed)))
        .collect()
}

fn rules(changes: &ChangeSet, module: &Module, changed: &Changed) -> ModuleRules {
    let (class, change) = match &changed.new {
        Some(new) => {
            let class = class(changes, changed, &new.facts);
            let change = change(changes, changed, class.value, &new.facts);
            (class, change)
        }
        None => (
            WithOrigin::inferred(Class::Library, "removed by the plan"),
            WithOrigin::default(Change::Soft),
        ),
    };
    let renewal = match class.value {
        Class::Supervisor => renewal(changes, module, changed),
        _ => Renewal::default(),
    };
    let listing = app_children::listing(changes, module, changed, class.value);
    ModuleRules {
        class,
        change,
        kind: WithOrigin::default(ModuleType::Dynamic),
        timeout: WithOrigin::default(Timeout::Default),
        pre_purge: WithOrigin::default(Purge::Defer),
        post_purge: WithOrigin::default(Purge::Defer),
        children: WithOrigin::default(Children::default()),
        renewal,
        listing,
        restart: WithOrigin::default(false),
        rehearse: WithOrigin::default(None),
    }
}

/// The class of a module: from the new beam, else from the old one (its processes are still there), else from its
/// processes, for those that say nothing of themselves.
fn class(changes: &ChangeSet, changed: &Changed, new: &BeamFacts) -> WithOrigin<Class> {
    let processes = &changed.module_processes;
    if let Some(found) = of_beam(changes, processes, new) {
        return found;
    }
    if let Some(found) = changed
        .old_facts()
        .and_then(|old| of_beam(changes, processes, old))
    {
        return WithOrigin::inferred(found.value, "its running version has processes of its own");
    }
    of_processes(processes, new)
        .unwrap_or_else(|| WithOrigin::inferred(Class::Library, "no behaviour with processes"))
}

/// What a beam declares or exports. A behaviour that wraps a server counts when processes show it.
fn of_beam(
    changes: &ChangeSet,
    processes: &ModuleProcesses,
    facts: &BeamFacts,
) -> Option<WithOrigin<Class>> {
    let found: Vec<(&Module, BehaviourKind)> = changes
        .declared(facts)
        .filter(|(_, behaves)| !behaves.wraps || processes.wrapped_in.is_some())
        .collect();
    let class = |behaves: &BehaviourKind| match behaves.runs {
        ProcessKind::Supervisor => Class::Supervisor,
        ProcessKind::Server(_) => Class::Server,
    };
    // A module may be a supervisor and something else, `application` for instance, in any order.
    // Which behaviour runs the processes is seen by these, where one of several is itself a supervisor's module.
    let runs = |(behaviour, _): &&(&Module, BehaviourKind)| {
        processes.wrapped_in.as_ref() == Some(*behaviour)
    };
    let first = found
        .iter()
        .find(runs)
        .or_else(|| {
            let mut found = found.iter();
            found.find(|(_, behaves)| class(behaves) == Class::Supervisor)
        })
        .or(found.first());
    if let Some((behaviour, behaves)) = first {
        let how = match &processes.wrapped_in {
            Some(_) if behaves.wraps && class(behaves) == Class::Server => {
                format!("behaviour {behaviour}, which runs it in servers of its own")
            }
            _ => format!("behaviour {behaviour}"),
        };
        return Some(WithOrigin::inferred(class(behaves), how));
    }
    if facts.exports("system_code_change", 4) {
        return Some(WithOrigin::inferred(
            Class::Server,
            "exports system_code_change/4",
        ));
    }
    let like_a_server = facts.exports("init", 1)
        && (facts.exports("handle_call", 3) || facts.exports("callback_mode", 0))
        && (facts.exports("code_change", 3) || facts.exports("code_change", 4));
    like_a_server.then(|| WithOrigin::inferred(Class::Server, "exports the callbacks of a server"))
}

/// What the running processes show of a module that declares nothing.
fn of_processes(processes: &ModuleProcesses, new: &BeamFacts) -> Option<WithOrigin<Class>> {
    let inferred = |class, what: &str, example: &Example| {
        let pid = Term::Pid(example.pid.clone());
        Some(WithOrigin::inferred(
            class,
            format!("{what}, such as {pid}"),
        ))
    };
    if let Some((_, example)) = processes.kinds.get(&Start::Supervisor) {
        return inferred(Class::Supervisor, "its processes are supervisors", example);
    }
    if let Some((_, example)) = processes.kinds.get(&Start::Bridge) {
        return inferred(Class::Server, "its processes are servers", example);
    }
    let looping = |start| {
        let kind = processes.kinds.get(&start);
        // Of one that hibernates no loop is seen, but what has found it may know its server.
        let hosted = start == Start::Init && processes.wrapped_in.is_some();
        kind.filter(|(_, example)| hosted || example.in_behaviour())
    };
    if let Some((_, example)) = looping(Start::Init).or_else(|| looping(Start::Entered)) {
        return inferred(Class::Server, "its processes are servers", example);
    }
    // An Elixir agent sits in the same loop and started in a function of a module that is no server.
    let callbacks = [
        ("handle_call", 3),
        ("handle_cast", 2),
        ("handle_info", 2),
        ("callback_mode", 0),
        ("handle_event", 4),
    ];
    let (_, example) = looping(Start::Other).filter(|_| {
        callbacks
            .iter()
            .any(|(name, arity)| new.exports(name, *arity))
    })?;
    inferred(Class::Server, "its processes became servers", example)
}

fn change(
    changes: &ChangeSet,
    changed: &Changed,
    class: Class,
    new: &BeamFacts,
) -> WithOrigin<Change> {
    let nothing = || Change::Advanced(Term::List(Vec::new()));
    match class {
        Class::Library => WithOrigin::default(Change::Soft),
        Class::Supervisor => {
            WithOrigin::inferred(nothing(), "supervisors renew their specifications")
        }
        Class::Server => match converter(changes, changed, new) {
            Some(function) => WithOrigin::inferred(nothing(), format!("exports {function}")),
            None => WithOrigin::inferred(
                Change::Soft,
                match &changed.module_processes.wrapped_in {
                    Some(behaviour) if exports_code_change(new) => {
                        format!("{behaviour} exports no code_change: suspended, not converted")
                    }
                    _ => "exports no code_change: suspended, not converted".to_owned(),
                },
            ),
        },
    }
}

fn exports_code_change(facts: &BeamFacts) -> bool {
    facts.exports("code_change", 3) || facts.exports("code_change", 4)
}

/// The conversion callback that a server's module exports and its behaviour calls.
pub fn converter(
    changes: &ChangeSet,
    changed: &Changed,
    facts: &BeamFacts,
) -> Option<&'static str> {
    let behaviours: Vec<Option<u32>> = changes
        .declared(facts)
        .filter_map(|(_, behaves)| match behaves.runs {
            ProcessKind::Server(arity) => Some(arity),
            ProcessKind::Supervisor => None,
        })
        .collect();
    // The code of wrapped processes is the wrapper's first: without its own code_change nothing is called.
    if let Some(wrapper) = &changed.module_processes.wrapped_in
        && let Some(nature) = changes.nature(wrapper)
        && !nature
            .exports
            .iter()
            .any(|f| f.is("code_change", 3) || f.is("code_change", 4))
    {
        return None;
    }
    let open = behaviours.is_empty() || behaviours.contains(&None);
    let has =
        |arity| facts.exports("code_change", arity) && (open || behaviours.contains(&Some(arity)));
    if facts.exports("system_code_change", 4) && behaviours.is_empty() {
        return Some("system_code_change/4");
    }
    if has(3) {
        return Some("code_change/3");
    }
    has(4).then_some("code_change/4")
}
