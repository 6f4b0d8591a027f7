//! `hold`: what must hold all the time, for a while, after each stage.

use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::support::desk::UPDO;
use crate::support::terminal::{CTRL_C, Terminal};

/// Version 2, and nothing in `kernel`'s environment says otherwise.
const FINE: &str = "true = fleet_ship:tell(asked) =:= ok, true = application:get_env(kernel, sick, false) =:= false";

fn canary(fleet: &Fleet, hold: &str) {
    fleet.plan(&format!(
        "rollout #{{canary => 1, batch => 2}}.\nhold \"error rate\" #{{{hold}}} -> {FINE}.\n"
    ));
}

#[test]
fn every_stage_holds_before_the_next_one_begins() {
    let fleet = Fleet::new(3);
    canary(&fleet, "for => 2s, every => 100ms");
    fleet
        .updo(&["check", "plan.updo"])
        .run()
        .exits(0)
        .says(&["hold: error rate (for 2s), after each stage"]);
    fleet
        .updo(&["preview", "plan.updo"])
        .run()
        .exits(0)
        .prints(&["stages   hold error rate (for 2s)"]);
    let args = ["--report", "report.html", "--report-junit", "junit.xml"];
    let ran = fleet.run(&args).run().exits(0);
    ran.says(&[
        &format!("{} hold ok ", fleet.name(0)),
        "rollout hold running error rate: held ",
        "rollout hold ok error rate: held 2.0s on 1 node",
        "rollout hold ok error rate: held 2.0s on 2 nodes",
        "done  Fleet · 3 of 3 nodes",
    ]);
    assert_eq!(fleet.versions(), [2; 3]);
    // On the nodes of the stage only, and each of them many times.
    for at in 0..3 {
        let asked = fleet.nodes[at].node.eval_text("length(fleet_ship:told())");
        let asked: u32 = asked.parse().expect("a number");
        assert!((5..=30).contains(&asked), "{asked}");
    }
    let events = fleet.events(&["node.started", "hold", "batch.started", "hold.progress"]);
    let kinds: Vec<&str> = events
        .iter()
        .filter(|event| event["type"] != "hold.progress")
        .map(|event| event["type"].as_str().expect("a type"))
        .collect();
    let stage = |nodes| {
        std::iter::once("batch.started")
            .chain(std::iter::repeat_n("node.started", nodes))
            .chain(std::iter::repeat_n("hold", nodes))
    };
    assert_eq!(kinds, stage(1).chain(stage(2)).collect::<Vec<_>>());
    for hold in events.iter().filter(|event| event["type"] == "hold") {
        assert_eq!(
            (&hold["ok"], &hold["for_ms"]),
            (&true.into(), &2000.0.into()),
            "{hold}"
        );
        assert!(
            hold["held_ms"].as_f64().is_some_and(|ms| ms >= 2000.0),
            "{hold}"
        );
        assert!(
            hold["tries"].as_u64().is_some_and(|tries| tries >= 5),
            "{hold}"
        );
    }
    let progress = events
        .iter()
        .filter(|event| event["type"] == "hold.progress");
    assert!(progress.count() >= 4);
    // The report, from the stream and from the records, and the cases of a test report.
    for (name, report) in fleet.reports() {
        assert_eq!(
            report.matches("error rate (held 2.0 s of 2.0 s)").count(),
            3,
            "{name}"
        );
    }
    assert!(
        fleet
            .desk
            .read("junit.xml")
            .contains("name=\"error rate\" classname=\"hold\"")
    );
    let replay = fleet.updo(&["replay", &fleet.rollout()]);
    replay.run().exits(0).prints(&["hold", "error rate"]);
}

/// True at first: a `verify` would be content.
#[test]
fn what_does_not_hold_all_the_time_stops_the_rollout() {
    let fleet = Fleet::new(3);
    canary(&fleet, "for => 1m, every => 50ms");
    let mut running = fleet.run(&["--report", "report.html"]).start();
    running.await_says("hold running error rate: held");
    std::thread::sleep(Duration::from_millis(1200));
    // Once is enough.
    fleet.on_sick(0, true);
    let ran = running.wait().exits(20);
    ran.says(&[
        "E645",
        &format!("held for 1s of 1m on {}, and then no longer", fleet.name(0)),
        "FAIL",
        "a hold has failed: the nodes that are new go back",
        "0 of 3 nodes new · 1 undone · 2 not touched",
    ]);
    assert_eq!(fleet.versions(), [1; 3]);
    let report = fleet.desk.read("report.html");
    assert!(report.contains("and then no longer"), "no headline");
    assert!(report.contains("error rate (held 1."), "no row");
    let hold = fleet.events(&["hold"]).remove(0);
    assert_eq!(hold["ok"], false, "{hold}");
    // Not if the plan wants the nodes to stay.
    fleet.on_sick(0, false);
    let text = fleet.desk.read("plan.updo") + "rollback manual.\n";
    fleet.desk.write("plan.updo", &text);
    fleet.on_sick(0, true);
    let ran = fleet.run(&[]).run().exits(21);
    ran.says(&["does not hold on", "1 of 3 nodes new · 2 not touched"]);
    assert_eq!(fleet.versions(), [2, 1, 1]);
    // Left out, as other checks after the upgrade: nothing is waited for.
    fleet.run(&["--no-verify"]).run().exits(0);
    assert_eq!(fleet.versions(), [2; 3]);
}

/// Raises, never returns, is no condition: each counts, and none of them takes long.
#[test]
fn hostile_conditions_end_in_bounds() {
    let fleet = Fleet::new(2);
    for (body, says) in [
        ("error(sunk)", "sunk"),
        ("erlang:exit(oops)", "oops"),
        ("timer:sleep(infinity)", "5"),
        ("2 = fleet_rate:nothing()", "undef"),
        ("1 = fleet_rate:version()", "no match"),
        ("[] = [X || X <- lists:seq(1, 100000000)]", "E705"),
    ] {
        fleet.plan(&format!(
            "rollout #{{canary => 1}}.\nhold \"it\" #{{for => 1s, every => 100ms}} -> {body}.\n"
        ));
        let began = Instant::now();
        let ran = fleet.run(&[]).run().exits(20);
        let ran = ran.says(&[
            "E645",
            "`it` does not hold on",
            "0 of 2 nodes new · 1 undone",
            says,
        ]);
        assert!(began.elapsed() < Duration::from_secs(30), "{body}: {ran}");
        assert_eq!(fleet.versions(), [1; 2], "{body}");
    }
}

/// A guard that does not hold: nothing is asked, and nothing says that it has held. The same line is not said each time.
#[test]
fn only_what_applies_is_asked() {
    let fleet = Fleet::new(2);
    let (first, second) = (fleet.name(0), fleet.name(1));
    fleet.plan(&format!(
        "rollout #{{canary => 1}}.\n\
         hold \"never\" #{{for => 1m}} when otp() > 99 -> false.\n\
         hold \"second\" #{{for => 400ms, every => 50ms}} when node() =:= '{second}' -> ok = info(\"looked\", []), true.\n"
    ));
    let ran = fleet.run(&[]).run().exits(0);
    let ran = ran.says(&["hold ok second: held 400ms on 1 node"]);
    assert!(!ran.stderr.contains("hold ok never"), "{ran}");
    assert!(!ran.stderr.contains(&format!("{first} hold")), "{ran}");
    assert_eq!(ran.stderr.matches("info looked").count(), 1, "{ran}");
    assert_eq!(fleet.versions(), [2; 2]);
}

/// Not true once, and allowed to begin anew.
#[test]
fn within_allows_to_begin_anew() {
    let fleet = Fleet::new(2);
    canary(&fleet, "for => 1s, every => 50ms, within => 1m");
    fleet.on_sick(0, true);
    let mut running = fleet.run(&[]).start();
    running.await_says("hold running error rate: held 0");
    std::thread::sleep(Duration::from_millis(800));
    fleet.on_sick(0, false);
    running
        .wait()
        .exits(0)
        .says(&["rollout hold ok error rate"]);
    assert_eq!(fleet.versions(), [2; 2]);
    // Not for ever.
    fleet.updo(&["rollback", "--yes"]).run().exits(0);
    canary(&fleet, "for => 500ms, every => 50ms, within => 1500ms");
    fleet.on_sick(0, true);
    let ran = fleet.run(&[]).run().exits(20);
    ran.says(&["too late to begin anew: 500ms would end after 1s 500ms"]);
}

#[test]
fn a_node_that_is_lost_in_a_hold_is_named() {
    let fleet = Fleet::new(3);
    fleet.plan(
        "rollout #{canary => 2, batch => 1}.\nhold \"error rate\" #{for => 1m, every => 100ms} -> 2 = fleet_rate:version().\n",
    );
    let mut running = fleet.run(&[]).start();
    running.await_says("hold running error rate");
    fleet.nodes[1].node.kill();
    let ran = running.wait();
    let lost = fleet.name(1);
    // The other one goes back; the one that is gone cannot.
    let ran = ran.exits(21).says(&[
        "E647",
        &format!("{lost} was lost in a hold"),
        "`error rate` had held for ",
        "a node was lost in a hold: the nodes that are new go back",
        "E648",
        &format!("{lost} does not go back with the others"),
        "updo rollback ",
    ]);
    assert!(!ran.stderr.contains("E900"), "{ran}");
    assert_eq!(fleet.look(0), "{1,1,10}");
    assert_eq!(fleet.look(2), "{1,1,10}");
}

/// A connection that breaks is no lost node.
#[test]
fn a_broken_connection_is_made_anew() {
    let fleet = Fleet::new(2);
    canary(&fleet, "for => 3s, every => 100ms");
    let mut running = fleet.run(&[]).start();
    running.await_says("hold running error rate");
    fleet.nodes[0].node.eval("[erlang:disconnect_node(N) || N <- nodes(hidden), lists:prefix(\"updo-\", atom_to_list(N)), N =/= node(group_leader())], ok");
    running.wait().exits(0);
    assert_eq!(fleet.versions(), [2; 2]);
}

#[test]
fn ctrl_c_ends_the_rollout_in_a_hold() {
    let fleet = Fleet::new(3);
    // Even while an evaluation does not come back.
    fleet.plan("rollout #{canary => 1, batch => 2}.\nhold \"rate\" #{for => 10m} -> ok = timer:sleep(4000).\n");
    let mut command = fleet.desk.command(UPDO);
    command.args(["run", "plan.updo", "--yes"]).env(
        "UPDO_EPMD_PORT",
        fleet.nodes[0].node.epmd_port().to_string(),
    );
    let mut screen = Terminal::watch(command, "xterm-256color");
    screen.await_text("hold  rate: held");
    let text = screen.await_text("of 10m00s on 1 node");
    assert!(text.contains("Ctrl-C=stop here"), "{text}");
    let began = Instant::now();
    screen.keys(CTRL_C);
    screen.await_text("1 of 3 nodes new · 2 not touched");
    assert!(began.elapsed() < Duration::from_secs(3));
    let ended = screen.end();
    assert!(ended.contains("22"), "{ended}");
    assert_eq!(fleet.versions(), [2, 1, 1]);
    // In the last stage it is not known whether it would have held.
    fleet
        .plan("rollout #{batch => 3}.\nhold \"rate\" #{for => 10m} -> 2 = fleet_rate:version().\n");
    let mut running = fleet.run(&[]).start();
    running.await_says("hold running rate");
    running.signal("-INT");
    running.wait().exits(21).says(&[
        "E621",
        "interrupted before `rate` had held",
        "updo rollback ",
        "2 of 2 nodes new",
    ]);
    assert_eq!(fleet.versions(), [2; 3]);
}

/// Nothing on the nodes waits for the client: they run what they run, and the next command goes on from there.
#[test]
fn a_client_that_is_killed_in_a_hold_leaves_the_nodes_in_order() {
    let fleet = Fleet::new(3);
    canary(&fleet, "for => 10m, every => 50ms");
    let mut running = fleet.run(&[]).start();
    running.await_says("hold running error rate");
    running.kill();
    assert_eq!(fleet.versions(), [2, 1, 1]);
    let left = "[N || N <- registered(), lists:prefix(\"updo\", atom_to_list(N))]";
    fleet.nodes[0].node.await_true(&format!("[] =:= {left}"));
    canary(&fleet, "for => 300ms, every => 50ms");
    let ran = fleet.run(&[]).run().exits(0);
    ran.says(&["done  Fleet · 2 of 2 nodes"]);
    assert_eq!(fleet.versions(), [2; 3]);
}

/// One node alone: what has to hold is waited for before anything says "done".
#[test]
fn one_node_alone_holds_as_well() {
    let fleet = Fleet::new(1);
    fleet.plan("hold \"rate\" #{for => 1s, every => 100ms} -> 2 = fleet_rate:version().\n");
    let ran = fleet.run(&[]).run().exits(0);
    let ran = ran.says(&["rollout hold ok rate: held 1.0s on 1 node", "done  Fleet"]);
    let place = |text: &str| ran.stderr.find(text).expect("said");
    assert!(place("hold ok rate") < place("done  Fleet"), "{ran}");
    // And what it names to take back can be taken back.
    let rollback = ran
        .stderr
        .split("updo rollback ")
        .nth(1)
        .expect("a command");
    let name = rollback.split_whitespace().next().expect("a name");
    fleet.updo(&["rollback", name, "--yes"]).run().exits(0);
    assert_eq!(fleet.versions(), [1]);
    fleet.plan("hold \"rate\" #{for => 1s, every => 100ms} -> 1 = fleet_rate:version().\n");
    fleet.run(&[]).run().exits(20).says(&["E645", "1 undone"]);
    assert_eq!(fleet.versions(), [1]);
    fleet.run(&["--detach"]).run().exits(2).says(&["--detach"]);
}

/// A node that does not answer any more, over a connection that is up: its evaluation takes too long, and that ends it.
#[test]
fn a_node_that_is_frozen_in_a_hold_ends_it_in_bounds() {
    let fleet = Fleet::new(2);
    fleet.plan(
        "rollback manual.\nrollout #{canary => 1}.\nhold \"rate\" #{for => 10m, every => 100ms} -> 2 = fleet_rate:version().\n",
    );
    let mut running = fleet.run(&[]).start();
    running.await_says("hold running rate");
    fleet.nodes[0].node.signal("-STOP");
    let began = Instant::now();
    let ran = running.wait().exits(21);
    fleet.nodes[0].node.signal("-CONT");
    ran.says(&[
        "E645",
        "`rate` held for ",
        "1 of 2 nodes new · 1 not touched",
    ]);
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_eq!(fleet.versions(), [2, 1]);
}
