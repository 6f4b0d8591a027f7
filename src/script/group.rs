//! Dependency groups: instructions that depend on each other, directly or not, are carried out together.
//!
//! A group is a weakly connected component of the graph "module depends on module". Inside it, cycles
//! stay together in the author's order, dependants come before what they depend on, and where several
//! are possible the one written first is taken (or what a [`Tie`] says). Linear but for the logarithm of a heap;
//! no recursion.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::unionfind::UnionFind;

use super::error::ScriptError;
use super::instruction::{Direction, Instruction};
use super::translate::{Application, InstructionPosition, Mode, Refused, Sourced, Tie};
use crate::name::Module;
use crate::rules::{Change, ModuleType, Purge, Timeout};

/// What the groups become.
pub(super) struct Grouped {
    /// Object code of what is loaded, in order.
    pub object_code: Vec<Sourced<Instruction>>,
    /// What comes after the point of no return.
    pub after: Vec<Instruction>,
}

/// Replaces the instructions that have dependencies, group by group, at the place of each group's first.
pub(super) fn translate(
    mode: Mode,
    script: Vec<Sourced<Instruction>>,
    apps: &[Application],
    tie: Tie<'_>,
) -> Result<Grouped, Refused> {
    let mut groups = groups(&script, tie)?;
    let mut libs = Libs::new(apps);
    let mut out = Grouped {
        object_code: Vec::new(),
        after: Vec::with_capacity(script.len()),
    };
    let mut number = 0;
    for (instruction, _) in &script {
        if instruction.dependent().is_none() {
            out.after.push(instruction.clone());
            continue;
        }
        if let Some(members) = groups.remove(&number) {
            lower(mode, &members, &mut libs, &mut out)?;
        }
        number += 1;
    }
    Ok(out)
}

type Member<'a> = &'a Sourced<Instruction>;

/// The groups with their members in order, dependants first, by the number of their first instruction.
fn groups<'a>(
    script: &'a [Sourced<Instruction>],
    tie: Tie<'_>,
) -> Result<HashMap<usize, Vec<Member<'a>>>, Refused> {
    let members: Vec<Member<'a>> = script
        .iter()
        .filter(|(instruction, _)| instruction.dependent().is_some())
        .collect();
    let graph = graph(&members)?;
    let order = order(&members, &graph, tie);
    let mut joined = UnionFind::new(members.len());
    for edge in graph.raw_edges() {
        joined.union(edge.source().index(), edge.target().index());
    }
    let mut first: HashMap<usize, usize> = HashMap::new();
    for number in 0..members.len() {
        first.entry(joined.find(number)).or_insert(number);
    }
    let mut groups: HashMap<usize, Vec<Member<'a>>> = HashMap::new();
    for number in order {
        let group = first[&joined.find(number)];
        groups.entry(group).or_default().push(members[number]);
    }
    Ok(groups)
}

/// The graph of dependencies; nodes are numbered as the instructions are.
fn graph(members: &[Member<'_>]) -> Result<DiGraph<(), ()>, Refused> {
    let mut graph = DiGraph::with_capacity(members.len(), members.len());
    let mut at: HashMap<&Module, NodeIndex> = HashMap::with_capacity(members.len());
    for (instruction, origin) in members {
        let Some((module, _)) = instruction.dependent() else {
            continue;
        };
        if at.insert(module, graph.add_node(())).is_some() {
            return Err(refused(ScriptError::MuldefModule(module.clone()), *origin));
        }
    }
    for (instruction, origin) in members {
        let Some((module, deps)) = instruction.dependent() else {
            continue;
        };
        for dep in deps {
            let Some(to) = at.get(dep) else {
                return Err(refused(ScriptError::UndefModule(dep.clone()), *origin));
            };
            graph.add_edge(at[module], *to, ());
        }
    }
    Ok(graph)
}

fn refused(error: ScriptError, at: Option<InstructionPosition>) -> Refused {
    Refused { error, at }
}

/// All instructions, dependants first, components together: Kahn's algorithm over the strongly connected
/// components. Groups do not touch each other, so one pass orders them all.
fn order(members: &[Member<'_>], graph: &DiGraph<(), ()>, tie: Tie<'_>) -> Vec<usize> {
    let mut components: Vec<Vec<usize>> = kosaraju_scc(graph)
        .into_iter()
        .map(|nodes| nodes.into_iter().map(NodeIndex::index).collect())
        .collect();
    let mut component = vec![0; members.len()];
    for (number, nodes) in components.iter_mut().enumerate() {
        nodes.sort_unstable();
        for node in nodes {
            component[*node] = number;
        }
    }
    let key = |node: usize| match tie {
        Tie::Author | Tie::Opposite => node,
        Tie::Given(places) => members[node]
            .0
            .dependent()
            .and_then(|(module, _)| places.get(module).copied())
            .unwrap_or(usize::MAX),
    };
    let keys: Vec<usize> = components
        .iter()
        .map(|nodes| {
            let least = nodes.iter().map(|node| key(*node)).min().unwrap_or(0);
            if matches!(tie, Tie::Opposite) {
                usize::MAX - least
            } else {
                least
            }
        })
        .collect();
    let mut dependants = vec![0usize; components.len()];
    let mut needs = vec![Vec::new(); components.len()];
    for edge in graph.raw_edges() {
        let (a, b) = (
            component[edge.source().index()],
            component[edge.target().index()],
        );
        if a != b {
            needs[a].push(b);
            dependants[b] += 1;
        }
    }
    let mut open: BinaryHeap<Reverse<(usize, usize)>> = (0..components.len())
        .filter(|c| dependants[*c] == 0)
        .map(|c| Reverse((keys[c], c)))
        .collect();
    let mut order = Vec::with_capacity(members.len());
    while let Some(Reverse((_, c))) = open.pop() {
        order.append(&mut components[c]);
        for needed in &needs[c] {
            dependants[*needed] -= 1;
            if dependants[*needed] == 0 {
                open.push(Reverse((keys[*needed], *needed)));
            }
        }
    }
    order
}

/// Which application has a module: the first that lists it.
struct Libs<'a> {
    apps: &'a [Application],
    /// Made when first needed.
    index: Option<BTreeMap<&'a Module, usize>>,
}

impl<'a> Libs<'a> {
    fn new(apps: &'a [Application]) -> Self {
        Self { apps, index: None }
    }

    fn of(&mut self, module: &Module) -> Option<&'a Application> {
        let apps = self.apps;
        let index = self.index.get_or_insert_with(|| {
            let mut index = BTreeMap::new();
            for (number, app) in apps.iter().enumerate() {
                for module in &app.modules {
                    index.entry(module).or_insert(number);
                }
            }
            index
        });
        index.get(module).map(|number| &apps[*number])
    }
}

/// One group as low-level instructions.
fn lower(
    mode: Mode,
    members: &[Member<'_>],
    libs: &mut Libs<'_>,
    out: &mut Grouped,
) -> Result<(), Refused> {
    for (instruction, origin) in members {
        let module = match instruction {
            Instruction::DeleteModule { .. } => continue,
            other => match other.dependent() {
                Some((module, _)) => module,
                None => continue,
            },
        };
        let Some(app) = libs.of(module) else {
            return Err(refused(ScriptError::NoSuchModule(module.clone()), *origin));
        };
        let code = Instruction::LoadObjectCode {
            lib: app.name.clone(),
            vsn: app.vsn.clone(),
            modules: vec![module.clone()],
        };
        out.object_code.push((code, *origin));
    }
    let suspended: Vec<_> = members.iter().filter_map(|(i, _)| suspended(i)).collect();
    let resumed: Vec<_> = suspended.iter().rev().map(|(m, _)| m.clone()).collect();
    if !suspended.is_empty() {
        out.after.push(Instruction::Suspend(suspended));
    }
    match mode {
        Mode::Up => {
            for (instruction, _) in members.iter().rev() {
                out.after.extend(code(instruction));
            }
            convert(out, Direction::Up, members, None);
        }
        Mode::Down => {
            convert(out, Direction::Down, members, Some(ModuleType::Dynamic));
            for (instruction, _) in members {
                out.after.extend(code(instruction));
            }
            convert(out, Direction::Down, members, Some(ModuleType::Static));
        }
    }
    if !resumed.is_empty() {
        out.after.push(Instruction::Resume(resumed));
    }
    Ok(())
}

/// The module that an instruction suspends, and its timeout.
fn suspended(instruction: &Instruction) -> Option<(Module, Option<Timeout>)> {
    match instruction {
        Instruction::Update {
            module, timeout, ..
        } => {
            let own = (*timeout != Timeout::Default).then(|| timeout.clone());
            Some((module.clone(), own))
        }
        _ => None,
    }
}

/// What an instruction loads or removes.
fn code(instruction: &Instruction) -> Vec<Instruction> {
    let (pre, post) = (Purge::Brutal, Purge::Brutal);
    match instruction {
        Instruction::Update {
            module, pre, post, ..
        }
        | Instruction::LoadModule {
            module, pre, post, ..
        } => vec![Instruction::Load {
            module: module.clone(),
            pre: *pre,
            post: *post,
        }],
        // How to purge does not matter: the module is new.
        Instruction::AddModule { module, .. } => {
            let module = module.clone();
            vec![Instruction::Load { module, pre, post }]
        }
        Instruction::DeleteModule { module, .. } => {
            let remove = Instruction::Remove {
                module: module.clone(),
                pre,
                post,
            };
            vec![remove, Instruction::Purge(vec![module.clone()])]
        }
        _ => Vec::new(),
    }
}

/// The conversions of a group, those of one kind if it is given.
fn convert(out: &mut Grouped, way: Direction, members: &[Member<'_>], only: Option<ModuleType>) {
    let modules: Vec<(Module, Change)> = members
        .iter()
        .filter_map(|(instruction, _)| match instruction {
            Instruction::Update {
                module,
                kind,
                change: change @ Change::Advanced(_),
                ..
            } if only.is_none_or(|only| only == *kind) => Some((module.clone(), change.clone())),
            _ => None,
        })
        .collect();
    if !modules.is_empty() {
        out.after.push(Instruction::CodeChange {
            direction: Some(way),
            modules,
        });
    }
}
