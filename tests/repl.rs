//! The REPL on real nodes: from files and pipes, and through a real pseudo-terminal whose screen is read.

mod support;

#[path = "repl/scripts.rs"]
mod scripts;
#[path = "repl/terminal.rs"]
mod terminal;
#[path = "cli/waiting.rs"]
mod waiting;
