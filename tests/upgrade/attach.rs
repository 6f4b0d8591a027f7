//! Leaving a run and coming back to it: on purpose, because the connection was cut, because the client was killed.

use crate::bank::{Is, Plan, await_computing, await_standing, is, nothing_left, pids_of, replaced};
use crate::killed::await_alone;
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran, UPDO};
use crate::support::terminal::Terminal;

/// A `verify` that does not come true in version 2.
const NEVER: &str = "verify \"the rate is three\" -> 3 = bank_rate:rate().\n";

/// The last run in the records, and its state there.
fn last(desk: &Desk, node: &TestNode) -> (String, String) {
    let log = desk.on(node, &["--json", "log"]).run().exits(0).json();
    let log = log.as_array().expect("a list");
    let last = log.first().expect("a run is recorded");
    let text = |key: &str| last[key].as_str().expect("a text").to_owned();
    (text("run"), text("state"))
}

fn attach(desk: &Desk, node: &TestNode, run: &str) -> Ran {
    desk.on(node, &["attach", run]).run()
}

/// Ends all connections but that of the test.
fn cut(node: &TestNode) {
    let mine = node.session().local_name().to_owned();
    node.eval(&format!(
        "[erlang:disconnect_node(N) || N <- nodes(hidden), N =/= '{mine}']"
    ));
}

#[test]
fn detached_and_rejoined_at_once() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 1500}")
        .with("verify \"the rate is two\" -> 2 = bank_rate:rate().\n")
        .on(&desk);
    let ran = desk
        .on(node, &["run", &plan, "--yes", "--detach"])
        .run()
        .exits(23);
    let (run, state) = last(&desk, node);
    assert_eq!(state, "unknown");
    let rejoin = format!("updo attach {run}");
    ran.says(&[&rejoin]);
    await_standing(node);
    let status = desk.on(node, &["status"]).run().exits(0);
    status.prints(&[
        "  lock     ",
        &rejoin,
        &format!("  last     run {run}  "),
        "  unknown  Bank 2",
    ]);
    attach(&desk, node, &run).exits(0).says(&[
        "suspend",
        "convert",
        "verify",
        "the rate is two",
        "done",
    ]);
    is(node, Is::New, &pids);
    assert_eq!(last(&desk, node), (run.clone(), "new".to_owned()));
    // The record knows it now.
    attach(&desk, node, &run)
        .exits(0)
        .says(&["has ended", "is new"]);
    // What happened while no client was attached is in the record as well.
    let events = desk.read(&format!("state/runs/{run}/events.jsonl"));
    assert!(events.contains("\"step\":\"convert\""), "{events}");
    for line in events.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("JSON");
    }
    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
    is(node, Is::Old, &pids);
    attach(&desk, node, &run)
        .exits(0)
        .says(&["the run was rolled back later"]);
}

#[test]
fn the_result_is_kept_until_collected() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let detached = |extra: &str, more: &str| {
        let plan = Plan::on_disk(extra).with(more).on(&desk);
        desk.on(node, &["run", &plan, "--yes", "--detach"])
            .run()
            .exits(23);
        node.await_true("witness:lock() =:= kept");
        last(&desk, node).0
    };
    // It failed, and the node is old: the reason is reported later as well.
    let run = detached("{fail, 5, error}", "");
    attach(&desk, node, &run)
        .exits(20)
        .says(&["E604", "cannot_convert", "is as before"]);
    is(node, Is::Old, &pids);
    assert_eq!(last(&desk, node), (run, "old".to_owned()));

    // It went through, but is not good. By now the lock is free: going back is another run.
    let run = detached("fine", NEVER);
    let ran = attach(&desk, node, &run).exits(21);
    ran.says(&["E606", &format!("updo rollback {run}")]);
    is(node, Is::New, &pids);
    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
    is(node, Is::Old, &pids);

    // No client came in time: only the code shows it.
    let run = detached("fine", "");
    node.eval("updo_run ! updo_settle");
    node.await_true("witness:lock() =:= free");
    attach(&desk, node, &run)
        .exits(0)
        .says(&["not kept any more", "runs the new code"]);
    is(node, Is::New, &pids);
    assert_eq!(last(&desk, node), (run, "new".to_owned()));
    attach(&desk, node, "0000x").exits(2);
}

/// A single client that rejoins decides as the run would have: not good, so back, under the same lock.
#[test]
fn a_rejoining_client_runs_verify() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 1500}").with(NEVER).on(&desk);
    desk.on(node, &["run", &plan, "--yes", "--detach"])
        .run()
        .exits(23);
    let (run, _) = last(&desk, node);
    attach(&desk, node, &run)
        .exits(20)
        .says(&["E606", "undo ok", "is as before"]);
    is(node, Is::Old, &pids);
    assert_eq!(last(&desk, node), (run, "old".to_owned()));
}

#[test]
fn the_connection_was_cut() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 1500}").on(&desk);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    cut(node);
    let ran = running.wait().exits(23);
    let (run, state) = last(&desk, node);
    assert_eq!(state, "unknown");
    ran.says(&["E608", &format!("updo attach {run}")]);
    attach(&desk, node, &run).exits(0).says(&["done"]);
    is(node, Is::New, &pids);

    // A rollback is a run like any other.
    let running = desk.on(node, &["rollback", &run, "--yes"]).start();
    node.await_true("witness:lock() =/= free");
    cut(node);
    let ran = running.wait();
    let (back, _) = last(&desk, node);
    assert_ne!(back, run);
    if ran.code == Some(23) {
        ran.says(&[&format!("updo attach {back}")]);
        let ran = attach(&desk, node, &back);
        // 20: neither side knows any more whether anything was switched before it ended as it began.
        assert!(matches!(ran.code, Some(0 | 14 | 20)), "{ran}");
    }
    // Cut while the agent was brought to life: it may have ended alone.
    await_alone(node);
    nothing_left(node);
}

#[test]
fn the_client_was_killed() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 1000}").on(&desk);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    running.kill();
    let (run, state) = last(&desk, node);
    assert_eq!(state, "running");
    attach(&desk, node, &run).exits(0).says(&["done"]);
    is(node, Is::New, &pids);
    assert_eq!(last(&desk, node).1, "new");
}

/// Rejoins in a terminal: the screen has these parts before the run ends well.
fn rejoined(desk: &Desk, node: &TestNode, run: &str, parts: &[&str]) {
    let mut command = desk.command(UPDO);
    command
        .args(["attach", run])
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string());
    let mut terminal = Terminal::watch(command, "xterm-256color");
    let screen = terminal.await_text("7/8");
    for part in parts {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    assert!(terminal.end().ends_with(", 0)"), "{}", terminal.text());
}

/// A client that rejoins shows how far the run is, as the first one did: the steps of the way back do not count.
#[test]
fn a_rejoining_client_sees_the_progress() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    let plan = Plan::on_disk("{slow, 4, 3000}")
        .account("timeout => 30s")
        .with("deadline 2m.\nbudget infinity.\n")
        .on(&desk);
    let ran = desk.on(node, &["run", &plan, "--yes", "--detach"]).run();
    ran.exits(23);
    let (run, _) = last(&desk, node);
    // prepare, suspend, load, convert, resume
    rejoined(
        &desk,
        node,
        &run,
        &[
            "convert  ▸  >",
            " step 4/5 · suspended >",
            " · deadline 1m5",
        ],
    );
    is(node, Is::New, &pids);
    // The way back is a run of its own: prepare, suspend, convert, load, delete, resume.
    node.eval("bank_account:busy(4, 6000)");
    let back = desk.on(node, &["rollback", "--yes", &run]).start();
    await_standing(node);
    let (undo, _) = last(&desk, node);
    let parts = ["suspend  ▸  >", "count_coins", " step 2/6 · suspended >"];
    rejoined(&desk, node, &undo, &parts);
    back.wait().exits(0);
    is(node, Is::Old, &pids);
}

#[test]
fn called_off_from_elsewhere() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::converting_after_the_switch(), pids_of(node));
    // Before anything is switched: the run waits for a busy account.
    let plan = Plan::on_disk("{slow, 1500}")
        .account("timeout => 30s")
        .with("budget infinity.\n")
        .on(&desk);
    node.eval("bank_account:busy(3, 60000)");
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    let (run, _) = last(&desk, node);
    desk.on(node, &["attach", &run, "--abort"])
        .run()
        .exits(14)
        .says(&["aborting", "E611", "is as before"]);
    running.wait().exits(14).says(&["E611"]);
    node.eval("bank_account_3 ! enough");
    is(node, Is::Old, &pids);

    // And while states are computed.
    let slow = Plan::on_disk("{slow, 60000}")
        .account("timeout => 90s")
        .on(&desk);
    let running = desk
        .on(node, &["run", &slow, "--yes"])
        .env("UPDO_CONVERT_AFTER_SWITCH", "0")
        .start();
    await_computing(node);
    let (run, _) = last(&desk, node);
    desk.on(node, &["attach", &run, "--abort"])
        .run()
        .exits(14)
        .says(&["aborting", "E611", "is as before"]);
    running.wait().exits(14).says(&["E611"]);
    is(node, Is::Old, &pids);
    let plan = Plan::on_disk("{slow, 1500}")
        .account("timeout => 30s")
        .on(&desk);

    // Later it is too late, and said so. The first client is there and decides; the other only looks on.
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    node.await_true("erlang:module_loaded(bank_fee)");
    let (run, _) = last(&desk, node);
    desk.on(node, &["attach", &run, "--abort"])
        .run()
        .exits(0)
        .says(&["modules are switched already", "done"]);
    running.wait().exits(0);
    is(node, Is::New, &pids);
}

/// Without a name it is the newest that goes on, on whatever node; which one is said.
#[test]
fn without_a_name_the_newest_run_is_taken() {
    let (first, second) = (replaced(), replaced());
    let desk = Desk::new();
    desk.on(&first.node, &["attach"])
        .run()
        .exits(2)
        .says(&["no run is recorded"]);
    let plan = Plan::on_disk("{slow, 4000}").on(&desk);
    let begin = |node: &TestNode| {
        let args = ["run", &plan, "--yes", "--detach", "-t", node.name()];
        desk.on(node, &args).run().exits(23);
        last(&desk, node).0
    };
    let done = begin(&first.node);
    let taken = format!("taking run {done} on {}", first.node.name());
    desk.on(&first.node, &["attach"])
        .run()
        .exits(0)
        .says(&[&taken, "the newest that has no end in its record"]);
    // It has ended: how, is still said, and nothing is there to be called off.
    desk.on(&first.node, &["attach"]).run().exits(0).says(&[
        &taken,
        "the newest; none goes on",
        "has ended",
    ]);
    desk.on(&first.node, &["attach", "--abort"])
        .run()
        .exits(2)
        .says(&["no run goes on"]);
    // A later one that goes on is taken before one that has ended later.
    let newer = begin(&second.node);
    desk.on(&second.node, &["attach"])
        .run()
        .exits(0)
        .says(&[&format!("taking run {newer} on {}", second.node.name())]);
}
