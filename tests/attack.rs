//! Attacks: a harbour made up by a seed is upgraded under load while a fault is at work, in the node, between, or at the
//! client. Afterwards everything must be as the exit code and the last line say, and nobody may have lost anything.

mod support;

#[path = "attack/fault.rs"]
mod fault;
#[path = "attack/harbour.rs"]
mod harbour;
#[path = "attack/link.rs"]
mod link;
#[path = "attack/promise.rs"]
mod promise;
#[path = "attack/sweep.rs"]
mod sweep;
#[path = "attack/trial.rs"]
mod trial;
