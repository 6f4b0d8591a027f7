//! Listeners for the traffic of connections: `-vv` on standard error, `--log-file` in a file.
//!
//! A line that cannot be written (a full disk) is lost; it must not stop a run that is on its way.

#![expect(
    clippy::disallowed_methods,
    reason = "lines of a trace have the time of day"
)]

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::context::Context;
use crate::atomic_file;
use crate::diag::{Code, Diagnostic, Result, safe};
use crate::node::trace;
use crate::report::style::faint;

/// Begins to listen, where that is wanted.
///
/// # Errors
/// E802 when the file cannot be written.
pub(super) fn begin(context: &Context<'_>) -> Result<()> {
    let loud = context.ui.verbose > 1;
    let file = match &context.global.log_file {
        Some(path) => {
            let file = atomic_file::append_private(path);
            Some(Mutex::new(file.map_err(|why| {
                let title = format!("cannot write `{}`", path.display());
                Diagnostic::new(Code::E802, title).note(why.to_string())
            })?))
        }
        None => None,
    };
    if !loud && file.is_none() {
        return Ok(());
    }
    let ui = context.ui.clone();
    trace::listen(move |text| {
        if loud {
            ui.error_line(&faint(ui.style, &format!("trace  {text}")));
        }
        if let Some(file) = &file {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let text = safe::line(text);
            let _ = writeln!(file, "{now} [{}] {text}", std::process::id());
        }
    });
    Ok(())
}
