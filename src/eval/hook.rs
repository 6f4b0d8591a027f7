//! The body of a hook: as that of a check, but its result is ignored unless it is `false`.
//!
//! `before upgrade -> shop_gate:is_closed().` is a condition: when it says `false`, the hook has failed (E706).

use super::bindings::Bindings;
use super::evaluator::Evaluator;
use super::failure::Failure;
use super::operator;
use super::show;
use crate::diag::{Code, Diagnostic};
use crate::syntax::ast::{Expr, ExprKind};
use crate::term::Term;

impl Evaluator<'_> {
    /// Evaluates a hook: its last value, unless an expression of it is `false`.
    ///
    /// # Errors
    /// The first expression that fails, or is `false` and no match.
    pub fn hook(&mut self, body: &[Expr], bindings: &mut Bindings) -> Result<Term, Failure> {
        self.begin();
        let mut last = Term::atom("ok");
        for expr in body {
            let (held, mark) = (self.budget.held(), bindings.len());
            last = self.value(expr, bindings)?;
            let is_match = matches!(expr.kind, ExprKind::Match(..));
            if !is_match && operator::truth(&last) == Some(false) {
                let text = show::short_expression(expr);
                let title = format!("this is false: `{text}`");
                let diagnostic = Diagnostic::new(Code::E706, title)
                    .label(expr.span, "this is `false`")
                    .help(format!(
                        "write `_ = {text}`, if it does not matter what that returns"
                    ));
                return Err(Failure::raised(Term::atom("false"), expr.span, diagnostic));
            }
            self.budget.release(held);
            for value in bindings.since(mark) {
                let paid = self.budget.pay_for(value);
                paid.map_err(|exceeded| self.exceeded(exceeded, expr.span))?;
            }
        }
        Ok(last)
    }
}
