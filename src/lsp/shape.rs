//! A document as a whole: how it should look, and what stands in it.

use serde_json::{Value, json};

use super::convert::range;
use super::text::Encoding;
use super::workspace::PlanText;
use crate::diag::Span;
use crate::syntax::ast::{Statement, StatementKind};
use crate::syntax::fmt::format_plan;

/// The document as `updo fmt` writes it: one edit of what differs, none when nothing does or the plan is broken.
pub(super) fn formatting(file: &PlanText, encoding: Encoding) -> Value {
    let Ok(formatted) = format_plan(&file.text, 0) else {
        return Value::Null;
    };
    let old = &file.text;
    if formatted == *old {
        return json!([]);
    }
    // Only what differs, in whole lines: the cursor of the editor stays where it is.
    let common = |one: &mut dyn Iterator<Item = &str>, other: &mut dyn Iterator<Item = &str>| {
        one.zip(other)
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len())
            .sum::<usize>()
    };
    let start = common(
        &mut old.split_inclusive('\n'),
        &mut formatted.split_inclusive('\n'),
    );
    let (rest, new) = (&old[start..], &formatted[start..]);
    let end = common(
        &mut rest.split_inclusive('\n').rev(),
        &mut new.split_inclusive('\n').rev(),
    );
    let range = file.lines.range(old, start, old.len() - end, encoding);
    json!([{"range": range, "newText": &new[..new.len() - end]}])
}

/// What stands in a document, statement by statement.
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
        StatementKind::Check { name, .. } => (first_line(), 24, Some(name.span)),
        StatementKind::Hook { .. } => (first_line(), 24, None),
        _ => (first_line(), 7, None),
    }
}
