//! Calls: what a name refers to, and how it is called.
//!
//! `f(…)` is a plan function, else a built-in of Erlang's, else one of updo's names, else `erlang:f(…)` in
//! the node. `m:f(…)` always runs in the node, and only in the live moment.

use std::time::Duration;

use super::bif;
use super::bindings::Bindings;
use super::evaluator::{CallTarget, Evaluator, Flow};
use super::failure::{ExceptionClass, Failure, FailureKind, PrimitiveError};
use super::guard::erlang_function;
use super::host::{self, NameError, Phase, RemoteError, needs};
use super::limits::Exceeded;
use super::nested::travels;
use super::show;
use crate::diag::{Code, Diagnostic, Span, suggest};
use crate::syntax::ast::{Expr, FunClause, Spanned};
use crate::term::{Atom, Term};

impl<'a> Evaluator<'a> {
    /// Calls a plan function from outside.
    pub fn call_function(
        &mut self,
        name: &Atom,
        args: Vec<Term>,
        span: Span,
    ) -> Result<Term, Failure> {
        self.begin();
        match self.functions.get(name, args.len()) {
            Some(clauses) => self.apply(
                CallTarget {
                    name: name.clone(),
                    clauses,
                    span,
                },
                args,
            ),
            None => Err(self.unknown(name, args.len(), span)),
        }
    }

    pub(super) fn defines(&self, name: &Atom, arity: usize) -> bool {
        self.functions.get(name, arity).is_some()
    }

    /// Runs a plan function to its value.
    pub(super) fn apply(
        &mut self,
        target: CallTarget<'a>,
        args: Vec<Term>,
    ) -> Result<Term, Failure> {
        let span = target.span;
        if self.depth >= self.budget.limits.depth {
            return Err(self.exceeded(Exceeded::Depth, span));
        }
        self.depth += 1;
        let held = self.budget.held();
        let all_new = std::mem::replace(&mut self.all_new, false);
        let outcome = self.rounds(target, args);
        self.all_new = all_new;
        self.depth -= 1;
        let value = outcome?;
        self.budget.release(held);
        self.pay_for(&value, span)?;
        Ok(value)
    }

    /// A call and the calls in tail position it leads to.
    fn rounds(&mut self, mut target: CallTarget<'a>, mut args: Vec<Term>) -> Result<Term, Failure> {
        let held = self.budget.held();
        loop {
            self.check_limits(target.span)?;
            let mut frame = Bindings::new();
            let Some(clause) = self.select(target.clauses, &args, &mut frame)? else {
                return Err(function_clause(&target, &args));
            };
            // Its parts live on in the frame, as copies.
            drop(args);
            match self.tail_body(&clause.body, &mut frame)? {
                Flow::Value(value) => return Ok(value),
                Flow::Call(next, values) => {
                    self.budget.release(held);
                    for value in &values {
                        self.pay_for(value, next.span)?;
                    }
                    (target, args) = (next, values);
                }
            }
        }
    }

    fn select(
        &mut self,
        clauses: &'a [FunClause],
        args: &[Term],
        frame: &mut Bindings,
    ) -> Result<Option<&'a FunClause>, Failure> {
        for clause in clauses {
            let mut matched = clause.args.len() == args.len();
            for (pattern, value) in clause.args.iter().zip(args) {
                matched = matched && self.matches_anew(pattern, value, frame, 0)?;
            }
            if matched && self.guard_tests(&clause.when, frame)? {
                return Ok(Some(clause));
            }
            frame.truncate(0);
        }
        Ok(None)
    }

    /// Everything unqualified that is no plan function.
    pub(super) fn call_builtin(
        &mut self,
        span: Span,
        name: &Spanned<Atom>,
        args: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let args = self.eval_all(args, bindings)?;
        let text = name.value.as_str();
        if let Some(outcome) = bif::call(text, &args, &mut self.budget) {
            return self.settle(outcome, text, &args, span);
        }
        if let Some(needed) = needs(text) {
            if needed > self.moment {
                return Err(self.too_early(text, span));
            }
            if text == "sleep" {
                self.allow_sleep(&args, span)?;
            }
        }
        let answer = self
            .host
            .as_deref_mut()
            .and_then(|host| host.call(text, &args, span));
        if let Some(outcome) = answer {
            let value = outcome.map_err(|error| self.host_failure(error, text, &args, span))?;
            self.pay_for(&value, span)?;
            return Ok(value);
        }
        if needs(text).is_some() || self.moment < Phase::Live {
            return Err(self.unknown(&name.value, args.len(), span));
        }
        self.send(&Atom::new("erlang"), &name.value, args, span)
    }

    fn settle(
        &mut self,
        outcome: Result<Term, PrimitiveError>,
        name: &str,
        args: &[Term],
        span: Span,
    ) -> Result<Term, Failure> {
        match outcome {
            Ok(value) => {
                self.pay_for(&value, span)?;
                Ok(value)
            }
            Err(fault) => {
                let args: Vec<&Term> = args.iter().collect();
                Err(self.fault(fault, name, &args, span))
            }
        }
    }

    /// A sleep beyond the body's time is refused at once, not after it.
    fn allow_sleep(&self, args: &[Term], span: Span) -> Result<(), Failure> {
        match args {
            [Term::Int(ms)] if *ms >= 0 => {
                let left = self.budget.remaining().as_millis();
                if u128::from(ms.unsigned_abs()) > left {
                    return Err(self.exceeded(Exceeded::Time, span));
                }
                Ok(())
            }
            _ => {
                let args: Vec<&Term> = args.iter().collect();
                Err(self.fault(PrimitiveError::BadArg, "sleep", &args, span))
            }
        }
    }

    fn host_failure(&self, error: NameError, name: &str, args: &[Term], span: Span) -> Failure {
        match error {
            NameError::BadArgument => {
                let args: Vec<&Term> = args.iter().collect();
                self.fault(PrimitiveError::BadArg, name, &args, span)
            }
            NameError::Raised(class, reason) => Failure::thrown(class, reason, span),
            NameError::Unknown(what) => {
                let diagnostic = Diagnostic::new(Code::E210, what).label(span, "not known here");
                Failure::new(
                    FailureKind::Unknown,
                    Term::atom("unknown"),
                    span,
                    diagnostic,
                )
            }
            NameError::Refused(diagnostic) => {
                Failure::refused(Term::atom("refused"), span, *diagnostic)
            }
        }
    }

    /// `m:f(…)`.
    pub(super) fn remote_call(
        &mut self,
        expr: &Expr,
        module: &Expr,
        function: &Expr,
        args: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        if self.in_guard {
            return self.guard_call(expr.span, module, function, args, bindings);
        }
        if self.moment < Phase::Live {
            return Err(self.too_early(&show::short_expression(expr), expr.span));
        }
        if let Some(outcome) = self.nested(expr, args, bindings) {
            return outcome;
        }
        let parts: Vec<&Expr> = [module, function].into_iter().chain(args).collect();
        let mut values = self.eval_apart(&parts, bindings)?;
        let args = values.split_off(2);
        match values.as_slice() {
            [Term::Atom(module), Term::Atom(function)] => {
                self.send(module, function, args, expr.span)
            }
            [module, function] => {
                Err(self.fault(PrimitiveError::BadArg, ":", &[module, function], expr.span))
            }
            _ => Err(self.fault(PrimitiveError::BadArg, ":", &[], expr.span)),
        }
    }

    /// `erlang:is_atom(X)` in a guard is the built-in.
    fn guard_call(
        &mut self,
        span: Span,
        module: &Expr,
        function: &Expr,
        args: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let name = erlang_function(module, function).unwrap_or_default();
        let args = self.eval_all(args, bindings)?;
        let outcome = bif::call(&name, &args, &mut self.budget);
        self.settle(
            outcome.unwrap_or(Err(PrimitiveError::BadArg)),
            &name,
            &args,
            span,
        )
    }

    fn send(
        &mut self,
        module: &Atom,
        function: &Atom,
        args: Vec<Term>,
        span: Span,
    ) -> Result<Term, Failure> {
        let mfa = CalledFunction::of(module, function, args.len());
        if let Some(failure) = travels(&args, &mfa.text, span) {
            return Err(failure);
        }
        let timeout = self.budget.limits.call.min(self.budget.remaining());
        let Some(remote) = self.remote.as_deref_mut() else {
            let diagnostic =
                Diagnostic::new(Code::E210, format!("there is no node to call `{mfa}` in"))
                    .label(span, "runs in the node");
            return Err(Failure::refused(
                Term::atom("noconnection"),
                span,
                diagnostic,
            ));
        };
        let value = match remote.call(module, function, args, timeout) {
            Ok(value) => value,
            Err(error) => return Err(self.no_answer(error, &mfa, timeout, span)),
        };
        self.pay_for(&value, span)?;
        Ok(value)
    }

    /// A call that gave neither value nor exception.
    pub(super) fn no_answer(
        &self,
        error: RemoteError,
        mfa: &CalledFunction,
        timeout: Duration,
        span: Span,
    ) -> Failure {
        match error {
            RemoteError::Raised {
                class,
                reason,
                stack,
            } => raised(mfa, &class, reason, stack, span),
            RemoteError::Unreadable(why) => {
                let title = format!("a value of `{mfa}` cannot travel: {why}");
                let diagnostic = Diagnostic::new(Code::E348, title)
                    .label(span, "called here")
                    .help("ask for less: calls inside each other are evaluated on the node, as in `maps:size(m:f())`");
                Failure::new(
                    FailureKind::Limit,
                    Term::atom("system_limit"),
                    span,
                    diagnostic,
                )
            }
            RemoteError::Timeout => {
                let title = format!("`{mfa}` did not return within {timeout:.1?}");
                let diagnostic = Diagnostic::new(Code::E705, title).label(span, "still running");
                Failure::new(FailureKind::Limit, Term::atom("timeout"), span, diagnostic)
            }
            RemoteError::Lost(how) => {
                let title = format!("the connection was lost during `{mfa}`");
                let diagnostic = Diagnostic::new(Code::E608, title)
                    .label(span, "no answer")
                    .note(how);
                Failure::new(
                    FailureKind::Lost,
                    Term::atom("noconnection"),
                    span,
                    diagnostic,
                )
            }
        }
    }

    /// E210.
    fn too_early(&self, what: &str, span: Span) -> Failure {
        let title = format!("`{what}` cannot be evaluated {}", self.moment.words());
        let (label, help) = if needs(what).is_some() {
            (
                "needs more than is known here",
                "use it in a guard, a check or a hook",
            )
        } else {
            (
                "runs in the node",
                "subjects and guards cannot ask the node; use `require`",
            )
        };
        let diagnostic = Diagnostic::new(Code::E210, title)
            .label(span, label)
            .help(help);
        Failure::refused(Term::atom("too_early"), span, diagnostic)
    }

    /// E702 for a name that refers to nothing; before the live moment E210, if no name is like it.
    fn unknown(&self, name: &Atom, arity: usize, span: Span) -> Failure {
        let mut known: Vec<&str> = bif::names().chain(host::names()).collect();
        known.extend(self.functions.names().map(|(name, _)| name.as_str()));
        let near = suggest::suggest(name.as_str(), known);
        if near.is_none() && needs(name.as_str()).is_none() {
            return self.too_early(
                &format!("erlang:{}/{arity}", Term::Atom(name.clone())),
                span,
            );
        }
        let title = format!(
            "there is no function `{}/{arity}`",
            Term::Atom(name.clone())
        );
        let mut diagnostic = Diagnostic::new(Code::E702, title).label(span, "unknown");
        diagnostic = match near {
            Some(near) if near != name.as_str() => {
                diagnostic.help(format!("did you mean `{near}`?"))
            }
            _ => diagnostic.help("it exists with another number of arguments"),
        };
        Failure::refused(Term::atom("undef"), span, diagnostic)
    }
}

/// A function of the node, for messages.
pub(super) struct CalledFunction {
    pub(super) text: String,
}

impl CalledFunction {
    pub(super) fn of(module: &Atom, function: &Atom, arity: usize) -> Self {
        let module = crate::name::Module::new(module.as_str());
        let function = Term::Atom(function.clone());
        Self {
            text: format!("{module}:{function}/{arity}"),
        }
    }
}

impl std::fmt::Display for CalledFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// E702 if the called function itself does not exist, else E703 with the stack as notes.
pub(super) fn raised(
    mfa: &CalledFunction,
    class: &Atom,
    reason: Term,
    stack: Term,
    span: Span,
) -> Failure {
    let class = ExceptionClass::from_atom(class);
    let frames = stack.as_list().unwrap_or_default();
    let missing = class == ExceptionClass::Error
        && reason.is_atom("undef")
        && frames
            .first()
            .is_none_or(|frame| frame_text(frame).starts_with(&mfa.text));
    let diagnostic = if missing {
        let title = format!("`{mfa}` is undefined in the node");
        let diagnostic = Diagnostic::new(Code::E702, title).label(span, "no such function");
        match elixirs_own(&mfa.text) {
            Some(instead) => diagnostic.help(format!("a function of Elixir: write `{instead}`")),
            None => diagnostic,
        }
    } else {
        let title = format!("`{mfa}` raised `{class}:{}`", show::short(&reason));
        let mut diagnostic = Diagnostic::new(Code::E703, title).label(span, "raised in the node");
        for frame in frames.iter().take(20) {
            diagnostic = diagnostic.note(frame_text(frame));
        }
        match string_for_elixir(mfa, &reason, frames) {
            Some(text) => diagnostic.help(format!(
                "`{text}` is a list of characters; a string of Elixir is a binary: write `<<{text}>>`"
            )),
            None => diagnostic,
        }
    };
    let failure = Failure::raised(reason, span, diagnostic);
    Failure {
        class,
        stack: Some(Box::new(stack)),
        ..failure
    }
}

/// What to write for a function that Elixir has without a module.
fn elixirs_own(mfa: &str) -> Option<&'static str> {
    Some(match mfa {
        "erlang:inspect/1" => "Elixir.Kernel:inspect(X)",
        "erlang:to_string/1" => "String.Chars:to_string(X)",
        "erlang:to_charlist/1" => "List.Chars:to_charlist(X)",
        "erlang:is_nil/1" => "X =:= nil",
        _ => return None,
    })
}

/// The string of Erlang, with its quotes, that no clause of a function of Elixir has taken.
fn string_for_elixir(mfa: &CalledFunction, reason: &Term, frames: &[Term]) -> Option<String> {
    let of_elixir = mfa.text.starts_with(|c: char| c.is_ascii_uppercase());
    if !of_elixir || !(reason.is_atom("function_clause") || reason.is_atom("badarg")) {
        return None;
    }
    let Some([_, _, Term::List(args), _]) = frames.first()?.as_tuple() else {
        return None;
    };
    let texts = args.iter().map(show::short);
    texts
        .into_iter()
        .find(|text| text.len() > 1 && text.starts_with('"') && text.ends_with('"'))
}

/// `m:f/a (file, line n)` of one entry of a stack trace.
fn frame_text(frame: &Term) -> String {
    let Some([Term::Atom(module), Term::Atom(function), args, place]) = frame.as_tuple() else {
        return show::short(frame);
    };
    let arity = match args {
        Term::Int(arity) => usize::try_from(*arity).unwrap_or(0),
        other => other.as_list().map_or(0, <[Term]>::len),
    };
    let mfa = CalledFunction::of(module, function, arity);
    let find = |key: &str| {
        place
            .as_list()?
            .iter()
            .find_map(|pair| match pair.as_tuple() {
                Some([name, value]) if name.is_atom(key) => Some(value),
                _ => None,
            })
    };
    match (
        find("file").and_then(Term::to_text),
        find("line").and_then(Term::as_i64),
    ) {
        (Some(file), Some(line)) => format!("{mfa} ({file}, line {line})"),
        _ => mfa.text,
    }
}

fn function_clause(target: &CallTarget<'_>, args: &[Term]) -> Failure {
    let name = Term::Atom(target.name.clone());
    let shown: Vec<String> = args.iter().map(show::short).collect();
    let title = format!(
        "no clause of `{name}/{}` matches `{}`",
        args.len(),
        shown.join(", ")
    );
    let mut diagnostic = Diagnostic::new(Code::E701, title).label(target.span, "called here");
    for (index, value) in args.iter().enumerate() {
        diagnostic = diagnostic.note(format!("argument {}: {}", index + 1, show::long(value)));
    }
    Failure::raised(Term::atom("function_clause"), target.span, diagnostic)
}

impl Evaluator<'_> {
    /// One step of the account.
    pub(super) fn step(&mut self, span: Span) -> Result<(), Failure> {
        match self.budget.step() {
            Ok(()) => Ok(()),
            Err(exceeded) => Err(self.exceeded(exceeded, span)),
        }
    }

    /// A look at the clock.
    pub(super) fn check_limits(&self, span: Span) -> Result<(), Failure> {
        self.budget
            .check_limits()
            .map_err(|exceeded| self.exceeded(exceeded, span))
    }

    pub(super) fn pay_for(&mut self, value: &Term, span: Span) -> Result<(), Failure> {
        match self.budget.pay_for(value) {
            Ok(()) => Ok(()),
            Err(exceeded) => Err(self.exceeded(exceeded, span)),
        }
    }

    pub(super) fn pay_bits(&mut self, bits: u64, span: Span) -> Result<(), Failure> {
        match self.budget.pay_bits(bits) {
            Ok(()) => Ok(()),
            Err(exceeded) => Err(self.exceeded(exceeded, span)),
        }
    }

    pub(super) fn exceeded(&self, exceeded: Exceeded, span: Span) -> Failure {
        Failure::limit(exceeded, &self.budget.limits, span)
    }

    pub(super) fn fault(
        &self,
        fault: PrimitiveError,
        name: &str,
        args: &[&Term],
        span: Span,
    ) -> Failure {
        fault.at(name, args, &self.budget.limits, span)
    }
}
