//! updo's own names where no node is at hand: what needs none is computed, facts of a node are unknown.
//!
//! `env` and `matches` have a value everywhere, so constants may use them. It reads the environment and nothing else.

#![expect(
    clippy::disallowed_methods,
    reason = "`env(Name)` of a plan reads the environment"
)]

use crate::diag::Span;
use crate::eval::{Host, HostError, Phase, needs};
use crate::term::Term;

/// The names without any node.
#[derive(Clone, Copy, Debug)]
pub struct Offline;

impl Host for Offline {
    fn call(&mut self, name: &str, args: &[Term], _: Span) -> Option<Result<Term, HostError>> {
        if needs(name) == Some(Phase::Facts) {
            return Some(Err(HostError::Unknown(format!("`{name}` needs a node"))));
        }
        anywhere(name, args)
    }
}

/// What needs no facts: `env(Name)`, `matches(Value, Pattern)`.
pub fn anywhere(name: &str, args: &[Term]) -> Option<Result<Term, HostError>> {
    Some(match (name, args) {
        ("matches", [value, pattern]) => matches(value, pattern).map(Term::boolean),
        ("env", [name]) => text(name).map(|name| match std::env::var(name) {
            Ok(value) => Term::string(&value),
            Err(_) => Term::atom("undefined"),
        }),
        _ => return None,
    })
}

fn text(term: &Term) -> Result<String, HostError> {
    term.to_text().ok_or(HostError::BadArgument)
}

fn matches(value: &Term, pattern: &Term) -> Result<bool, HostError> {
    let pattern = glob::Pattern::new(&text(pattern)?).map_err(|_| HostError::BadArgument)?;
    Ok(pattern.matches(&text(value)?))
}
