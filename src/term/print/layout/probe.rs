//! Tries an indentation for tagged tuples without writing anything.
//!
//! Takes a term and an indentation, says whether some tuple in it would start its lines in the
//! right half of the page. Keeps `io_lib_pretty`'s own arithmetic, which is not quite that of writing: a
//! map's opening counts two characters here, and the tail of an improper list starts where the last
//! element ended.

use std::collections::BTreeMap;

use super::measure::{Parts, Ruler, is_text, is_text_pair, parts};
use super::{At, Limits, closing, value_indent};
use crate::term::{Atom, Record, Term};

/// An attempt; `None` is "does not fit" throughout.
pub(super) struct Probe {
    limits: Limits,
    ruler: Ruler,
    tag_indent: i64,
}

impl Probe {
    pub fn new(limits: Limits, ruler: Ruler, tag_indent: i64) -> Self {
        Self {
            limits,
            ruler,
            tag_indent,
        }
    }

    /// Whether the whole term can be laid out from a place on.
    pub fn fits(&self, term: &Term, start: At) -> bool {
        self.term(term, start).is_some()
    }

    fn term(&self, term: &Term, at: At) -> Option<()> {
        let len = self.ruler.part(term);
        if self.limits.fits(len, at.col, at.after, at.used) {
            return Some(());
        }
        match parts(term) {
            Parts::List(elements, tail) => self.elements(elements, tail, at.moved(1, at.used + 1)),
            Parts::Tuple(tagged, elements) => match elements.split_first() {
                Some((tag, rest)) if tagged => self.tagged(tag, rest, at),
                _ => self.elements(elements, None, at.moved(1, at.used + 1)),
            },
            Parts::Map(pairs) => self.pairs(pairs, at.moved(2, at.used + 2)),
            Parts::Record(record) if record.fields.is_empty() => Some(()),
            Parts::Record(record) => self.record(record, at),
            Parts::Segments(..) | Parts::Text => Some(()),
        }
    }

    fn tagged(&self, tag: &Term, rest: &[Term], at: At) -> Option<()> {
        let tag = self.ruler.len(tag);
        let past = tag + 2;
        let col = at.col + past;
        let used = at.used + 1 + tag;
        if self.tag_indent > 0 && past > self.tag_indent {
            let line = at.moved(self.tag_indent, used);
            if !self.limits.bears(line.col) {
                return None;
            }
            return self.more(rest, None, line, col);
        }
        if self.limits.most + col < self.limits.width || col < self.limits.width / 2 {
            return self.elements(rest, None, at.moved(past, used + 1));
        }
        None
    }

    fn elements(&self, elements: &[Term], tail: Option<&Term>, at: At) -> Option<()> {
        let Some((first, rest)) = elements.split_first() else {
            return Some(());
        };
        let after = closing(rest.is_empty(), at.after);
        let used = self.element(first, At { after, ..at })?;
        let line = At {
            used: at.used + used,
            ..at
        };
        self.more(rest, tail, line, at.col + used)
    }

    fn more(&self, elements: &[Term], tail: Option<&Term>, at: At, mut col: i64) -> Option<()> {
        let mut used = at.used;
        for (i, element) in elements.iter().enumerate() {
            let after = closing(i + 1 == elements.len(), at.after);
            let len = self.ruler.part(element);
            if self.limits.fills(len, col, after, used) && is_text(element) {
                col += len + 1;
                used += len + 1;
            } else {
                let start = At {
                    after,
                    used: 0,
                    ..at
                };
                used = self.element(element, start)?;
                col = at.col + used;
            }
        }
        match tail {
            Some(tail)
                if !self
                    .limits
                    .fits_tail(tail, self.ruler.part(tail), col, at.after, used) =>
            {
                let after = at.after + 1;
                self.term(
                    tail,
                    At {
                        col,
                        after,
                        used: 0,
                        ..at
                    },
                )
            }
            _ => Some(()),
        }
    }

    fn element(&self, element: &Term, at: At) -> Option<i64> {
        let len = self.ruler.part(element);
        if self.limits.fits(len, at.col, at.after, at.used) && is_text(element) {
            return Some(len);
        }
        self.term(element, at)?;
        Some(self.limits.width)
    }

    fn record(&self, record: &Record, at: At) -> Option<()> {
        let head = self.ruler.head(record);
        let at = self.indented(
            head,
            At {
                used: at.used + head,
                ..at
            },
        )?;
        let (mut col, mut used) = (at.col, at.used);
        for (i, (name, value)) in record.fields.iter().enumerate() {
            let after = closing(i + 1 == record.fields.len(), at.after);
            let len = self.ruler.field(name) + self.ruler.part(value);
            if i > 0 && self.limits.fills(len, col, after, used) && is_text(value) {
                col += len + 1;
                used += len + 1;
                continue;
            }
            let before = if i > 0 { 0 } else { used };
            let start = At {
                after,
                used: before,
                ..at
            };
            let width = self.field(name, value, start)?;
            used = before + width;
            col = at.col + width;
        }
        Some(())
    }

    fn field(&self, name: &Atom, value: &Term, at: At) -> Option<i64> {
        let past = self.ruler.field(name);
        let len = past + self.ruler.part(value);
        if self.limits.fits(len, at.col, at.after, at.used) {
            return Some(if is_text(value) {
                len
            } else {
                self.limits.width
            });
        }
        self.term(
            value,
            self.indented(
                past,
                At {
                    used: at.used + past,
                    ..at
                },
            )?,
        )?;
        Some(self.limits.width)
    }

    /// Behind `past` characters, or on a line of its own.
    fn indented(&self, past: i64, at: At) -> Option<At> {
        let at = match self.tag_indent > 0 && past > self.tag_indent {
            true => at.moved(self.tag_indent, 0),
            false => at.moved(past, at.used),
        };
        self.limits.bears(at.col).then_some(at)
    }

    fn pairs(&self, pairs: &BTreeMap<Term, Term>, at: At) -> Option<()> {
        let (mut col, mut used) = (at.col, at.used);
        for (i, pair) in pairs.iter().enumerate() {
            let after = closing(i + 1 == pairs.len(), at.after);
            let len = self.ruler.pair(pair);
            if i > 0 && self.limits.fills(len, col, after, used) && is_text_pair(pair) {
                col += len + 1;
                used += len + 1;
                continue;
            }
            let before = if i > 0 { 0 } else { used };
            let start = At {
                after,
                used: before,
                ..at
            };
            let width = self.pair(pair, start)?;
            used = before + width;
            col = at.col + width;
        }
        Some(())
    }

    fn pair(&self, pair: (&Term, &Term), at: At) -> Option<i64> {
        let len = self.ruler.pair(pair);
        if self.limits.fits(len, at.col, at.after, at.used) {
            return Some(if is_text_pair(pair) {
                len
            } else {
                self.limits.width
            });
        }
        self.term(pair.0, at)?;
        self.term(pair.1, at.moved(value_indent(self.tag_indent), 0))?;
        Some(self.limits.width)
    }
}
