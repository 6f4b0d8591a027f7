//! What a process is, by the loop in which it is, whatever its initial call says.
//!
//! Elixir's agents and tasks write the function that they were started with over their initial call, `enter_loop` leaves
//! the call of another module, and special processes run the loop of another module than the one that started them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::bank::nothing_left;
use crate::corners::{compiled, fixture, node_with};
use crate::support::apps::witness;
use crate::support::desk::Desk;
use crate::support::{Options, TestNode};

/// Compiles a text in Elixir.
fn elixir(folder: &Path, text: &str) -> PathBuf {
    let ebin = folder.join("ebin");
    std::fs::create_dir_all(&ebin).expect("a folder");
    let source = folder.join("source.ex");
    std::fs::write(&source, text).expect("a source");
    let mut command = Command::new("elixirc");
    command.env("LC_ALL", "C.UTF-8").arg("-o").arg(&ebin);
    let output = command.arg(&source).output().expect("elixirc starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    ebin
}

/// A counter that starts agents and tasks, in two versions; the conversion takes states of its own only.
fn counter(version: u32) -> String {
    let change = match version {
        1 => "",
        _ => {
            "  def code_change({:down, _}, {2, x}, []), do: {:ok, {1, x}}\n\
               def code_change(_, {1, x}, []), do: {:ok, {2, x}}\n"
        }
    };
    format!(
        "defmodule Counter do
           use GenServer
           @vsn \"{version}\"
           def start(x), do: GenServer.start(__MODULE__, x)
           def init(x), do: {{:ok, {{{version}, x}}}}
           def handle_call(:look, _, s), do: {{:reply, {{{version}, s}}, s}}
           {change}
           def agent_of_a_fun(), do: Agent.start(fn -> %{{kept_by: __MODULE__}} end, name: __MODULE__)
           def agent_of_a_function(), do: Agent.start(__MODULE__, :first, [7])
           def agent_of_init(), do: Agent.start(__MODULE__, :init, [8])
           def first(x), do: {{:first, x}}
           def task(), do: Task.start(fn -> Process.sleep(:infinity) end)
           def task_of_a_function(), do: Task.start(__MODULE__, :wait, [])
           def wait(), do: Process.sleep(:infinity)
           def entered(), do: {{:ok, :proc_lib.spawn(fn -> :gen_server.enter_loop(__MODULE__, [], {{1, 9}}) end)}}
         end\n"
    )
}

const OTHERS: &str = "defmodule Other do
   def supervised() do
     {:ok, s} = Task.Supervisor.start_link()
     Process.unlink(s)
     Task.Supervisor.start_child(s, Counter, :wait, [])
   end
   def dynamic() do
     {:ok, s} = DynamicSupervisor.start_link(strategy: :one_for_one)
     Process.unlink(s)
     DynamicSupervisor.start_child(s, %{id: :c, start: {GenServer, :start_link, [Counter, 3]}})
   end
   def registry() do
     {:ok, r} = Registry.start_link(keys: :unique, name: Names)
     Process.unlink(r)
     GenServer.start(Counter, 4, name: {:via, Registry, {Names, Counter}})
   end
 end\n";

#[test]
fn agents_and_tasks_do_not_belong_to_the_module_of_their_initial_call() {
    let folder = TempDir::new().expect("a folder");
    let one = elixir(&folder.path().join("one"), &(counter(1) + OTHERS));
    let two = elixir(&folder.path().join("two"), &counter(2));
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let node = options.path(&one).path(witness()).start();
    node.eval(
        "Start = fun(K, M, F, A) -> {ok, P} = apply(M, F, A), true = is_process_alive(P), persistent_term:put({kind, K}, P) end,
         Start(server, 'Elixir.Counter', start, [1]),
         [Start(F, 'Elixir.Counter', F, []) || F <- [agent_of_a_fun, agent_of_a_function, agent_of_init, task, task_of_a_function, entered]],
         [Start(F, 'Elixir.Other', F, []) || F <- [supervised, dynamic, registry]], ok",
    );
    let desk = Desk::rehearsing();
    let text = format!("plan \"Kinds\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    let servers = "[sys:get_state(persistent_term:get({kind, K})) || K <- [server, entered, dynamic, registry]]";
    let agents = "[sys:get_state(persistent_term:get({kind, K})) || K <- [agent_of_a_fun, agent_of_a_function, agent_of_init]]";
    let kept = "[#{kept_by => 'Elixir.Counter'},{first,7},{ok,{1,8}}]";
    assert_eq!(node.eval_text(agents), kept);
    desk.on(&node, &["preview", "p.updo"])
        .run()
        .exits(0)
        .prints(&["4 processes"]);
    let run = desk.on(&node, &["run", "p.updo", "--yes"]).run().exits(0);
    let run = run.says(&["done", "4 states converted"]);
    assert!(
        !run.stderr.contains("W334"),
        "tasks are no processes of it: {run}"
    );
    assert_eq!(node.eval_text(servers), "[{2,1},{2,9},{2,3},{2,4}]");
    assert_eq!(node.eval_text(agents), kept, "no agent is asked");
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(servers), "[{1,1},{1,9},{1,3},{1,4}]");
    assert_eq!(node.eval_text(agents), kept);
    let alive = "lists:all(fun(K) -> is_process_alive(persistent_term:get({kind, K})) end, [task, task_of_a_function, supervised])";
    assert_eq!(node.eval_text(alive), "true");
    nothing_left(&node);
}

/// A wrapper in the way of GenStage: its own server, the callback module in its state.
#[test]
fn a_stage_is_converted_through_its_wrapper() {
    let stage = |version: u32| {
        format!(
            "defmodule Press do
               @behaviour GenStage
               @vsn \"{version}\"
               def start_link(x), do: GenStage.start_link(__MODULE__, x)
               def init(x), do: {{:producer, x}}
               def code_change({{:down, _}}, x, _), do: {{:ok, x - 100}}
               def code_change(_, x, _), do: {{:ok, x + 100}}
               def version(), do: {version}
             end\n"
        )
    };
    let wrapper = "defmodule GenStage do
           @callback init(term) :: term
           def start_link(mod, x), do: :gen_server.start_link(GenStage, {mod, x}, [])
           def init({mod, x}) do
             {:producer, state} = mod.init(x)
             {:ok, %{mod: mod, state: state}}
           end
           def handle_call(_, _, s), do: {:reply, s.state, s}
           def handle_cast(_, s), do: {:noreply, s}
           def code_change(vsn, %{mod: mod, state: state} = s, extra) do
             {:ok, state} = mod.code_change(vsn, state, extra)
             {:ok, %{s | state: state}}
           end
         end\n";
    let folder = TempDir::new().expect("a folder");
    let one = elixir(
        &folder.path().join("one"),
        &(wrapper.to_owned() + &stage(1)),
    );
    let two = elixir(
        &folder.path().join("two"),
        &(wrapper.to_owned() + &stage(2)),
    );
    std::fs::remove_file(two.join("Elixir.GenStage.beam")).expect("is there");
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let node = options.path(&one).path(witness()).start();
    node.eval(
        "{ok, S} = 'Elixir.Supervisor':start_link([#{id => press, start => {'Elixir.Press', start_link, [1]}}], [{strategy, one_for_one}]),
         unlink(S), [{press, P, _, _}] = supervisor:which_children(S), register(press, P)",
    );
    let desk = Desk::rehearsing();
    let text = format!("plan \"Stages\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    desk.on(&node, &["run", "p.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["1 state converted"]);
    assert_eq!(node.eval_text("gen_server:call(press, look)"), "101");
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text("gen_server:call(press, look)"), "1");
    nothing_left(&node);
}

/// A door: a gen_server whose conversion takes its own states only.
fn door(version: u32) -> (String, String) {
    fixture("kin_door", version)
}

/// A porter: starts processes that become doors, and has a conversion of its own that takes none of their states.
fn porter(version: u32) -> (String, String) {
    fixture("kin_porter", version)
}

#[test]
fn a_process_belongs_to_the_module_whose_loop_it_entered() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let one = compiled(&path("one"), &[door(1), porter(1)]);
    let doors = compiled(&path("doors"), &[door(2)]);
    let both = compiled(&path("both"), &[door(2), porter(2)]);
    let porters = compiled(&path("porters"), &[porter(2)]);
    let states = "[sys:get_state(P) || P <- persistent_term:get(kin)]";
    for (new, after) in [
        (doors, "[{2,1},{2,2},{2,3},{2,4},{porter,5}]"),
        (both, "[{2,1},{2,2},{2,3},{2,4},{porter,7}]"),
        (porters, "[{1,1},{1,2},{1,3},{1,4},{porter,7}]"),
    ] {
        let (node, desk) = (node_with(&one), Desk::rehearsing());
        node.eval(
            "persistent_term:put(kin, [begin {ok, P} = M:F(X), P end || {M, F, X} <-
                 [{kin_door, start, 1}, {kin_porter, by_fun, 2}, {kin_porter, by_function, 3}, {kin_porter, by_init, 4}, {kin_porter, start, 5}]])",
        );
        let text = format!("plan \"Doors\".\ncode push [{new:?}].\nold from {one:?}.\n");
        desk.write("p.updo", &text);
        let run = desk.on(&node, &["run", "p.updo", "--yes"]).run();
        run.exits(0).says(&["done"]);
        assert_eq!(node.eval_text(states), after);
        nothing_left(&node);
    }
}

/// One that is busy, and so shows no idle loop, is recognised as well.
#[test]
fn a_busy_process_is_recognised_by_its_loop() {
    let folder = TempDir::new().expect("a folder");
    let one = compiled(&folder.path().join("one"), &[door(1), porter(1)]);
    let two = compiled(&folder.path().join("two"), &[door(2)]);
    let (node, desk) = (node_with(&one), Desk::rehearsing());
    node.eval(
        "{ok, P} = kin_porter:by_init(6), register(kin, P), Me = self(), spawn(fun() -> gen_server:call(P, {wait, Me}, infinity) end),
         receive inside -> ok end, spawn(fun() -> timer:sleep(2500), P ! go end)",
    );
    let text = format!("plan \"Doors\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    desk.on(&node, &["run", "p.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["1 state converted"]);
    assert_eq!(node.eval_text("sys:get_state(kin)"), "{2,6}");
    nothing_left(&node);
}

/// A lane: a special process's loop, and a gate that starts it.
fn lane(version: u32) -> (String, String) {
    fixture("kin_lane", version)
}

fn gate() -> (String, String) {
    fixture("kin_gate", 1)
}

#[test]
fn special_processes_are_found_by_the_loop_that_they_execute() {
    let folder = TempDir::new().expect("a folder");
    let one = compiled(&folder.path().join("one"), &[lane(1), gate()]);
    let two = compiled(&folder.path().join("two"), &[lane(2)]);
    let (node, desk) = (node_with(&one), Desk::rehearsing());
    // A worker that only calls a function of the module answers no system message, and is not waited for.
    node.eval(
        "Me = self(), persistent_term:put(lanes, [begin {ok, P} = kin_gate:start(N), P end || N <- [1, 2, 3]]),
         register(worker, proc_lib:spawn(fun() -> kin_lane:compute(Me), receive never -> ok end end)), receive computing -> ok end",
    );
    let text = format!("plan \"Lanes\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    let preview = desk.on(&node, &["preview", "p.updo"]).run().exits(0);
    let preview = preview.prints(&["kin_lane", "3 processes"]).to_string();
    // Of all that executes the module only the worker stays in the old code.
    assert!(
        preview.contains("1 process executes code that is replaced"),
        "{preview}"
    );
    let look = "[begin P ! {look, self()}, receive {lane, V, S} -> {V, S} after 2000 -> none end end || P <- persistent_term:get(lanes)]";
    assert_eq!(node.eval_text(look), "[{1,{1,1}},{1,{1,2}},{1,{1,3}}]");
    desk.on(&node, &["run", "p.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["3 processes suspended", "3 states converted"]);
    assert_eq!(node.eval_text(look), "[{2,{2,1}},{2,{2,2}},{2,{2,3}}]");
    node.eval("worker ! stop");
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(node.eval_text(look), "[{1,{1,1}},{1,{1,2}},{1,{1,3}}]");
    nothing_left(&node);
}

/// A pump: loops by local calls, in every way of starting one.
fn pump(version: u32) -> (String, String) {
    fixture("kin_pump", version)
}

fn valve() -> (String, String) {
    fixture("kin_valve", 1)
}

#[test]
fn plain_loops_are_reported_however_they_were_started() {
    let folder = TempDir::new().expect("a folder");
    let one = compiled(&folder.path().join("one"), &[pump(1), valve()]);
    let two = compiled(&folder.path().join("two"), &[pump(2)]);
    let (node, desk) = (node_with(&one), Desk::rehearsing());
    let text = format!("plan \"Pumps\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    let all = "persistent_term:get(pumps)";
    node.eval("persistent_term:put(pumps, kin_pump:start() ++ kin_valve:start())");
    let preview = desk
        .on(&node, &["preview", "p.updo"])
        .run()
        .exits(0)
        .to_string();
    for text in [
        "W334",
        "run loops of their own (4 processes)",
        "kin_pump:loop/1",
        "run loops of their own (1 process)",
    ] {
        assert!(preview.contains(text), "does not say `{text}`: {preview}");
    }
    // Of one that is no loop of the module nothing is said.
    node.eval(&format!("[P ! stop || P <- {all}], ok"));
    node.eval("register(caller, spawn(fun() -> receive go -> kin_pump:v() end end))");
    let preview = desk.on(&node, &["preview", "p.updo"]).run().to_string();
    assert!(!preview.contains("W334"), "{preview}");
    nothing_left(&node);
}

#[test]
fn an_agent_in_the_middle_of_a_call_is_no_process_of_the_module() {
    let folder = TempDir::new().expect("a folder");
    let one = elixir(&folder.path().join("one"), &counter(1));
    let two = elixir(&folder.path().join("two"), &counter(2));
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let node: TestNode = options.path(&one).path(witness()).start();
    node.eval(
        "{ok, S} = 'Elixir.Counter':start(1), register(server, S), {ok, A} = 'Elixir.Counter':agent_of_a_fun(), Me = self(),
         spawn(fun() -> 'Elixir.Agent':get(A, fun(X) -> Me ! inside, receive after 60000 -> X end end, infinity) end), receive inside -> ok end",
    );
    let desk = Desk::rehearsing();
    let text = format!("plan \"Busy\".\ncode push [{two:?}].\nold from {one:?}.\n");
    desk.write("p.updo", &text);
    desk.on(&node, &["run", "p.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["1 process suspended", "1 state converted"]);
    assert_eq!(node.eval_text("sys:get_state(server)"), "{2,1}");
    nothing_left(&node);
}

/// A behaviour with a server of its own, which names the callback module in the initial call: Phoenix runs channels
/// (`join/3`) and LiveViews (`mount/3`) so.
fn lobby(version: u32) -> String {
    let change = match version {
        1 => "",
        _ => {
            "def code_change({:down, _}, {2, x}, []), do: {:ok, {1, x}}
             def code_change(_, {1, x}, []), do: {:ok, {2, x}}"
        }
    };
    format!(
        "defmodule Lobby do
           @behaviour Room
           @vsn \"{version}\"
           def join(x, _, _), do: {{{version}, x}}
           def handle_in(:look, {{{version}, _}} = s), do: {{s, s}}
           {change}
         end\n"
    )
}

/// The behaviour; version 2 keeps its own state in another form.
fn room(version: u32) -> String {
    let keep = match version {
        1 => "{:room, m, s}",
        _ => "{:room, m, s, :new}",
    };
    let change = match version {
        1 => "",
        _ => {
            "def code_change({:down, _}, {:room, m, s, :new}, _), do: {:ok, {:room, m, s}}
             def code_change(_, {:room, m, s}, _), do: {:ok, {:room, m, s, :new}}"
        }
    };
    format!(
        "defmodule Room do
           @callback join(term, term, term) :: term
         end
         defmodule Room.Server do
           use GenServer
           @vsn \"{version}\"
           def start(m, x, opts), do: GenServer.start(__MODULE__, {{m, x}}, opts)
           def init({{m, x}}) do
             Process.put(:\"$initial_call\", {{m, :join, 3}})
             s = m.join(x, nil, nil)
             {{:ok, {keep}}}
           end
           def handle_call(ask, _, {keep}) do
             {{answer, s}} = m.handle_in(ask, s)
             {{:reply, answer, {keep}}}
           end
           {change}
           def code_change(vsn, {keep}, extra) do
             case function_exported?(m, :code_change, 3) do
               true ->
                 {{:ok, s}} = m.code_change(vsn, s, extra)
                 {{:ok, {keep}}}
               false -> {{:ok, {keep}}}
             end
           end
         end\n"
    )
}

#[test]
fn a_behaviour_with_a_server_of_its_own_says_whose_processes_they_are() {
    let folder = TempDir::new().expect("a folder");
    let one = elixir(&folder.path().join("one"), &(room(1) + &lobby(1)));
    // Only the callback module is new; only the behaviour is.
    let two = elixir(&folder.path().join("two"), &(room(1) + &lobby(2)));
    let three = elixir(&folder.path().join("three"), &(room(2) + &lobby(2)));
    let node = |options: &str| {
        let elixir = Options {
            elixir: true,
            ..Options::default()
        };
        let node = elixir.path(&one).path(witness()).start();
        node.eval(&format!(
            "persistent_term:put(rooms, [begin {{ok, P}} = 'Elixir.Room.Server':start('Elixir.Lobby', N, {options}), P end || N <- [1, 2, 3]])"
        ));
        node
    };
    let look = "[gen_server:call(P, look) || P <- persistent_term:get(rooms)]";
    let desk = Desk::rehearsing();
    for (name, new) in [("two", &two), ("three", &three)] {
        let text = format!("plan \"Rooms\".\ncode push [{new:?}].\nold from {one:?}, {two:?}.\n");
        desk.write(&format!("{name}.updo"), &text);
    }

    // Idle, and all of them hibernating: no loop shows what they are.
    for options in ["[]", "[{hibernate_after, 1}]"] {
        let node = node(options);
        std::thread::sleep(std::time::Duration::from_millis(100));
        let shown = desk.on(&node, &["preview", "two.updo"]).run().exits(0);
        shown.prints(&["update  Elixir.Lobby", "server  3 processes"]);
        let tries = desk.on(&node, &["rehearse", "two.updo"]).run().exits(0);
        assert!(
            tries
                .stdout
                .contains("its processes are servers of Room.Server"),
            "{options}: {tries}"
        );
        assert!(!tries.stderr.contains("W316"), "{options}: {tries}");
        let ran = desk.on(&node, &["run", "two.updo", "--yes"]).run().exits(0);
        ran.says(&["3 states converted", "3 of 3 live"]);
        assert_eq!(node.eval_text(look), "[{2,1},{2,2},{2,3}]", "{options}");

        // The server's own new version: the callback module takes no part.
        let ran = desk.on(&node, &["run", "three.updo", "--yes"]).run();
        ran.exits(0).says(&["3 states converted"]);
        assert_eq!(node.eval_text(look), "[{2,1},{2,2},{2,3}]", "{options}");
        let sizes = "[tuple_size(sys:get_state(P)) || P <- persistent_term:get(rooms)]";
        assert_eq!(node.eval_text(sizes), "[4,4,4]", "{options}");
        for (state, size) in [
            ("[{2,1},{2,2},{2,3}]", "[3,3,3]"),
            ("[{1,1},{1,2},{1,3}]", "[3,3,3]"),
        ] {
            desk.on(&node, &["rollback", "--yes"]).run().exits(0);
            assert_eq!(node.eval_text(sizes), size, "{options}");
            assert_eq!(node.eval_text(look), state, "{options}");
        }
        nothing_left(&node);
    }
}
