//! The steps of a run, one after the other: what a script becomes for the agent.
//!
//! Takes a script and what was decided beside it (new keys, children), gives [`Step`]s.

use std::time::Duration;

use super::barrier::Barrier;
use super::barriers::Barriers;
use super::event::StepKind;
pub use super::step::Step;
use super::step::{Action, ConfigChange, PathMove, number};
use super::step_list::{in_ranks, push, push_about, switch};
use super::{children, listed_children, restarts, rollback_steps};
use crate::facts::change::{ChangeSet, EnvChange};
use crate::name::Module;
use crate::rules::{Change, Ruleset};
use crate::script::instruction::{Call, Direction, Instruction};
use crate::script::lower::{Executor, Script, SuspendOrder, leaving, switched};
use crate::term::Term;

/// How long a node waits for the answer to a hook before it goes back.
pub const HOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// The steps of a script.
pub fn steps(script: &Script, rules: &Ruleset) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let ranks = SuspendOrder::of(rules, script);
    // Without a process that would be suspended it is a switch as any other.
    let live_from = script.live_from().unwrap_or(script.low.len());
    environment(&mut steps, rules, false);
    restarts::terminate(&mut steps, &rules.restarts);
    if let Executor::ReleaseHandler(libraries) = &script.by {
        let modules = script.modules().cloned().collect();
        push_about(
            &mut steps,
            modules,
            Action::ReleaseHandler {
                script: script.low.clone(),
                libraries: libraries.clone(),
            },
        );
        configured(&mut steps, rules, false);
        children::all(&mut steps, rules);
        listed_children::start_and_stop(&mut steps, rules, script, true);
        listed_children::start_and_stop(&mut steps, rules, script, false);
        restarts::start(&mut steps, &rules.restarts);
        return steps;
    }
    // Children that are stopped may run what goes.
    let (stay, go) = script.low.split_at(script.low.len() - leaving(&script.low));
    let mut rest = stay;
    while let Some((instruction, behind)) = rest.split_first() {
        let mut next = behind;
        let live = stay.len() - rest.len() >= live_from;
        match instruction {
            Instruction::LoadObjectCode { .. } | Instruction::PointOfNoReturn => {}
            // Nothing is suspended: each process converts by itself, and no other step is about that.
            Instruction::Suspend(_) | Instruction::CodeChange { .. } if live => {}
            Instruction::Resume(_) if live => {
                if listed_children::last_resume(next).is_none() {
                    listed_children::start_and_stop(&mut steps, rules, script, true);
                }
            }
            Instruction::Suspend(modules) => {
                let names: Vec<Module> = modules.iter().map(|(m, _)| m.clone()).collect();
                let action = Action::Suspend(in_ranks(modules, &ranks));
                push_about(&mut steps, names, action);
            }
            // What follows each other is switched at one instant. Purging is for later, when all processes run.
            Instruction::Load { .. } | Instruction::Remove { .. } | Instruction::Purge(_) => {
                let many = rest.iter().take_while(|i| i.is_switch()).count();
                let (loads, removes) = switched(&rest[..many]);
                if live {
                    live_switch(&mut steps, rules, loads, removes);
                } else {
                    precompute(&mut steps, rules, rest);
                    switch(&mut steps, loads, removes);
                }
                next = &rest[many..];
            }
            Instruction::CodeChange { direction, modules } => {
                let direction = direction.unwrap_or(Direction::Up);
                let modules = modules.clone();
                push(&mut steps, Action::CodeChange { direction, modules });
            }
            // Those that follow each other end one window.
            Instruction::Resume(_) => {
                let resumed = |i: &Instruction| match i {
                    Instruction::Resume(modules) => Some(modules.clone()),
                    _ => None,
                };
                let lists: Vec<_> = rest.iter().map_while(resumed).collect();
                next = &rest[lists.len()..];
                if listed_children::last_resume(next).is_none() {
                    listed_children::start_and_stop(&mut steps, rules, script, true);
                }
                children::resume(&mut steps, lists.concat(), children::up(rules));
            }
            Instruction::Apply(call) => {
                push(&mut steps, Action::Apply(call.clone()));
            }
            Instruction::Hook { number, name } => push(
                &mut steps,
                Action::Hook {
                    timeout: HOOK_TIMEOUT,
                    number: *number,
                    name: name.clone(),
                },
            ),
            Instruction::SyncNodes { id, .. } => {
                push(&mut steps, Action::Barrier(Barrier::sync(id.clone())));
            }
            // No script of a run has these (`Instruction::in_run`).
            Instruction::Update { .. }
            | Instruction::LoadModule { .. }
            | Instruction::AddModule { .. }
            | Instruction::DeleteModule { .. }
            | Instruction::AddApplication { .. }
            | Instruction::RemoveApplication(_)
            | Instruction::RestartApplication(_)
            | Instruction::Stop(_)
            | Instruction::Start(_)
            | Instruction::RestartNewEmulator
            | Instruction::RestartEmulator
            | Instruction::Restart
            | Instruction::Reboot => {}
        }
        rest = next;
    }
    configured(&mut steps, rules, false);
    children::outside(&mut steps, rules, script, false);
    listed_children::start_and_stop(&mut steps, rules, script, false);
    restarts::start(&mut steps, &rules.restarts);
    let (loads, removes) = switched(go);
    switch(&mut steps, loads, removes);
    steps
}

/// The switch with no process suspended; what goes is deleted afterwards.
fn live_switch(steps: &mut Vec<Step>, rules: &Ruleset, loads: Vec<Module>, removes: Vec<Module>) {
    let convert = loads
        .iter()
        .filter(|module| rules.live.contains_key(*module));
    let convert = convert.cloned().collect();
    push(
        steps,
        Action::Live {
            convert,
            modules: loads,
        },
    );
    switch(steps, Vec::new(), removes);
}

/// Before the first switch of a window: the states that twins compute. `rest` begins with the switch.
fn precompute(steps: &mut Vec<Step>, rules: &Ruleset, rest: &[Instruction]) {
    let window = steps.iter().rev();
    let window = window.take_while(|step| !matches!(step.action, Action::Resume(_)));
    let (mut open, mut switched) = (false, false);
    for step in window {
        open |= matches!(step.action, Action::Suspend(_));
        switched |= matches!(step.action, Action::Load(_) | Action::Delete(_));
    }
    if !open || switched {
        return;
    }
    let behind = rest
        .iter()
        .take_while(|i| !matches!(i, Instruction::Resume(_)));
    let converted = behind.filter_map(|instruction| match instruction {
        Instruction::CodeChange { direction, modules } => {
            (*direction != Some(Direction::Down)).then_some(modules)
        }
        _ => None,
    });
    let computed = converted.flatten().filter_map(|(module, change)| {
        let form = *rules.precomputed.modules.get(module)?;
        match change {
            Change::Advanced(extra) => Some((module.clone(), form, extra.clone())),
            _ => None,
        }
    });
    let computed: Vec<_> = computed.collect();
    if !computed.is_empty() {
        push(steps, Action::Precompute(computed));
    }
}

/// The same, and what was suspended is watched for a while afterwards.
pub fn soaked(script: &Script, rules: &Ruleset, soak: Duration) -> Vec<Step> {
    let mut steps = steps(script, rules);
    let suspends = |step: &Step| {
        matches!(
            step.kind,
            StepKind::Suspend | StepKind::Live | StepKind::ReleaseHandler
        )
    };
    if !soak.is_zero() && steps.iter().any(suspends) {
        push(&mut steps, Action::Soak(soak));
    }
    steps
}

/// The configuration and the code path: before anything else, so that new code finds them; old code does not look.
/// `back` puts them back.
pub(super) fn environment(steps: &mut Vec<Step>, rules: &Ruleset, back: bool) {
    let keys = rules.env.iter().flat_map(|configured| {
        let changes = configured.keys.iter();
        changes.map(move |change| (configured.app.clone(), directed(change, back)))
    });
    let keys: Vec<_> = keys.collect();
    if !keys.is_empty() {
        push(steps, Action::Env(keys));
    }
    let paths = rules.moves.iter().map(|one| {
        let (was, folder) = match back {
            false => (&one.from, &one.to),
            true => (&one.to, &one.from),
        };
        PathMove {
            name: one.name.clone(),
            was: was.clone(),
            folder: folder.clone(),
        }
    });
    let paths: Vec<_> = paths.collect();
    if !paths.is_empty() {
        push(steps, Action::Paths(paths));
    }
}

/// A change of a key, or the way back from it.
fn directed(change: &EnvChange, back: bool) -> EnvChange {
    let EnvChange { key, was, new } = change.clone();
    match back {
        false => EnvChange { key, was, new },
        true => EnvChange {
            key,
            was: new,
            new: was,
        },
    }
}

/// Applications whose configuration has changed are notified, once, when all processes run again (OTP: application(3),
/// `Module:config_change/3`).
pub(super) fn configured(steps: &mut Vec<Step>, rules: &Ruleset, back: bool) {
    let entries = rules.env.iter().filter_map(|configured| {
        let (mut changed, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for change in &configured.keys {
            let EnvChange { key, was, new } = directed(change, back);
            match (was, new) {
                (_, None) => removed.push(key),
                (None, Some(new)) => added.push((key, new)),
                (Some(_), Some(new)) => changed.push((key, new)),
            }
        }
        Some(ConfigChange {
            callback: configured.callback.clone()?,
            changed,
            added,
            removed,
        })
    });
    let entries: Vec<_> = entries.collect();
    if !entries.is_empty() {
        push(steps, Action::ConfigChange(entries));
    }
}

/// Applications that the plan starts or removes, the other way round. They are started `temporary`: one that is permanent
/// and fails to start takes the node along.
pub(super) fn applications_back(steps: &mut Vec<Step>, script: &Script) {
    let undo = |function: &str, app: &Term, args: &[&str]| {
        let args = std::iter::once(app.clone()).chain(args.iter().copied().map(Term::atom));
        Call::application(function, args)
    };
    let mut calls = Vec::new();
    for instruction in script.low.iter().rev() {
        let Instruction::Apply(call) = instruction else {
            continue;
        };
        let Some((function, app)) = call.of_application() else {
            continue;
        };
        match function {
            "start" => calls.extend([undo("stop", app, &[]), undo("unload", app, &[])]),
            "load" => calls.push(undo("unload", app, &[])),
            "stop" => calls.push(undo("start", app, &["temporary"])),
            _ => {}
        }
    }
    for call in calls {
        push(steps, Action::Apply(call));
    }
}

/// The same with what keeps the nodes of a group together.
pub fn with_barriers(steps: Vec<Step>, barriers: Option<Barriers>) -> Vec<Step> {
    match barriers {
        Some(barriers) => barriers.there(steps),
        // Alone there is no other node to wait for.
        None => {
            let mut steps = steps;
            steps.retain(|step| step.barrier().is_none());
            number(&mut steps, 1);
            steps
        }
    }
}

/// The steps of a run and of the ways back through its windows: all that the agent may tell about; numbered from `first`.
pub fn every(
    changes: &ChangeSet,
    rules: &Ruleset,
    script: &Script,
    steps: Vec<Step>,
    first: usize,
) -> Vec<Step> {
    let (steps, ways) = with_ways_back(changes, rules, script, steps, first);
    steps
        .into_iter()
        .chain(ways.into_iter().flatten().flatten())
        .collect()
}

/// The steps of a run, and those of the ways back through its windows; numbered from `first`.
pub(super) fn with_ways_back(
    changes: &ChangeSet,
    rules: &Ruleset,
    script: &Script,
    mut steps: Vec<Step>,
    first: usize,
) -> (Vec<Step>, Vec<Option<Vec<Step>>>) {
    number(&mut steps, first);
    let ways = rollback_steps::per_step(changes, rules, script, first + steps.len());
    (steps, ways)
}

/// The steps of a script window by window, the last window first, without calls, hooks and children: those are
/// not repeated.
pub(super) fn forward(steps: &[Step], first: usize) -> Vec<Option<Vec<Step>>> {
    let ends = |step: &Step| matches!(step.action, Action::Resume(_));
    let mut windows: Vec<Vec<Step>> = Vec::new();
    for window in steps.split_inclusive(ends) {
        let once = |step: &Step| {
            matches!(
                step.action,
                Action::Apply(_)
                    | Action::Children(_)
                    | Action::ConfigChange(_)
                    | Action::Hook { .. }
                    | Action::Barrier(_)
                    | Action::Soak(_)
                    | Action::Precompute(_)
                    | Action::Ahead(_)
            )
        };
        let steps = window.iter().filter(|step| !once(step));
        let steps = steps.cloned();
        match windows.last_mut() {
            // On the way back what is behind the last window belongs to it: no process is resumed in between.
            Some(last) if !window.last().is_some_and(ends) => last.extend(steps),
            _ => windows.push(steps.collect()),
        }
    }
    windows.reverse();
    number(windows.iter_mut().flatten(), first);
    windows.into_iter().map(Some).collect()
}
