//! Servers born while an upgrade is under way: by a supervisor and by whoever starts them, as fast as they can. At the
//! end every process of the module has a state of the code that runs, or is named.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran};

/// A server whose state says which version made it; `stop` is when the conversion fails.
fn worker(version: u32, up: &str, down: &str) -> (String, String) {
    let text = format!(
        "-module(worker).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start(X) -> gen_server:start(?MODULE, X, []).\ninit(X) -> {{ok, {{{version}, X}}}}.\n\
         handle_call(_, _, {{{version}, _}} = S) -> {{reply, S, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
         code_change({{down, _}}, {{2, X}}, _) -> {down};\ncode_change(_, {{1, X}}, _) -> {up}.\n"
    );
    ("worker".to_owned(), text)
}

const UP: &str = "{ok, {2, X}}";
const UP_BUT_ONE: &str =
    "case X of last -> timer:sleep(30), {error, no}; _ -> {ok, {2, X}} end";
const DOWN: &str = "{ok, {1, X}}";

const SUPERVISOR: &str = "-module(hall).\n-behaviour(supervisor).\n-export([init/1]).\n\
    init(_) -> {ok, {#{strategy => simple_one_for_one, intensity => 100000},\n\
      [#{id => x, start => {gen_server, start_link, [worker]}, restart => temporary, modules => [worker]}]}}.\n";

/// Keeps the latest workers it has started; with `speaks`, talks to each at once.
const SPAWNER: &str = "-module(spawner).\n-export([start/2, loop/4, stop/0]).\n\
    start(How, Speaks) -> register(list_to_atom(lists:concat([spawner_, How, Speaks])), spawn(?MODULE, loop, [How, Speaks, 1, #{}])).\n\
    loop(How, Speaks, N, Ps) ->\n\
      receive {stop, To} -> To ! {stopped, maps:values(Ps)}\n\
      after 0 ->\n\
        {ok, P} = case How of hall -> supervisor:start_child(hall, [N, []]); alone -> worker:start(N) end,\n\
        Speaks andalso (catch gen_server:call(P, x)),\n\
        case Ps of #{N - 200 := Former} -> exit(Former, kill); _ -> ok end,\n\
        loop(How, Speaks, N + 1, maps:remove(N - 200, Ps#{N => P}))\n\
      end.\n\
    stop() -> [begin whereis(S) ! {stop, self()}, receive {stopped, _} -> ok end end || S <- registered(), lists:prefix(\"spawner_\", atom_to_list(S))].\n";

struct Nursery {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: PathBuf,
}

impl Nursery {
    /// Fifty workers of the hall, and one of its own.
    fn new(up: &str, down: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let rest = [
            ("hall".to_owned(), SUPERVISOR.to_owned()),
            ("spawner".to_owned(), SPAWNER.to_owned()),
        ];
        let one = compiled(
            &folder.path().join("one"),
            &[worker(1, up, down), rest[0].clone(), rest[1].clone()],
        );
        let two = compiled(&folder.path().join("two"), &[worker(2, up, down)]);
        let (node, desk) = (node_with(&one), Desk::new());
        node.eval(
            "{ok, S} = supervisor:start_link({local, hall}, hall, x), unlink(S),
             [{ok, _} = supervisor:start_child(hall, [N, []]) || N <- lists:seq(1, 50)], {ok, _} = worker:start(last)",
        );
        let text =
            format!("plan \"Workers\".\ncode push [{two:?}].\nold from {one:?}.\nmodule worker #{{timeout => 20s}}.\n");
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
fn whoever_is_born_meanwhile_is_new_and_after_a_rollback_old() {
    for _ in 0..3 {
        let nursery = Nursery::new(UP, DOWN);
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
fn whoever_is_born_meanwhile_is_old_after_an_undo() {
    for down in [DOWN, DOWN, "{error, never}"] {
        let nursery = Nursery::new(UP_BUT_ONE, down);
        nursery.spawn(ALL);
        let ran = nursery.updo("run").exits(20).says(&["E604"]);
        // Who has no way down is ended, and that is said.
        if down != DOWN {
            let ran = ran.says(&["W618", "worker"]);
            assert!(!ran.stderr.contains("E617"), "{ran}");
        }
        assert_eq!(nursery.made_by(), "[1]");
        nursery.clean();
    }
}

/// Somebody else traces: before OTP 27 nobody knows, and the exit code says that a person has to look.
#[test]
fn what_cannot_be_known_is_said() {
    let nursery = Nursery::new(UP, DOWN);
    let sessions = nursery
        .node
        .eval_text("list_to_integer(erlang:system_info(otp_release)) >= 27");
    nursery.node.eval(
        "T = spawn(fun() -> receive stop -> ok end end), register(somebody, T), erlang:trace(new_processes, true, [procs, {tracer, T}])",
    );
    // One that is not in the hall, and keeps all it starts: some are born at the switch for certain.
    nursery.node.eval(
        "Loop = fun L() -> {ok, _} = worker:start(x), receive stop -> ok after 1 -> L() end end, [spawn(Loop) || _ <- [1, 2, 3]]",
    );
    let ran = nursery.updo("run");
    if sessions == "true" {
        ran.exits(0);
    } else {
        ran.exits(21)
            .says(&["W613", "E617", "the code is new", "sys:get_state(c:pid("]);
    }
    assert_eq!(
        nursery.node.eval_text("erlang:trace_info(new_processes, flags)"),
        "{flags,[procs]}",
        "their tracing is as it was"
    );
    assert_eq!(nursery.node.eval_text("witness:troubled()"), "[]");
}
