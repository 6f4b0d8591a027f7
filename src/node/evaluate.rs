//! Expressions evaluated on the node by `erl_eval`: for the few questions that no function answers.

use std::time::Duration;

use super::{CallError, Session};
use crate::term::{Atom, Fun, Term};

/// Evaluates Erlang text (expressions ending in a dot) with some variables bound, and gives the value of
/// the last one. Three calls, because scanner, parser and evaluator are three documented functions; one, when the same text
/// was evaluated in this session before.
///
/// # Errors
/// What the expressions raise, as [`CallError::Raised`]; text that does not parse is raised too.
pub fn evaluate(
    session: &Session,
    text: &str,
    bindings: &[(&str, Term)],
    timeout: Duration,
) -> Result<Term, CallError> {
    evaluate_once(session, text, bindings.to_vec(), timeout)
}

/// The same with values that are gone when they have been sent.
///
/// # Errors
/// As [`evaluate`].
pub(crate) fn evaluate_once(
    session: &Session,
    text: &str,
    bindings: Vec<(&str, Term)>,
    timeout: Duration,
) -> Result<Term, CallError> {
    let exprs = session.parsed(text, || {
        let scanned = session.call("erl_scan", "string", vec![Term::string(text)], timeout)?;
        let tokens = second(&scanned, "ok").ok_or_else(|| refused(&scanned))?;
        let parsed = session.call("erl_parse", "parse_exprs", vec![tokens], timeout)?;
        second(&parsed, "ok").ok_or_else(|| refused(&parsed))
    })?;
    let bindings = bindings.into_iter();
    let bindings = bindings.map(|(name, value)| (Term::atom(name), value));
    evaluate_forms(session, session.otp(), exprs, bindings, timeout)
}

/// Expressions that were parsed when updo was built: a file beside their text, `NAME.etf` beside `NAME.erlexpr`, holds
/// what OTP's own parser makes of it, and the values of constants in it.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// In the abstract format.
    pub(crate) forms: Term,
    /// Names of variables, and their values.
    pub(crate) constants: Vec<(Term, Term)>,
}

impl Parsed {
    /// From the content of such a file. A test compares all of them with their texts: what cannot be read is none.
    pub(crate) fn of(file: &[u8]) -> Option<Self> {
        let whole = crate::term::etf::decode(file).ok()?;
        let [forms, constants] = whole.as_tuple()? else {
            return None;
        };
        let pair = |pair: &Term| match pair.as_tuple()? {
            [name, value] => Some((name.clone(), value.clone())),
            _ => None,
        };
        Some(Self {
            forms: forms.clone(),
            constants: constants
                .as_list()?
                .iter()
                .map(pair)
                .collect::<Option<_>>()?,
        })
    }
}

/// The value of parsed expressions, with some variables bound: one call.
///
/// # Errors
/// What the expressions raise, as [`CallError::Raised`].
pub(crate) fn evaluate_parsed(
    session: &Session,
    parsed: Option<&Parsed>,
    bindings: Vec<(&str, Term)>,
    timeout: Duration,
) -> Result<Term, CallError> {
    let parsed = parsed.ok_or_else(|| refused(&Term::atom("none")))?;
    let bindings = bindings.into_iter();
    let bindings = bindings.map(|(name, value)| (Term::atom(name), value));
    let bindings = bindings.chain(parsed.constants.iter().cloned());
    evaluate_forms(
        session,
        session.otp(),
        parsed.forms.clone(),
        bindings,
        timeout,
    )
}

/// The same of expressions in the abstract format, with the bindings as a node of an OTP release (25) wants them: one call.
///
/// # Errors
/// What the expressions raise, as [`CallError::Raised`].
pub(crate) fn evaluate_forms(
    session: &Session,
    otp: u32,
    exprs: Term,
    bindings: impl Iterator<Item = (Term, Term)>,
    timeout: Duration,
) -> Result<Term, CallError> {
    // Maps cost erl_eval half as much; OTP 24 and older take an orddict only: sorted by name.
    let bindings = match otp {
        25.. => Term::map(bindings),
        _ => {
            let sorted: std::collections::BTreeMap<Term, Term> = bindings.collect();
            let pair = |(name, value)| Term::tuple([name, value]);
            Term::list(sorted.into_iter().map(pair))
        }
    };
    // The value of exprs/3 has the bindings too, and an agent with all beams of an upgrade may be among them: they would
    // come back with the answer. So the node takes the value out. No function does both, but a fold of apply/2 does: its
    // first round is lists:zipwith(apply, [abs, exprs], [[2], [Exprs, Bindings, none]]), which gives [2, {value, …}], and
    // its second one element(2, {value, …}).
    // With a handler for local functions, even none, erl_eval does not lint all of it first.
    let arguments = [
        Term::list([Term::Int(2)]),
        Term::list([exprs, bindings, Term::atom("none")]),
    ];
    let functions = [
        function("erlang", "abs", 1),
        function("erl_eval", "exprs", 3),
    ];
    let apply = || function("erlang", "apply", 2);
    let first = Term::list([apply(), Term::list(functions), Term::list(arguments)]);
    let rounds = [
        function("lists", "zipwith", 3),
        function("erlang", "element", 2),
    ];
    let args = vec![apply(), first, Term::list(rounds)];
    session.call("lists", "foldl", args, timeout)
}

/// `fun M:F/A`.
fn function(module: &str, name: &str, arity: u8) -> Term {
    Term::Fun(Fun::External {
        module: Atom::new(module),
        name: Atom::new(name),
        arity,
    })
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
