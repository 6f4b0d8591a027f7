//! Undoing a recorded run.

use crate::bank::{Is, Plan, is, nothing_left, pids_of, replaced};
use crate::support::desk::Desk;

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

    // Nobody can be asked: nothing happens.
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

/// A run that nobody can find again says so before it begins, and leaves no half record.
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
