//! In which notation the values of a node are printed: Elixir's where the node runs Elixir.

use std::time::Duration;

use crate::node::Session;
use crate::term::{Notation, Term};

/// How long the node may take to say so.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Elixir's if the application `elixir` is loaded. A node that does not answer gets Erlang's.
pub fn of(node: &Session) -> Notation {
    let args = vec![Term::atom("elixir"), Term::atom("vsn")];
    match node.call("application", "get_key", args, TIMEOUT) {
        Ok(Term::Tuple(_)) => Notation::Elixir,
        _ => Notation::Erlang,
    }
}
