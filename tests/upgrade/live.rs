//! `window live`: no process is suspended, and each converts its state by itself.

use tempfile::TempDir;
use updo::{Code, Engine, NodeName, Settings};

use crate::corners::{compiled, node_with};
use crate::inferred_children::elixir;
use crate::rehearsal::{Stage, elixir_node};
use crate::support::desk::Desk;

/// A server with the state `{1, N, Events}` or `{2, N, Events, Vsn}`, with these clauses of `code_change` tried first.
pub fn purse(version: u32, code_change: &str) -> (String, String) {
    let (init, state, next, change) = match version {
        1 => ("{1, N, 0}", "{1, N, E}", "{1, N, E + 1}", String::new()),
        _ => (
            "{2, N, 0, born}",
            "{2, N, E, V}",
            "{2, N, E + 1, V}",
            format!(
                "{code_change}\ncode_change({{down, _}}, {{2, N, E, _}}, _) -> {{ok, {{1, N, E}}}};\n\
                 code_change(V, {{1, N, E}}, _) -> {{ok, {{2, N, E, V}}}}."
            ),
        ),
    };
    let change = match change.is_empty() {
        true => "code_change({down, _}, {1, N, E}, _) -> {ok, {2, N, E, again}};\n\
                 code_change(_, {2, N, E, _}, _) -> {ok, {1, N, E}};\ncode_change(_, S, _) -> {ok, S}."
            .to_owned(),
        false => change,
    };
    let text = format!(
        "-module(purse).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3, v/0]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\nv() -> {version}.\n\
         init(N) -> {{ok, {init}}}.\n\
         handle_call(state, _, {state} = S) -> {{reply, S, S}};\n\
         handle_call({{wait, F}}, _, {state}) -> F(), {{reply, ok, {next}}};\n\
         handle_call(add, _, {state}) -> {{reply, {version}, {next}}}.\n\
         handle_cast(F, {state}) -> F(), {{noreply, {next}}}.\n{change}\n"
    );
    ("purse".to_owned(), text)
}

/// So many servers of version 1; with these first clauses of the new `code_change`, and these statements.
fn purses(number: u32, code_change: &str, more: &str) -> Stage {
    purses_with(number, purse(2, code_change), more)
}

fn purses_with(number: u32, new: (String, String), more: &str) -> Stage {
    let start =
        format!("persistent_term:put(asked, [purse:start(N) || N <- lists:seq(1, {number})])");
    let statements = format!("window live.\n{more}");
    Stage::planned(&[purse(1, "")], &[new], &start, &statements)
}

/// A first clause of `code_change` that fails for the seventieth.
pub const TORN: &str = "code_change(_, {1, 70, _}, _) -> error({torn, 70});";

/// The seventieth is in a callback until the new version is there: no rehearsal can ask it.
pub fn busy_at_first(stage: &Stage) {
    stage.node.eval_text(
        "begin P = lists:nth(70, persistent_term:get(asked)), \
         gen_server:cast(P, fun W() -> timer:sleep(50), case purse:v() of 1 -> W(); 2 -> timer:sleep(200) end end) end",
    );
}

/// Twenty of the processes are called all the time; [`called`] ends that.
pub fn call(stage: &Stage) {
    stage.node.eval(
        "begin Ps = lists:sublist(persistent_term:get(asked), 20), \
         Call = fun Call(N) -> [case gen_server:call(P, add) of 1 -> ok; 2 -> ok end || P <- Ps], \
         receive {seen, P} -> P ! {called, N} after 0 -> Call(N + 1) end end, \
         register(calls, spawn(fun() -> Call(0) end)) end",
    );
}

/// Every call was answered.
#[track_caller]
pub fn called(stage: &Stage) {
    let called = stage.node.eval_text(
        "begin calls ! {seen, self()}, receive {called, N} when N > 0 -> called after 9000 -> none end end",
    );
    assert_eq!(called, "called");
}

/// Which states there are, and whether something of the transition is left in a process.
pub fn states(stage: &Stage) -> String {
    stage.node.eval_text(
        "lists:usort([{element(1, S), case S of {2, _, _, V} -> V; _ -> old end} || \
         P <- persistent_term:get(asked), S <- [gen_server:call(P, state)]]) ++ \
         [left || P <- persistent_term:get(asked), {_, D} <- [process_info(P, dictionary)], {K, _} <- D, \
         is_atom(K), string:find(atom_to_list(K), \"updo\") =/= nomatch]",
    )
}

/// All are as they were, and nothing of the run is left.
#[track_caller]
fn went_back(stage: &Stage) {
    called(stage);
    assert_eq!(states(stage), "[{1,old}]");
    stage.is_clean();
}

#[test]
fn no_process_is_suspended() {
    let stage = purses(300, "", "");
    call(&stage);
    let ran = stage.run(&["--events", "events.jsonl"]).exits(0).says(&[
        "window   live: no process is suspended; all modules switch at one instant",
        "undo     old code; states exact, or by code_change down where an event came since: purse",
        "300 processes convert their states, each before its next callback: purse",
        "rehearsal: 300 states tried on copies, all convert",
        ": 1 module switched, no process suspended.",
        "live ok",
        "1 module · no process suspended · 300 states converted · 300 of 300 live",
    ]);
    called(&stage);
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    assert!(!ran.to_string().contains("suspend purse"), "{ran}");
    let events = stage.desk.read("events.jsonl");
    for step in ["suspend", "convert", "resume"] {
        assert!(
            !events.contains(&format!("\"step\":\"{step}\"")),
            "{events}"
        );
    }
    assert!(events.contains("\"step\":\"live\""), "{events}");
    stage.is_clean();
    // What runs is the plain new version.
    stage.run(&[]).exits(0).says(&["nothing to do"]);
    let run = ran.name();
    let back = ["rollback", &run, "--yes"];
    stage.desk.on(&stage.node, &back).run().exits(0);
    assert_eq!(states(&stage), "[{1,old}]");
    stage.is_clean();
}

/// Each is refused before anything is touched, with its reason.
#[test]
fn what_needs_suspended_processes_is_refused() {
    let more = |text: &str| {
        let (module, source) = purse(2, "");
        (
            module,
            source.replace("start(N) ->", &format!("{text}\nstart(N) ->")),
        )
    };
    for (new, plan, words) in [
        (
            more("-export([again/1]).\nagain(S) -> ?MODULE:handle_cast(again, S)."),
            "",
            "`purse`: of the new version: it calls its own `handle_cast/2` by the module's name",
        ),
        (
            more("-on_load(loaded/0).\nloaded() -> ok."),
            "",
            "`purse`: it has an `on_load` function, which may run only once",
        ),
        (
            purse(
                2,
                "code_change(_, {1, 0, _} = S, _) -> ets:insert(t, S), {ok, S};",
            ),
            "",
            "`purse`: its conversion does more than compute",
        ),
        (
            more("-export([same/1]).\nsame(S) -> S."),
            "module purse #{change => {convert, fun purse:same/1}}.",
            "`purse`: a function of the plan converts its states",
        ),
    ] {
        let stage = purses_with(3, new, plan);
        let before = stage
            .node
            .eval_text("[gen_server:call(P, state) || P <- persistent_term:get(asked)]");
        stage
            .run(&[])
            .exits(1)
            .says(&["E425", words, "`window single.`"]);
        let after = stage
            .node
            .eval_text("[gen_server:call(P, state) || P <- persistent_term:get(asked)]");
        assert_eq!(after, before);
        stage.is_clean();
    }
}

/// A process that was busy in the rehearsal turns out to be one that does not convert: all others go back to what they had.
#[test]
fn a_conversion_that_fails_turns_the_transition_round() {
    let stage = purses(100, TORN, "");
    busy_at_first(&stage);
    call(&stage);
    let ran = stage.run(&[]).exits(20).says(&[
        "E604",
        "error:{torn,70} in purse:code_change/3 (purse.erl, line 12)",
        "undo ok",
        "code restored",
        "undone",
        "old code and states are back",
    ]);
    assert!(!ran.to_string().contains("resumed"), "{ran}");
    went_back(&stage);
}

/// Ctrl-C while one process is still in a callback of the old version: every process goes back, and only then it ends.
#[test]
fn a_request_to_stop_turns_the_transition_round() {
    let stage = purses(100, "", "");
    call(&stage);
    stage.node.eval_text(
        "begin P = lists:nth(70, persistent_term:get(asked)), \
         gen_server:cast(P, fun() -> register(busy, self()), receive go -> ok end end) end",
    );
    let plan = stage.plan.display().to_string();
    let mut run = stage.desk.on(&stage.node, &["run", &plan, "--yes"]).start();
    run.await_says("1 not tried");
    stage.node.await_true("purse:v() =:= 2");
    assert!(!run.has_ended(), "it ends before it is asked to");
    run.signal("-INT");
    run.await_says("turning round");
    stage
        .node
        .eval_text("begin timer:sleep(300), busy ! go end");
    run.wait()
        .exits(20)
        .says(&["E611", "called off in the live window", "undone"]);
    went_back(&stage);
}

/// The rest of a run is as with other windows: a check that fails, a deadline, a client that goes away.
#[test]
fn a_failing_check_and_a_deadline_lead_back() {
    let stage = purses(50, "", "verify \"never\" -> false.");
    call(&stage);
    stage.run(&[]).exits(20).says(&[
        "live ok",
        "E606",
        "code restored",
        "undone",
        "old code and states are back",
    ]);
    went_back(&stage);

    let stage = purses(50, "", "deadline 4s.");
    call(&stage);
    stage.node.eval_text(
        "begin P = lists:nth(40, persistent_term:get(asked)), \
         gen_server:cast(P, fun W() -> timer:sleep(50), case purse:v() of 1 -> W(); 2 -> timer:sleep(5000) end end) end",
    );
    stage.run(&[]).exits(20).says(&[
        "E607",
        "the deadline passed",
        "old code and states are back",
    ]);
    went_back(&stage);
}

/// Hibernating, waiting for a time-out, with a continuation that is due, born while it goes on.
#[test]
fn processes_in_every_situation_convert() {
    let source = |version: u32| {
        let (state, change) = match version {
            1 => (
                "{1, N}",
                "code_change({down, _}, {2, N}, _) -> {ok, {1, N}};\ncode_change(_, S, _) -> {ok, S}.",
            ),
            _ => (
                "{2, N}",
                "code_change({down, _}, {2, N}, _) -> {ok, {1, N}};\ncode_change(_, {1, N}, _) -> {ok, {2, N}}.",
            ),
        };
        let text = format!(
            "-module(kinds).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
             -export([start/1, init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, code_change/3, v/0]).\n\
             start(How) -> {{ok, P}} = gen_server:start(?MODULE, How, []), P.\nv() -> {version}.\n\
             init(How) -> N = How, {{ok, {state}, case How of hibernate -> hibernate; timeout -> 500; _ -> infinity end}}.\n\
             handle_call(state, _, {state} = S) when N =:= hibernate -> {{reply, S, S, hibernate}};\n\
             handle_call(state, _, {state} = S) -> {{reply, S, S}}.\n\
             handle_cast({{continue, To}}, {state}) -> To ! ready, receive go -> ok end, {{noreply, {state}, {{continue, To}}}};\n\
             handle_cast(tick, {state} = S) -> erlang:send_after(20, self(), tick), {{noreply, S}}.\n\
             handle_continue(To, {state}) -> To ! {{continued, {version}}}, {{noreply, {state}}}.\n\
             handle_info(tick, {state} = S) -> erlang:send_after(20, self(), tick), {{noreply, S}};\n\
             handle_info(timeout, {state} = S) -> {{noreply, S, 500}}.\n{change}\n"
        );
        ("kinds".to_owned(), text)
    };
    let folder = TempDir::new().expect("a folder");
    let old = compiled(&folder.path().join("one"), &[source(1)]);
    let new = compiled(&folder.path().join("two"), &[source(2)]);
    let node = node_with(&old);
    node.eval(
        "begin Ps = [kinds:start(How) || How <- [hibernate, timeout, tick, continue, plain]], \
         [gen_server:cast(P, tick) || P <- [lists:nth(3, Ps)]], persistent_term:put(asked, Ps), \
         Me = spawn(fun W() -> receive ready -> W(); {continued, V} -> persistent_term:put(continued, V), W() end end), \
         gen_server:cast(lists:nth(4, Ps), {continue, Me}) end",
    );
    let text = format!("plan \"Kinds\".\ncode push [{new:?}].\nold from {old:?}.\nwindow live.\n");
    let desk = Desk::rehearsing();
    let plan = desk.write("kinds.updo", &text).display().to_string();
    let run = desk.on(&node, &["run", &plan, "--yes"]).start();
    node.await_true("kinds:v() =:= 2");
    node.eval("persistent_term:put(born, kinds:start(born))");
    node.eval("begin timer:sleep(200), lists:nth(4, persistent_term:get(asked)) ! go end");
    run.wait().exits(0).says(&["5 states converted"]);
    assert_eq!(
        node.eval_text("[gen_server:call(P, state) || P <- persistent_term:get(asked) ++ [persistent_term:get(born)]]"),
        "[{2,hibernate},{2,timeout},{2,tick},{2,continue},{2,plain},{2,born}]"
    );
    // The callback was one of the old version, and what it is continued by is one of the new.
    assert_eq!(node.eval_text("persistent_term:get(continued)"), "2");
    // It hibernates again; how that is seen depends on the release.
    node.await_true(
        "begin {_, {_, F, _}} = process_info(hd(persistent_term:get(asked)), current_function), \
         string:find(atom_to_list(F), \"hibernate\") =/= nomatch end",
    );
}

/// A GenServer of Elixir, whose struct has one key more.
#[test]
fn a_genserver_of_elixir() {
    let source = |fields: &str, version: u32, change: &str| {
        format!(
            "defmodule Dock.State do\n  defstruct [{fields}]\nend\n\
             defmodule Dock do\n  use GenServer\n  @vsn {version}\n  def start(n), do: GenServer.start(__MODULE__, n)\n\
             \x20 def init(n), do: {{:ok, struct(Dock.State, count: n)}}\n\
             \x20 def handle_call(:state, _, state), do: {{:reply, {{{version}, Map.from_struct(state)}}, state}}\n{change}\nend\n"
        )
    };
    let folder = TempDir::new().expect("a folder");
    let change = "  def code_change({:down, _}, state, _), do: {:ok, Map.delete(state, :last)}\n\
                  \x20 def code_change(_, state, _), do: {:ok, Map.put(state, :last, 0)}";
    let old = elixir(&folder.path().join("one"), &source("count: 0", 1, ""));
    let new = elixir(
        &folder.path().join("two"),
        &source("count: 0, last: 0", 2, change),
    );
    let node = elixir_node(&old);
    node.eval(
        "persistent_term:put(asked, [element(2, 'Elixir.Dock':start(N)) || N <- lists:seq(1, 20)])",
    );
    let text = format!("plan \"Dock\".\ncode push [{new:?}].\nold from {old:?}.\nwindow live.\n");
    let desk = Desk::rehearsing();
    let plan = desk.write("dock.updo", &text).display().to_string();
    desk.on(&node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .says(&["live ok", "no process suspended", "20 states converted"]);
    assert_eq!(
        node.eval_text(
            "[gen_server:call(P, state) || P <- lists:sublist(persistent_term:get(asked), 2)]"
        ),
        "[{2,#{count => 1,last => 0}},{2,#{count => 2,last => 0}}]"
    );
}

/// Nothing of it depends on the command line: another program that does not rehearse is refused.
#[test]
fn a_program_that_has_not_rehearsed_is_refused() {
    let stage = purses(3, "", "");
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
    let mut upgrade = node.prepare().expect("it can be compared");
    let outcome = node.run(&upgrade, &mut |_| {});
    let codes: Vec<Code> = outcome.errors.iter().map(|error| error.code).collect();
    assert_eq!(codes, [Code::E425]);
    assert_eq!(states(&stage), "[{1,old}]");
    let done = node.rehearse_first(&upgrade, &mut |_, _, _| {});
    let done = done.expect("it can be tried").expect("there are states");
    assert_eq!(upgrade.rehearsed(&done), None);
    let outcome = node.run(&upgrade, &mut |_| {});
    assert!(outcome.is_good(), "{:?}", outcome.errors);
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    stage.is_clean();
}
