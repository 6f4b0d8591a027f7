//! The order of the stages, checked on the text of the sources: a module of the crate may use only modules
//! that come before it in [`ORDER`], and inside of a stage only those before it in [`FLOORS`]; files that use each
//! other in a circle are found as well. Also checked: words that must not be in a finished program, and the
//! length of files. Nothing here parses Rust; a small scanner drops comments and literals, follows the
//! braces of inline modules and resolves `crate::…`, `use crate::{…}` and `super::…` to the module they name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From upstream to downstream. Modules of one row may use each other.
const ORDER: &[&[&str]] = &[
    &[
        "name",
        "diag",
        "atomic_file",
        "regular_file",
        "parallel",
        "term",
    ],
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
    &["engine", "scripting"],
    &["ui"],
    &["repl"],
    &["lsp", "mcp"],
    &["cli"],
];

/// The same inside of a stage, for its folders or files. Its `mod.rs` sees everything.
const FLOORS: &[(&str, &[&[&str]])] = &[
    (
        "facts",
        &[
            &["beam"],
            &["app"],
            &["local"],
            &["node"],
            &["change"],
            &["compare"],
        ],
    ),
    (
        "exec",
        &[
            &[
                "barrier",
                "converters",
                "event",
                "interrupt",
                "liveness",
                "old_code",
                "rehearsal_words",
                "release_handler",
                "trial",
            ],
            &["rehearsal_found"],
            &["agent_reason", "condition", "hold", "side_effects", "step"],
            &["barriers", "step_list", "step_term"],
            &[
                "children",
                "listed_children",
                "live",
                "no_undo",
                "restarts",
                "together",
            ],
            &["rollback_steps"],
            &["steps"],
            &["job"],
            &["survivors"],
            &["agent_monitor"],
            &["query_survivors"],
            &["agent_events", "plan_checks", "rehearsal"],
            &["agent_end"],
            &["pause"],
            &["rollback", "rollout_checks", "run"],
            &["attach", "persist"],
        ],
    ),
    (
        "cli",
        &[
            // What the screen and the arguments are made of.
            &[
                "config",
                "exit",
                "keys",
                "live_region",
                "standard_input",
                "ticker",
                "time",
            ],
            &["complete"],
            &["args"],
            &["env_flags"],
            &["context"],
            &["drift", "pager", "same", "screen", "signals", "trace"],
            // Commands, and what other commands take of them.
            &["eval", "log", "relup", "report"],
            &["preview", "event_sinks"],
            &["no_undo", "rehearse", "rollout_screen"],
            &[
                "appup",
                "attach",
                "check",
                "completions",
                "diff",
                "doctor",
                "explain",
                "fmt",
                "graph",
                "lsp",
                "man",
                "mcp",
                "mend",
                "new",
                "reconcile",
                "reconcile_pass",
                "reconcile_watch",
                "repl",
                "rollback",
                "run",
                "status",
                "watch",
            ],
        ],
    ),
];

/// Files that use each other in a circle, still. It only ever gets shorter.
const CIRCLES: &[&[&str]] = &[];

/// The roots see everything.
const ROOTS: &[&str] = &["lib", "main"];

/// Lines of a source file, at most.
const LONGEST: usize = 700;

fn rank(order: &[&[&str]], module: &str) -> Option<usize> {
    order.iter().position(|row| row.contains(&module))
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

/// A path from the crate's root: `["facts", "beam", "BeamFacts"]`.
type CratePath = Vec<String>;

/// What `source` names of the crate, with the line, when it is the module `path` (`["facts", "beam"]`).
fn used(source: &str, path: &[&str]) -> BTreeSet<(CratePath, usize)> {
    let tokens = tokens(source);
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    let colons = |i: usize| text(i) == ":" && text(i + 1) == ":";
    let mut found = BTreeSet::new();
    // Open braces, with the name where the brace belongs to `mod name {`.
    let mut braces: Vec<Option<&str>> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        match text(i) {
            "{" => braces.push((i >= 2 && text(i - 2) == "mod").then(|| text(i - 1))),
            "}" => {
                braces.pop();
            }
            "crate" | "super" | "self" if colons(i + 1) && !(i >= 2 && text(i - 1) == ":") => {
                let inline = braces.iter().flatten();
                let mut base: Vec<&str> = path.iter().chain(inline).copied().collect();
                let mut next = i + 3;
                match text(i) {
                    "crate" => base.clear(),
                    "super" => {
                        base.pop();
                        while text(next) == "super" && colons(next + 1) {
                            base.pop();
                            next += 3;
                        }
                    }
                    _ => {}
                }
                let base = base.into_iter().map(str::to_owned).collect();
                tree(&tokens, next, base, &mut found);
                i = next;
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// The paths that begin with `prefix` and go on at `at`: one, or those of a `{…}` list. Gives where they end.
fn tree(
    tokens: &[Token<'_>],
    mut at: usize,
    mut prefix: CratePath,
    found: &mut BTreeSet<(CratePath, usize)>,
) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
    let line = tokens.get(at).map_or(0, |t| t.line);
    let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    while is_name(text(at)) && text(at) != "self" {
        prefix.push(text(at).to_owned());
        at += 1;
        if !(text(at) == ":" && text(at + 1) == ":") {
            found.insert((prefix, line));
            return if text(at) == "as" { at + 2 } else { at };
        }
        at += 2;
    }
    if text(at) != "{" {
        // `self`, `*`, or what does not belong to the path.
        found.insert((prefix, line));
        return at + usize::from(matches!(text(at), "self" | "*"));
    }
    at += 1;
    while !matches!(text(at), "}" | "") {
        at = tree(tokens, at, prefix.clone(), found);
        // Anything else than a comma would not be an import.
        at += usize::from(text(at) != "}");
    }
    at + 1
}

/// What is wrong with the imports of one file; `path` as for [`used`].
fn upstream(source: &str, path: &[&str]) -> Vec<String> {
    let Some(own) = rank(ORDER, path[0]) else {
        return vec![format!("module {} has no place in ORDER", path[0])];
    };
    let used = used(source, path);
    let mut wrong: BTreeSet<(&str, usize, String)> = BTreeSet::new();
    for (name, line) in &used {
        let Some(stage) = name.first() else { continue };
        // Names that are no module of the table are items or macros of the crate's root.
        if stage != path[0] && rank(ORDER, stage).is_some_and(|other| other > own) {
            let what = format!("{} may not use {stage}", path[0]);
            wrong.insert((stage, *line, what));
        }
    }
    if let (Some((_, floors)), Some(room)) = (
        FLOORS.iter().find(|(stage, _)| *stage == path[0]),
        path.get(1),
    ) {
        let Some(own) = rank(floors, room) else {
            return vec![format!("{}/{room} has no place in FLOORS", path[0])];
        };
        for (name, line) in &used {
            if let [stage, other, ..] = name.as_slice()
                && stage == path[0]
                && rank(floors, other).is_some_and(|other| other > own)
            {
                let what = format!("{stage}/{room} may not use {stage}/{other}");
                wrong.insert((other, *line, what));
            }
        }
    }
    let lines = wrong.into_iter();
    lines
        .map(|(_, line, what)| format!("line {line}: {what}"))
        .collect()
}

/// The files of a stage that each file uses; all by their module paths.
fn uses(sources: &BTreeMap<CratePath, String>) -> BTreeMap<&CratePath, BTreeSet<&CratePath>> {
    let file_of = |path: &[String]| -> Option<&CratePath> {
        let ends = (1..=path.len()).rev();
        ends.filter_map(|end| sources.get_key_value(&path[..end]))
            .map(|(file, _)| file)
            .next()
    };
    let mut uses = BTreeMap::new();
    for (path, source) in sources {
        let own: Vec<&str> = path.iter().map(String::as_str).collect();
        let named = used(source, &own);
        let mut files: BTreeSet<&CratePath> =
            named.iter().filter_map(|(name, _)| file_of(name)).collect();
        // A module names those inside of it without `self`.
        let tokens = tokens(source);
        let text = |i: usize| tokens.get(i).map_or("", |t| t.text);
        let inner = sources
            .keys()
            .filter(|inner| inner.split_last().is_some_and(|(_, outer)| outer == path));
        files.extend(inner.filter(|inner| {
            let name = inner.last().map_or("", String::as_str);
            (0..tokens.len()).any(|i| {
                let begins = i == 0 || text(i - 1) != ":";
                begins && text(i) == name && text(i + 1) == ":" && text(i + 2) == ":"
            })
        }));
        files.remove(path);
        uses.insert(path, files);
    }
    uses
}

/// The circles among files, each sorted.
fn circles(sources: &BTreeMap<CratePath, String>) -> BTreeSet<BTreeSet<String>> {
    let uses = uses(sources);
    let reached = |from: &CratePath| -> BTreeSet<&CratePath> {
        let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            for next in uses.get(file).into_iter().flatten() {
                if reached.insert(*next) {
                    open.push(next);
                }
            }
        }
        reached
    };
    let reached: BTreeMap<&CratePath, BTreeSet<&CratePath>> =
        sources.keys().map(|file| (file, reached(file))).collect();
    let circle = |file: &CratePath| -> BTreeSet<String> {
        let back = reached[file]
            .iter()
            .filter(|other| reached[**other].contains(file));
        back.map(|other| other.join("/")).collect()
    };
    let circles = sources.keys().map(circle);
    circles.filter(|circle| !circle.is_empty()).collect()
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

/// `src/facts/beam/chunk.rs` is `["facts", "beam", "chunk"]`, `src/facts/mod.rs` and `src/facts.rs` are `["facts"]`.
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
fn files_do_not_use_each_other_in_circles() {
    let src = root().join("src");
    let mut found = BTreeSet::new();
    for (stage, _) in FLOORS {
        let mut sources = BTreeMap::new();
        for file in files(&src.join(stage), &["rs"]) {
            let relative = file.strip_prefix(&src).expect("files are below src");
            sources.insert(module_path(relative), read(&file));
        }
        assert!(sources.len() > 10, "{stage}: only {} files", sources.len());
        found.extend(circles(&sources));
    }
    let known = CIRCLES.iter();
    let known = known.map(|circle| circle.iter().map(|&file| file.to_owned()).collect());
    assert_eq!(found, known.collect());
}

#[test]
fn a_circle_is_found() {
    let of = |files: &[(&str, &str)]| -> Vec<Vec<String>> {
        let sources = files.iter().map(|(path, source)| {
            let path = path.split('/').map(str::to_owned).collect();
            (path, (*source).to_owned())
        });
        let found = circles(&sources.collect());
        let found = found.into_iter();
        found.map(|circle| circle.into_iter().collect()).collect()
    };
    let none: Vec<Vec<String>> = Vec::new();
    assert_eq!(
        of(&[("a/b", "use super::c::X;"), ("a/c", "pub struct X;")]),
        none
    );
    assert_eq!(
        of(&[
            ("a/b", "use super::c::X;"),
            ("a/c", "fn f() { crate::a::d::g() }"),
            ("a/d", "use super::{b, e};")
        ]),
        [["a/b", "a/c", "a/d"]]
    );
    // A module that hands on what is inside of it is no circle, one from which that takes something is.
    assert_eq!(
        of(&[
            ("a", "mod b; pub use b::X;"),
            ("a/b", "pub(super) struct X;")
        ]),
        none
    );
    assert_eq!(
        of(&[
            ("a", "mod b; fn f() { b::f() } struct Y;"),
            ("a/b", "use super::Y;")
        ]),
        [["a", "a/b"]]
    );
    assert_eq!(
        of(&[
            ("a/b", "mod tests { use super::*; use super::super::c; }"),
            ("a/c", "use crate::a::b::{X as Y};")
        ]),
        [["a/b", "a/c"]]
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
        wrong(
            "use super::super::compare::{self, diff};",
            &["facts", "node", "ask"]
        ),
        ["line 1: facts/node may not use facts/compare"]
    );
    assert_eq!(
        wrong(
            "use super::{exit::Exit,\n args::{Args, Global}};\nuse crate::cli::run::run;",
            &["cli", "keys"]
        ),
        [
            "line 2: cli/keys may not use cli/args",
            "line 3: cli/keys may not use cli/run"
        ]
    );
    assert_eq!(
        wrong("", &["facts", "helpers"]),
        ["facts/helpers has no place in FLOORS"]
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
fn an_import_of_the_same_floor_or_one_before_is_right() {
    for (source, path) in [
        (
            "use super::ask::Ask; use crate::facts::{beam::chunk, app};",
            &["facts", "node", "queries"][..],
        ),
        (
            "pub mod compare; pub use self::compare::Compared; mod beam;",
            &["facts"],
        ),
        (
            "use super::{context::Context, exit::Exit};",
            &["cli", "run"],
        ),
        (
            "pub(super) fn f() {} pub(in crate::facts) fn g() {}",
            &["facts", "beam"],
        ),
    ] {
        assert_eq!(upstream(source, path), Vec::<String>::new(), "{source}");
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
