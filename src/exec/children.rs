//! Children of supervisors as steps: where they are started and stopped, there and back.
//!
//! There, in the window of their supervisor: it is resumed ahead of the others, its children are stopped and started,
//! then the others are resumed, who may call them. Back, before the window: a new child is stopped in the code that it
//! runs; its specification goes with that of the supervisor, and those that were stopped are started again. An
//! identifier that is in both lists is restarted.

use std::collections::BTreeSet;

use super::event::StepKind;
use super::steps::{Step, atoms, push};
use crate::facts::change::ChangeSet;
use crate::facts::children::specified;
use crate::name::Module;
use crate::rules::{Change, Class, Ruleset};
use crate::script::lower::Script;
use crate::term::Term;

/// What is to be done with the children of a supervisor: the word and the identifier, in order.
type Todo = Vec<(&'static str, Term)>;

/// On the way there.
pub(super) fn up(rules: &Ruleset) -> impl Fn(&Module) -> Todo + '_ {
    move |module| {
        let Some(decided) = rules.modules.get(module) else {
            return Todo::new();
        };
        let children = &decided.children.value;
        let stop = children.stop.iter().map(|id| {
            // Its specification is the new one already.
            let again = children.start.contains(id);
            (if again { "halt" } else { "stop" }, id.clone())
        });
        let start = children.start.iter().map(|id| ("start", id.clone()));
        stop.chain(start).collect()
    }
}

/// On the way back, once the old specifications are there again.
pub(super) fn down(rules: &Ruleset) -> impl Fn(&Module) -> Todo + '_ {
    move |module| {
        let Some(decided) = rules.modules.get(module) else {
            return Todo::new();
        };
        let children = &decided.children.value;
        let start = children.stop.iter().rev();
        let start = start.map(|id| ("start", id.clone()));
        let forget = children.start.iter().rev();
        let forget = forget.filter(|id| !children.stop.contains(id));
        start
            .chain(forget.map(|id| ("forget", id.clone())))
            .collect()
    }
}

/// Back, before a window in which these modules are suspended: what is new is stopped. `added` leaves a child alone that
/// the supervisor had before: constants in the beams do not tell that for certain.
pub(super) fn before(
    steps: &mut Vec<Step>,
    changes: &ChangeSet,
    rules: &Ruleset,
    suspended: &[Module],
) {
    let stop = |module: &Module| -> Todo {
        let Some(decided) = rules.modules.get(module) else {
            return Todo::new();
        };
        let renewed = decided.class.value == Class::Supervisor
            && matches!(decided.change.value, Change::Advanced(_));
        let started = &decided.children.value.start;
        let halt = started.iter().rev().map(|id| ("halt", id.clone()));
        let seen = added(changes, module).into_iter();
        let seen = seen.filter(|id| renewed && !started.contains(id));
        halt.chain(seen.map(|id| ("added", id))).collect()
    };
    step(steps, suspended.iter().rev(), &stop);
}

/// The children that the constants of the new beam show, and those of the old one do not.
fn added(changes: &ChangeSet, module: &Module) -> Vec<Term> {
    let changed = changes.modules.get(module);
    let both = changed.and_then(|c| Some((c.old.as_ref()?, c.new.as_ref()?)));
    both.map_or_else(Vec::new, |(old, new)| {
        let (old, new) = (specified(&old.bytes), specified(&new.bytes));
        new.difference(&old).cloned().collect()
    })
}

/// The end of a window: all go on, the supervisors of new children first, and those children before their callers.
pub(super) fn resume(steps: &mut Vec<Step>, modules: Vec<Module>, todo: impl Fn(&Module) -> Todo) {
    let starts = |module: &&Module| todo(module).iter().any(|(word, _)| *word == "start");
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
            let todo = up(rules)(module).into_iter().rev();
            let word = |word| if word == "start" { "stop" } else { "start" };
            todo.map(|(each, id)| (word(each), id)).collect()
        };
        step(steps, modules.into_iter().rev(), &opposite);
    } else {
        step(steps, modules.into_iter(), &up(rules));
    }
}

/// All children at the end, for a script that OTP's release handler carries out.
pub(super) fn all(steps: &mut Vec<Step>, rules: &Ruleset) {
    step(steps, rules.modules.keys(), &up(rules));
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
