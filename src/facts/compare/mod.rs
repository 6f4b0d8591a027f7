//! The node against new code, and version against version: takes beams and what the node says, gives the change set.

pub mod behaviour;
mod callers;
mod comparison;
pub mod diff;
pub mod library_versions;
mod missing;
mod on_disk;
pub mod persist_diff;
mod push;
pub mod releases;
mod unloaded;

pub use comparison::{NewCode, OldBeamSources, RemovalSelector, compare, compare_on, keep, short};
