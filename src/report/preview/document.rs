//! A preview for machines: as a document, and the script as terms of OTP.

use serde_json::{Value, json};

use super::{Detail, PauseShown, PreviewInput, Written, is_one_way};
use crate::diag::render::to_json;
use crate::facts::beam::children::ListedChild;
use crate::facts::change::Changed;
use crate::name::Module;
use crate::report::json::ms;
use crate::rules::conversions::{Converted, converted};
use crate::rules::{ModuleRules, Origin};
use crate::script::instruction::Instruction;
use crate::script::live::lines;
use crate::script::lower::{Executor, processes, suspended, switched};
use crate::term::Term;

/// What undoing means for a module: `exact` or `impossible`.
pub(in crate::report) fn undo_of(changed: &Changed) -> &'static str {
    if is_one_way(changed) {
        "impossible"
    } else {
        "exact"
    }
}

/// The low-level script as a term that a relup would have; hooks are none of OTP's instructions and left out.
pub fn low(shown: &PreviewInput<'_>) -> String {
    let lines: Vec<String> = shown
        .script
        .low
        .iter()
        .filter(|instruction| !matches!(instruction, Instruction::Hook { .. }))
        .map(|instruction| format!(" {instruction}"))
        .collect();
    format!("[{}].\n", lines.join(",\n").trim_start())
}

/// The preview as a document; the modules that are the same are in it only in full.
pub fn json(shown: &PreviewInput<'_>, detail: Detail) -> Value {
    let modules = shown.script.high.iter().map(|step| {
        let module = &step.module;
        let changed = &shown.changes.modules[module];
        let rules = &shown.rules.modules[module];
        json!({
            "module": module.as_str(),
            "class": rules.class.value.to_string(),
            "app": changed.app.as_ref().map(|app| app.as_str()),
            "md5": {
                "old": changed.loaded.as_ref().map(|l| l.md5.short()),
                "new": changed.new.as_ref().map(|n| n.facts.md5.short()),
            },
            "processes": changed.processes,
            "conversion": conversion(shown, module),
            "children": children(rules),
            "undo": match shown.rules.live.contains_key(module) {
                true => "converted",
                false => undo_of(changed),
            },
            "instruction": step.instruction.to_string(),
            "why": step.why.iter().map(|why| why_json(shown, why)).collect::<Vec<_>>(),
        })
    });
    let mut document = json!({
        "schema": "updo.preview/1.0",
        "plan": { "title": shown.plan.title, "file": shown.plan.path.display().to_string() },
        "node": shown.node.as_str(),
        "otp": shown.otp,
        "compared": shown.changes.compared,
        "modules": modules.collect::<Vec<_>>(),
        "low": shown.script.low.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "window": shown.script.kind.to_string(),
        "window_auto": shown.script.chosen.as_deref().map(|why| lines(why).collect::<Vec<_>>()),
        "engine": match shown.script.by {
            Executor::Updo => "updo",
            Executor::ReleaseHandler(_) => "release_handler",
        },
        "windows": shown.script.windows().iter().enumerate().map(|(at, window)| {
            let live = shown.script.live_window() == Some(at);
            let (load, delete) = switched(window);
            let names = |modules: Vec<Module>| modules.iter().map(|m| m.as_str().to_owned()).collect::<Vec<_>>();
            json!({
                "suspend": names(suspended(window).filter(|_| !live).cloned().collect()),
                "load": names(load),
                "delete": names(delete),
            })
        }).collect::<Vec<_>>(),
        "suspended": processes(shown.changes, shown.rules, shown.script),
        "pause": pause(shown.pause.as_ref()),
        "persist": Written::by_upgrade(shown).map(|written| written.json()),
        "left_out": shown.rules.left_out.iter().map(|(m, _)| m.as_str()).collect::<Vec<_>>(),
        "diagnostics": shown.diagnostics.iter().map(|d| to_json(d, shown.sources())).collect::<Vec<_>>(),
    });
    if detail == Detail::Full {
        document["same"] = json!(super::unchanged(shown));
    }
    document
}

/// What the last rehearsal says of the pause; `null` when there was none, or nothing is suspended.
fn pause(shown: Option<&PauseShown>) -> Value {
    let Some(PauseShown::Rehearsed {
        pause,
        ago,
        figures,
        ..
    }) = shown
    else {
        return Value::Null;
    };
    json!({
        "predicted_ms": pause.map(|pause| ms(pause.whole)),
        "longest_ms": pause.map(|pause| ms(pause.longest)),
        "at_least": pause.is_some_and(|pause| pause.is_lower_bound),
        "rehearsed_s_ago": ago,
        "states": figures.converted(),
        "inspected": figures.inspected(),
        "slowest_ms": figures.slowest().map(ms),
        "suspended_then": figures.suspended,
        "not_given_back": figures.lost().map(|(module, of)| (module.as_str().to_owned(), json!(of.lost))).collect::<serde_json::Map<_, _>>(),
    })
}

/// What the conversion of a module does; `null` without one.
fn conversion(shown: &PreviewInput<'_>, module: &Module) -> Value {
    /// So many places are named.
    const PLACES: usize = 20;
    let converted = converted(shown.changes, shown.rules, module);
    let Some(converted) = converted.filter(Converted::is_any) else {
        return Value::Null;
    };
    let places = converted.places();
    json!({
        "does": converted.word(),
        "can_be_tried": converted.is_tried(),
        "text": converted.to_string(),
        "places": places.iter().take(PLACES).collect::<Vec<_>>(),
    })
}

/// What becomes of a supervisor's children, by the plan or by inference.
fn children(rules: &ModuleRules) -> Value {
    if rules.lists().is_some() {
        let children = rules.listed_children().unwrap_or_default();
        let ids = |all: &[ListedChild]| -> Vec<String> {
            all.iter().map(|one| one.child.id.to_string()).collect()
        };
        return json!({"start": ids(&children.start), "stop": ids(&children.stop)});
    }
    let (plan, wanted) = (
        &rules.children.value,
        rules.inferred_children().unwrap_or_default(),
    );
    let text = |ids: Vec<&Term>| ids.into_iter().map(ToString::to_string).collect::<Vec<_>>();
    let restart = wanted.restart.unwrap_or_default().iter().map(|(id, ..)| id);
    let start = plan
        .started()
        .iter()
        .chain(wanted.start)
        .chain(restart.clone());
    let stop = plan
        .stopped()
        .iter()
        .chain(wanted.stop.unwrap_or_default())
        .chain(restart);
    json!({"start": text(start.collect()), "stop": text(stop.collect())})
}

/// A reason as a document.
pub(in crate::report) fn why_json(shown: &PreviewInput<'_>, why: &crate::script::Why) -> Value {
    match &why.origin {
        Origin::Plan { span, because } => {
            let place = shown.sources().place(*span);
            json!({
                "kind": "plan",
                "text": why.text,
                "because": because,
                "file": place.as_ref().map(|p| p.file.clone()),
                "line": place.as_ref().map(|p| p.line),
            })
        }
        Origin::Inferred(_) => json!({ "kind": "inferred", "text": why.text }),
        Origin::Default => json!({ "kind": "default", "text": why.text }),
    }
}
