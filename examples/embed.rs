//! updo inside another program: what would happen to a node, and then it happens.
//!
//! ```text
//! cargo run --example embed -- plan.updo shop@localhost
//! ```
//!
//! The cookie comes from `UPDO_COOKIE_FILE`, `UPDO_COOKIE` or `~/.erlang.cookie`, as for the command line.

use std::path::Path;
use std::process::ExitCode;

use updo::{Diagnostic, Engine, EventKind, NodeName, Settings, SourceMap, Style, render};

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
            show(&[*diagnostic], engine.sources());
            ExitCode::FAILURE
        }
    }
}

/// Whether the node runs the new code now, and all is well.
fn upgrade(engine: &Engine, node: &NodeName) -> updo::Result<bool> {
    let connection = engine.connect(node)?;
    connection.ensure_unlocked()?;

    // Reads only: facts, inference, the plan's rules, the script.
    let upgrade = connection.prepare()?;
    show(&upgrade.diagnostics, engine.sources());
    if upgrade.is_refused() {
        return Ok(false);
    }
    if upgrade.is_empty() {
        println!("nothing to do");
        return Ok(true);
    }
    let modules: Vec<String> = upgrade.modules().map(ToString::to_string).collect();
    println!("{} modules: {}", modules.len(), modules.join(", "));

    // The transaction. Every event comes here, the last one says what the node is.
    let outcome = connection.run(&upgrade, &mut |event| match &event.kind {
        EventKind::StepFinished {
            step,
            processes: Some(number),
            took,
            ..
        } => println!("{step} {number} processes in {took:?}"),
        EventKind::Diagnostic(diagnostic) => show(&[(**diagnostic).clone()], engine.sources()),
        _ => {}
    });
    println!("{node} is {}", outcome.state);
    Ok(outcome.is_good())
}

fn show(diagnostics: &[Diagnostic], sources: &SourceMap) {
    for diagnostic in diagnostics {
        eprintln!("{}", render(diagnostic, sources, Style::default()));
    }
}
