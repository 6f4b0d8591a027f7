//! Writing expressions and values for diagnostics: Erlang's notation, cut where it gets long.

use std::fmt::{self, Write};

use crate::syntax::ast::{
    Clause, Endian, Expr, ExprKind, MapPair, Qualifier, Segment, SegmentKind,
};
use crate::term::Term;

/// Longest text of a value inside a title or a label, in bytes.
const SHORT: usize = 120;
/// Longest text of an expression or of a value in a note, in bytes.
const LONG: usize = 2_000;

/// A value, cut after about 120 bytes.
pub(super) fn short(value: &Term) -> String {
    cut(SHORT, |out| write!(out, "{value}"))
}

/// A value, cut after about 2000 bytes.
pub(super) fn long(value: &Term) -> String {
    cut(LONG, |out| write!(out, "{value}"))
}

/// An expression or a pattern as Erlang writes it, cut after about 2000 bytes.
pub fn expression(expr: &Expr) -> String {
    cut(LONG, |out| write_expr(out, expr))
}

/// An expression for a title, cut after about 120 bytes.
pub(super) fn short_expression(expr: &Expr) -> String {
    cut(SHORT, |out| write_expr(out, expr))
}

/// Text that refuses to grow beyond its bound, so that a big value is not printed in full first.
struct Bounded {
    text: String,
    room: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.room {
            self.room -= text.len();
            self.text.push_str(text);
            return Ok(());
        }
        let fits = text
            .char_indices()
            .map(|(at, _)| at)
            .take_while(|at| *at <= self.room)
            .last();
        self.text.push_str(&text[..fits.unwrap_or(0)]);
        self.room = 0;
        Err(fmt::Error)
    }
}

fn cut(room: usize, write: impl FnOnce(&mut Bounded) -> fmt::Result) -> String {
    let mut out = Bounded {
        text: String::new(),
        room,
    };
    if write(&mut out).is_err() {
        out.text.push('…');
    }
    out.text
}

fn write_expr(out: &mut Bounded, expr: &Expr) -> fmt::Result {
    match &expr.kind {
        ExprKind::Literal(term) => write!(out, "{term}"),
        ExprKind::Duration(ms) => write!(out, "{ms}ms"),
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
            out.write_str("<<")?;
            write_expr(out, body)?;
            write_qualifiers(out, qualifiers)?;
            out.write_str(">>")
        }
        ExprKind::MapComp(pair, qualifiers) => {
            out.write_str("#{")?;
            write_pair(out, pair)?;
            write_qualifiers(out, qualifiers)?;
            out.write_str("}")
        }
        ExprKind::Map(base, pairs) => {
            if let Some(base) = base {
                write_expr(out, base)?;
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
            write_expr(out, module)?;
            out.write_str(":")?;
            write_expr(out, function)?;
            between(out, "(", args, ")")
        }
        ExprKind::Match(pattern, value) => infix(out, pattern, "=", value),
        ExprKind::Binop(op, left, right) => infix(out, left, op, right),
        ExprKind::Unary(op, value) => {
            out.write_str(op)?;
            if op.starts_with(|c: char| c.is_ascii_alphabetic()) {
                out.write_str(" ")?;
            }
            operand(out, value)
        }
        ExprKind::Catch(value) => {
            out.write_str("catch ")?;
            write_expr(out, value)
        }
        ExprKind::Block(body) => between(out, "begin ", body, " end"),
        ExprKind::Case(value, clauses) => {
            out.write_str("case ")?;
            write_expr(out, value)?;
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

fn infix(out: &mut Bounded, left: &Expr, op: &str, right: &Expr) -> fmt::Result {
    operand(out, left)?;
    write!(out, " {op} ")?;
    operand(out, right)
}

/// Parentheses round what is an operation itself: always right, if not always needed.
fn operand(out: &mut Bounded, expr: &Expr) -> fmt::Result {
    let nested = matches!(
        expr.kind,
        ExprKind::Binop(..) | ExprKind::Unary(..) | ExprKind::Match(..) | ExprKind::Catch(_)
    );
    if !nested {
        return write_expr(out, expr);
    }
    out.write_str("(")?;
    write_expr(out, expr)?;
    out.write_str(")")
}

fn between(out: &mut Bounded, open: &str, elements: &[Expr], close: &str) -> fmt::Result {
    out.write_str(open)?;
    separated(out, elements, ", ", write_expr)?;
    out.write_str(close)
}

fn separated<T>(
    out: &mut Bounded,
    items: &[T],
    separator: &str,
    write: impl Fn(&mut Bounded, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(separator)?;
        }
        write(out, item)?;
    }
    Ok(())
}

fn write_pair(out: &mut Bounded, pair: &MapPair) -> fmt::Result {
    write_expr(out, &pair.key)?;
    out.write_str(if pair.exact { " := " } else { " => " })?;
    write_expr(out, &pair.value)
}

fn write_qualifiers(out: &mut Bounded, qualifiers: &[Qualifier]) -> fmt::Result {
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

fn arrow(out: &mut Bounded, left: &Expr, arrow: &str, right: &Expr) -> fmt::Result {
    write_expr(out, left)?;
    out.write_str(arrow)?;
    write_expr(out, right)
}

fn write_clause(out: &mut Bounded, clause: &Clause) -> fmt::Result {
    if let Some(pattern) = &clause.pattern {
        write_expr(out, pattern)?;
        if !clause.guard.is_empty() {
            out.write_str(" when ")?;
        }
    }
    separated(out, &clause.guard, "; ", |out, all| {
        separated(out, all, ", ", write_expr)
    })?;
    between(out, " -> ", &clause.body, "")
}

fn write_segment(out: &mut Bounded, segment: &Segment) -> fmt::Result {
    operand(out, &segment.value)?;
    if let Some(size) = &segment.size {
        out.write_str(":")?;
        operand(out, size)?;
    }
    let mut specs: Vec<String> = Vec::new();
    specs.extend(segment.kind.map(|kind| {
        match kind {
            SegmentKind::Integer => "integer",
            SegmentKind::Float => "float",
            SegmentKind::Binary => "binary",
            SegmentKind::Bitstring => "bitstring",
            SegmentKind::Utf8 => "utf8",
            SegmentKind::Utf16 => "utf16",
            SegmentKind::Utf32 => "utf32",
        }
        .to_owned()
    }));
    if segment.signed {
        specs.push("signed".to_owned());
    }
    match segment.endian {
        Endian::Big => {}
        Endian::Little => specs.push("little".to_owned()),
        Endian::Native => specs.push("native".to_owned()),
    }
    specs.extend(segment.unit.map(|unit| format!("unit:{unit}")));
    if specs.is_empty() {
        Ok(())
    } else {
        write!(out, "/{}", specs.join("-"))
    }
}
