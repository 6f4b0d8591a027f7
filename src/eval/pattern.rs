//! Pattern matching: does a value fit a pattern, and what do its variables become?
//!
//! A variable counts as bound when it was bound at `floor` or later: `0` for `=`, `case` and function
//! heads, the height of the bindings for a generator, whose variables are always new. Keys of maps and
//! sizes of binaries see every variable. After a mismatch the bindings are as before.

use super::bindings::Bindings;
use super::evaluator::Evaluator;
use super::failure::{Failure, FailureKind};
use super::guard::is_constant;
use super::show;
use crate::diag::{Code, Diagnostic, Span};
use crate::syntax::ast::{Expr, ExprKind, MapPair};
use crate::term::Term;

/// The innermost part of a pattern that did not match.
#[derive(Clone, Debug)]
pub(super) struct Mismatch {
    pub(super) span: Span,
    pub(super) value: String,
}

impl Evaluator<'_> {
    /// Whether `value` matches; binds the pattern's variables if so.
    pub(super) fn matches(
        &mut self,
        pattern: &Expr,
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        let mark = bindings.len();
        let matched = self.match_part(pattern, value, bindings, floor)?;
        if !matched {
            bindings.truncate(mark);
        }
        Ok(matched)
    }

    /// The same where every variable is a new one: it hides a constant of its name.
    pub(super) fn matches_anew(
        &mut self,
        pattern: &Expr,
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        let outer = std::mem::replace(&mut self.all_new, true);
        let outcome = self.matches(pattern, value, bindings, floor);
        self.all_new = outer;
        outcome
    }

    fn match_part(
        &mut self,
        pattern: &Expr,
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        self.check_limits(pattern.span)?;
        let matched = match &pattern.kind {
            ExprKind::Literal(literal) => fits(literal, value).ok_or_else(|| illegal(pattern))?,
            ExprKind::Duration(ms) => Term::integer((*ms).into()) == *value,
            ExprKind::Var(name) => {
                return self.match_variable(name, pattern, value, bindings, floor);
            }
            ExprKind::Tuple(parts) => match value {
                Term::Tuple(elements) if elements.len() == parts.len() => {
                    return self.match_all(parts, elements, bindings, floor);
                }
                _ => false,
            },
            ExprKind::List(parts, tail) => {
                return self.match_list(pattern, parts, tail.as_deref(), value, bindings, floor);
            }
            ExprKind::Map(None, pairs) => {
                return self.match_map(pattern, pairs, value, bindings, floor);
            }
            ExprKind::Binary(segments) => self.match_binary(segments, value, bindings, floor)?,
            ExprKind::Match(left, right) => {
                return Ok(self.match_part(left, value, bindings, floor)?
                    && self.match_part(right, value, bindings, floor)?);
            }
            ExprKind::Binop("++", left, right) => {
                return self.match_prefix(pattern, left, right, value, bindings, floor);
            }
            ExprKind::Unary(..) | ExprKind::Binop(..) if is_constant(pattern) => {
                match self.value(pattern, bindings) {
                    Ok(constant) => constant == *value,
                    Err(failure) if failure.kind == FailureKind::Raised => {
                        return Err(illegal(pattern));
                    }
                    Err(failure) => return Err(failure),
                }
            }
            _ => return Err(illegal(pattern)),
        };
        Ok(matched || self.differs(pattern.span, value))
    }

    /// Notes where the match failed, when that was asked for; always `false`.
    fn differs(&mut self, span: Span, value: &Term) -> bool {
        if self.explaining {
            self.mismatch = Some(Mismatch {
                span,
                value: show::short(value),
            });
        }
        false
    }

    fn match_variable(
        &mut self,
        name: &str,
        pattern: &Expr,
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        if name == "_" {
            return Ok(true);
        }
        let known = bindings.find(name, floor);
        if let Some(bound) = known.or_else(|| self.constant(name).filter(|_| !self.all_new)) {
            return Ok(bound == value || self.differs(pattern.span, value));
        }
        self.pay_for(value, pattern.span)?;
        bindings.push(name, value.clone());
        Ok(true)
    }

    fn match_all(
        &mut self,
        patterns: &[Expr],
        values: &[Term],
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        for (pattern, value) in patterns.iter().zip(values) {
            if !self.match_part(pattern, value, bindings, floor)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn match_list(
        &mut self,
        pattern: &Expr,
        parts: &[Expr],
        tail: Option<&Expr>,
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        let (elements, last): (&[Term], Option<&Term>) = match value {
            Term::List(elements) => (elements, None),
            Term::Improper(elements, last) => (elements, Some(last)),
            _ => return Ok(self.differs(pattern.span, value)),
        };
        let complete = tail.is_some() || (last.is_none() && elements.len() == parts.len());
        if elements.len() < parts.len() || !complete {
            return Ok(self.differs(pattern.span, value));
        }
        let (front, rest) = elements.split_at(parts.len());
        if !self.match_all(parts, front, bindings, floor)? {
            return Ok(false);
        }
        match tail {
            None => Ok(true),
            Some(tail) => self.match_rest(tail, rest, last, bindings, floor),
        }
    }

    /// Matches what is behind the front of a list, without building it for `_`.
    fn match_rest(
        &mut self,
        tail: &Expr,
        rest: &[Term],
        last: Option<&Term>,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        if matches!(&tail.kind, ExprKind::Var(name) if name == "_") {
            return Ok(true);
        }
        let mark = self.budget.held();
        for element in rest.iter().chain(last) {
            self.pay_for(element, tail.span)?;
        }
        let end = last.cloned().unwrap_or(Term::List(Vec::new()));
        let rest = Term::cons(rest.to_vec(), end);
        self.budget.release(mark);
        self.match_part(tail, &rest, bindings, floor)
    }

    fn match_map(
        &mut self,
        pattern: &Expr,
        pairs: &[MapPair],
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        let Term::Map(map) = value else {
            return Ok(self.differs(pattern.span, value));
        };
        for pair in pairs {
            if !pair.exact {
                return Err(illegal(pattern));
            }
            let key = match self.value(&pair.key, bindings) {
                Ok(key) => key,
                Err(failure) if failure.kind == FailureKind::Raised => return Ok(false),
                Err(failure) => return Err(failure),
            };
            let Some(part) = map.get(&key) else {
                return Ok(self.differs(pair.key.span, value));
            };
            if !self.match_part(&pair.value, part, bindings, floor)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// `"prefix" ++ Rest`.
    fn match_prefix(
        &mut self,
        pattern: &Expr,
        prefix: &Expr,
        tail: &Expr,
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        let Some(Term::List(prefix)) = prefix.as_literal() else {
            return Err(illegal(pattern));
        };
        if prefix.is_empty() {
            return self.match_part(tail, value, bindings, floor);
        }
        let (elements, last): (&[Term], Option<&Term>) = match value {
            Term::List(elements) => (elements, None),
            Term::Improper(elements, last) => (elements, Some(last)),
            _ => return Ok(self.differs(pattern.span, value)),
        };
        match elements.strip_prefix(prefix.as_slice()) {
            Some(rest) => self.match_rest(tail, rest, last, bindings, floor),
            None => Ok(self.differs(pattern.span, value)),
        }
    }
}

/// Whether a value fits a constant. `#{}` fits every map, in every position; a constant map with
/// elements is no pattern (`None`).
fn fits(literal: &Term, value: &Term) -> Option<bool> {
    match (literal, value) {
        (Term::Map(pairs), _) if !pairs.is_empty() => None,
        (Term::Map(_), value) => Some(matches!(value, Term::Map(_))),
        (Term::Tuple(parts), Term::Tuple(values)) | (Term::List(parts), Term::List(values)) => {
            fits_all(parts, values)
        }
        (Term::Improper(parts, last), Term::Improper(values, tail)) => {
            Some(fits_all(parts, values)? && fits(last, tail)?)
        }
        _ => Some(literal == value),
    }
}

fn fits_all(parts: &[Term], values: &[Term]) -> Option<bool> {
    if parts.len() != values.len() {
        return Some(false);
    }
    for (part, value) in parts.iter().zip(values) {
        if !fits(part, value)? {
            return Some(false);
        }
    }
    Some(true)
}

fn illegal(pattern: &Expr) -> Failure {
    let title = format!("`{}` is not a pattern", show::short_expression(pattern));
    let help = match pattern.kind {
        ExprKind::Map(..) | ExprKind::Literal(_) => "write `:=` in a pattern: `#{key := Value}`",
        _ => "compute the value first, bind it, and match against the variable",
    };
    let diagnostic = Diagnostic::new(Code::E101, title)
        .label(pattern.span, "not a pattern")
        .help(help);
    Failure::refused(Term::atom("illegal_pattern"), pattern.span, diagnostic)
}
