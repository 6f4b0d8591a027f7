//! A term cut into pieces whose lengths are known.
//!
//! Takes a term, gives the same with leaves as text and with the length that every part has on one line.

use crate::term::Term;
use crate::term::print::{line, segments, text};

/// A term, ready to be placed.
pub(super) struct Piece {
    pub kind: Kind,
    /// Characters on one line.
    pub len: i64,
}

pub(super) enum Kind {
    /// Text that is never broken; several of these may share a line.
    Text(String),
    /// A binary that is shown as numbers.
    Segments(Vec<String>),
    /// Elements, and a tail that is not a list.
    List(Vec<Piece>, Option<Box<Piece>>),
    /// Whether it starts with an atom and goes on; its elements.
    Tuple(bool, Vec<Piece>),
    Map(Vec<Pair>),
}

pub(super) struct Pair {
    pub key: Piece,
    pub value: Piece,
    /// Characters on one line, with the arrow.
    pub len: i64,
}

impl Piece {
    pub fn new(term: &Term) -> Self {
        match term {
            Term::List(elements) if !elements.is_empty() && !text::printable_list(elements) => {
                Self::list(elements, None)
            }
            Term::Improper(elements, tail) => Self::list(elements, Some(tail)),
            Term::Tuple(elements) if !elements.is_empty() => {
                let tagged = elements.len() > 1 && elements[0].as_atom().is_some();
                let pieces: Vec<Self> = elements.iter().map(Self::new).collect();
                let len = 1 + total(&pieces);
                let kind = Kind::Tuple(tagged, pieces);
                Self { kind, len }
            }
            Term::Map(pairs) if !pairs.is_empty() => {
                let pairs: Vec<Pair> = pairs.iter().map(|(k, v)| Pair::new(k, v)).collect();
                let len = 2 + pairs.iter().map(|p| p.len + 1).sum::<i64>();
                let kind = Kind::Map(pairs);
                Self { kind, len }
            }
            Term::Bits(bytes, used) => Self::segments(segments(bytes, *used)),
            Term::Binary(bytes) if !bytes.is_empty() => {
                let mut out = String::new();
                match text::binary_text(&mut out, bytes) {
                    Ok(true) => Self::text(out),
                    _ => Self::segments(segments(bytes, 8)),
                }
            }
            _ => {
                let mut out = String::new();
                line(&mut out, term, true).expect("a string takes everything");
                Self::text(out)
            }
        }
    }

    fn text(text: String) -> Self {
        let len = text.chars().count() as i64;
        let kind = Kind::Text(text);
        Self { kind, len }
    }

    fn segments(segments: Vec<String>) -> Self {
        let len = 3 + segments.iter().map(|s| s.len() as i64 + 1).sum::<i64>();
        let kind = Kind::Segments(segments);
        Self { kind, len }
    }

    fn list(elements: &[Term], tail: Option<&Term>) -> Self {
        let pieces: Vec<Self> = elements.iter().map(Self::new).collect();
        let tail = tail.map(|t| Box::new(Self::new(t)));
        let len = 1 + total(&pieces) + tail.as_ref().map_or(0, |t| t.len + 1);
        let kind = Kind::List(pieces, tail);
        Self { kind, len }
    }

    /// Whether it is [`Kind::Text`].
    pub fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text(_))
    }

    /// Writes it on one line.
    pub fn flat(&self, out: &mut String) {
        match &self.kind {
            Kind::Text(text) => out.push_str(text),
            Kind::Segments(segments) => {
                out.push_str("<<");
                out.push_str(&segments.join(","));
                out.push_str(">>");
            }
            Kind::List(elements, tail) => {
                out.push('[');
                flat_all(elements, out);
                if let Some(tail) = tail {
                    out.push('|');
                    tail.flat(out);
                }
                out.push(']');
            }
            Kind::Tuple(_, elements) => {
                out.push('{');
                flat_all(elements, out);
                out.push('}');
            }
            Kind::Map(pairs) => {
                out.push_str("#{");
                for (i, pair) in pairs.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    pair.flat(out);
                }
                out.push('}');
            }
        }
    }
}

impl Pair {
    fn new(key: &Term, value: &Term) -> Self {
        let (key, value) = (Piece::new(key), Piece::new(value));
        let len = key.len + 4 + value.len;
        Self { key, value, len }
    }

    /// Whether both are [`Kind::Text`].
    pub fn is_text(&self) -> bool {
        self.key.is_text() && self.value.is_text()
    }

    /// Writes it on one line.
    pub fn flat(&self, out: &mut String) {
        self.key.flat(out);
        out.push_str(" => ");
        self.value.flat(out);
    }
}

fn flat_all(elements: &[Piece], out: &mut String) {
    for (i, element) in elements.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        element.flat(out);
    }
}

/// The lengths of all, each with a comma or the closing bracket behind it.
fn total(elements: &[Piece]) -> i64 {
    elements.iter().map(|e| e.len + 1).sum()
}
