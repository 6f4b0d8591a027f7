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
#[path = "cli/embed.rs"]
mod embed;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/graph.rs"]
mod graph;
#[path = "cli/loud.rs"]
mod loud;
#[path = "cli/pager.rs"]
mod pager;
#[path = "cli/people.rs"]
mod people;
#[path = "cli/preview.rs"]
mod preview;
#[path = "cli/reference.rs"]
mod reference;
#[path = "cli/twins.rs"]
mod twins;
#[path = "cli/waiting.rs"]
mod waiting;
