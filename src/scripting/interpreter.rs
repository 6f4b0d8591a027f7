//! Evaluation of a program: its functions, its checks, and expressions beside it.

use std::cell::RefCell;
use std::fmt;

use super::host::{Asked, AskedNames};
use super::{Host, Limits, Program, ScriptError, ScriptErrorKind};
use crate::diag::{Code, Diagnostic, SourceMap, Span};
use crate::eval::{Bindings, Evaluator, Failure, Functions, Phase, Truth};
use crate::syntax::{Input, InputError, parse_body, parse_input};
use crate::term::{Atom, Term};

/// The name under which diagnostics show an expression.
const NAME: &str = "expression";

/// The value of one expression, or of the last of several joined by commas, within [`Limits::default`].
///
/// # Errors
/// As [`Interpreter::eval`].
///
/// ```
/// use updo::Term;
/// use updo::scripting::{NoHost, evaluate};
///
/// assert_eq!(evaluate("[X * X || X <- [1, 2, 3], X rem 2 =:= 1]", &mut NoHost)?.to_string(), "[1,9]");
/// assert_eq!(evaluate("catch 1 div 0", &mut NoHost)?.to_string(), "{'EXIT',{badarith,[]}}");
/// # Ok::<(), updo::scripting::ScriptError>(())
/// ```
pub fn evaluate(expressions: &str, host: &mut dyn Host) -> Result<Term, ScriptError> {
    let program = Program::parse("")?;
    Interpreter::new(&program, host).eval(expressions)
}

/// How a `require` or `verify` ended that did not fail.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Every condition of it holds.
    Holds,
    /// Its `when` is false: it is not for this host.
    NotApplicable,
}

/// Evaluates a [`Program`] against a [`Host`]. Variables that expressions bind stay bound, as in Erlang's shell.
///
/// Every call of a method has [`Limits`] of its own, counted anew.
pub struct Interpreter<'a> {
    program: &'a Program,
    functions: Functions<'a>,
    host: RefCell<&'a mut dyn Host>,
    limits: Limits,
    variables: Bindings,
}

impl<'a> Interpreter<'a> {
    /// With [`Limits::default`], and the program's constants as variables.
    pub fn new(program: &'a Program, host: &'a mut dyn Host) -> Self {
        Self {
            program,
            functions: program.plan.scripts(),
            host: RefCell::new(host),
            limits: Limits::default(),
            variables: program.plan.constants.clone(),
        }
    }

    /// With other limits. [`Limits::nesting`] is at most 1,000, whatever is given: deeper terms would need more stack
    /// than a thread may have.
    ///
    /// ```
    /// use updo::scripting::{Interpreter, Limits, NoHost, Program, ScriptErrorKind};
    ///
    /// let program = Program::parse("forever() -> forever().")?;
    /// let mut host = NoHost;
    /// let limits = Limits { steps: 1_000, ..Limits::default() };
    /// let mut interpreter = Interpreter::new(&program, &mut host).with_limits(limits);
    /// let error = interpreter.call("forever", []).unwrap_err();
    /// assert_eq!(error.kind, ScriptErrorKind::Limit);
    /// # Ok::<(), updo::scripting::ScriptError>(())
    /// ```
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        let nesting = limits.nesting.min(Limits::default().nesting);
        self.limits = Limits { nesting, ..limits };
        self
    }

    /// Binds a variable, or gives it a new value. Functions of the program see its constants, never this.
    pub fn set(&mut self, variable: &str, value: Term) {
        self.variables.set(variable, value);
    }

    /// The value of a variable or constant.
    pub fn variable(&self, name: &str) -> Option<&Term> {
        self.variables.get(name)
    }

    /// The value of a function of the program. `args` may be nested 1,000 deep.
    ///
    /// # Errors
    /// [`ScriptErrorKind::Invalid`] when the program has no function of this name and arity; else how it ended.
    pub fn call(
        &mut self,
        function: &str,
        args: impl IntoIterator<Item = Term>,
    ) -> Result<Term, ScriptError> {
        let args: Vec<Term> = args.into_iter().collect();
        let name = Atom::new(function);
        let Some(clauses) = self.functions.get(&name, args.len()) else {
            let title = format!("the program has no function `{name}/{}`", args.len());
            let known = self.program.functions();
            let known: Vec<String> = known.map(|(name, n)| format!("{name}/{n}")).collect();
            let mut diagnostic = Diagnostic::new(Code::E702, title);
            if !known.is_empty() {
                diagnostic = diagnostic.help(format!("it has {}", known.join(", ")));
            }
            return Err(ScriptError::invalid(vec![diagnostic], SourceMap::default()));
        };
        let span = clauses
            .first()
            .map_or(Span::default(), |clause| clause.name);
        self.run(None, |evaluator, _| {
            evaluator.call_function(&name, args, span)
        })
    }

    /// The value of the last of these expressions, joined by commas, with or without a dot. They see the program's
    /// functions and constants, and what was bound before.
    ///
    /// # Errors
    /// [`ScriptErrorKind::Invalid`] when the text is no expression (E1xx); else how it ended. Variables that were bound
    /// before the failure stay bound.
    pub fn eval(&mut self, expressions: &str) -> Result<Term, ScriptError> {
        let base = self.end();
        let body = match parse_body(expressions, base) {
            Ok(body) => body,
            Err(error) => {
                let diagnostic = unreadable(error, expressions, base);
                let sources = self.sources(Some(expressions));
                return Err(ScriptError::invalid(vec![diagnostic], sources));
            }
        };
        self.run(Some(expressions), |evaluator, variables| {
            evaluator.eval(&body, variables)
        })
    }

    /// Evaluates the `require` or `verify` of this name, once: `within`, `every` and `after` are for runs.
    ///
    /// # Errors
    /// [`ScriptErrorKind::Exception`] with `error:false` or what was raised instead when it does not hold;
    /// [`ScriptErrorKind::Invalid`] when the program has no such check.
    ///
    /// ```
    /// use updo::scripting::{Checked, Interpreter, NoHost, Program};
    ///
    /// let program = Program::parse("Open = 3. require \"few are open\" -> Open < 5.")?;
    /// let mut host = NoHost;
    /// let mut interpreter = Interpreter::new(&program, &mut host);
    /// for name in program.checks() {
    ///     assert_eq!(interpreter.check(name)?, Checked::Holds);
    /// }
    /// # Ok::<(), updo::scripting::ScriptError>(())
    /// ```
    pub fn check(&mut self, name: &str) -> Result<Checked, ScriptError> {
        let Some(check) = self.program.all_checks().find(|check| check.name == name) else {
            let title = format!("the program has no check \"{name}\"");
            let known: Vec<String> = self
                .program
                .checks()
                .map(|name| format!("{name:?}"))
                .collect();
            let mut diagnostic = Diagnostic::new(Code::E702, title);
            if !known.is_empty() {
                diagnostic = diagnostic.help(format!("it has {}", known.join(", ")));
            }
            return Err(ScriptError::invalid(vec![diagnostic], SourceMap::default()));
        };
        let when = &check.tail.when;
        let applies = self.run(None, |evaluator, variables| {
            evaluator.guard(when, variables)
        })?;
        match applies {
            Truth::True => {}
            Truth::False => return Ok(Checked::NotApplicable),
            Truth::Unknown(what) => {
                let at = when.first().map_or(check.span, |expr| expr.span);
                let diagnostic = Diagnostic::new(Code::E210, what)
                    .label(at, "decides whether this check applies");
                let mut error = ScriptError::invalid(vec![diagnostic], self.sources(None));
                error.kind = ScriptErrorKind::Unknown;
                return Err(error);
            }
        }
        let mut constants = self.program.plan.constants.clone();
        self.run(None, |evaluator, _| {
            evaluator.hold(&check.body, &mut constants)
        })?;
        Ok(Checked::Holds)
    }

    /// One evaluation with limits of its own; `text` is what it is of, besides the program.
    fn run<T>(
        &mut self,
        text: Option<&str>,
        evaluate: impl FnOnce(&mut Evaluator<'_>, &mut Bindings) -> Result<T, Failure>,
    ) -> Result<T, ScriptError> {
        let mut names = AskedNames::new(&self.host);
        let mut remote = Asked(&self.host);
        let mut evaluator = Evaluator::new(Phase::Live, &self.functions)
            .with_limits(self.limits)
            .with_names(&mut names)
            .with_remote(&mut remote);
        let value = evaluate(&mut evaluator, &mut self.variables);
        value.map_err(|failure| ScriptError::failed(failure, self.sources(text)))
    }

    /// Where a text begins that is beside the program's.
    fn end(&self) -> usize {
        let last = self.program.sources().sources().last();
        last.map_or(0, |source| source.base + source.text.len() + 1)
    }

    fn sources(&self, text: Option<&str>) -> SourceMap {
        let mut sources = self.program.sources().clone();
        if let Some(text) = text {
            sources.add(NAME, text);
        }
        sources
    }
}

impl fmt::Debug for Interpreter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter")
            .field("limits", &self.limits)
            .field("variables", &self.variables)
            .finish_non_exhaustive()
    }
}

/// Why a text is no expression.
fn unreadable(error: InputError, text: &str, base: usize) -> Diagnostic {
    let end = base + text.len();
    match error {
        InputError::Wrong(_) if matches!(parse_input(text, base), Ok(Input::Statement(_))) => {
            Diagnostic::new(Code::E101, "this is a statement, not an expression")
                .label(Span::new(base, end), "expected an expression")
                .help("put it into the program")
        }
        InputError::Wrong(diagnostic) => *diagnostic,
        InputError::Incomplete => Diagnostic::new(Code::E101, "the expression is not complete")
            .label(Span::new(end, end), "ends too early"),
    }
}
