//! `updo rollback`: undoes a recorded run, with `code_change` downwards and the beams it saved.

use std::collections::BTreeSet;

use super::args::RollbackArgs;
use super::context::Context;
use super::eval::connect;
use super::exit::Exit;
use super::screen::{Ending, Screen, ScreenHeader};
use super::signals::Signals;
use crate::diag::{Code, Diagnostic, Result, SourceMap};
use crate::engine::undo::Undo;
use crate::engine::{Engine, Settings};
use crate::exec::rollback::WayBack;
use crate::exec::step::Step;
use crate::exec::{Event, EventKind, NodeState, Outcome, StepKind};
use crate::facts::change::Caller;
use crate::facts::compare::going_back::GoingBack;
use crate::name::Module;
use crate::node::Session;
use crate::report::preview::Written;
use crate::report::style;
use crate::rules::Purge;
use crate::state::runs::{RecordedRun, RunRecords};

/// How many processes are named one by one before the question.
const SHOWN: usize = 20;

pub(super) fn run(context: &Context<'_>, args: &RollbackArgs) -> Exit {
    let records = RunRecords::new(&context.settings().state_dir);
    let (runs, rollout) = wanted(&records, args.run.as_deref());
    if runs.is_empty() {
        let title = match &args.run {
            Some(run) => format!("there is no run {run}"),
            None => "there is no run that could be rolled back".to_owned(),
        };
        return context.usage(
            &title,
            "`updo log` lists the recorded runs and how they ended",
        );
    }
    let unclear = rollout.map_or_else(Vec::new, |rollout| unclear(&records, &rollout));
    let all: Result<Vec<Undo>> = runs
        .into_iter()
        .map(|run| prepare(context, args, &records, run))
        .collect();
    match all {
        Ok(all) => match go(context, args, &all) {
            Exit::Done if !unclear.is_empty() => {
                for run in unclear {
                    let line = format!(
                        "run {} of {} is {}: look at it",
                        run.run, run.node, run.state
                    );
                    context.ui.error_line(&line);
                }
                Exit::Partly
            }
            exit => exit,
        },
        Err(diagnostic) => context.fail(*diagnostic, &SourceMap::default()),
    }
}

/// The runs that are meant, in the order in which they are undone: one, or those of a rollout that went through, the
/// last node first, with its name; nodes that were brought to its version later are among them. The newest of all when
/// nothing is named.
fn wanted(records: &RunRecords, name: Option<&str>) -> (Vec<RecordedRun>, Option<String>) {
    let whole = |rollout: &str| {
        let mut runs = records.rollout(rollout);
        if !runs.is_empty() {
            runs.extend(records.brought_to(rollout));
        }
        runs.retain(|run| records.is_undoable(run));
        runs.reverse();
        // A node that was restarted from old files and brought there again has two: the second one has made what it runs.
        let mut once = BTreeSet::new();
        runs.retain(|run| once.insert(run.node.clone()));
        (runs, Some(rollout.to_owned()))
    };
    match (records.find(name), name) {
        (Some(run), None) => match &run.rollout {
            Some(rollout) => whole(rollout),
            None => (vec![run], None),
        },
        (Some(run), Some(_)) => (vec![run], None),
        (None, Some(rollout)) => whole(rollout),
        (None, None) => (Vec::new(), None),
    }
}

/// Runs of the same rollout whose outcome is unknown, or that need a person.
fn unclear(records: &RunRecords, rollout: &str) -> Vec<RecordedRun> {
    let mut all = records.rollout(rollout);
    all.retain(|run| !matches!(run.state.as_str(), "old" | "undone") && !records.is_undoable(run));
    all
}

/// Connects, and makes sure that the node still is what the run left.
fn prepare(
    context: &Context<'_>,
    args: &RollbackArgs,
    records: &RunRecords,
    summary: RecordedRun,
) -> Result<Undo> {
    let way = records
        .rollback_term(&summary.run)
        .as_ref()
        .and_then(WayBack::read)
        .ok_or_else(|| {
            Diagnostic::new(
                Code::E317,
                format!("run {} cannot be rolled back", summary.run),
            )
            .note("a conversion cannot be reversed, or a copy of the former version was missing")
            .help(format!(
                "correct it forward: updo run PLAN\nprocesses that it has left with their old state: updo mend {}",
                summary.node
            ))
        })?;
    let session = reach(context, &summary)?;
    let title = format!("{} has changed since run {}", summary.node, summary.run);
    let help = "an older run can only be rolled back after the newer ones";
    let settings = context.settings();
    let mut undo = Undo::ready(&settings, session, summary, way, (title, help))?;
    undo.way.purging(args.purge);
    if let Some(budget) = args.budget {
        undo.way.within(budget.0);
    }
    Ok(undo)
}

/// Connects as the plan of the run would, if it is still there.
fn reach(context: &Context<'_>, summary: &RecordedRun) -> Result<Session> {
    let engine = Engine::open(&summary.plan, context.settings()).engine;
    let engine = engine.or_else(|| Engine::of_record(summary, context.settings()));
    match engine.as_ref().map(|engine| engine.connect(&summary.node)) {
        Some(Ok(connection)) => Ok(connection.session),
        Some(Err(diagnostic)) => Err(diagnostic),
        None => connect(context, &summary.node),
    }
}

/// Shows what is undone, asks, and undoes: node after node, the first failure ends it.
fn go(context: &Context<'_>, args: &RollbackArgs, all: &[Undo]) -> Exit {
    let ui = &context.ui;
    let settings = context.settings();
    let signals = Signals::listen(&settings.interrupt);
    let (mut modules, mut suspended) = (0, 0);
    for undo in all {
        let Undo { summary, way, .. } = undo;
        let number = style::count(way.expected.len(), "module", "modules");
        ui.status(&format!(
            "rollback of run {} of {}: {number} on {}",
            summary.run,
            super::time::time(summary.began),
            summary.node,
        ));
        let found = match undo.consequences() {
            Ok(found) => found,
            Err(diagnostic) => return context.fail(*diagnostic, &SourceMap::default()),
        };
        for line in steps(undo, &found) {
            ui.status(&line);
        }
        let written = Written::by_rollback(way);
        for line in written.iter().flat_map(|w| w.lines(SHOWN, ui.style)) {
            ui.status(&line);
        }
        suspended += all_suspended(undo, &found);
        modules = modules.max(way.expected.len());
        ui.diagnostics(&still_called(undo, &found), &SourceMap::default());
        if way.kept() > 0 {
            ui.status(&format!(
                "  not converted, for run {} has not converted them: {}",
                summary.run,
                style::count(way.kept(), "process", "processes")
            ));
        }
        ui.diagnostics(&undo.disk, &SourceMap::default());
        ui.diagnostics(undo.warning().as_slice(), &SourceMap::default());
        if args.purge == Purge::Brutal
            && let Err(diagnostic) = ending(context, undo)
        {
            return context.fail(*diagnostic, &SourceMap::default());
        }
    }
    let what = match all {
        [undo] => undo.summary.node.to_string(),
        many => style::count(many.len(), "node", "nodes"),
    };
    let numbers = format!(
        "{what}: {} switched back, {} suspended.",
        style::count(modules, "module", "modules"),
        style::count(suspended, "process", "processes")
    );
    if args.yes {
        ui.status(&format!("\n{numbers} (--yes)\n"));
    } else {
        let question = "Load the old code and convert the states with {down, Vsn}?";
        match ui.confirm(&format!("\n{numbers} {question}")) {
            Some(true) => ui.status(""),
            Some(false) => {
                ui.status("not rolled back: only the word yes does it; nothing was changed");
                return Exit::Aborted;
            }
            None => {
                return context.usage(
                    "standard input is not a terminal: the question cannot be answered",
                    "add --yes",
                );
            }
        }
    }
    signals.begin();
    if all.len() > 1 && all.iter().all(Undo::is_together) {
        return at_once(context, &settings, all);
    }
    for (at, undo) in all.iter().enumerate() {
        let exit = if settings.interrupt.count() > 0 {
            ui.error_line(&format!("stopped before {}", undo.summary.node));
            Exit::Aborted
        } else {
            one(context, &settings, undo, None)
        };
        if exit != Exit::Done {
            // Those before it are old again, those after it as the rollout left them.
            let whole = matches!(exit, Exit::Broken | Exit::Lost) || at == 0;
            return if whole { exit } else { Exit::Partly };
        }
    }
    Exit::Done
}

/// What is done, step by step, with the processes that take part.
fn steps(undo: &Undo, found: &GoingBack) -> Vec<String> {
    let line = |(at, step): (usize, &Step)| {
        let mut text = format!("  {:>3}  {:<8}  {}", at + 1, step.kind, step.what());
        match step.kind {
            StepKind::Suspend => {
                let number = number_of(&step.modules, found);
                text += &format!(": {}", style::count(number, "process", "processes"));
            }
            StepKind::Convert => text += " with {down, Vsn}",
            _ => {}
        }
        text.trim_end().to_owned()
    };
    undo.way.planned().iter().enumerate().map(line).collect()
}

/// How many processes run these modules.
fn number_of(modules: &[Module], found: &GoingBack) -> usize {
    let modules: BTreeSet<&Module> = modules.iter().collect();
    let numbers = modules
        .into_iter()
        .filter_map(|module| found.processes.get(module));
    numbers.sum()
}

/// How many are suspended, in all windows.
fn all_suspended(undo: &Undo, found: &GoingBack) -> usize {
    let steps = undo.way.planned().iter();
    let suspends = steps.filter(|step| step.kind == StepKind::Suspend);
    suspends.map(|step| number_of(&step.modules, found)).sum()
}

/// W318: what goes with the newer version, and is still called.
fn still_called(undo: &Undo, found: &GoingBack) -> Vec<Diagnostic> {
    let diagnostic = |(module, callers): (&Module, &Vec<Caller>)| {
        let title = match found.gone.contains(module) {
            true => format!(
                "`{module}` goes, it came with run {}, and is still called",
                undo.summary.run
            ),
            false => {
                format!("`{module}` goes back to a version without functions that are still called")
            }
        };
        let shown = callers.iter().take(SHOWN);
        shown.fold(Diagnostic::new(Code::W318, title), |diagnostic, caller| {
            let functions = caller.functions.iter().take(3).map(ToString::to_string);
            let functions = functions.collect::<Vec<_>>().join(", ");
            let more = match caller.functions.len().saturating_sub(3) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let which = if caller.changed {
                " (in the version that comes back)"
            } else {
                ""
            };
            diagnostic.note(format!("{}{which} calls {functions}{more}", caller.module))
        })
    };
    found.callers.iter().map(diagnostic).collect()
}

/// Says which processes `--purge brutal` would end: before anything is asked.
fn ending(context: &Context<'_>, undo: &Undo) -> Result<()> {
    let found = undo.in_the_way()?;
    let ui = &context.ui;
    if found.is_empty() {
        ui.status("no process is in the code that has to be purged: --purge brutal ends none now");
        return Ok(());
    }
    let head = format!(
        "--purge brutal will end {}:",
        style::count(found.len(), "process", "processes")
    );
    ui.status(&style::attention(ui.style, &head));
    for line in found.iter().take(SHOWN) {
        ui.status(&format!("  {line}"));
    }
    if found.len() > SHOWN {
        ui.status(&format!("  and {} more", found.len() - SHOWN));
    }
    Ok(())
}

/// What a node ran in an earlier life went with it: runs of the same rollout there cannot be undone any more.
fn earlier_lives(records: &RunRecords, undone: &RecordedRun) {
    let Some(rollout) = undone.part.to.as_deref() else {
        return;
    };
    let runs = records.rollout(rollout).into_iter();
    let earlier = runs.filter(|run| {
        run.node == undone.node && run.state == "new" && run.creation != undone.creation
    });
    for run in earlier {
        if let Ok(record) = records.resume(&run) {
            record.finish("undone");
        }
    }
}

/// Undoes runs that have switched at one instant in the same way: all of them, or none.
fn at_once(context: &Context<'_>, settings: &Settings, all: &[Undo]) -> Exit {
    let ends = Undo::undo_together(all, settings);
    let exits = all.iter().zip(ends);
    let exits: Vec<Exit> = exits
        .map(|(undo, end)| one(context, settings, undo, Some(end)))
        .collect();
    let grave = exits
        .iter()
        .find(|exit| matches!(exit, Exit::Broken | Exit::Lost));
    let failed = exits.iter().find(|exit| **exit != Exit::Done);
    match (grave, failed) {
        (Some(exit), _) => *exit,
        (None, None) => Exit::Done,
        (None, Some(_)) if exits.contains(&Exit::Done) => Exit::Partly,
        (None, Some(exit)) => *exit,
    }
}

/// Undoes one run on one node, or shows how that was done.
fn one(
    context: &Context<'_>,
    settings: &Settings,
    undo: &Undo,
    done: Option<(Vec<Event>, String, Outcome)>,
) -> Exit {
    let (ui, summary) = (&context.ui, &undo.summary);
    let head = ScreenHeader {
        node: &summary.node,
        title: &summary.title,
        steps: Some(undo.way.taken + 1),
        deadline: None,
        ending: Ending::None,
        rejoined: false,
        is_brief: false,
        undo: false,
    };
    let mut screen = Screen::open(ui, &head);
    let sources = &undo.engine.plan.sources;
    let mut show = |event: &Event| {
        // Said before the question.
        if !matches!(&event.kind, EventKind::Diagnostic(diagnostic) if diagnostic.code == Code::W621)
        {
            screen.event(event, sources);
        }
    };
    let (run, outcome) = match done {
        Some((events, run, outcome)) => {
            events.iter().for_each(&mut show);
            (run, outcome)
        }
        None => undo.undo(settings, None, &mut show),
    };
    drop(screen);
    let exit = Exit::of_rollback(&outcome);
    if outcome.state == NodeState::Old {
        earlier_lives(&settings.records(), summary);
    }
    if exit == Exit::Lost {
        ui.error_line(&format!(
            "\nthe run continues on {}: updo attach {run}",
            summary.node
        ));
        return exit;
    }
    let done = exit == Exit::Done;
    let mark = style::mark(ui.style, done);
    let (node, run) = (&summary.node, &summary.run);
    let back = outcome.state == NodeState::Old;
    ui.error_line(&match outcome.acted.words().filter(|_| back) {
        Some(left) => {
            format!("\n{mark} {node}: old code and states of before run {run} are back; {left}")
        }
        None if done => format!("\n{mark} {node} was rolled back: it is as before run {run}"),
        None if exit == Exit::Locked => {
            format!("\n{mark} nothing was changed on {node} by this run: another run is active")
        }
        None => format!("\n{mark} {node} is not as before run {run}"),
    });
    exit
}
