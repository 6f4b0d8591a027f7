//! Facts about real nodes: what differs, what a module is, who runs it, and what it costs the node to be asked.

mod support;

#[path = "facts/apps.rs"]
mod apps;
#[path = "facts/bad.rs"]
mod bad;
#[path = "facts/changes.rs"]
mod changes;
#[path = "facts/classes.rs"]
mod classes;
#[path = "facts/cost.rs"]
mod cost;
#[path = "facts/elixir.rs"]
mod elixir;
#[path = "facts/embedded.rs"]
mod embedded;
#[path = "facts/left_out.rs"]
mod left_out;
#[path = "facts/one_way.rs"]
mod one_way;
#[path = "facts/paths.rs"]
mod paths;
#[path = "facts/processes.rs"]
mod processes;
#[path = "facts/toolchain.rs"]
mod toolchain;
#[path = "facts/world.rs"]
mod world;
