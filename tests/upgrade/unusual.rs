//! Processes that are met rarely: loops that come to new code by themselves, one process under two modules, many of them
//! under many modules; calls that only the run can see; and a preview that carries nothing out.

use tempfile::TempDir;

use crate::bank::{Is, Plan, is, pids_of, replaced};
use crate::corners::{compiled, node_with};
use crate::support::desk::Desk;

fn source(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), format!("-module({name}).\n{text}"))
}

/// What a plan would have called is called by the run, and by nothing else.
#[test]
fn a_preview_calls_nothing() {
    let bank_1 = replaced();
    let node = &bank_1.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    let plan = Plan::on_disk("fine")
        .with("insert {apply, {application, set_env, [bank, called, yes]}} at start because \"to be seen\".\n")
        .with("insert {apply, {application, set_env, [bank, behind, yes]}} at end because \"to be seen\".\n")
        .on(&desk);
    let seen = "{application:get_env(bank, called), application:get_env(bank, behind)}";
    for command in [
        &["preview", &plan][..],
        &["preview", &plan, "--low"],
        &["preview", &plan, "--json"],
        &["check", &plan],
    ] {
        desk.on(node, command).run().exits(0);
        assert_eq!(node.eval_text(seen), "{undefined,undefined}", "{command:?}");
    }
    is(node, Is::Old, &pids);
    desk.on(node, &["run", &plan, "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(seen), "{{ok,yes},{ok,yes}}");
}

/// A loop through a fully qualified call: reported while it is in old code, new at its next message, and then the old
/// code can go, so that the next upgrade finds no process there.
#[test]
fn a_loop_comes_to_new_code_by_itself() {
    let folder = TempDir::new().expect("a folder");
    let version = |version: u32| {
        let text = format!(
            "-export([loop/0]).\nloop() -> receive {{ask, P}} -> P ! {{told, {version}}}, looper:loop() end.\n"
        );
        compiled(
            &folder.path().join(version.to_string()),
            &[source("looper", &text)],
        )
    };
    let all = [version(1), version(2), version(3)];
    let (node, desk) = (node_with(&all[0]), Desk::new());
    node.eval("register(looper_1, spawn(looper, loop, []))");
    let ask = "looper_1 ! {ask, self()}, receive {told, N} -> N after 5000 -> none end";
    let upgrade = |from: usize| {
        let (old, new) = (&all[from], &all[from + 1]);
        let text = format!("plan \"Loop\".\ncode push [{new:?}].\nold from {old:?}.\n");
        desk.write("p.updo", &text);
        desk.on(&node, &["run", "p.updo", "--yes"]).run()
    };
    upgrade(0).exits(0).says(&["still runs the old looper"]);
    // No process is killed for the sake of a third version.
    upgrade(1).exits(14).says(&["E605", "looper"]);
    // The message that it waits for is answered by the code that waits.
    assert_eq!(node.eval_text(ask), "1");
    assert_eq!(node.eval_text(ask), "2");
    let ran = upgrade(1).exits(0);
    assert!(!ran.stderr.contains("E605"), "{ran}");
    assert_eq!(node.eval_text(ask), "2");
    assert_eq!(node.eval_text(ask), "3");
    assert_eq!(node.eval_text("code:soft_purge(looper)"), "true");
}

/// A manager of events with handlers of two changed modules: one process, both conversions, once each, and not an event
/// lost.
#[test]
fn one_process_under_two_modules() {
    let folder = TempDir::new().expect("a folder");
    let handler = |name: &str, version: u32| {
        let text = format!(
            "-behaviour(gen_event).\n-export([init/1, handle_event/2, handle_call/2, code_change/3]).\n\
             init(_) -> {{ok, {{1, 0, 0}}}}.\n\
             handle_event(_, {{V, N, C}}) -> {{ok, {{V, N + 1, C}}}}.\n\
             handle_call(tell, S) -> {{ok, {{{version}, S}}, S}}.\n\
             code_change({{down, _}}, {{V, N, C}}, _) -> {{ok, {{V - 1, N, C + 1}}}};\n\
             code_change(_, {{V, N, C}}, _) -> {{ok, {{V + 1, N, C + 1}}}}.\n"
        );
        source(name, &text)
    };
    let version = |version: u32| {
        compiled(
            &folder.path().join(version.to_string()),
            &[handler("bell", version), handler("lamp", version)],
        )
    };
    let (one, two) = (version(1), version(2));
    let (node, desk) = (node_with(&one), Desk::new());
    node.eval(
        "{ok, P} = gen_event:start({local, house}), [ok = gen_event:add_handler(house, M, []) || M <- [bell, lamp]],
         [gen_event:notify(house, ring) || _ <- lists:seq(1, 5)], P",
    );
    let reported = "[gen_event:call(house, M, tell) || M <- [bell, lamp]]";
    let text = format!("plan \"House\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    desk.on(&node, &["run", "p.updo", "--yes"]).run().exits(0);
    node.eval("gen_event:sync_notify(house, ring)");
    assert_eq!(node.eval_text(reported), "[{2,{2,6,1}},{2,{2,6,1}}]");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(reported), "[{1,{1,6,2}},{1,{1,6,2}}]");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    assert_eq!(node.eval_text("witness:left_to(3000)"), "[]");
}

/// Thirty modules and three thousand processes that have been in their code: each module is purged once and at the end,
/// no process is killed, and the next upgrade finds nothing old.
#[test]
fn many_modules_with_many_processes() {
    const MODULES: usize = 30;
    let folder = TempDir::new().expect("a folder");
    let version = |version: u32| {
        let all: Vec<_> = (0..MODULES)
            .map(|n| {
                let name = format!("crowd_{n}");
                let text = format!(
                    "-export([v/0, loop/0]).\nv() -> {version}.\nloop() -> receive stop -> ok after 100 -> {name}:loop() end.\n"
                );
                source(&name, &text)
            })
            .collect();
        compiled(&folder.path().join(version.to_string()), &all)
    };
    let all = [version(1), version(2), version(3)];
    let (node, desk) = (node_with(&all[0]), Desk::new());
    node.eval(&format!(
        "[spawn(list_to_atom(\"crowd_\" ++ integer_to_list(N rem {MODULES})), loop, []) || N <- lists:seq(1, 3000)], ok"
    ));
    let before = node.eval_text("erlang:system_info(process_count) div 100");
    let names = format!(
        "[list_to_atom(\"crowd_\" ++ integer_to_list(N)) || N <- lists:seq(0, {})]",
        MODULES - 1
    );
    for (from, to) in [(0, 1), (1, 2)] {
        let (old, new) = (&all[from], &all[to]);
        let wait = format!(
            "plan \"Crowd\".\ncode push [{new:?}].\nold from {old:?}.\nmodule [{}] #{{purge => {{wait, 5s}}}} because \"they come round\".\n",
            (0..MODULES)
                .map(|n| format!("crowd_{n}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
        desk.write("p.updo", &wait);
        node.eval("erlang:trace_pattern({code, purge, 1}, true, [call_count])");
        let ran = desk.on(&node, &["run", "p.updo", "--yes"]).run().exits(0);
        assert!(!ran.stderr.contains("still runs"), "{ran}");
        let seen = format!(
            "{{lists:usort([M:v() || M <- {names}]), [M || M <- {names}, erlang:check_old_code(M)]}}"
        );
        assert_eq!(node.eval_text(&seen), format!("{{[{}],[]}}", to + 1));
        // code:purge/1 kills: it is for the agent's own module only, twice at its end.
        node.await_true("whereis(updo_run) =:= undefined");
        let killing = node.eval("element(2, erlang:trace_info({code, purge, 1}, call_count))");
        assert!(killing.as_i64().is_some_and(|n| n <= 2), "{killing}");
    }
    assert_eq!(
        node.eval_text("erlang:system_info(process_count) div 100"),
        before,
        "nobody was killed"
    );
}

/// A call through a variable gives no edge. It is reported with its place; and a plan's `depends on` makes the two
/// change at one instant, so that under load no call meets the wrong version.
#[test]
fn a_call_invisible_to_static_analysis() {
    let folder = TempDir::new().expect("a folder");
    let till = |version: u32| {
        let ask = match version {
            1 => "Tax:tax(100)",
            _ => "Tax:tax(100, half)",
        };
        let text = format!(
            "-behaviour(gen_server).\n-export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start() -> gen_server:start({{local, till_a}}, till_a, [], []).\n\
             init(_) -> {{ok, the_tax_b}}.\n\
             handle_call(sum, _, Tax) -> {{reply, {ask}, Tax}}.\n\
             handle_cast(_, S) -> {{noreply, S}}.\ncode_change(_, S, _) -> {{ok, S}}.\n"
        );
        source("till_a", &text)
    };
    let tax = |version: u32| {
        let text = match version {
            1 => "-export([tax/1]).\ntax(N) -> N + 1.\n",
            _ => "-export([tax/2]).\ntax(N, half) -> N + 2.\n",
        };
        source("the_tax_b", text)
    };
    let version = |version: u32| {
        compiled(
            &folder.path().join(version.to_string()),
            &[till(version), tax(version)],
        )
    };
    let (one, two) = (version(1), version(2));
    let (node, desk) = (node_with(&one), Desk::new());
    node.eval("{ok, _} = till_a:start()");
    let plan = |more: &str| {
        let text = format!(
            "plan \"Tax\".\ncode push [{two:?}].\nold from {one:?}.\nwindow minimal.\n{more}\n"
        );
        desk.write("p.updo", &text);
    };
    // Whether the tax is switched while the till is suspended.
    let inside = || {
        let shown = desk.on(&node, &["preview", "p.updo", "--json"]).run();
        let shown = shown.exits(0).json();
        let low = shown["low"].as_array().expect("instructions").clone();
        let at = |begin: &str| {
            let is = |i: &serde_json::Value| i.as_str().is_some_and(|i| i.starts_with(begin));
            low.iter().position(is).expect(begin)
        };
        at("{suspend,") < at("{load,{the_tax_b,")
    };
    plan("");
    let shown = desk.on(&node, &["preview", "p.updo"]).run().exits(0);
    shown.says(&["W315", "till_a:handle_call/3", "till_a depends on X"]);
    assert!(!inside(), "nothing says that they belong together");

    plan("till_a depends on the_tax_b because \"the tax is chosen when the till starts\".");
    assert!(inside());
    node.eval(
        "Loop = fun Loop(Seen) -> receive {tell, P} -> P ! {seen, Seen} after 0 ->
             Loop(ordsets:add_element(catch gen_server:call(till_a, sum), Seen)) end end,
         register(buyer, spawn(fun() -> Loop([]) end))",
    );
    desk.on(&node, &["run", "p.updo", "--yes"]).run().exits(0);
    node.await_true("gen_server:call(till_a, sum) =:= 102");
    node.eval("timer:sleep(50)");
    assert_eq!(
        node.eval_text(
            "buyer ! {tell, self()}, receive {seen, S} -> [{N} || N <- S] after 5000 -> none end"
        ),
        "[{101},{102}]"
    );
}
