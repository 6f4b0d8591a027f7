//! Applications made up by a seed: supervisors, servers, state machines, event handlers, libraries that call each
//! other in circles, modules that are new or gone in version 2. Sources in Erlang, compiled with `erlc`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::compiler::compile;

/// A generator of numbers (Knuth's constants).
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
        dice.below(2);
        dice
    }

    /// One below a limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    /// So many times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of several.
    pub fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Server,
    Machine,
    Handler,
}

/// How a module differs in version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Not at all.
    None,
    /// Its code.
    Code,
    /// Its code and the form of its state.
    State,
}

/// A process that counts calls.
struct Process {
    name: String,
    kind: Kind,
    change: Change,
    calls: Vec<String>,
}

/// An application in two versions.
pub struct Invented {
    /// `ebin` of version 1.
    pub one: PathBuf,
    /// `ebin` of version 2; its parent is the root of a library for the release handler.
    pub two: PathBuf,
    /// What to call, as `witness` takes it: an Erlang list.
    pub targets: String,
    /// The version of each target's state after the upgrade, in the same order.
    pub versions: Vec<u32>,
    /// The modules that differ, are new or go, as an Erlang list.
    pub changed: String,
    /// The module that version 2 does not have, if there is one.
    pub gone: Option<&'static str>,
    /// What it is made of, for a message.
    pub about: String,
    _folder: TempDir,
}

impl Invented {
    /// The application of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let libraries = 2 + dice.below(4);
        let library = |at: usize| format!("r_lib_{at}");
        let mut two_calls: Vec<(usize, Vec<usize>)> = Vec::new();
        for at in 0..libraries {
            let calls = (0..1 + dice.below(2)).map(|_| dice.below(libraries));
            two_calls.push((at, calls.collect()));
        }
        let lib_changed: Vec<bool> = (0..libraries).map(|_| dice.chance(60)).collect();
        let (has_new, has_gone) = (dice.chance(60), dice.chance(40));
        let kinds = [Kind::Server, Kind::Machine, Kind::Handler];
        let mut processes: Vec<Process> = (0..3 + dice.below(4))
            .map(|at| {
                let kind = kinds[dice.below(3)];
                let change = [Change::None, Change::Code, Change::State][dice.below(3)];
                let calls = (0..dice.below(3)).map(|_| library(dice.below(libraries)));
                Process {
                    name: format!("r_proc_{at}"),
                    kind,
                    change,
                    calls: calls.collect(),
                }
            })
            .collect();
        // Something is converted in every one of them.
        processes[0].change = Change::State;
        let supervisors = 1 + dice.below(2);
        let sup_changed: Vec<bool> = (0..=supervisors).map(|_| dice.chance(40)).collect();

        let folder = tempfile::tempdir().expect("a temporary folder");
        for version in [1, 2] {
            let source = folder.path().join(format!("src-{version}"));
            fs::create_dir(&source).expect("a folder");
            let write = |name: &str, text: String| {
                fs::write(source.join(format!("{name}.erl")), text).expect("a source");
            };
            for (at, calls) in &two_calls {
                let new = version == 2 && lib_changed[*at];
                let mut calls: Vec<String> = calls.iter().map(|to| library(*to)).collect();
                if *at == 0 && lib_changed[0] {
                    match version {
                        2 if has_new => calls.push("r_new".to_owned()),
                        1 if has_gone => calls.push("r_gone".to_owned()),
                        _ => {}
                    }
                }
                write(&library(*at), plain(&library(*at), new, &calls));
            }
            if version == 2 && has_new {
                write("r_new", plain("r_new", false, &[]));
            }
            if version == 1 && has_gone {
                write("r_gone", plain("r_gone", false, &[]));
            }
            for process in &processes {
                write(&process.name, server(process, version));
            }
            let handlers = processes.iter().filter(|p| p.kind == Kind::Handler);
            let handlers: Vec<&str> = handlers.map(|p| p.name.as_str()).collect();
            write("r_mgr", manager(&handlers));
            for (at, renewed) in sup_changed.iter().enumerate() {
                let name = format!("r_sup_{at}");
                let mut children: Vec<String> = Vec::new();
                if at == 0 {
                    let below = (1..=supervisors)
                        .map(|i| child(&format!("r_sup_{i}"), "supervisor", "infinity"));
                    children.extend(below);
                    children.push(
                        "#{id => r_mgr, start => {r_mgr, start_link, []}, modules => dynamic}"
                            .to_owned(),
                    );
                } else {
                    let mine = processes.iter().enumerate().filter(|(number, p)| {
                        p.kind != Kind::Handler && number % supervisors == at - 1
                    });
                    children.extend(mine.map(|(_, p)| child(&p.name, "worker", "1000")));
                }
                write(
                    &name,
                    supervisor(&name, version == 2 && *renewed, &children),
                );
            }
            write("r_app", STARTER.to_owned());
            let ebin = folder.path().join(format!("r-{version}/ebin"));
            fs::create_dir_all(&ebin).expect("a folder");
            specification(&source, &ebin);
            let entries = fs::read_dir(&source).expect("it is there");
            let sources: Vec<PathBuf> = entries
                .map(|entry| entry.expect("an entry").path())
                .collect();
            compile(&ebin, &["debug_info"], &sources);
        }
        let changed: Vec<String> = (0..libraries)
            .filter(|at| lib_changed[*at])
            .map(library)
            .chain(
                has_new
                    .then(|| "r_new".to_owned())
                    .filter(|_| lib_changed[0]),
            )
            .chain(has_gone.then(|| "r_gone".to_owned()))
            .chain(
                processes
                    .iter()
                    .filter(|p| p.change != Change::None)
                    .map(|p| p.name.clone()),
            )
            .chain(
                (0..=supervisors)
                    .filter(|at| sup_changed[*at])
                    .map(|at| format!("r_sup_{at}")),
            )
            .collect();
        let targets: Vec<String> = processes
            .iter()
            .map(|p| match p.kind {
                Kind::Server => format!("{{server,{}}}", p.name),
                Kind::Machine => format!("{{statem,{}}}", p.name),
                Kind::Handler => format!("{{handler,r_mgr,{}}}", p.name),
            })
            .collect();
        Self {
            one: folder.path().join("r-1/ebin"),
            two: folder.path().join("r-2/ebin"),
            targets: format!("[{}]", targets.join(",")),
            versions: processes
                .iter()
                .map(|p| if p.change == Change::State { 2 } else { 1 })
                .collect(),
            about: format!(
                "seed {seed}: {} processes, {libraries} libraries, {} supervisors, {} changed, new {has_new}, gone {has_gone}",
                processes.len(),
                supervisors + 1,
                changed.len()
            ),
            changed: format!("[{}]", changed.join(",")),
            gone: has_gone.then_some("r_gone"),
            _folder: folder,
        }
    }
}

/// Where the sources of an invented release lie: the root of version 2, for the release handler.
pub fn root(invented: &Invented) -> &Path {
    invented.two.parent().expect("ebin lies in a folder")
}

const STARTER: &str = "-module(r_app).\n-behaviour(application).\n-export([start/2, stop/1]).\n\
    start(_, _) -> r_sup_0:start_link().\nstop(_) -> ok.\n";

fn specification(source: &Path, ebin: &Path) {
    let entries = fs::read_dir(source).expect("it is there");
    let mut modules: Vec<String> = entries
        .filter_map(|entry| {
            let path = entry.expect("an entry").path();
            Some(path.file_stem()?.to_string_lossy().into_owned())
        })
        .collect();
    modules.sort();
    let text = format!(
        "{{application, r, [{{vsn, \"1.0.0\"}}, {{modules, [{}]}}, {{registered, []}},\n\
         {{applications, [kernel, stdlib]}}, {{mod, {{r_app, []}}}}]}}.\n",
        modules.join(", ")
    );
    fs::write(ebin.join("r.app"), text).expect("a file can be written");
}

/// A module without processes that calls others, in circles as well.
fn plain(name: &str, new: bool, calls: &[String]) -> String {
    let mut sum = String::from("1");
    for call in calls {
        let _ = write!(sum, " + {call}:f(D - 1)");
    }
    let more = if new { "g() -> 2.\n" } else { "" };
    let export = if new { "f/1, g/0" } else { "f/1" };
    format!("-module({name}).\n-export([{export}]).\n{more}f(0) -> 1;\nf(D) -> {sum}.\n")
}

fn server(process: &Process, version: u32) -> String {
    let Process {
        name,
        kind,
        change,
        calls,
    } = process;
    let new = version == 2 && *change != Change::None;
    let converts = version == 2 && *change == Change::State;
    let work: String = calls
        .iter()
        .map(|call| format!("_ = {call}:f(2), "))
        .collect();
    let mut text = format!("-module({name}).\n-compile(export_all).\n");
    let behaviour = match kind {
        Kind::Server => "gen_server",
        Kind::Machine => "gen_statem",
        Kind::Handler => "gen_event",
    };
    let _ = writeln!(text, "-behaviour({behaviour}).");
    if new {
        text.push_str("version() -> 2.\n");
    }
    text.push_str(if converts {
        "new(N) -> #{v => 2, count => N}.\ncount(#{count := N}) -> N.\n"
    } else {
        "new(N) -> {v1, N}.\ncount({v1, N}) -> N.\n"
    });
    text.push_str(&match kind {
        Kind::Server => format!(
            "start_link() -> gen_server:start_link({{local, ?MODULE}}, ?MODULE, [], []).\n\
             init([]) -> {{ok, new(0)}}.\n\
             handle_call(bump, _, S) -> {work}N = count(S) + 1, {{reply, N, new(N)}}.\n\
             handle_cast(_, S) -> {{noreply, S}}.\n"
        ),
        Kind::Machine => format!(
            "start_link() -> gen_statem:start_link({{local, ?MODULE}}, ?MODULE, [], []).\n\
             callback_mode() -> handle_event_function.\n\
             init([]) -> {{ok, on, new(0)}}.\n\
             handle_event({{call, F}}, bump, on, S) -> {work}N = count(S) + 1, {{keep_state, new(N), [{{reply, F, N}}]}}.\n"
        ),
        Kind::Handler => format!(
            "init(_) -> {{ok, new(0)}}.\n\
             handle_event(_, S) -> {{ok, S}}.\n\
             handle_call(bump, S) -> {work}N = count(S) + 1, {{ok, N, new(N)}}.\n"
        ),
    });
    let clauses = match (kind, converts) {
        (Kind::Machine, true) => {
            "code_change({down, _}, on, #{count := N}, _) -> {ok, on, {v1, N}};\n\
             code_change(_, on, {v1, N}, _) -> {ok, on, new(N)}.\n"
        }
        (Kind::Machine, false) => "code_change(_, State, S, _) -> {ok, State, S}.\n",
        (_, true) => {
            "code_change({down, _}, #{count := N}, _) -> {ok, {v1, N}};\n\
             code_change(_, {v1, N}, _) -> {ok, new(N)}.\n"
        }
        (_, false) => "code_change(_, S, _) -> {ok, S}.\n",
    };
    text.push_str(clauses);
    text
}

fn manager(handlers: &[&str]) -> String {
    let add: String = handlers
        .iter()
        .map(|handler| format!("ok = gen_event:add_handler(P, {handler}, []), "))
        .collect();
    format!(
        "-module(r_mgr).\n-export([start_link/0]).\n\
         start_link() -> {{ok, P}} = gen_event:start_link({{local, r_mgr}}), {add}{{ok, P}}.\n"
    )
}

fn child(name: &str, kind: &str, shutdown: &str) -> String {
    format!(
        "#{{id => {name}, start => {{{name}, start_link, []}}, type => {kind}, shutdown => {shutdown}, modules => [{name}]}}"
    )
}

fn supervisor(name: &str, new: bool, children: &[String]) -> String {
    let intensity = if new { 4 } else { 3 };
    format!(
        "-module({name}).\n-behaviour(supervisor).\n-export([start_link/0, init/1]).\n\
         start_link() -> supervisor:start_link({{local, ?MODULE}}, ?MODULE, []).\n\
         init([]) -> {{ok, {{#{{intensity => {intensity}}}, [{}]}}}}.\n",
        children.join(",\n    ")
    )
}
