//! `updo attach`: rejoins a recorded run that still goes on, or tells how it ended; `--abort` calls it off as long as
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

pub(super) fn run(context: &Context<'_>, args: &AttachArgs) -> Exit {
    let mut settings = context.settings();
    settings.no_verify = args.no_verify;
    let records = RunRecords::new(&settings.state_dir);
    let Some(summary) = records.find(Some(&args.run)) else {
        return context.usage("there is no such run", "`updo log` lists the recorded runs");
    };
    if !matches!(summary.state.as_str(), "running" | "unknown") {
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

/// Only the node's code still tells how it ended.
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
