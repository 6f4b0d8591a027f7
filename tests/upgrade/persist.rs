//! `persist`: after success the beams are on the node's disk, and a restart keeps the upgrade. Whatever goes wrong, no
//! file is ever half.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use updo::facts::beam::BeamFacts;

use crate::bank::{Is, Plan, is, look, nothing_left, pids_of};
use crate::support::apps::{Deployed, bank, witness};
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

/// A plan that pushes version 2 and writes it.
fn plan(more: &str) -> Plan {
    let mut plan = Plan::up("fine").with(more);
    plan.code = plan.code.replacen("].", "] #{persist => true}.", 1);
    assert!(plan.code.contains("persist"), "{}", plan.code);
    plan
}

/// The files of a folder, by the MD5 of the module in it.
fn beams(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.extension().is_none_or(|e| e != "app"))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            let bytes = fs::read(&path).unwrap_or_default();
            let md5 = BeamFacts::read(&bytes).map_or("no beam".to_owned(), |b| b.md5.to_string());
            (name.into_owned(), md5)
        })
        .collect()
}

/// Another node that starts from the same files.
fn restarted(ebin: &Path) -> TestNode {
    let node = Options::default().path(ebin).path(witness()).start();
    node.eval("{ok, _} = application:ensure_all_started(bank)");
    node
}

#[test]
fn a_restart_keeps_the_upgrade() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let path = plan("verify \"two\" -> 2 = bank_rate:rate().").on(&desk);
    let ebin = bank_1.ebin.display().to_string();
    desk.on(node, &["preview", &path])
        .run()
        .exits(0)
        .prints(&[&format!("persist  in {ebin}")]);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().one));
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    let run = ran.name();
    ran.says(&["persist", "3 beams written"]);
    is(node, Is::New, &pids);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().two));
    let app = |folder: &Path| fs::read_to_string(folder.join("bank.app")).expect("it is there");
    let text = app(&bank_1.ebin);
    assert!(text.contains("bank_rate,bank_fee]},"), "{text}");
    assert_eq!(look(&restarted(&bank_1.ebin)), Is::New);

    // Undone, on the disk as well.
    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
    is(node, Is::Old, &pids);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().one));
    assert_eq!(app(&bank_1.ebin), app(&bank().one));
    assert_eq!(look(&restarted(&bank_1.ebin)), Is::Old);
}

#[test]
fn only_after_success() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let path = plan("verify \"no\" -> 3 = bank_rate:rate().").on(&desk);
    desk.on(node, &["run", &path, "--yes"]).run().exits(20);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().one));
    is(node, Is::Old, &pids);

    // Left alone with something to verify: it has not been verified.
    desk.on(node, &["run", &path, "--yes", "--detach"])
        .run()
        .exits(23);
    node.await_true("witness:lock() =:= kept");
    assert_eq!(look(node), Is::New);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().one));
    node.eval("updo_run ! updo_settle");
    node.await_true("witness:lock() =:= free");
    let path = Plan::back("fine").on(&desk);
    desk.on(node, &["run", &path, "--yes"]).run().exits(0);

    node.eval("code:delete(bank_fee), code:purge(bank_fee)");

    // With nothing to verify there is nothing to wait for.
    let path = plan("").on(&desk);
    desk.on(node, &["run", &path, "--yes", "--detach"])
        .run()
        .exits(23);
    node.await_true("witness:lock() =:= kept");
    assert_eq!(beams(&bank_1.ebin), beams(&bank().two));
    node.eval("updo_run ! updo_settle");
    node.await_true("witness:lock() =:= free");
    nothing_left(node);
}

#[test]
fn where_nothing_can_be_written() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let path = plan("").on(&desk);
    // One of the files cannot be replaced: those before it get their content back.
    let rate = bank_1.ebin.join("bank_rate.beam");
    fs::remove_file(&rate).expect("it can be removed");
    fs::create_dir(&rate).expect("a folder in its place");
    fs::write(rate.join("x"), "x").expect("not empty");
    let before = beams(&bank_1.ebin);
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(21)
        .says(&["E614", "bank_rate.beam"]);
    is(node, Is::New, &pids);
    assert_eq!(beams(&bank_1.ebin), before);

    // No such folder: found before anything is touched.
    let back = Plan::back("fine").on(&desk);
    desk.on(node, &["run", &back, "--yes"]).run().exits(0);
    fs::remove_dir_all(&bank_1.ebin).expect("it can be removed");
    let path = plan("").on(&desk);
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(14)
        .says(&["E614", "enoent", "is as before"]);
    assert_eq!(look(node), Is::Old);
    nothing_left(node);
}

/// The node goes down at the first, second, … thing that is done to its disk. Each file is old or new, and the next
/// run puts everything right.
#[test]
fn the_node_dies_between_two_writes() {
    let (one, two) = (beams(&bank().one), beams(&bank().two));
    let mut seen = BTreeMap::new();
    // Those before only try whether there is room.
    for number in 4..=15 {
        let bank_1 = Deployed::bank();
        let node = &bank_1.node;
        let desk = Desk::new();
        let path = plan("").on(&desk);
        node.eval(&format!("witness:halt_at_write({number})"));
        let ran = desk.on(node, &["run", &path, "--yes"]).run();
        assert!(matches!(ran.code, Some(0 | 23)), "{number}: {ran}");
        node.kill();
        let there = beams(&bank_1.ebin);
        let (mut old, mut new) = (0, 0);
        for (name, bytes) in there.iter().filter(|(name, _)| name.ends_with(".beam")) {
            match (one.get(name) == Some(bytes), two.get(name) == Some(bytes)) {
                (true, true) => {}
                (true, false) => old += 1,
                (false, true) => new += 1,
                (false, false) => panic!("{number}: {name} is neither old nor new"),
            }
        }
        *seen.entry((old, new)).or_insert(0) += 1;
        // The node comes back with what is there, and the upgrade is made again.
        let again = restarted(&bank_1.ebin);
        desk.on(&again, &["run", &path, "--yes"]).run().exits(0);
        assert_eq!(look(&again), Is::New);
        let end: BTreeMap<_, _> = beams(&bank_1.ebin)
            .into_iter()
            .filter(|(name, _)| name.ends_with(".beam"))
            .collect();
        assert_eq!(end, two, "{number}");
    }
    println!("files old and new after a crash at each of 12 writes: {seen:?}");
    assert!(
        seen.contains_key(&(2, 0)),
        "never before the first rename: {seen:?}"
    );
    assert!(
        seen.contains_key(&(0, 3)),
        "never behind the last: {seen:?}"
    );
}

/// What runs already and is not on the disk is reported, and written by a run that has nothing else to do. It is no run
/// to undo: the one before stays the last.
#[test]
fn what_the_disk_lacks_is_written_later() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let unsaved = Plan::up("fine").on(&desk);
    desk.on(node, &["run", &unsaved, "--yes"]).run().exits(0);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().one));
    // Without `persist` it was not asked for.
    let ran = desk.on(node, &["run", &unsaved, "--yes"]).run().exits(0);
    assert!(!ran.stderr.contains("W344"), "{ran}");
    let path = plan("").on(&desk);
    for command in [&["preview", &path][..], &["status", &path]] {
        let ran = desk.on(node, command).run().exits(0);
        ran.says(&[
            "W344",
            "a restart would lose it",
            "bank_rate.beam",
            "bank_fee.beam",
        ]);
    }
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(0)
        .says(&["3 beams written"]);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().two));
    is(node, Is::New, &pids);
    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert!(!ran.stderr.contains("W344"), "{ran}");
    ran.says(&["nothing to do"]);
    desk.on(node, &["rollback", "--yes"]).run().exits(0);
    is(node, Is::Old, &pids);
}

/// A writing that went down between two renames is reported, and finished by a run that has nothing else to do.
#[test]
fn what_a_crash_has_left_is_finished() {
    let bank_1 = Deployed::bank();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let path = plan("").on(&desk);
    desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert_eq!(beams(&bank_1.ebin), beams(&bank().two));
    let left = |old: bool| {
        let file = bank_1.ebin.join("bank_rate.beam");
        let stage = bank_1.ebin.join(".updo-abcd");
        let beside = stage.join("bank_rate.beam");
        fs::create_dir(&stage).expect("a folder");
        if old {
            fs::rename(&file, &beside).expect("renamed");
            fs::copy(bank().one.join("bank_rate.beam"), &file).expect("copied");
        }
        let text = format!("{{updo_persist,[{stage:?}],[],[],[{{{beside:?},{file:?}}}]}}.\n");
        fs::write(stage.join("journal"), text).expect("a journal");
    };
    // Before the first rename there is nothing to finish, and the old file is not what runs; behind the last one there is
    // nothing to do.
    for (old, written) in [(true, "1 beam written"), (false, "0 beams written")] {
        left(old);
        desk.on(node, &["status", &path]).run().exits(0).says(&[
            "W344",
            "interrupted while it wrote",
            ".updo-abcd: ",
        ]);
        desk.on(node, &["run", &path, "--yes"])
            .run()
            .exits(0)
            .says(&[written]);
        assert_eq!(beams(&bank_1.ebin), beams(&bank().two), "{old}");
        let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
        assert!(!ran.stderr.contains("W344"), "{ran}");
    }
    is(node, Is::New, &pids);
    assert_eq!(look(&restarted(&bank_1.ebin)), Is::New);
}
