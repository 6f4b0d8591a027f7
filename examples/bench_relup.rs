//! Translation of appup scripts, updo beside `systools_rc` in one run, for chains and cycles of modules.
//!
//! `cargo run --release --example bench_relup [MODULES]…`; needs `erl` on the path. OTP's time grows with the
//! third power on chains, so it is asked for at most 1,000 modules.

#[path = "../tests/support/callback.rs"]
mod callback;
#[path = "../tests/relup/oracle.rs"]
mod oracle;

use std::time::{Duration, Instant};

use updo::name::{App, Module};
use updo::script::instruction::StartType;
use updo::script::translate::{Application, Mode, translate};
use updo::term::Term;

/// More than this OTP is not asked for.
const PATIENCE: usize = 1_000;

fn main() {
    let mut sizes: Vec<usize> = std::env::args().skip(1).flat_map(|n| n.parse()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 300, 1_000, 10_000];
    }
    let mut erl = oracle::Oracle::start();
    println!("one script of updates, translated up; best of three for updo, once for systools_rc");
    println!(
        "{:>8} {:>7} {:>12} {:>14} {:>8}",
        "modules", "shape", "updo", "systools_rc", "times"
    );
    for size in sizes {
        for closed in [false, true] {
            let (script, app) = modules(size, closed);
            let ours = updo(&script, &app);
            let theirs = (size <= PATIENCE).then(|| systools(&mut erl, &script, &app));
            let times = theirs.map(|theirs| theirs.as_secs_f64() / ours.as_secs_f64());
            println!(
                "{size:>8} {:>7} {:>12} {:>14} {:>8}",
                if closed { "cycle" } else { "chain" },
                shown(ours),
                theirs.map_or("-".to_owned(), shown),
                times.map_or("-".to_owned(), |times| format!("{times:.0}"))
            );
        }
    }
}

fn shown(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// A script whose modules each depend on the next, the last on the first if the shape is closed.
fn modules(size: usize, closed: bool) -> (Term, Application) {
    let name = |i: usize| format!("m{i}");
    let script = Term::list((0..size).map(|i| {
        let next = match i + 1 {
            next if next < size => Some(next),
            _ => closed.then_some(0),
        };
        let deps = Term::list(next.map(|next| Term::atom(name(next))));
        Term::tuple([Term::atom("update"), Term::atom(name(i)), deps])
    }));
    let app = Application {
        name: App::new("a"),
        vsn: Term::string("2"),
        start: StartType::Permanent,
        modules: (0..size).map(|i| Module::new(name(i))).collect(),
    };
    (script, app)
}

fn updo(script: &Term, app: &Application) -> Duration {
    let (scripts, apps) = ([script.clone()], [app.clone()]);
    let once = || {
        let start = Instant::now();
        let low = translate(Mode::Up, &scripts, &apps, &apps);
        let took = start.elapsed();
        assert!(low.is_ok(), "the script is valid");
        took
    };
    (0..3).map(|_| once()).min().unwrap_or_default()
}

fn systools(erl: &mut oracle::Oracle, script: &Term, app: &Application) -> Duration {
    let app = Term::list([Term::tuple([
        Term::atom(app.name.as_str()),
        app.vsn.clone(),
        app.start.to_term(),
        Term::list(app.modules.iter().map(|m| Term::atom(m.as_str()))),
    ])]);
    let answer = erl.ask(&Term::tuple([
        Term::atom("time"),
        Term::atom("up"),
        Term::list([script.clone()]),
        app.clone(),
        app,
    ]));
    let micros = answer
        .as_i64()
        .and_then(|micros| u64::try_from(micros).ok());
    Duration::from_micros(micros.expect("microseconds"))
}
