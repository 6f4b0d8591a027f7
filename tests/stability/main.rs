//! What is stable (`docs/stability.md`): files that earlier versions have written are read by this one, and nothing that was
//! promised vanishes.
//!
//! `tests/stability/VERSION` has what that version wrote. `UPDO_BLESS=1 cargo test --test stability` writes the folder of the
//! version that is built, and no other.

mod record;
mod schema;
#[path = "../support/mod.rs"]
mod support;
mod words;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use record::{NODE, Place};
use support::desk::{Desk, Ran, walk};
use support::events::is_valid;

fn blessing() -> bool {
    std::env::var_os("UPDO_BLESS").is_some()
}

/// Where the files of this version are.
fn own() -> PathBuf {
    let version = env!("CARGO_PKG_VERSION");
    let (minor, _) = version.rsplit_once('.').expect("MAJOR.MINOR.PATCH");
    versions_folder().join(minor)
}

fn versions_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stability")
}

/// The folders of all versions, the oldest first.
fn versions() -> Vec<PathBuf> {
    record::bless();
    let entries = fs::read_dir(versions_folder()).expect("a folder");
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    all.sort();
    assert!(all.iter().any(|path| path.ends_with("0.1")), "{all:?}");
    all
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// A desk with the state folder that a version has left.
fn desk(version: &Path) -> Desk {
    let desk = Desk::rehearsing();
    let state = version.join("state");
    let mut files = Vec::new();
    walk(&state, &mut files);
    for file in files {
        let to = desk
            .path()
            .join("state")
            .join(file.strip_prefix(&state).expect("below"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(&file, &to).expect("copied");
    }
    // Git keeps no rights.
    let state = desk.path().join("state");
    for folder in [&state, &state.join("runs")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("ours");
    }
    desk
}

/// The names of the recorded runs, the newest first.
fn runs(desk: &Desk) -> Vec<Value> {
    let log = desk.updo(&["log", "--json"]).run().exits(0).json();
    log.as_array().expect("a list").clone()
}

#[test]
fn records_are_listed_replayed_and_reported() {
    for version in versions() {
        let desk = desk(&version);
        let recorded: Value = serde_json::from_str(&text(&version.join("log.json"))).expect("JSON");
        let shown = Value::Array(runs(&desk));
        assert_eq!(schema::missing(&recorded, &shown), [""; 0]);
        let all = runs(&desk);
        assert!(all.len() >= 2, "{all:?}");
        desk.updo(&["log"])
            .run()
            .exits(0)
            .prints(&["Steeple", NODE]);
        for run in &all {
            let name = run["run"].as_str().expect("a name");
            assert_eq!(run["node"], NODE);
            desk.updo(&["replay", name])
                .run()
                .exits(0)
                .prints(&["convert", "steeple"]);
            let lines = desk.updo(&["replay", name, "--json"]).run().exits(0).stdout;
            assert!(lines.lines().count() > 12, "{lines}");
            for line in lines.lines() {
                let line = serde_json::from_str(line).expect("JSON");
                assert!(is_valid(&line), "{}: {line}", version.display());
            }
            desk.updo(&["report", name, "-o", "r.html"]).run().exits(0);
            let page = desk.read("r.html");
            assert!(page.contains("convert steeple"), "{name}");
        }
        // A stream in a file of its own, and what was printed.
        let events = version.join("events.jsonl").display().to_string();
        desk.updo(&["replay", &events])
            .run()
            .exits(0)
            .prints(&["convert", "steeple"]);
        for line in text(&version.join("events.jsonl")).lines() {
            let line = serde_json::from_str(line).expect("JSON");
            assert!(is_valid(&line), "{}: {line}", version.display());
        }
    }
}

/// A run of this updo, of what a version has recorded; `None` where the node is of another OTP release: it gives the same
/// beams another MD5.
fn at_the_place(version: &Path, run: impl Fn(&Place, &Desk)) {
    let place = Place::new(version);
    let otp = text(&version.join("otp"));
    let release = support::TestNode::shared().eval_text("erlang:system_info(otp_release)");
    if release.trim_matches('"') != otp.trim() {
        println!(
            "{}: recorded on OTP {otp}, this is {release}",
            version.display()
        );
        return;
    }
    run(&place, &desk(version));
}

#[test]
fn a_saved_script_is_run_and_the_run_rolled_back() {
    for version in versions() {
        at_the_place(&version, |place, desk| {
            let bell = place.node("one");
            let script = version.join("saved.script").display().to_string();
            let ran: Ran = bell.updo(desk, &["run", &script, "--yes"]).run();
            // Other steps than it shows are never taken: then it says so, and nothing has happened.
            match ran.code {
                Some(0) => assert_eq!(bell.state(), "{steeple,3,deep}"),
                _ => drop(ran.exits(12).says(&["E602"])),
            }
        });
    }
}

#[test]
fn a_recorded_run_is_rolled_back() {
    for version in versions() {
        at_the_place(&version, |place, desk| {
            let bell = place.node("two");
            assert_eq!(bell.state(), "{steeple,3,deep}");
            let all = runs(desk);
            let run = all
                .iter()
                .find(|run| run["state"] == "new" && run["goal"] != "old");
            let run = run.expect("a run that can be rolled back")["run"]
                .as_str()
                .expect("a name");
            bell.updo(desk, &["rollback", run, "--yes"]).run().exits(0);
            assert_eq!(bell.state(), "{steeple,3}");
            assert_eq!(bell.node.eval_text("steeple:ring()"), "{rung,4}");
        });
    }
}

#[test]
fn a_journal_of_an_interrupted_run_is_carried_out() {
    for version in versions() {
        at_the_place(&version, |place, desk| {
            let bell = place.node("one");
            let ebin = place.folder.join("one");
            let stage = ebin.join(".updo-0a1b");
            fs::create_dir_all(&stage).expect("a folder");
            fs::copy(
                place.folder.join("two/steeple.beam"),
                stage.join("steeple.beam"),
            )
            .expect("copied");
            let journal =
                text(&version.join("journal")).replace("EBIN", &ebin.display().to_string());
            fs::write(stage.join("journal"), journal).expect("written");
            // It has begun: the next run finishes it before it writes anything itself.
            let plan = place.folder.join("disk.updo");
            let content =
                "plan \"Disk\".\ncode push [\"two\"] #{persist => true}.\nold from \"one\".\n";
            fs::write(&plan, content).expect("written");
            let plan = plan.display().to_string();
            bell.updo(desk, &["run", &plan, "-t", NODE, "--yes"])
                .run()
                .exits(0)
                .says(&[".updo-0a1b: will be finished"]);
            let beam = |folder: &str| {
                let file = place.folder.join(folder).join("steeple.beam");
                fs::read(file).expect("readable")
            };
            assert_eq!(beam("one"), beam("two"));
            assert!(!stage.exists());
            assert_eq!(bell.state(), "{steeple,3,deep}");
        });
    }
}

/// Every field of every kind of line that an earlier version has written is written today.
#[test]
fn a_run_of_today_writes_what_earlier_versions_wrote() {
    for version in versions() {
        at_the_place(&version, |place, _| {
            let today = place.recorded();
            let read = |text: &str| -> Vec<Value> {
                let lines = text.lines().map(serde_json::from_str);
                lines.collect::<Result<_, _>>().expect("JSON")
            };
            let (then, now) = (
                read(&text(&version.join("events.jsonl"))),
                read(&today.events),
            );
            assert_eq!(schema::missing_events(&then, &now), [""; 0]);
            for (name, now) in &today.documents {
                let then: Value = serde_json::from_str(&text(&version.join(name))).expect("JSON");
                let now: Value = serde_json::from_str(now).expect("JSON");
                assert_eq!(schema::missing(&then, &now), [""; 0], "{name}");
            }
        });
    }
}
