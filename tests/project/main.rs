//! What holds for the project as a whole: the oldest Rust that builds it, and where input and output are done; what it is
//! built of (`dependencies.rs`), where it may panic (`panics.rs`), what the page about threats names (`threats.rs`), and
//! the commands that show it (`commands.rs`).

mod commands;
mod dependencies;
mod panics;
mod threats;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `1.90` and `1.90.0` are the same.
fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().expect("a number"));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

/// The standard output of a program of the toolchain.
fn output(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(ran.stdout).expect("UTF-8")
}

#[test]
fn no_locked_dependency_needs_a_newer_rust() {
    let host = output("rustc", &["-vV"]);
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .expect("rustc names its host");
    // What other systems need has not been downloaded.
    let metadata = [
        "metadata",
        "--locked",
        "--offline",
        "--format-version=1",
        "--filter-platform",
        host,
    ];
    let metadata: Value =
        serde_json::from_str(&output(env!("CARGO"), &metadata)).expect("cargo writes JSON");
    let needs = |package: &Value| Some(version(package["rust_version"].as_str()?));
    let packages = metadata["packages"].as_array().expect("packages");
    let own = packages
        .iter()
        .find(|package| package["name"] == "updo")
        .and_then(needs)
        .expect("Cargo.toml has `rust-version`");
    let stated = packages.iter().filter_map(needs).count();
    assert!(stated > 50, "only {stated} packages state a version");
    let newer: Vec<String> = packages
        .iter()
        .filter(|package| needs(package).is_some_and(|version| version > own))
        .map(|package| {
            format!(
                "{} {} needs {}",
                package["name"], package["version"], package["rust_version"]
            )
        })
        .collect();
    assert!(
        newer.is_empty(),
        "Cargo.toml promises {own:?}:\n  {}",
        newer.join("\n  ")
    );
}

#[test]
fn the_oldest_rust_is_what_the_workflow_builds_with() {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let oldest = manifest["package"]["rust-version"]
        .as_str()
        .expect("a version");
    let workflow = read(".github/workflows/ci.yml");
    let job = workflow
        .split_once("\n  msrv:")
        .and_then(|(_, rest)| rest.split("\n\n").next())
        .expect("the job `msrv`");
    assert!(
        job.contains(&format!("container: rust:{oldest}-")),
        "Cargo.toml has {oldest}, and the job:\n{job}"
    );
}

/// The Rust files below a folder, relative to the project's.
fn sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let relative = path.strip_prefix(root()).expect("below the project");
            found.insert(relative.display().to_string());
        }
    }
}

/// The section "Input and output" of ARCHITECTURE.md names files and folders, each in the first cell of a row.
#[test]
fn input_and_output_are_where_the_architecture_says() {
    let text = read("ARCHITECTURE.md");
    let section = text
        .split_once("\n## Input and output\n")
        .and_then(|(_, rest)| rest.split("\n## ").next())
        .expect("the section");
    let listed: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(file, _)| format!("src/{file}"))
        .collect();
    let mut all = BTreeSet::new();
    sources(&root().join("src"), &mut all);
    assert!(all.len() > 300, "only {} files", all.len());
    let expecting: BTreeSet<String> = all
        .into_iter()
        // The crate's root only turns the lint on.
        .filter(|file| file != "src/lib.rs" && read(file).contains("clippy::disallowed_methods,"))
        .collect();
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
        a.difference(b).cloned().collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        (only(&expecting, &listed), only(&listed, &expecting)),
        (String::new(), String::new()),
        "left: not in ARCHITECTURE.md; right: there, but without an `#[expect]`"
    );
}

/// The agent's files, by name.
fn agent() -> Vec<(String, String)> {
    let folder = root().join("src/node/agent");
    let entries = fs::read_dir(&folder).expect("the agent's folder");
    let mut files: Vec<(String, String)> = entries
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| name.ends_with(".erl"))
        .map(|name| {
            let text = read(&format!("src/node/agent/{name}"));
            (name, text)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_parts_of_the_agent_have_a_number_each_and_fit_a_screen() {
    let files = agent();
    for (number, (name, text)) in (1..).zip(&files) {
        assert!(name.starts_with(&format!("{number:02}_")), "{name}");
        for (at, line) in (1..).zip(text.lines()) {
            let width = line.chars().count();
            assert!(width <= 100, "{name}:{at} has {width} columns");
        }
    }
    assert!(files.len() > 10, "{}", files.len());
}

/// Words behind a text, if they are written in small letters: `put(job` has `job`.
fn words_behind<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    text.match_indices(before).filter_map(move |(at, _)| {
        let rest = text[at + before.len()..].trim_start_matches(['{', '\'']);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
        let word: String = rest.chars().take_while(|c| is_part(*c)).collect();
        let begins = |c: char| c.is_ascii_lowercase() || c == '$';
        word.starts_with(begins).then_some(word)
    })
}

/// What is missing in the list at the agent's beginning.
fn unlisted(files: &[(String, String)]) -> BTreeSet<String> {
    let all: String = files.iter().map(|(_, text)| text.as_str()).collect();
    let (header, _) = all.split_once("-module(").expect("a module");
    let listed = |word: &String| {
        header
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$'))
            .any(|known| known == word)
    };
    let code: String = all
        .lines()
        .filter(|line| !line.trim_start().starts_with("%%"))
        .map(|line| format!("{line}\n"))
        .collect();
    // `{system, From, Request}` is OTP's own; `case` begins an expression; `To ! emptied` and the like have no name.
    let not_ours = ["system", "case"];
    ["put(", "! ", "register("]
        .into_iter()
        .flat_map(|before| words_behind(&code, before).collect::<Vec<_>>())
        .filter(|word| !not_ours.contains(&word.as_str()) && !listed(word))
        .collect()
}

#[test]
fn the_agent_lists_its_keys_messages_and_names() {
    let mut files = agent();
    assert_eq!(unlisted(&files), BTreeSet::new());
    // One that is not listed is found.
    files.push((
        "99_new.erl".to_owned(),
        "f(P) -> put(brand_new, 1), P ! {unheard_of, 2}.\n".to_owned(),
    ));
    let found = ["brand_new", "unheard_of"].map(str::to_owned);
    assert_eq!(unlisted(&files), BTreeSet::from(found));
}
