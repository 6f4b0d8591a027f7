//! What starting costs: `updo --version` and `updo check` of a small plan beside an empty Rust process.
//!
//! Whole processes, in turns; the best and the median of many, because other work only ever adds. Prints a table and
//! judges nothing. `make bench start` runs it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ROUNDS: usize = 60;

fn main() {
    // `cargo test` starts benches too; there the point is that this one compiles.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (source, empty) = (dir.path().join("empty.rs"), dir.path().join("empty"));
    std::fs::write(&source, "fn main() {}\n").expect("can be written");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let built = Command::new(rustc)
        .args(["-O", "-o"])
        .args([&empty, &source])
        .status()
        .expect("rustc starts");
    assert!(built.success(), "an empty program compiles");
    let updo = Path::new(env!("CARGO_BIN_EXE_updo"));
    let plan = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/demo.updo");
    let plan = plan.to_str().expect("UTF-8");
    let commands: [(&str, &Path, &[&str]); 3] = [
        ("an empty Rust process", &empty, &[]),
        ("updo --version", updo, &["--version"]),
        ("updo check plans/demo.updo", updo, &["check", plan]),
    ];
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); commands.len()];
    for _ in 0..ROUNDS {
        for (at, (_, program, args)) in commands.iter().enumerate() {
            times[at].push(once(program, args));
        }
    }
    for times in &mut times {
        times.sort_unstable();
    }
    let base = times[0][ROUNDS / 2].as_secs_f64();
    println!("{:<30} {:>10} {:>10}", "start-up", "best", "median");
    for ((title, ..), times) in commands.iter().zip(&times) {
        let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
        let median = times[ROUNDS / 2];
        println!(
            "{title:<30} {:>10} {:>10}   {:.1} times",
            ms(times[0]),
            ms(median),
            median.as_secs_f64() / base
        );
    }
}

fn once(program: &Path, args: &[&str]) -> Duration {
    let began = Instant::now();
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it starts");
    assert!(status.success(), "{program:?} {args:?}: {status}");
    began.elapsed()
}
