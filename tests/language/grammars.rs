//! The grammars for editors know every word that the language has, and the plans are coloured.

use std::collections::BTreeSet;

use fancy_regex::Regex;

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The words of grammar/updo.pest: `kw_plan = @{ "plan" ~ !id }`.
fn words() -> BTreeSet<String> {
    let pest = read("grammar/updo.pest");
    let parts = pest.split("= @{ \"").skip(1);
    let words = parts
        .filter_map(|part| part.split_once("\" ~ !id }"))
        .map(|(word, _)| word.to_owned());
    words
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect()
}

/// Every regular expression of the TextMate grammar.
fn patterns(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if ["match", "begin", "end"].contains(&key.as_str()) => {
                        found.push(text.to_owned())
                    }
                    _ => patterns(value, found),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| patterns(value, found)),
        _ => {}
    }
}

fn textmate() -> Vec<Regex> {
    let json = serde_json::from_str(&read("grammar/updo.tmLanguage.json")).expect("JSON");
    let mut found = Vec::new();
    patterns(&json, &mut found);
    found
        .iter()
        .map(|text| Regex::new(text).unwrap_or_else(|e| panic!("{text}: {e}")))
        .collect()
}

#[test]
fn every_word_is_in_all_grammars() {
    let words = words();
    assert!(words.len() > 50, "{words:?}");
    let (tree_sitter, textmate) = (
        read("grammar/tree-sitter/grammar.js"),
        read("grammar/updo.tmLanguage.json"),
    );
    let highlights = read("grammar/tree-sitter/queries/highlights.scm");
    for word in &words {
        assert!(
            tree_sitter.contains(&format!("'{word}'")),
            "{word} is not in grammar.js"
        );
        assert!(
            highlights.contains(&format!("\"{word}\"")),
            "{word} is not in highlights.scm"
        );
        let whole = Regex::new(&format!("(?<![a-z_]){word}(?![a-z_])")).expect("good");
        assert!(
            whole.is_match(&textmate).unwrap_or(false),
            "{word} is not in updo.tmLanguage.json"
        );
    }
}

#[test]
fn every_word_of_the_plans_is_coloured() {
    let patterns = textmate();
    let statement = patterns
        .iter()
        .find(|p| p.as_str().contains("deadline"))
        .expect("the statement words");
    for folder in ["plans", "plans/common", "tests/fixtures/plans"] {
        for entry in std::fs::read_dir(folder).expect("a folder of plans") {
            let path = entry.expect("readable").path();
            if path.extension().is_none_or(|e| e != "updo") {
                continue;
            }
            let text = read(&path.display().to_string());
            for span in updo::syntax::parse_plan(&text, 0)
                .statements
                .iter()
                .map(|s| s.span)
            {
                let line = text[span.start..].lines().next().unwrap_or_default();
                let verb = [
                    "depends on",
                    "loads before",
                    "loads after",
                    "does not depend on",
                ];
                let other = verb.iter().any(|v| line.contains(v))
                    || line.contains(" = ")
                    || line.contains("->");
                assert!(
                    other || statement.is_match(line).unwrap_or(false),
                    "{}: {line}",
                    path.display()
                );
            }
            // Nothing that is no blank is left without a colour: brackets and commas aside.
            let strings = Regex::new(r#""([^"\\]|\\.)*"|'([^'\\]|\\.)*'|%.*$"#).expect("good");
            for line in text.lines() {
                let mut rest = strings.replace_all(line, " ").into_owned();
                for pattern in &patterns {
                    rest = pattern.replace_all(&rest, " ").into_owned();
                }
                let left: String = rest
                    .chars()
                    .filter(|c| !c.is_whitespace() && !"()[]{}#,;:.'\"".contains(*c))
                    .collect();
                assert!(left.is_empty(), "{}: {left:?} of {line}", path.display());
            }
        }
    }
}
