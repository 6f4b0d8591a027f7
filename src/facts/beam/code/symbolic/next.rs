//! What an instruction leads to.

use super::value::SymbolicValue;

/// What an instruction leads to.
pub(super) enum Next {
    On,
    Jump(u32),
    /// Either the next one or a label.
    Either(u32),
    /// One of these labels.
    Ways(Vec<u32>),
    /// The next one, or a label when something is raised.
    Guarded(u32),
    Answer(Vec<SymbolicValue>),
    Many(Vec<SymbolicValue>),
    Raises,
    Unknown,
}
