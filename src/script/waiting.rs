//! W637: a conversion that calls a process which is suspended in the same window.
//!
//! Takes the new code of the modules that are converted, and the script; says of each call in `code_change`, in a
//! supervisor's new `init/1` and in what these reach, whether the process that it names is suspended by then. Only names
//! in the code are known: a process that is called by its pid is not seen.

use std::collections::BTreeSet;

use super::instruction::Instruction;
use super::lower::Script;
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::code::effects::{EffectSite, verdict};
use crate::facts::change::ChangeSet;
use crate::graph::order::Component;
use crate::name::Module;
use crate::rules::{Change, Class, Cycle, Origin, Ruleset};
use crate::term::Atom;

/// How many calls of one conversion are named.
const NAMED: usize = 5;

/// Modules whose functions wait for an answer of the process that is their first argument.
const CALLS: &[&str] = &[
    "gen_server:call/",
    "gen_statem:call/",
    "gen_event:call/",
    "gen_event:sync_notify/",
    "gen_event:which_handlers/",
    "supervisor:which_children/",
    "supervisor:count_children/",
    "supervisor:start_child/",
    "supervisor:terminate_child/",
    "supervisor:restart_child/",
    "supervisor:delete_child/",
    "Elixir.GenServer:call/",
    "Elixir.Agent:get/",
    "Elixir.Agent:update/",
    "Elixir.Agent:get_and_update/",
    "Elixir.Supervisor:which_children/",
    "Elixir.Supervisor:start_child/",
    "Elixir.DynamicSupervisor:which_children/",
    "Elixir.DynamicSupervisor:start_child/",
];

/// One diagnostic for each conversion that waits for processes of its own window.
pub fn advice(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut suspended: BTreeSet<&Module> = BTreeSet::new();
    for instruction in &script.low {
        match instruction {
            Instruction::Suspend(modules) => {
                suspended.extend(modules.iter().map(|(module, _)| module));
            }
            Instruction::Resume(modules) => {
                for module in modules {
                    suspended.remove(module);
                }
            }
            Instruction::CodeChange { modules, .. } => {
                for (module, change) in modules {
                    found.extend(conversion(changes, rules, &suspended, module, change));
                }
            }
            _ => {}
        }
    }
    found
}

fn conversion(
    changes: &ChangeSet,
    rules: &Ruleset,
    suspended: &BTreeSet<&Module>,
    module: &Module,
    change: &Change,
) -> Option<Diagnostic> {
    let decided = rules.modules.get(module)?;
    let changed = changes.modules.get(module)?;
    if changed.is_new() || changed.processes == 0 {
        return None;
    }
    let new = |module: &Module| changes.modules.get(module)?.new.as_ref();
    let world = |module: &Module| new(module).map(|new| &new.bytes[..]);
    let does = match (change, decided.class.value) {
        (Change::Advanced(_), Class::Supervisor) => verdict(module, &[("init", 1)], &world),
        (Change::Advanced(_), _) => {
            let entries = [
                ("code_change", 3),
                ("code_change", 4),
                ("system_code_change", 4),
            ];
            verdict(module, &entries, &world)
        }
        (Change::Convert { module, function }, _) => {
            verdict(module, &[(function.as_str(), 1)], &world)
        }
        (Change::Soft, _) => return None,
    };
    let mut calls: Vec<(&EffectSite, Atom, &Module)> = Vec::new();
    for place in does.places.iter().filter(|place| waits(place)) {
        let Some(new) = new(&place.module) else {
            continue;
        };
        let named = new.facts.code.sends_to.iter().filter(|(_, from)| {
            from.name == place.function.name && from.arity == place.function.arity
        });
        for (name, _) in named {
            if let Some(server) = server(changes, suspended, name)
                && !calls.iter().any(|(_, known, _)| known == name)
            {
                calls.push((place, name.clone(), server));
            }
        }
    }
    let (_, first, _) = calls.first()?;
    let title = match calls.len() {
        1 => format!("the conversion of `{module}` calls `{first}`, which is suspended meanwhile"),
        number => {
            format!(
                "the conversion of `{module}` calls {number} processes that are suspended meanwhile"
            )
        }
    };
    let mut diagnostic = Diagnostic::new(Code::W637, title);
    for (place, name, server) in calls.iter().take(NAMED) {
        let what = match name.as_str() == server.as_str() {
            true => format!("{place}: `{name}`"),
            false => format!("{place}: `{name}`, a process of `{server}`"),
        };
        diagnostic = diagnostic.note(what);
    }
    let servers: BTreeSet<&Module> = calls.iter().map(|(_, _, server)| *server).collect();
    diagnostic = diagnostic
        .note("all processes of a window are suspended while states are converted, so the call is not answered in time")
        .help(match own_window(rules, module, &servers) {
            Some(line) => format!(
                "let the conversion do without the call, or switch what it calls in an earlier window: `{line}`"
            ),
            None => "let the conversion do without the call".to_owned(),
        });
    Some(match decided.change.origin {
        Origin::Plan { span, .. } => diagnostic.label(span, "asks for the conversion"),
        _ => diagnostic,
    })
}

/// The statement by which the servers that a conversion calls run again before it begins; nothing where they need the new
/// version of the converted module themselves.
fn own_window(rules: &Ruleset, module: &Module, servers: &BTreeSet<&Module>) -> Option<String> {
    let needs_it = |server: &&&Module| {
        let (mut seen, mut open) = (BTreeSet::from([**server]), vec![**server]);
        while let Some(one) = open.pop() {
            let needed = rules.graph.dependencies(one);
            for (needed, _) in needed.filter(|(_, edge)| edge.is_hard()) {
                if seen.insert(needed) {
                    open.push(needed);
                }
            }
        }
        seen.contains(module)
    };
    // What is not named stays in the cycle of what is.
    let cycle = rules.order.iter().find(|component| {
        let members = &component.modules;
        let of_cycle = |server: &&Module| members.contains(server);
        component.cyclic && members.contains(module) && servers.iter().any(of_cycle)
    });
    let declared = |cycle: &Component| {
        let known = |known: &&Cycle| cycle.modules.iter().all(|one| known.members.contains(one));
        let mut known = rules.cycles.iter().filter(known);
        known.any(|known| known.declared.is_some())
    };
    if servers.iter().any(|server| needs_it(&server)) || cycle.is_some_and(declared) {
        return None;
    }
    let mut names: Vec<String> = servers.iter().map(ToString::to_string).collect();
    names.sort();
    let first = match names.as_slice() {
        [one] if one != "rest" => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    let others = rules
        .modules
        .keys()
        .any(|one| one != module && !servers.contains(one));
    let second = match cycle.is_some() || !others {
        true => module.to_string(),
        false => "rest".to_owned(),
    };
    let called = names.join(", ");
    Some(format!(
        "window {first} then {second} because \"the conversion of {module} calls {called}\"."
    ))
}

fn waits(place: &EffectSite) -> bool {
    CALLS.iter().any(|call| place.what.starts_with(call))
}

/// The module of the window whose process has a name: the module of that name, or the only one that registers it.
fn server<'s>(
    changes: &ChangeSet,
    suspended: &BTreeSet<&'s Module>,
    name: &Atom,
) -> Option<&'s Module> {
    if let Some(module) = suspended
        .iter()
        .find(|module| module.as_str() == name.as_str())
    {
        return Some(module);
    }
    let registers = |module: &&Module| {
        let Some(changed) = changes.modules.get(*module) else {
            return false;
        };
        let beams = [&changed.old, &changed.new].into_iter().flatten();
        beams
            .into_iter()
            .any(|beam| beam.facts.code.registers.contains(name))
    };
    let mut all = suspended.iter().copied().filter(registers);
    all.next()
}
