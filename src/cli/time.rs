//! Points in time as they are shown.

use std::time::Duration;

/// Seconds since 1970 as `2026-11-22T13:40:00Z`.
pub(super) fn time(seconds: u64) -> String {
    // A record from the far future is not worth a panic.
    let at = std::time::UNIX_EPOCH + Duration::from_secs(seconds.min(250_000_000_000));
    humantime::format_rfc3339_seconds(at).to_string()
}
