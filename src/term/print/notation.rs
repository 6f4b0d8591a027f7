//! The two notations in which values are printed.

use super::{elixir, pretty_within};
use crate::term::Term;

/// Whose notation a value is printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// As `~tp`.
    Erlang,
    /// As `inspect/2`.
    Elixir,
}

impl Notation {
    /// A value in lines of `width` columns and at most `limit` bytes, then [`CUT`](super::CUT). Says whether it is whole.
    pub fn within(self, term: &Term, width: usize, limit: usize) -> (String, bool) {
        match self {
            Self::Erlang => pretty_within(term, width, limit),
            Self::Elixir => elixir::elixir_within(term, width, limit),
        }
    }
}
