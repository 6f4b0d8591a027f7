//! Operators on evaluated operands: comparison, booleans, lists; numbers go to [`number`].
//!
//! `andalso` and `orelse` are not here: they decide whether their right side is evaluated at all.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::failure::PrimitiveError;
use super::limits::Budget;
use super::number;
use crate::term::{Term, compare_loose};

/// `Left op Right`.
pub(super) fn binary(
    op: &str,
    left: Term,
    right: Term,
    budget: &mut Budget,
) -> Result<Term, (PrimitiveError, Box<[Term; 2]>)> {
    let outcome = match op {
        "++" => return append(left, right, budget),
        "--" => return subtract(left, right),
        "and" | "or" | "xor" => boolean(op, &left, &right),
        _ => match compare(op, &left, &right) {
            Some(truth) => Ok(Term::boolean(truth)),
            None => number::binary(op, &left, &right),
        },
    };
    outcome.map_err(|fault| (fault, Box::new([left, right])))
}

/// The value of a comparison; `None` if the operator is none.
pub(super) fn compare(op: &str, left: &Term, right: &Term) -> Option<bool> {
    Some(match op {
        "=:=" => left == right,
        "=/=" => left != right,
        "==" => compare_loose(left, right) == Ordering::Equal,
        "/=" => compare_loose(left, right) != Ordering::Equal,
        "<" => compare_loose(left, right) == Ordering::Less,
        ">" => compare_loose(left, right) == Ordering::Greater,
        "=<" => compare_loose(left, right) != Ordering::Greater,
        ">=" => compare_loose(left, right) != Ordering::Less,
        _ => return None,
    })
}

/// Whether this is a comparison.
pub(super) fn is_comparison(op: &str) -> bool {
    matches!(op, "=:=" | "=/=" | "==" | "/=" | "<" | ">" | "=<" | ">=")
}

/// `true` or `false` as such.
pub(super) fn truth(value: &Term) -> Option<bool> {
    match value.as_atom()?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn boolean(op: &str, left: &Term, right: &Term) -> Result<Term, PrimitiveError> {
    let (a, b) = truth(left)
        .zip(truth(right))
        .ok_or(PrimitiveError::BadArg)?;
    Ok(Term::boolean(match op {
        "and" => a && b,
        "or" => a || b,
        _ => a != b,
    }))
}

type ListOutcome = Result<Term, (PrimitiveError, Box<[Term; 2]>)>;

fn append(left: Term, right: Term, budget: &mut Budget) -> ListOutcome {
    match left {
        Term::List(elements) => {
            if let Err(exceeded) = budget.pay(elements.len() as u64) {
                return Err((exceeded.into(), Box::new([Term::Int(0), Term::Int(0)])));
            }
            Ok(Term::cons(elements, right))
        }
        left => Err((PrimitiveError::BadArg, Box::new([left, right]))),
    }
}

/// Every element of the right takes away the first equal one of the left.
fn subtract(left: Term, right: Term) -> ListOutcome {
    match (left, right) {
        (Term::List(elements), Term::List(gone)) => {
            let mut counts: BTreeMap<&Term, usize> = BTreeMap::new();
            for term in &gone {
                *counts.entry(term).or_default() += 1;
            }
            let kept = elements
                .into_iter()
                .filter(|term| match counts.get_mut(term) {
                    Some(count) if *count > 0 => {
                        *count -= 1;
                        false
                    }
                    _ => true,
                });
            Ok(Term::list(kept))
        }
        (left, right) => Err((PrimitiveError::BadArg, Box::new([left, right]))),
    }
}
