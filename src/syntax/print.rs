//! Expressions back to text.
//!
//! It takes an expression or a pattern and writes Erlang that parses to the same tree, spans aside. Constants are
//! written as terms, so layout, comments and the spelling of numbers are those of the printer, not of the
//! source. Recurses as deep as the tree, which the parser has limited.

use std::fmt::{self, Write};

use super::ast::{Clause, Endian, Expr, ExprKind, MapPair, Qualifier, Segment, SegmentKind};
use crate::term::Term;

/// An expression as text on one line.
pub fn to_source(expr: &Expr) -> String {
    let mut out = String::new();
    // A string takes everything.
    let _ = write_expr(&mut out, expr);
    out
}

/// Writes an expression on one line.
///
/// # Errors
/// Only those of the writer, so a writer that refuses bounds the text.
pub fn write_expr(out: &mut impl Write, expr: &Expr) -> fmt::Result {
    match &expr.kind {
        ExprKind::Literal(term) => write!(out, "{term}"),
        ExprKind::Duration(ms) => write_duration(out, *ms),
        ExprKind::Var(name) => out.write_str(name),
        ExprKind::Tuple(elements) => between(out, "{", elements, "}"),
        ExprKind::List(elements, None) => between(out, "[", elements, "]"),
        ExprKind::List(elements, Some(tail)) => {
            between(out, "[", elements, " | ")?;
            write_expr(out, tail)?;
            out.write_str("]")
        }
        ExprKind::ListComp(body, qualifiers) => {
            out.write_str("[")?;
            write_expr(out, body)?;
            write_qualifiers(out, qualifiers)?;
            out.write_str("]")
        }
        ExprKind::BinComp(body, qualifiers) => {
            out.write_str("<< ")?;
            write_in(out, body, Place::Segment)?;
            write_qualifiers(out, qualifiers)?;
            out.write_str(" >>")
        }
        ExprKind::MapComp(pair, qualifiers) => {
            out.write_str("#{")?;
            write_pair(out, pair)?;
            write_qualifiers(out, qualifiers)?;
            out.write_str("}")
        }
        ExprKind::Map(base, pairs) => {
            if let Some(base) = base {
                write_in(out, base, Place::Callee)?;
            }
            out.write_str("#{")?;
            separated(out, pairs, ", ", write_pair)?;
            out.write_str("}")
        }
        ExprKind::Binary(segments) => {
            out.write_str("<<")?;
            separated(out, segments, ", ", write_segment)?;
            out.write_str(">>")
        }
        ExprKind::Call(name, args) => {
            write!(out, "{}", Term::Atom(name.value.clone()))?;
            between(out, "(", args, ")")
        }
        ExprKind::Remote {
            module,
            function,
            args,
        } => {
            write_in(out, module, Place::Callee)?;
            out.write_str(":")?;
            write_in(out, function, Place::Name)?;
            between(out, "(", args, ")")
        }
        ExprKind::Match(left, right) => infix(out, left, "=", right),
        ExprKind::Binop(op, left, right) => infix(out, left, op, right),
        ExprKind::Unary(op, operand) => {
            out.write_str(op)?;
            if op.starts_with(|c: char| c.is_ascii_alphabetic()) {
                out.write_str(" ")?;
            }
            write_in(out, operand, Place::Operand)
        }
        ExprKind::Catch(body) => {
            out.write_str("catch ")?;
            write_expr(out, body)
        }
        ExprKind::Block(body) => between(out, "begin ", body, " end"),
        ExprKind::Case(subject, clauses) => {
            out.write_str("case ")?;
            write_expr(out, subject)?;
            out.write_str(" of ")?;
            separated(out, clauses, "; ", write_clause)?;
            out.write_str(" end")
        }
        ExprKind::If(clauses) => {
            out.write_str("if ")?;
            separated(out, clauses, "; ", write_clause)?;
            out.write_str(" end")
        }
    }
}

/// The position of an expression, which decides what needs parentheses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Beside an operator: all but operations.
    Operand,
    /// A condition or a map key: all but `=` and `catch`.
    Condition,
    /// Before `:` or `#{`: what ends in a word or a bracket.
    Callee,
    /// The name of a function: an atom or a variable.
    Name,
    /// A value in a binary: a primary expression.
    Segment,
    /// A size in a binary: a number or a variable.
    Size,
}

impl Place {
    fn takes(self, expr: &Expr) -> bool {
        use ExprKind::{Binop, Call, Catch, Literal, Map, Match, Remote, Unary, Var};
        let operation = matches!(expr.kind, Binop(..) | Unary(..) | Match(..) | Catch(_));
        let negative = match &expr.kind {
            Literal(Term::Int(n)) => *n < 0,
            Literal(Term::Float(n)) => n.is_sign_negative(),
            Literal(Term::Big(_)) => true,
            _ => false,
        };
        match self {
            Self::Operand => !operation,
            Self::Condition => !matches!(expr.kind, Match(..) | Catch(_)),
            Self::Callee => !operation && !negative && !matches!(expr.kind, Literal(Term::Fun(_))),
            Self::Name => matches!(expr.kind, Literal(Term::Atom(_)) | Var(_)),
            Self::Segment => {
                !operation
                    && !negative
                    && !matches!(expr.kind, Call(..) | Remote { .. } | Map(Some(_), _))
            }
            Self::Size => matches!(expr.kind, Literal(Term::Int(0..)) | Var(_)),
        }
    }
}

/// Writes an expression, in parentheses where its place needs them.
fn write_in(out: &mut impl Write, expr: &Expr, place: Place) -> fmt::Result {
    if place.takes(expr) {
        return write_expr(out, expr);
    }
    out.write_str("(")?;
    write_expr(out, expr)?;
    out.write_str(")")
}

/// The largest unit that leaves a whole number.
fn write_duration(out: &mut impl Write, ms: u64) -> fmt::Result {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units
        .iter()
        .find(|(size, _)| ms > 0 && ms.is_multiple_of(*size))
    {
        Some((size, unit)) => write!(out, "{}{unit}", ms / size),
        None => write!(out, "{ms}ms"),
    }
}

fn infix(out: &mut impl Write, left: &Expr, op: &str, right: &Expr) -> fmt::Result {
    write_in(out, left, Place::Operand)?;
    write!(out, " {op} ")?;
    write_in(out, right, Place::Operand)
}

fn between(out: &mut impl Write, open: &str, elements: &[Expr], close: &str) -> fmt::Result {
    out.write_str(open)?;
    separated(out, elements, ", ", write_expr)?;
    out.write_str(close)
}

fn separated<W: Write, T>(
    out: &mut W,
    items: &[T],
    separator: &str,
    write: impl Fn(&mut W, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(separator)?;
        }
        write(out, item)?;
    }
    Ok(())
}

fn write_pair(out: &mut impl Write, pair: &MapPair) -> fmt::Result {
    write_in(out, &pair.key, Place::Condition)?;
    out.write_str(if pair.exact { " := " } else { " => " })?;
    write_expr(out, &pair.value)
}

fn write_qualifiers(out: &mut impl Write, qualifiers: &[Qualifier]) -> fmt::Result {
    out.write_str(" || ")?;
    separated(out, qualifiers, ", ", |out, qualifier| match qualifier {
        Qualifier::Filter(condition) => write_expr(out, condition),
        Qualifier::List(pattern, list) => arrow(out, pattern, " <- ", list),
        Qualifier::Binary(pattern, binary) => arrow(out, pattern, " <= ", binary),
        Qualifier::Map(key, value, map) => {
            arrow(out, key, " := ", value)?;
            out.write_str(" <- ")?;
            write_expr(out, map)
        }
    })
}

fn arrow(out: &mut impl Write, left: &Expr, arrow: &str, right: &Expr) -> fmt::Result {
    write_expr(out, left)?;
    out.write_str(arrow)?;
    write_expr(out, right)
}

/// A guard: `;` between alternatives, `,` between conditions.
pub fn write_guard(out: &mut impl Write, guard: &[Vec<Expr>]) -> fmt::Result {
    separated(out, guard, "; ", |out, all| {
        separated(out, all, ", ", |out, condition| {
            write_in(out, condition, Place::Condition)
        })
    })
}

fn write_clause(out: &mut impl Write, clause: &Clause) -> fmt::Result {
    if let Some(pattern) = &clause.pattern {
        write_expr(out, pattern)?;
        if !clause.guard.is_empty() {
            out.write_str(" when ")?;
        }
    }
    write_guard(out, &clause.guard)?;
    between(out, " -> ", &clause.body, "")
}

fn write_segment(out: &mut impl Write, segment: &Segment) -> fmt::Result {
    write_in(out, &segment.value, Place::Segment)?;
    if let Some(size) = &segment.size {
        out.write_str(":")?;
        write_in(out, size, Place::Size)?;
    }
    let kind = segment.kind.map(|kind| match kind {
        SegmentKind::Integer => "integer",
        SegmentKind::Float => "float",
        SegmentKind::Binary => "binary",
        SegmentKind::Bitstring => "bitstring",
        SegmentKind::Utf8 => "utf8",
        SegmentKind::Utf16 => "utf16",
        SegmentKind::Utf32 => "utf32",
    });
    let endian = match segment.endian {
        Endian::Big => None,
        Endian::Little => Some("little"),
        Endian::Native => Some("native"),
    };
    let words = [kind, segment.signed.then_some("signed"), endian];
    let mut sign = '/';
    for word in words.into_iter().flatten() {
        write!(out, "{sign}{word}")?;
        sign = '-';
    }
    match segment.unit {
        Some(unit) => write!(out, "{sign}unit:{unit}"),
        None => Ok(()),
    }
}
