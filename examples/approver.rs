//! Approval by rules instead of a person: an upgrade is run when it is small and can be undone, is watched while it runs,
//! and is stopped when the node turns out to be too busy for it.
//!
//! ```text
//! cargo run --example approver -- plan.updo shop@localhost 10
//! ```
//!
//! The last argument is how many modules may change at most. Exit code 0: the node runs the new code. 3: not approved,
//! nothing was done. 4: stopped on the way, the node is as before. 1: anything else.

use std::path::Path;
use std::process::ExitCode;

use updo::{Engine, Event, EventKind, Interrupt, NodeName, NodeState, Settings, Upgrade};

/// After this number of attempts to suspend all processes of a window the node is too busy.
const ATTEMPTS: u64 = 1;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (plan, node, most) = match arguments.as_slice() {
        [plan, node, most] if most.parse::<usize>().is_ok() => (plan, node, most),
        _ => {
            eprintln!("usage: approver PLAN NODE MODULES");
            return ExitCode::from(2);
        }
    };
    let approver = Approver {
        most: most.parse().unwrap_or_default(),
        interrupt: Interrupt::default(),
    };
    match approver.run(Path::new(plan), &NodeName::new(node)) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

struct Approver {
    /// How many modules may change.
    most: usize,
    /// Shared with the run: pressing it asks for its end.
    interrupt: Interrupt,
}

impl Approver {
    /// Errors of plans and of connections are of different types; both are errors that `?` takes.
    fn run(&self, plan: &Path, node: &NodeName) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let settings = Settings {
            interrupt: self.interrupt.clone(),
            message: Some("approved by rule".to_owned()),
            ..Settings::from_env()
        };
        let engine = Engine::open(plan, settings).into_result()?;
        let connection = engine.connect(node)?;
        let upgrade = connection.prepare()?;
        if let Err(reason) = self.approve(&upgrade) {
            println!("not approved: {reason}");
            return Ok(ExitCode::from(3));
        }
        println!("approved: {} modules", upgrade.modules().count());
        let outcome = connection.run(&upgrade, &mut |event| self.watch(event));
        for error in &outcome.errors {
            println!("{error}");
        }
        println!("{node} is {}", outcome.state);
        Ok(match outcome.state {
            _ if outcome.is_good() => ExitCode::SUCCESS,
            NodeState::Old if self.interrupt.count() > 0 => ExitCode::from(4),
            _ => ExitCode::FAILURE,
        })
    }

    /// Decides before anything is done.
    fn approve(&self, upgrade: &Upgrade) -> Result<(), String> {
        if let Some(error) = upgrade.diagnostics.iter().find(|found| found.is_error()) {
            return Err(error.to_string());
        }
        let modules = upgrade.modules().count();
        if modules > self.most {
            return Err(format!("{modules} modules, at most {}", self.most));
        }
        if !upgrade.is_empty() && !upgrade.has_way_back() {
            return Err("it could not be undone".to_owned());
        }
        Ok(())
    }

    /// Decides while it is done. Before the switch an interrupt resumes all processes and leaves the node as it was; after it
    /// the node finishes what is begun.
    fn watch(&self, event: &Event) {
        let seconds = event.at.as_secs_f64();
        match &event.kind {
            EventKind::StepPostponed {
                attempt, slowest, ..
            } => {
                let busy: Vec<&str> = slowest.iter().map(|process| process.at.as_str()).collect();
                println!(
                    "{seconds:6.2} s  attempt {attempt}: busy in {}",
                    busy.join(", ")
                );
                if *attempt >= ATTEMPTS && self.interrupt.count() == 0 {
                    println!("{seconds:6.2} s  too busy, stopping");
                    self.interrupt.press();
                }
            }
            EventKind::StepFinished { step, took, .. } => {
                println!("{seconds:6.2} s  {step} took {took:?}");
            }
            EventKind::Interrupt { text } => println!("{seconds:6.2} s  {text}"),
            _ => {}
        }
    }
}
