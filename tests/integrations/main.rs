//! updo from inside of other tools: rebar3, mix and CI (`integrations/`), as a project that uses them would, and assistants
//! (`updo mcp`), all with real nodes; and the script that packs a release.

#[path = "../support/mod.rs"]
mod support;

mod flags;
mod in_ci;
mod in_dist;
mod in_mcp;
mod in_mix;
mod in_rebar3;
mod project;
