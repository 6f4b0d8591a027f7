//! Facts: what the new beams and the running node are, without any judgement.
//!
//! [`beam`] reads one beam file in pure Rust, [`files`] finds and reads many, [`edges`] computes who
//! calls whom, [`call_graph`] the same for thousands of files at once, [`debug`] reads record definitions,
//! [`app`] application files; [`diff`] compares two versions. `node_facts` asks the node, one round trip per
//! question. Both sides give the same [`beam::BeamFacts`] vocabulary, so that old and new can be compared.

#![expect(
    clippy::disallowed_methods,
    reason = "beams, applications, archives and the copies of beams are files, read by this stage"
)]

pub mod app;
pub mod app_specs;
mod archive;
pub mod beam;
pub mod behaviour;
pub mod behaviours;
pub mod bifs;
pub mod call_graph;
mod callers;
pub mod change;
pub mod children;
pub mod chunk;
pub mod code;
mod code_path;
pub mod compare;
pub(crate) mod cursor;
pub mod debug;
pub mod diff;
pub mod digest;
mod disturbed;
pub mod edges;
mod error;
pub mod file_cache;
pub mod files;
pub mod globs;
mod instructions;
mod known_calls;
pub mod leftovers;
pub mod library_versions;
mod literal;
mod missing;
pub mod node_facts;
pub mod node_files;
pub mod old_code;
mod on_disk;
pub(crate) mod opcode;
mod otp;
pub mod persist_diff;
pub mod processes;
pub mod protocols;
mod push;
mod registers;
pub mod releases;
pub mod requery;
mod started_with;
pub mod store;
pub mod toolchain;
mod unloaded;
