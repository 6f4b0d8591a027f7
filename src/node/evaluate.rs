//! Expressions evaluated on the node by `erl_eval`: for the few questions that no function answers.

use std::time::Duration;

use super::{CallError, Session};
use crate::term::{Atom, Term};

/// Evaluates Erlang text (expressions ending in a dot) with some variables bound, and gives the value of
/// the last one. Three calls, because scanner, parser and evaluator are three documented functions.
///
/// # Errors
/// What the expressions raise, as [`CallError::Raised`]; text that does not parse is raised too.
pub fn evaluate(
    session: &Session,
    text: &str,
    bindings: &[(&str, Term)],
    timeout: Duration,
) -> Result<Term, CallError> {
    let scanned = session.call("erl_scan", "string", vec![Term::string(text)], timeout)?;
    let tokens = second(&scanned, "ok").ok_or_else(|| refused(&scanned))?;
    let parsed = session.call("erl_parse", "parse_exprs", vec![tokens], timeout)?;
    let exprs = second(&parsed, "ok").ok_or_else(|| refused(&parsed))?;
    // erl_eval takes an orddict: sorted by name.
    let sorted: std::collections::BTreeMap<&str, &Term> = bindings
        .iter()
        .map(|(name, value)| (*name, value))
        .collect();
    let bindings = Term::list(
        sorted
            .into_iter()
            .map(|(name, value)| Term::tuple([Term::atom(name), value.clone()])),
    );
    let answer = session.call("erl_eval", "exprs", vec![exprs, bindings], timeout)?;
    second(&answer, "value").ok_or_else(|| refused(&answer))
}

/// `B` of `{tag, B}` or `{tag, B, _}`.
fn second(answer: &Term, tag: &str) -> Option<Term> {
    match answer.as_tuple()? {
        [first, second, ..] if first.is_atom(tag) => Some(second.clone()),
        _ => None,
    }
}

fn refused(answer: &Term) -> CallError {
    CallError::Raised {
        class: Atom::new("error"),
        reason: Term::tuple([Term::atom("bad_expression"), answer.clone()]),
        stack: Term::List(Vec::new()),
    }
}
