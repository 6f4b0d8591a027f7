//! The pause of an upgrade, predicted from what a rehearsal has measured on the node.
//!
//! Takes the windows of a script, how long processes took to answer a system message and how long their conversions
//! took; gives for how long processes would be suspended. The constants are fitted to measured windows of 4 to 10,000
//! processes (docs/decisions.md); `make bench rehearse` holds the prediction against what happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rehearsal::Tried;
use super::step::Action;
use super::steps;
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::rules::Ruleset;
use crate::script::lower::{Script, running};

/// What a window takes without any process: the code of the node is switched, its schedulers meet.
const SWITCH: Duration = Duration::from_millis(5);

/// The share of a process in a window, in times of what it takes to answer one system message that is waited for: it
/// gets three (suspend, convert, resume), which are sent to many processes at a time.
const MESSAGES: f64 = 0.7;

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
    converted: BTreeSet<Module>,
}

impl Pause {
    /// The prediction; `None` when nothing is suspended or no process has answered.
    pub fn predicted(
        changes: &ChangeSet,
        rules: &Ruleset,
        script: &Script,
        tried: &[Tried],
        schedulers: u64,
    ) -> Option<Self> {
        let asked = tried.iter().filter(|tried| !tried.asked.is_zero());
        let asked: BTreeMap<&Module, Duration> =
            asked.map(|tried| (&tried.module, tried.asked)).collect();
        // Those that were not asked are no quicker than the others.
        let others = asked.values().max().copied()?;
        let mut pause = Self {
            whole: Duration::ZERO,
            longest: Duration::ZERO,
            is_lower_bound: false,
        };
        for window in windows(script, rules) {
            let mut length = SWITCH;
            for module in &window.suspended {
                let only = std::iter::once(module);
                let processes = running(changes, rules, only);
                let answers = asked.get(module).copied().unwrap_or(others);
                length += answers.mul_f64(MESSAGES * processes as f64);
                if processes == 0 || !window.converted.contains(module) {
                    continue;
                }
                match tried.iter().find(|tried| tried.module == *module) {
                    Some(tried) => length += conversions(tried, processes, schedulers),
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
fn conversions(tried: &Tried, processes: usize, schedulers: u64) -> Duration {
    let slowest = tried.times.last().copied().unwrap_or_default();
    let sum: Duration = tried.times.iter().sum();
    if tried.times.is_empty() {
        return Duration::ZERO;
    }
    // Some were busy, or above the number that is asked.
    let all = sum.mul_f64(processes as f64 / tried.times.len() as f64);
    slowest.max(all.div_f64(1.0 + SECOND * (schedulers.max(1) - 1) as f64))
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
