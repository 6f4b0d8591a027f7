//! The way back, window by window: what the agent does when a later window fails, and when the result is not good.
//!
//! States have moved once a window is closed, so going back through it is a window of its own, mirrored: suspend,
//! convert down, switch, resume. `dynamic` modules (the default) convert before the old code is loaded, `static` ones
//! and supervisors after it (OTP's appup rules). A call of the script is not undone: it is unknown how; but for
//! applications, whose starting and stopping is undone with the whole ([`super::steps`]).

use super::step::{Action, Step, number};
use super::step_list::{in_ranks, push, push_about, switch};
use super::step_term::steps_term;
use super::{children, listing};
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::rules::{Change, Class, ModuleType, Ruleset};
use crate::script::instruction::{Direction, Instruction};
use crate::script::lower::{Script, SuspendOrder, suspended, switched};
use crate::term::Term;

/// The steps back through each window of a script, in the order of the windows; `None` where there is no way. The
/// steps are numbered from `first`.
pub fn per_step(
    changes: &ChangeSet,
    rules: &Ruleset,
    script: &Script,
    first: usize,
) -> Vec<Option<Vec<Step>>> {
    let ranks = SuspendOrder::of(rules, script);
    let mut next = first;
    let mut numbered = |mut steps: Vec<Step>| {
        number(&mut steps, next);
        next += steps.len();
        steps
    };
    let windows = script.windows();
    let last = windows.iter().rposition(|w| suspended(w).next().is_some());
    let way = |(at, window): (usize, &[Instruction])| {
        let mut steps = Vec::new();
        // The last one is gone back through first.
        if last == Some(at) {
            listing::unlist(&mut steps, rules, script, true);
        }
        let relist = |steps: &mut Vec<Step>| {
            if at == 0 {
                listing::relist(steps, rules, script, true);
            }
        };
        way(steps, changes, rules, &ranks, window, &relist).map(&mut numbered)
    };
    windows.into_iter().enumerate().map(way).collect()
}

/// All windows backwards, the last one first; those without a way are left out.
pub fn complete(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> Vec<Step> {
    let mut steps = Vec::new();
    for way in per_step(changes, rules, script, 1)
        .into_iter()
        .rev()
        .flatten()
    {
        steps.extend(way);
    }
    number(&mut steps, 1);
    steps
}

/// Lists of steps as the agent's `back`.
pub fn term(ways: &[Option<Vec<Step>>]) -> Term {
    Term::list(ways.iter().map(|way| {
        way.as_deref()
            .map_or_else(|| Term::atom("none"), steps_term)
    }))
}

/// Back through one window.
fn way(
    mut steps: Vec<Step>,
    changes: &ChangeSet,
    rules: &Ruleset,
    ranks: &SuspendOrder,
    window: &[Instruction],
    relist: &dyn Fn(&mut Vec<Step>),
) -> Option<Vec<Step>> {
    let mut conversions: Vec<(Module, Change)> = Vec::new();
    for instruction in window {
        if let Instruction::CodeChange { modules, .. } = instruction {
            conversions.extend(modules.iter().cloned());
        }
    }
    if conversions
        .iter()
        .any(|(_, change)| matches!(change, Change::Convert { .. }))
    {
        return None;
    }
    conversions.reverse();
    let late = |module: &Module| {
        rules.modules.get(module).is_some_and(|decided| {
            decided.class.value == Class::Supervisor || decided.kind.value == ModuleType::Static
        })
    };
    let (after, before): (Vec<_>, Vec<_>) = conversions.into_iter().partition(|(m, _)| late(m));
    let convert = |steps: &mut Vec<Step>, list: Vec<(Module, Change)>| {
        if !list.is_empty() {
            let direction = Direction::Down;
            let modules = list;
            push(steps, Action::CodeChange { direction, modules });
        }
    };
    let timeouts: Vec<_> = window
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Suspend(modules) => Some(modules.as_slice()),
            _ => None,
        })
        .flatten()
        .cloned()
        .collect();
    let stood: Vec<Module> = suspended(window).cloned().collect();
    // A child is stopped in the code that it runs, before that goes.
    children::before(&mut steps, rules, &stood);
    if !stood.is_empty() {
        let action = Action::Suspend(in_ranks(&timeouts, ranks));
        push_about(&mut steps, stood.clone(), action);
    }
    convert(&mut steps, before);
    let (loads, removes) = switched(window);
    let was = |module: &Module| {
        let changed = changes.modules.get(module);
        changed.is_some_and(|changed| changed.loaded.is_some())
    };
    let (old, new) = loads.into_iter().chain(removes).partition(was);
    switch(&mut steps, old, new);
    convert(&mut steps, after);
    relist(&mut steps);
    if !stood.is_empty() {
        let resumed: Vec<Module> = stood.into_iter().rev().collect();
        children::resume(&mut steps, resumed, children::down(rules));
    }
    Some(steps)
}
