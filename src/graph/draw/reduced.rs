//! The part of a large graph that is worth a look in a report: what is unusual, and what is connected with it.
//!
//! Takes a graph and gives a smaller one, with the number of modules that it leaves out and why. A small graph stays as it
//! is. Hard edges, edges of the plan, edges that the plan has removed, and cycles are unusual: they decide an order. Modules
//! without an edge decide nothing, and go first.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Graph, Reason};
use crate::name::Module;

/// Most modules of a picture in a report: more of them cannot be read beside each other.
const MOST: usize = 60;

/// A graph for a picture.
#[derive(Debug)]
pub struct ReducedGraph {
    /// What is drawn.
    pub graph: Graph,
    /// How many modules are not drawn that no edge leads to or from.
    pub alone: usize,
    /// How many of the others are not drawn.
    pub ordinary: usize,
}

impl ReducedGraph {
    /// How many modules are not drawn.
    pub fn left_out(&self) -> usize {
        self.alone + self.ordinary
    }
}

/// Leaves out what is ordinary, where there are too many modules.
pub fn reduced(graph: &Graph) -> ReducedGraph {
    let all: Vec<&Module> = graph.modules().collect();
    if all.len() <= MOST {
        return ReducedGraph {
            graph: graph.clone(),
            alone: 0,
            ordinary: 0,
        };
    }
    let mut edges: BTreeMap<&Module, usize> = BTreeMap::new();
    let mut unusual: BTreeSet<&Module> = BTreeSet::new();
    let mut beside: BTreeSet<(&Module, &Module)> = BTreeSet::new();
    for (from, to, edge) in graph.edges() {
        *edges.entry(from).or_default() += 1;
        *edges.entry(to).or_default() += 1;
        let of_plan = |reason: &Reason| matches!(reason, Reason::Plan { .. });
        if edge.is_hard() || edge.reasons.iter().any(of_plan) {
            unusual.extend([from, to]);
        }
        beside.extend([(from, to), (to, from)]);
    }
    let cycles = graph.cycles();
    unusual.extend(cycles.iter().flatten());
    for gone in &graph.removed {
        let both = [&gone.from, &gone.to];
        unusual.extend(both.into_iter().filter(|module| graph.contains(module)));
    }
    let near: BTreeSet<&Module> = beside
        .iter()
        .filter(|(from, _)| unusual.contains(from))
        .map(|(_, to)| *to)
        .collect();
    let is_alone = |module: &Module| !edges.contains_key(module) && !unusual.contains(module);
    let mut ranked: Vec<&Module> = all.iter().copied().filter(|m| !is_alone(m)).collect();
    let alone = all.len() - ranked.len();
    // Unusual ones, what is beside them, and then whatever most lines lead to.
    ranked.sort_by_key(|module| {
        let rank = match (unusual.contains(module), near.contains(module)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        let many = edges.get(*module).copied().unwrap_or_default();
        (rank, usize::MAX - many, *module)
    });
    let ordinary = ranked.len().saturating_sub(MOST);
    ranked.truncate(MOST);
    let kept: BTreeSet<&Module> = ranked.into_iter().collect();
    let gone = all.iter().filter(|module| !kept.contains(*module));
    let mut part = graph.without(&gone.map(|module| (*module).clone()).collect());
    part.removed
        .retain(|gone| kept.contains(&gone.from) && kept.contains(&gone.to));
    ReducedGraph {
        graph: part,
        alone,
        ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Mfa;

    fn module(at: usize) -> Module {
        Module::new(format!("m{at:03}"))
    }

    fn callee(to: usize) -> Mfa {
        Mfa {
            module: module(to),
            function: "f".into(),
            arity: 0,
        }
    }

    fn calls(graph: &mut Graph, from: usize, to: usize, hard: bool) {
        let (callee, from_place) = (callee(to), None);
        let reason = match hard {
            true => Reason::Needs {
                callee,
                from: from_place,
            },
            false => Reason::Calls {
                callee,
                from: from_place,
            },
        };
        graph.add(&module(from), &module(to), reason);
    }

    #[test]
    fn a_small_graph_stays_as_it_is() {
        let mut graph = Graph::new((0..MOST).map(module));
        calls(&mut graph, 0, 1, false);
        let reduced = reduced(&graph);
        assert_eq!(
            (reduced.left_out(), reduced.graph.modules().count()),
            (0, MOST)
        );
    }

    #[test]
    fn what_decides_nothing_is_left_out_first_and_counted() {
        let mut graph = Graph::new((0..500).map(module));
        // A row of ordinary calls, a cycle among the last, one hard edge in the middle.
        for at in 0..30 {
            calls(&mut graph, at, at + 1, false);
        }
        calls(&mut graph, 498, 499, false);
        calls(&mut graph, 499, 498, false);
        calls(&mut graph, 250, 251, true);
        let few = reduced(&graph);
        assert_eq!((few.alone, few.ordinary), (465, 0));
        assert_eq!(few.graph.edges().count(), graph.edges().count());
        // With more lines than can be drawn what is unusual stays.
        for at in 0..400 {
            calls(&mut graph, at, 401 + at % 90, false);
        }
        let many = reduced(&graph);
        assert_eq!(many.graph.modules().count(), MOST);
        assert_eq!(many.left_out(), 440);
        for at in [498, 499, 250, 251] {
            assert!(many.graph.contains(&module(at)), "{at}");
        }
        assert!(many.graph.edge(&module(250), &module(251)).is_some());
    }
}
