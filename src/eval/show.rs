//! Writing expressions and values for diagnostics: Erlang's notation, cut where it gets long.

use std::fmt::{self, Write};

use crate::syntax::ast::Expr;
use crate::syntax::print::write_expr;
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
