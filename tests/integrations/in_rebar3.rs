//! `rebar3 updo …`, the plugin fetched from a repository as a project fetches it.

use std::process::Command;

use crate::project::{Project, copied};
use crate::support::{COOKIE, Options, TestNode, other_root};

const SUPERVISOR: &str = "-module(bell_sup).
-behaviour(supervisor).
-export([start_link/0, init/1]).
start_link() -> supervisor:start_link({local, ?MODULE}, ?MODULE, []).
init([]) -> {ok, {#{}, [#{id => ring, start => {bell_ring, start_link, []}}]}}.
";
const APPLICATION: &str = "-module(bell_app).
-behaviour(application).
-export([start/2, stop/1]).
start(_, _) -> bell_sup:start_link().
stop(_) -> ok.
";
const APP: &str = "{application, bell, [{description, \"a bell\"}, {vsn, \"1\"}, {registered, []},
  {applications, [kernel, stdlib]}, {mod, {bell_app, []}}]}.
";

/// A server that answers with a word and counts.
fn ring(word: &str) -> String {
    format!(
        "-module(bell_ring).
-behaviour(gen_server).
-export([start_link/0, ring/0]).
-export([init/1, handle_call/3, handle_cast/2]).
start_link() -> gen_server:start_link({{local, ?MODULE}}, ?MODULE, [], []).
ring() -> gen_server:call(?MODULE, ring).
init([]) -> {{ok, 0}}.
handle_call(ring, _, N) -> {{reply, {{{word}, N + 1}}, N + 1}}.
handle_cast(_, N) -> {{noreply, N}}.
"
    )
}

/// A repository with the plugin in its folder, as users name it by `git_subdir`.
fn plugin(project: &Project) -> String {
    let repository = project.root().with_file_name("repository");
    copied(
        "integrations/rebar3_updo",
        &repository.join("integrations/rebar3_updo"),
    );
    let _ = std::fs::remove_dir_all(repository.join("integrations/rebar3_updo/_build"));
    let author = ["-c", "user.name=anna", "-c", "user.email=anna@localhost"];
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["commit", "-qm", "The plugin"],
    ] {
        let mut git = Command::new("git");
        git.args(author).args(args).current_dir(&repository);
        assert!(git.status().expect("git starts").success(), "{args:?}");
    }
    format!(
        "{{plugins, [{{rebar3_updo, {{git_subdir, \"file://{}\", {{branch, \"main\"}}, \"integrations/rebar3_updo\"}}}}]}}.\n",
        repository.display()
    )
}

/// A project that is built; `None` where there is no rebar3.
fn built() -> Option<(Project, String)> {
    if let Some(root) = other_root() {
        println!("no rebar3 in {}: its plugin is not tested", root.display());
        return None;
    }
    let project = Project::new();
    let config = format!("{{erl_opts, [debug_info]}}.\n{}", plugin(&project));
    project.write("rebar.config", &config);
    project.write("src/bell.app.src", APP);
    project.write("src/bell_app.erl", APPLICATION);
    project.write("src/bell_sup.erl", SUPERVISOR);
    project.write("src/bell_ring.erl", &ring("rings"));
    project.run("rebar3", &["compile"]).exits(0);
    Some((project, config))
}

fn node_of(project: &Project, ebin: &str) -> TestNode {
    let node = Options::default().path(project.root().join(ebin)).start();
    assert_eq!(node.eval_text("application:start(bell)"), "ok");
    assert_eq!(node.eval_text("bell_ring:ring()"), "{rings,1}");
    node
}

#[test]
fn rebar3_upgrades_the_node_of_its_shell_that_runs_this_build() {
    let Some((mut project, config)) = built() else {
        return;
    };
    let node = node_of(&project, "_build/default/lib/bell/ebin");
    project.near(&node);
    // The only place that knows the node and the cookie is what `rebar3 shell` is configured with.
    let dist = format!(
        "{{dist_node, [{{sname, '{}'}}, {{setcookie, '{COOKIE}'}}]}}.\n",
        node.name()
    );
    project.write("rebar.config", &(config + &dist));

    project.write("src/bell_ring.erl", &ring("sings"));
    let shown = project.run("rebar3", &["updo", "preview", "--exit-code"]);
    shown.exits(3).says(&[
        "code: on the node's disk",
        "update  bell_ring",
        "undo     exact",
    ]);
    let calls = project.calls();
    assert!(
        calls[0].starts_with("status ") && calls[0].ends_with(" --save --quiet"),
        "copies are kept before anything is compiled: {calls:?}"
    );
    assert_eq!(node.eval_text("bell_ring:ring()"), "{rings,2}");

    // No answer, no upgrade; another answer, no upgrade.
    project
        .run("rebar3", &["updo", "run"])
        .exits(1)
        .says(&["nothing was changed"]);
    project
        .answered("rebar3", &["updo", "run"], "y")
        .exits(1)
        .says(&["nothing was changed"]);
    assert_eq!(node.eval_text("bell_ring:ring()"), "{rings,3}");
    project.calls();
    project
        .answered("rebar3", &["updo", "run"], "yes")
        .exits(0)
        .says(&["update  bell_ring", "1 module"]);
    assert_eq!(node.eval_text("bell_ring:ring()"), "{sings,4}");
    let calls = project.calls();
    let run = calls.iter().find(|call| call.starts_with("run "));
    assert!(
        run.is_some_and(|run| run.ends_with("upgrade.script --yes --quiet")),
        "what was shown is what runs: {calls:?}"
    );
    project
        .unasked("rebar3", &["updo", "run"])
        .exits(0)
        .says(&["nothing to do"]);

    // Without a question, and what is behind `--` goes to updo.
    project.write("src/bell_ring.erl", &ring("hums"));
    project
        .run("rebar3", &["updo", "run", "--yes", "--", "--soak", "10ms"])
        .exits(0)
        .says(&["soak ok"]);
    assert_eq!(node.eval_text("bell_ring:ring()"), "{hums,5}");
}

#[test]
fn rebar3_gives_each_command_of_updo_the_flags_that_it_has() {
    let Some((mut project, config)) = built() else {
        return;
    };
    let node = node_of(&project, "_build/default/lib/bell/ebin");
    project.near(&node);
    // Nothing but this flag knows the cookie.
    let file = project.root().with_file_name("cookie");
    crate::support::write_cookie(&file, COOKIE);
    let cookie = format!("--cookie-file={}", file.display());

    project.write("src/bell_ring.erl", &ring("sings"));
    let name = node.name();
    let mut args = vec!["updo", "run", "-t", name, "--message", "by anna", &cookie];
    args.extend(["--no-verify", "--name", "anna@localhost"]);
    args.extend(["--", "--no-rehearsal", "--soak", "10ms"]);
    let ended = project.answered("rebar3", &args, "yes").exits(0);
    assert!(!ended.text.contains("No copies"), "{}", ended.text);
    assert_eq!(node.eval_text("bell_ring:ring()"), "{sings,2}");
    let calls = project.calls();
    let script = project.root().join("_build/default/updo/upgrade.script");
    let script = script.display();
    let connection = format!("{cookie} --name=anna@localhost");
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert_eq!(
        calls[0],
        format!("status {name} --target={name} {connection} --save --quiet")
    );
    assert!(
        calls[1].starts_with(&format!("eval {name} ")) && calls[1].ends_with(&connection),
        "{calls:?}"
    );
    assert_eq!(
        calls[2],
        format!("preview {name} --target={name} {connection} -o {script} --exit-code")
    );
    let only = "--no-verify --name=anna@localhost --no-rehearsal --soak 10ms";
    assert_eq!(
        calls[3],
        format!("run {script} --yes --quiet --message=by anna {cookie} {only}")
    );

    // A plan with a parameter, and with the node that the plugin has found.
    let plan = "param Limit :: integer.\ncode on_disk.\nverify \"limited\" -> Limit > 0.\n";
    project.write("plan.updo", plan);
    let known = format!("{{updo, [{{node, '{name}'}}]}}.\n");
    project.write("rebar.config", &(config + &known));
    project.write("src/bell_ring.erl", &ring("hums"));
    let args = ["updo", "run", &cookie, "-s", "Limit=9"];
    let ended = project.answered("rebar3", &args, "yes").exits(0);
    assert!(!ended.text.contains("No copies"), "{}", ended.text);
    assert_eq!(node.eval_text("bell_ring:ring()"), "{hums,3}");

    // What is no flag is refused before anything is asked; and that no copies are kept is said.
    let typed = ["updo", "run", &cookie, "-s", "Limit=9", "--", "--no-verfy"];
    project
        .unasked("rebar3", &typed)
        .exits(2)
        .says(&["--no-verfy"]);
    project
        .run("rebar3", &["updo", "preview", &cookie])
        .exits(1)
        .says(&["No copies of what runs were kept (exit code 1)", "Limit"]);
    project.calls();
}

#[test]
fn rebar3_pushes_to_a_release_whose_vm_args_name_the_node() {
    let Some((mut project, config)) = built() else {
        return;
    };
    project.write("config/vm.args.src", "-sname ${BELL}\n");
    let relx = "{relx, [{release, {bell, \"1\"}, [bell]}, {mode, prod}, {include_erts, false},
        {vm_args_src, \"config/vm.args.src\"}]}.\n";
    project.write("rebar.config", &(config + relx));
    project.run("rebar3", &["release"]).exits(0);
    let node = node_of(&project, "_build/default/rel/bell/lib/bell-1/ebin");
    project.near(&node);
    // As in a release: the name and the cookie come when it starts.
    let args = format!(
        "# -sname another\n-sname ${{BELL:-{}}} -setcookie {COOKIE}\n",
        node.short().to_owned() + "@localhost"
    );
    project.write("config/vm.args.src", &args);
    project.write("src/bell_ring.erl", &ring("sings"));
    project
        .run("rebar3", &["updo", "rehearse"])
        .exits(0)
        .says(&["1 state inspected"]);
    project
        .run("rebar3", &["updo", "run", "-y"])
        .exits(0)
        .says(&["code: pushed from here", "1 of 3 modules changed"]);
    assert_eq!(node.eval_text("bell_ring:ring()"), "{sings,2}");
    let calls = project.calls();
    let pushes = calls.iter().filter(|call| call.contains("--push")).count();
    assert_eq!(pushes, 2, "{calls:?}");
}

#[test]
fn rebar3_takes_the_plan_of_the_project_and_ends_with_the_exit_code_of_updo() {
    let Some((mut project, config)) = built() else {
        return;
    };
    project
        .run("rebar3", &["updo", "check"])
        .exits(0)
        .says(&["No plan here"]);
    project
        .run("rebar3", &["updo"])
        .exits(1)
        .says(&["check|keep|preview|rehearse|run"]);
    project
        .run("rebar3", &["updo", "frob"])
        .exits(1)
        .says(&["`frob` is not one of"]);
    let node = node_of(&project, "_build/default/lib/bell/ebin");
    project.near(&node);
    project
        .run("rebar3", &["updo", "preview"])
        .exits(1)
        .says(&["no node is known", "UPDO_TARGET"]);
    // The cookie is in a file that UPDO_COOKIE_FILE names.
    let file = project.root().with_file_name("cookie");
    crate::support::write_cookie(&file, COOKIE);
    let with_cookie = |args: &[&str]| {
        let mut command = project.command("rebar3", args);
        command.env("UPDO_COOKIE_FILE", &file);
        Project::ended(command)
    };
    with_cookie(&["updo", "preview", "-t", "absent@localhost"])
        .exits(10)
        .says(&["E501"]);
    with_cookie(&["updo", "keep", "-t", node.name()])
        .exits(0)
        .says(&["kept 3 of 3 beams"]);
    // A plan with a target of its own needs none; one without gets the node that is configured.
    let plan = "plan \"The bell\".\ncode on_disk.\nverify \"it rings\" -> {_, N} = bell_ring:ring(), N > 0.\n";
    project.write("plan.updo", plan);
    with_cookie(&["updo", "check"])
        .exits(0)
        .says(&["plan.updo is fine"]);
    let known = format!("{{updo, [{{node, '{}'}}]}}.\n", node.name());
    project.write("rebar.config", &(config + &known));
    project.write("src/bell_ring.erl", &ring("sings"));
    with_cookie(&["updo", "run", "--yes"])
        .exits(0)
        .says(&["verify ok", "it rings"]);
    assert_eq!(node.eval_text("bell_ring:ring()"), "{sings,3}");
    project.write(
        "plan.updo",
        &format!(
            "target here #{{nodes => ['{}']}}.\n{plan}frobnicate.\n",
            node.name()
        ),
    );
    with_cookie(&["updo", "check"]).exits(1).says(&["E1"]);
    project.calls();
}
