//! A run as lines of a log, for use without a terminal: wall clock, node, step, `ok`, seconds, what.
//!
//! Takes events and the time of day, gives lines without colour; one per finished step, and a heartbeat for one that
//! takes long. What a line begins with never changes, so that it can be searched for; more is added at its end only.

use std::time::{Duration, SystemTime};

use super::progress::Progress;
use super::terminal::{lingering, postponed, went_back};
use crate::diag::safe;
use crate::exec::{Event, EventKind};

/// How often a running step says that it still runs.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// `12:03:07Z`: UTC, as it is in the records.
pub fn clock(now: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(now).to_string();
    text.split_once('T')
        .map_or(text.clone(), |(_, time)| time.to_owned())
}

/// The line of an event; `None` for one that needs none, or that is reported otherwise (diagnostics, the last line).
pub fn line(event: &Event, clock: &str) -> Option<String> {
    let head = format!("{clock} {}", event.node);
    let mark = |ok: bool| if ok { "ok" } else { "FAIL" };
    let seconds = |took: &Duration| format!("{:.3}s", took.as_secs_f64());
    Some(match &event.kind {
        EventKind::Check {
            verify,
            name,
            ok,
            tries,
            took,
        } => {
            let word = if *verify { "verify" } else { "require" };
            let name = name.escape_debug();
            let line = format!("{head} {word} {} {} \"{name}\"", mark(*ok), seconds(took));
            if *tries > 1 {
                format!("{line} tries={tries}")
            } else {
                line
            }
        }
        EventKind::Hold {
            name,
            ok,
            held,
            goal,
            tries,
            ..
        } => {
            format!(
                "{head} hold {} {} \"{}\" for={} tries={tries}",
                mark(*ok),
                seconds(held),
                name.escape_debug(),
                seconds(goal)
            )
        }
        EventKind::Gate {
            name,
            ok,
            exit,
            took,
            before,
        } => {
            let exit = exit.map_or_else(|| "none".to_owned(), |exit| exit.to_string());
            format!(
                "{head} gate {} {} \"{}\" before=\"{before}\" exit={exit}",
                mark(*ok),
                seconds(took),
                name.escape_debug()
            )
        }
        EventKind::Hook { name, ok, took } => {
            format!(
                "{head} hook {} {} \"{}\"",
                mark(*ok),
                seconds(took),
                safe::line(name)
            )
        }
        EventKind::Log { warn, text } => {
            let word = if *warn { "warn" } else { "info" };
            let text = safe::text(text.trim_end());
            let mut lines = text.lines();
            let first = format!("{head} {word} {}", lines.next().unwrap_or_default());
            lines.fold(first, |all, line| format!("{all}\n    {line}"))
        }
        EventKind::StepFinished {
            step,
            ok,
            took,
            what,
            processes,
            attempts,
            ..
        } => {
            let took = if *ok { seconds(took) } else { "-".to_owned() };
            let what = safe::line(what);
            let line = format!("{head} {step} {} {took} {what}", mark(*ok));
            let line = match processes {
                Some(processes) => format!("{line} processes={processes}"),
                None => line,
            };
            match attempts {
                Some((tried, _)) if *tried > 1 => format!("{line} attempts={tried}"),
                _ => line,
            }
        }
        EventKind::StepPostponed { .. } => {
            let text = postponed(&event.kind);
            format!("{head} suspend postponed {}", safe::line(&text))
        }
        EventKind::RollbackStarted => format!("{head} undo begins"),
        EventKind::RollbackFinished {
            ok,
            took,
            processes,
            switched,
        } => {
            let what = went_back(*ok, *switched, *processes);
            format!("{head} undo {} {} {what}", mark(*ok), seconds(took))
        }
        EventKind::Interrupt { text } => format!("{head} stop {text}"),
        EventKind::Persisted { files } => {
            let beams = super::style::count(*files, "beam", "beams");
            format!("{head} persist ok - {beams} written to the node's disk")
        }
        EventKind::Lingering { processes } => {
            let first = format!("{head} lingering {}", lingering(processes));
            processes
                .iter()
                .fold(first, |all, line| format!("{all}\n    {line}"))
        }
        EventKind::Started { .. }
        | EventKind::StepStarted { .. }
        | EventKind::StepProgress { .. }
        | EventKind::Diagnostic(_)
        | EventKind::Finished { .. } => return None,
    })
}

/// The heartbeat of the step that is being taken.
pub fn running(node: &str, progress: &Progress, now: Duration, clock: &str) -> Option<String> {
    let current = progress.current()?;
    let mut line = format!(
        "{clock} {node} {} running {}s {}",
        current.word(),
        now.saturating_sub(current.since).as_secs(),
        current.what
    );
    if let Some((done, total)) = current.count {
        line += &format!(" {done}/{total}");
    }
    if let Some(slow) = current.slowest.first() {
        line += &format!(" slowest={} in {}", slow.pid, slow.at);
    }
    Some(line)
}
