//! Steps added to a list of them, each with the next number.

use std::collections::BTreeMap;

use super::step::{Action, Step};
use crate::name::Module;
use crate::rules::Timeout;
use crate::script::lower::SuspendOrder;

/// A step.
pub(super) fn push(steps: &mut Vec<Step>, action: Action) {
    steps.push(Step::new(steps.len() + 1, action));
}

/// A step about these modules, in this order.
pub(super) fn push_about(steps: &mut Vec<Step>, modules: Vec<Module>, action: Action) {
    steps.push(Step::about(steps.len() + 1, modules, action));
}

/// All loads are one step, and so are all deletions.
pub(super) fn switch(steps: &mut Vec<Step>, loads: Vec<Module>, removes: Vec<Module>) {
    if !loads.is_empty() {
        push(steps, Action::Load(loads));
    }
    if !removes.is_empty() {
        push(steps, Action::Delete(removes));
    }
}

/// Suspending in ranks, callers first.
pub(super) fn in_ranks(
    modules: &[(Module, Option<Timeout>)],
    ranks: &SuspendOrder,
) -> Vec<Vec<(Module, Timeout)>> {
    let own = modules.iter().map(|(module, timeout)| (module, timeout));
    let timeouts: BTreeMap<&Module, &Option<Timeout>> = own.collect();
    let rank = |modules: Vec<Module>| {
        let timed = modules.into_iter().map(|module| {
            let timeout = timeouts.get(&module).and_then(|timeout| (*timeout).clone());
            (module, timeout.unwrap_or(Timeout::Default))
        });
        timed.collect()
    };
    let modules = modules.iter().map(|(module, _)| module.clone());
    ranks.split(modules).into_iter().map(rank).collect()
}
