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
fn known_looks() {
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
    let told = format_plan("exclude .", 0).expect_err("it is broken");
    assert!(told.iter().all(|d| d.code.as_str().starts_with("E1")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn generated_plans_obey_the_laws(text in plan_text()) {
        laws(&text);
    }
}
