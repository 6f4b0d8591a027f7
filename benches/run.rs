//! A whole upgrade, from the command to the prompt, beside the 2012 original on the same application.
//!
//! A real node runs N modules in layers, a third of them servers with a process; M of them are replaced on its disk. The
//! original (`benches/run/original.erl`) compares, analyses and upgrades on the node; `updo run` does it from a process of
//! its own, with everything that a run does by default, the rehearsal included, but without soak. Wall time is that of
//! the call and of the process; reductions are those of the whole node (`statistics(exact_reductions)`). Fresh nodes for
//! each measurement, in turns. "Cold" is a node that updo sees for the first time with an empty state folder; "warm" is one
//! that has been previewed, as before each upgrade of the same node.
//!
//! `make bench run`, or `cargo bench --bench run -- 500/100 …` for some sizes.

#[path = "run/bars.rs"]
mod bars;
#[path = "run/code.rs"]
mod code;
#[path = "run/page.rs"]
mod page;
#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use code::{Code, SETTLED};
use support::TestNode;
use support::apps::copy_whole;
use support::desk::Desk;

/// Modules and changed modules.
const SIZES: [(usize, usize); 4] = [(50, 10), (500, 100), (2_000, 500), (5_000, 1_000)];
/// Measurements of each.
const ROUNDS: usize = 3;

/// What one upgrade took.
#[derive(Clone, Copy, Default)]
struct Cost {
    took: Duration,
    reductions: i64,
}

fn main() {
    // `cargo test` starts benches too; there the point is that this one compiles.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg.contains('/'))
        .collect();
    let mut rows = Vec::new();
    for (modules, changed) in SIZES {
        let title = format!("{modules}/{changed}");
        if wanted.is_empty() || wanted.contains(&title) {
            rows.push(size(&title, modules, changed));
        }
    }
    let titles = [
        "modules/changed",
        "servers",
        "original: ms",
        "M reductions",
        "updo, cold: ms",
        "M reductions",
        "updo, warm: ms",
        "M reductions",
        "time",
        "reductions",
    ];
    page::table("run", &titles, &rows);
    bars::bars("run", &titles, &rows, &[2, 4, 6]);
}

fn size(title: &str, modules: usize, changed: usize) -> Vec<String> {
    let code = Code::made(modules, changed);
    let mut costs = [const { Vec::new() }; 3];
    let mut servers = 0;
    for _ in 0..ROUNDS {
        for (at, way) in [Way::Original, Way::Cold, Way::Warm]
            .into_iter()
            .enumerate()
        {
            let (cost, number) = upgraded(&code, changed, &way);
            costs[at].push(cost);
            servers = number;
        }
    }
    let [original, cold, warm] = costs.map(median);
    let ms = |cost: Cost| format!("{:.0}", cost.took.as_secs_f64() * 1000.0);
    let millions = |cost: Cost| format!("{:.1}", cost.reductions as f64 / 1e6);
    let time = original.took.as_secs_f64() / warm.took.as_secs_f64();
    let reductions = original.reductions as f64 / warm.reductions as f64;
    vec![
        title.to_owned(),
        servers.to_string(),
        ms(original),
        millions(original),
        ms(cold),
        millions(cold),
        ms(warm),
        millions(warm),
        format!("1/{time:.1}"),
        format!("1/{reductions:.1}"),
    ]
}

fn median(mut costs: Vec<Cost>) -> Cost {
    let middle = costs.len() / 2;
    costs.sort_by_key(|cost| cost.took);
    let took = costs[middle].took;
    costs.sort_by_key(|cost| cost.reductions);
    let reductions = costs[middle].reductions;
    Cost { took, reductions }
}

enum Way {
    Original,
    Cold,
    Warm,
}

/// A fresh node with version 1, upgraded to version 2; and how many servers it has.
fn upgraded(code: &Code, changed: usize, way: &Way) -> (Cost, i64) {
    let (deployed, servers) = code.deployed();
    code.replace(&deployed);
    let node = &deployed.node;
    let cost = match way {
        Way::Original => {
            sleep(Duration::from_millis(500));
            let done = measured(node, || node.eval_text("element(1, original:run())"));
            assert_eq!(done.0, changed.to_string());
            done.1
        }
        Way::Cold | Way::Warm => by_updo(code, node, way),
    };
    code.is_new(node);
    (cost, servers)
}

fn by_updo(code: &Code, node: &TestNode, way: &Way) -> Cost {
    let desk = Desk::rehearsing();
    let old = code.old();
    let plan = desk.write(
        "plan.updo",
        &format!("plan \"many\".\ncode on_disk.\nold from {old:?}.\n"),
    );
    let plan = plan.to_str().expect("UTF-8");
    sleep(SETTLED);
    if matches!(way, Way::Warm) {
        desk.on(node, &["preview", plan]).run().exits(0);
        // What another node had an upgrade with before.
        let agents = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-run-agents");
        if agents.exists() {
            copy_whole(&agents, &desk.agents());
        }
    } else {
        let _ = fs::remove_dir_all(desk.agents());
    }
    let port = node.epmd_port().to_string();
    let (ran, cost) = measured(node, || {
        desk.updo(&["run", plan, "--yes"])
            .env("UPDO_EPMD_PORT", &port)
            .env("UPDO_TARGET", node.name())
            .run()
    });
    ran.exits(0);
    if matches!(way, Way::Cold) {
        let agents = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-run-agents");
        let _ = fs::remove_dir_all(&agents);
        copy_whole(&desk.agents(), &agents);
    }
    cost
}

/// What the node spends while something is done, less what the question itself costs.
fn measured<T>(node: &TestNode, what: impl FnOnce() -> T) -> (T, Cost) {
    let reductions = || {
        node.eval("element(1, statistics(exact_reductions))")
            .as_i64()
            .expect("a number")
    };
    reductions();
    sleep(Duration::from_millis(300));
    let question = {
        let before = reductions();
        reductions() - before
    };
    let before = reductions();
    let began = Instant::now();
    let done = what();
    let took = began.elapsed();
    let reductions = reductions() - before - question;
    (done, Cost { took, reductions })
}
