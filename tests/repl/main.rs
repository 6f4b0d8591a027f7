//! The REPL on real nodes: from files and pipes, and through a real pseudo-terminal whose screen is read.

#[path = "../support/mod.rs"]
mod support;

mod scripts;
mod terminal;
#[path = "../cli/waiting.rs"]
mod waiting;
