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

#![forbid(unsafe_code)]
#![warn(missing_docs)]

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
pub mod syntax;
pub mod term;
pub mod twin;
pub mod ui;
