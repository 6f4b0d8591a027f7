//! Facts: what the new beams and the running node are, without any judgement.
//!
//! [`beam`] reads one beam file in pure Rust. `live` asks the node, one round trip per question. Both
//! give the same [`beam::BeamFacts`] vocabulary, so that old and new can be compared.

pub mod beam;
pub mod change;
pub mod compare;
pub mod live;
pub mod store;
