//! Built-in functions on lists, tuples and maps.

use super::{Outcome, small};
use crate::eval::failure::PrimitiveError;
use crate::term::Term;

pub(super) fn call(name: &str, args: &[Term]) -> Option<Outcome> {
    Some(match (name, args) {
        ("length", [Term::List(elements)]) => Ok(small(elements.len())),
        ("hd", [Term::List(elements) | Term::Improper(elements, _)]) => {
            elements.first().cloned().ok_or(PrimitiveError::BadArg)
        }
        ("tl", [list]) => tail(list),
        ("element", [Term::Int(n), Term::Tuple(elements)]) => {
            let index = index(*n, elements.len());
            index
                .map(|index| elements[index].clone())
                .ok_or(PrimitiveError::BadArg)
        }
        ("setelement", [Term::Int(n), Term::Tuple(elements), value]) => {
            let index = index(*n, elements.len());
            index
                .map(|index| with(elements, index, value))
                .ok_or(PrimitiveError::BadArg)
        }
        ("tuple_size", [Term::Tuple(elements)]) => Ok(small(elements.len())),
        ("size", [Term::Tuple(elements)]) => Ok(small(elements.len())),
        ("size", [Term::Binary(bytes)]) => Ok(small(bytes.len())),
        ("size", [Term::Bits(bytes, _)]) => Ok(small(bytes.len().saturating_sub(1))),
        ("tuple_to_list", [Term::Tuple(elements)]) => Ok(Term::List(elements.clone())),
        ("list_to_tuple", [Term::List(elements)]) => Ok(Term::Tuple(elements.clone())),
        ("map_size", [Term::Map(map)]) => Ok(small(map.len())),
        ("map_get", [key, Term::Map(map)]) => map
            .get(key)
            .cloned()
            .ok_or_else(|| PrimitiveError::BadKey(key.clone())),
        ("map_size", [other]) | ("map_get", [_, other]) => {
            Err(PrimitiveError::BadMap(other.clone()))
        }
        (
            "length" | "hd" | "element" | "setelement" | "tuple_size" | "size" | "tuple_to_list"
            | "list_to_tuple",
            _,
        ) => Err(PrimitiveError::BadArg),
        _ => return None,
    })
}

fn tail(list: &Term) -> Outcome {
    match list {
        Term::List(elements) => match elements.split_first() {
            Some((_, rest)) => Ok(Term::List(rest.to_vec())),
            None => Err(PrimitiveError::BadArg),
        },
        Term::Improper(elements, last) => {
            let rest = elements.get(1..).unwrap_or_default().to_vec();
            Ok(Term::cons(rest, (**last).clone()))
        }
        _ => Err(PrimitiveError::BadArg),
    }
}

/// A position counted from 1, as an index.
fn index(n: i64, len: usize) -> Option<usize> {
    let index = usize::try_from(n).ok()?.checked_sub(1)?;
    (index < len).then_some(index)
}

fn with(elements: &[Term], index: usize, value: &Term) -> Term {
    let mut elements = elements.to_vec();
    elements[index] = value.clone();
    Term::Tuple(elements)
}
