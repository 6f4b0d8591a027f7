//! Children that only a supervisor's new version has, or that it has no longer, without a word in the plan: what a restart
//! would come to is shown, done, and undone with the rest. In Erlang and in Elixir.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use updo::facts::beam::children::{Specified, specified};
use updo::name::Module;

use crate::corners::compiled;
use crate::effects::{World, source};
use crate::support::Options;
use crate::support::apps::witness;
use crate::support::desk::Desk;

/// A server that is registered by the name that it is given and says what it was started with.
fn worker(name: &str) -> (String, String) {
    source(
        name,
        "-behaviour(gen_server).\n-export([start_link/2, init/1, handle_call/3, handle_cast/2]).\n\
         start_link(Name, Arg) -> gen_server:start_link({local, Name}, ?MODULE, Arg, []).\ninit(A) -> {ok, A}.\n\
         handle_call(_, _, A) -> {reply, {?MODULE, A}, A}.\nhandle_cast(_, A) -> {noreply, A}.",
    )
}

/// A supervisor of these.
fn yard(intensity: u32, children: &str) -> (String, String) {
    source(
        "yard",
        &format!(
            "-behaviour(supervisor).\n-export([start/0, init/1, child/2, child/3]).\n\
             start() -> {{ok, P}} = supervisor:start_link({{local, yard}}, ?MODULE, []), unlink(P), P.\n\
             child(Name, Arg) -> child(Name, hand, Arg).\n\
             child(Name, Mod, Arg) -> #{{id => Name, start => {{Mod, start_link, [Name, Arg]}}}}.\n\
             init(_) -> {{ok, {{#{{intensity => {intensity}}}, {children}}}}}."
        ),
    )
}

/// Who runs, in the order of the specifications: what each is and was started with.
fn yard_has(world: &World) -> String {
    world.node.eval_text(
        "[{Id, if is_pid(P) -> gen_server:call(P, what); true -> P end} || {Id, P, _, _} <- lists:reverse(supervisor:which_children(yard))]",
    )
}

const ONE: &str = "[child(gate, 1), child(crane, 1), child(fax, 1), child(buoy, 1)]";
const TWO: &str = "[child(lamp, lamp, 2), child(gate, 2), child(crane, winch, 2), child(buoy, 1)]";
const YARD_ONE: &str = "[{gate,{hand,1}},{crane,{hand,1}},{fax,{hand,1}},{buoy,{hand,1}}]";
const YARD_TWO: &str = "[{lamp,{lamp,2}},{gate,{hand,1}},{crane,{winch,2}},{buoy,{hand,1}}]";

fn harbour(statements: &str) -> World {
    World::new(
        &[yard(1, ONE), worker("hand")],
        &[yard(2, TWO), worker("lamp"), worker("winch")],
        "yard:start()",
        statements,
    )
}

#[test]
fn what_a_restart_would_come_to() {
    let world = harbour("");
    let pids = || {
        world
            .node
            .eval_text("{whereis(gate), whereis(buoy), [P || {crane, P, _, _} <- supervisor:which_children(yard)]}")
    };
    let before = pids();
    let shown = world.preview().exits(0);
    shown.prints(&[
        "stop child fax before those that call it are resumed  its new init/1 no longer has it",
        "restart child crane before those that call it are resumed  a server of winch, no longer of hand",
        "start child lamp before those that call it are resumed  only its new init/1 has it",
    ]);
    let shown = world.preview();
    assert!(!shown.stdout.contains("computes them"), "{shown}");
    shown.says(&[
        "W420",
        "children of `yard` are stopped",
        "no longer has fax",
        "crane was a server of hand, and is one of winch now",
        "module yard #{children => #{stop => none}} because",
        "W421",
        "children of `yard` keep running with their old arguments: gate",
        "module yard #{children => #{start => [gate], stop => [gate]}} because",
    ]);
    assert_eq!(yard_has(&world), YARD_ONE, "a preview changes nothing");

    let ran = world.run().exits(0);
    assert!(!ran.stderr.contains("W423"), "{ran}");
    assert_eq!(yard_has(&world), YARD_TWO);
    let between = pids();
    let same = |pids: &str| {
        pids.split(',')
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        same(&between),
        same(&before),
        "who stays is the same process"
    );
    assert_eq!(world.node.eval_text("witness:troubled()"), "[]");

    world.rollback().exits(0).says(&["it is as before"]);
    assert_eq!(yard_has(&world), YARD_ONE);
    assert_eq!(same(&pids()), same(&before));
    assert_eq!(world.node.eval_text("witness:left_to(3000)"), "[]");
}

#[test]
fn undone_with_the_rest() {
    let world = harbour("verify \"no\" -> 1 = 2.");
    let buoy = world.node.eval_text("whereis(buoy)");
    world.run().exits(20).says(&["E606", "is as before"]);
    assert_eq!(yard_has(&world), YARD_ONE);
    assert_eq!(world.node.eval_text("whereis(buoy)"), buoy);

    // One that does not start takes the upgrade back, as if the plan had named it.
    let world = harbour("");
    world
        .node
        .eval("register(lamp, spawn(timer, sleep, [infinity]))");
    let ran = world.run().exits(20);
    ran.says(&["E610", "lamp of yard", "already_started", "is as before"]);
    assert_eq!(yard_has(&world), YARD_ONE);
}

#[test]
fn the_plan_overrules() {
    let none = "module yard #{children => #{start => none, stop => none}} because \"by hand\".";
    let world = harbour(none);
    let shown = world.preview().exits(0);
    for word in ["W343", "W420", "W423"] {
        assert!(!shown.stderr.contains(word), "{shown}");
    }
    assert!(!shown.stdout.contains("child lamp"), "{shown}");
    let ran = world.run().exits(0);
    assert!(!ran.stderr.contains("W423"), "{ran}");
    let as_otp =
        "[{lamp,undefined},{gate,{hand,1}},{crane,{hand,1}},{buoy,{hand,1}},{fax,{hand,1}}]";
    assert_eq!(sorted(&yard_has(&world)), sorted(as_otp));
    world.rollback().exits(0);
    assert_eq!(yard_has(&world), YARD_ONE);

    // Names count, and those that they leave out are said; the other list is inferred.
    let world = World::new(
        &[yard(1, ONE), worker("hand")],
        &[yard(2, "[child(gate, 1), child(one, 1), child(two, 1)]")],
        "yard:start()",
        "module yard #{children => #{start => [two]}} because \"one is for later\".",
    );
    let shown = world.preview().exits(0);
    shown.says(&[
        "W343",
        "new, would not be started: one",
        "W420",
        "no longer has crane, fax, buoy",
    ]);
    world.run().exits(0);
    let now = "[{gate,{hand,1}},{one,undefined},{two,{hand,1}}]";
    assert_eq!(yard_has(&world), now);
    world.rollback().exits(0);
    assert_eq!(yard_has(&world), YARD_ONE);
}

/// An Erlang list of tuples, its elements in order.
fn sorted(list: &str) -> Vec<String> {
    let mut parts: Vec<String> = list
        .split("},{")
        .map(|part| part.replace(['[', ']'], ""))
        .collect();
    let ends = |part: &mut String| *part = part.trim_matches(['{', '}']).to_owned();
    parts.iter_mut().for_each(ends);
    parts.sort();
    parts
}

/// What `init/1` computes only the node knows: it is started all the same. What is dropped was not shown, and runs on.
#[test]
fn what_the_node_computes() {
    let children = |from: &str| {
        format!("[child(N, 1) || N <- element(2, application:get_env(stdlib, {from}))]")
    };
    let start = "application:set_env(stdlib, before, [gate, fax]), application:set_env(stdlib, after_it, [gate, lamp, buoy]), yard:start()";
    let world = World::new(
        &[yard(1, &children("before")), worker("hand")],
        &[yard(2, &children("after_it"))],
        start,
        "",
    );
    let shown = world.preview().exits(0);
    shown.prints(&["start what else is new among its children"]);
    let ran = world.run().exits(0);
    ran.says(&["W423", "fax of yard", "terminate_child"]);
    let now = "[{gate,{hand,1}},{lamp,{hand,1}},{buoy,{hand,1}},{fax,{hand,1}}]";
    assert_eq!(sorted(&yard_has(&world)), sorted(now));
    world.rollback().exits(0);
    assert_eq!(yard_has(&world), "[{gate,{hand,1}},{fax,{hand,1}}]");
}

/// Many of them are counted: a preview stays one that can be read.
#[test]
fn many_are_counted() {
    let children: Vec<String> = (1..=40).map(|n| format!("child(pile_{n}, {n})")).collect();
    let world = World::new(
        &[yard(1, "[]"), worker("hand")],
        &[yard(2, &format!("[{}]", children.join(", ")))],
        "yard:start()",
        "",
    );
    let shown = world.preview().exits(0);
    assert!(!shown.stdout.contains("pile_13"), "{shown}");
    shown.prints(&[
        "start child pile_12 before",
        "start 28 more children, 40 in all",
    ]);
    world.run().exits(0);
    let number = "proplists:get_value(active, supervisor:count_children(yard))";
    assert_eq!(world.node.eval_text(number), "40");
}

/// A supervisor that has the same children is only renewed, and one without processes has none to stop.
#[test]
fn nothing_to_do_is_nothing() {
    let hand = "[child(gate, 1), child(by_hand, 1)]";
    let world = World::new(
        &[yard(1, hand), worker("hand")],
        &[yard(2, hand)],
        "yard:start(), supervisor:start_child(yard, yard:child(extra, 1))",
        "",
    );
    let ran = world.run().exits(0);
    assert!(
        !ran.stderr.contains("children") && !ran.stderr.contains("W42"),
        "{ran}"
    );
    let now = "[{gate,{hand,1}},{by_hand,{hand,1}},{extra,{hand,1}}]";
    assert_eq!(sorted(&yard_has(&world)), sorted(now));
    world.rollback().exits(0);
    assert_eq!(sorted(&yard_has(&world)), sorted(now));
}

/// Started by hand in the meantime, or before: what the supervisor had stays.
#[test]
fn children_started_by_hand_stay() {
    let world = World::new(
        &[yard(1, "[child(gate, 1)]"), worker("hand")],
        &[yard(2, "[child(gate, 1), child(lamp, 1)]")],
        "yard:start(), {ok, _} = supervisor:start_child(yard, yard:child(lamp, 7)), {ok, _} = supervisor:start_child(yard, yard:child(extra, 1))",
        "",
    );
    let all = "[{gate,{hand,1}},{lamp,{hand,7}},{extra,{hand,1}}]";
    let lamp = world.node.eval_text("whereis(lamp)");
    world.run().exits(0);
    assert_eq!(sorted(&yard_has(&world)), sorted(all));
    world.rollback().exits(0);
    assert_eq!(sorted(&yard_has(&world)), sorted(all));
    assert_eq!(world.node.eval_text("whereis(lamp)"), lamp);
}

/// As the application boots: what `init/1` makes is there for the conversions of the children, of inner supervisors too.
#[test]
fn supervisors_are_converted_before_their_children() {
    let keeper = |version: u32, code_change: &str| {
        source(
            "keeper",
            &format!(
                "-behaviour(gen_server).\n-vsn(\"{version}\").\n-export([start_link/0, init/1, handle_call/3, handle_cast/2, code_change/3]).\n\
                 start_link() -> gen_server:start_link({{local, keeper}}, ?MODULE, [], []).\ninit(_) -> {{ok, {version}}}.\n\
                 handle_call(_, _, S) -> {{reply, S, S}}.\nhandle_cast(_, S) -> {{noreply, S}}.\n\
                 code_change(_, S, _) -> {code_change}."
            ),
        )
    };
    let inner = |version: u32, init: &str| {
        source(
            "inner",
            &format!(
                "-behaviour(supervisor).\n-vsn(\"{version}\").\n-export([start_link/0, init/1]).\n\
                 start_link() -> supervisor:start_link({{local, inner}}, ?MODULE, []).\n\
                 init(_) -> {init}, {{ok, {{#{{}}, [#{{id => keeper, start => {{keeper, start_link, []}}}}]}}}}."
            ),
        )
    };
    let outer = "[#{id => inner, start => {inner, start_link, []}, type => supervisor}]";
    let world = World::new(
        &[yard(1, outer), inner(1, "ok"), keeper(1, "{ok, S}")],
        &[
            source(
                "yard",
                "-behaviour(supervisor).\n-export([start/0, init/1]).\nstart() -> no.\n\
                 init(_) -> ets:new(outer, [named_table, public]), {ok, {#{}, [#{id => inner, start => {inner, start_link, []}, type => supervisor}]}}.",
            ),
            inner(
                2,
                "ets:insert(outer, {inner, ets:new(inner, [named_table, public])})",
            ),
            keeper(2, "ets:insert(inner, {keeper, S}), {ok, S + 1}"),
        ],
        "yard:start()",
        "",
    );
    let low = world.desk_preview(&["--low"]).exits(0);
    let at = |text: &str| {
        low.stdout
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {low}"))
    };
    let converted = &low.stdout[at("{code_change,")..];
    let place = |module: &str| {
        converted
            .find(&format!("{{{module},"))
            .unwrap_or_else(|| panic!("{module}: {low}"))
    };
    assert!(
        place("yard") < place("inner") && place("inner") < place("keeper"),
        "{low}"
    );
    world.run().exits(0);
    let has = "{ets:lookup(inner, keeper), gen_server:call(keeper, state), [K || {K, _} <- ets:tab2list(outer)]}";
    assert_eq!(world.node.eval_text(has), "{[{keeper,1}],2,[inner]}");
}

/// Several applications that are removed: one that another needs is stopped last, or that is said.
#[test]
fn applications_removed_against_their_dependencies() {
    let app = |name: &str, needs: &str| {
        format!(
            "ok = application:load({{application, {name}, [{{vsn, \"1\"}}, {{modules, []}}, {{applications, [kernel, stdlib{needs}]}}]}})"
        )
    };
    let start = format!(
        "{}, {}, {{ok, _}} = application:ensure_all_started(roof), yard:start()",
        app("wall", ""),
        app("roof", ", wall")
    );
    let remove = |names: [&str; 2]| {
        names
            .map(|name| format!("insert {{remove_application, {name}}} at end because \"sold\"."))
            .join("\n")
    };
    let world = |order| {
        let (one, two) = (yard(1, "[]"), yard(2, "[]"));
        World::new(&[one], &[two], &start, &remove(order))
    };
    world(["wall", "roof"]).preview().exits(0).says(&[
        "W416",
        "`wall` is stopped while `roof`, which needs it, still runs",
        "stopped first",
        "remove `roof` first",
    ]);
    let right = world(["roof", "wall"]);
    let shown = right.preview().exits(0);
    assert!(!shown.stderr.contains("W416"), "{shown}");
    right.run().exits(0);
    let left = "[A || {A, _, _} <- application:which_applications(), A =:= wall orelse A =:= roof]";
    assert_eq!(right.node.eval_text(left), "[]");
}

pub fn elixir(folder: &Path, source: &str) -> PathBuf {
    std::fs::create_dir_all(folder).expect("a folder");
    let file = folder.join("dock.ex");
    std::fs::write(&file, source).expect("a source");
    let mut command = Command::new("elixirc");
    let output = command
        .arg("-o")
        .arg(folder)
        .arg(&file)
        .output()
        .expect("elixirc starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.to_owned()
}

fn dock(children: &str, more: &str) -> String {
    let server = |name: &str| {
        format!(
            "defmodule Dock.{name} do\n  use GenServer\n  def start_link(arg), do: GenServer.start_link(__MODULE__, arg)\n\
             \x20 def init(arg), do: {{:ok, arg}}\nend\n"
        )
    };
    let modules: String = ["Crane", "Fax", "Lamp"].map(server).concat();
    format!(
        "{modules}defmodule Dock.Sup do\n  use Supervisor\n\
         \x20 def start_link(arg), do: Supervisor.start_link(__MODULE__, arg, name: __MODULE__)\n\
         \x20 def init(arg) do\n    _ = arg\n    children = {children}\n    Supervisor.init(children, strategy: :one_for_one{more})\n  end\nend\n"
    )
}

/// Elixir's `Mod`, `{Mod, arg}`, `Supervisor.child_spec/2`, and processes named by their options.
#[test]
fn specifications_in_elixir() {
    let folder = TempDir::new().expect("a folder");
    let one = "[Dock.Crane, {Dock.Fax, arg}, Supervisor.child_spec({Dock.Crane, 2}, id: :second), {Registry, keys: :unique, name: Dock.Reg}]";
    let two = "[{Task.Supervisor, name: Dock.Tasks}, Dock.Crane, {Dock.Lamp, [x: arg]}, Supervisor.child_spec({Dock.Lamp, 2}, id: :second), {Agent, fn -> 7 end}]";
    let (one, two) = (
        elixir(&folder.path().join("one"), &dock(one, "")),
        elixir(&folder.path().join("two"), &dock(two, ", max_restarts: 9")),
    );
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    let node = options.path(&one).path(witness()).start();
    node.eval("{ok, P} = 'Elixir.Dock.Sup':start_link(1), unlink(P)");
    let (desk, text) = (
        Desk::new(),
        format!("code push [{two:?}].\nold from {one:?}.\n"),
    );
    let path = desk.write("dock.updo", &text).display().to_string();
    let has = || {
        node.eval_text("[Id || {Id, P, _, _} <- lists:reverse(supervisor:which_children('Elixir.Dock.Sup')), is_pid(P)]")
    };
    let before = has();
    let crane = || {
        node.eval_text(
            "[P || {'Elixir.Dock.Crane', P, _, _} <- supervisor:which_children('Elixir.Dock.Sup')]",
        )
    };
    let stays = crane();
    assert_eq!(
        before,
        "['Elixir.Dock.Crane','Elixir.Dock.Fax',second,'Elixir.Dock.Reg']"
    );
    desk.on(&node, &["preview", &path]).run().exits(0).prints(&[
        "stop child 'Elixir.Dock.Fax'",
        "stop child 'Elixir.Dock.Reg'",
        "restart child second",
        "start child 'Elixir.Dock.Tasks'",
        "start child 'Elixir.Dock.Lamp'",
        "start child 'Elixir.Agent'",
    ]);
    desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    assert_eq!(
        has(),
        "['Elixir.Dock.Tasks','Elixir.Dock.Crane','Elixir.Dock.Lamp',second,'Elixir.Agent']"
    );
    assert_eq!(crane(), stays);
    desk.on(&node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(has(), before);
    assert_eq!(crane(), stays);
    assert_eq!(node.eval_text("witness:left_to(3000)"), "[]");
}

/// What is found in the code of `init/1`: constants, helpers, comprehensions, maps that are updated, several ways.
#[test]
fn what_init_specifies() {
    let init = |body: &str, more: &str| -> Specified {
        let folder = TempDir::new().expect("a folder");
        let text = format!(
            "-export([init/1]).\ninit(Args) -> {body}.\n{more}\nw(Id, A) -> #{{id => Id, start => {{m, start_link, [A]}}}}.\nspare() -> w(1, 1)."
        );
        let (name, text) = source("s", &format!("-compile([nowarn_unused_function]).\n{text}"));
        let ebin = compiled(folder.path(), &[(name, text)]);
        let beam = std::fs::read(ebin.join("s.beam")).expect("a beam");
        specified(&Module::new("s"), &|module| {
            (module.as_str() == "s").then_some(&beam[..])
        })
    };
    let ids = |found: &Specified| {
        let ids: Vec<String> = found
            .children
            .iter()
            .map(|child| child.id.to_string())
            .collect();
        ids.join(" ")
    };
    for (body, more, exact, expected) in [
        (
            "{ok, {#{}, [w(a, Args), w({b, 1}, x), w(\"c\", y)]}}",
            "",
            true,
            "a {b,1} \"c\"",
        ),
        (
            "{ok, {{one_for_one, 1, 5}, [{a, {m, f, []}, permanent, 5000, worker, [m]}]}}",
            "",
            true,
            "a",
        ),
        (
            "{ok, {#{}, [w({room, N}, Args) || N <- [1, 2, 3]]}}",
            "",
            true,
            "{room,1} {room,2} {room,3}",
        ),
        (
            "{ok, {#{}, all([a, b], Args) ++ [(w(z, 1))#{restart => transient}]}}",
            "all(L, A) -> lists:map(fun(I) -> w(I, A) end, L).",
            true,
            "a b z",
        ),
        (
            "S = w(a, 1), X = #{strategy => rest_for_one}, {ok, {X, lists:append([[S], [S#{id := b}], []])}}",
            "",
            true,
            "a b",
        ),
        (
            "try {ok, {#{}, [w(a, hd(Args))]}} catch _:_ -> ignore end",
            "",
            false,
            "a",
        ),
        (
            "case application:get_env(x) of {ok, true} -> {ok, {#{}, [w(a, 1), w(b, 1)]}}; _ -> {ok, {#{}, [w(b, 1)]}} end",
            "",
            false,
            "a b",
        ),
        (
            "{ok, {#{}, [w(a, 1) | more(Args)]}}",
            "more(A) -> application:get_env(x, A, []).",
            false,
            "a",
        ),
        (
            "{ok, {#{strategy => simple_one_for_one}, [w(a, 1)]}}",
            "",
            true,
            "",
        ),
        ("{ok, {#{}, [w(Args, 1)]}}", "", false, ""),
        ("loop(Args)", "loop(A) -> loop([A | A]).", false, ""),
        ("erlang:error(Args)", "", false, ""),
    ] {
        let found = init(body, more);
        let all = ids(&found);
        // Where not all is known, constants count too; `spare/0` is none of these on every OTP.
        assert!(
            all.starts_with(expected) && found.exact == exact,
            "{body}: {found:?}"
        );
        assert!(!exact || all == expected, "{body}: {found:?}");
    }
    assert!(init("ignore", "").ignores);
}
