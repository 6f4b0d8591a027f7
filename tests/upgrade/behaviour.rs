//! Modules that become callback modules of another behaviour: refused before anything is touched, and the plan's line
//! that has their processes restarted.

use tempfile::TempDir;

use crate::bank::nothing_left;
use crate::corners::{compiled, node_with};
use crate::support::TestNode;
use crate::support::desk::{Desk, Ran};

fn source(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), format!("-module({name}).\n{text}"))
}

fn top() -> (String, String) {
    source(
        "turn_top",
        "-behaviour(supervisor).\n-export([start_link/0, init/1]).\n\
         start_link() -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).\n\
         init([]) -> {ok, {#{}, [#{id => {hub, 1}, start => {turn_hub, start_link, []}}]}}.\n",
    )
}

const SERVER: &str = "-behaviour(gen_server).\n-export([start_link/0, start/0, init/1, handle_call/3, handle_cast/2, v/0]).\n\
    start_link() -> gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).\nstart() -> gen_server:start(?MODULE, [], []).\n\
    init([]) -> {ok, 1}.\nhandle_call(_, _, S) -> {reply, {server, S}, S}.\nhandle_cast(_, S) -> {noreply, S}.\n\
    v() -> gen_server:call(?MODULE, v).\n";

const SUPERVISOR: &str = "-behaviour(supervisor).\n-export([start_link/0, init/1, v/0]).\n\
    start_link() -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).\n\
    init([]) -> {ok, {#{}, []}}.\nv() -> {supervisor, supervisor:which_children(?MODULE)}.\n";

const STATEM: &str = "-behaviour(gen_statem).\n-export([start_link/0, init/1, callback_mode/0, idle/3, v/0]).\n\
    start_link() -> gen_statem:start_link({local, ?MODULE}, ?MODULE, [], []).\n\
    init([]) -> {ok, idle, 3}.\ncallback_mode() -> state_functions.\n\
    idle({call, F}, v, D) -> {keep_state_and_data, {reply, F, {statem, D}}}.\nv() -> gen_statem:call(?MODULE, v).\n";

/// While it waits for a server, functions of gen_server are on its stack, further in than its loop.
const CALLER: &str = "-behaviour(gen_statem).\n-export([start_link/0, init/1, callback_mode/0, idle/3, v/0]).\n\
    start_link() -> gen_statem:start_link({local, ?MODULE}, ?MODULE, [], []).\n\
    init([]) -> {ok, idle, 3}.\ncallback_mode() -> state_functions.\n\
    idle(cast, wait, _) -> gen_server:call(turn_slow, wait, infinity), keep_state_and_data;\n\
    idle({call, F}, v, D) -> {keep_state_and_data, {reply, F, {statem, D}}}.\nv() -> gen_statem:call(?MODULE, v).\n";

const LIBRARY: &str = "-export([start_link/0, v/0]).\nstart_link() -> ignore.\nv() -> library.\n";

/// A node with a hub under a supervisor, and a plan for its new version.
struct Turned {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: String,
}

impl Turned {
    fn new(old: &str, new: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let hub = |text: &str| source("turn_hub", text);
        let one = compiled(&folder.path().join("one"), &[top(), hub(old)]);
        let two = compiled(&folder.path().join("two"), &[hub(new)]);
        let (node, desk) = (node_with(&one), Desk::new());
        node.eval("{ok, S} = turn_top:start_link(), unlink(S)");
        let plan = format!("plan \"Turns\".\ncode push [{two:?}].\nold from {one:?}.\n");
        desk.write("p.updo", &plan);
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    /// Runs the plan with the restart of the hub, and more statements.
    fn run_restarting(&self, more: &str) -> Ran {
        let line = "module turn_hub #{restart => true} because \"a supervisor now\".\n";
        let plan = format!("{}{line}{more}", self.plan);
        self.desk.write("p.updo", &plan);
        self.desk.on(&self.node, &["run", "p.updo", "--yes"]).run()
    }

    /// Adds the line of the help between backquotes to the plan.
    fn paste(&self, output: &str) {
        let words: Vec<&str> = output.split_whitespace().collect();
        let text = words.join(" ");
        let at = text
            .find("`module turn_hub #{restart")
            .expect("a line to paste");
        let line = text[at + 1..].split('`').next().expect("it ends");
        self.desk.write(
            "p.updo",
            &format!("{}{}\n", self.plan, line.replace('…', "as it says")),
        );
    }
}

#[test]
fn a_changed_behaviour_is_refused_and_the_line_that_is_shown_restarts_the_child() {
    for (old, new, from, to, before, after) in [
        (
            SERVER,
            SUPERVISOR,
            "gen_server",
            "becomes a supervisor",
            "{server,1}",
            "{supervisor,[]}",
        ),
        (
            SUPERVISOR,
            SERVER,
            "supervisor",
            "becomes a gen_server",
            "{supervisor,[]}",
            "{server,1}",
        ),
        (
            SERVER,
            STATEM,
            "gen_server",
            "becomes a gen_statem",
            "{server,1}",
            "{statem,3}",
        ),
        (
            STATEM,
            SERVER,
            "gen_statem",
            "becomes a gen_server",
            "{statem,3}",
            "{server,1}",
        ),
    ] {
        let turned = Turned::new(old, new);
        let (node, desk) = (&turned.node, &turned.desk);
        let hub = node.eval_text("whereis(turn_hub)");
        let refused = desk.on(node, &["run", "p.updo", "--yes"]).run();
        let refused = refused
            .exits(1)
            .says(&["E338", to, from, "1 process runs it"]);
        assert_eq!(node.eval_text("turn_hub:v()"), before);
        assert_eq!(node.eval_text("whereis(turn_hub)"), hub, "untouched");

        turned.paste(&refused.stderr);
        desk.on(node, &["run", "p.updo", "--yes"])
            .run()
            .exits(0)
            .says(&["W339", "child {hub,1} of turn_top", "done"]);
        assert_eq!(node.eval_text("turn_hub:v()"), after);
        desk.on(node, &["rollback", "--yes"]).run().exits(0);
        assert_eq!(
            node.eval_text("turn_hub:v()"),
            before,
            "from {from} and back"
        );
        nothing_left(node);
    }
}

#[test]
fn a_restart_is_undone_with_the_run() {
    let turned = Turned::new(SERVER, SUPERVISOR);
    let node = &turned.node;
    let never = "verify \"never\" -> false = true.\n";
    turned.run_restarting(never).exits(20);
    assert_eq!(node.eval_text("turn_hub:v()"), "{server,1}");
    nothing_left(node);
}

#[test]
fn what_no_supervisor_can_restart_is_refused() {
    let turned = Turned::new(SERVER, SUPERVISOR);
    let (node, desk) = (&turned.node, &turned.desk);
    node.eval("{ok, _} = turn_hub:start()");
    let alone = desk.on(node, &["run", "p.updo", "--yes"]).run();
    alone
        .exits(1)
        .says(&["E338", "2 processes run it", "exclude turn_hub"]);
    turned
        .run_restarting("")
        .exits(1)
        .says(&["E340", "1 process of `turn_hub` is not restarted"]);
    assert_eq!(node.eval_text("turn_hub:v()"), "{server,1}");
    nothing_left(node);
}

#[test]
fn a_process_that_calls_a_server_of_another_kind_keeps_its_own() {
    let turned = Turned::new(CALLER, &CALLER.replace("{statem, D}", "{statem, D + 1}"));
    let node = &turned.node;
    node.eval(
        "register(turn_slow, spawn(fun() -> receive stop -> ok end end)), gen_statem:cast(turn_hub, wait)",
    );
    node.await_true(
        "{_, S} = process_info(whereis(turn_hub), current_stacktrace), lists:keymember(gen_server, 1, S)",
    );
    let ran = turned.desk.on(node, &["preview", "p.updo"]).run().exits(0);
    // It goes on in its old code when it has the answer: what is in there cannot be undone meanwhile, and the preview says so.
    let ran = ran.prints(&[
        "turn_hub",
        "server",
        "not possible while a caller waits in turn_hub:idle/3",
    ]);
    assert!(!ran.stderr.contains("E338"), "{ran}");
}

#[test]
fn a_module_that_loses_its_behaviour_is_refused() {
    let turned = Turned::new(SERVER, LIBRARY);
    let (node, desk) = (&turned.node, &turned.desk);
    desk.on(node, &["run", "p.updo", "--yes"])
        .run()
        .exits(1)
        .says(&["E338", "has no behaviour any more"]);
    assert_eq!(node.eval_text("turn_hub:v()"), "{server,1}");
    nothing_left(node);
}

#[test]
fn a_restart_without_a_change_of_behaviour_is_reported() {
    let turned = Turned::new(SERVER, &SERVER.replace("{server, S}", "{server, S + 1}"));
    let node = &turned.node;
    turned
        .run_restarting("")
        .exits(0)
        .says(&["W341", "keeps its behaviour"]);
    assert_eq!(node.eval_text("turn_hub:v()"), "{server,2}");
    nothing_left(node);
}
