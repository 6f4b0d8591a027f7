//! What nodes of two versions send each other: from beams alone.

use std::collections::BTreeMap;
use std::path::Path;

use updo::diag::{Code, Diagnostic};
use updo::facts::beam::BeamFacts;
use updo::facts::change::Beam;
use updo::name::Module;
use updo::rules::crossing::{Pair, between};

use crate::world::{build, elixir};

/// The beams of a folder.
fn beams(folder: &Path) -> BTreeMap<Module, Beam> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == "beam"));
    let read = |path: std::path::PathBuf| {
        let bytes = std::fs::read(&path).expect("the beam can be read");
        let facts = BeamFacts::read(&bytes).expect("it is a beam");
        let name = facts.module.clone();
        (name, Beam::new(bytes, path.display().to_string(), facts))
    };
    paths.map(read).collect()
}

/// What is said about two folders of beams.
fn said(old: &Path, new: &Path) -> Vec<Diagnostic> {
    let (old, new) = (beams(old), beams(new));
    let names = old.keys().chain(new.keys());
    let pair = |module| {
        let (old, new) = (old.get(module), new.get(module));
        let pair = Pair {
            old,
            old_exports: old.map(|beam| &beam.facts.exports),
            new,
        };
        let differs = old.map(|one| one.facts.md5) != new.map(|one| one.facts.md5);
        differs.then_some((module, pair))
    };
    between(names.filter_map(pair).collect())
}

/// The same of fixtures in both versions, as text: code, title and notes.
#[track_caller]
fn of(modules: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    for module in modules {
        build(module, &[], &old);
        build(module, &["V2"], &new);
    }
    said(&old, &new).into_iter().map(text).collect()
}

fn text(one: Diagnostic) -> String {
    let help = one.help.unwrap_or_default();
    let notes = one.notes.join("\n");
    format!("{} {}\n{notes}\n{help}", one.code, one.title)
}

/// The one of a code; there is exactly one.
#[track_caller]
fn one(all: &[String], code: Code) -> &str {
    let found: Vec<&String> = all
        .iter()
        .filter(|one| one.starts_with(code.as_str()))
        .collect();
    assert_eq!(found.len(), 1, "{code}: {all:#?}");
    found[0]
}

#[test]
fn requests_that_the_other_version_has_no_clause_for_are_said_and_no_others() {
    let all = of(&["fx_talk"]);
    assert_eq!(all.len(), 2, "{all:#?}");
    let forth = one(&all, Code::W660);
    for expected in [
        "the new `fx_talk` sends requests to other nodes that the old `fx_talk` does not take",
        "call `{put, _, _, _}` to {fx_talk, Node}, in fx_talk:put/4",
        "no clause of handle_call/3: the server ends, and the call fails",
        "call `{fetch, _}` to {fx_talk, Node}, in fx_talk:get/2",
        "call `keys` to {fx_talk, Node}, in fx_talk:all/1",
        // Behind a clause for anything.
        "cast `{touch, _}` to {fx_talk, Node}, in fx_talk:everywhere/1",
        "handled like an unknown request",
        "two runs: first a version in which `fx_talk` takes the new requests",
        "rollout #{together => true}",
    ] {
        assert!(forth.contains(expected), "{expected}: {forth}");
    }
    let back = one(&all, Code::W661);
    for expected in [
        "call `{put, _, _}`",
        "call `{get, _}`",
        "call `all`",
        "message `{news, _}` to {fx_talk, Node}, in fx_talk:tell/2",
        "let `fx_talk` take these requests for one more version",
    ] {
        assert!(back.contains(expected), "{expected}: {back}");
    }
    // What is the same in both versions, stays on the node, or goes to a process of which nothing is known.
    for silent in ["{drop", "{own", "{local", "{through"] {
        assert!(!format!("{all:?}").contains(silent), "{silent}: {all:#?}");
    }
    // The fifth is counted.
    assert!(forth.contains("and 1 more"), "{forth}");
}

#[test]
fn a_receiver_of_its_own_goes_first() {
    let all = of(&["fx_talk_front", "fx_talk_back"]);
    let forth = one(&all, Code::W660);
    for expected in [
        "the new `fx_talk_front` sends requests to other nodes that the old `fx_talk_back` does not take",
        "call `{ask, _, _}` to {fx_talk_back, Node}, in fx_talk_front:ask/2, line 6: no clause of handle_call/3",
        "message `{group_news, _}` to the members of a group, in fx_talk_front:group/1, line 8: handled like",
        "two runs: `only [fx_talk_back] because \"…\".` in the plan on all nodes first, then without it",
    ] {
        assert!(forth.contains(expected), "{expected}: {forth}");
    }
    // `{ask, _}` is still taken.
    assert!(!all.iter().any(|one| one.starts_with("W661")), "{all:#?}");
    let elsewhere: Vec<&String> = all.iter().filter(|one| one.starts_with("W662")).collect();
    assert_eq!(elsewhere.len(), 2, "{all:#?}");
    let calls = "`fx_talk_back:report/1`, in fx_talk_front:report/1, line 7";
    assert!(elsewhere[0].contains(calls), "{all:#?}");
    assert!(!elsewhere[0].contains("here/0"), "{all:#?}");
    assert!(
        elsewhere[1].contains("sends funs to other nodes"),
        "{all:#?}"
    );
    assert!(elsewhere[1].contains("in fx_talk_front:sum/2"), "{all:#?}");
    assert!(!elsewhere[1].contains("each"), "{all:#?}");
}

#[test]
fn the_receiver_alone_crosses_nothing() {
    // The first of the two steps that are proposed.
    let all = of(&["fx_talk_back"]);
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn a_process_of_one_node_may_go_first() {
    let all = of(&["fx_talk_hub"]);
    let forth = one(&all, Code::W660);
    for expected in [
        "cast `{named, _}` to {global, fx_talk_hub}, in fx_talk_hub:named/1, line 10: no clause of handle_cast/2",
        "call `{called, _}` to {global, fx_talk_hub}, in fx_talk_hub:called/1, line 14: no clause of handle_call/3",
        "take the node with the process first, `rollout #{order => […]}`",
    ] {
        assert!(forth.contains(expected), "{expected}: {forth}");
    }
    assert_eq!(all.len(), 1, "{all:#?}");
}

#[test]
fn elixir_servers_pubsub_and_tasks_are_read_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    elixir(&["fx_talk.ex"], "1", &old, &[]);
    elixir(&["fx_talk.ex"], "2", &new, &[]);
    let all: Vec<String> = said(&old, &new).into_iter().map(text).collect();
    let forth = one(&all, Code::W660);
    for expected in [
        "call `{put, _, _, _}` to {Fx.Talk, Node}, in Fx.Talk:put/3, line 20",
        "cast `%Fx.Talk.Touch{}`",
        "message `{news, _, now}` to the members of a group",
    ] {
        assert!(forth.contains(expected), "{expected}: {forth}");
    }
    let funs = one(&all, Code::W662);
    assert!(funs.contains("Fx.Talk:run/1"), "{funs}");
}
