//! Files of the REPL: the plan as it was read, and writing it so that it is never half there.

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

/// Replaces a file, never half; with the rights it had, and a link stays a link.
///
/// # Errors
/// In words.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), String> {
    crate::atomic_file::replace(path, text.as_bytes()).map_err(|why| why.to_string())
}
