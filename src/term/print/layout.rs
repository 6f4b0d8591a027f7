//! Breaking a term into lines as `~tp` does.
//!
//! Takes a term and a width in columns, gives its lines. Follows the rules of `io_lib_pretty` of OTP 25:
//! what fits goes on one line; elements are filled into lines as long as they are plain text; tuples that
//! start with an atom are indented past it, or by 4 or 1 where that would run out of space.
//!
//! Lengths are characters. `io_lib_pretty` counts grapheme clusters in atoms with characters beyond
//! Latin-1, so lines may break elsewhere where an atom has combining characters.

mod piece;
mod probe;

use crate::term::Term;
use piece::{Kind, Pair, Piece};
use probe::Probe;

/// A term as `io_lib:format("~<width>tp")` writes it; plain `~tp` is 80. A width of 0 means one line.
pub fn pretty(term: &Term, width: usize) -> String {
    pretty_from(term, width, 0)
}

/// The same when `before` characters of text already stand on the first line.
pub fn pretty_from(term: &Term, width: usize, before: usize) -> String {
    let piece = Piece::new(term);
    let start = At::after_text(i64::try_from(before).map_or(i64::MAX / 4, |n| n.min(i64::MAX / 4)));
    let mut page = Page {
        limits: Limits {
            width: i64::try_from(width).map_or(i64::MAX / 4, |w| w.min(i64::MAX / 4)),
            most: piece.len,
        },
        tag_indent: -1,
        out: String::new(),
    };
    if width == 0 || piece.len < page.limits.width - start.col {
        piece.flat(&mut page.out);
        return page.out;
    }
    page.tag_indent = [-1, 4]
        .into_iter()
        .find(|indent| Probe::new(page.limits, *indent).fits(&piece, start))
        .unwrap_or(1);
    page.piece(&piece, start);
    page.out
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
    fn fits_tail(self, tail: &Piece, col: i64, after: i64, used: i64) -> bool {
        tail.is_text() && self.fits(tail.len + 1, col, after + 1, used)
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

struct Page {
    limits: Limits,
    /// How far the elements of a tagged tuple are indented; -1: past the tag.
    tag_indent: i64,
    out: String,
}

impl Page {
    fn new_line(&mut self, indent: i64) {
        self.out.push('\n');
        for _ in 0..indent {
            self.out.push(' ');
        }
    }

    fn piece(&mut self, piece: &Piece, at: At) {
        if self.limits.fits(piece.len, at.col, at.after, at.used) {
            return piece.flat(&mut self.out);
        }
        match &piece.kind {
            Kind::List(elements, tail) => {
                self.out.push('[');
                self.elements(elements, tail.as_deref(), at.moved(1, at.used + 1));
                self.out.push(']');
            }
            Kind::Tuple(tagged, elements) => {
                self.out.push('{');
                match elements.split_first() {
                    Some((tag, rest)) if *tagged => self.tagged(tag, rest, at),
                    _ => self.elements(elements, None, at.moved(1, at.used + 1)),
                }
                self.out.push('}');
            }
            Kind::Map(pairs) => {
                self.out.push_str("#{");
                self.pairs(pairs, at.moved(2, at.used + 1));
                self.out.push('}');
            }
            Kind::Segments(segments) => {
                self.out.push_str("<<");
                self.segments(segments, at.moved(2, at.used));
                self.out.push_str(">>");
            }
            Kind::Text(text) => self.out.push_str(text),
        }
    }

    fn tagged(&mut self, tag: &Piece, rest: &[Piece], at: At) {
        tag.flat(&mut self.out);
        let past = tag.len + 2;
        if self.tag_indent > 0 && past > self.tag_indent {
            let line = at.moved(self.tag_indent, at.used + 1 + tag.len);
            self.more(rest, None, line, at.col + past);
        } else {
            self.out.push(',');
            self.elements(rest, None, at.moved(past, at.used + 1 + tag.len + 1));
        }
    }

    /// The elements of a list or tuple. `at` is where the first goes and all lines start.
    fn elements(&mut self, elements: &[Piece], tail: Option<&Piece>, at: At) {
        let Some((first, rest)) = elements.split_first() else {
            return;
        };
        let after = closing(rest.is_empty(), at.after);
        let used = self.element(first, At { after, ..at });
        let line = At {
            used: at.used + used,
            ..at
        };
        self.more(rest, tail, line, at.col + used);
    }

    /// The elements after the first; `col` is where the text stands, `at.col` where lines start.
    fn more(&mut self, elements: &[Piece], tail: Option<&Piece>, at: At, mut col: i64) {
        let mut used = at.used;
        for (i, element) in elements.iter().enumerate() {
            let after = closing(i + 1 == elements.len(), at.after);
            self.out.push(',');
            if element.is_text() && self.limits.fills(element.len, col, after, used) {
                element.flat(&mut self.out);
                col += element.len + 1;
                used += element.len + 1;
            } else {
                self.new_line(at.indent);
                let start = At {
                    after,
                    used: 0,
                    ..at
                };
                used = self.element(element, start);
                col = at.col + used;
            }
        }
        if let Some(tail) = tail {
            self.out.push('|');
            if self.limits.fits_tail(tail, col, at.after, used) {
                tail.flat(&mut self.out);
            } else {
                self.new_line(at.indent);
                let after = at.after + 1;
                self.piece(
                    tail,
                    At {
                        after,
                        used: 0,
                        ..at
                    },
                );
            }
        }
    }

    /// Writes an element and says how much of the line it took: all of it, if others must not follow.
    fn element(&mut self, element: &Piece, at: At) -> i64 {
        self.piece(element, at);
        let fits = self.limits.fits(element.len, at.col, at.after, at.used);
        if fits && element.is_text() {
            element.len
        } else {
            self.limits.width
        }
    }

    fn pairs(&mut self, pairs: &[Pair], at: At) {
        let (mut col, mut used) = (at.col, at.used);
        for (i, pair) in pairs.iter().enumerate() {
            let after = closing(i + 1 == pairs.len(), at.after);
            if i > 0 {
                self.out.push(',');
                if pair.is_text() && self.limits.fills(pair.len, col, after, used) {
                    pair.flat(&mut self.out);
                    col += pair.len + 1;
                    used += pair.len + 1;
                    continue;
                }
                self.new_line(at.indent);
                used = 0;
            }
            used = self.pair(pair, At { after, used, ..at });
            col = at.col + used;
        }
    }

    /// Writes a pair and says how much of the line it took, as [`Self::element`] does.
    fn pair(&mut self, pair: &Pair, at: At) -> i64 {
        if self.limits.fits(pair.len, at.col, at.after, at.used) {
            pair.flat(&mut self.out);
            return if pair.is_text() {
                pair.len
            } else {
                self.limits.width
            };
        }
        self.piece(&pair.key, at);
        self.out.push_str(" =>");
        let value = at.moved(value_indent(self.tag_indent), 0);
        self.new_line(value.indent);
        self.piece(&pair.value, value);
        self.limits.width
    }

    fn segments(&mut self, segments: &[String], at: At) {
        let room = (self.limits.width - at.col).min(self.limits.most - 4 - at.used) - at.after;
        let room = room.max(8);
        let mut left = room;
        for (i, segment) in segments.iter().enumerate() {
            let comma = i + 1 < segments.len();
            let len = segment.len() as i64 + i64::from(comma);
            if len > left {
                self.new_line(at.indent);
                left = room;
            }
            left -= len;
            self.out.push_str(segment);
            if comma {
                self.out.push(',');
            }
        }
    }
}

/// How far a value is indented that does not fit behind its key.
fn value_indent(tag_indent: i64) -> i64 {
    if tag_indent > 0 { tag_indent } else { 4 }
}
