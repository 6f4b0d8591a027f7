//! Conversions that compute are computed before the switch, with all suspended: one that fails leaves the node untouched.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::inferred_children::elixir;
use crate::support::apps::witness;
use crate::support::desk::{Desk, Ran};
use crate::support::{Options, TestNode};

/// A server with the state `{purse, N}`, with these clauses of `code_change`.
fn purse(version: u32, code_change: &str) -> (String, String) {
    let text = format!(
        "-module(purse).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\n\
         init(N) -> {{ok, {{purse, N}}}}.\nhandle_call(_, _, S) -> {{reply, {{{version}, S}}, S}}.\n\
         handle_cast(_, S) -> {{noreply, S}}.\n{code_change}\n"
    );
    ("purse".to_owned(), text)
}

const SAME: &str = "code_change(_, S, _) -> {ok, S}.";

struct Stage {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: PathBuf,
}

impl Stage {
    /// Version 1 runs; `start` gives the pids that are asked.
    fn new(one: &[(String, String)], two: &[(String, String)], start: &str, more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let old = compiled(&folder.path().join("one"), one);
        let new = compiled(&folder.path().join("two"), two);
        let node = node_with(&old);
        let text = format!("plan \"Ahead\".\ncode push [{new:?}].\nold from {old:?}.\n{more}\n");
        Self::on(folder, node, start, &text)
    }

    fn on(folder: TempDir, node: TestNode, start: &str, plan: &str) -> Self {
        node.eval(&format!("persistent_term:put(asked, {start})"));
        let desk = Desk::new();
        let plan = desk.write("ahead.updo", plan);
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    fn purses(number: u32, code_change: &str, more: &str) -> Self {
        let start = format!("[purse:start(N) || N <- lists:seq(1, {number})]");
        Self::new(&[purse(1, SAME)], &[purse(2, code_change)], &start, more)
    }

    /// A process that looks all the time whether other code of a module is loaded, and one that calls all the time.
    fn watch(&self, module: &str) {
        self.node.eval(&format!(
            "begin Md5 = erlang:get_module_info({module}, md5), \
             Look = fun Look(N) -> case erlang:get_module_info({module}, md5) of Md5 -> receive {{seen, P}} -> P ! {{same, N}} \
                 after 0 -> Look(N + 1) end; _ -> receive {{seen, P}} -> P ! switched end end end, \
             register(looks, spawn(fun() -> Look(0) end)), Ps = persistent_term:get(asked), \
             Call = fun Call(N) -> [_ = gen_server:call(P, what, infinity) || P <- Ps], receive {{seen, P}} -> P ! {{called, N}} \
                 after 0 -> Call(N + 1) end end, register(calls, spawn(fun() -> Call(0) end)) end"
        ));
    }

    /// What these two have seen.
    fn seen(&self) -> String {
        self.node.eval_text(
            "begin [N ! {seen, self()} || N <- [looks, calls]], \
             {receive {same, A} when A > 100 -> same; switched -> switched after 9000 -> none end, \
              receive {called, B} when B > 0 -> called after 9000 -> none end} end",
        )
    }

    fn states(&self) -> String {
        self.node
            .eval_text("[gen_server:call(P, what) || P <- persistent_term:get(asked)]")
    }

    fn run(&self, more: &[&str]) -> Ran {
        let plan = self.plan.display().to_string();
        let args = [&["run", &plan, "--yes"], more].concat();
        let ran = self.desk.on(&self.node, &args).run();
        self.is_clean();
        ran
    }

    /// No process is suspended, no trace of the run is left in one, and no twin.
    fn is_clean(&self) {
        assert_eq!(self.node.eval_text("witness:left_to(5000)"), "[]");
        let left = "[K || P <- processes(), {dictionary, D} <- [process_info(P, dictionary)], {K, _} <- D, \
                     K =:= '$updo_computed' orelse K =:= '$updo_saved' orelse (is_tuple(K) andalso tuple_size(K) =:= 3 \
                     andalso element(1, K) =:= '$updo_computed')] ++ \
                    [M || {M, _} <- code:all_loaded(), string:find(atom_to_list(M), \"updo\") =/= nomatch]";
        assert_eq!(self.node.eval_text(left), "[]");
    }
}

#[test]
fn one_of_two_hundred_fails_and_nothing_is_switched() {
    let stage = Stage::purses(
        200,
        "code_change(_, {purse, 137}, _) -> error({torn, 137});\n\
         code_change(_, {purse, N}, _) -> {ok, {purse, N, 0}}.",
        "",
    );
    let before = stage.states();
    stage.watch("purse");
    let ran = stage.run(&["--events", "events.jsonl"]).exits(20).says(&[
        "compute",
        "E604",
        "code_change of purse failed in",
        "{torn,137} in purse:code_change/3 (purse.erl, line 9)",
        "nothing was changed: no module was switched",
        "not upgraded",
        "is as before",
    ]);
    assert!(!ran.to_string().contains("@updo"), "{ran}");
    assert!(!ran.to_string().contains("rolled back"), "{ran}");
    assert_eq!(stage.seen(), "{same,called}");
    assert_eq!(stage.states(), before);
    let events = stage.desk.read("events.jsonl");
    assert!(!events.contains("\"step\":\"load\""), "{events}");
    // Nothing is left to be undone or mended.
    let node = stage.node.name();
    stage.desk.on(&stage.node, &["mend", node]).run().exits(0);
    assert_eq!(stage.states(), before);
}

#[test]
fn what_is_returned_or_never_ends_is_found_as_well() {
    for (clause, words) in [
        ("{error, full}", "{error,full}"),
        ("{purse, 7, 0}", "{purse,7,0}"),
        ("turn(0)", "it takes longer than 700 ms"),
        ("throw(away)", "away"),
    ] {
        let stage = Stage::purses(
            20,
            &format!(
                "code_change(_, {{purse, 7}}, _) -> {clause};\n\
                 code_change(_, {{purse, N}}, _) -> {{ok, {{purse, N, 0}}}}.\n\
                 turn(N) -> turn(N + 1)."
            ),
            "module purse #{timeout => 700ms}.",
        );
        let before = stage.states();
        stage.watch("purse");
        stage
            .run(&[])
            .exits(20)
            .says(&["E604", words, "nothing was changed", "is as before"]);
        assert_eq!(stage.seen(), "{same,called}", "{clause}");
        assert_eq!(stage.states(), before);
    }
}

#[test]
fn what_was_computed_is_installed() {
    let stage = Stage::purses(
        200,
        "code_change(\"1\", {purse, N}, []) -> {ok, {purse, N, self()}}.",
        "",
    );
    let ran = stage.run(&[]).exits(0);
    ran.says(&["compute", "convert", "200 states converted"]);
    let right = "lists:all(fun(X) -> X end, [{2, {purse, N, P}} =:= gen_server:call(P, what) || \
                 {N, P} <- lists:zip(lists:seq(1, 200), persistent_term:get(asked))])";
    assert_eq!(stage.node.eval_text(right), "true");
}

/// Funs of a twin must not stay in a state: it is made again by the new version itself.
#[test]
fn a_state_with_a_fun() {
    let stage = Stage::purses(
        20,
        "code_change(_, {purse, N}, _) -> {ok, {purse, N, #{left => [fun(X) -> N - X end]}}}.",
        "",
    );
    stage.run(&[]).exits(0).says(&["20 states converted"]);
    let funs = "lists:usort([{element(2, erlang:fun_info(F, module)), F(N)} || P <- persistent_term:get(asked), \
                {2, {purse, N, #{left := [F]}}} <- [gen_server:call(P, what)]])";
    assert_eq!(stage.node.eval_text(funs), "[{purse,0}]");
}

/// A conversion that acts is no affair of twins.
#[test]
fn one_that_acts_converts_after_the_switch() {
    let stage = Stage::purses(
        5,
        "code_change(_, {purse, N}, _) -> ets:insert(counted, {N}), {ok, {purse, N, 0}}.",
        "",
    );
    stage
        .node
        .eval("ets:give_away(ets:new(counted, [named_table, public]), whereis(init), x)");
    let ran = stage.run(&[]).exits(0);
    assert!(!ran.to_string().contains("compute"), "{ran}");
    assert_eq!(stage.node.eval_text("ets:info(counted, size)"), "5");
}

/// The beams are overwritten in place and no copy is kept: a conversion that fails has changed nothing, and one that is
/// right is run.
#[test]
fn without_the_old_beams() {
    for (code_change, exit, words) in [
        (
            "code_change(_, {purse, 3}, _) -> error(torn);\ncode_change(_, {purse, N}, _) -> {ok, {purse, N, 0}}.",
            20,
            "nothing was changed",
        ),
        (
            "code_change(_, {purse, N}, _) -> {ok, {purse, N, 0}}.",
            0,
            "5 states converted",
        ),
    ] {
        let folder = TempDir::new().expect("a folder");
        let place = folder.path().join("one");
        let ebin = compiled(&place, &[purse(1, SAME)]);
        let node = node_with(&ebin);
        let start = "[purse:start(N) || N <- lists:seq(1, 5)]";
        let plan = "plan \"In place\".\ncode on_disk.\n";
        let stage = Stage::on(folder, node, start, plan);
        compiled(&place, &[purse(2, code_change)]);
        let before = stage.states();
        let ran = stage.run(&[]).exits(exit).says(&[words]);
        assert!(!ran.to_string().contains("E317"), "{ran}");
        match exit {
            0 => assert!(stage.states().contains("{2,{purse,5,0}}")),
            _ => assert_eq!(stage.states(), before),
        }
    }
    // A check afterwards is no reason to refuse what runs without it.
    let folder = TempDir::new().expect("a folder");
    let place = folder.path().join("one");
    let node = node_with(&compiled(&place, &[purse(1, SAME)]));
    let plan = "plan \"In place\".\ncode on_disk.\nverify \"it lives\" -> true.\n";
    let stage = Stage::on(folder, node, "[purse:start(1)]", plan);
    compiled(
        &place,
        &[purse(
            2,
            "code_change(_, {purse, N}, _) -> {ok, {purse, N, 0}}.",
        )],
    );
    let ran = stage.run(&[]).exits(0).says(&["W317", "`it lives`"]);
    assert!(!ran.to_string().contains("E317"), "{ran}");
}

/// What a rehearsal has tried right before is computed together with the suspension, and installed together with the
/// resume. Something that resumes one of the processes meanwhile makes it go on from another state: it is converted from
/// that, and named when it cannot be. Here the conversion of another server does it, behind the switch.
#[test]
fn a_process_that_something_else_resumes_in_the_window() {
    let meddler = |version: u32, change: &str| {
        let text = format!(
            "-module(meddler).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
             -export([init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             init(P) -> {{ok, P}}.\nhandle_call(_, _, S) -> {{reply, S, S}}.\n\
             handle_cast(_, S) -> {{noreply, S}}.\n{change}\n"
        );
        ("meddler".to_owned(), text)
    };
    let meddles = "code_change(_, P, _) ->\n sys:resume(P),\n\
                   sys:replace_state(P, fun({purse, N}) -> {purse, N + 1000} end),\n sys:suspend(P),\n {ok, P}.";
    let start = "begin Ps = [purse:start(N) || N <- lists:seq(1, 20)], {ok, _} = gen_server:start(meddler, lists:nth(7, Ps), []), Ps end";
    for (most, exit) in [(5_000, 0), (900, 21)] {
        let change =
            format!("code_change(_, {{purse, N}}, _) when N < {most} -> {{ok, {{purse, N, 0}}}}.");
        let one = [purse(1, SAME), meddler(1, SAME)];
        let two = [purse(2, &change), meddler(2, meddles)];
        let mut stage = Stage::new(&one, &two, start, "");
        let plan = std::fs::read_to_string(&stage.plan).expect("the plan");
        stage.desk = Desk::rehearsing();
        stage.plan = stage.desk.write("ahead.updo", &plan);
        let ran = stage.run(&[]).exits(exit);
        let states = stage.states();
        assert!(states.contains("{2,{purse,6,0}},{2,{purse,"), "{states}");
        match exit {
            0 => assert!(states.contains("{2,{purse,1007,0}}"), "{states} {ran}"),
            _ => {
                ran.says(&[
                    "E609",
                    "something else has resumed before their time",
                    "of purse: the old state under the new code",
                    "updo mend",
                ]);
                assert!(states.contains("{2,{purse,1007}}"), "{states}");
            }
        }
    }
}

#[test]
fn state_machines() {
    let lamp = |version: u32, mode: &str, change: &str| {
        let text = format!(
            "-module(lamp).\n-behaviour(gen_statem).\n-vsn(\"{version}\").\n\
             -export([start/1, init/1, callback_mode/0, handle_event/4, lit/3, code_change/4]).\n\
             start(N) -> {{ok, P}} = gen_statem:start(?MODULE, N, []), P.\n\
             init(N) -> {{ok, lit, N}}.\ncallback_mode() -> {mode}.\n\
             handle_event({{call, F}}, _, S, D) -> {{keep_state_and_data, [{{reply, F, {{{version}, S, D}}}}]}}.\n\
             lit({{call, F}}, _, D) -> {{keep_state_and_data, [{{reply, F, {{{version}, lit, D}}}}]}}.\n{change}\n"
        );
        ("lamp".to_owned(), text)
    };
    let one = lamp(
        1,
        "handle_event_function",
        "code_change(_, S, D, _) -> {ok, S, D}.",
    );
    let start = "[lamp:start(N) || N <- [1, 2, 3]]";
    let fails = "code_change(_, S, N, _) when N < 3 -> {ok, S, [N]}.";
    let two = lamp(2, "handle_event_function", fails);
    let stage = Stage::new(std::slice::from_ref(&one), &[two], start, "");
    stage.watch("lamp");
    stage.run(&[]).exits(20).says(&[
        "function_clause",
        "lamp:code_change/4",
        "nothing was changed",
    ]);
    assert_eq!(stage.seen(), "{same,called}");
    assert_eq!(stage.states(), "[{1,lit,1},{1,lit,2},{1,lit,3}]");
    // The callback mode the same, and another one.
    for mode in ["handle_event_function", "state_functions"] {
        let two = lamp(2, mode, "code_change(\"1\", S, N, _) -> {ok, S, [N]}.");
        let stage = Stage::new(std::slice::from_ref(&one), &[two], start, "");
        stage
            .run(&[])
            .exits(0)
            .says(&["compute", "3 states converted"]);
        assert_eq!(
            stage.states(),
            "[{2,lit,[1]},{2,lit,[2]},{2,lit,[3]}]",
            "{mode}"
        );
    }
}

#[test]
fn handlers_of_events() {
    let bell = |version: u32, change: &str| {
        let text = format!(
            "-module(bell).\n-behaviour(gen_event).\n-vsn(\"{version}\").\n\
             -export([init/1, handle_event/2, handle_call/2, code_change/3]).\n\
             init(N) -> {{ok, N}}.\nhandle_event(_, S) -> {{ok, S}}.\n\
             handle_call(_, S) -> {{ok, {{{version}, S}}, S}}.\n{change}\n"
        );
        ("bell".to_owned(), text)
    };
    let start = "begin {ok, P} = gen_event:start(), gen_event:add_handler(P, bell, 1), gen_event:add_handler(P, {bell, b}, 2), \
                 persistent_term:put(bells, P), [] end";
    let asks = "[gen_event:call(persistent_term:get(bells), H, what) || H <- [bell, {bell, b}]]";
    for (change, exit, after) in [
        (
            "code_change(_, N, _) when N < 2 -> {ok, [N]}.",
            20,
            "[{1,1},{1,2}]",
        ),
        (
            "code_change(\"1\", N, _) -> {ok, [N]}.",
            0,
            "[{2,[1]},{2,[2]}]",
        ),
    ] {
        let stage = Stage::new(&[bell(1, SAME)], &[bell(2, change)], start, "");
        stage.run(&[]).exits(exit).says(&["compute"]);
        assert_eq!(stage.node.eval_text(asks), after);
    }
}

#[test]
fn special_processes() {
    let bird = |version: u32, change: &str| {
        let text = format!(
            "-module(bird).\n-vsn(\"{version}\").\n\
             -export([start/1, init/2, loop/2, system_continue/3, system_terminate/4, system_code_change/4]).\n\
             start(N) -> {{ok, P}} = proc_lib:start(?MODULE, init, [self(), N]), P.\n\
             init(Parent, N) -> proc_lib:init_ack(Parent, {{ok, self()}}), loop(Parent, {{bird, N}}).\n\
             loop(Parent, S) -> receive {{system, From, Request}} -> \
                 sys:handle_system_msg(Request, From, Parent, ?MODULE, [], S);\n\
               {{'$gen_call', {{To, Tag}}, _}} -> To ! {{Tag, {{{version}, S}}}}, ?MODULE:loop(Parent, S) end.\n\
             system_continue(Parent, _, S) -> ?MODULE:loop(Parent, S).\n\
             system_terminate(Reason, _, _, _) -> exit(Reason).\n{change}\n"
        );
        ("bird".to_owned(), text)
    };
    let one = bird(1, "system_code_change(S, _, _, _) -> {ok, S}.");
    let start = "[bird:start(N) || N <- [1, 2]]";
    for (change, exit, after) in [
        (
            "system_code_change({bird, 1}, bird, \"1\", _) -> {ok, {bird, 1, new}}.",
            20,
            "[{1,{bird,1}},{1,{bird,2}}]",
        ),
        (
            "system_code_change({bird, N}, bird, \"1\", _) -> {ok, {bird, N, new}}.",
            0,
            "[{2,{bird,1,new}},{2,{bird,2,new}}]",
        ),
    ] {
        let stage = Stage::new(std::slice::from_ref(&one), &[bird(2, change)], start, "");
        stage.run(&[]).exits(exit).says(&["compute"]);
        assert_eq!(stage.states(), after);
    }
}

#[test]
fn elixir_servers() {
    let till = |version: u32, change: &str| {
        format!(
            "defmodule Till do\n  use GenServer\n  @vsn \"{version}\"\n\
             \x20 def init(n), do: {{:ok, %{{n: n}}}}\n\
             \x20 def handle_call(_, _, s), do: {{:reply, {{{version}, s}}, s}}\n{change}\nend\n"
        )
    };
    for (change, exit, after) in [
        (
            "def code_change(_, %{n: n}, _) when n < 2, do: {:ok, %{n: n, paid: 0}}",
            20,
            "[{1,#{n => 1}},{1,#{n => 2}}]",
        ),
        (
            "def code_change(\"1\", %{n: n}, _), do: {:ok, %{n: n, paid: 0}}",
            0,
            "[{2,#{n => 1,paid => 0}},{2,#{n => 2,paid => 0}}]",
        ),
    ] {
        let folder = TempDir::new().expect("a folder");
        let old = elixir(&folder.path().join("one"), &till(1, ""));
        let new = elixir(&folder.path().join("two"), &till(2, change));
        let options = Options {
            elixir: true,
            ..Options::default()
        };
        let node = options.path(&old).path(witness()).start();
        let plan = format!("plan \"Tills\".\ncode push [{new:?}].\nold from {old:?}.\n");
        let start = "[element(2, 'Elixir.GenServer':start('Elixir.Till', N)) || N <- [1, 2]]";
        let stage = Stage::on(folder, node, start, &plan);
        stage.run(&[]).exits(exit).says(&["compute"]);
        assert_eq!(stage.states(), after);
    }
}
