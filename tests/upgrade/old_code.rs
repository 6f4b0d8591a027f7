//! Old code that has to go: calls in flight, loops and funs that an upgrade, its undo and the next upgrade meet. What is
//! ended is said, what may not be ended is not, and funs that are kept as data go on working.

use tempfile::TempDir;

use crate::corners::{compiled, fixture, node_with};
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran};

/// A server whose conversion fails after a moment, and a library with slow calls, loops and funs.
struct Desks {
    node: TestNode,
    desk: Desk,
    folders: Vec<String>,
    _folder: TempDir,
}

fn version(number: u32) -> Vec<(String, String)> {
    ["oc_server", "oc_lib", "oc_actor"]
        .map(|name| fixture(name, number))
        .to_vec()
}

impl Desks {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let folders: Vec<String> = (1..=3)
            .map(|number| {
                let ebin = compiled(&folder.path().join(number.to_string()), &version(number));
                ebin.display().to_string()
            })
            .collect();
        let node = node_with(std::path::Path::new(&folders[0]));
        node.eval("{ok, P} = gen_server:start({local, oc}, oc_server, x, []), oc_lib:v(), P");
        Self {
            node,
            desk: Desk::converting_after_the_switch(),
            folders,
            _folder: folder,
        }
    }

    /// From the version that runs (from 0) to the next.
    fn upgrade(&self, command: &str, from: usize, more: &str) -> Ran {
        let text = format!(
            "plan \"Old code\".\ncode push [{:?}].\nold from {:?}.\n{more}\n",
            self.folders[from + 1],
            self.folders[from]
        );
        self.desk.write("p.updo", &text);
        let mut args = vec![command, "p.updo"];
        if command == "run" {
            args.push("--yes");
        }
        self.desk.on(&self.node, &args).run()
    }

    /// The versions of library and server, and the server's state.
    fn versions(&self) -> String {
        self.node.eval_text("{oc_lib:v(), gen_server:call(oc, x)}")
    }

    /// Starts processes under names `oc_1` and so on that run an expression.
    fn start(&self, number: usize, expression: &str) {
        self.node.eval(&format!(
            "[register(list_to_atom(\"oc_\" ++ integer_to_list(I)), spawn(fun() -> {expression} end)) || I <- lists:seq(1, {number})],
             timer:sleep(50), ok"
        ));
    }

    fn alive(&self, number: usize) -> String {
        self.node.eval_text(&format!(
            "length([I || I <- lists:seq(1, {number}), is_pid(whereis(list_to_atom(\"oc_\" ++ integer_to_list(I))))])"
        ))
    }
}

const FAILS: &str = "module oc_server #{change => {advanced, fails}}.";

/// Calls in flight and loops that come back to the module by its name leave the old code by themselves: the undo waits.
#[test]
fn an_undo_waits_for_calls_and_loops() {
    let d = Desks::new();
    d.node.eval("ets:new(oc_done, [named_table, public]), register(oc_owner, spawn(fun() -> ets:new(oc_answers, [named_table, public, bag]), receive stop -> ok end end)), timer:sleep(20), ok");
    d.start(20, "ets:insert(oc_answers, {oc_lib:slow(700), self()})");
    d.node.eval("[register(list_to_atom(\"oc_own_\" ++ integer_to_list(I)), spawn(oc_lib, own, [])) || I <- lists:seq(1, 20)], ok");
    d.upgrade("run", 0, FAILS).exits(20).says(&["is as before"]);
    assert_eq!(d.versions(), "{1,{1,x}}");
    d.node.await_true("ets:info(oc_answers, size) =:= 20");
    assert_eq!(
        d.node
            .eval_text("lists:usort([A || {A, _} <- ets:tab2list(oc_answers)])"),
        "[{done,1}]"
    );
    let own = "length([I || I <- lists:seq(1, 20), is_pid(whereis(list_to_atom(\"oc_own_\" ++ integer_to_list(I))))])";
    assert_eq!(d.node.eval_text(own), "20");
}

/// One that stays is not ended: the new code stays, with exit code 21 and names, and nothing claims "as before".
#[test]
fn an_undo_ends_none_that_stays() {
    for policy in ["", "module oc_lib #{purge => soft}."] {
        let d = Desks::new();
        d.start(3, "oc_lib:loop()");
        d.upgrade("preview", 0, FAILS)
            .exits(0)
            .says(&[
                "W630",
                "3 processes execute code that is replaced",
                "`oc_lib`",
            ])
            .prints(&["exact as soon as 3 processes have left"]);
        let ran = d
            .upgrade("run", 0, &format!("{FAILS}\n{policy}"))
            .exits(21)
            .says(&[
                "E609",
                "the new code stays: 3 processes",
                "old oc_lib",
                "old state",
            ]);
        assert!(!ran.stderr.contains("is as before"), "{ran}");
        assert_eq!(d.alive(3), "3");
        assert_eq!(d.versions(), "{2,{1,x}}");
        assert_eq!(d.node.eval_text("witness:troubled()"), "[]");
        // They come to new code as ever.
        assert_eq!(
            d.node
                .eval_text("oc_1 ! {ask, self()}, receive {_, N} -> N after 2000 -> none end"),
            "1"
        );
    }
}

/// `brutal` says before and afterwards what it ends.
#[test]
fn an_undo_that_may_end_processes_names_them() {
    let d = Desks::new();
    d.start(3, "oc_lib:loop()");
    let policy = format!("{FAILS}\nmodule oc_lib #{{purge => brutal}}.");
    d.upgrade("preview", 0, &policy)
        .exits(0)
        .says(&["W630", "an undo after the switch would end 3 processes"]);
    let ran = d.upgrade("run", 0, &policy).exits(20).says(&[
        "W632",
        "purging old `oc_lib` ends 3 processes",
        "oc_lib:loop/0",
    ]);
    assert!(!ran.stderr.contains("is as before"), "{ran}");
    assert_eq!(d.alive(3), "0");
    assert_eq!(d.versions(), "{1,{1,x}}");
    assert_eq!(d.node.eval_text("witness:troubled()"), "[]");
}

/// A way back after the run waits for what executes old code, and is refused when it stays.
#[test]
fn going_back_after_a_failed_verify_ends_none() {
    let d = Desks::new();
    d.start(3, "oc_lib:slow(1500)");
    d.upgrade("run", 0, "verify \"never\" -> false.").exits(20);
    assert_eq!(d.versions(), "{1,{1,x}}");
    d.start(3, "oc_lib:loop()");
    d.upgrade("run", 0, "verify \"never\" -> false.")
        .exits(21)
        .says(&["E605", "waiting for 3 processes to leave old code"]);
    assert_eq!(d.alive(3), "3");
    assert_eq!(d.versions(), "{2,{2,x}}");
}

/// An acceptor in the module of its supervisor waits in code that it never leaves: the preview names it where it says what an
/// undo can do, a way back is refused and changes nothing, and where the plan lets an undo end it, its supervisor starts
/// it again in the version that comes back.
#[test]
fn an_acceptor_is_in_the_way_of_an_undo_unless_it_may_end() {
    let folder = TempDir::new().expect("a folder");
    let folders = [1, 2].map(|number| {
        let sources = ["oc_gate", "oc_lib"].map(|name| fixture(name, number));
        compiled(&folder.path().join(number.to_string()), &sources)
            .display()
            .to_string()
    });
    let node = node_with(std::path::Path::new(&folders[0]));
    let desk = Desk::new();
    node.eval(
        "register(oc_owner, spawn(fun() -> {ok, S} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, binary]), persistent_term:put(oc_gate, S), \
         {ok, _} = oc_gate:start(), receive stop -> ok end end)), timer:sleep(200), ok",
    );
    let asked = "begin {ok, Port} = inet:port(persistent_term:get(oc_gate)), \
                 {ok, S} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]), element(2, gen_tcp:recv(S, 0, 5000)) end";
    let acceptor = "[P || {acceptor, P, _, _} <- supervisor:which_children(oc_gate)]";
    let run = |command: &[&str], more: &str| {
        let text = format!(
            "plan \"Gate\".\ncode push [{:?}].\nold from {:?}.\n{more}\n",
            folders[1], folders[0]
        );
        desk.write("p.updo", &text);
        desk.on(&node, command).run()
    };
    let first = node.eval_text(acceptor);
    assert_eq!(node.eval_text(asked), "<<\"version 1\">>");
    run(&["preview", "p.updo"], "")
        .exits(0)
        .says(&[
            "W630",
            "1 process executes code that is replaced",
            "`oc_gate`",
            "purge => {brutal, defer}",
        ])
        .prints(&["exact as soon as 1 process has left the code that is replaced (W630)"]);
    run(&["run", "p.updo", "--yes"], "").exits(0);
    assert_eq!(node.eval_text(acceptor), first);
    run(&["rollback", "--yes"], "").exits(14).says(&[
        "E605",
        "nothing was changed",
        "--purge brutal",
    ]);
    assert_eq!(node.eval_text("{oc_lib:v(), witness:troubled()}"), "{2,[]}");
    run(&["rollback", "--yes", "--purge", "brutal"], "")
        .exits(0)
        .says(&["W632", "oc_gate"]);
    assert_eq!(node.eval_text(asked), "<<\"version 1\">>");

    let second = node.eval_text(acceptor);
    assert_ne!(first, second);
    // The supervisor gives up when its child ends twice within a second.
    node.eval("timer:sleep(1100)");
    let may_end = "module oc_gate #{purge => {brutal, defer}}.\nverify \"never\" -> false.";
    run(&["preview", "p.updo"], may_end)
        .exits(0)
        .says(&["W630", "an undo after the switch would end 1 process"]);
    run(&["run", "p.updo", "--yes"], may_end)
        .exits(20)
        .says(&["W632", "purging old `oc_gate` ends 1 process"]);
    assert_eq!(node.eval_text("{oc_lib:v(), witness:troubled()}"), "{1,[]}");
    assert_ne!(node.eval_text(acceptor), second);
    assert_eq!(node.eval_text(asked), "<<\"version 1\">>");
}

/// Funs of a changed module go on working after an upgrade; the next one refuses to break them, and the preview knows.
#[test]
fn stored_funs_are_not_broken_silently() {
    let d = Desks::new();
    d.node.eval("persistent_term:put(oc_kept, oc_lib:f()), ok");
    let kept = "(persistent_term:get(oc_kept))()";
    d.upgrade("run", 0, "").exits(0);
    assert_eq!(d.node.eval_text(kept), "{made,1}");
    d.upgrade("preview", 1, "")
        .exits(0)
        .says(&["W631", "the persistent term oc_kept"]);
    d.upgrade("run", 1, "").exits(14).says(&[
        "E626",
        "the persistent term oc_kept",
        "purge => brutal",
    ]);
    assert_eq!(d.node.eval_text(kept), "{made,1}");
    assert_eq!(d.versions(), "{2,{2,x}}");
    let brutal = "module oc_lib #{purge => brutal}.";
    d.upgrade("preview", 1, brutal)
        .exits(0)
        .says(&["W631", "they raise `badfun` from then on"]);
    d.upgrade("run", 1, brutal).exits(0).says(&[
        "W632",
        "a fun in the persistent term oc_kept raises `badfun` from now on",
    ]);
    assert_eq!(d.versions(), "{3,{3,x}}");
    assert_eq!(
        d.node
            .eval_text("element(1, catch (persistent_term:get(oc_kept))())"),
        "'EXIT'"
    );
}

/// `purge => soft` is as before: purged after the run, unless that would break a fun.
#[test]
fn a_soft_purge_after_the_run_keeps_what_funs_need() {
    let d = Desks::new();
    let soft = "module [oc_lib, oc_server] #{purge => soft}.";
    d.upgrade("run", 0, soft).exits(0);
    assert_eq!(d.node.eval_text("erlang:check_old_code(oc_lib)"), "false");
    d.node.eval("persistent_term:put(oc_kept, oc_lib:f()), ok");
    d.upgrade("run", 1, soft)
        .exits(0)
        .says(&["W631", "old code was not purged"]);
    assert_eq!(
        d.node.eval_text("(persistent_term:get(oc_kept))()"),
        "{made,2}"
    );
}

/// What will be refused for old code in use is known beforehand.
#[test]
fn old_code_in_use_is_in_the_preview() {
    let d = Desks::new();
    d.start(2, "oc_lib:loop()");
    d.upgrade("run", 0, "")
        .exits(0)
        .says(&["still runs the old oc_lib"]);
    d.upgrade("preview", 1, "").exits(0).says(&[
        "W629",
        "2 processes still execute the version of `oc_lib` before the running one",
        "E605",
    ]);
    d.upgrade("run", 1, "").exits(14).says(&["E605"]);
    assert_eq!(d.alive(2), "2");
}

/// An actor whose behaviour is a fun in the arguments of a loop of another module, as gleam_otp has them: said before it is
/// left behind, working afterwards, and in the way of the next upgrade.
#[test]
fn a_running_fun_keeps_its_version() {
    let d = Desks::new();
    d.node
        .eval("register(oc_actor, oc_actor:start(oc_lib:f())), timer:sleep(50), ok");
    let ask = "oc_actor ! {ask, self()}, receive {_, N} -> N after 2000 -> none end";
    d.upgrade("preview", 0, "").exits(0).says(&[
        "W633",
        "processes keep funs of `oc_lib`",
        "the state of <",
    ]);
    d.upgrade("run", 0, "").exits(0);
    assert_eq!(d.node.eval_text(ask), "{made,1}");
    assert_eq!(d.versions(), "{2,{2,x}}");
    d.upgrade("run", 1, "")
        .exits(14)
        .says(&["E626", "the state of <"]);
    assert_eq!(d.node.eval_text(ask), "{made,1}");
}
