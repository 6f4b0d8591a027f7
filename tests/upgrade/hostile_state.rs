//! The state folder with other things in place of its files: no command waits for them, ends in a panic or takes what
//! they hold for true.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::rehearsal::Stage;
use crate::support::desk::walk;

/// What is in the place of a file.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Fifo,
    Folder,
    Endless,
    Noise,
    Half,
}

impl Odd {
    fn put(self, path: &Path) {
        let was = fs::read(path).expect("a file can be read");
        fs::remove_file(path).expect("removed");
        match self {
            Self::Fifo => {
                let made = Command::new("mkfifo").arg(path).status();
                assert!(made.expect("mkfifo runs").success());
            }
            Self::Folder => fs::create_dir(path).expect("a folder"),
            Self::Endless => symlink("/dev/zero", path).expect("a link"),
            Self::Noise => fs::write(path, [131, 255, 0, 7, 200]).expect("written"),
            Self::Half => fs::write(path, was.split_at(was.len() / 2).0).expect("written"),
        }
    }
}

/// The kind of a file: its folder and its name without what is a run's, a node's or a beam's own.
fn kind(state: &Path, file: &Path) -> String {
    let inside = file.strip_prefix(state).expect("in the state folder");
    let first = inside.iter().next().unwrap_or_default().display();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match name.rsplit_once('.') {
        Some((stem, end)) if stem.len() >= 16 || stem.contains(".otp") => {
            format!("{first}/*.{end}")
        }
        _ => format!("{first}/{name}"),
    }
}

#[test]
fn other_things_in_place_of_its_files() {
    let stage = Stage::tills(
        "code_change({down, _}, {till, N, _}, _) -> {ok, {till, N}}; code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.",
    );
    stage.run(&[]).exits(0);
    let state = stage.desk.path().join("state");
    let aside = stage.desk.path().join("aside");
    let copy = |from: &Path, to: &Path| {
        let _ = fs::remove_dir_all(to);
        let made = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(made.expect("cp runs").success());
    };
    let mut files = Vec::new();
    walk(&state, &mut files);
    let kinds: BTreeSet<String> = files.iter().map(|file| kind(&state, file)).collect();
    let expected = [
        "agents/*.beam",
        "beams/*.beam",
        "rehearsals/*.figures",
        "runs/back.etf",
        "runs/events.jsonl",
        "runs/meta.json",
        "runs/plan.updo",
        "runs/script.etf",
        "versions/*.etf",
    ];
    for name in expected {
        assert!(kinds.contains(name), "{name} is not in {kinds:?}");
    }
    copy(&state, &aside);
    let plan = stage.plan.display().to_string();
    let run = fs::read_dir(state.join("runs"))
        .expect("runs")
        .next()
        .expect("one")
        .expect("read");
    let run = run.file_name().to_string_lossy().into_owned();
    for of in &kinds {
        for odd in [Odd::Fifo, Odd::Folder, Odd::Endless, Odd::Noise, Odd::Half] {
            let chosen: Vec<&PathBuf> = files
                .iter()
                .filter(|file| kind(&state, file) == *of)
                .collect();
            chosen.iter().for_each(|file| odd.put(file));
            for args in [
                &["log"][..],
                &["log", &run],
                &["report", &run, "-o", "page.html"],
                &["status", &plan],
                &["preview", &plan],
                // Without `--yes` it asks, and there is no answer.
                &["rollback", &run],
            ] {
                let ran = stage.desk.on(&stage.node, args).run();
                let text = ran.to_string();
                assert!(
                    !text.contains("E900") && !text.contains("panicked"),
                    "{of} {odd:?}: {text}"
                );
                assert!(
                    ran.code.is_some_and(|code| code <= 23),
                    "{of} {odd:?}: {text}"
                );
            }
            copy(&aside, &state);
        }
    }
    // As it was, it leads back.
    stage
        .desk
        .on(&stage.node, &["rollback", &run, "--yes"])
        .run()
        .exits(0);
    stage.is_clean();
}
