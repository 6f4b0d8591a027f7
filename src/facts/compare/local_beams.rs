//! Beams and small files of this machine, as a comparison takes them.

#![expect(
    clippy::disallowed_methods,
    reason = "new beams are files of this machine"
)]

use std::io::Read;
use std::path::Path;

use crate::diag::{Code, Diagnostic, Result, Span};
use crate::facts::app::app_specs::MAX_SPEC;
use crate::facts::local::files::{self, BeamFile};
use crate::regular_file;

/// Local beams of patterns, as they are to a node of an OTP release.
pub(super) fn local(patterns: &[(String, Span)], base: &Path, otp: u32) -> Result<Vec<BeamFile>> {
    let mut found = Vec::new();
    for (pattern, span) in patterns {
        let paths = files::beams_of(&[pattern.as_str()], base).map_err(|why| {
            Diagnostic::new(Code::E213, why.to_string()).label(*span, "in this pattern")
        })?;
        if paths.is_empty() {
            let title = format!("no beam matches `{pattern}`");
            let diagnostic = Diagnostic::new(Code::E213, title).label(*span, "matches nothing");
            return Err(Box::new(
                diagnostic.help(format!("paths are relative to {}", shown(base))),
            ));
        }
        for path in paths {
            let mut file = files::read_beam_file(&path)
                .map_err(|why| unusable(&path.display().to_string(), &why.to_string()))?;
            file.facts = file.facts.on(otp);
            found.push(file);
        }
    }
    Ok(found)
}

fn shown(base: &Path) -> String {
    if base.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        base.display().to_string()
    }
}

/// E214.
pub(super) fn unusable(file: &str, why: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::E214, format!("`{file}` is not a usable beam"))
            .note(why)
            .help("nothing was changed; build or copy the file again"),
    )
}

/// A regular file, at most one byte more than a specification may have (so that its reader sees that it is too big).
pub(super) fn small_file(path: &Path) -> Option<Vec<u8>> {
    if !path.exists() {
        return files::in_archive(path);
    }
    let (file, _) = regular_file::open(path).ok()?;
    let mut text = Vec::new();
    let limit = u64::try_from(MAX_SPEC).ok()? + 1;
    file.take(limit).read_to_end(&mut text).ok()?;
    Some(text)
}
