//! The pause of an upgrade, predicted from what a rehearsal has measured on the node.
//!
//! Takes the windows of a script, what it took to ask processes for something and how long their conversions took; gives
//! for how long processes would be suspended. The constants come from the steps of measured windows of 100 to 10,000
//! processes (docs/decisions.md); `make bench rehearse` holds the prediction against what happens.

use std::collections::BTreeSet;
use std::time::Duration;

use super::step::Action;
use super::steps;
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::rules::Ruleset;
use crate::script::lower::{Script, running};
use crate::state::rehearsals::{Figures, ModuleFigures};

/// What a window takes without any process: births are watched, the schedulers of the node meet.
const WINDOW: Duration = Duration::from_micros(4_500);

/// What each module adds that is switched in it.
const SWITCHED: Duration = Duration::from_micros(100);

/// To suspend a process and to resume it, in times of what it takes to ask it in a rehearsal: a message each, where that
/// sends two (a fun that gives back the state, and an empty change of debug options).
const SUSPENDED: f64 = 1.2;

/// To compute a state before the switch, or to convert one behind: a larger fun is copied to each process and evaluated
/// there, and no second message is needed.
const CONVERSION: f64 = 1.0;

/// To install what was computed together with the resume, or to compute it together with the suspension: the process is
/// awake already.
const TOGETHER: f64 = 0.1;

/// What each scheduler after the first adds: conversions that run at the same time share memory and its collection.
const SECOND: f64 = 0.7;

/// For how long processes would be suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The sum over all windows.
    pub whole: Duration,
    /// The longest window.
    pub longest: Duration,
    /// Whether conversions are part of the windows that were not tried: it takes longer then.
    pub is_lower_bound: bool,
}

/// One window: whose processes are suspended, and whose are converted.
#[derive(Default)]
struct Window {
    suspended: BTreeSet<Module>,
    computed: BTreeSet<Module>,
    converted: BTreeSet<Module>,
    switched: u32,
}

impl Pause {
    /// The prediction for the numbers of processes in the change set; `None` when nothing is suspended or no process
    /// has answered.
    pub fn predicted(
        changes: &ChangeSet,
        rules: &Ruleset,
        script: &Script,
        figures: &Figures,
    ) -> Option<Self> {
        let answered = figures.modules.values().map(|of| of.message);
        // Those that were not asked are no quicker than the others.
        let others = answered.filter(|message| !message.is_zero()).max()?;
        let mut pause = Self {
            whole: Duration::ZERO,
            longest: Duration::ZERO,
            is_lower_bound: false,
        };
        for window in windows(script, rules) {
            let mut length = WINDOW + SWITCHED * window.switched;
            for module in &window.suspended {
                let only = std::iter::once(module);
                let processes = running(changes, rules, only);
                if processes == 0 {
                    continue;
                }
                let known = figures.modules.get(module);
                let message = known.map(|of| of.message).filter(|one| !one.is_zero());
                let is_converted = window.converted.contains(module);
                let is_computed = window.computed.contains(module);
                let is_early = known.is_some_and(|of| {
                    of.converted >= processes as u64
                        && rules.precomputed.is_early(module, of.slowest)
                });
                let asked = SUSPENDED
                    + match (is_converted, is_computed) {
                        (false, _) => 0.0,
                        (true, false) => CONVERSION,
                        (true, true) if is_early => 2.0 * TOGETHER,
                        (true, true) => CONVERSION + TOGETHER,
                    };
                length += message.unwrap_or(others).mul_f64(asked * processes as f64);
                match known {
                    _ if !is_converted => {}
                    Some(of) => length += conversions(of, processes, figures.schedulers),
                    None => pause.is_lower_bound = true,
                }
            }
            pause.whole += length;
            pause.longest = pause.longest.max(length);
        }
        (!pause.whole.is_zero()).then_some(pause)
    }
}

/// What the conversions of a module take: many at a time, and no less than the slowest.
fn conversions(of: &ModuleFigures, processes: usize, schedulers: u64) -> Duration {
    if of.converted == 0 {
        return Duration::ZERO;
    }
    // Some were busy, or above the number that is asked; and there may be others by now.
    let all = of.sum.mul_f64(processes as f64 / of.converted as f64);
    of.slowest
        .max(all.div_f64(1.0 + SECOND * (schedulers.max(1) - 1) as f64))
}

fn windows(script: &Script, rules: &Ruleset) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut open: Option<Window> = None;
    for step in steps::steps(script, rules) {
        match step.action {
            Action::Suspend(ranks) => {
                let modules = ranks.into_iter().flatten().map(|(module, _)| module);
                open.get_or_insert_default().suspended.extend(modules);
            }
            Action::Load(modules) | Action::Delete(modules) => {
                if let Some(open) = &mut open {
                    open.switched += u32::try_from(modules.len()).unwrap_or(u32::MAX);
                }
            }
            Action::Precompute(modules) => {
                if let Some(open) = &mut open {
                    let modules = modules.into_iter().map(|(module, ..)| module);
                    open.computed.extend(modules);
                }
            }
            Action::CodeChange { modules, .. } => {
                if let Some(open) = &mut open {
                    let modules = modules.into_iter().map(|(module, _)| module);
                    open.converted.extend(modules);
                }
            }
            Action::Resume(_) => windows.extend(open.take()),
            _ => {}
        }
    }
    windows.extend(open);
    windows
}
