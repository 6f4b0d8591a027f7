//! What conversions and `init/1` do beside their states: seen in the code, said before, undone or said after. And
//! children, which run before those that call them.

use tempfile::TempDir;
use updo::facts::beam::code::effects::{Bodies, Doing, verdict};
use updo::name::Module;

use crate::corners::{compiled, node_with};
use crate::support::TestNode;
use crate::support::desk::Desk;

pub fn source(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), format!("-module({name}).\n{text}\n"))
}

/// A server whose table is its own affair: its conversion writes it anew.
fn ledger(version: u32, clauses: &str) -> (String, String) {
    source(
        "ledger",
        &format!(
            "-behaviour(gen_server).\n-vsn(\"{version}\").\n-export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start(N) -> {{ok, P}} = gen_server:start({{local, ledger}}, ?MODULE, N, []), P.\n\
             init(N) -> ets:new(ledger, [named_table, public]), ets:insert(ledger, {{N, {version}}}), {{ok, N}}.\n\
             handle_call(_, _, N) -> {{reply, {{{version}, ets:lookup(ledger, N)}}, N}}.\nhandle_cast(_, N) -> {{noreply, N}}.\n{clauses}"
        ),
    )
}

/// A server whose conversion fails.
fn stubborn(version: u32) -> (String, String) {
    let answer = if version == 1 {
        "{ok, S}"
    } else {
        "{error, no}"
    };
    source(
        "stubborn",
        &format!(
            "-behaviour(gen_server).\n-vsn(\"{version}\").\n-export([start/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
             start() -> {{ok, P}} = gen_server:start({{local, stubborn}}, ?MODULE, [], []), P.\ninit(S) -> {{ok, S}}.\n\
             handle_call(_, _, S) -> {{reply, S, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\ncode_change(_, S, _) -> {answer}."
        ),
    )
}

const SAME: &str = "code_change(_, S, _) -> {ok, S}.";
const BOTH: &str = "code_change({down, _}, N, _) -> write(N, 1), {ok, N};\ncode_change(_, N, _) -> write(N, 2), {ok, N}.\n\
                    write(N, V) -> lists:foreach(fun(K) -> ets:insert(ledger, {K, V}) end, [N]).";
const ONE_WAY: &str = "code_change(_, N, _) -> ets:insert(ledger, {N, 2}), {ok, N}.";
const REFUSES: &str = "code_change({down, _}, _, _) -> exit(not_now);\ncode_change(_, N, _) -> ets:insert(ledger, {N, 2}), {ok, N}.";

/// A node that runs one version of some modules, and a plan for the other.
pub struct World {
    _folder: TempDir,
    pub node: TestNode,
    desk: Desk,
    plan: String,
}

impl World {
    pub fn new(
        one: &[(String, String)],
        two: &[(String, String)],
        start: &str,
        statements: &str,
    ) -> Self {
        let folder = TempDir::new().expect("a folder");
        let one = compiled(&folder.path().join("one"), one);
        let two = compiled(&folder.path().join("two"), two);
        let (node, desk) = (node_with(&one), Desk::new());
        node.eval(start);
        let text =
            format!("plan \"Effects\".\ncode push [{two:?}].\nold from {one:?}.\n{statements}\n");
        let plan = desk.write("p.updo", &text).display().to_string();
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    pub fn preview(&self) -> crate::support::desk::Ran {
        self.desk.on(&self.node, &["preview", &self.plan]).run()
    }

    pub fn desk_preview(&self, more: &[&str]) -> crate::support::desk::Ran {
        let args = [&["preview", &self.plan], more].concat();
        self.desk.on(&self.node, &args).run()
    }

    pub fn run(&self) -> crate::support::desk::Ran {
        self.desk
            .on(&self.node, &["run", &self.plan, "--yes"])
            .run()
    }

    pub fn rollback(&self) -> crate::support::desk::Ran {
        self.desk.on(&self.node, &["rollback", "--yes"]).run()
    }
}

/// The ledger and one that fails after it.
fn failing(clauses: &str) -> World {
    let mut world = World::new(
        &[ledger(1, SAME), stubborn(1)],
        &[ledger(2, clauses), stubborn(2)],
        "ledger:start(7), stubborn:start()",
        "stubborn depends on ledger because \"it is converted later\".",
    );
    let plan = std::fs::read_to_string(&world.plan).expect("a plan");
    world.desk = Desk::converting_after_the_switch();
    world.plan = world.desk.write("p.updo", &plan).display().to_string();
    world
}

#[test]
fn a_table_is_converted_back() {
    let world = failing(BOTH);
    let reported = world.preview().exits(0);
    reported.prints(&["what ledger writes elsewhere is undone by code_change"]);
    let ran = world.run().exits(20).says(&["E604", "is as before"]);
    assert!(!ran.stderr.contains("W625"), "{ran}");
    let ledger = world.node.eval_text("gen_server:call(ledger, x)");
    assert_eq!(ledger, "{1,[{7,1}]}");
}

/// What nothing takes back is said before, and it is not "as before" afterwards.
#[test]
fn a_table_that_stays_is_reported() {
    let world = failing(ONE_WAY);
    let shown = world.preview().exits(0);
    shown.says(&["W625", "ledger", "ets:insert/2 in ledger:code_change/3"]);
    let ran = world.run().exits(21);
    let ran = ran.says(&["E604", "E624", "of ledger: its code_change has no clause"]);
    assert!(!ran.stderr.contains("as before"), "{ran}");

    let world = failing(REFUSES);
    let ran = world.run().exits(21).says(&["E624", "not_now"]);
    assert!(!ran.stderr.contains("as before"), "{ran}");
    assert_eq!(world.node.eval_text("witness:troubled()"), "[]");
}

/// The same when the run went through and is taken back later, or by the plan.
#[test]
fn a_table_that_stays_after_a_rollback_is_reported() {
    let world = |clauses: &str, statements: &str| {
        let (old, new) = (ledger(1, SAME), ledger(2, clauses));
        World::new(&[old], &[new], "ledger:start(7)", statements)
    };
    let left = "not undone: what conversions did outside of states";
    let later = world(ONE_WAY, "");
    later.run().exits(0);
    let ran = later
        .rollback()
        .exits(0)
        .says(&["W625", "of `ledger`", left]);
    assert!(!ran.stderr.contains("as before"), "{ran}");

    let by_plan = world(ONE_WAY, "verify \"no\" -> 1 = 2.");
    let ran = by_plan.run().exits(20).says(&["W625", left]);
    assert!(!ran.stderr.contains("is as before"), "{ran}");

    let both = world(BOTH, "");
    both.run().exits(0);
    let ran = both.rollback().exits(0).says(&["it is as before run"]);
    assert!(!ran.stderr.contains("W625"), "{ran}");
}

/// A supervisor that starts helpers elsewhere while it is asked for its specifications.
fn busy_sup(intensity: u32, children: &str) -> (String, String) {
    source(
        "busy_sup",
        &format!(
            "-behaviour(supervisor).\n-export([start/0, init/1]).\n\
             start() -> {{ok, P}} = supervisor:start_link({{local, busy_sup}}, ?MODULE, []), unlink(P), P.\n\
             init([]) -> count(ets:update_counter(runs, init, 1, {{init, 0}})), {{ok, {{#{{intensity => {intensity}}}, [{children}]}}}}.\n\
             count(N) when is_integer(N) -> ok."
        ),
    )
}

const HELPER: &str = "#{id => helper, start => {helper, start_link, []}}";

fn helper(name: &str, more: &str) -> (String, String) {
    source(
        name,
        &format!(
            "-behaviour(gen_server).\n-export([start_link/0, init/1, handle_call/3, handle_cast/2, terminate/2]).\n\
             start_link() -> gen_server:start_link({{local, ?MODULE}}, ?MODULE, [], []).\n\
             init(S) -> process_flag(trap_exit, true), {{ok, S}}.\nhandle_call(_, _, S) -> {{reply, ?MODULE, S}}.\n\
             handle_cast(_, S) -> {{noreply, S}}.\nterminate(Why, _) -> ets:insert(runs, {{?MODULE, Why}}).\n{more}"
        ),
    )
}

const RUNS: &str = "spawn(fun() -> ets:new(runs, [named_table, public]), register(runs, self()), receive stop -> ok end end),
                    (fun Wait() -> case whereis(runs) of undefined -> timer:sleep(5), Wait(); _ -> ok end end)()";

/// A table that the running `init/1` has made: said beforehand, and the line of the help mends it.
#[test]
fn a_named_table_of_init_is_known_beforehand() {
    let keeper = |version: u32| {
        source(
            "keeper_sup",
            &format!(
                "-behaviour(supervisor).\n-export([start/0, init/1]).\n-vsn({version}).\n\
                 start() -> {{ok, P}} = supervisor:start_link({{local, ?MODULE}}, ?MODULE, []), unlink(P).\n\
                 init(_) -> ets:new(keeper, [named_table, public]), {{ok, {{#{{intensity => {version}}}, []}}}}."
            ),
        )
    };
    let world = |plan| World::new(&[keeper(1)], &[keeper(2)], "keeper_sup:start()", plan);
    let failing = world("");
    failing
        .preview()
        .exits(0)
        .says(&["W624", "ets:new/2", "raises `badarg`"]);
    failing.run().exits(20).says(&["E604", "is as before"]);
    let soft = world("module keeper_sup #{change => soft} because \"it has its table\".");
    soft.run().exits(0);
}

#[test]
fn init_runs_once_for_an_upgrade_and_not_for_the_way_back() {
    let new = format!("{HELPER}, #{{id => extra, start => {{extra, start_link, []}}}}");
    let world = World::new(
        &[busy_sup(1, HELPER), helper("helper", "")],
        &[busy_sup(2, &new), helper("extra", "")],
        &format!("{RUNS}, busy_sup:start()"),
        "module busy_sup #{children => #{start => none}} because \"it is started by hand\".",
    );
    let runs = || world.node.eval_text("ets:lookup_element(runs, init, 2)");
    let children = || {
        world.node.eval_text(
            "lists:sort([{Id, is_pid(P)} || {Id, P, _, _} <- supervisor:which_children(busy_sup)])",
        )
    };
    let state = world.node.eval_text("sys:get_state(busy_sup)");
    let shown = world.preview().exits(0);
    shown.says(&["W624", "ets:update_counter/4 in busy_sup:init/1"]);
    assert_eq!(runs(), "1");
    world.run().exits(0);
    assert_eq!(runs(), "2");
    assert_eq!(children(), "[{extra,false},{helper,true}]");
    // An operator starts by hand what only the new version has: it ends orderly, before its module goes.
    world
        .node
        .eval("{ok, _} = supervisor:restart_child(busy_sup, extra)");
    world.rollback().exits(0).says(&["it is as before"]);
    assert_eq!(runs(), "2");
    assert_eq!(world.node.eval_text("sys:get_state(busy_sup)"), state);
    assert_eq!(
        world.node.eval_text("ets:lookup(runs, extra)"),
        "[{extra,shutdown}]"
    );
    assert_eq!(world.node.eval_text("witness:left_to(3000)"), "[]");
}

/// A server that calls the new child in the first message that it takes after the switch.
fn caller(version: u32) -> (String, String) {
    source(
        "caller",
        &format!(
            "-behaviour(gen_server).\n-vsn(\"{version}\").\n-export([start/0, init/1, handle_call/3, handle_cast/2, handle_info/2, code_change/3]).\n\
             start() -> {{ok, P}} = gen_server:start({{local, caller}}, ?MODULE, [], []), erlang:send_after(0, P, tick), P.\n\
             init(_) -> {{ok, []}}.\nhandle_call(_, _, S) -> {{reply, S, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
             handle_info(tick, S) -> erlang:send_after(1, self(), tick), {{noreply, ask({version}, S)}}.\n\
             ask(1, S) -> S; ask(2, S) -> case catch gen_server:call(extra, x) of extra -> S; Bad -> [Bad | S] end.\n\
             code_change({{down, _}}, _, _) -> {{ok, []}};\ncode_change(_, S, _) -> {{ok, S}}."
        ),
    )
}

#[test]
fn a_new_child_runs_before_its_callers_and_stops_before_its_module() {
    let new = format!("{HELPER}, #{{id => extra, start => {{extra, start_link, []}}}}");
    let world = World::new(
        &[busy_sup(1, HELPER), helper("helper", ""), caller(1)],
        &[busy_sup(1, &new), helper("extra", ""), caller(2)],
        &format!("{RUNS}, busy_sup:start(), caller:start()"),
        "module busy_sup #{children => #{start => [extra]}} because \"it is called\".",
    );
    let ran = world.run().exits(0);
    // Its supervisor first, then the child, then those that call it.
    let steps: Vec<&str> = ["resume ok", "children ok", "resume ok"].to_vec();
    let mut rest = ran.stderr.as_str();
    for step in steps {
        let at = rest.find(step).unwrap_or_else(|| panic!("{step}: {ran}"));
        rest = &rest[at + step.len()..];
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(
        world.node.eval_text("gen_server:call(caller, failures)"),
        "[]"
    );
    world.rollback().exits(0).says(&["it is as before"]);
    assert_eq!(
        world.node.eval_text("ets:lookup(runs, extra)"),
        "[{extra,shutdown}]"
    );
    assert_eq!(
        world
            .node
            .eval_text("[Id || {Id, _, _, _} <- supervisor:which_children(busy_sup)]"),
        "[helper]"
    );
    assert_eq!(world.node.eval_text("witness:left_to(3000)"), "[]");
}

/// One that is in both lists is restarted: stopped as it was, started as the new version specifies it.
#[test]
fn a_child_in_both_lists_is_restarted() {
    let new = "#{id => helper, start => {helper, start_link, []}, shutdown => 77}";
    let world = World::new(
        &[busy_sup(1, HELPER), helper("helper", "")],
        &[busy_sup(1, new)],
        &format!("{RUNS}, busy_sup:start()"),
        "module busy_sup #{children => #{start => [helper], stop => [helper]}} because \"it has new arguments\".",
    );
    let specified = || {
        world.node.eval_text("{ok, #{shutdown := S}} = supervisor:get_childspec(busy_sup, helper), {S, is_pid(whereis(helper))}")
    };
    let pid = || world.node.eval_text("whereis(helper)");
    let before = pid();
    world.preview().exits(0).prints(&["restart child helper"]);
    world.run().exits(0);
    assert_eq!(specified(), "{77,true}");
    let between = pid();
    world.rollback().exits(0);
    assert_eq!(specified(), "{5000,true}");
    assert!(
        before != between && between != pid(),
        "restarted both times"
    );
}

/// The walk itself: local functions, funs, other modules of the upgrade, and what is not to be followed.
#[test]
fn what_a_function_may_do() {
    let folder = TempDir::new().expect("a folder");
    let text = "-export([pure/1, reads/1, acts/1, fun_acts/1, recurses/1, oneself/1, other/1, stranger/1, through/2, sends/1, beyond/1]).\n\
        pure(X) -> lists:map(fun(Y) -> Y + 1 end, lists:sort(X)).\n\
        reads(K) -> {ets:lookup(t, K), application:get_env(a, K), io:format(\"x\")}.\n\
        acts(K) -> helper(K, 3).\nhelper(K, 0) -> ets:insert(t, {K}); helper(K, N) -> helper(K, N - 1).\n\
        fun_acts(L) -> lists:foreach(fun(P) -> exit(P, kill) end, L).\n\
        recurses([]) -> []; recurses([_ | T]) -> recurses(T).\n\
        oneself(_) -> exit(self(), kill).\nother(X) -> walk_two:go(X).\nstranger(X) -> somebody:knows(X).\n\
        through(M, X) -> M:go(X).\nsends(X) -> X ! hello.\nbeyond(X) -> walk_two:harmless(X).";
    let two =
        "-export([go/1, harmless/1]).\ngo(X) -> file:write_file(\"x\", X).\nharmless(X) -> [X].";
    let ebin = compiled(
        folder.path(),
        &[source("walk_one", text), source("walk_two", two)],
    );
    let read = |name: &str| std::fs::read(ebin.join(format!("{name}.beam"))).expect("a beam");
    let one = read("walk_one");
    let (whole, two) = (Bodies::read(&one), Bodies::read(&read("walk_two")));
    let world = |module: &Module| match module.as_str() {
        "walk_one" => Some(&whole),
        "walk_two" => Some(&two),
        _ => None,
    };
    let of = |name: &str, arity| verdict(&Module::new("walk_one"), &[(name, arity)], &world);
    for (name, arity, doing) in [
        ("pure", 1, Doing::Pure),
        ("reads", 1, Doing::Reads),
        ("acts", 1, Doing::Acts),
        ("fun_acts", 1, Doing::Acts),
        ("recurses", 1, Doing::Pure),
        ("oneself", 1, Doing::Pure),
        ("other", 1, Doing::Acts),
        ("stranger", 1, Doing::Unknown),
        ("through", 2, Doing::Unknown),
        ("sends", 1, Doing::Acts),
        ("beyond", 1, Doing::Pure),
        ("absent", 1, Doing::Pure),
    ] {
        assert_eq!(
            of(name, arity).doing,
            doing,
            "{name}: {:?}",
            of(name, arity)
        );
    }
    let places: Vec<String> = of("acts", 1).acting().map(ToString::to_string).collect();
    assert_eq!(places, ["ets:insert/2 in walk_one:helper/2, line 6"]);
    let places: Vec<String> = of("other", 1).acting().map(ToString::to_string).collect();
    assert_eq!(places, ["file:write_file/2 in walk_two:go/1, line 3"]);
    // Damaged code is never harmless.
    let cut = Bodies::read(&one[..one.len() - 40]);
    let _ = verdict(&Module::new("walk_one"), &[("pure", 1)], &|_| Some(&cut));
}
