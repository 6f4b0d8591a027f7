//! Erlang terms as values.
//!
//! A [`Term`] is normalised: an integer that fits in 64 bits is always [`Term::Int`], a list of bytes is
//! an ordinary list however it travelled, and a map is kept in Erlang's key order. Two terms are
//! `=:=` in Erlang exactly when they are equal here, so they can be compared, sorted and printed
//! without thinking about the wire. The wire itself is the business of [`etf`].
//!
//! Comparing, printing, encoding and dropping recurse. What comes from the wire is at most
//! [`etf::MAX_DEPTH`] deep, and code that builds terms from other input keeps to the same bound.

pub mod etf;
pub mod number;
mod order;
mod print;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use num_bigint::BigInt;
pub use order::compare_loose;
pub use print::{
    CUT, MAX_PRINTED, Notation, elixir, line_within, pretty, pretty_from, pretty_within, write,
    write_to,
};

/// An atom: its text, at most 255 characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Atom(Arc<str>);

impl Atom {
    /// Makes an atom from its text (without quotes).
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The text, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Atom {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<Arc<str>> for Atom {
    /// Shares the text.
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl From<String> for Atom {
    fn from(text: String) -> Self {
        Self(Arc::from(text))
    }
}

impl PartialEq<str> for Atom {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Atom {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

/// A process identifier, as it travels in `NEW_PID_EXT`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pid {
    /// The node that made it.
    pub node: Atom,
    /// The number (`Y` of `<X.Y.Z>`).
    pub id: u32,
    /// The serial (`Z` of `<X.Y.Z>`).
    pub serial: u32,
    /// The incarnation of the node.
    pub creation: u32,
}

/// A port identifier, as it travels in `V4_PORT_EXT`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Port {
    /// The node that made it.
    pub node: Atom,
    /// The number, `Y` of `#Port<X.Y>`.
    pub id: u64,
    /// The incarnation of the node.
    pub creation: u32,
}

/// A reference: one to five words, the first the least significant.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Reference {
    /// The node that made it.
    pub node: Atom,
    /// The incarnation of the node.
    pub creation: u32,
    /// The words as they travel.
    pub words: Vec<u32>,
}

/// A fun: `fun m:f/a`, or a closure of some node, which only that node can call.
#[non_exhaustive]
#[derive(Clone, PartialEq, Debug)]
pub enum Fun {
    /// `fun Module:Name/Arity`.
    External {
        /// The module that exports the function.
        module: Atom,
        /// The name of the function.
        name: Atom,
        /// How many arguments it takes.
        arity: u8,
    },
    /// A closure, kept so that it can be sent back unharmed.
    Closure(Arc<Closure>),
}

/// What `NEW_FUN_EXT` carries, field by field.
#[derive(Clone, PartialEq, Debug)]
pub struct Closure {
    /// The module that defines it.
    pub module: Atom,
    /// How many arguments it takes.
    pub arity: u8,
    /// MD5 of the module's significant parts.
    pub uniq: [u8; 16],
    /// Its index in the module's fun table.
    pub index: u32,
    /// Its index in the table of a module compiled before OTP R8; nodes print it.
    pub old_index: i32,
    /// The hash of its parse tree; nodes print it.
    pub old_uniq: i32,
    /// The process that made it.
    pub pid: Pid,
    /// The values it closes over.
    pub free: Vec<Term>,
}

/// A native record (OTP 29): values under the names that its definition gave them.
#[derive(Clone, Debug)]
pub struct Record {
    /// The module that defines it.
    pub module: Atom,
    /// The name of the definition.
    pub name: Atom,
    /// Whether the module exports the definition.
    pub exported: bool,
    /// Names and values, in the order of the definition.
    pub fields: Vec<(Atom, Term)>,
}

/// Any Erlang term, in a normal form: terms are `=:=` in Erlang exactly when they are equal here, as up to OTP 26
/// (`0.0` and `-0.0` are one). [`crate::terms`] says how they are read, printed, compared and encoded.
///
/// Terms that come as text or bytes are at most [`MAX_DEPTH`](etf::MAX_DEPTH) deep; what builds deeper ones makes printing,
/// comparing and dropping recurse as deep.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Term {
    /// An integer of 64 bits.
    Int(i64),
    /// An integer outside of 64 bits; never one that [`Term::Int`] could hold (see [`Term::integer`]).
    Big(Box<BigInt>),
    /// A finite float; never an infinity or NaN, which Erlang does not have.
    Float(f64),
    /// An atom, `true` and `false` among them.
    Atom(Atom),
    /// A reference, as `make_ref()` gives it.
    Reference(Reference),
    /// A fun of a node.
    Fun(Fun),
    /// A port of a node.
    Port(Port),
    /// A process of a node.
    Pid(Pid),
    /// A tuple of any size.
    Tuple(Vec<Term>),
    /// A native record, which OTP 29 and later have.
    Record(Box<Record>),
    /// A map, in Erlang's key order (integers before floats, then term order).
    Map(BTreeMap<Term, Term>),
    /// A proper list; `[]` when empty.
    List(Vec<Term>),
    /// `[E1, .. | Tail]`: at least one element, and a tail that is not a list.
    Improper(Vec<Term>, Box<Term>),
    /// A binary: whole bytes.
    Binary(Arc<[u8]>),
    /// A bitstring whose last byte has 1 to 7 used bits, counted from the most significant.
    Bits(Arc<[u8]>, u8),
}

impl Term {
    /// An atom from its text, without quotes; at most 255 characters.
    pub fn atom(text: impl AsRef<str>) -> Self {
        Self::Atom(Atom::new(text))
    }

    /// An integer of any size, in its normal form.
    pub fn integer(value: BigInt) -> Self {
        match i64::try_from(&value) {
            Ok(small) => Self::Int(small),
            Err(_) => Self::Big(Box::new(value)),
        }
    }

    /// A binary of these bytes.
    pub fn binary(bytes: impl AsRef<[u8]>) -> Self {
        Self::Binary(Arc::from(bytes.as_ref()))
    }

    /// An Erlang string: the list of the text's code points.
    pub fn string(text: &str) -> Self {
        Self::List(
            text.chars()
                .map(|c| Self::Int(i64::from(u32::from(c))))
                .collect(),
        )
    }

    /// A tuple of these elements.
    pub fn tuple(elements: impl IntoIterator<Item = Term>) -> Self {
        Self::Tuple(elements.into_iter().collect())
    }

    /// A proper list of these elements.
    pub fn list(elements: impl IntoIterator<Item = Term>) -> Self {
        Self::List(elements.into_iter().collect())
    }

    /// A map of these pairs; of two with one key the later counts.
    pub fn map(pairs: impl IntoIterator<Item = (Term, Term)>) -> Self {
        Self::Map(pairs.into_iter().collect())
    }

    /// The atom `true` or `false`.
    pub fn boolean(value: bool) -> Self {
        Self::atom(if value { "true" } else { "false" })
    }

    /// A list from its elements and its tail, normalised.
    pub fn cons(mut elements: Vec<Term>, tail: Term) -> Self {
        if elements.is_empty() {
            return tail;
        }
        match tail {
            Self::List(rest) => {
                elements.extend(rest);
                Self::List(elements)
            }
            Self::Improper(rest, last) => {
                elements.extend(rest);
                Self::Improper(elements, last)
            }
            other => Self::Improper(elements, Box::new(other)),
        }
    }

    /// The atom, if it is one.
    pub fn as_atom(&self) -> Option<&Atom> {
        match self {
            Self::Atom(atom) => Some(atom),
            _ => None,
        }
    }

    /// Whether this is the given atom.
    pub fn is_atom(&self, text: &str) -> bool {
        self.as_atom().is_some_and(|atom| atom == text)
    }

    /// The integer, if it fits in 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The elements, if it is a tuple.
    pub fn as_tuple(&self) -> Option<&[Term]> {
        match self {
            Self::Tuple(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements, if it is a proper list.
    pub fn as_list(&self) -> Option<&[Term]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The pairs, if it is a map.
    pub fn as_map(&self) -> Option<&BTreeMap<Term, Term>> {
        match self {
            Self::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The value under an atom key, if it is a map that has one.
    pub fn get(&self, key: &str) -> Option<&Term> {
        self.as_map()?.get(&Self::atom(key))
    }

    /// The bytes, if it is a binary.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The process identifier, if it is one.
    pub fn as_pid(&self) -> Option<&Pid> {
        match self {
            Self::Pid(pid) => Some(pid),
            _ => None,
        }
    }

    /// Text of a string (list of code points), a UTF-8 binary or an atom.
    pub fn to_text(&self) -> Option<String> {
        match self {
            Self::List(elements) => elements
                .iter()
                .map(|e| char::from_u32(u32::try_from(e.as_i64()?).ok()?))
                .collect(),
            Self::Binary(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            Self::Atom(atom) => Some(atom.as_str().to_owned()),
            _ => None,
        }
    }
}
