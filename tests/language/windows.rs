//! Windows without a node: which modules are suspended together, in which order, and what that costs for thousands of
//! modules.

use std::time::{Duration, Instant};

use updo::diag::Code;
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

/// A stock that has a new function, a cart that calls it, a till that calls the cart, a tax table, and two that call each other.
fn market() -> World {
    let (stock, mut given) = server("shop_stock", &["shop_tax"]);
    given.had = Some(vec![("code_change", 3)]);
    World(vec![
        (stock, given),
        server("shop_cart", &["shop_stock"]),
        server("shop_till", &["shop_cart"]),
        calls("shop_tax", &[]),
        server("shop_x", &["shop_y"]),
        server("shop_y", &["shop_x"]),
    ])
}

#[test]
fn windows_of_ones_own() {
    let shown = |text: &str| {
        let upgrade = market().decide(&read(&format!("{text} because \"x\".")).0);
        let errors: Vec<_> = upgrade
            .diagnostics
            .iter()
            .filter(|d| d.is_error())
            .collect();
        assert!(errors.is_empty(), "{text}: {errors:#?}");
        shown(&upgrade.script)
    };
    // What is needed may be switched earlier; the rest comes last, cycles stay together.
    assert_eq!(
        shown("window shop_stock then [shop_cart, shop_till]"),
        [
            "+shop_stock shop_stock -shop_stock",
            "+shop_till +shop_cart shop_cart shop_till -shop_cart -shop_till",
            "+shop_x +shop_y shop_tax shop_x shop_y -shop_y -shop_x",
        ]
    );
    // Unless it is placed: what is not named and is needed goes along, what needs something waits for it.
    assert_eq!(
        shown("window rest then shop_till then shop_stock"),
        [
            "+shop_x +shop_y shop_tax shop_x shop_y -shop_y -shop_x",
            "+shop_till shop_till -shop_till",
            "+shop_cart +shop_stock shop_stock shop_cart -shop_stock -shop_cart",
        ]
    );
    assert_eq!(
        shown("window shop_cart then rest"),
        [
            "+shop_cart +shop_stock shop_stock shop_cart -shop_stock -shop_cart",
            "+shop_till +shop_x +shop_y shop_tax shop_till shop_x shop_y -shop_y -shop_x -shop_till",
        ]
    );
    assert_eq!(shown("window shop_x then rest").len(), 2);
    // A name beats a set, in either order.
    for text in [
        "window glob(\"shop_*\") then shop_till",
        "window glob(\"shop_*\") -- [shop_till] then shop_till",
    ] {
        assert_eq!(
            shown(text).last().map(String::as_str),
            Some("+shop_till shop_till -shop_till")
        );
    }
    let early = shown("window shop_stock then glob(\"shop_*\")");
    assert_eq!(early[0], "+shop_stock shop_stock -shop_stock");
    assert_eq!(early.len(), 2);
    // A guard that does not hold, and a window without anything.
    assert_eq!(
        shown("window shop_stock then rest when otp() > 99").len(),
        1
    );
    assert_eq!(shown("window shop_same then rest").len(), 1);
}

#[test]
fn windows_that_cannot_be() {
    let said = |text: &str| -> Vec<(Code, String)> {
        let found = market().decide(&read(text).0).diagnostics.into_iter();
        let found = found.filter(|d| !matches!(d.code, Code::A308 | Code::A311 | Code::W307));
        found.map(|d| (d.code, d.title)).collect()
    };
    let title = "`shop_cart` needs the new `shop_stock`, which a later window switches";
    let needs = vec![(Code::E354, title.to_owned())];
    assert_eq!(said("window shop_cart then shop_stock."), needs);
    assert_eq!(
        said("window [shop_cart, shop_tax] then rest then shop_stock."),
        needs
    );
    assert_eq!(said("window shop_stock then shop_cart."), []);
    // Through what no window names: the till waits for the cart, the cart needs the stock.
    let through =
        said("window shop_till then shop_stock. shop_till depends on shop_cart because \"x\".");
    assert_eq!(
        through,
        [(
            Code::E354,
            "`shop_till` needs the new `shop_stock`, which a later window switches".to_owned()
        ),]
    );
    let cycle = "window shop_x then shop_y. cycle [shop_x, shop_y]:";
    let divided = "a cycle is divided between windows: shop_x, shop_y".to_owned();
    assert_eq!(said(&format!("{cycle} together.")), [(Code::E354, divided)]);
    assert_eq!(said(&format!("{cycle} break shop_x -> shop_y.")), []);
    // No statement names it: said, and how to say that it is known.
    let upgrade = market().decide(&read("window shop_x then shop_y.").0);
    let known = upgrade.diagnostics.iter().find(|d| d.code == Code::W307);
    let help = known.and_then(|d| d.help.clone()).unwrap_or_default();
    assert!(
        help.contains("divided by `window`") && help.contains("break A -> B"),
        "{help}"
    );
    assert_eq!(upgrade.script.windows().len(), 3);
    let twice = vec![(Code::E302, "`shop_cart` is in two windows".to_owned())];
    assert_eq!(said("window shop_cart then [shop_cart]."), twice);
    assert_eq!(
        said("window glob(\"shop_c*\") then glob(\"shop_*\") -- [shop_stock]."),
        twice
    );
    let unmatched = said("window shop_same then rest.");
    assert_eq!(
        unmatched.iter().map(|(code, _)| *code).collect::<Vec<_>>(),
        [Code::W310]
    );
}

#[test]
fn own_windows_are_given_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let codes = |text: &str| -> Vec<Code> {
        let path = folder.path().join("plan.updo");
        std::fs::write(&path, text).expect("written");
        let loaded = updo::plan::load(&path, &Default::default());
        let errors = loaded.diagnostics.into_iter().filter(|d| d.is_error());
        errors.map(|d| d.code).collect()
    };
    assert_eq!(codes("window a then rest then b then rest."), [Code::E209]);
    assert_eq!(codes("window single. window a then b."), [Code::E209]);
    assert_eq!(codes("window a then 1 + 1."), [Code::E101]);
    assert_eq!(codes("window a then [1]."), [Code::E205]);
    assert_eq!(
        codes("engine release_handler. window a then b."),
        [Code::E205]
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
    for window in [
        "single",
        "minimal",
        "otp",
        "shop_01000 then glob(\"shop_*\")",
    ] {
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
        let windows = match window {
            "single" => 1,
            "minimal" | "otp" => names.len(),
            _ => 2,
        };
        assert_eq!(ways.len(), windows);
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
