//! Children of supervisors as steps: where they are started and stopped, there and back.
//!
//! There, in the window of their supervisor: it is resumed ahead of the others, its children are stopped and started,
//! then the others are resumed, which may call them. Back, before the window: a new child is stopped in the code that
//! it runs; its specification goes with that of the supervisor, and those that were stopped are started again. An
//! identifier that is in both lists is restarted.

use std::collections::BTreeSet;

use super::step::{Action, ChildAction, ChildStep, KnownChildren, RenewedChildren, Step};
use super::step_list::push;
use crate::name::Module;
use crate::rules::Ruleset;
use crate::rules::children::Wanted;
use crate::script::lower::Script;
use crate::term::Term;

/// What is to be done with the children of a supervisor, in order.
type Todo = Vec<ChildAction>;

/// On the way there.
pub(super) fn up(rules: &Ruleset) -> impl Fn(&Module) -> Todo + '_ {
    move |module| {
        let mut todo = named(rules, module);
        let decided = rules.modules.get(module);
        if let Some((decided, wanted)) = decided.and_then(|d| Some((d, d.inferred_children()?))) {
            // Those that the plan names are stopped before, and started behind.
            let stops = |action: &&ChildAction| !matches!(action, ChildAction::Start(_));
            let at = todo.iter().take_while(stops).count();
            let renewed = renewed(&wanted, decided.renewal.old_exact);
            todo.insert(at, ChildAction::Renewed(renewed));
        }
        todo
    }
}

/// What the plan names.
fn named(rules: &Ruleset, module: &Module) -> Todo {
    let decided = rules.modules.get(module);
    // What an application lists has steps of its own.
    let Some(decided) = decided.filter(|decided| decided.lists().is_none()) else {
        return Todo::new();
    };
    let children = &decided.children.value;
    let stop = children.stopped().iter().map(|id| {
        // Its specification is the new one already.
        match children.started().contains(id) {
            true => ChildAction::Halt(id.clone()),
            false => ChildAction::Stop(id.clone()),
        }
    });
    let start = children.started().iter().cloned().map(ChildAction::Start);
    stop.chain(start).collect()
}

fn renewed(wanted: &Wanted<'_>, all_known: bool) -> RenewedChildren {
    let restart = wanted.restart;
    RenewedChildren {
        start: wanted.starts,
        stop: wanted.stop.map(ids),
        restart: restart.map(|restart| ids(restart.iter().map(|(id, ..)| id))),
        // Otherwise what runs and is not specified was started by hand.
        tell: !all_known,
    }
}

/// What is known, for a supervisor that has kept nothing.
fn known(wanted: &Wanted<'_>) -> KnownChildren {
    let restart = wanted.restart.unwrap_or_default().iter().map(|(id, ..)| id);
    KnownChildren {
        start: ids(wanted.start),
        stop: ids(wanted.stop.unwrap_or_default()),
        restart: ids(restart),
    }
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a Term>) -> Vec<Term> {
    ids.into_iter().cloned().collect()
}

/// On the way back, once the old specifications are there again.
pub(super) fn down(rules: &Ruleset) -> impl Fn(&Module) -> Todo + '_ {
    move |module| {
        let decided = rules.modules.get(module);
        let Some(decided) = decided.filter(|decided| decided.lists().is_none()) else {
            return Todo::new();
        };
        let children = &decided.children.value;
        let start = children.stopped().iter().rev();
        let start = start.cloned().map(ChildAction::Start);
        let forget = children.started().iter().rev();
        let forget = forget.filter(|id| !children.stopped().contains(id));
        let wanted = decided.inferred_children();
        let inferred = wanted.map(|wanted| ChildAction::Reinstated(known(&wanted)));
        start
            .chain(inferred)
            .chain(forget.cloned().map(ChildAction::Forget))
            .collect()
    }
}

/// Back, before a window in which these modules are suspended: what is new is stopped, in the code that it runs. A child
/// that the supervisor had before is left alone: it knows that itself.
pub(super) fn before(steps: &mut Vec<Step>, rules: &Ruleset, suspended: &[Module]) {
    let stop = |module: &Module| -> Todo {
        let decided = rules.modules.get(module);
        let Some(decided) = decided.filter(|decided| decided.lists().is_none()) else {
            return Todo::new();
        };
        let started = decided.children.value.started();
        let halt = started.iter().rev().cloned().map(ChildAction::Halt);
        let renews = decided.renews() && !decided.renewal.is_empty();
        let wanted = decided.inferred_children().unwrap_or_default();
        let inferred = renews.then(|| ChildAction::Revoked(known(&wanted)));
        halt.chain(inferred).collect()
    };
    step(steps, suspended.iter().rev(), &stop);
}

/// The end of a window: all go on, the supervisors of new children first, and those children before their callers.
pub(super) fn resume(steps: &mut Vec<Step>, modules: Vec<Module>, todo: impl Fn(&Module) -> Todo) {
    let starts = |module: &&Module| {
        let starts = |action: &ChildAction| match action {
            ChildAction::Renewed(renewed) => renewed.start,
            action => matches!(action, ChildAction::Start(_) | ChildAction::Reinstated(_)),
        };
        todo(module).iter().any(starts)
    };
    let (ahead, others): (Vec<&Module>, Vec<&Module>) = modules.iter().partition(starts);
    if ahead.is_empty() || others.is_empty() {
        push(steps, Action::Resume(modules.clone()));
        step(steps, modules.iter(), &todo);
        return;
    }
    let ahead: Vec<Module> = ahead.into_iter().cloned().collect();
    let others: Vec<Module> = others.into_iter().cloned().collect();
    push(steps, Action::Ahead(ahead.clone()));
    step(steps, ahead.iter(), &todo);
    push(steps, Action::Resume(others.clone()));
    step(steps, others.iter(), &todo);
}

/// Children of supervisors that no window suspends: at the end.
pub(super) fn outside(steps: &mut Vec<Step>, rules: &Ruleset, script: &Script, back: bool) {
    let inside: BTreeSet<&Module> = script.suspended().collect();
    let modules = rules.modules.keys().filter(|m| !inside.contains(m));
    let modules: Vec<&Module> = modules.collect();
    if back {
        let undone = |module: &Module| {
            let todo = named(rules, module).into_iter().rev();
            todo.filter_map(opposite).collect()
        };
        step(steps, modules.into_iter().rev(), &undone);
    } else {
        step(steps, modules.into_iter(), &|module| named(rules, module));
    }
}

/// All children at the end, for a script that OTP's release handler carries out: what it changes in a supervisor no step
/// sees, so of what is inferred it is those that are known before.
pub(super) fn all(steps: &mut Vec<Step>, rules: &Ruleset) {
    let todo = |module: &Module| {
        let mut todo = named(rules, module);
        let decided = rules.modules.get(module);
        if let Some(wanted) = decided.and_then(|decided| decided.inferred_children()) {
            let stop = wanted.stop.unwrap_or_default().iter();
            todo.extend(stop.cloned().map(ChildAction::Stop));
            let restart = wanted.restart.unwrap_or_default().iter();
            let restart = restart.map(|(id, ..)| id.clone());
            todo.extend(restart.clone().map(ChildAction::Halt));
            todo.extend(restart.map(ChildAction::Start));
            todo.extend(wanted.start.iter().cloned().map(ChildAction::Start));
        }
        todo
    };
    step(steps, rules.modules.keys(), &todo);
}

/// What takes back what the plan names.
fn opposite(action: ChildAction) -> Option<ChildAction> {
    match action {
        ChildAction::Start(id) => Some(ChildAction::Stop(id)),
        ChildAction::Stop(id) | ChildAction::Halt(id) => Some(ChildAction::Start(id)),
        _ => None,
    }
}

fn step<'a>(
    steps: &mut Vec<Step>,
    modules: impl Iterator<Item = &'a Module>,
    todo: &dyn Fn(&Module) -> Todo,
) {
    let all = modules.flat_map(|module| {
        let supervisor = module.clone();
        let actions = todo(module).into_iter();
        actions.map(move |action| ChildStep {
            supervisor: supervisor.clone(),
            action,
        })
    });
    let all: Vec<ChildStep> = all.collect();
    if !all.is_empty() {
        push(steps, Action::Children(all));
    }
}
