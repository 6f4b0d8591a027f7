//! The change set: what differs between the running code and the new beams, by MD5 and never by vsn.
//!
//! Plain data, made by [`compare`](super::compare). What is in doubt or left alone is in it too, with the reason; judging
//! is for the stages that follow.

mod applications;
mod change_set;
mod changed;
mod notice;

pub use super::node::queries::RunningVersion;
pub use applications::{CompileEnv, EnvChange, PathSwitch, ReleaseChange, SpecChange};
pub use change_set::ChangeSet;
pub(in crate::facts) use change_set::nature;
pub use changed::{Beam, Changed};
pub use notice::{Caller, Notice, RemovalCause, RemovedModule, SkipReason};
