//! What is printed parses to the tree that was printed.

use proptest::prelude::*;
use updo::syntax::ast::Expr;
use updo::syntax::parse_expression;
use updo::syntax::print::to_source;

/// A tree as text without its places.
fn bare(expr: &Expr) -> String {
    let text = format!("{expr:?}");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("Span {") {
        out.push_str(&rest[..at]);
        let end = rest[at..].find('}').map_or(rest.len(), |n| at + n + 1);
        rest = &rest[end..];
    }
    out + rest
}

fn round_trip(text: &str) {
    let expr = parse_expression(text, 0).unwrap_or_else(|d| panic!("{text}: {d:?}"));
    let printed = to_source(&expr);
    let again =
        parse_expression(&printed, 0).unwrap_or_else(|d| panic!("{text} -> {printed}: {d:?}"));
    assert_eq!(bare(&expr), bare(&again), "{text} -> {printed}");
}

#[test]
fn expressions_are_printed_in_their_known_form() {
    for (text, expected) in [
        (
            "{ok,#{total:=T}}=shop_cart:quote([{sku,17,2}])",
            "{ok, #{total := T}} = shop_cart:quote([{sku,17,2}])",
        ),
        ("A+B*C", "A + (B * C)"),
        ("not f(X)", "not f(X)"),
        (
            "case X of N when N<5,N>1;N==9->a;_->b end",
            "case X of N when N < 5, N > 1; N == 9 -> a; _ -> b end",
        ),
        (
            "<<A:16/little-unit:2,(f(B)):(N+1)/binary>>",
            "<<A:16/little-unit:2, (f(B)):(N + 1)/binary>>",
        ),
        ("[X||X<-L,X>1]", "[X || X <- L, X > 1]"),
        ("90s", "90s"),
        ("7200s", "2h"),
    ] {
        let expr = parse_expression(text, 0).unwrap_or_else(|d| panic!("{text}: {d:?}"));
        assert_eq!(to_source(&expr), expected);
        round_trip(text);
    }
}

/// Text of expressions of every kind.
fn source() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "X",
        "_",
        "Rest",
        "a",
        "'odd atom'",
        "maybe",
        "else",
        "'end'",
        "Chat.Room",
        "Elixir.Chat",
        "0",
        "17",
        "-3",
        "99999999999999999999",
        "1.5",
        "-2.0e10",
        "16#ff",
        "30s",
        "500ms",
        "$a",
        "$\\n",
        "\"text\"",
        "\"\"",
        "\"\u{e5}\u{1F600}\"",
        "~b\"bin\"",
        "~s(x)",
        "<<>>",
        "<<1,2>>",
        "fun m:f/1",
        "fun 'a b':'c d'/0",
        "[]",
        "{}",
        "#{}",
        "[1|2]",
        "#{a=>1.0,1=>b}",
        "'a\\nb'",
        "'\u{e5}'",
        "\"a\\\"b\\\\\"",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let three = (inner.clone(), inner.clone(), inner.clone());
        let op = prop::sample::select(vec![
            "=", "orelse", "andalso", "==", "=<", "<", "=:=", "++", "--", "+", "-", "bor", "*",
            "div", "rem", "band",
        ]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("({a}) {op} ({b})")),
            (
                prop::sample::select(vec!["-", "+", "not ", "bnot ", "catch "]),
                inner.clone()
            )
                .prop_map(|(op, a)| format!("{op}({a})")),
            three
                .clone()
                .prop_map(|(a, b, c)| format!("{{{a}, {b}, {c},}}")),
            three
                .clone()
                .prop_map(|(a, b, c)| format!("[{a}, {b} | {c}]")),
            two.clone().prop_map(|(a, b)| format!("f({a}, {b})")),
            two.clone().prop_map(|(a, b)| format!("({a}):f({b})")),
            two.clone().prop_map(|(a, b)| format!("m:({a})({b})")),
            three
                .clone()
                .prop_map(|(a, b, c)| format!("({a})#{{({b}) := {c}}}")),
            two.clone()
                .prop_map(|(a, b)| format!("#{{({a}) => {b}, k => 1}}")),
            three
                .clone()
                .prop_map(|(a, b, c)| format!("[{a} || {b} <- {c}, {a}]")),
            three
                .clone()
                .prop_map(|(a, b, c)| format!("<< ({a}) || <<({b}):8>> <= {c} >>")),
            three
                .clone()
                .prop_map(|(a, b, c)| format!("#{{({a}) => {b} || K := V <- {c}}}")),
            three.clone().prop_map(|(a, b, c)| format!(
                "<<({a}):({b})/signed-little-integer-unit:4, ({c})/binary, \"s\"/utf8>>"
            )),
            three.clone().prop_map(|(a, b, c)| format!(
                "case {a} of {b} when ({c}), true; ({a}) -> {c}; _ -> {b}, {a} end"
            )),
            two.clone()
                .prop_map(|(a, b)| format!("if ({a}) -> {b}; true -> ok end")),
            two.prop_map(|(a, b)| format!("begin {a}, {b} end")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(11), ..ProptestConfig::default() })]

    #[test]
    fn printed_expressions_parse_to_the_same_tree(text in source()) {
        round_trip(&text);
    }
}
