//! The plan's rules over the inferred ones.
//!
//! Layers, weakest first: built in, inferred, included file, plan file. Inside one layer nothing wins
//! silently: two statements of equal rank that disagree are an error with both places shown.

use std::collections::{BTreeMap, BTreeSet};

use super::plan_rules::{Attribute, EdgeRule, Manual, Selection, StatementOrigin};
use super::{
    Change, Class, ModuleRules, Origin, Precomputed, Ruleset, WithOrigin, behaviour_restarts,
    children, cycles, infer, own_windows, removal,
};
use crate::diag::{Code, Diagnostic, Span};
use crate::facts::change::ChangeSet;
use crate::graph::{Graph, Reason};
use crate::name::Module;
use crate::plan::AppliedCheck;

/// What merging gives: the rules, and what there is to say about them.
#[derive(Debug)]
pub struct Merged {
    /// The rules; only to be used when no diagnostic is an error.
    pub rules: Ruleset,
    /// Errors, warnings and advice.
    pub diagnostics: Vec<Diagnostic>,
}

/// Merges the plan's rules into what the facts say.
pub fn merge(changes: &ChangeSet, graph: &Graph, manual: &Manual) -> Merged {
    let mut diagnostics = Vec::new();
    let mut modules = infer::infer(changes);
    let mut left_out = select(changes, &modules, manual, &mut diagnostics);
    let gone: BTreeSet<Module> = left_out.iter().map(|(module, _)| module.clone()).collect();
    excluded_but_needed(graph, &gone, &left_out, &mut diagnostics);
    modules.retain(|module, _| !gone.contains(module));
    left_out.extend(excluded_untouched(changes, manual));
    let mut graph = graph.without(&gone);
    merge_edges(&mut graph, manual, &mut diagnostics);
    merge_attributes(&mut modules, manual, &mut diagnostics);
    let state_checks = state_checks(&modules, manual, &mut diagnostics);
    renewals(changes, &mut modules);
    removed(changes, &mut modules, manual);
    conversions_exist(changes, &modules, &mut diagnostics);
    let mut rings = cycles::contradictions(&graph, &mut diagnostics);
    rings.extend(cycles::impossible_orders(&graph, manual, &mut diagnostics));
    let switched = |module: &Module| {
        let changed = changes.modules.get(module);
        modules.contains_key(module) && changed.is_some_and(|changed| changed.new.is_some())
    };
    let named = own_windows::Named::new(manual, &graph, &switched, &mut diagnostics);
    let divided = |ring: &[Module]| named.as_ref().is_some_and(|named| named.divides(ring));
    let cycles = cycles::merge(&mut graph, manual, &rings, &divided, &mut diagnostics);
    let order = graph.order();
    let windows = named.map(|named| named.assign(&graph, &order, &cycles, &mut diagnostics));
    let restarts = behaviour_restarts::restarts(changes, &modules);
    Merged {
        rules: Ruleset {
            modules,
            graph,
            order,
            cycles,
            windows,
            left_out,
            env: Vec::new(),
            moves: changes.moves.clone(),
            removed_apps: removal::applications(manual),
            restarts,
            state_checks,
            precomputed: Precomputed::default(),
            live: BTreeMap::new(),
        },
        diagnostics,
    }
}

pub(super) fn origin(source: &StatementOrigin) -> Origin {
    Origin::Plan {
        span: source.span,
        because: source.because.clone(),
    }
}

/// A rule that matches nothing is reported, unless it comes from an included file.
pub(super) fn unused(
    manual: &Manual,
    source: &StatementOrigin,
    modules: &[Module],
    diagnostics: &mut Vec<Diagnostic>,
) {
    if source.layer > 0 && !manual.warn_unused_everywhere {
        return;
    }
    let names: Vec<String> = modules.iter().take(3).map(|m| format!("`{m}`")).collect();
    let title = match names.len() {
        0 => "rule has no effect: its subject names no module".to_owned(),
        1 => format!("rule has no effect: {} does not change here", names[0]),
        _ => format!(
            "rule has no effect: {} do not change here",
            names.join(", ")
        ),
    };
    diagnostics.push(
        Diagnostic::new(Code::W310, title).label(source.span, "matches nothing in this upgrade"),
    );
}

/// Modules that differ, cannot be taken, and are excluded anyway.
fn excluded_untouched(changes: &ChangeSet, manual: &Manual) -> BTreeMap<Module, Origin> {
    let mut found = BTreeMap::new();
    for rule in &manual.exclude {
        for (module, _) in &changes.untouched {
            if rule.modules.contains(module) {
                found.insert(module.clone(), origin(&rule.source));
            }
        }
    }
    found
}

/// `only`, then `exclude`.
fn select(
    changes: &ChangeSet,
    modules: &BTreeMap<Module, ModuleRules>,
    manual: &Manual,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(Module, Origin)> {
    let mut out: BTreeMap<Module, Origin> = BTreeMap::new();
    if let Some(first) = manual.only.first() {
        let kept: BTreeSet<&Module> = manual.only.iter().flat_map(|s| &s.modules).collect();
        for module in modules.keys().filter(|module| !kept.contains(module)) {
            out.insert(module.clone(), origin(&first.source));
        }
    }
    for rule in &manual.exclude {
        for module in rule
            .modules
            .iter()
            .filter(|module| modules.contains_key(*module))
        {
            out.entry(module.clone())
                .or_insert_with(|| origin(&rule.source));
        }
    }
    for Selection {
        modules: named,
        source,
    } in manual.only.iter().chain(&manual.exclude)
    {
        let differs = |module: &Module| {
            let mut untouched = changes.untouched.iter();
            modules.contains_key(module) || untouched.any(|(known, _)| known == module)
        };
        if !named.iter().any(differs) {
            unused(manual, source, named, diagnostics);
        }
    }
    out.into_iter().collect()
}

/// A module that stays calls a function that only the new version of a module left out has.
fn excluded_but_needed(
    graph: &Graph,
    gone: &BTreeSet<Module>,
    left_out: &[(Module, Origin)],
    diagnostics: &mut Vec<Diagnostic>,
) {
    for (from, to, edge) in graph.edges() {
        if gone.contains(from) || !gone.contains(to) {
            continue;
        }
        let Some(reason) = edge
            .reasons
            .iter()
            .find(|r| matches!(r, Reason::Needs { .. }))
        else {
            continue;
        };
        let mut diagnostic = Diagnostic::new(Code::E313, format!("`{to}` is left out and needed"))
            .note(reason.sentence(from, to))
            .help(format!(
                "leave `{from}` out as well, or let `{to}` take part"
            ));
        if let Some((_, Origin::Plan { span, .. })) =
            left_out.iter().find(|(module, _)| module == to)
        {
            diagnostic = diagnostic.label(*span, format!("leaves `{to}` out"));
        }
        diagnostics.push(diagnostic);
    }
}

fn merge_edges(graph: &mut Graph, manual: &Manual, diagnostics: &mut Vec<Diagnostic>) {
    let pairs = |rule: &EdgeRule| -> Vec<(Module, Module)> {
        let from = rule
            .from
            .iter()
            .flat_map(|a| rule.to.iter().map(move |b| (a.clone(), b.clone())));
        from.filter(|(a, b)| a != b).collect()
    };
    // One cause, one report: of a pair that is added and removed nothing else is reported.
    let mut disputed: BTreeSet<(Module, Module)> = BTreeSet::new();
    for added in &manual.add {
        for removed in &manual.remove {
            let mine = pairs(added);
            let both = pairs(removed)
                .into_iter()
                .filter(|pair| mine.contains(pair));
            let both: Vec<(Module, Module)> = both.collect();
            if let Some((a, b)) = both.first() {
                let title = format!("`{a}` both depends and does not depend on `{b}`");
                diagnostics.push(
                    Diagnostic::new(Code::E301, title)
                        .label(added.source.span, "added here")
                        .label(removed.source.span, "removed here")
                        .help("delete one of the two"),
                );
            }
            disputed.extend(both);
        }
    }
    for rule in &manual.remove {
        let mut matched = false;
        for (from, to) in pairs(rule) {
            if disputed.contains(&(from.clone(), to.clone())) {
                matched = true;
                continue;
            }
            if !graph.contains(&from) || !graph.contains(&to) {
                continue;
            }
            matched = true;
            if !graph.remove(&from, &to, rule.source.span, rule.source.because.clone()) {
                let title = format!("nothing infers that `{from}` depends on `{to}`");
                diagnostics.push(
                    Diagnostic::new(Code::W309, title)
                        .label(rule.source.span, "removes nothing")
                        .help("the rule can go"),
                );
            }
        }
        if !matched {
            unused(manual, &rule.source, &outside(graph, rule), diagnostics);
        }
    }
    for rule in &manual.add {
        let mut matched = false;
        for (from, to) in pairs(rule) {
            if disputed.contains(&(from.clone(), to.clone())) {
                matched = true;
                continue;
            }
            let known = graph
                .edge(&from, &to)
                .and_then(|edge| edge.reasons.first().cloned());
            let StatementOrigin { span, because, .. } = rule.source.clone();
            if graph.add(&from, &to, Reason::Plan { span, because }) {
                matched = true;
                if let Some(reason) = known.filter(Reason::is_call) {
                    let title = format!("updo finds this itself: {}", reason.sentence(&from, &to));
                    diagnostics
                        .push(Diagnostic::new(Code::A308, title).label(span, "already inferred"));
                }
            }
        }
        if !matched {
            unused(manual, &rule.source, &outside(graph, rule), diagnostics);
        }
    }
}

impl Reason {
    /// Whether this is a call found in the import table.
    fn is_call(&self) -> bool {
        matches!(self, Self::Calls { .. } | Self::Needs { .. })
    }
}

fn outside(graph: &Graph, rule: &EdgeRule) -> Vec<Module> {
    rule.from
        .iter()
        .chain(&rule.to)
        .filter(|module| !graph.contains(module))
        .cloned()
        .collect()
}

/// What was reported about one option of a module: how strongly, what, where.
type RankedAttribute<'a> = ((std::cmp::Reverse<usize>, bool), &'a Attribute, Span);

fn merge_attributes(
    modules: &mut BTreeMap<Module, ModuleRules>,
    manual: &Manual,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut all: BTreeMap<(Module, &'static str), Vec<RankedAttribute<'_>>> = BTreeMap::new();
    for rule in &manual.attributes {
        let rank = (std::cmp::Reverse(rule.source.layer), rule.by_name);
        let known = rule.modules.iter().filter(|m| modules.contains_key(*m));
        let known: Vec<&Module> = known.collect();
        if known.is_empty() {
            unused(manual, &rule.source, &rule.modules, diagnostics);
        }
        for module in known {
            for (value, span) in &rule.values {
                let key = (module.clone(), value.word());
                all.entry(key).or_default().push((rank, value, *span));
            }
        }
    }
    let mut winners: BTreeMap<(Module, &'static str), Span> = BTreeMap::new();
    for (key, mut said_of) in all {
        let strongest = said_of.iter().map(|(rank, ..)| *rank).max();
        said_of.retain(|(rank, ..)| Some(*rank) == strongest);
        let Some((_, value, span)) = said_of.first().copied() else {
            continue;
        };
        // However many disagree, and in whichever order: reported once.
        if let Some((.., other)) = said_of.iter().find(|(_, other, _)| *other != value) {
            let (module, word) = &key;
            let title = format!("two rules disagree about the `{word}` of `{module}`");
            diagnostics.push(
                Diagnostic::new(Code::E302, title)
                    .label(span, "one value here")
                    .label(*other, "another one here")
                    .help("delete one of them"),
            );
        }
        winners.insert(key, span);
    }
    for rule in &manual.attributes {
        for module in &rule.modules {
            let Some(rules) = modules.get_mut(module) else {
                continue;
            };
            for (value, span) in &rule.values {
                if winners
                    .get(&(module.clone(), value.word()))
                    .is_some_and(|winner| winner == span)
                {
                    // The option itself is the place, not the whole statement.
                    let origin = Origin::Plan {
                        span: *span,
                        because: rule.source.because.clone(),
                    };
                    apply(rules, value, &origin);
                }
            }
        }
    }
}

/// The checks on states of modules that take part.
fn state_checks(
    modules: &BTreeMap<Module, ModuleRules>,
    manual: &Manual,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<AppliedCheck> {
    let mut applied = Vec::new();
    for (check, source) in &manual.state_checks {
        match &check.modules {
            Some(named) if !named.iter().any(|module| modules.contains_key(module)) => {
                unused(manual, source, named, diagnostics);
            }
            _ => applied.push(check.clone()),
        }
    }
    applied
}

fn apply(rules: &mut ModuleRules, value: &Attribute, origin: &Origin) {
    fn ruled<T>(value: T, origin: &Origin) -> WithOrigin<T> {
        WithOrigin {
            value,
            origin: origin.clone(),
        }
    }
    match value {
        Attribute::Class(class) => {
            // A conversion inferred for another class does not outlive it.
            if *class == Class::Library && !matches!(rules.change.origin, Origin::Plan { .. }) {
                rules.change = ruled(Change::Soft, origin);
            }
            rules.class = ruled(*class, origin);
        }
        Attribute::Kind(kind) => rules.kind = ruled(*kind, origin),
        Attribute::Change(change) => rules.change = ruled(change.clone(), origin),
        Attribute::Timeout(timeout) => rules.timeout = ruled(timeout.clone(), origin),
        Attribute::Purge(pre, post) => {
            rules.pre_purge = ruled(*pre, origin);
            rules.post_purge = ruled(*post, origin);
        }
        Attribute::Restart(restart) => {
            // What is restarted has no state to convert.
            if *restart && !matches!(rules.change.origin, Origin::Plan { .. }) {
                rules.change = ruled(Change::Soft, origin);
            }
            rules.restart = ruled(*restart, origin);
        }
        Attribute::Rehearse(rehearse) => rules.rehearse = ruled(Some(*rehearse), origin),
        Attribute::Children(children) => rules.children = ruled(children.clone(), origin),
        // Decided before the facts were complete: what goes has no new version.
        Attribute::Remove(_) => {}
    }
}

/// Modules that only the plan calls supervisors.
fn renewals(changes: &ChangeSet, modules: &mut BTreeMap<Module, ModuleRules>) {
    for (module, rules) in modules {
        let by_plan = matches!(rules.class.origin, Origin::Plan { .. });
        if let Some(changed) = changes.modules.get(module)
            && by_plan
            && rules.class.value == Class::Supervisor
        {
            rules.renewal = children::renewal(changes, module, changed);
        }
    }
}

/// Which statement says that a module goes.
fn removed(changes: &ChangeSet, modules: &mut BTreeMap<Module, ModuleRules>, manual: &Manual) {
    let by_name = removal::by_name(manual);
    let apps = removal::applications(manual);
    for (module, rules) in modules {
        let Some(changed) = changes.modules.get(module).filter(|c| c.new.is_none()) else {
            continue;
        };
        let with_app = changed.app.as_ref().and_then(|app| apps.get(app));
        if let Some(origin) = by_name.get(module).or(with_app) {
            rules.class = WithOrigin {
                value: Class::Library,
                origin: origin.clone(),
            };
        }
    }
}

/// A conversion needs a callback in the new version.
fn conversions_exist(
    changes: &ChangeSet,
    modules: &BTreeMap<Module, ModuleRules>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for (module, rules) in modules {
        let (Change::Advanced(_), Class::Server) = (&rules.change.value, rules.class.value) else {
            continue;
        };
        let Some(changed) = changes.modules.get(module) else {
            continue;
        };
        let Some(new) = &changed.new else { continue };
        if infer::converter(changes, changed, &new.facts).is_some() {
            continue;
        }
        let title = format!("`{module}` is to be converted but exports no `code_change`");
        let mut diagnostic = Diagnostic::new(Code::E312, title)
            .help("write `change => soft`, or `change => {convert, fun m:f/1}` to map the states elsewhere");
        if let Origin::Plan { span, .. } = rules.change.origin {
            diagnostic = diagnostic.label(span, "asks for a conversion");
        }
        diagnostics.push(diagnostic);
    }
}
