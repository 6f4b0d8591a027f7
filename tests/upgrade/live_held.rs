//! The window before a live one is a window as any other: what its conversions compute is computed before its switch.

use crate::live::{call, called, purse, states};
use crate::rehearsal::Stage;

/// A server that calls its own `handle_cast/2` by the module's name, which keeps it from going live, with the state
/// `{Version, N}`; with these clauses of `code_change` tried first.
fn scale(version: u32, code_change: &str) -> (String, String) {
    let change = match version {
        1 => "code_change(_, S, _) -> {ok, S}.".to_owned(),
        _ => format!(
            "{code_change}\ncode_change({{down, _}}, {{2, N}}, _) -> {{ok, {{1, N}}}};\n\
             code_change(_, {{1, N}}, _) -> {{ok, {{2, N}}}}."
        ),
    };
    let text = format!(
        "-module(scale).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3, again/1]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\n\
         init(N) -> {{ok, {{{version}, N}}}}.\n\
         again(S) -> ?MODULE:handle_cast(again, S).\n\
         handle_call(state, _, {{{version}, _}} = S) -> {{reply, S, S}}.\n\
         handle_cast(_, S) -> {{noreply, S}}.\n{change}\n"
    );
    ("scale".to_owned(), text)
}

/// Twenty scales, which are suspended, and purses, which go live. One of the scales is watched for other code.
fn stage(scales: &str, purses: &str, more: &str) -> Stage {
    let stage = Stage::planned(
        &[scale(1, ""), purse(1, "")],
        &[scale(2, scales), purse(2, purses)],
        "begin persistent_term:put(scales, [scale:start(N) || N <- lists:seq(1, 20)]), \
         persistent_term:put(asked, [purse:start(N) || N <- lists:seq(1, 100)]) end",
        &format!("window live.\n{more}"),
    );
    stage.node.eval(
        "begin Md5 = erlang:get_module_info(scale, md5), \
         Look = fun Look() -> case erlang:get_module_info(scale, md5) of \
             Md5 -> receive {seen, P} -> P ! same after 0 -> Look() end; \
             _ -> receive {seen, P} -> P ! switched end end end, \
         register(looks, spawn(Look)) end",
    );
    call(&stage);
    stage
}

fn scales(stage: &Stage) -> String {
    stage.node.eval_text(
        "{lists:usort([element(1, gen_server:call(P, state)) || P <- persistent_term:get(scales)]), \
          begin looks ! {seen, self()}, receive same -> same; switched -> switched after 9000 -> none end end}",
    )
}

/// The steps of a run that have ended, each with whether that was well.
fn steps(events: &str) -> Vec<(String, bool)> {
    let lines = events.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line
    });
    let ended = lines.filter(|line| line["type"] == "step.finished");
    ended
        .map(|line| {
            let step = line["step"].as_str().unwrap_or_default().to_owned();
            (step, line["ok"] == true)
        })
        .collect()
}

#[test]
fn what_it_converts_is_computed_before_its_switch() {
    let stage = stage("", "", "");
    let plan = stage.plan.display().to_string();
    let preview = |says: &str| {
        let shown = stage.desk.on(&stage.node, &["preview", &plan]).run();
        shown.exits(0).prints(&[says]);
    };
    preview("not known yet for 20 processes");
    stage.run(&["--events", "events.jsonl"]).exits(0).says(&[
        "`scale`: of the running version: it calls its own `handle_cast/2` by the module's name",
        "first scale in a window of its own; 20 processes are suspended: scale",
        "then no process is suspended; purse switches at one instant",
        "compute ok",
        "scale processes=20",
        "20 processes suspended",
        "(predicted ",
        "120 states converted",
    ]);
    let ended = steps(&stage.desk.read("events.jsonl"));
    let words: Vec<&str> = ended.iter().map(|(word, _)| word.as_str()).collect();
    let at = |word: &str| words.iter().position(|one| *one == word);
    let order = [
        at("suspend"),
        at("compute"),
        at("load"),
        at("resume"),
        at("live"),
    ];
    assert!(order.iter().all(Option::is_some), "{words:?}");
    assert!(order.is_sorted(), "{words:?}");
    called(&stage);
    assert_eq!(scales(&stage), "{[2],switched}");
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    stage.is_clean();
}

/// A state that no rehearsal has tried: nothing is switched, neither in this window nor in the live one.
#[test]
fn a_conversion_that_fails_there_has_changed_nothing() {
    let stage = stage(
        "code_change(_, {1, 13}, _) -> error({broken, 13});",
        "",
        "rehearse #{at_most => 3, rate => 1000, within => 5s}.",
    );
    stage.run(&["--events", "events.jsonl"]).exits(20).says(&[
        " not tried",
        "E604",
        "{broken,13}",
        "nothing was changed: no module was switched",
        "no module was switched, 20 processes resumed",
        "is as before",
    ]);
    let ended = steps(&stage.desk.read("events.jsonl"));
    assert!(ended.contains(&("compute".to_owned(), false)), "{ended:?}");
    let switches = |(word, _): &(String, bool)| ["load", "live"].contains(&word.as_str());
    assert!(!ended.iter().any(switches), "{ended:?}");
    called(&stage);
    assert_eq!(scales(&stage), "{[1],same}");
    assert_eq!(states(&stage), "[{1,old}]");
    stage.is_clean();
}

/// What a conversion calls is the running version behind the switch when it goes live later: nothing else may be computed
/// ahead of it.
#[test]
fn what_comes_later_is_not_called_ahead_of_it() {
    let more = |(name, text): (String, String), what: &str| {
        let text = text.replace("v/0]", "v/0, weigh/1]") + what;
        (name, text)
    };
    let calls = "code_change(V, {1, N}, _) when V =/= x -> {ok, {2, purse:weigh(N)}};";
    let stage = Stage::planned(
        &[scale(1, ""), more(purse(1, ""), "weigh(N) -> {old, N}.\n")],
        &[
            scale(2, calls),
            more(purse(2, ""), "weigh(N) -> {new, N}.\n"),
        ],
        "begin persistent_term:put(scales, [scale:start(N) || N <- lists:seq(1, 2)]), \
         persistent_term:put(asked, [purse:start(N) || N <- lists:seq(1, 10)]) end",
        "window live.",
    );
    stage.run(&["--events", "events.jsonl"]).exits(0);
    let ended = steps(&stage.desk.read("events.jsonl"));
    assert!(
        !ended.iter().any(|(word, _)| word == "compute"),
        "{ended:?}"
    );
    let found = "[gen_server:call(P, state) || P <- persistent_term:get(scales)]";
    assert_eq!(stage.node.eval_text(found), "[{2,{old,1}},{2,{old,2}}]");
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    stage.is_clean();
}
