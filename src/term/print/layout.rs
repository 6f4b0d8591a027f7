//! Breaking a term into lines as `~tp` does.
//!
//! Takes a term and a width in columns, gives its lines. Follows the rules of `io_lib_pretty` of OTP 25:
//! what fits goes on one line; elements are filled into lines as long as they are plain text; tuples that
//! start with an atom are indented past it, or by 4 or 1 where that would run out of space.
//!
//! Lengths are characters. `io_lib_pretty` counts grapheme clusters in atoms with characters beyond
//! Latin-1, so lines may break elsewhere where an atom has combining characters.

//!
//! Parts are measured where they are placed, and only as far as a line could be: nothing is kept of them, so that a page
//! takes no more memory than its text. A page with a limit ends where its text has come to it.

mod measure;
mod probe;

use std::collections::BTreeMap;
use std::fmt;

use super::sink::{Limited, Sink, Whole};
use super::{CUT, line, record_head, segment, text};
use crate::term::{Atom, Record, Term};
use measure::{Ruler, Shape, shape};
use probe::Probe;

/// A term as `io_lib:format("~<width>tp")` writes it; plain `~tp` is 80. A width of 0 means one line.
pub fn pretty(term: &Term, width: usize) -> String {
    pretty_from(term, width, 0)
}

/// The same when `before` characters of text already stand on the first line.
#[expect(clippy::expect_used, reason = "a string takes everything")]
pub fn pretty_from(term: &Term, width: usize, before: usize) -> String {
    let mut out = String::new();
    lay_out(&mut Whole(&mut out), term, width, before).expect("a string takes everything");
    out
}

/// The same as [`pretty`], but no more than `limit` bytes of text are made; then it ends in [`CUT`]. Says whether it is
/// whole.
pub fn pretty_within(term: &Term, width: usize, limit: usize) -> (String, bool) {
    let mut text = String::new();
    let mut out = Limited::new(&mut text, limit);
    let _ = lay_out(&mut out, term, width, 0);
    let whole = !out.is_full();
    if !whole {
        text.push_str(CUT);
    }
    (text, whole)
}

fn lay_out(out: &mut impl Sink, term: &Term, width: usize, before: usize) -> fmt::Result {
    let columns = |n: usize| i64::try_from(n).map_or(i64::MAX / 4, |n| n.min(i64::MAX / 4));
    let start = At::after_text(columns(before));
    let ruler = Ruler::new(columns(width), columns(before));
    let most = ruler.len(term);
    let limits = Limits {
        width: columns(width),
        most: if ruler.is_beyond(most) {
            i64::MAX / 4
        } else {
            most
        },
    };
    if width == 0 || most < limits.width - start.col {
        return line(out, term, true);
    }
    let tag_indent = [-1, 4]
        .into_iter()
        .find(|indent| Probe::new(limits, ruler, *indent).fits(term, start))
        .unwrap_or(1);
    let mut page = Page {
        limits,
        ruler,
        tag_indent,
        out,
    };
    page.term(term, start)
}

/// What bounds a line.
#[derive(Clone, Copy)]
struct Limits {
    /// Columns.
    width: i64,
    /// Characters without indentation; the whole term's, since `~tp` sets no limit of its own.
    most: i64,
}

impl Limits {
    /// Whether `len` characters and `after` closing ones fit at a place.
    fn fits(self, len: i64, col: i64, after: i64, used: i64) -> bool {
        len < self.width - col - after && len + used + after <= self.most
    }

    /// Whether another element and its comma fit at the end of a line.
    fn fills(self, len: i64, col: i64, after: i64, used: i64) -> bool {
        let len = len + 1;
        if after == 0 {
            len + 1 < self.width - col && used + len < self.most
        } else {
            self.fits(len, col, after, used)
        }
    }

    /// Whether a tail that is not a list fits at the end of a line.
    fn fits_tail(self, tail: &Term, len: i64, col: i64, after: i64, used: i64) -> bool {
        self.fits(len + 1, col, after + 1, used) && measure::is_text(tail)
    }

    /// Whether an indentation leaves half of the width, or enough for everything.
    fn bears(self, col: i64) -> bool {
        self.most + col <= self.width || col <= self.width / 2
    }
}

/// A place on the page.
#[derive(Clone, Copy)]
struct At {
    /// Column, from 1.
    col: i64,
    /// Spaces at the start of a new line.
    indent: i64,
    /// Brackets that will be closed right behind.
    after: i64,
    /// Characters on this line so far, without the indentation.
    used: i64,
}

impl At {
    /// The start of a term behind some text on its line.
    fn after_text(before: i64) -> Self {
        Self {
            col: before + 1,
            indent: before,
            after: 0,
            used: 0,
        }
    }

    fn moved(self, by: i64, used: i64) -> Self {
        Self {
            col: self.col + by,
            indent: self.indent + by,
            used,
            ..self
        }
    }
}

/// The closing brackets behind an element: none while others follow.
fn closing(is_last: bool, after: i64) -> i64 {
    if is_last { after + 1 } else { 0 }
}

struct Page<'a, S> {
    limits: Limits,
    ruler: Ruler,
    /// How far the elements of a tagged tuple are indented; -1: past the tag.
    tag_indent: i64,
    out: &'a mut S,
}

impl<S: Sink> Page<'_, S> {
    fn new_line(&mut self, indent: i64) -> fmt::Result {
        self.out.write_char('\n')?;
        for _ in 0..indent {
            self.out.write_char(' ')?;
        }
        Ok(())
    }

    fn flat(&mut self, term: &Term) -> fmt::Result {
        line(self.out, term, true)
    }

    fn term(&mut self, term: &Term, at: At) -> fmt::Result {
        let len = self.ruler.part(term);
        if self.limits.fits(len, at.col, at.after, at.used) {
            return self.flat(term);
        }
        match shape(term) {
            Shape::List(elements, tail) => {
                self.out.write_char('[')?;
                self.elements(elements, tail, at.moved(1, at.used + 1))?;
                self.out.write_char(']')
            }
            Shape::Tuple(tagged, elements) => {
                self.out.write_char('{')?;
                match elements.split_first() {
                    Some((tag, rest)) if tagged => self.tagged(tag, rest, at)?,
                    _ => self.elements(elements, None, at.moved(1, at.used + 1))?,
                }
                self.out.write_char('}')
            }
            Shape::Map(pairs) => {
                self.out.write_str("#{")?;
                self.pairs(pairs, at.moved(2, at.used + 1))?;
                self.out.write_char('}')
            }
            Shape::Record(record) if record.fields.is_empty() => self.flat(term),
            Shape::Record(record) => self.record(record, at),
            Shape::Segments(bytes, used) => {
                self.out.write_str("<<")?;
                self.segments(bytes, used, at.moved(2, at.used))?;
                self.out.write_str(">>")
            }
            Shape::Text => self.flat(term),
        }
    }

    fn tagged(&mut self, tag: &Term, rest: &[Term], at: At) -> fmt::Result {
        self.flat(tag)?;
        let tag = self.ruler.len(tag);
        let past = tag + 2;
        if self.tag_indent > 0 && past > self.tag_indent {
            let line = at.moved(self.tag_indent, at.used + 1 + tag);
            self.more(rest, None, line, at.col + past)
        } else {
            self.out.write_char(',')?;
            self.elements(rest, None, at.moved(past, at.used + 1 + tag + 1))
        }
    }

    /// The elements of a list or tuple. `at` is where the first goes and all lines start.
    fn elements(&mut self, elements: &[Term], tail: Option<&Term>, at: At) -> fmt::Result {
        let Some((first, rest)) = elements.split_first() else {
            return Ok(());
        };
        let after = closing(rest.is_empty(), at.after);
        let used = self.element(first, At { after, ..at })?;
        let line = At {
            used: at.used + used,
            ..at
        };
        self.more(rest, tail, line, at.col + used)
    }

    /// The elements after the first; `col` is the current column, `at.col` where lines start.
    fn more(
        &mut self,
        elements: &[Term],
        tail: Option<&Term>,
        at: At,
        mut col: i64,
    ) -> fmt::Result {
        let mut used = at.used;
        for (i, element) in elements.iter().enumerate() {
            let after = closing(i + 1 == elements.len(), at.after);
            self.out.write_char(',')?;
            let len = self.ruler.part(element);
            if self.limits.fills(len, col, after, used) && measure::is_text(element) {
                self.flat(element)?;
                col += len + 1;
                used += len + 1;
            } else {
                self.new_line(at.indent)?;
                let start = At {
                    after,
                    used: 0,
                    ..at
                };
                used = self.element(element, start)?;
                col = at.col + used;
            }
        }
        let Some(tail) = tail else { return Ok(()) };
        self.out.write_char('|')?;
        let len = self.ruler.part(tail);
        if self.limits.fits_tail(tail, len, col, at.after, used) {
            return self.flat(tail);
        }
        self.new_line(at.indent)?;
        let after = at.after + 1;
        self.term(
            tail,
            At {
                after,
                used: 0,
                ..at
            },
        )
    }

    /// Writes an element and says how much of the line it took: all of it, if others must not follow.
    fn element(&mut self, element: &Term, at: At) -> Result<i64, fmt::Error> {
        self.term(element, at)?;
        let len = self.ruler.part(element);
        let fits = self.limits.fits(len, at.col, at.after, at.used);
        Ok(if fits && measure::is_text(element) {
            len
        } else {
            self.limits.width
        })
    }

    fn pairs(&mut self, pairs: &BTreeMap<Term, Term>, at: At) -> fmt::Result {
        let (mut col, mut used) = (at.col, at.used);
        for (i, pair) in pairs.iter().enumerate() {
            let after = closing(i + 1 == pairs.len(), at.after);
            if i > 0 {
                self.out.write_char(',')?;
                let len = self.ruler.pair(pair);
                if self.limits.fills(len, col, after, used) && measure::is_text_pair(pair) {
                    self.flat_pair(pair)?;
                    col += len + 1;
                    used += len + 1;
                    continue;
                }
                self.new_line(at.indent)?;
                used = 0;
            }
            used = self.pair(pair, At { after, used, ..at })?;
            col = at.col + used;
        }
        Ok(())
    }

    fn flat_pair(&mut self, (key, value): (&Term, &Term)) -> fmt::Result {
        self.flat(key)?;
        self.out.write_str(" => ")?;
        self.flat(value)
    }

    /// Writes a pair and says how much of the line it took, as [`Self::element`] does.
    fn pair(&mut self, pair: (&Term, &Term), at: At) -> Result<i64, fmt::Error> {
        let len = self.ruler.pair(pair);
        if self.limits.fits(len, at.col, at.after, at.used) {
            self.flat_pair(pair)?;
            return Ok(if measure::is_text_pair(pair) {
                len
            } else {
                self.limits.width
            });
        }
        self.term(pair.0, at)?;
        self.out.write_str(" =>")?;
        let value = at.moved(value_indent(self.tag_indent), 0);
        self.new_line(value.indent)?;
        self.term(pair.1, value)?;
        Ok(self.limits.width)
    }

    fn record(&mut self, record: &Record, at: At) -> fmt::Result {
        record_head(self.out, record)?;
        let head = self.ruler.head(record);
        let used = at.used + head;
        let at = self.indented(head, At { used, ..at })?;
        let (mut col, mut used) = (at.col, at.used);
        for (i, (name, value)) in record.fields.iter().enumerate() {
            let after = closing(i + 1 == record.fields.len(), at.after);
            if i > 0 {
                self.out.write_char(',')?;
                let len = self.ruler.field(name) + self.ruler.part(value);
                if self.limits.fills(len, col, after, used) && measure::is_text(value) {
                    self.flat_field(name, value)?;
                    col += len + 1;
                    used += len + 1;
                    continue;
                }
                self.new_line(at.indent)?;
                used = 0;
            }
            let width = self.field(name, value, At { after, used, ..at })?;
            used += width;
            col = at.col + width;
        }
        self.out.write_char('}')
    }

    fn flat_field(&mut self, name: &Atom, value: &Term) -> fmt::Result {
        text::atom(self.out, name.as_str())?;
        self.out.write_str(" = ")?;
        self.flat(value)
    }

    /// Writes a field and says how much of the line it took, as [`Self::element`] does.
    fn field(&mut self, name: &Atom, value: &Term, at: At) -> Result<i64, fmt::Error> {
        let past = self.ruler.field(name);
        let len = past + self.ruler.part(value);
        if self.limits.fits(len, at.col, at.after, at.used) {
            self.flat_field(name, value)?;
            return Ok(if measure::is_text(value) {
                len
            } else {
                self.limits.width
            });
        }
        text::atom(self.out, name.as_str())?;
        self.out.write_str(" =")?;
        let used = at.used + past;
        if !self.breaks_behind(past) {
            self.out.write_char(' ')?;
        }
        let at = self.indented(past, At { used, ..at })?;
        self.term(value, at)?;
        Ok(self.limits.width)
    }

    fn breaks_behind(&self, past: i64) -> bool {
        self.tag_indent > 0 && past > self.tag_indent
    }

    /// Behind `past` characters, or on a new line.
    fn indented(&mut self, past: i64, at: At) -> Result<At, fmt::Error> {
        if !self.breaks_behind(past) {
            return Ok(at.moved(past, at.used));
        }
        let at = at.moved(self.tag_indent, 0);
        self.new_line(at.indent)?;
        Ok(at)
    }

    fn segments(&mut self, bytes: &[u8], used: u8, at: At) -> fmt::Result {
        let room = (self.limits.width - at.col).min(self.limits.most - 4 - at.used) - at.after;
        let room = room.max(8);
        let mut left = room;
        let mut text = String::new();
        for i in 0..bytes.len() {
            text.clear();
            segment(&mut text, bytes, used, i)?;
            if i + 1 < bytes.len() {
                text.push(',');
            }
            let len = text.len() as i64;
            if len > left {
                self.new_line(at.indent)?;
                left = room;
            }
            left -= len;
            self.out.write_str(&text)?;
        }
        Ok(())
    }
}

/// How far a value is indented that does not fit behind its key.
fn value_indent(tag_indent: i64) -> i64 {
    if tag_indent > 0 { tag_indent } else { 4 }
}
