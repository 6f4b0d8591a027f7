//! Trials by seed. `UPDO_SEED` is the first, `UPDO_COUNT` how many, `UPDO_FAULT` names one kind for all of them:
//! `make sweep`. Without a count, a few that have every part of the node and of the client attacked.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use crate::support::apps::Deployed;
use crate::trial::{Report, Trial, deploy};

/// Seeds of `make test`: those of faults found once, and some of each sort.
const SEEDS: [u64; 14] = [0, 1, 7, 10, 11, 14, 16, 23, 28, 34, 38, 42, 1073, 20110];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn any_event_during_a_run() {
    let first = number("UPDO_SEED").unwrap_or(1);
    match (number("UPDO_COUNT"), number("UPDO_SEED")) {
        // A node for every processor.
        (None, None) => std::thread::scope(|scope| {
            let (one, other) = SEEDS.split_at(SEEDS.len() / 2);
            let halves = [one, other].map(|half| scope.spawn(|| trials(half)));
            for half in halves {
                if let Err(panic) = half.join() {
                    std::panic::resume_unwind(panic);
                }
            }
        }),
        (count, _) => {
            let seeds: Vec<u64> = (first..first + count.unwrap_or(1)).collect();
            trials(&seeds);
        }
    }
}

/// Tries seeds one after the other, on one node as long as it is as it was.
fn trials(seeds: &[u64]) {
    let wanted = std::env::var("UPDO_FAULT").ok();
    let began = Instant::now();
    let mut node: Option<Deployed> = None;
    let mut counts: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    let (mut calls, mut gap, mut failed) = (0, 0, Vec::new());
    for seed in seeds {
        let trial = Trial::new(*seed, wanted.as_deref());
        let about = trial.about();
        let at = Instant::now();
        let fresh = trial.fault.fresh;
        let deployed = match node.take() {
            Some(node) if !fresh => node,
            _ => deploy(fresh),
        };
        let report = std::panic::catch_unwind(AssertUnwindSafe(|| trial.on(&deployed)));
        let report = report.unwrap_or_else(|why| {
            let why = why
                .downcast_ref::<String>()
                .cloned()
                .unwrap_or_else(|| "a panic".to_owned());
            let log = deployed.node.log();
            // With a full table of processes the kernel of OTP itself ends when any node connects.
            let died = trial.fault.name == "process table full"
                && log.contains("Kernel pid terminated")
                && why.contains("connection lost");
            Report {
                fault: trial.fault.name.to_owned(),
                end: if died { "node died" } else { "panic" }.to_owned(),
                calls: 0,
                gap: 0,
                problems: if died { Vec::new() } else { vec![why] },
                story: log,
            }
        });
        let lost = report.end == "node died";
        println!(
            "{} {:>5} ms  {} {about}",
            if report.problems.is_empty() {
                "ok  "
            } else {
                "FAIL"
            },
            at.elapsed().as_millis(),
            report.end
        );
        calls += report.calls;
        gap += report.gap;
        *counts
            .entry(report.fault)
            .or_default()
            .entry(report.end)
            .or_default() += 1;
        // One that is repeated prints everything.
        if seeds.len() == 1 && report.problems.is_empty() {
            println!("{}", report.story);
        }
        if report.problems.is_empty() {
            node = (!fresh && !lost).then_some(deployed);
        } else {
            let kind = wanted
                .as_ref()
                .map_or(String::new(), |kind| format!("UPDO_FAULT={kind:?} "));
            println!(
                "    {}\n    again: {kind}UPDO_SEED={seed} UPDO_COUNT=1 cargo test --test attack -- --nocapture\n{}",
                report.problems.join("\n    "),
                report.story
            );
            failed.push(*seed);
        }
    }
    println!(
        "{} trials, {} with a fault found, {calls} acknowledged calls, {gap} processes in the known gap, {} s",
        seeds.len(),
        failed.len(),
        began.elapsed().as_secs()
    );
    for (fault, ends) in &counts {
        let ends: Vec<String> = ends
            .iter()
            .map(|(end, count)| format!("{count} {end}"))
            .collect();
        println!("  {fault:<32} {}", ends.join(", "));
    }
    assert!(failed.is_empty(), "seeds {failed:?}: see above");
    assert!(calls > 0, "nobody was called");
}
