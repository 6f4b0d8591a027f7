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
use crate::name::Module;
use crate::rules::{Change, Class, Origin, Ruleset};
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
    let server = &calls.first()?.2;
    diagnostic = diagnostic
        .note("all processes of a window are suspended while states are converted, so the call is not answered in time")
        .help(format!(
            "let the conversion do without the call, or upgrade `{server}` in a run of its own, before or afterwards"
        ));
    Some(match decided.change.origin {
        Origin::Plan { span, .. } => diagnostic.label(span, "asks for the conversion"),
        _ => diagnostic,
    })
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
