//! The state folder: what updo keeps between two runs, on the machine that it runs on.
//!
//! `UPDO_STATE_DIR`, or `~/.local/state/updo`. Folders are the owner's alone, files are written beside and renamed, and
//! what cannot be read counts as not there: losing the whole of it costs time and the way back, never a node.
//!
//! | folder | what | where |
//! |---|---|---|
//! | `runs/` | the records of runs | [`runs`] |
//! | `beams/` | copies of beams by their MD5 | [`beams`] |
//! | `versions/` | what nodes ran after a run, module by module | [`versions`] |
//! | `files/` | what a node's files were when they were last read | [`file_cache`] |
//! | `agents/` | the agent as nodes have compiled it | [`agents`] |
//! | `rehearsals/` | what the last rehearsals on a node have measured | [`rehearsals`] |

// What is read here others have written: nothing is cut at a place that was computed.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

pub mod agents;
pub mod beams;
pub mod file_cache;
mod node_file;
pub mod rehearsals;
pub mod runs;
mod unchanged_files;
pub mod versions;
