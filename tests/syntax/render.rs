//! How diagnostics look, and what machines get of them.

use updo::diag::render::{Style, render, to_json};
use updo::diag::{Code, Diagnostic, SourceMap, Span};
use updo::syntax::parse_plan;

const ASCII: Style = Style {
    color: false,
    unicode: false,
    width: 80,
};

/// The reports of a plan, one after the other.
fn reports(text: &str, style: Style) -> String {
    let mut sources = SourceMap::default();
    let base = sources.add("bad/typo.updo", text);
    let parsed = parse_plan(text, base);
    parsed
        .diagnostics
        .iter()
        .map(|d| render(d, &sources, style))
        .collect()
}

#[test]
fn a_misspelt_verb() {
    let text = "plan \"x\".\nshop_cart dependz on shop_tax.\nmodule shop_cart #{timeout => 1s}.\n";
    let expected = "\
✗ error[E101]: unexpected `dependz`
   ╭─[bad/typo.updo:2:11]
 1 │ plan \"x\".
 2 │ shop_cart dependz on shop_tax.
   ·           ───┬───
   ·              ╰── expected a verb: `depends on`, `does not depend on`, `loads before`, `loads after`
 3 │ module shop_cart #{timeout => 1s}.
   ╰────
  help: did you mean `depends on`?
";
    assert_eq!(reports(text, Style::default()), expected);
}

#[test]
fn a_missing_dot() {
    let text = "\n\nmodule shop_cart #{timeout => 1s}.\nshop_a depends on shop_b\nshop_c depends on shop_d.\n";
    let expected = "\
✗ error[E103]: missing `.` at the end of this statement
   ╭─[bad/typo.updo:4:24]
 3 │ module shop_cart #{timeout => 1s}.
 4 │ shop_a depends on shop_b
   ·                        ┬
   ·                        ╰── add `.` after this
 5 │ shop_c depends on shop_d.
   ╰────
";
    assert_eq!(reports(text, Style::default()), expected);
}

#[test]
fn without_unicode_there_is_only_ascii() {
    let expected = "\
error[E107]: comparisons cannot be chained
   ,-[bad/typo.updo:1:21]
 1 | verify \"v\" -> 1 < 2 < 3.
   :               ^^|^^ |
   :                 |   `-- a second comparison
   :                 `-- this is a truth value already
   `----
  help: write `A < B andalso B < C`
";
    let report = reports("verify \"v\" -> 1 < 2 < 3.", ASCII);
    assert_eq!(report, expected);
    assert!(report.is_ascii());
    let habit = reports("module a #{timeout: 30s}.", ASCII);
    assert!(habit.is_ascii(), "{habit}");
}

#[test]
fn labels_of_two_files_appear_under_their_own_files() {
    let mut sources = SourceMap::default();
    let root = sources.add("plan.updo", "plan \"x\".\n\nshop_a depends on shop_b.\n");
    let other = sources.add(
        "common.updo",
        "% shared\nshop_a does not depend on shop_b.\n",
    );
    let diagnostic = Diagnostic::new(
        Code::E301,
        "`shop_a` both depends and does not depend on `shop_b`",
    )
    .label(Span::new(root + 11, root + 35), "added here")
    .label(Span::new(other + 9, other + 41), "removed here")
    .label(Span::new(9_999, 10_000), "nowhere")
    .note("one process runs `shop_a`")
    .help("delete one");
    let expected = "\
✗ error[E301]: `shop_a` both depends and does not depend on `shop_b`
   ╭─[plan.updo:3:1]
 2 │ \n 3 │ shop_a depends on shop_b.
   · ────────────┬───────────
   ·             ╰── added here
   ╰────
   ╭─[common.updo:2:1]
 1 │ % shared
 2 │ shop_a does not depend on shop_b.
   · ────────────────┬───────────────
   ·                 ╰── removed here
   ╰────
  note: one process runs `shop_a`
  help: delete one
";
    assert_eq!(render(&diagnostic, &sources, Style::default()), expected);

    let json = to_json(&diagnostic, &sources);
    assert_eq!(json["code"], "E301");
    assert_eq!(json["severity"], "error");
    assert_eq!(json["notes"][0], "one process runs `shop_a`");
    let labels = json["labels"].as_array().expect("an array");
    assert_eq!(
        labels.len(),
        2,
        "the label outside of every source is left out"
    );
    let second = serde_json::json!({
        "file": "common.updo", "line": 2, "column": 1, "offset": 9, "length": 32, "text": "removed here",
    });
    assert_eq!(labels[1], second);
}

#[test]
fn odd_spans_do_not_break_the_report() {
    let mut sources = SourceMap::default();
    let base = sources.add("a", "å é\n");
    sources.add("b", "");
    for (start, end) in [
        (0, 0),
        (1, 2),
        (0, 99),
        (5, 6),
        (6, 6),
        (7, 7),
        (4, 2),
        (6, 3),
    ] {
        let span = Span {
            start: base + start,
            end: base + end,
        };
        let diagnostic = Diagnostic::new(Code::W310, "title").label(span, "here");
        let report = render(
            &diagnostic,
            &sources,
            Style {
                color: true,
                unicode: true,
                width: 0,
            },
        );
        assert!(report.contains("title"), "{report}");
        to_json(&diagnostic, &sources);
    }
}

/// Of a line of a megabyte what lies around the label is shown, with the column it really has.
#[test]
fn a_very_long_line_is_cut_around_its_labels() {
    let long = "taxes, ".repeat(150_000);
    let before = format!("module a #{{purge => brutal}} because \"{long}\" ");
    let text = format!("plan \"Taxes\".\n{before}becuse \"x\".\n% {long}\n");
    for unicode in [true, false] {
        let style = Style {
            unicode,
            ..Style::default()
        };
        let reported = reports(&text, style);
        assert!(reported.len() < 3_000, "{} bytes", reported.len());
        let marker = if unicode { "…" } else { "..." };
        let shown = format!("{marker}s, taxes, taxes, taxes, taxes, taxes, \" becuse \"x\".");
        assert!(reported.contains(&shown), "{reported}");
        assert!(
            reported.contains(&format!(":2:{}]", before.len() + 1)),
            "{reported}"
        );
        assert!(unicode || reported.is_ascii(), "{reported}");
    }
}

/// The code and the title are one line, as rustc writes them: found by a search, and read without colours. A long title
/// breaks between words, and never inside of backticks.
#[test]
fn the_heading_is_a_word_a_code_and_the_title() {
    let (sources, narrow) = (SourceMap::default(), Style::default());
    let narrow = Style {
        width: 40,
        ..narrow
    };
    let error = Diagnostic::new(
        Code::E604,
        "conversion of `{cart, 1, 2, three, four}` failed in a process",
    );
    assert_eq!(
        render(&error, &sources, narrow),
        "✗ error[E604]: conversion of\n    `{cart, 1, 2, three, four}` failed\n    in a process\n"
    );
    let first = |code, style| {
        let text = render(&Diagnostic::new(code, "x"), &sources, style);
        text.lines().next().expect("a line").to_owned()
    };
    assert_eq!(first(Code::W332, ASCII), "warning[W332]: x");
    assert_eq!(first(Code::A338, ASCII), "advice[A338]: x");
    let color = Style {
        color: true,
        ..Style::default()
    };
    let shown = updo::diag::safe::terminal(&render(&error, &sources, color)).into_owned();
    assert!(
        shown.starts_with("\u{1b}[1;31m✗ error[E604]\u{1b}[0m\u{1b}[1m: conversion of "),
        "{shown:?}"
    );
}
