//! updo from inside of other tools (`integrations/`): rebar3 and mix, as a project that uses them would, with real nodes.

#[path = "../support/mod.rs"]
mod support;

mod in_mcp;
mod in_mix;
mod in_rebar3;
mod project;
