//! What a run owes to those beside its script: crashes after the resume are said and count, who was suspended stays
//! suspended, traces are announced before they are lost, code of others is noticed, the live module is converted.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::corners::{compiled, fixture, node_with};
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran};

/// A server that gets a message every 20 ms when it says so; version 2 wants another state than its `code_change` makes.
fn ticker(version: u32) -> (String, String) {
    fixture("ticker", version)
}

struct Shop {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    text: String,
    three: PathBuf,
}

impl Shop {
    fn new(one: &[(String, String)], two: &[(String, String)], start: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let old = compiled(&folder.path().join("one"), one);
        let new = compiled(&folder.path().join("two"), two);
        let third = |text: &String| {
            let text = text.replacen("-vsn(", "-export([third/0]).\n-vsn(", 1);
            format!("{text}third() -> 3.\n")
        };
        let other = two.iter().map(|(name, text)| (name.clone(), third(text)));
        let other: Vec<_> = other.collect();
        let three = compiled(&folder.path().join("three"), &other);
        let (node, desk) = (node_with(&old), Desk::new());
        node.eval(start);
        let text = format!("plan \"Survivors\".\ncode push [{new:?}].\nold from {old:?}.\n");
        Self {
            _folder: folder,
            node,
            desk,
            text,
            three,
        }
    }

    fn plan(&self, more: &str) -> String {
        let plan = self.desk.write("p.updo", &format!("{}{more}", self.text));
        plan.display().to_string()
    }

    fn run(&self, more: &str, args: &[&str]) -> Ran {
        let plan = self.plan(more);
        let args = [&["run", &plan, "--yes"], args].concat();
        self.desk.on(&self.node, &args).run()
    }
}

#[test]
fn a_crash_in_the_soak_counts_as_a_failed_verify() {
    let start = "ticker:start(a, on), [ticker:start(N, off) || N <- [b, c]]";
    let shop = Shop::new(&[ticker(1)], &[ticker(2)], start);
    let ran = shop
        .run("soak 1s.\n", &["--soak", "400ms"])
        .exits(20)
        .says(&[
            "soak",
            "2 of 3 live",
            "E618",
            "1 process died after the resume: its state is lost",
            "of ticker: error:function_clause in ticker:handle_info/2",
            "undone",
            "old code and states are back, without the processes named above",
        ]);
    assert!(!ran.stderr.contains("is as before"), "{ran}");
    shop.node
        .await_true("false =:= code:is_loaded(updo_agent) andalso undefined =:= whereis(updo_run)");
    assert_eq!(
        shop.node
            .eval_text("[element(1, gen_server:call(N, x)) || N <- [b, c]]"),
        "[1,1]"
    );

    // The plan says that nobody goes back: new, and a person is needed. One that ends well has not crashed.
    shop.node.eval("ticker:start(a, on)");
    let text = "rollback manual.\nafter upgrade -> ok = gen_server:cast(b, stop).\nverify \"later\" #{within => 5s, every => 100ms} -> undefined = erlang:whereis(a).\n";
    shop.run(text, &[])
        .exits(21)
        .says(&["E618", "1 process died", "1 of 3 live", "not good"]);
}

/// With the time of the soak from the plan, and everything well.
#[test]
fn a_soak_is_a_step_and_the_last_line_counts_survivors() {
    let shop = Shop::new(
        &[ticker(1)],
        &[ticker(2)],
        "[ticker:start(N, off) || N <- [a, b]]",
    );
    let plan = shop.plan("soak 1200ms.\n");
    let events = shop.desk.path().join("events.jsonl");
    let events_arg = events.display().to_string();
    let began = std::time::Instant::now();
    let run = shop.desk.on(
        &shop.node,
        &["run", &plan, "--yes", "--events", &events_arg],
    );
    run.env("UPDO_SOAK", "")
        .run()
        .exits(0)
        .says(&["2 states converted", "2 of 2 live"]);
    assert!(began.elapsed().as_millis() >= 1_200);
    let text = shop.desk.read("events.jsonl");
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |kind: &str| {
        let is = |line: &&serde_json::Value| line["type"] == kind;
        lines.iter().filter(is).collect::<Vec<_>>()
    };
    assert!(of("step.started").iter().any(|line| line["step"] == "soak"));
    assert!(
        of("step.progress")
            .iter()
            .any(|line| line["total"] == 1_200 && line["done"].as_u64() >= Some(400)),
        "{text}"
    );
    let last = of("node.finished");
    assert_eq!(
        (&last[0]["live"], &last[0]["watched"]),
        (&2.into(), &2.into()),
        "{text}"
    );
}

#[test]
fn suspended_processes_stay_suspended_and_traces_are_announced() {
    let shop = Shop::new(
        &[ticker(1)],
        &[ticker(2)],
        "[ticker:start(N, off) || N <- [a, b]], sys:suspend(a), erlang:trace_pattern({ticker, init, 1}, true, [call_count])",
    );
    let plan = shop.plan("");
    let reported = [
        "W626",
        "1 process of `ticker` suspended already",
        "W627",
        "`ticker` is traced: loading it ends that",
        "init/1",
    ];
    let preview = shop.desk.on(&shop.node, &["preview", &plan]).run().exits(0);
    for text in reported {
        assert!(
            format!("{}{}", preview.stdout, preview.stderr).contains(text),
            "{text}: {preview}"
        );
    }
    let suspended = "[begin {status, _, _, [_, S | _]} = sys:get_status(N), S end || N <- [a, b]]";
    // Undone, done, and gone back with: suspended as before, with the state that fits.
    shop.run("verify \"never\" -> false.\n", &[])
        .exits(20)
        .says(&reported);
    assert_eq!(shop.node.eval_text(suspended), "[suspended,running]");
    shop.run("", &[])
        .exits(0)
        .says(&["W626", "2 states converted", "2 of 2 live"]);
    assert_eq!(shop.node.eval_text(suspended), "[suspended,running]");
    let back = shop
        .desk
        .on(&shop.node, &["rollback", "--yes"])
        .run()
        .exits(0);
    back.says(&["it is as before"]);
    assert_eq!(shop.node.eval_text(suspended), "[suspended,running]");
    assert_eq!(
        shop.node
            .eval_text("sys:resume(a), [gen_server:call(N, x) || N <- [a, b]]"),
        "[{1,{0,off}},{1,{0,off}}]"
    );
}

#[test]
fn code_that_something_else_loads_is_never_called_done() {
    let shop = Shop::new(&[ticker(1)], &[ticker(2)], "ticker:start(a, off)");
    let three = shop.three.join("ticker").display().to_string();
    let text = format!(
        "after upgrade -> _ = code:purge(ticker), {{module, ticker}} = code:load_abs({three:?}).\n"
    );
    let ran = shop.run(&text, &[]).exits(21).says(&[
        "E619",
        "something else has loaded other code during the run: ticker",
        "half done",
    ]);
    assert!(!ran.stderr.contains("done  Survivors"), "{ran}");
    assert_eq!(shop.node.eval_text("ticker:third()"), "3");
}

/// A handler of events, and how its manager is kept busy.
fn handler(version: u32) -> (String, String) {
    fixture("ear", version)
}

#[test]
fn a_busy_event_manager_is_waited_for_or_refused() {
    let shop = Shop::new(&[handler(1)], &[handler(2)], "ear:start()");
    shop.node.eval("gen_event:notify(ears, {busy, 60000})");
    shop.run("module ear #{timeout => 500ms} because \"short\".\n", &[])
        .exits(14)
        .says(&["E603", "is as before"]);
    assert_eq!(
        shop.node.eval_text(
            "exit(whereis(ears), kill), timer:sleep(50), ear:start(), gen_event:call(ears, ear, x)"
        ),
        "{1,0}"
    );
    let plan = shop.plan("module ear #{timeout => 20s} because \"long\".\n");
    shop.node.eval("gen_event:notify(ears, {busy, 6000})");
    let run = shop
        .desk
        .on(&shop.node, &["run", &plan, "--yes"])
        .run()
        .exits(0);
    run.says(&["1 state converted"]);
    assert_eq!(shop.node.eval_text("gen_event:call(ears, ear, x)"), "{2,1}");
}

/// `door` begins, and hands over to `gate`; whose `code_change/4` says whose it was.
fn door(name: &str, version: u32) -> (String, String) {
    let text = format!(
        "-module({name}).\n-behaviour(gen_statem).\n-vsn(\"{version}\").\n-export([start/1, init/1, callback_mode/0, handle_event/4, code_change/4]).\n\
         start(N) -> {{ok, P}} = gen_statem:start({{local, N}}, ?MODULE, [], []), P.\ninit(X) -> {{ok, open, X}}.\n\
         callback_mode() -> handle_event_function.\n\
         handle_event({{call, F}}, over, _, D) -> {{keep_state, D, [{{reply, F, ok}}, {{change_callback_module, gate}}]}};\n\
         handle_event({{call, F}}, _, _, D) -> {{keep_state, D, [{{reply, F, {{?MODULE, {version}, D}}}}]}}.\n\
         code_change(_, S, D, _) -> {{ok, S, [{{?MODULE, {version}}} | D]}}.\n"
    );
    (name.to_owned(), text)
}

#[test]
fn a_gen_statem_is_converted_by_the_module_it_runs_now() {
    let start = "[door:start(N) || N <- [a, b]], ok = gen_statem:call(b, over)";
    let looks = "[gen_statem:call(N, look) || N <- [a, b]]";
    let shop = Shop::new(
        &[door("door", 1), door("gate", 1)],
        &[door("door", 2), door("gate", 1)],
        start,
    );
    let plan = shop.plan("");
    let preview = shop.desk.on(&shop.node, &["preview", &plan]).run().exits(0);
    assert!(preview.stdout.contains("1 process"), "{preview}");
    shop.run("", &[])
        .exits(0)
        .says(&["1 process suspended", "1 state converted"]);
    assert_eq!(
        shop.node.eval_text(looks),
        "[{door,2,[{door,2}]},{gate,1,[]}]"
    );

    let shop = Shop::new(
        &[door("door", 1), door("gate", 1)],
        &[door("door", 1), door("gate", 2)],
        start,
    );
    let plan = shop.plan("");
    let preview = shop.desk.on(&shop.node, &["preview", &plan]).run().exits(0);
    assert!(preview.stdout.contains("1 process"), "{preview}");
    shop.run("", &[])
        .exits(0)
        .says(&["1 process suspended", "1 state converted"]);
    assert_eq!(
        shop.node.eval_text(looks),
        "[{door,1,[]},{gate,2,[{gate,2}]}]"
    );
}

/// The connection breaks behind the last event: the record has the end, and the agent keeps the result for minutes. `attach`
/// has read it then, and the agent may go; one that keeps the result of another run stays.
#[test]
fn a_kept_result_goes_when_it_has_been_read() {
    let shop = Shop::new(&[ticker(1)], &[ticker(2)], "ticker:start(a, off)");
    let ran = shop.run("", &[]).exits(0);
    let keeper = |run: &str| {
        shop.node.eval(&format!(
            "P = spawn(fun() -> register(updo_run, self()), put(updo_info, #{{run => <<\"{run}\">>, \
             owner => undefined, since => 0, state => kept}}), receive updo_settle -> ok end end), \
             (fun W() -> whereis(updo_run) =:= P orelse W() end)()"
        ));
        shop.desk
            .on(&shop.node, &["attach", &ran.name()])
            .run()
            .exits(0)
            .says(&["has ended", "is new"]);
    };
    keeper("0000");
    shop.node.await_true("is_pid(whereis(updo_run))");
    shop.node.eval("exit(whereis(updo_run), kill)");
    keeper(&ran.name());
    shop.node.await_true("whereis(updo_run) =:= undefined");
}
