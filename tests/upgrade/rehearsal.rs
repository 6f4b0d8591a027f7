//! `updo rehearse`: the conversions of an upgrade are tried on copies of live states, and nothing of the node changes.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::corners::{compiled, node_with};
use crate::inferred_children::elixir;
use crate::support::apps::witness;
use crate::support::desk::{Desk, Ran};
use crate::support::{Options, TestNode};

/// A node with Elixir and this code.
pub fn elixir_node(code: &std::path::Path) -> TestNode {
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    options.path(code).path(witness()).start()
}

/// A server with a state `{till, N}`; the clauses are those of `code_change`.
pub fn till(version: u32, code_change: &str) -> (String, String) {
    let text = format!(
        "-module(till).\n-behaviour(gen_server).\n-vsn(\"{version}\").\n\
         -export([start/1, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
         start(N) -> {{ok, P}} = gen_server:start(?MODULE, N, []), P.\n\
         init(N) -> {{ok, {{till, N}}}}.\nhandle_call(_, _, S) -> {{reply, {{{version}, S}}, S}}.\n\
         handle_cast({{wait, Ms}}, S) -> timer:sleep(Ms), {{noreply, S}}.\n{code_change}\n"
    );
    ("till".to_owned(), text)
}

/// A special process with the state `{bird, N}`; the clauses are those of `system_code_change`.
pub fn bird(vsn: u32, change: &str) -> (String, String) {
    let text = format!(
        "-module(bird).\n-vsn(\"{vsn}\").\n\
         -export([start/1, init/2, loop/2, system_continue/3, system_terminate/4, system_code_change/4]).\n\
         start(N) -> {{ok, P}} = proc_lib:start(?MODULE, init, [self(), N]), P.\n\
         init(Parent, N) -> proc_lib:init_ack(Parent, {{ok, self()}}), loop(Parent, {{bird, N}}).\n\
         loop(Parent, S) -> receive {{system, From, Request}} -> \
         sys:handle_system_msg(Request, From, Parent, ?MODULE, [], S); _ -> loop(Parent, S) end.\n\
         system_continue(Parent, _, S) -> loop(Parent, S).\nsystem_terminate(Why, _, _, _) -> exit(Why).\n{change}\n"
    );
    ("bird".to_owned(), text)
}

/// A handler of events with the state `{bell, 0}`; the clauses are those of `code_change`.
pub fn bell(vsn: u32, change: &str) -> (String, String) {
    let text = format!(
        "-module(bell).\n-behaviour(gen_event).\n-vsn(\"{vsn}\").\n\
         -export([start/0, init/1, handle_event/2, handle_call/2, code_change/3]).\n\
         start() -> {{ok, P}} = gen_event:start(), ok = gen_event:add_handler(P, ?MODULE, []).\n\
         init([]) -> {{ok, {{bell, 0}}}}.\nhandle_event(_, S) -> {{ok, S}}.\nhandle_call(_, S) -> {{ok, S, S}}.\n{change}\n"
    );
    ("bell".to_owned(), text)
}

/// A node that runs one version, and a plan for the other.
pub struct Stage {
    folder: TempDir,
    /// The node.
    pub node: TestNode,
    /// The desk.
    pub desk: Desk,
    /// The plan.
    pub plan: PathBuf,
}

impl Stage {
    /// With these modules, and what is started.
    pub fn new(one: &[(String, String)], two: &[(String, String)], start: &str) -> Self {
        Self::planned(one, two, start, "")
    }

    /// The same with more statements in the plan.
    pub fn planned(
        one: &[(String, String)],
        two: &[(String, String)],
        start: &str,
        statements: &str,
    ) -> Self {
        let folder = TempDir::new().expect("a folder");
        let old = compiled(&folder.path().join("one"), one);
        let new = compiled(&folder.path().join("two"), two);
        let (node, desk) = (node_with(&old), Desk::rehearsing());
        node.eval(start);
        let text =
            format!("plan \"Tills\".\ncode push [{new:?}].\nold from {old:?}.\n{statements}\n");
        let plan = desk.write("tills.updo", &text);
        Self {
            folder,
            node,
            desk,
            plan,
        }
    }

    /// Where the beams of both versions are.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Twenty tills.
    pub fn tills(code_change: &str) -> Self {
        let old = till(1, "code_change(_, S, _) -> {ok, S}.");
        Self::new(
            &[old],
            &[till(2, code_change)],
            "persistent_term:put(md5, till:module_info(md5)), \
             persistent_term:put(tills, [till:start(N) || N <- lists:seq(1, 20)])",
        )
    }

    /// `updo run`, with these arguments as well.
    pub fn run(&self, more: &[&str]) -> Ran {
        let plan = self.plan.display().to_string();
        let args = [&["run", &plan, "--yes"], more].concat();
        self.desk.on(&self.node, &args).run()
    }

    /// No module of updo is left on the node.
    pub fn is_clean(&self) {
        let left = "[M || {M, _} <- code:all_loaded(), string:find(atom_to_list(M), \"updo\") =/= nomatch]";
        self.node.await_true(&format!("{left} =:= []"));
    }

    /// `updo rehearse`, after which the node is as before.
    pub fn rehearse(&self, more: &[&str]) -> Ran {
        let ran = self.rehearse_beside_busy(more);
        assert_eq!(self.node.eval_text("witness:troubled()"), "[]");
        ran
    }

    /// The same where some processes do not answer: only those that are suspended are looked for.
    fn rehearse_beside_busy(&self, more: &[&str]) -> Ran {
        let before = self.looks();
        let plan = self.plan.display().to_string();
        let args = [&["rehearse", &plan], more].concat();
        let ran = self.desk.on(&self.node, &args).run();
        // Nothing has changed, and nothing is left.
        assert_eq!(self.looks(), before);
        assert_eq!(self.node.eval_text("witness:left_to(3000)"), "[]");
        assert_eq!(self.node.eval_text("witness:standing()"), "0");
        ran
    }

    /// Code, and states of the tills.
    fn looks(&self) -> String {
        self.node.eval_text(
            "{[{M, M:module_info(md5)} || {M, _} <- code:all_loaded(), lists:member(M, [till, lamp, bell, lift, bird])], \
              [M || {M, _} <- code:all_loaded(), string:find(atom_to_list(M), \"updo\") =/= nomatch], \
              [catch gen_server:call(P, what) || P <- persistent_term:get(tills, [])]}",
        )
    }
}

#[test]
fn all_states_convert() {
    let stage = Stage::tills("code_change(\"1\", {till, N}, []) -> {ok, {till, N, 0}}.");
    stage.rehearse(&[]).exits(0).prints(&[
        "till                     20 of 20 states convert    median 0.",
        "20 x {till, …} of 3 elements",
        "20 states tried on copies, all convert; nothing was changed",
    ]);
    let ran = stage.rehearse(&["--json"]).exits(0);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(shown["schema"], "updo.rehearsal/1.0");
    assert_eq!(
        (&shown["converted"], &shown["failed"]),
        (&20.into(), &0.into())
    );
    assert_eq!(shown["modules"][0]["module"], "till");
    assert!(shown["modules"][0]["us"]["median"].is_u64(), "{ran}");
    // Fewer are asked.
    stage.rehearse(&["--at-most", "5"]).exits(0).prints(&[
        "5 of 5 states convert",
        "15 not asked (--at-most, --within)",
    ]);
    // The upgrade is what it was.
    let plan = stage.plan.display().to_string();
    let run = stage.desk.on(&stage.node, &["run", &plan, "--yes"]).run();
    run.exits(0).says(&["20 states converted"]);
}

#[test]
fn states_that_fail_are_found_before_anything_is_touched() {
    let stage = Stage::tills(
        "code_change(_, {till, 3}, _) -> {ok, {secret, 471108154711}} = {error, 471108154711};\n\
         code_change(_, {till, 5}, _) -> [471108154711];\n\
         code_change(_, {till, 7}, _) -> timer:sleep(1000000);\n\
         code_change(_, {till, 9}, _) -> grow([]);\n\
         code_change(_, {till, N}, _) when N =/= 11 -> {ok, {till, N, 0}}.\n\
         grow(L) -> grow([L, {L, 1} | lists:seq(1, 1000)]).",
    );
    let ran = stage.rehearse(&[]).exits(15).says(&[
        "E634",
        "5 of 20 states of `till` would not be converted",
        "badmatch ({error, …} of 2 elements) in till:code_change/3; its state: {till, …} of 2 elements",
        "returns list, not {ok, NewState}",
        "takes longer than 1000 ms",
        "and 2 more",
    ])
    .prints(&["15 of 20 states convert, 5 would not", "fails  5 of 20 states"]);
    let json = stage.rehearse(&["--json"]).exits(15);
    for reason in [
        "needs more memory than it is given",
        "function_clause in till:code_change/3",
    ] {
        assert!(json.stdout.contains(reason), "{json}");
    }
    assert!(
        !ran.to_string().contains("471108154711") && !json.to_string().contains("471108154711")
    );
}

#[test]
fn busy_and_dead_processes_are_no_failures() {
    let stage = Stage::tills("code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.");
    stage
        .node
        .eval("[gen_server:cast(till:start(N), {wait, 60000}) || N <- [21, 22]]");
    stage
        .rehearse_beside_busy(&[])
        .exits(0)
        .prints(&["20 of 20 states convert", "not tried: 2 busy"]);
}

#[test]
fn what_is_not_tried_is_named() {
    let acts = till(
        2,
        "code_change(_, {till, N}, _) -> counted ! N, {ok, {till, N, 0}}.",
    );
    let old = till(1, "code_change(_, S, _) -> {ok, S}.");
    let stage = Stage::new(&[old], &[acts], "till:start(1)");
    stage.rehearse(&[]).exits(0).prints(&[
        "till                     not tried: its conversion has side effects",
        "sends a message in till:code_change/3, line 9",
        "no state was tried; nothing was changed",
    ]);
}

/// The conversion of a supervisor is its new `init/1`.
#[test]
fn supervisors() {
    let sup = |vsn: u32, init: &str| {
        let text = format!(
            "-module(lift).\n-behaviour(supervisor).\n-vsn(\"{vsn}\").\n-export([start/1, init/1]).\n\
             start(X) -> {{ok, P}} = supervisor:start_link(?MODULE, X), unlink(P).\n{init}\n"
        );
        ("lift".to_owned(), text)
    };
    let one = sup(1, "init(_) -> {ok, {#{}, []}}.");
    let two = "init(1) -> {ok, {#{intensity => 2}, [#{id => a, start => {till, start, [1]}}]}};\n\
               init(2) -> {ok, {#{}, [#{id => a, start => nowhere}]}};\n\
               init(X) -> {ok, {#{intensity => X + 1}, []}}.";
    let stage = Stage::new(&[one], &[sup(2, two)], "[lift:start(X) || X <- [1, 2, x]]");
    let ran = stage.rehearse(&["--json"]).exits(15);
    for reason in [
        "returns {no_child_specifications, …} of 2 elements",
        "badarith in lift:init/1",
    ] {
        assert!(ran.stdout.contains(reason), "{ran}");
    }
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let counts = (&shown["converted"], &shown["failed"]);
    assert_eq!(counts, (&1.into(), &2.into()), "{ran}");
}

#[test]
fn special_processes() {
    let stage = Stage::new(
        &[bird(1, "system_code_change(S, _, _, _) -> {ok, S}.")],
        &[bird(
            2,
            "system_code_change({bird, N}, bird, _, _) when N < 4 -> {ok, {bird, N, 0}}.",
        )],
        "[bird:start(N) || N <- [1, 2, 3, 4]]",
    );
    stage
        .rehearse(&[])
        .exits(15)
        .says(&[
            "1 of 4 states of `bird`",
            "function_clause in bird:system_code_change/4",
        ])
        .prints(&["3 x {bird, …} of 3 elements"]);
}

#[test]
fn state_machines_and_handlers_of_events() {
    let machine = |vsn: u32, change: &str| {
        let text = format!(
            "-module(lamp).\n-behaviour(gen_statem).\n-vsn(\"{vsn}\").\n\
             -export([start/0, init/1, callback_mode/0, handle_event/4, code_change/4]).\n\
             start() -> gen_statem:start(?MODULE, [], []).\ninit([]) -> {{ok, off, {{lamp, 1}}}}.\n\
             callback_mode() -> handle_event_function.\nhandle_event(_, _, _, _) -> keep_state_and_data.\n{change}\n"
        );
        ("lamp".to_owned(), text)
    };
    let stage = Stage::new(
        &[
            machine(1, "code_change(_, N, D, _) -> {ok, N, D}."),
            bell(1, "code_change(_, S, _) -> {ok, S}."),
        ],
        &[
            machine(
                2,
                "code_change(_, off, {lamp, N}, _) -> {ok, out, {lamp, N, on}}.",
            ),
            bell(
                2,
                "code_change(_, {bell, N}, _) when N > 0 -> {ok, {bell, N, 0}}.",
            ),
        ],
        "lamp:start(), bell:start()",
    );
    stage
        .rehearse(&[])
        .exits(15)
        .says(&[
            "1 of 1 state of `bell`",
            "function_clause in bell:code_change/3",
        ])
        .prints(&["lamp                     1 of 1 state convert"]);
}

/// What `use GenServer` writes, and a state that is a struct.
#[test]
fn servers_of_elixir() {
    let folder = TempDir::new().expect("a folder");
    let source = |vsn: u32, fields: &str, change: &str| {
        format!(
            "defmodule Cart do\n  defstruct [{fields}]\nend\ndefmodule Till do\n  use GenServer\n  @vsn {vsn}\n\
             \x20 def start(n), do: GenServer.start(__MODULE__, n)\n  def init(n), do: {{:ok, %Cart{{items: n}}}}\n\
             \x20 def handle_call(_, _, s), do: {{:reply, s.items, s}}\n{change}end\n"
        )
    };
    let old = elixir(&folder.path().join("one"), &source(1, "items: 0", ""));
    let change = "  def code_change(_, %{items: n}, _), do: {:ok, %Cart{items: n, tax: 1}}\n";
    let new = elixir(
        &folder.path().join("two"),
        &source(2, "items: 0, tax: 0", change),
    );
    let (node, desk) = (elixir_node(&old), Desk::rehearsing());
    node.eval("['Elixir.Till':start(N) || N <- lists:seq(1, 3)]");
    let text = format!("plan \"Carts\".\ncode push [{new:?}].\nold from {old:?}.\n");
    let plan = desk.write("carts.updo", &text).display().to_string();
    desk.on(&node, &["rehearse", &plan])
        .run()
        .exits(0)
        .prints(&[
            "Elixir.Till              3 of 3 states convert",
            "3 x %Elixir.Cart{} of 2 keys",
        ]);
}

/// `Supervisor.init/2` asks the modules that it lists, by their names: before the switch a new one is not there.
#[test]
fn a_supervisor_of_elixir_with_a_new_child_is_not_refused() {
    let folder = TempDir::new().expect("a folder");
    let worker = |name: &str| {
        format!(
            "defmodule {name} do\n  use GenServer\n  def start_link(n), do: GenServer.start_link(__MODULE__, n)\n\
             \x20 def init(n), do: {{:ok, n}}\nend\n"
        )
    };
    let top = |children: &str| {
        format!(
            "defmodule Top do\n  use Supervisor\n  def start, do: Supervisor.start_link(__MODULE__, [], name: Top)\n\
             \x20 def init(_), do: Supervisor.init([{children}], strategy: :one_for_one)\nend\n"
        )
    };
    let old = elixir(
        &folder.path().join("one"),
        &(worker("Old") + &top("{Old, 1}")),
    );
    let both = worker("Old") + &worker("Fresh") + &top("{Old, 1}, {Fresh, 2}");
    let new = elixir(&folder.path().join("two"), &both);
    let (node, desk) = (elixir_node(&old), Desk::rehearsing());
    node.eval("spawn(fun() -> {ok, _} = 'Elixir.Top':start(), receive stop -> ok end end), timer:sleep(100)");
    let text = format!("plan \"Top\".\ncode push [{new:?}].\nold from {old:?}.\n");
    let plan = desk.write("top.updo", &text).display().to_string();
    desk.on(&node, &["rehearse", &plan])
        .run()
        .exits(0)
        .prints(&["Elixir.Top", "not tried", "not switched yet"]);
    desk.on(&node, &["run", &plan, "--yes"]).run().exits(0);
    let children = "length(supervisor:which_children('Elixir.Top'))";
    assert_eq!(node.eval_text(children), "2");
}

/// `struct!/2` asks the module for its keys by its name, and the running one does not have the new key.
#[test]
fn what_reaches_a_running_version_by_name_is_no_failure() {
    let folder = TempDir::new().expect("a folder");
    let till = |fields: &str, change: &str| {
        format!(
            "defmodule Till do\n  use GenServer\n  defstruct [{fields}]\n  def start(n), do: GenServer.start(__MODULE__, n)\n\
             \x20 def init(n), do: {{:ok, %Till{{items: n}}}}\n  def handle_call(_, _, s), do: {{:reply, s, s}}\n{change}end\n"
        )
    };
    let old = elixir(&folder.path().join("one"), &till("items: 0", ""));
    let change = "  def code_change(_, s, _), do: {:ok, struct!(__MODULE__, [tax: 1] ++ Map.to_list(Map.from_struct(s)))}\n";
    let new = elixir(
        &folder.path().join("two"),
        &till("items: 0, tax: 0", change),
    );
    let (node, desk) = (elixir_node(&old), Desk::rehearsing());
    node.eval("persistent_term:put(tills, ['Elixir.Till':start(N) || N <- lists:seq(1, 3)])");
    let text = format!("plan \"Tills\".\ncode push [{new:?}].\nold from {old:?}.\n");
    let plan = desk.write("tills.updo", &text).display().to_string();
    desk.on(&node, &["rehearse", &plan])
        .run()
        .exits(0)
        .prints(&["3 call a module by its name that is not switched yet"]);
    desk.on(&node, &["rehearse", &plan, "--at-most", "1"])
        .run()
        .exits(0)
        .prints(&["1 calls a module by its name that is not switched yet"]);
    desk.on(&node, &["run", &plan, "--yes"])
        .run()
        .exits(0)
        .says(&["3 not tried"]);
    let states =
        "[maps:get(tax, gen_server:call(P, state)) || {ok, P} <- persistent_term:get(tills)]";
    assert_eq!(node.eval_text(states), "[1,1,1]");
}

#[test]
fn another_run_holds_the_lock() {
    let stage = Stage::tills("code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.");
    stage.node.eval(
        "spawn(fun() -> register(updo_run, self()), \
             put(updo_info, #{run => <<\"0000\">>, owner => <<\"anna@ops\">>, since => erlang:system_time(second), state => running}), receive stop -> ok end end)",
    );
    let plan = stage.plan.display().to_string();
    let ran = stage.desk.on(&stage.node, &["rehearse", &plan]).run();
    ran.exits(13).says(&["E505", "anna@ops"]);
    stage.node.eval("updo_run ! stop");
}

/// A run rehearses first: what would fail is refused before anything is touched, and the plan may do without.
#[test]
fn a_run_begins_with_a_rehearsal() {
    let stage = Stage::tills(
        "code_change(_, {till, 7}, _) -> {ok, {secret, 471108154711}} = {error, 471108154711};\n\
         code_change(_, {till, N}, _) -> {ok, {till, N, 0}}.",
    );
    let run = |more: &str, flags: &[&str]| {
        let text = std::fs::read_to_string(&stage.plan).expect("a plan");
        let plan = stage.desk.write("run.updo", &format!("{text}{more}"));
        let plan = plan.to_str().expect("UTF-8").to_owned();
        let mut args = vec!["run", &plan, "--yes"];
        args.extend(flags);
        stage.desk.on(&stage.node, &args).run()
    };
    let before = stage.looks();
    run("", &[]).exits(15).says(&[
        "rehearsal: 20 states tried on copies, 1 would not be converted",
        "E634",
        "nothing was changed",
        "--no-rehearsal",
    ]);
    assert_eq!(stage.looks(), before);
    let json = run("", &["--json"]).exits(15);
    let event = json
        .stdout
        .lines()
        .find(|line| line.contains("\"rehearsal\""));
    let event = event.expect("an event of the rehearsal");
    assert!(
        event.contains("\"failed\":1") && event.contains("\"converted\":19"),
        "{event}"
    );
    // Bounded by the plan; a rehearsal that has not tried the state does not find it, and the run undoes it.
    let ran = run(
        "rehearse #{at_most => 3, rate => 1000, within => 5s}.\n",
        &[],
    );
    ran.exits(20).says(&[
        "rehearsal: 3 states tried on copies",
        "17 not tried",
        "E604",
    ]);
    run("rehearse never.\n", &[]).exits(20).says(&["E604"]);
    let ran = run("", &["--no-rehearsal"]).exits(20).says(&["E604"]);
    assert!(!ran.to_string().contains("rehearsal:"), "{ran}");
    assert_eq!(stage.looks(), before);
    // Words and bounds are checked like those of other statements.
    run("rehearse #{at_most => 0}.\n", &[])
        .exits(1)
        .says(&["E205", "a number above zero"]);
    run("rehearse always.\n", &[]).exits(1).says(&["never"]);
    run("rehearse #{speed => 1}.\n", &[])
        .exits(1)
        .says(&["E204", "at_most, rate, within"]);
}
