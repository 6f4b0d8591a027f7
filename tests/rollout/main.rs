//! Rollouts over several real nodes: stages, failures, pauses, going back as a whole.

mod all_back;
mod crossing;
mod drift;
mod failures;
mod fleet;
mod gates;
mod holds;
mod pauses;
mod saved;
mod screens;
mod stages;
#[path = "../support/mod.rs"]
mod support;
mod together;
