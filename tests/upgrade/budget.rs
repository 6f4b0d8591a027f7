//! The pause budget: a busy server does not keep the others of its window suspended.

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::support::TestNode;
use crate::support::desk::Desk;

/// The budget of these plans, ms.
const BUDGET: i64 = 100;

/// Fifty servers that answer at once, one that can be kept busy, and a process that calls each of the fifty all the
/// time; beside them one that only sleeps for a moment, to know how long this machine makes anything wait.
fn desks(version: u32) -> Vec<(String, String)> {
    let (state, convert) = match version {
        1 => ("{one, 0}", ""),
        _ => (
            "#{two => 0}",
            "code_change(_, {one, N}, _) -> {ok, #{two => N}};\ncode_change({down, _}, #{two := N}, _) -> {ok, {one, N}}.",
        ),
    };
    let convert = if convert.is_empty() {
        "code_change(_, S, _) -> {ok, S}."
    } else {
        convert
    };
    let desk = format!(
        "-module(desk).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([open/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         open() ->\n    [{{ok, _}} = gen_server:start({{local, N}}, ?MODULE, [], []) || N <- [busy | desk_load:names()]], ok.\n\
         init(_) -> {{ok, {state}}}.\nhandle_call(_, _, S) -> {{reply, S, S}}.\n\
         handle_cast({{busy, Ms}}, S) -> wait(Ms), {{noreply, S}}.\n\
         wait(Ms) ->\n\
             case process_info(whereis(desk_1), current_function) of\n\
                 {{_, {{sys, _, _}}}} -> receive enough -> ok after Ms -> ok end;\n\
                 _ -> receive enough -> ok after 1 -> wait(Ms) end\n\
             end.\n{convert}\n"
    );
    vec![("desk".to_owned(), desk)]
}

const LOAD: &str = "-module(desk_load).\n-export([names/0, start/0, stop/0]).\n\
    names() -> [list_to_atom(\"desk_\" ++ integer_to_list(N)) || N <- lists:seq(1, 50)].\n\
    start() -> register(desk_load, spawn(fun() -> go() end)), timer:sleep(100).\n\
    go() ->\n\
        Me = self(),\n\
        Pids = [spawn_link(fun() -> calls(N, Me, 0) end) || N <- names()],\n\
        Clock = spawn_link(fun() -> ticks(Me, 0) end),\n\
        receive {stop, From} ->\n\
            [P ! stop || P <- [Clock | Pids]],\n\
            [Delay | All] = [receive {longest, P, Us} -> Us end || P <- [Clock | Pids]],\n\
            From ! {felt, lists:max(All), Delay}\n\
        end.\n\
    calls(N, To, Max) ->\n\
        {Us, _} = timer:tc(fun() -> gen_server:call(N, get, infinity) end),\n\
        More = max(Us, Max),\n\
        receive stop -> To ! {longest, self(), More} after 1 -> calls(N, To, More) end.\n\
    ticks(To, Max) ->\n\
        {Us, _} = timer:tc(fun() -> timer:sleep(1) end),\n\
        More = max(Us, Max),\n\
        receive stop -> To ! {longest, self(), More} after 0 -> ticks(To, More) end.\n\
    stop() -> desk_load ! {stop, self()}, receive {felt, Longest, Delay} -> {Longest, Delay} end.\n";

struct Office {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: String,
}

impl Office {
    fn open(more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let load = ("desk_load".to_owned(), LOAD.to_owned());
        let one = [desks(1), vec![load.clone()]].concat();
        let two = [desks(2), vec![load]].concat();
        let old = compiled(&folder.path().join("one"), &one);
        let new = compiled(&folder.path().join("two"), &two);
        let (node, desk) = (node_with(&old), Desk::new());
        node.eval("desk:open(), desk_load:start()");
        let text = format!("plan \"Desks\".\ncode push [{new:?}].\nold from {old:?}.\n{more}");
        let plan = desk.write("desks.updo", &text).display().to_string();
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    /// For so long from when the others are suspended: how long a run needs until then differs from machine to machine.
    fn busy(&self, ms: u32) {
        self.node
            .eval(&format!("gen_server:cast(busy, {{busy, {ms}}})"));
    }

    /// The longest call to one of the others, and what this machine has made anything wait; ms.
    fn felt(&self) -> (i64, i64) {
        let felt = self.node.eval("desk_load:stop()");
        let times = felt.as_tuple().expect("two times");
        let ms = |at: usize| times[at].as_i64().expect("a time") / 1000;
        (ms(0), ms(1))
    }

    /// Twice the budget. The switch itself and what the machine makes anything wait come on top: with nothing busy a
    /// call waits for them as well.
    fn nothing_else_waited(&self) {
        let (longest, delay) = self.felt();
        assert!(
            longest <= 2 * BUDGET + 100 + 2 * delay,
            "a call took {longest} ms (delays of {delay} ms)"
        );
    }

    fn states(&self) -> String {
        self.node
            .eval_text("lists:usort([gen_server:call(N, get) || N <- [busy | desk_load:names()]])")
    }
}

/// Everything is in: the attempts in the events, on the screen, in the report.
#[test]
fn a_busy_server_does_not_keep_the_others_waiting() {
    let office = Office::open("");
    let busy = office.node.eval_text("whereis(busy)");
    office.busy(3_000);
    let (events, report) = ("events.jsonl", "report.html");
    let args = [
        "run",
        &office.plan,
        "--yes",
        "--events",
        events,
        "--report",
        report,
    ];
    let ran = office.desk.on(&office.node, &args).run().exits(0);
    office.nothing_else_waited();
    let ran = ran.says(&["called off after", &busy, "in desk:wait/1", "attempts"]);
    assert_eq!(office.states(), "[#{two => 0}]", "{ran}");

    let lines: Vec<serde_json::Value> = office
        .desk
        .read(events)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |kind: &str| {
        lines
            .iter()
            .filter(|line| line["type"] == kind)
            .collect::<Vec<_>>()
    };
    let postponed = of("step.postponed");
    let first = postponed.first().expect("it was postponed");
    assert_eq!(
        (&first["attempt"], &first["waiting"]),
        (&1.into(), &1.into())
    );
    assert_eq!(first["processes"], 50);
    assert_eq!(first["slowest"][0]["pid"], busy.as_str());
    let finished = of("step.finished");
    let suspended = finished.iter().find(|line| line["step"] == "suspend");
    let suspended = suspended.expect("a suspension");
    assert!(suspended["attempts"].as_u64() > Some(1), "{suspended}");
    // It is named while it is waited for, and the pause is no three seconds.
    let named = |line: &&serde_json::Value| line["slowest"][0]["pid"] == busy.as_str();
    assert!(of("step.progress").into_iter().any(|line| named(&line)));
    let last = of("node.finished");
    let paused = last[0]["suspended_ms"].as_f64().expect("a time");
    assert!((100.0..2_000.0).contains(&paused), "{paused}");
    let html = office.desk.read(report);
    assert!(html.contains("attempts; between them all processes were resumed"));
    assert!(html.contains("suspend waited for"), "{html}");
}

#[test]
fn a_server_that_is_never_free_is_named_and_nothing_else_waits() {
    let office = Office::open("module desk #{timeout => 2s} because \"short\".\n");
    let busy = office.node.eval_text("whereis(busy)");
    office.busy(120_000);
    let ran = office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .run()
        .exits(14);
    office.nothing_else_waited();
    ran.says(&[
        "E603",
        "1 process did not suspend",
        &busy,
        "desk:wait/1",
        "budget",
    ]);
    office.node.eval("busy ! enough");
    assert_eq!(office.states(), "[{one,0}]");
    assert_eq!(
        office
            .node
            .eval_text("element(1, element(2, process_info(whereis(busy), current_function)))"),
        "gen_server",
        "its request is withdrawn"
    );
}

/// The way back suspends too: a failed `verify`, and `updo rollback` later.
#[test]
fn going_back_obeys_the_budget() {
    let text = "verify \"never\" -> ok = gen_server:cast(busy, {busy, 2500}), none = gen_server:call(desk_1, get).\n";
    let office = Office::open(text);
    let ran = office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .run()
        .exits(20);
    office.nothing_else_waited();
    ran.says(&["called off after"]);
    assert_eq!(office.states(), "[{one,0}]");

    office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes", "--no-verify"])
        .run()
        .exits(0);
    office.node.eval("desk_load:start()");
    office.busy(2_500);
    let ran = office
        .desk
        .on(&office.node, &["rollback", "--yes"])
        .run()
        .exits(0);
    office.nothing_else_waited();
    ran.says(&["called off after"]);
    assert_eq!(office.states(), "[{one,0}]");
}

/// Without a budget everything waits for the busy one: from the plan, from the flag, and the flag counts more.
#[test]
fn the_budget_can_be_given() {
    let office = Office::open("budget infinity.\n");
    office.busy(1_200);
    let ran = office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .run()
        .exits(0);
    assert!(!ran.stderr.contains("called off"), "{ran}");
    let (longest, _) = office.felt();
    assert!(longest > 500, "{longest}");

    let office = Office::open("budget infinity.\n");
    office.busy(2_000);
    office
        .desk
        .on(&office.node, &["run", &office.plan, "--yes"])
        .env("UPDO_BUDGET", "80ms")
        .run()
        .exits(0)
        .says(&["called off after"]);
    office.nothing_else_waited();
}
