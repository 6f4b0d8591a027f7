//! One upgrade of several nodes in one batch, beside the same upgrade of one node.
//!
//! Nodes with the same 50 modules, of which 10 change (`benches/run/many.erl`); the nodes and the client share this
//! machine's processors. `updo run --yes` with everything that a run does by default, but without soak. The largest
//! resident size of the client is asked of the kernel while it runs.
//!
//! `make bench nodes`, or `cargo bench --bench nodes -- 1 5` for some numbers.

#[path = "run/code.rs"]
mod code;
#[path = "run/page.rs"]
mod page;
#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use code::{Code, SETTLED};
use support::apps::copy_whole;
use support::desk::Desk;

/// How many nodes at a time.
const NUMBERS: [usize; 4] = [1, 5, 10, 20];
/// Measurements of each.
const ROUNDS: usize = 3;

fn main() {
    // `cargo test` starts benches too; there the point is that this one compiles.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let wanted: Vec<usize> = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .collect();
    let code = Code::made(50, 10);
    // As before any upgrade but the first: the agent has been compiled.
    let kept = tempfile::tempdir().expect("a temporary folder");
    let agents = kept.path().join("agents");
    upgraded(&code, 1, &agents);
    let mut rows = Vec::new();
    let mut one = None;
    for number in NUMBERS {
        if !wanted.is_empty() && !wanted.contains(&number) {
            continue;
        }
        let mut all: Vec<(Duration, u64)> = (0..ROUNDS)
            .map(|_| upgraded(&code, number, &agents))
            .collect();
        all.sort_unstable();
        let took = all[ROUNDS / 2].0;
        let memory = all
            .iter()
            .map(|(_, memory)| *memory)
            .max()
            .unwrap_or_default();
        let (first, first_memory) = *one.get_or_insert((took, memory));
        let more = memory.saturating_sub(first_memory) as f64 / (number.max(2) - 1) as f64;
        rows.push(vec![
            number.to_string(),
            format!("{} ms", took.as_millis()),
            format!("{:.1}", took.as_secs_f64() / first.as_secs_f64()),
            format!("{:.1} MB", memory as f64 / 1024.0),
            format!("{:.2} MB", more / 1024.0),
        ]);
    }
    page::table(
        "nodes",
        &[
            "nodes",
            "wall time",
            "times one",
            "client's memory",
            "more for each node",
        ],
        &rows,
    );
}

/// How long the upgrade of so many fresh nodes took, and how much memory the client had at most, in kB.
fn upgraded(code: &Code, number: usize, agents: &Path) -> (Duration, u64) {
    let nodes: Vec<_> = (0..number).map(|_| code.deployed().0).collect();
    let desk = Desk::rehearsing();
    let names: Vec<String> = nodes
        .iter()
        .map(|one| format!("'{}'", one.node.name()))
        .collect();
    let old = code.old();
    let plan = desk.write(
        "plan.updo",
        &format!(
            "plan \"many\".\ntarget all #{{nodes => [{}]}}.\nrollout all #{{batch => {number}}}.\ncode on_disk.\nold from {old:?}.\n",
            names.join(", ")
        ),
    );
    let plan = plan.to_str().expect("UTF-8");
    for one in &nodes {
        code.replace(one);
    }
    std::thread::sleep(SETTLED);
    let port = nodes[0].node.epmd_port().to_string();
    let command = |args: &[&str]| desk.updo(args).env("UPDO_EPMD_PORT", &port);
    command(&["preview", plan]).run().exits(0);
    if agents.exists() {
        copy_whole(agents, &desk.agents());
    }
    let began = Instant::now();
    let (ran, memory) = command(&["run", plan, "--yes"]).start().wait_with_peak();
    let took = began.elapsed();
    ran.exits(0);
    for one in &nodes {
        code.is_new(&one.node);
    }
    if !agents.exists() {
        copy_whole(&desk.agents(), agents);
    }
    (took, memory)
}
