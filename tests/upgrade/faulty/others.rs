//! Supervisors, and servers that know each other.

use crate::support::invented::Dice;

use super::case::Case;

/// A supervisor whose `init/1` changes.
pub fn supervisor(dice: &mut Dice, name: String, fault: Option<&'static str>) -> Case {
    let processes = 1 + dice.below(4);
    let source = |version: u32, init: &str| {
        format!(
            "-module({name}).\n-behaviour(supervisor).\n-vsn({version}).\n-export([start/1, child/1, ask/1, init/1]).\n\
             start(N) -> {{ok, P}} = supervisor:start_link(?MODULE, N), unlink(P), P.\n\
             child(N) -> {{ok, spawn_link(fun() -> receive N -> ok end end)}}.\n\
             ask(P) -> {{{version}, length([C || {{_, C, _, _}} <- supervisor:which_children(P), is_pid(C)])}}.\n{init}\n"
        )
    };
    let worker = "#{id => worker, start => {?MODULE, child, [N]}}";
    let one = format!("init(N) -> {{ok, {{#{{}}, [{worker}]}}}}.");
    let more = "#{id => more, start => {?MODULE, child, [N]}, restart => transient}";
    let (two, children) = match fault {
        Some(_) => {
            let texts = [
                format!(
                    "init(N) -> {{ok, {{#{{}}, [{worker}, #{{id => more, start => child}}]}}}}."
                ),
                format!("init(N) -> {{ok, {{#{{}}, [{worker}, #{{id => more}}]}}}}."),
                format!("init(N) when N < 0 -> {{ok, {{#{{}}, [{worker}]}}}}."),
                format!("init([N]) -> {{ok, {{#{{}}, [{worker}]}}}}."),
                format!("init(N) -> {{#{{}}, [{worker}]}}."),
                format!("init(N) -> {{ok, [{worker}]}}."),
                format!("init(N) -> {{ok, {{#{{intensity => 1 + N rem 0}}, [{worker}]}}}}."),
                format!(
                    "init(N) -> {{ok, {{#{{}}, [{worker}, {{more, {{?MODULE, child, [N]}}, permanently, 100, worker, []}}]}}}}."
                ),
                format!("init(N) -> {{ok, {{#{{strategy => one_for_none}}, [{worker}]}}}}."),
                format!("init(N) -> {{ok, {{#{{}}, [{worker}, {worker}]}}}}."),
                format!("init(N) -> {{ok, {{#{{intensity => -1}}, [{worker}]}}}}."),
                format!("init(N) -> {{ok, {{{{one_for_one, 1}}, [{worker}]}}}}."),
            ];
            (texts[dice.below(texts.len())].clone(), 1)
        }
        None => {
            let texts = [
                (format!("init(N) -> {{ok, {{#{{intensity => 7}}, [{worker}, {more}]}}}}."), 2),
                (format!("init(N) -> {{ok, {{#{{strategy => one_for_all}}, [{worker}]}}}}."), 1),
                (format!("init(N) -> {{ok, {{{{one_for_one, 3, 10}}, [{worker}]}}}}."), 1),
                (
                    "init(N) -> {ok, {{one_for_one, 3, 10}, [{worker, {?MODULE, child, [N]}, permanent, 100, worker, dynamic}]}}."
                        .to_owned(),
                    1,
                ),
                (
                    format!(
                        "init(N) -> Some = [#{{id => {{more, X}}, start => {{?MODULE, child, [X]}}}} || X <- lists:seq(1, 2)], {{ok, {{#{{}}, [{worker} | Some]}}}}."
                    ),
                    3,
                ),
                (format!("init(N) -> io:format(\"\"), {{ok, {{flags(), [{worker}]}}}}.\nflags() -> #{{period => 9}}."), 1),
                ("init(_) -> ignore.".to_owned(), 1),
            ];
            let at = dice.below(texts.len());
            texts[at].clone()
        }
    };
    Case {
        about: format!("{name}: {processes} x supervisor, {two}"),
        fault,
        elixir: false,
        one: vec![(name.clone(), source(1, &one))],
        two: vec![(name.clone(), source(2, &two))],
        start: format!("[{name}:start(N) || N <- lists:seq(1, {processes})]"),
        plan: String::new(),
        ask: format!("{name}:ask(P)"),
        before: format!("[{{1, 1}} || _ <- lists:seq(1, {processes})]"),
        after: format!("[{{2, {children}}} || _ <- lists:seq(1, {processes})]"),
        heavy: false,
        name,
    }
}

/// A server whose conversion asks another one, which is suspended in the same window or not. It is answered, unless the
/// conversion of the other one asks it in turn.
pub fn peers(dice: &mut Dice, name: String, fault: Option<&'static str>) -> Case {
    let processes = 1 + dice.below(5);
    let peer = |version: u32| {
        let change = match fault {
            Some(_) => format!(
                "code_change(_, N, _) -> {{_, _}} = gen_server:call({name}_front, what, 900), {{ok, N}}."
            ),
            None => "code_change(_, N, _) -> {ok, N}.".to_owned(),
        };
        format!(
            "-module({name}_peer).\n-behaviour(gen_server).\n-vsn({version}).\n\
             -export([start/0, limit/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start() -> gen_server:start({{local, ?MODULE}}, ?MODULE, 10, []).\nlimit() -> gen_server:call(?MODULE, limit).\n\
             init(N) -> {{ok, N}}.\nhandle_call(v, _, N) -> {{reply, {version}, N}};\nhandle_call(limit, _, N) -> {{reply, N, N}}.\nhandle_cast(_, N) -> {{noreply, N}}.\n{change}\n"
        )
    };
    let server = |version: u32, record: &str, answer: &str, change: &str| {
        format!(
            "-module({name}).\n-behaviour(gen_server).\n-vsn({version}).\n-record(st, {{{record}}}).\n\
             -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start(1) -> {{ok, P}} = gen_server:start({{local, {name}_front}}, ?MODULE, 1, []), P;\n\
             start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\ninit(N) -> {{ok, #st{{owner = N}}}}.\n\
             handle_call(what, _, S) -> {{reply, {answer}, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n{change}\n"
        )
    };
    let calls = [
        format!("gen_server:call({name}_peer, limit)"),
        format!("gen_server:call({name}_peer, limit, 1000)"),
        format!("{name}_peer:limit()"),
        "asked()".to_owned(),
        format!("gen_server:call(whereis({name}_peer), limit)"),
    ];
    let call = &calls[dice.below(calls.len())];
    let change = format!(
        "code_change(_, {{st, O}}, _) -> {{ok, #st{{owner = O, limit = {call}}}}}.\n-compile({{nowarn_unused_function, [asked/0]}}).\nasked() -> gen_server:call({name}_peer, limit).\n"
    )
    .replace("-compile({nowarn_unused_function, [asked/0]}).\n", "");
    let one = server(
        1,
        "owner",
        "{1, S#st.owner}",
        "code_change(_, S, _) -> {ok, S}.",
    );
    let two = server(2, "owner, limit", "{2, S#st.owner, S#st.limit}", &change);
    let peer_name = format!("{name}_peer");
    let mut new = vec![(name.clone(), two)];
    // Of a right one the peer is a part of the upgrade or is not.
    if fault.is_some() || dice.chance(50) {
        new.push((peer_name.clone(), peer(2)));
    }
    Case {
        about: format!("{name}: {processes} x server, calls {call}"),
        fault,
        elixir: false,
        one: vec![(name.clone(), one), (peer_name, peer(1))],
        two: new,
        start: format!(
            "{{ok, Peer}} = {name}_peer:start(), [{name}:start(N) || N <- lists:seq(1, {processes})]"
        ),
        plan: String::new(),
        ask: "gen_server:call(P, what, 2000)".to_owned(),
        before: format!("[{{1, N}} || N <- lists:seq(1, {processes})]"),
        after: format!("[{{2, N, 10}} || N <- lists:seq(1, {processes})]"),
        heavy: false,
        name,
    }
}
