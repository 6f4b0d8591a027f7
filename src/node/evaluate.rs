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
    let bindings = bindings
        .iter()
        .map(|(name, value)| (Term::atom(name), value.clone()));
    // Maps cost erl_eval half as much; OTP 24 and older take an orddict only: sorted by name.
    let bindings = match session.otp() {
        25.. => Term::map(bindings),
        _ => {
            let sorted: std::collections::BTreeMap<Term, Term> = bindings.collect();
            let pair = |(name, value)| Term::tuple([name, value]);
            Term::list(sorted.into_iter().map(pair))
        }
    };
    // With a handler for local functions, even none, erl_eval does not lint all of it first.
    let args = vec![exprs, bindings, Term::atom("none")];
    let answer = session.call("erl_eval", "exprs", args, timeout)?;
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
