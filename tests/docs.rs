//! What the documents show is true: every plan in them is read without an error, every plan in `plans/` too,
//! and every diagnostic code has a page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use updo::diag::render::{Style, render};
use updo::diag::{Code, SourceMap};
use updo::syntax::parse_plan;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The ```updo blocks of a Markdown file, with the line they begin in.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        match &mut open {
            None if line.trim() == "```updo" => open = Some((at + 1, String::new())),
            None => {}
            Some(_) if line.trim() == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    found
}

fn markdown(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect()
}

#[test]
fn every_plan_in_the_documents_is_read() {
    let mut count = 0;
    for file in markdown(&root())
        .into_iter()
        .chain(markdown(&root().join("docs")))
    {
        let text = std::fs::read_to_string(&file).expect("readable");
        for (line, block) in blocks(&text) {
            count += 1;
            let mut sources = SourceMap::default();
            let base = sources.add(format!("{}:{line}", file.display()), block.clone());
            let parsed = parse_plan(&block, base);
            let style = Style {
                color: false,
                unicode: true,
                width: 100,
            };
            let printed: Vec<_> = parsed
                .diagnostics
                .iter()
                .map(|d| render(d, &sources, style))
                .collect();
            assert!(printed.is_empty(), "{}", printed.join("\n"));
            assert!(
                !parsed.statements.is_empty(),
                "an empty plan in {}",
                file.display()
            );
        }
    }
    assert!(count >= 5, "only {count} plans found in the documents");
}

#[test]
fn every_plan_in_plans_is_fine() {
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("plans")).expect("plans/ is there") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "updo") {
            continue;
        }
        count += 1;
        let loaded = updo::plan::load(&path, &BTreeMap::new());
        let errors: Vec<_> = loaded.diagnostics.iter().filter(|d| d.is_error()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        assert!(loaded.plan.is_some());
    }
    assert!(count >= 1);
}

#[test]
fn every_code_has_a_page_and_one_meaning() {
    let mut pages = BTreeMap::new();
    for code in Code::ALL {
        assert!(code.page().trim().len() > 20, "{code} has no page");
        assert_eq!(Code::parse(code.as_str()), Some(*code));
        assert_eq!(
            pages.insert(code.page(), *code),
            None,
            "{code} says what another code says"
        );
    }
}
