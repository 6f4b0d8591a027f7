//! Children that are restarted with the switch, because their module changes its behaviour.
//!
//! They are terminated before anything is suspended, in the code that they run, and started when everything has
//! resumed, in the code that is loaded then. What has been done is undone by the agent when the run ends otherwise.

use super::event::StepKind;
use super::steps::{Step, push};
use crate::facts::node::processes::ChildId;
use crate::term::Term;

/// Terminates them.
pub(super) fn terminate(steps: &mut Vec<Step>, children: &[ChildId]) {
    step(steps, "halt", children.iter().rev());
}

/// Starts them.
pub(super) fn start(steps: &mut Vec<Step>, children: &[ChildId]) {
    step(steps, "start", children.iter());
}

fn step<'a>(steps: &mut Vec<Step>, word: &str, children: impl Iterator<Item = &'a ChildId>) {
    let (mut supervisors, mut all) = (Vec::new(), Vec::new());
    for (supervisor, id) in children {
        if !supervisors.contains(supervisor) {
            supervisors.push(supervisor.clone());
        }
        all.push(Term::tuple([
            Term::atom(word),
            Term::atom(supervisor.as_str()),
            id.clone(),
        ]));
    }
    if !all.is_empty() {
        let term = Term::tuple([Term::atom("children"), Term::list(all)]);
        push(steps, StepKind::Children, supervisors, term);
    }
}
