//! Conversions that call a process which is suspended in the same window: it answers that call, or it is said before.

use crate::rehearsal::Stage;
use crate::support::desk::Ran;

/// A server with the name `front`; its callback module takes states of its own version only.
fn desk(version: u32) -> (String, String) {
    let text = format!(
        "-module(desk).\n-behaviour(gen_server).\n-export([start/0, start_link/0, limit/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start() -> {{ok, P}} = gen_server:start({{local, front}}, ?MODULE, 10, []), P.\n\
         start_link() -> gen_server:start_link({{local, front}}, ?MODULE, 10, []).\nlimit() -> gen_server:call(front, limit, 500).\n\
         init(N) -> {{ok, {{{version}, N}}}}.\nhandle_call(v, _, {{{version}, N}} = S) -> {{reply, {{{version}, N}}, S}};\n\
         handle_call(stop, _, S) -> {{stop, normal, ok, S}};\nhandle_call(_, _, {{{version}, N}} = S) -> {{reply, N, S}}.\n\
         handle_cast(_, N) -> {{noreply, N}}.\ncode_change({{down, _}}, {{2, N}}, _) -> {{ok, {{1, N}}}};\ncode_change(_, {{1, N}}, _) -> {{ok, {{2, N}}}}.\n"
    );
    ("desk".to_owned(), text)
}

fn till(version: u32, state: &str) -> (String, String) {
    let text = format!(
        "-module(till).\n-behaviour(gen_server).\n-export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start() -> {{ok, P}} = gen_server:start(?MODULE, 1, []), P.\ninit(N) -> {{ok, N}}.\n\
         handle_call(_, _, N) -> {{reply, {{{version}, N}}, N}}.\nhandle_cast(_, N) -> {{noreply, N}}.\n\
         code_change({{down, _}}, N, _) -> {{ok, N}};\ncode_change(_, N, _) -> {{ok, {state}}}.\n"
    );
    ("till".to_owned(), text)
}

fn updo(stage: &Stage, command: &[&str]) -> Ran {
    let plan = stage.plan.display().to_string();
    let args: Vec<&str> = command.iter().copied().chain([&*plan]).collect();
    stage.desk.on(&stage.node, &args).run()
}

fn upgraded(stage: &Stage) -> Ran {
    updo(stage, &["run", "--yes"])
}

fn previewed(stage: &Stage) -> Ran {
    updo(stage, &["preview"])
}

const START: &str =
    "desk:start(), persistent_term:put(tills, [till:start() || _ <- lists:seq(1, 5)])";
const ANSWERS: &str =
    "{[gen_server:call(P, what) || P <- persistent_term:get(tills)], gen_server:call(front, v)}";

/// The called one stays suspended, is converted first, and answers; a rollback converts down.
#[test]
fn a_conversion_that_calls_a_suspended_process() {
    let old = [desk(1), till(1, "N")];
    let stage = Stage::new(&old, &[desk(2), till(2, "N + desk:limit()")], START);
    let preview = previewed(&stage).exits(0);
    assert!(!preview.to_string().contains("W637"), "{preview}");
    preview.prints(&["exact: old code and old states of every process"]);
    upgraded(&stage)
        .exits(0)
        .says(&["6 states converted", "5 calls answered meanwhile"]);
    let answers = "{[{2,11},{2,11},{2,11},{2,11},{2,11}],{2,10}}";
    assert_eq!(stage.node.eval_text(ANSWERS), answers);
    stage
        .desk
        .on(&stage.node, &["rollback", "--yes"])
        .run()
        .exits(0);
    let answers = "{[{1,11},{1,11},{1,11},{1,11},{1,11}],{1,10}}";
    assert_eq!(stage.node.eval_text(ANSWERS), answers);
}

/// The other one takes no part: it answers as always.
#[test]
fn a_conversion_that_calls_a_process_beside_the_upgrade() {
    let old = [desk(1), till(1, "N")];
    let stage = Stage::new(&old, &[till(2, "N + desk:limit()")], START);
    let ran = upgraded(&stage).exits(0);
    assert!(!ran.to_string().contains("W637"), "{ran}");
    assert!(!ran.to_string().contains("answered meanwhile"), "{ran}");
}

/// A conversion fails after the other was answered: everything is as before, the called one too.
#[test]
fn a_conversion_that_fails_after_a_call() {
    let old = [desk(1), till(1, "N")];
    let two = [desk(2), till(2, "begin desk:limit(), error(torn) end")];
    let stage = Stage::new(&old, &two, START);
    upgraded(&stage).exits(20).says(&["E604", "error:torn"]);
    let answers = "{[{1,1},{1,1},{1,1},{1,1},{1,1}],{1,10}}";
    assert_eq!(stage.node.eval_text(ANSWERS), answers);
}

/// A supervisor's new init/1 asks its own child.
#[test]
fn an_init_of_a_supervisor_that_calls_a_child() {
    let shop = |version: u32, ask: &str| {
        let text = format!(
            "-module(shop).\n-behaviour(supervisor).\n-export([start/0, init/1]).\n\
             start() -> {{ok, P}} = supervisor:start_link({{local, shop}}, ?MODULE, x), unlink(P), P.\n\
             init(_) -> {ask} {{ok, {{#{{intensity => {version}}}, [#{{id => desk, start => {{desk, start_link, []}}}}]}}}}.\n"
        );
        ("shop".to_owned(), text)
    };
    // Where there is no desk yet there is no limit.
    let ask = "whereis(front) =:= undefined orelse (10 = desk:limit()),";
    let stage = Stage::new(
        &[desk(1), shop(1, "")],
        &[desk(2), shop(2, ask)],
        "shop:start()",
    );
    upgraded(&stage)
        .exits(0)
        .says(&["1 call answered meanwhile"]);
    let states = "{gen_server:call(front, v), element(6, sys:get_state(shop))}";
    assert_eq!(stage.node.eval_text(states), "{{2,10},2}");
}

/// A special process asks in system_code_change/4.
#[test]
fn a_special_process_that_calls_a_server() {
    let bell = |version: u32, new: &str| {
        let text = format!(
            "-module(bell).\n-export([start/0, init/1, loop/2, system_continue/3, system_terminate/4, system_code_change/4]).\n\
             start() -> {{ok, P}} = proc_lib:start_link(?MODULE, init, [self()]), unlink(P), register(bell, P).\n\
             init(P) -> proc_lib:init_ack({{ok, self()}}), loop(P, 1).\n\
             loop(P, S) -> receive {{system, F, R}} -> sys:handle_system_msg(R, F, P, ?MODULE, [], S); {{ask, A}} -> A ! {{{version}, S}}, loop(P, S) end.\n\
             system_continue(P, _, S) -> ?MODULE:loop(P, S).\nsystem_terminate(R, _, _, _) -> exit(R).\n\
             system_code_change(S, _, _, _) -> {{ok, {new}}}.\n"
        );
        ("bell".to_owned(), text)
    };
    let stage = Stage::new(
        &[desk(1), bell(1, "S")],
        &[desk(2), bell(2, "S + desk:limit()")],
        "desk:start(), bell:start()",
    );
    upgraded(&stage)
        .exits(0)
        .says(&["1 call answered meanwhile"]);
    let asks = "begin bell ! {ask, self()}, receive A -> A after 1000 -> none end end";
    assert_eq!(stage.node.eval_text(asks), "{2,11}");
}

/// An on_load function asks a server of the upgrade, whose state is converted for that.
#[test]
fn an_on_load_function_that_calls_a_server() {
    let conf = |version: u32, limit: &str| {
        let text = format!(
            "-module(conf).\n-on_load(f/0).\n-export([v/0]).\nv() -> persistent_term:get(conf).\n\
             f() -> persistent_term:put(conf, {{{version}, {limit}}}).\n"
        );
        ("conf".to_owned(), text)
    };
    let old = [desk(1), conf(1, "0")];
    let start = "desk:start(), conf:v()";
    let stage = Stage::new(&old, &[desk(2), conf(2, "desk:limit()")], start);
    upgraded(&stage)
        .exits(0)
        .says(&["1 call answered meanwhile"]);
    let seen = "{conf:v(), gen_server:call(front, v)}";
    assert_eq!(stage.node.eval_text(seen), "{{2,10},{2,10}}");

    // It cannot be answered: at once, with the one that it waits for, and everything is as before.
    let asks = "gen_server:call(front, stop)";
    let stage = Stage::new(&old, &[desk(2), conf(2, asks)], start);
    upgraded(&stage).exits(20).says(&[
        "E606",
        "the on_load function of conf waits for a suspended process",
        "of desk, which is suspended",
        "`stop, _, _, _`",
    ]);
    assert_eq!(stage.node.eval_text("conf:v()"), "{1,0}");
}

/// What cannot be answered is said before, and fails at once.
#[test]
fn processes_that_cannot_answer() {
    // An event manager.
    let bell = (
        "bell".to_owned(),
        "-module(bell).\n-behaviour(gen_event).\n-export([init/1, handle_event/2, handle_call/2]).\n\
         init(N) -> {ok, N}.\nhandle_event(_, N) -> {ok, N}.\nhandle_call(_, N) -> {ok, {VSN, N}, N}.\n"
            .to_owned(),
    );
    let version = |number: &str| (bell.0.clone(), bell.1.replace("VSN", number));
    let start = "begin {ok, P} = gen_event:start({local, bell}), gen_event:add_handler(P, bell, 1), \
                 persistent_term:put(tills, [till:start()]) end";
    let asks = "N + gen_event:call(bell, bell, x, 800)";
    let stage = Stage::new(
        &[version("1"), till(1, "N")],
        &[version("2"), till(2, asks)],
        start,
    );
    previewed(&stage).exits(0).says(&[
        "W637",
        "the conversion of `till` calls `bell`, which is suspended and cannot answer",
        "gen_event:call/4 in till:code_change/3",
    ]);
    upgraded(&stage).exits(20).says(&[
        "E604",
        "waits for a suspended process",
        "of bell, which is suspended",
        "only a gen_server, a gen_statem or a supervisor can answer",
    ]);

    // Two conversions that wait for each other.
    let named = |name: &str, version: u32, new: &str| {
        let text = format!(
            "-module({name}).\n-behaviour(gen_server).\n-export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start() -> gen_server:start({{local, ?MODULE}}, ?MODULE, 1, []).\ninit(N) -> {{ok, N}}.\n\
             handle_call(_, _, N) -> {{reply, {{{version}, N}}, N}}.\nhandle_cast(_, N) -> {{noreply, N}}.\n\
             code_change(_, N, _) -> {{ok, {new}}}.\n"
        );
        (name.to_owned(), text)
    };
    let ask = |other: &str| format!("{{N, gen_server:call({other}, x, 800)}}");
    let stage = Stage::new(
        &[named("left", 1, "N"), named("right", 1, "N")],
        &[
            named("left", 2, &ask("right")),
            named("right", 2, &ask("left")),
        ],
        "left:start(), right:start()",
    );
    previewed(&stage)
        .exits(0)
        .says(&["W637", "they wait for each other"]);
    upgraded(&stage)
        .exits(20)
        .says(&["E604", "the two conversions wait for each other"]);
    let states = "[gen_server:call(P, x) || P <- [left, right]]";
    assert_eq!(stage.node.eval_text(states), "[{1,1},{1,1}]");
}
