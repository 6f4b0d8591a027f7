//! The REPL: one prompt for expressions, statements and commands.
//!
//! [`session`] is the backend: text in, text out, no terminal; it is what tests and other programs drive. Its parts:
//! `value` evaluates, `statements` changes the session's plan, `show` and `live` answer what is asked about the upgrade
//! and the node, `checks` asks the plan's checks. [`terminal`] puts line editing, history, [`complete`] and
//! `highlight` in front of it; [`command`] knows what is behind a colon.

mod checks;
pub mod command;
pub mod complete;
pub mod completion_data;
mod evaluate;
mod files;
mod help;
mod highlight;
mod node_commands;
pub mod notation;
pub mod read_only;
pub mod session;
mod show;
mod statements;
mod sup;
pub mod terminal;
mod view_diff;
