//! The node against new code, and version against version: takes beams and what the node says, gives the change set.
//!
//! `comparison` asks the questions of the other files in order and puts the change set together. `on_disk` and `push` find
//! the beams that differ, `versions` what runs of them, `module_processes` which processes run that.

pub mod behaviour_change;
mod callers;
mod compared_node;
mod comparison;
mod consolidation;
pub mod diff;
pub mod going_back;
pub mod library_versions;
mod local_beams;
mod missing;
mod module_processes;
mod module_versions;
mod new_beams;
mod old_code;
mod on_disk;
pub mod persist_diff;
mod push;
mod releases;
pub mod restart;
mod restart_lists;
mod specs;
mod unloaded;
mod unstarted;

pub use comparison::{NewCode, RemovalSelector, compare, compare_on, keep};
pub use module_versions::OldBeamSources;
