//! `updo check`: reads, resolves and lints plans. Without a target no node is asked; with `--target` the plan also
//! meets the facts of the nodes, as in a preview, and nothing but what there is to say about it is printed.

use serde_json::Value;

use super::args::{CheckArgs, WarnUnused};
use super::context::Context;
use super::exit::Exit;
use crate::diag::render::to_json;
use crate::diag::{Diagnostic, SourceMap, Span};
use crate::engine::Engine;
use crate::eval::{Evaluator, Phase, Truth};
use crate::plan::Plan;
use crate::plan::offline::Offline;
use crate::report::preview::{gate_words, hold_words};
use crate::report::style;
use crate::syntax::ast::Tail;
use crate::syntax::walk::{tail, variables};

/// How many conditional statements are listed.
const LISTED: usize = 10;

pub(super) fn run(context: &Context<'_>, args: &CheckArgs) -> Exit {
    let mut exit = Exit::Done;
    let mut all: Vec<Value> = Vec::new();
    for plan in &args.plans {
        let mut settings = context.settings();
        settings.strict = args.strict;
        settings.warn_unused_everywhere = args.warn_unused == WarnUnused::All;
        let opened = context.opened(plan, settings);
        let name = plan.display().to_string();
        say(
            context,
            &opened.diagnostics,
            &opened.sources,
            None,
            &mut all,
        );
        verdict(context, &name, &opened.diagnostics);
        let Some(engine) = opened.engine else {
            exit = Exit::Plan;
            continue;
        };
        match (&context.global.target, args.offline) {
            (Some(target), false) => match nodes(context, &engine, target, &mut all) {
                Exit::Done => {}
                // The first reason counts; all plans are read.
                other if exit == Exit::Done => exit = other,
                _ => {}
            },
            _ => open_questions(context, &engine.plan),
        }
    }
    if context.ui.json {
        context.ui.json(&format!("{:#}\n", Value::Array(all)));
    }
    exit
}

/// Shows diagnostics, or keeps them for the JSON array; `node` is where they come from.
fn say(
    context: &Context<'_>,
    diagnostics: &[Diagnostic],
    sources: &SourceMap,
    node: Option<&str>,
    all: &mut Vec<Value>,
) {
    if !context.ui.json {
        return context.ui.diagnostics(diagnostics, sources);
    }
    for diagnostic in diagnostics {
        let mut value = to_json(diagnostic, sources);
        if let Some(node) = node {
            value["node"] = node.into();
        }
        all.push(value);
    }
}

fn verdict(context: &Context<'_>, what: &str, diagnostics: &[Diagnostic]) {
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let mark = style::mark(context.ui.style, errors == 0);
    let verdict = match errors {
        0 => "is fine as far as that can be said without a node".to_owned(),
        n => format!("has {}", style::count(n, "error", "errors")),
    };
    status(context, &format!("{mark} {what} {verdict}"));
}

fn status(context: &Context<'_>, line: &str) {
    if !context.ui.json {
        context.ui.status(line);
    }
}

/// What only a node could answer: which statements apply, and whether their modules exist.
fn open_questions(context: &Context<'_>, plan: &Plan) {
    let functions = plan.scripts();
    let guarded = guarded(plan);
    let open: Vec<&(Span, &Tail)> = guarded
        .iter()
        .filter(|(_, tail)| {
            // All constants for each guard would be a square.
            let names = tail.when.iter().flat_map(variables);
            let truth = Evaluator::new(Phase::Facts, &functions)
                .with_names(&mut Offline)
                .guard(&tail.when, &mut plan.constants.only(names));
            matches!(truth, Ok(Truth::Unknown(_)))
        })
        .collect();
    for (span, tail) in open.iter().take(LISTED) {
        let place = plan.sources.place(*span);
        let place = place.map_or_else(String::new, |p| format!("{}:{}", p.file, p.line));
        let guard = tail.when.iter().map(|condition| condition.span);
        let guard = guard
            .reduce(Span::to)
            .and_then(|span| plan.sources.text(span));
        let guard = guard.unwrap_or_default().split_whitespace();
        let guard = guard.collect::<Vec<_>>().join(" ");
        status(context, &format!("  conditional: {place} when {guard}"));
    }
    if let Some(more) = open.len().checked_sub(LISTED).filter(|more| *more > 0) {
        status(context, &format!("  conditional: {more} more"));
    }
    for hold in &plan.holds {
        status(
            context,
            &format!("  hold: {}, after each stage", hold_words(hold)),
        );
    }
    for gate in &plan.gates {
        status(
            context,
            &format!(
                "  gate: {}, between two stages; not run by `updo check`",
                gate_words(gate)
            ),
        );
    }
    if !plan.rules.is_empty() {
        let line = "  names of modules and applications were not looked up: pass a node with -t";
        status(context, &style::faint(context.ui.style, line));
    }
}

/// The statements that have a guard.
fn guarded(plan: &Plan) -> Vec<(Span, &Tail)> {
    let rules = plan.rules.iter().filter_map(|rule| {
        let tail = tail(&rule.statement.kind)?;
        Some((rule.statement.span, tail))
    });
    let checks = plan.requires.iter().chain(&plan.verifies);
    let checks = checks.map(|check| (check.span, &check.tail));
    let holds = plan.holds.iter().map(|hold| (hold.span, &hold.tail));
    let hooks = plan.hooks.iter().map(|hook| (hook.span, &hook.tail));
    let mut all: Vec<(Span, &Tail)> = rules
        .chain(checks)
        .chain(holds)
        .chain(hooks)
        .filter(|(_, tail)| !tail.when.is_empty())
        .collect();
    all.sort_by_key(|(span, _)| *span);
    all
}

/// The plan on the nodes of a target.
fn nodes(context: &Context<'_>, engine: &Engine, target: &str, all: &mut Vec<Value>) -> Exit {
    let sources = &engine.plan.sources;
    let nodes = match engine.nodes(Some(target)) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return failed(context, *diagnostic, sources, None, all),
    };
    let mut exit = Exit::Done;
    let (several, mut upgrades) = (nodes.len() > 1, Vec::new());
    let is_together = engine.rollout(Some(target), &nodes).together.is_some();
    for node in nodes {
        let name = node.as_str();
        let upgrade = engine
            .connect(&node)
            .and_then(|connection| connection.prepare());
        let upgrade = match upgrade {
            Ok(upgrade) => upgrade,
            Err(diagnostic) => {
                let why = failed(context, *diagnostic, sources, Some(name), all);
                exit = if exit == Exit::Done { why } else { exit };
                continue;
            }
        };
        say(context, &upgrade.diagnostics, sources, Some(name), all);
        let errors = upgrade.diagnostics.iter().filter(|d| d.is_error()).count();
        let mark = style::mark(context.ui.style, errors == 0);
        let verdict = match errors {
            0 => format!("is fine on {name}"),
            n => format!("has {} on {name}", style::count(n, "error", "errors")),
        };
        status(
            context,
            &format!("{mark} {} {verdict}", engine.plan.path.display()),
        );
        if upgrade.is_refused() && exit == Exit::Done {
            exit = Exit::Plan;
        }
        upgrades.push(upgrade);
    }
    // Nodes that switch at one instant meet no other version.
    if several && !is_together {
        let crossing = crate::engine::rollout::crossing(upgrades.iter());
        say(context, &crossing, sources, None, all);
    }
    exit
}

fn failed(
    context: &Context<'_>,
    diagnostic: Diagnostic,
    sources: &SourceMap,
    node: Option<&str>,
    all: &mut Vec<Value>,
) -> Exit {
    let exit = Exit::of(diagnostic.code);
    say(context, &[diagnostic], sources, node, all);
    exit
}
