//! Relups and appups against OTP's own `systools`, and SCENARIOS A of the design, one test each.
//!
//! One `erl` is started for each differential test and asked over a local socket. `UPDO_SEED` chooses other
//! cases, `UPDO_COUNT` how many; a failure prints both and the case.

#[path = "../support/callback.rs"]
mod callback;
mod checked;
mod command;
#[path = "../support/compiler.rs"]
mod compiler;
mod oracle;
mod random;
mod reading;
mod releases;
mod scenarios;
mod scripts;
#[path = "../term_oracle/generate.rs"]
mod terms;
mod wrapped;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use oracle::Oracle;

/// One for all tests with few questions; it ends with the test, when its input ends.
fn shared() -> MutexGuard<'static, Oracle> {
    static SHARED: OnceLock<Mutex<Oracle>> = OnceLock::new();
    let shared = SHARED.get_or_init(|| Mutex::new(Oracle::start()));
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
