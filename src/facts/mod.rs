//! Facts: what the new beams and the running node are, without any judgement.
//!
//! Layers, each of which uses those above it in this list only (`tests/layers.rs` checks that):
//!
//! - [`beam`]: one beam file, read in pure Rust.
//! - [`app`]: application files.
//! - [`local`]: beam files of this machine.
//! - [`node`]: what a running node says, one round trip per question.
//! - [`change`]: the change set, plain values.
//! - [`compare`]: the node against new code, and version against version.

pub mod app;
pub mod beam;
pub mod change;
pub mod compare;
pub mod local;
pub mod node;
