//! `mix updo …`: the task, as a dependency of a project.

use std::path::Path;

use crate::project::Project;
use crate::support::{COOKIE, Options, TestNode};

const APPLICATION: &str = "defmodule Ferry.Application do
  use Application
  def start(_, _), do: Supervisor.start_link([Ferry], strategy: :one_for_one)
end
";
const ONE: &str = "defmodule Ferry do
  use GenServer
  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)
  def cross, do: GenServer.call(__MODULE__, :cross)
  @impl true
  def init([]), do: {:ok, 0}
  @impl true
  def handle_call(:cross, _, n), do: {:reply, n + 1, n + 1}
end
";
const TWO: &str = "defmodule Ferry do
  use GenServer
  defstruct crossed: 0
  def start_link(_), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)
  def cross, do: GenServer.call(__MODULE__, :cross)
  @impl true
  def init([]), do: {:ok, %Ferry{}}
  @impl true
  def handle_call(:cross, _, f), do: {:reply, {:crossed, f.crossed + 1}, %{f | crossed: f.crossed + 1}}
  @impl true
  def code_change({:down, _}, %Ferry{crossed: n}, _), do: {:ok, n}
  def code_change(_, n, _), do: {:ok, %Ferry{crossed: n}}
end
";

/// `more`: of the project's settings.
fn mix_exs(more: &str) -> String {
    let task = Path::new(env!("CARGO_MANIFEST_DIR")).join("integrations/mix_updo");
    format!(
        "defmodule Ferry.MixProject do
  use Mix.Project
  def project do
    [app: :ferry, version: \"0.1.0\", deps: [{{:mix_updo, path: {task:?}, runtime: false}}]{more}]
  end
  def application, do: [mod: {{Ferry.Application, []}}]
end
"
    )
}

fn project(more: &str) -> Project {
    let project = Project::new();
    project.write("mix.exs", &mix_exs(more));
    project.write("lib/ferry.ex", ONE);
    project.write("lib/ferry/application.ex", APPLICATION);
    project
}

/// One that answers with a word; its state is that of `ONE`.
fn answering(word: &str) -> String {
    ONE.replace("{:reply, n + 1,", &format!("{{:reply, {{:{word}, n + 1}},"))
}

fn crossed(node: &TestNode) -> String {
    node.eval_text("'Elixir.Ferry':cross()")
}

#[test]
fn mix_upgrades_the_node_that_runs_this_build() {
    let mut project = project("");
    project.run("mix", &["compile"]).exits(0);
    let node = Options {
        elixir: true,
        ..Options::default()
    };
    let node = node.path(project.root().join("_build/dev/lib/ferry/ebin"));
    let node = node.start();
    assert_eq!(node.eval_text("application:start(ferry)"), "ok");
    assert_eq!(crossed(&node), "1");
    project.near(&node);
    // A cookie as for every Erlang program: in the home.
    let home = project.root().with_file_name("home");
    crate::support::write_cookie(&home.join(".erlang.cookie"), COOKIE);
    project
        .run("mix", &["updo", "preview"])
        .exits(1)
        .says(&["no node is known", "UPDO_TARGET"]);
    project.write(
        "mix.exs",
        &mix_exs(&format!(", updo: [node: {:?}]", node.name())),
    );
    project
        .run("mix", &["updo", "keep"])
        .exits(0)
        .says(&["kept", "beams"]);
    project.calls();
    project.write("lib/ferry.ex", TWO);
    project
        .run("mix", &["updo", "preview", "--exit-code"])
        .exits(3)
        .says(&[
            "code: on the node's disk",
            "update  Elixir.Ferry",
            "undo     exact",
        ]);
    let calls = project.calls();
    assert!(calls[0].ends_with(" --save --quiet"), "{calls:?}");
    project
        .run("mix", &["updo", "run"])
        .exits(1)
        .says(&["nothing was changed"]);
    assert_eq!(crossed(&node), "2");
    project
        .answered("mix", &["updo", "run"], "yes")
        .exits(0)
        .says(&["1 state converted"]);
    assert_eq!(crossed(&node), "{crossed,3}");
    project
        .unasked("mix", &["updo", "run"])
        .exits(0)
        .says(&["nothing to do"]);
    project.calls();
    project.run("mix", &["updo"]).exits(1).says(&["check|keep"]);
    project
        .run("mix", &["updo", "preview", "--target=absent@localhost"])
        .exits(10)
        .says(&["E501"]);
}

#[test]
fn mix_gives_each_command_of_updo_the_flags_that_it_has() {
    let mut project = project("");
    project.run("mix", &["compile"]).exits(0);
    let node = Options {
        elixir: true,
        ..Options::default()
    };
    let node = node.path(project.root().join("_build/dev/lib/ferry/ebin"));
    let node = node.start();
    assert_eq!(node.eval_text("application:start(ferry)"), "ok");
    project.near(&node);
    // Nothing but this flag knows the cookie.
    let file = project.root().with_file_name("cookie");
    crate::support::write_cookie(&file, COOKIE);
    let file = file.display().to_string();

    project.write("lib/ferry.ex", &answering("one"));
    let connection = format!("--cookie-file {file} --name anna@localhost");
    let (target, message) = (format!("--target={}", node.name()), "--message");
    let mut args = vec!["updo", "run", &target, message, "by anna", "--no-verify"];
    args.extend(connection.split(' '));
    args.push("--no-rehearsal");
    let ended = project.answered("mix", &args, "yes").exits(0);
    assert!(!ended.text.contains("No copies"), "{}", ended.text);
    assert_eq!(crossed(&node), "{one,1}");
    let calls = project.calls();
    let name = node.name();
    let script = project.root().join("_build/dev/updo/upgrade.script");
    let script = script.display();
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert_eq!(
        calls[0],
        format!("status {name} {target} {connection} --save --quiet")
    );
    assert!(
        calls[1].starts_with(&format!("eval {name} ")) && calls[1].ends_with(&connection),
        "{calls:?}"
    );
    assert_eq!(
        calls[2],
        format!("preview {name} {target} {connection} -o {script} --exit-code")
    );
    let only = "--message by anna --no-verify";
    assert_eq!(
        calls[3],
        format!("run {script} --yes --quiet {only} {connection} --no-rehearsal")
    );

    // A plan with a parameter, and with the node that the task has found.
    let plan = "param Limit :: integer.\ncode on_disk.\nverify \"limited\" -> Limit > 0.\n";
    project.write("plan.updo", plan);
    let known = format!(", updo: [node: {name:?}]");
    project.write("mix.exs", &mix_exs(&known));
    project.write("lib/ferry.ex", &answering("two"));
    let cookie = format!("--cookie-file={file}");
    let args = ["updo", "run", &cookie, "-s", "Limit=9"];
    let ended = project.answered("mix", &args, "yes").exits(0);
    assert!(!ended.text.contains("No copies"), "{}", ended.text);
    assert_eq!(crossed(&node), "{two,2}");

    // What is no flag is refused before anything is asked; and that no copies are kept is said.
    project
        .unasked(
            "mix",
            &["updo", "run", &cookie, "-s", "Limit=9", "--no-verfy"],
        )
        .exits(2)
        .says(&["--no-verfy"]);
    project
        .run("mix", &["updo", "preview", &cookie])
        .exits(1)
        .says(&["No copies of what runs were kept (exit code 1)", "Limit"]);
    project.calls();
}

#[test]
fn mix_takes_the_cookie_of_a_release_for_its_nodes_only() {
    let mut project = project(", releases: [ferry: []]");
    project.run("mix", &["compile"]).exits(0);
    project.write("_build/dev/rel/ferry/releases/COOKIE", "another");
    let node = Options {
        elixir: true,
        ..Options::default()
    };
    let node = node.path(project.root().join("_build/dev/lib/ferry/ebin"));
    let node = node.start();
    assert_eq!(node.eval_text("application:load(ferry)"), "ok");
    project.near(&node);
    let home = project.root().with_file_name("home");
    crate::support::write_cookie(&home.join(".erlang.cookie"), COOKIE);
    // As `iex --sname x -S mix` starts it.
    project
        .run("mix", &["updo", "preview", node.name()])
        .exits(0)
        .says(&["nothing to do"]);
    project
        .run("mix", &["updo", "preview", "-t", node.name()])
        .exits(0)
        .says(&["nothing to do"]);
    // One that the release states.
    let named = format!("export RELEASE_NODE={}\n", node.name());
    project.write("rel/env.sh.eex", &named);
    project
        .run("mix", &["updo", "preview"])
        .exits(10)
        .says(&["E502", "RELEASE_COOKIE"]);
    project.calls();
}

#[test]
fn mix_pushes_to_its_release_with_the_cookie_of_that() {
    let mut project = project(", releases: [ferry: []]");
    let mix = |project: &Project, args: &[&str]| {
        let mut command = project.command("mix", args);
        command.env("MIX_ENV", "prod");
        Project::ended(command)
    };
    mix(&project, &["release", "--quiet"]).exits(0);
    // The cookie that mix has invented is the tests' from here on: a test node is started with that.
    let release = project.root().join("_build/prod/rel/ferry");
    let made = std::fs::read_to_string(release.join("releases/COOKIE")).expect("it makes one");
    assert!(made.len() > 20, "{made}");
    std::fs::write(release.join("releases/COOKIE"), COOKIE).expect("a file can be written");
    let node = Options {
        release: Some(release),
        prefix: Some("ferry".to_owned()),
        ..Options::default()
    };
    let node = node.start();
    assert_eq!(crossed(&node), "1");
    project.near(&node);
    let named = format!(
        "#!/bin/sh\nexport RELEASE_DISTRIBUTION=sname\nexport RELEASE_NODE={}\n",
        node.name()
    );
    project.write("rel/env.sh.eex", &named);
    project.write("lib/ferry.ex", TWO);
    mix(&project, &["updo", "run", "--yes"])
        .exits(0)
        .says(&["code: pushed from here", "1 state converted"]);
    assert_eq!(crossed(&node), "{crossed,2}");
    let calls = project.calls();
    assert!(
        calls
            .iter()
            .any(|call| call.contains("--push") && !call.contains("mix_updo")),
        "{calls:?}"
    );
    // The plan of the project, with the node that the release states.
    project.write(
        "plans/ferry.updo",
        "code push [\"../_build/prod/lib/ferry/ebin\"].\n",
    );
    mix(&project, &["updo", "check"])
        .exits(0)
        .says(&["ferry.updo is fine"]);
    mix(&project, &["updo", "preview"])
        .exits(0)
        .says(&["nothing to do"]);
    project.calls();
}
