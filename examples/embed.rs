//! updo inside another program: what would happen to a node, and then it happens.
//!
//! ```text
//! cargo run --example embed -- plan.updo shop@localhost
//! ```
//!
//! The cookie comes from `UPDO_COOKIE_FILE`, `UPDO_COOKIE` or `~/.erlang.cookie`, as for the command line.

use std::path::Path;
use std::process::ExitCode;

use updo::diag::render::{Style, render};
use updo::diag::{Diagnostic, SourceMap};
use updo::engine::{Engine, Settings};
use updo::exec::{EventKind, NodeState};
use updo::name::NodeName;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plan, node] = arguments.as_slice() else {
        eprintln!("usage: embed PLAN NODE");
        return ExitCode::from(2);
    };
    // A plan that has errors gives no engine, only what is wrong with it.
    let opened = Engine::open(Path::new(plan), Settings::from_env());
    show(&opened.diagnostics, &opened.sources);
    let Some(engine) = opened.engine else {
        return ExitCode::FAILURE;
    };
    match upgrade(&engine, &NodeName::new(node)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(diagnostic) => {
            show(&[*diagnostic], &engine.plan.sources);
            ExitCode::FAILURE
        }
    }
}

/// Whether the node runs the new code now.
fn upgrade(engine: &Engine, node: &NodeName) -> updo::diag::Result<bool> {
    let connection = engine.connect(node)?;
    connection.ensure_unlocked()?;

    // Reads only: facts, inference, the plan's rules, the script.
    let upgrade = connection.prepare()?;
    show(&upgrade.diagnostics, &engine.plan.sources);
    if upgrade.is_refused() {
        return Ok(false);
    }
    if upgrade.is_empty() {
        println!("nothing to do");
        return Ok(true);
    }
    let modules: Vec<String> = upgrade.script.modules().map(ToString::to_string).collect();
    println!("{} modules: {}", modules.len(), modules.join(", "));

    // The transaction. Every event comes here, the last one says what the node is.
    let outcome = connection.run(&upgrade, &mut |event| match &event.kind {
        EventKind::StepFinished {
            step,
            processes: Some(number),
            took,
            ..
        } => {
            println!("{step} {number} processes in {took:?}");
        }
        EventKind::Diagnostic(diagnostic) => show(&[(**diagnostic).clone()], &engine.plan.sources),
        _ => {}
    });
    println!("{node} is {}", outcome.state);
    Ok(outcome.state == NodeState::New && outcome.errors.is_empty())
}

fn show(diagnostics: &[Diagnostic], sources: &SourceMap) {
    let style = Style {
        color: false,
        unicode: true,
        width: 100,
    };
    for diagnostic in diagnostics {
        eprintln!("{}", render(diagnostic, sources, style));
    }
}
