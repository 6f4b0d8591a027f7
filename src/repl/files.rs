//! Files of the REPL: the plan as it was read, and writing it so that it is never half there.

use std::io::Write as _;
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

/// Replaces a file: written beside it and renamed, with the rights it had. A link stays a link.
///
/// # Errors
/// In words.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), String> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = match real.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = real
        .file_name()
        .ok_or_else(|| "it is no file".to_owned())?
        .to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        if let Ok(known) = std::fs::metadata(&real) {
            std::fs::set_permissions(&beside, known.permissions())?;
        }
        std::fs::rename(&beside, &real)
    })();
    written.map_err(|why: std::io::Error| {
        // What could not take its place must not lie about.
        let _ = std::fs::remove_file(&beside);
        why.to_string()
    })
}
