//! The body of a check (`require`, `verify`): a list of conditions.
//!
//! It passes when every match succeeds, no other expression is `false`, and the last one is a match or
//! `true`. A call that ends the body and returns `pong`, `ok` or `{error, _}` fails (E706): a check that
//! looks at nothing is how broken systems pass.

use super::bindings::Bindings;
use super::evaluator::Evaluator;
use super::failure::Failure;
use super::operator;
use super::show;
use crate::diag::{Code, Diagnostic};
use crate::syntax::ast::{Expr, ExprKind};
use crate::term::Term;

/// How a check ended.
#[derive(Clone, Debug)]
pub enum CheckResult {
    /// Every condition holds.
    Passed,
    /// One does not, or could not be evaluated; this is why.
    Failed(Box<Diagnostic>),
}

impl CheckResult {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

impl Evaluator<'_> {
    /// Evaluates a check. An empty body passes.
    pub fn check(&mut self, body: &[Expr], bindings: &mut Bindings) -> CheckResult {
        match self.hold(body, bindings) {
            Ok(()) => CheckResult::Passed,
            Err(failure) => CheckResult::Failed(failure.diagnostic),
        }
    }

    /// Evaluates the conditions of a check.
    ///
    /// # Errors
    /// The first that does not hold, or could not be evaluated.
    pub fn hold(&mut self, body: &[Expr], bindings: &mut Bindings) -> Result<(), Failure> {
        self.begin();
        for (index, expr) in body.iter().enumerate() {
            let last = index + 1 == body.len();
            self.condition(expr, last, bindings)?;
        }
        Ok(())
    }

    fn condition(
        &mut self,
        expr: &Expr,
        last: bool,
        bindings: &mut Bindings,
    ) -> Result<(), Failure> {
        let held = self.budget.held();
        let mark = bindings.len();
        let outcome = match &expr.kind {
            ExprKind::Match(..) => self.value(expr, bindings).map(drop),
            ExprKind::Binop(op, left, right) if operator::is_comparison(op) => {
                self.comparison(expr, op, left, right, bindings)
            }
            _ => self.bare(expr, last, bindings),
        };
        self.budget.release(held);
        for value in bindings.since(mark) {
            let paid = self.budget.pay_for(value);
            paid.map_err(|exceeded| self.exceeded(exceeded, expr.span))?;
        }
        outcome
    }

    /// A comparison, so that both sides can be shown when it is false.
    fn comparison(
        &mut self,
        expr: &Expr,
        op: &str,
        left: &Expr,
        right: &Expr,
        bindings: &mut Bindings,
    ) -> Result<(), Failure> {
        self.step(expr.span)?;
        let values = self.eval_apart(&[left, right], bindings)?;
        let [a, b] = values.as_slice() else {
            return Ok(());
        };
        if operator::compare(op, a, b) == Some(true) {
            return Ok(());
        }
        let title = format!(
            "this is false: `{} {op} {}`",
            show::short(a),
            show::short(b)
        );
        let diagnostic = Diagnostic::new(Code::E706, title)
            .label(left.span, format!("this is `{}`", show::short(a)))
            .label(right.span, format!("this is `{}`", show::short(b)))
            .note(format!("left:  {}", show::long(a)))
            .note(format!("right: {}", show::long(b)));
        Err(Failure::raised(Term::atom("false"), expr.span, diagnostic))
    }

    fn bare(&mut self, expr: &Expr, last: bool, bindings: &mut Bindings) -> Result<(), Failure> {
        let value = self.value(expr, bindings)?;
        match operator::truth(&value) {
            Some(true) => Ok(()),
            None if !last => Ok(()),
            Some(false) => {
                let text = show::short_expression(expr);
                let diagnostic = Diagnostic::new(Code::E706, format!("this is false: `{text}`"))
                    .label(expr.span, "this is `false`");
                Err(Failure::raised(Term::atom("false"), expr.span, diagnostic))
            }
            None => {
                let shown = show::short(&value);
                let text = show::short_expression(expr);
                let diagnostic = Diagnostic::new(
                    Code::E706,
                    format!("a check must end with a match or `true`; this returned `{shown}`"),
                )
                .label(expr.span, format!("this returned `{shown}`"))
                .help(format!(
                    "write `{shown} = {text}`, if that is what you expect"
                ));
                Err(Failure::raised(value, expr.span, diagnostic))
            }
        }
    }
}
