//! The language server as an editor meets it: the real binary, over pipes.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod hostile;
mod lifecycle;
mod node;
mod requests;
mod sync;
#[path = "../cli/waiting.rs"]
mod waiting;
