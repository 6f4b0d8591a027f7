//! Tries an indentation for tagged tuples without writing anything.
//!
//! Takes a term in pieces and an indentation, says whether some tuple in it would start its lines in the
//! right half of the page. Keeps `io_lib_pretty`'s own arithmetic, which is not quite that of writing: a
//! map's opening counts two characters here, and the tail of an improper list starts where the last
//! element ended.

use super::{At, Kind, Limits, Pair, Piece, closing, value_indent};

/// An attempt; `None` is "does not fit" throughout.
pub(super) struct Probe {
    limits: Limits,
    tag_indent: i64,
}

impl Probe {
    pub fn new(limits: Limits, tag_indent: i64) -> Self {
        Self { limits, tag_indent }
    }

    /// Whether the whole term can be laid out from a place on.
    pub fn fits(&self, piece: &Piece, start: At) -> bool {
        self.piece(piece, start).is_some()
    }

    fn piece(&self, piece: &Piece, at: At) -> Option<()> {
        if self.limits.fits(piece.len, at.col, at.after, at.used) {
            return Some(());
        }
        match &piece.kind {
            Kind::List(elements, tail) => {
                self.elements(elements, tail.as_deref(), at.moved(1, at.used + 1))
            }
            Kind::Tuple(tagged, elements) => match elements.split_first() {
                Some((tag, rest)) if *tagged => self.tagged(tag, rest, at),
                _ => self.elements(elements, None, at.moved(1, at.used + 1)),
            },
            Kind::Map(pairs) => self.pairs(pairs, at.moved(2, at.used + 2)),
            Kind::Segments(_) | Kind::Text(_) => Some(()),
        }
    }

    fn tagged(&self, tag: &Piece, rest: &[Piece], at: At) -> Option<()> {
        let past = tag.len + 2;
        let col = at.col + past;
        let used = at.used + 1 + tag.len;
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

    fn elements(&self, elements: &[Piece], tail: Option<&Piece>, at: At) -> Option<()> {
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

    fn more(&self, elements: &[Piece], tail: Option<&Piece>, at: At, mut col: i64) -> Option<()> {
        let mut used = at.used;
        for (i, element) in elements.iter().enumerate() {
            let after = closing(i + 1 == elements.len(), at.after);
            if element.is_text() && self.limits.fills(element.len, col, after, used) {
                col += element.len + 1;
                used += element.len + 1;
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
            Some(tail) if !self.limits.fits_tail(tail, col, at.after, used) => {
                let after = at.after + 1;
                self.piece(
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

    fn element(&self, element: &Piece, at: At) -> Option<i64> {
        if element.is_text() && self.limits.fits(element.len, at.col, at.after, at.used) {
            return Some(element.len);
        }
        self.piece(element, at)?;
        Some(self.limits.width)
    }

    fn pairs(&self, pairs: &[Pair], at: At) -> Option<()> {
        let (mut col, mut used) = (at.col, at.used);
        for (i, pair) in pairs.iter().enumerate() {
            let after = closing(i + 1 == pairs.len(), at.after);
            if i > 0 && pair.is_text() && self.limits.fills(pair.len, col, after, used) {
                col += pair.len + 1;
                used += pair.len + 1;
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

    fn pair(&self, pair: &Pair, at: At) -> Option<i64> {
        if self.limits.fits(pair.len, at.col, at.after, at.used) {
            return Some(if pair.is_text() {
                pair.len
            } else {
                self.limits.width
            });
        }
        self.piece(&pair.key, at)?;
        self.piece(&pair.value, at.moved(value_indent(self.tag_indent), 0))?;
        Some(self.limits.width)
    }
}
