//! Bits: what `<<…>>` writes and reads, without knowing about expressions.
//!
//! [`Writer`] appends integers, floats, characters and pieces of bitstrings; [`BitView`] reads them from any
//! bit offset. Nothing here is bounded: the caller checks sizes before.

use std::sync::Arc;

use num_bigint::Sign;

use crate::syntax::ast::Endian;
use crate::term::{BigInt, Term};

/// A bitstring being written.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    len: usize,
}

impl Writer {
    /// Appends the first `count` bits of `source`, most significant bit first.
    pub(super) fn bits(&mut self, source: &[u8], count: usize) {
        let offset = self.len % 8;
        if offset == 0 && count.is_multiple_of(8) {
            self.bytes.extend_from_slice(&source[..count / 8]);
            self.len += count;
            return;
        }
        let whole = count.div_ceil(8).min(source.len());
        for (index, byte) in source[..whole].iter().enumerate() {
            let used = (count - index * 8).min(8);
            let byte = byte & (0xff_u16 << (8 - used)) as u8;
            if offset == 0 {
                self.bytes.push(byte);
            } else {
                if let Some(last) = self.bytes.last_mut() {
                    *last |= byte >> offset;
                }
                if used > 8 - offset {
                    self.bytes.push(byte << (8 - offset));
                }
            }
        }
        self.len += count;
    }

    /// Appends the low `size` bits of an integer.
    pub(super) fn integer(&mut self, value: &BigInt, size: usize, endian: Endian) {
        let little = low_bytes(value, size);
        let rest = size % 8;
        if is_little(endian) {
            let (whole, last) = little.split_at(size / 8);
            self.bits(whole, size - rest);
            if let Some(last) = last.first() {
                self.bits(&[last << (8 - rest)], rest);
            }
            return;
        }
        let mut big = little.iter().rev().copied();
        if rest > 0
            && let Some(first) = big.next()
        {
            self.bits(&[first << (8 - rest)], rest);
        }
        let whole: Vec<u8> = big.collect();
        self.bits(&whole, size - rest);
    }

    /// Appends whole bytes in the given order (they are given most significant first).
    pub(super) fn word(&mut self, big: &[u8], endian: Endian) {
        let mut bytes = big.to_vec();
        if is_little(endian) {
            bytes.reverse();
        }
        self.bits(&bytes, bytes.len() * 8);
    }

    /// Bits written so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The term.
    pub(super) fn finish(self) -> Term {
        match self.len % 8 {
            0 => Term::Binary(Arc::from(self.bytes)),
            used => Term::Bits(Arc::from(self.bytes), used as u8),
        }
    }
}

/// The low `size` bits in two's complement, least significant byte first, the last one cut.
fn low_bytes(value: &BigInt, size: usize) -> Vec<u8> {
    let count = size.div_ceil(8);
    let mut bytes = value.to_signed_bytes_le();
    let fill = if value.sign() == Sign::Minus { 0xff } else { 0 };
    bytes.resize(count, fill);
    if !size.is_multiple_of(8)
        && let Some(last) = bytes.last_mut()
    {
        *last &= (1 << (size % 8)) - 1;
    }
    bytes
}

fn is_little(endian: Endian) -> bool {
    match endian {
        Endian::Big => false,
        Endian::Little => true,
        Endian::Native => cfg!(target_endian = "little"),
    }
}

/// A bitstring being read.
#[derive(Clone)]
pub(super) struct BitView {
    bytes: Arc<[u8]>,
    pos: usize,
    end: usize,
}

impl BitView {
    /// The bits of a term, if it is a bitstring.
    pub(super) fn of(term: &Term) -> Option<Self> {
        match term {
            Term::Binary(bytes) => Some(Self {
                bytes: bytes.clone(),
                pos: 0,
                end: bytes.len() * 8,
            }),
            Term::Bits(bytes, used) => {
                let end = bytes.len().saturating_sub(1) * 8 + usize::from(*used);
                Some(Self {
                    bytes: bytes.clone(),
                    pos: 0,
                    end,
                })
            }
            _ => None,
        }
    }

    /// Bits left.
    pub(super) fn left(&self) -> usize {
        self.end - self.pos
    }

    /// The next `count` bits, left-aligned in bytes, and moves past them.
    pub(super) fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        if count > self.left() {
            return None;
        }
        let (first, offset) = (self.pos / 8, self.pos % 8);
        if offset == 0 && count.is_multiple_of(8) {
            self.pos += count;
            return Some(self.bytes[first..first + count / 8].to_vec());
        }
        let mut out = Vec::with_capacity(count.div_ceil(8));
        for index in 0..count.div_ceil(8) {
            let high = self.bytes[first + index] << offset;
            let low = match self.bytes.get(first + index + 1) {
                Some(next) if offset > 0 => next >> (8 - offset),
                _ => 0,
            };
            out.push(high | low);
        }
        if !count.is_multiple_of(8)
            && let Some(last) = out.last_mut()
        {
            *last &= 0xff << (8 - count % 8);
        }
        self.pos += count;
        Some(out)
    }

    /// The next `count` bits as a bitstring.
    pub(super) fn piece(&mut self, count: usize) -> Option<Term> {
        let bytes = self.take(count)?;
        Some(match count % 8 {
            0 => Term::Binary(Arc::from(bytes)),
            used => Term::Bits(Arc::from(bytes), used as u8),
        })
    }

    /// The next `size` bits as an integer.
    pub(super) fn integer(&mut self, size: usize, endian: Endian, signed: bool) -> Option<Term> {
        let bytes = self.take(size)?;
        let rest = size % 8;
        let mut value = if is_little(endian) {
            let mut bytes = bytes;
            if rest > 0
                && let Some(last) = bytes.last_mut()
            {
                *last >>= 8 - rest;
            }
            BigInt::from_bytes_le(Sign::Plus, &bytes)
        } else {
            let aligned = BigInt::from_bytes_be(Sign::Plus, &bytes);
            if rest > 0 {
                aligned >> (8 - rest)
            } else {
                aligned
            }
        };
        if signed && size > 0 && value.bit(size as u64 - 1) {
            value -= BigInt::from(1) << size;
        }
        Some(Term::integer(value))
    }

    /// The next float of 16, 32 or 64 bits; `None` if there is none or it is not finite.
    pub(super) fn float(&mut self, size: usize, endian: Endian) -> Option<f64> {
        let mut bytes = self.take(size)?;
        if is_little(endian) {
            bytes.reverse();
        }
        let float = match *bytes.as_slice() {
            [a, b] => half_to_f64(u16::from_be_bytes([a, b])),
            [a, b, c, d] => f64::from(f32::from_be_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return None,
        };
        float.is_finite().then_some(float)
    }

    /// The next UTF-8 character.
    pub(super) fn utf8(&mut self) -> Option<u32> {
        let mut ahead = self.clone();
        let first = *ahead.take(8)?.first()?;
        let more = match first {
            0..0x80 => 0,
            0xc2..0xe0 => 1,
            0xe0..0xf0 => 2,
            0xf0..0xf5 => 3,
            _ => return None,
        };
        let mut bytes = vec![first];
        bytes.extend(ahead.take(more * 8)?);
        let text = std::str::from_utf8(&bytes).ok()?;
        let point = text.chars().next()?;
        self.pos = ahead.pos;
        Some(u32::from(point))
    }

    /// The next UTF-16 character.
    pub(super) fn utf16(&mut self, endian: Endian) -> Option<u32> {
        let mut ahead = self.clone();
        let first = ahead.unit(16, endian)?;
        let point = match first {
            0xd800..0xdc00 => match ahead.unit(16, endian)? {
                second @ 0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => return None,
            },
            0xdc00..0xe000 => return None,
            point => point,
        };
        self.pos = ahead.pos;
        Some(point)
    }

    /// The next UTF-32 character.
    pub(super) fn utf32(&mut self, endian: Endian) -> Option<u32> {
        let mut ahead = self.clone();
        let point = char::from_u32(ahead.unit(32, endian)?)?;
        self.pos = ahead.pos;
        Some(u32::from(point))
    }

    fn unit(&mut self, size: usize, endian: Endian) -> Option<u32> {
        u32::try_from(self.integer(size, endian, false)?.as_i64()?).ok()
    }
}

/// The nearest half-precision float, by way of single precision as ERTS does it; infinity when too big.
pub(super) fn f64_to_half(value: f64) -> u16 {
    let single = value as f32;
    let sign = ((single.to_bits() >> 16) & 0x8000) as u16;
    let magnitude = f64::from(single.abs());
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    // A half is a whole number of 2^-24, or of a bigger power once it has eleven bits.
    let exponent = (magnitude.to_bits() >> 52) as i32 - 1023;
    let step = exponent.max(-14) - 10;
    let scaled = (magnitude / 2.0_f64.powi(step)).round_ties_even() as u16;
    // The eleventh bit adds one to the exponent, and so does rounding up to the next power of two.
    let biased = u16::try_from(exponent + 14).unwrap_or(0);
    sign | ((biased << 10) + scaled)
}

fn half_to_f64(half: u16) -> f64 {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((half >> 10) & 0x1f);
    let fraction = f64::from(half & 0x3ff);
    sign * match exponent {
        0 => fraction * 2.0_f64.powi(-24),
        31 => f64::INFINITY,
        _ => (1024.0 + fraction) * 2.0_f64.powi(exponent - 25),
    }
}
