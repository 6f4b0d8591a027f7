//! Broken plans that say themselves what is wrong with them.
//!
//! Under a line, `%%   ^^^ E101 text` expects that code at the marked columns, and `text` in its title or in
//! its first label. `%%<^^^ …` marks as many characters from column 1, which the percent signs would cover.

use std::collections::BTreeSet;
use std::path::Path;

use updo::diag::{Code, SourceMap};
use updo::syntax::parse_plan;

/// A diagnostic as a fixture states it: line, column, length, code, text.
type Expectation = (usize, usize, usize, String, String);

fn expectations(text: &str) -> Vec<Expectation> {
    let mut line = 0;
    let mut found = Vec::new();
    for (number, content) in text.lines().enumerate() {
        let note = content
            .strip_prefix("%%")
            .filter(|rest| rest.trim_start_matches([' ', '<']).starts_with('^'));
        let Some(note) = note else {
            line = number + 1;
            continue;
        };
        let column = if note.starts_with('<') {
            1
        } else {
            content.find('^').unwrap_or(0) + 1
        };
        let length = note.matches('^').count();
        let words = note.trim_start_matches([' ', '<', '^']);
        let (code, rest) = words.split_once(' ').unwrap_or((words, ""));
        found.push((
            line,
            column,
            length,
            code.to_owned(),
            rest.trim().to_owned(),
        ));
    }
    found.sort();
    found
}

fn check(path: &Path) -> BTreeSet<Code> {
    let text = std::fs::read_to_string(path).expect("a readable fixture");
    let mut sources = SourceMap::default();
    // A base other than 0, so that a span without it is noticed.
    sources.add("before", "x".repeat(1000));
    let base = sources.add(path.display().to_string(), text.clone());
    let parsed = parse_plan(&text, base);
    let expected = expectations(&text);
    let mut actual = Vec::new();
    for diagnostic in &parsed.diagnostics {
        let label = diagnostic
            .labels
            .first()
            .expect("every syntax error has a place");
        let place = sources.place(label.span).expect("within the file");
        let length = sources
            .text(label.span)
            .expect("within the file")
            .chars()
            .count();
        let words = format!("{} / {}", diagnostic.title, label.text);
        actual.push((
            place.line,
            place.column,
            length,
            diagnostic.code.to_string(),
            words,
        ));
    }
    actual.sort();
    let fits = |a: &Expectation, e: &Expectation| {
        (a.0, a.1, a.2, &a.3) == (e.0, e.1, e.2, &e.3) && a.4.contains(&e.4)
    };
    let missing = expected
        .iter()
        .filter(|e| !actual.iter().any(|a| fits(a, e)));
    let surplus = actual
        .iter()
        .filter(|a| !expected.iter().any(|e| fits(a, e)));
    let wrong: Vec<String> = missing
        .map(|m| format!("missing {m:?}"))
        .chain(surplus.map(|s| format!("surplus {s:?}")))
        .collect();
    assert!(wrong.is_empty(), "{}\n{}", path.display(), wrong.join("\n"));
    assert_eq!(
        actual.len(),
        expected.len(),
        "{}: one reported twice",
        path.display()
    );
    parsed.diagnostics.iter().map(|d| d.code).collect()
}

#[test]
fn every_fixture_is_broken_at_its_mark() {
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir("tests/fixtures/broken").expect("the folder of broken plans") {
        seen.extend(check(&entry.expect("a readable folder").path()));
    }
    let parser = [
        "E101", "E102", "E103", "E104", "E105", "E106", "E107", "E108", "E110",
    ];
    let parser: BTreeSet<Code> = parser.iter().filter_map(|c| Code::parse(c)).collect();
    assert_eq!(seen, parser, "every code of the parser has a fixture");
}

#[test]
fn eight_errors_in_one_pass_and_the_good_statements_survive() {
    let text =
        std::fs::read_to_string("tests/fixtures/broken/eight.updo").expect("a readable fixture");
    let parsed = parse_plan(&text, 0);
    assert_eq!(parsed.diagnostics.len(), 8);
    assert_eq!(parsed.statements.len(), 5);
}
