//! A node that fails ends the walk; every node stays wholly old or wholly new.

use crate::fleet::Fleet;
use crate::support::apps::fleet as beams;
use crate::support::desk::Desk;

#[test]
fn the_first_failure_stops() {
    let fleet = Fleet::new(4);
    fleet.plan("rollout #{canary => 1, batch => 1}.");
    fleet.on(1, "fail");
    fleet.run(&[]).run().exits(22).says(&[
        "E604",
        "E620",
        "rollout stopped after 1 failure: 1 of 4 nodes new · 1 undone · 2 not touched",
        "run the same command again to continue",
        "or take back those that are new: updo rollback ",
        "stopped  Fleet · 1 of 4 nodes new",
    ]);
    assert_eq!(fleet.versions(), [2, 1, 1, 1]);
    // When it is put right, the same command continues.
    fleet.nodes[1]
        .node
        .eval("application:unset_env(kernel, fleet)");
    fleet.run(&[]).run().exits(0).says(&["3 of 3 nodes"]);
    assert_eq!(fleet.versions(), [2; 4]);
}

/// As the plan's conversions are usually: computed before anything is switched.
#[test]
fn a_conversion_that_fails_before_the_switch_stops_as_well() {
    let mut fleet = Fleet::new(3);
    fleet.desk = Desk::new();
    fleet.plan("rollout #{canary => 1, batch => 1}.");
    fleet.on(1, "fail");
    let ran = fleet.run(&[]).run().exits(22);
    ran.says(&[
        "E604",
        "nothing was changed",
        "1 of 3 nodes new",
        "not touched",
    ]);
    assert_eq!(fleet.versions(), [2, 1, 1]);
}

#[test]
fn a_failed_canary_leaves_the_other_nodes_untouched() {
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{canary => 1}.");
    fleet.on(0, "fail");
    fleet
        .run(&[])
        .run()
        .exits(20)
        .says(&["0 of 3 nodes new · 1 undone · 2 not touched"]);
    assert_eq!(fleet.versions(), [1; 3]);
    // What is wrong with the whole is found before any node is touched.
    fleet.plan("require \"no\" #{each => rollout} -> 2 = fleet_rate:version().");
    fleet.run(&[]).run().exits(11).says(&["E601"]);
    fleet.plan("before rollout -> ok = fleet_rate:version().");
    fleet.run(&[]).run().exits(14);
    assert_eq!(fleet.versions(), [1; 3]);
}

#[test]
fn more_failures_may_be_borne() {
    let fleet = Fleet::new(4);
    fleet.plan("rollout #{batch => 2, parallel => all, abort_after => 2}.");
    fleet.on(0, "fail");
    fleet
        .run(&[])
        .run()
        .exits(22)
        .says(&["3 of 4 nodes new · 1 undone"]);
    assert_eq!(fleet.versions(), [1, 2, 2, 2]);
}

#[test]
fn a_failure_of_the_rollout_rolls_all_nodes_back() {
    let fleet = Fleet::new(3);
    let verify = "verify \"whole\" #{each => rollout} -> 1 = fleet_rate:version().\n";
    fleet.plan(&format!("rollout #{{canary => 1, batch => 2}}.\n{verify}"));
    fleet.run(&[]).run().exits(20).says(&[
        "E606",
        "the nodes that are new go back",
        "0 of 3 nodes new · 3 undone",
    ]);
    assert_eq!(fleet.versions(), [1; 3]);
    // Not if the plan wants that for other failures only, or never.
    fleet.plan(&format!(
        "rollback automatic #{{on => [verify]}}.\n{verify}"
    ));
    fleet
        .run(&[])
        .run()
        .exits(21)
        .says(&["not verified", "3 of 3 nodes new"]);
    assert_eq!(fleet.versions(), [2; 3]);
    fleet.updo(&["rollback", "--yes"]).run().exits(0);
    assert_eq!(fleet.versions(), [1; 3]);
    fleet.plan(&format!("rollback manual.\n{verify}"));
    fleet.run(&[]).run().exits(21);
    assert_eq!(fleet.versions(), [2; 3]);
}

/// `on` chooses among the failures of one node, too.
#[test]
fn on_chooses_after_which_failures_a_node_goes_back() {
    let fleet = Fleet::new(1);
    let wrong = "verify \"never\" -> 3 = fleet_rate:version().\n";
    fleet.plan(&format!(
        "rollback automatic #{{on => ['after', rollout]}}.\n{wrong}"
    ));
    fleet.run(&[]).run().exits(21).says(&["E606"]);
    assert_eq!(fleet.versions(), [2]);
    fleet.updo(&["rollback", "--yes"]).run().exits(0);
    fleet.plan(&format!(
        "rollback automatic #{{on => [verify], keep_old => 1h}}.\n{wrong}"
    ));
    fleet.run(&[]).run().exits(20).says(&["E606"]);
    assert_eq!(fleet.versions(), [1]);
    fleet.plan(
        "rollback automatic #{on => [verify]}.\nafter upgrade -> ok = fleet_rate:version().\n",
    );
    fleet.run(&[]).run().exits(21);
    assert_eq!(fleet.versions(), [2]);
}

#[test]
fn nodes_that_cannot_be_reached_are_all_named() {
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{canary => 1}.");
    fleet.nodes[1].node.kill();
    let gone = "gone@localhost";
    let text = fleet
        .desk
        .read("plan.updo")
        .replace("']", &format!("', '{gone}']"));
    fleet.desk.write("plan.updo", &text);
    fleet.run(&[]).run().exits(10).says(&[
        &format!("no node `{}`", fleet.nodes[1].node.short()),
        "no node `gone`",
    ]);
    for at in [0, 2] {
        assert_eq!(fleet.look(at), "{1,1,10}");
    }
}

/// New, and the plan is not content with it: nothing that is kept says "done".
#[test]
fn what_is_not_good_is_not_called_done() {
    let fleet = Fleet::new(1);
    fleet.plan("rollback manual.\nverify \"never\" -> 3 = fleet_rate:version().");
    let ran = fleet.run(&["--report", "report.html"]).run().exits(21);
    let ran = ran.says(&["not good  ", "is new, but with errors", "updo rollback "]);
    assert!(!ran.stderr.contains("done  "), "{ran}");
    assert!(
        fleet
            .desk
            .read("report.html")
            .contains("is new, but with errors")
    );
    let replay = fleet.updo(&["replay"]).run().exits(0);
    let replay = replay.prints(&["is new, but with errors"]);
    assert!(!replay.stdout.contains("done  "), "{replay}");
}

/// Whatever was changed and put back is reported by the exit code, also when another node was refused before.
#[test]
fn a_node_that_was_rolled_back_counts_more_than_one_that_was_refused() {
    let fleet = Fleet::new(2);
    fleet.plan(
        "rollout #{batch => 2, parallel => 1, abort_after => 2}.\n\
         require \"fine\" -> undefined = application:get_env(kernel, refuse, undefined).",
    );
    fleet.nodes[0]
        .node
        .eval("application:set_env(kernel, refuse, true)");
    fleet.on(1, "fail");
    let ran = fleet.run(&[]).run().exits(20);
    ran.says(&["0 of 2 nodes new · 1 undone · 1 not upgraded"]);
    assert_eq!(fleet.versions(), [1, 1]);
}

/// A node was upgraded by others while the whole was checked: it is not touched, and named.
#[test]
fn a_node_changed_by_another_run_is_not_rolled_back() {
    let fleet = Fleet::new(2);
    fleet.plan("rollout #{batch => 2}.\nverify \"never\" #{each => rollout, within => 4s, every => 200ms} -> 3 = fleet_rate:version().");
    let mut running = fleet.run(&[]).start();
    running.await_says(&format!("{} new ok", fleet.name(1)));
    fleet.nodes[1].node.await_true("fleet_rate:version() =:= 2");
    fleet.load_rate(1, &beams().one);
    let ran = running.wait().exits(21);
    ran.says(&[
        "E602",
        &format!("{} has changed since its upgrade", fleet.name(1)),
        "fleet_rate",
    ]);
    assert_eq!(fleet.look(0), "{1,1,10}");
    assert_eq!(fleet.look(1), "{2,2,10}");
}

/// A request to stop that came too late to stop anything does not keep the nodes from going back.
#[test]
fn an_old_request_to_stop_does_not_stop_the_way_back() {
    let fleet = Fleet::new(2);
    fleet.plan(
        "rollout #{batch => 2}.\nverify \"never\" #{each => rollout} -> 3 = fleet_rate:version().",
    );
    fleet.everywhere("{slow, 1500}");
    let mut running = fleet.run(&[]).start();
    running.await_says("load ok");
    running.signal("-INT");
    running.await_says("no further node is begun");
    running
        .wait()
        .exits(20)
        .says(&["the nodes that are new go back", "2 undone"]);
    assert_eq!(fleet.versions(), [1, 1]);
}

/// The beams are overwritten in place on every node and no copy is kept: asked about once, and what is left is named with
/// the command that mends it.
#[test]
fn without_copies_the_new_code_stays_on_the_node_that_fails() {
    let fleet = Fleet::new(2);
    let names = [fleet.name(0), fleet.name(1)];
    let text = format!(
        "plan \"Fleet\".\ntarget fleet #{{nodes => ['{}', '{}']}}.\ncode on_disk.\nrollout #{{canary => 1}}.\n",
        names[0], names[1]
    );
    fleet.desk.write("plan.updo", &text);
    for node in &fleet.nodes {
        node.replace(&beams().two);
    }
    fleet.on(1, "fail");
    let ran = fleet.run(&[]).run().exits(11);
    let ran = ran.says(&[
        "W317",
        "E317",
        "if the conversion of `fleet_ship` fails",
        "--no-undo",
    ]);
    assert_eq!(ran.stderr.matches("error[E317]").count(), 1, "{ran}");
    assert_eq!(fleet.versions(), [1, 1]);
    let ran = fleet.run(&["--no-undo"]).run().exits(21);
    let mend = format!("updo mend {}", names[1]);
    let ran = ran.says(&[
        "E609",
        "the new code stays",
        "the old state under the new code",
        &mend,
        "1 of 2 nodes new · 1 in need of manual repair",
    ]);
    assert!(!ran.stderr.contains("kill"), "{ran}");
    let diagnostics = fleet.events(&["diagnostic"]);
    let named = |one: &serde_json::Value| one.to_string().contains(&mend);
    assert!(diagnostics.iter().any(named), "{diagnostics:?}");
    // When it is put right, what was printed mends it.
    fleet.nodes[1]
        .node
        .eval("application:unset_env(kernel, fleet)");
    fleet
        .updo(&["mend", names[1], "--yes"])
        .run()
        .exits(0)
        .says(&["nothing is left of it"]);
    assert_eq!(fleet.versions(), [2, 2]);
    fleet.run(&[]).run().exits(0).says(&["nothing to do"]);
}

/// Nothing promises a rollback that cannot be.
#[test]
fn without_copies_a_rollout_promises_no_rollback() {
    let fleet = Fleet::new(2);
    let text = format!(
        "plan \"Fleet\".\ntarget fleet #{{nodes => ['{}', '{}']}}.\ncode on_disk.\n",
        fleet.name(0),
        fleet.name(1)
    );
    fleet.desk.write("plan.updo", &text);
    for node in &fleet.nodes {
        node.replace(&beams().two);
    }
    let ran = fleet.run(&["--no-undo"]).run().exits(0);
    let ran = ran.says(&["2 of 2 nodes"]);
    assert!(!ran.stderr.contains("roll back:"), "{ran}");
    assert_eq!(fleet.versions(), [2, 2]);
}
