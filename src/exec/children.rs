//! Children of supervisors as steps: where they are started and stopped, there and back.
//!
//! There, in the window of their supervisor: it is resumed ahead of the others, its children are stopped and started,
//! then the others are resumed, who may call them. Back, before the window: a new child is stopped in the code that it
//! runs; its specification goes with that of the supervisor, and those that were stopped are started again. An
//! identifier that is in both lists is restarted.

use std::collections::BTreeSet;

use super::event::StepKind;
use super::steps::{Step, atoms, push};
use crate::name::Module;
use crate::rules::Ruleset;
use crate::rules::children::Wanted;
use crate::script::lower::Script;
use crate::term::Term;

/// What is to be done with the children of a supervisor: the word and the identifier, in order; for what is inferred the
/// identifiers in a map.
type Todo = Vec<(&'static str, Term)>;

/// On the way there.
pub(super) fn up(rules: &Ruleset) -> impl Fn(&Module) -> Todo + '_ {
    move |module| {
        let mut todo = named(rules, module);
        let decided = rules.modules.get(module);
        if let Some((decided, wanted)) = decided.and_then(|d| Some((d, d.inferred_children()?))) {
            // Those that the plan names are stopped before, and started behind.
            let at = todo.iter().take_while(|(word, _)| *word != "start").count();
            todo.insert(at, ("renewed", renewed(&wanted, decided.renewal.old_exact)));
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
        let again = children.started().contains(id);
        (if again { "halt" } else { "stop" }, id.clone())
    });
    let start = children.started().iter().map(|id| ("start", id.clone()));
    stop.chain(start).collect()
}

/// `#{start => all | none, stop => [Id] | none, restart => [Id] | none, tell => boolean}`.
fn renewed(wanted: &Wanted<'_>, all_known: bool) -> Term {
    let none = || Term::atom("none");
    let restart = wanted
        .restart
        .map(|restart| ids(restart.iter().map(|(id, ..)| id)));
    Term::map([
        (
            Term::atom("start"),
            Term::atom(if wanted.starts { "all" } else { "none" }),
        ),
        (Term::atom("stop"), wanted.stop.map_or_else(none, ids)),
        (Term::atom("restart"), restart.unwrap_or_else(none)),
        // Otherwise what runs and is not specified was started by hand.
        (Term::atom("tell"), Term::boolean(!all_known)),
    ])
}

/// `#{start => [Id], stop => [Id], restart => [Id]}`: what is known, for a supervisor that has kept nothing.
fn known(wanted: &Wanted<'_>) -> Term {
    let restart = wanted.restart.unwrap_or_default().iter().map(|(id, ..)| id);
    Term::map([
        (Term::atom("start"), ids(wanted.start)),
        (Term::atom("stop"), ids(wanted.stop.unwrap_or_default())),
        (Term::atom("restart"), ids(restart)),
    ])
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a Term>) -> Term {
    Term::list(ids.into_iter().cloned())
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
        let start = start.map(|id| ("start", id.clone()));
        let forget = children.started().iter().rev();
        let forget = forget.filter(|id| !children.stopped().contains(id));
        let wanted = decided.inferred_children();
        let inferred = wanted.map(|wanted| ("reinstated", known(&wanted)));
        start
            .chain(inferred)
            .chain(forget.map(|id| ("forget", id.clone())))
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
        let halt = started.iter().rev().map(|id| ("halt", id.clone()));
        let renews = decided.renews() && !decided.renewal.is_empty();
        let wanted = decided.inferred_children().unwrap_or_default();
        let inferred = renews.then(|| ("revoked", known(&wanted)));
        halt.chain(inferred).collect()
    };
    step(steps, suspended.iter().rev(), &stop);
}

/// The end of a window: all go on, the supervisors of new children first, and those children before their callers.
pub(super) fn resume(steps: &mut Vec<Step>, modules: Vec<Module>, todo: impl Fn(&Module) -> Todo) {
    let starts = |module: &&Module| {
        let starts = |(word, id): &(&str, Term)| match *word {
            "renewed" => id.get("start").is_some_and(|start| start.is_atom("all")),
            word => word == "start" || word == "reinstated",
        };
        todo(module).iter().any(starts)
    };
    let (ahead, others): (Vec<&Module>, Vec<&Module>) = modules.iter().partition(starts);
    if ahead.is_empty() || others.is_empty() {
        let term = Term::tuple([Term::atom("resume"), atoms(&modules)]);
        push(steps, StepKind::Resume, modules.clone(), term);
        step(steps, modules.iter(), &todo);
        return;
    }
    let ahead: Vec<Module> = ahead.into_iter().cloned().collect();
    let others: Vec<Module> = others.into_iter().cloned().collect();
    let term = Term::tuple([Term::atom("ahead"), atoms(&ahead)]);
    push(steps, StepKind::Resume, ahead.clone(), term);
    step(steps, ahead.iter(), &todo);
    let term = Term::tuple([Term::atom("resume"), atoms(&others)]);
    push(steps, StepKind::Resume, others.clone(), term);
    step(steps, others.iter(), &todo);
}

/// Children of supervisors that no window suspends: at the end.
pub(super) fn outside(steps: &mut Vec<Step>, rules: &Ruleset, script: &Script, back: bool) {
    let inside: BTreeSet<&Module> = script.suspended().collect();
    let modules = rules.modules.keys().filter(|m| !inside.contains(m));
    let modules: Vec<&Module> = modules.collect();
    if back {
        let opposite = |module: &Module| {
            let todo = named(rules, module).into_iter().rev();
            let word = |word| if word == "start" { "stop" } else { "start" };
            todo.map(|(each, id)| (word(each), id)).collect()
        };
        step(steps, modules.into_iter().rev(), &opposite);
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
            todo.extend(stop.map(|id| ("stop", id.clone())));
            let restart = wanted.restart.unwrap_or_default().iter();
            todo.extend(restart.clone().map(|(id, ..)| ("halt", id.clone())));
            todo.extend(restart.map(|(id, ..)| ("start", id.clone())));
            todo.extend(wanted.start.iter().map(|id| ("start", id.clone())));
        }
        todo
    };
    step(steps, rules.modules.keys(), &todo);
}

fn step<'a>(
    steps: &mut Vec<Step>,
    modules: impl Iterator<Item = &'a Module>,
    todo: &dyn Fn(&Module) -> Todo,
) {
    let (mut supervisors, mut all) = (Vec::new(), Vec::new());
    for module in modules {
        let todo = todo(module);
        if todo.is_empty() {
            continue;
        }
        supervisors.push(module.clone());
        all.extend(
            todo.into_iter()
                .map(|(word, id)| Term::tuple([Term::atom(word), Term::atom(module.as_str()), id])),
        );
    }
    if !all.is_empty() {
        let term = Term::tuple([Term::atom("children"), Term::list(all)]);
        push(steps, StepKind::Children, supervisors, term);
    }
}
