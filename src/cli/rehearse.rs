//! `updo rehearse`: the conversions of an upgrade, tried on copies of the live states of every node of the target.
//! Suspends nothing and changes nothing.

use super::args::RehearseArgs;
use super::context::Context;
use super::event_sinks::OutputStream;
use super::exit::Exit;
use super::signals::Signals;
use crate::diag::Diagnostic;
use crate::engine::live_window::AfterAll;
use crate::engine::rehearsal::{FirstPhase, Rehearsal, Untried, limits};
use crate::engine::rollout::PreparedNode;
use crate::engine::{Connection, Engine, Upgrade};
use crate::exec::rehearsal::Limits;
use crate::name::NodeName;
use crate::plan::Plan;
use crate::report::json;
use crate::report::rehearsal::{self, RehearsalInput, UntriedModule};
use crate::report::style::count;
use crate::script::lower::processes;

/// Nodes of a rollout whose rehearsal has a line although there is nothing special about it.
const NAMED: usize = 4;

pub(super) fn run(context: &Context<'_>, args: &RehearseArgs) -> Exit {
    let settings = match context.settings_for(Some(&args.plan), &args.push) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let signals = Signals::listen(&settings.interrupt);
    let Some(engine) = context.open(&args.plan, settings) else {
        return Exit::Plan;
    };
    let sources = &engine.plan.sources;
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, sources),
    };
    let mut exit = Exit::Done;
    for node in nodes {
        let prepared = engine.connect(&node).and_then(|connection| {
            connection.await_unlocked()?;
            let upgrade = connection.prepare()?;
            Ok((connection, upgrade))
        });
        let (connection, mut upgrade) = match prepared {
            Ok(prepared) => prepared,
            Err(diagnostic) => return context.fail(*diagnostic, sources),
        };
        // What there is to say about the upgrade is for the preview; only what refuses it counts here.
        if upgrade.is_refused() {
            let errors = upgrade.diagnostics.iter().filter(|d| d.is_error());
            let errors: Vec<_> = errors.cloned().collect();
            context.ui.diagnostics(&errors, sources);
        }
        signals.begin();
        match rehearsed(context, args, &engine, &connection, &upgrade) {
            Ok(mut done) => {
                if let Some(after_all) = upgrade.rehearsed(&done) {
                    done.pause = after_all.pause;
                }
                show(context, &engine, &connection, &upgrade, &done);
                if done.failed() > 0 || done.misfits() {
                    exit = Exit::Rehearsal;
                }
            }
            Err(diagnostic) => return context.fail(*diagnostic, sources),
        }
        if upgrade.is_refused() {
            exit = Exit::Plan;
        }
    }
    exit
}

fn rehearsed(
    context: &Context<'_>,
    args: &RehearseArgs,
    engine: &Engine,
    connection: &Connection<'_>,
    upgrade: &Upgrade,
) -> crate::diag::Result<Rehearsal> {
    let usual = limits(&engine.plan.rehearse);
    let limits = Limits {
        at_most: args.at_most.unwrap_or(usual.at_most),
        rate: args.rate.unwrap_or(usual.rate),
        within: args.within.unwrap_or(usual.within),
        ..usual
    };
    let interrupt = engine.settings.interrupt.clone();
    connection.rehearse(upgrade, limits, &interrupt, &mut |module, done, all| {
        let line = format!("{module}: {done} of {all} states tried");
        context.ui.status(&line);
    })
}

fn show(
    context: &Context<'_>,
    engine: &Engine,
    connection: &Connection<'_>,
    upgrade: &Upgrade,
    done: &Rehearsal,
) {
    let ui = &context.ui;
    let untried = untried(done);
    let input = RehearsalInput {
        node: connection.session.node(),
        otp: upgrade.facts.otp,
        title: &engine.plan.title,
        tried: &done.tried,
        untried: &untried,
        fits: &done.fits,
        held: &done.held,
        children: &done.children,
        script: &upgrade.script,
        suspended: processes(&upgrade.changes, &upgrade.rules, &upgrade.script),
        pause: done.pause,
        full: ui.full,
    };
    if ui.json {
        ui.json(&format!("{:#}\n", rehearsal::json(&input)));
        return;
    }
    ui.data(&rehearsal::text(&input, ui.out_style));
    ui.diagnostics(&done.diagnostics(), &engine.plan.sources);
}

/// What was not tried, why, and the places in the code that are the reason.
fn untried(done: &Rehearsal) -> Vec<UntriedModule> {
    let untried = done.untried.iter().map(|(module, why)| UntriedModule {
        module: module.clone(),
        why: why.words(),
        places: match why {
            Untried::Acts(places) => places.clone(),
            _ => Vec::new(),
        },
        paste: why.paste(module),
    });
    untried.collect()
}

fn node<'a>(prepared: &'a PreparedNode<'_>) -> &'a NodeName {
    prepared.connection.session.node()
}

/// What the first phase has come to on one node.
pub(super) struct Looked {
    /// For the run.
    pub phase: FirstPhase,
    /// The line of the rehearsal.
    pub line: String,
    /// That `window auto` suspends after all, because something could not be tried.
    pub window: Option<String>,
    /// What there is to say, errors and warnings.
    pub found: Vec<Diagnostic>,
    /// Nothing may begin.
    pub fails: bool,
}

/// Judges the first phase of a run on one node. `on`: its name where there are several.
pub(super) fn judged(
    plan: &Plan,
    node: &NodeName,
    upgrade: &mut Upgrade,
    done: &Rehearsal,
    on: &str,
) -> Looked {
    let after_all = upgrade.rehearsed(done);
    let (window, pause) = match after_all {
        Some(AfterAll { line, pause }) => (Some(line), pause),
        None => (None, done.pause),
    };
    let line = rehearsal::line(&done.tried, &done.fits, pause, on);
    let whole = pause.map(|pause| pause.whole);
    let event = json::rehearsal(node, &line, &done.tried, &done.children, whole);
    let over = pause.filter(|_| plan.budget_said);
    let over = over.and_then(|pause| rehearsal::over_budget(pause, plan.budget));
    let unfit = upgrade.unrehearsed(done);
    let fails = done.failed() > 0 || done.misfits() || over.is_some() || unfit.is_some();
    let found = done.diagnostics().into_iter().chain(over).chain(unfit);
    Looked {
        phase: FirstPhase {
            event,
            pause,
            figures: done.figures.clone(),
        },
        line,
        window,
        found: found.collect(),
        fails,
    }
}

/// The first phase of a run: conversions are tried on copies of the live states of every node. An exit code when some would
/// fail: then nothing begins.
pub(super) fn before_run(
    context: &Context<'_>,
    engine: &Engine,
    prepared_nodes: &mut [PreparedNode<'_>],
    stream: &mut OutputStream,
) -> Result<(), Exit> {
    let fails = of_each(context, engine, prepared_nodes, stream);
    let Some(first) = fails.into_iter().flatten().next() else {
        return Ok(());
    };
    if first == Exit::Rehearsal {
        let live = |prepared: &PreparedNode<'_>| prepared.upgrade.script.is_live();
        context.ui.status(match prepared_nodes.iter().any(live) {
            true => "nothing was changed",
            false => "nothing was changed; to run it all the same: --no-rehearsal",
        });
    }
    Err(first)
}

/// The same for each node by itself: the exit code of those that must not begin.
pub(super) fn of_each(
    context: &Context<'_>,
    engine: &Engine,
    prepared_nodes: &mut [PreparedNode<'_>],
    stream: &mut OutputStream,
) -> Vec<Option<Exit>> {
    let ui = &context.ui;
    let alone = prepared_nodes.len() == 1;
    let mut all = Vec::new();
    let mut fails = Vec::new();
    let (mut named, mut others) = (0, 0);
    let rehearsals = PreparedNode::rehearse_all(prepared_nodes, &|node, module, done, all| {
        let on = if alone {
            String::new()
        } else {
            format!(" on {node}")
        };
        ui.status(&format!(
            "rehearsal of {module}{on}: {done} of {all} states"
        ));
    });
    for (prepared, done) in prepared_nodes.iter_mut().zip(rehearsals) {
        let name = node(prepared).clone();
        let done = match done {
            Ok(Some(done)) => done,
            Ok(None) => {
                fails.push(None);
                continue;
            }
            Err(diagnostic) => {
                fails.push(Some(Exit::of(diagnostic.code)));
                all.push(match alone {
                    true => *diagnostic,
                    false => diagnostic.note(format!("on {name}")),
                });
                continue;
            }
        };
        let on = if alone { "" } else { name.as_str() };
        let looked = judged(&engine.plan, &name, &mut prepared.upgrade, &done, on);
        let is_named = ui.full
            || named < NAMED
            || !done.untried.is_empty()
            || !rehearsal::is_uneventful(&done.tried, &done.fits);
        match is_named {
            true => {
                named += 1;
                ui.status_text(&looked.line);
            }
            false => others += 1,
        }
        if let Some(line) = &looked.window {
            ui.status(line);
        }
        let mut untried = untried(&done);
        // What has no process now converts nothing.
        let changes = &prepared.upgrade.changes.modules;
        untried.retain(|untried| {
            let changed = changes.get(&untried.module);
            changed.is_some_and(|changed| changed.processes > 0)
        });
        for line in rehearsal::untried(&untried) {
            ui.status(&line);
        }
        stream.head(context, std::slice::from_ref(&looked.phase.event));
        fails.push(looked.fails.then_some(Exit::Rehearsal));
        prepared.rehearsed = Some(looked.phase);
        all.extend(looked.found.into_iter().map(|diagnostic| match alone {
            true => diagnostic,
            false => diagnostic.note(format!("on {name}")),
        }));
    }
    if others > 0 {
        let nodes = count(others, "more node", "more nodes");
        ui.status(&format!("rehearsal on {nodes}: all states convert"));
    }
    ui.diagnostics(&all, &engine.plan.sources);
    fails
}
