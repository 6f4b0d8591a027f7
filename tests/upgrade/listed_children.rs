//! Children that an Elixir application lists in its `start/2`: what a restart of the application would come to is shown,
//! done, and undone with the rest, without a word in the plan.

use std::path::Path;

use tempfile::TempDir;

use crate::inferred_children::elixir;
use crate::support::apps::witness;
use crate::support::desk::{Desk, Ran};
use crate::support::{Options, TestNode};

/// Servers that are registered by their names and say what they were started with. A gate of version 2 asks for the lamp
/// all the time, and counts how often there is none.
fn modules(version: u32) -> String {
    let server = |name: &str| {
        format!(
            "defmodule Pier.{name} do\n  use GenServer\n\
             \x20 def start_link(arg), do: GenServer.start_link(__MODULE__, arg, name: __MODULE__)\n\
             \x20 def init(arg), do: {{:ok, arg}}\n  def handle_call(_, _, arg), do: {{:reply, arg, arg}}\nend\n"
        )
    };
    let servers: String = match version {
        1 => ["Crane", "Fax"].map(server).concat(),
        _ => ["Crane", "Lamp"].map(server).concat(),
    };
    let misses = match version {
        1 => "misses",
        _ => "(if Process.whereis(Pier.Lamp), do: misses, else: misses + 1)",
    };
    format!(
        "{servers}defmodule Pier.Never do\n  use GenServer\n  def start_link(_), do: {{:error, :broken}}\n  def init(arg), do: {{:ok, arg}}\nend\n\
         defmodule Pier.Stuck do\n  use GenServer\n  def start_link(_), do: GenServer.start_link(__MODULE__, 0)\n\
         \x20 def init(_), do: :timer.sleep(:infinity)\nend\n\
         defmodule Pier.Gate do\n  use GenServer\n  @vsn {version}\n\
         \x20 def start_link(_), do: GenServer.start_link(__MODULE__, 0, name: __MODULE__)\n\
         \x20 def init(misses), do: {{:ok, misses, 1}}\n  def handle_call(_, _, misses), do: {{:reply, misses, misses, 1}}\n\
         \x20 def handle_info(_, misses), do: {{:noreply, {misses}, 1}}\n  def code_change(_, misses, _), do: {{:ok, misses}}\nend\n"
    )
}

/// The application, whose list of children and options these are.
fn application(version: u32, children: &str, more: &str) -> String {
    format!(
        "{}defmodule Pier.Application do\n  use Application\n  def start(_, arg) do\n    _ = arg\n    children = {children}\n\
         \x20   Supervisor.start_link(children, strategy: :rest_for_one{more})\n  end\nend\n",
        modules(version)
    )
}

const NAMED: &str = ", name: Pier.Supervisor";

/// Its `.app` file, with the modules that are there.
fn write_app(ebin: &Path, version: u32) {
    let modules: Vec<String> = std::fs::read_dir(ebin)
        .expect("a folder")
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .filter_map(|file| Some(format!("'{}'", file.strip_suffix(".beam")?)))
        .collect();
    let app = format!(
        "{{application, pier, [{{vsn, \"{version}\"}}, {{modules, [{}]}}, {{registered, []}},\n\
         {{applications, [kernel, stdlib, elixir]}}, {{mod, {{'Elixir.Pier.Application', []}}}}]}}.\n",
        modules.join(", ")
    );
    std::fs::write(ebin.join("pier.app"), app).expect("an .app file");
}

/// A node on which the application is started, and the plan for its other version.
struct Pier {
    _folder: TempDir,
    node: TestNode,
    desk: Desk,
    plan: String,
}

impl Pier {
    fn new(one: &str, two: &str, statements: &str) -> Self {
        Self::with((one, NAMED), (two, NAMED), true, statements)
    }

    fn with(one: (&str, &str), two: (&str, &str), start: bool, statements: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let version = |version, (children, more): (&str, &str)| {
            let ebin = folder.path().join(format!("pier-{version}/ebin"));
            elixir(&ebin, &application(version, children, more));
            write_app(&ebin, version);
            ebin
        };
        let (one, two) = (version(1, one), version(2, two));
        let options = Options {
            elixir: true,
            ..Options::default()
        };
        let node = options.path(&one).path(witness()).start();
        node.eval(match start {
            true => "{ok, _} = application:ensure_all_started(pier)",
            false => "ok = application:load(pier), {module, _} = code:ensure_loaded('Elixir.Pier.Application')",
        });
        let desk = Desk::rehearsing();
        let text = format!("code push [{two:?}].\nold from {one:?}.\n{statements}\n");
        let plan = desk.write("pier.updo", &text).display().to_string();
        Self {
            _folder: folder,
            node,
            desk,
            plan,
        }
    }

    fn preview(&self) -> Ran {
        self.desk.on(&self.node, &["preview", &self.plan]).run()
    }

    fn run(&self) -> Ran {
        let args = ["run", &self.plan, "--yes"];
        self.desk.on(&self.node, &args).run()
    }

    fn rollback(&self) -> Ran {
        self.desk.on(&self.node, &["rollback", "--yes"]).run()
    }

    /// The children in the order in which they were started; those without a process are in a list.
    fn has(&self) -> String {
        self.node.eval_text(
            "[case P of undefined -> [Id]; _ -> lists:last(string:split(atom_to_list(Id), \".\", all)) end \
             || {Id, P, _, _} <- lists:reverse(supervisor:which_children('Elixir.Pier.Supervisor'))]",
        )
    }

    /// What the supervisor has: what an upgrade left in its dictionary, and the specifications.
    fn state(&self) -> String {
        self.node.eval_text(
            "{[K || {{updo, K}, _} <- element(2, process_info(whereis('Elixir.Pier.Supervisor'), dictionary))], \
              [supervisor:get_childspec('Elixir.Pier.Supervisor', Id) || {Id, _, _, _} <- supervisor:which_children('Elixir.Pier.Supervisor')]}",
        )
    }
}

const ONE: &str = "[Pier.Crane, {Pier.Fax, 1}, Pier.Gate]";
const TWO: &str = "[Pier.Crane, {Pier.Lamp, [size: 10]}, Pier.Gate]";
const HAD: &str = "[\"Crane\",\"Fax\",\"Gate\"]";
const HAS: &str = "[\"Crane\",\"Lamp\",\"Gate\"]";

#[test]
fn what_a_restart_of_the_application_would_come_to() {
    let pier = Pier::new(ONE, TWO, "");
    let stay = || {
        pier.node
            .eval_text("{whereis('Elixir.Pier.Crane'), whereis('Elixir.Pier.Gate')}")
    };
    let (stays, state) = (stay(), pier.state());
    let shown = pier.preview().exits(0);
    assert!(!shown.stderr.contains("W424"), "{shown}");
    shown.prints(&[
        "stop child 'Elixir.Pier.Fax' before those that call it are resumed  its new start/2 no longer lists it",
        "start child 'Elixir.Pier.Lamp' before those that call it are resumed  only its new start/2 lists it",
    ]);
    pier.preview().says(&[
        "W420",
        "children of `Pier.Application` are stopped",
        "its new start/2 no longer has 'Elixir.Pier.Fax'",
    ]);
    assert_eq!(pier.has(), HAD, "a preview changes nothing");

    let ran = pier.run().exits(0);
    assert!(!ran.stderr.contains("W628"), "{ran}");
    assert_eq!(pier.has(), HAS, "in the order of the list");
    let lamp = "gen_server:call('Elixir.Pier.Lamp', what)";
    assert_eq!(pier.node.eval_text(lamp), "[{size,10}]");
    // It never found the lamp missing.
    let misses = "gen_server:call('Elixir.Pier.Gate', misses)";
    assert_eq!(pier.node.eval_text(misses), "0");
    assert_eq!(stay(), stays, "who stays is the same process");

    pier.rollback().exits(0).says(&["it is as before"]);
    assert_eq!(pier.has(), HAD);
    let fax = "gen_server:call('Elixir.Pier.Fax', what)";
    assert_eq!(pier.node.eval_text(fax), "1");
    assert_eq!((stay(), pier.state()), (stays, state));
    assert_eq!(pier.node.eval_text("witness:left_to(3000)"), "[]");
}

#[test]
fn undone_with_the_rest() {
    let pier = Pier::new(ONE, TWO, "verify \"no\" -> 1 = 2.");
    let state = pier.state();
    pier.run().exits(20).says(&["E606", "is as before"]);
    assert_eq!((pier.has().as_str(), pier.state()), (HAD, state));

    // One that does not start takes the upgrade back.
    let pier = Pier::new(ONE, "[{Pier.Lamp, 2}, Pier.Never, Pier.Gate]", "");
    let state = pier.state();
    let ran = pier.run().exits(20);
    ran.says(&[
        "E610",
        "Elixir.Pier.Never of Elixir.Pier.Application",
        "broken",
        "is as before",
    ]);
    assert_eq!((pier.has().as_str(), pier.state()), (HAD, state));
}

/// A child that never gets through its `init` would block its supervisor for ever: it is ended at the deadline.
#[test]
fn a_child_that_hangs_does_not_keep_its_supervisor() {
    let pier = Pier::new(ONE, "[Pier.Crane, Pier.Stuck, Pier.Gate]", "deadline 6s.");
    let state = pier.state();
    pier.run().exits(20).says(&[
        "E610",
        "Elixir.Pier.Stuck of Elixir.Pier.Application",
        "is as before",
    ]);
    assert_eq!((pier.has().as_str(), pier.state()), (HAD, state));
}

/// More than is looked at: then it is said that these are not all.
#[test]
fn a_list_without_end() {
    let many = |n: usize| {
        let each =
            (0..n).map(|at| format!("%{{id: {at}, start: {{Pier.Crane, :start_link, []}}}}"));
        format!("[{}]", each.collect::<Vec<_>>().join(", "))
    };
    let pier = Pier::new(ONE, &many(5000), "");
    pier.preview().exits(0).says(&["W424"]);
}

#[test]
fn the_plan_overrules() {
    let none = "module Pier.Application #{children => #{start => none, stop => none}} because \"by hand\".";
    let pier = Pier::new(ONE, TWO, none);
    let shown = pier.preview().exits(0);
    for word in ["W343", "W420", "W424"] {
        assert!(!shown.stderr.contains(word), "{shown}");
    }
    assert!(!shown.stdout.contains("child 'Elixir"), "{shown}");
    pier.run().exits(0);
    assert_eq!(pier.has(), HAD);
    pier.rollback().exits(0);
    assert_eq!(pier.has(), HAD);

    // Names count; one that is in both lists is started anew, with its new argument.
    let named = "module Pier.Application #{children => #{start => [Pier.Crane], stop => [Pier.Crane]}} because \"a new crane\".";
    let two = "[{Pier.Crane, 7}, Pier.Lamp, Pier.Gate]";
    let pier = Pier::new(ONE, two, named);
    pier.preview()
        .exits(0)
        .prints(&["restart child 'Elixir.Pier.Crane'"]);
    pier.preview().says(&[
        "W343",
        "new, would not be started: 'Elixir.Pier.Lamp'",
        "removed, would keep running: 'Elixir.Pier.Fax'",
    ]);
    let crane = || {
        pier.node
            .eval_text("gen_server:call('Elixir.Pier.Crane', what)")
    };
    assert_eq!(crane(), "[]");
    pier.run().exits(0);
    assert_eq!((crane().as_str(), pier.has().as_str()), ("7", HAD));
    pier.rollback().exits(0);
    assert_eq!((crane().as_str(), pier.has().as_str()), ("[]", HAD));

    // A name that the list does not have.
    let wrong = "module Pier.Application #{children => #{start => [Pier.Lump]}} because \"a typing error\".";
    let pier = Pier::new(ONE, TWO, wrong);
    let refused = pier.run();
    refused.says(&[
        "E629",
        "'Elixir.Pier.Lump'",
        "seen there",
        "'Elixir.Pier.Lamp'",
    ]);
    assert_eq!(pier.has(), HAD);
}

/// Changed arguments hold from the next start; a child that runs already is left alone, and so is what was started by hand.
#[test]
fn children_that_run_already_are_left_alone() {
    let two = "[{Pier.Crane, 7}, {Pier.Lamp, 1}, Pier.Gate]";
    let pier = Pier::new("[Pier.Crane, Pier.Gate]", two, "");
    pier.node.eval(
        "{ok, _} = supervisor:start_child('Elixir.Pier.Supervisor', \
         #{id => 'Elixir.Pier.Lamp', start => {gen_server, start_link, [{local, 'Elixir.Pier.Lamp'}, 'Elixir.Pier.Crane', by_hand, []]}})",
    );
    let lamp = || {
        pier.node
            .eval_text("{whereis('Elixir.Pier.Lamp'), whereis('Elixir.Pier.Crane')}")
    };
    let before = lamp();
    pier.preview().exits(0).says(&[
        "W421",
        "children of `Pier.Application` keep running with their old arguments: 'Elixir.Pier.Crane'",
        "#{children => #{start => ['Elixir.Pier.Crane'], stop => ['Elixir.Pier.Crane']}}",
    ]);
    pier.run().exits(0);
    assert_eq!(lamp(), before);
    pier.rollback().exits(0);
    assert_eq!(lamp(), before);
    assert_eq!(pier.has(), "[\"Crane\",\"Gate\",\"Lamp\"]");
}

/// What Elixir's own modules make of an entry only the node knows: their identifiers, and `Supervisor.child_spec/2`.
#[test]
fn entries_of_other_modules() {
    let one = "[Pier.Crane, {Registry, keys: :unique, name: Pier.Old}, Pier.Gate]";
    let two = "[{Registry, keys: :unique, name: Pier.New}, {DynamicSupervisor, name: Pier.Guests, strategy: :one_for_one}, Pier.Crane, \
               Supervisor.child_spec({Task.Supervisor, name: Pier.Tasks}, id: Pier.Work, restart: :transient), Pier.Lamp, Pier.Gate]";
    let pier = Pier::new(one, two, "");
    let state = pier.state();
    pier.run().exits(0);
    assert_eq!(
        pier.has(),
        "[\"New\",\"Guests\",\"Crane\",\"Work\",\"Lamp\",\"Gate\"]"
    );
    let spec = "maps:get(restart, element(2, supervisor:get_childspec('Elixir.Pier.Supervisor', 'Elixir.Pier.Work')))";
    assert_eq!(pier.node.eval_text(spec), "transient");
    pier.rollback().exits(0);
    assert_eq!(pier.has(), "[\"Crane\",\"Old\",\"Gate\"]");
    assert_eq!(pier.state(), state);
}

/// Without a name the supervisor is the one at the top of the application; one that only is loaded has none.
#[test]
fn the_supervisor_of_the_application() {
    let pier = Pier::with((ONE, ""), (TWO, ""), true, "");
    pier.run().exits(0);
    let lamp =
        "is_pid(whereis('Elixir.Pier.Lamp')) andalso whereis('Elixir.Pier.Fax') =:= undefined";
    assert_eq!(pier.node.eval_text(lamp), "true");
    pier.rollback().exits(0);
    let fax =
        "is_pid(whereis('Elixir.Pier.Fax')) andalso whereis('Elixir.Pier.Lamp') =:= undefined";
    assert_eq!(pier.node.eval_text(fax), "true");

    let pier = Pier::with((ONE, NAMED), (TWO, NAMED), false, "");
    let shown = pier.preview().exits(0);
    assert!(!shown.stdout.contains("start child"), "{shown}");
    pier.run().exits(0);
    assert_eq!(
        pier.node.eval_text("whereis('Elixir.Pier.Lamp')"),
        "undefined"
    );
}

/// Stopped between the preview and the run: nothing is started, and that is said. After a restart of the application a
/// rollback goes by the lists.
#[test]
fn an_application_that_stops_and_starts() {
    let pier = Pier::new(ONE, TWO, "before upgrade -> application:stop(pier).");
    pier.run()
        .exits(0)
        .says(&["W628", "Elixir.Pier.Application"]);
    assert_eq!(
        pier.node.eval_text("whereis('Elixir.Pier.Lamp')"),
        "undefined"
    );
    pier.node.eval("ok = application:start(pier)");
    assert_eq!(pier.has(), HAS);
    pier.rollback().exits(0);
    assert_eq!(pier.has(), HAD);
}

/// What is computed is in no list that the code shows: said, with lines that do it.
#[test]
fn computed_children_are_reported() {
    let two = "[Pier.Crane, {Pier.Lamp, Process.get(:size)}, Pier.Gate]";
    let pier = Pier::new(ONE, two, "");
    let lines = "insert {apply, {'Elixir.Supervisor', start_child, ['Elixir.Pier.Supervisor', …]}} at end because";
    pier.preview()
        .exits(0)
        .says(&["W424", "new: 'Elixir.Pier.Lamp'", lines]);
    pier.run().exits(0);
    assert_eq!(pier.has(), "[\"Crane\",\"Gate\"]", "what is seen is done");

    let one = "[Pier.Crane, {Pier.Fax, 1}, Pier.Gate | arg]";
    let two = "[Pier.Crane, {Pier.Lamp, 2}, Pier.Gate | arg]";
    let pier = Pier::new(one, two, "");
    pier.preview().exits(0).says(&[
        "W424",
        "the children that `Pier.Application` starts differ, and none is started or stopped",
        "new: 'Elixir.Pier.Lamp'",
        "start_child, ['Elixir.Pier.Supervisor', {'Elixir.Pier.Lamp',2}]",
    ]);
    pier.run().exits(0);
    assert_eq!(pier.has(), HAD);
}

/// As Phoenix writes it: a value that is computed makes several ways through `start/2`, and is none of what differs.
#[test]
fn a_computed_value_of_a_child_that_stays() {
    let with = |children: &str| {
        format!(
            "[{{Pier.Crane, size: Application.get_env(:pier, :size) || :none}}, {children}, Pier.Gate]"
        )
    };
    let pier = Pier::new(&with("{Pier.Fax, 1}"), &with("Pier.Lamp"), "");
    let shown = pier.preview().exits(0);
    assert!(!shown.stderr.contains("W424"), "{shown}");
    pier.run().exits(0);
    assert_eq!(pier.has(), HAS);

    // A child that is in one of the ways is not certain.
    let two =
        "if(arg == :all, do: [Pier.Lamp], else: []) ++ [Pier.Crane, {Pier.Fax, 1}, Pier.Gate]";
    let pier = Pier::new(ONE, two, "");
    pier.preview()
        .exits(0)
        .says(&["W424", "new: 'Elixir.Pier.Lamp'"]);
    pier.run().exits(0);
    assert_eq!(pier.has(), HAD);
}

/// In an appup they are calls around the module that lists them; what the code does not show is said.
#[test]
fn listed_children_in_an_appup() {
    let folder = TempDir::new().expect("a folder");
    let desk = Desk::rehearsing();
    let appup = |one: &str, two: &str, more: &str| {
        let ebins = [(1, one), (2, two)].map(|(version, children)| {
            let ebin = folder.path().join(version.to_string());
            let _ = std::fs::remove_dir_all(&ebin);
            elixir(&ebin, &application(version, children, more));
            write_app(&ebin, version);
            ebin.display().to_string()
        });
        desk.updo(&["appup", "--old", &ebins[0], "--new", &ebins[1]])
            .run()
            .exits(0)
    };
    let written = appup(ONE, TWO, NAMED);
    assert!(!written.stderr.contains("W424"), "{written}");
    let flat: String = written.stdout.split_whitespace().collect();
    let call = |module: &str, function: &str, argument: &str| {
        format!("{{apply,{{{module},{function},['Elixir.Pier.Supervisor',{argument}]}}}}")
    };
    let stop = |id: &str| {
        [
            call("supervisor", "terminate_child", id),
            call("supervisor", "delete_child", id),
        ]
    };
    let start = |entry: &str| call("'Elixir.Supervisor'", "start_child", entry);
    let ([stop_fax, forget_fax], [stop_lamp, forget_lamp]) =
        (stop("'Elixir.Pier.Fax'"), stop("'Elixir.Pier.Lamp'"));
    let load = "{load_module,'Elixir.Pier.Application'".to_owned();
    let order = [
        "{add_module,'Elixir.Pier.Lamp'".to_owned(),
        stop_fax,
        forget_fax,
        load.clone(),
        start("{'Elixir.Pier.Lamp',[{size,10}]}"),
        "{update,'Elixir.Pier.Gate'".to_owned(),
        "{delete_module,'Elixir.Pier.Fax'".to_owned(),
        // And back.
        "{add_module,'Elixir.Pier.Fax'".to_owned(),
        "{update,'Elixir.Pier.Gate'".to_owned(),
        stop_lamp,
        forget_lamp,
        load,
        start("{'Elixir.Pier.Fax',1}"),
        "{delete_module,'Elixir.Pier.Lamp'".to_owned(),
    ];
    let mut rest = flat.as_str();
    for part in &order {
        let at = rest.find(part.as_str());
        let at = at.unwrap_or_else(|| panic!("{part}: {written}"));
        rest = &rest[at + part.len()..];
    }

    let unnamed = appup(ONE, TWO, "");
    assert!(!unnamed.stdout.contains("apply"), "{unnamed}");
    unnamed.says(&[
        "W422",
        "children that `Pier.Application` lists are neither started nor stopped",
        "no longer there: 'Elixir.Pier.Fax'",
    ]);
    let computed = appup(
        ONE,
        "[Pier.Crane, {Pier.Lamp, Process.get(:size)}, Pier.Gate]",
        NAMED,
    );
    computed.says(&[
        "W422",
        "children that `Pier.Application` starts are new, and not started",
    ]);
}
