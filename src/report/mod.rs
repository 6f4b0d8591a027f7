//! What people and machines see: the preview, the lines of a run, the stream of events.
//!
//! Text only; nothing here writes to a terminal or a file.

pub mod diff;
pub mod json;
pub mod lines;
pub mod paint;
pub mod preview;
