//! Windows without a node: which modules are suspended together, in which order, and what that costs for thousands of
//! modules.

use std::time::{Duration, Instant};

use updo::script::instruction::Instruction;
use updo::script::lower::Script;

use super::synthetic::{Given, World, calls, read};

/// A server that calls others.
fn server(name: &'static str, others: &[&'static str]) -> (&'static str, Given) {
    let (name, given) = calls(name, others);
    let exports = given.exports.into_iter().chain([("code_change", 3)]);
    let given = Given {
        behaviours: vec!["gen_server"],
        exports: exports.collect(),
        ..given
    };
    (name, given)
}

/// The windows in words: `+x` is suspended, `x` switched, `-x` resumed.
fn shown(script: &Script) -> Vec<String> {
    let word = |instruction: &Instruction| match instruction {
        Instruction::Suspend(list) => list.iter().map(|(m, _)| format!("+{m}")).collect(),
        Instruction::Load { module, .. } | Instruction::Remove { module, .. } => {
            vec![module.to_string()]
        }
        Instruction::Resume(list) => list.iter().map(|m| format!("-{m}")).collect(),
        _ => Vec::new(),
    };
    let windows = script.windows();
    let words = |window: &[Instruction]| window.iter().flat_map(word).collect::<Vec<_>>().join(" ");
    windows.into_iter().map(words).collect()
}

#[test]
fn sets_that_must_change_together_share_a_window() {
    // shop_a and shop_b are joined by the plan, shop_x and shop_y call each other.
    let world = World(vec![
        server("shop_a", &["shop_b"]),
        server("shop_b", &["shop_x", "shop_p"]),
        server("shop_x", &["shop_y"]),
        server("shop_y", &["shop_x"]),
        calls("shop_p", &[]),
        server("shop_z", &["shop_a"]),
    ]);
    let shown = |window: &str| {
        let text = format!(
            "window {window}. shop_a depends on shop_b because \"x\".
             cycle [shop_x, shop_y]: together because \"known\"."
        );
        let upgrade = world.decide(&read(&text).0);
        shown(&upgrade.script)
    };
    assert_eq!(
        shown("minimal"),
        [
            "shop_p +shop_x +shop_y shop_x shop_y -shop_y -shop_x",
            "+shop_a +shop_b shop_b shop_a -shop_b -shop_a",
            "+shop_z shop_z -shop_z",
        ]
    );
    assert_eq!(
        shown("single"),
        [
            "+shop_z +shop_a +shop_b +shop_x +shop_y shop_p shop_x shop_y shop_b shop_a shop_z \
             -shop_y -shop_x -shop_b -shop_a -shop_z"
        ]
    );
    // OTP suspends a cycle together only when its edges are dependencies: here they are calls.
    assert_eq!(
        shown("otp"),
        [
            "shop_p +shop_x shop_x -shop_x",
            "+shop_y shop_y -shop_y",
            "+shop_a +shop_b shop_b shop_a -shop_b -shop_a",
            "+shop_z shop_z -shop_z",
        ]
    );
}

#[test]
fn thousands_of_servers_take_no_time() {
    let names: Vec<&'static str> = (0..3_000)
        .map(|i| &*Box::leak(format!("shop_{i:05}").into_boxed_str()))
        .collect();
    let chain = names.iter().enumerate().map(|(i, name)| {
        let next: Vec<&'static str> = names.get(i + 1).copied().into_iter().collect();
        server(name, &next)
    });
    let world = World(chain.collect());
    for window in ["single", "minimal", "otp"] {
        let plan = read(&format!("window {window}.")).0;
        let begin = Instant::now();
        let upgrade = world.decide(&plan);
        let took = begin.elapsed();
        assert_eq!(upgrade.script.suspended().count(), names.len());
        let steps = updo::exec::steps::steps(&upgrade.script, &upgrade.rules).len();
        let ways = updo::exec::rollback_steps::per_step(
            &upgrade.changes,
            &upgrade.rules,
            &upgrade.script,
            1,
        );
        assert_eq!(ways.len(), if window == "single" { 1 } else { names.len() });
        assert!(steps >= ways.len() * 4, "{steps}");
        let whole = begin.elapsed();
        println!(
            "{window}: decided in {took:?}, steps and ways back in {:?}",
            whole - took
        );
        // Unoptimised, on a busy machine; quadratic would be minutes.
        assert!(whole < Duration::from_secs(20), "{window}: {whole:?}");
    }
}
