//! What the diagnostics say.

use super::{failure, run, value};
use crate::diag::Span;
use crate::eval::{FailureKind, Phase};

#[test]
fn a_failed_match_shows_pattern_and_value_side_by_side() {
    let text = "{ok, #{total := T}} = {error, closed}";
    let diagnostic = failure(text).diagnostic;
    assert_eq!(diagnostic.code.as_str(), "E701");
    assert_eq!(
        diagnostic.title,
        "no match: `{ok, #{total := T}}` against `{error,closed}`"
    );
    assert_eq!(diagnostic.labels[0].span, Span::new(1, 3));
    assert_eq!(diagnostic.labels[0].text, "this is `error`");
    assert_eq!(diagnostic.notes[1], "value:   {error,closed}");
}

#[test]
fn an_unbound_variable_points_to_the_module_and_to_a_near_name() {
    let failure = failure("Total = 1, Totl + 1");
    assert_eq!(failure.diagnostic.code.as_str(), "E206");
    let help = failure.diagnostic.help.expect("help");
    assert!(help.contains("did you mean `Total`?"), "{help}");
    assert!(help.contains("write `Elixir.Totl`"), "{help}");
}

#[test]
fn what_is_wrong_with_the_plan_cannot_be_caught() {
    for text in [
        "catch X",
        "catch begin #{a => 1} = 2 end",
        "catch shop:slow()",
        "catch shop:lost()",
    ] {
        assert_ne!(failure(text).kind, FailureKind::Raised, "{text}");
    }
    assert_eq!(value("catch 1 + a"), "{'EXIT',{badarith,[]}}");
}

#[test]
fn a_missing_function_is_distinguished_from_one_missing_inside() {
    let missing = failure("shop:gone(1)");
    assert_eq!(
        missing.diagnostic.title,
        "`shop:gone/1` is undefined in the node"
    );
    let inside = failure("shop:inner()").diagnostic;
    assert_eq!(inside.code.as_str(), "E703");
    assert_eq!(inside.notes, ["cart:gone/2 (shop.erl, line 7)"]);
    assert_eq!(failure("shop:slow()").diagnostic.code.as_str(), "E705");
    assert_eq!(failure("shop:lost()").diagnostic.code.as_str(), "E608");
}

#[test]
fn bad_arguments_are_named() {
    for (text, title) in [
        ("1 + ok", "bad argument for `+`: `ok`"),
        ("ok * a", "bad argument for `*`: `ok`"),
        ("1 div 0", "bad argument for `div`: `0`"),
        ("1 bsl 1.5", "bad argument for `bsl`: `1.5`"),
        ("length(ok)", "bad argument for `length`: `ok`"),
        ("foo and true", "bad argument for `and`: `foo, true`"),
        ("(foo)#{a => 1}", "bad map for `#{}`: `foo`"),
        ("(#{})#{a := 1}", "there is no key `a`"),
    ] {
        let diagnostic = failure(text).diagnostic;
        assert_eq!(diagnostic.title, title, "{text}");
        assert_eq!(diagnostic.code.as_str(), "E704", "{text}");
    }
}

#[test]
fn unknown_names_get_a_suggestion_before_a_node_is_there() {
    let failure = run(Phase::Facts, "", "lenght([])").expect_err("unknown");
    assert_eq!(failure.diagnostic.code.as_str(), "E702");
    assert_eq!(
        failure.diagnostic.help.as_deref(),
        Some("did you mean `length`?")
    );
}

#[test]
fn patterns_and_guards_refuse_what_they_cannot_hold() {
    for text in [
        "length(X) = 1",
        "#{a => 1, b => X} = #{}",
        "case 1 of X when shop:f(X) -> a end",
        "case 1 of X when [Y || Y <- [X]] =:= [] -> a end",
        "case 1 of _ when atom_to_list(a) =:= \"a\" -> a end",
    ] {
        assert_eq!(failure(text).diagnostic.code.as_str(), "E101", "{text}");
    }
    assert_eq!(
        value("case 1 of X when erlang:is_integer(X), otp() > 20 -> a end"),
        "a"
    );
}

/// Counters, atomics, tables and other resources: nothing keeps them alive while they are here.
#[test]
fn what_cannot_leave_the_node_is_not_sent_back() {
    for text in [
        "R = shop:counter(), shop:echo(R)",
        "R = shop:counter(), shop:echo([#{a => {1, R}} | x])",
        "C = [shop:counter() || _ <- [1, 2]], shop:echo(C)",
    ] {
        let failure = failure(text);
        assert_eq!(failure.diagnostic.code.as_str(), "E707", "{text}");
        let title = &failure.diagnostic.title;
        assert!(title.contains("`shop:echo/1`"), "{title}");
        // The plan is wrong, not the node.
        assert_ne!(failure.kind, FailureKind::Raised);
    }
    // Ordinary references survive the way.
    let echoed = value("R = shop:timer(), [R] = shop:echo(R), is_reference(R)");
    assert_eq!(echoed, "true");
}

/// The function did return: nothing was raised that a `catch` could see.
#[test]
fn a_value_that_cannot_travel_is_no_exception() {
    for text in ["shop:huge()", "catch shop:huge()"] {
        let failure = failure(text);
        assert_eq!(failure.diagnostic.code.as_str(), "E348", "{text}");
        let title = &failure.diagnostic.title;
        assert_eq!(title, "a value of `shop:huge/0` cannot travel: it is huge");
        assert_eq!(failure.kind, FailureKind::Limit);
    }
}
