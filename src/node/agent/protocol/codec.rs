//! Reading and writing terms by their types.
//!
//! A type of the protocol is declared once, by one of the macros of `declare`: from that come the Rust type, its decoder, its
//! encoder, and the notation in which `PROTOCOL.md` writes it (Erlang's own: `:=` for a key that is always there, `=>`
//! for one that may be missing). A map with a key too many or too few is an error, not a default.

use std::fmt;

use crate::term::Term;

/// Characters of a term in an error.
const SHOWN: usize = 80;

/// Why something that the agent has sent cannot be read: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The innermost place first.
    places: Vec<String>,
    problem: String,
}

impl DecodeError {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self {
            places: Vec::new(),
            problem: problem.into(),
        }
    }

    pub(super) fn expected(what: &str, found: &Term) -> Self {
        Self::new(format!("expected {what}, found {}", shortened(found)))
    }

    pub(super) fn within(mut self, place: impl Into<String>) -> Self {
        self.places.push(place.into());
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.places.is_empty() {
            let places: Vec<&str> = self.places.iter().rev().map(String::as_str).collect();
            write!(f, "{}: ", places.join(", "))?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for DecodeError {}

fn shortened(term: &Term) -> String {
    crate::term::line_within(term, SHOWN)
}

/// The definitions of named types, as `PROTOCOL.md` lists them.
#[cfg(test)]
pub type Definitions = std::collections::BTreeMap<&'static str, String>;

/// A type of the protocol.
pub trait Codec: Sized {
    /// The type as `PROTOCOL.md` writes it where it is used.
    fn notation() -> String;

    /// Adds the definitions of the named types that this one consists of, for tests.
    #[cfg(test)]
    fn define(_definitions: &mut super::codec::Definitions) {}

    /// Reads a term.
    fn decode(term: &Term) -> Result<Self, DecodeError>;

    /// Writes it as it travels.
    fn encode(&self) -> Term;

    /// Any value, for tests.
    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self;
}

/// Large ones are kept apart.
impl<T: Codec> Codec for Box<T> {
    fn notation() -> String {
        T::notation()
    }

    #[cfg(test)]
    fn define(definitions: &mut super::codec::Definitions) {
        T::define(definitions);
    }

    fn decode(term: &Term) -> Result<Self, DecodeError> {
        T::decode(term).map(Self::new)
    }

    fn encode(&self) -> Term {
        T::encode(self)
    }

    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self {
        Self::new(T::sample(source))
    }
}

/// A map with known keys.
pub trait Record: Codec {
    /// The keys that it always has.
    const REQUIRED: &'static [&'static str];
    /// The keys that it may have.
    const OPTIONAL: &'static [&'static str];

    /// How many keys of a map it would miss, and how many it does not know; `None` for another term.
    fn difference(term: &Term) -> Option<usize> {
        let map = term.as_map()?;
        let missing = Self::REQUIRED.iter().filter(|key| term.get(key).is_none());
        let known = |key: &Term| {
            key.as_atom().is_some_and(|key| {
                let mut all = Self::REQUIRED.iter().chain(Self::OPTIONAL);
                all.any(|known| key == known)
            })
        };
        Some(missing.count() + map.keys().filter(|key| !known(key)).count())
    }

    /// That a term is a map with the keys of this record and no others.
    fn check_keys(term: &Term) -> Result<(), DecodeError> {
        let Some(map) = term.as_map() else {
            return Err(DecodeError::expected(&Self::notation(), term));
        };
        let missing = Self::REQUIRED.iter().filter(|key| term.get(key).is_none());
        let missing = missing.map(|key| format!("`{key}` is missing"));
        let unknown = map.keys().filter(|key| {
            let known = |known: &&str| key.is_atom(known);
            !Self::REQUIRED.iter().chain(Self::OPTIONAL).any(known)
        });
        let unknown = unknown.map(|key| format!("`{}` is unknown", shortened(key)));
        let wrong: Vec<String> = missing.chain(unknown).take(4).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let problem = format!("keys of {}: {}", Self::notation(), wrong.join(", "));
        Err(DecodeError::new(problem))
    }
}

impl<T: Record> Record for Box<T> {
    const REQUIRED: &'static [&'static str] = T::REQUIRED;
    const OPTIONAL: &'static [&'static str] = T::OPTIONAL;
}

/// The value under a key that is there.
pub(super) fn required<T: Codec>(term: &Term, key: &str) -> Result<T, DecodeError> {
    let value = term
        .get(key)
        .ok_or_else(|| DecodeError::new(format!("`{key}` is missing")))?;
    T::decode(value).map_err(|error| error.within(format!("`{key}`")))
}

/// The value under a key that may be missing.
pub(super) fn optional<T: Codec>(term: &Term, key: &str) -> Result<Option<T>, DecodeError> {
    term.get(key).map(|_| required(term, key)).transpose()
}

/// The parts of a tuple behind its tag; none of an atom that is all.
pub(super) struct Parts<'t> {
    tag: &'t str,
    rest: &'t [Term],
}

impl<'t> Parts<'t> {
    pub(super) fn of(term: &'t Term, what: &str) -> Result<Self, DecodeError> {
        let (tag, rest) = match term {
            Term::Atom(tag) => (tag, &[][..]),
            Term::Tuple(all) => match all.split_first() {
                Some((Term::Atom(tag), rest)) if !rest.is_empty() => (tag, rest),
                _ => return Err(DecodeError::expected(what, term)),
            },
            _ => return Err(DecodeError::expected(what, term)),
        };
        let tag = tag.as_str();
        Ok(Self { tag, rest })
    }

    pub(super) fn tag(&self) -> &'t str {
        self.tag
    }

    pub(super) fn next<T: Codec>(&mut self, name: &str) -> Result<T, DecodeError> {
        self.next_if_any(name)?.ok_or_else(|| {
            let problem = format!("{name} is missing");
            DecodeError::new(problem).within(format!("`{}`", self.tag))
        })
    }

    pub(super) fn next_if_any<T: Codec>(&mut self, name: &str) -> Result<Option<T>, DecodeError> {
        let Some((first, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let read = T::decode(first);
        let read = read.map_err(|error| error.within(name).within(format!("`{}`", self.tag)));
        read.map(Some)
    }

    pub(super) fn end(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let problem = format!("{} parts too many", self.rest.len());
        Err(DecodeError::new(problem).within(format!("`{}`", self.tag)))
    }
}

/// `tag`, or `{tag, Part, …}`.
pub(super) fn tagged(tag: &str, parts: Vec<Term>) -> Term {
    let tag = Term::atom(tag);
    if parts.is_empty() {
        return tag;
    }
    Term::tuple(std::iter::once(tag).chain(parts))
}

/// `tag`, or `{tag, part(), …}`.
#[cfg(test)]
pub(super) fn form(tag: &str, parts: &[String]) -> String {
    if parts.is_empty() {
        return tag.to_owned();
    }
    format!("{{{tag}, {}}}", parts.join(", "))
}
