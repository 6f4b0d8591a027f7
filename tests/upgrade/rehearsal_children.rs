//! Children of supervisors in a rehearsal: what the new `init/1` really specifies, beside what the supervisor has, and
//! what the upgrade does about it.

use tempfile::TempDir;

use crate::inferred_children::elixir;
use crate::rehearsal::{Stage, elixir_node};
use crate::rehearsal_checks::{says, updo};
use crate::support::desk::Desk;

fn worker(name: &str) -> (String, String) {
    let text = format!(
        "-module({name}).\n-behaviour(gen_server).\n-export([start_link/1, init/1, handle_call/3, handle_cast/2]).\n\
         start_link(N) -> gen_server:start_link({{local, N}}, ?MODULE, N, []).\ninit(N) -> {{ok, N}}.\n\
         handle_call(_, _, N) -> {{reply, {{?MODULE, N}}, N}}.\nhandle_cast(_, N) -> {{noreply, N}}.\n"
    );
    (name.to_owned(), text)
}

/// A supervisor; `w(Id)` specifies a worker of `hand`, `w(Id, Module)` of another module.
fn lift(vsn: u32, init: &str) -> (String, String) {
    let text = format!(
        "-module(lift).\n-behaviour(supervisor).\n-vsn(\"{vsn}\").\n-export([start/0, start/1, init/1, w/1, w/2]).\n\
         start() -> start({{local, lift}}).\n\
         start(Name) -> {{ok, P}} = supervisor:start_link(Name, ?MODULE, x), unlink(P), P.\n\
         w(Id) -> w(Id, hand).\nw(Id, M) -> #{{id => Id, start => {{M, start_link, [Id]}}}}.\n{init}\n"
    );
    ("lift".to_owned(), text)
}

fn staged(one: &str, two: &str, before: &str) -> Stage {
    Stage::new(
        &[lift(1, one), worker("hand"), worker("lamp")],
        &[lift(2, two), worker("hand"), worker("lamp")],
        &format!("{before}, lift:start()"),
    )
}

/// What runs, by name, and what each is.
fn children(stage: &Stage) -> String {
    stage.node.eval_text(
        "lists:sort([{Id, element(1, gen_server:call(P, what))} || {Id, P, _, _} <- supervisor:which_children(lift)])",
    )
}

const DOORS: &str =
    "application:set_env(kernel, doors, [x, y]), application:set_env(kernel, gates, [x, z])";

/// What code computes: new children are started, those that the code does not show are not stopped, and the plan can say so.
#[test]
fn children_that_code_computes() {
    let stage = staged(
        "init(_) -> {ok, {#{}, [w(a), w(fax)] ++ [w(N) || N <- application:get_env(kernel, doors, [])]}}.",
        "init(_) -> {ok, {#{}, [w(a), w(audit)] ++ [w(N) || N <- application:get_env(kernel, gates, [])]}}.",
        DOORS,
    );
    stage
        .node
        .eval("{ok, _} = supervisor:start_child(lift, lift:w(own))");
    let before = children(&stage);
    let paste = "module lift #{children => #{stop => [fax, y]}} because \"…\".";
    let ran = stage.rehearse(&[]).exits(0).prints(&[
        "lift                     1 of 1 state convert",
        "       new children: audit, z: started\n",
        "       child that its new init/1 no longer has: fax: terminated and deleted\n",
        "       child that its new init/1 no longer has: y: it keeps running\n",
        "       1 child that neither init/1 specifies goes on (start_child/2)\n",
    ]);
    ran.says(&[
        "W652",
        "the children of `lift` will not be those that its new `init/1` specifies",
        "child that its new init/1 no longer has: y: it keeps running",
        paste,
    ]);
    assert_eq!(children(&stage), before);
    let json = stage.rehearse(&["--json"]).exits(0).json();
    let found = &json["modules"][0]["children"];
    assert_eq!(found["new"][1]["id"], "z", "{json}");
    assert_eq!(found["gone"][1]["done"], false, "{json}");
    assert_eq!(
        (&found["added"], &found["paste"]),
        (&1.into(), &paste.into())
    );
    // The statement that it gives is what makes it true.
    says(&stage, paste);
    let ran = stage
        .rehearse(&[])
        .exits(0)
        .prints(&["children that its new init/1 no longer has: fax, y: terminated and deleted"]);
    assert!(!ran.to_string().contains("W652"), "{ran}");
    let plan = stage.plan.display().to_string();
    updo(&stage, &["run", &plan, "--yes"]).exits(0);
    assert_eq!(
        children(&stage),
        "[{a,hand},{audit,hand},{own,hand},{x,hand},{z,hand}]"
    );
    updo(&stage, &["rollback", "--yes"]).exits(0);
    assert_eq!(children(&stage), before);
}

/// Without the statement it is as the rehearsal says, and the report of the run has it.
#[test]
fn what_is_said_of_children_is_what_happens() {
    let stage = staged(
        "init(_) -> {ok, {#{}, [w(a) | [w(N) || N <- application:get_env(kernel, doors, [])]]}}.",
        "init(_) -> {ok, {#{}, [(w(a))#{shutdown => 100} | [w(N) || N <- application:get_env(kernel, gates, [])]]}}.",
        DOORS,
    );
    let plan = stage.plan.display().to_string();
    updo(&stage, &["run", &plan, "--yes"])
        .exits(0)
        .says(&["W652", "y: it keeps running", "W423"]);
    assert_eq!(children(&stage), "[{a,hand},{x,hand},{y,hand},{z,hand}]");
    let file = stage.desk.write("report.html", "").display().to_string();
    updo(&stage, &["report", "-o", &file]).exits(0);
    let page = std::fs::read_to_string(&file).expect("a report");
    for line in [
        "new child: z: started",
        "no longer has: y: it keeps running",
        "specified in another way: a (shutdown): holds from the next start",
    ] {
        assert!(page.contains(line), "{line}: {page}");
    }
}

/// A child whose module is computed: another server under its identifier is not restarted by itself.
#[test]
fn a_child_that_becomes_another_server() {
    let stage = staged(
        "init(_) -> {ok, {#{}, [w(door, application:get_env(kernel, maker, hand)), w(fax)]}}.",
        "init(_) -> {ok, {#{}, [w(door, application:get_env(kernel, maker, lamp)), w(a)]}}.",
        "ok",
    );
    let paste =
        "module lift #{children => #{start => [a, door], stop => [fax, door]}} because \"…\".";
    stage
        .rehearse(&[])
        .exits(0)
        .prints(&[
            "       child of another module: door (hand -> lamp): the old one keeps running\n",
        ])
        .says(&["W652", paste]);
    says(&stage, paste);
    stage
        .rehearse(&[])
        .exits(0)
        .prints(&["       child of another module: door (hand -> lamp): restarted\n"]);
    let plan = stage.plan.display().to_string();
    updo(&stage, &["run", &plan, "--yes"]).exits(0);
    assert_eq!(children(&stage), "[{a,hand},{door,lamp}]");
}

/// `none` says that it is meant; a supervisor whose running `init/1` acts is not asked what it had specified.
#[test]
fn what_is_meant_and_what_is_not_known() {
    let new = "init(_) -> {ok, {#{}, [w(a)]}}.";
    let stage = staged(
        "init(_) -> {ok, {#{}, [w(a), w(b)]}}.",
        "init(_) -> {ok, {#{}, [w(a), w(c)]}}.",
        "ok",
    );
    says(
        &stage,
        "module lift #{children => #{start => none, stop => none}} because \"t\".\nrollback never.",
    );
    let ran = stage.rehearse(&[]).exits(0).prints(&[
        "new child: c: not started",
        "no longer has: b: it keeps running",
    ]);
    assert!(!ran.to_string().contains("W652"), "{ran}");
    let stage = staged(
        "init(_) -> persistent_term:put(lift, 1), {ok, {#{}, [w(a)] ++ [w(N) || N <- application:get_env(kernel, doors, [])]}}.",
        new,
        DOORS,
    );
    stage
        .node
        .eval("{ok, _} = supervisor:start_child(lift, lift:w(own)), persistent_term:erase(lift)");
    let ran = stage
        .rehearse(&[])
        .exits(0)
        .prints(&["children that its new init/1 does not have: x, y, own: they keep running"]);
    assert!(!ran.to_string().contains("W652"), "{ran}");
    let acted = stage.node.eval_text("persistent_term:get(lift, none)");
    assert_eq!(acted, "none");
}

/// Children without identifiers, several supervisors of one module, and nothing that differs.
#[test]
fn several_supervisors_and_those_of_one_kind_of_child() {
    let simple = |more: &str| {
        format!(
            "init(_) -> {{ok, {{#{{strategy => simple_one_for_one{more}}}, [#{{id => w, start => {{hand, start_link, []}}}}]}}}}."
        )
    };
    let stage = staged(&simple(""), &simple(", intensity => 3"), "ok");
    stage
        .node
        .eval("[{ok, _} = supervisor:start_child(lift, [N]) || N <- [a, b]]");
    let ran = stage.rehearse(&[]).exits(0);
    assert!(!ran.stdout.contains("child"), "{ran}");
    // One of two supervisors has lost a child.
    let init = "init(_) -> {ok, {#{}, [#{id => a, start => {hand, start_link, [list_to_atom(pid_to_list(self()))]}}]}}.";
    let stage = staged(
        init,
        &init.replace("#{}, [", "#{intensity => 2}, ["),
        "lift:start({local, other})",
    );
    stage
        .node
        .eval("ok = supervisor:terminate_child(other, a), ok = supervisor:delete_child(other, a)");
    stage.rehearse(&[]).exits(0).prints(&[
        "lift                     2 of 2 states convert",
        "new child: a (in 1 of 2 supervisors): ",
    ]);
    // One child of each of them is two children.
    let stage = staged(
        init,
        &init.replace("id => a", "id => b"),
        "lift:start({local, other})",
    );
    stage.rehearse(&[]).exits(0).prints(&[
        "new children: b: ",
        "children that its new init/1 no longer has: a: ",
    ]);
}

/// A supervisor of Elixir that changes alone: `Supervisor.init/2` asks the modules that run.
#[test]
fn supervisors_of_elixir() {
    let folder = TempDir::new().expect("a folder");
    let source = |children: &str| {
        format!(
            "defmodule Hand do\n  use GenServer\n  def start_link(n), do: GenServer.start_link(__MODULE__, n)\n\
             \x20 def child_spec(n), do: %{{id: n, start: {{__MODULE__, :start_link, [n]}}}}\n  def init(n), do: {{:ok, n}}\nend\n\
             defmodule Top do\n  use Supervisor\n  def start, do: Supervisor.start_link(__MODULE__, [], name: Top)\n\
             \x20 def init(_), do: Supervisor.init([{children}], strategy: :one_for_one)\nend\n"
        )
    };
    let old = elixir(
        &folder.path().join("one"),
        &source("{Hand, :a}, {Hand, :b}"),
    );
    let new = elixir(
        &folder.path().join("two"),
        &source("{Hand, :a}, {Hand, :c}"),
    );
    let (node, desk) = (elixir_node(&old), Desk::rehearsing());
    node.eval("spawn(fun() -> {ok, _} = 'Elixir.Top':start(), receive stop -> ok end end), timer:sleep(100)");
    let text = format!("plan \"Top\".\ncode push [{new:?}].\nold from {old:?}.\n");
    let plan = desk.write("top.updo", &text).display().to_string();
    let ran = desk
        .on(&node, &["rehearse", &plan, "--json"])
        .run()
        .exits(0);
    let json = ran.json();
    let found = &json["modules"][0]["children"];
    assert_eq!(found["new"][0]["id"], "c", "{ran}");
    let gone = [&found["gone"], &found["unlisted"]];
    let gone = gone.iter().filter_map(|list| list[0]["id"].as_str());
    assert_eq!(gone.collect::<Vec<_>>(), ["b"], "{ran}");
}
