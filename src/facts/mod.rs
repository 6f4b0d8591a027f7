//! Facts: what the new beams and the running node are, without any judgement.
//!
//! [`beam`] reads one beam file in pure Rust, [`files`] finds and reads many, [`edges`] computes who
//! calls whom, [`light`] the same for thousands of files at once, [`debug`] reads record definitions,
//! [`app`] application files; [`diff`] compares two versions. `live` asks the node, one round trip per
//! question. Both sides give the same [`beam::BeamFacts`] vocabulary, so that old and new can be compared.

pub mod anew;
pub mod app;
mod archive;
pub mod beam;
pub mod behaviour;
pub mod bifs;
mod callers;
pub mod change;
pub mod children;
pub mod chunk;
pub mod code;
pub mod compare;
mod cursor;
pub mod debug;
pub mod diff;
pub mod digest;
pub mod disk;
mod disturbed;
pub mod edges;
mod error;
pub mod files;
mod flow;
pub mod leftovers;
pub mod light;
mod literal;
pub mod live;
mod missing;
pub mod moves;
pub mod natures;
pub mod old_code;
mod on_disk;
mod opcode;
mod otp;
mod places;
pub mod procs;
pub mod protocols;
mod pushed;
pub mod releases;
pub mod seen;
pub mod specs;
mod starts;
pub mod store;
pub mod toolchain;
mod walk;
pub mod wild;
pub mod written;
