//! Inputs by chance: kept ones, cut, joined, repeated and damaged. The same seed makes the same inputs.

/// A small xorshift.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Zero would stay zero.
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }
}

/// Numbers at the edges of what fits, as they are in binary formats.
const EDGES: [&[u8]; 10] = [
    &[0],
    &[0xFF],
    &[0x7F],
    &[0x80],
    &[0, 0],
    &[0xFF, 0xFF],
    &[0, 0, 0, 0],
    &[0xFF; 4],
    &[0x7F, 0xFF, 0xFF, 0xFF],
    &[0x80, 0, 0, 0, 0, 0, 0, 0],
];

/// The same in texts.
const TEXTS: [&str; 12] = [
    "18446744073709551615",
    "-9223372036854775809",
    "1.7976931348623157e308",
    "1e999",
    "0",
    "-1",
    "null",
    "\"\\u{202e}\"",
    "\u{1b}[2J",
    "é",
    "((((((((",
    "#{a => [",
];

pub struct Mutator<'a> {
    kept: &'a [(String, Vec<u8>)],
    /// What occurs in kept texts: words, numbers and signs.
    words: Vec<&'a [u8]>,
    is_text: bool,
}

impl<'a> Mutator<'a> {
    pub fn new(kept: &'a [(String, Vec<u8>)]) -> Self {
        let is_text = kept
            .iter()
            .all(|(_, bytes)| std::str::from_utf8(bytes).is_ok());
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let mut words: Vec<&[u8]> = kept
            .iter()
            .filter(|(_, bytes)| std::str::from_utf8(bytes).is_ok())
            .flat_map(|(_, bytes)| bytes.chunk_by(move |a, b| is_word(a) && is_word(b)))
            .collect();
        words.sort_unstable();
        words.dedup();
        Self {
            kept,
            words,
            is_text,
        }
    }

    /// A piece of a kept input.
    fn piece(&self, random: &mut Random, longest: usize) -> &'a [u8] {
        let (_, bytes) = &self.kept[random.below(self.kept.len())];
        let from = random.below(bytes.len() + 1);
        let rest = bytes.len() - from;
        &bytes[from..from + random.below(rest.min(longest) + 1)]
    }

    /// An input.
    pub fn input(&self, random: &mut Random, longest: usize) -> Vec<u8> {
        let (_, from) = &self.kept[random.below(self.kept.len())];
        let mut bytes = from.clone();
        for _ in 0..=random.below(6) {
            self.change(&mut bytes, random);
        }
        bytes.truncate(longest.max(from.len()));
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, random: &mut Random) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(64)).min(bytes.len());
        match random.below(10) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, self.piece(random, 256).iter().copied())),
            3 => drop(bytes.splice(at..end, self.piece(random, 64).iter().copied())),
            4 => {
                // What is nested or repeated: eight times, sixty-four, …
                let piece = bytes[at..end].to_vec();
                let times = 8 << (3 * random.below(3));
                drop(bytes.splice(at..at, piece.repeat(times)));
            }
            5 if self.is_text || random.below(2) == 0 => {
                let with = if self.words.is_empty() || random.below(3) == 0 {
                    TEXTS[random.below(TEXTS.len())].as_bytes()
                } else {
                    self.words[random.below(self.words.len())]
                };
                drop(bytes.splice(at..at, with.iter().copied()));
            }
            5 | 6 => {
                let edge = EDGES[random.below(EDGES.len())];
                let end = (at + edge.len()).min(bytes.len());
                drop(bytes.splice(at..end, edge.iter().copied()));
            }
            7 if at < end => bytes[at..end].reverse(),
            _ if at < bytes.len() => match random.below(3) {
                0 => bytes[at] = random.byte(),
                1 => bytes[at] ^= 1 << random.below(8),
                // One more or less: counts, and neighbouring tags.
                _ => bytes[at] = bytes[at].wrapping_add([1, 255][random.below(2)]),
            },
            _ => bytes.push(random.byte()),
        }
    }
}
