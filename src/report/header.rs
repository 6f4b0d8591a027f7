//! What is at the head of a node's events: the plan, what differs, the instructions, the graph, what was reported.
//!
//! Takes what the preview shows and gives lines for the stream, so that a record alone is enough to tell later what
//! was known and meant when the run began. The plan's text is the one that cookies are covered in.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::diff::module_json;
use super::preview::{self, PreviewInput};
use crate::diag::render::to_json;
use crate::facts::compare::diff::ModuleDiff;
use crate::graph::draw;
use crate::state::beams::hex;

/// The lines, without those of [`json`](super::json) that follow while it runs. `owner` is the user of the run,
/// `note` what they said about it (`--message`).
pub fn head(shown: &PreviewInput<'_>, owner: &str, note: Option<&str>) -> Vec<Value> {
    let mut lines = vec![
        plan(shown, owner, note),
        facts(shown),
        script(shown),
        graph(shown),
    ];
    let node = shown.node.as_str();
    lines.extend(shown.diagnostics.iter().map(|diagnostic| {
        json!({
            "type": "diagnostic",
            "node": node,
            "diagnostic": to_json(diagnostic, &shown.plan.sources),
            "message": format!("{}: {}", diagnostic.code, diagnostic.title),
        })
    }));
    lines
}

fn plan(shown: &PreviewInput<'_>, owner: &str, note: Option<&str>) -> Value {
    let plan = shown.plan;
    let source = plan
        .sources
        .sources()
        .first()
        .map_or("", |source| &source.text);
    let metadata = plan.metadata.iter().map(|(key, value)| {
        let text = value.to_text().unwrap_or_else(|| value.to_string());
        (key.clone(), Value::String(text))
    });
    json!({
        "type": "plan",
        "node": shown.node.as_str(),
        "title": plan.title,
        "file": plan.path.display().to_string(),
        "sha256": hex(&Sha256::digest(source.as_bytes())),
        "metadata": Value::Object(metadata.collect()),
        "source": source,
        "owner": owner,
        "note": note,
        "message": format!("plan {}", plan.path.display()),
    })
}

fn facts(shown: &PreviewInput<'_>) -> Value {
    let modules = shown.script.high.iter().filter_map(|step| {
        let module = &step.module;
        let changed = shown.changes.modules.get(module)?;
        let mut document = module_json(&ModuleDiff::of(module, changed));
        document["application"] = json!(changed.app.as_ref().map(|app| app.as_str()));
        document["processes"] = json!(changed.processes);
        document["undo"] = json!(preview::undo_of(changed));
        Some(document)
    });
    let modules: Vec<Value> = modules.collect();
    json!({
        "type": "facts",
        "node": shown.node.as_str(),
        "otp": shown.otp,
        "compared": shown.changes.compared,
        "message": format!("{} of {} modules change", modules.len(), shown.changes.compared),
        "modules": modules,
    })
}

fn script(shown: &PreviewInput<'_>) -> Value {
    let instructions = shown.script.high.iter().enumerate().map(|(at, step)| {
        let module = &step.module;
        let class = shown.rules.modules.get(module);
        json!({
            "id": at + 1,
            "op": step.instruction.word(),
            "module": module.as_str(),
            "class": class.map(|rules| rules.class.value.to_string()),
            "term": step.instruction.to_string(),
            "why": step.why.iter().map(|why| preview::why_json(shown, why)).collect::<Vec<_>>(),
        })
    });
    let instructions: Vec<Value> = instructions.collect();
    json!({
        "type": "script",
        "node": shown.node.as_str(),
        "message": format!("{} instructions", instructions.len()),
        "instructions": instructions,
        "low": shown.script.low.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn graph(shown: &PreviewInput<'_>) -> Value {
    let mut line = json!({ "type": "graph", "node": shown.node.as_str() });
    let graph = &shown.rules.graph;
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, draw::to_json(graph)) {
        line.extend(fields);
        let message = format!("{} edges", graph.edges().count());
        line.insert("message".to_owned(), Value::String(message));
    }
    line
}
