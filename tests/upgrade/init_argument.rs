//! A supervisor renews its specifications with the argument that it was started with, which the new `init/1` may not take.

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::support::desk::Desk;

/// Two supervisors; the new `init/1` of the first wants a second element, that of the other has a default for it.
fn version(number: u32) -> Vec<(String, String)> {
    let module = |name: &str, heads: &[&str]| {
        let clause = |head: &&str| {
            format!(
                "init({head}) -> {{ok, {{#{{}}, [#{{id => {name}_kid, start => {{ia_kid, start_link, [{number}]}}}}]}}}}"
            )
        };
        let clauses: Vec<String> = heads.iter().map(clause).collect();
        let text = format!(
            "-module({name}).\n-behaviour(supervisor).\n-export([init/1, v/0]).\nv() -> {number}.\n{}.\n",
            clauses.join(";\n")
        );
        (name.to_owned(), text)
    };
    let kid = "-module(ia_kid).\n-export([start_link/1, loop/0]).\n\
         start_link(_) -> {ok, spawn_link(ia_kid, loop, [])}.\nloop() -> receive stop -> ok end.\n";
    let (strict, kind): (&[&str], &[&str]) = match number {
        1 => (&["[_Name]"], &["[_Name]"]),
        _ => (&["[_Name, _Size]"], &["[_Name]", "[_Name, _Size]"]),
    };
    // Options that were a list and have become a map.
    let option = match number {
        1 => "proplists:get_value(size, Options, 1)",
        _ => "maps:get(size, Options, 1)",
    };
    let options = format!(
        "-module(ia_options).\n-behaviour(supervisor).\n-export([init/1, v/0]).\nv() -> {number}.\n\
         init({{pool, Options}}) -> _ = {option}, {{ok, {{#{{}}, []}}}}.\n"
    );
    vec![
        module("ia_strict", strict),
        module("ia_kind", kind),
        ("ia_options".to_owned(), options),
        ("ia_kid".to_owned(), kid.to_owned()),
    ]
}

#[test]
fn an_argument_that_the_new_init_does_not_take_is_said_before() {
    let folder = TempDir::new().expect("a folder");
    let [one, two] =
        [1, 2].map(|number| compiled(&folder.path().join(number.to_string()), &version(number)));
    let node = node_with(&one);
    node.eval(
        "register(ia_owner, spawn(fun() ->
             [{ok, _} = supervisor:start_link({local, M}, M, A)
              || {M, A} <- [{ia_strict, [name]}, {ia_kind, [name]}, {ia_options, {pool, [{size, 2}]}}]],
             receive stop -> ok end end)), ok",
    );
    node.await_true("is_pid(whereis(ia_options))");
    let desk = Desk::new();
    let updo = |command: &str, more: &str| {
        let text = format!(
            "plan \"Arguments\".\ncode push [{:?}].\nold from {:?}.\n{more}\n",
            two.display().to_string(),
            one.display().to_string()
        );
        let plan = desk.write("p.updo", &text).display().to_string();
        let yes: &[&str] = if command == "run" { &["--yes"] } else { &[] };
        desk.on(&node, &[&[command, plan.as_str()], yes].concat())
            .run()
    };
    let versions = "{ia_strict:v(), ia_kind:v()}";
    let shown = updo("preview", "").exits(1).says(&[
        "E353",
        "the new `init/1` of `ia_strict` raises",
        "module ia_strict #{change => soft}",
    ]);
    assert_eq!(shown.stderr.matches("E353").count(), 2, "{shown}");
    assert!(!shown.stderr.contains("init/1` of `ia_kind`"), "{shown}");
    shown.says(&["the new `init/1` of `ia_options` raises"]);
    // Nothing is run while nothing is done about it.
    updo("run", "").exits(1).says(&["E353"]);
    assert_eq!(node.eval_text(versions), "{1,1}");
    let line = "module [ia_strict, ia_options] #{change => soft} because \"from the next start\".";
    let shown = updo("preview", line).exits(0);
    assert!(!shown.stderr.contains("E353"), "{shown}");
    updo("run", line).exits(0);
    assert_eq!(node.eval_text(versions), "{2,2}");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
}
