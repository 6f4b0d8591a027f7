//! Which flags of `updo run` and `updo preview` the plugin of rebar3 and the task of mix know.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::desk::UPDO;

/// The long flags that `--help` of a command lists: its own, and those of every command.
fn flags(command: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let output = Command::new(UPDO).args([command, "--help"]).output();
    let text = String::from_utf8(output.expect("updo starts").stdout).expect("it is UTF-8");
    let (own, global) = text.split_once("Global options:").expect("both are there");
    let long = |text: &str| {
        let lines = text.lines().map(str::trim_start);
        let flags = lines.filter(|line| line.starts_with('-'));
        let words = flags.flat_map(|line| line.split([' ', '.']));
        let long = words.filter(|word| word.starts_with("--"));
        long.map(str::to_owned).collect()
    };
    (long(own), long(global))
}

/// The words of a list in a source text that begin with `--`.
fn listed(text: &str, name: &str, end: char) -> BTreeSet<String> {
    let (_, list) = text
        .split_once(name)
        .unwrap_or_else(|| panic!("no `{name}`"));
    let (list, _) = list.split_once(end).expect("its end");
    let words = list.split(['"', ' ', '\n', '(', '[', ',']);
    let long = words.filter(|word| word.starts_with("--"));
    long.map(str::to_owned).collect()
}

#[test]
fn rebar3_and_mix_know_which_flags_a_run_has_and_a_preview_has_not() {
    let (run, global) = flags("run");
    let (preview, _) = flags("preview");
    assert!(run.len() > 15 && global.len() > 8, "{run:?} {global:?}");
    let mut only: BTreeSet<String> = run.difference(&preview).cloned().collect();
    // With these there is no question, and no preview before it.
    assert!(only.remove("--yes") && only.remove("--dry-run"), "{only:?}");
    let mut every = global;
    // The run of a script is quiet anyway.
    assert!(every.remove("--quiet"), "{every:?}");
    let read = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations");
        fs::read_to_string(path.join(file)).expect("a file can be read")
    };
    let mix = read("mix_updo/lib/mix/tasks/updo.ex");
    let rebar3 = read("rebar3_updo/src/rebar3_updo.erl");
    let lists = |names: [&str; 3], text: &str, end: char| -> BTreeSet<String> {
        names
            .iter()
            .flat_map(|name| listed(text, name, end))
            .collect()
    };
    assert_eq!(listed(&mix, "@run_only ~w(", ')'), only);
    assert_eq!(listed(&rebar3, "-define(RUN_ONLY, [", ']'), only);
    let names = ["@connection ~w(", "@subject ~w(", "@output ~w("];
    assert_eq!(lists(names, &mix, ')'), every);
    let names = [
        "-define(CONNECTION, [",
        "-define(SUBJECT, [",
        "-define(OUTPUT, [",
    ];
    assert_eq!(lists(names, &rebar3, ']'), every);
}
