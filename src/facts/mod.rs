//! Facts: what the new beams and the running node are, without any judgement.
//!
//! [`beam`] reads one beam file in pure Rust, [`files`] finds and reads many, [`edges`] computes who
//! calls whom, [`debug`] reads record definitions. `live` asks the node, one round trip per question.
//! Both sides give the same [`beam::BeamFacts`] vocabulary, so that old and new can be compared.

pub mod beam;
pub mod bifs;
pub mod change;
pub mod chunk;
mod code;
pub mod compare;
mod cursor;
pub mod debug;
pub mod edges;
mod error;
pub mod files;
mod flow;
mod literal;
pub mod live;
mod opcode;
mod starts;
pub mod store;
mod walk;
