//! Type tests: `is_atom` and its kind. Never touches more than the outermost term, but for lists.

use super::Outcome;
use crate::eval::failure::PrimitiveError;
use crate::eval::operator;
use crate::term::{Fun, Term};

pub(super) fn call(name: &str, args: &[Term]) -> Outcome {
    let truth = match (name, args) {
        ("is_atom", [Term::Atom(_)]) => true,
        ("is_binary", [Term::Binary(_)]) => true,
        ("is_bitstring", [Term::Binary(_) | Term::Bits(..)]) => true,
        ("is_boolean", [value]) => operator::truth(value).is_some(),
        ("is_float", [Term::Float(_)]) => true,
        ("is_function", [Term::Fun(_)]) => true,
        ("is_function", [value, arity]) => return is_function(value, arity),
        ("is_integer", [Term::Int(_) | Term::Big(_)]) => true,
        ("is_list", [Term::List(_) | Term::Improper(..)]) => true,
        ("is_map", [Term::Map(_)]) => true,
        ("is_map_key", [key, Term::Map(map)]) => map.contains_key(key),
        ("is_map_key", [_, other]) => return Err(PrimitiveError::BadMap(other.clone())),
        ("is_number", [Term::Int(_) | Term::Big(_) | Term::Float(_)]) => true,
        ("is_pid", [Term::Pid(_)]) => true,
        ("is_port", [Term::Port(_)]) => true,
        ("is_record", [value, tag]) => is_record(value, tag, None)?,
        ("is_record", [value, tag, Term::Int(size)]) => is_record(value, tag, Some(*size))?,
        ("is_record", [..]) => return Err(PrimitiveError::BadArg),
        ("is_reference", [Term::Reference(_)]) => true,
        ("is_tuple", [Term::Tuple(_)]) => true,
        _ => false,
    };
    Ok(Term::boolean(truth))
}

fn is_function(value: &Term, arity: &Term) -> Outcome {
    let wanted = match arity {
        Term::Int(arity) if *arity >= 0 => *arity,
        Term::Big(big) if big.sign() == num_bigint::Sign::Plus => i64::MAX,
        _ => return Err(PrimitiveError::BadArg),
    };
    Ok(Term::boolean(match value {
        Term::Fun(Fun::External { arity, .. }) => i64::from(*arity) == wanted,
        Term::Fun(Fun::Closure(closure)) => i64::from(closure.arity) == wanted,
        _ => false,
    }))
}

fn is_record(value: &Term, tag: &Term, size: Option<i64>) -> Result<bool, PrimitiveError> {
    if tag.as_atom().is_none() || size.is_some_and(|size| size < 0) {
        return Err(PrimitiveError::BadArg);
    }
    Ok(match value {
        Term::Tuple(elements) => {
            elements.first() == Some(tag)
                && size.is_none_or(|size| usize::try_from(size) == Ok(elements.len()))
        }
        _ => false,
    })
}
