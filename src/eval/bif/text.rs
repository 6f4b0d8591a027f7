//! Built-in functions between atoms, integers and their text.
//!
//! Atoms hold at most 255 characters; every atom counts as existing, since the node decides that.

use num_bigint::Sign;

use super::Outcome;
use crate::eval::failure::PrimitiveError;
use crate::eval::limits::Budget;
use crate::eval::number;
use crate::term::Term;
use crate::term::number::{self as integer, NotInteger};

pub(super) fn call(name: &str, args: &[Term], budget: &mut Budget) -> Option<Outcome> {
    Some(match (name, args) {
        ("atom_to_list", [Term::Atom(atom)]) => Ok(Term::string(atom.as_str())),
        ("atom_to_binary", [Term::Atom(atom)]) => Ok(Term::binary(atom.as_str())),
        ("atom_to_binary", [Term::Atom(atom), encoding]) => encode(atom.as_str(), encoding),
        ("list_to_atom" | "list_to_existing_atom", [Term::List(points)]) => {
            characters(points).and_then(|text| atom(&text))
        }
        ("binary_to_atom" | "binary_to_existing_atom", [Term::Binary(bytes)]) => utf8(bytes),
        ("binary_to_atom" | "binary_to_existing_atom", [Term::Binary(bytes), encoding]) => {
            decode(bytes, encoding)
        }
        ("integer_to_list", [value]) => {
            written(value, &Term::Int(10), budget).map(|t| Term::string(&t))
        }
        ("integer_to_list", [value, base]) => {
            written(value, base, budget).map(|t| Term::string(&t))
        }
        ("integer_to_binary", [value]) => written(value, &Term::Int(10), budget).map(Term::binary),
        ("integer_to_binary", [value, base]) => written(value, base, budget).map(Term::binary),
        ("list_to_integer", [Term::List(points)]) => read_list(points, &Term::Int(10), budget),
        ("list_to_integer", [Term::List(points), base]) => read_list(points, base, budget),
        ("binary_to_integer", [Term::Binary(bytes)]) => read(bytes, &Term::Int(10), budget),
        ("binary_to_integer", [Term::Binary(bytes), base]) => read(bytes, base, budget),
        (
            "atom_to_list"
            | "atom_to_binary"
            | "list_to_atom"
            | "list_to_existing_atom"
            | "binary_to_atom"
            | "binary_to_existing_atom"
            | "list_to_integer"
            | "binary_to_integer",
            _,
        ) => Err(PrimitiveError::BadArg),
        _ => return None,
    })
}

fn characters(points: &[Term]) -> Result<String, PrimitiveError> {
    let character = |point: &Term| {
        let point = u32::try_from(point.as_i64()?).ok()?;
        char::from_u32(point)
    };
    points
        .iter()
        .map(character)
        .collect::<Option<String>>()
        .ok_or(PrimitiveError::BadArg)
}

fn atom(text: &str) -> Outcome {
    if text.chars().count() > 255 {
        Err(PrimitiveError::SystemLimit)
    } else {
        Ok(Term::atom(text))
    }
}

fn utf8(bytes: &[u8]) -> Outcome {
    let text = std::str::from_utf8(bytes).map_err(|_| PrimitiveError::BadArg)?;
    atom(text)
}

fn is_latin1(encoding: &Term) -> Result<bool, PrimitiveError> {
    match encoding.as_atom().map(|atom| atom.as_str()) {
        Some("latin1") => Ok(true),
        Some("utf8" | "unicode") => Ok(false),
        _ => Err(PrimitiveError::BadArg),
    }
}

fn encode(text: &str, encoding: &Term) -> Outcome {
    if !is_latin1(encoding)? {
        return Ok(Term::binary(text));
    }
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    bytes.map(Term::binary).map_err(|_| PrimitiveError::BadArg)
}

fn decode(bytes: &[u8], encoding: &Term) -> Outcome {
    if !is_latin1(encoding)? {
        return utf8(bytes);
    }
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    atom(&text)
}

fn radix(base: &Term) -> Result<u32, PrimitiveError> {
    match base {
        Term::Int(base @ 2..=36) => Ok(*base as u32),
        _ => Err(PrimitiveError::BadArg),
    }
}

fn written(value: &Term, base: &Term, budget: &mut Budget) -> Result<String, PrimitiveError> {
    let number = number::to_big(value).map_err(|_| PrimitiveError::BadArg)?;
    let base = radix(base)?;
    budget.pay(number.bits())?;
    Ok(number.to_str_radix(base).to_ascii_uppercase())
}

fn read_list(points: &[Term], base: &Term, budget: &mut Budget) -> Outcome {
    let bytes: Option<Vec<u8>> = points
        .iter()
        .map(|point| u8::try_from(point.as_i64()?).ok())
        .collect();
    read(&bytes.ok_or(PrimitiveError::BadArg)?, base, budget)
}

/// An optional sign and digits, nothing else.
fn read(bytes: &[u8], base: &Term, budget: &mut Budget) -> Outcome {
    let base = radix(base)?;
    let (sign, digits) = match bytes.split_first() {
        Some((b'-', digits)) => (Sign::Minus, digits),
        Some((b'+', digits)) => (Sign::Plus, digits),
        _ => (Sign::Plus, bytes),
    };
    let valid = digits.iter().all(|digit| char::from(*digit).is_digit(base));
    if digits.is_empty() || !valid {
        return Err(PrimitiveError::BadArg);
    }
    budget.pay(digits.len() as u64)?;
    let number = integer::parse(digits, base).map_err(|why| match why {
        NotInteger::Malformed => PrimitiveError::BadArg,
        NotInteger::TooBig => PrimitiveError::SystemLimit,
    })?;
    Ok(Term::integer(if sign == Sign::Minus {
        -number
    } else {
        number
    }))
}
