//! The REPL: one prompt for expressions, statements and commands.
//!
//! [`session`] is the backend: text in, text out, no terminal; it is what tests drive. [`terminal`] puts
//! line editing, history and completion in front of it; [`command`] knows what stands behind a colon.

pub mod command;
pub mod session;
pub mod terminal;
