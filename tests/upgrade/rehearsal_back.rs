//! The way back in a rehearsal: what a later rollback would make of the new states, and how large these are.

use tempfile::TempDir;

use crate::inferred_children::elixir;
use crate::rehearsal::{Stage, bell, bird, elixir_node};
use crate::rehearsal_checks::{both, says, server, updo};
use crate::support::desk::Desk;

/// Ten tills of both versions.
fn tills(old: &str, new: &str) -> Stage {
    let start = "persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 10)])";
    Stage::new(&[server("till", 1, old)], &[server("till", 2, new)], start)
}

const STATES: &str = "[element(2, gen_server:call(P, what)) || P <- persistent_term:get(tills)]";

/// A conversion with its way back: what the rehearsal says is what `updo rollback` does.
#[test]
fn states_that_become_what_they_were() {
    let stage = tills(
        "",
        "code_change({down, \"1\"}, {till, N, x}, [arg]) -> {ok, {till, N}};\n\
         code_change(\"1\", {till, N}, [arg]) -> {ok, {till, N, x}}.",
    );
    says(
        &stage,
        "module till #{change => {advanced, [arg]}} because \"t\".",
    );
    let before = stage.node.eval_text(STATES);
    stage.rehearse(&[]).exits(0).prints(&[
        "till                     10 of 10 states convert",
        "       size: 32 B; before: 24 B\n",
        "       going back: 10 of 10 states become what they were\n",
    ]);
    let shown = stage.rehearse(&["--json"]).exits(0).json();
    let module = &shown["modules"][0];
    assert_eq!(module["going_back"]["same"], 10, "{shown}");
    assert_eq!(module["going_back"]["failed"], 0, "{shown}");
    assert_eq!(
        (&module["bytes"]["median"], &module["new_bytes"]["total"]),
        (&24.into(), &320.into())
    );
    let plan = stage.plan.display().to_string();
    let ran = updo(&stage, &["run", &plan, "--yes"]).exits(0);
    assert!(!ran.to_string().contains("W651"), "{ran}");
    assert_ne!(stage.node.eval_text(STATES), before);
    updo(&stage, &["rollback", "--yes"]).exits(0);
    assert_eq!(stage.node.eval_text(STATES), before);
}

/// Nothing is refused, and all of it is said; the rollback then fails as it was said.
#[test]
fn states_that_a_rollback_would_not_give_back() {
    let stage = tills(
        "",
        "code_change({down, _}, {till, N, _}, _) when N < 4 -> {ok, {till, N}};\n\
         code_change({down, _}, {till, N, _}, _) when N < 6 -> {ok, {till, N + 471108154711}};\n\
         code_change({down, _}, {till, 6, S}, _) -> {ok, {till, 6, S}};\n\
         code_change({down, _}, {till, 7, _}, _) -> {error, {secret, 471108154711}};\n\
         code_change({down, _}, {till, 8, _}, _) -> {ok, {secret, 471108154711}} = list_to_tuple([error, 471108154711]);\n\
         code_change({down, _}, {till, 9, _}, _) -> timer:sleep(1000000);\n\
         code_change(_, {till, N}, _) -> {ok, {till, N, {kept, N}}}.",
    );
    let ran = stage.rehearse(&[]).exits(0).prints(&[
        "till                     10 of 10 states convert",
        "       going back: 3 of 10 states become what they were, 3 become another state, 4 would not be converted\n",
        "ok  10 states tried on copies, all convert; nothing was changed",
    ]);
    let ran = ran.says(&[
        "W651",
        "a rollback would not give back 7 of 10 states of `till`",
        "`code_change({down, Vsn}, …)` fails for 4: the rollback would end there (E604), with nothing",
        "returns {error, …} of 2 elements, not {ok, NewState}; the new state: {till, …} of 3 elements",
        "badmatch ({error, …} of 2 elements) in till:code_change/3",
        "takes longer than 1000 ms",
        "2 become another {till, …} of 2 elements than there was",
        "1 becomes {till, …} of 3 elements, and was {till, …} of 2 elements",
        "an undo of the run itself restores the states as they were",
        "convert back in the new `till`",
    ]);
    assert!(!ran.to_string().contains("471108154711"), "{ran}");
    let json = stage.rehearse(&["--json"]).exits(0);
    assert!(!json.to_string().contains("471108154711"), "{json}");
    let back = &json.json()["modules"][0]["going_back"];
    assert_eq!(
        (&back["same"], &back["other"], &back["failed"]),
        (&3.into(), &3.into(), &4.into()),
        "{json}"
    );
    assert_eq!(back["failures"].as_array().map(Vec::len), Some(4));
    // The preview has it from the last rehearsal.
    let plan = stage.plan.display().to_string();
    updo(&stage, &["preview", &plan])
        .exits(0)
        .prints(&["  rollback would not give back 7 of 10 states of till (rehearsed"]);
    let shown = updo(&stage, &["preview", &plan, "--json"]).exits(0).json();
    assert_eq!(shown["pause"]["not_given_back"]["till"], 7, "{shown}");
    // A run says it and goes on.
    let events = stage.desk.write("events.jsonl", "").display().to_string();
    let ran = updo(&stage, &["run", &plan, "--yes", "--events", &events]);
    ran.exits(0).says(&[
        "a rollback would not give back 7;",
        "W651",
        "10 states converted",
    ]);
    let lines = std::fs::read_to_string(&events).expect("events");
    let line = lines
        .lines()
        .find(|line| line.contains("\"type\":\"rehearsal\""));
    let line: serde_json::Value = serde_json::from_str(line.expect("the line")).expect("JSON");
    assert_eq!(line["modules"][0]["going_back"]["other"], 3, "{line}");
    let file = stage.desk.write("report.html", "").display().to_string();
    updo(&stage, &["report", "-o", &file]).exits(0);
    let page = std::fs::read_to_string(&file).expect("a report");
    for text in [
        "Rehearsal",
        "10 of 10 convert",
        "3 of 10 states become what they were, 3 become another state, 4 would not be converted",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    updo(&stage, &["rollback", "--yes"])
        .exits(14)
        .says(&["E604", "nothing was changed"]);
}

/// Another state may be one with which the old code works; of one with which it does not the rehearsal says so.
#[test]
fn states_that_the_running_version_could_not_take_back() {
    let desk = |vsn: u32, made: &str, taken: &str, change: &str| {
        let text = format!(
            "-module(till).\n-behaviour(gen_server).\n-vsn(\"{vsn}\").\n\
             -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\ninit(N) -> {{ok, {made}}}.\n\
             handle_call(_, _, {taken} = S) -> {{reply, {{{vsn}, N}}, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n{change}\n"
        );
        [("till".to_owned(), text)]
    };
    let start = "persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 10)])";
    let one = "code_change(_, S, _) -> {ok, S}.";
    let more = "code_change(_, S, _) -> {ok, erlang:append_element(S, x)}.";
    let stage = Stage::new(
        &desk(1, "{till, N}", "{till, N}", one),
        &desk(2, "{till, N, x}", "{till, N, _}", more),
        start,
    );
    stage
        .rehearse(&[])
        .exits(0)
        .prints(&[
            "going back: 0 of 10 states become what they were, 10 become another state that the running version cannot take",
        ])
        .says(&[
            "10 become {till, …} of 4 elements, and were {till, …} of 2 elements",
            "every event of",
            "`handle_call/3` of the running version would fail",
        ]);
    let json = stage.rehearse(&["--json"]).exits(0).json();
    let others = &json["modules"][0]["going_back"]["others"];
    assert_eq!(others[0]["fails"][0], "handle_call/3", "{json}");
    // It is so: the rollback goes through, and the next call fails.
    let plan = stage.plan.display().to_string();
    updo(&stage, &["run", &plan, "--yes"]).exits(0);
    updo(&stage, &["rollback", "--yes"]).exits(0);
    let called = "catch gen_server:call(hd(persistent_term:get(tills)), what)";
    let answer = stage.node.eval_text(called);
    assert!(answer.contains("function_clause"), "{answer}");
    // One that has more than it needs is taken.
    let more = "code_change(_, S, _) -> {ok, S#{more => 1}}.";
    let stage = Stage::new(
        &desk(1, "#{n => N}", "#{n := N}", one),
        &desk(2, "#{n => N, more => 1}", "#{n := N}", more),
        start,
    );
    let ran = stage.rehearse(&[]).exits(0);
    ran.prints(&["going back: 0 of 10 states become what they were, 10 become another state\n"])
        .says(&["10 become map of 2 keys, and were map of 1 key\n"]);
}

/// Of a `static` module the running version converts back, when it is there again.
#[test]
fn a_static_module_is_converted_back_by_the_running_version() {
    let old = "code_change({down, \"1\"}, {till, N, _}, _) when N < 10 -> {ok, {till, N}}.";
    let new = "code_change({down, _}, S, _) -> {ok, S};\n\
               code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.";
    let stage = tills(old, new);
    stage
        .rehearse(&[])
        .exits(0)
        .prints(&["going back: 0 of 10 states become what they were, 10 become another state"]);
    says(&stage, "module till #{type => static} because \"t\".");
    let ran = stage.rehearse(&[]).exits(0);
    ran.prints(&["going back: 9 of 10 states become what they were, 1 would not be converted"])
        .says(&[
            "convert back in the running `till`",
            "function_clause in till:code_change/3",
        ]);
    // Which is what a rollback does: without the one it works.
    let before = stage.node.eval_text(STATES);
    stage.node.eval(
        "gen_server:stop(lists:last(persistent_term:get(tills))), \
                     persistent_term:put(tills, lists:droplast(persistent_term:get(tills)))",
    );
    let plan = stage.plan.display().to_string();
    updo(&stage, &["run", &plan, "--yes"]).exits(0);
    updo(&stage, &["rollback", "--yes"]).exits(0);
    let last = before.rfind(",{").expect("ten states");
    assert_eq!(
        stage.node.eval_text(STATES),
        format!("{}]", &before[..last])
    );
    // One that acts is not run.
    let acts = "code_change({down, _}, {till, N, _}, _) -> counted ! N, {ok, {till, N}}.";
    let stage = tills(acts, new);
    says(&stage, "module till #{type => static} because \"t\".");
    let ran = stage.rehearse(&[]).exits(0);
    ran.prints(&["going back: not tried: the running version converts back (`static`), and that has side effects"]);
}

/// What has no way back, and what acts once more on the way: neither is tried, both are said.
#[test]
fn what_is_not_tried_of_the_way_back() {
    let [bell, till, soft] = [
        both(
            "bell",
            "code_change(_, {bell, _} = S, _) -> counted ! S, {ok, erlang:append_element(S, 0)}.",
        ),
        both("till", ""),
        both("soft", ""),
    ];
    let migrate = "-module(migrate).\n-export([go/1]).\ngo(S) -> erlang:append_element(S, 0).\n";
    let (mut one, mut two) = (Vec::new(), vec![("migrate".to_owned(), migrate.to_owned())]);
    for [old, new] in [bell, till, soft] {
        one.push(old);
        two.push(new);
    }
    let start = "[M:start(1) || M <- [bell, till, soft]], \
                 register(counted, spawn(fun() -> receive stop -> ok end end))";
    let stage = Stage::new(&one, &two, start);
    says(
        &stage,
        "module bell #{rehearse => true} because \"t\".\n\
         module till #{change => {convert, fun migrate:go/1}} because \"t\".\n",
    );
    let ran = stage.rehearse(&[]).exits(0).prints(&[
        "bell                     1 of 1 state convert",
        "going back: not tried: its conversion has side effects",
        "till                     1 of 1 state convert",
        "going back: not tried: the plan's function has no way back",
        "soft                     1 state inspected, not converted",
        "       size: 24 B\n",
    ]);
    assert!(!ran.to_string().contains("W651"), "{ran}");
    let counted = "{messages, Ms} = erlang:process_info(whereis(counted), messages), length(Ms)";
    assert_eq!(stage.node.eval_text(counted), "1");
    let json = stage.rehearse(&["--json"]).exits(0).json();
    let soft = json["modules"]
        .as_array()
        .and_then(|all| all.iter().find(|m| m["module"] == "soft"));
    let soft = soft.expect("soft");
    assert!(
        soft["going_back"].is_null() && soft["new_bytes"].is_null(),
        "{json}"
    );
}

/// Where the run could not be rolled back as a whole nothing is converted back. The screen, the JSON, the warning, the
/// preview and the report agree on it.
#[test]
fn without_a_rollback_of_the_whole_no_state_is_lost() {
    let [till, bell] = [
        both(
            "till",
            "code_change({down, _}, _, _) -> {error, no};\ncode_change(_, {till, N}, _) -> {ok, {till, N, x}}.",
        ),
        both("bell", ""),
    ];
    let migrate = "-module(migrate).\n-export([go/1]).\ngo(S) -> erlang:append_element(S, 0).\n";
    let (mut one, mut two) = (Vec::new(), vec![("migrate".to_owned(), migrate.to_owned())]);
    for [old, new] in [till, bell] {
        one.push(old);
        two.push(new);
    }
    let stage = Stage::new(&one, &two, "till:start(1), bell:start(1)");
    let plan = stage.plan.display().to_string();
    const LOST: &str = "rollback would not give back 1 of 1 state of till";
    let back = || {
        let json = stage.rehearse(&["--json"]).exits(0).json();
        let all = json["modules"].as_array().expect("modules").iter();
        let mut till = all.filter(|module| module["module"] == "till");
        till.next().expect("till")["going_back"].clone()
    };
    let ran = stage.rehearse(&[]).exits(0);
    ran.says(&["W651"]);
    assert_eq!(back()["failed"], 1);
    updo(&stage, &["preview", &plan]).exits(0).prints(&[LOST]);

    // What the rehearsal has found before is no loss where the plan has no rollback.
    says(&stage, "rollback never.");
    let shown = updo(&stage, &["preview", &plan]).exits(0);
    let shown = shown.prints(&["ms (rehearsed "]);
    assert!(!shown.to_string().contains(LOST), "{shown}");
    let shown = updo(&stage, &["preview", &plan, "--json"]).exits(0).json();
    assert_eq!(
        shown["pause"]["not_given_back"],
        serde_json::json!({}),
        "{shown}"
    );
    let ran = stage.rehearse(&[]).exits(0);
    assert!(!ran.stdout.contains("going back"), "{ran}");
    assert!(!ran.to_string().contains("W651"), "{ran}");
    assert!(back().is_null(), "{}", back());

    // A conversion of the plan has no way back: then none of them is made.
    says(
        &stage,
        "module bell #{change => {convert, fun migrate:go/1}} because \"t\".",
    );
    const NONE: &str = "not tried: the upgrade as a whole has no way back";
    let ran = stage.rehearse(&[]).exits(0).prints(&[
        "       going back: not tried: the plan's function has no way back\n",
        &format!("       going back: {NONE}\n"),
    ]);
    assert!(!ran.to_string().contains("W651"), "{ran}");
    let back = back();
    assert_eq!(
        (&back["failed"], &back["line"]),
        (&0.into(), &NONE.into()),
        "{back}"
    );
    let shown = updo(&stage, &["preview", &plan]).exits(0);
    assert!(!shown.to_string().contains(LOST), "{shown}");
    let ran = updo(&stage, &["run", &plan, "--yes"]).exits(0);
    assert!(!ran.to_string().contains("give back"), "{ran}");
    let file = stage.desk.write("report.html", "").display().to_string();
    updo(&stage, &["report", "-o", &file]).exits(0);
    let page = std::fs::read_to_string(&file).expect("a report");
    assert!(page.contains(NONE), "{page}");
}

/// State machines go back with the name of their state, handlers of events and special processes by their callbacks.
#[test]
fn other_behaviours_go_back() {
    let machine = |vsn: u32, change: &str| {
        let text = format!(
            "-module(lamp).\n-behaviour(gen_statem).\n-vsn(\"{vsn}\").\n\
             -export([start/1, init/1, callback_mode/0, handle_event/4, code_change/4]).\n\
             start(N) -> gen_statem:start(?MODULE, N, []).\ninit(N) -> {{ok, off, {{lamp, N}}}}.\n\
             callback_mode() -> handle_event_function.\nhandle_event(_, _, _, _) -> keep_state_and_data.\n{change}\n"
        );
        ("lamp".to_owned(), text)
    };
    let stage = Stage::new(
        &[
            machine(1, "code_change(_, N, D, _) -> {ok, N, D}."),
            bell(1, "code_change(_, S, _) -> {ok, S}."),
            bird(1, "system_code_change(S, _, _, _) -> {ok, S}."),
        ],
        &[
            machine(
                2,
                "code_change({down, \"1\"}, out, {lamp, N, on}, _) when N > 1 -> {ok, off, {lamp, N}};\n\
                 code_change({down, _}, Name, {lamp, N, _}, _) -> {ok, Name, {lamp, N}};\n\
                 code_change(_, off, {lamp, N}, _) -> {ok, out, {lamp, N, on}}.",
            ),
            bell(
                2,
                "code_change({down, \"1\"}, {bell, N, _}, _) -> {ok, {bell, N}};\ncode_change(_, {bell, N}, _) -> {ok, {bell, N, 0}}.",
            ),
            bird(
                2,
                "system_code_change({bird, N, _}, bird, {down, \"1\"}, _) when N < 2 -> {ok, {bird, N}};\n\
                 system_code_change({bird, N}, bird, _, _) -> {ok, {bird, N, 0}}.",
            ),
        ],
        "[lamp:start(N) || N <- [1, 2]], bell:start(), [bird:start(N) || N <- [1, 2, 3]]",
    );
    let json = stage.rehearse(&["--json"]).exits(0).json();
    let of = |name: &str| {
        let all = json["modules"].as_array().expect("modules");
        let module = all
            .iter()
            .find(|m| m["module"] == name)
            .expect("the module");
        let back = &module["going_back"];
        [&back["same"], &back["other"], &back["failed"]].map(|n| n.as_u64().expect("a number"))
    };
    assert_eq!(of("lamp"), [1, 1, 0], "{json}");
    assert_eq!(of("bell"), [1, 0, 0], "{json}");
    assert_eq!(of("bird"), [1, 0, 2], "{json}");
    stage.rehearse(&[]).exits(0).says(&[
        "2 of 3 states of `bird`",
        "function_clause in bird:system_code_change/4",
        "1 becomes {out, …} of 2 elements, and was {off, …} of 2 elements",
    ]);
}

/// Structs of Elixir, and what `code_change` without `{:down, vsn}` makes of them.
#[test]
fn servers_of_elixir_go_back() {
    let folder = TempDir::new().expect("a folder");
    let source = |vsn: u32, fields: &str, change: &str| {
        format!(
            "defmodule Cart do\n  defstruct [{fields}]\nend\ndefmodule Till do\n  use GenServer\n  @vsn {vsn}\n\
             \x20 def start(n), do: GenServer.start(__MODULE__, n)\n  def init(n), do: {{:ok, %{{n: n, list: [n]}}}}\n\
             \x20 def handle_call(_, _, s), do: {{:reply, s, s}}\n{change}end\n"
        )
    };
    let old = elixir(&folder.path().join("one"), &source(1, "items: 0", ""));
    let change = "  def code_change({:down, 1}, %{n: n, sum: _}, _) when n < 3, do: {:ok, %{n: n, list: [n]}}\n\
                  \x20 def code_change(_, %{n: n} = s, _), do: {:ok, Map.put(s, :sum, n)}\n";
    let new = elixir(&folder.path().join("two"), &source(2, "items: 0", change));
    let (node, desk) = (elixir_node(&old), Desk::rehearsing());
    node.eval("['Elixir.Till':start(N) || N <- lists:seq(1, 3)]");
    let text = format!("plan \"Tills\".\ncode push [{new:?}].\nold from {old:?}.\n");
    let plan = desk.write("tills.updo", &text).display().to_string();
    desk.on(&node, &["rehearse", &plan])
        .run()
        .exits(0)
        .prints(&[
            "Elixir.Till              3 of 3 states convert",
            "going back: 2 of 3 states become what they were, 1 becomes another state",
        ])
        .says(&["1 becomes map of 3 keys, and was map of 2 keys"]);
}

/// Ports, sockets, references and processes are themselves in a copy.
#[test]
fn states_with_references_in_them() {
    let old = server("till", 1, "");
    let new = server(
        "till",
        2,
        "code_change({down, _}, {till, {ok, S}, _}, _) -> {ok, {till, {ok, S}}};\n\
         code_change(_, {till, {ok, S}}, _) -> {ok, {till, {ok, S}, erlang:port_info(element(2, {ok, hd(erlang:ports())}))}}.",
    );
    let stage = Stage::new(
        &[old],
        &[new],
        "{ok, U} = gen_udp:open(0), {ok, L} = gen_tcp:listen(0, []), \
         [till:start({ok, S}) || S <- [U, L, self(), make_ref(), ets:new(t, [public]), hd(erlang:ports()), \
         fun lists:map/2, fun(X) -> {X, U} end]]",
    );
    stage.rehearse(&[]).exits(0).prints(&[
        "till                     8 of 8 states convert",
        "going back: 8 of 8 states become what they were",
    ]);
}

/// What states take before and after, and of how much that grows.
#[test]
fn states_that_grow_are_seen() {
    let stage = tills(
        "",
        "code_change(_, {till, N}, _) -> {ok, {till, N, lists:seq(1, N * 10000), binary:copy(<<0>>, 100000)}}.",
    );
    let ran = stage.rehearse(&[]).exits(0).prints(&[
        "       size: median ",
        " · largest 1.6 MB (<0.",
        ">); before: 24 B\n",
    ]);
    // Nine megabytes are not much yet.
    assert!(!ran.stdout.contains("instead of"), "{ran}");
    stage.node.eval("[till:start(100) || _ <- [1, 2]]");
    stage
        .rehearse(&[])
        .exits(0)
        .prints(&["       all states will take 41 MB instead of 288 B\n"]);
    let plan = stage.plan.display().to_string();
    updo(&stage, &["run", &plan, "--yes"])
        .exits(0)
        .says(&["states grow from 288 B to 41 MB"]);
}
