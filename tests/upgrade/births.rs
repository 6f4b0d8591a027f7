//! Servers born while an upgrade is under way, by a supervisor and by other processes: at the end every process of
//! the module has a state of the code that runs, or is named. Storms of births are in tests/agent/spawn_watch_tests.erl.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::corners::{compiled, fixture, fixture_with, node_with};
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran};

/// A server whose state says which version made it, and what its conversion returns.
fn worker(version: u32, up: &str, down: &str) -> (String, String) {
    fixture_with("worker", version, &[("UP", up), ("DOWN", down)])
}

const UP: &str = "{ok, {2, X}}";
const UP_BUT_ONE: &str = "case X of last -> timer:sleep(30), {error, no}; _ -> {ok, {2, X}} end";
const DOWN: &str = "{ok, {1, X}}";

struct Nursery {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: PathBuf,
}

impl Nursery {
    /// Fifty workers of the hall, and one of its own.
    fn new(up: &str, down: &str, more: Option<&str>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let rest = [fixture("hall", 1), fixture("spawner", 1)];
        let one = compiled(
            &folder.path().join("one"),
            &[worker(1, up, down), rest[0].clone(), rest[1].clone()],
        );
        let mut second = vec![worker(2, up, down)];
        second.extend(more.map(|text| ("starter".to_owned(), text.to_owned())));
        let two = compiled(&folder.path().join("two"), &second);
        let (node, desk) = (node_with(&one), Desk::converting_after_the_switch());
        node.eval(
            "{ok, S} = supervisor:start_link({local, hall}, hall, x), unlink(S),
             [{ok, _} = supervisor:start_child(hall, [N, []]) || N <- lists:seq(1, 50)], {ok, _} = worker:start(last)",
        );
        let text = format!(
            "plan \"Workers\".\ncode push [{two:?}].\nold from {one:?}.\nmodule worker #{{timeout => 20s}}.\n"
        );
        let plan = desk.write("p.updo", &text);
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    fn spawn(&self, spawners: &[(&str, bool)]) {
        for (how, speaks) in spawners {
            self.node.eval(&format!("spawner:start({how}, {speaks})"));
        }
    }

    fn updo(&self, command: &str) -> Ran {
        let plan = self.plan.display().to_string();
        let args: &[&str] = match command {
            "run" => &["run", &plan, "--yes"],
            _ => &["rollback", "--yes"],
        };
        self.desk.on(&self.node, args).run()
    }

    /// Which versions made the states of all workers there are; more than fifty are there.
    fn made_by(&self) -> String {
        self.node.eval("spawner:stop()");
        self.node.eval_text(
            "States = [sys:get_state(P) || P <- processes(), {worker, init, 1} =:= proc_lib:translate_initial_call(P)],
             true = length(States) > 50,
             lists:usort([V || {V, _} <- States])",
        )
    }

    fn clean(&self) {
        assert_eq!(self.node.eval_text("witness:troubled()"), "[]");
        assert_eq!(
            self.node.eval_text("{erlang:trace_info(new_processes, flags), erlang:trace_info({worker, init, 1}, traced)}"),
            "{{flags,[]},{traced,false}}"
        );
    }
}

const ALL: &[(&str, bool)] = &[
    ("hall", true),
    ("hall", false),
    ("alone", true),
    ("alone", false),
];

#[test]
fn processes_spawned_meanwhile_are_new_and_old_after_a_rollback() {
    for _ in 0..3 {
        let nursery = Nursery::new(UP, DOWN, None);
        nursery.spawn(ALL);
        nursery.updo("run").exits(0);
        assert_eq!(nursery.made_by(), "[2]");
        nursery.clean();
        nursery.spawn(ALL);
        nursery.updo("rollback").exits(0);
        assert_eq!(nursery.made_by(), "[1]");
        nursery.clean();
    }
}

/// The last of them fails, after all others have been converted.
#[test]
fn processes_spawned_meanwhile_are_old_after_an_undo() {
    let mut ended = false;
    for down in [DOWN, "{error, never}"] {
        for _ in 0..3 {
            let nursery = Nursery::new(UP_BUT_ONE, down, None);
            nursery.spawn(ALL);
            let ran = nursery.updo("run").exits(20).says(&["E604"]);
            assert!(!ran.stderr.contains("E617"), "{ran}");
            assert_eq!(nursery.made_by(), "[1]");
            nursery.clean();
            // A process that cannot be converted down is ended, and that is reported.
            ended |=
                down != DOWN && ran.stderr.contains("W618") && ran.stderr.contains("of worker");
        }
    }
    assert!(ended, "nobody was born");
}

/// Started when a module is loaded: after the switch, and before it is searched for.
const STARTER: &str = "-module(starter).\n-export([f/0]).\n-on_load(f/0).\nf() -> {ok, _} = worker:start(first), ok.\n";

/// Another tracer is there: before OTP 27 births are unknown, and the exit code says that a person has to check.
#[test]
fn unknowns_are_reported() {
    for traced in [true, false] {
        let nursery = Nursery::new(UP, DOWN, Some(STARTER));
        let sessions = "list_to_integer(erlang:system_info(otp_release)) >= 27";
        let known = nursery.node.eval_text(sessions) == "true" || !traced;
        if traced {
            nursery.node.eval(
                "T = spawn(fun() -> receive stop -> ok end end), erlang:trace(new_processes, true, [procs, {tracer, T}])",
            );
        }
        let ran = nursery.updo("run");
        if known {
            let ran = ran.exits(0);
            assert!(!ran.stderr.contains("W613"), "{ran}");
        } else {
            ran.exits(21)
                .says(&["W613", "E617", "the code is new", "sys:get_state(c:pid("]);
        }
        let flags = nursery
            .node
            .eval_text("erlang:trace_info(new_processes, flags)");
        let theirs = if traced {
            "{flags,[procs]}"
        } else {
            "{flags,[]}"
        };
        assert_eq!(flags, theirs, "their tracing is as it was");
        assert_eq!(nursery.made_by(), "[2]");
        assert_eq!(nursery.node.eval_text("witness:troubled()"), "[]");
    }
}
