//! Functions of OTP and Elixir that make child specifications and lists of them.

use std::sync::Arc;

use super::machine::Machine;
use super::value::{MAX_LENGTH, SymbolicValue, known};
use crate::name::{Mfa, Module};
use crate::term::Term;

/// The key that a specification has whose `child_spec/1` was not seen: the element of the list, and the overrides.
pub const UNSEEN: &str = "$child_spec";

impl Machine<'_, '_> {
    /// Calls a fun.
    pub(super) fn apply(
        &mut self,
        fun: &SymbolicValue,
        args: Vec<SymbolicValue>,
        depth: usize,
    ) -> Vec<SymbolicValue> {
        match fun {
            SymbolicValue::Fun(module, label, free, _) => {
                let Some(unit) = self.unit(module) else {
                    return vec![SymbolicValue::Unknown];
                };
                let args = args.into_iter().chain(free.iter().cloned()).collect();
                self.run(&unit, *label, args, depth)
            }
            SymbolicValue::Known(term) => match &**term {
                Term::Fun(crate::term::Fun::External { module, name, .. }) => {
                    let to = Mfa {
                        module: Module::new(module.as_str()),
                        function: Arc::from(name.as_str()),
                        arity: u32::try_from(args.len()).unwrap_or(u32::MAX),
                    };
                    self.remote(&to, args, depth)
                }
                _ => vec![SymbolicValue::Unknown],
            },
            _ => vec![SymbolicValue::Unknown],
        }
    }

    /// One answer of a fun, or an unknown one.
    fn applied(
        &mut self,
        fun: &SymbolicValue,
        args: Vec<SymbolicValue>,
        depth: usize,
    ) -> SymbolicValue {
        single(self.apply(fun, args, depth))
    }

    pub(super) fn remote(
        &mut self,
        to: &Mfa,
        args: Vec<SymbolicValue>,
        depth: usize,
    ) -> Vec<SymbolicValue> {
        let one = |value: SymbolicValue| vec![value];
        match (to.module.as_str(), &*to.function, args.as_slice()) {
            ("erlang", "error" | "exit" | "throw" | "raise" | "nif_error", _) => Vec::new(),
            // What was a list of options has become a map, or the other way round.
            ("maps", "get" | "find" | "is_key", [_, map]) | ("maps", "get", [_, map, _])
                if map.is_map() == Some(false) =>
            {
                Vec::new()
            }
            ("Elixir.Map", "get" | "fetch" | "fetch!", [map, _])
            | ("Elixir.Map", "get", [map, _, _])
                if map.is_map() == Some(false) =>
            {
                Vec::new()
            }
            ("proplists", "get_value", [_, list]) | ("proplists", "get_value", [_, list, _])
                if list.is_map() == Some(true) =>
            {
                Vec::new()
            }
            ("Elixir.Keyword", "get" | "fetch" | "fetch!", [list, _])
            | ("Elixir.Keyword", "get", [list, _, _])
                if list.is_map() == Some(true) =>
            {
                Vec::new()
            }
            ("erlang", "++", [left, right]) | ("lists", "append", [left, right]) => {
                one(append(left, right))
            }
            ("lists", "append" | "flatten", [list]) | ("Elixir.List", "flatten", [list]) => {
                one(flatten(list, &*to.function == "flatten"))
            }
            ("lists", "reverse", [list]) => {
                let (items, whole) = list.items();
                one(match whole {
                    true => SymbolicValue::list(items.into_iter().rev()),
                    false => SymbolicValue::Unknown,
                })
            }
            ("lists", "map", [fun, list]) | ("Elixir.Enum", "map", [list, fun]) => {
                let (items, whole) = list.items();
                if !whole {
                    return one(SymbolicValue::Unknown);
                }
                let mut mapped = Vec::with_capacity(items.len());
                for item in items {
                    mapped.push(self.applied(fun, vec![item], depth));
                }
                one(SymbolicValue::list(mapped.into_iter()))
            }
            ("Elixir.Supervisor", "init", [children, options]) => {
                let (items, whole) = children.items();
                let mut specs = Vec::with_capacity(items.len());
                for item in items {
                    specs.push(self.child_spec(&item, depth));
                }
                let list = match whole {
                    true => SymbolicValue::list(specs.into_iter()),
                    false => {
                        let cell = |tail, head| SymbolicValue::cons(head, tail);
                        specs.into_iter().rev().fold(SymbolicValue::Unknown, cell)
                    }
                };
                let flags = SymbolicValue::tuple_of(vec![keyword(options, "strategy")]);
                let inner = SymbolicValue::tuple_of(vec![flags, list]);
                one(SymbolicValue::tuple_of(vec![
                    SymbolicValue::atom("ok"),
                    inner,
                ]))
            }
            ("Elixir.Supervisor", "start_link", [children, options])
                if children.as_atom().is_none() =>
            {
                let (items, whole) = children.items();
                self.started.push((items, whole, options.clone()));
                one(SymbolicValue::Unknown)
            }
            ("Elixir.Supervisor", "child_spec", [element, overrides]) => {
                let before = std::mem::take(&mut self.assumed);
                let mut spec = self.child_spec(element, depth);
                if self.assumed {
                    let call = SymbolicValue::tuple_of(vec![element.clone(), overrides.clone()]);
                    spec = spec.with(vec![(Term::atom(UNSEEN), call)]);
                }
                self.assumed = before;
                let (items, whole) = overrides.items();
                let pairs = items.iter().map(|item| match item.tuple()?.as_slice() {
                    [key, value] => Some((key.term()?, value.clone())),
                    _ => None,
                });
                one(match pairs.collect::<Option<Vec<_>>>() {
                    Some(pairs) if whole => spec.with(pairs),
                    _ => SymbolicValue::Unknown,
                })
            }
            ("Elixir.DynamicSupervisor", "init", [_]) => one(SymbolicValue::tuple_of(vec![
                SymbolicValue::atom("ok"),
                known(&Term::map([])),
            ])),
            (_, function, _) => match self.call_at(&to.module, function, args.clone(), depth) {
                Some(answers) => answers,
                None if function == "child_spec" && args.len() == 1 => {
                    self.assumed = true;
                    one(assumed(&to.module, &args[0]))
                }
                None => one(SymbolicValue::Unknown),
            },
        }
    }

    /// What Elixir makes of an element of a list of children: `Mod`, `{Mod, Arg}`, or a specification.
    pub fn child_spec(&mut self, element: &SymbolicValue, depth: usize) -> SymbolicValue {
        let (module, arg) = match (element.as_atom(), element.tuple().as_deref()) {
            (Some(module), _) => (module, known(&Term::List(Vec::new()))),
            (None, Some([module, arg])) => match module.as_atom() {
                Some(module) => (module, arg.clone()),
                None => return SymbolicValue::Unknown,
            },
            _ => return element.clone(),
        };
        let to = Mfa {
            module: Module::new(module.as_str()),
            function: Arc::from("child_spec"),
            arity: 1,
        };
        single(self.remote(&to, vec![arg], depth + 1))
    }
}

/// The specification that `use GenServer` and its like write, and those that are named after their process.
fn assumed(module: &Module, arg: &SymbolicValue) -> SymbolicValue {
    let named = matches!(
        module.as_str(),
        "Elixir.Registry"
            | "Elixir.DynamicSupervisor"
            | "Elixir.Task.Supervisor"
            | "Elixir.PartitionSupervisor"
    );
    let name = keyword(arg, "name");
    let id = match (named, name.term()) {
        (true, Some(name)) if name.is_atom("nil") => SymbolicValue::atom(module.as_str()),
        (true, Some(name)) if name.as_atom().is_some() => known(&name),
        (true, _) => SymbolicValue::Unknown,
        _ => SymbolicValue::atom(module.as_str()),
    };
    let start = [
        SymbolicValue::atom(module.as_str()),
        SymbolicValue::atom("start_link"),
        SymbolicValue::list([arg.clone()].into_iter()),
    ];
    let pairs = [
        (Term::atom("id"), id),
        (Term::atom("start"), SymbolicValue::tuple_of(start.to_vec())),
    ];
    SymbolicValue::map_of(pairs.to_vec(), true)
}

/// The value of a key in a keyword list: `nil` when it is not there.
pub fn keyword(list: &SymbolicValue, key: &str) -> SymbolicValue {
    let (items, whole) = list.items();
    for item in items {
        match item.tuple().as_deref() {
            Some([name, value]) if name.as_atom().is_some_and(|name| name == key) => {
                return value.clone();
            }
            Some([name, _]) if name.as_atom().is_some() => {}
            _ => return SymbolicValue::Unknown,
        }
    }
    match whole {
        true => SymbolicValue::atom("nil"),
        false => SymbolicValue::Unknown,
    }
}

fn append(left: &SymbolicValue, right: &SymbolicValue) -> SymbolicValue {
    let (items, whole) = left.items();
    let tail = if whole {
        right.clone()
    } else {
        SymbolicValue::Unknown
    };
    let cell = |tail, head| SymbolicValue::cons(head, tail);
    items.into_iter().rev().fold(tail, cell)
}

/// The lists in a list as one; `deep`: of any depth.
fn flatten(list: &SymbolicValue, deep: bool) -> SymbolicValue {
    let (items, whole) = list.items();
    let mut all = Vec::new();
    let mut open: Vec<(SymbolicValue, bool)> =
        items.into_iter().rev().map(|item| (item, true)).collect();
    if !whole {
        return SymbolicValue::Unknown;
    }
    while let Some((item, inner)) = open.pop() {
        let is_list = match &item {
            SymbolicValue::Cell(..) => true,
            SymbolicValue::Known(term) => matches!(**term, Term::List(_)),
            SymbolicValue::Unknown => return SymbolicValue::Unknown,
            _ => false,
        };
        if is_list && (deep || inner) {
            let (items, whole) = item.items();
            if !whole || open.len() + items.len() > MAX_LENGTH {
                return SymbolicValue::Unknown;
            }
            open.extend(items.into_iter().rev().map(|item| (item, false)));
        } else {
            all.push(item);
        }
    }
    SymbolicValue::list(all.into_iter())
}

/// The only answer, or an unknown one.
fn single(mut answers: Vec<SymbolicValue>) -> SymbolicValue {
    match answers.len() {
        1 => answers.swap_remove(0),
        _ => SymbolicValue::Unknown,
    }
}
