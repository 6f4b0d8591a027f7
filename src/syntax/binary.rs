//! Binaries: `<<Value:Size/type-unit:8, …>>` and `<<E || …>>`.
//!
//! It takes the pairs of a binary and gives its segments, or, when all are plain bytes and strings, the
//! constant. Types, signs and units are those of the Erlang Reference Manual, "Bit Syntax Expressions".

use super::ast::{Endian, ExprKind, Segment, SegmentKind};
use super::expr::{Builder, P, inner, is_mark, unexpected};
use super::grammar::Rule;
use super::operators::Row;
use super::{foreign_syntax, literal};
use crate::diag::{Result, Span};
use crate::term::Term;

impl Builder {
    /// `<<…>>`.
    pub fn binary(self, pair: P<'_>) -> Result<ExprKind> {
        let mut segments: Vec<Segment> = Vec::new();
        for part in inner(pair) {
            if part.as_rule() == Rule::comprehension {
                let qualifiers = self.qualifiers(part)?;
                match segments.pop() {
                    Some(s) if s.size.is_none() && s.kind.is_none() && s.unit.is_none() => {
                        return Ok(ExprKind::BinComp(Box::new(s.value), qualifiers));
                    }
                    Some(s) => return Err(Box::new(foreign_syntax::bare_segment(s.span))),
                    None => {}
                }
            } else {
                segments.push(self.segment(part)?);
            }
        }
        Ok(match fold_binary(&segments) {
            Some(bytes) => ExprKind::Literal(Term::binary(bytes)),
            None => ExprKind::Binary(segments),
        })
    }

    fn segment(self, pair: P<'_>) -> Result<Segment> {
        let start = self.span(&pair).start;
        let mut row = Row::new(self, pair);
        let value = row.operand()?;
        let mut segment = Segment {
            span: Span::new(start, value.span.end),
            value,
            size: None,
            kind: None,
            signed: false,
            endian: Endian::Big,
            unit: None,
        };
        for part in row.pairs.filter(|p| !is_mark(p.as_rule())) {
            segment.span = segment.span.to(self.span(&part));
            match part.as_rule() {
                Rule::bin_size => segment.size = Some(self.only(part)?),
                Rule::bin_spec => inner(part).try_for_each(|p| self.spec(&mut segment, p))?,
                _ => return Err(unexpected(self, &part)),
            }
        }
        Ok(segment)
    }

    /// One word behind the `/` of a segment.
    fn spec(self, segment: &mut Segment, pair: P<'_>) -> Result<()> {
        let span = self.span(&pair);
        let mut parts = inner(pair);
        let word = parts.next().map_or("", |p| p.as_str()).to_owned();
        let number = parts
            .next()
            .map(|p| p.as_str().replace('_', "").parse::<u32>().unwrap_or(0));
        let kind = match word.as_str() {
            "unit" => match number {
                Some(unit @ 1..=256) => {
                    segment.unit = Some(unit);
                    return Ok(());
                }
                _ => {
                    return Err(literal::malformed(
                        span,
                        "a unit is 1 to 256",
                        "write `unit:8`",
                        "",
                    ));
                }
            },
            "integer" => SegmentKind::Integer,
            "float" => SegmentKind::Float,
            "binary" | "bytes" => SegmentKind::Binary,
            "bitstring" | "bits" => SegmentKind::Bitstring,
            "utf8" => SegmentKind::Utf8,
            "utf16" => SegmentKind::Utf16,
            "utf32" => SegmentKind::Utf32,
            "signed" | "unsigned" => {
                segment.signed = word == "signed";
                return Ok(());
            }
            "big" | "little" | "native" => {
                segment.endian = match word.as_str() {
                    "big" => Endian::Big,
                    "little" => Endian::Little,
                    _ => Endian::Native,
                };
                return Ok(());
            }
            _ => return Err(Box::new(foreign_syntax::unknown_segment_type(&word, span))),
        };
        if segment.kind.is_some_and(|k| k != kind) {
            return Err(literal::malformed(
                span,
                "a segment has one type",
                "a second type",
                "",
            ));
        }
        segment.kind = Some(kind);
        Ok(())
    }
}

/// The bytes of a binary of small integers and Latin-1 or UTF-8 strings without sizes.
fn fold_binary(segments: &[Segment]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for segment in segments {
        let plain = segment.size.is_none()
            && segment.unit.is_none()
            && !segment.signed
            && segment.endian == Endian::Big;
        let ExprKind::Literal(value) = &segment.value.kind else {
            return None;
        };
        match (value, segment.kind) {
            (Term::Int(n), None | Some(SegmentKind::Integer)) if plain => {
                bytes.push(u8::try_from(n.rem_euclid(256)).ok()?)
            }
            (Term::List(codes), None | Some(SegmentKind::Integer)) if plain => {
                for code in codes {
                    bytes.push(u8::try_from(code.as_i64()?.rem_euclid(256)).ok()?);
                }
            }
            (Term::List(_), Some(SegmentKind::Utf8)) if plain => {
                bytes.extend(value.to_text()?.bytes())
            }
            _ => return None,
        }
    }
    Some(bytes)
}
