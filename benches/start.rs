//! What starting costs: `updo --version` and `updo check` beside an empty Rust process; plans that are small, deep
//! (200 brackets) and long (5,000 statements of all kinds).
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
    let written = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("can be written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (deep, long) = (written("deep.updo", deep()), written("long.updo", long()));
    let commands: [(&str, &Path, &[&str]); 5] = [
        ("check of 200 nested brackets", updo, &["check", &deep]),
        ("check of 5,000 statements", updo, &["check", &long]),
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
    let base = times[2][ROUNDS / 2].as_secs_f64();
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

fn deep() -> String {
    format!(
        "Deep = {}1{}.\nexclude a when Deep =:= 1.\n",
        "[".repeat(200),
        "]".repeat(200)
    )
}

/// Constants, overrides with guards and reasons, functions and checks, in turn.
fn long() -> String {
    let statement = |n: usize| match n % 5 {
        0 => format!("Limit{n} = {n} * 2 + length([a, b, {{c, \"{n}\"}}]).\n"),
        1 => format!(
            "mod_{n} depends on mod_{} when otp() >= 25 because \"reason {n}\".\n",
            n + 1
        ),
        2 => format!(
            "module mod_{n} #{{timeout => {n}s, purge => {{wait, 2s}}}} because \"slow {n}\".\n"
        ),
        3 => format!("healthy_{n}(Min) -> #{{rooms := N}} = chat:report({n}), N >= Min.\n"),
        _ => format!(
            "verify \"check {n}\" #{{within => 10s}} -> {{ok, [_ | T]}} = shop:look(mod_{n}), length(T) < {n}.\n"
        ),
    };
    (0..5_000).map(statement).collect()
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
