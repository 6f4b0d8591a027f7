//! Children that are restarted with the switch, because their module changes its behaviour.
//!
//! They are terminated before anything is suspended, in the code that they run, and started when everything has
//! resumed, in the code that is loaded then. What has been done is undone by the agent when the run ends otherwise.

use super::step::{Action, ChildAction, ChildStep, Step};
use super::steps::push;
use crate::facts::behaviour::ChildId;
use crate::term::Term;

/// Terminates them.
pub(super) fn terminate(steps: &mut Vec<Step>, children: &[ChildId]) {
    step(steps, children.iter().rev(), ChildAction::Halt);
}

/// Starts them.
pub(super) fn start(steps: &mut Vec<Step>, children: &[ChildId]) {
    step(steps, children.iter(), ChildAction::Start);
}

fn step<'a>(
    steps: &mut Vec<Step>,
    children: impl Iterator<Item = &'a ChildId>,
    action: fn(Term) -> ChildAction,
) {
    let all = children.map(|(supervisor, id)| ChildStep {
        supervisor: supervisor.clone(),
        action: action(id.clone()),
    });
    let all: Vec<ChildStep> = all.collect();
    if !all.is_empty() {
        push(steps, Action::Children(all));
    }
}
