//! The page about threats names a test for each of its claims: they exist.

use std::collections::BTreeSet;

use super::read;

#[test]
fn the_tests_that_the_page_about_threats_names_exist() {
    let page = read("docs/threats.md");
    let mut named = BTreeSet::new();
    let (mut rows, mut are_claims) = (0, false);
    for line in page.lines() {
        if !line.starts_with("| ") || line.ends_with("| Shown by |") {
            are_claims = line.ends_with("| Shown by |") || are_claims && line.starts_with('|');
            continue;
        }
        if !are_claims {
            continue;
        }
        rows += 1;
        let (_, shown) = line.rsplit_once(" | ").expect("a last cell");
        let (mut file, mut tests) = (None, 0);
        for word in shown.split('`').skip(1).step_by(2) {
            if word.contains('/') {
                file = Some(word);
                continue;
            }
            let file = file.unwrap_or_else(|| panic!("a test without its file: {line}"));
            let text = read(file);
            // Some are made by a macro from a list of names.
            let is_named = |line: &str| {
                let list = line.strip_prefix("targets!(");
                list.is_some_and(|list| list.split([',', ')']).any(|name| name.trim() == word))
            };
            let is_there = text.contains(&format!("fn {word}("))
                || text.contains(&format!("    {word} => "))
                || text.lines().any(is_named);
            assert!(is_there, "{file} has no test `{word}`");
            named.insert((file.to_owned(), word.to_owned()));
            tests += 1;
        }
        assert!(tests > 0 || shown.contains("as above"), "no test: {line}");
    }
    println!("{rows} claims, {} tests", named.len());
    assert!(
        rows >= 40 && named.len() >= 40,
        "{rows} claims, {} tests",
        named.len()
    );
}
