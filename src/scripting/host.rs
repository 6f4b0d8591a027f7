//! What a program asks of its surroundings, as an embedding program answers it.
//!
//! [`Asked`] hands one [`Host`] to the evaluator twice: for calls of modules and for updo's own names.

use std::cell::RefCell;
use std::time::Duration;

use crate::diag::{Code, Diagnostic, Span};
use crate::eval::{self, ExceptionClass, Phase, Remote, RemoteError, needs};
use crate::plan::offline;
use crate::rules::node_view;
use crate::term::{Atom, Term};

/// The most that `info` and `warn` may say in one evaluation, in bytes.
const MAX_SAID: usize = 1 << 20;

/// What a program asks of its surroundings.
///
/// A closure `FnMut(&str, &str, &[Term]) -> Result<Term, HostError>` is a host that answers calls and knows no facts.
///
/// ```
/// use std::time::Duration;
/// use updo::Term;
/// use updo::scripting::{Host, HostError, evaluate};
///
/// struct Otp27 {
///     warnings: Vec<String>,
/// }
///
/// impl Host for Otp27 {
///     fn call(&mut self, _: &str, _: &str, _: &[Term], _: Duration) -> Result<Term, HostError> {
///         Err(HostError::Undefined)
///     }
///     fn fact(&mut self, name: &str, args: &[Term]) -> Option<Term> {
///         (name == "otp" && args.is_empty()).then_some(Term::Int(27))
///     }
///     fn warn(&mut self, text: &str) {
///         self.warnings.push(text.to_owned());
///     }
/// }
///
/// let mut host = Otp27 { warnings: Vec::new() };
/// evaluate("otp() >= 28 orelse warn(\"OTP ~b is old\", [otp()])", &mut host)?;
/// assert_eq!(host.warnings, ["OTP 27 is old"]);
/// # Ok::<(), updo::scripting::ScriptError>(())
/// ```
pub trait Host {
    /// The value of `module:function(args…)`. Also asked, with the module `erlang`, for functions that neither the
    /// program nor the language has.
    ///
    /// It should end within `timeout`: what is left of [`Limits::body`](super::Limits::body), at most
    /// [`Limits::call`](super::Limits::call). Nothing interrupts it; an evaluation that is over time ends after it.
    ///
    /// # Errors
    /// [`HostError`] says how each variant ends the evaluation.
    fn call(
        &mut self,
        module: &str,
        function: &str,
        args: &[Term],
        timeout: Duration,
    ) -> Result<Term, HostError>;

    /// What `otp()`, `node()`, `target()`, `vsn(App)`, `app(App)`, `lib(Glob)`, `glob(Glob)`, `behaviour(Name)`,
    /// `changed()`, `changed(Module)`, `exports(M, F, A)`, `file(Path)` and, in expressions, `env(Name)` are; `None` when
    /// that is not known: the evaluation ends with [`ScriptErrorKind::Unknown`](super::ScriptErrorKind::Unknown).
    fn fact(&mut self, name: &str, args: &[Term]) -> Option<Term> {
        let _ = (name, args);
        None
    }

    /// `info(Format, Args)` said this; formatted, without a line end. By default it is dropped.
    fn info(&mut self, text: &str) {
        let _ = text;
    }

    /// `warn(Format, Args)` said this; formatted, without a line end. By default it is dropped.
    fn warn(&mut self, text: &str) {
        let _ = text;
    }
}

impl<F> Host for F
where
    F: FnMut(&str, &str, &[Term]) -> Result<Term, HostError>,
{
    fn call(
        &mut self,
        module: &str,
        function: &str,
        args: &[Term],
        _: Duration,
    ) -> Result<Term, HostError> {
        self(module, function, args)
    }
}

/// Why a host has no value for a call.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum HostError {
    /// There is no such function: the exception `error:undef`.
    Undefined,
    /// The arguments do not fit: the exception `error:badarg`.
    BadArgument,
    /// The function raised an exception; the program can `catch` it.
    Raised {
        /// `error`, `exit` or `throw`.
        class: ExceptionClass,
        /// The reason.
        reason: Term,
    },
    /// The time was over. The evaluation ends with [`ScriptErrorKind::Limit`](super::ScriptErrorKind::Limit).
    Timeout,
    /// What the host asks is gone; the text says how. The evaluation ends with
    /// [`ScriptErrorKind::Lost`](super::ScriptErrorKind::Lost).
    Lost(String),
}

impl From<HostError> for RemoteError {
    fn from(error: HostError) -> Self {
        let raised = |class: &str, reason| Self::Raised {
            class: Atom::new(class),
            reason,
            stack: Term::list([]),
        };
        match error {
            HostError::Undefined => raised("error", Term::atom("undef")),
            HostError::BadArgument => raised("error", Term::atom("badarg")),
            HostError::Raised { class, reason } => raised(class.as_str(), reason),
            HostError::Timeout => Self::Timeout,
            HostError::Lost(how) => Self::Lost(how),
        }
    }
}

/// A host without functions and facts: for programs that only compute.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    fn call(&mut self, _: &str, _: &str, _: &[Term], _: Duration) -> Result<Term, HostError> {
        Err(HostError::Undefined)
    }
}

/// A host that the evaluator asks.
pub(super) struct Asked<'h, 'a>(pub(super) &'h RefCell<&'a mut dyn Host>);

impl Remote for Asked<'_, '_> {
    fn call(
        &mut self,
        module: &Atom,
        function: &Atom,
        args: Vec<Term>,
        timeout: Duration,
    ) -> Result<Term, RemoteError> {
        let mut host = self.0.borrow_mut();
        let answer = host.call(module.as_str(), function.as_str(), &args, timeout);
        answer.map_err(RemoteError::from)
    }
}

/// The same host, asked for updo's own names.
pub(super) struct AskedNames<'h, 'a> {
    host: &'h RefCell<&'a mut dyn Host>,
    /// How much more may be said, in bytes.
    left: usize,
}

impl<'h, 'a> AskedNames<'h, 'a> {
    pub(super) fn new(host: &'h RefCell<&'a mut dyn Host>) -> Self {
        let left = MAX_SAID;
        Self { host, left }
    }

    fn say(
        &mut self,
        name: &str,
        format: &Term,
        args: &[Term],
        span: Span,
    ) -> Result<Term, eval::NameError> {
        // One more than may be, to tell too much from just enough.
        let text = node_view::message(format, args, self.left + 1)?;
        let Some(left) = self.left.checked_sub(text.len()) else {
            let title = "an evaluation may say 1 MiB, this is more";
            let diagnostic = Diagnostic::new(Code::E705, title).label(span, "stopped here");
            return Err(eval::NameError::Refused(Box::new(diagnostic)));
        };
        self.left = left;
        let mut host = self.host.borrow_mut();
        match name {
            "warn" => host.warn(&text),
            _ => host.info(&text),
        }
        Ok(Term::atom("ok"))
    }
}

impl eval::OwnNames for AskedNames<'_, '_> {
    fn call(
        &mut self,
        name: &str,
        args: &[Term],
        span: Span,
    ) -> Option<Result<Term, eval::NameError>> {
        Some(match (name, args) {
            ("info" | "warn", [format]) => self.say(name, format, &[], span),
            ("info" | "warn", [format, Term::List(args)]) => self.say(name, format, args, span),
            ("fail" | "sleep", _) => return node_view::anywhere(name, args),
            ("matches", _) => return offline::anywhere(name, args),
            _ if needs(name).is_none_or(|needed| needed > Phase::Facts) => return None,
            _ => self.host.borrow_mut().fact(name, args).ok_or_else(|| {
                eval::NameError::Unknown(format!("the host does not know `{name}`"))
            }),
        })
    }
}
