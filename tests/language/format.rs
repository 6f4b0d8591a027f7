//! `updo fmt`: the look, idempotence, and that the meaning stays.

use std::path::PathBuf;

use proptest::prelude::*;
use updo::syntax::fmt::{format_plan, same};
use updo::syntax::parse_plan;

use super::order::plan_text;

fn formatted(text: &str) -> String {
    format_plan(text, 0).unwrap_or_else(|d| panic!("{text}\n{d:#?}"))
}

fn all_plans() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in ["plans", "tests/fixtures/plans"] {
        for entry in std::fs::read_dir(folder).expect("a folder of plans") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|e| e == "updo") {
                found.push(path);
            }
        }
    }
    found
}

/// Formats twice; the meaning and the comments must be those of the original.
fn laws(text: &str) -> String {
    let once = formatted(text);
    let twice = formatted(&once);
    assert_eq!(once, twice, "not idempotent:\n{text}");
    let (before, after) = (parse_plan(text, 0), parse_plan(&once, 0));
    assert!(
        same(&before.statements, &after.statements),
        "{text}\n{once}"
    );
    let comments = |text: &str, parsed: &updo::syntax::Parsed| -> Vec<String> {
        let spans = parsed.comments.iter();
        spans
            .map(|s| text[s.start..s.end].trim_end().to_owned())
            .collect()
    };
    assert_eq!(
        comments(text, &before),
        comments(&once, &after),
        "comments of\n{text}\n{once}"
    );
    for line in once.lines() {
        assert_eq!(
            line,
            line.trim_end(),
            "blanks at the end of a line:\n{once}"
        );
    }
    once
}

#[test]
fn every_plan_of_the_repository_obeys_the_laws() {
    let plans = all_plans();
    assert!(plans.len() >= 4);
    for path in plans {
        laws(&std::fs::read_to_string(&path).expect("readable"));
    }
}

#[test]
fn the_plans_are_formatted() {
    for path in all_plans() {
        let text = std::fs::read_to_string(&path).expect("readable");
        if path.starts_with("plans") {
            assert_eq!(text, formatted(&text), "{}: run updo fmt", path.display());
        }
    }
}

#[test]
fn known_layouts() {
    let cases = [
        ("a   depends\n on b.", "a depends on b.\n"),
        (
            "a depends on b because \"x\".",
            "a depends on b\n    because \"x\".\n",
        ),
        (
            "module a #{timeout=>30s,change=>soft,}because \"x\".",
            "module a #{\n    timeout => 30s,\n    change  => soft,\n} because \"x\".\n",
        ),
        ("module a #{timeout=>30s}.", "module a #{timeout => 30s}.\n"),
        (
            "plan \"x\".\n\n\n\nexclude a.",
            "plan \"x\".\n\nexclude a.\n",
        ),
        ("exclude a. exclude b.", "exclude a.\nexclude b.\n"),
        (
            "exclude a.% why\n% own\n\n   % last",
            "exclude a.  % why\n% own\n\n% last\n",
        ),
        (
            "verify \"x\" -> A=shop:f( 1,- 2 ),A>-1.",
            "verify \"x\" ->\n    A = shop:f(1, -2),\n    A > -1.\n",
        ),
        (
            "before upgrade->ok=m:f().",
            "before upgrade -> ok = m:f().\n",
        ),
        ("cycle [a,b]:together.", "cycle [a, b]: together.\n"),
        (
            "cycle [a,b] : break a->b,b->a.",
            "cycle [a, b]: break a -> b, b -> a.\n",
        ),
        (
            "f(X) when X>1->X;f(_)->0.",
            "f(X) when X > 1 -> X;\nf(_) -> 0.\n",
        ),
        (
            "X = <<A:16/little-unit:2,(f(B)):N/binary>>.",
            "X = <<A:16/little-unit:2, (f(B)):N/binary>>.\n",
        ),
        ("X = << <<Y>>||Y<-L >>.", "X = << <<Y>> || Y <- L >>.\n"),
        ("X = 1_000 + 16#ff - - 1.", "X = 1_000 + 16#ff - -1.\n"),
        ("X = fun m : f / 1.", "X = fun m:f/1.\n"),
        ("X = M#{a:=1}.", "X = M#{a := 1}.\n"),
        ("X = A/2.", "X = A / 2.\n"),
        (
            "rehearse m\"t\"because \"x\"->fun(A,B)->A=:=B end.",
            "rehearse m \"t\"\n    because \"x\" -> fun (A, B) -> A =:= B end.\n",
        ),
        (
            "rehearse \"t\"->fun(A,B)when A>B;A<B->true;(_,_)->case 1 of 1->false end end.",
            "rehearse \"t\" ->\n    fun\n        (A, B) when A > B; A < B -> true;\n        (_, _) -> case 1 of 1 -> false end\n    end.\n",
        ),
        (
            "param N :: [ integer ]=[1].",
            "param N :: [integer] = [1].\n",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(laws(text), expected, "{text}");
    }
}

#[test]
fn what_does_not_fit_breaks() {
    let long = "a_rather_long_module_name_that_takes_room";
    let text = format!("exclude [{long}, {long}, {long}].");
    let expected = format!("exclude [\n    {long},\n    {long},\n    {long},\n].\n");
    assert_eq!(laws(&text), expected);
    let text = format!(
        "require \"x\" -> {{ok, #{{total := T}}}} = {long}:quote({long}, [{{sku, 17, 2}}, {{sku, 18, 3}}])."
    );
    for line in laws(&text).lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn comments_stay_where_they_are() {
    let text = "% first\n\nmodule a #{ % behind a brace\n  % on its own\n  timeout => 30s, % behind a comma\n  change => soft % behind the last\n  % before the end\n} % behind the brace\n  because \"x\" % behind the text\n. % behind the dot\n";
    let once = laws(text);
    assert!(once.contains("timeout => 30s,  % behind a comma"), "{once}");
    assert!(
        once.contains("change  => soft,  % behind the last"),
        "{once}"
    );
    assert!(once.contains("    % on its own\n"), "{once}");
}

#[test]
fn a_broken_plan_is_refused() {
    let reported = format_plan("exclude .", 0).expect_err("it is broken");
    assert!(reported.iter().all(|d| d.code.as_str().starts_with("E1")));
}

/// Expressions of every kind, nested a little.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a",
        "'b c'",
        "X",
        "_",
        "1",
        "-2",
        "16#ff",
        "1.5e3",
        "30s",
        "$c",
        "\"s\"",
        "\"a\" \"b\"",
        "~b\"x\"",
        "[]",
        "{}",
        "#{}",
        "<<>>",
        "Chat.Room",
        "fun m:f/1",
        "otp()",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 24, 3, |inner| {
        let many = prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.join(", "));
        let sign = prop::sample::select(vec![
            "+", "-", "*", "div", "++", "--", "==", "=:=", "<", "andalso", "orelse", "bsl", "=",
        ]);
        prop_oneof![
            many.clone().prop_map(|all| format!("[{all}]")),
            many.clone().prop_map(|all| format!("{{{all}}}")),
            many.clone().prop_map(|all| format!("m:f({all})")),
            many.clone().prop_map(|all| format!("begin {all} end")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a} | {b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("#{{({a}) => {b}}}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a} || X <- {b}, true]")),
            (inner.clone(), sign, inner.clone()).prop_map(|(a, s, b)| format!("({a}) {s} ({b})")),
            inner
                .clone()
                .prop_map(|a| format!("<<({a}):8/little, \"x\"/utf8>>")),
            inner.clone().prop_map(|a| format!("catch {a}")),
            inner.clone().prop_map(|a| format!("not ({a})")),
            (inner.clone(), many.clone())
                .prop_map(|(a, b)| format!("case {a} of X when X > 1; true -> {b}; _ -> no end")),
            inner.prop_map(|a| format!("if true -> {a}; false -> b end")),
        ]
    })
}

/// A statement of any kind there is, without its dot.
fn any_statement() -> impl Strategy<Value = String> {
    let tail = prop::sample::select(vec![
        "",
        " because \"why\"",
        " when otp() > 24, true because \"so\"",
    ]);
    let step = prop::sample::select(vec![
        "load m",
        "suspend [m, n]",
        "code_change m",
        "resume app(shop)",
        "m",
    ]);
    let fixed = prop::sample::select(vec![
        "plan \"Title\" #{ticket => \"T-1\", risk => low}",
        "updo \">= 0.1, < 2.0\"",
        "include \"other.updo\" when otp() > 24",
        "param Batch :: integer = 2 because \"x\"",
        "param Names :: [string]",
        "target shop #{nodes => ['a@b', 'c@d'], cookie => file(\"c\"), epmd_port => 4369}",
        "code on_disk",
        "code push [\"a/*/ebin\", \"b\"] #{persist => true}",
        "old from \"a/ebin\", \"b/ebin\"",
        "window minimal",
        "window m then [a, b] then rest then glob(\"x_*\") -- [x_a] when otp() > 24 because \"x\"",
        "engine release_handler",
        "rehearse #{at_most => 10} because \"x\"",
        "rehearse never",
        "gate \"g\" #{within => 30s} because \"x\" -> cmd \"curl -fs http://a | grep -q 'b'\"",
        "rollback never #{keep_old => true} because \"x\"",
        "rollout shop #{canary => 1, batch => [1, 3, \"50%\"], pause => confirm}",
        "cycle [a, b]: break a -> b, b -> a because \"x\"",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        2 => fixed,
        1 => expression().prop_map(|e| format!("Name = {e}")),
        1 => (expression(), expression()).prop_map(|(a, b)| format!("f(X, [Y | _]) when X > Y -> {a}, {b}; f(_, _) -> ok")),
        1 => (expression(), tail.clone()).prop_map(|(e, t)| format!("verify \"v\" #{{within => 10s}}{t} -> {e}, ok = m:f()")),
        1 => (expression(), tail.clone()).prop_map(|(e, t)| format!("hold \"v\" #{{for => 10s}}{t} -> {e}, ok = m:f()")),
        1 => (expression(), tail.clone()).prop_map(|(e, t)| format!("module app(shop) -- [x] #{{timeout => {e}, purge => {{soft, brutal}}}}{t}")),
        1 => (step.clone(), expression(), tail.clone()).prop_map(|(s, e, t)| format!("before {s}{t} -> {e}")),
        1 => (step, tail).prop_map(|(s, t)| format!("insert {{apply, {{m, f, []}}}} after {s}{t}")),
        1 => (expression(), expression()).prop_map(|(a, b)| format!("rehearse m \"c\" -> fun (X, #{{a := Y}}) when X =/= Y -> {a}, {b}; (_, _) -> true end")),
        1 => expression().prop_map(|e| format!("rehearse \"c\" when otp() > 24 -> fun (Old, New) -> {e} end")),
        1 => expression().prop_map(|e| format!("on failure -> m:page(Reason, {e})")),
        1 => expression().prop_map(|e| format!("on rollback -> m:put({e})")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_plans_obey_the_laws(text in plan_text()) {
        laws(&text);
    }

    /// The formatter is the printer of plans: what it prints is read as the same plan.
    #[test]
    fn statements_of_every_kind_obey_the_laws(all in prop::collection::vec(any_statement(), 1..6)) {
        let text = all.join(".\n% a comment\n") + ".\n";
        let parsed = parse_plan(&text, 0);
        prop_assert!(parsed.diagnostics.is_empty(), "{text}\n{:#?}", parsed.diagnostics);
        prop_assert_eq!(parsed.statements.len(), all.len());
        laws(&text);
    }
}
