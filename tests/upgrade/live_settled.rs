//! What is left of a live window when it has settled: nothing. A process is as it was, or as one that was born in the
//! new version, and what is loaded is the new version as its file has it.

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::support::TestNode;
use crate::support::desk::Desk;

/// A gen_server and a gen_statem, whose states have another form in version 2.
fn sources(version: u32) -> [(String, String); 2] {
    let (new, down) = match version {
        1 => ("S", "S"),
        _ => ("{2, element(2, S)}", "{1, element(2, S)}"),
    };
    let server = format!(
        "-module(lamp).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\n\
         init(N) -> process_flag(trap_exit, true), {{ok, {{{version}, N}}}}.\n\
         handle_call(state, _, {{{version}, _}} = S) -> {{reply, S, S}}.\n\
         handle_cast(_, S) -> {{noreply, S}}.\n\
         code_change({{down, _}}, S, _) -> {{ok, {down}}};\ncode_change(_, S, _) -> {{ok, {new}}}.\n"
    );
    let machine = format!(
        "-module(door).\n-behaviour(gen_statem).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, callback_mode/0, closed/3, code_change/4]).\n\
         start(N) -> {{ok, P}} = gen_statem:start(?MODULE, N, []), P.\ncallback_mode() -> state_functions.\n\
         init(N) -> {{ok, closed, {{{version}, N}}}}.\n\
         closed({{call, F}}, state, {{{version}, _}} = S) -> {{keep_state_and_data, [{{reply, F, S}}]}};\n\
         closed(_, _, _) -> keep_state_and_data.\n\
         code_change({{down, _}}, N, S, _) -> {{ok, N, {down}}};\ncode_change(_, N, S, _) -> {{ok, N, {new}}}.\n"
    );
    [("lamp".to_owned(), server), ("door".to_owned(), machine)]
}

/// What a process is beside its state and what it does at the moment.
const LOOKS: &str = "fun(P) ->
    Items = [dictionary, initial_call, links, monitors, registered_name, trap_exit, priority, error_handler, group_leader,
             suspending, messages, garbage_collection, status, current_function],
    Kept = fun({garbage_collection, L}) -> lists:keydelete(minor_gcs, 1, L); ({dictionary, D}) -> lists:sort(D); (Item) -> Item end,
    {[Kept(Item) || Item <- process_info(P, Items)], proc_lib:initial_call(P), proc_lib:translate_initial_call(P),
     [erlang:trace_info(P, What) || What <- [flags, tracer]]}
end";

/// `sys:get_status/1` with each pid, reference, fun, number and text as a word. A process dictionary has no order.
const STATUS: &str = "fun(P) ->
    Form = fun Form(T) when is_pid(T) -> pid; Form(T) when is_reference(T) -> ref; Form(T) when is_function(T) -> function;
               Form(T) when is_number(T) -> number;
               Form([{'$initial_call', _} = Call, {'$ancestors', _} = Next]) -> [Form(Next), Form(Call)];
               Form([H | T] = L) -> case io_lib:printable_list(L) of true -> text; false -> [Form(H) | Form(T)] end;
               Form(T) when is_tuple(T) -> list_to_tuple([Form(E) || E <- tuple_to_list(T)]);
               Form(T) when is_map(T) -> maps:from_list([Form(E) || E <- maps:to_list(T)]); Form(T) -> T end,
    Form(sys:get_status(P))
end";

/// What of a module is loaded.
const LOADED: &str = "[{M, [{What, M:module_info(What)} || What <- [md5, exports, functions, attributes, compile, nifs]],
    erlang:trace_info({M, handle_call, 3}, all), erlang:trace_info({M, closed, 3}, all)} || M <- [lamp, door]]";

struct Stage {
    _folder: TempDir,
    node: TestNode,
    /// A node that was started with the new version.
    fresh: TestNode,
    desk: Desk,
    plan: String,
}

impl Stage {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let one = compiled(&folder.path().join("one"), &sources(1));
        let two = compiled(&folder.path().join("two"), &sources(2));
        let (node, fresh) = (node_with(&one), node_with(&two));
        for node in [&node, &fresh] {
            node.eval(
                "persistent_term:put(asked, [lamp:start(N) || N <- lists:seq(1, 20)] ++ [door:start(N) || N <- lists:seq(1, 20)])",
            );
        }
        let desk = Desk::rehearsing();
        let text =
            format!("plan \"Settled\".\ncode push [{two:?}].\nold from {one:?}.\nwindow live.\n");
        let plan = desk.write("live.updo", &text).display().to_string();
        Self {
            _folder: folder,
            node,
            fresh,
            desk,
            plan,
        }
    }
}

fn of_all(node: &TestNode, what: &str) -> String {
    node.eval_text(&format!("[({what})(P) || P <- persistent_term:get(asked)]"))
}

#[test]
fn nothing_of_it_is_left() {
    let stage = Stage::new();
    let node = &stage.node;
    let before = of_all(node, LOOKS);
    stage
        .desk
        .on(node, &["run", &stage.plan, "--yes"])
        .run()
        .exits(0)
        .says(&["40 states converted", "no process suspended"]);
    // What processes keep of the transition is erased by the last message that they get.
    node.await_true("[x || P <- persistent_term:get(asked), {message_queue_len, N} <- [process_info(P, message_queue_len)], N > 0] =:= []");
    assert_eq!(of_all(node, LOOKS), before);
    let loaded = |node: &TestNode| node.eval_text(LOADED);
    assert_eq!(loaded(node), loaded(&stage.fresh));
    // The behaviours see one process as the other.
    let fresh = of_all(&stage.fresh, STATUS);
    let fresh = fresh.replace(stage.fresh.name(), node.name());
    assert_eq!(of_all(node, STATUS), fresh);
    let born = "[({S})(P) || P <- [lamp:start(1), door:start(1)]] =:= \
                [({S})(lists:nth(N, persistent_term:get(asked))) || N <- [1, 21]]";
    assert_eq!(node.eval_text(&born.replace("{S}", STATUS)), "true");
    // No module of updo, and no shim: nothing has made funs of it.
    let left =
        "[M || {M, _} <- code:all_loaded(), string:find(atom_to_list(M), \"updo\") =/= nomatch]";
    node.await_true(&format!("{left} =:= []"));
    assert_eq!(
        node.eval_text("[{erlang:check_old_code(M), code:soft_purge(M), erlang:check_old_code(M)} || M <- [lamp, door]]"),
        "[{false,true,false},{false,true,false}]"
    );
    assert_eq!(
        node.eval_text("[gen_server:call(P, state) || P <- persistent_term:get(asked)]"),
        stage
            .fresh
            .eval_text("[gen_server:call(P, state) || P <- persistent_term:get(asked)]")
    );
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
}
