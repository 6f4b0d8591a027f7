//! Built-in functions on numbers, and `min` and `max` of any terms.

use std::cmp::Ordering;

use num_traits::Signed;

use super::Outcome;
use crate::eval::failure::PrimitiveError;
use crate::eval::number;
use crate::term::{Term, compare_loose};

pub(super) fn call(name: &str, args: &[Term]) -> Option<Outcome> {
    Some(match (name, args) {
        ("abs", [value]) => abs(value),
        ("float", [value]) => number::to_f64(value)
            .map(Term::Float)
            .map_err(|_| PrimitiveError::BadArg),
        ("trunc", [value]) => to_integer(value, f64::trunc),
        ("round", [value]) => to_integer(value, f64::round),
        ("ceil", [value]) => to_integer(value, f64::ceil),
        ("floor", [value]) => to_integer(value, f64::floor),
        ("min", [a, b]) => Ok(pick(a, b, Ordering::Greater)),
        ("max", [a, b]) => Ok(pick(a, b, Ordering::Less)),
        _ => return None,
    })
}

fn abs(value: &Term) -> Outcome {
    match value {
        Term::Int(small) => Ok(match small.checked_abs() {
            Some(abs) => Term::Int(abs),
            None => Term::integer(number::to_big(value)?.abs()),
        }),
        Term::Big(big) => Ok(Term::integer(big.abs())),
        // `-0.0` is not less than zero and stays as it is.
        Term::Float(float) if *float < 0.0 => Ok(Term::Float(-float)),
        Term::Float(_) => Ok(value.clone()),
        _ => Err(PrimitiveError::BadArg),
    }
}

fn to_integer(value: &Term, rounded: fn(f64) -> f64) -> Outcome {
    match value {
        Term::Int(_) | Term::Big(_) => Ok(value.clone()),
        Term::Float(float) => number::from_whole(rounded(*float)),
        _ => Err(PrimitiveError::BadArg),
    }
}

/// The first of the two, unless the order says that it is the wrong one.
fn pick(a: &Term, b: &Term, wrong: Ordering) -> Term {
    if compare_loose(a, b) == wrong {
        b.clone()
    } else {
        a.clone()
    }
}
