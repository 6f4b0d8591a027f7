//! Erlang's pure built-in functions, called without a module: which there are, and what computes them.
//!
//! Values and exceptions are those of OTP 25 with the arguments checked in the same order. Nothing here
//! touches a process, the clock or a node.

mod binaries;
mod data;
mod floats;
mod numbers;
mod tests;
mod text;

use super::failure::{ExceptionClass, PrimitiveError};
use super::limits::Budget;
use crate::term::Term;

type Outcome = Result<Term, PrimitiveError>;

/// Name, arity, and whether Erlang allows it in guards.
const TABLE: &[(&str, usize, bool)] = &[
    ("abs", 1, true),
    ("atom_to_binary", 1, false),
    ("atom_to_binary", 2, false),
    ("atom_to_list", 1, false),
    ("binary_part", 2, true),
    ("binary_part", 3, true),
    ("binary_to_atom", 1, false),
    ("binary_to_atom", 2, false),
    ("binary_to_existing_atom", 1, false),
    ("binary_to_existing_atom", 2, false),
    ("binary_to_float", 1, false),
    ("binary_to_integer", 1, false),
    ("binary_to_integer", 2, false),
    ("binary_to_list", 1, false),
    ("binary_to_list", 3, false),
    ("bit_size", 1, true),
    ("bitstring_to_list", 1, false),
    ("byte_size", 1, true),
    ("ceil", 1, true),
    ("element", 2, true),
    ("error", 1, false),
    ("error", 2, false),
    ("error", 3, false),
    ("exit", 1, false),
    ("float", 1, true),
    ("float_to_binary", 1, false),
    ("float_to_binary", 2, false),
    ("float_to_list", 1, false),
    ("float_to_list", 2, false),
    ("floor", 1, true),
    ("hd", 1, true),
    ("integer_to_binary", 1, false),
    ("integer_to_binary", 2, false),
    ("integer_to_list", 1, false),
    ("integer_to_list", 2, false),
    ("iolist_size", 1, false),
    ("iolist_to_binary", 1, false),
    ("is_atom", 1, true),
    ("is_binary", 1, true),
    ("is_bitstring", 1, true),
    ("is_boolean", 1, true),
    ("is_float", 1, true),
    ("is_function", 1, true),
    ("is_function", 2, true),
    ("is_integer", 1, true),
    ("is_list", 1, true),
    ("is_map", 1, true),
    ("is_map_key", 2, true),
    ("is_number", 1, true),
    ("is_pid", 1, true),
    ("is_port", 1, true),
    ("is_record", 2, true),
    ("is_record", 3, true),
    ("is_reference", 1, true),
    ("is_tuple", 1, true),
    ("length", 1, true),
    ("list_to_atom", 1, false),
    ("list_to_binary", 1, false),
    ("list_to_bitstring", 1, false),
    ("list_to_existing_atom", 1, false),
    ("list_to_float", 1, false),
    ("list_to_integer", 1, false),
    ("list_to_integer", 2, false),
    ("list_to_tuple", 1, false),
    ("map_get", 2, true),
    ("map_size", 1, true),
    ("max", 2, true),
    ("min", 2, true),
    ("round", 1, true),
    ("setelement", 3, false),
    ("size", 1, true),
    ("split_binary", 2, false),
    ("throw", 1, false),
    ("tl", 1, true),
    ("trunc", 1, true),
    ("tuple_size", 1, true),
    ("tuple_to_list", 1, false),
];

/// The names of the built-in functions, for suggestions and completion.
pub fn names() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    TABLE
        .iter()
        .map(|(name, _, _)| *name)
        .filter(move |name| std::mem::replace(&mut last, name) != *name)
}

/// Whether there is a built-in function of this name and number of arguments.
pub fn exists(name: &str, arity: usize) -> bool {
    TABLE
        .iter()
        .any(|(known, n, _)| *known == name && *n == arity)
}

/// Whether a built-in function may be in the guard of a clause.
pub(super) fn in_guards(name: &str, arity: usize) -> bool {
    TABLE
        .iter()
        .any(|(known, n, guard)| *known == name && *n == arity && *guard)
}

/// Calls a built-in function; `None` if there is none of this name and arity.
pub(super) fn call(name: &str, args: &[Term], budget: &mut Budget) -> Option<Outcome> {
    if !exists(name, args.len()) {
        return None;
    }
    if name.starts_with("is_") {
        return Some(tests::call(name, args));
    }
    let outcome = match (name, args) {
        ("throw", [reason]) => raise(ExceptionClass::Throw, reason),
        ("exit", [reason]) => raise(ExceptionClass::Exit, reason),
        ("error", [reason, ..]) => raise(ExceptionClass::Error, reason),
        _ => numbers::call(name, args)
            .or_else(|| data::call(name, args))
            .or_else(|| floats::call(name, args))
            .or_else(|| binaries::call(name, args, budget))
            .or_else(|| text::call(name, args, budget))?,
    };
    Some(outcome)
}

fn raise(class: ExceptionClass, reason: &Term) -> Outcome {
    Err(PrimitiveError::Raise(class, reason.clone()))
}

fn small(number: usize) -> Term {
    Term::integer(number.into())
}
