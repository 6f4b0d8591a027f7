//! Execution: hands the finished script and the object code to a process inside the node, then only
//! watches. The client never drives suspend, load and resume itself, so that losing it loses nothing.

pub mod acted;
pub mod attach;
pub mod back;
pub mod check;
mod checks;
mod children;
pub mod event;
pub mod failure;
pub mod interrupt;
pub mod job;
mod old_code;
pub mod persist;
mod quiet;
pub mod release_handler;
mod restarts;
pub mod rollout;
mod run;
pub mod steps;
mod survivors;
mod translate;
mod watch;
pub mod ways;

pub use event::{Event, Kind, Slow, State, StepKind};
pub use interrupt::Interrupt;
pub use run::{Upgrade, upgrade};
pub use watch::{Outcome, Sink};
