//! Arithmetic on Erlang's numbers: integers of any size, finite floats.
//!
//! Takes terms, gives a term or the fault of Erlang's operator. A result never has more than
//! [`MAX_BITS`] bits: whatever would be bigger is `system_limit`, decided before it is computed.
//! Mixed operations convert the integer as `big_to_double` of ERTS does.

use num_bigint::Sign;
use num_traits::{FromPrimitive, Signed, ToPrimitive, Zero};

use super::failure::PrimitiveError;
use crate::term::{BigInt, Term};

pub(super) use crate::term::number::MAX_BITS;

type Outcome = Result<Term, PrimitiveError>;

/// `+ - * / div rem band bor bxor bsl bsr`.
pub(super) fn binary(op: &str, left: &Term, right: &Term) -> Outcome {
    match op {
        "+" | "-" | "*" => plain(op, left, right),
        "/" => {
            let divisor = to_f64(right)?;
            let dividend = to_f64(left)?;
            if divisor == 0.0 {
                Err(PrimitiveError::BadArith)
            } else {
                finite(dividend / divisor)
            }
        }
        "bsl" => shift(left, right, false),
        "bsr" => shift(left, right, true),
        _ => integral(op, left, right),
    }
}

/// Unary `+ - bnot`.
pub(super) fn unary(op: &str, value: &Term) -> Outcome {
    match (op, value) {
        ("-", Term::Float(float)) => Ok(Term::Float(-float)),
        ("-", _) => plain("-", &Term::Int(0), value),
        ("+", Term::Int(_) | Term::Big(_) | Term::Float(_)) => Ok(value.clone()),
        ("bnot", Term::Int(small)) => Ok(Term::Int(!small)),
        ("bnot", Term::Big(big)) => Ok(Term::integer(!(**big).clone())),
        _ => Err(PrimitiveError::BadArith),
    }
}

fn plain(op: &str, left: &Term, right: &Term) -> Outcome {
    if let (Term::Int(a), Term::Int(b)) = (left, right) {
        let small = match op {
            "+" => a.checked_add(*b),
            "-" => a.checked_sub(*b),
            _ => a.checked_mul(*b),
        };
        if let Some(small) = small {
            return Ok(Term::Int(small));
        }
    }
    if matches!(left, Term::Float(_)) || matches!(right, Term::Float(_)) {
        let (a, b) = (to_f64(left)?, to_f64(right)?);
        return finite(match op {
            "+" => a + b,
            "-" => a - b,
            _ => a * b,
        });
    }
    let (a, b) = (to_big(left)?, to_big(right)?);
    let bits = if op == "*" {
        a.bits() + b.bits()
    } else {
        a.bits().max(b.bits())
    };
    bounded(bits)?;
    Ok(Term::integer(match op {
        "+" => a + b,
        "-" => a - b,
        _ => a * b,
    }))
}

fn integral(op: &str, left: &Term, right: &Term) -> Outcome {
    if let (Term::Int(a), Term::Int(b)) = (left, right) {
        let small = match op {
            "div" => a.checked_div(*b),
            "rem" => a.checked_rem(*b),
            "band" => Some(a & b),
            "bor" => Some(a | b),
            "bxor" => Some(a ^ b),
            _ => None,
        };
        if let Some(small) = small {
            return Ok(Term::Int(small));
        }
    }
    let (a, b) = (to_big(left)?, to_big(right)?);
    match op {
        "div" | "rem" if b.is_zero() => Err(PrimitiveError::BadArith),
        "div" => Ok(Term::integer(a / b)),
        "rem" => Ok(Term::integer(a % b)),
        "band" => Ok(Term::integer(a & b)),
        "bor" => Ok(Term::integer(a | b)),
        "bxor" => Ok(Term::integer(a ^ b)),
        _ => Err(PrimitiveError::BadArith),
    }
}

fn shift(left: &Term, right: &Term, towards_right: bool) -> Outcome {
    let (value, by) = (to_big(left)?, to_big(right)?);
    let by = if towards_right { -by } else { by };
    if value.is_zero() || by.is_zero() {
        return Ok(Term::integer(value));
    }
    let distance = by.abs().to_u64().unwrap_or(u64::MAX);
    if by.is_negative() {
        let gone = if value.is_negative() { -1 } else { 0 };
        return Ok(if distance > MAX_BITS {
            Term::Int(gone)
        } else {
            Term::integer(value >> distance)
        });
    }
    bounded(value.bits().saturating_add(distance))?;
    Ok(Term::integer(value << distance))
}

/// Whether an integer of so many bits is allowed.
pub(super) fn bounded(bits: u64) -> Result<(), PrimitiveError> {
    if bits > MAX_BITS {
        Err(PrimitiveError::SystemLimit)
    } else {
        Ok(())
    }
}

fn finite(value: f64) -> Outcome {
    if value.is_finite() {
        Ok(Term::Float(value))
    } else {
        Err(PrimitiveError::BadArith)
    }
}

/// The integer, however big.
pub(super) fn to_big(value: &Term) -> Result<BigInt, PrimitiveError> {
    match value {
        Term::Int(small) => Ok(BigInt::from(*small)),
        Term::Big(big) => Ok((**big).clone()),
        _ => Err(PrimitiveError::BadArith),
    }
}

/// The number as a float.
pub(super) fn to_f64(value: &Term) -> Result<f64, PrimitiveError> {
    match value {
        Term::Int(small) => Ok(*small as f64),
        Term::Big(big) => {
            let base = 18_446_744_073_709_551_616.0_f64;
            let mut float = 0.0;
            for digit in big.iter_u64_digits().rev() {
                float = float * base + digit as f64;
            }
            if big.sign() == Sign::Minus {
                float = -float;
            }
            if float.is_finite() {
                Ok(float)
            } else {
                Err(PrimitiveError::BadArith)
            }
        }
        Term::Float(float) => Ok(*float),
        _ => Err(PrimitiveError::BadArith),
    }
}

/// The integer that a float without fraction is.
pub(super) fn from_whole(value: f64) -> Outcome {
    BigInt::from_f64(value)
        .map(Term::integer)
        .ok_or(PrimitiveError::BadArg)
}
