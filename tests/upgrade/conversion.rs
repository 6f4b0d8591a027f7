//! Conversions that fail or hang: the node goes back to what it was, and updo says who failed and why.

use std::time::{Duration, Instant};

use crate::bank::{Is, Plan, await_standing, is, replaced, who};
use crate::support::apps::Deployed;
use crate::support::desk::Desk;

#[test]
fn every_way_to_fail() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), who(node));
    let fifth = node.eval_text("whereis(bank_account_5)");
    for (how, reason) in [
        ("error", "cannot_convert"),
        ("throw", "cannot_convert"),
        ("exit", "cannot_convert"),
        ("bad_return", "cannot_convert"),
    ] {
        let trouble = format!("{{fail, 5, {how}}}");
        let on_disk = Plan::on_disk(&trouble).on(&desk);
        let ran = desk
            .on(
                node,
                &["run", &on_disk, "--yes", "--events", "events.jsonl"],
            )
            .run()
            .exits(20);
        let ran = ran.says(&[
            "E604",
            "bank_account",
            &fifth,
            reason,
            "{advanced,{fail,5,",
            "is as before",
            "rollback",
        ]);
        assert!(
            ran.stderr.contains("this conversion"),
            "the plan's line is shown: {ran}"
        );
        assert!(desk.read("events.jsonl").contains("\"code\":\"E604\""));
        is(node, Is::Old, &pids);
    }
    // Everybody fails: one is named, the others are not forgotten.
    let all = Plan::on_disk("surprise")
        .with("verify \"rates\" -> 2 = bank_rate:rate().")
        .on(&desk);
    desk.on(node, &["run", &all, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
}

#[test]
fn failing_when_pushed() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), who(node));
    let fifth = node.eval_text("whereis(bank_account_5)");
    for how in ["error", "throw", "exit", "bad_return"] {
        let plan = Plan::up(&format!("{{fail, 5, {how}}}")).on(&desk);
        desk.on(node, &["run", &plan, "--yes"])
            .run()
            .exits(20)
            .says(&["E604", "bank_account", &fifth, "cannot_convert"]);
        is(node, Is::Old, &pids);
    }
    // The node is none the worse for it.
    let plan = Plan::up("fine").on(&desk);
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
}

#[test]
fn one_that_takes_too_long() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), who(node));
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{slow, 5, 2500}")
        .account("timeout => 1s")
        .on(&desk);
    let began = Instant::now();
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(20);
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "{:?}",
        began.elapsed()
    );
    ran.says(&["E604", &fifth, "no answer after"]);
    is(node, Is::Old, &pids);
}

/// Nothing can be done for a process that never comes out of `code_change`: all others are old and run, updo
/// says which one is left and what to type, and after that the node is old.
#[test]
fn one_that_never_returns() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::new();
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{slow, 5, infinity}")
        .account("timeout => 1s")
        .on(&desk);
    let began = Instant::now();
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(21);
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    let pid = fifth.trim_matches(['<', '>']).replace('.', ",");
    let by_hand = format!("exit(pid({pid}), kill).");
    ran.says(&["E609", "E604", &fifth, &by_hand]);
    assert_eq!(
        node.eval_text("length(witness:troubled())"),
        "1",
        "only the one that hangs"
    );
    node.eval("exit(whereis(bank_account_5), kill)");
    node.await_true("is_pid(whereis(bank_account_5))");
    is(node, Is::Old, &who(node));
}

#[test]
fn the_node_goes_down_in_the_middle() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::new();
    let plan = Plan::on_disk("{slow, 4000}").on(&desk);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    node.kill();
    running.wait().exits(23).says(&["E608", "lost"]);
}
