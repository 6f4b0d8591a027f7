//! Types without parts: numbers, times, texts, atoms, pids; and lists and tuples of any.

use std::time::Duration;

use super::codec::{Codec, DecodeError};
use crate::term::{Atom, Pid, Term};

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
