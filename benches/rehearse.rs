//! What a rehearsal costs the node, and how good the pause is that it predicts.
//!
//! First table: K servers get 5,000 calls a second; the worst call while all states are rehearsed, beside the worst call in
//! as long a time without, in turns: the first time, in which the node compiles the agent, and the medians of further
//! times. Second table: upgrades of several sizes, each rehearsed and run, predicted pause beside the
//! measured one; and in turns the same with the conversions behind the switch: what computing them before costs the
//! window. Prints tables; judges nothing.
//!
//! `make bench rehearse`, or `cargo bench --bench rehearse -- K…` for some numbers of servers of the first table only,
//! `-- pauses K…` for the second.

#[path = "../tests/support/mod.rs"]
mod support;

#[path = "pause/code.rs"]
mod code;

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use code::{Code, changed, mark};
use support::{Options, TestNode};
use updo::engine::rehearsal::limits;
use updo::engine::{Connection, Engine, Upgrade};
use updo::exec::rehearsal::Limits;
use updo::exec::{Interrupt, NodeState};
use updo::name::NodeName;

/// Servers of the first table.
const SERVERS: [usize; 2] = [10_000, 100_000];
/// Servers and changed modules of the second.
const UPGRADES: [(usize, usize); 5] = [(100, 2), (400, 5), (2_000, 2), (2_000, 20), (10_000, 2)];
/// How often each of these is done.
const ROUNDS: usize = 5;
/// How often states are rehearsed for the first table, after the first time.
const COST_ROUNDS: usize = 5;

fn main() {
    // `cargo test` starts benches too; there the point is that this one compiles.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let wanted: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let code = Code::compiled();
    println!("worst and mean latency of 5,000 calls a second, ms");
    println!(
        "{:>8} {:>9} {:>18} {:>18} {:>7} {:>9} {:>14}",
        "states", "agent", "without", "while rehearsed", "worst", "took", "a state"
    );
    let pauses_only = std::env::args().any(|arg| arg == "pauses");
    for count in SERVERS {
        if !pauses_only && (wanted.is_empty() || wanted.contains(&count)) {
            cost(&code, count);
        }
    }
    if pauses_only || wanted.is_empty() {
        predictions(&code, &wanted);
    }
}

/// A node with servers and load, version 2 on its disk.
fn node(code: &Code, folder: &Path, servers: usize, modules: usize) -> TestNode {
    let ebin = folder.join("ebin");
    let node = Options::default()
        .path(&ebin)
        .args(&["+P", "2000000"])
        .start();
    node.eval(
        "ok = application:start(pause), {ok, Ms} = application:get_key(pause, modules), \
         ok = code:ensure_modules_loaded([pause_load | Ms])",
    );
    node.eval(&format!(
        "pause_load:start(pause_sup:many({servers})), garbage_collect()"
    ));
    for module in changed(modules) {
        code.copy("2", &module, &ebin);
    }
    sleep(Duration::from_secs(2));
    node
}

/// Connects, and decides what is to be done.
fn prepared<'e>(engine: &'e Engine, node: &TestNode) -> (Connection<'e>, Upgrade) {
    let connection = engine
        .connect(&NodeName::new(node.name()))
        .expect("a connection");
    let upgrade = connection.prepare().expect("facts");
    assert!(!upgrade.is_refused(), "{:?}", upgrade.diagnostics);
    (connection, upgrade)
}

/// Worst and mean latency between two marks, ms.
fn felt(node: &TestNode, since: i64, until: i64) -> (f64, f64) {
    let felt = node.eval(&format!("pause_load:during({since}, {until})"));
    let fields = felt.as_tuple().expect("three numbers");
    let ms = |at: usize| fields[at].as_i64().expect("a time") as f64 / 1000.0;
    (ms(1), ms(2))
}

fn cost(code: &Code, servers: usize) {
    let folder = code.deployed();
    let node = node(code, folder.path(), servers, 2);
    let engine = code.engine(&node, folder.path(), "");
    let (connection, upgrade) = prepared(&engine, &node);
    let bounds = Limits {
        at_most: servers,
        within: Duration::from_secs(300),
        ..limits(&engine.plan.rehearse)
    };
    let rehearse = || {
        let done = connection
            .rehearse(&upgrade, bounds, &Interrupt::default(), &mut |_, _, _| ())
            .expect("a rehearsal");
        assert_eq!(done.converted(), servers as u64);
    };
    let rounds = if servers > 10_000 {
        COST_ROUNDS / 2 + 1
    } else {
        COST_ROUNDS
    };
    // In the first the node compiles the agent; later ones send the beam.
    let (mut with, mut without, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        // The load of looking at the node is over.
        sleep(Duration::from_secs(1));
        let since = mark(&node);
        let began = Instant::now();
        rehearse();
        let lasted = began.elapsed();
        let felt_with = felt(&node, since, mark(&node));
        sleep(Duration::from_secs(1));
        let since = mark(&node);
        sleep(lasted);
        let felt_without = felt(&node, since, mark(&node));
        if round == 0 {
            line(servers, "compiled", felt_without, felt_with, lasted);
        } else {
            with.push(felt_with);
            without.push(felt_without);
            took.push(lasted);
        }
    }
    took.sort_unstable();
    let took = took[took.len() / 2];
    line(servers, "kept", medians(&without), medians(&with), took);
}

/// The medians of worst and of mean latencies.
fn medians(rounds: &[(f64, f64)]) -> (f64, f64) {
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    (median(|felt| felt.0), median(|felt| felt.1))
}

fn line(servers: usize, agent: &str, without: (f64, f64), with: (f64, f64), took: Duration) {
    println!(
        "{servers:>8} {agent:>9} {:>9.1} {:>8.2} {:>9.1} {:>8.2} {:>7.1} {:>8.1}s {:>11.0} µs",
        without.0,
        without.1,
        with.0,
        with.1,
        with.0 / without.0,
        took.as_secs_f64(),
        took.as_secs_f64() * 1e6 / servers as f64
    );
}

/// Predicted, if that is asked for, and measured.
fn window(code: &Code, servers: usize, modules: usize, ahead: bool) -> (Duration, Duration) {
    let folder = code.deployed();
    let node = node(code, folder.path(), servers, modules);
    let mut engine = code.engine(&node, folder.path(), "soak 0s.");
    engine.settings.convert_after_switch = !ahead;
    let (connection, mut upgrade) = prepared(&engine, &node);
    let usual = limits(&engine.plan.rehearse);
    let done = connection
        .rehearse(&upgrade, usual, &Interrupt::default(), &mut |_, _, _| ())
        .expect("a rehearsal");
    let predicted = done.pause.expect("a prediction").whole;
    // As `updo run` does: what is rehearsed is not tried again in the window.
    assert_eq!(upgrade.rehearsed(&done), None);
    let outcome = connection.run(&upgrade, &mut |_| ());
    assert_eq!(outcome.state, NodeState::New, "{:?}", outcome.errors);
    (predicted, outcome.suspended.expect("a time"))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn predictions(code: &Code, wanted: &[usize]) {
    println!("\nthe pause, ms; behind: with the conversions behind the switch, as OTP has them");
    println!(
        "{:>8} {:>8} {:>10} {:>10} {:>7} {:>10} {:>7}",
        "servers", "modules", "predicted", "measured", "ratio", "behind", "costs"
    );
    let (mut near, mut all) = (0, 0);
    for (servers, modules) in UPGRADES {
        if !wanted.is_empty() && !wanted.contains(&servers) {
            continue;
        }
        let (mut ahead, mut behind) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (predicted, measured) = window(code, servers, modules, true);
            let (_, without) = window(code, servers, modules, false);
            let ratio = predicted.as_secs_f64() / measured.as_secs_f64();
            all += 1;
            near += usize::from((0.5..=1.5).contains(&ratio));
            println!(
                "{servers:>8} {modules:>8} {:>10.1} {:>10.1} {ratio:>7.2} {:>10.1}",
                millis(predicted),
                millis(measured),
                millis(without),
            );
            ahead.push(measured);
            behind.push(without);
        }
        let (ahead, behind) = (middle(ahead), middle(behind));
        println!(
            "{servers:>8} {modules:>8} {:>10} {:>10.1} {:>7} {:>10.1} {:>7.2}   medians",
            "",
            millis(ahead),
            "",
            millis(behind),
            ahead.as_secs_f64() / behind.as_secs_f64()
        );
    }
    println!("{near} of {all} within 50 % of what was measured");
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
