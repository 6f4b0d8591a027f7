//! What the shell can offer while a command is typed: plans, targets, parameters, runs, codes.
//!
//! The script that [`completions`](super::completions) prints calls updo again with the words typed so far, and the
//! functions here answer: from files only, never from a node, and never with a message of any kind on the terminal. A plan that
//! cannot be read offers nothing.

#![expect(
    clippy::disallowed_methods,
    reason = "files that are being typed are completed, and parameters of the plan that was typed"
)]

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap_complete::engine::CompletionCandidate;

use super::time::time;
use crate::diag::{Code, safe};
use crate::engine::Settings;
use crate::regular_file;
use crate::state::runs::RunRecords;
use crate::syntax::ast::{Statement, StatementKind};
use crate::syntax::parse_plan;

/// Plans: `*.updo` beside what is typed, and folders on the way there.
pub(super) fn plans(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let (folder, start) = typed
        .rsplit_once('/')
        .map_or(("", &*typed), |(folder, start)| (folder, start));
    let shown = |name: &str| {
        if typed.contains('/') {
            format!("{folder}/{name}")
        } else {
            name.to_owned()
        }
    };
    let place = match (folder, typed.starts_with('/')) {
        ("", true) => Path::new("/"),
        ("", false) => Path::new("."),
        (folder, _) => Path::new(folder),
    };
    let mut found: Vec<CompletionCandidate> = entries(place)
        .into_iter()
        .filter(|(name, _)| name.starts_with(start))
        .filter(|(name, _)| !name.starts_with('.') || start.starts_with('.'))
        .filter_map(|(name, folder)| match folder {
            true => Some(CompletionCandidate::new(format!("{}/", shown(&name)))),
            false => name
                .ends_with(".updo")
                .then(|| candidate(shown(&name), &title(&place.join(&name)))),
        })
        .collect();
    found.truncate(200);
    found
}

/// The targets of the plan that is among the words already typed.
pub(super) fn targets(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = typed_plan()
        .into_iter()
        .filter_map(|statement| match statement.kind {
            StatementKind::Target { name, .. } => {
                Some(candidate(name.value.as_str().to_owned(), "target"))
            }
            _ => None,
        });
    starting(current, names)
}

/// The parameters of that plan, ready for their value.
pub(super) fn parameters(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = typed_plan()
        .into_iter()
        .filter_map(|statement| match statement.kind {
            StatementKind::Param { name, tail, .. } => {
                let why = tail.because.map(|because| because.value);
                let why = why.unwrap_or_default();
                Some(candidate(format!("{}=", name.value), &why))
            }
            _ => None,
        });
    starting(current, names)
}

/// Recorded runs, the newest first.
pub(super) fn runs(current: &OsStr) -> Vec<CompletionCandidate> {
    let all = RunRecords::new(&Settings::from_env().state_dir).all();
    let names = all.into_iter().rev().take(100).map(|run| {
        let description = format!(
            "{} {} {} {}",
            time(run.began),
            run.state,
            run.node,
            run.title
        );
        candidate(run.run, &description)
    });
    starting(current, names)
}

/// Diagnostic codes with their titles, and plans.
pub(super) fn codes_and_plans(current: &OsStr) -> Vec<CompletionCandidate> {
    let codes = Code::ALL.iter().map(|code| {
        let page = code.page().lines().next().unwrap_or_default();
        let title = page.split_once(": ").map_or("", |(_, title)| title);
        candidate(code.as_str().to_owned(), title)
    });
    let mut found = starting(current, codes);
    found.extend(plans(current));
    found
}

fn candidate(value: String, description: &str) -> CompletionCandidate {
    let help = (!description.is_empty()).then(|| safe::line(description).into_owned().into());
    CompletionCandidate::new(value).help(help)
}

fn starting(
    current: &OsStr,
    all: impl Iterator<Item = CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let is_offered = |one: &CompletionCandidate| {
        let value = one.get_value().to_string_lossy();
        // A shell writes it as it is.
        value.starts_with(&*typed) && matches!(safe::line(&value), Cow::Borrowed(_))
    };
    all.filter(is_offered).collect()
}

/// Names in a folder, and whether each is a folder itself; sorted.
fn entries(folder: &Path) -> Vec<(String, bool)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut all: Vec<(String, bool)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, entry.path().is_dir()))
        })
        .collect();
    all.sort_unstable();
    all
}

/// A plan's title.
fn title(path: &Path) -> String {
    let statements = read(path).into_iter();
    let titles = statements.filter_map(|statement| match statement.kind {
        StatementKind::Plan { title, .. } => Some(title.value),
        _ => None,
    });
    titles.take(1).collect()
}

/// The statements of the plan among the words of the command line. Only read, not resolved: what is being typed
/// may be just what it still needs.
fn typed_plan() -> Vec<Statement> {
    std::env::args_os()
        .map(PathBuf::from)
        .find(|word| word.extension().is_some_and(|end| end == "updo") && word.is_file())
        .map_or_else(Vec::new, |path| read(&path))
}

fn read(path: &Path) -> Vec<Statement> {
    /// Plans are short; what is not is no use here.
    const MAX_BYTES: u64 = 1 << 20;
    let mut text = String::new();
    let read = regular_file::open(path)
        .and_then(|(file, _)| file.take(MAX_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => parse_plan(&text, 0).statements,
        Err(_) => Vec::new(),
    }
}
