//! Nothing runs for ever, grows without bound, or ends the process.

use std::time::{Duration, Instant};

use super::{exprs, functions, run, table};
use crate::eval::{Bindings, Evaluator, FailureKind, Limits, Phase};
use crate::term::Term;

const PLAN: &str = "loop(X) -> loop(X).
    deep(N) -> 1 + deep(N).
    grow(X) -> grow([X | X]).
    nest(X) -> nest({X}).
    count(0) -> done; count(N) -> count(N - 1).
    down(0) -> 0; down(N) -> 1 + down(N - 1).
    square(X) -> square(X * X).
    double(B) -> double(<<B/binary, B/binary>>).
    copies(N, L) -> copies(N, L ++ L).
    catching(N) -> catch catching(N) + 1.";

/// Every one of these must end with a limit, soon, whatever was caught.
#[test]
fn runaways_are_stopped() {
    for text in [
        "loop(1)",
        "deep(1)",
        "grow([])",
        "nest([])",
        "copies(1, [a])",
        "catching(1)",
        "catch loop(1)",
        "[X || X <- lists(1), loop(X)]",
        "[loop(X) || X <- [1]]",
        "[{A, B, C, D} || A <- L, B <- L, C <- L, D <- L]",
        "[X || <<X:0>> <= <<1>>]",
        "[[L, L] || _ <- L, _ <- L]",
    ] {
        let began = Instant::now();
        let text = format!(
            "L = binary_to_list(<<0:1600>>), {}",
            text.replace("lists(1)", "[1]")
        );
        let failure = run(Phase::Live, PLAN, &text).expect_err(&text);
        assert_eq!(failure.kind, FailureKind::Limit, "{text}: {failure}");
        assert_eq!(failure.diagnostic.code.as_str(), "E705", "{text}");
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
    }
}

#[test]
fn numbers_and_binaries_have_a_biggest_size() {
    for text in [
        "square(3)",
        "double(<<1>>)",
        "1 bsl 2000000",
        "1 bsl (1 bsl 70)",
        "<<0:9999999999>>",
        "<<0:(1 bsl 70)>>",
    ] {
        let failure = run(Phase::Live, PLAN, text).expect_err(text);
        assert_eq!(failure.reason, Term::atom("system_limit"), "{text}");
        assert_eq!(failure.diagnostic.code.as_str(), "E704", "{text}");
    }
    assert_eq!(
        run(Phase::Live, PLAN, "0 bsl (1 bsl 70)").expect("zero"),
        Term::Int(0)
    );
}

#[test]
fn honest_work_fits() {
    for (text, expected) in [
        ("count(15000)", "done"),
        ("down(499)", "499"),
        ("length([X || X <- binary_to_list(<<0:80000>>)])", "10000"),
        (
            "byte_size(<< <<X>> || X <- binary_to_list(<<0:80000>>) >>)",
            "10000",
        ),
    ] {
        let value =
            run(Phase::Live, PLAN, text).unwrap_or_else(|failure| panic!("{text}: {failure}"));
        assert_eq!(value.to_string(), expected);
    }
}

/// The stack of a test's thread has 2 MiB; none of this may depend on it.
#[test]
fn depth_is_a_limit_and_not_a_crash() {
    let nested = format!("{}f(N - 1){}", "(1 + ".repeat(100), ")".repeat(100));
    let cases = "case {ok, [1 + g(N - 1)]} of {ok, [X]} when X > 0 -> X end";
    let plan = format!("f(0) -> 0; f(N) -> {nested}. g(0) -> 0; g(N) -> {cases}.");
    let outcome = |text: &str| run(Phase::Live, &plan, text).map(|value| value.to_string());
    assert_eq!(outcome("f(20)").expect("fits"), "2000");
    assert_eq!(outcome("g(499)").expect("fits"), "499");
    for (text, title) in [
        (
            "f(400)",
            "expressions are evaluated inside each other more than 10000 deep",
        ),
        ("g(500)", "functions call each other more than 500 deep"),
    ] {
        assert_eq!(outcome(text).expect_err(text).diagnostic.title, title);
    }
    let pattern = format!("{}X{} = 1", "[".repeat(100), "]".repeat(100));
    assert!(outcome(&pattern).is_err());
}

#[test]
fn a_body_has_its_time() {
    let functions = functions("wait(N) -> wait(N).");
    let table = table(&functions);
    let limits = Limits {
        body: Duration::from_millis(50),
        steps: u64::MAX,
        ..Limits::default()
    };
    let failure = Evaluator::new(Phase::Live, &table)
        .with_limits(limits)
        .eval(&exprs("wait(1)"), &mut Bindings::new())
        .expect_err("time");
    assert_eq!(failure.diagnostic.title, "evaluation took more than 50ms");
    let began = Instant::now();
    let failure = run(Phase::Live, "", "sleep(3600000)").expect_err("too long");
    assert_eq!(failure.kind, FailureKind::Limit);
    assert!(began.elapsed() < Duration::from_secs(1));
}
