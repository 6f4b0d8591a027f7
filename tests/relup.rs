//! Relups and appups against OTP's own `systools`, and SCENARIOS A of the design, one test each.
//!
//! One `erl` is started for each differential test and asked over a local socket. `UPDO_SEED` chooses other
//! cases, `UPDO_COUNT` how many; a failure prints both and the case.

#[path = "relup/oracle.rs"]
mod oracle;
#[path = "relup/random.rs"]
mod random;
#[path = "relup/releases.rs"]
mod releases;
#[path = "relup/scripts.rs"]
mod scripts;
#[path = "term_oracle/generate.rs"]
#[allow(dead_code)] // made for another test, which uses all of it
mod terms;
