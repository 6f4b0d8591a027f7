//! Reading and writing terms by their types.
//!
//! A type of the protocol is declared once, by one of the macros below: from that come the Rust type, its decoder, its
//! encoder, and the notation in which `PROTOCOL.md` writes it (Erlang's own: `:=` for a key that is always there, `=>`
//! for one that may be missing). A map with a key too many or too few is an error, not a default.

use std::fmt;
use std::time::Duration;

use crate::term::{Atom, Pid, Term};

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

/// A map with known keys: those that are always there, and behind `;` those that may be missing.
macro_rules! record {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$must_doc:meta])* $must:ident: $must_type:ty,)*
        $(; $($(#[$may_doc:meta])* $may:ident: $may_type:ty,)*)?
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[$must_doc])* pub $must: $must_type,)*
            $($($(#[$may_doc])* pub $may: Option<$may_type>,)*)?
        }

        impl Record for $name {
            const REQUIRED: &'static [&'static str] = &[$(stringify!($must)),*];
            const OPTIONAL: &'static [&'static str] = &[$($(stringify!($may)),*)?];
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                if definitions.contains_key($short) {
                    return;
                }
                let keys: Vec<String> = vec![
                    $(format!(concat!(stringify!($must), " := {}"), <$must_type>::notation()),)*
                    $($(format!(concat!(stringify!($may), " => {}"), <$may_type>::notation()),)*)?
                ];
                definitions.insert($short, format!("#{{{}}}", keys.join(", ")));
                $(<$must_type>::define(definitions);)*
                $($(<$may_type>::define(definitions);)*)?
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                Self::check_keys(term)?;
                Ok(Self {
                    $($must: required(term, stringify!($must))?,)*
                    $($($may: optional(term, stringify!($may))?,)*)?
                })
            }

            fn encode(&self) -> Term {
                let pairs: Vec<Option<(Term, Term)>> = vec![
                    $(Some((Term::atom(stringify!($must)), self.$must.encode())),)*
                    $($(self.$may.as_ref().map(|value| (Term::atom(stringify!($may)), value.encode())),)*)?
                ];
                Term::map(pairs.into_iter().flatten())
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let _ = &source;
                Self {
                    $($must: <$must_type>::sample(source),)*
                    $($($may: source.below(2).eq(&1).then(|| <$may_type>::sample(source)),)*)?
                }
            }
        }
    };
}

/// One of several records, which differ in their keys.
macro_rules! one_of {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$case_doc:meta])* $case:ident($record:ty),)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$case_doc])* $case($record),)*
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                let cases: Vec<String> = vec![$(<$record>::notation()),*];
                definitions.insert($short, cases.join(" | "));
                $(<$record>::define(definitions);)*
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                // The one whose keys these are; of none, the error of the one that comes closest.
                let closest = [$(<$record>::difference(term)),*];
                let closest = closest.into_iter().flatten().min();
                $(if closest.is_some() && <$record>::difference(term) == closest {
                    return <$record>::decode(term).map(Self::$case);
                })*
                Err(DecodeError::expected(&Self::notation(), term))
            }

            fn encode(&self) -> Term {
                match self {
                    $(Self::$case(record) => record.encode(),)*
                }
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let cases: &[fn(&mut super::tests::Source) -> Self] =
                    &[$(|source| Self::$case(<$record>::sample(source))),*];
                cases[source.below(cases.len())](source)
            }
        }
    };
}

/// Tuples that are distinguished by their first element; one without further elements is an atom. A last one in
/// brackets may be missing.
macro_rules! tagged_union {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$case_doc:meta])* $case:ident = $tag:literal {
            $($(#[$part_doc:meta])* $part:ident: $type:ty),* $(,)?
        } $([$(#[$last_doc:meta])* $last:ident: $last_type:ty])?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            $($(#[$case_doc])* $case {
                $($(#[$part_doc])* $part: $type,)*
                $($(#[$last_doc])* $last: Option<$last_type>,)?
            },)*
        }

        impl $name {
            /// Each form as `PROTOCOL.md` writes it.
            #[cfg(test)]
            pub fn forms() -> Vec<String> {
                let mut forms = Vec::new();
                $({
                    let parts: Vec<String> = vec![$(<$type>::notation()),*];
                    forms.push(super::codec::form($tag, &parts));
                    $(
                        let mut parts = parts;
                        parts.push(<$last_type>::notation());
                        forms.push(super::codec::form($tag, &parts));
                    )?
                })*
                forms
            }
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                if definitions.contains_key($short) {
                    return;
                }
                definitions.insert($short, Self::forms().join(" | "));
                $($(<$type>::define(definitions);)* $(<$last_type>::define(definitions);)?)*
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                let parts = &mut Parts::of(term, &Self::notation())?;
                match parts.tag() {
                    $($tag => {
                        let read = Self::$case {
                            $($part: parts.next(stringify!($part))?,)*
                            $($last: parts.next_if_any(stringify!($last))?,)?
                        };
                        parts.end()?;
                        Ok(read)
                    })*
                    _ => Err(DecodeError::expected(&Self::notation(), term)),
                }
            }

            fn encode(&self) -> Term {
                match self {
                    $(Self::$case { $($part,)* $($last,)? } => {
                        let parts = Vec::<Term>::from([$($part.encode()),*]).into_iter();
                        $(let parts = parts.chain($last.as_ref().map(Codec::encode));)?
                        tagged($tag, parts.collect())
                    })*
                }
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let cases: &[fn(&mut super::tests::Source) -> Self] = &[$(|source| {
                    let _ = &source;
                    Self::$case {
                        $($part: <$type>::sample(source),)*
                        $($last: source.below(2).eq(&1).then(|| <$last_type>::sample(source)),)?
                    }
                }),*];
                cases[source.below(cases.len())](source)
            }
        }
    };
}

/// One of several atoms.
macro_rules! atoms {
    ($(#[$doc:meta])* $name:ident as $short:literal {
        $($(#[$case_doc:meta])* $case:ident = $text:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$case_doc])* $case,)*
        }

        impl $name {
            /// The atom's text.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$case => $text,)*
                }
            }
        }

        impl Codec for $name {
            fn notation() -> String {
                concat!($short, "()").to_owned()
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                definitions.insert($short, [$($text),*].join(" | "));
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                match term.as_atom().map(Atom::as_str) {
                    $(Some($text) => Ok(Self::$case),)*
                    _ => Err(DecodeError::expected(&Self::notation(), term)),
                }
            }

            fn encode(&self) -> Term {
                Term::atom(self.as_str())
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                let all = [$(Self::$case),*];
                all[source.below(all.len())]
            }
        }
    };
}

pub(super) use {atoms, one_of, record, tagged_union};

/// `tag`, or `{tag, part(), …}`.
#[cfg(test)]
pub(super) fn form(tag: &str, parts: &[String]) -> String {
    if parts.is_empty() {
        return tag.to_owned();
    }
    format!("{{{tag}, {}}}", parts.join(", "))
}

/// A type without parts that the protocol gives a name.
macro_rules! plain {
    (
        $type:ty, $notation:literal,
        |$term:ident| $decode:expr, |$value:ident| $encode:expr, |$source:ident| $sample:expr
    ) => {
        impl Codec for $type {
            fn notation() -> String {
                $notation.to_owned()
            }

            fn decode($term: &Term) -> Result<Self, DecodeError> {
                fn read($term: &Term) -> Option<$type> {
                    $decode
                }
                read($term).ok_or_else(|| DecodeError::expected($notation, $term))
            }

            fn encode(&self) -> Term {
                let $value = self;
                $encode
            }

            #[cfg(test)]
            fn sample($source: &mut super::tests::Source) -> Self {
                $sample
            }
        }
    };
}

pub(super) use plain;

/// A time in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Micros(pub Duration);

/// A time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Millis(pub Duration);

fn natural(term: &Term) -> Option<u64> {
    u64::try_from(term.as_i64()?).ok()
}

fn integer(value: u128) -> Term {
    Term::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

plain!(
    u64,
    "count()",
    |term| natural(term),
    |value| integer(u128::from(*value)),
    |source| source.number()
);
plain!(
    u32,
    "step()",
    |term| natural(term).and_then(|number| u32::try_from(number).ok()),
    |value| Term::Int(i64::from(*value)),
    |source| u32::try_from(source.number() & 0xffff).unwrap_or(0)
);
plain!(
    Micros,
    "us()",
    |term| natural(term).map(|us| Micros(Duration::from_micros(us))),
    |value| integer(value.0.as_micros()),
    |source| Micros(Duration::from_micros(source.number()))
);
plain!(
    Millis,
    "ms()",
    |term| natural(term).map(|ms| Millis(Duration::from_millis(ms))),
    |value| integer(value.0.as_millis()),
    |source| Millis(Duration::from_millis(source.number() >> 10))
);
plain!(
    bool,
    "boolean()",
    |term| match term.as_atom()?.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    },
    |value| Term::boolean(*value),
    |source| source.below(2) == 1
);
plain!(
    String,
    "text()",
    |term| String::from_utf8(term.as_bytes()?.to_vec()).ok(),
    |value| Term::binary(value),
    |source| source.word()
);
plain!(
    Atom,
    "atom()",
    |term| term.as_atom().cloned(),
    |value| Term::Atom(value.clone()),
    |source| Atom::new(source.word())
);
plain!(
    Pid,
    "pid()",
    |term| term.as_pid().cloned(),
    |value| Term::Pid(value.clone()),
    |source| source.pid()
);
plain!(
    Term,
    "term()",
    |term| Some(term.clone()),
    |value| value.clone(),
    |source| Term::Int(i64::try_from(source.below(1000)).unwrap_or(0))
);

impl<T: Codec> Codec for Vec<T> {
    fn notation() -> String {
        format!("[{}]", T::notation())
    }

    #[cfg(test)]
    fn define(definitions: &mut super::codec::Definitions) {
        T::define(definitions);
    }

    fn decode(term: &Term) -> Result<Self, DecodeError> {
        let list = term
            .as_list()
            .ok_or_else(|| DecodeError::expected(&Self::notation(), term))?;
        let each = list.iter().enumerate().map(|(at, one)| {
            T::decode(one).map_err(|error| error.within(format!("element {}", at + 1)))
        });
        each.collect()
    }

    fn encode(&self) -> Term {
        Term::list(self.iter().map(Codec::encode))
    }

    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self {
        (0..source.below(3)).map(|_| T::sample(source)).collect()
    }
}

/// A tuple of types.
macro_rules! tuple {
    ($($type:ident $name:ident),*) => {
        impl<$($type: Codec),*> Codec for ($($type,)*) {
            fn notation() -> String {
                let parts: Vec<String> = vec![$($type::notation()),*];
                format!("{{{}}}", parts.join(", "))
            }

            #[cfg(test)]
            fn define(definitions: &mut super::codec::Definitions) {
                $($type::define(definitions);)*
            }

            fn decode(term: &Term) -> Result<Self, DecodeError> {
                match term.as_tuple() {
                    Some([$($name),*]) => Ok(($($type::decode($name)?,)*)),
                    _ => Err(DecodeError::expected(&Self::notation(), term)),
                }
            }

            fn encode(&self) -> Term {
                let ($($name,)*) = self;
                Term::tuple([$($name.encode()),*])
            }

            #[cfg(test)]
            fn sample(source: &mut super::tests::Source) -> Self {
                ($($type::sample(source),)*)
            }
        }
    };
}

tuple!(A a, B b);
tuple!(A a, B b, C c);
