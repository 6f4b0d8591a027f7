//! What looking at a node costs the node: reductions and bytes, for everything that `updo preview` does there.
//!
//! A real node runs an application of 2,000 modules, 500 of which are replaced on its disk. Reductions are those of
//! the whole node (`statistics(exact_reductions)`), bytes those that it sends (`statistics(io)`), both before and
//! after, on an otherwise idle node, less what the two measurements cost themselves. "Near" is a node on the same
//! machine, whose files updo reads itself; "far" is forced to use the connection only.
//!
//! To compare with: the 2012 original works on the node, and its dry run for 2,000 modules with 500 changed costs
//! it 3.9 million reductions. That number was measured separately; it is not measured here.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use support::{Options, TestNode};
use updo::diag::Span;
use updo::facts::compare::{NewCode, OldBeamSources, compare_on};
use updo::facts::node::node_facts;
use updo::facts::node::node_files::Disk;
use updo::facts::node::processes::{ProcessQuery, find_processes};
use updo::facts::node::queries;
use updo::name::{Module, NodeName};
use updo::node::Session;
use updo::state::beams::Store;
use updo::state::file_cache::Seen;
use updo::term::Term;

const MODULES: usize = 2_000;
const CHANGED: usize = 500;
/// The release of the node, as far as the client has to know: 25 or newer.
const OTP: u32 = 25;
const ORIGINAL: f64 = 3_900_000.0;

/// Reductions, bytes sent, time.
#[derive(Clone, Copy)]
struct Cost {
    reductions: i64,
    bytes: i64,
    took: Duration,
}

fn main() {
    // `cargo test` starts benches too; there the point is that this one compiles.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let ebin = dir.path().join("big/ebin");
    std::fs::create_dir_all(&ebin).expect("can be made");
    let node = Options::default()
        .path(&ebin)
        .args(&["+P", "400000"])
        .start();
    println!("making {MODULES} modules ...");
    make(&node, &ebin);
    change(&node, &ebin);
    // What was written in the last seconds is not remembered.
    std::thread::sleep(Duration::from_secs(5));
    let session = node.connected();
    let state = dir.path().join("state");
    let name = NodeName::new(node.name());
    let nothing = measure(&node, || ());
    println!(
        "\n{MODULES} modules, {CHANGED} changed; facts, change set, processes; against {ORIGINAL:.1e} reductions of the original\n"
    );
    println!(
        "{:<34} {:>12} {:>12} {:>9} {:>14}",
        "", "reductions", "bytes sent", "ms", "of the original"
    );
    let mut seen = Seen::open(&state, &name);
    let mut rows = Vec::new();
    for (title, far) in [
        ("near, first time", false),
        ("near, again", false),
        ("far, first time", true),
        ("far, again", true),
    ] {
        if title == "far, first time" {
            seen = Seen::nothing();
        }
        let cost = measure(&node, || look(&session, &mut seen, far, &state));
        row(title, less(cost, nothing));
        rows.push(less(cost, nothing));
    }
    let cost = measure(&node, || push(&session, &ebin, &state));
    row("far, code push", less(cost, nothing));
    println!();
    for (title, ask) in parts(&session) {
        row(title, less(measure(&node, ask), nothing));
    }
    people(&node, &session, nothing);
    let worst = rows.iter().enumerate().filter(|(at, _)| *at != 2);
    let worst = worst.map(|(_, cost)| cost.reductions).max().unwrap_or(0);
    println!(
        "\nat most {:.1} % of the original, but for the first look at a far node",
        worst as f64 / ORIGINAL * 100.0
    );
}

fn row(title: &str, cost: Cost) {
    println!(
        "{title:<34} {:>12} {:>12} {:>9.1} {:>13.1} %",
        cost.reductions,
        cost.bytes,
        cost.took.as_secs_f64() * 1000.0,
        cost.reductions as f64 / ORIGINAL * 100.0
    );
}

fn less(cost: Cost, base: Cost) -> Cost {
    Cost {
        reductions: cost.reductions - base.reductions,
        bytes: cost.bytes - base.bytes,
        ..cost
    }
}

fn look(session: &Session, seen: &mut Seen, far: bool, state: &Path) {
    let facts = node_facts::gather(session).expect("facts");
    let store = Store::new(state);
    let old = OldBeamSources {
        patterns: &[],
        store: &store,
    };
    let mut disk = Disk::new(session, facts.otp, seen);
    if far {
        disk.assume_remote();
    }
    let set = compare_on(disk, session, &facts, NewCode::OnDisk, old, &|_| {
        Default::default()
    })
    .expect("a change set");
    assert_eq!(set.modules.len(), CHANGED);
}

/// `code push` of the whole folder, the node's own disk out of reach.
fn push(session: &Session, ebin: &Path, state: &Path) {
    let facts = node_facts::gather(session).expect("facts");
    let store = Store::new(state);
    let old = OldBeamSources {
        patterns: &[],
        store: &store,
    };
    let mut seen = Seen::nothing();
    let mut disk = Disk::new(session, facts.otp, &mut seen);
    disk.assume_remote();
    let patterns = [(ebin.to_str().expect("UTF-8").to_owned(), Span::new(0, 0))];
    let new = NewCode::Push(&patterns, Path::new("/"));
    let set =
        compare_on(disk, session, &facts, new, old, &|_| Default::default()).expect("a change set");
    assert_eq!(set.modules.len(), CHANGED);
}

/// A part of the work and its name.
type Part<'a> = (&'static str, Box<dyn FnMut() + 'a>);

/// The parts of it, each by itself.
fn parts(session: &Session) -> Vec<Part<'_>> {
    let facts = node_facts::gather(session).expect("facts");
    let changed: Vec<Module> = (0..CHANGED).map(|n| Module::new(module(n))).collect();
    let question = ProcessQuery {
        modules: changed.iter().cloned().collect(),
        ..ProcessQuery::default()
    };
    let (for_versions, for_sticky) = (facts.clone(), facts);
    let names = changed.clone();
    vec![
        (
            "  what is loaded, applications",
            Box::new(move || drop(node_facts::gather(session).expect("facts"))),
        ),
        (
            "  sticky folders",
            Box::new(move || drop(queries::sticky(session, &for_sticky, &names).expect("facts"))),
        ),
        (
            "  running versions of the changed",
            Box::new(move || {
                drop(
                    queries::loaded_versions(session, &for_versions, &changed, &BTreeMap::new())
                        .expect("facts"),
                );
            }),
        ),
        (
            "  processes",
            Box::new(move || drop(find_processes(session, OTP, &question).expect("facts"))),
        ),
    ]
}

/// 100,000 servers and their modules.
fn people(node: &TestNode, session: &Session, nothing: Cost) {
    node.eval(
        "lists:foreach(fun(_) -> {ok, _} = gen_server:start(big_1, [], []) end, lists:seq(1, 100000))",
    );
    let question = ProcessQuery {
        modules: [Module::new("big_1")].into(),
        ..ProcessQuery::default()
    };
    let cost = measure(node, || {
        let answer = find_processes(session, OTP, &question).expect("an answer");
        assert_eq!(answer.by_module["big_1"].count(), 100_000);
    });
    println!();
    row("100,000 processes found", less(cost, nothing));
}

/// What the node spends while something is done.
fn measure(node: &TestNode, mut what: impl FnMut()) -> Cost {
    const COUNTERS: &str =
        "{element(1, statistics(exact_reductions)), element(2, element(2, statistics(io)))}";
    let counters = || -> (i64, i64) {
        let answer = node.eval(COUNTERS);
        let number = |at: usize| answer.as_tuple().and_then(|pair| pair.get(at)?.as_i64());
        (number(0).expect("a number"), number(1).expect("a number"))
    };
    counters();
    std::thread::sleep(Duration::from_millis(300));
    let before = counters();
    let began = Instant::now();
    what();
    let took = began.elapsed();
    let after = counters();
    Cost {
        reductions: after.0 - before.0,
        bytes: after.1 - before.1,
        took,
    }
}

fn module(number: usize) -> String {
    format!("big_{number}")
}

/// A module of a layered application: a server with some functions, calling two others.
fn source(number: usize, version: u32) -> String {
    let (a, b) = (
        module((number + 1) % MODULES),
        module((number + 7) % MODULES),
    );
    let mut text = format!(
        "-module({}).\n-behaviour(gen_server).\n-export([init/1, handle_call/3, handle_cast/2, code_change/3, version/0",
        module(number)
    );
    for f in 0..8 {
        let _ = write!(text, ", f{f}/1");
    }
    let _ = write!(
        text,
        "]).\ninit([]) -> {{ok, #{{}}}}.\nhandle_call(X, _, S) -> {{reply, {{{a}:f1(X), {b}:f2(X)}}, S}}.\n\
         handle_cast(_, S) -> {{noreply, S}}.\ncode_change(_, S, _) -> {{ok, S}}.\nversion() -> {version}.\n"
    );
    for f in 0..8 {
        let _ = writeln!(
            text,
            "f{f}([X | Y]) -> [{f}, {{X, \"some text {f}\"}} | f{f}(Y)];\nf{f}(X) -> {{{a}, {f}, X}}."
        );
    }
    text
}

/// Compiles modules into the folder.
fn compile(node: &TestNode, ebin: &Path, numbers: std::ops::Range<usize>, version: u32) {
    for number in numbers {
        let file = ebin.join(format!("../{}.erl", module(number)));
        std::fs::write(&file, source(number, version)).expect("can be written");
    }
    let ebin = ebin.to_str().expect("UTF-8");
    let src = format!("{ebin}/..");
    let out = node.eval(&format!(
        "[{{error, F}} || F <- filelib:wildcard({src:?} ++ \"/*.erl\"), element(1, compile:file(F, [debug_info, {{outdir, {ebin:?}}}])) =/= ok], ok"
    ));
    assert_eq!(out, Term::atom("ok"));
    for entry in std::fs::read_dir(&src).expect("is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "erl") {
            std::fs::remove_file(path).expect("can be removed");
        }
    }
}

fn make(node: &TestNode, ebin: &Path) {
    compile(node, ebin, 0..MODULES, 1);
    let names: Vec<String> = (0..MODULES).map(module).collect();
    let spec = format!(
        "{{application, big, [{{vsn, \"1\"}}, {{modules, [{}]}}, {{applications, [kernel, stdlib]}}]}}.\n",
        names.join(", ")
    );
    std::fs::write(ebin.join("big.app"), spec).expect("can be written");
    node.eval(
        "ok = application:start(big), {ok, Ms} = application:get_key(big, modules), ok = code:ensure_modules_loaded(Ms), \
         [code:purge(M) || M <- [compile]], ok",
    );
}

fn change(node: &TestNode, ebin: &Path) {
    compile(node, ebin, 0..CHANGED, 2);
}
