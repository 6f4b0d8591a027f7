//! What is known of a module where it is in a plan: class, order, callers.
//!
//! Takes what a look at the node has shown, gives lenses above statements, hints behind names, and text.

use serde_json::{Value, json};

use super::convert::range;
use super::cursor::Cursor;
use super::facts::{ModuleSummary, NodeFindings};
use super::text::Encoding;
use super::workspace::PlanText;
use crate::diag::Span;
use crate::name::Module;
use crate::syntax::ast::{Expr, ExprKind, InsertAnchor, Statement, StatementKind, is_rest};
use crate::syntax::token::Sort;
use crate::term::Term;

/// The command behind a lens.
pub(super) const WHY: &str = "updo.why";

/// The modules that a statement names one by one, in its subjects.
fn named(statement: &Statement) -> Vec<(Module, Span)> {
    let mut found = Vec::new();
    match &statement.kind {
        StatementKind::Relation { left, right, .. } => {
            names(left, &mut found);
            names(right, &mut found);
        }
        StatementKind::Module { subject, .. }
        | StatementKind::Exclude { subject, .. }
        | StatementKind::Only { subject, .. }
        | StatementKind::StateCheck {
            subject: Some(subject),
            ..
        }
        | StatementKind::Cycle {
            members: subject, ..
        } => names(subject, &mut found),
        StatementKind::OwnWindows { windows, .. } => {
            let named = windows.iter().filter(|window| !is_rest(window));
            named.for_each(|window| names(window, &mut found));
        }
        StatementKind::Insert {
            place: InsertAnchor::Before(step) | InsertAnchor::After(step),
            ..
        } => names(&step.subject, &mut found),
        _ => {}
    }
    found
}

fn names(expr: &Expr, found: &mut Vec<(Module, Span)>) {
    match &expr.kind {
        ExprKind::Literal(Term::Atom(atom)) => {
            found.push((Module::new(atom.as_str()), expr.span));
        }
        ExprKind::List(elements, _) => elements.iter().for_each(|one| names(one, found)),
        ExprKind::Binop(_, left, right) => {
            names(left, found);
            names(right, found);
        }
        _ => {}
    }
}

/// `order: 4 of 9 · why` above each statement about a module that takes part.
pub(super) fn lenses(
    file: &PlanText,
    uri: &str,
    findings: &NodeFindings,
    encoding: Encoding,
) -> Value {
    let total = findings.modules.len();
    let mut found: Vec<Value> = Vec::new();
    for statement in file.statements() {
        let named = named(statement);
        let known = named
            .iter()
            .find_map(|(module, _)| Some((module, findings.modules.get(module)?)));
        let Some((module, known)) = known else {
            continue;
        };
        let title = format!("order: {} of {total} · why", known.place);
        found.push(json!({
            "range": range(file, statement.span, encoding),
            "command": {
                "title": title,
                "command": WHY,
                "arguments": [uri, module.as_str()],
            },
        }));
    }
    found.into()
}

/// The inferred class behind the names of modules, in some lines.
pub(super) fn hints(
    file: &PlanText,
    lines: std::ops::RangeInclusive<u32>,
    findings: &NodeFindings,
    encoding: Encoding,
) -> Value {
    let mut found: Vec<Value> = Vec::new();
    for (module, span) in file.statements().iter().flat_map(named) {
        let Some(known) = findings.modules.get(&module) else {
            continue;
        };
        let place = range(file, span, encoding).end;
        let Some(how) = known
            .inferred
            .as_ref()
            .filter(|_| lines.contains(&place.line))
        else {
            continue;
        };
        found.push(json!({
            "position": place,
            "label": format!(": {}", known.class),
            "kind": 1,
            "tooltip": format!("inferred: {how}"),
        }));
    }
    found.into()
}

/// The module that a place is in, if its name is there.
pub(super) fn module_at(here: &Cursor<'_>) -> Option<Module> {
    let (words, touched) = here.words();
    let token = &words[touched?];
    let text = &here.file.text[token.range.clone()];
    match token.sort {
        Sort::Word | Sort::Alias | Sort::QuotedAtom => Some(Module::typed(text)),
        _ => None,
    }
}

/// What is known of a module, as Markdown.
pub(super) fn about(module: &Module, findings: &NodeFindings) -> Option<String> {
    let known = findings.modules.get(module)?;
    let node = findings.node.as_ref()?;
    let ago = findings.at.map_or(0, |at| at.elapsed().as_secs());
    let class = match &known.inferred {
        Some(how) => format!("`{module}`: {}, inferred: {how}", known.class),
        None => format!("`{module}`: {}, as the plan says", known.class),
    };
    let mut lines = vec![
        class,
        format!(
            "order: {} of {}, {}",
            known.place,
            findings.modules.len(),
            match known.processes {
                1 => "1 process runs it".to_owned(),
                n => format!("{n} processes run it"),
            }
        ),
    ];
    if !known.callers.is_empty() {
        lines.push(format!(
            "callers that wait for it: {}",
            known.callers.join(", ")
        ));
    }
    lines.push(why(known));
    lines.push(format!("*{node}, {ago} s ago*"));
    Some(lines.join("\n\n"))
}

/// Why a module is here.
pub(super) fn why(known: &ModuleSummary) -> String {
    format!("```text\n{}\n```", known.why.trim_end())
}
