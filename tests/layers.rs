//! The order of the stages, checked on the text of the sources: a module of the crate may use only modules
//! that stand before it in [`ORDER`]. Also checked: words that must not be in a finished program, and the
//! length of files. Nothing here parses Rust; a small scanner drops comments and literals, follows the
//! braces of inline modules and resolves `crate::…`, `use crate::{…}` and `super::…` to the module they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From upstream to downstream. Modules of one row may use each other.
const ORDER: &[&[&str]] = &[
    &["name", "diag", "atomic_file", "term"],
    &["state"],
    &["node"],
    &["syntax"],
    &["eval"],
    &["facts"],
    &["twin"],
    &["graph"],
    &["plan"],
    &["rules"],
    &["script"],
    &["release"],
    &["exec"],
    &["report"],
    &["engine"],
    &["ui"],
    &["repl"],
    &["lsp"],
    &["cli"],
];

/// The roots see everything.
const ROOTS: &[&str] = &["lib", "main"];

/// Lines of a source file, at most.
const LONGEST: usize = 700;

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&module))
}

/// One token of Rust, as far as this test cares: a word, or a single other character.
#[derive(Debug, PartialEq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Words and punctuation without comments, strings and characters.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let bytes = source.as_bytes();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if source[at..].starts_with("//") => {
                source[at..].find('\n').map_or(source.len(), |n| at + n)
            }
            b'/' if source[at..].starts_with("/*") => block_comment(source, at),
            b'"' => string(bytes, at),
            b'\'' => character(source, at),
            byte if byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80 => {
                let end = bytes[at..]
                    .iter()
                    .position(|b| !(b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80))
                    .map_or(bytes.len(), |n| at + n);
                match raw_string(source, at, end) {
                    Some(end) => end,
                    None => {
                        let text = &source[at..end];
                        found.push(Token { text, line });
                        end
                    }
                }
            }
            byte => {
                if !byte.is_ascii_whitespace() {
                    let text = &source[at..=at];
                    found.push(Token { text, line });
                }
                at + 1
            }
        };
        line += bytes[at..end].iter().filter(|b| **b == b'\n').count();
        at = end;
    }
    found
}

/// The end of a `/* … */` that starts at `at`; they nest.
fn block_comment(source: &str, at: usize) -> usize {
    let (bytes, mut depth, mut i) = (source.as_bytes(), 0, at);
    while i < bytes.len() {
        match bytes.get(i..i + 2) {
            Some(b"/*") => (depth, i) = (depth + 1, i + 2),
            Some(b"*/") => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

/// The end of a `"…"` that starts at `at`.
fn string(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() && bytes[i] != b'"' {
        i += if bytes[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(bytes.len())
}

/// The end of a character literal; a lifetime is only its quote.
fn character(source: &str, at: usize) -> usize {
    let mut rest = source[at + 1..].chars();
    match (rest.next(), rest.next()) {
        (Some('\\'), Some(escaped)) => {
            let from = at + 2 + escaped.len_utf8();
            source[from..]
                .find('\'')
                .map_or(source.len(), |n| from + n + 1)
        }
        (Some(c), Some('\'')) => at + 2 + c.len_utf8(),
        _ => at + 1,
    }
}

/// The end of `r"…"`, `r#"…"#`, `br"…"`, when the word from `at` to `end` is such a prefix.
fn raw_string(source: &str, at: usize, end: usize) -> Option<usize> {
    if !matches!(&source[at..end], "r" | "br" | "cr") {
        return None;
    }
    let hashes = source[end..].bytes().take_while(|b| *b == b'#').count();
    let body = end + hashes + 1;
    if source.as_bytes().get(body - 1) != Some(&b'"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    Some(
        source[body..]
            .find(&close)
            .map_or(source.len(), |n| body + n + close.len()),
    )
}

/// The top-level modules that `source` names, with the line, when it is the module `path` (`["facts", "beam"]`).
fn used(source: &str, path: &[&str]) -> BTreeSet<(String, usize)> {
    let tokens = tokens(source);
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    let mut found = BTreeSet::new();
    // Open braces; true where the brace belongs to `mod name {`.
    let mut braces: Vec<bool> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        match text(i) {
            "{" => braces.push(i >= 2 && text(i - 2) == "mod"),
            "}" => {
                braces.pop();
            }
            "crate" | "super" if !(i >= 2 && text(i - 1) == ":") => {
                let depth = path.len() + braces.iter().filter(|inline| **inline).count();
                let mut supers = 0;
                let mut next = i;
                while text(next) == "super" && text(next + 1) == ":" {
                    (supers, next) = (supers + 1, next + 3);
                }
                if text(i) == "crate" {
                    next = i + 3;
                }
                let at_root =
                    text(i) == "crate" && text(i + 1) == ":" || supers > 0 && supers == depth;
                if at_root {
                    heads(&tokens, next, &mut found);
                }
                i = next.max(i + 1);
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// What stands at `at` after `crate::`: one name, or the first names of a `{…}` list.
fn heads(tokens: &[Token<'_>], at: usize, found: &mut BTreeSet<(String, usize)>) {
    let Some(first) = tokens.get(at) else { return };
    if first.text != "{" {
        found.insert((first.text.to_owned(), first.line));
        return;
    }
    let (mut depth, mut expected) = (0, false);
    for token in &tokens[at..] {
        match token.text {
            "{" => (depth, expected) = (depth + 1, depth == 0),
            "}" => depth -= 1,
            "," => expected = depth == 1,
            name if expected => {
                found.insert((name.to_owned(), token.line));
                expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// What is wrong with the imports of one file; `path` as for [`used`].
fn upstream(source: &str, path: &[&str]) -> Vec<String> {
    let Some(own) = rank(path[0]) else {
        return vec![format!("module {} has no place in ORDER", path[0])];
    };
    used(source, path)
        .into_iter()
        // Names that are no module of the table are items or macros of the crate's root.
        .filter(|(name, _)| name != path[0] && rank(name).is_some_and(|other| other > own))
        .map(|(name, line)| format!("line {line}: {} may not use {name}", path[0]))
        .collect()
}

/// All files below `dir` with one of these endings, sorted.
fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|e| endings.iter().any(|known| e == *known))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `src/facts/beam.rs` is `["facts", "beam"]`, `src/facts/mod.rs` and `src/facts.rs` are `["facts"]`.
fn module_path(relative: &Path) -> Vec<String> {
    let stem = relative.with_extension("");
    let mut path: Vec<String> = stem
        .components()
        .map(|c| c.as_os_str().to_string_lossy().into_owned())
        .collect();
    if path.len() > 1 && path.last().is_some_and(|name| name == "mod") {
        path.pop();
    }
    path
}

#[test]
fn imports_point_upstream_only() {
    let src = root().join("src");
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for file in files(&src, &["rs"]) {
        let relative = file.strip_prefix(&src).expect("files are below src");
        let path = module_path(relative);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if path.len() == 1 && ROOTS.contains(&path[0]) {
            continue;
        }
        seen += 1;
        let bad = upstream(&read(&file), &path);
        wrong.extend(
            bad.into_iter()
                .map(|what| format!("src/{}: {what}", relative.display())),
        );
    }
    assert!(
        seen > 10,
        "only {seen} files found: is this the right folder?"
    );
    assert!(
        wrong.is_empty(),
        "these imports point downstream:\n  {}",
        wrong.join("\n  ")
    );
}

#[test]
fn a_wrong_import_is_found() {
    let wrong = |source: &str, path: &[&str]| upstream(source, path);
    assert_eq!(
        wrong("use crate::exec::Run;", &["facts", "beam"]),
        ["line 1: facts may not use exec"]
    );
    assert_eq!(
        wrong(
            "use crate::{\n  term::{Term, Atom},\n  rules::{self, merge},\n  cli,\n};",
            &["graph"]
        ),
        [
            "line 4: graph may not use cli",
            "line 3: graph may not use rules"
        ]
    );
    assert_eq!(
        wrong("fn f() { crate::plan::load() }", &["syntax"]),
        ["line 1: syntax may not use plan"]
    );
    assert_eq!(
        wrong("use super::super::plan::P;", &["syntax", "ast"]),
        ["line 1: syntax may not use plan"]
    );
    assert_eq!(
        wrong("mod t { use super::super::plan::P; }", &["syntax"]),
        ["line 1: syntax may not use plan"]
    );
    assert_eq!(
        wrong("", &["helpers"]),
        ["module helpers has no place in ORDER"]
    );
}

#[test]
fn a_right_import_is_not() {
    for source in [
        "use crate::term::Term; use crate::{name::Module, diag};",
        "// use crate::cli;\n/* crate::cli /* crate::cli */ */",
        "/// [`crate::cli`]\nconst S: &str = \"crate::cli \\\" crate::cli\";",
        "const R: &str = r#\"crate::cli \" crate::cli\"#; const C: char = '\"'; const Q: char = '\\'';",
        "fn f<'a>(x: &'a str) -> &'a str { x }",
        "mod plan { } mod tests { use super::plan::P; use super::*; }",
        "use crate::VERSION; use std::process; pub(crate) use crate::some_macro;",
        "use crate::graph::order;",
        "use other::crate_like::cli; use super::cli::x;",
    ] {
        assert_eq!(
            upstream(source, &["graph", "build"]),
            Vec::<String>::new(),
            "{source}"
        );
    }
}

#[test]
fn no_unfinished_work() {
    // Put together here, so that this file does not contain them itself.
    let words =
        ["to|do!", "db|g!", "FIX|ME", "#[ig|nore", "unimpl|emented!"].map(|w| w.replace('|', ""));
    let mut found = Vec::new();
    for folder in ["src", "tests"] {
        for file in files(
            &root().join(folder),
            &["rs", "erl", "ex", "exs", "sh", "updo", "pest"],
        ) {
            for (number, line) in read(&file).lines().enumerate() {
                for word in words.iter().filter(|word| line.contains(word.as_str())) {
                    found.push(format!("{}:{}: {word}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "unfinished:\n  {}", found.join("\n  "));
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = files(&root().join("src"), &["rs"])
        .iter()
        .map(|file| (file, read(file).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(file, lines)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(
        long.is_empty(),
        "longer than {LONGEST} lines:\n  {}",
        long.join("\n  ")
    );
}
