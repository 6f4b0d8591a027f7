//! Between stages: time, a question, Ctrl-C; and what may have happened to a node meanwhile.

use crate::fleet::Fleet;
use crate::support::apps::fleet as beams;
use crate::support::desk::UPDO;
use crate::support::terminal::{CTRL_C, Terminal};

fn terminal(fleet: &Fleet) -> Terminal {
    let mut command = fleet.desk.command(UPDO);
    command.args(["run", "plan.updo", "--yes"]).env(
        "UPDO_EPMD_PORT",
        fleet.nodes[0].node.epmd_port().to_string(),
    );
    Terminal::watch(command, "xterm-256color")
}

#[test]
fn a_pause_is_cut_short_by_p_and_ended_by_ctrl_c() {
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{canary => 1, batch => 1, pause => 10m}.");
    let mut screen = terminal(&fleet);
    screen.await_text("of 10m00s left before batch 1");
    assert_eq!(fleet.versions(), [2, 1, 1]);
    screen.keys("p");
    screen.await_text("left before batch 2");
    assert_eq!(fleet.versions(), [2, 2, 1]);
    screen.keys(CTRL_C);
    screen.await_text("2 of 3 nodes new · 1 not touched");
    let ended = screen.end();
    assert!(ended.contains("22"), "{ended}");
    assert_eq!(fleet.versions(), [2, 2, 1]);
}

#[test]
fn ctrl_c_ends_the_walk_after_the_nodes_at_work() {
    let fleet = Fleet::new(4);
    fleet.plan("rollout #{batch => 2}.");
    fleet.everywhere("{slow, 1500}");
    let mut running = fleet.run(&[]).start();
    running.await_says("load ok");
    running.signal("-INT");
    running.await_says("no further node is begun");
    running
        .wait()
        .exits(22)
        .says(&["it was asked to stop: 2 of 4 nodes new · 2 not touched"]);
    assert_eq!(fleet.versions(), [2, 2, 1, 1]);
    // Twice: those at work are called off where that is still possible.
    fleet.nodes[2]
        .node
        .eval("sys:suspend(fleet_ship), application:set_env(kernel, fleet, fine)");
    fleet.plan("rollout #{batch => 1}.\nmodule fleet_ship #{timeout => 30s}.");
    fleet.nodes[2].node.eval("sys:resume(fleet_ship)");
    fleet.nodes[2].node.eval("spawn(fun() -> sys:replace_state(fleet_ship, fun(S) -> receive go_on -> S after 30000 -> S end end, infinity) end)");
    let mut running = fleet.run(&[]).start();
    running.await_says("prepare ok");
    running.signal("-INT");
    running.await_says("no further node is begun");
    running.signal("-INT");
    running.wait().exits(14).says(&[
        "aborting",
        "0 of 2 nodes new · 1 not upgraded · 1 not touched",
    ]);
    fleet.nodes[2].node.eval("fleet_ship ! go_on");
    assert_eq!(fleet.versions(), [2, 2, 1, 1]);
}

#[test]
fn without_a_terminal_there_is_no_prompt() {
    let fleet = Fleet::new(2);
    fleet.plan("rollout #{canary => 1, pause => confirm}.");
    fleet
        .run(&[])
        .run()
        .exits(2)
        .says(&["standard input is not a terminal", "--pause 5m"]);
    assert_eq!(fleet.versions(), [1, 1]);
    fleet
        .run(&["--pause", "1s"])
        .run()
        .exits(0)
        .says(&["rollout pause 1.0s before batch 1"]);
    assert_eq!(fleet.versions(), [2, 2]);
}

/// Somebody else changes a node while the rollout waits: what was shown is not what would happen.
#[test]
fn a_node_that_has_changed_meanwhile_is_left_alone() {
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{canary => 1, batch => 1, pause => 3s}.");
    let mut running = fleet.run(&[]).start();
    running.await_says("rollout pause");
    fleet.load_rate(1, &beams().two);
    running
        .wait()
        .exits(22)
        .says(&["E602", "has changed since it was compared", "fleet_rate"]);
    assert_eq!(fleet.look(1), "{1,1,12}");
    assert_eq!(fleet.look(2), "{1,1,10}");
}

#[test]
fn a_broken_connection_is_reopened() {
    let fleet = Fleet::new(2);
    fleet.plan("rollout #{canary => 1, pause => 2s}.");
    let mut running = fleet.run(&[]).start();
    running.await_says("rollout pause");
    fleet.nodes[1].node.eval("[erlang:disconnect_node(N) || N <- nodes(hidden), lists:prefix(\"updo-\", atom_to_list(N)), N =/= node(group_leader())], ok");
    running.wait().exits(0);
    assert_eq!(fleet.versions(), [2, 2]);
}

/// Nobody waits for the verification of the whole: the nodes stay new, and that is said.
#[test]
fn a_stage_does_not_wait_for_the_final_verify() {
    let fleet = Fleet::new(2);
    fleet.plan("verify \"some day\" #{each => rollout, within => 10m, every => 100ms} -> 3 = fleet_rate:version().");
    let mut running = fleet.run(&[]).start();
    running.await_says(&format!("{} new ok", fleet.name(1)));
    running.signal("-INT");
    std::thread::sleep(std::time::Duration::from_millis(300));
    running.signal("-INT");
    running
        .wait()
        .exits(21)
        .says(&["E621", "not verified", "2 of 2 nodes new"]);
    assert_eq!(fleet.versions(), [2, 2]);
}

/// The same within a stage: the node that comes second is looked at when it is its turn.
#[test]
fn a_node_is_inspected_when_its_turn_comes() {
    let fleet = Fleet::new(2);
    fleet.plan("");
    fleet.on(0, "{slow, 3000}");
    let mut running = fleet.run(&[]).start();
    running.await_says("load ok");
    fleet.load_rate(1, &beams().two);
    running
        .wait()
        .exits(22)
        .says(&["E602", "fleet_rate is not the version it was"]);
    assert_eq!(fleet.look(1), "{1,1,12}");
}

#[test]
fn ctrl_c_answers_the_question_between_stages() {
    let fleet = Fleet::new(2);
    fleet.plan("rollout #{canary => 1, pause => confirm}.");
    let mut screen = terminal(&fleet);
    screen.await_text("go on with batch 1, 1 node? Type yes:");
    screen.keys(CTRL_C);
    screen.await_text("1 of 2 nodes new · 1 not touched");
    let ended = screen.end();
    assert!(ended.contains("22"), "{ended}");
    assert_eq!(fleet.versions(), [2, 1]);
}
