//! Conversions that fail or hang: the node goes back to what it was, and updo reports which process failed and why.

use std::time::{Duration, Instant};

use crate::bank::{Is, Plan, await_standing, is, pids_of, replaced};
use crate::support::TestNode;
use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, Ran};

#[test]
fn every_way_to_fail() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let fifth = node.eval_text("whereis(bank_account_5)");
    let pid = fifth.trim_matches(['<', '>']).replace('.', ",");
    let state = format!("sys:get_state(c:pid({pid}))");
    let error = "error:cannot_convert in bank_account:convert/3 (bank_account.erl, line 58)";
    for (how, reason) in [
        ("error", error),
        ("throw", "note: cannot_convert"),
        ("exit", "exit:cannot_convert"),
        ("bad_return", "{cannot_convert,"),
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
            "extra {fail,5,",
            &format!("updo eval NODE '{state}'"),
            "is as before",
            "undo ok",
        ]);
        assert!(
            ran.stderr.contains("this conversion"),
            "the plan's line is shown: {ran}"
        );
        let events = desk.read("events.jsonl");
        assert!(events.contains("\"code\":\"E604\""));
        // The last line says what the exit code says.
        let last = events.lines().last().expect("a line");
        let last: serde_json::Value = serde_json::from_str(last).expect("JSON");
        assert_eq!(
            (&last["type"], &last["exit"]),
            (&"run.finished".into(), &20.into())
        );
        is(node, Is::Old, &pids);
        // What the help says is true.
        let eval = desk.on(node, &["eval", node.name(), &state]).run();
        eval.exits(0).prints(&["{account,5,500}"]);
    }
    // All fail: one is named, the others are not forgotten.
    let all = Plan::on_disk("surprise")
        .with("verify \"rates\" -> 2 = bank_rate:rate().")
        .on(&desk);
    desk.on(node, &["run", &all, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
}

/// A conversion that ends its process is found on a copy.
#[test]
fn a_process_that_would_die_in_conversion_lives() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::new();
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{fail, 5, die}").on(&desk);
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(20);
    ran.says(&["E604", "it ends its process", "nothing was changed"]);
    assert_eq!(fifth, node.eval_text("whereis(bank_account_5)"));
}

#[test]
fn failing_when_pushed() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
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

/// A run that ends in so many seconds.
fn runs_within(seconds: u64, desk: &Desk, node: &TestNode, plan: &str) -> Ran {
    let began = Instant::now();
    let ran = desk.on(node, &["run", plan, "--yes"]).run();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(seconds), "{took:?}");
    ran
}

#[test]
fn one_that_takes_too_long() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{slow, 5, 2500}")
        .account("timeout => 1s")
        .on(&desk);
    let ran = runs_within(12, &desk, node, &plan).exits(20);
    ran.says(&[
        "E604",
        &fifth,
        "it takes longer than 1000 ms",
        "nothing was changed",
    ]);
    is(node, Is::Old, &pids);
}

/// It is computed before the switch, and tried on a copy: its process is not lost.
#[test]
fn one_that_never_returns() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{slow, 5, infinity}")
        .account("timeout => 1s")
        .on(&desk);
    let ran = runs_within(15, &desk, node, &plan).exits(20);
    ran.says(&[
        "E604",
        &fifth,
        "it takes longer than 1000 ms",
        "nothing was changed",
    ]);
    is(node, Is::Old, &pids);
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

/// The network is cut, the node lives: the run continues on the node.
#[test]
fn the_connection_is_cut_in_the_middle() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("{slow, 1000}").on(&desk);
    let running = desk.on(node, &["run", &plan, "--yes"]).start();
    await_standing(node);
    let mine = node.session().local_name().to_owned();
    node.eval(&format!(
        "[erlang:disconnect_node(N) || N <- nodes(hidden), N =/= '{mine}']"
    ));
    running
        .wait()
        .exits(23)
        .says(&["E608", "the run continues on the node"]);
    node.await_true("witness:lock() =:= kept");
    node.eval("updo_run ! updo_settle");
    is(node, Is::New, &pids);
}

/// A beam that cannot be used is found before anything is touched.
#[test]
fn beams_that_cannot_be_used() {
    let deployed = Deployed::bank();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let whole = std::fs::read(bank().two.join("bank_account.beam")).expect("it is there");
    let folder = desk.path().join("ebin");
    std::fs::create_dir(&folder).expect("a folder");
    let pushed = |name: &str, bytes: &[u8]| {
        for old in std::fs::read_dir(&folder).expect("it is there") {
            std::fs::remove_file(old.expect("an entry").path()).expect("it can be removed");
        }
        std::fs::write(folder.join(name), bytes).expect("a beam can be written");
        let plan = Plan::push(&folder, &bank().one, "fine").on(&desk);
        desk.on(node, &["run", &plan, "--yes"]).run()
    };
    pushed("bank_account.beam", &whole[..whole.len() / 2])
        .exits(1)
        .says(&["E214", "bank_account.beam"]);
    pushed("bank_account.beam", b"not a beam at all")
        .exits(1)
        .says(&["E214", "bank_account.beam"]);
    pushed("bank_rate.beam", &whole)
        .exits(1)
        .says(&["E214", "bank_rate.beam"]);
    is(node, Is::Old, &pids);
}

/// A process that ends in `code_change` is not counted as converted, and is reported.
#[test]
fn a_process_that_dies_in_a_conversion_after_the_switch_is_reported() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::converting_after_the_switch();
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{fail, 5, die}").on(&desk);
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    ran.says(&["W616", "1 of the processes to convert died"]);
    assert_ne!(fifth, node.eval_text("whereis(bank_account_5)"));
}

/// A process that stays in `code_change` cannot be helped: all others are old and run, updo names the process and what
/// to type, and after that the node is old.
#[test]
fn one_that_never_returns_after_the_switch() {
    let bank = replaced();
    let node = &bank.node;
    let desk = Desk::converting_after_the_switch();
    let fifth = node.eval_text("whereis(bank_account_5)");
    let plan = Plan::on_disk("{slow, 5, infinity}")
        .account("timeout => 1s")
        .on(&desk);
    let ran = runs_within(15, &desk, node, &plan).exits(21);
    let pid = fifth.trim_matches(['<', '>']).replace('.', ",");
    let by_hand = format!("exit(c:pid({pid}), kill).");
    let ran = ran.says(&["E609", "E604", &fifth, &by_hand, "not complete"]);
    // It is still inside code_change: nothing may claim the contrary.
    for claim in ["all processes resumed", "were put back"] {
        assert!(!ran.stderr.contains(claim), "{}", ran.stderr);
    }
    assert_eq!(
        node.eval_text("length(witness:troubled())"),
        "1",
        "only the one that hangs"
    );
    node.eval("exit(whereis(bank_account_5), kill)");
    node.await_true("is_pid(whereis(bank_account_5))");
    is(node, Is::Old, &pids_of(node));
}
