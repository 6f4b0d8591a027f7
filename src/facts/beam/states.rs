//! Whether the callbacks of a version can have a state of a given shape.
//!
//! Takes beams and shapes of states (a tuple of so many elements, a map with these keys), and gives what the
//! callbacks demand and such a state lacks. A callback that returns for other states and for none of that shape,
//! whatever the event, fails for certain; one that raises on some path because of the state may fail. What the
//! former version demanded of the former shape as well is no news: both versions are asked, and only what is new is
//! a [`Misfit`].

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use super::code::symbolic::{Acceptance, SymbolicValue, TupleUses, ValueKind, Verdict, Wanted};
use crate::name::{FunctionArity, Module};
use crate::term::{Atom, Term};

/// The key under which Elixir keeps the name of a struct.
const STRUCT: &str = "__struct__";

/// What is known of a state without knowing its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateShape {
    /// A tuple, and its first element when that is an atom.
    Tuple(u32, Option<Atom>),
    /// A map: its keys that are atoms, whether these are all, and the name of a struct.
    Map(Vec<Atom>, bool, Option<Atom>),
    /// A value of this kind.
    Kind(ValueKind),
    /// Not known.
    Unknown,
}

impl StateShape {
    /// The shape of a value, as far as it is known.
    pub fn of(value: &SymbolicValue) -> Self {
        let keys = |pairs: &mut dyn Iterator<Item = (&Term, Option<Atom>)>, whole: bool| {
            let (mut keys, mut all, mut name) = (Vec::new(), whole, None);
            for (key, value) in pairs {
                match key.as_atom() {
                    Some(key) if key == STRUCT => name = value,
                    Some(key) => keys.push(key.clone()),
                    None => all = false,
                }
            }
            keys.sort();
            Self::Map(keys, all, name)
        };
        match value {
            SymbolicValue::Map(pairs, whole, _) => {
                let mut pairs = pairs.iter().map(|(key, value)| (key, value.as_atom()));
                keys(&mut pairs, *whole)
            }
            SymbolicValue::Known(term) => match &**term {
                Term::Map(map) => {
                    let mut pairs = map
                        .iter()
                        .map(|(key, value)| (key, value.as_atom().cloned()));
                    keys(&mut pairs, true)
                }
                Term::Tuple(parts) => {
                    let first = parts.first().and_then(Term::as_atom).cloned();
                    Self::Tuple(u32::try_from(parts.len()).unwrap_or(0), first)
                }
                Term::Atom(_) => Self::Kind(ValueKind::Atom),
                Term::List(_) | Term::Improper(..) => Self::Kind(ValueKind::List),
                Term::Int(_) | Term::Big(_) | Term::Float(_) => Self::Kind(ValueKind::Number),
                Term::Fun(_) => Self::Kind(ValueKind::Function),
                Term::Pid(_) => Self::Kind(ValueKind::Pid),
                _ => Self::Unknown,
            },
            SymbolicValue::Tuple(parts, _) => {
                let first = parts.first().and_then(SymbolicValue::as_atom);
                Self::Tuple(u32::try_from(parts.len()).unwrap_or(0), first)
            }
            SymbolicValue::Cell(..) => Self::Kind(ValueKind::List),
            SymbolicValue::Fun(..) => Self::Kind(ValueKind::Function),
            SymbolicValue::Typed(kind) => Self::Kind(*kind),
            SymbolicValue::Unknown => Self::Unknown,
        }
    }

    /// A value of this shape, with nothing else known.
    fn value(&self) -> SymbolicValue {
        match self {
            Self::Tuple(size, first) => {
                let first = first.as_ref().map(|tag| SymbolicValue::atom(tag.as_str()));
                let rest = (*size as usize).saturating_sub(usize::from(first.is_some()));
                let rest = std::iter::repeat_n(SymbolicValue::Unknown, rest);
                SymbolicValue::tuple_of(first.into_iter().chain(rest).collect())
            }
            Self::Map(keys, whole, name) => {
                let key = |key: &Atom| (Term::Atom(key.clone()), SymbolicValue::Unknown);
                let name = name.as_ref().map(|name| {
                    let value = SymbolicValue::Known(Rc::new(Term::Atom(name.clone())));
                    (Term::atom(STRUCT), value)
                });
                SymbolicValue::map_of(keys.iter().map(key).chain(name).collect(), *whole)
            }
            Self::Kind(kind) => SymbolicValue::Typed(*kind),
            Self::Unknown => SymbolicValue::Unknown,
        }
    }
}

impl fmt::Display for StateShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tuple(size, Some(first)) => write!(f, "{{{first}, …}} of {size} elements"),
            Self::Tuple(size, None) => write!(f, "a tuple of {size} elements"),
            Self::Map(keys, whole, name) => {
                let more = if *whole { "" } else { ", …" };
                let keys: Vec<&str> = keys.iter().map(Atom::as_str).collect();
                let keys = keys.join(", ");
                match name {
                    Some(name) => {
                        let name = Module::new(name.as_str());
                        write!(f, "%{name}{{{keys}{more}}}")
                    }
                    None => write!(f, "a map of {{{keys}{more}}}"),
                }
            }
            Self::Kind(ValueKind::Atom) => f.write_str("an atom"),
            Self::Kind(ValueKind::List) => f.write_str("a list"),
            Self::Kind(ValueKind::Binary) => f.write_str("a binary"),
            Self::Kind(ValueKind::Number) => f.write_str("a number"),
            Self::Kind(ValueKind::Function) => f.write_str("a fun"),
            Self::Kind(ValueKind::Pid) => f.write_str("a pid"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Which callbacks take a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callbacks {
    /// Those of `gen_server`.
    Server,
    /// Those of `gen_statem`.
    StateMachine,
    /// Those of `gen_event`.
    Handler,
    /// `system_continue/3`.
    Special,
}

/// What a process has: of a state machine the state, and the data or the state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Held {
    /// The name of the state, of a state machine, when it is an atom.
    pub name: Option<Atom>,
    /// The shape.
    pub shape: StateShape,
    /// Parts of it whose shapes are known as well.
    pub parts: Vec<(Place, StateShape)>,
}

/// Where a part of a state is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// An element of a tuple; the first is 1.
    Element(u32),
    /// Under a key of a map.
    Key(Atom),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element(number) => write!(f, "element {number}"),
            Self::Key(key) => write!(f, "`{key}`"),
        }
    }
}

impl Held {
    /// A state without a name.
    pub fn of(shape: StateShape) -> Self {
        Self {
            name: None,
            shape,
            parts: Vec::new(),
        }
    }

    /// A value like that, with nothing else known.
    fn value(&self) -> SymbolicValue {
        let value = self.shape.value();
        if self.parts.is_empty() {
            return value;
        }
        let part = |place: &Place| {
            let found = self.parts.iter().find(|(at, _)| at == place);
            found.map(|(_, shape)| shape.value())
        };
        match value {
            SymbolicValue::Tuple(elements, _) => {
                let numbered = elements.iter().zip(1..);
                let elements =
                    numbered.map(|(value, at)| part(&Place::Element(at)).unwrap_or(value.clone()));
                SymbolicValue::tuple_of(elements.collect())
            }
            SymbolicValue::Map(pairs, whole, _) => {
                let pairs = pairs.iter().map(|(key, value)| {
                    let known = key.as_atom().and_then(|key| part(&Place::Key(key.clone())));
                    (key.clone(), known.unwrap_or(value.clone()))
                });
                SymbolicValue::map_of(pairs.collect(), whole)
            }
            value => value,
        }
    }
}

/// A state that callbacks cannot take, or cannot always take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Whether the next event of these callbacks fails, whatever it is.
    pub certain: bool,
    /// Those callbacks.
    pub callbacks: Vec<FunctionArity>,
    /// What is demanded.
    pub wanted: BTreeSet<Wanted>,
    /// The function of the state of a state machine, which the new version does not have.
    pub lost: Option<FunctionArity>,
}

/// A version of a module: its callbacks, and the tuples in its code.
pub struct Version {
    acceptance: Acceptance,
    /// Found out when a state is asked for that the callbacks cannot take.
    uses: OnceCell<TupleUses>,
}

impl Version {
    /// Reads a beam; `None` when its code cannot be read whole.
    pub fn read(module: &Module, beam: &[u8]) -> Option<Self> {
        Some(Self {
            acceptance: Acceptance::read(module, beam)?,
            uses: OnceCell::new(),
        })
    }

    /// The tagged tuples in the code.
    pub fn uses(&self) -> &TupleUses {
        self.uses.get_or_init(|| self.acceptance.tuple_uses())
    }

    /// What a callback makes of a state; `None` when the module does not have it.
    fn takes(&mut self, callback: &Callback, held: &Held) -> Option<Verdict> {
        let state = held.value();
        let args = callback.args(held, &state);
        self.acceptance.takes(&callback.name, args, &state)
    }

    /// The function that a state of a state machine needs and that the version does not have: of `state_functions`.
    fn lost(&mut self, callbacks: Callbacks, held: &Held) -> Option<FunctionArity> {
        let name = held
            .name
            .as_ref()
            .filter(|_| callbacks == Callbacks::StateMachine)?;
        let unknown = SymbolicValue::Unknown;
        let modes = self
            .acceptance
            .returns("callback_mode", Vec::new(), &unknown)?;
        let by_state = |mode: &SymbolicValue| {
            let is = |mode: &SymbolicValue| mode.as_atom().is_some_and(|m| m == "state_functions");
            is(mode) || mode.items().0.iter().any(is)
        };
        let all = modes.whole && !modes.answers.is_empty() && modes.answers.iter().all(by_state);
        let lost = all && !self.acceptance.has(name.as_str(), 3);
        lost.then(|| FunctionArity::new(name.as_str(), 3))
    }

    /// The states with which `init/1` begins, as far as its code shows them.
    pub fn initial(&mut self, callbacks: Callbacks) -> Vec<Held> {
        let unknown = SymbolicValue::Unknown;
        let made = self
            .acceptance
            .returns("init", vec![unknown.clone()], &unknown);
        states(made, callbacks)
    }

    /// What `code_change` makes of a state of a version that goes upwards, as far as its code shows it; `None` without
    /// one.
    pub fn converted(
        &mut self,
        callbacks: Callbacks,
        held: &Held,
        vsn: &Term,
        extra: &Term,
    ) -> Option<Vec<Held>> {
        let state = held.value();
        let (vsn, extra) = (
            SymbolicValue::Known(Rc::new(vsn.clone())),
            SymbolicValue::Known(Rc::new(extra.clone())),
        );
        let args = match callbacks {
            Callbacks::Server | Callbacks::Handler => vec![vsn, state.clone(), extra],
            Callbacks::StateMachine => vec![vsn, name(held), state.clone(), extra],
            Callbacks::Special => return None,
        };
        let made = self.acceptance.returns("code_change", args, &state);
        made.is_some().then(|| states(made, callbacks))
    }
}

/// The states in `{ok, State, …}` or `{ok, Name, Data, …}`.
fn states(made: Option<Verdict>, callbacks: Callbacks) -> Vec<Held> {
    let answers = made.map(|verdict| verdict.answers).unwrap_or_default();
    let held = answers.iter().filter_map(|answer| {
        let parts = answer.tuple()?;
        match (callbacks, parts.as_slice()) {
            (Callbacks::StateMachine, [ok, name, data, ..]) if is_ok(ok) => Some(Held {
                name: name.as_atom(),
                ..Held::of(StateShape::of(data))
            }),
            (Callbacks::Server | Callbacks::Handler, [ok, state, ..]) if is_ok(ok) => {
                Some(Held::of(StateShape::of(state)))
            }
            _ => None,
        }
    });
    let mut held: Vec<Held> = held.collect();
    held.sort();
    held.dedup();
    held
}

fn is_ok(value: &SymbolicValue) -> bool {
    value.as_atom().is_some_and(|atom| atom == "ok")
}

fn name(held: &Held) -> SymbolicValue {
    match &held.name {
        Some(name) => SymbolicValue::atom(name.as_str()),
        None => SymbolicValue::Unknown,
    }
}

/// One callback, and where its state is among the arguments.
struct Callback {
    name: String,
    arity: u32,
    state: usize,
    /// Where the name of the state is.
    named: Option<usize>,
}

impl Callback {
    fn args(&self, held: &Held, state: &SymbolicValue) -> Vec<SymbolicValue> {
        let mut args = vec![SymbolicValue::Unknown; self.arity as usize];
        args[self.state] = state.clone();
        if let Some(at) = self.named {
            args[at] = name(held);
        }
        args
    }
}

/// The callbacks that the next event of a process may call.
fn events(callbacks: Callbacks, held: &Held) -> Vec<Callback> {
    let one = |name: &str, arity, state| Callback {
        name: name.to_owned(),
        arity,
        state,
        named: None,
    };
    match callbacks {
        Callbacks::Server => vec![
            one("handle_call", 3, 2),
            one("handle_cast", 2, 1),
            one("handle_info", 2, 1),
        ],
        Callbacks::Handler => vec![
            one("handle_event", 2, 1),
            one("handle_call", 2, 1),
            one("handle_info", 2, 1),
        ],
        Callbacks::StateMachine => {
            let by_event = Callback {
                named: Some(2),
                ..one("handle_event", 4, 3)
            };
            let by_state = held.name.as_ref().map(|name| one(name.as_str(), 3, 2));
            [by_event].into_iter().chain(by_state).collect()
        }
        Callbacks::Special => vec![one("system_continue", 3, 2)],
    }
}

/// What of a state the callbacks of the new version cannot take and those of the former one could: `before` is what
/// a process has, `after` what it will have. Without a copy of the former version only what fails for every event
/// counts as certain.
pub fn misfit(
    new: &mut Version,
    mut old: Option<&mut Version>,
    callbacks: Callbacks,
    before: &Held,
    after: &Held,
) -> Option<Misfit> {
    if let Some(lost) = new.lost(callbacks, after) {
        return Some(Misfit {
            certain: true,
            callbacks: vec![lost.clone()],
            wanted: BTreeSet::new(),
            lost: Some(lost),
        });
    }
    if after.shape == StateShape::Unknown {
        return None;
    }
    let (mut failing, mut lacking) = (Vec::new(), Vec::new());
    let (mut wanted, mut lacked, mut taking) = (BTreeSet::new(), BTreeSet::new(), 0);
    for callback in events(callbacks, after) {
        let Some(verdict) = new.takes(&callback, after).filter(|v| v.whole) else {
            taking += 1;
            continue;
        };
        let any = Held {
            name: after.name.clone(),
            ..Held::of(StateShape::Unknown)
        };
        let takes_any = new.takes(&callback, &any).is_some_and(|v| v.returns);
        let former = old.as_mut().and_then(|old| old.takes(&callback, before));
        let function = FunctionArity::new(callback.name.as_str(), callback.arity);
        if !verdict.returns {
            let took = old.is_none() || former.as_ref().is_some_and(|former| former.returns);
            if takes_any && took {
                let found = match verdict.lacks.is_empty() {
                    true => verdict.misses,
                    false => verdict.lacks,
                };
                wanted.extend(found);
                failing.push(function);
            }
            continue;
        }
        taking += 1;
        // What may fail is said only where both versions are known.
        let Some(former) = former.filter(|former| former.whole && former.returns) else {
            continue;
        };
        let fresh = verdict.lacks.difference(&former.lacks).filter(|wanted| {
            // Code that knows both shapes, or puts the key there, is taken to know what it does.
            match wanted {
                Wanted::Key(key) => !new.uses().put.contains(key),
                Wanted::Tuple(..) => match &after.shape {
                    StateShape::Tuple(size, Some(tag)) => !new.uses().has(tag, *size),
                    _ => false,
                },
                Wanted::Map => false,
            }
        });
        let fresh: Vec<Wanted> = fresh.cloned().collect();
        if !fresh.is_empty() {
            lacked.extend(fresh);
            lacking.push(function);
        }
    }
    if !failing.is_empty() {
        // A state that is there for a moment, before `handle_continue/2`, may be one that few callbacks take: the former
        // version would have shown that.
        let certain = taking == 0 || old.is_some() && is_certain(&failing, &wanted, &after.shape);
        return (old.is_some() || taking == 0).then_some(Misfit {
            certain,
            callbacks: failing,
            wanted,
            lost: None,
        });
    }
    (!lacking.is_empty()).then_some(Misfit {
        certain: false,
        callbacks: lacking,
        wanted: lacked,
        lost: None,
    })
}

/// Whether callbacks that fail for a state are called in that state: of a call that is assumed. A cast or a message may
/// come only when the state is another one (a timer that is set), unless it is a record of the wrong size.
fn is_certain(failing: &[FunctionArity], wanted: &BTreeSet<Wanted>, shape: &StateShape) -> bool {
    let any_time = |f: &FunctionArity| !matches!(&*f.name, "handle_cast" | "handle_info");
    let resized = match shape {
        StateShape::Tuple(size, Some(tag)) => wanted.iter().any(|wanted| match wanted {
            Wanted::Tuple(Some(known), Some(other)) => known == tag && other != size,
            _ => false,
        }),
        _ => false,
    };
    resized || failing.iter().any(any_time)
}

/// Functions of a version that fail with a struct of the former keys as one of their arguments, and not with one of
/// the new keys: none where the version puts one of the new keys into maps, for then it is taken to know both.
pub fn demands(
    new: &mut Version,
    name: &Atom,
    former: &[Atom],
    now: &[Atom],
) -> Vec<FunctionArity> {
    let gained: Vec<&Atom> = now.iter().filter(|key| !former.contains(key)).collect();
    if gained.is_empty() || gained.iter().any(|key| new.uses().put.contains(*key)) {
        return Vec::new();
    }
    let of = |keys: &[Atom]| StateShape::Map(keys.to_vec(), true, Some(name.clone())).value();
    let (old_value, new_value) = (of(former), of(now));
    let functions = new.acceptance.functions();
    let functions = functions.into_iter().filter(|f| {
        f.arity > 0
            && f.arity <= MAX_ARITY
            && !matches!(
                &*f.name,
                "code_change" | "__struct__" | "module_info" | "__info__"
            )
    });
    let mut found = Vec::new();
    for function in functions.take(MAX_FUNCTIONS) {
        let fails = (0..function.arity as usize).any(|at| {
            let mut takes = |value: &SymbolicValue| {
                let mut args = vec![SymbolicValue::Unknown; function.arity as usize];
                args[at] = value.clone();
                new.acceptance.takes(&function.name, args, value)
            };
            let is_lacking = |verdict: &Verdict| {
                let key = |wanted: &Wanted| match wanted {
                    Wanted::Key(key) => gained.contains(&key),
                    _ => false,
                };
                let lacks = match verdict.returns {
                    true => &verdict.lacks,
                    false => &verdict.misses,
                };
                verdict.whole && lacks.iter().any(key)
            };
            takes(&old_value).is_some_and(|v| is_lacking(&v))
                && takes(&new_value).is_some_and(|v| v.returns)
        });
        if fails {
            found.push(function);
        }
    }
    found
}

/// Functions with more arguments, and more functions than these, are not asked for what they demand.
const MAX_ARITY: u32 = 6;
const MAX_FUNCTIONS: usize = 400;
