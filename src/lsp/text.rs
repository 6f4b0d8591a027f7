//! Places in a text as editors count them: lines and columns, where a column counts UTF-16 units or bytes.
//!
//! Takes a text once and answers in a time that does not grow with the length of its lines. Any place is answered: what
//! lies behind the end of a line is its end, what lies inside of a character is where that begins.

use lsp_types::{Position, Range};

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Encoding {
    /// Bytes.
    Utf8,
    /// Units of UTF-16, the protocol's default.
    #[default]
    Utf16,
}

/// So many bytes lie between two counts that are kept.
const BLOCK: usize = 1024;

/// Where lines begin, and how many units of UTF-16 are before every block.
#[derive(Clone, Debug)]
pub(super) struct LineIndex {
    starts: Vec<usize>,
    /// Empty when the text is ASCII: then a unit is a byte.
    units: Vec<usize>,
    length: usize,
}

impl LineIndex {
    /// Looks through a text once.
    pub fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (at, byte) in bytes.iter().enumerate() {
            // A line ends at `\n`, `\r\n` or `\r`.
            if *byte == b'\n' || *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
                starts.push(at + 1);
            }
        }
        let mut units = Vec::new();
        if !text.is_ascii() {
            let mut before = 0;
            for block in bytes.chunks(BLOCK) {
                units.push(before);
                before += block.iter().map(|byte| width(*byte)).sum::<usize>();
            }
            units.push(before);
        }
        Self {
            starts,
            units,
            length: text.len(),
        }
    }

    /// The units of UTF-16 before a byte.
    fn units_before(&self, text: &str, at: usize) -> usize {
        if self.units.is_empty() {
            return at;
        }
        let block = at / BLOCK;
        let rest = &text.as_bytes()[block * BLOCK..at];
        self.units[block] + rest.iter().map(|byte| width(*byte)).sum::<usize>()
    }

    /// The first character that begins behind so many units of UTF-16, or that they end in.
    fn byte_of(&self, text: &str, wanted: usize) -> usize {
        if self.units.is_empty() {
            return wanted.min(text.len());
        }
        let block = self.units.partition_point(|units| *units <= wanted) - 1;
        let mut units = self.units[block];
        for (at, byte) in text.as_bytes().iter().enumerate().skip(block * BLOCK) {
            let width = width(*byte);
            if width > 0 && units + width > wanted {
                return at;
            }
            units += width;
        }
        text.len()
    }

    /// The place of a byte of the text that these lines were made of.
    pub fn position(&self, text: &str, at: usize, encoding: Encoding) -> Position {
        let at = floor(text, at.min(self.length));
        let line = self.starts.partition_point(|start| *start <= at) - 1;
        let start = self.starts[line];
        let column = match encoding {
            Encoding::Utf8 => at - start,
            Encoding::Utf16 => self.units_before(text, at) - self.units_before(text, start),
        };
        Position::new(narrow(line), narrow(column))
    }

    /// From byte to byte.
    pub fn range(&self, text: &str, from: usize, to: usize, encoding: Encoding) -> Range {
        Range::new(
            self.position(text, from, encoding),
            self.position(text, to.max(from), encoding),
        )
    }

    /// The byte at a place.
    pub fn offset(&self, text: &str, place: Position, encoding: Encoding) -> usize {
        let Some(start) = self.starts.get(place.line as usize).copied() else {
            return self.length;
        };
        let mut end = self
            .starts
            .get(place.line as usize + 1)
            .map_or(self.length, |next| next - 1);
        if end > start
            && text.as_bytes().get(end) == Some(&b'\n')
            && text.as_bytes()[end - 1] == b'\r'
        {
            end -= 1;
        }
        let column = place.character as usize;
        let at = match encoding {
            Encoding::Utf8 => start.saturating_add(column),
            Encoding::Utf16 => {
                let wanted = self.units_before(text, start).saturating_add(column);
                self.byte_of(text, wanted)
            }
        };
        floor(text, at.min(end))
    }
}

/// Units of UTF-16 of the character that begins with a byte; 0 for one that continues.
fn width(byte: u8) -> usize {
    match byte {
        0x80..0xC0 => 0,
        0xF0.. => 2,
        _ => 1,
    }
}

/// Where the character begins that a byte belongs to.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition, slowly.
    fn slow(text: &str, at: usize, encoding: Encoding) -> Position {
        let before = &text[..at];
        let lines = before.replace("\r\n", "\n").replace('\r', "\n");
        let line = lines.matches('\n').count();
        // `\r` at the very end of `before`, with a `\n` behind it, has not ended its line.
        let inside = before.ends_with('\r') && text[at..].starts_with('\n');
        let line = line - usize::from(inside);
        let start = before
            .char_indices()
            .filter(|(i, c)| match c {
                '\n' => true,
                '\r' => !text[i + 1..].starts_with('\n'),
                _ => false,
            })
            .map(|(i, _)| i + 1)
            .next_back()
            .unwrap_or(0);
        let column = match encoding {
            Encoding::Utf8 => at - start,
            Encoding::Utf16 => text[start..at].encode_utf16().count(),
        };
        Position::new(line as u32, column as u32)
    }

    #[test]
    fn places_of_multi_byte_text_and_back() {
        let texts = [
            String::new(),
            "a".to_owned(),
            "ä\n€𝄞x\r\n\r\rZ\n".to_owned(),
            "plan \"ähm 𝄞\".\n'Größe' depends on b.\n".to_owned(),
            // Blocks that begin inside of characters.
            "€".repeat(2000) + "\n" + &"a𝄞".repeat(900),
            "x".repeat(5000) + "\r\n" + &"y".repeat(3),
        ];
        for text in &texts {
            let lines = LineIndex::new(text);
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                for encoding in [Encoding::Utf8, Encoding::Utf16] {
                    let place = lines.position(text, at, encoding);
                    assert_eq!(place, slow(text, at, encoding), "{at} of {text:?}");
                    let inside = text[..at].ends_with('\r') && text[at..].starts_with('\n');
                    if !inside {
                        assert_eq!(
                            lines.offset(text, place, encoding),
                            at,
                            "{place:?} {text:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn places_that_are_none() {
        let text = "a𝄞b\r\nc";
        let lines = LineIndex::new(text);
        let at = |line, column, encoding| lines.offset(text, Position::new(line, column), encoding);
        // In the middle of a pair of surrogates; behind the end of a line; behind the last line.
        assert_eq!(at(0, 2, Encoding::Utf16), 1);
        assert_eq!(at(0, 3, Encoding::Utf16), 5);
        assert_eq!(at(0, 99, Encoding::Utf16), 6);
        assert_eq!(at(0, u32::MAX, Encoding::Utf8), 6);
        assert_eq!(at(0, 3, Encoding::Utf8), 1);
        assert_eq!(at(1, 99, Encoding::Utf16), 9);
        assert_eq!(at(7, 0, Encoding::Utf16), 9);
        assert_eq!(at(u32::MAX, u32::MAX, Encoding::Utf16), 9);
    }
}
