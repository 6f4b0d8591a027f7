//! What parts of a term are like on a page: how long on one line, and what they can be broken into.
//!
//! Takes a term, gives numbers and borrowed parts. A part is measured no further than to where it certainly does not fit.

use std::collections::BTreeMap;

use crate::term::print::sink::Count;
use crate::term::print::{line, record_head, text};
use crate::term::{Atom, Record, Term};

/// Characters up to which a whole term is measured, besides eight lines: beyond, its length bounds nothing.
const WHOLE: i64 = 64 << 10;

/// Measures terms.
#[derive(Clone, Copy)]
pub(super) struct Ruler {
    whole: i64,
    line: i64,
}

impl Ruler {
    /// For lines of `width` columns, `before` of which are taken on the first.
    pub fn new(width: i64, before: i64) -> Self {
        Self {
            whole: (width.saturating_add(before))
                .saturating_mul(8)
                .saturating_add(WHOLE),
            line: width.saturating_add(1),
        }
    }

    /// Characters on one line: of a whole term, or of a tag.
    pub fn len(self, term: &Term) -> i64 {
        count(term, self.whole)
    }

    /// Whether a length is that of a term that was not measured to its end.
    pub fn is_beyond(self, len: i64) -> bool {
        len >= self.whole
    }

    /// Characters on one line, or more than any line has.
    pub fn part(self, term: &Term) -> i64 {
        count(term, self.line)
    }

    /// The opening of a native record, `#module:name{`.
    pub fn head(self, record: &Record) -> i64 {
        let mut count = Count {
            seen: 0,
            bound: usize::MAX,
        };
        let _ = record_head(&mut count, record);
        i64::try_from(count.seen).unwrap_or(i64::MAX / 4)
    }

    /// The name of a field with its equals sign.
    pub fn field(self, name: &Atom) -> i64 {
        self.part(&Term::Atom(name.clone())) + 3
    }

    /// The same of a pair, with the arrow.
    pub fn pair(self, (key, value): (&Term, &Term)) -> i64 {
        self.part(key) + 4 + self.part(value)
    }
}

fn count(term: &Term, bound: i64) -> i64 {
    let bound = usize::try_from(bound).unwrap_or(0);
    let mut count = Count { seen: 0, bound };
    // It refuses to count on; what is counted until then is what was asked for.
    let _ = line(&mut count, term, true);
    i64::try_from(count.seen).unwrap_or(i64::MAX / 4)
}

/// What a term can be broken into.
pub(super) enum Parts<'a> {
    /// Text that is never broken; several of these may share a line.
    Text,
    /// A binary that is shown as numbers, and the bits of its last byte.
    Segments(&'a [u8], u8),
    /// Elements, and a tail that is not a list.
    List(&'a [Term], Option<&'a Term>),
    /// Whether it starts with an atom and goes on; its elements.
    Tuple(bool, &'a [Term]),
    Map(&'a BTreeMap<Term, Term>),
    /// Even one without fields is no text.
    Record(&'a Record),
}

pub(super) fn parts(term: &Term) -> Parts<'_> {
    match term {
        Term::List(elements) if !elements.is_empty() && !text::printable_list(elements) => {
            Parts::List(elements, None)
        }
        Term::Improper(elements, tail) => Parts::List(elements, Some(tail)),
        Term::Tuple(elements) if !elements.is_empty() => {
            let tagged = elements.len() > 1 && elements[0].as_atom().is_some();
            Parts::Tuple(tagged, elements)
        }
        Term::Map(pairs) if !pairs.is_empty() => Parts::Map(pairs),
        Term::Record(record) => Parts::Record(record),
        Term::Bits(bytes, used) => Parts::Segments(bytes, *used),
        Term::Binary(bytes) if !bytes.is_empty() && !text::is_binary_text(bytes) => {
            Parts::Segments(bytes, 8)
        }
        _ => Parts::Text,
    }
}

/// Whether it is [`Parts::Text`].
pub(super) fn is_text(term: &Term) -> bool {
    matches!(parts(term), Parts::Text)
}

/// Whether both are.
pub(super) fn is_text_pair((key, value): (&Term, &Term)) -> bool {
    is_text(key) && is_text(value)
}
