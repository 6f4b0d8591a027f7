//! Beam files of this machine: found by patterns, read many at a time.

mod archive;
pub mod call_graph;
pub mod edges;
pub mod files;
pub mod globs;
mod tarball;
