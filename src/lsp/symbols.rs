//! The outline of a document: its statements as symbols.

use serde_json::{Value, json};

use super::convert::range;
use super::text::Encoding;
use super::workspace::PlanText;
use crate::diag::Span;
use crate::syntax::ast::{Statement, StatementKind};

/// The symbols of a document, statement by statement.
pub(super) fn symbols(file: &PlanText, encoding: Encoding) -> Value {
    let all: Vec<Value> = file
        .statements()
        .iter()
        .map(|statement| {
            let (name, kind, chosen) = symbol(file, statement);
            let chosen = chosen.unwrap_or(statement.span);
            json!({
                "name": if name.is_empty() { "?" } else { &name },
                "kind": kind,
                "range": range(file, statement.span, encoding),
                "selectionRange": range(file, chosen, encoding),
            })
        })
        .collect();
    all.into()
}

/// Name, kind and place of a statement: 13 is a variable, 12 a function, 14 a constant, 2 a module, 24 an event.
fn symbol(file: &PlanText, statement: &Statement) -> (String, u8, Option<Span>) {
    let first_line = || {
        let text = file.slice(statement.span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let line = line.split("#{").next().unwrap_or_default();
        line.trim_end_matches("->")
            .trim()
            .chars()
            .take(80)
            .collect::<String>()
    };
    match &statement.kind {
        StatementKind::Plan { title, .. } => (title.value.clone(), 1, Some(title.span)),
        StatementKind::Param { name, .. } => (name.value.clone(), 13, Some(name.span)),
        StatementKind::Bind { name, .. } => (name.value.clone(), 14, Some(name.span)),
        StatementKind::Function { name, clauses } => {
            let arity = clauses.first().map_or(0, |clause| clause.args.len());
            (
                format!("{}/{arity}", name.value.as_str()),
                12,
                Some(name.span),
            )
        }
        StatementKind::Target { .. } | StatementKind::Rollout { .. } => (first_line(), 3, None),
        StatementKind::Include { path, .. } => (first_line(), 1, Some(path.span)),
        StatementKind::Module { subject, .. } => (first_line(), 2, Some(subject.span)),
        StatementKind::Check { name, .. }
        | StatementKind::Hold { name, .. }
        | StatementKind::Gate { name, .. }
        | StatementKind::StateCheck { name, .. } => (first_line(), 24, Some(name.span)),
        StatementKind::Hook { .. } => (first_line(), 24, None),
        _ => (first_line(), 7, None),
    }
}
