//! Calls per second of servers that were upgraded live, beside those of servers that were started with the new version.
//!
//! Three nodes: one that was upgraded, two that were started with the new version. One caller at a time, in turns: each
//! measurement of the first has one of another right before and one right after it (A B B A), and what is printed is
//! the ratio of such pairs. The pair of the two nodes without an upgrade says what two nodes differ by in any case.

use std::thread::sleep;
use std::time::Duration;

use super::Upgrade;
use super::code::{Code, changed};
use super::support::{Options, TestNode};

/// Servers of a node; so many are called in turn.
const SERVERS: usize = 100;
/// Calls of one measurement: a tenth of a second, about.
const CALLS: usize = 40_000;
/// Pairs.
const PAIRS: usize = 300;

/// One side of a pair: a node, and which of its servers.
type Side<'a> = (&'a TestNode, &'a str);

/// The ratio of calls per second of many pairs.
struct Ratio {
    /// Calls per second of the first side.
    rate: f64,
    median: f64,
    /// Between these is the median with 95 % confidence, whatever the distribution.
    from: f64,
    to: f64,
}

/// The rows of the table: what is compared, calls per second, the median of the ratios and its bounds.
pub fn rows(code: &Code, upgrade: &Upgrade<'_>) -> Vec<Vec<String>> {
    let modules = 2;
    let started = |version: &str| {
        let folder = code.deployed();
        let ebin = folder.path().join("ebin");
        for module in changed(modules) {
            code.copy(version, &module, &ebin);
        }
        let node = Options::default().path(&ebin).start();
        node.eval(
            "ok = application:start(sasl), ok = application:start(pause), {ok, Ms} = application:get_key(pause, modules), \
             ok = code:ensure_modules_loaded([pause_load | Ms])",
        );
        let many = |name: &str| {
            node.eval(&format!(
                "persistent_term:put({name}, pause_sup:many({SERVERS}))"
            ));
        };
        many("servers");
        (node, folder)
    };
    let (live, folder) = started("1");
    // As after a while in the version before.
    time((&live, "servers"));
    for module in changed(modules) {
        code.copy("2", &module, &folder.path().join("ebin"));
    }
    upgrade(code, &live, folder.path(), modules);
    live.eval(&format!(
        "persistent_term:put(born, pause_sup:many({SERVERS}))"
    ));
    let ((fresh, _one), (other, _two)) = (started("2"), started("2"));
    sleep(Duration::from_millis(500));
    let row = |what: &str, a: Side<'_>, b: Side<'_>| {
        let ratio = paired(a, b);
        vec![
            what.to_owned(),
            format!("{:.0}", ratio.rate),
            format!("{:.3}", ratio.median),
            format!("{:.3} to {:.3}", ratio.from, ratio.to),
        ]
    };
    vec![
        row(
            "upgraded live / node started with the new version",
            (&live, "servers"),
            (&fresh, "servers"),
        ),
        row(
            "upgraded live / born afterwards on the same node",
            (&live, "servers"),
            (&live, "born"),
        ),
        row(
            "two nodes started with the new version",
            (&other, "servers"),
            (&fresh, "servers"),
        ),
    ]
}

fn paired(a: Side<'_>, b: Side<'_>) -> Ratio {
    // Both are warm.
    for side in [a, b, a, b] {
        time(side);
    }
    let mut ratios = Vec::new();
    let mut sum = 0.0;
    for pair in 0..PAIRS {
        let (of_a, of_b) = if pair % 2 == 0 {
            let of_a = time(a);
            (of_a, time(b))
        } else {
            let of_b = time(b);
            (time(a), of_b)
        };
        sum += of_a;
        // The shorter time is the higher rate.
        ratios.push(of_b / of_a);
    }
    ratios.sort_by(f64::total_cmp);
    // Ranks of a sign test: half of them, and twice the deviation of tossing so many coins to each side.
    let reach = (PAIRS as f64).sqrt() * 0.98;
    let (from, to) = (PAIRS as f64 / 2.0 - reach, PAIRS as f64 / 2.0 + reach);
    Ratio {
        rate: (CALLS * PAIRS) as f64 / (sum / 1e6),
        median: (ratios[PAIRS / 2 - 1] + ratios[PAIRS / 2]) / 2.0,
        from: ratios[from as usize],
        to: ratios[to as usize],
    }
}

/// What so many calls take, in microseconds of the node's clock.
fn time((node, servers): Side<'_>) -> f64 {
    let took = node.eval(&format!(
        "pause_load:timed(persistent_term:get({servers}), {CALLS})"
    ));
    took.as_i64().expect("a time") as f64
}
