//! A run as lines: one per finished step, the failure loud, the last line enough for a chat message.

use std::collections::BTreeSet;
use std::time::Duration;

use super::progress;
use super::style::{attention, bad, count, good, hint, mark, name, time};
use crate::diag::render::{Style, render};
use crate::diag::{SourceMap, safe};
use crate::exec::side_effects::Acted;
use crate::exec::{Event, EventKind, NodeState, StepKind};
use crate::name::NodeName;

/// The line (or lines) of an event; `None` for one that needs none.
pub fn line(event: &Event, sources: &SourceMap, style: Style) -> Option<String> {
    match &event.kind {
        EventKind::Started { .. }
        | EventKind::StepStarted { .. }
        | EventKind::StepProgress { .. } => None,
        EventKind::Check {
            verify,
            name,
            ok,
            tries,
            took,
        } => {
            let word = if *verify { "verify" } else { "require" };
            let again = if *tries > 1 {
                format!(" ({tries} tries)")
            } else {
                String::new()
            };
            Some(step(
                style,
                word,
                *ok,
                &time(*took),
                &format!("{}{again}", safe::line(name)),
            ))
        }
        EventKind::Hold {
            name,
            ok,
            held,
            goal,
            ..
        } => Some(step(
            style,
            "hold",
            *ok,
            &time(*held),
            &format!("{}{}", safe::line(name), of_goal(*ok, *goal)),
        )),
        EventKind::Gate {
            name,
            ok,
            took,
            before,
            ..
        } => {
            let what = format!("{} (before {before})", safe::line(name));
            Some(step(style, "gate", *ok, &time(*took), &what))
        }
        EventKind::Hook { name, ok, took } => {
            Some(step(style, "hook", *ok, &time(*took), &safe::line(name)))
        }
        EventKind::Log { warn, text } => {
            let text = safe::text(text.trim_end());
            let text = if *warn {
                attention(style, &text)
            } else {
                text.into_owned()
            };
            Some(format!(
                "{:>12}     {text}",
                if *warn { "warn" } else { "info" }
            ))
        }
        EventKind::StepFinished {
            step: kind,
            ok,
            took,
            what,
            processes,
            attempts,
            ..
        } => {
            let subject = processes
                .map(|n| {
                    format!(
                        "{} of ",
                        count(
                            usize::try_from(n).unwrap_or(usize::MAX),
                            "process",
                            "processes"
                        )
                    )
                })
                .unwrap_or_default();
            let took = if *ok { time(*took) } else { String::new() };
            Some(step(
                style,
                &kind.to_string(),
                *ok,
                &took,
                &format!("{subject}{}{}", safe::line(what), tried(*attempts)),
            ))
        }
        EventKind::StepPostponed { .. } => {
            let text = postponed(&event.kind);
            Some(format!("{:>12}     {}", "suspend", safe::line(&text)))
        }
        EventKind::RollbackStarted => None,
        EventKind::RollbackFinished {
            ok,
            took,
            processes,
            switched,
        } => {
            let what = went_back(*ok, *switched, *processes);
            Some(step(style, "undo", *ok, &time(*took), &what))
        }
        EventKind::Interrupt { text } => {
            Some(format!("{:>12}     {}", "stop", attention(style, text)))
        }
        EventKind::Diagnostic(diagnostic) => {
            Some(format!("\n{}", render(diagnostic, sources, style)))
        }
        EventKind::Persisted { files } => {
            let what = format!(
                "{} written to the node's disk",
                count(*files, "beam", "beams")
            );
            Some(step(style, "persist", true, "", &what))
        }
        EventKind::Lingering { processes } => {
            let head = attention(style, &format!("{}:", lingering(processes)));
            Some(format!("{head}\n    {}", processes.join("\n    ")))
        }
        EventKind::Finished { .. } => None,
    }
}

/// For how long it should have held.
fn of_goal(ok: bool, goal: Duration) -> String {
    match ok {
        true => String::new(),
        false => format!(" (of {})", time(goal)),
    }
}

/// How often it was tried, when that is more than once.
fn tried(attempts: Option<(u64, Duration)>) -> String {
    match attempts {
        Some((tried, _)) if tried > 1 => format!(" ({tried} attempts)"),
        _ => String::new(),
    }
}

/// An attempt to suspend that was called off.
pub(super) fn postponed(kind: &EventKind) -> String {
    let EventKind::StepPostponed {
        attempt,
        paused,
        processes,
        waiting,
        slowest,
        ..
    } = kind
    else {
        return String::new();
    };
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let resumed = count(number(*processes), "process", "processes");
    let busy = match slowest.first() {
        Some(slow) => progress::slowest(slow, Duration::ZERO),
        None => count(number(*waiting), "process", "processes"),
    };
    let more = match waiting.saturating_sub(1) {
        0 => String::new(),
        _ if slowest.is_empty() => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "attempt {attempt} called off after {}: {resumed} resumed, waiting for {busy}{more}",
        time(*paused)
    )
}

/// `3 processes are still running old code of job`, from the lines about each of them and each module.
pub(super) fn lingering(lines: &[String]) -> String {
    let parts = || {
        lines
            .iter()
            .filter_map(|line| line.split_once(" still runs the old "))
    };
    let processes: BTreeSet<&str> = parts().map(|(process, _)| process).collect();
    let modules: BTreeSet<&str> = parts().map(|(_, module)| module).collect();
    let mut named: Vec<&str> = modules.iter().take(3).copied().collect();
    let more = modules.len().saturating_sub(named.len());
    let more = format!("{more} more");
    if modules.len() > named.len() {
        named.push(&more);
    }
    let number = count(processes.len(), "process is", "processes are");
    format!("{number} still running old code of {}", named.join(", "))
}

/// What a way back came to.
pub(super) fn went_back(ok: bool, switched: bool, processes: Option<u64>) -> String {
    let code = match switched {
        true => "code restored",
        false => "no module was switched",
    };
    match processes {
        _ if !ok => "not complete".to_owned(),
        Some(0) => code.to_owned(),
        Some(number) => {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            let subject = count(number, "process", "processes");
            format!("{code}, {subject} resumed")
        }
        None => format!("{code}, all processes resumed"),
    }
}

/// What the last line has to know of all events before it.
#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// The name of the run.
    pub run: String,
    /// Whether something was wrong.
    pub wrong: bool,
    /// Whether code was switched, perhaps to be switched back.
    pub touched: bool,
    /// Whether processes went on in the new version before that was turned round.
    pub live: bool,
    /// Whether processes ended on the way that would have gone on without the run.
    pub lost: bool,
    /// Whether nothing leads back to the old version.
    pub one_way: bool,
    /// Whether another run held the lock: what the node is then, that one says.
    pub locked: bool,
    /// The hooks that have acted, and whether that is undone.
    pub acted: Acted,
}

impl RunSummary {
    /// The next event.
    pub fn event(&mut self, event: &Event) {
        self.acted.event(&event.kind);
        match &event.kind {
            EventKind::Started { run, .. } => {
                *self = Self {
                    run: run.clone(),
                    one_way: self.one_way,
                    ..Self::default()
                };
            }
            EventKind::Diagnostic(diagnostic) => {
                self.wrong |= diagnostic.is_error();
                self.one_way |= diagnostic.code == crate::diag::Code::E609;
                self.locked |= diagnostic.code == crate::diag::Code::E505;
                self.lost |= diagnostic.code.ends_processes();
            }
            EventKind::StepStarted { step, .. } => {
                use StepKind::{Delete, Live, Load, ReleaseHandler};
                self.touched |= matches!(step, Load | Delete | Live | ReleaseHandler);
                self.live |= *step == Live;
            }
            // A step that switches may fail before it does.
            EventKind::RollbackFinished { switched, .. } => self.touched &= switched,
            _ => {}
        }
    }
}

fn step(style: Style, word: &str, ok: bool, took: &str, what: &str) -> String {
    format!("{word:>12}  {}  {took:<7} {what}", mark(style, ok))
}

/// The last line of a rollback that is a run of its own.
pub fn last_back(event: &Event, run: &str, style: Style) -> Option<String> {
    let EventKind::Finished { state, .. } = &event.kind else {
        return None;
    };
    let node = &event.node;
    let (word, what) = match state {
        NodeState::Old => (good(style, "rolled back"), "is as before"),
        NodeState::New => (
            attention(style, "not rolled back"),
            "is as before this rollback",
        ),
        _ => return Some(neither(*state, node, run, style)),
    };
    Some(format!("{word}  {node} {what} {} run {run}", dot(style)))
}

/// The last line of a run. A node that is new is not as it should be when something was wrong.
pub fn last(event: &Event, title: &str, course: &RunSummary, style: Style) -> Option<String> {
    let run = &course.run;
    let EventKind::Finished {
        state,
        suspended,
        processes,
        converted,
        modules,
        living,
        predicted,
    } = &event.kind
    else {
        return None;
    };
    let (dot, node) = (dot(style), &event.node);
    let number = |n: &u64, one: &str, many: &str| {
        count(usize::try_from(*n).unwrap_or(usize::MAX), one, many)
    };
    let lives = match living {
        Some((live, of)) => format!(" {dot} {live} of {of} live"),
        None => String::new(),
    };
    Some(match state {
        NodeState::New if course.wrong && course.one_way => format!(
            "{}  {node} is new, but with errors{lives} {dot} the new code stays {dot} run {run}",
            bad(style, "not good"),
        ),
        NodeState::New if course.wrong => format!(
            "{}  {node} is new, but with errors{lives} {dot} {} {dot} run {run}",
            bad(style, "not good"),
            hint(style, &format!("updo rollback {run}")),
        ),
        NodeState::New => format!(
            "{}  {} {dot} {node} {dot} {} {dot} {}{} {dot} {} converted{lives} {dot} {} {dot} run {run}",
            good(style, "done"),
            name(style, &safe::line(title)),
            count(*modules, "module", "modules"),
            match processes {
                0 => "no process suspended".to_owned(),
                some => format!("{} suspended", number(some, "process", "processes")),
            },
            match (suspended, predicted) {
                (None, _) => String::new(),
                _ if *processes == 0 => String::new(),
                (Some(pause), None) => format!(" {}", time(*pause)),
                (Some(pause), Some(before)) => {
                    format!(" {} (predicted {})", time(*pause), time(*before))
                }
            },
            number(converted, "state", "states"),
            time(event.at),
        ),
        NodeState::Old => {
            let word = match course.touched {
                true => "undone",
                false => "not upgraded",
            };
            let stood = match suspended.filter(|stood| !stood.is_zero()) {
                None => String::new(),
                Some(stood) => format!(" {dot} suspended {}", time(stood)),
            };
            let word = attention(style, word);
            let left = course.touched.then(|| course.acted.words()).flatten();
            let back = "old code and states are back";
            let died = living.is_some_and(|(live, of)| live < of);
            let what = match (course.lost || died, left) {
                (false, None) if course.locked => {
                    format!("nothing was changed on {node} by this run: another run is active")
                }
                (false, None) if course.touched && course.live => format!("{node}: {back}"),
                (false, None) => format!("{node} is as before"),
                (false, Some(left)) => format!("{node}: {back} {dot} {left}"),
                (true, None) => format!("{node}: {back}, without the processes named above"),
                (true, Some(left)) => {
                    format!("{node}: {back}, without the processes named above {dot} {left}")
                }
            };
            format!("{word}  {what}{stood}{lives} {dot} run {run}")
        }
        NodeState::Mixed | NodeState::Unknown => neither(*state, node, run, style),
    })
}

/// The last line for a node that is neither wholly old nor wholly new, as far as we know.
fn neither(state: NodeState, node: &NodeName, run: &str, style: Style) -> String {
    let dot = dot(style);
    if state == NodeState::Unknown {
        let help = hint(style, &format!("updo attach {run}"));
        let word = attention(style, "connection lost");
        return format!("{word}  the run continues on {node} {dot} {help} {dot} run {run}");
    }
    format!(
        "{}  {node} needs manual repair {dot} run {run}",
        bad(style, "half done")
    )
}

fn dot(style: Style) -> &'static str {
    if style.unicode { "·" } else { "-" }
}
