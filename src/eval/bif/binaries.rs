//! Built-in functions on binaries, bitstrings and iolists. What a result needs is paid for before it is
//! built, because a short list can name one big binary many times.

use super::{Outcome, small};
use crate::eval::bits::{BitView, Writer};
use crate::eval::failure::PrimitiveError;
use crate::eval::limits::Budget;
use crate::term::Term;

/// The biggest result: 64 MiB.
const MAX_BITS: usize = 64 * 1024 * 1024 * 8;

pub(super) fn call(name: &str, args: &[Term], budget: &mut Budget) -> Option<Outcome> {
    Some(match (name, args) {
        ("byte_size", [value]) => sized(value, |bits| bits.div_ceil(8)),
        ("bit_size", [value]) => sized(value, |bits| bits),
        ("binary_part", [binary, Term::Tuple(range)]) => match range.as_slice() {
            [start, length] => part(binary, start, length),
            _ => Err(PrimitiveError::BadArg),
        },
        ("binary_part", [binary, start, length]) => part(binary, start, length),
        ("split_binary", [binary, at]) => split(binary, at),
        ("binary_to_list", [Term::Binary(bytes)]) => list(bytes, budget),
        ("binary_to_list", [Term::Binary(bytes), first, last]) => {
            range(bytes, first, last).and_then(|bytes| list(bytes, budget))
        }
        ("bitstring_to_list", [value]) => bit_list(value, budget),
        ("list_to_binary", [value @ Term::List(_)]) => gather(value, true, budget),
        ("list_to_binary", [value @ Term::Improper(..)]) => gather(value, true, budget),
        ("iolist_to_binary", [value]) => gather(value, true, budget),
        ("list_to_bitstring", [value @ (Term::List(_) | Term::Improper(..))]) => {
            gather(value, false, budget)
        }
        ("iolist_size", [value]) => measure(value).map(|bits| small(bits / 8)),
        ("binary_part" | "binary_to_list" | "list_to_binary" | "list_to_bitstring", _) => {
            Err(PrimitiveError::BadArg)
        }
        _ => return None,
    })
}

fn sized(value: &Term, unit: impl Fn(usize) -> usize) -> Outcome {
    BitView::of(value)
        .map(|view| small(unit(view.left())))
        .ok_or(PrimitiveError::BadArg)
}

/// `Length` bytes from `Start`; a negative length goes backwards.
fn part(binary: &Term, start: &Term, length: &Term) -> Outcome {
    let mut view = BitView::of(binary).ok_or(PrimitiveError::BadArg)?;
    let (Term::Int(start), Term::Int(length)) = (start, length) else {
        return Err(PrimitiveError::BadArg);
    };
    let end = start.checked_add(*length).ok_or(PrimitiveError::BadArg)?;
    let bits = |at: i64| usize::try_from(at).ok()?.checked_mul(8);
    let (from, to) = bits(*start.min(&end))
        .zip(bits(*start.max(&end)))
        .ok_or(PrimitiveError::BadArg)?;
    view.take(from).ok_or(PrimitiveError::BadArg)?;
    view.piece(to - from).ok_or(PrimitiveError::BadArg)
}

fn split(binary: &Term, at: &Term) -> Outcome {
    let at = at
        .as_i64()
        .and_then(|at| usize::try_from(at).ok())
        .ok_or(PrimitiveError::BadArg)?;
    let bits = at.checked_mul(8).ok_or(PrimitiveError::BadArg)?;
    let mut view = BitView::of(binary).ok_or(PrimitiveError::BadArg)?;
    let left = view.piece(bits).ok_or(PrimitiveError::BadArg)?;
    let rest = view.left();
    let right = view.piece(rest).ok_or(PrimitiveError::BadArg)?;
    Ok(Term::tuple([left, right]))
}

fn list(bytes: &[u8], budget: &mut Budget) -> Outcome {
    budget.pay(bytes.len() as u64)?;
    Ok(Term::list(
        bytes.iter().map(|byte| Term::Int(i64::from(*byte))),
    ))
}

/// Bytes from a first to a last position, counted from 1.
fn range<'b>(bytes: &'b [u8], first: &Term, last: &Term) -> Result<&'b [u8], PrimitiveError> {
    let position = |term: &Term| term.as_i64().and_then(|n| usize::try_from(n).ok());
    let (first, last) = position(first)
        .zip(position(last))
        .ok_or(PrimitiveError::BadArg)?;
    if first == 0 || first > last {
        return Err(PrimitiveError::BadArg);
    }
    bytes.get(first - 1..last).ok_or(PrimitiveError::BadArg)
}

fn bit_list(value: &Term, budget: &mut Budget) -> Outcome {
    let mut view = BitView::of(value).ok_or(PrimitiveError::BadArg)?;
    let whole = view.left() / 8 * 8;
    let bytes = view.take(whole).ok_or(PrimitiveError::BadArg)?;
    let Term::List(mut elements) = list(&bytes, budget)? else {
        return Err(PrimitiveError::BadArg);
    };
    let rest = view.left();
    if rest > 0 {
        elements.push(view.piece(rest).ok_or(PrimitiveError::BadArg)?);
    }
    Ok(Term::List(elements))
}

/// An iolist (or, unless `bytes`, a bitstring list) as one bitstring.
fn gather(value: &Term, bytes: bool, budget: &mut Budget) -> Outcome {
    if bytes && matches!(value, Term::Binary(_)) {
        return Ok(value.clone());
    }
    let mut leaves = Vec::new();
    let bits = flatten(value, bytes, &mut |leaf| leaves.push(leaf))?;
    budget.pay_bits(bits as u64)?;
    let mut out = Writer::default();
    for leaf in leaves {
        match leaf {
            Leaf::Byte(byte) => out.bits(&[byte], 8),
            Leaf::Bits(mut view) => {
                let count = view.left();
                out.bits(&view.take(count).unwrap_or_default(), count);
            }
        }
    }
    Ok(out.finish())
}

/// The size of an iolist in bits.
fn measure(value: &Term) -> Result<usize, PrimitiveError> {
    flatten(value, true, &mut |_| ())
}

enum Leaf {
    Byte(u8),
    Bits(BitView),
}

/// Visits bytes and binaries in order and adds up their bits. No deeper than values may be.
fn flatten(
    value: &Term,
    bytes: bool,
    visit: &mut impl FnMut(Leaf),
) -> Result<usize, PrimitiveError> {
    let mut sum = 0_usize;
    match value {
        Term::List(elements) => {
            for element in elements {
                sum += inside(element, bytes, visit)?;
            }
        }
        Term::Improper(elements, last) => {
            for element in elements {
                sum += inside(element, bytes, visit)?;
            }
            // A byte cannot be the tail of an iolist; a binary can.
            if matches!(**last, Term::Int(_)) {
                return Err(PrimitiveError::BadArg);
            }
            sum += inside(last, bytes, visit)?;
        }
        Term::Binary(_) => sum += inside(value, bytes, visit)?,
        _ => return Err(PrimitiveError::BadArg),
    }
    if sum > MAX_BITS {
        Err(PrimitiveError::SystemLimit)
    } else {
        Ok(sum)
    }
}

fn inside(
    value: &Term,
    bytes: bool,
    visit: &mut impl FnMut(Leaf),
) -> Result<usize, PrimitiveError> {
    match value {
        Term::Int(byte) => {
            let byte = u8::try_from(*byte).map_err(|_| PrimitiveError::BadArg)?;
            visit(Leaf::Byte(byte));
            Ok(8)
        }
        Term::Binary(_) | Term::Bits(..) => {
            if bytes && matches!(value, Term::Bits(..)) {
                return Err(PrimitiveError::BadArg);
            }
            let view = BitView::of(value).ok_or(PrimitiveError::BadArg)?;
            let bits = view.left();
            visit(Leaf::Bits(view));
            Ok(bits)
        }
        _ => flatten(value, bytes, visit),
    }
}
