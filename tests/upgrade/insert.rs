//! Raw instructions and hooks at steps: carried out where the plan puts them; and whatever fails in one, the node ends
//! old with all processes running.

use crate::support::apps::mill;
use crate::support::desk::Desk;
use crate::windows::{Is, is, pids_of, plan, replaced, steps};

/// The plan of the documentation, with another place for version 1.
fn documented() -> String {
    let text = include_str!("../../plans/insert.updo");
    let kept = text.replace("\"../mill-1/ebin\"", &format!("{:?}", mill().one));
    assert_ne!(text, kept, "the plan keeps version 1");
    kept
}

#[test]
fn the_documented_plan() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    desk.write("mill.updo", &documented());
    desk.on(node, &["preview", "mill.updo"])
        .run()
        .exits(0)
        .prints(&[
            "insert   {suspend,[mill_sup]}  because \"a front that dies now would be started half new\"",
            "hook     before load mill_stone",
            "mill.updo:15",
        ]);
    // Hooks are none of OTP's instructions; OTP's check has nothing to say against the rest.
    let low = desk
        .on(node, &["preview", "mill.updo", "--low"])
        .run()
        .exits(0);
    let file = desk.write("low", &low.stdout).display().to_string();
    let folder = deployed.ebin.parent().expect("ebin lies in a folder");
    let check = format!(
        "{{ok, [Script]}} = file:consult({file:?}), release_handler_1:check_script(Script, [{{mill, \"2.0.0\", {folder:?}}}])"
    );
    assert_eq!(node.eval_text(&check), "{ok,[]}");
    node.eval("application:unset_env(mill, shut)"); // OTP's check calls what is at the start

    let ran = desk
        .on(
            node,
            &["run", "mill.updo", "--yes", "--events", "events.jsonl"],
        )
        .run()
        .exits(0);
    ran.says(&[
        "application:set_env/3",
        "hook",
        "before load mill_stone",
        "the stone is worn by 100",
        "3 processes suspended",
    ]);
    let taken = steps(&desk).join(" ");
    assert_eq!(
        taken,
        "prepare apply load suspend hook load convert resume suspend suspend compute load convert hook resume apply"
    );
    assert_eq!(
        node.eval_text("application:get_env(mill, shut)"),
        "undefined"
    );
    is(node, Is::New, 2, &pids);
    desk.on(node, &["rollback", "--yes"]).run().exits(0);
    is(node, Is::Old, 3, &pids);
}

/// A call that raises, and a hook that does not hold, at every place of one window and of two.
#[test]
fn any_fault_at_any_point() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let mut sacks = 2;
    for window in ["single", "minimal"] {
        for place in [
            "before suspend mill_front",
            "after suspend mill_front",
            "before load mill_front",
            "after load mill_front",
            "after code_change mill_front",
            "before resume mill_front",
            "after mill_stone",
            "after mill_front",
        ] {
            if window == "minimal" && (place.contains("load") || place.contains("resume")) {
                continue; // the same as in one window
            }
            let call = format!("insert {{apply, {{erlang, error, [on_purpose]}}}} {place}.");
            let hook = format!("{place} -> {{on_purpose, _}} = mill_rate:rate().");
            for (more, code) in [(call, "E703"), (hook, "E701")] {
                let plan = plan(&desk, window, "fine", "fine", &more);
                // In one window nothing has been switched yet; of two, the first is over.
                let early = window == "single"
                    && (place.contains("suspend") || place == "before load mill_front");
                let ran = desk.on(node, &["run", &plan, "--yes"]).run();
                let ran = ran.exits(if early { 14 } else { 20 });
                // What a hook did behind the switch is not undone by going back.
                let words = match code == "E701" && !early {
                    true => "old code and states are back",
                    false => "is as before",
                };
                let ran = ran.says(&[code, "on_purpose", words]);
                assert!(!ran.stderr.contains("E609"), "{window} {more}: {ran}");
                is(node, Is::Old, sacks, &pids);
                sacks += 1;
            }
        }
    }
    let failing = "insert {apply, {erlang, error, [on_purpose]}} at start.";
    let plan = plan(&desk, "single", "fine", "fine", failing);
    desk.on(node, &["run", &plan, "--yes"]).run().exits(14);
    is(node, Is::Old, sacks, &pids);
}

/// No client is there any more to evaluate the hook: the node goes back by itself.
#[test]
fn the_client_is_killed_in_a_hook() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let waiting =
        "after load mill_front -> timer:sleep(3000), application:set_env(mill, hooked, true).";
    let plan = plan(&desk, "single", "fine", "fine", waiting);
    let mut running = desk.on(node, &["run", &plan, "--yes"]).start();
    node.await_true("erlang:module_loaded(mill_toll)");
    running.kill();
    node.await_true("witness:lock() =/= running");
    // The node keeps how it ended until a client asks.
    let log = desk.updo(&["log"]).run().exits(0);
    let run = log
        .stdout
        .split_whitespace()
        .next()
        .expect("a recorded run");
    desk.on(node, &["attach", run]).run().exits(20).says(&[
        "E608",
        "old code and states are back",
        "what the hook `after load mill_front` did",
    ]);
    is(node, Is::Old, 2, &pids);
}

#[test]
fn what_breaks_the_laws_is_refused() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    for (more, code, words) in [
        (
            "insert {suspend, [mill_sup]} before load mill_front.",
            "E402",
            "never resumed",
        ),
        (
            "insert {resume, [mill_sup]} before load mill_front.",
            "E402",
            "not suspended",
        ),
        (
            "insert {code_change, [{mill_sup, []}]} after load mill_front.",
            "E402",
            "not suspended",
        ),
        (
            "insert {suspend, [mill_sup]} at start.",
            "E404",
            "before the point of no return",
        ),
        ("insert point_of_no_return at end.", "E401", "this has 2"),
        (
            "insert {load, {mill_rate, soft_purge, soft_purge}} at end.",
            "E401",
            "twice",
        ),
        (
            "insert {load, {mill_sup, soft_purge, soft_purge}} at end.",
            "E403",
            "does not change",
        ),
        (
            "insert {load_module, mill_rate} at end.",
            "E401",
            "takes part already",
        ),
        (
            "insert {apply, {a, b, []}} before load mill_sup.",
            "E403",
            "before load mill_sup",
        ),
        (
            "insert {stop, [mill_front]} at end.",
            "E401",
            "does not carry out",
        ),
        (
            "insert {start, [mill_front]} at end.",
            "E401",
            "does not carry out `start`",
        ),
        (
            "insert restart_emulator at end.",
            "E401",
            "does not carry out `restart_emulator`",
        ),
        (
            "insert restart_new_emulator at end.",
            "E401",
            "does not carry out `restart_new_emulator`",
        ),
        (
            "insert {sync_nodes, mill, [other@host]} at end.",
            "E401",
            "does not carry out `sync_nodes`",
        ),
        (
            "insert {aply, {a, b, []}} at end.",
            "E401",
            "Bad instruction",
        ),
        (
            "insert {apply, {a, b, c}} at end.",
            "E401",
            "Bad argument list: c",
        ),
        (
            "before code_change mill_rate -> ok.",
            "E403",
            "before code_change mill_rate",
        ),
    ] {
        let plan = plan(&desk, "single", "fine", "fine", more);
        for command in [&["preview", &plan][..], &["run", &plan, "--yes"]] {
            let ran = desk.on(node, command).run().exits(1);
            ran.says(&[code, words, "mill.updo"]);
        }
    }
    // Without a node what is no instruction is found already.
    let plan = plan(
        &desk,
        "single",
        "fine",
        "fine",
        "insert {apply, {a, b, c}} at end.",
    );
    desk.updo(&["check", &plan]).run().exits(1).says(&["E401"]);
    is(node, Is::Old, 2, &pids);
}

/// What an included file says about steps that are not there is only reported.
#[test]
fn a_policy_may_be_wider_than_needed() {
    let deployed = replaced();
    let node = &deployed.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    desk.write(
        "policy.updo",
        "insert {apply, {mill_sup, no_such_function, []}} after load mill_sup because \"policy\".\n",
    );
    let plan = plan(&desk, "single", "fine", "fine", "include \"policy.updo\".");
    desk.on(node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .says(&["W403", "after load mill_sup"]);
    is(node, Is::New, 2, &pids);
}
