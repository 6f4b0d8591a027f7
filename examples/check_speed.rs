//! How long `updo check` takes for a large plan, and for deep brackets: `cargo run --release --example check_speed`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use updo::plan::load_text;

/// A plan of many statements of every kind that grows with a system.
fn large(statements: usize) -> String {
    let mut text = "plan \"large\".\n".to_owned();
    for n in 0..statements {
        let _ = match n % 5 {
            0 => writeln!(
                text,
                "shop_{n} depends on [shop_{0}, Chat.Room{n}] because \"reason {n}\".",
                n + 1
            ),
            1 => writeln!(
                text,
                "module shop_{n} #{{timeout => 30s, purge => {{soft, {{wait, 2s}}}}}} when otp() >= 25."
            ),
            2 => writeln!(
                text,
                "Limit{n} = {} + 1.",
                if n < 5 {
                    "0".to_owned()
                } else {
                    format!("Limit{}", n - 5)
                }
            ),
            3 => writeln!(
                text,
                "verify \"check {n}\" #{{within => 10s}} -> {{ok, N}} = shop_{n}:count(), N > Limit{}.",
                n - 1
            ),
            _ => writeln!(
                text,
                "exclude glob(\"shop_{n}_*\") -- [shop_{n}_a] because \"x\"."
            ),
        };
    }
    text
}

fn best(text: &str) -> Duration {
    let once = || {
        let begin = Instant::now();
        let loaded = load_text(Path::new("plan.updo"), text, &BTreeMap::new());
        assert!(loaded.plan.is_some(), "{:?}", loaded.diagnostics.first());
        begin.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

fn main() {
    let deep = format!("X = {}1{}.\n", "[".repeat(200), "]".repeat(200));
    println!("5000 statements: {:.1?}", best(&large(5000)));
    println!("200 brackets:    {:.1?}", best(&deep));
}
