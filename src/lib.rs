//! updo: hot code upgrades of live Erlang and Elixir nodes, done properly and without releases.
//!
//! Facts go in at the top, a report comes out at the bottom; each stage hands plain data to the next.
//!
//! ```text
//!  facts ──► graph ──► rules::infer ──┐
//!  (node, beams)                      ├─► rules::merge ─► script::high ─► script::lower ─► exec ─► report
//!  syntax ─► plan ───► rules::plan_rules ─┘                                        │
//!                                                                           node (session)
//! ```
//!
//! [`term`] and [`diag`] are used by all. `tests/layers.rs` fails on an import that points upstream.

// Of the library alone, besides what Cargo.toml has for all: no input ends the program, what is printed goes through
// `ui`, and input and output are where ARCHITECTURE.md says so (clippy.toml has the list). Tests end with a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::disallowed_methods,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

// What pest generates without its `std` feature names this crate.
extern crate alloc;

pub mod atomic_file;
pub mod cli;
pub mod diag;
pub mod engine;
pub mod eval;
pub mod exec;
pub mod facts;
pub mod graph;
pub mod lsp;
pub mod name;
pub mod node;
pub mod plan;
pub mod release;
pub mod repl;
pub mod report;
pub mod rules;
pub mod script;
pub mod state;
pub mod syntax;
pub mod term;
pub mod twin;
pub mod ui;
