//! The command line as people and pipelines use it: what is printed where, and with which exit code.

#[path = "../support/mod.rs"]
mod support;

mod ask;
mod bounded;
mod check;
mod config;
mod connect;
mod doctor_and_help;
mod embed;
mod env_flags;
mod eval;
mod explain;
mod graph;
mod large;
mod large_report;
mod pager;
mod preview;
mod reference;
mod verbosity;
mod waiting;
