//! The gate of CI as GitHub and GitLab run it: the steps of the action and of the template, executed by a shell in a
//! repository with a tag and a commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::project::{Ended, Project};
use crate::support::{COOKIE, Epmd, write_cookie};

const METER: &str = "-module(meter).
-export([start/0, port/0, accept/1]).
start() ->
    {ok, Listen} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}, {packet, line}, {active, false}]),
    persistent_term:put(meter, Listen),
    spawn(?MODULE, accept, [Listen]),
    receive stop -> ok end.
port() -> {ok, Port} = inet:port(persistent_term:get(meter)), Port.
accept(Listen) ->
    {ok, Socket} = gen_tcp:accept(Listen),
    {ok, Pid} = gen_server:start(meter_line, Socket, []),
    ok = gen_tcp:controlling_process(Socket, Pid),
    ok = inet:setopts(Socket, [{active, true}]),
    ?MODULE:accept(Listen).
";

/// A server for each connection. `STATE` is what it keeps of the count, beside the socket.
const LINE: &str = "-module(meter_line).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, code_change/3]).
init(Socket) -> {ok, {Socket, 0 STATE}}.
handle_call(_, _, S) -> {reply, ok, S}.
handle_cast(_, S) -> {noreply, S}.
handle_info({tcp, Socket, _}, {Socket, N STATE}) ->
    ok = gen_tcp:send(Socket, [integer_to_list(N + 1), \" lines\\n\"]),
    {noreply, {Socket, N + 1 STATE}};
handle_info(_, S) -> {noreply, S}.
";

fn line(state: &str, conversion: &str) -> String {
    LINE.replace(" STATE", state) + conversion + "\n"
}

const CONVERTS: &str = "code_change({down, _}, {Socket, N, _}, _) -> {ok, {Socket, N}};
code_change(_, {Socket, N}, _) -> {ok, {Socket, N, new}}.";
const KEEPS: &str = "code_change(_, S, _) -> {ok, S}.";
const FAILS: &str = "code_change(_, {S, N, old}, _) -> {ok, {S, N, new}}.";

/// A client that holds a connection, and wants its lines to be counted.
const CLIENT: &str = r#"port=$(updo eval "$GATE_NODE" 'meter:port()')
exec 3<>"/dev/tcp/127.0.0.1/$port"
n=0
while read -r stage; do
    n=$((n + 1))
    echo hello >&3
    read -r -t 5 answer <&3 || answer="no answer"
    case $answer in "$n lines"*) echo ok ;; *) echo "$stage: $answer" ;; esac
done
"#;

fn integrations(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("integrations")
        .join(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(integrations(file)).expect("a file can be read")
}

/// A repository with a release, and a node name of its own.
struct Repository {
    project: Project,
    node: String,
    _epmd: Epmd,
}

impl Repository {
    fn new() -> Self {
        let epmd = Epmd::start();
        let mut project = Project::new();
        project.at(epmd.port);
        let home = project.root().with_file_name("home");
        write_cookie(&home.join(".erlang.cookie"), COOKIE);
        project.write("src/meter.erl", METER);
        project.write("src/meter_line.erl", &line("", KEEPS));
        project.write("ci/client.sh", CLIENT);
        project.write(".gitignore", "ebin\ngate.*\n.updo-gate.sh\n");
        let repository = Self {
            project,
            node: format!("gate{}@localhost", epmd.port),
            _epmd: epmd,
        };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit("The meter");
        repository.git(&["tag", "v1"]);
        repository
    }

    fn git(&self, args: &[&str]) {
        let mut all = vec!["-c", "user.name=anna", "-c", "user.email=anna@localhost"];
        all.extend(args);
        self.project.run("git", &all).exits(0);
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-qm", message]);
    }

    /// The values that a user of the action or of the template gives.
    fn given(&self) -> BTreeMap<&'static str, String> {
        let start = format!(
            "erl -sname {} -pa ebin -eval 'meter:start()' -detached",
            self.node
        );
        BTreeMap::from([
            ("node", self.node.clone()),
            (
                "build",
                "mkdir -p ebin && erlc +debug_info -o ebin src/*.erl".to_owned(),
            ),
            ("start", start),
            ("push", "ebin".to_owned()),
            ("client", "bash ci/client.sh".to_owned()),
        ])
    }

    fn shell(&self, script: &str, variables: &BTreeMap<String, String>) -> Ended {
        let mut command = self
            .project
            .command("bash", &["-e", "-o", "pipefail", "-c", script]);
        command.envs(variables);
        Project::ended(command)
    }

    /// updo in an archive, as a release has it, and its checksum. What is called notes so.
    fn archive(&self) -> (String, String) {
        let updo = "#!/bin/sh\necho \"archived $1\" >>\"$NOTES\"\nexec \"$REAL\" \"$@\"\n";
        self.project.write("../release/updo-0/bin/updo", updo);
        let release = self.project.root().with_file_name("release");
        let pack = "chmod 755 updo-0/bin/updo; tar -czf updo.tar.gz updo-0; sha256sum updo.tar.gz";
        let mut command = self.project.command("sh", &["-c", pack]);
        command.current_dir(&release);
        let sum = Project::ended(command).exits(0).text;
        let sum = sum.split(' ').next().expect("a checksum").to_owned();
        (release.join("updo.tar.gz").display().to_string(), sum)
    }

    /// The one step of the action, as GitHub's runner would run it: its command, with the variables that it maps from inputs.
    fn github(&self, more: &[(&'static str, &str)]) -> Ended {
        let action = read("github/action.yml");
        let (inputs, runs) = action.split_once("\nruns:\n").expect("the action runs");
        let commands: Vec<&str> = runs
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- run: "))
            .collect();
        assert_eq!(commands.len(), 1, "{runs}");
        let mut given = self.given();
        given.extend(
            more.iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let mut variables = BTreeMap::from([(
            "GITHUB_ACTION_PATH".to_owned(),
            integrations("github").display().to_string(),
        )]);
        for (name, input) in runs.lines().filter_map(|line| {
            let (name, value) = line.trim().split_once(": ${{ inputs.")?;
            Some((name, value.strip_suffix(" }}")?))
        }) {
            let default = inputs
                .split_once(&format!("\n  {input}:\n"))
                .and_then(|(_, rest)| {
                    rest.lines()
                        .take_while(|line| line.starts_with("    "))
                        .find_map(|line| line.trim().strip_prefix("default: \"")?.strip_suffix('"'))
                });
            let value = given.get(input).map(String::as_str).or(default);
            let value = value.unwrap_or_else(|| panic!("`{input}` has no value and no default"));
            variables.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(variables.len(), 10, "{variables:?}");
        self.shell(commands[0], &variables)
    }

    /// The script of the template, as GitLab's runner would run it.
    fn gitlab(&self) -> Ended {
        let template = read("gitlab/updo.yml");
        let (_, script) = template.split_once("\n  script:\n").expect("a script");
        let script: String = script
            .lines()
            .filter(|line| *line != "    - |")
            .map(|line| {
                let line = line.strip_prefix("      ").unwrap_or(line);
                line.strip_prefix("    - ").unwrap_or(line).to_owned() + "\n"
            })
            .collect();
        let mut variables = BTreeMap::from([(
            "CI_PROJECT_DIR".to_owned(),
            self.project.root().display().to_string(),
        )]);
        for (name, value) in self.given() {
            variables.insert(format!("GATE_{}", name.to_uppercase()), value);
        }
        self.shell(&script, &variables)
    }
}

#[test]
fn the_template_of_gitlab_has_the_script_word_by_word() {
    let (gate, template) = (read("gate.sh"), read("gitlab/updo.yml"));
    let (_, inside) = template
        .split_once("<<'END_OF_GATE'\n")
        .expect("its beginning");
    let (inside, _) = inside.split_once("      END_OF_GATE\n").expect("its end");
    let inside: String = inside
        .lines()
        .map(|line| line.strip_prefix("      ").unwrap_or(line).to_owned() + "\n")
        .collect();
    assert_eq!(inside, gate);
}

#[test]
fn the_action_of_github_lets_a_commit_pass_whose_upgrade_keeps_a_connection() {
    let repository = Repository::new();
    let two = line(", new", CONVERTS);
    repository.project.write("src/meter_line.erl", &two);
    repository.commit("Kinds");
    let (updo, sum) = repository.archive();
    let torn = "0".repeat(64);
    repository
        .github(&[("updo", &updo), ("sha256", &torn)])
        .exits(1)
        .says(&["is not what GATE_SHA256 says"]);
    let ended = repository.github(&[("updo", &updo), ("sha256", &sum)]);
    ended.exits(0).says(&[
        "== v1: ok",
        "1 state converted",
        "== this commit: ok",
        "== v1 again: ok",
        "== this commit can be upgraded to, and back",
    ]);
    let junit = fs::read_to_string(repository.project.root().join("gate.xml")).expect("a report");
    assert!(junit.contains("<testsuite"), "{junit}");
    // The node is gone, and the checkout of the release.
    let nodes = repository.project.run("epmd", &["-names"]);
    assert!(!nodes.text.contains("name gate"), "{}", nodes.text);
    let trees = repository.project.run("git", &["worktree", "list"]);
    assert_eq!(trees.text.lines().count(), 1, "{}", trees.text);
    // Its runs are not among those of the machine: none of these can be the newest one that it undoes.
    let runs = repository.project.run("updo", &["log"]).exits(0);
    assert!(!runs.text.contains("gate"), "{}", runs.text);
    let calls = repository.project.calls();
    assert!(
        calls.contains(&"archived run".to_owned())
            && calls.contains(&"archived rollback".to_owned()),
        "the archive is what is used: {calls:?}"
    );
}

#[test]
fn the_gate_lets_a_commit_pass_that_changes_no_module() {
    let repository = Repository::new();
    repository.project.write("README.md", "The meter.\n");
    repository.commit("A text");
    let ended = repository.github(&[]).exits(0);
    assert!(!ended.text.contains("this commit: "), "{}", ended.text);
    ended.says(&["== v1: ok", "== nothing to upgrade"]);
    let calls = repository.project.calls();
    assert!(
        !calls
            .iter()
            .any(|call| call.starts_with("run ") || call.starts_with("rollback")),
        "{calls:?}"
    );
}

#[test]
fn the_template_of_gitlab_refuses_what_a_client_or_a_rehearsal_finds() {
    let repository = Repository::new();
    // The state has another shape, and is kept: nothing fails but the connection.
    let two = line(", new", KEEPS);
    repository.project.write("src/meter_line.erl", &two);
    repository.commit("Kinds, and a mistake");
    repository.gitlab().exits(1).says(&[
        "== v1: ok",
        "== this commit: new: no answer",
        "the client is not content with this commit",
    ]);
    // A conversion that fails: refused before anything is changed, with the exit code of updo.
    let two = line(", new", FAILS);
    repository.project.write("src/meter_line.erl", &two);
    repository.commit("Kinds, and another mistake");
    repository
        .gitlab()
        .exits(15)
        .says(&["== v1: ok", "E634", "nothing was changed"]);
    repository.project.calls();
}
