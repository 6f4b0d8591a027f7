//! A gate for a pipeline: does this plan, and the upgrade that it makes of a node, pass the rules of a team?
//!
//! ```text
//! cargo run --example ci_gate -- plan.updo                 # the plan alone, no node
//! cargo run --example ci_gate -- plan.updo shop@staging    # and what it would do to a node; changes nothing
//! ```
//!
//! Exit code 0: it passes. 1: objections, each on a line of its own. 2: not decided, the node cannot be reached.

use std::path::Path;
use std::process::ExitCode;

use updo::{Code, Engine, NodeName, Settings, Severity, Upgrade};

/// Warnings that do not matter here; all others are objections.
const ACCEPTED: &[Code] = &[
    // Old code is in use for a while after the run.
    Code::W630,
    // The new version and modules of an application are not in its running specification until the next restart.
    Code::W332,
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(plan), node, None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: ci_gate PLAN [NODE]");
        return ExitCode::from(2);
    };
    // Strict: every override needs a reason, every cycle has to be declared.
    let settings = Settings {
        strict: true,
        message: Some("CI gate".to_owned()),
        ..Settings::from_env()
    };
    let engine = match Engine::open(Path::new(&plan), settings).into_result() {
        Ok(engine) => engine,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}: the plan is sound", engine.title());
    let Some(node) = node else {
        return ExitCode::SUCCESS;
    };
    match objections(&engine, &NodeName::new(node)) {
        Ok(found) if found.is_empty() => ExitCode::SUCCESS,
        Ok(found) => {
            found
                .iter()
                .for_each(|objection| eprintln!("objection: {objection}"));
            ExitCode::FAILURE
        }
        // `{:#}`: the notes and the help as well.
        Err(unknown) => {
            eprintln!("{unknown:#}");
            ExitCode::from(2)
        }
    }
}

/// What speaks against an upgrade of this node.
fn objections(engine: &Engine, node: &NodeName) -> updo::Result<Vec<String>> {
    let connection = engine.connect(node)?;
    let upgrade = connection.prepare()?;
    if upgrade.is_empty() {
        println!("{node}: nothing to do");
    } else {
        print!("{}", connection.preview_text(&upgrade));
    }
    Ok(against(&upgrade))
}

fn against(upgrade: &Upgrade) -> Vec<String> {
    let serious = upgrade.diagnostics.iter().filter(|diagnostic| {
        diagnostic.severity() > Severity::Advice && !ACCEPTED.contains(&diagnostic.code)
    });
    let mut found: Vec<String> = serious.map(ToString::to_string).collect();
    if !upgrade.is_empty() && !upgrade.has_way_back() {
        found.push("it could not be undone".to_owned());
    }
    found
}
