//! Faults, generated: at every step of a script the client is killed, the connection cut, the executor killed, the
//! guardian killed, while conversions succeed, fail or hang. Whatever happens, the node is fully old or fully new
//! afterwards, by the MD5 of every module and the state of every process, and no process stays suspended.
//!
//! `UPDO_SEED` and `UPDO_COUNT` make other and more of them: `make sweep`.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use crate::bank::{Is, Plan, look, nothing_left, pids_of};
use crate::killed::await_alone;
use crate::support::apps::Deployed;
use crate::support::desk::Desk;
use crate::support::invented::Dice;

/// Steps of the bank's script, and what lies before and behind them.
const POINTS: [&str; 6] = ["prepare", "1", "2", "3", "4", "finished"];
const FAULTS: [&str; 5] = ["client", "cut", "executor", "guardian", "nothing"];
/// How the eight conversions behave; those after the first two make the run fail.
const CONVERSIONS: [&str; 6] = [
    "{slow, 30}",
    "fine",
    "{fail, 3, error}",
    "{fail, 8, exit}",
    "{fail, 1, bad_return}",
    "{slow, 5, 900}",
];

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Fault {
    what: &'static str,
    point: &'static str,
    delay: usize,
    conversion: &'static str,
}

/// Every fault at every point once, then so many by chance.
fn faults(dice: &mut Dice, more: usize) -> Vec<Fault> {
    let mut all = Vec::new();
    for point in POINTS {
        for what in FAULTS.into_iter().filter(|what| *what != "nothing") {
            let delay = dice.below(4);
            all.push(Fault {
                what,
                point,
                delay,
                conversion: "{slow, 30}",
            });
        }
    }
    all.extend((0..more).map(|_| Fault {
        what: dice.pick(&FAULTS),
        point: dice.pick(&POINTS),
        delay: dice.below(60),
        conversion: dice.pick(&CONVERSIONS),
    }));
    all
}

#[test]
fn every_fault_at_every_step() {
    let bank = Deployed::bank();
    let node = &bank.node;
    let (desk, pids) = (Desk::new(), pids_of(node));
    node.eval(&format!(
        "application:set_env(witness, tests, \"{}\")",
        std::process::id()
    ));
    let more = number("UPDO_COUNT").map_or(14, |count| count as usize);
    let mut dice = Dice::new(number("UPDO_SEED").unwrap_or(2));
    let mut state = Is::Old;
    let mut counts: BTreeMap<(&str, String), u32> = BTreeMap::new();
    let all = faults(&mut dice, more);
    let total = all.len();
    for fault in all {
        let Fault {
            what,
            point,
            delay,
            conversion,
        } = fault;
        let goal = if state == Is::Old { Is::New } else { Is::Old };
        let plan = match goal {
            Is::New => Plan::up(conversion),
            Is::Old => Plan::back(conversion),
        };
        let plan = plan.account("timeout => 300ms").on(&desk);
        node.eval(&format!("witness:strike({what}, {point}, {delay})"));
        let ran = desk.on(node, &["run", &plan, "--yes"]).start().wait();
        node.await_true("whereis(striker) =:= undefined");
        let about = format!("{what} at {point} +{delay} ms, {conversion}: {ran}");
        std::panic::catch_unwind(AssertUnwindSafe(|| await_alone(node)))
            .unwrap_or_else(|_| panic!("{about}"));
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let found = look(node);
            nothing_left(node);
            assert_eq!(pids_of(node), pids, "the processes are not the same");
            found
        }))
        .unwrap_or_else(|_| panic!("{about}"));
        // What the exit code says is so.
        match ran.code {
            Some(0) => assert_eq!(found, goal, "{about}"),
            // 10: cut while the agent was brought to the node.
            Some(10 | 14 | 20) => assert_eq!(found, state, "{about}"),
            Some(23) | None => {}
            _ => panic!("{about}"),
        }
        let struck = node.eval_text("witness:struck()") != "none";
        let end = if found == goal { "new" } else { "old" };
        let code = ran
            .code
            .map_or("killed".to_owned(), |code| code.to_string());
        let struck = if struck { what } else { "(too late)" };
        *counts
            .entry((struck, format!("{end}, exit {code}")))
            .or_default() += 1;
        state = found;
    }
    println!("{total} faults");
    for ((what, end), count) in &counts {
        println!("  {count:>4}  {what:<10} {end}");
    }
    // Each kind of fault was really brought about.
    for what in FAULTS.into_iter().filter(|what| *what != "nothing") {
        assert!(
            counts.keys().any(|(struck, _)| *struck == what),
            "{what}: {counts:?}"
        );
    }
}
