//! The stream of events as JSON lines. The first line names the schema; minor versions only add fields;
//! every line has a sentence, so that a log viewer is enough.

#![expect(
    clippy::disallowed_methods,
    reason = "the first and the last line of a stream say when they were written"
)]

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{progress, terminal};
use crate::diag::SourceMap;
use crate::diag::render::{Style, to_json};
use crate::exec::rehearsal::Tried;
use crate::exec::{BusyProcess, Event, EventKind};
use crate::name::{Module, NodeName};
use crate::rules::children_found::ChildrenFound;

/// Name and version of the schema.
pub const SCHEMA: &str = "updo.events/1.0";

/// The first line of a stream.
pub fn stream(plan: &str) -> Value {
    json!({
        "type": "stream",
        "schema": SCHEMA,
        "updo": env!("CARGO_PKG_VERSION"),
        "plan": plan,
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
    })
}

/// One event.
pub fn event(event: &Event, sources: &SourceMap) -> Value {
    let (kind, fields) = parts(&event.kind, sources);
    let mut line = json!({
        "type": kind,
        "seq": event.seq,
        "node": event.node.as_str(),
        "t": event.at.as_secs_f64(),
    });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
        line.insert(
            "message".to_owned(),
            Value::String(sentence(event, sources)),
        );
    }
    line
}

/// A line about a whole rollout; `fields` are what its type has besides.
pub fn rollout(kind: &str, rollout: &str, message: &str, fields: Value) -> Value {
    let mut line = json!({
        "type": kind,
        "rollout": rollout,
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "message": message,
    });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
    }
    line
}

/// The first phase of a run on a node: conversions were tried on copies of live states.
pub fn rehearsal(
    node: &NodeName,
    message: &str,
    tried: &[Tried],
    children: &[ChildrenFound],
    pause: Option<Duration>,
) -> Value {
    let sum = |of: fn(&Tried) -> u64| tried.iter().map(of).sum::<u64>();
    let slowest = tried.iter().filter_map(|tried| tried.percentile(100)).max();
    json!({
        "type": "rehearsal",
        "node": node.as_str(),
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "processes": sum(|tried| tried.processes),
        "converted": sum(|tried| if tried.kept { 0 } else { tried.converted }),
        "failed": sum(|tried| tried.failed),
        "slowest_ms": slowest.map(ms),
        "predicted_ms": pause.map(ms),
        "modules": super::rehearsal_found::modules(tried, children),
        "message": message,
    })
}

/// What has become of what `updo watch` has seen: `upgraded`, `refused`, `undone`, `broken`, `unknown`, `waiting`.
pub fn watched(
    node: &NodeName,
    is: &str,
    modules: &[Module],
    converted: u64,
    took: Option<Duration>,
    message: &str,
) -> Value {
    let modules: Vec<&str> = modules.iter().map(Module::as_str).collect();
    json!({
        "type": "watch",
        "node": node.as_str(),
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "state": is,
        "modules": modules,
        "converted": converted,
        "took_ms": took.map(ms),
        "message": message,
    })
}

/// The last line of a stream: the exit code, which says what the world is now.
pub fn ended(exit: u8, words: &str) -> Value {
    json!({
        "type": "run.finished",
        "ok": exit == 0,
        "exit": exit,
        "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        "message": format!("exit {exit}: {words}"),
    })
}

/// An event that is about a whole rollout, asked on one of its nodes.
pub fn rollout_event(event: &Event, rollout: &str, sources: &SourceMap) -> Value {
    let mut line = self::event(event, sources);
    if let Value::Object(line) = &mut line {
        line.insert("rollout".to_owned(), Value::from(rollout));
    }
    line
}

/// Milliseconds with three places.
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}

fn parts(kind: &EventKind, sources: &SourceMap) -> (&'static str, Value) {
    match kind {
        EventKind::Started { run, title } => {
            ("node.started", json!({ "run": run, "title": title }))
        }
        EventKind::Check {
            verify,
            name,
            ok,
            tries,
            took,
        } => {
            let kind = if *verify { "verify" } else { "require" };
            (
                "check",
                json!({ "kind": kind, "name": name, "ok": ok, "tries": tries, "took_ms": ms(*took) }),
            )
        }
        EventKind::Hold {
            name,
            ok,
            held,
            goal,
            tries,
            took,
        } => (
            "hold",
            json!({
                "name": name,
                "ok": ok,
                "held_ms": ms(*held),
                "for_ms": ms(*goal),
                "tries": tries,
                "took_ms": ms(*took),
            }),
        ),
        EventKind::Gate {
            name,
            ok,
            exit,
            took,
            before,
        } => (
            "gate",
            json!({ "name": name, "ok": ok, "exit": exit, "took_ms": ms(*took), "before": before }),
        ),
        EventKind::Hook { name, ok, took } => (
            "hook",
            json!({ "name": name, "ok": ok, "took_ms": ms(*took) }),
        ),
        EventKind::Log { warn, text } => ("log", json!({ "warn": warn, "text": text })),
        EventKind::StepStarted { id, step, what } => (
            "step.started",
            json!({ "id": id, "step": step.to_string(), "what": what }),
        ),
        EventKind::StepProgress {
            id,
            done,
            total,
            slowest,
        } => {
            let slowest = all_slow(slowest);
            (
                "step.progress",
                json!({ "id": id, "done": done, "total": total, "slowest": slowest }),
            )
        }
        EventKind::StepFinished {
            id,
            step,
            ok,
            took,
            what,
            processes,
            attempts,
        } => {
            let mut fields = json!({
                "id": id,
                "step": step.to_string(),
                "ok": ok,
                "took_ms": ms(*took),
                "what": what,
                "processes": processes,
            });
            if let Some((tried, paused)) = attempts {
                fields["attempts"] = json!(tried);
                fields["paused_ms"] = json!(ms(*paused));
            }
            ("step.finished", fields)
        }
        EventKind::StepPostponed {
            id,
            attempt,
            paused,
            processes,
            waiting,
            slowest,
        } => (
            "step.postponed",
            json!({
                "id": id,
                "attempt": attempt,
                "paused_ms": ms(*paused),
                "processes": processes,
                "waiting": waiting,
                "slowest": all_slow(slowest),
            }),
        ),
        EventKind::RollbackStarted => ("rollback.started", json!({})),
        EventKind::RollbackFinished {
            ok,
            took,
            processes,
            switched,
        } => (
            "rollback.finished",
            json!({ "ok": ok, "took_ms": ms(*took), "processes": processes, "switched": switched }),
        ),
        EventKind::Interrupt { text } => ("interrupt", json!({ "text": text })),
        EventKind::Diagnostic(diagnostic) => {
            let fields = to_json(diagnostic, sources);
            ("diagnostic", json!({ "diagnostic": fields }))
        }
        EventKind::Persisted { files } => ("persisted", json!({ "files": files })),
        EventKind::Lingering { processes } => ("lingering", json!({ "processes": processes })),
        EventKind::Finished {
            state,
            suspended,
            processes,
            converted,
            modules,
            living,
            predicted,
        } => (
            "node.finished",
            json!({
                "state": state.to_string(),
                "suspended_ms": suspended.map(ms),
                "predicted_ms": predicted.map(ms),
                "processes": processes,
                "converted": converted,
                "modules": modules,
                "live": living.map(|(live, _)| live),
                "watched": living.map(|(_, watched)| watched),
            }),
        ),
    }
}

fn all_slow(slowest: &[BusyProcess]) -> Vec<Value> {
    let slow = |slow: &BusyProcess| json!({ "pid": slow.pid, "at": slow.at, "ms": ms(slow.took) });
    slowest.iter().map(slow).collect()
}

/// The human sentence of an event.
fn sentence(event: &Event, sources: &SourceMap) -> String {
    let style = Style {
        color: false,
        unicode: true,
        width: 100,
    };
    match &event.kind {
        EventKind::Started { title, .. } => format!("{title} begins on {}", event.node),
        EventKind::StepStarted { step, what, .. } => format!("{step} {what}"),
        EventKind::StepProgress {
            done,
            total,
            slowest,
            ..
        } => match slowest.first() {
            Some(slow) => {
                let slow = progress::slowest(slow, Duration::ZERO);
                format!("{done} of {total}, slowest {slow}")
            }
            None => format!("{done} of {total}"),
        },
        EventKind::RollbackStarted => "the undo begins".to_owned(),
        EventKind::Diagnostic(diagnostic) => format!("{}: {}", diagnostic.code, diagnostic.title),
        EventKind::Finished { state, .. } => format!("{} is {state}", event.node),
        _ => terminal::line(event, sources, style)
            .unwrap_or_default()
            .trim()
            .to_owned(),
    }
}
