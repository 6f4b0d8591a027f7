//! Which conversions are computed before the switch.
//!
//! Takes a script and the beams, gives [`Precomputed`]. While all processes of a window are suspended and nothing is switched, each
//! process computes its new state with a twin of its module: what fails then has changed nothing. Only a conversion that
//! computes, or reads what the window does not write, gives there what it would give behind the switch.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::instruction::{Direction, Instruction};
use super::lower::{Executor, Script, switched};
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, ChangeSet, Changed};
use crate::name::Module;
use crate::rules::{Change, Class, Precomputed, Ruleset, StateForm};
use crate::twin::Converters;
use crate::twin::conversion::{Conversion, Effect, Kind};

/// A conversion that may be computed before the switch, as far as it alone is concerned.
struct Candidate {
    form: StateForm,
    effect: Effect,
    /// The modules of the upgrade that it calls.
    reached: BTreeSet<Module>,
}

/// What is true of an upgrade as a whole.
#[derive(Clone, Copy)]
struct Whole {
    /// Whether it has implementations of protocols: a protocol finds them by name, wherever it is called.
    implements: bool,
    /// Whether a module is called when it is loaded.
    on_load: bool,
}

impl Whole {
    fn of(changes: &ChangeSet, rules: &Ruleset) -> Self {
        let mut beams = changes.modules.values().filter_map(|one| one.new.as_ref());
        let on_load = rules.modules.keys().any(|module| {
            let changed = changes.modules.get(module);
            let new = changed.and_then(|changed| changed.new.as_ref());
            new.is_some_and(|new| new.facts.code.on_load.is_some())
        });
        Self {
            implements: beams.any(|new| new.facts.exports("__impl__", 1)),
            on_load,
        }
    }
}

/// Conversions that are run beside what runs for another reason: those by which a live window is gone back from.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// The modules.
    pub modules: BTreeMap<Module, StateForm>,
    /// They, and the modules of the upgrade that they call.
    pub needed: BTreeSet<Module>,
}

/// The conversions of a script that are computed before the switch, with the twins for it; for a node of an OTP release.
/// What is loaded for them serves those that are run beside them too. Without `ahead` only these.
pub fn precomputed(
    changes: &ChangeSet,
    rules: &Ruleset,
    script: &Script,
    beside: &Beside,
    (otp, ahead): (u32, bool),
) -> Precomputed {
    let suspends = ahead && !matches!(script.by, Executor::ReleaseHandler(_));
    let candidates: BTreeMap<Module, Candidate> = match suspends {
        true => candidates(changes, rules, script),
        false => BTreeMap::new(),
    };
    let needed: BTreeSet<&Module> = candidates
        .iter()
        .flat_map(|(module, candidate)| candidate.reached.iter().chain([module]))
        .chain(&beside.needed)
        .collect();
    let beams = needed.into_iter().filter_map(|module| {
        let new = changes.modules.get(module)?.new.as_ref()?;
        Some((module, &new.bytes[..]))
    });
    let forms = candidates.iter().map(|(module, one)| (module, one.form));
    let wanted: Vec<_> = forms
        .chain(beside.modules.iter().map(|(module, form)| (module, *form)))
        .map(|(module, form)| (module, form.entries()))
        .collect();
    // A twin of a state machine is asked for its callback mode as well, before a live window.
    let machines = beside
        .modules
        .iter()
        .filter(|(_, form)| **form == StateForm::StateMachine);
    let machines = machines.map(|(module, _)| module.clone()).collect();
    let converters = Converters::of(&beams.collect(), &wanted, &machines, otp);
    let has_all = |module: &Module, candidate: &Candidate| {
        let mut all = candidate.reached.iter().chain([module]);
        converters.has(module) && !all.any(|module| converters.refused.contains_key(module))
    };
    let mut pure = BTreeSet::new();
    let mut modules = BTreeMap::new();
    for (module, candidate) in candidates {
        if !has_all(&module, &candidate) {
            continue;
        }
        if candidate.effect == Effect::Pure {
            pure.insert(module.clone());
        }
        modules.insert(module, candidate.form);
    }
    let converters = match modules.is_empty() && beside.modules.is_empty() {
        true => Converters::default(),
        false => converters,
    };
    Precomputed {
        modules,
        converters,
        rehearsed: BTreeSet::new(),
        pure,
        early: BTreeSet::new(),
    }
}

/// Those of all windows in which processes are suspended.
fn candidates(
    changes: &ChangeSet,
    rules: &Ruleset,
    script: &Script,
) -> BTreeMap<Module, Candidate> {
    let whole = Whole::of(changes, rules);
    let low = &script.low[..script.live_from().unwrap_or(script.low.len())];
    let mut found = BTreeMap::new();
    for (from, to) in windows(low) {
        // Behind the switch a conversion calls the running version of what comes in a later window, or not at all.
        let (loads, _) = switched(&low[..to]);
        let loads: BTreeSet<Module> = loads.into_iter().collect();
        let is_new = |module: &Module| loads.contains(module) || runs_already(changes, module);
        let mut candidates = of_window(changes, rules, whole, &low[from..to]);
        candidates.retain(|(_, candidate)| candidate.reached.iter().all(is_new));
        found.extend(candidates);
    }
    found
}

/// Whether the new version of a module is the one that runs.
fn runs_already(changes: &ChangeSet, module: &Module) -> bool {
    let changed = changes.modules.get(module);
    let versions = changed.and_then(|changed| changed.loaded.as_ref().zip(changed.new.as_ref()));
    versions.is_some_and(|(loaded, new)| loaded.md5 == new.facts.md5)
}

/// From each suspension to the last resume behind it.
fn windows(low: &[Instruction]) -> Vec<(usize, usize)> {
    let mut windows = Vec::new();
    let mut from = None;
    for (at, instruction) in low.iter().enumerate() {
        match instruction {
            Instruction::Suspend(_) => {
                from.get_or_insert(at);
            }
            Instruction::Resume(_) => windows.extend(from.take().map(|from| (from, at))),
            _ => {}
        }
    }
    windows
}

/// The conversions of one window.
fn of_window(
    changes: &ChangeSet,
    rules: &Ruleset,
    whole: Whole,
    window: &[Instruction],
) -> Vec<(Module, Candidate)> {
    let Some(switch) = window.iter().position(Instruction::is_switch) else {
        return Vec::new();
    };
    let converted = window[switch..]
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::CodeChange { direction, modules } => {
                (*direction != Some(Direction::Down)).then_some(modules)
            }
            _ => None,
        });
    let converted: Vec<&(Module, Change)> = converted.flatten().collect();
    let candidates: Vec<(Module, Candidate)> = converted
        .iter()
        .filter_map(|(module, change)| {
            let candidate = candidate(changes, rules, whole, module, change)?;
            Some((module.clone(), candidate))
        })
        .collect();
    let names: BTreeSet<&Module> = candidates.iter().map(|(name, _)| name).collect();
    // What a conversion reads must be what it would read behind the switch.
    let known = |(module, change): &&&(Module, Change)| {
        *change == Change::Soft
            || names.contains(module)
            || is_quiet_supervisor(changes, rules, module)
    };
    let nothing_else = window.iter().all(|instruction| {
        matches!(
            instruction,
            Instruction::Suspend(_)
                | Instruction::LoadObjectCode { .. }
                | Instruction::PointOfNoReturn
                | Instruction::CodeChange { .. }
        ) || instruction.is_switch()
    });
    let quiet = nothing_else && !whole.on_load && converted.iter().all(|one| known(&one));
    let mut candidates = candidates;
    candidates.retain(|(_, candidate)| candidate.effect == Effect::Pure || quiet);
    candidates
}

fn candidate(
    changes: &ChangeSet,
    rules: &Ruleset,
    whole: Whole,
    module: &Module,
    change: &Change,
) -> Option<Candidate> {
    let Change::Advanced(_) = change else {
        return None;
    };
    let changed = changes.modules.get(module)?;
    let new = changed.new.as_ref()?;
    let class = rules.modules.get(module)?.class.value;
    if changed.is_new() || changed.module_processes.wrapped_in.is_some() || class != Class::Server {
        return None;
    }
    let form = form(changed, new)?;
    let kind = match form {
        StateForm::Special => Kind::Special,
        _ => Kind::Server,
    };
    let (conversion, reached) = conversion(changes, module, kind);
    // By its name as data a twin reaches the version that runs.
    let by_name = || {
        let mut all = reached.iter().chain([module]);
        all.any(|module| converts_by_name(changes, module))
    };
    let alone = conversion.can_be_tried() && !whole.implements && !by_name();
    alone.then_some(Candidate {
        form,
        effect: conversion.effect,
        reached,
    })
}

/// Whether a conversion may come to another module of the upgrade by its name, as data: `struct(Cart, Fields)`,
/// `fun cart:new/1`. A twin that does it gets what the running version makes.
pub fn converts_by_name(changes: &ChangeSet, module: &Module) -> bool {
    let beam = |module: &Module| changes.modules.get(module)?.new.as_ref();
    let Some(new) = beam(module) else {
        return true;
    };
    let mut called = new.facts.imports.iter().map(|import| &import.module);
    if makes_structs(changes, module) || called.any(|called| makes_structs(changes, called)) {
        return true;
    }
    let world = |module: &Module| beam(module).map(Beam::bodies);
    let kinds = [Kind::Server, Kind::Special];
    kinds
        .into_iter()
        .any(|kind| !Conversion::of(module, kind, &world).by_name.is_empty())
}

/// Whether the new code of a module makes structs of a module that is data (`struct/2`, `struct!/2`).
pub fn makes_structs(changes: &ChangeSet, module: &Module) -> bool {
    let changed = changes.modules.get(module);
    let new = changed.and_then(|changed| changed.new.as_ref());
    let calls = new.map(|new| &new.facts.code.call_sites);
    calls.into_iter().flatten().any(|call| {
        let function = &*call.to.function;
        call.to.module.as_str() == "Elixir.Kernel" && matches!(function, "struct" | "struct!")
    })
}

/// What a conversion does, and the modules of the upgrade that it calls.
pub(super) fn conversion(
    changes: &ChangeSet,
    module: &Module,
    kind: Kind,
) -> (Conversion, BTreeSet<Module>) {
    let reached = RefCell::new(BTreeSet::new());
    let world = |module: &Module| {
        let new = changes.modules.get(module)?.new.as_ref()?;
        reached.borrow_mut().insert(module.clone());
        Some(new.bodies())
    };
    let conversion = Conversion::of(module, kind, &world);
    (conversion, reached.into_inner())
}

/// A supervisor whose new `init/1` does not act.
fn is_quiet_supervisor(changes: &ChangeSet, rules: &Ruleset, module: &Module) -> bool {
    let class = rules.modules.get(module).map(|decided| decided.class.value);
    class == Some(Class::Supervisor)
        && conversion(changes, module, Kind::Supervisor)
            .0
            .can_be_tried()
}

/// The form of the states of a module's processes, where its exports leave no doubt.
fn form(changed: &Changed, new: &Beam) -> Option<StateForm> {
    let has = |name, arity| new.facts.exports(name, arity);
    let is = |name: &str| new.facts.behaviours.iter().any(|one| one.as_str() == name);
    let own_view = |facts: &BeamFacts| facts.exports("system_replace_state", 2);
    match (
        has("code_change", 3),
        has("code_change", 4),
        has("system_code_change", 4),
    ) {
        (true, false, false) if is("gen_event") => {
            (!is("gen_server") && !is("supervisor")).then_some(StateForm::Handler)
        }
        (true, false, false) => Some(StateForm::Server),
        (false, true, false) => Some(StateForm::StateMachine),
        (false, false, true) => {
            let shows_all = !own_view(&new.facts) && !changed.former_facts().is_some_and(own_view);
            shows_all.then_some(StateForm::Special)
        }
        _ => None,
    }
}
