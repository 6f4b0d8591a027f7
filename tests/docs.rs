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
        .chain(markdown(&root().join("docs/start")))
        .chain(markdown(&root().join("docs/guides")))
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

const INDEX: &str = "# Diagnostic codes

Written by `UPDO_BLESS=1 cargo test --test docs`. `updo explain CODE` prints a page.

`E` is an error: the command stops, or the run is undone. `W` is a warning, shown before the question or during the run.
`A` is advice, shown with `-v`. With `--strict` some warnings are errors; otherwise a warning does not change
the exit code. No option silences one: its page says what to write in the plan. Codes are stable and never reused.

One number with two letters is one subject only for 403 (E403 in a plan, W403 in an included file), 635 (E635 is
certain, W635 possible) and 636 (E636: a check does not hold, W636: it was evaluated for no state). All other numbers
that occur with several letters, such as E622 and W622, are unrelated.
";

const SUBJECTS: [(&str, &str); 9] = [
    ("1", "Syntax"),
    ("2", "Values, plans and files of beams"),
    ("3", "Facts, rules and classes"),
    ("4", "Scripts"),
    ("5", "Connections"),
    ("6", "Runs"),
    ("7", "Expressions"),
    ("8", "Commands and files"),
    ("9", "Bugs"),
];

/// Its text is the first line of each page, so a page that is renamed, added or without a title is noticed.
#[test]
fn the_index_of_codes_has_every_page() {
    let mut index = INDEX.to_owned();
    for (digit, subject) in SUBJECTS {
        index += &format!("\n## {digit}xx: {subject}\n\n| code | |\n|---|---|\n");
        let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        codes.retain(|code| code[1..].starts_with(digit));
        codes.sort_by_key(|code| (&code[1..], &code[..1]));
        for code in codes {
            let page = Code::parse(code).expect("a code").page();
            let first = page.lines().next().unwrap_or_default();
            let title = first.strip_prefix(&format!("# {code}: "));
            let title = title.unwrap_or_else(|| panic!("the page of {code} begins with {first:?}"));
            index += &format!("| [{code}]({code}.md) | {title} |\n");
        }
    }
    for code in Code::ALL {
        let code = code.as_str();
        assert!(
            index.contains(&format!("[{code}]")),
            "{code} is in no subject"
        );
    }
    let file = root().join("docs/codes/README.md");
    if std::env::var_os("UPDO_BLESS").is_some() {
        std::fs::write(&file, &index).expect("the index is written");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        written, index,
        "renew it: UPDO_BLESS=1 cargo test --test docs"
    );
}
