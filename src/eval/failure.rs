//! How an evaluation ends when it gives no value: an Erlang exception and its diagnostic.
//!
//! `catch` sees only [`FailureKind::Raised`]. Limits, a lost connection, and what is wrong with the plan itself
//! (an unbound variable, a remote call in a guard) go through to the caller.

use std::fmt;

use super::limits::{Exceeded, Limits};
use super::show;
use crate::diag::{Code, Diagnostic, Span};
use crate::term::{Atom, Term};

/// The class of an exception. Erlang has these three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExceptionClass {
    /// `error`: what the emulator raises, and `error(Reason)`.
    Error,
    /// `exit`: `exit(Reason)`.
    Exit,
    /// `throw`: `throw(Value)`.
    Throw,
}

impl ExceptionClass {
    /// Erlang's word: `error`, `exit`, `throw`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Exit => "exit",
            Self::Throw => "throw",
        }
    }

    /// From Erlang's word; anything unknown is an error.
    #[doc(hidden)]
    pub fn from_atom(atom: &Atom) -> Self {
        match atom.as_str() {
            "exit" => Self::Exit,
            "throw" => Self::Throw,
            _ => Self::Error,
        }
    }
}

impl fmt::Display for ExceptionClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a failure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// An exception that Erlang has too; `catch` turns it into a value.
    Raised,
    /// The plan is wrong: an unbound variable, something that may not be here.
    Refused,
    /// A fact is not known here (offline).
    Unknown,
    /// One of the evaluator's limits.
    Limit,
    /// The node does not answer any more.
    Lost,
}

/// Why there is no value.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Class of the exception.
    pub class: ExceptionClass,
    /// Its reason, as Erlang's.
    pub reason: Term,
    /// The stack in the node, if it was raised there.
    pub stack: Option<Box<Term>>,
    /// The expression that failed.
    pub span: Span,
    /// What to tell the user.
    pub diagnostic: Box<Diagnostic>,
    /// Where it comes from.
    pub kind: FailureKind,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, reason: Term, span: Span, diagnostic: Diagnostic) -> Self {
        let diagnostic = Box::new(diagnostic);
        Self {
            class: ExceptionClass::Error,
            reason,
            stack: None,
            span,
            diagnostic,
            kind,
        }
    }

    /// An `error` exception.
    pub(super) fn raised(reason: Term, span: Span, diagnostic: Diagnostic) -> Self {
        Self::new(FailureKind::Raised, reason, span, diagnostic)
    }

    /// What is wrong is the plan.
    pub(super) fn refused(reason: Term, span: Span, diagnostic: Diagnostic) -> Self {
        Self::new(FailureKind::Refused, reason, span, diagnostic)
    }

    /// E705.
    pub(super) fn limit(exceeded: Exceeded, limits: &Limits, span: Span) -> Self {
        let diagnostic =
            Diagnostic::new(Code::E705, exceeded.words(limits)).label(span, "stopped here");
        Self::new(
            FailureKind::Limit,
            Term::atom("system_limit"),
            span,
            diagnostic,
        )
    }

    /// E703 for `throw`, `error` and `exit` of the plan itself.
    pub(super) fn thrown(class: ExceptionClass, reason: Term, span: Span) -> Self {
        let title = format!("raised `{class}:{}`", show::short(&reason));
        let diagnostic = Diagnostic::new(Code::E703, title).label(span, "raised here");
        Self {
            class,
            ..Self::raised(reason, span, diagnostic)
        }
    }

    /// What `catch` gives instead; an exception raised here has an empty stack.
    pub(super) fn caught(self) -> Term {
        match self.class {
            ExceptionClass::Throw => self.reason,
            ExceptionClass::Exit => Term::tuple([Term::atom("EXIT"), self.reason]),
            ExceptionClass::Error => {
                let stack = self
                    .stack
                    .map_or_else(|| Term::List(Vec::new()), |stack| *stack);
                let reason = Term::tuple([self.reason, stack]);
                Term::tuple([Term::atom("EXIT"), reason])
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            self.diagnostic.code.as_str(),
            self.diagnostic.title
        )
    }
}

impl std::error::Error for Failure {}

/// What the pure parts (numbers, operators, built-in functions) report; the caller knows the place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PrimitiveError {
    BadArith,
    BadArg,
    BadMap(Term),
    BadKey(Term),
    SystemLimit,
    Raise(ExceptionClass, Term),
    Exceeded(Exceeded),
}

impl From<Exceeded> for PrimitiveError {
    fn from(exceeded: Exceeded) -> Self {
        Self::Exceeded(exceeded)
    }
}

impl PrimitiveError {
    /// The failure of `name` with these arguments.
    pub(super) fn at(self, name: &str, args: &[&Term], limits: &Limits, span: Span) -> Failure {
        let reason = match self {
            Self::Exceeded(exceeded) => return Failure::limit(exceeded, limits, span),
            Self::Raise(class, reason) => return Failure::thrown(class, reason, span),
            Self::BadArith => Term::atom("badarith"),
            Self::BadArg => Term::atom("badarg"),
            Self::SystemLimit => Term::atom("system_limit"),
            Self::BadMap(value) => Term::tuple([Term::atom("badmap"), value]),
            Self::BadKey(key) => Term::tuple([Term::atom("badkey"), key]),
        };
        let shown: Vec<String> = culprits(name, args).map(show::short).collect();
        let title = match &reason {
            Term::Tuple(pair) if pair[0].is_atom("badmap") => {
                format!("bad map for `{name}`: `{}`", show::short(&pair[1]))
            }
            Term::Tuple(pair) => format!("there is no key `{}`", show::short(&pair[1])),
            atom if atom.is_atom("system_limit") => format!("the result of `{name}` is too big"),
            _ => format!("bad argument for `{name}`: `{}`", shown.join(", ")),
        };
        let label = show::short(&reason);
        let diagnostic = Diagnostic::new(Code::E704, title).label(span, format!("`{label}`"));
        Failure::raised(reason, span, diagnostic)
    }
}

/// The arguments to blame: of an arithmetic operator the first that is no number, or the zero.
fn culprits<'t>(name: &str, args: &[&'t Term]) -> impl Iterator<Item = &'t Term> {
    let integers = matches!(
        name,
        "div" | "rem" | "band" | "bor" | "bxor" | "bsl" | "bsr" | "bnot"
    );
    let operator = integers || matches!(name, "+" | "-" | "*" | "/");
    let wrong = |term: &Term| match term {
        Term::Int(_) | Term::Big(_) => false,
        Term::Float(_) => integers,
        _ => true,
    };
    let zero =
        |term: &Term| matches!(term, Term::Int(0)) || matches!(term, Term::Float(f) if *f == 0.0);
    let one = if operator {
        args.iter()
            .position(|term| wrong(term))
            .or_else(|| args.iter().rposition(|term| zero(term)))
    } else {
        None
    };
    let chosen: Vec<&'t Term> = match one {
        Some(at) => vec![args[at]],
        None => args.to_vec(),
    };
    chosen.into_iter()
}
