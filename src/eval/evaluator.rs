//! The evaluator itself: expressions to values.
//!
//! Recursion follows the tree; calls of plan functions in tail position are turned into rounds of a loop.
//! How deep it may get is counted, so that it does not depend on the thread it runs in.

use std::collections::BTreeMap;

use super::bindings::Bindings;
use super::comprehension::Sink;
use super::failure::{Failure, FailureKind, PrimitiveError};
use super::functions::{Functions, NOTHING};
use super::host::{OwnNames, Phase, Remote};
use super::limits::{Budget, Exceeded, Limits};
use super::pattern::Mismatch;
use super::show;
use super::{number, operator};
use crate::diag::{Code, Diagnostic, Span, suggest};
use crate::syntax::ast::{Clause, Expr, ExprKind, FunClause, MapPair, Spanned};
use crate::term::{Atom, Term};

/// Stack that one expression may use by itself: patterns and values recurse too, within their bounds.
const SPARE: usize = 768 * 1024;
/// Stack taken when there is less.
const SEGMENT: usize = 4 * 1024 * 1024;

/// Evaluates expressions. One at a time; bindings belong to the caller and outlive it.
pub struct Evaluator<'a> {
    pub(super) functions: &'a Functions<'a>,
    pub(super) host: Option<&'a mut dyn OwnNames>,
    pub(super) remote: Option<&'a mut dyn Remote>,
    pub(super) moment: Phase,
    pub(super) budget: Budget,
    pub(super) depth: usize,
    inside: usize,
    pub(super) in_guard: bool,
    /// Whether every variable of the pattern at hand is new, as in heads of functions and in generators.
    pub(super) all_new: bool,
    pub(super) explaining: bool,
    pub(super) mismatch: Option<Mismatch>,
}

/// What an expression in tail position comes to.
pub(super) enum Flow<'a> {
    Value(Term),
    Call(CallTarget<'a>, Vec<Term>),
}

/// A plan function about to be called.
pub(super) struct CallTarget<'a> {
    pub(super) name: Atom,
    pub(super) clauses: &'a [FunClause],
    pub(super) span: Span,
}

impl<'a> Evaluator<'a> {
    /// An evaluator for one moment, with the default [`Limits`], no host and no node.
    pub fn new(moment: Phase, functions: &'a Functions<'a>) -> Self {
        Self {
            functions,
            host: None,
            remote: None,
            moment,
            budget: Budget::new(Limits::default()),
            depth: 0,
            inside: 0,
            in_guard: false,
            all_new: false,
            explaining: false,
            mismatch: None,
        }
    }

    /// One that knows neither functions nor facts.
    pub fn pure(moment: Phase) -> Self {
        Self::new(moment, &NOTHING)
    }

    /// Gives it updo's own names.
    #[must_use]
    pub fn with_names(mut self, host: &'a mut dyn OwnNames) -> Self {
        self.host = Some(host);
        self
    }

    /// Gives it a node to call.
    #[must_use]
    pub fn with_remote(mut self, remote: &'a mut dyn Remote) -> Self {
        self.remote = Some(remote);
        self
    }

    /// Sets its limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.budget = Budget::new(limits);
        self
    }

    /// The value of the last of these expressions; variables they bind are added to `bindings`.
    ///
    /// On a failure, variables bound by the expressions before the failing one stay bound.
    pub fn eval(&mut self, exprs: &[Expr], bindings: &mut Bindings) -> Result<Term, Failure> {
        self.begin();
        self.body(exprs, bindings)
    }

    /// Starts a new account of steps, memory and time.
    pub(super) fn begin(&mut self) {
        self.budget.restart();
        self.depth = 0;
        self.inside = 0;
        self.in_guard = false;
        self.all_new = false;
    }

    /// Expressions joined by comma.
    pub(super) fn body(
        &mut self,
        exprs: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let flow = self.tail_body(exprs, bindings)?;
        self.finish(flow)
    }

    /// The same, but a call in tail position is left to the caller.
    pub(super) fn tail_body(
        &mut self,
        exprs: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Flow<'a>, Failure> {
        let Some((last, before)) = exprs.split_last() else {
            return Ok(Flow::Value(Term::atom("ok")));
        };
        for expr in before {
            let (held, mark) = (self.budget.held(), bindings.len());
            self.value(expr, bindings)?;
            self.budget.release(held);
            for value in bindings.since(mark) {
                let paid = self.budget.pay_for(value);
                paid.map_err(|exceeded| self.exceeded(exceeded, expr.span))?;
            }
        }
        self.tail(last, bindings)
    }

    fn finish(&mut self, flow: Flow<'a>) -> Result<Term, Failure> {
        match flow {
            Flow::Value(value) => Ok(value),
            Flow::Call(target, args) => self.apply(target, args),
        }
    }

    fn tail(&mut self, expr: &Expr, bindings: &mut Bindings) -> Result<Flow<'a>, Failure> {
        match &expr.kind {
            ExprKind::Case(value, clauses) if !self.in_guard => {
                self.case(expr.span, value, clauses, bindings)
            }
            ExprKind::If(clauses) if !self.in_guard => self.choose(expr.span, clauses, bindings),
            ExprKind::Block(body) if !self.in_guard => {
                self.step(expr.span)?;
                self.tail_body(body, bindings)
            }
            ExprKind::Call(name, args) if !self.in_guard => {
                self.tail_call(expr.span, name, args, bindings)
            }
            _ => self.value(expr, bindings).map(Flow::Value),
        }
    }

    fn tail_call(
        &mut self,
        span: Span,
        name: &Spanned<Atom>,
        args: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Flow<'a>, Failure> {
        self.step(span)?;
        let Some(clauses) = self.functions.get(&name.value, args.len()) else {
            return self
                .call_builtin(span, name, args, bindings)
                .map(Flow::Value);
        };
        let args = self.eval_all(args, bindings)?;
        Ok(Flow::Call(
            CallTarget {
                name: name.value.clone(),
                clauses,
                span,
            },
            args,
        ))
    }

    /// The value of one expression. Takes a new piece of stack when the thread's runs out.
    pub(super) fn value(&mut self, expr: &Expr, bindings: &mut Bindings) -> Result<Term, Failure> {
        if self.inside >= self.budget.limits.inside {
            return Err(self.exceeded(Exceeded::Inside, expr.span));
        }
        self.inside += 1;
        let outcome = stacker::maybe_grow(SPARE, SEGMENT, || self.dispatch(expr, bindings));
        self.inside -= 1;
        outcome
    }

    fn dispatch(&mut self, expr: &Expr, bindings: &mut Bindings) -> Result<Term, Failure> {
        if self.in_guard {
            self.allow_in_guard(expr)?;
        }
        match &expr.kind {
            ExprKind::Case(..) | ExprKind::If(_) | ExprKind::Block(_) | ExprKind::Call(..)
                if !self.in_guard =>
            {
                self.control(expr, bindings)
            }
            ExprKind::Literal(term) => self.copy(term, expr.span),
            ExprKind::Var(name) => self.variable(name, expr.span, bindings),
            ExprKind::Call(name, args) => self.call_builtin(expr.span, name, args, bindings),
            ExprKind::Unary(op, value) => self.unary(expr.span, op, value, bindings),
            ExprKind::Binop(op, left, right) => self.binop(expr.span, op, left, right, bindings),
            ExprKind::Match(pattern, value) => self.assign(pattern, value, bindings),
            _ => self.construct(expr, bindings),
        }
    }

    fn control(&mut self, expr: &Expr, bindings: &mut Bindings) -> Result<Term, Failure> {
        let flow = self.tail(expr, bindings)?;
        self.finish(flow)
    }

    fn construct(&mut self, expr: &Expr, bindings: &mut Bindings) -> Result<Term, Failure> {
        self.step(expr.span)?;
        let value = match &expr.kind {
            ExprKind::Tuple(elements) => Term::Tuple(self.eval_all(elements, bindings)?),
            ExprKind::List(elements, tail) => self.list(elements, tail.as_deref(), bindings)?,
            ExprKind::Map(base, pairs) => self.map(expr, base.as_deref(), pairs, bindings)?,
            ExprKind::Duration(ms) => Term::integer((*ms).into()),
            ExprKind::Binary(segments) => return self.build_binary(segments, bindings),
            ExprKind::Catch(body) => return self.catch(body, bindings),
            ExprKind::Remote {
                module,
                function,
                args,
            } => {
                return self.remote_call(expr, module, function, args, bindings);
            }
            ExprKind::ListComp(body, qualifiers) => {
                return self.comprehend(Sink::List(body, Vec::new()), qualifiers, bindings);
            }
            ExprKind::BinComp(body, qualifiers) => {
                return self.comprehend(
                    Sink::Binary(body, Default::default()),
                    qualifiers,
                    bindings,
                );
            }
            ExprKind::MapComp(pair, qualifiers) => {
                return self.comprehend(Sink::Map(pair, BTreeMap::new()), qualifiers, bindings);
            }
            _ => return self.control(expr, bindings),
        };
        self.pay_for(&value, expr.span)?;
        Ok(value)
    }

    fn copy(&mut self, term: &Term, span: Span) -> Result<Term, Failure> {
        self.step(span)?;
        self.pay_for(term, span)?;
        Ok(term.clone())
    }

    fn variable(&mut self, name: &str, span: Span, b: &mut Bindings) -> Result<Term, Failure> {
        match b.get(name).or_else(|| self.constant(name)) {
            Some(value) => self.copy(value, span),
            None => Err(unbound(name, span, b)),
        }
    }

    /// The value of a name inside a function of the plan when none of its own variables has it. Outside of
    /// functions the constants are among the bindings.
    pub(super) fn constant(&self, name: &str) -> Option<&'a Term> {
        (self.depth > 0)
            .then(|| self.functions.constant(name))
            .flatten()
    }

    /// Evaluates operands side by side: none sees what another binds; where two bind the same variable,
    /// the values must be equal.
    pub(super) fn eval_apart(
        &mut self,
        exprs: &[&Expr],
        bindings: &mut Bindings,
    ) -> Result<Vec<Term>, Failure> {
        let mark = bindings.len();
        let mut values = Vec::with_capacity(exprs.len());
        let mut bound = Vec::new();
        for expr in exprs {
            values.push(self.value(expr, bindings)?);
            if bindings.len() > mark {
                bound.extend(
                    bindings
                        .split_off(mark)
                        .into_iter()
                        .map(|new| (new, expr.span)),
                );
            }
        }
        for ((name, value), span) in bound {
            match bindings.find(&name, mark) {
                None => bindings.push(&name, value),
                Some(other) if *other == value => {}
                Some(_) => {
                    let title = format!("`{name}` cannot be two things at once");
                    let diagnostic = Diagnostic::new(Code::E701, title).label(span, "bound again");
                    let reason = Term::tuple([Term::atom("badmatch"), value]);
                    return Err(Failure::raised(reason, span, diagnostic));
                }
            }
        }
        Ok(values)
    }

    pub(super) fn eval_all(
        &mut self,
        exprs: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Vec<Term>, Failure> {
        let exprs: Vec<&Expr> = exprs.iter().collect();
        self.eval_apart(&exprs, bindings)
    }

    fn list(
        &mut self,
        elements: &[Expr],
        tail: Option<&Expr>,
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let parts: Vec<&Expr> = elements.iter().chain(tail).collect();
        let mut values = self.eval_apart(&parts, bindings)?;
        let tail = match tail {
            Some(_) => values.pop(),
            None => None,
        };
        Ok(Term::cons(values, tail.unwrap_or(Term::List(Vec::new()))))
    }

    fn map(
        &mut self,
        expr: &Expr,
        base: Option<&Expr>,
        pairs: &[MapPair],
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let parts = pairs.iter().flat_map(|pair| [&pair.key, &pair.value]);
        let parts: Vec<&Expr> = base.into_iter().chain(parts).collect();
        let mut values = self.eval_apart(&parts, bindings)?.into_iter();
        let mut map = match base.and_then(|_| values.next()) {
            None => BTreeMap::new(),
            Some(Term::Map(map)) => map,
            Some(other) => {
                return Err(self.fault(PrimitiveError::BadMap(other), "#{}", &[], expr.span));
            }
        };
        for pair in pairs {
            let (Some(key), Some(value)) = (values.next(), values.next()) else {
                break;
            };
            if pair.exact && !map.contains_key(&key) {
                return Err(self.fault(PrimitiveError::BadKey(key), "#{}", &[], pair.key.span));
            }
            map.insert(key, value);
        }
        Ok(Term::Map(map))
    }

    fn unary(
        &mut self,
        span: Span,
        op: &str,
        operand: &Expr,
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        self.step(span)?;
        let value = self.value(operand, bindings)?;
        let outcome = match op {
            "not" => operator::truth(&value)
                .map(|t| Term::boolean(!t))
                .ok_or(PrimitiveError::BadArg),
            _ => number::unary(op, &value),
        };
        outcome.map_err(|fault| self.fault(fault, op, &[&value], span))
    }

    fn binop(
        &mut self,
        span: Span,
        op: &str,
        left: &Expr,
        right: &Expr,
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        self.step(span)?;
        if matches!(op, "andalso" | "orelse") {
            return self.shortcut(span, op, left, right, bindings);
        }
        let mut values = self.eval_apart(&[left, right], bindings)?;
        let (Some(b), Some(a)) = (values.pop(), values.pop()) else {
            return Ok(Term::atom("undefined"));
        };
        let value = operator::binary(op, a, b, &mut self.budget)
            .map_err(|(fault, args)| self.fault(fault, op, &[&args[0], &args[1]], span))?;
        if let Term::Big(big) = &value {
            self.pay_bits(big.bits(), span)?;
        }
        Ok(value)
    }

    fn shortcut(
        &mut self,
        span: Span,
        op: &str,
        left: &Expr,
        right: &Expr,
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let value = self.value(left, bindings)?;
        match operator::truth(&value) {
            Some(truth) if truth == (op == "orelse") => Ok(value),
            Some(_) => {
                let mark = bindings.len();
                let value = self.value(right, bindings);
                bindings.truncate(mark);
                value
            }
            None => {
                let title = format!("bad argument for `{op}`: `{}`", show::short(&value));
                let diagnostic = Diagnostic::new(Code::E704, title)
                    .label(left.span, "neither `true` nor `false`");
                let reason = Term::tuple([Term::atom("badarg"), value]);
                Err(Failure::raised(reason, span, diagnostic))
            }
        }
    }

    /// `Pattern = Expr`.
    pub(super) fn assign(
        &mut self,
        pattern: &Expr,
        value: &Expr,
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        self.step(pattern.span)?;
        let got = self.value(value, bindings)?;
        if self.matches(pattern, &got, bindings, 0)? {
            return Ok(got);
        }
        let span = pattern.span.to(value.span);
        Err(self.no_match(pattern, got, span, bindings))
    }

    /// E701 for a failed `=`: matches once more to learn where it fails.
    fn no_match(&mut self, pattern: &Expr, got: Term, span: Span, b: &mut Bindings) -> Failure {
        self.explaining = true;
        self.mismatch = None;
        let again = self.matches(pattern, &got, b, 0);
        self.explaining = false;
        let mut diagnostic = Diagnostic::new(
            Code::E701,
            format!(
                "no match: `{}` against `{}`",
                show::short_expression(pattern),
                show::short(&got)
            ),
        );
        diagnostic = match (again, self.mismatch.take()) {
            (Ok(false), Some(Mismatch { span, value })) => {
                diagnostic.label(span, format!("this is `{value}`"))
            }
            _ => diagnostic.label(pattern.span, "does not match"),
        };
        let diagnostic = diagnostic
            .note(format!("pattern: {}", show::expression(pattern)))
            .note(format!("value:   {}", show::long(&got)));
        Failure::raised(Term::tuple([Term::atom("badmatch"), got]), span, diagnostic)
    }

    fn case(
        &mut self,
        span: Span,
        value: &Expr,
        clauses: &[Clause],
        bindings: &mut Bindings,
    ) -> Result<Flow<'a>, Failure> {
        self.step(span)?;
        let got = self.value(value, bindings)?;
        let mark = bindings.len();
        for clause in clauses {
            let matched = match &clause.pattern {
                Some(pattern) => self.matches(pattern, &got, bindings, 0)?,
                None => true,
            };
            if matched && self.clause_guard(&clause.guard, bindings)? {
                return self.tail_body(&clause.body, bindings);
            }
            bindings.truncate(mark);
        }
        let title = format!("no clause of this `case` matches `{}`", show::short(&got));
        let diagnostic = Diagnostic::new(Code::E701, title)
            .label(value.span, "this value has no clause")
            .note(format!("value: {}", show::long(&got)));
        Err(Failure::raised(
            Term::tuple([Term::atom("case_clause"), got]),
            span,
            diagnostic,
        ))
    }

    fn choose(
        &mut self,
        span: Span,
        clauses: &[Clause],
        bindings: &mut Bindings,
    ) -> Result<Flow<'a>, Failure> {
        self.step(span)?;
        for clause in clauses {
            if self.clause_guard(&clause.guard, bindings)? {
                return self.tail_body(&clause.body, bindings);
            }
        }
        let diagnostic = Diagnostic::new(Code::E701, "no condition of this `if` is true")
            .label(span, "every guard is false")
            .help("end it with `true -> …`");
        Err(Failure::raised(Term::atom("if_clause"), span, diagnostic))
    }

    fn catch(&mut self, body: &Expr, bindings: &mut Bindings) -> Result<Term, Failure> {
        let mark = bindings.len();
        match self.value(body, bindings) {
            Err(failure) if failure.kind == FailureKind::Raised => {
                bindings.truncate(mark);
                let value = failure.caught();
                self.pay_for(&value, body.span)?;
                Ok(value)
            }
            other => other,
        }
    }
}

fn unbound(name: &str, span: Span, bindings: &Bindings) -> Failure {
    let title = format!("variable `{name}` is unbound");
    let names = bindings.iter().map(|(name, _)| name);
    let mut help = Vec::new();
    if name == "_" {
        help.push("`_` matches everything and has no value".to_owned());
    } else {
        if let Some(near) = suggest::suggest(name, names) {
            help.push(format!("did you mean `{near}`?"));
        }
        if !name.starts_with('_') {
            help.push(format!("for the Elixir module write `Elixir.{name}`"));
        }
    }
    let mut diagnostic = Diagnostic::new(Code::E206, title).label(span, "has no value here");
    if !help.is_empty() {
        diagnostic = diagnostic.help(help.join("\n"));
    }
    let reason = Term::tuple([Term::atom("unbound_var"), Term::atom(name)]);
    Failure::refused(reason, span, diagnostic)
}
