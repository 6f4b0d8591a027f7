//! Modules that a plan takes off a node: `module M #{remove => true}`, and all of an application that is removed.
//!
//! Takes the plan's statements as they are decided for one node, gives the modules that go and the statements that
//! say so. What they are on the node is for `facts` to find out. Nothing goes because a file is missing: only a plan
//! removes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::lints::{NAMED, count, example};
use super::node_view::NodeView;
use super::plan_rules::{Attribute, Inserted, Insertion, Manual, StatementOrigin};
use super::{Origin, Ruleset, lost, resolve};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::{ChangeSet, Changed, RemovalCause, RemovedModule};
use crate::name::{App, Module};
use crate::plan::{CodeFrom, Plan};

/// The modules that a plan removes from a node, with the statement; what is wrong with the plan is reported elsewhere.
pub fn going(plan: &Plan, view: &NodeView<'_>) -> BTreeMap<Module, Origin> {
    let (manual, _) = resolve::resolve(plan, view);
    let mut going = of_applications(&manual, view);
    going.extend(by_name(&manual));
    going.retain(|module, _| view.facts.loaded.contains_key(module));
    going
}

/// Those of `module … #{remove => true}`, as far as no stronger statement says `false`.
pub fn by_name(manual: &Manual) -> BTreeMap<Module, Origin> {
    let mut strongest: BTreeMap<&Module, (_, bool, Origin)> = BTreeMap::new();
    for rule in &manual.attributes {
        let rank = (Reverse(rule.source.layer), rule.by_name);
        for (value, _) in &rule.values {
            let Attribute::Remove(goes) = value else {
                continue;
            };
            for module in &rule.modules {
                let before = strongest.get(module);
                if before.is_none_or(|(known, ..)| *known < rank) {
                    strongest.insert(module, (rank, *goes, origin(&rule.source)));
                }
            }
        }
    }
    let going = strongest.into_iter().filter(|(_, (_, goes, _))| *goes);
    going
        .map(|(module, (.., origin))| (module.clone(), origin))
        .collect()
}

/// Those of applications that `insert {remove_application, A}` takes away.
fn of_applications(manual: &Manual, view: &NodeView<'_>) -> BTreeMap<Module, Origin> {
    let mut going = BTreeMap::new();
    for (app, origin) in applications(manual) {
        let running = view.facts.apps.get(&app);
        let modules = running.into_iter().flat_map(|app| &app.modules);
        going.extend(modules.map(|module| (module.clone(), origin.clone())));
    }
    going
}

/// The applications that are removed, with the statement.
pub fn applications(manual: &Manual) -> BTreeMap<App, Origin> {
    let removed = manual.insertions.iter().filter_map(|insertion| {
        let Insertion {
            what: Inserted::Instruction(term, _),
            source,
            ..
        } = insertion
        else {
            return None;
        };
        match term.as_tuple()? {
            [word, app] if word.is_atom("remove_application") => {
                Some((App::new(app.as_atom()?.as_str()), origin(source)))
            }
            _ => None,
        }
    });
    removed.collect()
}

/// What there is to say about modules that go.
pub(super) fn advice(
    plan: &Plan,
    changes: &ChangeSet,
    rules: &Ruleset,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let deletes = matches!(plan.code, CodeFrom::Push(_)) && plan.persist;
    for gone in &changes.gone {
        let changed = changes.modules.get(&gone.module);
        let Some((changed, decided)) = changed.zip(rules.modules.get(&gone.module)) else {
            continue;
        };
        let at = |diagnostic: Diagnostic| match decided.class.origin {
            Origin::Plan { span, .. } => diagnostic.label(span, "removes it"),
            _ => diagnostic,
        };
        let app = changed.app.as_ref();
        let app = app.and_then(|app| rules.removed_apps.get(app));
        // Its processes end with the application.
        let stopped = rules.modules.values().any(|supervisor| {
            let wanted = supervisor.inferred_children();
            let ends = wanted.is_some_and(|wanted| wanted.stop.is_some());
            let by_list = supervisor.listing.as_ref().is_some_and(|listing| {
                let stops = supervisor.listed_children();
                stops.is_some_and(|children| !children.stop.is_empty())
                    && listing.renewal.ended.contains(&gone.module)
            });
            by_list || ends && supervisor.renewal.ended.contains(&gone.module)
        });
        let running = if app.is_some() || stopped {
            0
        } else {
            changed.processes
        };
        diagnostics.extend(in_use(gone, changed, changes, rules, running).map(at));
        if !deletes && !matches!(gone.how, RemovalCause::File(_)) {
            let title = format!("`{}` is removed from memory, its file stays", gone.module);
            let diagnostic = Diagnostic::new(Code::W347, title)
                .note("a call to it on a node that loads code on demand loads it again, and so does every restart");
            diagnostics.push(at(diagnostic));
        }
    }
}

/// W346: processes that run it, and callers that stay.
fn in_use(
    gone: &RemovedModule,
    changed: &Changed,
    changes: &ChangeSet,
    rules: &Ruleset,
    running: usize,
) -> Option<Diagnostic> {
    let module = &gone.module;
    let goes = |module: &Module| {
        let taking_part = changes.modules.get(module);
        taking_part.is_some_and(|changed| changed.new.is_none())
    };
    let mut callers = lost::of_gone(gone, changes, rules);
    callers.retain(|caller| !goes(&caller.module));
    let title = match (running, callers.len()) {
        (0, 0) => return None,
        (0, number) => {
            let subject = count(number, "module calls", "modules call");
            format!("`{module}` is removed while {subject} it")
        }
        (number, _) => {
            let subject = count(number, "process runs", "processes run");
            format!("`{module}` is removed while {subject} it")
        }
    };
    let mut diagnostic = Diagnostic::new(Code::W346, title);
    if let Some((_, shown)) = changed.crew.kinds.values().next().filter(|_| running > 0) {
        diagnostic = diagnostic.note(example(shown)).help(
            "stop them in the same plan: `module SUP #{children => #{stop => [ID]}}`, or with their application",
        );
    }
    Some(
        callers
            .iter()
            .take(NAMED)
            .fold(diagnostic, |diagnostic, caller| {
                diagnostic.note(caller.sentence())
            }),
    )
}

fn origin(source: &StatementOrigin) -> Origin {
    Origin::Plan {
        span: source.span,
        because: source.because.clone(),
    }
}
