//! Children that the `start/2` of an application lists, as steps: where they are started and stopped, there and back.
//!
//! Their supervisor takes no part. There, they are started and stopped when everything they run is switched, and before
//! those that may call them are resumed: at the end of the last window, or behind all when modules are switched there. Back,
//! what was started is stopped first, in the code that it runs; what was stopped is started when the old code is there.

use super::step::{Action, ChildAction, ChildStep, ListEntry, ListedChildren, Step};
use super::step_list::push;
use crate::facts::beam::children::ListedChild;
use crate::name::Module;
use crate::rules::app_children::Enlisted;
use crate::rules::{Listing, ModuleRules, Ruleset};
use crate::script::instruction::Instruction;
use crate::script::lower::Script;

/// The instructions of a script that are the end of its last window.
pub(super) fn last_resume(low: &[Instruction]) -> Option<usize> {
    low.iter()
        .rposition(|i| matches!(i, Instruction::Resume(_)))
}

/// Those modules whose children are started and stopped in the last window.
fn in_window(low: &[Instruction], decided: &ModuleRules, module: &Module) -> bool {
    let Some(end) = last_resume(low) else {
        return false;
    };
    let begun = decided.listing.iter().flat_map(|l| &l.renewal.begun);
    let needed: Vec<&Module> = begun.chain([module]).collect();
    let late =
        |i: &Instruction| matches!(i, Instruction::Load { module, .. } if needed.contains(&module));
    !low[end..].iter().any(late)
}

/// What is done inside the last window (`inside`), or behind all.
fn concerned<'a>(
    rules: &'a Ruleset,
    script: &Script,
    inside: bool,
) -> Vec<(&'a Module, &'a Listing, Enlisted)> {
    let all = rules.modules.iter().filter_map(|(module, decided)| {
        let children = decided.listed_children()?;
        let here = in_window(&script.low, decided, module) == inside;
        here.then_some((module, decided.listing.as_ref()?, children))
    });
    all.collect()
}

/// Starts and stops them.
pub(super) fn up(steps: &mut Vec<Step>, rules: &Ruleset, script: &Script, inside: bool) {
    let all = concerned(rules, script, inside);
    step(steps, all, |listing, children| {
        ChildAction::Listed(known(listing, children, &listing.new))
    });
}

/// Stops what was started.
pub(super) fn unlist(steps: &mut Vec<Step>, rules: &Ruleset, script: &Script, inside: bool) {
    let mut all = concerned(rules, script, inside);
    all.reverse();
    step(steps, all, |listing, children| {
        ChildAction::Unlisted(known(listing, children, &listing.old))
    });
}

/// Starts what was stopped.
pub(super) fn relist(steps: &mut Vec<Step>, rules: &Ruleset, script: &Script, inside: bool) {
    let mut all = concerned(rules, script, inside);
    all.reverse();
    step(steps, all, |listing, children| {
        ChildAction::Relisted(known(listing, children, &listing.old))
    });
}

fn step(
    steps: &mut Vec<Step>,
    all: Vec<(&Module, &Listing, Enlisted)>,
    action: impl Fn(&Listing, &Enlisted) -> ChildAction,
) {
    let each = all.iter().map(|(module, listing, children)| ChildStep {
        supervisor: (*module).clone(),
        action: action(listing, children),
    });
    let each: Vec<ChildStep> = each.collect();
    if !each.is_empty() {
        push(steps, Action::Children(each));
    }
}

fn known(listing: &Listing, children: &Enlisted, order: &[ListedChild]) -> ListedChildren {
    ListedChildren {
        names: listing.names.clone(),
        start: entries(&children.start),
        stop: entries(&children.stop),
        order: entries(order),
        // What is only inferred is no fault when the application does not run.
        strict: children.named,
    }
}

fn entries(children: &[ListedChild]) -> Vec<ListEntry> {
    let entry = |one: &ListedChild| ListEntry {
        like: one.guessed && one.item.is_some(),
        id: one.child.id.clone(),
        item: one.item.clone(),
    };
    children.iter().map(entry).collect()
}
