//! `updo run`: preview, ask, upgrade, verify. Node by node; the first failure stops.

use super::args::Run;
use super::preview::{nothing, shown};
use super::signals::Signals;
use super::stream::Stream;
use super::{Context, Exit};
use crate::diag::{Result, SourceMap};
use crate::engine::{Connection, Engine, Upgrade};
use crate::exec::{Event, Kind};
use crate::report::{lines, paint, preview};
use crate::script::lower::processes;
use crate::ui::Ui;

pub(super) fn run(context: &Context<'_>, args: &Run) -> Exit {
    let mut settings = context.settings();
    settings.strict = args.strict;
    settings.no_verify = args.no_verify;
    settings.detach = args.detach;
    let signals = Signals::listen(&settings.interrupt);
    let Some(engine) = context.open(&args.plan, settings) else {
        return Exit::Plan;
    };
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    if args.detach && nodes.len() > 1 {
        return context.usage("--detach is for one node at a time", "name it: -t NODE");
    }
    // Without a terminal nobody can be asked: say so before a node is bothered.
    if !args.yes && context.ui.no_input {
        return context.usage(
            "nobody can be asked: standard input is no terminal",
            "look at `updo preview` first, then add --yes",
        );
    }
    let mut stream = match Stream::open(context, args, &engine) {
        Ok(stream) => stream,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let prepared: Result<Vec<(Connection<'_>, Upgrade)>> = nodes
        .iter()
        .map(|node| {
            let connection = engine.connect(node)?;
            connection.unlocked()?;
            let upgrade = connection.prepare()?;
            Ok((connection, upgrade))
        })
        .collect();
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    if let Some(exit) = show(context, args, &engine, &prepared) {
        return exit;
    }
    signals.begin();
    let interrupt = &engine.settings.interrupt;
    let mut done = 0;
    for (connection, upgrade) in &prepared {
        if upgrade.is_empty() {
            continue;
        }
        if done > 0 && interrupt.count() > 0 {
            context
                .ui
                .error_line(&format!("stopped before {}", connection.session.node()));
            return Exit::Partly;
        }
        let exit = one(context, &engine, connection, upgrade, &mut stream);
        if exit != Exit::Done {
            // Nodes before this one are new, those after it old, each consistent.
            return if done > 0 && exit != Exit::Broken && exit != Exit::Lost {
                Exit::Partly
            } else {
                exit
            };
        }
        done += 1;
    }
    Exit::Done
}

/// Shows what will happen and asks; an exit code when it ends here.
fn show(
    context: &Context<'_>,
    args: &Run,
    engine: &Engine,
    prepared: &[(Connection<'_>, Upgrade)],
) -> Option<Exit> {
    let ui = &context.ui;
    for (connection, upgrade) in prepared {
        if upgrade.is_empty() {
            ui.status(nothing(upgrade, connection).trim_end());
        } else if !ui.quiet {
            ui.error_line(preview::text(&shown(engine, connection, upgrade), ui.style).trim_end());
        }
        ui.diagnostics(&upgrade.diagnostics, &engine.plan.sources);
    }
    if prepared.iter().any(|(_, upgrade)| upgrade.is_refused()) {
        return Some(Exit::Plan);
    }
    let wanted: Vec<_> = prepared
        .iter()
        .filter(|(_, upgrade)| !upgrade.is_empty())
        .collect();
    if wanted.is_empty() {
        return Some(Exit::Done);
    }
    let modules: usize = wanted
        .iter()
        .map(|(_, upgrade)| upgrade.script.high.len())
        .max()
        .unwrap_or(0);
    let standing: usize = wanted
        .iter()
        .map(|(_, u)| processes(&u.changes, &u.rules, &u.script))
        .sum();
    let node = match wanted.as_slice() {
        [(connection, _)] => connection.session.node().to_string(),
        many => paint::count(many.len(), "node", "nodes"),
    };
    let numbers = format!(
        "{node}: {} switched, {} suspended.",
        paint::count(modules, "module", "modules"),
        paint::count(standing, "process", "processes")
    );
    if args.yes {
        ui.status(&format!("\n{numbers} (--yes)\n"));
        return None;
    }
    match ui.confirm(&format!("\n{numbers} Run it?")) {
        Some(true) => None,
        Some(false) => {
            ui.status("not run: only the word yes runs it; nothing was changed");
            Some(Exit::Aborted)
        }
        None => Some(context.usage("nobody can be asked", "add --yes")),
    }
}

/// Runs one node.
fn one(
    context: &Context<'_>,
    engine: &Engine,
    connection: &Connection<'_>,
    upgrade: &Upgrade,
    stream: &mut Stream,
) -> Exit {
    let ui = &context.ui;
    let sources = &engine.plan.sources;
    let mut run = String::new();
    stream.head(context, &connection.head(upgrade));
    let outcome = connection.run(upgrade, &mut |event: &Event| {
        stream.write(context, engine, event);
        show_event(ui, event, sources, &engine.plan.title, &mut run, false);
    });
    stream.report(context);
    Exit::of_run(&outcome)
}

/// One event on the screen; `back` when old is the goal.
pub(super) fn show_event(
    ui: &Ui,
    event: &Event,
    sources: &SourceMap,
    title: &str,
    run: &mut String,
    back: bool,
) {
    if let Kind::Started { run: name, .. } = &event.kind {
        run.clone_from(name);
    }
    let line = if back {
        lines::last_back(event, run, ui.style)
    } else {
        lines::last(event, title, run, ui.style)
    };
    match (line, lines::line(event, sources, ui.style)) {
        (Some(last), _) => ui.error_line(&format!("\n{last}")),
        (None, Some(line))
            if matches!(event.kind, Kind::Diagnostic(_) | Kind::Interrupt { .. }) =>
        {
            ui.error_line(&line);
        }
        (None, Some(line)) => ui.status(&line),
        (None, None) => {}
    }
}
