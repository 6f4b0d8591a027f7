//! What the engine takes from its surroundings: variables, the user, the machine's name, the time.

#![expect(
    clippy::disallowed_methods,
    reason = "the engine asks its environment here and nowhere else"
)]

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// A variable of the environment; `None` when it is not set, or not UTF-8.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// All variables of the environment.
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars()
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// The state folder of a process without a home, as those of containers often are: one of this user's.
pub(super) fn temporary_state() -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    std::env::temp_dir().join(format!("updo-{user}"))
}

/// The machine's name, as its kernel has it.
pub(super) fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

/// `user@host`, as far as the environment shows.
pub(super) fn owner() -> String {
    let user = variable("USER")
        .or_else(|| variable("LOGNAME"))
        .unwrap_or_else(|| "unknown user".to_owned());
    match hostname().unwrap_or_default().as_str() {
        "" => user,
        host => format!("{user}@{host}"),
    }
}
