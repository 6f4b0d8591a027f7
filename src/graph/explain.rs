//! Words for edges: "why does this come before that".

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::{Edge, Graph, Reason};
use crate::facts::beam::{Evidence, Function};
use crate::name::Module;

/// One step of a chain of evidence: `from` waits for `to`.
#[derive(Clone, Debug)]
pub struct Link<'a> {
    /// The dependent.
    pub from: Module,
    /// The dependency.
    pub to: Module,
    /// Why.
    pub edge: &'a Edge,
}

impl Graph {
    /// The shortest chain of evidence for `first` coming before `then`; `None` if nothing forces it.
    pub fn why_before(&self, first: &Module, then: &Module) -> Option<Vec<Link<'_>>> {
        let mut came_from: BTreeMap<Module, Module> = BTreeMap::new();
        let mut queue = VecDeque::from([then.clone()]);
        while let Some(module) = queue.pop_front() {
            for (next, _) in self.dependencies(&module) {
                if next == then || came_from.contains_key(next) {
                    continue;
                }
                came_from.insert(next.clone(), module.clone());
                if next == first {
                    return self.chain(&came_from, first, then);
                }
                queue.push_back(next.clone());
            }
        }
        None
    }

    fn chain(
        &self,
        came_from: &BTreeMap<Module, Module>,
        first: &Module,
        then: &Module,
    ) -> Option<Vec<Link<'_>>> {
        let mut links = Vec::new();
        let mut at = first.clone();
        while at != *then {
            let from = came_from.get(&at)?.clone();
            let edge = self.edge(&from, &at)?;
            links.push(Link {
                from: from.clone(),
                to: at,
                edge,
            });
            at = from;
        }
        links.reverse();
        Some(links)
    }
}

impl Reason {
    /// The reason as a sentence about two modules.
    pub fn sentence(&self, from: &Module, to: &Module) -> String {
        match self {
            Self::Calls {
                callee,
                from: place,
            } => format!("{} calls {callee}", at(from, place.as_ref())),
            Self::Needs {
                callee,
                from: place,
            } => {
                format!(
                    "{} calls {callee}, which only the new {to} has",
                    at(from, place.as_ref())
                )
            }
            Self::Loses {
                callee,
                from: place,
            } => {
                format!(
                    "the old {} still calls {callee}, which the new {from} has lost",
                    at(to, place.as_ref())
                )
            }
            Self::Hidden {
                evidence,
                function,
                from: place,
            } => {
                let what = function.clone().unwrap_or_else(|| to.to_string());
                let seen = match evidence {
                    Evidence::ExternalFun => format!("holds fun {what}"),
                    Evidence::MfaLiteral => format!("names {what} in a literal"),
                    Evidence::StartCall => format!("starts or applies {what}"),
                    Evidence::AtomInCode => format!("mentions {what} in its code"),
                    Evidence::AtomInLiteral => format!("mentions {what} in a literal"),
                };
                format!("{} {seen}", at(from, place.as_ref()))
            }
            Self::Sends { name, from: place } => {
                format!(
                    "{} sends to {name:?}, a name of {to}",
                    at(from, Some(place))
                )
            }
            Self::Behaviour => format!("{from} declares the behaviour {to}"),
            Self::Plan {
                because: Some(because),
                ..
            } => format!("the plan: \"{because}\""),
            Self::Plan { because: None, .. } => {
                format!("the plan declares that {from} depends on {to}")
            }
        }
    }
}

fn at(module: &Module, place: Option<&Function>) -> String {
    let Some(function) = place else {
        return module.to_string();
    };
    let name = written(function);
    match function.line {
        Some(line) => format!("{module}:{name} (line {line})"),
        None => format!("{module}:{name}"),
    }
}

/// The function as its author knows it: the compiler calls a fun in `init/1` `-init/1-fun-0-/0`.
fn written(function: &Function) -> String {
    let inside = function.name.strip_prefix('-').and_then(|rest| {
        let slash = rest.find('/')?;
        let end = slash + 1 + rest.get(slash + 1..)?.find('-')?;
        rest.get(..end)
    });
    match inside {
        Some(name) => name.to_owned(),
        None => format!("{}/{}", function.name, function.arity),
    }
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.edge.reasons.first().ok_or(fmt::Error)?;
        f.write_str(&reason.sentence(&self.from, &self.to))?;
        match self.edge.reasons.len() - 1 {
            0 => Ok(()),
            more => write!(f, " (and {more} more)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Graph, Reason};
    use super::written;
    use crate::facts::beam::Function;
    use crate::name::Module;

    #[test]
    fn funs_are_named_by_their_enclosing_function() {
        let function = |name: &str| Function {
            name: name.into(),
            arity: 1,
            line: None,
        };
        assert_eq!(written(&function("-init/1-lc$^0/1-0-")), "init/1");
        assert_eq!(written(&function("-handle_call/3-fun-0-")), "handle_call/3");
        assert_eq!(written(&function("init")), "init/1");
        assert_eq!(written(&function("-")), "-/1");
    }

    #[test]
    fn the_shortest_chain_is_reported() {
        // a ─► b ─► c ─► d and a ─► d
        let names = ["a", "b", "c", "d"].map(Module::from);
        let mut graph = Graph::new(names.clone());
        for (from, to) in [(0, 1), (1, 2), (2, 3), (0, 3)] {
            graph.add(&names[from], &names[to], Reason::Behaviour);
        }
        let links = graph
            .why_before(&names[3], &names[0])
            .expect("d comes before a");
        assert_eq!(links.len(), 1);
        let links = graph
            .why_before(&names[2], &names[0])
            .expect("c comes before a");
        let texts: Vec<_> = links.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["a declares the behaviour b", "b declares the behaviour c"]
        );
        assert!(graph.why_before(&names[0], &names[3]).is_none());
    }
}
