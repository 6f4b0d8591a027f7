//! Cycles and order.
//!
//! The order is deterministic: Kahn's algorithm over the strongly connected components, dependencies
//! first, ties broken by the smallest module name. Inside a component hard edges are obeyed where they
//! form no ring of their own, and names decide the rest.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::unionfind::UnionFind;

use super::{Edge, Graph};
use crate::name::Module;

/// Modules that belong together in the order: one module, or the members of a cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The members, in order.
    pub modules: Vec<Module>,
    /// Whether they depend on each other in a ring.
    pub cyclic: bool,
}

impl Graph {
    /// The strongly connected components, dependencies first.
    pub fn order(&self) -> Vec<Component> {
        let components = self.components(|_| true);
        let place = places(&components);
        let mut waits = vec![BTreeSet::new(); components.len()];
        for (from, to, _) in self.edges() {
            let (a, b) = (place[from], place[to]);
            if a != b {
                waits[a].insert(b);
            }
        }
        kahn(&waits, |at| components[at][0].clone())
            .into_iter()
            .map(|at| Component {
                cyclic: components[at].len() > 1,
                modules: self.inside(&components[at]),
            })
            .collect()
    }

    /// The modules, dependencies first.
    pub fn order_flat(&self) -> Vec<Module> {
        self.order()
            .into_iter()
            .flat_map(|component| component.modules)
            .collect()
    }

    /// The cycles: components of more than one module, each sorted by name.
    pub fn cycles(&self) -> Vec<Vec<Module>> {
        self.components(|_| true)
            .into_iter()
            .filter(|c| c.len() > 1)
            .collect()
    }

    /// The cycles that edges of one kind form by themselves.
    pub fn cycles_of(&self, keep: impl Fn(&Edge) -> bool) -> Vec<Vec<Module>> {
        self.components(keep)
            .into_iter()
            .filter(|c| c.len() > 1)
            .collect()
    }

    /// Layers of the given modules, those that wait for others first: no module in a layer depends (directly or
    /// through any chain of the graph) on one in an earlier layer, members of a cycle share one.
    pub fn layers(&self, wanted: &BTreeSet<Module>) -> Vec<Vec<Module>> {
        let components = self.components(|_| true);
        let place = places(&components);
        let mut waits = vec![BTreeSet::new(); components.len()];
        for (from, to, _) in self.edges() {
            let (a, b) = (place[from], place[to]);
            if a != b {
                waits[a].insert(b);
            }
        }
        // Height over the dependencies, counting only components that hold a wanted module.
        let mut height = vec![0usize; components.len()];
        let mut layers: BTreeMap<usize, Vec<Module>> = BTreeMap::new();
        for at in kahn(&waits, |at| components[at][0].clone()) {
            let here: Vec<_> = components[at]
                .iter()
                .filter(|m| wanted.contains(*m))
                .cloned()
                .collect();
            let below = waits[at].iter().map(|b| height[*b]).max().unwrap_or(0);
            height[at] = below + usize::from(!here.is_empty());
            layers.entry(height[at]).or_default().extend(here);
        }
        layers
            .into_values()
            .rev()
            .filter(|layer| !layer.is_empty())
            .map(sorted)
            .collect()
    }

    /// Sets of modules that change together: joined by hard edges, or members of a cycle. Sets whose members are called
    /// come before those of their callers; where sets call each other in a ring, the order of their first modules holds.
    pub fn sets(&self) -> Vec<Vec<Module>> {
        let components = self.order();
        let place: BTreeMap<&Module, usize> = components
            .iter()
            .enumerate()
            .flat_map(|(at, component)| component.modules.iter().map(move |module| (module, at)))
            .collect();
        let mut joined = UnionFind::new(components.len());
        for (from, to, edge) in self.edges() {
            if edge.is_hard() {
                joined.union(place[from], place[to]);
            }
        }
        // Sets are numbered by their first component.
        let mut number: BTreeMap<usize, usize> = BTreeMap::new();
        let mut sets: Vec<Vec<Module>> = Vec::new();
        let mut set_of = Vec::with_capacity(components.len());
        for (at, component) in components.iter().enumerate() {
            let set = *number.entry(joined.find(at)).or_insert_with(|| {
                sets.push(Vec::new());
                sets.len() - 1
            });
            sets[set].extend(component.modules.iter().cloned());
            set_of.push(set);
        }
        let mut drawn: DiGraph<(), ()> = DiGraph::new();
        let nodes: Vec<NodeIndex> = sets.iter().map(|_| drawn.add_node(())).collect();
        let mut waits = vec![BTreeSet::new(); sets.len()];
        for (from, to, _) in self.edges() {
            let (a, b) = (set_of[place[from]], set_of[place[to]]);
            if a != b && waits[a].insert(b) {
                drawn.add_edge(nodes[a], nodes[b], ());
            }
        }
        let mut rings: Vec<Vec<usize>> = kosaraju_scc(&drawn)
            .into_iter()
            .map(|ring| ring.into_iter().map(NodeIndex::index).collect())
            .collect();
        let mut ring_of = vec![0; sets.len()];
        for (number, ring) in rings.iter_mut().enumerate() {
            ring.sort_unstable();
            for set in ring {
                ring_of[*set] = number;
            }
        }
        let mut between = vec![BTreeSet::new(); rings.len()];
        for (set, waits) in waits.iter().enumerate() {
            let (own, others) = (ring_of[set], waits.iter().map(|other| ring_of[*other]));
            between[own].extend(others.filter(|other| *other != own));
        }
        let order = kahn(&between, |at| rings[at][0]);
        let order = order.into_iter().flat_map(|ring| rings[ring].clone());
        order.map(|set| std::mem::take(&mut sets[set])).collect()
    }

    /// Components by smallest member, members sorted. Kosaraju, because it keeps its own stack: Tarjan's
    /// recursion would not survive a chain of ten thousand modules.
    fn components(&self, keep: impl Fn(&Edge) -> bool) -> Vec<Vec<Module>> {
        let mut drawn: DiGraph<&Module, ()> = DiGraph::new();
        let at: BTreeMap<&Module, NodeIndex> = self
            .modules()
            .map(|module| (module, drawn.add_node(module)))
            .collect();
        for (from, to, edge) in self.edges() {
            if keep(edge) {
                drawn.add_edge(at[from], at[to], ());
            }
        }
        let mut components: Vec<Vec<Module>> = kosaraju_scc(&drawn)
            .into_iter()
            .map(|members| sorted(members.into_iter().map(|m| drawn[m].clone()).collect()))
            .collect();
        components.sort();
        components
    }

    /// The order inside one component: by hard edges, rings of hard edges by name.
    fn inside(&self, members: &[Module]) -> Vec<Module> {
        if members.len() == 1 {
            return members.to_vec();
        }
        let gone = self
            .modules()
            .filter(|m| members.binary_search(m).is_err())
            .cloned()
            .collect();
        let part = self.without(&gone);
        let components = part.components(Edge::is_hard);
        let place = places(&components);
        let mut waits = vec![BTreeSet::new(); components.len()];
        for (from, to, edge) in part.edges() {
            let (a, b) = (place[from], place[to]);
            if a != b && edge.is_hard() {
                waits[a].insert(b);
            }
        }
        kahn(&waits, |at| components[at][0].clone())
            .into_iter()
            .flat_map(|at| components[at].clone())
            .collect()
    }
}

fn sorted(mut modules: Vec<Module>) -> Vec<Module> {
    modules.sort();
    modules
}

fn places(components: &[Vec<Module>]) -> BTreeMap<Module, usize> {
    components
        .iter()
        .enumerate()
        .flat_map(|(at, members)| members.iter().map(move |module| (module.clone(), at)))
        .collect()
}

/// Repeatedly takes, among those that wait for none that is left, the one with the smallest key.
fn kahn<K: Ord>(waits: &[BTreeSet<usize>], key: impl Fn(usize) -> K) -> Vec<usize> {
    let mut open: Vec<usize> = waits.iter().map(BTreeSet::len).collect();
    let mut waiting_for = vec![Vec::new(); waits.len()];
    for (at, set) in waits.iter().enumerate() {
        for dependency in set {
            waiting_for[*dependency].push(at);
        }
    }
    let mut ready: BTreeSet<(K, usize)> = (0..waits.len())
        .filter(|at| open[*at] == 0)
        .map(|at| (key(at), at))
        .collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some((_, at)) = ready.pop_first() {
        order.push(at);
        for next in &waiting_for[at] {
            open[*next] -= 1;
            if open[*next] == 0 {
                ready.insert((key(*next), *next));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;
    use crate::diag::Span;
    use crate::name::Mfa;

    /// `a>b` is a soft edge (a calls b), `a=>b` a hard one.
    fn graph(modules: &str, edges: &str) -> Graph {
        let mut graph = Graph::new(modules.split_whitespace().map(Module::from));
        for edge in edges.split_whitespace() {
            if let Some((a, b)) = edge.split_once("=>") {
                graph.add(
                    &a.into(),
                    &b.into(),
                    Reason::Plan {
                        span: Span::default(),
                        because: None,
                    },
                );
            } else {
                let (a, b) = edge.split_once('>').expect("an edge has an arrow");
                let callee = Mfa {
                    module: b.into(),
                    function: "f".into(),
                    arity: 0,
                };
                graph.add(&a.into(), &b.into(), Reason::Calls { callee, from: None });
            }
        }
        graph
    }

    fn shown(graph: &Graph) -> String {
        let parts: Vec<String> = graph
            .order()
            .iter()
            .map(|c| {
                let names: Vec<_> = c.modules.iter().map(Module::as_str).collect();
                if c.cyclic {
                    format!("[{}]", names.join(" "))
                } else {
                    names.join(" ")
                }
            })
            .collect();
        parts.join(" ")
    }

    #[test]
    fn dependencies_come_first_and_names_break_ties() {
        //  d ──► b ──► a
        //  c ──────────▲
        assert_eq!(shown(&graph("a b c d", "d>b b>a c>a")), "a b c d");
        assert_eq!(shown(&graph("a b c", "a>c")), "b c a");
    }

    #[test]
    fn a_cycle_stays_together_and_hard_edges_rule_inside() {
        //  a ⇄ b, both used by c
        assert_eq!(shown(&graph("a b c", "a>b b>a c>a")), "[a b] c");
        assert_eq!(shown(&graph("a b", "a=>b b>a")), "[b a]");
    }

    #[test]
    fn layers_put_callers_first_and_skip_plain_modules() {
        // s1 ──► lib ──► s2 ; s3 alone
        let graph = graph("s1 s2 s3 lib", "s1>lib lib>s2");
        let wanted = ["s1", "s2", "s3"].into_iter().map(Module::from).collect();
        let layers: Vec<Vec<_>> = graph
            .layers(&wanted)
            .iter()
            .map(|l| l.iter().map(|m| m.as_str().to_owned()).collect())
            .collect();
        assert_eq!(layers, [vec!["s1"], vec!["s2", "s3"]]);
    }

    #[test]
    fn sets_are_joined_by_hard_edges_and_cycles() {
        let sets = |modules: &str, edges: &str| -> String {
            let sets = graph(modules, edges).sets();
            let names = |set: &Vec<Module>| -> String {
                let names: Vec<&str> = set.iter().map(Module::as_str).collect();
                names.join(" ")
            };
            sets.iter().map(names).collect::<Vec<_>>().join(" | ")
        };
        assert_eq!(sets("a b c", "a>b b>c"), "c | b | a");
        assert_eq!(sets("a b c", "a=>b b>c"), "c | b a");
        assert_eq!(sets("a b c d", "a>b b>a c=>a d>c"), "a b c | d");
        // {a, z} and {b, y} call each other: no order is right, the first module's counts.
        assert_eq!(sets("a b y z", "a=>z b=>y a>b y>z"), "z a | y b");
        assert_eq!(sets("", ""), "");
    }

    #[test]
    fn ten_thousand_modules_in_a_ring_and_in_a_chain_are_no_trouble() {
        let name = |i: usize| Module::new(format!("m{i:05}"));
        let reason = Reason::Behaviour;
        let mut chain = Graph::new((0..10_000).map(name));
        for i in 1..10_000 {
            chain.add(&name(i), &name(i - 1), reason.clone());
        }
        assert_eq!(chain.order().len(), 10_000);
        assert_eq!(chain.sets().len(), 10_000);
        chain.add(&name(0), &name(9_999), reason);
        assert_eq!(chain.order().len(), 1);
        assert_eq!(chain.sets().len(), 1);
    }
}
