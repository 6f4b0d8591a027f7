//! `updo run`: preview, ask, upgrade, verify. Node by node; the first failure stops.

use super::args::Run;
use super::preview::nothing;
use super::screen::{Ending, Head, Screen};
use super::signals::Signals;
use super::stream::Stream;
use super::{Context, Exit};
use crate::diag::Result;
use crate::engine::{Connection, Engine, Upgrade};
use crate::exec::{Event, steps};
use crate::name::NodeName;
use crate::report::{paint, preview};
use crate::script::lower::processes;

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
    let exit = all(context, args, &engine, &nodes, &signals, &mut stream);
    stream.end(context, &engine.plan.title, exit);
    exit
}

/// All nodes, one after the other.
fn all(
    context: &Context<'_>,
    args: &Run,
    engine: &Engine,
    nodes: &[NodeName],
    signals: &Signals,
    stream: &mut Stream,
) -> Exit {
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
    if let Some(exit) = show(context, args, engine, &prepared) {
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
        let exit = one(context, engine, connection, upgrade, stream);
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
            ui.error_line(preview::text(&connection.shown(upgrade), ui.style).trim_end());
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
    let sources = &engine.plan.sources;
    stream.head(context, &connection.head(upgrade));
    let steps = steps::steps(&upgrade.script, &upgrade.rules).len() + 1;
    let head = Head {
        node: connection.session.node(),
        title: &engine.plan.title,
        steps: Some(steps),
        deadline: engine.plan.deadline,
        ending: Ending::Run,
    };
    let mut screen = Screen::open(&context.ui, &head);
    let outcome = connection.run(upgrade, &mut |event: &Event| {
        stream.write(context, engine, event);
        screen.event(event, sources);
    });
    drop(screen);
    Exit::of_run(&outcome)
}
