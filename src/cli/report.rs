//! `updo report`, `updo replay` and `updo schema`: what recorded events can be turned into. No node is asked.

#![expect(
    clippy::disallowed_methods,
    reason = "reads the events that a report is made of"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::args::{ReplayArgs, ReportArgs, SchemaArgs};
use super::context::Context;
use super::exit::Exit;
use crate::atomic_file;
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::exec::Event;
use crate::name::NodeName;
use crate::report::terminal::RunSummary;
use crate::report::{html, replay, terminal};
use crate::state::runs::RunRecords;

/// The JSON Schema of the stream of events.
const EVENTS: &str = include_str!("../../docs/schema/events-1.0.json");

/// The largest stream that is read.
const MAX_BYTES: u64 = 256 << 20;

/// `updo report RUN -o F.html`
pub(super) fn report(context: &Context<'_>, args: &ReportArgs) -> Exit {
    let lines = match read(context, args.run.as_deref()) {
        Ok(lines) => lines,
        Err(exit) => return exit,
    };
    let Some(page) = html::html(&lines) else {
        return context.usage(
            "the stream contains no node",
            "it ended before a node was reached; there is nothing to report",
        );
    };
    match &args.output {
        Some(path) => match write(path, &page) {
            Ok(()) => Exit::Done,
            Err(diagnostic) => context.fail(diagnostic, &SourceMap::default()),
        },
        None => {
            context.ui.data(&page);
            Exit::Done
        }
    }
}

/// Writes a file that only its owner may read when it is new, or says why it cannot be written.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Diagnostic> {
    let written =
        atomic_file::create_private(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|why| {
        Diagnostic::new(Code::E802, format!("cannot write `{}`", path.display()))
            .note(why.to_string())
    })
}

/// `updo replay RUN`: the lines of a run as they were, at once or at its own pace.
pub(super) fn replayed(context: &Context<'_>, args: &ReplayArgs) -> Exit {
    let all = match read(context, args.run.as_deref()) {
        Ok(lines) => lines,
        Err(exit) => return exit,
    };
    if context.ui.json {
        for line in &all {
            context.ui.data(&format!("{line}\n"));
        }
        return Exit::Done;
    }
    let style = context.ui.out_style;
    let sources = SourceMap::default();
    let title = all
        .iter()
        .find(|line| line["type"] == "plan")
        .and_then(|line| line["title"].as_str())
        .unwrap_or_default();
    let events: Vec<Event> = all.iter().filter_map(replay::read).collect();
    let several = events.iter().any(|event| event.node != events[0].node);
    // Nodes of a rollout come interleaved: of each the name of its run, and whether something was wrong.
    let mut nodes: BTreeMap<NodeName, RunSummary> = BTreeMap::new();
    let (mut at, mut before) = (Duration::ZERO, None);
    for event in events {
        if let Some(speed) = args.speed {
            std::thread::sleep(event.at.saturating_sub(at).div_f64(speed));
            at = event.at;
        }
        let course = nodes.entry(event.node.clone()).or_default();
        course.event(&event);
        let last = terminal::last(&event, title, course, style).map(|last| format!("\n{last}"));
        if let Some(line) = last.or_else(|| terminal::line(&event, &sources, style)) {
            if several && before.as_ref() != Some(&event.node) {
                context.ui.data(&format!("{}\n", event.node));
            }
            context.ui.data(&format!("{line}\n"));
            before = Some(event.node);
        }
    }
    Exit::Done
}

/// `updo schema events`
pub(super) fn schema(context: &Context<'_>, args: &SchemaArgs) -> Exit {
    match args.what {
        super::args::SchemaOf::Events => context.ui.data(EVENTS),
    }
    Exit::Done
}

/// The lines of a recorded run, of all runs of a rollout, or of a file that `run --events` wrote; of the newest run when nothing is named.
fn read(context: &Context<'_>, what: Option<&str>) -> Result<Vec<Value>, Exit> {
    let records = RunRecords::new(&context.settings().state_dir);
    let paths: Vec<PathBuf> = match what {
        Some(path) if path.contains('/') || path.ends_with(".jsonl") => vec![path.into()],
        Some(run) => records.events(run).map_or_else(
            || {
                // Of a rollout those of every node, in the order in which they were begun.
                let runs = records.rollout(run);
                runs.iter()
                    .filter_map(|run| records.events(&run.run))
                    .collect()
            },
            |path| vec![path],
        ),
        None => records
            .all()
            .last()
            .and_then(|newest| records.events(&newest.run))
            .into_iter()
            .collect(),
    };
    if paths.is_empty() {
        let all = records.all();
        let rollouts = all.iter().filter_map(|run| run.rollout.as_deref());
        let known = all.iter().map(|run| run.run.as_str()).chain(rollouts);
        let (title, help) = match what {
            Some(run) => {
                let help = match suggest(run, known) {
                    Some(close) => format!("did you mean {close}? `updo log` lists the runs"),
                    None => "`updo log` lists the runs".to_owned(),
                };
                (format!("no recorded run `{run}`"), help)
            }
            None => (
                "no recorded runs".to_owned(),
                "every `updo run` is recorded in the state folder".to_owned(),
            ),
        };
        return Err(context.usage(&title, &help));
    };
    let mut lines = Vec::new();
    let mut left = MAX_BYTES;
    for path in paths {
        let mut text = String::new();
        let opened = std::fs::File::open(&path);
        match opened.and_then(|file| file.take(left).read_to_string(&mut text)) {
            Ok(bytes) => {
                left = left.saturating_sub(bytes as u64);
                lines.extend(replay::lines(&text));
            }
            Err(why) => {
                let title = format!("cannot read `{}`", path.display());
                let diagnostic = Diagnostic::new(Code::E802, title).note(why.to_string());
                return Err(context.fail(diagnostic, &SourceMap::default()));
            }
        }
    }
    Ok(lines)
}
