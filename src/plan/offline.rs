//! updo's own names where no node is at hand: what needs none is computed, facts of a node are unknown.
//!
//! `env` and `matches` have a value everywhere, so constants may use them. It reads the environment and nothing else.

#![expect(
    clippy::disallowed_methods,
    reason = "`env(Name)` of a plan reads the environment"
)]

use crate::diag::Span;
use crate::eval::{NameError, OwnNames, Phase, needs};
use crate::term::Term;

/// The names without any node.
#[derive(Clone, Copy, Debug)]
pub struct Offline;

impl OwnNames for Offline {
    fn call(&mut self, name: &str, args: &[Term], _: Span) -> Option<Result<Term, NameError>> {
        if needs(name) == Some(Phase::Facts) {
            return Some(Err(NameError::Unknown(format!("`{name}` needs a node"))));
        }
        anywhere(name, args)
    }
}

/// What needs no facts: `env(Name)`, `matches(Value, Pattern)`.
pub fn anywhere(name: &str, args: &[Term]) -> Option<Result<Term, NameError>> {
    Some(match (name, args) {
        ("matches", [value, pattern]) => matches(value, pattern).map(Term::boolean),
        ("env", [name]) => text(name).map(|name| match std::env::var(name) {
            Ok(value) => Term::string(&value),
            Err(_) => Term::atom("undefined"),
        }),
        _ => return None,
    })
}

fn text(term: &Term) -> Result<String, NameError> {
    term.to_text().ok_or(NameError::BadArgument)
}

fn matches(value: &Term, pattern: &Term) -> Result<bool, NameError> {
    let pattern = glob::Pattern::new(&text(pattern)?).map_err(|_| NameError::BadArgument)?;
    Ok(pattern.matches(&text(value)?))
}
