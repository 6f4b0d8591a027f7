//! Circular dependencies: orders of the plan that contradict each other, `cycle` statements, and cycles that none names.
//!
//! Part of merging: works on the graph that already has the edges of the plan.

use std::collections::{BTreeMap, BTreeSet};

use super::merge::{origin, unused};
use super::plan_rules::Manual;
use super::{Cycle, Origin};
use crate::diag::{Code, Diagnostic, Span};
use crate::graph::{Edge, Graph, Reason};
use crate::name::Module;

/// Orders that only the plan gives may not run in a ring. Gives the rings.
pub(super) fn contradictions(graph: &Graph, diagnostics: &mut Vec<Diagnostic>) -> Vec<Vec<Module>> {
    let from_plan = |edge: &Edge| {
        edge.reasons
            .iter()
            .any(|r| matches!(r, Reason::Plan { .. }))
    };
    let rings = graph.cycles_of(from_plan);
    for ring in &rings {
        let names: Vec<String> = ring.iter().map(ToString::to_string).collect();
        let title = format!("these orders contradict each other: {}", names.join(", "));
        let mut diagnostic = Diagnostic::new(Code::E303, title)
            .help("each of these modules would have to come first");
        for (from, to, edge) in graph.edges() {
            if !ring.contains(from) || !ring.contains(to) {
                continue;
            }
            for reason in &edge.reasons {
                if let Reason::Plan { span, .. } = reason {
                    diagnostic = diagnostic.label(*span, format!("{to} before {from}"));
                }
            }
        }
        diagnostics.push(diagnostic);
    }
    rings
}

/// `loads before` and `loads after` order without grouping: against an edge they mean nothing. Gives the rings.
pub(super) fn impossible_orders(
    graph: &Graph,
    manual: &Manual,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Vec<Module>> {
    let mut rings = Vec::new();
    let diagnostic: BTreeSet<Span> = diagnostics
        .iter()
        .filter(|d| d.code == Code::E303)
        .flat_map(|d| d.labels.iter().map(|label| label.span))
        .collect();
    for rule in manual
        .add
        .iter()
        .filter(|rule| rule.is_order && !diagnostic.contains(&rule.source.span))
    {
        for (from, to) in rule
            .from
            .iter()
            .flat_map(|a| rule.to.iter().map(move |b| (a, b)))
        {
            if from == to || !graph.contains(from) || !graph.contains(to) {
                continue;
            }
            // `to` comes first, says the rule; does it wait for `from` all the same?
            let Some(path) = graph.path(to, from) else {
                continue;
            };
            let title = format!("`{to}` cannot come before `{from}`: it depends on it");
            let mut diagnostic = Diagnostic::new(Code::E303, title)
                .label(rule.source.span, format!("wants {to} before {from}"))
                .help(
                    "delete this order, or remove an edge of the cycle with `does not depend on`",
                );
            for pair in path.windows(2) {
                let [a, b] = pair else { continue };
                if let Some(reason) = graph.edge(a, b).and_then(|edge| edge.reasons.first()) {
                    diagnostic = diagnostic.note(reason.sentence(a, b));
                }
            }
            diagnostics.push(diagnostic);
            rings.push(path);
        }
    }
    rings
}

/// The cycles of a graph, with what `cycle` statements of the plan say of them; edges that a statement breaks are taken out.
pub(super) fn merge(
    graph: &mut Graph,
    manual: &Manual,
    contradicted: &[Vec<Module>],
    divided: &dyn Fn(&[Module]) -> bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Cycle> {
    let found = graph.cycles();
    let mut declared: BTreeMap<Vec<Module>, Origin> = BTreeMap::new();
    for rule in &manual.cycles {
        let mut named: Vec<Module> = rule.members.clone();
        named.sort();
        named.dedup();
        let Some(cycle) = found
            .iter()
            .find(|cycle| cycle.iter().any(|m| named.contains(m)))
        else {
            if named.iter().any(|module| graph.contains(module)) {
                let title = "these modules form no cycle in this upgrade".to_owned();
                diagnostics.push(
                    Diagnostic::new(Code::W305, title)
                        .label(rule.source.span, "no cycle")
                        .help("delete the statement, unless other upgrades still have the cycle"),
                );
            } else {
                unused(manual, &rule.source, &named, diagnostics);
            }
            continue;
        };
        declared.insert(cycle.clone(), origin(&rule.source));
        membership(graph, rule.source.span, cycle, &named, diagnostics);
        for (from, to, span) in &rule.breaks {
            let because = rule.source.because.clone();
            if !cycle.contains(from)
                || !cycle.contains(to)
                || !graph.remove(from, to, *span, because)
            {
                let edges: Vec<String> = graph
                    .edges()
                    .filter(|(a, b, _)| cycle.contains(a) && cycle.contains(b))
                    .map(|(a, b, _)| format!("{a} -> {b}"))
                    .collect();
                let title = format!("there is no edge `{from} -> {to}` in this cycle");
                diagnostics.push(
                    Diagnostic::new(Code::E304, title)
                        .label(*span, "no such edge")
                        .help(format!("edges of this cycle: {}", edges.join(", "))),
                );
            }
        }
    }
    let mut unsaid = Vec::new();
    let cycles = found
        .into_iter()
        .map(|members| {
            let origin = declared.get(&members).cloned();
            // A ring that orders of the plan make is reported as a contradiction (E303).
            let reported = |ring: &Vec<Module>| ring.iter().all(|module| members.contains(module));
            if origin.is_none() && !contradicted.iter().any(reported) {
                unsaid.push(members.clone());
            }
            Cycle {
                members,
                declared: origin,
            }
        })
        .collect();
    diagnostics.extend(undeclared(graph, &unsaid, divided));
    cycles
}

/// A `cycle` statement names exactly the modules of the cycle.
fn membership(
    graph: &Graph,
    span: Span,
    cycle: &[Module],
    named: &[Module],
    diagnostics: &mut Vec<Diagnostic>,
) {
    for missing in cycle.iter().filter(|module| !named.contains(module)) {
        let ring: Vec<String> = graph
            .edges()
            .filter(|(a, b, _)| {
                (*a == missing || *b == missing) && cycle.contains(a) && cycle.contains(b)
            })
            .map(|(a, b, _)| format!("{a} -> {b}"))
            .collect();
        diagnostics.push(
            Diagnostic::new(Code::E306, format!("`{missing}` has joined this cycle"))
                .label(span, format!("does not name `{missing}`"))
                .note(ring.join(", "))
                .help(format!("add `{missing}` after review")),
        );
    }
    for extra in named
        .iter()
        .filter(|module| graph.contains(module) && !cycle.contains(module))
    {
        diagnostics.push(
            Diagnostic::new(Code::E306, format!("`{extra}` is not part of this cycle"))
                .label(span, format!("names `{extra}`"))
                .help(format!("remove `{extra}`")),
        );
    }
}

/// W307: all cycles that no statement names, in one diagnostic.
fn undeclared(
    graph: &Graph,
    cycles: &[Vec<Module>],
    divided: &dyn Fn(&[Module]) -> bool,
) -> Option<Diagnostic> {
    let list = |members: &[Module]| {
        let names: Vec<String> = members.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let reasons = |members: &[Module], most: usize| -> Vec<String> {
        let inside = graph
            .edges()
            .filter(|(from, to, _)| members.contains(from) && members.contains(to));
        let first = inside.filter_map(|(from, to, edge)| {
            let reason = edge.reasons.first()?;
            Some(reason.sentence(from, to))
        });
        first.take(most).collect()
    };
    let statement = |members: &Vec<Module>| match divided(members) {
        false => format!("`cycle [{}]: together.`", list(members)),
        true => format!("`cycle [{}]: break A -> B.`", list(members)),
    };
    let harmless = match cycles.iter().any(|members| divided(members)) {
        false => "switched at one instant, so harmless here",
        true => {
            "divided by `window`: in between its members call each other's old and new versions"
        }
    };
    match cycles {
        [] => None,
        [members] => {
            let title = format!("undeclared cycle: {}", list(members));
            let mut diagnostic = Diagnostic::new(Code::W307, title).help(format!(
                "{harmless}; write {} to say it is known",
                statement(members)
            ));
            diagnostic.notes = reasons(members, 6);
            Some(diagnostic)
        }
        many => {
            let title = format!("{} undeclared cycles", many.len());
            let statements: Vec<String> = many.iter().map(statement).collect();
            let mut diagnostic = Diagnostic::new(Code::W307, title).help(format!(
                "{harmless}; to say that they are known:\n{}",
                statements.join("\n")
            ));
            let line = |members: &Vec<Module>| {
                let why = reasons(members, 1).pop().unwrap_or_default();
                format!("{}: {why}", list(members))
            };
            diagnostic.notes = many.iter().map(line).collect();
            Some(diagnostic)
        }
    }
}
