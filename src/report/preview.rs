//! The preview: what will happen, line by line, with the reason for every line.

use std::fmt::Write;

use serde_json::{Value, json};

use super::paint::{count, faint, hint, look, name};
use crate::diag::render::{Style, to_json};
use crate::diag::{Diagnostic, SourceMap, Span};
use crate::facts::change::{ChangeSet, Changed};
use crate::facts::compare::short;
use crate::graph::Graph;
use crate::name::{Module, NodeName};
use crate::plan::{Plan, Windows};
use crate::rules::{Change, Class, Origin, Ruleset};
use crate::script::high::{High, HighStep};
use crate::script::low::Low;
use crate::script::lower::{By, Ranks, Script, processes, running, suspended, switched};
use crate::term::Term;

/// What a preview shows of one node's upgrade.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// Its OTP release.
    pub otp: u32,
    /// The plan.
    pub plan: &'a Plan,
    /// What differs.
    pub changes: &'a ChangeSet,
    /// The graph before the plan's rules.
    pub inferred: &'a Graph,
    /// What is decided.
    pub rules: &'a Ruleset,
    /// The instructions.
    pub script: &'a Script,
    /// What there is to say.
    pub diagnostics: &'a [Diagnostic],
}

impl<'a> Shown<'a> {
    fn sources(&self) -> &'a SourceMap {
        &self.plan.sources
    }
}

/// The screen.
pub fn text(shown: &Shown<'_>, style: Style) -> String {
    let mut out = String::new();
    head(&mut out, shown, style);
    for (at, step) in shown.script.high.iter().enumerate() {
        instruction(&mut out, shown, at + 1, step, style);
    }
    tail(&mut out, shown, style);
    out
}

fn head(out: &mut String, shown: &Shown<'_>, style: Style) {
    let dot = if style.unicode { "·" } else { "-" };
    let plan = shown.plan;
    let ticket = plan
        .metadata
        .iter()
        .find(|(key, _)| key == "ticket")
        .and_then(|(_, v)| v.to_text());
    let ticket = ticket.map(|t| format!("  {t}")).unwrap_or_default();
    let path = hint(style, &plan.path.display().to_string());
    let _ = writeln!(
        out,
        "plan    {}{ticket}    {path}",
        name(style, &plan.title)
    );
    let apps: Vec<String> = apps(shown.changes);
    let apps = if apps.is_empty() {
        String::new()
    } else {
        format!(" {dot} {}", apps.join(", "))
    };
    let code = match plan.code {
        crate::plan::CodeFrom::OnDisk => "on the node's disk",
        crate::plan::CodeFrom::Push(_) => "pushed from here",
    };
    let _ = writeln!(
        out,
        "target  {} {dot} OTP {}{apps}    code: {code}\n",
        name(style, shown.node.as_str()),
        shown.otp
    );
    let compared = count(shown.changes.compared, "module", "modules");
    let inferred = shown.inferred.edges().count();
    let graph = &shown.rules.graph;
    let added = graph.edges().filter(|(_, _, e)| {
        e.reasons
            .iter()
            .any(|r| matches!(r, crate::graph::Reason::Plan { .. }))
    });
    let _ = writeln!(
        out,
        "  {} of {compared} changed    {} inferred, plan adds {}, removes {}\n",
        shown.script.high.len(),
        count(inferred, "edge", "edges"),
        added.count(),
        graph.removed.len()
    );
}

/// Applications with changed modules, and their running versions.
fn apps(changes: &ChangeSet) -> Vec<String> {
    let mut apps: Vec<String> = changes
        .modules
        .values()
        .filter_map(|changed| changed.app.as_ref())
        .map(|app| {
            format!(
                "{app} {}",
                changes.app_vsn.get(app).map_or("", String::as_str)
            )
        })
        .collect();
    apps.sort();
    apps.dedup();
    apps
}

fn instruction(out: &mut String, shown: &Shown<'_>, number: usize, step: &HighStep, style: Style) {
    let module = step.instruction.module();
    let word = match &step.instruction {
        High::Update { .. } => "update",
        High::LoadModule { .. } => "load  ",
        High::AddModule { .. } => "add   ",
        High::DeleteModule { .. } => "delete",
    };
    let class = shown
        .rules
        .modules
        .get(module)
        .map_or(Class::Plain, |rules| rules.class.value);
    let running = shown
        .changes
        .modules
        .get(module)
        .map_or(0, |changed| changed.processes);
    let who = match running {
        0 => String::new(),
        n => format!("  {}", count(n, "process", "processes")),
    };
    let shown_name = format!("{:<28}", module.to_string());
    let _ = writeln!(
        out,
        "{number:>3}  {word}  {}  {class}{who}",
        name(style, shown_name.as_str())
    );
    if let High::Update {
        change, supervisor, ..
    } = &step.instruction
    {
        let what = match change {
            Change::Soft => "suspend and resume, states untouched".to_owned(),
            _ if *supervisor => "renew the child specifications".to_owned(),
            Change::Advanced(extra) => format!("convert states with {{advanced, {extra}}}"),
            Change::Convert { module, function } => {
                format!("convert states with fun {module}:{}/1", function.as_str())
            }
        };
        let _ = writeln!(out, "       {what}");
    }
    if let Some(rules) = shown.rules.modules.get(module) {
        let children = &rules.children.value;
        for (word, ids) in [("stop", &children.stop), ("start", &children.start)] {
            for id in ids {
                let _ = writeln!(out, "       {word} child {id} when everybody has resumed");
            }
        }
    }
    for why in &step.why {
        let line = match &why.origin {
            Origin::Plan { span, because } => {
                let place = place(shown.sources(), *span);
                match because {
                    Some(because) => format!("because \"{because}\"  {}", hint(style, &place)),
                    None => format!("{}  {}", why.text, hint(style, &place)),
                }
            }
            _ => faint(style, &why.text),
        };
        let _ = writeln!(out, "       {line}");
    }
}

/// `demo.updo:11`
fn place(sources: &SourceMap, span: Span) -> String {
    sources.place(span).map_or_else(String::new, |place| {
        let file = place.file.rsplit('/').next().unwrap_or_default().to_owned();
        format!("{file}:{}", place.line)
    })
}

fn tail(out: &mut String, shown: &Shown<'_>, style: Style) {
    let plan = shown.plan;
    out.push('\n');
    let cycles = shown
        .rules
        .cycles
        .iter()
        .filter(|cycle| cycle.declared.is_some());
    for cycle in cycles {
        let names: Vec<String> = cycle.members.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "  cycle    {} (known to the plan)", names.join(", "));
    }
    for removed in &shown.rules.graph.removed {
        let because = removed
            .because
            .as_ref()
            .map(|b| format!(" because \"{b}\""))
            .unwrap_or_default();
        let _ = writeln!(
            out,
            "  removed  {} no longer waits for {}{because}",
            removed.from, removed.to
        );
    }
    for (module, origin) in &shown.rules.left_out {
        let place = match origin {
            Origin::Plan { span, .. } => place(shown.sources(), *span),
            _ => String::new(),
        };
        let _ = writeln!(out, "  left out {module}  {}", hint(style, &place));
    }
    windows(out, shown, style);
    if let By::ReleaseHandler(libraries) = &shown.script.by {
        let folders: Vec<String> = libraries
            .iter()
            .map(|l| format!("{}/ebin", l.folder))
            .collect();
        let _ = writeln!(
            out,
            "  engine   release_handler: OTP's release_handler_1:eval_script/5 runs this on the node, with the beams in {}",
            folders.join(", ")
        );
    }
    settings(out, shown.rules, style);
    for (low, origin) in &shown.script.inserted {
        let (line, because) = match origin {
            Origin::Plan { span, because } => (place(shown.sources(), *span), because.as_deref()),
            _ => (String::new(), None),
        };
        let because =
            because.map_or_else(String::new, |because| format!("  because \"{because}\""));
        let what = match low {
            Low::Hook { name, .. } => format!("hook     {name}"),
            other => format!("insert   {other}"),
        };
        let _ = writeln!(out, "  {what}{because}  {}", hint(style, &line));
    }
    let names = |checks: &[crate::plan::Check]| -> String {
        checks
            .iter()
            .map(|check| check.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if !plan.requires.is_empty() {
        let _ = writeln!(out, "  before   require {}", names(&plan.requires));
    }
    if !plan.verifies.is_empty() {
        let _ = writeln!(out, "  after    verify {}", names(&plan.verifies));
    }
    if plan.persist {
        let mut folders: Vec<&str> = shown
            .rules
            .modules
            .keys()
            .filter_map(|module| shown.changes.modules.get(module)?.new.as_ref())
            .filter_map(|beam| beam.file.rsplit_once('/').map(|(folder, _)| folder))
            .collect();
        folders.sort_unstable();
        folders.dedup();
        let gone: Vec<Module> = shown
            .rules
            .modules
            .keys()
            .filter(|module| {
                let changed = shown.changes.modules.get(*module);
                changed.is_some_and(|changed| changed.new.is_none())
            })
            .cloned()
            .collect();
        if !folders.is_empty() {
            let _ = writeln!(out, "  persist  in {}", folders.join(", "));
        }
        if !gone.is_empty() {
            let files = if gone.len() == 1 {
                "the file"
            } else {
                "the files"
            };
            let _ = writeln!(
                out,
                "  persist  {files} of {} will be deleted",
                self::names(&gone)
            );
        }
    }
    let _ = writeln!(out, "  undo     {}", undo(shown, style));
}

/// Where code and configuration will come from.
fn settings(out: &mut String, rules: &Ruleset, style: Style) {
    let arrow = if style.unicode { "→" } else { "->" };
    for one in &rules.moves {
        let _ = writeln!(
            out,
            "  paths    {}: {} {arrow} {}",
            one.app, one.from, one.to
        );
    }
    for configured in &rules.env {
        let keys: Vec<String> = configured
            .keys
            .iter()
            .map(|change| {
                let key = Term::Atom(change.key.clone());
                match (&change.was, &change.new) {
                    (None, Some(new)) => format!("{key} = {new} (new)"),
                    (Some(was), Some(new)) => format!("{key} = {was} {arrow} {new}"),
                    (_, None) => format!("{key} goes"),
                }
            })
            .collect();
        let _ = writeln!(out, "  env      {}: {}", configured.app, keys.join(", "));
    }
}

/// Who stands still, and when.
fn windows(out: &mut String, shown: &Shown<'_>, style: Style) {
    let script = shown.script;
    let arrow = if style.unicode { " → " } else { " -> " };
    let ranks = Ranks::of(shown.rules, script);
    let suspends = |window: &[Low]| -> Option<String> {
        let modules: Vec<_> = suspended(window).cloned().collect();
        let ranks = ranks
            .split(modules)
            .iter()
            .map(|rank| names(rank))
            .collect::<Vec<_>>();
        (!ranks.is_empty()).then(|| ranks.join(arrow))
    };
    let count_of = |window: &[Low]| {
        let number = running(shown.changes, shown.rules, suspended(window));
        count(number, "process", "processes")
    };
    let changes = |module: &Module| shown.rules.modules.contains_key(module);
    let kind = script.kind;
    let windows = script.windows();
    if kind == Windows::Single || windows.len() < 2 {
        let line = match suspends(&script.low) {
            None => "nobody is suspended; all modules switch at one instant".to_owned(),
            Some(ranks) => format!(
                "{} stand still while all modules switch at one instant\n           suspend {ranks}",
                count_of(&script.low)
            ),
        };
        let _ = writeln!(out, "  window   {kind}: {line}");
        return;
    }
    let number = windows.iter().filter(|w| suspends(w).is_some()).count();
    let standing = count(number, "window", "windows");
    let _ = writeln!(
        out,
        "  window   {kind}: {standing}, one after the other; in between processes see a mix"
    );
    for (at, window) in windows.iter().enumerate() {
        let mut what = Vec::new();
        for part in window.chunk_by(|one, next| is_switch(one) && is_switch(next)) {
            let (loads, removes) = switched(part);
            for (word, modules) in [("load", loads), ("delete", removes)] {
                if !modules.is_empty() {
                    what.push(format!("{word} {}", names(&modules)));
                }
            }
            match (suspends(part), part) {
                (Some(ranks), _) if suspended(part).all(changes) => {
                    what.push(format!("suspend {ranks} ({})", count_of(part)));
                }
                (Some(ranks), _) => what.push(format!("suspend {ranks}")),
                (None, [call @ Low::Apply { .. }]) => what.push(call.to_string()),
                (None, [Low::Hook { name, .. }]) => what.push(format!("hook {name}")),
                _ => {}
            }
        }
        let _ = writeln!(out, "       {:>3} {}", at + 1, what.join("; "));
    }
}

fn is_switch(instruction: &Low) -> bool {
    matches!(
        instruction,
        Low::Load { .. } | Low::Remove { .. } | Low::Purge(_)
    )
}

fn names(modules: &[Module]) -> String {
    let names: Vec<String> = modules.iter().map(ToString::to_string).collect();
    names.join(", ")
}

fn undo(shown: &Shown<'_>, style: Style) -> String {
    if let By::ReleaseHandler(_) = shown.script.by {
        return look(
            style,
            "none when it fails: the release handler leaves code and processes as they are then",
        );
    }
    let missing: Vec<String> = shown
        .rules
        .modules
        .keys()
        .filter(|m| shown.changes.modules.get(*m).is_some_and(is_one_way))
        .map(ToString::to_string)
        .collect();
    let turned = shown.rules.modules.keys().filter(|module| {
        let changed = shown.changes.modules.get(*module);
        changed.is_some_and(Changed::undo_asks_code_change)
    });
    let turned: Vec<String> = turned.map(ToString::to_string).collect();
    if !turned.is_empty() && missing.is_empty() {
        let text = format!(
            "exact if code_change/4 of the old {} takes its own states",
            turned.join(", ")
        );
        return look(style, &text);
    }
    if missing.is_empty() && shown.script.windows().len() < 2 {
        return "exact: old code and old states of every process".to_owned();
    }
    // A closed window whose conversion has no way down.
    let windows = shown.script.windows();
    let closed = windows
        .split_last()
        .map_or(&windows[..], |(_, before)| before);
    let stuck: Vec<String> = closed
        .iter()
        .flat_map(|window| window.iter())
        .filter_map(|instruction| match instruction {
            Low::CodeChange { modules, .. } => Some(modules),
            _ => None,
        })
        .flatten()
        .filter(|(_, change)| matches!(change, Change::Convert { .. }))
        .map(|(module, _)| module.to_string())
        .collect();
    if missing.is_empty() && !stuck.is_empty() {
        return look(
            style,
            &format!(
                "exact in the window that fails; impossible behind that of {}: converted by a function",
                stuck.join(", ")
            ),
        );
    }
    if missing.is_empty() {
        return "exact in the window that fails; closed ones are converted back by code_change"
            .to_owned();
    }
    look(
        style,
        &format!(
            "impossible for {}: no copy of the running version",
            missing.join(", ")
        ),
    )
}

fn is_one_way(changed: &Changed) -> bool {
    changed.loaded.is_some() && changed.old.is_none()
}

/// What undoing means for a module: `exact` or `impossible`.
pub(super) fn undo_of(changed: &Changed) -> &'static str {
    if is_one_way(changed) {
        "impossible"
    } else {
        "exact"
    }
}

/// The low-level script as a term that a relup would have; hooks are none of OTP's instructions and left out.
pub fn low(shown: &Shown<'_>) -> String {
    let lines: Vec<String> = shown
        .script
        .low
        .iter()
        .filter(|instruction| !matches!(instruction, Low::Hook { .. }))
        .map(|instruction| format!(" {instruction}"))
        .collect();
    format!("[{}].\n", lines.join(",\n").trim_start())
}

/// The preview as a document.
pub fn json(shown: &Shown<'_>) -> Value {
    let modules = shown.script.high.iter().map(|step| {
        let module = step.instruction.module();
        let changed = &shown.changes.modules[module];
        let rules = &shown.rules.modules[module];
        json!({
            "module": module.as_str(),
            "class": rules.class.value.to_string(),
            "app": changed.app.as_ref().map(|app| app.as_str()),
            "md5": {
                "old": changed.loaded.as_ref().map(|l| short(&l.md5)),
                "new": changed.new.as_ref().map(|n| short(&n.facts.md5)),
            },
            "processes": changed.processes,
            "children": {
                "start": rules.children.value.start.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "stop": rules.children.value.stop.iter().map(ToString::to_string).collect::<Vec<_>>(),
            },
            "undo": undo_of(changed),
            "instruction": step.instruction.to_string(),
            "why": step.why.iter().map(|why| why_json(shown, why)).collect::<Vec<_>>(),
        })
    });
    json!({
        "schema": "updo.preview/1.0",
        "plan": { "title": shown.plan.title, "file": shown.plan.path.display().to_string() },
        "node": shown.node.as_str(),
        "otp": shown.otp,
        "compared": shown.changes.compared,
        "modules": modules.collect::<Vec<_>>(),
        "low": shown.script.low.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "window": shown.script.kind.to_string(),
        "engine": match shown.script.by {
            By::Updo => "updo",
            By::ReleaseHandler(_) => "release_handler",
        },
        "windows": shown.script.windows().iter().map(|window| {
            let (load, delete) = switched(window);
            let names = |modules: Vec<Module>| modules.iter().map(|m| m.as_str().to_owned()).collect::<Vec<_>>();
            json!({
                "suspend": names(suspended(window).cloned().collect()),
                "load": names(load),
                "delete": names(delete),
            })
        }).collect::<Vec<_>>(),
        "suspended": processes(shown.changes, shown.rules, shown.script),
        "left_out": shown.rules.left_out.iter().map(|(m, _)| m.as_str()).collect::<Vec<_>>(),
        "diagnostics": shown.diagnostics.iter().map(|d| to_json(d, shown.sources())).collect::<Vec<_>>(),
    })
}

/// A reason as a document.
pub(super) fn why_json(shown: &Shown<'_>, why: &crate::script::Why) -> Value {
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
