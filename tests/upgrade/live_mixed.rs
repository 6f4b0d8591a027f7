//! `window live` where not everything can go live: what cannot is switched first, in a window of its own.

use crate::live::{TORN, busy_at_first, call, called, purse, states};
use crate::rehearsal::Stage;

/// A supervisor whose new version has one more child.
fn vault(version: u32) -> (String, String) {
    let more = match version {
        1 => "",
        _ => ", w(guard)",
    };
    let text = format!(
        "-module(vault).\n-behaviour(supervisor).\n-vsn(\"{version}\").\n-export([start/0, init/1]).\n\
         start() -> {{ok, P}} = supervisor:start_link({{local, vault}}, ?MODULE, x), unlink(P), P.\n\
         w(M) -> #{{id => M, start => {{M, start_link, []}}}}.\n\
         init(_) -> {{ok, {{#{{}}, [w(ledger){more}]}}}}.\n"
    );
    ("vault".to_owned(), text)
}

/// A server whose conversion writes into a table, and takes that back.
fn ledger(version: u32) -> (String, String) {
    let change = match version {
        1 => "code_change(_, S, _) -> {ok, S}.",
        _ => {
            "code_change({down, _}, {2, N}, _) -> ets:delete(pages, N), {ok, {1, N}};\n\
             code_change(_, {1, N}, _) -> ets:insert(pages, {N, written}), {ok, {2, N}}."
        }
    };
    let text = format!(
        "-module(ledger).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start_link/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start_link() -> gen_server:start_link({{local, ledger}}, ?MODULE, 7, []).\n\
         init(N) -> {{ok, {{{version}, N}}}}.\n\
         handle_call(state, _, {{{version}, _}} = S) -> {{reply, S, S}}.\n\
         handle_cast(_, S) -> {{noreply, S}}.\n{change}\n"
    );
    ("ledger".to_owned(), text)
}

fn guard(init: &str) -> (String, String) {
    let text = "-module(guard).\n-behaviour(gen_server).\n-export([start_link/0, init/1, handle_call/3, handle_cast/2]).\n\
         start_link() -> gen_server:start_link({local, guard}, ?MODULE, x, []).\ninit(S) -> INIT.\n\
         handle_call(_, _, S) -> {reply, S, S}.\nhandle_cast(_, S) -> {noreply, S}.\n";
    ("guard".to_owned(), text.replace("INIT", init))
}

/// A supervisor, a server whose conversion acts, and so many whose conversion computes.
fn stage(number: u32, code_change: &str, more: &str) -> Stage {
    stage_with("{ok, S}", number, code_change, more)
}

/// The same with what the new child's `init/1` returns.
fn stage_with(init: &str, number: u32, code_change: &str, more: &str) -> Stage {
    let start = format!(
        "ets:new(pages, [named_table, public, {{heir, whereis(init), x}}]), vault:start(), \
         persistent_term:put(asked, [purse:start(N) || N <- lists:seq(1, {number})])"
    );
    Stage::planned(
        &[vault(1), ledger(1), purse(1, "")],
        &[vault(2), ledger(2), guard(init), purse(2, code_change)],
        &start,
        &format!("window live.\n{more}"),
    )
}

/// The children of the supervisor, the state of its server, and the table.
fn beside(stage: &Stage) -> String {
    stage.node.eval_text(
        "{lists:sort([Id || {Id, P, _, _} <- supervisor:which_children(vault), is_pid(P)]), \
          gen_server:call(ledger, state), ets:tab2list(pages)}",
    )
}

const OLD: &str = "{[ledger],{1,7},[]}";
const NEW: &str = "{[guard,ledger],{2,7},[{7,written}]}";

#[test]
fn what_does_not_go_live_is_switched_first() {
    let stage = stage(300, "", "");
    call(&stage);
    let ran = stage.run(&["--events", "events.jsonl"]).exits(0).says(&[
        "W653",
        "3 modules do not go live: they are switched first, in a window of their own",
        "`ledger`: its conversion does more than compute",
        "`vault`: its processes are supervisors",
        "`guard`: `vault` needs it",
        "window   live: first guard, ledger, vault in a window of its own; 2 processes are suspended",
        "then no process is suspended; purse switches at one instant",
        "300 processes convert their states, each before its next callback: purse",
        "undo     old code; states exact, or by code_change down where an event came since: purse; of the \
         window before by code_change",
        "live ok",
    ]);
    called(&stage);
    assert_eq!(states(&stage), "[{2,\"1\"}]");
    assert_eq!(beside(&stage), NEW);
    // Two processes were suspended in all, and none of the many.
    let events = stage.desk.read("events.jsonl");
    let suspends = events
        .lines()
        .filter(|line| line.contains("\"step\":\"suspend\"") && line.contains("finished"));
    let suspends: Vec<&str> = suspends.collect();
    assert_eq!(suspends.len(), 1, "{events}");
    assert!(suspends[0].contains("\"processes\":2"), "{suspends:?}");
    stage.is_clean();
    stage.run(&[]).exits(0).says(&["nothing to do"]);
    let back = ["rollback", &ran.name(), "--yes"];
    stage.desk.on(&stage.node, &back).run().exits(0);
    assert_eq!(states(&stage), "[{1,old}]");
    assert_eq!(beside(&stage), OLD);
    stage.is_clean();
}

/// A conversion that fails in the live window: its processes go back, and then those of the window before.
#[test]
fn a_failure_of_the_live_window_leads_back_through_the_window_before() {
    let stage = stage(100, TORN, "");
    busy_at_first(&stage);
    call(&stage);
    stage.run(&[]).exits(20).says(&["E604", "torn"]);
    called(&stage);
    assert_eq!(states(&stage), "[{1,old}]");
    assert_eq!(beside(&stage), OLD);
    stage.is_clean();
}

/// A new child that does not start fails the window before, and no process has gone live.
#[test]
fn a_child_that_does_not_start_leads_back_before_anything_is_live() {
    for init in ["{stop, S}", "exit(S)", "ignore"] {
        let stage = stage_with(init, 50, "", "");
        call(&stage);
        let ran = stage.run(&[]);
        called(&stage);
        let found = (states(&stage), beside(&stage));
        match init {
            // OTP takes it for a child without a process.
            "ignore" => {
                assert_eq!(ran.code, Some(0), "{ran}");
                assert_eq!(found.0, "[{2,\"1\"}]");
            }
            _ => {
                assert_eq!(ran.code, Some(20), "{init}: {ran}");
                assert_eq!(found, ("[{1,old}]".to_owned(), OLD.to_owned()), "{init}");
                assert!(
                    ran.stderr.contains("the live window was not opened"),
                    "{ran}"
                );
                assert!(!ran.stderr.contains("live ok"), "{ran}");
            }
        }
        stage.is_clean();
    }
}

/// What only the node shows to be in the way of the live window is found before the other one is opened.
#[test]
fn what_the_live_window_is_refused_for_opens_no_other() {
    let stage = stage(50, "", "");
    call(&stage);
    stage.node.eval(
        "spawn(fun() -> purse:handle_call({wait, fun() -> receive go -> ok end end}, x, {1, 1, 0}) end)",
    );
    let ran =
        stage
            .run(&[])
            .exits(14)
            .says(&["E425", "`purse`: <", "it executes the version that goes"]);
    assert!(!ran.stderr.contains("suspend ok"), "{ran}");
    called(&stage);
    assert_eq!(states(&stage), "[{1,old}]");
    assert_eq!(beside(&stage), OLD);
    stage.is_clean();
}

/// So does a check that fails behind both.
#[test]
fn a_failing_check_leads_back_through_both() {
    let stage = stage(
        50,
        "",
        "verify \"never\" -> false.\non failure -> rollback.",
    );
    call(&stage);
    stage.run(&[]).exits(20).says(&["never"]);
    called(&stage);
    assert_eq!(states(&stage), "[{1,old}]");
    assert_eq!(beside(&stage), OLD);
    stage.is_clean();
}

/// A process of updo dies in the window before, between both, or in the live window.
#[test]
fn a_process_of_updo_that_dies_changes_nothing_of_it() {
    for point in ["2", "5", "6"] {
        for what in ["executor", "guardian"] {
            let stage = stage(50, "", "");
            call(&stage);
            stage
                .node
                .eval(&format!("witness:strike({what}, {point}, 0)"));
            let ran = stage.run(&[]);
            called(&stage);
            let found = (states(&stage), beside(&stage));
            let (new, old) = (
                ("[{2,\"1\"}]".to_owned(), NEW.to_owned()),
                ("[{1,old}]".to_owned(), OLD.to_owned()),
            );
            let wanted = if ran.code == Some(0) { new } else { old };
            assert_eq!(found, wanted, "{what} at {point}: {ran}");
            stage.is_clean();
        }
    }
}
