//! Rows of operands and operators, and Erlang's precedences.
//!
//! The grammar gives a flat row (`1 + 2 * 3`); this makes the tree of it by precedence climbing, after the
//! operator table of the Erlang Reference Manual. Comparisons do not associate: `A < B < C` is E107.

use super::ast::{Expr, ExprKind};
use super::expr::{Builder, P, unexpected};
use super::foreign_syntax;
use super::grammar::Rule;
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::term::{BigInt, Term};

/// Binary operators by strength, the weakest first, as in Erlang's operator table.
const LEVELS: &[(&[&str], Assoc)] = &[
    (&["orelse"], Assoc::Right),
    (&["andalso"], Assoc::Right),
    (
        &["==", "/=", "=<", "<", ">=", ">", "=:=", "=/="],
        Assoc::None,
    ),
    (&["++", "--"], Assoc::Right),
    (
        &["+", "-", "bor", "bxor", "bsl", "bsr", "or", "xor"],
        Assoc::Left,
    ),
    (&["*", "/", "div", "rem", "band", "and"], Assoc::Left),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Assoc {
    Left,
    Right,
    None,
}

/// Level, spelling and associativity of a binary operator.
fn operator(text: &str) -> Option<(usize, &'static str, Assoc)> {
    LEVELS
        .iter()
        .enumerate()
        .find_map(|(level, (names, assoc))| {
            names
                .iter()
                .find(|n| **n == text)
                .map(|n| (level, *n, *assoc))
        })
}

/// A row of operands with the operators between them, read from the left.
pub(super) struct Row<'i> {
    builder: Builder,
    pub pairs: std::iter::Peekable<pest::iterators::Pairs<'i, Rule>>,
}

impl<'i> Row<'i> {
    /// The row inside a pair.
    pub fn new(builder: Builder, pair: P<'i>) -> Self {
        Self {
            builder,
            pairs: pair.into_inner().peekable(),
        }
    }

    /// Operators of this level and stronger (precedence climbing).
    pub fn level(&mut self, level: usize) -> Result<Expr> {
        let mut left = self.operand()?;
        // The level of the last operator, when it may not occur twice in a row.
        let mut alone: Option<usize> = None;
        while let Some(pair) = self.pairs.peek() {
            let Some((strength, name, assoc)) = operator(pair.as_str()) else {
                return Err(unexpected(self.builder, pair));
            };
            if strength < level {
                break;
            }
            if alone == Some(strength) {
                return Err(Box::new(foreign_syntax::chained_comparison(
                    &left,
                    self.builder.span(pair),
                )));
            }
            self.pairs.next();
            let right = self.level(if assoc == Assoc::Right {
                strength
            } else {
                strength + 1
            })?;
            alone = (assoc == Assoc::None).then_some(strength);
            let span = left.span.to(right.span);
            left = Expr {
                kind: ExprKind::Binop(name, Box::new(left), Box::new(right)),
                span,
            };
        }
        Ok(left)
    }

    /// An operand with its prefixes, which are stronger than every binary operator.
    pub fn operand(&mut self) -> Result<Expr> {
        let mut prefixes = Vec::new();
        loop {
            let Some(pair) = self.pairs.next() else {
                return Err(Box::new(Diagnostic::new(
                    Code::E900,
                    "an operator without an operand",
                )));
            };
            let name = match pair.as_rule() {
                Rule::neg => "-",
                Rule::pos => "+",
                Rule::not_ => "not",
                Rule::bnot_ => "bnot",
                _ => {
                    let operand = self.builder.any(pair)?;
                    return Ok(prefixes.into_iter().rev().fold(operand, apply_prefix));
                }
            };
            prefixes.push((name, self.builder.span(&pair).start));
        }
    }
}

/// A prefix before its operand; the sign of a number becomes part of the number.
fn apply_prefix(operand: Expr, (name, start): (&'static str, usize)) -> Expr {
    let span = Span::new(start, operand.span.end);
    let folded = match (&operand.kind, name) {
        (ExprKind::Literal(number @ (Term::Int(_) | Term::Big(_) | Term::Float(_))), "+") => {
            Some(number.clone())
        }
        (ExprKind::Literal(Term::Int(n)), "-") => Some(Term::integer(-BigInt::from(*n))),
        (ExprKind::Literal(Term::Big(n)), "-") => Some(Term::integer(-n.as_ref().clone())),
        (ExprKind::Literal(Term::Float(n)), "-") => Some(Term::Float(-n)),
        _ => None,
    };
    match folded {
        Some(term) => Expr::literal(term, span),
        None => Expr {
            kind: ExprKind::Unary(name, Box::new(operand)),
            span,
        },
    }
}
