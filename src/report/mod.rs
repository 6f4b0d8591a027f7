//! What people and machines see: the preview, the lines of a run, the stream of events.
//! Text only: what is kept of a run is in [`state`](crate::state).

pub mod diff;
pub mod drift;
pub mod github;
pub mod header;
pub mod html;
pub mod json;
pub mod junit;
pub mod log;
pub mod man_text;
pub mod preview;
pub mod progress;
pub mod rehearsal;
pub mod rehearsal_found;
pub mod replay;
pub mod roff;
pub mod rollout;
pub mod style;
pub mod terminal;
pub(crate) mod wrap;
