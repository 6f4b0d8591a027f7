//! The tree-sitter grammar, as a language, and its test on the plans of the repository.

use tree_sitter_language::LanguageFn;

unsafe extern "C" {
    fn tree_sitter_updo() -> *const ();
}

/// The plan language.
pub const LANGUAGE: LanguageFn = unsafe { LanguageFn::from_raw(tree_sitter_updo) };

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tree_sitter::{Node, Parser, Query};

    fn plans() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = Vec::new();
        for folder in ["plans", "plans/common", "tests/fixtures/plans"] {
            for entry in std::fs::read_dir(root.join(folder)).expect("a folder of plans") {
                let path = entry.expect("readable").path();
                if path.extension().is_some_and(|e| e == "updo") {
                    found.push(path);
                }
            }
        }
        found
    }

    fn errors(node: Node<'_>, text: &str, found: &mut Vec<String>) {
        if node.is_error() || node.is_missing() {
            let near: String = text[node.start_byte()..].chars().take(60).collect();
            found.push(format!("line {}: {near:?}", node.start_position().row + 1));
        }
        let mut cursor = node.walk();
        for child in node.children(&mut cursor) {
            errors(child, text, found);
        }
    }

    fn parse(text: &str) -> Vec<String> {
        let mut parser = Parser::new();
        parser
            .set_language(&super::LANGUAGE.into())
            .expect("the versions fit");
        let tree = parser.parse(text, None).expect("no limit is set");
        let mut found = Vec::new();
        errors(tree.root_node(), text, &mut found);
        if found.is_empty() && tree.root_node().has_error() {
            found.push("something is missing".to_owned());
        }
        found
    }

    #[test]
    fn every_plan_is_read_without_errors() {
        let plans = plans();
        assert!(plans.len() >= 12, "{}", plans.len());
        for path in plans {
            let text = std::fs::read_to_string(&path).expect("readable");
            let found = parse(&text);
            assert!(
                found.is_empty(),
                "{}:\n{}",
                path.display(),
                found.join("\n")
            );
        }
    }

    #[test]
    fn what_is_wrong_is_an_error() {
        assert!(!parse("a dependz on b.").is_empty());
        assert!(!parse("module a #{timeout => }.").is_empty());
    }

    #[test]
    fn the_evaluated_grammar_is_that_of_the_source() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |name: &str| std::fs::read_to_string(here.join(name)).expect("readable");
        let (source, evaluated) = (read("grammar.js"), read("src/grammar.json"));
        for word in source
            .split('\'')
            .skip(1)
            .step_by(2)
            .filter(|w| w.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        {
            assert!(
                evaluated.contains(&format!("\"{word}\"")),
                "{word}: run generate.sh"
            );
        }
        for rule in source
            .lines()
            .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
            .map(|(name, _)| name)
        {
            if rule.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                assert!(
                    evaluated.contains(&format!("\"{rule}\":")),
                    "{rule}: run generate.sh"
                );
            }
        }
    }

    #[test]
    fn the_highlights_fit_the_grammar() {
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("queries/highlights.scm"),
        )
        .expect("readable");
        Query::new(&super::LANGUAGE.into(), &text).expect("a good query");
    }
}
