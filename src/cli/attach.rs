//! `updo attach`: rejoins a recorded run that still goes on, or reports how it ended; `--abort` calls it off as long as
//! nothing is switched.

#![expect(clippy::disallowed_methods, reason = "how long ago a run began")]

use std::time::{Duration, SystemTime};

use super::args::AttachArgs;
use super::context::Context;
use super::eval::connect;
use super::exit::Exit;
use super::screen::{Ending, Screen, ScreenHeader};
use super::signals::Signals;
use crate::diag::SourceMap;
use crate::engine::{Connection, Engine};
use crate::exec::attach::Begun;
use crate::exec::{NodeState, Outcome};
use crate::node::agent;
use crate::report::style;
use crate::state::runs::{RecordedRun, RunRecords};

/// So many other runs are named.
const NAMED: usize = 4;

pub(super) fn run(context: &Context<'_>, args: &AttachArgs) -> Exit {
    let mut settings = context.settings();
    settings.no_verify = args.no_verify;
    let records = RunRecords::new(&settings.state_dir);
    let summary = match &args.run {
        Some(run) => records.find(Some(run)),
        None => newest(context, &records, args.abort),
    };
    let Some(summary) = summary else {
        return match (&args.run, args.abort) {
            (Some(_), _) => {
                context.usage("there is no such run", "`updo log` lists the recorded runs")
            }
            (None, true) => context.usage("no run goes on", "`updo log` lists the recorded runs"),
            (None, false) => context.usage("no run is recorded", "`updo run PLAN` begins one"),
        };
    };
    if !goes_on(&summary) {
        let exit = ended(context, &summary);
        release_kept(context, &summary);
        return exit;
    }
    let signals = Signals::listen(&settings.interrupt);
    let (Some(engine), whole) = Engine::of_run(&summary, settings) else {
        return context.usage(
            "the plan of the run cannot be read",
            "`updo status` looks at the node",
        );
    };
    let sources = &engine.plan.sources;
    let connection = match reach(context, &engine, &summary, whole) {
        Ok(connection) => connection,
        Err(diagnostic) => return context.fail(*diagnostic, sources),
    };
    let ui = &context.ui;
    ui.status(&format!(
        "run {} of {}: {} on {}",
        summary.run,
        super::time::time(summary.began),
        summary.title,
        summary.node
    ));
    if !whole && summary.goal == "new" {
        ui.status("the plan's file is not what it was: `verify` and hooks are not asked");
    }
    signals.begin();
    let back = summary.goal == "old";
    let begun = records.script(&summary.run);
    let begun = begun.as_ref().and_then(Begun::read);
    let head = ScreenHeader {
        node: &summary.node,
        title: &summary.title,
        steps: begun.as_ref().and_then(|begun| Some(begun.taken? + 1)),
        deadline: begun
            .as_ref()
            .and_then(|begun| left(begun.deadline?, &summary)),
        rejoined: true,
        is_brief: false,
        undo: !back && records.rollback_term(&summary.run).is_some(),
        ending: if back { Ending::Back } else { Ending::Run },
    };
    let mut screen = Screen::open(ui, &head);
    let attached = connection.attach(&summary, args.abort, &mut |event| {
        if ui.json {
            ui.json(&format!("{}\n", crate::report::json::event(event, sources)));
        }
        screen.event(event, sources);
    });
    drop(screen);
    match attached {
        Ok(attached) => {
            if let Some(now) = &attached.ended {
                return ended(context, now);
            }
            if attached.by_code {
                by_code(context, &summary, &attached.outcome);
            }
            exit(&summary, &attached.outcome)
        }
        Err(diagnostic) => context.fail(*diagnostic, sources),
    }
}

/// The newest run that goes on, else the newest that is recorded; which one it is, and what else goes on, is said. Only a
/// run that goes on can be called off.
fn newest(context: &Context<'_>, records: &RunRecords, abort: bool) -> Option<RecordedRun> {
    let all = records.all();
    let mut going_on: Vec<&RecordedRun> = all.iter().filter(|run| goes_on(run)).collect();
    let newest = going_on.pop();
    let taken = newest.or_else(|| all.last().filter(|_| !abort))?;
    let began = super::time::time(taken.began);
    let which = match newest {
        Some(_) => "the newest that has no end in its record",
        None => "the newest; none goes on",
    };
    context.ui.status(&format!(
        "taking run {} on {}, begun {began}: {which}",
        taken.run, taken.node
    ));
    if !going_on.is_empty() {
        let others: Vec<String> = going_on
            .iter()
            .rev()
            .take(NAMED)
            .map(|run| format!("{} on {}", run.run, run.node))
            .collect();
        let more = match going_on.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let others = others.join(", ");
        context
            .ui
            .status(&format!("  without an end as well: {others}{more}"));
    }
    Some(taken.clone())
}

/// Whether a run has no end in its record.
fn goes_on(run: &RecordedRun) -> bool {
    matches!(run.state.as_str(), "running" | "unknown")
}

/// What is left of a deadline, to the second: more is not recorded.
fn left(deadline: Duration, summary: &RecordedRun) -> Option<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let gone = now.ok()?.as_secs().saturating_sub(summary.began);
    Some(deadline.saturating_sub(Duration::from_secs(gone)))
}

fn exit(summary: &RecordedRun, outcome: &Outcome) -> Exit {
    if summary.goal == "old" {
        Exit::of_rollback(outcome)
    } else {
        Exit::of_run(outcome)
    }
}

/// Connects as the plan says, or by the usual rules when there is no plan any more.
fn reach<'e>(
    context: &Context<'_>,
    engine: &'e Engine,
    summary: &RecordedRun,
    whole: bool,
) -> crate::diag::Result<Connection<'e>> {
    if whole {
        return engine.connect(&summary.node);
    }
    Ok(engine.with_session(connect(context, &summary.node)?))
}

/// The record knows it already.
fn ended(context: &Context<'_>, summary: &RecordedRun) -> Exit {
    let (words, exit) = match (summary.state.as_str(), summary.goal.as_str()) {
        ("new", "new") => ("is new", Exit::Done),
        ("old", "old") => ("was rolled back: it is as before that run", Exit::Done),
        ("undone", _) => ("was new, and the run was rolled back later", Exit::Done),
        ("old" | "new", _) => ("is as before", Exit::RolledBack),
        _ => (
            "is neither old nor new: it needs manual repair",
            Exit::Broken,
        ),
    };
    let done = exit == Exit::Done;
    let mark = style::mark(context.ui.style, done);
    context.ui.error_line(&format!(
        "{mark} run {} has ended: {} {words}",
        summary.run, summary.node
    ));
    exit
}

/// An agent whose client was cut off behind the last event keeps the result: it has been read now. A node that is not there
/// has no agent either.
fn release_kept(context: &Context<'_>, summary: &RecordedRun) {
    let Ok(session) = connect(context, &summary.node) else {
        return;
    };
    if let Ok(Some(holder)) = agent::present(&session)
        && holder.kept
        && holder.run == summary.run
    {
        let _ = holder.agent.let_go(&session);
    }
}

/// Only the node's code still shows how it ended.
fn by_code(context: &Context<'_>, summary: &RecordedRun, outcome: &Outcome) {
    let words = match outcome.state {
        NodeState::New => "runs the new code",
        NodeState::Old => "runs the old code",
        NodeState::Mixed | NodeState::Unknown => {
            context
                .ui
                .diagnostics(&outcome.errors, &SourceMap::default());
            return;
        }
    };
    context.ui.error_line(&format!(
        "run {} is over, its result is not kept any more: {} {words}",
        summary.run, summary.node
    ));
}
