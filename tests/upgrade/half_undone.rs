//! Runs that ended half done: what one command afterwards makes of the node, and that no state is converted down which
//! was never converted up.

use std::time::Duration;

use tempfile::TempDir;

use crate::corners::{compiled, fixture, node_with};
use crate::dead::kill;
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran};

/// A till that counts what is paid, with an interface whose callers execute its module while they wait; and a desk. A
/// payment takes a moment, so that others always wait for theirs.
fn version(number: u32) -> Vec<(String, String)> {
    vec![fixture("hu_till", number), fixture("hu_desk", number)]
}

struct Tills {
    node: TestNode,
    desk: Desk,
    plan: String,
    _folder: TempDir,
}

const TILLS: &str = "[fine, bad, third]";

impl Tills {
    fn new(more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let [one, two] = [1, 2].map(|number| {
            let ebin = compiled(&folder.path().join(number.to_string()), &version(number));
            ebin.display().to_string()
        });
        let node = node_with(std::path::Path::new(&one));
        let desk = Desk::new();
        let text = format!("plan \"Tills\".\ncode push [{two:?}].\nold from {one:?}.\n{more}\n");
        let plan = desk.write("tills.updo", &text).display().to_string();
        node.eval(&format!(
            "[{{ok, _}} = hu_till:start(X) || X <- {TILLS}],
             {{ok, _}} = gen_server:start({{local, hu_desk}}, hu_desk, x, []), ok"
        ));
        Self {
            node,
            desk,
            plan,
            _folder: folder,
        }
    }

    /// Starts clients that pay all the time, four at each till.
    fn open(&self) {
        self.node.eval(&format!(
            "register(hu_owner, spawn(fun() -> ets:new(hu_paid, [named_table, public]), receive stop -> ok end end)),
             timer:sleep(50), [ets:insert(hu_paid, {{X, 0}}) || X <- {TILLS}],
             persistent_term:put(hu_clients, [spawn(hu_till, client, [X, hu_paid]) || X <- {TILLS}, _ <- [1, 2, 3, 4]]), ok"
        ));
        self.node.await_true(&format!(
            "lists:all(fun(X) -> ets:lookup_element(hu_paid, X, 2) > 5 end, {TILLS})"
        ));
    }

    /// All of them are alive, and go when they are asked to; every payment is in the state of its till.
    fn close(&self) {
        let asked = "[begin M = monitor(process, P), P ! stop, receive {'DOWN', M, _, _, Why} -> Why after 5000 -> none end end
                      || P <- persistent_term:get(hu_clients)]";
        let reasons = self.node.eval_text(&format!("lists:usort({asked})"));
        assert_eq!(reasons, "[normal]", "the clients");
        let counted = format!(
            "[X || X <- {TILLS}, element(3, gen_server:call(X, state)) =/= ets:lookup_element(hu_paid, X, 2)]"
        );
        assert_eq!(self.node.eval_text(&counted), "[]", "what was paid");
    }

    fn md5s(&self) -> String {
        self.node
            .eval_text("[M:module_info(md5) || M <- [hu_till, hu_desk]]")
    }

    /// The version of each state, without what was paid.
    fn states(&self) -> String {
        self.node.eval_text(&format!(
            "[{{element(1, S), tuple_size(S)}} || X <- {TILLS} ++ [hu_desk], S <- [gen_server:call(X, state)]]"
        ))
    }

    fn pids(&self) -> String {
        self.node
            .eval_text(&format!("[whereis(X) || X <- {TILLS} ++ [hu_desk]]"))
    }

    fn updo(&self, args: &[&str]) -> Ran {
        self.desk.on(&self.node, args).run()
    }
}

const OLD: &str = "[{1,3},{1,3},{1,3},{1,3}]";

/// Callers inside the replaced module wait for a suspended till, so the undo cannot free the place of the old code. Once
/// they have gone on, one command brings all of it back.
#[test]
fn what_callers_have_blocked_is_undone_by_one_command() {
    let tills = Tills::new("");
    tills.open();
    let (md5s, pids) = (tills.md5s(), tills.pids());
    let ran = tills
        .updo(&["run", &tills.plan, "--yes"])
        .exits(21)
        .says(&["E604", "the new code stays"]);
    let name = ran.name();
    let command = format!("updo rollback {name}");
    ran.says(&[&command]);
    assert_eq!(tills.states(), "[{2,4},{1,3},{2,4},{2,3}]");
    let looked = tills.updo(&["preview", &tills.plan]);
    looked.says(&["W619", "hu_till is new", &command]);
    tills.updo(&["rollback", "--yes"]).exits(0).says(&[
        &format!("rollback of run {name}"),
        "not converted, for run",
        "1 process",
        "it is as before",
    ]);
    assert_eq!(tills.states(), OLD);
    assert_eq!((tills.md5s(), tills.pids()), (md5s, pids));
    assert_eq!(tills.node.eval_text("witness:troubled()"), "[]");
    tills.close();
    // It is over: there is nothing to undo any more, and nothing is half done.
    tills.updo(&["rollback", "--yes"]).exits(2);
    let looked = tills.updo(&["preview", &tills.plan]);
    assert!(!looked.stderr.contains("W619"), "{looked}");
}

/// One that does not leave by itself is named, nothing is touched, and a flag ends it.
#[test]
fn one_that_never_leaves_is_named_and_ended_when_asked_for() {
    let tills = Tills::new("");
    let md5s = tills.md5s();
    tills
        .node
        .eval("register(hu_loop, spawn(hu_desk, loop, [])), ok");
    let ran = tills.updo(&["run", &tills.plan, "--yes"]).exits(21).says(&[
        "E609",
        "the new code stays: 1 process",
        "old hu_desk",
    ]);
    let name = ran.name();
    let left = tills.states();
    tills
        .updo(&["rollback", &name, "--purge", "300ms", "--yes"])
        .exits(14)
        .says(&[
            "E605",
            "hu_desk",
            "nothing was changed",
            &format!("updo rollback {name} --purge brutal"),
        ]);
    assert_eq!(tills.states(), left);
    assert_eq!(tills.node.eval_text("is_pid(whereis(hu_loop))"), "true");
    tills
        .updo(&["rollback", &name, "--purge", "brutal", "--yes"])
        .exits(0)
        .says(&["will end 1 process", "hu_loop"]);
    assert_eq!(tills.node.eval_text("whereis(hu_loop)"), "undefined");
    assert_eq!((tills.states(), tills.md5s()), (OLD.to_owned(), md5s));
}

/// The second of two windows fails and is old again, the way back through the first fails: what is left of it is undone
/// later, and the second window is left alone.
#[test]
fn a_window_that_stayed_new_is_undone_alone() {
    let tills = Tills::new("window minimal.\nmodule hu_desk #{change => {advanced, fails}}.");
    tills
        .node
        .eval("gen_server:stop(bad), persistent_term:put(hu_down, stuck), ok");
    let states = "[element(1, gen_server:call(X, state)) || X <- [fine, third, hu_desk]]";
    let md5s = tills.md5s();
    let ran = tills
        .updo(&["run", &tills.plan, "--yes"])
        .exits(21)
        .says(&["E604", "E609", "hu_till"]);
    assert_eq!(tills.node.eval_text(states), "[2,2,1]");
    // Nothing is lost when it fails again, and it says what would help.
    let name = ran.name();
    tills.updo(&["rollback", &name, "--yes"]).exits(14).says(&[
        "E604",
        "does not convert this state",
        "updo run PLAN",
    ]);
    assert_eq!(tills.node.eval_text(states), "[2,2,1]");
    tills.node.eval("persistent_term:put(hu_down, fine), ok");
    tills
        .updo(&["rollback", &name, "--yes"])
        .exits(0)
        .says(&["1 module on", "it is as before"]);
    assert_eq!(tills.node.eval_text(states), "[1,1,1]");
    assert_eq!(tills.md5s(), md5s);
    // There is nothing left of it.
    let again = tills.updo(&["rollback", &name, "--yes"]).exits(12);
    again.says(&["E602"]);
}

/// Everything of a run is killed between two conversions: mending resumes what is suspended and names what was not
/// converted, and a rollback does not convert that down.
#[test]
fn what_a_killed_run_has_not_converted_goes_back_as_it_is() {
    let tills = Tills::new("module hu_till #{change => {advanced, slow}}.");
    let (node, md5s) = (&tills.node, tills.md5s());
    node.eval("gen_server:stop(bad), ok");
    let running = tills.desk.on(node, &["run", &tills.plan, "--yes"]).start();
    node.await_true("hu_till:v() =:= 2");
    std::thread::sleep(Duration::from_millis(300));
    kill(node, true);
    running.wait().exits(23);
    // Both tills come out of their conversion, and stay suspended as the desk does.
    std::thread::sleep(Duration::from_millis(2500));
    let log = tills.updo(&["--json", "log"]).exits(0).json();
    let command = format!("updo rollback {}", log[0]["run"].as_str().expect("a run"));
    tills
        .updo(&["mend", node.name(), "--yes"])
        .exits(21)
        .says(&["not converted, under the new code: 1 of hu_desk", &command]);
    let states = "[element(1, gen_server:call(X, state)) || X <- [fine, third, hu_desk]]";
    assert_eq!(node.eval_text(states), "[2,2,1]");
    tills
        .updo(&["rollback", "--yes"])
        .exits(0)
        .says(&["not converted, for run", "it is as before"]);
    assert_eq!(node.eval_text(states), "[1,1,1]");
    assert_eq!(tills.md5s(), md5s);
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
}
