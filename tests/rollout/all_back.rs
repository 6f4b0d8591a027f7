//! `on_failure => all_back`: a rollout is all or nothing.

use crate::fleet::Fleet;
use crate::support::apps::fleet as beams;

const ALL_BACK: &str = "rollout #{canary => 1, batch => 1, on_failure => all_back}.";

#[test]
fn a_node_that_fails_takes_all_others_back() {
    let fleet = Fleet::new(4);
    fleet.plan(ALL_BACK);
    fleet
        .updo(&["preview", "plan.updo"])
        .run()
        .exits(0)
        .prints(&["after 1 failed node all that are new go back"]);
    fleet.on(2, "fail");
    let ran = fleet.run(&["--report", "report.html"]).run().exits(20);
    let ran = ran.says(&[
        "E604",
        "a node has failed: the nodes that are new go back",
        "0 of 4 nodes new · 3 undone · 1 not touched",
    ]);
    // The last one first, each with its outcome.
    let place = |at: usize| {
        ran.stderr
            .find(&format!("{} old ok", fleet.name(at)))
            .expect("said")
    };
    assert!(place(1) < place(0), "{ran}");
    assert_eq!(fleet.versions(), [1; 4]);
    assert_eq!(fleet.events(&["rollout.back"]).len(), 1);
    assert!(
        fleet
            .desk
            .read("report.html")
            .contains("0 of 3 nodes run the new version")
    );
    // Whatever was meant to go back has; there is nothing left to roll back.
    let rollout = fleet.events(&["run.finished"])[0]["rollout"].clone();
    let rollout = rollout.as_str().expect("a name");
    let again = fleet.updo(&["rollback", rollout, "--yes"]).run();
    assert_ne!(again.code, Some(21), "{again}");
    assert_eq!(fleet.versions(), [1; 4]);
    // Corrected, and run again: all of it.
    fleet.nodes[2]
        .node
        .eval("application:unset_env(kernel, fleet)");
    fleet.run(&[]).run().exits(0);
    assert_eq!(fleet.versions(), [2; 4]);
}

/// A first node that fails has nothing to take back, and failures that are borne take nothing back.
#[test]
fn only_a_rollout_that_failures_end_goes_back() {
    let fleet = Fleet::new(3);
    fleet.plan(ALL_BACK);
    fleet.on(0, "fail");
    let ran = fleet.run(&[]).run().exits(20);
    assert!(
        !ran.stderr.contains("the nodes that are new go back"),
        "{ran}"
    );
    assert_eq!(fleet.versions(), [1; 3]);
    fleet.plan("rollout #{batch => 1, on_failure => all_back, abort_after => 2}.");
    let ran = fleet.run(&[]).run().exits(22);
    assert!(
        !ran.stderr.contains("the nodes that are new go back"),
        "{ran}"
    );
    assert_eq!(fleet.versions(), [1, 2, 2]);
    // And one more than is borne.
    fleet.updo(&["rollback", "--yes"]).run().exits(0);
    fleet.on(2, "fail");
    let ran = fleet.run(&[]).run().exits(20);
    ran.says(&["2 nodes have failed: the nodes that are new go back"]);
    assert_eq!(fleet.versions(), [1; 3]);
}

/// A verify of one node, a hold and a gate: all the same, even where `rollback` leaves the whole rollout out.
#[test]
fn whatever_fails_takes_all_back() {
    let fleet = Fleet::new(2);
    for more in [
        "verify \"v\" -> true = application:get_env(kernel, sick, false) =:= false.",
        "hold \"h\" #{for => 300ms, every => 50ms} -> true = application:get_env(kernel, sick, false) =:= false.",
        "gate \"g\" -> cmd \"exit 1\".",
        "verify \"all\" #{each => rollout} -> 1 = fleet_rate:version().",
    ] {
        fleet.plan(&format!(
            "{ALL_BACK}\nrollback automatic #{{on => [verify]}}.\n{more}"
        ));
        fleet.on_sick(1, true);
        let ran = fleet.run(&[]).run().exits(20);
        ran.says(&["the nodes that are new go back", "0 of 2 nodes new"]);
        assert_eq!(fleet.versions(), [1; 2], "{more}");
    }
}

/// Each node that stays is named with the command that is left to do; the others go back.
#[test]
fn a_node_that_cannot_go_back_is_named_with_its_command() {
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{batch => 1, pause => 3s, on_failure => all_back}.");
    fleet.on(2, "fail");
    let mut running = fleet.run(&[]).start();
    running.await_says(&format!("{} new ok", fleet.name(1)));
    // Another operator upgrades the first one once more.
    fleet.load_rate(0, &beams().one);
    let ran = running.wait().exits(21);
    let ran = ran.says(&[
        "a node has failed: the nodes that are new go back",
        "E648",
        &format!("{} does not go back with the others", fleet.name(0)),
        "E602",
        &format!("updo run PLAN --only-node {}", fleet.name(0)),
    ]);
    assert_eq!(ran.stderr.matches("error[E648]").count(), 1, "{ran}");
    assert_eq!(fleet.look(0), "{2,2,10}");
    assert_eq!(
        (fleet.look(1), fleet.look(2)),
        ("{1,1,10}".into(), "{1,1,10}".into())
    );
    // One that is gone: what to do when it is there again.
    let fleet = Fleet::new(3);
    fleet.plan("rollout #{batch => 1, pause => 3s, on_failure => all_back}.");
    fleet.on(2, "fail");
    let mut running = fleet.run(&[]).start();
    running.await_says(&format!("{} new ok", fleet.name(1)));
    fleet.nodes[1].node.kill();
    let ran = running.wait().exits(21);
    ran.says(&["E648", "when that is mended: updo rollback "]);
    assert_eq!(
        (fleet.look(0), fleet.look(2)),
        ("{1,1,10}".into(), "{1,1,10}".into())
    );
}

/// What the operator calls off is no failure: nothing goes back that was not asked to.
#[test]
fn ctrl_c_is_no_failure() {
    let fleet = Fleet::new(3);
    fleet.plan(
        "rollout #{batch => 1, on_failure => all_back}.\nmodule fleet_ship #{timeout => 30s}.",
    );
    fleet.nodes[1].node.eval("spawn(fun() -> sys:replace_state(fleet_ship, fun(S) -> receive go_on -> S after 30000 -> S end end, infinity) end)");
    let mut running = fleet.run(&[]).start();
    running.await_says(&format!("{} prepare ok", fleet.name(1)));
    running.signal("-INT");
    running.await_says("no further node is begun");
    running.signal("-INT");
    let ran = running.wait().exits(22);
    assert!(
        !ran.stderr.contains("the nodes that are new go back"),
        "{ran}"
    );
    fleet.nodes[1].node.eval("fleet_ship ! go_on");
    assert_eq!(fleet.versions(), [2, 1, 1]);
}
