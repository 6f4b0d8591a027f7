//! W637: a conversion that calls a process of its own window is said before anything is suspended.

use crate::rehearsal::Stage;

fn desk(version: u32) -> (String, String) {
    let text = format!(
        "-module(desk).\n-behaviour(gen_server).\n-export([start/0, limit/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start() -> {{ok, P}} = gen_server:start({{local, front}}, ?MODULE, 10, []), P.\nlimit() -> gen_server:call(front, limit, 500).\n\
         init(N) -> {{ok, N}}.\nhandle_call(v, _, N) -> {{reply, {version}, N}};\nhandle_call(_, _, N) -> {{reply, N, N}}.\n\
         handle_cast(_, N) -> {{noreply, N}}.\ncode_change(_, N, _) -> {{ok, N}}.\n"
    );
    ("desk".to_owned(), text)
}

fn till(version: u32, state: &str) -> (String, String) {
    let text = format!(
        "-module(till).\n-behaviour(gen_server).\n-export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start() -> {{ok, P}} = gen_server:start(?MODULE, 1, []), P.\ninit(N) -> {{ok, N}}.\n\
         handle_call(_, _, N) -> {{reply, {{{version}, N}}, N}}.\nhandle_cast(_, N) -> {{noreply, N}}.\n\
         code_change(_, N, _) -> {{ok, {state}}}.\n"
    );
    ("till".to_owned(), text)
}

const START: &str = "desk:start(), persistent_term:put(tills, [till:start()])";

#[test]
fn a_conversion_that_calls_a_suspended_process() {
    let old = [desk(1), till(1, "N")];
    let stage = Stage::new(&old, &[desk(2), till(2, "N + desk:limit()")], START);
    let plan = stage.plan.display().to_string();
    let preview = || stage.desk.on(&stage.node, &["preview", &plan]).run();
    preview().exits(0).says(&[
        "W637",
        "the conversion of `till` calls `front`, which is suspended meanwhile",
        "gen_server:call/3 in desk:limit/0",
        "`front`, a process of `desk`",
    ]);
    // The other one stays as it is: it answers.
    let stage = Stage::new(&old, &[till(2, "N + desk:limit()")], START);
    let plan = stage.plan.display().to_string();
    let ran = stage.desk.on(&stage.node, &["run", &plan, "--yes"]).run();
    let ran = ran.exits(0);
    assert!(!ran.to_string().contains("W637"), "{ran}");
    let answers = "[gen_server:call(P, what) || P <- persistent_term:get(tills)]";
    assert_eq!(stage.node.eval_text(answers), "[{2,11}]");
}
