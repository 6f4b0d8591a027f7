//! Where a name comes from, where it is used, and how it gets another one.
//!
//! Takes places, gives locations and edits. Nothing is changed here: edits are the editor's to make.

use std::collections::BTreeMap;
use std::path::Path;

use lsp_types::Position;
use serde_json::{Value, json};

use super::convert::{location, range};
use super::cursor::Cursor;
use super::names::{self, Occurrence, Symbol};
use super::server::RequestError;
use super::uri;
use super::wire::{INVALID_PARAMS, REQUEST_FAILED};
use crate::eval::is_builtin;
use crate::syntax::ast::StatementKind;
use crate::syntax::{parse_expression, parse_term};
use crate::term::Term;

/// Where the thing at a place is defined.
pub(super) fn definition(here: &Cursor<'_>) -> Vec<Value> {
    if let Some(statement) = here.statement()
        && let StatementKind::Include { path, .. } = &statement.kind
        && path.span.start <= here.at
        && here.at <= path.span.end
    {
        let folder = here.file.identity.parent().unwrap_or(Path::new("/"));
        let identity = crate::plan::load::identity(&folder.join(&path.value));
        let known = here
            .plan_document
            .files
            .iter()
            .find(|file| file.identity == identity);
        let uri = known.map_or_else(|| uri::of(&identity), |file| file.uri.clone());
        let start = Position::default();
        return vec![json!({"uri": uri, "range": {"start": start, "end": start}})];
    }
    let places = names::places(here.plan_document);
    let Some(name) = names::at(&places, here.at).map(|place| &place.name) else {
        return Vec::new();
    };
    let defined = places
        .iter()
        .filter(|place| place.defines && place.name == *name);
    defined
        .filter_map(|place| location(here.plan_document, place.span, here.encoding))
        .collect()
}

/// All places of the name at a place.
pub(super) fn references(here: &Cursor<'_>, declaration: bool) -> Vec<Value> {
    same(here)
        .iter()
        .filter(|place| declaration || !place.defines)
        .filter_map(|place| location(here.plan_document, place.span, here.encoding))
        .collect()
}

/// Those of them in the same document.
pub(super) fn highlights(here: &Cursor<'_>) -> Vec<Value> {
    same(here)
        .iter()
        .filter(|place| here.file.has(place.span.start))
        .map(|place| {
            let kind = if place.defines { 3 } else { 2 };
            json!({"range": range(here.file, place.span, here.encoding), "kind": kind})
        })
        .collect()
}

fn same(here: &Cursor<'_>) -> Vec<Occurrence> {
    let mut places = names::places(here.plan_document);
    let name = names::at(&places, here.at).map(|place| place.name.clone());
    places.retain(|place| Some(&place.name) == name.as_ref());
    places
}

/// What would be renamed, and how it is called now.
pub(super) fn prepare_rename(here: &Cursor<'_>) -> Value {
    let places = names::places(here.plan_document);
    match names::at(&places, here.at) {
        Some(place) => {
            let now = here.file.slice(place.span).unwrap_or_default();
            json!({"range": range(here.file, place.span, here.encoding), "placeholder": now})
        }
        None => Value::Null,
    }
}

/// The edits that give the name at a place another one, by document.
pub(super) fn rename(here: &Cursor<'_>, new: &str) -> Result<Edits, RequestError> {
    let places = same(here);
    let Some(old) = places.first().map(|place| &place.name) else {
        return Err((
            REQUEST_FAILED,
            "only constants, parameters, functions and targets of plans can be renamed".to_owned(),
        ));
    };
    let (name, text) = renamed(old, new.trim())?;
    if name != *old && names::is_used(here.plan_document, &name) {
        return Err((REQUEST_FAILED, format!("`{text}` is there already")));
    }
    let mut edits = Edits::new();
    for place in &places {
        if let Some(file) = here.plan_document.file_at(place.span.start) {
            let (_, list) = edits
                .entry(file.uri.clone())
                .or_insert((file.version, Vec::new()));
            let edit = json!({"range": range(file, place.span, here.encoding), "newText": text});
            list.push(edit);
        }
    }
    Ok(edits)
}

/// Edits of documents, with the versions that they are for.
pub(super) type Edits = BTreeMap<String, (Option<i32>, Vec<Value>)>;

/// Edits as the protocol has them.
pub(super) fn workspace_edit(edits: Edits, versioned: bool) -> Value {
    if !versioned {
        let changes: serde_json::Map<String, Value> = edits
            .into_iter()
            .map(|(uri, (_, list))| (uri, list.into()))
            .collect();
        return json!({"changes": changes});
    }
    let documents: Vec<Value> = edits
        .into_iter()
        .map(|(uri, (version, edits))| {
            json!({"textDocument": {"uri": uri, "version": version}, "edits": edits})
        })
        .collect();
    json!({"documentChanges": documents})
}

/// The new name, and how it is written.
fn renamed(old: &Symbol, new: &str) -> Result<(Symbol, String), RequestError> {
    let wrong = |wants: &str| (INVALID_PARAMS, format!("`{new}` is no {wants}"));
    match old {
        Symbol::Value(_) => match parse_expression(new, 0).map(|expr| expr.kind) {
            Ok(crate::syntax::ast::ExprKind::Var(name)) if name == new && name != "_" => {
                Ok((Symbol::Value(name), new.to_owned()))
            }
            _ => Err(wrong("variable: it begins with a capital letter")),
        },
        Symbol::Function(_, arity) => match parse_term(new) {
            Ok(Term::Atom(name)) => {
                let text = name.as_str().to_owned();
                if is_builtin(&text, *arity) {
                    let message = format!("`{text}/{arity}` is a function of Erlang");
                    return Err((REQUEST_FAILED, message));
                }
                let written = Term::Atom(name).to_string();
                Ok((Symbol::Function(text, *arity), written))
            }
            _ => Err(wrong("name of a function")),
        },
        Symbol::Target(_) => match parse_term(new) {
            Ok(Term::Atom(name)) => {
                let target = Symbol::Target(name.as_str().to_owned());
                Ok((target, Term::Atom(name).to_string()))
            }
            _ => Err(wrong("name of a target")),
        },
    }
}
