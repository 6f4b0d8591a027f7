//! Facts about real nodes: what differs, what a module is, which processes run it, and what it costs the node to be
//! asked.

#[path = "../support/mod.rs"]
mod support;

mod apps;
mod bad;
mod changes;
mod classes;
mod cost;
mod crossing;
mod elixir;
mod embedded;
mod journals;
mod left_out;
mod one_way;
mod paths;
mod processes;
mod toolchain;
mod world;
