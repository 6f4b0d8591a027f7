//! W637: a conversion that calls a process which is suspended in the same window and cannot answer.
//!
//! Takes the new code of the modules that are converted, and the script; finds the calls in `code_change`, in a
//! supervisor's new `init/1`, in `on_load` functions and in what these reach, whose process is suspended by then. The agent
//! has such a process answer that one call (`25_serve.erl`); where it cannot, it is said here. Only names in the code are
//! known: a process that is called by its pid is not seen.

use std::collections::BTreeSet;

use super::instruction::Instruction;
use super::lower::Script;
use crate::diag::{Code, Diagnostic, Span};
use crate::facts::beam::code::Function;
use crate::facts::beam::code::effects::{Doing, EffectSite, verdict};
use crate::facts::change::{Beam, ChangeSet};
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

/// A conversion, or an `on_load` function, and the suspended processes that it calls.
struct Waiting<'c> {
    module: &'c Module,
    what: &'static str,
    calls: Vec<SuspendedCall<'c>>,
    /// Whether it does nothing else that acts.
    calls_only: bool,
    /// The place in the plan that asks for the conversion.
    asked: Option<Span>,
}

/// A call of a process that is suspended meanwhile.
struct SuspendedCall<'c> {
    place: EffectSite,
    name: Atom,
    server: &'c Module,
}

/// Why a suspended process does not answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hindrance {
    /// It is no gen_server, gen_statem or supervisor.
    Kind,
    /// Its own conversion calls the one that waits for it.
    Circle,
}

/// One diagnostic for each conversion that waits for processes of its own window which cannot answer it.
pub fn advice(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> Vec<Diagnostic> {
    let windows = windows(changes, rules, script);
    windows
        .iter()
        .flat_map(|waiting| unanswered(changes, rules, waiting))
        .collect()
}

/// Modules whose conversions act on nothing but processes of their own window, which answer them while they are suspended:
/// an undo of the window puts the states of these back, so nothing of it is left.
pub fn act_in_their_window(
    changes: &ChangeSet,
    rules: &Ruleset,
    script: &Script,
) -> BTreeSet<Module> {
    let windows = windows(changes, rules, script);
    let all = windows.iter().flatten();
    all.filter(|one| {
        let mut calls = one.calls.iter();
        one.calls_only && calls.all(|call| answers(changes, call.server))
    })
    .map(|one| one.module.clone())
    .collect()
}

/// What waits in each window.
fn windows<'c>(
    changes: &'c ChangeSet,
    rules: &Ruleset,
    script: &'c Script,
) -> Vec<Vec<Waiting<'c>>> {
    let mut windows = Vec::new();
    let mut suspended: BTreeSet<&Module> = BTreeSet::new();
    let mut waiting = Vec::new();
    for instruction in &script.low {
        match instruction {
            Instruction::Suspend(modules) => {
                suspended.extend(modules.iter().map(|(module, _)| module));
            }
            Instruction::Resume(modules) => {
                windows.push(std::mem::take(&mut waiting));
                for module in modules {
                    suspended.remove(module);
                }
            }
            Instruction::Load { module, .. } => {
                waiting.extend(on_load(changes, &suspended, module));
            }
            Instruction::CodeChange { modules, .. } => {
                for (module, change) in modules {
                    waiting.extend(conversion(changes, rules, &suspended, module, change));
                }
            }
            _ => {}
        }
    }
    windows
}

fn conversion<'c>(
    changes: &'c ChangeSet,
    rules: &Ruleset,
    suspended: &BTreeSet<&'c Module>,
    module: &'c Module,
    change: &Change,
) -> Option<Waiting<'c>> {
    let decided = rules.modules.get(module)?;
    let changed = changes.modules.get(module)?;
    if changed.is_new() || changed.processes == 0 {
        return None;
    }
    let calls =
        |module: &Module, entries: &[(&str, u32)]| calls(changes, suspended, module, entries);
    let (calls, calls_only) = match (change, decided.class.value) {
        (Change::Advanced(_), Class::Supervisor) => calls(module, &[("init", 1)]),
        (Change::Advanced(_), _) => calls(
            module,
            &[
                ("code_change", 3),
                ("code_change", 4),
                ("system_code_change", 4),
            ],
        ),
        (Change::Convert { module, function }, _) => calls(module, &[(function.as_str(), 1)]),
        (Change::Soft, _) => return None,
    };
    let asked = match decided.change.origin {
        Origin::Plan { span, .. } => Some(span),
        _ => None,
    };
    Some(Waiting {
        module,
        what: "conversion",
        calls,
        calls_only,
        asked,
    })
}

fn on_load<'c>(
    changes: &'c ChangeSet,
    suspended: &BTreeSet<&'c Module>,
    module: &'c Module,
) -> Option<Waiting<'c>> {
    let new = changes.modules.get(module)?.new.as_ref()?;
    let entry = new.facts.code.on_load.as_ref()?;
    let entry = [(&*entry.name, entry.arity)];
    let (calls, calls_only) = calls(changes, suspended, module, &entry);
    Some(Waiting {
        module,
        what: "on_load function",
        calls,
        calls_only,
        asked: None,
    })
}

/// The calls of suspended processes that a function reaches, each process once; and whether these are all that acts.
fn calls<'c>(
    changes: &ChangeSet,
    suspended: &BTreeSet<&'c Module>,
    module: &Module,
    entries: &[(&str, u32)],
) -> (Vec<SuspendedCall<'c>>, bool) {
    let new = |module: &Module| changes.modules.get(module)?.new.as_ref();
    let world = |module: &Module| new(module).map(Beam::bodies);
    let does = verdict(module, entries, &world);
    let mut calls: Vec<SuspendedCall<'_>> = Vec::new();
    let mut calls_only = does.doing <= Doing::Acts;
    for place in &does.places {
        if !waits(place) {
            calls_only &= place.doing < Doing::Acts;
            continue;
        }
        let Some(new) = new(&place.module) else {
            calls_only = false;
            continue;
        };
        let here = |function: &Function| {
            function.name == place.function.name && function.arity == place.function.arity
        };
        let named = new.facts.code.sends_to.iter();
        let named: Vec<&Atom> = named
            .filter(|(_, from)| here(from))
            .map(|(name, _)| name)
            .collect();
        // One that has no name of its own may be any process.
        let together = does.places.iter();
        let together =
            together.filter(|other| other.module == place.module && here(&other.function));
        calls_only &= together.count() <= named.len();
        for name in named {
            match server(changes, suspended, name) {
                Some(server) if !calls.iter().any(|call| call.name == *name) => {
                    calls.push(SuspendedCall {
                        place: place.clone(),
                        name: name.clone(),
                        server,
                    });
                }
                Some(_) => {}
                None => calls_only = false,
            }
        }
    }
    (calls, calls_only)
}

/// Of the conversions of one window those that wait for what cannot answer.
fn unanswered(changes: &ChangeSet, rules: &Ruleset, waiting: &[Waiting<'_>]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for one in waiting {
        let hindered: Vec<(&SuspendedCall<'_>, Hindrance)> = one
            .calls
            .iter()
            .filter_map(|call| Some((call, hindrance(changes, waiting, one, call)?)))
            .collect();
        found.extend(diagnostic(rules, one, &hindered));
    }
    found
}

fn hindrance(
    changes: &ChangeSet,
    waiting: &[Waiting<'_>],
    one: &Waiting<'_>,
    call: &SuspendedCall<'_>,
) -> Option<Hindrance> {
    if !answers(changes, call.server) {
        return Some(Hindrance::Kind);
    }
    reaches(waiting, call.server, one.module).then_some(Hindrance::Circle)
}

/// Whether the conversion of a module comes to a call of another module's process, through further conversions.
fn reaches(waiting: &[Waiting<'_>], from: &Module, to: &Module) -> bool {
    let (mut seen, mut due) = (BTreeSet::new(), vec![from]);
    while let Some(module) = due.pop() {
        for one in waiting.iter().filter(|one| one.module == module) {
            for call in &one.calls {
                if call.server == to {
                    return true;
                }
                if seen.insert(call.server) {
                    due.push(call.server);
                }
            }
        }
    }
    false
}

/// Whether the processes of a module can answer a call while they are suspended: gen_server, gen_statem, supervisor.
fn answers(changes: &ChangeSet, module: &Module) -> bool {
    let Some(changed) = changes.modules.get(module) else {
        return true;
    };
    let Some(facts) = changed.new.as_ref().map(|new| &new.facts) else {
        return true;
    };
    let is = |name: &str| facts.behaviours.iter().any(|one| one.as_str() == name);
    let server = facts.exports("handle_call", 3);
    let machine = facts.exports("callback_mode", 0);
    server != machine || is("supervisor") || is("Elixir.Supervisor")
}

fn diagnostic(
    rules: &Ruleset,
    one: &Waiting<'_>,
    hindered: &[(&SuspendedCall<'_>, Hindrance)],
) -> Option<Diagnostic> {
    let (module, what) = (one.module, one.what);
    let (first, hindrance) = hindered.first()?;
    let name = &first.name;
    let title = match hindered.len() {
        1 => {
            format!("the {what} of `{module}` calls `{name}`, which is suspended and cannot answer")
        }
        number => format!(
            "the {what} of `{module}` calls {number} processes that are suspended and cannot answer"
        ),
    };
    let mut diagnostic = Diagnostic::new(Code::W637, title);
    for (call, _) in hindered.iter().take(NAMED) {
        let (place, name, server) = (&call.place, &call.name, call.server);
        let what = match name.as_str() == server.as_str() {
            true => format!("{place}: `{name}`"),
            false => format!("{place}: `{name}`, a process of `{server}`"),
        };
        diagnostic = diagnostic.note(what);
    }
    let server = first.server;
    let servers: BTreeSet<&Module> = hindered.iter().map(|(call, _)| call.server).collect();
    let without = format!("let the {what} do without the call");
    diagnostic = match hindrance {
        Hindrance::Circle => diagnostic
            .note(format!(
                "the conversion of `{server}` calls a process of `{module}` in turn: they wait for each other"
            ))
            .help("let one of the two conversions do without the call"),
        Hindrance::Kind => diagnostic
            .note("only a gen_server, a gen_statem or a supervisor answers such a call while it is suspended")
            .help(match own_window(rules, module, &servers) {
                Some(line) => format!("{without}, or switch what it calls in an earlier window: `{line}`"),
                None => without,
            }),
    };
    Some(match one.asked {
        Some(span) => diagnostic.label(span, "asks for the conversion"),
        None => diagnostic,
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
