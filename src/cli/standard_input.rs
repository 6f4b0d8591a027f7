//! A plan from standard input, in place of its file.

#![expect(
    clippy::disallowed_methods,
    reason = "a plan may come from standard input"
)]

use std::io::Read;

/// What says so on the command line.
pub(super) const STDIN: &str = "-";

/// The largest plan that is read.
const MAX_BYTES: u64 = 16 << 20;

/// The plan `-`.
///
/// # Errors
/// In words: it cannot be read, is not UTF-8, or larger than 16 MiB.
pub(super) fn from_stdin() -> Result<String, String> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 > MAX_BYTES => Err(format!("larger than {MAX_BYTES} bytes")),
        Ok(_) => Ok(text),
        Err(why) => Err(why.to_string()),
    }
}
