//! Reads an external term to its end without building anything.
//!
//! Takes bytes, gives where the term ends, how deep it is, and the places where it must be rewritten
//! before `eetf` may see it. It keeps its own stack, checks every count against the bytes that are left,
//! and knows every tag that may pass; what it accepts, `eetf` decodes without a panic and without
//! allocating more than a fixed multiple of the input.

use std::borrow::Cow;
use std::ops::Range;

use super::{EtfError, MAX_DEPTH, MAX_INTEGER_BYTES, MAX_VALUES};

const ATOM_EXT: u8 = 100;
const SMALL_ATOM_EXT: u8 = 115;
const ATOM_UTF8_EXT: u8 = 118;
const SMALL_ATOM_UTF8_EXT: u8 = 119;
const NEW_FLOAT_EXT: u8 = 70;

/// Longest atom, in characters.
const MAX_ATOM: usize = 255;

/// A binary of more bytes is not handed to `eetf`, which would copy it: a stand-in with its number is.
const LARGE: usize = 64 << 10;

/// What a fun of the old kind is the stand-in of, its `Uniq`.
pub(super) const LARGE_BINARY: i32 = 0;
pub(super) const NATIVE_RECORD: i32 = 1;

/// What the scan found out.
pub(super) struct Scan {
    /// The byte after the term.
    pub end: usize,
    /// Nesting: 0 for a term without elements.
    pub depth: usize,
    /// Pairs in all maps together. `eetf` drops one of two pairs with equal keys without a word; when
    /// fewer arrive, that has happened.
    pub pairs: u64,
    /// Where the bytes of large binaries are, by the number of their stand-in: the index of a fun of the old kind, which
    /// no term can have that the scan has accepted.
    pub large: Vec<Range<usize>>,
    /// What native records are, by the number of their stand-in.
    pub records: Vec<RecordHeader>,
    patches: Vec<Patch>,
}

/// A native record without its values.
pub(super) struct RecordHeader {
    pub module: String,
    pub name: String,
    pub exported: bool,
    pub fields: Vec<String>,
}

/// A piece that `eetf` would read wrongly, and what to put in its place.
struct Patch {
    at: usize,
    len: usize,
    bytes: Vec<u8>,
}

impl Scan {
    /// The bytes with everything replaced that `eetf` cannot read.
    pub fn patched<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.patches.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let left_out: usize = self.large.iter().map(ExactSizeIterator::len).sum();
        let rest = bytes.len() - left_out;
        let mut out = Vec::with_capacity(rest + rest / 4);
        let mut from = 0;
        for patch in &self.patches {
            out.extend_from_slice(bytes.get(from..patch.at).unwrap_or_default());
            out.extend_from_slice(&patch.bytes);
            from = patch.at + patch.len;
        }
        out.extend_from_slice(bytes.get(from..).unwrap_or_default());
        Cow::Owned(out)
    }
}

/// Scans the term whose tag is at `start`.
pub(super) fn scan(bytes: &[u8], start: usize) -> Result<Scan, EtfError> {
    let mut reader = Reader {
        bytes,
        at: start,
        values: 0,
        pairs: 0,
        large: Vec::new(),
        records: Vec::new(),
        patches: Vec::new(),
    };
    // How many elements are still to come, for every container that is open.
    let mut open: Vec<u64> = Vec::new();
    let mut depth = 0;
    loop {
        let at = reader.at;
        let elements = reader.value()?;
        if elements > 0 {
            if open.len() == MAX_DEPTH {
                return Err(EtfError::TooDeep { at });
            }
            open.push(elements);
            depth = depth.max(open.len());
            continue;
        }
        loop {
            match open.last_mut() {
                None => {
                    return Ok(Scan {
                        end: reader.at,
                        depth,
                        pairs: reader.pairs,
                        large: reader.large,
                        records: reader.records,
                        patches: reader.patches,
                    });
                }
                Some(1) => {
                    open.pop();
                }
                Some(left) => {
                    *left -= 1;
                    break;
                }
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    values: u64,
    pairs: u64,
    large: Vec<Range<usize>>,
    records: Vec<RecordHeader>,
    patches: Vec<Patch>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], EtfError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..len) else {
            return Err(EtfError::Truncated {
                at: self.bytes.len(),
            });
        };
        self.at += len;
        Ok(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], EtfError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.first_chunk() else {
            return Err(EtfError::Truncated {
                at: self.bytes.len(),
            });
        };
        self.at += LEN;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, EtfError> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<usize, EtfError> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    fn u32(&mut self) -> Result<usize, EtfError> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    /// Reads a value up to its elements and says how many of these follow.
    fn value(&mut self) -> Result<u64, EtfError> {
        let at = self.at;
        let tag = self.u8()?;
        self.count(1)?;
        match tag {
            97 => self.skip(1),
            98 => self.skip(4),
            NEW_FLOAT_EXT => self.new_float(at),
            99 => self.old_float(at),
            ATOM_EXT | SMALL_ATOM_EXT | ATOM_UTF8_EXT | SMALL_ATOM_UTF8_EXT => {
                self.at = at;
                self.atom()
            }
            88 => self.node_and(12),
            103 => self.node_and(9),
            89 => self.node_and(8),
            102 => self.node_and(5),
            120 => self.node_and(12),
            101 => self.node_and(5),
            114 => self.reference(at, 1),
            90 => self.reference(at, 4),
            104 => {
                let count = usize::from(self.u8()?);
                self.elements(count as u64)
            }
            105 => {
                let count = self.u32()?;
                self.elements(count as u64)
            }
            106 => Ok(0),
            107 => {
                let len = self.u16()?;
                self.count(len as u64)?;
                self.skip(len)
            }
            108 => {
                let count = self.u32()?;
                self.elements(count as u64 + 1)
            }
            116 => {
                let pairs = self.u32()? as u64;
                self.pairs += pairs;
                // Twice as much besides the key and the value: two trees are made of them, one after the other.
                self.count(pairs * 2)?;
                self.elements(pairs * 2)
            }
            109 => {
                let len = self.u32()?;
                self.skip(len)?;
                if len > LARGE {
                    self.stand_in(at, len);
                }
                Ok(0)
            }
            77 => self.bits(at),
            110 => {
                let len = usize::from(self.u8()?);
                self.integer(len, at)
            }
            111 => {
                let len = self.u32()?;
                self.integer(len, at)
            }
            67 => self.record(at),
            113 => self.export(),
            112 => self.fun(),
            _ => Err(EtfError::Tag { tag, at }),
        }
    }

    fn count(&mut self, values: u64) -> Result<(), EtfError> {
        self.values += values;
        if self.values > MAX_VALUES {
            return Err(EtfError::TooManyValues { at: self.at });
        }
        Ok(())
    }

    fn skip(&mut self, len: usize) -> Result<u64, EtfError> {
        self.take(len)?;
        Ok(0)
    }

    /// Puts a stand-in in the place of the binary at `at`, whose bytes have just been read.
    fn stand_in(&mut self, at: usize, len: usize) {
        let bytes = fun_ext(0, self.large.len(), LARGE_BINARY);
        self.large.push(self.at - len..self.at);
        let len = self.at - at;
        self.patches.push(Patch { at, len, bytes });
    }

    /// A native record (`RECORD_EXT`), which `eetf` does not know: the number of its fields, whether its definition is
    /// exported, module, name, the names of all fields, and then the values, which become those of a stand-in.
    fn record(&mut self, at: usize) -> Result<u64, EtfError> {
        let count = self.u32()?;
        let exported = match self.u8()? {
            0 => false,
            1 => true,
            _ => return Err(malformed("a native record with unknown flags", at)),
        };
        let (module, name) = (self.name()?, self.name()?);
        self.elements(count as u64)?;
        self.count(count as u64)?;
        let fields = (0..count).map(|_| self.name()).collect::<Result<_, _>>()?;
        let bytes = fun_ext(count, self.records.len(), NATIVE_RECORD);
        let head = RecordHeader {
            module,
            name,
            exported,
            fields,
        };
        self.records.push(head);
        let len = self.at - at;
        self.patches.push(Patch { at, len, bytes });
        self.elements(count as u64)
    }

    /// The text of an atom whose bytes are left out.
    fn name(&mut self) -> Result<String, EtfError> {
        let (text, utf8) = self.atom_text()?;
        Ok(match utf8 {
            true => String::from_utf8_lossy(text).into_owned(),
            false => text.iter().map(|byte| char::from(*byte)).collect(),
        })
    }

    /// Every element takes a byte at least, so there can be no more than bytes are left.
    fn elements(&mut self, count: u64) -> Result<u64, EtfError> {
        if count > (self.bytes.len() - self.at) as u64 {
            return Err(EtfError::Truncated {
                at: self.bytes.len(),
            });
        }
        Ok(count)
    }

    fn new_float(&mut self, at: usize) -> Result<u64, EtfError> {
        if f64::from_be_bytes(self.array()?).is_finite() {
            Ok(0)
        } else {
            Err(malformed("a float that is not finite", at))
        }
    }

    /// `FLOAT_EXT` is text, of which `eetf` keeps only 32 bits.
    fn old_float(&mut self, at: usize) -> Result<u64, EtfError> {
        let taken = self.take(31)?;
        let text = taken.split(|byte| *byte == 0).next().unwrap_or_default();
        let value = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim_start().parse::<f64>().ok())
            .filter(|value| value.is_finite())
            .ok_or(malformed("a float whose text is no number", at))?;
        let mut bytes = vec![NEW_FLOAT_EXT];
        bytes.extend_from_slice(&value.to_be_bytes());
        self.patches.push(Patch { at, len: 32, bytes });
        Ok(0)
    }

    /// The text of an atom of any of the four kinds, and whether it is UTF-8.
    fn atom_text(&mut self) -> Result<(&'a [u8], bool), EtfError> {
        let at = self.at;
        let tag = self.u8()?;
        let len = match tag {
            ATOM_EXT | ATOM_UTF8_EXT => self.u16()?,
            SMALL_ATOM_EXT | SMALL_ATOM_UTF8_EXT => usize::from(self.u8()?),
            _ => return Err(malformed("something else where an atom must be", at)),
        };
        let text = self.take(len)?;
        let utf8 = tag == ATOM_UTF8_EXT || tag == SMALL_ATOM_UTF8_EXT;
        let characters = if utf8 {
            std::str::from_utf8(text)
                .map_err(|_| malformed("an atom that is not UTF-8", at))?
                .chars()
                .count()
        } else {
            len
        };
        if characters > MAX_ATOM {
            return Err(malformed("an atom of more than 255 characters", at));
        }
        Ok((text, utf8))
    }

    /// An atom; one in Latin-1 is rewritten in UTF-8 unless it is ASCII.
    #[expect(
        clippy::expect_used,
        reason = "255 characters of Latin-1 are at most 510 bytes"
    )]
    fn atom(&mut self) -> Result<u64, EtfError> {
        let at = self.at;
        let (text, utf8) = self.atom_text()?;
        if !utf8 && !text.is_ascii() {
            let text: String = text.iter().map(|b| char::from(*b)).collect();
            let mut bytes = vec![ATOM_UTF8_EXT];
            let len = u16::try_from(text.len()).expect("at most 255 characters of two bytes");
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
            self.patches.push(Patch {
                at,
                len: self.at - at,
                bytes,
            });
        }
        Ok(0)
    }

    fn node_and(&mut self, len: usize) -> Result<u64, EtfError> {
        self.atom()?;
        self.skip(len)
    }

    fn reference(&mut self, at: usize, creation: usize) -> Result<u64, EtfError> {
        let words = self.u16()?;
        if !(1..=5).contains(&words) {
            return Err(malformed("a reference without one to five words", at));
        }
        self.node_and(creation + 4 * words)
    }

    fn bits(&mut self, at: usize) -> Result<u64, EtfError> {
        let len = self.u32()?;
        let used = self.u8()?;
        if !(1..=8).contains(&used) || len == 0 {
            return Err(malformed("a bitstring with an impossible last byte", at));
        }
        self.skip(len)
    }

    fn integer(&mut self, len: usize, at: usize) -> Result<u64, EtfError> {
        if len > MAX_INTEGER_BYTES {
            return Err(EtfError::IntegerTooLong { bytes: len });
        }
        if self.u8()? > 1 {
            return Err(malformed("an integer with an impossible sign", at));
        }
        self.skip(len)
    }

    fn export(&mut self) -> Result<u64, EtfError> {
        self.atom()?;
        self.atom()?;
        let at = self.at;
        if self.u8()? != 97 {
            return Err(malformed("an arity that is no small integer", at));
        }
        self.skip(1)
    }

    fn fun(&mut self) -> Result<u64, EtfError> {
        // Size, arity, uniq, index. The size is redundant; as in OTP, it is ignored.
        self.take(4 + 1 + 16 + 4)?;
        let free = self.u32()?;
        self.atom()?;
        for _ in 0..2 {
            let at = self.at;
            match self.u8()? {
                97 => self.skip(1)?,
                98 => self.skip(4)?,
                _ => return Err(malformed("a fun whose index is no integer", at)),
            };
        }
        let at = self.at;
        match self.u8()? {
            88 => self.node_and(12)?,
            103 => self.node_and(9)?,
            _ => return Err(malformed("a fun whose creator is no process", at)),
        };
        self.elements(free as u64)
    }
}

/// A fun of the old kind (`FUN_EXT`) with `free` values, which are to follow: the stand-in of what has a number.
#[expect(clippy::expect_used, reason = "both are at most MAX_VALUES")]
fn fun_ext(free: usize, number: usize, kind: i32) -> Vec<u8> {
    let word = |number: usize| {
        u32::try_from(number)
            .expect("at most MAX_VALUES")
            .to_be_bytes()
    };
    let mut bytes = vec![117];
    bytes.extend_from_slice(&word(free));
    bytes.extend_from_slice(&[103, 119, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 119, 0, 98]);
    bytes.extend_from_slice(&word(number));
    bytes.push(98);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes
}

fn malformed(what: &'static str, at: usize) -> EtfError {
    EtfError::Malformed { what, at }
}
