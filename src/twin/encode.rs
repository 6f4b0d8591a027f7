//! Compact terms, written: the other half of `facts::beam::cursor`.

use crate::facts::beam::cursor::Tag;

/// The bytes of a compact term, at most six.
pub(super) fn compact(tag: Tag, number: u32) -> Vec<u8> {
    let tag = match tag {
        Tag::U => 0,
        Tag::I => 1,
        Tag::A => 2,
        Tag::X => 3,
        Tag::Y => 4,
        Tag::F => 5,
        Tag::H => 6,
        Tag::Z => 7,
    };
    let [a, b, c, d] = number.to_be_bytes();
    if number < 16 {
        return vec![d << 4 | tag];
    }
    if number < 2048 {
        return vec![c << 5 | 0b1000 | tag, d];
    }
    // The bytes are a signed number: one whose first bit is set needs a zero before it.
    let long = [0, a, b, c, d];
    let first = (0..=3)
        .find(|at| long[*at] != 0 || long[at + 1] & 0x80 != 0)
        .unwrap_or(3);
    let bytes = &long[first..];
    let size = u8::try_from(bytes.len() - 2).unwrap_or(0);
    let mut all = vec![size << 5 | 0b1_1000 | tag];
    all.extend(bytes);
    all
}

#[cfg(test)]
mod tests {
    use super::compact;
    use crate::facts::beam::cursor::{ByteCursor, Tag};

    #[test]
    fn what_is_written_is_read() {
        let near = |n: u32| [n.saturating_sub(1), n, n.saturating_add(1)];
        let numbers =
            (0..=32).flat_map(|bits| near(u32::try_from(1u64 << bits).unwrap_or(u32::MAX)));
        for number in numbers.chain(0..5000) {
            for tag in [Tag::U, Tag::A, Tag::F] {
                let bytes = compact(tag, number);
                let mut cursor = ByteCursor::new(&bytes);
                let expected = Some((tag, Some(i64::from(number))));
                assert_eq!(cursor.compact(), expected, "{number}: {bytes:?}");
                assert_eq!(cursor.left(), 0, "{number}: {bytes:?}");
            }
        }
    }

    #[test]
    fn as_beam_asm_writes_them() {
        for (number, bytes) in [
            (0, &[0x02][..]),
            (15, &[0xF2]),
            (16, &[0x0A, 0x10]),
            (2047, &[0xEA, 0xFF]),
            (2048, &[0x1A, 0x08, 0x00]),
            (0x7FFF, &[0x1A, 0x7F, 0xFF]),
            (0x8000, &[0x3A, 0x00, 0x80, 0x00]),
        ] {
            assert_eq!(compact(Tag::A, number), bytes, "{number}");
        }
    }
}
