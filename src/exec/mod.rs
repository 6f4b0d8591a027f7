//! Execution: hands the finished script and the object code to a process inside the node, then only
//! watches. The client never drives suspend, load and resume itself, so that losing it loses nothing.

mod agent_end;
mod agent_events;
mod agent_monitor;
mod agent_reason;
pub mod attach;
pub mod barrier;
pub mod barriers;
mod children;
pub mod condition;
mod converters;
pub mod event;
pub mod hold;
pub mod interrupt;
pub mod job;
mod listed_children;
mod live;
mod liveness;
pub mod no_undo;
mod old_code;
pub mod pause;
pub mod persist;
mod plan_checks;
mod query_survivors;
pub mod rehearsal;
mod rehearsal_found;
mod rehearsal_words;
pub mod release_handler;
mod restarts;
pub mod rollback;
pub mod rollback_steps;
pub mod rollout_checks;
mod run;
pub mod side_effects;
pub mod step;
mod step_list;
pub mod step_term;
pub mod steps;
mod survivors;
pub mod together;
mod trial;

pub use agent_monitor::{EventSink, Outcome};
pub use event::{BusyProcess, Event, EventKind, NodeState, StepKind};
pub use interrupt::Interrupt;
pub use run::{RunRequest, upgrade};
