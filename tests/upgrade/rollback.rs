//! Undoing a recorded run.

use tempfile::TempDir;

use crate::bank::{Is, Plan, is, nothing_left, pids_of, replaced};
use crate::corners::{compiled, node_with};
use crate::rehearsal::till;
use crate::support::desk::{Desk, UPDO};
use crate::support::terminal::Terminal;

/// What is done is shown first, as a run shows it: steps, processes, and who still calls what goes.
#[test]
fn what_goes_and_is_still_called_is_said_before_the_question() {
    let folder = TempDir::new().expect("a folder");
    let same = "code_change(_, S, _) -> {ok, S}.";
    let node = node_with(&compiled(&folder.path().join("old"), &[till(1, same)]));
    node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
    let (desk, name) = (Desk::new(), node.name().to_owned());
    let right = "code_change({down, _}, {till, N, _}, _) -> {ok, {till, N}};\n\
                 code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
    let fee = "-module(fee).\n-export([rate/0]).\nrate() -> 3.\n";
    let fee = ("fee".to_owned(), fee.to_owned());
    compiled(&desk.path().join("new"), &[till(2, right), fee]);
    let run = ["run", &name, "--push", "new/ebin", "--yes"];
    desk.on(&node, &run).run().exits(0);
    // Loaded since, beside updo: it uses what came with the run.
    let clerk = "-module(clerk).\n-export([bill/0]).\nbill() -> fee:rate().\n";
    let later = compiled(
        &folder.path().join("later"),
        &[("clerk".to_owned(), clerk.to_owned())],
    );
    node.eval(&format!(
        "true = code:add_patha({:?}), {{module, clerk}} = code:load_file(clerk)",
        later.display().to_string()
    ));
    let shown = [
        "rollback of run ",
        "2 modules on ",
        "suspend   till: 5 processes",
        "convert   till with {down, Vsn}",
        "load      till",
        "delete    fee",
        "`fee` goes, it came with run ",
        "clerk calls fee:rate/0",
        "2 modules switched back, 5 processes suspended.",
    ];
    let state = "sys:get_state(hd(persistent_term:get(tills)))";

    // On a terminal it is asked, and only `yes` goes back.
    let mut command = desk.command(UPDO);
    command
        .args(["rollback", "--width", "200"])
        .env("UPDO_EPMD_PORT", node.epmd_port().to_string());
    let mut terminal = Terminal::watch(command, "dumb");
    terminal.await_text("Type yes");
    terminal.keys("n\r");
    terminal.await_text("nothing was changed");
    assert!(terminal.end().ends_with(", 14)"), "{}", terminal.text());
    assert_eq!(node.eval_text(state), "{till,1,0}");

    let refused = desk.on(&node, &["rollback"]).run().exits(2);
    refused.says(&shown[..8]).says(&["--yes"]);
    assert_eq!(node.eval_text(state), "{till,1,0}");
    desk.on(&node, &["rollback", "--yes"])
        .run()
        .exits(0)
        .says(&shown);
    assert_eq!(node.eval_text(state), "{till,1}");
}

#[test]
fn a_run_is_undone_and_only_while_it_is_the_last() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    desk.on(node, &["rollback", "--yes"])
        .run()
        .exits(2)
        .says(&["there is no run that could be rolled back"]);

    let plan = Plan::on_disk("fine").on(&desk);
    let ran = desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    is(node, Is::New, &pids);
    let name = ran.name();

    // It is recorded, for people and for machines.
    desk.on(node, &["log"])
        .run()
        .exits(0)
        .prints(&[&name, "new", "Bank 2"]);
    let log = desk.on(node, &["--json", "log"]).run().exits(0).json();
    assert_eq!(log[0]["run"], name.as_str());
    assert_eq!(log[0]["state"], "new");

    // stdin is no terminal: nothing happens.
    desk.on(node, &["rollback", &name])
        .run()
        .exits(2)
        .says(&["--yes"]);
    is(node, Is::New, &pids);

    desk.on(node, &["rollback", &name, "--yes"])
        .run()
        .exits(0)
        .says(&["convert", "it is as before"]);
    is(node, Is::Old, &pids);
    nothing_left(node);

    // The node is no longer what that run left.
    let again = desk.on(node, &["rollback", &name, "--yes"]).run().exits(12);
    again.says(&["E602", "bank_account: left as"]);
    is(node, Is::Old, &pids);

    // A name that leads elsewhere is no run.
    desk.on(node, &["rollback", "../../etc", "--yes"])
        .run()
        .exits(2);
}

#[test]
fn a_run_without_rollback_reports_it() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    // The former version is nowhere to be found, and the plan gives the way back up.
    let text = "plan \"Bank 2\".\ncode on_disk.\nrollback never.\n";
    let plan = desk.write("one_way.updo", text).display().to_string();
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    desk.on(node, &["rollback", "--yes"])
        .run()
        .exits(11)
        .says(&["E317", "cannot be rolled back"]);
    assert_eq!(pids_of(node), pids);
}

/// A run whose record cannot be written says so before it begins, and leaves no half record.
#[test]
fn a_run_that_cannot_be_recorded_reports_it() {
    let bank = replaced();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    desk.write("file", "not a folder");
    let nowhere = desk.path().join("file/state");
    let plan = Plan::on_disk("fine").on(&desk);
    let ran = desk
        .on(node, &["run", &plan, "--yes"])
        .env("UPDO_STATE_DIR", &nowhere.display().to_string())
        .run()
        .exits(0);
    let ran = ran.says(&["W615", "is not recorded", "file/state", "updo rollback"]);
    let (reported, begun) = (ran.stderr.find("W615"), ran.stderr.find("prepare"));
    assert!(reported < begun, "{}", ran.stderr);
    is(node, Is::New, &pids);
    nothing_left(node);
}
