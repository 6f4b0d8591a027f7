//! The command line as people and pipelines use it: what is printed where, and with which exit code.

mod support;

#[path = "cli/ask.rs"]
mod ask;
#[path = "cli/bounded.rs"]
mod bounded;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/config.rs"]
mod config;
#[path = "cli/connect.rs"]
mod connect;
#[path = "cli/doctor_and_help.rs"]
mod doctor_and_help;
#[path = "cli/embed.rs"]
mod embed;
#[path = "cli/env_flags.rs"]
mod env_flags;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/graph.rs"]
mod graph;
#[path = "cli/pager.rs"]
mod pager;
#[path = "cli/preview.rs"]
mod preview;
#[path = "cli/reference.rs"]
mod reference;
#[path = "cli/verbosity.rs"]
mod verbosity;
#[path = "cli/waiting.rs"]
mod waiting;
