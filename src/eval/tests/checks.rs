//! When a check passes, and what it says when it does not.

use super::{Facts, Node, exprs};
use crate::eval::{Bindings, CheckResult, Evaluator, Functions, Phase, Truth};

fn check(text: &str) -> Result<(), crate::diag::Diagnostic> {
    let table = Functions::new();
    let (mut node, mut host) = (Node::default(), Facts);
    let result = Evaluator::new(Phase::Live, &table)
        .with_names(&mut host)
        .with_remote(&mut node)
        .check(&exprs(text), &mut Bindings::new());
    match result {
        CheckResult::Passed => Ok(()),
        CheckResult::Failed(diagnostic) => Err(*diagnostic),
    }
}

#[test]
fn a_check_passes_on_a_match_or_true() {
    for text in [
        "pong = net_adm:ping(x)",
        "1 < 2",
        "N = 3, N > 2, is_integer(N)",
        "X = false",
        "shop:echo(1), true",
        "[_] = shop:echo(1)",
        "1 < 2 andalso true",
    ] {
        assert!(check(text).is_ok(), "{text}: {:?}", check(text));
    }
}

#[test]
fn a_check_does_not_pass_silently() {
    for (text, code) in [
        ("net_adm:ping(x)", "E706"),
        ("{error, closed}", "E706"),
        ("ok", "E706"),
        ("false, true", "E706"),
        ("1 > 2, true", "E706"),
        ("{ok, _} = {error, closed}", "E701"),
        ("shop:gone(1)", "E702"),
        ("shop:fail()", "E703"),
        ("1 + ok > 2", "E704"),
        ("Shop = Shop", "E206"),
    ] {
        let diagnostic = check(text).expect_err(text);
        assert_eq!(diagnostic.code.as_str(), code, "{text}: {diagnostic:?}");
    }
}

#[test]
fn e706_proposes_the_fix() {
    let diagnostic = check("net_adm:ping(x)").expect_err("pong");
    assert_eq!(
        diagnostic.title,
        "a check must end with a match or `true`; this returned `pong`"
    );
    let help = diagnostic.help.expect("help");
    assert!(help.contains("`pong = net_adm:ping(x)`"), "{help}");
}

#[test]
fn a_false_comparison_shows_both_sides() {
    let diagnostic = check("length([a]) >= 2 * 2").expect_err("false");
    assert_eq!(diagnostic.title, "this is false: `1 >= 4`");
}

#[test]
fn guards_of_statements_know_that_they_do_not_know() {
    let table = Functions::new();
    let mut host = Facts;
    let mut evaluator = Evaluator::new(Phase::Facts, &table).with_names(&mut host);
    let mut guard = |text: &str| evaluator.guard(&exprs(text), &mut Bindings::new());
    assert_eq!(guard("otp() >= 25").expect("known"), Truth::True);
    assert_eq!(
        guard("vsn(shop) > \"1\", otp() < 25").expect("known"),
        Truth::False
    );
    assert_eq!(
        guard("vsn(shop) > \"1\", otp() >= 25").expect("unknown"),
        Truth::Unknown("no node is connected".to_owned())
    );
    assert!(guard("otp()").is_err());
    assert!(guard("shop:echo(1)").is_err());
}
