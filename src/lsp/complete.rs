//! What may stand where the cursor is.
//!
//! Takes a place, puts together what is known there, and asks the REPL's completion, which knows the language; gives
//! items whose edits replace exactly what is typed already.

use serde_json::{Value, json};

use super::cursor::Cursor;
use super::names::{self, Symbol};
use crate::repl::complete::CandidateKind;
use crate::repl::completion_data::Knowledge;
use crate::syntax::token::{Sort, tokens};

/// So many items are offered; an editor asks again when more is typed.
const OFFERED: usize = 500;

/// Statements whose strings are paths.
const PATHS: [&str; 4] = ["include", "code", "old", "target"];

/// Items for a place. `knowledge` is what is known of the node; what the plan says is put in here.
pub(super) fn completion(here: &Cursor<'_>, knowledge: &mut Knowledge) -> Value {
    let local = here.local();
    let before = &here.file.text[..local];
    let all = tokens(before);
    let last = all.last();
    if last.is_some_and(|token| token.sort == Sort::Comment && token.range.end == local) {
        return Value::Null;
    }
    let dot = all.iter().rfind(|token| token.sort == Sort::Dot);
    let begin = dot.map_or(0, |token| token.range.end);
    let words = all.iter().filter(|token| token.sort != Sort::Comment);
    let first = words.clone().find(|token| token.range.start >= begin);
    let begin = first.map_or(local, |token| token.range.start);
    let before = &before[begin..];
    let word = first.map_or("", |token| &here.file.text[token.range.clone()]);
    let text = last.is_some_and(|token| token.sort == Sort::Text && token.range.end == local);
    if text && !PATHS.contains(&word) {
        return Value::Null;
    }
    knowledge.variables.clear();
    knowledge.functions.clear();
    knowledge.targets.clear();
    for place in names::places(here.plan_document) {
        match place.name {
            Symbol::Value(name) => {
                knowledge.variables.insert(name);
            }
            Symbol::Function(name, arity) => {
                knowledge.functions.insert((name, arity));
            }
            Symbol::Target(name) => {
                knowledge.targets.insert(name);
            }
        }
    }
    knowledge.in_editor = true;
    let folder = here.file.identity.parent();
    knowledge.folder = folder.map(ToOwned::to_owned).unwrap_or_default();
    let (start, found) = knowledge.expression(before);
    let range = here
        .file
        .lines
        .range(&here.file.text, begin + start, local, here.encoding);
    let more = found.len() > OFFERED;
    let items: Vec<Value> = found
        .into_iter()
        .take(OFFERED)
        .map(|candidate| {
            let mut item = json!({
                "label": candidate.shown,
                "kind": match candidate.kind {
                    CandidateKind::Word => 14,
                    CandidateKind::Key => 10,
                    CandidateKind::Value => 12,
                    CandidateKind::Module => 9,
                    CandidateKind::Function => 3,
                    CandidateKind::Variable => 6,
                    CandidateKind::Name => 18,
                    CandidateKind::File => 17,
                },
                "filterText": candidate.text,
                "textEdit": {"range": range, "newText": candidate.text},
            });
            if !candidate.what.is_empty() {
                item["detail"] = candidate.what.into();
            }
            item
        })
        .collect();
    json!({"isIncomplete": more, "items": items})
}
