//! The children that a supervisor's `init/1` specifies, found without running it.
//!
//! Takes beams, gives identifiers, starts and modules, by symbolic execution ([`symbolic`](super::code::symbolic)). What
//! `init/1` computes from what only a node knows is not seen; then it is said that this is not all, and constants of the
//! beam that look like specifications are taken for what they may be.

use std::collections::BTreeSet;

use super::chunk::{Chunks, Literals, unpacked};
pub use super::code::symbolic::UNSEEN;
use super::code::symbolic::{Machine, SymbolicValue, keyword};
use crate::name::Module;
use crate::term::{Term, etf};

/// More than any sane supervisor specifies.
const MAX_CHILDREN: usize = 4096;

/// One child.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its identifier.
    pub id: Term,
    /// `{M, F, Args}`, when all of it is known.
    pub start: Option<Term>,
    /// The module of its start function.
    pub module: Option<Module>,
    /// Its `modules`; `None` for `dynamic`.
    pub modules: Option<Vec<Module>>,
}

/// What `init/1` specifies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Specified {
    /// The children in the order in which they are started; of several ways through `init/1`, those of all.
    pub children: Vec<Child>,
    /// Whether these are certainly all, whatever the node says.
    pub exact: bool,
    /// Whether `init/1` may answer `ignore`.
    pub ignores: bool,
}

impl Specified {
    /// The child with an identifier.
    pub fn get(&self, id: &Term) -> Option<&Child> {
        self.children.iter().find(|child| child.id == *id)
    }

    fn add(&mut self, child: Child) {
        if self.get(&child.id).is_none() {
            self.exact &= self.children.len() < MAX_CHILDREN;
            if self.children.len() < MAX_CHILDREN {
                self.children.push(child);
            }
        }
    }
}

/// What the `init/1` of a supervisor specifies; `world` has the beams that it may call.
pub fn specified<'a>(module: &Module, world: &dyn Fn(&Module) -> Option<&'a [u8]>) -> Specified {
    let mut machine = Machine::new(world);
    let answers = machine.call(module, "init", vec![SymbolicValue::Unknown]);
    let answers = answers.unwrap_or_else(|| vec![SymbolicValue::Unknown]);
    let mut found = Specified {
        exact: answers.len() == 1,
        ..Specified::default()
    };
    for answer in &answers {
        if answer.as_atom().is_some_and(|word| word == "ignore") {
            found.ignores = true;
            continue;
        }
        found.exact &= of_answer(answer, &mut found.children);
    }
    let children = std::mem::take(&mut found.children);
    children.into_iter().for_each(|child| found.add(child));
    if !found.exact
        && let Some(beam) = world(module)
    {
        constants(beam)
            .into_iter()
            .for_each(|child| found.add(child));
    }
    found
}

/// A child in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedChild {
    /// The child.
    pub child: Child,
    /// Its entry, when all of that is known: `Mod`, `{Mod, Arg}`, a specification, or `{'$child_spec', Entry, Overrides}`
    /// for what `Supervisor.child_spec/2` makes of one.
    pub item: Option<Term>,
    /// Whether the identifier is the usual one, and only the module's `child_spec/1` can say which it is.
    pub guessed: bool,
}

/// Children that the `start/2` of an application's module gives to a supervisor of its own (Elixir's
/// `Supervisor.start_link/2` with a list).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The children, in the order in which they are started.
    pub children: Vec<ListedChild>,
    /// The name of the supervisor.
    pub name: Option<Term>,
    /// Whether these are certainly all.
    pub exact: bool,
}

/// What the `start/2` of an application's module lists; `None` when it starts no supervisor so.
pub fn listed<'a>(module: &Module, world: &dyn Fn(&Module) -> Option<&'a [u8]>) -> Option<Listed> {
    let mut machine = Machine::new(world);
    machine.call(
        module,
        "start",
        vec![SymbolicValue::Unknown, SymbolicValue::Unknown],
    )?;
    let started = std::mem::take(&mut machine.started).into_iter();
    // One for each way through it: a value that is computed, `x || y` for one, makes two of them.
    let lists =
        started.map(|(items, whole, options)| of_list(&mut machine, items, whole, &options));
    lists.reduce(either)
}

/// One list.
fn of_list(
    machine: &mut Machine<'_, '_>,
    items: Vec<SymbolicValue>,
    whole: bool,
    options: &SymbolicValue,
) -> Listed {
    let mut found = Listed {
        name: keyword(options, "name")
            .term()
            .filter(|name| !name.is_atom("nil")),
        exact: whole && items.len() <= MAX_CHILDREN,
        ..Listed::default()
    };
    for item in items.into_iter().take(MAX_CHILDREN) {
        machine.assumed = false;
        let Some(child) = child(&machine.child_spec(&item, 0)) else {
            found.exact = false;
            continue;
        };
        let unseen = item.get(&Term::atom(UNSEEN)).ok().flatten();
        let (item, guessed) = match unseen.as_ref().and_then(SymbolicValue::tuple).as_deref() {
            Some([entry, overrides]) => {
                let call = SymbolicValue::tuple_of(vec![
                    SymbolicValue::atom(UNSEEN),
                    entry.clone(),
                    overrides.clone(),
                ]);
                let named = keyword(overrides, "id").term();
                (call.term(), named.is_none_or(|id| id.is_atom("nil")))
            }
            _ => (item.term(), machine.assumed),
        };
        found.children.push(ListedChild {
            child,
            item,
            guessed,
        });
    }
    found
}

/// What two ways through a function have in common; children that only one has are there, and these are not all.
fn either(one: Listed, other: Listed) -> Listed {
    let same = |a: &ListedChild, b: &ListedChild| a.child.id == b.child.id;
    let mut pairs = one.children.iter().zip(&other.children);
    let alike = one.children.len() == other.children.len() && pairs.all(|(a, b)| same(a, b));
    let mut both = Listed {
        name: one.name.filter(|name| other.name.as_ref() == Some(name)),
        exact: one.exact && other.exact && alike,
        children: one.children,
    };
    for (at, there) in other.children.into_iter().enumerate() {
        let known = match alike {
            true => both.children.get_mut(at),
            false => both.children.iter_mut().find(|here| same(here, &there)),
        };
        match known {
            Some(here) if *here != there => {
                if here.item != there.item {
                    here.item = None;
                }
                here.guessed |= there.guessed;
                if here.child.start != there.child.start {
                    here.child.start = None;
                }
                if here.child.module != there.child.module {
                    here.child.module = None;
                }
                if here.child.modules != there.child.modules {
                    here.child.modules = None;
                }
            }
            Some(_) => {}
            None => both.children.push(there),
        }
    }
    both
}

/// `{ok, {Flags, Children}}`; whether all of it was understood.
fn of_answer(answer: &SymbolicValue, children: &mut Vec<Child>) -> bool {
    let parts = answer.tuple();
    let Some([tag, inner]) = parts.as_deref() else {
        return false;
    };
    if tag.as_atom().is_none_or(|tag| tag != "ok") {
        return false;
    }
    // Elixir's dynamic supervisors answer `{ok, Flags}`: their children have no specifications of their own.
    if inner.is_map() == Some(true) {
        return true;
    }
    let inner = inner.tuple();
    let Some([flags, list]) = inner.as_deref() else {
        return false;
    };
    if is_simple(flags) {
        return true;
    }
    let (items, mut whole) = list.items();
    whole &= items.len() <= MAX_CHILDREN;
    for item in items.iter().take(MAX_CHILDREN) {
        match child(item) {
            Some(child) => children.push(child),
            None => whole = false,
        }
    }
    whole
}

/// Whether the strategy is `simple_one_for_one`, whose children have one specification for all.
fn is_simple(flags: &SymbolicValue) -> bool {
    let strategy = match flags.is_map() {
        Some(true) => flags.get(&Term::atom("strategy")).ok().flatten(),
        _ => flags.tuple().and_then(|parts| parts.first().cloned()),
    };
    strategy
        .and_then(|strategy| strategy.as_atom())
        .is_some_and(|strategy| strategy == "simple_one_for_one")
}

/// `#{id => Id, start => {M, F, A}, …}` or `{Id, {M, F, A}, Restart, Shutdown, Type, Modules}`.
fn child(value: &SymbolicValue) -> Option<Child> {
    let (id, start, modules) = match value.tuple().as_deref() {
        Some([id, start, _, _, _, modules]) => (id.clone(), start.clone(), Some(modules.clone())),
        _ => {
            let key = |key| value.get(&Term::atom(key));
            let id = key("id").ok()??;
            let start = key("start").ok()?.unwrap_or(SymbolicValue::Unknown);
            (
                id,
                start,
                key("modules").unwrap_or(Some(SymbolicValue::Unknown)),
            )
        }
    };
    let first = start.tuple().and_then(|parts| parts.first()?.as_atom());
    let module = first.map(|name| Module::new(name.as_str()));
    let modules = match modules {
        None => module.clone().map(|module| vec![module]),
        Some(modules) => modules.term().and_then(|modules| {
            let names = modules.as_list()?.iter();
            names
                .map(|name| Some(Module::new(name.as_atom()?.as_str())))
                .collect()
        }),
    };
    Some(Child {
        id: id.term()?,
        start: start.term(),
        module,
        modules,
    })
}

/// The specifications among the literals of a beam; none when it cannot be read.
fn constants(beam: &[u8]) -> Vec<Child> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let Ok(plain) = unpacked(beam) else {
        return found;
    };
    let literals = Chunks::parse(&plain).and_then(|chunks| {
        Literals::read(&chunks).map(|l| {
            let terms: Vec<Term> = (0..l.len())
                .filter_map(|at| etf::decode(l.get(at)?).ok())
                .collect();
            terms
        })
    });
    let mut open = literals.unwrap_or_default();
    open.reverse();
    while let Some(term) = open.pop() {
        if found.len() >= MAX_CHILDREN {
            break;
        }
        if is_specification(&term) {
            let child = child(&SymbolicValue::Known(term.into()));
            found.extend(child.filter(|child| seen.insert(child.id.clone())));
            continue;
        }
        match term {
            Term::List(parts) | Term::Tuple(parts) => open.extend(parts.into_iter().rev()),
            _ => {}
        }
    }
    found
}

fn is_specification(term: &Term) -> bool {
    let is_start = |start: &Term| {
        matches!(start.as_tuple(), Some([module, function, _])
            if module.as_atom().is_some() && function.as_atom().is_some())
    };
    if term.get("id").is_some() {
        return term.get("start").is_some_and(is_start);
    }
    match term.as_tuple() {
        Some([_, start, restart, _, kind, _]) if is_start(start) => {
            let words = ["permanent", "transient", "temporary"];
            words.iter().any(|word| restart.is_atom(word))
                && (kind.is_atom("worker") || kind.is_atom("supervisor"))
        }
        _ => false,
    }
}
