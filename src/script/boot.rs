//! In which order the modules of a window are converted: as the application starts them, where the code says nothing else.
//!
//! A supervisor before its children and earlier children before later ones, by the live tree; what is called before what
//! calls it. Where these contradict each other hard edges count most and calls least: a server that is started before
//! another one cannot need it to start, but may well call it later.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::Why;
use super::high::HighStep;
use super::instruction::Instruction;
use crate::facts::change::ChangeSet;
use crate::graph::Reason;
use crate::name::Module;
use crate::rules::{Change, Origin, Ruleset};
use crate::term::Term;

/// The order of conversions of a whole script. Found once, for the graph is gone through for it.
#[derive(Debug)]
pub(super) struct BootOrder<'a> {
    numbers: BTreeMap<&'a Module, usize>,
    places: BTreeMap<&'a Module, &'a [Term]>,
}

/// What comes first where nothing else decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    /// Not converted: holds nothing up.
    Free,
    /// A supervisor whose place is unknown: those that start others are behind these in the script.
    Supervisor(Reverse<usize>),
    /// By its place in the tree.
    Placed(&'a [Term], usize),
    /// By its place in the script.
    Listed(usize),
}

/// How much an order between two modules counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Call,
    Tree,
    Hard,
}

/// A module, and one that comes before it.
type Before = (usize, usize, Strength);

/// Whether a step converts states.
fn converts(step: &HighStep) -> bool {
    match &step.instruction {
        Instruction::Update { change, .. } => *change != Change::Soft,
        _ => false,
    }
}

impl<'a> BootOrder<'a> {
    /// The order of what a script converts; nothing where no place in a tree is known.
    pub(super) fn new(
        changes: &'a ChangeSet,
        rules: &'a Ruleset,
        high: &[HighStep],
    ) -> Option<Self> {
        let listed: BTreeMap<&Module, usize> = high
            .iter()
            .enumerate()
            .filter(|(_, step)| converts(step))
            .map(|(at, step)| (&step.module, at))
            .collect();
        let modules: Vec<&'a Module> = rules.graph.modules().collect();
        let places: BTreeMap<&'a Module, &'a [Term]> = modules
            .iter()
            .filter(|module| listed.contains_key(*module))
            .filter_map(|module| {
                let changed = changes.modules.get(*module)?;
                Some((*module, changed.module_processes.place()?))
            })
            .collect();
        if places.is_empty() {
            return None;
        }
        let renews = |module: &Module| rules.modules.get(module).is_some_and(|r| r.renews());
        let keys: Vec<Key<'_>> = modules
            .iter()
            .map(|module| match (listed.get(module), places.get(module)) {
                (None, _) => Key::Free,
                (Some(at), Some(place)) => Key::Placed(place, *at),
                (Some(at), None) if renews(module) => Key::Supervisor(Reverse(*at)),
                (Some(at), None) => Key::Listed(*at),
            })
            .collect();
        let befores = befores(rules, &modules, &places, &renews);
        let order = arranged(befores, &keys);
        let numbered = order.into_iter().enumerate();
        Some(Self {
            numbers: numbered.map(|(at, node)| (modules[node], at)).collect(),
            places,
        })
    }

    /// Sorts conversions.
    pub(super) fn sort(&self, conversions: &mut [(Module, Change)]) {
        conversions.sort_by_key(|(module, _)| self.numbers.get(module).copied());
    }

    /// Why a module is converted behind another one, where the tree decides.
    pub(super) fn why(&self, module: &Module, behind: &Module) -> Why {
        let place = |module| self.places.get(module).and_then(|place| place.split_last());
        let text = match (place(module), place(behind)) {
            (Some((_, one)), Some((_, other))) if one == other => {
                format!("converted after {behind}: their supervisor starts it later")
            }
            _ => format!("converted after {behind}: in the order in which they are started"),
        };
        let origin = Origin::Inferred(text.clone());
        Why { text, origin }
    }
}

/// What comes before what, and how much that counts.
fn befores(
    rules: &Ruleset,
    modules: &[&Module],
    places: &BTreeMap<&Module, &[Term]>,
    renews: &dyn Fn(&Module) -> bool,
) -> Vec<Before> {
    let number: BTreeMap<&Module, usize> = modules.iter().copied().zip(0..).collect();
    let is_below = |module: &Module, above: &Module| match (places.get(module), places.get(above)) {
        (Some(place), Some(above)) => place.starts_with(above),
        // Unknown, as a supervisor that names it may have it as a child.
        _ => true,
    };
    let mut befores = Vec::new();
    for (from, to, edge) in rules.graph.edges() {
        let by_plan = |reason: &Reason| matches!(reason, Reason::Plan { .. });
        let said = edge.reasons.iter().any(by_plan);
        // A supervisor names its children, and starts before them all the same.
        if renews(from) && !said && is_below(to, from) {
            continue;
        }
        let strength = match edge.is_hard() {
            true => Strength::Hard,
            false => Strength::Call,
        };
        befores.push((number[from], number[to], strength));
    }
    let at: BTreeMap<&[Term], &Module> = places
        .iter()
        .filter(|(module, _)| renews(module))
        .map(|(module, place)| (*place, *module))
        .collect();
    for (module, place) in places {
        let above = (1..place.len()).rev().find_map(|len| at.get(&place[..len]));
        if let Some(above) = above.filter(|above| *above != module) {
            befores.push((number[module], number[*above], Strength::Tree));
        }
    }
    befores
}

/// All modules in an order that obeys what comes before what, by their keys where nothing does. In a ring the weakest
/// orders count for nothing.
fn arranged(mut befores: Vec<Before>, keys: &[Key<'_>]) -> Vec<usize> {
    for weakest in [Strength::Call, Strength::Tree, Strength::Hard] {
        let mut drawn: DiGraph<(), ()> = DiGraph::with_capacity(keys.len(), befores.len());
        let nodes: Vec<NodeIndex> = keys.iter().map(|_| drawn.add_node(())).collect();
        for (node, before, _) in &befores {
            drawn.add_edge(nodes[*node], nodes[*before], ());
        }
        let mut ring_of = vec![0; keys.len()];
        for (number, ring) in kosaraju_scc(&drawn).into_iter().enumerate() {
            for node in ring {
                ring_of[node.index()] = number;
            }
        }
        befores.retain(|(node, before, strength)| {
            ring_of[*node] != ring_of[*before] || *strength > weakest
        });
    }
    let (mut waiting, mut open) = (vec![Vec::new(); keys.len()], vec![0usize; keys.len()]);
    for (node, before, _) in befores {
        waiting[before].push(node);
        open[node] += 1;
    }
    let mut ready: BinaryHeap<Reverse<(Key<'_>, usize)>> = (0..keys.len())
        .filter(|node| open[*node] == 0)
        .map(|node| Reverse((keys[node], node)))
        .collect();
    let mut order = Vec::with_capacity(keys.len());
    while let Some(Reverse((_, node))) = ready.pop() {
        order.push(node);
        for next in &waiting[node] {
            open[*next] -= 1;
            if open[*next] == 0 {
                ready.push(Reverse((keys[*next], *next)));
            }
        }
    }
    order
}
