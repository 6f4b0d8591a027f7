//! Beams of this machine and a node, without a plan: `--push`. And plans from standard input.

use std::fs;

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::rehearsal::till;
use crate::support::desk::Desk;

const SAME: &str = "code_change(_, S, _) -> {ok, S}.";
const RIGHT: &str = "code_change({down, _}, {till, N, _}, _) -> {ok, {till, N}};\ncode_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
const VSN: &str = "hd(proplists:get_value(vsn, till:module_info(attributes)))";
const STATES: &str = "[gen_server:call(P, what) || P <- persistent_term:get(tills)]";

#[test]
fn beams_beside_are_looked_at_tried_and_run_without_a_plan() {
    let folder = TempDir::new().expect("a folder");
    let node = node_with(&compiled(&folder.path().join("ebin"), &[till(1, SAME)]));
    node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
    let desk = Desk::rehearsing();
    let name = node.name().to_owned();
    // A folder whose name looks like a pattern, seen from inside of it.
    let work = desk.path().join("my [work]");
    fs::create_dir_all(work.join("elsewhere")).expect("a folder");
    compiled(&work, &[till(2, RIGHT)]);
    let (work, glob) = (work.display().to_string(), "ebin/*.beam");
    let on = |args: &[&str]| desk.on(&node, &[&["-C", &work], args].concat()).run();
    on(&["preview", &name]).exits(0).prints(&["nothing to do"]);
    on(&["preview", &name, "--push", glob])
        .exits(0)
        .prints(&["till", "conversion: pure"]);
    on(&["diff", &name, "--push", glob])
        .exits(0)
        .prints(&["till"]);
    on(&["graph", &name, "--push", glob])
        .exits(0)
        .prints(&["till"]);
    on(&["explain", &name, "till", "--push", glob])
        .exits(0)
        .prints(&["till"]);
    on(&["rehearse", &name, "--push", glob])
        .exits(0)
        .prints(&["5"]);
    on(&["preview", &name, "--push", "nothing/*.beam"])
        .exits(1)
        .says(&["E213"]);
    // What was shown is run from any folder.
    let script = on(&["preview", &name, "--push", glob, "-o", "till.script"]);
    script.exits(0);
    let elsewhere = format!("{work}/elsewhere");
    let run = ["-C", &elsewhere, "run", "../till.script", "--yes"];
    desk.updo(&run)
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
        .run()
        .exits(0)
        .says(&["5 states converted"]);
    let after: Vec<String> = (1..=5).map(|n| format!("{{2,{{till,{n},0}}}}")).collect();
    assert_eq!(node.eval_text(STATES), format!("[{}]", after.join(",")));
    on(&["run", &name, "--push", glob, "--yes"])
        .exits(0)
        .says(&["nothing to do"]);
    // The way back knows the node and the former version.
    on(&["rollback", "--yes"]).exits(0);
    assert_eq!(node.eval_text(VSN), "49");
    on(&["run", &name, "--push", glob, "--yes"]).exits(0);
    assert_eq!(node.eval_text(VSN), "50");
}

#[test]
fn plans_say_for_themselves_what_is_pushed() {
    let desk = Desk::new();
    desk.write("shop.updo", "plan \"Shop\".\ncode on_disk.\n");
    for command in [
        &["preview", "shop.updo"][..],
        &["run", "shop.updo", "--yes"],
        &["rehearse", "shop.updo"],
        &["diff", "shop.updo"],
        &["graph", "shop.updo"],
        &["explain", "shop.updo", "till"],
        &["diff", "--old", "a", "--new", "b"],
        &["graph", "--beams", "a"],
    ] {
        let ran = desk.updo(command).arg("--push").arg("ebin/*.beam").run();
        ran.exits(2)
            .says(&["E801", "--push goes with a node", "code push"]);
    }
}

#[test]
fn a_plan_comes_from_standard_input() {
    let folder = TempDir::new().expect("a folder");
    let node = node_with(&compiled(&folder.path().join("ebin"), &[till(1, SAME)]));
    node.eval("persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 5)])");
    let desk = Desk::new();
    compiled(&desk.path().join("new"), &[till(2, RIGHT)]);
    // Relative to the current folder, as what it includes.
    desk.write("more.updo", "code push [\"new/ebin/*.beam\"].\n");
    let plan = "plan \"Typed\".\ninclude \"more.updo\".\n";
    let on = |args: &[&str]| desk.on(&node, args).input(plan).run();
    on(&["check", "-"]).exits(0);
    desk.updo(&["check", "-"])
        .input("plan \"Typed\".\nnonsense nonsense.\n")
        .run()
        .exits(1)
        .says(&["-:2"]);
    on(&["preview", "-"]).exits(0).prints(&["till"]);
    on(&["explain", "-", "till"]).exits(0).prints(&["till"]);
    on(&["diff", "-"]).exits(0).prints(&["till"]);
    on(&["graph", "-"]).exits(0).prints(&["till"]);
    on(&["status", "-"]).exits(0).prints(&["changed", "till"]);
    on(&["rehearse", "-"]).exits(0);
    on(&["preview", "-", "-o", "x.script"])
        .exits(2)
        .says(&["standard input"]);
    on(&["run", "-"]).exits(2).says(&["--yes"]);
    on(&["run", "-", "--yes"])
        .exits(0)
        .says(&["Typed", "5 states converted"]);
    assert_eq!(node.eval_text(VSN), "50");
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(VSN), "49");
}
