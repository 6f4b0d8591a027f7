//! The way from files to an order, on generated modules: reading, graph, order, and what each module costs.
//!
//! `cargo bench --bench facts -- FOLDER…` takes folders of beams made by `scripts/bench_modules.erl` and
//! prints a table; it measures and judges nothing. `make bench` runs it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use updo::facts::beam::BeamFacts;
use updo::facts::change::{Beam, ChangeSet, Changed};
use updo::facts::local::files;
use updo::graph::build;
use updo::name::Module;

/// Each measurement is the best of this many.
const ROUNDS: usize = 5;

fn main() {
    let folders: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    println!("modules   edges     read    graph    order    total   each module");
    for folder in folders {
        let best = (0..ROUNDS)
            .map(|_| measure(Path::new(&folder)))
            .min_by_key(|run| run.total());
        if let Some(run) = best {
            let each = run.total() / u32::try_from(run.modules.max(1)).unwrap_or(u32::MAX);
            println!(
                "{:>7} {:>7} {:>8} {:>8} {:>8} {:>8}   {:>8}",
                run.modules,
                run.edges,
                ms(run.read),
                ms(run.graph),
                ms(run.order),
                ms(run.total()),
                format!("{:.1} us", each.as_secs_f64() * 1e6)
            );
        }
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

struct Run {
    modules: usize,
    edges: usize,
    read: Duration,
    graph: Duration,
    order: Duration,
}

impl Run {
    fn total(&self) -> Duration {
        self.read + self.graph + self.order
    }
}

fn measure(folder: &Path) -> Run {
    let start = Instant::now();
    let paths = files::beams_of(&["."], folder).expect("a folder of beams");
    let wanted: BTreeSet<Module> = paths
        .iter()
        .filter_map(|path| Some(Module::new(path.file_stem()?.to_str()?)))
        .collect();
    let mut modules = BTreeMap::new();
    for path in &paths {
        let file = files::read_beam_file(path).expect("a beam");
        // Code and literals as well, as for every module that takes part in an upgrade.
        let facts = BeamFacts::read_whole(&file.bytes, &wanted).expect("a beam");
        let beam = Beam::new(file.bytes, path.display().to_string(), facts);
        let changed = Changed {
            loaded: None,
            unloaded: None,
            old: None,
            new: Some(beam),
            app: None,
            processes: 0,
            module_processes: Default::default(),
        };
        modules.insert(
            wanted
                .get(
                    path.file_stem()
                        .and_then(|s| s.to_str())
                        .unwrap_or_default(),
                )
                .expect("listed")
                .clone(),
            changed,
        );
    }
    let changes = ChangeSet {
        modules,
        ..ChangeSet::default()
    };
    let read = start.elapsed();
    let start = Instant::now();
    let graph = build::build(&changes);
    let built = start.elapsed();
    let start = Instant::now();
    let order = graph.order_flat();
    let ordered = start.elapsed();
    assert_eq!(order.len(), changes.modules.len());
    Run {
        modules: order.len(),
        edges: graph.edges().count(),
        read,
        graph: built,
        order: ordered,
    }
}
