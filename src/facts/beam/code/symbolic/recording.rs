//! What code sends to processes that may be on other nodes, as an execution on unknown values records it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::value::{SymbolicValue, known};
use crate::facts::beam::code::Function;
use crate::name::{Mfa, Module};
use crate::term::{Atom, Term};

/// Most arguments of one function of which the answers are kept.
const MAX_KEPT: usize = 24;

/// Most entries of each list of a recording.
const MAX_ENTRIES: usize = 4096;

/// Stands for the name of the node that executes the code: no atom of a program has such a name.
const OWN_NODE: &str = "$updo own node";

/// The first element of a value that stands for a process of a group.
const MEMBER: &str = "$updo member";

/// The same of a process that is registered in `global`.
const GLOBAL: &str = "$updo global";

/// Where a request goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Address {
    /// `{Name, Node}`, of a node that is not known to be the own one.
    Named(Atom),
    /// `{Name, Node}` of which the name is not known.
    AnyName,
    /// A name of `global`.
    Global(SymbolicValue),
    /// A name of another registry: its module, and the name.
    Via(Atom, SymbolicValue),
    /// The processes of a group: of `pg`, of `syn`, of a `Phoenix.PubSub`.
    Members,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestKind {
    /// A call, which waits for an answer.
    Call,
    /// A cast.
    Cast,
    /// A message.
    Message,
}

/// A request that is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent {
    /// Where it goes.
    pub to: Address,
    /// How.
    pub kind: RequestKind,
    /// What.
    pub request: SymbolicValue,
    /// Where.
    pub from: Function,
}

/// A function that is called on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteCall {
    /// The function.
    pub to: Mfa,
    /// Where.
    pub from: Function,
}

/// A fun that is executed on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFun {
    /// The module that it is of.
    pub module: Module,
    /// Where it is sent.
    pub from: Function,
}

/// A process that is started or registered under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// Its name. A local one is [`Address::Named`].
    pub name: Address,
    /// The callback module, when the call names one.
    pub module: Option<Module>,
}

/// Arguments of a function, and all that it answers to them.
type Answered = (Vec<SymbolicValue>, Vec<SymbolicValue>);

/// What an execution has recorded.
#[derive(Default)]
pub(super) struct Recording {
    pub(super) sent: Vec<Sent>,
    pub(super) calls: Vec<RemoteCall>,
    pub(super) funs: Vec<RemoteFun>,
    pub(super) started: Vec<Started>,
    /// Entry labels of functions that were executed.
    pub(super) entered: HashSet<u32>,
    /// The number of arguments of functions, by entry label.
    pub(super) arities: HashMap<u32, u32>,
    /// Where the next function is called, and for each one that is being executed where it was.
    pub(super) site: Option<usize>,
    pub(super) sites: Vec<Option<usize>>,
    /// By entry label: arguments, and what it answered.
    kept: HashMap<u32, Vec<Answered>>,
}

impl Recording {
    pub(super) fn answers(&self, label: u32, args: &[SymbolicValue]) -> Option<Vec<SymbolicValue>> {
        let kept = self.kept.get(&label)?;
        let found = kept.iter().find(|(known, _)| known == args);
        found.map(|(_, answers)| answers.clone())
    }

    pub(super) fn remember(
        &mut self,
        label: u32,
        args: Vec<SymbolicValue>,
        answers: &[SymbolicValue],
    ) {
        let kept = self.kept.entry(label).or_default();
        if kept.len() < MAX_KEPT {
            kept.push((args, answers.to_vec()));
        }
    }
}

/// Adds what is not there yet.
pub(super) fn add<T: PartialEq>(all: &mut Vec<T>, one: T) {
    if all.len() < MAX_ENTRIES && !all.contains(&one) {
        all.push(one);
    }
}

/// The name of the node that executes the code.
pub(super) fn own_node() -> SymbolicValue {
    SymbolicValue::atom(OWN_NODE)
}

/// A process of a group.
pub(super) fn member() -> SymbolicValue {
    SymbolicValue::Known(Rc::new(Term::tuple([Term::atom(MEMBER)])))
}

/// The process under a name of `global`.
pub(super) fn registered_globally(name: &SymbolicValue) -> SymbolicValue {
    SymbolicValue::tuple_of(vec![SymbolicValue::atom(GLOBAL), name.clone()])
}

/// Registries of which a name may be that of a process on another node.
const REGISTRIES: [&str; 4] = ["syn", "Elixir.Horde.Registry", "Elixir.Swarm", "swarm"];

/// Where something is sent that may be another node; `as_call`: `{global, Name}` and `{via, Module, Name}` are names.
pub(super) fn address(to: &SymbolicValue, as_call: bool) -> Option<Address> {
    let parts = to.tuple()?;
    let first = parts.first()?.as_atom();
    match (first.as_ref().map(Atom::as_str), parts.as_slice()) {
        (Some(MEMBER), _) => Some(Address::Members),
        (Some(GLOBAL), [_, name]) => Some(Address::Global(name.clone())),
        (Some("global"), [_, name]) if as_call => Some(Address::Global(name.clone())),
        (Some("via"), [_, module, name]) if as_call => via(module, name),
        // `{local, Name}` is no address, and an error tuple neither.
        (Some("local" | "error" | "EXIT" | "via"), _) => None,
        (name, [_, node]) => {
            let node = node.as_atom();
            if node.is_some_and(|node| node == OWN_NODE || node == "nonode@nohost") {
                return None;
            }
            match (name, &parts[0]) {
                (Some(name), _) => Some(Address::Named(Atom::new(name))),
                (None, SymbolicValue::Unknown) => Some(Address::AnyName),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A name of a registry that a whole cluster has.
fn via(module: &SymbolicValue, name: &SymbolicValue) -> Option<Address> {
    let module = module.as_atom()?;
    match module.as_str() {
        "global" => Some(Address::Global(name.clone())),
        registry if REGISTRIES.contains(&registry) => Some(Address::Via(module, name.clone())),
        _ => None,
    }
}

/// The name in `{local, Name}`, `{global, Name}`, `{via, Module, Name}`.
pub(super) fn name_of(value: &SymbolicValue) -> Option<Address> {
    let parts = value.tuple()?;
    match (parts.first()?.as_atom()?.as_str(), parts.as_slice()) {
        ("local", [_, name]) => Some(Address::Named(name.as_atom()?)),
        ("global", [_, name]) => Some(Address::Global(name.clone())),
        ("via", [_, module, name]) => via(module, name),
        _ => None,
    }
}

/// The same of Elixir's `name:`, where an atom is a local name.
pub(super) fn elixir_name(value: &SymbolicValue) -> Option<Address> {
    match value.as_atom() {
        Some(name) if name == "nil" => None,
        Some(name) => Some(Address::Named(name)),
        None => name_of(value),
    }
}

/// Whether a node is known to be the own one.
pub(super) fn is_own(node: &SymbolicValue) -> bool {
    node.as_atom().is_some_and(|node| node == OWN_NODE)
}

/// Whether two names may be the same.
pub(super) fn may_be(one: &SymbolicValue, other: &SymbolicValue) -> bool {
    match (one, other) {
        (SymbolicValue::Unknown, _) | (_, SymbolicValue::Unknown) => true,
        _ => match (one.tuple(), other.tuple()) {
            (Some(one), Some(other)) => {
                one.len() == other.len() && one.iter().zip(&other).all(|(one, o)| may_be(one, o))
            }
            (None, None) => match (one.term(), other.term()) {
                (Some(one), Some(other)) => one == other,
                _ => true,
            },
            _ => false,
        },
    }
}

impl Address {
    /// Whether a process that has one of them as its name may be meant by the other.
    pub fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(one), Self::Named(other)) => one == other,
            (Self::Global(one), Self::Global(other)) => may_be(one, other),
            (Self::Via(one, name), Self::Via(other, other_name)) => {
                one == other && may_be(name, other_name)
            }
            _ => false,
        }
    }
}

/// An atom and a list of arguments.
pub(super) fn mfa(
    module: &SymbolicValue,
    function: &SymbolicValue,
    args: &SymbolicValue,
) -> Option<(Mfa, Vec<SymbolicValue>)> {
    let (items, whole) = args.items();
    let to = Mfa {
        module: Module::new(module.as_atom()?.as_str()),
        function: function.as_atom()?.as_str().into(),
        arity: u32::try_from(items.len()).ok()?,
    };
    whole.then_some((to, items))
}

/// The values of a list, as far as they are known, for a fun that is called with each; an unknown one for the rest.
pub(super) fn each(list: &SymbolicValue, most: usize) -> Vec<SymbolicValue> {
    let (mut items, whole) = list.items();
    let all = items.len() <= most && whole && !items.is_empty();
    items.truncate(most);
    if !all {
        items.push(SymbolicValue::Unknown);
    }
    items
}

/// A list that begins with this and goes on.
pub(super) fn list_with(first: SymbolicValue) -> SymbolicValue {
    SymbolicValue::cons(first, SymbolicValue::Unknown)
}

/// `undefined`.
pub(super) fn undefined() -> SymbolicValue {
    known(&Term::atom("undefined"))
}
