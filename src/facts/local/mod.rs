//! Beam files of this machine: found by patterns, read many at a time, kept and remembered between runs.

mod archive;
pub mod call_graph;
pub mod edges;
pub mod file_cache;
pub mod files;
pub mod globs;
pub mod store;
