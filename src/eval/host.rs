//! What the evaluator asks of its surroundings: the node (`m:f(…)`) and updo's own names (`app(shop)`).
//!
//! Both are traits, so that the evaluator has no sockets and no facts of its own. Implementations must
//! return within the time they are given; the evaluator cannot interrupt them.

use std::time::Duration;

use super::ExceptionClass;
use crate::diag::{Diagnostic, Span};
use crate::term::{Atom, Term};

/// When an expression is evaluated; a later moment can do all that an earlier one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Reading the file: nothing but the text is known.
    Static,
    /// Modules and beams are known, nothing may be touched.
    Facts,
    /// Checks and hooks, with the node at hand.
    Live,
}

impl Phase {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Static => "while the plan is read",
            Self::Facts => "in a subject or a guard",
            Self::Live => "in a check or a hook",
        }
    }
}

/// Calls a function in the node.
pub trait Remote {
    /// Runs `module:function(args)` in the node and waits at most `timeout` for its result.
    fn call(
        &mut self,
        module: &Atom,
        function: &Atom,
        args: Vec<Term>,
        timeout: Duration,
    ) -> Result<Term, RemoteError>;

    /// Whether calls inside each other may be handed over as one: code of the abstract format for `erl_eval:exprs/3`.
    fn can_nest(&self) -> bool {
        false
    }
}

/// Why a call in the node gave no value.
#[derive(Clone, Debug, PartialEq)]
pub enum RemoteError {
    /// The function raised an exception.
    Raised {
        /// `error`, `exit` or `throw`.
        class: Atom,
        /// Reason, without the stack.
        reason: Term,
        /// The stack trace as the node gave it.
        stack: Term,
    },
    /// The result is there and cannot be had, or the arguments could not be sent; the text says which and why.
    Unreadable(String),
    /// Nothing came back in time.
    Timeout,
    /// The connection is gone; the text says how.
    Lost(String),
}

/// Knows updo's own names: `app lib glob behaviour changed otp vsn node target env file matches exports
/// info warn fail sleep`.
pub trait OwnNames {
    /// The value of `name(args…)`, or `None` if the name (with this number of arguments) is not known.
    fn call(&mut self, name: &str, args: &[Term], span: Span) -> Option<Result<Term, NameError>>;
}

/// Why a name of [`OwnNames`] gave no value.
#[derive(Clone, Debug)]
pub enum NameError {
    /// The arguments do not fit: `error:badarg`.
    BadArgument,
    /// An Erlang exception, as `fail(Format, Args)` wants it.
    Raised(ExceptionClass, Term),
    /// The fact is not known here (offline); the text says which.
    Unknown(String),
    /// Refused, and this is what to tell.
    Refused(Box<Diagnostic>),
}

/// A host that knows no name.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl OwnNames for NoNames {
    fn call(&mut self, _: &str, _: &[Term], _: Span) -> Option<Result<Term, NameError>> {
        None
    }
}

/// Updo's own names and the earliest moment in which each may be used.
const NAMES: &[(&str, Phase)] = &[
    ("env", Phase::Static),
    ("file", Phase::Static),
    ("matches", Phase::Static),
    ("app", Phase::Facts),
    ("behaviour", Phase::Facts),
    ("changed", Phase::Facts),
    ("exports", Phase::Facts),
    ("glob", Phase::Facts),
    ("lib", Phase::Facts),
    ("node", Phase::Facts),
    ("otp", Phase::Facts),
    ("target", Phase::Facts),
    ("vsn", Phase::Facts),
    ("fail", Phase::Live),
    ("info", Phase::Live),
    ("sleep", Phase::Live),
    ("warn", Phase::Live),
];

/// The earliest moment in which one of updo's own names may be used; `None` if it is none of them.
pub fn needs(name: &str) -> Option<Phase> {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, moment)| *moment)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}
