//! Requests between processes of different nodes: what a version of a module sends, and which requests it takes.
//!
//! Takes beams. [`Requests::read`] gives what the code sends to processes that may be on other nodes and calls there;
//! [`Receiver`] says whether the callbacks of a version have a clause for such a request. As everywhere in symbolic
//! execution a bound that is reached is silence: the request then counts as taken.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use super::code::Function;
pub use super::code::symbolic::RequestKind;
use super::code::symbolic::{Acceptance, Address, SymbolicValue, ValueKind};
use crate::name::{FunctionArity, Mfa, Module};
use crate::term::{Atom, Term};

/// No request of a program begins with it.
const NEVER_SENT: &str = "$updo never sent";

/// The key under which Elixir keeps the name of a struct.
const STRUCT: &str = "__struct__";

/// Values inside each other that are compared.
const MAX_DEPTH: usize = 8;

/// Longest part of a request that is shown.
const MAX_SHOWN: usize = 24;

/// A value as far as it is known, which may go from thread to thread.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// Anything.
    Any,
    /// A value of this kind.
    Kind(ValueKind),
    /// This value.
    Term(Term),
    /// A tuple.
    Tuple(Vec<Pattern>),
    /// A list cell.
    Cell(Box<(Pattern, Pattern)>),
    /// A map, and whether these are all of its keys.
    Map(Vec<(Term, Pattern)>, bool),
    /// A fun of a module.
    Fun(Module),
}

impl Pattern {
    fn of(value: &SymbolicValue, depth: usize) -> Self {
        if depth == 0 {
            return Self::Any;
        }
        match value {
            SymbolicValue::Unknown => Self::Any,
            SymbolicValue::Typed(kind) => Self::Kind(*kind),
            SymbolicValue::Known(term) => Self::Term((**term).clone()),
            SymbolicValue::Tuple(parts, _) => {
                Self::Tuple(parts.iter().map(|part| Self::of(part, depth - 1)).collect())
            }
            SymbolicValue::Cell(cell, _) => Self::Cell(Box::new((
                Self::of(&cell.0, depth - 1),
                Self::of(&cell.1, depth - 1),
            ))),
            SymbolicValue::Map(pairs, whole, _) => {
                let pairs = pairs.iter();
                let pairs = pairs.map(|(key, value)| (key.clone(), Self::of(value, depth - 1)));
                Self::Map(pairs.collect(), *whole)
            }
            SymbolicValue::Fun(module, ..) => Self::Fun(module.clone()),
        }
    }

    fn value(&self) -> SymbolicValue {
        match self {
            Self::Any => SymbolicValue::Unknown,
            Self::Kind(kind) => SymbolicValue::Typed(*kind),
            // A tuple that is known whole is taken apart as one of which parts are known.
            Self::Term(Term::Tuple(parts)) => {
                let parts = parts.iter().map(|part| Self::Term(part.clone()).value());
                SymbolicValue::tuple_of(parts.collect())
            }
            Self::Term(term) => SymbolicValue::Known(Rc::new(term.clone())),
            Self::Tuple(parts) => SymbolicValue::tuple_of(parts.iter().map(Self::value).collect()),
            Self::Cell(cell) => SymbolicValue::cons(cell.0.value(), cell.1.value()),
            Self::Map(pairs, whole) => {
                let pairs = pairs
                    .iter()
                    .map(|(key, value)| (key.clone(), value.value()));
                SymbolicValue::map_of(pairs.collect(), *whole)
            }
            Self::Fun(_) => SymbolicValue::Typed(ValueKind::Function),
        }
    }

    fn parts(&self) -> Option<Vec<Self>> {
        match self {
            Self::Tuple(parts) => Some(parts.clone()),
            Self::Term(Term::Tuple(parts)) => {
                Some(parts.iter().map(|part| Self::Term(part.clone())).collect())
            }
            _ => None,
        }
    }

    fn as_atom(&self) -> Option<&Atom> {
        match self {
            Self::Term(term) => term.as_atom(),
            _ => None,
        }
    }

    /// Whether it says what a request is, and is not one of its values.
    fn is_tag(&self) -> bool {
        const VALUES: [&str; 7] = [
            "undefined",
            "nil",
            "true",
            "false",
            "ok",
            "infinity",
            "none",
        ];
        let is_tag = |atom: &Atom| !VALUES.contains(&atom.as_str());
        match self {
            Self::Map(..) => true,
            _ => self.as_atom().is_some_and(is_tag),
        }
    }

    /// The same with a tag that no request has: of the atom, the tuple or the struct itself.
    fn alien(&self) -> Option<Self> {
        let never = || Self::Term(Term::atom(NEVER_SENT));
        match self {
            Self::Term(Term::Atom(_)) => Some(never()),
            Self::Map(pairs, whole) => {
                let mut pairs = pairs.clone();
                let name = pairs.iter_mut().find(|(key, _)| key.is_atom(STRUCT))?;
                name.1.as_atom()?;
                name.1 = never();
                Some(Self::Map(pairs, *whole))
            }
            _ => {
                let mut parts = self.parts()?;
                parts.first()?.as_atom()?;
                parts[0] = never();
                Some(Self::Tuple(parts))
            }
        }
    }

    /// The same with such a tag in a tuple inside of it, for each of these.
    fn inner_aliens(&self) -> Vec<Self> {
        let parts = self.parts().unwrap_or_default();
        let alien = |(at, part): (usize, &Self)| {
            part.parts()?;
            let mut parts = parts.clone();
            parts[at] = part.alien()?;
            Some(Self::Tuple(parts))
        };
        parts.iter().enumerate().filter_map(alien).collect()
    }

    /// The modules of which there are funs in it.
    pub fn funs(&self) -> Vec<&Module> {
        match self {
            Self::Fun(module) => vec![module],
            Self::Tuple(parts) => parts.iter().flat_map(Self::funs).collect(),
            Self::Cell(cell) => [cell.0.funs(), cell.1.funs()].concat(),
            Self::Map(pairs, _) => pairs.iter().flat_map(|(_, value)| value.funs()).collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("_"),
            Self::Kind(ValueKind::Atom) => f.write_str("Atom"),
            Self::Kind(ValueKind::List) => f.write_str("List"),
            Self::Kind(ValueKind::Binary) => f.write_str("Binary"),
            Self::Kind(ValueKind::Number) => f.write_str("Number"),
            Self::Kind(ValueKind::Function) | Self::Fun(_) => f.write_str("Fun"),
            Self::Kind(ValueKind::Pid) => f.write_str("Pid"),
            Self::Term(Term::Tuple(_)) => {
                let parts = self.parts().unwrap_or_default();
                Self::Tuple(parts).fmt(f)
            }
            Self::Term(Term::Atom(name)) if name.as_str().starts_with("Elixir.") => {
                Module::new(name.as_str()).fmt(f)
            }
            Self::Term(term) => {
                let text = term.to_string();
                match text.chars().count() > MAX_SHOWN {
                    true => f.write_str("_"),
                    false => f.write_str(&text),
                }
            }
            Self::Tuple(parts) => {
                f.write_str("{")?;
                for (at, part) in parts.iter().enumerate() {
                    let comma = if at == 0 { "" } else { ", " };
                    match part.is_tag() || part.parts().is_some() {
                        true => write!(f, "{comma}{part}")?,
                        false => write!(f, "{comma}_")?,
                    }
                }
                f.write_str("}")
            }
            Self::Cell(_) => f.write_str("[_ | _]"),
            Self::Map(pairs, _) => {
                let named = pairs.iter().find(|(key, _)| key.is_atom(STRUCT));
                match named.and_then(|(_, name)| name.as_atom()) {
                    Some(name) => write!(f, "%{}{{}}", Module::new(name.as_str())),
                    None => {
                        let keys = pairs.iter().filter_map(|(key, _)| key.as_atom());
                        let keys: Vec<String> = keys.map(|key| format!("{key} => _")).collect();
                        write!(f, "#{{{}}}", keys.join(", "))
                    }
                }
            }
        }
    }
}

/// The address of a request: a name, or what kind of process it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// A registered name on another node.
    Named(Atom),
    /// A registered name that is not known, on another node.
    AnyName,
    /// A name of `global`.
    Global(Pattern),
    /// A name of another registry.
    Via(Atom, Pattern),
    /// The members of a group.
    Members,
}

impl Target {
    fn of(address: &Address) -> Self {
        match address {
            Address::Named(name) => Self::Named(name.clone()),
            Address::AnyName => Self::AnyName,
            Address::Global(name) => Self::Global(Pattern::of(name, MAX_DEPTH)),
            Address::Via(module, name) => Self::Via(module.clone(), Pattern::of(name, MAX_DEPTH)),
            Address::Members => Self::Members,
        }
    }

    /// Whether a process with such a name may be meant.
    pub fn may_be(&self, other: &Self) -> bool {
        let address = |target: &Self| match target {
            Self::Named(name) => Address::Named(name.clone()),
            Self::AnyName => Address::AnyName,
            Self::Global(name) => Address::Global(name.value()),
            Self::Via(module, name) => Address::Via(module.clone(), name.value()),
            Self::Members => Address::Members,
        };
        address(self).may_be(&address(other))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) if name.as_str().starts_with("Elixir.") => {
                write!(f, "{{{}, Node}}", Module::new(name.as_str()))
            }
            Self::Named(name) => write!(f, "{{{name}, Node}}"),
            Self::AnyName => f.write_str("{Name, Node}"),
            Self::Global(name) => write!(f, "{{global, {name}}}"),
            Self::Via(module, name) => {
                write!(f, "{{via, {}, {name}}}", Module::new(module.as_str()))
            }
            Self::Members => f.write_str("the members of a group"),
        }
    }
}

/// A request that a version sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Where it goes.
    pub to: Target,
    /// How.
    pub kind: RequestKind,
    /// What.
    pub what: Pattern,
    /// Where it is sent.
    pub from: Function,
}

/// What a version of a module sends to other nodes and calls there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    /// Requests.
    pub sent: Vec<Request>,
    /// Functions that are called on other nodes, and where.
    pub calls: Vec<(Mfa, Function)>,
    /// Modules of which a fun is executed on other nodes, and where.
    pub funs: Vec<(Module, Function)>,
    /// Names under which processes are started or registered, with the callback module where the call names it.
    pub names: Vec<(Target, Option<Module>)>,
}

impl Requests {
    /// Reads a beam; nothing when its code cannot be read whole.
    pub fn read(module: &Module, beam: &[u8], exports: &BTreeSet<FunctionArity>) -> Self {
        let Some(code) = Acceptance::read(module, beam) else {
            return Self::default();
        };
        let traffic = code.traffic(exports);
        let request = |sent: &super::code::symbolic::Sent| Request {
            to: Target::of(&sent.to),
            kind: sent.kind,
            what: Pattern::of(&sent.request, MAX_DEPTH),
            from: sent.from.clone(),
        };
        let calls = traffic.calls.into_iter();
        let funs = traffic.funs.into_iter();
        let names = traffic.started.iter();
        Self {
            sent: traffic.sent.iter().map(request).collect(),
            calls: calls.map(|call| (call.to, call.from)).collect(),
            funs: funs.map(|fun| (fun.module, fun.from)).collect(),
            names: names
                .map(|started| (Target::of(&started.name), started.module.clone()))
                .collect(),
        }
    }
}

/// What a version makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It returns. Whether the code distinguishes the request from unknown ones: by its own tag, and by the tags of the
    /// tuples inside of it.
    Returns(Vec<bool>),
    /// Every clause of these callbacks fails.
    Fails(Vec<FunctionArity>),
    /// That cannot be seen.
    Unseen,
}

impl Taken {
    /// Whether there is a clause for the request, by its own tag.
    pub fn is_clause(&self) -> bool {
        matches!(self, Self::Returns(levels) if levels.first() == Some(&true))
    }

    /// Whether this version handles a request like unknown ones where the other version distinguishes it.
    pub fn is_blind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Returns(levels), Self::Returns(others)) => levels
                .iter()
                .zip(others)
                .any(|(here, there)| *there && !*here),
            _ => false,
        }
    }
}

/// A version of a module that receives requests.
pub struct Receiver {
    code: Acceptance,
    /// Whether it is a `gen_statem`.
    statem: bool,
}

/// What a callback does with a request.
struct Handling {
    returns: bool,
    executed: BTreeSet<usize>,
}

impl Receiver {
    /// Reads a beam; `None` when its code cannot be read whole, or when it is no server.
    pub fn read(module: &Module, beam: &[u8], behaviours: &[Module]) -> Option<Self> {
        let named = |name: &str| behaviours.iter().any(|one| one.as_str() == name);
        let code = Acceptance::read(module, beam)?;
        let statem = named("gen_statem") || named("Elixir.GenStateMachine");
        let server =
            code.has("handle_call", 3) || code.has("handle_cast", 2) || code.has("handle_info", 2);
        (statem || server && code.has("init", 1)).then_some(Self { code, statem })
    }

    /// The callbacks that may get a request, each with what the request is among their arguments.
    fn callbacks(&self, kind: RequestKind) -> Vec<(String, usize, usize)> {
        if self.statem {
            if self.code.has("handle_event", 4) {
                return vec![("handle_event".to_owned(), 4, 1)];
            }
            let no_state = ["code_change", "terminate", "format_status"];
            let states = self.code.functions().into_iter();
            let states = states.filter(|f| f.arity == 3 && !no_state.contains(&&*f.name));
            return states.map(|f| (f.name.to_string(), 3, 1)).collect();
        }
        let (name, arity) = match kind {
            RequestKind::Call => ("handle_call", 3),
            RequestKind::Cast => ("handle_cast", 2),
            RequestKind::Message => ("handle_info", 2),
        };
        match self.code.has(name, u32::try_from(arity).unwrap_or(0)) {
            true => vec![(name.to_owned(), arity, 0)],
            false => Vec::new(),
        }
    }

    fn handling(
        &mut self,
        (name, arity, at): &(String, usize, usize),
        kind: RequestKind,
        request: &Pattern,
    ) -> Option<Handling> {
        let value = request.value();
        let mut args = vec![SymbolicValue::Unknown; *arity];
        args[*at] = value.clone();
        if self.statem {
            let from = vec![SymbolicValue::atom("call"), SymbolicValue::Unknown];
            args[0] = match kind {
                RequestKind::Call => SymbolicValue::tuple_of(from),
                RequestKind::Cast => SymbolicValue::atom("cast"),
                RequestKind::Message => SymbolicValue::atom("info"),
            };
        }
        let (verdict, executed) = self.code.handles(name, args, &value)?;
        verdict.whole.then_some(Handling {
            returns: verdict.returns,
            executed,
        })
    }

    /// What becomes of a request.
    pub fn takes(&mut self, kind: RequestKind, request: &Pattern) -> Taken {
        let Some(alien) = request.alien() else {
            return Taken::Unseen;
        };
        let mut aliens = vec![alien];
        aliens.extend(request.inner_aliens());
        let mut levels = vec![false; aliens.len()];
        let callbacks = self.callbacks(kind);
        if callbacks.is_empty() {
            // A message is logged then, anything else ends the server.
            return match kind {
                RequestKind::Message => Taken::Returns(levels),
                RequestKind::Call => Taken::Fails(vec![FunctionArity::new("handle_call", 3)]),
                RequestKind::Cast => Taken::Fails(vec![FunctionArity::new("handle_cast", 2)]),
            };
        }
        let mut failing = Vec::new();
        for callback in &callbacks {
            let Some(handling) = self.handling(callback, kind, request) else {
                return Taken::Unseen;
            };
            if !handling.returns {
                let arity = u32::try_from(callback.1).unwrap_or(u32::MAX);
                failing.push(FunctionArity::new(callback.0.as_str(), arity));
                continue;
            }
            for (level, alien) in levels.iter_mut().zip(&aliens) {
                let Some(other) = self.handling(callback, kind, alien) else {
                    return Taken::Unseen;
                };
                *level |= !other.returns || !handling.executed.is_subset(&other.executed);
            }
        }
        match failing.len() == callbacks.len() {
            true => Taken::Fails(failing),
            false => Taken::Returns(levels),
        }
    }
}
