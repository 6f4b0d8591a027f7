//! `window live` for state machines (gen_statem): the data of each is converted, in both callback modes.

use crate::rehearsal::Stage;

/// A door with the data `{Version, N}`; `weigh/3` is no state, and is called within a callback. `change` are the first
/// clauses of `code_change`.
fn door(version: u32, mode: &str, change: &str) -> (String, String) {
    let change = match version {
        1 => "code_change(_, S, D, _) -> {ok, S, D}.".to_owned(),
        _ => format!(
            "{change}\ncode_change({{down, _}}, S, {{2, N}}, _) -> {{ok, S, {{1, N}}}};\n\
             code_change(_, S, {{1, N}}, _) -> {{ok, S, {{2, N}}}}."
        ),
    };
    let events = match mode {
        "state_functions" => {
            "closed(T, E, D) -> event(T, E, closed, D).\nopen(T, E, D) -> event(T, E, open, D)."
        }
        _ => "handle_event(T, E, S, D) -> event(T, E, S, D).",
    };
    let exports = match mode {
        "state_functions" => "closed/3, open/3",
        _ => "handle_event/4",
    };
    let text = format!(
        "-module(door).\n-behaviour(gen_statem).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, callback_mode/0, {exports}, weigh/3, code_change/4, v/0]).\n\
         start(N) -> {{ok, P}} = gen_statem:start(?MODULE, N, []), P.\nv() -> {version}.\ncallback_mode() -> {mode}.\n\
         init(N) -> {{ok, closed, {{{version}, N}}}}.\n{events}\n\
         weigh(_, _, X) -> X.\n\
         event({{call, F}}, state, S, {{{version}, N}}) -> M = erlang:list_to_existing_atom(\"door\"), {{1, N}} = M:weigh(a, b, {{1, N}}),\n\
         \x20   {{keep_state_and_data, [{{reply, F, {{S, {version}, N}}}}]}};\n\
         event({{call, F}}, {{to, New}}, _, {{{version}, N}}) -> {{next_state, New, {{{version}, N + 1}}, [{{reply, F, ok}}]}};\n\
         event(cast, {{later, To}}, closed, {{{version}, _}}) -> {{keep_state_and_data, [postpone]}};\n\
         event(cast, {{later, To}}, open, {{{version}, N}}) -> To ! {{later, {version}, N}}, keep_state_and_data;\n\
         event(cast, F, _, {{{version}, N}}) -> F(), {{keep_state, {{{version}, N + 1}}}}.\n{change}\n"
    );
    ("door".to_owned(), text)
}

/// Twenty doors, of which every other one is open.
fn doors(mode: (&str, &str), change: &str) -> Stage {
    let start = "begin Ps = [door:start(N) || N <- lists:seq(1, 20)], \
                 [ok = gen_statem:call(P, {to, open}) || {N, P} <- lists:zip(lists:seq(1, 20), Ps), N rem 2 =:= 0], \
                 persistent_term:put(asked, Ps) end";
    let (old, new) = (door(1, mode.0, ""), door(2, mode.1, change));
    Stage::planned(&[old], &[new], start, "window live.")
}

fn states(stage: &Stage) -> String {
    stage.node.eval_text(
        "lists:usort([{S, V} || P <- persistent_term:get(asked), {S, V, _} <- [gen_statem:call(P, state)]]) ++ \
         [left || P <- persistent_term:get(asked), {_, D} <- [process_info(P, dictionary)], {K, _} <- D, \
         is_atom(K), string:find(atom_to_list(K), \"updo\") =/= nomatch]",
    )
}

#[test]
fn both_callback_modes() {
    for mode in ["state_functions", "handle_event_function"] {
        let stage = doors((mode, mode), "");
        // One that is called all the time, and an event that is postponed to the new version.
        stage.node.eval(
            "begin [P, Q | _] = persistent_term:get(asked), gen_statem:cast(P, {later, self()}), \
             Call = fun Call(N) -> {_, _, _} = gen_statem:call(Q, state), \
             receive {seen, To} -> To ! {called, N} after 0 -> Call(N + 1) end end, \
             register(calls, spawn(fun() -> Call(0) end)) end",
        );
        stage
            .run(&[])
            .exits(0)
            .says(&["live ok", "no process suspended", "20 states converted"]);
        assert_eq!(states(&stage), "[{closed,2},{open,2}]", "{mode}");
        assert_eq!(
            stage.node.eval_text(
                "begin calls ! {seen, self()}, receive {called, N} when N > 0 -> called after 9000 -> none end end"
            ),
            "called"
        );
        let later = stage.node.eval_text(
            "begin [P | _] = persistent_term:get(asked), gen_statem:cast(P, {later, self()}), ok = gen_statem:call(P, {to, open}), \
             receive {later, V, N} -> {V, N} after 5000 -> none end end",
        );
        assert_eq!(later, "{2,2}", "{mode}");
        stage.is_clean();
    }
}

/// A window with suspended processes can change the name of a state; here the process would be in another function.
#[test]
fn a_name_that_changes_turns_it_round() {
    let stage = doors(
        ("state_functions", "state_functions"),
        "code_change(_, open, {1, 12}, _) -> {ok, open, {2, 12}};\ncode_change(_, closed, {1, 7}, _) -> {ok, open, {2, 7}};",
    );
    // One that keeps its data in every callback.
    stage.node.eval(
        "begin Q = lists:nth(2, persistent_term:get(asked)), \
         Call = fun Call() -> {_, _, _} = gen_statem:call(Q, state), receive stop -> ok after 0 -> Call() end end, \
         register(calls, spawn(fun() -> Call() end)) end",
    );
    stage.run(&[]).exits(20).says(&[
        "E604",
        "it changes the name of the state, from closed to open",
        "old code and states are back",
    ]);
    stage.node.eval("calls ! stop");
    assert_eq!(states(&stage), "[{closed,1},{open,1}]");
    stage.is_clean();
}

#[test]
fn another_callback_mode_needs_suspended_processes() {
    let stage = doors(("state_functions", "handle_event_function"), "");
    stage.run(&[]).exits(14).says(&[
        "E425",
        "`door`: its callback mode changes",
        "no module of it was switched",
        "is as before",
    ]);
    assert_eq!(states(&stage), "[{closed,1},{open,1}]");
    stage.is_clean();
}
