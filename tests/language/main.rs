//! The plan language as a whole: what is said about plans, how they are formatted, what they do on a node.

#[path = "../support/mod.rs"]
mod support;

mod boot_order;
mod codes;
mod format;
mod grammars;
mod meaning;
mod merge;
mod order;
mod plans;
mod synthetic;
mod targets;
mod windows;
