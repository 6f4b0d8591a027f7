//! Two runs at once: the second is refused, with the owner of the first.

use crate::bank::{Is, Plan, await_standing, is, pids_of, replaced};
use crate::support::desk::Desk;

#[test]
fn the_second_run_is_refused() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::converting_after_the_switch();
    let (other, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 1500}").account("timeout => 20s");
    node.eval("bank_account:busy(3, 1500)");
    let mine = plan.on(&desk);
    let first = desk
        .on(node, &["run", &mine, "--yes", "--events", "events.jsonl"])
        .start();
    // Before the switch: the second still sees something to do.
    node.await_true("witness:lock() =:= running");
    let theirs = plan.on(&other);
    let second = other
        .on(node, &["run", &theirs, "--yes"])
        .env("USER", "berta")
        .run()
        .exits(13);
    let run = desk
        .read("events.jsonl")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|line| Some(line.get("run")?.as_str()?.to_owned()))
        .expect("the run's name");
    second.says(&["E505", "held by anna", " s, run", &run]);
    // Behind the switch: the node has new code, but whether it will keep it is not decided yet.
    await_standing(node);
    node.await_true("erlang:module_loaded(bank_fee)");
    other
        .on(node, &["run", &theirs, "--yes"])
        .run()
        .exits(13)
        .says(&["E505", "held by anna", &run]);
    first.wait().exits(0);
    is(node, Is::New, &pids);
    other
        .on(node, &["run", &theirs, "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do"]);
}

/// Both have checked and found no run: the node itself lets only one in.
#[test]
fn two_at_the_same_instant() {
    let bank = replaced();
    let node = &bank.node;
    let desks = [Desk::new(), Desk::new()];
    let pids = pids_of(node);
    let plan = Plan::on_disk("{slow, 2000}");
    let running = desks.each_ref().map(|desk| {
        let plan = plan.on(desk);
        desk.on(node, &["run", &plan, "--yes"]).start()
    });
    let mut ends = running.map(|one| {
        let ran = one.wait();
        if ran.code == Some(13) {
            assert!(ran.stderr.contains("E505"), "{ran}");
            // What the node is by then is the other run's to say.
            assert!(!ran.stderr.contains("is as before"), "{ran}");
        }
        ran.code
    });
    ends.sort();
    assert_eq!(ends, [Some(0), Some(13)]);
    is(node, Is::New, &pids);
}
