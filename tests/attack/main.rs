//! Attacks: a harbour made up by a seed is upgraded under load while a fault is at work, in the node, between, or at the
//! client. Afterwards everything must be as the exit code and the last line say, and no process may have lost anything.

#[path = "../support/mod.rs"]
mod support;

mod fault;
mod harbour;
mod link;
mod promise;
mod sweep;
mod trial;
