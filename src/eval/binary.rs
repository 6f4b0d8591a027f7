//! The bit syntax: `<<…>>` as an expression and as a pattern, segment by segment.
//!
//! Defaults, sizes and what is `badarg` follow `eval_bits` of stdlib. A segment of more than
//! [`MAX_SEGMENT`] bits is refused before anything is allocated.

use super::bindings::Bindings;
use super::bits::{BitView, Writer, f64_to_half};
use super::evaluator::Evaluator;
use super::failure::{Failure, FailureKind, PrimitiveError};
use super::number;
use crate::syntax::ast::{Expr, ExprKind, Segment, SegmentKind};
use crate::term::Term;

/// The longest segment: 16 MiB.
const MAX_SEGMENT: i64 = 16 * 1024 * 1024 * 8;

/// How a segment pattern met the bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentMatch {
    Match,
    /// There were bits enough, but not these.
    Other,
    /// Not enough bits, or a size that makes no sense.
    Short,
}

impl Evaluator<'_> {
    /// `<<…>>` as an expression.
    pub(super) fn build_binary(
        &mut self,
        segments: &[Segment],
        bindings: &mut Bindings,
    ) -> Result<Term, Failure> {
        let mut ready = Vec::with_capacity(segments.len());
        for segment in segments {
            let value = self.value(&segment.value, bindings)?;
            let size = match &segment.size {
                Some(size) => Some(self.value(size, bindings)?),
                None => None,
            };
            ready.push((segment, value, size));
        }
        let mut out = Writer::default();
        for (segment, value, size) in &ready {
            let written = self.write_segment(&mut out, segment, value, size.as_ref());
            if let Err(fault) = written {
                return Err(self.fault(fault, "<<>>", &[value], segment.span));
            }
        }
        Ok(out.finish())
    }

    fn write_segment(
        &mut self,
        out: &mut Writer,
        segment: &Segment,
        value: &Term,
        size: Option<&Term>,
    ) -> Result<(), PrimitiveError> {
        let bits = size.map(|size| width(segment, size)).transpose()?;
        match (value, &segment.value.kind) {
            (Term::List(characters), ExprKind::Literal(_)) => {
                for character in characters {
                    self.write_value(out, segment, character, bits)?;
                }
                Ok(())
            }
            _ => self.write_value(out, segment, value, bits),
        }
    }

    fn write_value(
        &mut self,
        out: &mut Writer,
        segment: &Segment,
        value: &Term,
        bits: Option<usize>,
    ) -> Result<(), PrimitiveError> {
        let endian = segment.endian;
        match kind(segment) {
            SegmentKind::Integer => {
                let bits = bits.unwrap_or(8 * unit(segment));
                let value = number::to_big(value).map_err(|_| PrimitiveError::BadArg)?;
                self.budget.pay_bits(bits as u64)?;
                out.integer(&value, bits, endian);
            }
            SegmentKind::Float => {
                let float = number::to_f64(value).map_err(|_| PrimitiveError::BadArg)?;
                write_float(out, float, bits.unwrap_or(64 * unit(segment)), segment)?;
            }
            SegmentKind::Binary | SegmentKind::Bitstring => {
                let mut view = BitView::of(value).ok_or(PrimitiveError::BadArg)?;
                let count = match bits {
                    Some(bits) => bits,
                    None if view.left().is_multiple_of(unit(segment)) => view.left(),
                    None => return Err(PrimitiveError::BadArg),
                };
                self.budget.pay_bits(count as u64)?;
                let bytes = view.take(count).ok_or(PrimitiveError::BadArg)?;
                out.bits(&bytes, count);
            }
            text => {
                let point = value.as_i64().and_then(|value| u32::try_from(value).ok());
                let point = point
                    .and_then(char::from_u32)
                    .ok_or(PrimitiveError::BadArg)?;
                self.budget.pay(1)?;
                write_character(out, point, text, segment);
            }
        }
        if out.len() > MAX_SEGMENT as usize {
            Err(PrimitiveError::SystemLimit)
        } else {
            Ok(())
        }
    }

    /// Matches a bitstring pattern against the whole value.
    pub(super) fn match_binary(
        &mut self,
        segments: &[Segment],
        value: &Term,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<bool, Failure> {
        let Some(mut view) = BitView::of(value) else {
            return Ok(false);
        };
        let met = self.match_segments(segments, &mut view, bindings, floor, false)?;
        Ok(met == SegmentMatch::Match && view.left() == 0)
    }

    /// Matches segments from the front of `view`. With `flush`, goes on after a segment of another value,
    /// so that a generator knows where the next round begins.
    pub(super) fn match_segments(
        &mut self,
        segments: &[Segment],
        view: &mut BitView,
        bindings: &mut Bindings,
        floor: usize,
        flush: bool,
    ) -> Result<SegmentMatch, Failure> {
        let mut met = SegmentMatch::Match;
        for segment in segments {
            match self.match_segment(segment, view, bindings, floor)? {
                SegmentMatch::Match => {}
                SegmentMatch::Other if flush => met = SegmentMatch::Other,
                other => return Ok(other),
            }
        }
        Ok(met)
    }

    fn match_segment(
        &mut self,
        segment: &Segment,
        view: &mut BitView,
        bindings: &mut Bindings,
        floor: usize,
    ) -> Result<SegmentMatch, Failure> {
        let bits = match &segment.size {
            None => None,
            Some(size) => match self.pattern_size(segment, size, bindings)? {
                Some(bits) => Some(bits),
                None => return Ok(SegmentMatch::Short),
            },
        };
        if let ExprKind::Literal(Term::List(characters)) = &segment.value.kind {
            for character in characters {
                let Some(got) = self.read_value(segment, view, bits)? else {
                    return Ok(SegmentMatch::Short);
                };
                if got != *character {
                    return Ok(SegmentMatch::Other);
                }
            }
            return Ok(SegmentMatch::Match);
        }
        let Some(got) = self.read_value(segment, view, bits)? else {
            return Ok(SegmentMatch::Short);
        };
        let matched = match (&segment.value.kind, kind(segment)) {
            (ExprKind::Literal(value @ (Term::Int(_) | Term::Big(_))), SegmentKind::Float) => {
                number::to_f64(value).is_ok_and(|float| Term::Float(float) == got)
            }
            _ => self.matches(&segment.value, &got, bindings, floor)?,
        };
        Ok(if matched {
            SegmentMatch::Match
        } else {
            SegmentMatch::Other
        })
    }

    /// The bits that `size` says in a pattern; `None` when nothing can have that size.
    fn pattern_size(
        &mut self,
        segment: &Segment,
        size: &Expr,
        bindings: &mut Bindings,
    ) -> Result<Option<usize>, Failure> {
        match self.value(size, bindings) {
            Ok(size) => Ok(width(segment, &size).ok()),
            Err(failure) if failure.kind == FailureKind::Raised => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn read_value(
        &mut self,
        segment: &Segment,
        view: &mut BitView,
        bits: Option<usize>,
    ) -> Result<Option<Term>, Failure> {
        let endian = segment.endian;
        let count = match kind(segment) {
            SegmentKind::Integer => bits.unwrap_or(8 * unit(segment)),
            SegmentKind::Float => bits.unwrap_or(64 * unit(segment)),
            SegmentKind::Binary | SegmentKind::Bitstring => match bits {
                Some(bits) => bits,
                None if view.left().is_multiple_of(unit(segment)) => view.left(),
                None => return Ok(None),
            },
            _ => 0,
        };
        if count > view.left() {
            return Ok(None);
        }
        self.pay_bits(count as u64, segment.span)?;
        Ok(match kind(segment) {
            SegmentKind::Integer => {
                if let Err(fault) = number::bounded(count as u64) {
                    return Err(self.fault(fault, "<<>>", &[], segment.span));
                }
                view.integer(count, endian, segment.signed)
            }
            SegmentKind::Float => view.float(count, endian).map(Term::Float),
            SegmentKind::Binary | SegmentKind::Bitstring => view.piece(count),
            SegmentKind::Utf8 => view.utf8().map(|point| Term::Int(i64::from(point))),
            SegmentKind::Utf16 => view.utf16(endian).map(|point| Term::Int(i64::from(point))),
            SegmentKind::Utf32 => view.utf32(endian).map(|point| Term::Int(i64::from(point))),
        })
    }
}

fn kind(segment: &Segment) -> SegmentKind {
    segment.kind.unwrap_or(SegmentKind::Integer)
}

fn unit(segment: &Segment) -> usize {
    let default = if kind(segment) == SegmentKind::Binary {
        8
    } else {
        1
    };
    segment
        .unit
        .map_or(default, |unit| (unit as usize).clamp(1, 256))
}

/// Size times unit.
fn width(segment: &Segment, size: &Term) -> Result<usize, PrimitiveError> {
    let size = match size {
        Term::Int(size) if *size >= 0 => *size,
        Term::Big(big) if big.sign() != num_bigint::Sign::Minus => {
            return Err(PrimitiveError::SystemLimit);
        }
        _ => return Err(PrimitiveError::BadArg),
    };
    let bits = size
        .checked_mul(unit(segment) as i64)
        .filter(|bits| *bits <= MAX_SEGMENT);
    bits.and_then(|bits| usize::try_from(bits).ok())
        .ok_or(PrimitiveError::SystemLimit)
}

/// A float that is too big for 16 or 32 bits becomes infinity, as ERTS writes it.
fn write_float(
    out: &mut Writer,
    float: f64,
    bits: usize,
    segment: &Segment,
) -> Result<(), PrimitiveError> {
    match bits {
        16 => out.word(&f64_to_half(float).to_be_bytes(), segment.endian),
        32 => out.word(&(float as f32).to_be_bytes(), segment.endian),
        64 => out.word(&float.to_be_bytes(), segment.endian),
        _ => return Err(PrimitiveError::BadArg),
    }
    Ok(())
}

fn write_character(out: &mut Writer, point: char, text: SegmentKind, segment: &Segment) {
    match text {
        SegmentKind::Utf8 => {
            let mut buffer = [0; 4];
            let bytes = point.encode_utf8(&mut buffer).as_bytes();
            out.bits(bytes, bytes.len() * 8);
        }
        SegmentKind::Utf16 => {
            let mut buffer = [0; 2];
            for unit in point.encode_utf16(&mut buffer) {
                out.word(&unit.to_be_bytes(), segment.endian);
            }
        }
        _ => out.word(&u32::from(point).to_be_bytes(), segment.endian),
    }
}
