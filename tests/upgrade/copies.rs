//! Copies of the running beams are kept by every command that compares a node, without being asked: as soon as one has
//! looked while disk and node agree, there is a way back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::rehearsal::till;
use crate::support::TestNode;
use crate::support::desk::{Desk, walk};

const SAME: &str = "code_change(_, S, _) -> {ok, S}.";

/// Fails for one of them behind the switch, so that only copies lead back.
const LATE: &str = "code_change(_, {till, N}, _) when N =/= 4 -> {ok, {till, N, 0}};\ncode_change(_, {till, _}, _) -> error(torn).";

fn start(node: &TestNode) {
    node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
}

fn copies(desk: &Desk) -> BTreeSet<PathBuf> {
    let folder = desk.path().join("state/beams");
    let mut files = Vec::new();
    if folder.is_dir() {
        walk(&folder, &mut files);
    }
    files.into_iter().collect()
}

/// A command that looks while disk and node agree; then the files are replaced, and a run that fails goes back.
fn leads_back(command: &dyn Fn(&Desk, &TestNode, &str)) {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("ebin");
    let node = node_with(&compiled(&place, &[till(1, SAME)]));
    start(&node);
    let desk = Desk::converting_after_the_switch();
    let name = node.name().to_owned();
    desk.write("shop.updo", "plan \"Shop\".\ncode on_disk.\n");
    assert!(copies(&desk).is_empty());
    command(&desk, &node, &name);
    assert_eq!(copies(&desk).len(), 2, "the modules that are not OTP's");
    compiled(&place, &[till(2, LATE)]);
    let run = desk.on(&node, &["run", "shop.updo", "--yes"]).run();
    run.exits(20).says(&["E604", "torn"]);
    assert_eq!(
        node.eval_text("hd(proplists:get_value(vsn, till:module_info(attributes)))"),
        "49"
    );
}

/// A command with the name of the node behind it.
fn keeps_copies(command: &[&str]) {
    leads_back(&|desk, node, name| {
        desk.on(node, &[command, &[name]].concat()).run().exits(0);
    });
}

#[test]
fn a_preview_keeps_copies() {
    keeps_copies(&["preview"]);
}

#[test]
fn a_status_keeps_copies() {
    keeps_copies(&["status"]);
}

#[test]
fn a_check_of_a_target_keeps_copies() {
    keeps_copies(&["check", "shop.updo", "-t"]);
}

#[test]
fn a_first_plan_keeps_copies() {
    keeps_copies(&["new"]);
}

#[test]
fn the_doctor_keeps_copies_and_says_so() {
    leads_back(&|desk, node, name| {
        let doctor = || desk.on(node, &["doctor", name]).run().exits(0);
        doctor().prints(&["copies  ✓  2 of 2 running beams kept"]);
        doctor().prints(&["copies  ✓  2 of 2 running beams kept"]);
    });
}

#[test]
fn a_run_with_nothing_to_do_keeps_copies() {
    leads_back(&|desk, node, name| {
        let run = desk.on(node, &["run", name, "--yes"]).run();
        run.exits(0).says(&["nothing to do"]);
    });
}

/// What is kept is not written again, and what a run has loaded is kept when it is over.
#[test]
fn each_version_is_kept_once() {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("ebin");
    let node = node_with(&compiled(&place, &[till(1, SAME)]));
    start(&node);
    let desk = Desk::new();
    let name = node.name().to_owned();
    let inode = |path: &Path| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(path).expect("a copy").ino()
    };
    let look = || desk.on(&node, &["preview", &name]).run().exits(0);
    look();
    let first = copies(&desk);
    let inodes: Vec<u64> = first.iter().map(|path| inode(path)).collect();
    look();
    assert_eq!(copies(&desk), first);
    assert_eq!(
        first.iter().map(|path| inode(path)).collect::<Vec<_>>(),
        inodes
    );
    // Disk and node do not agree: what lies there is not taken for what runs.
    let right = "code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
    compiled(&place, &[till(2, right)]);
    look();
    assert_eq!(copies(&desk), first);
    desk.on(&node, &["run", &name, "--yes"]).run().exits(0);
    assert_eq!(copies(&desk).len(), 3, "the former and the running version");
}

#[test]
fn a_status_that_can_keep_nothing_says_why_and_fails() {
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("ebin");
    let node = node_with(&compiled(&place, &[till(1, SAME)]));
    start(&node);
    let desk = Desk::new();
    let name = node.name().to_owned();
    let save = || desk.on(&node, &["status", &name, "--save"]).run();
    let file = place.join("ebin/till.beam");
    let bytes = std::fs::read(&file).expect("a beam");
    compiled(&place, &[till(2, SAME)]);
    // What agrees is kept.
    desk.on(&node, &["preview", &name]).run().exits(0);
    save().exits(1).prints(&["kept 0 of 1 beam"]).says(&[
        "W322",
        "`till`: its file has another version",
        "till.beam",
    ]);
    std::fs::remove_file(&file).expect("it is there");
    save()
        .exits(1)
        .says(&["W322", "`till`: its file does not exist"]);
    let doctor = desk.on(&node, &["doctor", &name]).run().exits(0);
    doctor.prints(&[
        "copies  ✓  1 of 2 running beams kept",
        "till: its file does not exist",
    ]);
    std::fs::write(&file, bytes).expect("it can be written");
    save()
        .exits(0)
        .prints(&["kept 1 of 1 beam, 1 more were kept before"]);
    save()
        .exits(0)
        .prints(&["kept 0 of 0 beams, 2 more were kept before"]);
}
