//! Guards: of clauses, where a failure means false, and of statements, where a fact may be unknown.
//!
//! A clause's guard knows what Erlang's knows: variables, tests, operators, the built-in functions
//! Erlang allows there; and updo's facts, which have no effects either.

use super::bif;
use super::bindings::Bindings;
use super::evaluator::Evaluator;
use super::failure::{Failure, FailureKind};
use super::host::{Phase, needs};
use super::operator;
use super::show;
use crate::diag::{Code, Diagnostic};
use crate::syntax::ast::{Expr, ExprKind};
use crate::term::Term;

/// The value of a statement's guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// All conditions are true.
    True,
    /// One is false.
    False,
    /// None is false, and one depends on a fact that is not known here; the text says which.
    Unknown(String),
}

impl Evaluator<'_> {
    /// The guard of a statement: `when` and its conditions, joined by *and*. Empty is true.
    ///
    /// Unlike in a clause, an exception is reported, and a condition that is neither `true` nor `false`
    /// is E704: a rule must not vanish because of a slip.
    pub fn guard(
        &mut self,
        conditions: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Truth, Failure> {
        self.begin();
        let mark = bindings.len();
        let truth = self.conditions(conditions, bindings);
        bindings.truncate(mark);
        truth
    }

    fn conditions(
        &mut self,
        conditions: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<Truth, Failure> {
        let mut unknown = None;
        for condition in conditions {
            match self.value(condition, bindings) {
                Ok(value) => match operator::truth(&value) {
                    Some(true) => {}
                    Some(false) => return Ok(Truth::False),
                    None => return Err(not_boolean(condition, value)),
                },
                Err(failure) if failure.kind == FailureKind::Unknown => {
                    unknown.get_or_insert(failure.diagnostic.title);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(unknown.map_or(Truth::True, Truth::Unknown))
    }

    /// The guard of a clause: alternatives of conditions. No alternative at all is true.
    pub(super) fn clause_guard(
        &mut self,
        alternatives: &[Vec<Expr>],
        bindings: &mut Bindings,
    ) -> Result<bool, Failure> {
        for all in alternatives {
            if self.guard_tests(all, bindings)? {
                return Ok(true);
            }
        }
        Ok(alternatives.is_empty())
    }

    /// Conditions joined by comma; a failing one is false.
    pub(super) fn guard_tests(
        &mut self,
        conditions: &[Expr],
        bindings: &mut Bindings,
    ) -> Result<bool, Failure> {
        let outer = std::mem::replace(&mut self.in_guard, true);
        let mut outcome = Ok(true);
        for condition in conditions {
            match self.value(condition, bindings) {
                Ok(value) if value.is_atom("true") => continue,
                Err(failure) if failure.kind != FailureKind::Raised => outcome = Err(failure),
                _ => outcome = Ok(false),
            }
            break;
        }
        self.in_guard = outer;
        outcome
    }

    /// Whether an expression is a guard expression, so that a filter made of it is false when it fails.
    pub(super) fn is_guard(&self, expr: &Expr) -> bool {
        let all = |exprs: &[Expr]| exprs.iter().all(|expr| self.is_guard(expr));
        match &expr.kind {
            ExprKind::Literal(_) | ExprKind::Duration(_) | ExprKind::Var(_) => true,
            ExprKind::Tuple(elements) => all(elements),
            ExprKind::List(elements, tail) => {
                all(elements) && tail.as_ref().is_none_or(|tail| self.is_guard(tail))
            }
            ExprKind::Map(base, pairs) => {
                base.as_ref().is_none_or(|base| self.is_guard(base))
                    && pairs
                        .iter()
                        .all(|pair| self.is_guard(&pair.key) && self.is_guard(&pair.value))
            }
            ExprKind::Binary(segments) => segments.iter().all(|segment| {
                self.is_guard(&segment.value)
                    && segment.size.as_ref().is_none_or(|size| self.is_guard(size))
            }),
            ExprKind::Unary(_, value) => self.is_guard(value),
            ExprKind::Binop(op, left, right) => {
                !matches!(*op, "++" | "--") && self.is_guard(left) && self.is_guard(right)
            }
            ExprKind::Call(name, args) => {
                !self.defines(&name.value, args.len())
                    && bif::in_guards(name.value.as_str(), args.len())
                    && all(args)
            }
            ExprKind::Remote {
                module,
                function,
                args,
            } => {
                erlang_function(module, function)
                    .is_some_and(|name| bif::in_guards(&name, args.len()))
                    && all(args)
            }
            _ => false,
        }
    }

    /// Refuses what may not be in the guard of a clause.
    pub(super) fn allow_in_guard(&self, expr: &Expr) -> Result<(), Failure> {
        let allowed = match &expr.kind {
            ExprKind::Call(name, args) => {
                !self.defines(&name.value, args.len())
                    && (bif::in_guards(name.value.as_str(), args.len())
                        || needs(name.value.as_str()).is_some_and(|moment| moment < Phase::Live))
            }
            ExprKind::Remote {
                module,
                function,
                args,
            } => erlang_function(module, function)
                .is_some_and(|name| bif::in_guards(&name, args.len())),
            ExprKind::Binop(op, ..) => !matches!(*op, "++" | "--"),
            ExprKind::Match(..)
            | ExprKind::Catch(_)
            | ExprKind::Block(_)
            | ExprKind::Case(..)
            | ExprKind::If(_)
            | ExprKind::ListComp(..)
            | ExprKind::BinComp(..)
            | ExprKind::MapComp(..) => false,
            _ => true,
        };
        if allowed {
            return Ok(());
        }
        let title = format!(
            "`{}` is not allowed in a guard",
            show::short_expression(expr)
        );
        let diagnostic = Diagnostic::new(Code::E101, title)
            .label(expr.span, "not a guard expression")
            .help("compute it before the clause, bind it, and test the variable");
        Err(Failure::refused(
            Term::atom("illegal_guard_expr"),
            expr.span,
            diagnostic,
        ))
    }
}

/// The function's name, if this is `erlang:name`.
pub(super) fn erlang_function(module: &Expr, function: &Expr) -> Option<String> {
    let module = module.as_literal()?;
    let function = function.as_literal()?;
    if module.is_atom("erlang") {
        Some(function.as_atom()?.as_str().to_owned())
    } else {
        None
    }
}

/// Whether an operation has only constants for operands, as in the pattern `1 + 2`.
pub(super) fn is_constant(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Duration(_) => true,
        ExprKind::Unary(_, value) => is_constant(value),
        ExprKind::Binop(_, left, right) => is_constant(left) && is_constant(right),
        _ => false,
    }
}

fn not_boolean(condition: &Expr, value: Term) -> Failure {
    let shown = show::short(&value);
    let title = format!("this condition is neither `true` nor `false`, but `{shown}`");
    let diagnostic = Diagnostic::new(Code::E704, title).label(condition.span, "not a condition");
    let reason = Term::tuple([Term::atom("bad_filter"), value]);
    Failure::raised(reason, condition.span, diagnostic)
}
