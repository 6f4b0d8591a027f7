//! What terms of steps are made of.

use std::time::Duration;

use crate::name::Module;
use crate::term::Term;

pub(super) fn list<T>(all: &[T], one: impl Fn(&T) -> Term) -> Term {
    Term::list(all.iter().map(one))
}

pub(super) fn all<T>(list: &Term, one: impl Fn(&Term) -> Option<T>) -> Option<Vec<T>> {
    list.as_list()?.iter().map(one).collect()
}

/// Milliseconds, as the agent counts.
pub(crate) fn millis(time: Duration) -> Term {
    Term::Int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn duration(ms: &Term) -> Option<Duration> {
    Some(Duration::from_millis(u64::try_from(ms.as_i64()?).ok()?))
}

pub(super) fn module_term(module: &Module) -> Term {
    Term::atom(module.as_str())
}

pub(super) fn module(term: &Term) -> Option<Module> {
    Some(Module::new(term.as_atom()?.as_str()))
}

pub(super) fn map<const N: usize>(pairs: [(&str, Term); N]) -> Term {
    Term::map(pairs.map(|(key, value)| (Term::atom(key), value)))
}

pub(super) fn boolean(term: &Term) -> Option<bool> {
    match term.as_atom()?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

pub(super) fn terms(list: &Term) -> Option<Vec<Term>> {
    Some(list.as_list()?.to_vec())
}
