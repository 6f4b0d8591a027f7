//! Events back from their JSON lines, so that a recorded run can be shown as it was.
//!
//! Takes one line of a stream and gives the [`Event`] that it was made of. A diagnostic comes back without its
//! snippets; its places are kept as notes. Lines that are no events (the head of a stream) give nothing.

use std::time::Duration;

use serde_json::Value;

use crate::diag::{Code, Diagnostic};
use crate::exec::{BusyProcess, Event, EventKind, NodeState, StepKind};
use crate::name::NodeName;
use crate::plan::When;

/// Longer than any run: what is summed up of such times is a time, whatever a file says.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The event of a line; `None` for the head of a stream and for what a newer updo has added.
pub fn read(line: &Value) -> Option<Event> {
    Some(Event {
        seq: line.get("seq")?.as_u64()?,
        node: NodeName::new(line.get("node")?.as_str()?),
        at: seconds(line.get("t")?.as_f64()?)?,
        kind: kind(line)?,
    })
}

/// The lines of a stream. Those that are no JSON (one that a crash has cut) are left out, and so is what was written
/// of a node before a client rejoined its run: one that rejoins gets everything from the start.
pub fn lines(text: &str) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        if line["type"] == "node.started" {
            all.retain(|other| {
                let of_run = other.get("seq").is_some() && other.get("rollout").is_none();
                !of_run || other["node"] != line["node"]
            });
        }
        all.push(line);
    }
    all
}

fn kind(line: &Value) -> Option<EventKind> {
    let text = |key: &str| Some(line.get(key)?.as_str()?.to_owned());
    let number = |key: &str| line.get(key)?.as_u64();
    let ok = || line.get("ok")?.as_bool();
    let id = || u32::try_from(number("id")?).ok();
    Some(match line.get("type")?.as_str()? {
        "node.started" => EventKind::Started {
            run: text("run")?,
            title: text("title")?,
        },
        "check" => EventKind::Check {
            verify: text("kind")? == "verify",
            name: text("name")?,
            ok: ok()?,
            tries: u32::try_from(number("tries")?).ok()?,
            took: took(line)?,
        },
        "hold" => EventKind::Hold {
            name: text("name")?,
            ok: ok()?,
            held: millis(line.get("held_ms")?)?,
            goal: millis(line.get("for_ms")?)?,
            tries: u32::try_from(number("tries")?).ok()?,
            took: took(line)?,
        },
        "gate" => EventKind::Gate {
            name: text("name")?,
            ok: ok()?,
            exit: line
                .get("exit")
                .and_then(Value::as_i64)
                .and_then(|exit| i32::try_from(exit).ok()),
            took: took(line)?,
            before: text("before")?,
        },
        "hook" => EventKind::Hook {
            name: hook(&text("name")?),
            ok: ok()?,
            took: took(line)?,
        },
        "log" => EventKind::Log {
            warn: line.get("warn")?.as_bool()?,
            text: text("text")?,
        },
        "step.started" => EventKind::StepStarted {
            id: id()?,
            step: step(&text("step")?)?,
            what: text("what")?,
        },
        "step.progress" => EventKind::StepProgress {
            id: id()?,
            done: number("done")?,
            total: number("total")?,
            slowest: slowest(line.get("slowest")),
        },
        "step.finished" => EventKind::StepFinished {
            id: id()?,
            step: step(&text("step")?)?,
            ok: ok()?,
            took: took(line)?,
            what: text("what")?,
            processes: number("processes"),
            attempts: number("attempts").zip(line.get("paused_ms").and_then(millis)),
        },
        "step.postponed" => EventKind::StepPostponed {
            id: id()?,
            attempt: number("attempt")?,
            paused: millis(line.get("paused_ms")?)?,
            processes: number("processes")?,
            waiting: number("waiting")?,
            slowest: slowest(line.get("slowest")),
        },
        "persisted" => EventKind::Persisted {
            files: usize::try_from(number("files")?).ok()?,
        },
        "interrupt" => EventKind::Interrupt {
            text: text("text")?,
        },
        "rollback.started" => EventKind::RollbackStarted,
        "rollback.finished" => EventKind::RollbackFinished {
            ok: ok()?,
            took: took(line)?,
            processes: number("processes"),
            // Streams of earlier versions do not say it.
            switched: line
                .get("switched")
                .and_then(Value::as_bool)
                .unwrap_or(true),
        },
        "diagnostic" => EventKind::Diagnostic(Box::new(diagnostic(line.get("diagnostic")?)?)),
        "lingering" => EventKind::Lingering {
            processes: texts(line.get("processes")?),
        },
        "node.finished" => EventKind::Finished {
            state: state(&text("state")?),
            suspended: millis(line.get("suspended_ms")?),
            processes: number("processes")?,
            converted: number("converted")?,
            modules: usize::try_from(number("modules")?).ok()?,
            living: number("live").zip(number("watched")),
            predicted: line.get("predicted_ms").and_then(millis),
        },
        _ => return None,
    })
}

/// A diagnostic of a line, its places as notes.
pub fn diagnostic(document: &Value) -> Option<Diagnostic> {
    let text = |key: &str| document.get(key)?.as_str();
    let mut diagnostic = Diagnostic::new(Code::parse(text("code")?)?, text("title")?);
    for label in document
        .get("labels")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let label_text = label.get("text").and_then(Value::as_str).unwrap_or("here");
        let place = place(label);
        diagnostic = diagnostic.note(format!("{place}: {label_text}"));
    }
    for note in texts(document.get("notes").unwrap_or(&Value::Null)) {
        diagnostic = diagnostic.note(note);
    }
    if let Some(help) = text("help") {
        diagnostic = diagnostic.help(help);
    }
    Some(diagnostic)
}

/// `shop.updo:16:5`
pub fn place(label: &Value) -> String {
    let file = label
        .get("file")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let number = |key: &str| {
        label
            .get(key)
            .and_then(Value::as_u64)
            .map_or_else(String::new, |number| format!(":{number}"))
    };
    format!("{file}{}{}", number("line"), number("column"))
}

/// The strings of a list.
pub fn texts(list: &Value) -> Vec<String> {
    let all = list.as_array().into_iter().flatten();
    all.filter_map(|text| Some(text.as_str()?.to_owned()))
        .collect()
}

/// Streams of 0.1 before this was added have none.
fn slowest(list: Option<&Value>) -> Vec<BusyProcess> {
    let all = list.and_then(Value::as_array).into_iter().flatten();
    let slow = |entry: &Value| {
        Some(BusyProcess {
            pid: entry.get("pid")?.as_str()?.to_owned(),
            at: entry.get("at")?.as_str()?.to_owned(),
            took: millis(entry.get("ms")?)?,
        })
    };
    all.filter_map(slow).collect()
}

fn took(line: &Value) -> Option<Duration> {
    millis(line.get("took_ms")?)
}

fn millis(value: &Value) -> Option<Duration> {
    seconds(value.as_f64()? / 1000.0)
}

fn seconds(seconds: f64) -> Option<Duration> {
    let time = Duration::try_from_secs_f64(seconds).ok()?;
    (time <= LONGEST).then_some(time)
}

fn hook(name: &str) -> &'static str {
    use When::{After, AfterRollout, Before, BeforeRollout, Failure, Rollback};
    [
        Before,
        After,
        Failure,
        Rollback,
        BeforeRollout,
        AfterRollout,
    ]
    .map(When::words)
    .into_iter()
    .find(|known| *known == name)
    .unwrap_or("hook")
}

fn step(word: &str) -> Option<StepKind> {
    StepKind::ALL
        .into_iter()
        .find(|kind| kind.to_string() == word)
}

fn state(word: &str) -> NodeState {
    [NodeState::New, NodeState::Old, NodeState::Mixed]
        .into_iter()
        .find(|state| state.to_string() == word)
        .unwrap_or(NodeState::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::SourceMap;
    use crate::report::json;

    #[test]
    fn events_come_back_as_they_were() {
        let ms = Duration::from_millis;
        let mut kinds = vec![
            EventKind::Started {
                run: "7f2a".into(),
                title: "Taxes".into(),
            },
            EventKind::Check {
                verify: true,
                name: "cart answers".into(),
                ok: false,
                tries: 3,
                took: ms(12),
            },
            EventKind::Hook {
                name: "on failure",
                ok: true,
                took: ms(1),
            },
            EventKind::Log {
                warn: true,
                text: "x".into(),
            },
            EventKind::StepProgress {
                id: 2,
                done: 1,
                total: 9,
                slowest: vec![BusyProcess {
                    pid: "<0.1.0>".into(),
                    at: "shop:f/1".into(),
                    took: ms(7),
                }],
            },
            EventKind::StepPostponed {
                id: 2,
                attempt: 1,
                paused: ms(101),
                processes: 8,
                waiting: 1,
                slowest: vec![BusyProcess {
                    pid: "<0.1.0>".into(),
                    at: "shop:f/1".into(),
                    took: ms(101),
                }],
            },
            EventKind::Interrupt { text: "x".into() },
            EventKind::Persisted { files: 3 },
            EventKind::RollbackStarted,
            EventKind::RollbackFinished {
                ok: true,
                took: ms(31),
                processes: Some(7),
                switched: false,
            },
            EventKind::Lingering {
                processes: vec!["<0.1.0>".into()],
            },
            EventKind::Diagnostic(Box::new(
                Diagnostic::new(Code::E604, "failed").note("a").help("b"),
            )),
        ];
        for step in StepKind::ALL {
            let what = "shop".to_owned();
            kinds.push(EventKind::StepStarted {
                id: 1,
                step,
                what: what.clone(),
            });
            kinds.push(EventKind::StepFinished {
                id: 1,
                step,
                ok: true,
                took: ms(4),
                what,
                processes: Some(7),
                attempts: (step == StepKind::Suspend).then(|| (2, ms(3))),
            });
        }
        for state in [
            NodeState::New,
            NodeState::Old,
            NodeState::Mixed,
            NodeState::Unknown,
        ] {
            kinds.push(EventKind::Finished {
                state,
                suspended: (state != NodeState::Unknown).then_some(ms(38)),
                processes: 4,
                converted: 2,
                modules: 5,
                living: (state != NodeState::Unknown).then_some((3, 4)),
                predicted: (state == NodeState::New).then_some(ms(40)),
            });
        }
        let sources = SourceMap::default();
        for (seq, kind) in (1..).zip(kinds) {
            let event = Event {
                seq,
                node: NodeName::new("shop@h"),
                at: ms(250),
                kind,
            };
            let line = json::event(&event, &sources);
            let back = read(&line).unwrap_or_else(|| panic!("{line}"));
            assert_eq!(format!("{back:?}"), format!("{event:?}"));
        }
        assert!(read(&json::stream("x.updo")).is_none());
    }

    #[test]
    fn a_time_is_one_of_a_run() {
        let line = |t: &str, took: &str| {
            let text = format!(
                r#"{{"type":"hook","seq":1,"node":"a@b","t":{t},"name":"x","ok":true,"took_ms":{took}}}"#
            );
            read(&serde_json::from_str(&text).expect("JSON")).is_some()
        };
        assert!(line("0.25", "12.5") && line("3000000000", "3e12"));
        for (t, took) in [
            ("1e19", "1"),
            ("1", "1e19"),
            ("-1", "1"),
            ("1", "-1"),
            ("4e9", "1"),
        ] {
            assert!(!line(t, took), "{t} {took}");
        }
    }
}
