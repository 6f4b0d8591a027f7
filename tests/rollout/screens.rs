//! Every screen of a rollout as it is: `tests/screens`.

use crate::drift::restart;
use crate::fleet::Fleet;
use crate::support::desk::UPDO;
use crate::support::screens::{Screens, quoted};
use crate::support::terminal::Terminal;

const WORDS: [&str; 4] = ["a@sea", "b@sea", "c@sea", "d@sea"];

/// What differs from run to run.
fn known(fleet: &Fleet) -> Vec<(String, &'static str)> {
    let mut known = vec![(format!(r"\b{}\b", fleet.nodes[0].node.epmd_port()), "PORT")];
    for (at, word) in WORDS.iter().take(fleet.nodes.len()).enumerate() {
        known.push((quoted(fleet.name(at)), *word));
    }
    known.push((r"rollout [0-9a-f]{4}\b".to_owned(), "rollout RUN"));
    known.push((r"run=[0-9a-f]{4}\b".to_owned(), "run=RUN"));
    known
}

/// A node is restarted from old files: what `status` says of the four, and how it is brought back.
#[test]
fn every_screen_of_a_node_that_comes_later() {
    let mut fleet = Fleet::new(4);
    fleet.plan("rollout fleet #{batch => 4}.\nverify \"new rates\" -> 12 = fleet_rate:rate().");
    let known = known(&fleet);
    fleet.run(&[]).run().exits(0);
    restart(&mut fleet, 2);
    let mut screens = Screens::new(&fleet.desk, "plan.updo", &known);
    let status = ["status", "plan.updo"];
    screens.shows("drift-status", fleet.updo(&status), &status, 0);
    let reconcile = ["reconcile", "plan.updo", "--yes"];
    screens.shows("drift-reconcile", fleet.updo(&reconcile), &reconcile, 0);
    screens.shows("drift-nothing", fleet.updo(&reconcile), &reconcile, 0);
    screens.end();
}

#[test]
fn every_screen_of_a_rollout() {
    let fleet = Fleet::new(4);
    fleet.plan(
        "rollout fleet #{canary => 1, batch => 1, pause => 10ms}.\n\
         verify \"new rates\" -> 12 = fleet_rate:rate().\n\
         verify \"all are new\" #{each => rollout} -> 2 = fleet_rate:version().",
    );
    let known = known(&fleet);
    let mut screens = Screens::new(&fleet.desk, "plan.updo", &known);
    let args = ["run", "plan.updo", "--yes"];
    fleet.on(2, "fail");
    screens.shows("rollout-stopped", fleet.updo(&args), &args, 22);
    let back = ["rollback", "--yes"];
    fleet.updo(&back).run().exits(0);
    fleet.nodes[2]
        .node
        .eval("application:unset_env(kernel, fleet)");
    screens.shows("rollout", fleet.updo(&args), &args, 0);
    screens.shows("rollout-log", fleet.updo(&["log"]), &["log"], 0);
    screens.shows("rollout-rollback", fleet.updo(&back), &back, 0);
    // The same in a terminal.
    let mut command = fleet.desk.command(UPDO);
    command.args(args).arg("--color=never").env(
        "UPDO_EPMD_PORT",
        fleet.nodes[0].node.epmd_port().to_string(),
    );
    let mut terminal = Terminal::watch(command, "xterm-256color");
    terminal.end();
    let text = screens.filtered(&terminal.text());
    let lines = text.split("(--yes)\n").nth(1).expect("a question");
    screens.compare("rollout-terminal", &format!("{lines}\n"));
    screens.end();
}
