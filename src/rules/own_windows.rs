//! `window S then S then rest`: which module is switched in which window.
//!
//! Part of merging. Takes the statement and the graph that has the plan's edges; gives the windows. Between two windows
//! old and new versions run side by side, so what the new version of a module needs is switched in the same window or
//! an earlier one (E354), and a cycle that the plan declares is not divided. What no window names goes with what needs it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::merge::{origin, unused};
use super::plan_rules::{Manual, StatementOrigin, WindowsRule};
use super::{Cycle, Origin, OwnWindows};
use crate::diag::{Code, Diagnostic, Span};
use crate::graph::order::Component;
use crate::graph::{Graph, Reason};
use crate::name::Module;

/// How many reasons of one contradiction are listed.
const NAMED: usize = 5;

/// The statement, and what it says of the modules of this upgrade.
pub(super) struct Named<'a> {
    rule: &'a WindowsRule,
    /// The window of each module that is named.
    window: BTreeMap<Module, usize>,
    /// What is switched: what is removed goes behind all windows.
    switched: BTreeSet<Module>,
}

/// Hard edges between modules that are switched: a module, and those that it needs.
type Needs<'g> = BTreeMap<&'g Module, Vec<&'g Module>>;

impl<'a> Named<'a> {
    /// Reads the statement of a plan, if there is one. E302 for a module in two windows, W310 for a window of which no
    /// module takes part.
    pub(super) fn new(
        manual: &'a Manual,
        graph: &Graph,
        switched: &dyn Fn(&Module) -> bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let rule = manual.windows.as_ref()?;
        let mut window: BTreeMap<Module, usize> = BTreeMap::new();
        let mut disputed = BTreeSet::new();
        for (number, one) in rule.windows.iter().enumerate() {
            let Some(modules) = &one.modules else {
                continue;
            };
            let mut matched = false;
            for module in modules.iter().filter(|module| graph.contains(module)) {
                matched = true;
                let Some(known) = window.get(module).copied().filter(|at| *at != number) else {
                    window.insert(module.clone(), number);
                    continue;
                };
                let before = &rule.windows[known];
                match (before.by_name, one.by_name) {
                    (false, true) => {
                        window.insert(module.clone(), number);
                    }
                    (true, false) => {}
                    _ => {
                        if disputed.insert((known, number)) {
                            diagnostics.push(
                                Diagnostic::new(
                                    Code::E302,
                                    format!("`{module}` is in two windows"),
                                )
                                .label(before.span, "in this one")
                                .label(one.span, "and in this one")
                                .help("name it in one of them; a name beats a set"),
                            );
                        }
                    }
                }
            }
            if !matched {
                let source = StatementOrigin {
                    span: one.span,
                    ..rule.source.clone()
                };
                unused(manual, &source, modules, diagnostics);
            }
        }
        let switched = graph.modules().filter(|module| switched(module)).cloned();
        Some(Self {
            rule,
            window,
            switched: switched.collect(),
        })
    }

    /// Whether the statement puts members of a cycle into different windows by naming them.
    pub(super) fn divides(&self, ring: &[Module]) -> bool {
        let named = ring.iter().filter_map(|module| self.of(module));
        named.collect::<BTreeSet<usize>>().len() > 1
    }

    fn of(&self, module: &Module) -> Option<usize> {
        let named = self.window.get(module).copied();
        named.filter(|_| self.switched.contains(module))
    }

    /// The windows with all modules that are switched, each in the order of the script. E354 where hard edges or declared
    /// cycles want another division.
    pub(super) fn assign(
        self,
        graph: &Graph,
        order: &[Component],
        cycles: &[Cycle],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> OwnWindows {
        let mut needs: Needs<'_> = BTreeMap::new();
        for (from, to, edge) in graph.edges() {
            if edge.is_hard() && self.switched.contains(from) && self.switched.contains(to) {
                needs.entry(from).or_default().push(to);
            }
        }
        self.contradictions(graph, &needs, diagnostics);
        for component in order.iter().filter(|component| component.cyclic) {
            let ring = &component.modules;
            let declared = cycles.iter().find_map(|cycle| {
                let same = ring.iter().all(|module| cycle.members.contains(module));
                cycle.declared.as_ref().filter(|_| same)
            });
            match (declared, self.divides(ring)) {
                (Some(declared), true) => diagnostics.push(self.divided(ring, declared)),
                // Divided by an author who knows nothing of the cycle: W307 says so.
                (None, true) => {}
                (_, false) => {
                    let switched = ring.iter().filter(|module| self.switched.contains(*module));
                    let ring: Vec<&Module> = switched.collect();
                    for (at, module) in ring.iter().enumerate() {
                        let next = ring[(at + 1) % ring.len()];
                        needs.entry(module).or_default().push(next);
                    }
                }
            }
        }
        let assigned = self.all(&needs);
        let last = self.rule.windows.len();
        let mut windows = vec![Vec::new(); last + 1];
        for module in order.iter().flat_map(|component| &component.modules) {
            if let Some(window) = assigned.get(module) {
                windows[*window].push(module.clone());
            }
        }
        windows.retain(|window| !window.is_empty());
        OwnWindows {
            windows,
            origin: origin(&self.rule.source),
        }
    }

    /// The window of every module: what is not named goes where the rest goes, but not behind what needs it, and not
    /// before what it needs.
    fn all(&self, needs: &Needs<'_>) -> BTreeMap<&Module, usize> {
        let mut needed: Needs<'_> = BTreeMap::new();
        for (from, all) in needs {
            for to in all {
                needed.entry(to).or_default().push(from);
            }
        }
        let windows = &self.rule.windows;
        let rest = windows.iter().position(|window| window.modules.is_none());
        let rest = rest.unwrap_or(windows.len());
        let earliest = self.spread(&needed, usize::max);
        let latest = self.spread(needs, usize::min);
        let switched = self.switched.iter();
        let window = |module| {
            let bounded = earliest.get(module).map_or(rest, |least| rest.max(*least));
            latest
                .get(module)
                .map_or(bounded, |most| bounded.min(*most))
        };
        switched
            .map(|module| (module, self.of(module).unwrap_or_else(|| window(module))))
            .collect()
    }

    /// What the windows of named modules mean for those that are not named, along some edges.
    fn spread<'m>(
        &'m self,
        edges: &Needs<'m>,
        choose: fn(usize, usize) -> usize,
    ) -> BTreeMap<&'m Module, usize> {
        let named = self.switched.iter().filter_map(|m| Some((m, self.of(m)?)));
        let mut queue: VecDeque<(&Module, usize)> = named.collect();
        let mut found: BTreeMap<&Module, usize> = BTreeMap::new();
        while let Some((module, window)) = queue.pop_front() {
            for next in edges.get(module).into_iter().flatten() {
                if self.of(next).is_some() {
                    continue;
                }
                let known = found.get(next).copied();
                let better = known.map_or(window, |known| choose(known, window));
                if known != Some(better) {
                    found.insert(next, better);
                    queue.push_back((next, better));
                }
            }
        }
        found
    }

    /// E354 for what is needed by a named module of an earlier window: directly, or through modules that are not named.
    fn contradictions(&self, graph: &Graph, needs: &Needs<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let mut found: BTreeMap<(usize, usize), Vec<Vec<&Module>>> = BTreeMap::new();
        for from in &self.switched {
            let Some(window) = self.of(from) else {
                continue;
            };
            let mut came: BTreeMap<&Module, &Module> = BTreeMap::new();
            let mut queue = VecDeque::from([from]);
            while let Some(module) = queue.pop_front() {
                for next in needs.get(module).into_iter().flatten().copied() {
                    if next == from || came.contains_key(next) {
                        continue;
                    }
                    came.insert(next, module);
                    match self.of(next) {
                        None => queue.push_back(next),
                        Some(later) if later > window => {
                            let mut way = vec![next];
                            while let Some(before) = came.get(way[way.len() - 1]) {
                                way.push(before);
                            }
                            way.reverse();
                            found.entry((window, later)).or_default().push(way);
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        for ((window, later), ways) in found {
            diagnostics.push(self.contradiction(graph, window, later, &ways));
        }
    }

    fn contradiction(
        &self,
        graph: &Graph,
        window: usize,
        later: usize,
        ways: &[Vec<&Module>],
    ) -> Diagnostic {
        let ends = |way: &Vec<&Module>| (way[0].to_string(), way[way.len() - 1].to_string());
        let (title, help) = match ways {
            [way] => {
                let (from, to) = ends(way);
                let title = format!("`{from}` needs the new `{to}`, which a later window switches");
                let help = format!(
                    "put both into one window, `[{from}, {to}]`, or `{to}` into an earlier one"
                );
                (title, help)
            }
            _ => (
                format!(
                    "window {} needs {} modules that window {} switches",
                    window + 1,
                    ways.iter()
                        .map(ends)
                        .map(|(_, to)| to)
                        .collect::<BTreeSet<_>>()
                        .len(),
                    later + 1
                ),
                "put what needs each other into one window, or change the order of the windows"
                    .to_owned(),
            ),
        };
        let mut diagnostic = Diagnostic::new(Code::E354, title)
            .label(self.rule.windows[window].span, "the earlier window")
            .label(self.rule.windows[later].span, "the later one");
        let mut said = BTreeSet::new();
        for pair in ways.iter().flat_map(|way| way.windows(2)) {
            let [from, to] = pair else { continue };
            let edge = graph.edge(from, to);
            let reason = edge.and_then(|edge| edge.reasons.iter().find(|reason| reason.is_hard()));
            let Some(reason) = reason else { continue };
            let sentence = reason.sentence(from, to);
            if said.len() >= NAMED || !said.insert(sentence.clone()) {
                continue;
            }
            diagnostic = match reason {
                Reason::Plan { span, .. } => diagnostic.label(*span, format!("{to} before {from}")),
                _ => diagnostic.note(sentence),
            };
        }
        diagnostic.help(help)
    }

    /// E354 for a cycle that the plan declares and divides.
    fn divided(&self, ring: &[Module], declared: &Origin) -> Diagnostic {
        let names: Vec<String> = ring.iter().map(ToString::to_string).collect();
        let names = names.join(", ");
        let title = format!("a cycle is divided between windows: {names}");
        let windows: BTreeMap<usize, Vec<String>> =
            ring.iter().fold(BTreeMap::new(), |mut windows, module| {
                if let Some(window) = self.of(module) {
                    let names: &mut Vec<String> = windows.entry(window).or_default();
                    names.push(module.to_string());
                }
                windows
            });
        let mut diagnostic = Diagnostic::new(Code::E354, title);
        for (window, names) in windows {
            let span: Span = self.rule.windows[window].span;
            diagnostic = diagnostic.label(span, format!("switches {}", names.join(", ")));
        }
        if let Origin::Plan { span, .. } = declared {
            diagnostic = diagnostic.label(*span, "declares that they change together");
        }
        diagnostic.help(format!(
            "put them into one window, or say which edges may be ignored: `cycle [{names}]: break A -> B.`"
        ))
    }
}
