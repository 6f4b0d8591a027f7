//! The plan language as a whole: what is said about plans, how they are formatted, what they do on a node.

mod support;

#[path = "language/codes.rs"]
mod codes;
#[path = "language/format.rs"]
mod format;
#[path = "language/grammars.rs"]
mod grammars;
#[path = "language/meaning.rs"]
mod meaning;
#[path = "language/merge.rs"]
mod merge;
#[path = "language/order.rs"]
mod order;
#[path = "language/plans.rs"]
mod plans;
#[path = "language/synthetic.rs"]
mod synthetic;
#[path = "language/targets.rs"]
mod targets;
#[path = "language/windows.rs"]
mod windows;
