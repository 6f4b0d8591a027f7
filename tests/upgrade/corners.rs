//! Corners of a live node: specifications that are wrong, many modules at one instant, funs of old code, names and
//! folders in other scripts, what is done again.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::apps::{Deployed, post, witness};
use crate::support::compiler::compile;
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

/// Sources by name, compiled into a folder.
pub fn compiled(folder: &Path, sources: &[(String, String)]) -> PathBuf {
    let ebin = folder.join("ebin");
    std::fs::create_dir_all(&ebin).expect("a folder");
    let file = |(name, text): &(String, String)| {
        let file = folder.join(format!("{name}.erl"));
        std::fs::write(&file, text).expect("a source");
        file
    };
    let files: Vec<PathBuf> = sources.iter().map(file).collect();
    compile(&ebin, &["debug_info"], &files);
    ebin
}

/// A module of `tests/fixtures/modules`: `?VERSION` in it is the number, `?VSN` the same as a string.
pub fn fixture(name: &str, version: u32) -> (String, String) {
    fixture_with(name, version, &[])
}

/// The same with more macros, as Erlang writes their values.
pub fn fixture_with(name: &str, version: u32, macros: &[(&str, &str)]) -> (String, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/modules")
        .join(format!("{name}.erl"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let more: String = macros
        .iter()
        .map(|(name, value)| format!("-define({name}, {value}).\n"))
        .collect();
    let head = format!("-define(VERSION, {version}).\n-define(VSN, \"{version}\").\n{more}");
    (name.to_owned(), head + &text)
}

fn module(name: &str, version: u32) -> (String, String) {
    let text = format!("-module('{name}').\n-export([v/0]).\nv() -> {version}.\n");
    (name.to_owned(), text)
}

/// A node that has loaded everything in a folder.
pub fn node_with(ebin: &Path) -> TestNode {
    let node = Options::default().path(ebin).path(witness()).start();
    node.eval(&format!(
        "[{{module, _}} = code:load_file(list_to_atom(filename:basename(F, \".beam\"))) || F <- [\"witness\" | filelib:wildcard({:?})]]",
        ebin.join("*.beam").display().to_string()
    ));
    node
}

#[test]
fn a_supervisor_whose_new_specification_is_wrong() {
    let office = Deployed::new(
        &post().one,
        Options::default(),
        "{ok, _} = application:ensure_all_started(post)",
    );
    let (node, desk) = (&office.node, Desk::new());
    let before =
        node.eval_text("[sys:get_state(S) || {_, S, _, _} <- supervisor:which_children(post_sup)]");
    let wrong = "-module(post_floor).\n-behaviour(supervisor).\n-export([start_link/1, init/1]).\n\
        start_link(Id) -> supervisor:start_link(?MODULE, Id).\n\
        init(_) -> {ok, {#{}, [#{id => letters}]}}.\n";
    let ebin = compiled(
        &desk.path().join("new"),
        &[("post_floor".to_owned(), wrong.to_owned())],
    );
    let text = format!(
        "plan \"Wrong\".\ncode push [{ebin:?}].\nold from {:?}.\n",
        post().one
    );
    desk.write("p.updo", &text);
    desk.on(node, &["run", "p.updo", "--yes"])
        .run()
        .exits(20)
        .says(&["E604", "post_floor", "missing_start", "is as before"]);
    let after =
        node.eval_text("[sys:get_state(S) || {_, S, _, _} <- supervisor:which_children(post_sup)]");
    assert_eq!(after, before, "the specifications are the old ones");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    assert_eq!(node.eval_text("witness:left_to(3000)"), "[]");
}

/// Two hundred modules that call nobody: whoever has seen one of them new never sees another one old.
#[test]
fn two_hundred_modules_at_one_instant() {
    let folder = TempDir::new().expect("a folder");
    let all = |version| -> Vec<_> {
        (0..200)
            .map(|n| module(&format!("many_{n}"), version))
            .collect()
    };
    let one = compiled(&folder.path().join("one"), &all(1));
    let two = compiled(&folder.path().join("two"), &all(2));
    let (node, desk) = (node_with(&one), Desk::new());
    // One process asks them all, round and round, and keeps every change from one answer to the next.
    node.eval(
        "Names = [list_to_atom(\"many_\" ++ integer_to_list(N)) || N <- lists:seq(0, 199)],
         Loop = fun Loop(Last, Changes) ->
             {L, C} = lists:foldl(fun(M, {L0, C0}) -> case M:v() of L0 -> {L0, C0}; V -> {V, [{L0, V} | C0]} end end,
                                  {Last, Changes}, Names),
             receive {tell, P} -> P ! {changes, C} after 0 -> Loop(L, C) end
         end,
         register(asker, spawn(fun() -> Loop(1, []) end))",
    );
    let text = format!("plan \"Many\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    desk.on(&node, &["run", "p.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["200 modules"]);
    assert_eq!(
        node.eval_text("asker ! {tell, self()}, receive {changes, C} -> C after 5000 -> none end"),
        "[{1,2}]"
    );
}

/// A fun of the code that goes: with `soft` its holder keeps it and it works.
#[test]
fn a_fun_of_the_old_code() {
    let folder = TempDir::new().expect("a folder");
    let source = |version: u32| {
        let text = format!(
            "-module(maker).\n-export([make/0, keep/0]).\nmake() -> fun() -> {version} end.\n\
             keep() -> F = make(), receive {{ask, P}} -> P ! {{told, F()}} end.\n"
        );
        vec![("maker".to_owned(), text)]
    };
    let one = compiled(&folder.path().join("one"), &source(1));
    let two = compiled(&folder.path().join("two"), &source(2));
    let (node, desk) = (node_with(&one), Desk::new());
    node.eval("register(keeper, spawn(maker, keep, []))");
    let text = format!("plan \"Fun\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    let ran = desk.on(&node, &["run", "p.updo", "--yes"]).run().exits(0);
    ran.says(&["still runs the old maker"]);
    assert_eq!(
        node.eval_text("keeper ! {ask, self()}, receive {told, N} -> N after 5000 -> none end"),
        "1"
    );
    assert_eq!(node.eval_text("(maker:make())()"), "2");
}

/// What has been done is not done again; what still differs is.
#[test]
fn again_only_what_still_differs() {
    let folder = TempDir::new().expect("a folder");
    let both = |a, b| vec![module("first_one", a), module("other_one", b)];
    let one = compiled(&folder.path().join("one"), &both(1, 1));
    let two = compiled(&folder.path().join("two"), &both(2, 2));
    let (node, desk) = (node_with(&one), Desk::new());
    let file = two.join("first_one.beam").display().to_string();
    node.eval(&format!(
        "{{ok, B}} = file:read_file({file:?}), {{module, _}} = code:load_binary(first_one, {:?}, B), code:purge(first_one)",
        one.join("first_one.beam").display().to_string()
    ));
    let text = format!("plan \"Again\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    let ran = desk.on(&node, &["run", "p.updo", "--yes"]).run().exits(0);
    assert!(!ran.stderr.contains("first_one"), "{ran}");
    assert_eq!(node.eval_text("{first_one:v(), other_one:v()}"), "{2,2}");
    desk.on(&node, &["run", "p.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do"]);
}

/// A folder behind a symbolic link, with a space and letters of elsewhere in its path, and a module named like that.
#[test]
fn names_and_folders_of_elsewhere() {
    let folder = TempDir::new().expect("a folder");
    let one = compiled(&folder.path().join("bänk 1 ω"), &[module("räte", 1)]);
    let two = compiled(&folder.path().join("bänk 2 ω"), &[module("räte", 2)]);
    let link = folder.path().join("current");
    std::os::unix::fs::symlink(one.parent().expect("a folder"), &link).expect("a link");
    let (node, desk) = (node_with(&link.join("ebin")), Desk::new());
    let which = node.eval_text("code:which('räte')");
    let text = format!(
        "plan \"Änderung\".\ncode push [\"{}\"] #{{persist => true}}.\nold from \"{}\".\n",
        two.display(),
        one.display()
    );
    desk.write("p.updo", &text);
    desk.on(&node, &["run", "p.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["1 beam written"]);
    assert_eq!(
        node.eval_text("{'räte':v(), code:which('räte')}"),
        format!("{{2,{which}}}")
    );
    let written = std::fs::read(one.join("räte.beam")).expect("it is there");
    assert_eq!(
        written,
        std::fs::read(two.join("räte.beam")).expect("it is there")
    );
    let names = std::fs::read_dir(&one).expect("a folder").count();
    assert_eq!(names, 1, "nothing beside it");
}
