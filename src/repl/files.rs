//! Files of the REPL: the plan as it was read, and writing it so that it is never half there.

#![expect(
    clippy::disallowed_methods,
    reason = "plans are written, and paths completed"
)]

use std::path::{Path, PathBuf};

use crate::plan::Plan;

/// The file of a plan and its text.
#[derive(Clone, Debug)]
pub(super) struct PlanFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl PlanFile {
    /// The file that a plan was read from.
    pub fn of(plan: &Plan) -> Option<Self> {
        let source = plan.sources.sources().first()?;
        Some(Self {
            path: plan.path.clone(),
            text: source.text.clone(),
        })
    }
}

/// The first entries of a folder that are wanted by their names, each with whether it is a folder; none of one that
/// cannot be read.
pub(super) fn entries(
    folder: &Path,
    most: usize,
    wanted: impl Fn(&str) -> bool,
) -> Vec<(String, bool)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .take(most)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_folder = wanted(&name).then(|| entry.path().is_dir())?;
            Some((name, is_folder))
        })
        .collect()
}

/// Whether there is something at a path.
pub(super) fn is_there(path: &Path) -> bool {
    path.exists()
}

/// Whether two paths lead to the same file.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

/// Replaces a file, never half; with the rights it had, and a link stays a link.
///
/// # Errors
/// In words.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), String> {
    crate::atomic_file::replace(path, text.as_bytes()).map_err(|why| why.to_string())
}
