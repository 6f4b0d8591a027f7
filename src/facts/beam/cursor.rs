//! A bounds-checked reader over the bytes of one chunk.
//!
//! Takes a slice and gives numbers and sub-slices, or `None` when the slice ends too early. It never
//! allocates and never panics; what a missing number means is the caller's business.
//!
//! The compact terms follow `beam_asm:encode/2` of OTP's compiler.

/// A position in a slice.
#[derive(Clone, Debug)]
pub(crate) struct ByteCursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The tag of a compact term: its lowest three bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Unsigned number: counts, indices into tables.
    U,
    /// Integer.
    I,
    /// Atom index; 0 is `[]`.
    A,
    /// X register.
    X,
    /// Y register.
    Y,
    /// Label.
    F,
    /// Character.
    H,
    /// Extended; the number says which.
    Z,
}

impl<'a> ByteCursor<'a> {
    /// A reader at the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let found = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(found)
    }

    /// The next byte.
    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let found = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(found)
    }

    /// The next four bytes, the most significant first.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        let four: [u8; 4] = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(four))
    }

    /// A count of things that take at least `each` bytes: `None` when fewer bytes are left than that.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let count = usize::try_from(self.u32()?).ok()?;
        (count.checked_mul(each)? <= self.left()).then_some(count)
    }

    /// A compact term: its tag and value. Values outside of 64 bits come as `None` inside.
    #[inline]
    pub(crate) fn compact(&mut self) -> Option<(Tag, Option<i64>)> {
        let first = self.u8()?;
        let tag = match first & 7 {
            0 => Tag::U,
            1 => Tag::I,
            2 => Tag::A,
            3 => Tag::X,
            4 => Tag::Y,
            5 => Tag::F,
            6 => Tag::H,
            _ => Tag::Z,
        };
        if first & 0b1000 == 0 {
            return Some((tag, Some(i64::from(first >> 4))));
        }
        if first & 0b1_0000 == 0 {
            let low = i64::from(self.u8()?);
            return Some((tag, Some(i64::from(first & 0b1110_0000) << 3 | low)));
        }
        let size = match first >> 5 {
            7 => 9 + self.long_size()?,
            short => usize::from(short) + 2,
        };
        let bytes = self.take(size)?;
        if size > 8 {
            return Some((tag, None));
        }
        let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
        let start = if negative { -1 } else { 0 };
        Some((
            tag,
            Some(
                bytes
                    .iter()
                    .fold(start, |value, byte| value << 8 | i64::from(*byte)),
            ),
        ))
    }

    /// The size of an integer longer than eight bytes, less nine: a compact number of its own.
    fn long_size(&mut self) -> Option<usize> {
        // A size that itself needs the long form would be beyond any file; refusing it bounds recursion.
        let first = *self.bytes.get(self.at)?;
        if first & 0b1111_1000 == 0b1111_1000 {
            return None;
        }
        self.number().filter(|size| *size <= self.left())
    }

    /// The size of a list of operands, which cannot have more elements than there are bytes.
    pub(crate) fn list_size(&mut self) -> Option<usize> {
        self.number().filter(|size| *size <= self.left())
    }

    /// Passes what follows the head of an extended operand that is no list.
    pub(crate) fn pass_extended(&mut self, kind: i64) -> Option<()> {
        match kind {
            // A floating point register; a literal.
            2 | 4 => self.number().map(|_| ()),
            // An allocation list: pairs of kind and number.
            3 => {
                for _ in 0..self.list_size()? {
                    self.number()?;
                    self.number()?;
                }
                Some(())
            }
            // A register and an index into the type table.
            5 => {
                let (tag, _) = self.compact()?;
                self.number()?;
                matches!(tag, Tag::X | Tag::Y).then_some(())
            }
            _ => None,
        }
    }

    /// A compact unsigned number.
    #[inline]
    pub(crate) fn number(&mut self) -> Option<usize> {
        match self.compact()? {
            (Tag::U, Some(value)) => usize::try_from(value).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ByteCursor, Tag};

    #[test]
    fn compact_terms_of_every_length() {
        for (bytes, expected) in [
            (&[0x10][..], Some((Tag::U, Some(1)))),
            (&[0xF1][..], Some((Tag::I, Some(15)))),
            (&[0x2A, 0x01][..], Some((Tag::A, Some(257)))),
            (&[0x19, 0x08, 0x00][..], Some((Tag::I, Some(2048)))),
            (&[0x19, 0xFF, 0xFE][..], Some((Tag::I, Some(-2)))),
            (
                &[0xF9, 0x00, 0, 1, 2, 3, 4, 5, 6, 7, 8][..],
                Some((Tag::I, None)),
            ),
            (&[0x19, 0x08][..], None),
            (&[0xF9, 0xF8, 0xF8, 0xF8][..], None),
            (&[][..], None),
        ] {
            assert_eq!(ByteCursor::new(bytes).compact(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        assert_eq!(
            ByteCursor::new(&[0xFF, 0xFF, 0xFF, 0xFF, 0]).count(12),
            None
        );
        assert_eq!(ByteCursor::new(&[0, 0, 0, 1, 0]).count(1), Some(1));
    }
}
