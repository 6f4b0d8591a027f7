//! The dependency graph of the modules that change: edges with their evidence, cycles, order.
//!
//! An edge `a -> b` says that `b` comes first. Soft edges (the call graph) give the natural order and may
//! be broken inside a cycle; hard edges (a call that only works with the new version on the other side,
//! a rule of the plan) are obeyed. Nothing here knows a node or a file: facts in, order out.

pub mod build;
pub mod draw;
pub mod explain;
pub mod order;

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::Span;
use crate::facts::beam::{Evidence, Function};
use crate::name::{Mfa, Module};
use crate::term::Atom;

/// Why one module comes before another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The dependent's new version calls the other one.
    Calls {
        /// The function called.
        callee: Mfa,
        /// Where, when the code could be read.
        from: Option<Function>,
    },
    /// The dependent's new version calls a function that only the other's new version has.
    Needs {
        /// The function called.
        callee: Mfa,
        /// Where.
        from: Option<Function>,
    },
    /// The other one's old version calls a function that the dependent's new version has lost.
    Loses {
        /// The function lost.
        callee: Mfa,
        /// Where it is called.
        from: Option<Function>,
    },
    /// A reference that the import table does not show.
    Hidden {
        /// What was seen.
        evidence: Evidence,
        /// The function meant, where known.
        function: Option<String>,
        /// Where.
        from: Option<Function>,
    },
    /// The dependent sends to a name that the other one registers.
    Sends {
        /// The registered name.
        name: Atom,
        /// Where.
        from: Function,
    },
    /// The dependent declares the other one as its behaviour.
    Behaviour,
    /// The plan says so.
    Plan {
        /// The statement.
        span: Span,
        /// Its reason.
        because: Option<String>,
    },
}

impl Reason {
    /// Its kind in a word: `calls`, `needs`, `loses`, `hidden`, `sends`, `behaviour`, `plan`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Calls { .. } => "calls",
            Self::Needs { .. } => "needs",
            Self::Loses { .. } => "loses",
            Self::Hidden { .. } => "hidden",
            Self::Sends { .. } => "sends",
            Self::Behaviour => "behaviour",
            Self::Plan { .. } => "plan",
        }
    }

    /// Whether the order must be obeyed.
    pub fn is_hard(&self) -> bool {
        matches!(
            self,
            Self::Needs { .. } | Self::Loses { .. } | Self::Plan { .. }
        )
    }
}

/// All reasons for one order between two modules; never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// The reasons, the strongest first.
    pub reasons: Vec<Reason>,
}

impl Edge {
    /// Whether any reason is hard.
    pub fn is_hard(&self) -> bool {
        self.reasons.iter().any(Reason::is_hard)
    }
}

/// An edge that the plan took away, kept so that it can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The dependent.
    pub from: Module,
    /// The one it no longer waits for.
    pub to: Module,
    /// What was inferred.
    pub edge: Edge,
    /// The statement.
    pub span: Span,
    /// Its reason.
    pub because: Option<String>,
}

/// Modules and the edges between them.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    modules: BTreeSet<Module>,
    edges: BTreeMap<(Module, Module), Edge>,
    /// Edges that the plan took away.
    pub removed: Vec<Removed>,
}

impl Graph {
    /// A graph of these modules without edges.
    pub fn new(modules: impl IntoIterator<Item = Module>) -> Self {
        Self {
            modules: modules.into_iter().collect(),
            ..Self::default()
        }
    }

    /// The modules, by name.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.modules.iter()
    }

    /// Whether the module takes part.
    pub fn contains(&self, module: &Module) -> bool {
        self.modules.contains(module)
    }

    /// The edges, by dependent and then dependency.
    pub fn edges(&self) -> impl Iterator<Item = (&Module, &Module, &Edge)> {
        self.edges.iter().map(|((from, to), edge)| (from, to, edge))
    }

    /// The edge between two modules, if there is one.
    pub fn edge(&self, from: &Module, to: &Module) -> Option<&Edge> {
        self.edges.get(&(from.clone(), to.clone()))
    }

    /// What a module waits for.
    pub fn dependencies<'a>(
        &'a self,
        module: &'a Module,
    ) -> impl Iterator<Item = (&'a Module, &'a Edge)> {
        self.edges
            .range((module.clone(), Module::new(""))..)
            .take_while(move |((from, _), _)| from == module)
            .map(|((_, to), edge)| (to, edge))
    }

    /// The shortest way along edges from one module to another, both included; by name where there are several.
    pub fn path(&self, from: &Module, to: &Module) -> Option<Vec<Module>> {
        let mut came: BTreeMap<&Module, &Module> = BTreeMap::new();
        let mut queue = std::collections::VecDeque::from([self.modules.get(from)?]);
        while let Some(module) = queue.pop_front() {
            if module == to {
                let mut way = vec![module.clone()];
                let mut at = module;
                while at != from {
                    at = came.get(at)?;
                    way.push(at.clone());
                }
                way.reverse();
                return Some(way);
            }
            for (next, _) in self.dependencies(module) {
                if next != from && !came.contains_key(next) {
                    came.insert(next, module);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// Adds a reason for `to` to come before `from`; ignored for a module and itself, or for modules that do
    /// not take part. Returns whether it was taken.
    pub fn add(&mut self, from: &Module, to: &Module, reason: Reason) -> bool {
        if from == to || !self.modules.contains(from) || !self.modules.contains(to) {
            return false;
        }
        let edge = self.edges.entry((from.clone(), to.clone())).or_default();
        if !edge.reasons.contains(&reason) {
            let at = if reason.is_hard() {
                edge.reasons.iter().take_while(|r| r.is_hard()).count()
            } else {
                edge.reasons.len()
            };
            edge.reasons.insert(at, reason);
        }
        true
    }

    /// Takes an edge away on behalf of the plan; `false` if there was none.
    pub fn remove(
        &mut self,
        from: &Module,
        to: &Module,
        span: Span,
        because: Option<String>,
    ) -> bool {
        let Some(edge) = self.edges.remove(&(from.clone(), to.clone())) else {
            return false;
        };
        self.removed.push(Removed {
            from: from.clone(),
            to: to.clone(),
            edge,
            span,
            because,
        });
        true
    }

    /// The part at most `depth` edges away from one module, in either direction; `None` when it takes no
    /// part.
    pub fn around(&self, middle: &Module, depth: usize) -> Option<Self> {
        let mut near = BTreeSet::from([self.modules.get(middle)?]);
        for _ in 0..depth {
            let beside = self.edges.keys().filter_map(|(from, to)| {
                match (near.contains(from), near.contains(to)) {
                    (true, false) => Some(to),
                    (false, true) => Some(from),
                    _ => None,
                }
            });
            let beside: Vec<_> = beside.collect();
            if beside.is_empty() {
                break;
            }
            near.extend(beside);
        }
        let gone = self.modules.iter().filter(|m| !near.contains(m)).cloned();
        let mut part = self.without(&gone.collect());
        part.removed
            .retain(|gone| near.contains(&gone.from) && near.contains(&gone.to));
        Some(part)
    }

    /// The same graph without some modules.
    #[must_use]
    pub fn without(&self, gone: &BTreeSet<Module>) -> Self {
        Self {
            modules: self.modules.difference(gone).cloned().collect(),
            edges: self
                .edges
                .iter()
                .filter(|((from, to), _)| !gone.contains(from) && !gone.contains(to))
                .map(|(pair, edge)| (pair.clone(), edge.clone()))
                .collect(),
            removed: self.removed.clone(),
        }
    }
}
