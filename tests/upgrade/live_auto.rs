//! `window auto`, which is what a plan without the statement has: live where nothing of what a window with suspended
//! processes promises is lost by it, and the rehearsal has proven that; single otherwise, and it says why.

use updo::{Engine, NodeName, Settings};

use crate::live::{call, called, purse, states};
use crate::rehearsal::Stage;

/// What a purse goes back by is left out.
const ONE_WAY: &str = "code_change({down, _}, {2, N, _, _}, _) -> {ok, {1, N, 0}};";

/// So many purses; with these first clauses of the new `code_change`, these statements, and this done at first.
fn purses(number: u32, code_change: &str, statements: &str, more: &str) -> Stage {
    let start = format!(
        "persistent_term:put(asked, [purse:start(N) || N <- lists:seq(1, {number})]){more}"
    );
    let (one, two) = ([purse(1, "")], [purse(2, code_change)]);
    Stage::planned(&one, &two, &start, statements)
}

/// The preview as JSON: which window, and why it is not live.
fn previewed(stage: &Stage, more: &[&str]) -> (String, serde_json::Value) {
    let plan = stage.plan.display().to_string();
    let args = [&["preview", plan.as_str(), "--json"], more].concat();
    let shown = stage.desk.on(&stage.node, &args).run().exits(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let window = shown["window"].as_str().unwrap_or_default().to_owned();
    (window, shown["window_auto"].clone())
}

#[test]
fn without_a_statement_it_is_live_where_that_is_proven() {
    for statements in ["", "window auto."] {
        let stage = purses(120, "", statements, "");
        call(&stage);
        assert_eq!(
            previewed(&stage, &[]),
            ("live".to_owned(), serde_json::json!([]))
        );
        let ran = stage.run(&["--events", "events.jsonl"]).exits(0).says(&[
            "window   live if the rehearsal proves it: no process is suspended; all modules switch at one instant",
            "120 processes convert their states, each before its next callback: purse",
            "otherwise single: they are suspended while all modules switch",
            ": 1 module switched, no process suspended. (--yes)",
            "live ok",
            "1 module · no process suspended · 120 states converted",
        ]);
        assert!(!ran.stderr.contains("after all"), "{ran}");
        called(&stage);
        assert_eq!(states(&stage), "[{2,\"1\"}]");
        stage.is_clean();
        let back = ["rollback", &ran.name(), "--yes"];
        stage.desk.on(&stage.node, &back).run().exits(0);
        assert_eq!(states(&stage), "[{1,old}]");
        stage.is_clean();
    }
}

/// Few are suspended for a few milliseconds, and everything that a single window promises is kept: it says nothing of it,
/// but where the plan has asked.
#[test]
fn few_processes_are_suspended() {
    let why = "not live: 20 processes: fewer than 100 are suspended for a few milliseconds";
    for (statements, said) in [("", false), ("window auto.", true)] {
        let stage = purses(20, "", statements, "");
        let ran = stage.run(&[]).exits(0).says(&[
            "window   single: 20 processes are suspended while all modules switch at one instant",
            "1 module · 20 processes suspended",
        ]);
        assert_eq!(ran.stderr.contains(why), said, "{ran}");
        assert_eq!(states(&stage), "[{2,\"1\"}]");
        stage.is_clean();
    }
}

/// What the code shows: it is single from the start.
#[test]
fn what_cannot_go_live_is_suspended_and_the_preview_says_why() {
    let acts = "code_change(_, {1, 0, _} = S, _) -> ets:insert(t, S), {ok, S};";
    let why = "`purse`: its conversion does more than compute";
    let stage = purses(120, acts, "", "");
    assert_eq!(
        previewed(&stage, &[]),
        ("single".to_owned(), serde_json::json!([why]))
    );
    stage.run(&[]).exits(0).says(&[
        "window   single: 120 processes are suspended",
        &format!("not live: {why}"),
        "120 processes suspended",
    ]);
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    stage.is_clean();
}

#[test]
fn what_is_not_rehearsed_is_suspended() {
    for (statement, flags) in [("", &["--no-rehearsal"][..]), ("rehearse never.", &[])] {
        let stage = purses(120, "", statement, "");
        stage.run(flags).exits(0).says(&[
            "window   single: 120 processes are suspended",
            "not live: conversions are not rehearsed",
            "120 processes suspended",
        ]);
        assert_eq!(states(&stage), "[{2,\"1\"}]");
        stage.is_clean();
    }
}

/// Two versions of a module with one function.
fn scales(version: u32) -> (String, String) {
    let text = format!("-module(scales).\n-export([weigh/1]).\nweigh(N) -> {{{version}, N}}.\n");
    ("scales".to_owned(), text)
}

/// A callback that is under way would call the new version of another module, or of its own; `window live` does that.
#[test]
fn callbacks_under_way_never_see_two_versions() {
    let with = |(name, text): (String, String), more: &str| {
        let text = text.replace("start(N) ->", &format!("{more}\nstart(N) ->"));
        (name, text)
    };
    let other = "-export([heavy/1]).\nheavy(N) -> scales:weigh(N).";
    let own = "-export([heavy/1]).\nheavy(N) -> {N, ?MODULE:v()}.";
    let named = "-export([heavy/1]).\nheavy(N) -> gen_server:call(scales, N).";
    let start = "persistent_term:put(asked, [purse:start(N) || N <- lists:seq(1, 120)])";
    for (more, why) in [
        (
            other,
            "`purse`: it calls `scales:weigh/1`, which changes as well: a callback under way would see both versions",
        ),
        (
            own,
            "`purse`: it calls its own `v/0` by the module's name: a callback under way would see both versions",
        ),
        (
            named,
            "`purse`: it starts, calls or sends to `scales`, which changes as well",
        ),
    ] {
        let one = [with(purse(1, ""), more), scales(1)];
        let two = [with(purse(2, ""), more), scales(2)];
        for (statements, live) in [("", false), ("window live.", true)] {
            let stage = Stage::planned(&one, &two, start, statements);
            let ran = stage.run(&[]).exits(0);
            // Lines are broken where they are long.
            let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(said.contains(&format!("not live: {why}")), !live, "{ran}");
            assert_eq!(said.contains("no process suspended"), live, "{ran}");
            assert_eq!(states(&stage), "[{2,\"1\"}]");
            stage.is_clean();
        }
    }
    // What only the new version calls, no callback of the old one can: and a module that does not change is no other version.
    let two = [with(purse(2, ""), other), scales(1)];
    let stage = Stage::planned(&[purse(1, ""), scales(1)], &two, start, "");
    stage.run(&[]).exits(0).says(&["no process suspended"]);
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    stage.is_clean();
}

/// What the rehearsal shows: it is single after all, which a line says before the question.
#[test]
fn what_the_rehearsal_does_not_prove_is_suspended() {
    let busy = ", [gen_server:cast(P, fun() -> receive go -> ok end end) || P <- lists:sublist(persistent_term:get(asked), 2)]";
    for (code_change, statements, more, why) in [
        (
            ONE_WAY.replace("{1, N, 0}", "{1, N + 1, 0}"),
            "budget 5s.",
            "",
            "`purse`: going back does not give back 120 of 120 states",
        ),
        (
            String::new(),
            "rollback never.",
            "",
            "`purse`: its way back was not tried",
        ),
        (
            String::new(),
            "rehearse #{at_most => 2}.",
            busy,
            "`purse`: no conversion of it could be tried beforehand",
        ),
    ] {
        let stage = purses(120, &code_change, statements, more);
        let plan = stage.plan.display().to_string();
        let mut run = stage.desk.on(&stage.node, &["run", &plan, "--yes"]).start();
        run.await_says("single after all");
        stage
            .node
            .eval("[P ! go || P <- persistent_term:get(asked)]");
        let line = format!("window auto, so single after all: {why}");
        run.wait().exits(0).says(&[
            "window   live if the rehearsal proves it",
            &line,
            ": 1 module switched, 120 processes suspended",
            "120 processes suspended",
            "convert ok",
        ]);
        let found = stage.node.eval_text("lists:usort([element(1, gen_server:call(P, state)) || P <- persistent_term:get(asked)])");
        assert_eq!(found, "[2]");
        stage.is_clean();
    }
}

/// For how long they will be suspended then is known, and compared with the plan's budget.
#[test]
fn the_budget_holds_where_it_is_single_after_all() {
    let stage = purses(
        120,
        &ONE_WAY.replace("{1, N, 0}", "{1, N + 1, 0}"),
        "budget 1ms.",
        "",
    );
    stage
        .run(&[])
        .exits(15)
        .says(&["single after all", "E638", "nothing was changed"]);
    assert_eq!(states(&stage), "[{1,old}]");
    stage.is_clean();
}

/// What only the node shows, when the lock is taken: the run goes on with suspended processes.
#[test]
fn what_the_node_shows_in_the_run_is_suspended() {
    let stage = purses(120, "", "", "");
    stage.node.eval(
        "register(stays, spawn(fun() -> purse:handle_call({wait, fun() -> receive go -> ok end end}, x, {1, 1, 0}) end))",
    );
    let ran = stage.run(&["--events", "events.jsonl"]).exits(0).says(&[
        "window   live if the rehearsal proves it",
        "window auto, so single after all: `purse`: <",
        "it executes the version that goes, in ",
        "120 processes suspended",
        "suspend ok",
        "convert ok",
    ]);
    assert!(!ran.stderr.contains("E425"), "{ran}");
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    // No step has failed, and each has a number of its own.
    let events = stage.desk.read("events.jsonl");
    let events = events.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line
    });
    let finished: Vec<_> = events.filter(|e| e["type"] == "step.finished").collect();
    assert!(finished.iter().all(|e| e["ok"] == true), "{finished:?}");
    let mut ids: Vec<_> = finished.iter().filter_map(|e| e["id"].as_u64()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "{finished:?}");
    stage.is_clean();
    // Its record is that of any run.
    let run = ran.name();
    let attached = stage.desk.on(&stage.node, &["attach", &run]).run();
    assert!(!attached.stderr.contains("E608"), "{attached}");
    stage.node.eval("stays ! go");
    let back = ["rollback", &run, "--yes"];
    stage.desk.on(&stage.node, &back).run().exits(0);
    assert_eq!(states(&stage), "[{1,old}]");
    stage.is_clean();
}

/// A check that fails leads back from there.
#[test]
fn a_failing_check_leads_back_where_it_was_suspended_after_all() {
    let stage = purses(120, "", "verify \"never\" -> false.", "");
    stage.node.eval(
        "register(stays, spawn(fun() -> purse:handle_call({wait, fun() -> receive go -> ok end end}, x, {1, 1, 0}) end))",
    );
    call(&stage);
    let mut run = {
        let plan = stage.plan.display().to_string();
        stage.desk.on(&stage.node, &["run", &plan, "--yes"]).start()
    };
    run.await_says("single after all");
    // The way back would wait for it.
    stage.node.eval("stays ! go");
    run.wait().exits(20).says(&["never", "undone"]);
    called(&stage);
    assert_eq!(states(&stage), "[{1,old}]");
    stage.is_clean();
}

/// A program that does not rehearse has not to know of it.
#[test]
fn a_program_that_has_not_rehearsed_suspends() {
    let stage = purses(120, "", "", "");
    let settings = Settings {
        state_dir: stage.desk.path().join("state"),
        cookie_file: Some(stage.desk.path().join("cookie")),
        epmd_port: Some(stage.node.epmd_port()),
        ..Settings::default()
    };
    let engine = Engine::open(&stage.plan, settings).into_result();
    let engine = engine.expect("the plan is sound");
    let node = engine.connect(&NodeName::new(stage.node.name()));
    let node = node.expect("the node answers");
    let upgrade = node.prepare().expect("it can be compared");
    let outcome = node.run(&upgrade, &mut |_| {});
    assert!(outcome.is_good(), "{:?}", outcome.errors);
    assert_eq!((outcome.processes, outcome.converted), (120, 120));
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    stage.is_clean();
}
