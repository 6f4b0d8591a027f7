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

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::apps::copy_whole;
use support::desk::Desk;
use support::{Options, TestNode};

/// Modules and changed modules.
const SIZES: [(usize, usize); 4] = [(50, 10), (500, 100), (2_000, 500), (5_000, 1_000)];
/// Measurements of each.
const ROUNDS: usize = 3;
/// What was written in the last seconds is not remembered.
const SETTLED: Duration = Duration::from_secs(4);

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
    let wanted: Vec<String> = std::env::args().filter(|arg| arg.contains('/')).collect();
    println!("a whole upgrade: ms, and million reductions of the node; medians of {ROUNDS}");
    println!(
        "{:>13} {:>9} {:>18} {:>18} {:>18} {:>8} {:>10}",
        "modules", "servers", "original", "updo, cold", "updo, warm", "time", "reductions"
    );
    for (modules, changed) in SIZES {
        let title = format!("{modules}/{changed}");
        if wanted.is_empty() || wanted.contains(&title) {
            size(&title, modules, changed);
        }
    }
}

fn size(title: &str, modules: usize, changed: usize) {
    let code = Code::made(modules, changed);
    let mut costs = [const { Vec::new() }; 3];
    let mut servers = 0;
    for _ in 0..ROUNDS {
        for (at, way) in [Way::Original, Way::Cold, Way::Warm]
            .into_iter()
            .enumerate()
        {
            let (cost, number) = code.upgraded(&way);
            costs[at].push(cost);
            servers = number;
        }
    }
    let [original, cold, warm] = costs.map(median);
    let pair = |cost: Cost| {
        let (ms, millions) = (
            cost.took.as_secs_f64() * 1000.0,
            cost.reductions as f64 / 1e6,
        );
        format!("{ms:>9.0} {millions:>8.1}")
    };
    println!(
        "{title:>13} {servers:>9} {} {} {} {:>8} {:>10}",
        pair(original),
        pair(cold),
        pair(warm),
        format!(
            "1/{:.1}",
            original.took.as_secs_f64() / warm.took.as_secs_f64()
        ),
        format!(
            "1/{:.1}",
            original.reductions as f64 / warm.reductions as f64
        ),
    );
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

/// Both versions, compiled.
struct Code {
    folder: tempfile::TempDir,
    tools: PathBuf,
    modules: usize,
    changed: usize,
}

impl Code {
    /// Compiled on a node of its own.
    fn made(modules: usize, changed: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tools = folder.path().join("tools");
        fs::create_dir_all(&tools).expect("can be made");
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/run");
        let node = Options::default().path(&tools).start();
        for module in ["many", "original"] {
            let built = node.eval_text(&format!(
                "compile:file({:?}, [{{outdir, {tools:?}}}])",
                here.join(module)
            ));
            assert!(built.starts_with("{ok"), "{module}: {built}");
        }
        node.eval(&format!(
            "many:make({:?}, {modules}, {changed}), ok",
            folder.path()
        ));
        Self {
            folder,
            tools,
            modules,
            changed,
        }
    }

    /// A fresh node with version 1, upgraded to version 2; and how many servers it has.
    fn upgraded(&self, way: &Way) -> (Cost, i64) {
        let deployed = tempfile::tempdir().expect("a temporary folder");
        let lib = deployed.path().join("lib");
        copy_whole(&self.folder.path().join("lib"), &lib);
        let mut options = Options::default().path(&self.tools);
        let entries = fs::read_dir(&lib).expect("is there");
        options
            .paths
            .extend(entries.map(|entry| entry.expect("an entry").path().join("ebin")));
        let node = options.start();
        let servers = node.eval(&format!(
            "begin ok = application:start(sasl), ok = code:ensure_modules_loaded([xref, systools_rc, systools_make, \
             release_handler_1, beam_lib]), N = many:start({}), garbage_collect(), N end",
            self.modules
        ));
        self.replace(&lib);
        let cost = match way {
            Way::Original => {
                sleep(Duration::from_millis(500));
                let done = measured(&node, || node.eval_text("element(1, original:run())"));
                assert_eq!(done.0, self.changed.to_string());
                done.1
            }
            Way::Cold | Way::Warm => self.by_updo(&node, way),
        };
        let after = node.eval_text(&format!("many:states({})", self.modules));
        assert!(after.contains("2 =>"), "{after}");
        assert_eq!(node.eval_text("many_0:v()"), "2");
        (cost, servers.as_i64().expect("a number"))
    }

    /// Version 2 of what changes, in its place on the disk of the node.
    fn replace(&self, lib: &Path) {
        for entry in fs::read_dir(self.folder.path().join("new")).expect("is there") {
            let file = entry.expect("an entry").path();
            let name = file.file_name().expect("a name");
            let number = file.file_stem().and_then(|stem| stem.to_str());
            let number: usize = number
                .and_then(|stem| stem.strip_prefix("many_")?.parse().ok())
                .expect("a number");
            let to = lib.join(format!("many_app_{}-1/ebin", number / 100));
            fs::copy(&file, to.join(name)).expect("can be copied");
        }
    }

    fn by_updo(&self, node: &TestNode, way: &Way) -> Cost {
        let desk = Desk::rehearsing();
        let old = self.folder.path().join("lib/*/ebin");
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
