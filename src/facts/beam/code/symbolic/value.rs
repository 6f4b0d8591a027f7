//! Values of which parts may be unknown.

use std::rc::Rc;

use crate::name::Module;
use crate::term::{Atom, Term};

/// Longest list that is walked through.
pub(super) const MAX_LENGTH: usize = 4096;

/// Deepest value that is made.
const MAX_DEPTH: u32 = 512;

/// What kind of value something is of which no more is known. Tuples and maps are never among these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueKind {
    /// An atom.
    Atom,
    /// A list, perhaps an empty one.
    List,
    /// A binary or another bit string.
    Binary,
    /// An integer or a float.
    Number,
    /// A fun.
    Function,
    /// A process identifier.
    Pid,
}

/// A value, as far as it is known.
#[derive(Clone, Debug, PartialEq)]
pub enum SymbolicValue {
    /// Not known.
    Unknown,
    /// Of this kind.
    Typed(ValueKind),
    /// Known whole.
    Known(Rc<Term>),
    /// A tuple.
    Tuple(Rc<[SymbolicValue]>, Depth),
    /// A list cell: head and tail.
    Cell(Rc<(SymbolicValue, SymbolicValue)>, Depth),
    /// A map, and whether these are all of its keys.
    Map(Rc<[(Term, SymbolicValue)]>, bool, Depth),
    /// A fun of a module: its function, and what it closes over.
    Fun(Module, u32, Rc<[SymbolicValue]>, Depth),
}

/// Whether there is such a part is not known.
#[derive(Clone, Copy, Debug)]
pub struct NotKnown;

/// How many values are inside each other. Dropping recurses, so what is deeper than [`MAX_DEPTH`] is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth(u32);

impl SymbolicValue {
    /// An atom.
    pub fn atom(text: &str) -> Self {
        Self::Known(Rc::new(Term::atom(text)))
    }

    /// A list of these.
    pub fn list(values: impl DoubleEndedIterator<Item = Self>) -> Self {
        let nil = Self::Known(Rc::new(Term::List(Vec::new())));
        values.rev().fold(nil, |tail, head| Self::cons(head, tail))
    }

    /// A list cell.
    pub fn cons(head: Self, tail: Self) -> Self {
        Self::around([&head, &tail].into_iter()).map_or(Self::Unknown, |depth| {
            Self::Cell(Rc::new((head, tail)), depth)
        })
    }

    /// A tuple of these.
    pub fn tuple_of(parts: Vec<Self>) -> Self {
        Self::around(parts.iter()).map_or(Self::Unknown, |depth| Self::Tuple(parts.into(), depth))
    }

    /// A map of these, and whether they are all.
    pub fn map_of(pairs: Vec<(Term, Self)>, whole: bool) -> Self {
        Self::around(pairs.iter().map(|(_, value)| value))
            .map_or(Self::Unknown, |depth| Self::Map(pairs.into(), whole, depth))
    }

    /// A fun.
    pub(super) fn fun(module: Module, label: u32, free: Vec<Self>) -> Self {
        Self::around(free.iter()).map_or(Self::Unknown, |depth| {
            Self::Fun(module, label, free.into(), depth)
        })
    }

    /// The depth of what holds these, unless that is too deep.
    fn around<'v>(parts: impl Iterator<Item = &'v Self>) -> Option<Depth> {
        let depths = parts.map(|part| match part {
            Self::Unknown | Self::Typed(_) | Self::Known(_) => 0,
            Self::Tuple(_, depth)
            | Self::Cell(_, depth)
            | Self::Map(_, _, depth)
            | Self::Fun(_, _, _, depth) => depth.0,
        });
        let depth = depths.max().unwrap_or(0) + 1;
        (depth <= MAX_DEPTH).then_some(Depth(depth))
    }

    /// The whole term, when all of it is known.
    pub fn term(&self) -> Option<Term> {
        match self {
            Self::Unknown | Self::Typed(_) | Self::Fun(..) | Self::Map(_, false, _) => None,
            Self::Known(term) => Some((**term).clone()),
            Self::Tuple(parts, _) => Some(Term::Tuple(
                parts.iter().map(Self::term).collect::<Option<_>>()?,
            )),
            Self::Cell(..) => {
                let (items, whole) = self.items();
                let items = items.iter().map(Self::term).collect::<Option<_>>()?;
                whole.then_some(Term::List(items))
            }
            Self::Map(pairs, true, _) => {
                let pairs = pairs.iter().map(|(k, v)| Some((k.clone(), v.term()?)));
                Some(Term::Map(pairs.collect::<Option<_>>()?))
            }
        }
    }

    /// The elements of a tuple.
    pub fn tuple(&self) -> Option<Vec<Self>> {
        match self {
            Self::Tuple(parts, _) => Some(parts.to_vec()),
            Self::Known(term) => Some(term.as_tuple()?.iter().map(known).collect()),
            _ => None,
        }
    }

    /// The elements of a list, and whether these are all.
    pub fn items(&self) -> (Vec<Self>, bool) {
        let (mut items, mut rest) = (Vec::new(), self.clone());
        loop {
            match &rest {
                Self::Known(term) => match &**term {
                    Term::List(more) => {
                        items.extend(more.iter().map(known));
                        return (items, true);
                    }
                    _ => return (items, false),
                },
                Self::Cell(cell, _) if items.len() < MAX_LENGTH => {
                    let (head, tail) = (**cell).clone();
                    items.push(head);
                    rest = tail;
                }
                _ => return (items, false),
            }
        }
    }

    /// Head and tail.
    pub(super) fn cell(&self) -> Option<(Self, Self)> {
        match self {
            Self::Cell(cell, _) => Some((**cell).clone()),
            Self::Known(term) => match &**term {
                Term::List(items) => {
                    let (head, tail) = items.split_first()?;
                    Some((known(head), known(&Term::List(tail.to_vec()))))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The value under a key of a map; `Err` when that is not known, `Ok(None)` when there is none.
    pub fn get(&self, key: &Term) -> Result<Option<Self>, NotKnown> {
        match self {
            Self::Known(term) => match &**term {
                Term::Map(pairs) => Ok(pairs.get(key).map(known)),
                _ => Ok(None),
            },
            Self::Map(pairs, whole, _) => match pairs.iter().find(|(k, _)| k == key) {
                Some((_, value)) => Ok(Some(value.clone())),
                None if *whole => Ok(None),
                None => Err(NotKnown),
            },
            Self::Unknown => Err(NotKnown),
            _ => Ok(None),
        }
    }

    /// Whether it is a map.
    pub fn is_map(&self) -> Option<bool> {
        self.shape(|value| match value {
            Self::Map(..) => true,
            Self::Known(term) => matches!(**term, Term::Map(_)),
            _ => false,
        })
    }

    /// The map with these keys put into it.
    #[must_use]
    pub fn with(&self, more: Vec<(Term, Self)>) -> Self {
        let (mut pairs, whole) = match self {
            Self::Map(pairs, whole, _) => (pairs.to_vec(), *whole),
            Self::Known(term) => match &**term {
                Term::Map(all) => {
                    let pairs = all.iter().map(|(k, v)| (k.clone(), known(v)));
                    (pairs.collect(), true)
                }
                _ => return Self::Unknown,
            },
            Self::Unknown => (Vec::new(), false),
            _ => return Self::Unknown,
        };
        for (key, value) in more {
            match pairs.iter_mut().find(|(k, _)| *k == key) {
                Some(pair) => pair.1 = value,
                None => pairs.push((key, value)),
            }
        }
        Self::map_of(pairs, whole)
    }

    /// The atom that it is.
    pub fn as_atom(&self) -> Option<Atom> {
        match self {
            Self::Known(term) => term.as_atom().cloned(),
            _ => None,
        }
    }

    fn shape(&self, test: impl Fn(&Self) -> bool) -> Option<bool> {
        match self {
            Self::Unknown => None,
            value => Some(test(value)),
        }
    }
}

pub(super) fn known(term: &Term) -> SymbolicValue {
    SymbolicValue::Known(Rc::new(term.clone()))
}
