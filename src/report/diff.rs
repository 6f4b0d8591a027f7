//! `updo diff` as text and as JSON.
//!
//! Takes the differences that `facts::compare::diff` found and gives lines for people, `+` for what the new
//! version adds and `-` for what it lacks, or a document. Order is that of the names.

use std::fmt::{Display, Write};

use serde_json::{Value, json};

use super::style;
use crate::diag::render::Style;
use crate::facts::compare::diff::{AppDiff, Delta, DiffKind, FieldsDiff, ModuleDiff, RecordDiff};
use crate::name::{FunctionArity, Md5};
use crate::term::Term;

/// Everything that `updo diff` shows.
#[derive(Clone, Debug, Default)]
pub struct DiffReport {
    /// Modules, by name.
    pub modules: Vec<ModuleDiff>,
    /// Applications, by name.
    pub apps: Vec<AppDiff>,
    /// How many modules were compared.
    pub compared: usize,
}

/// The differences as text; with `all` modules without a visible difference too.
pub fn text(shown: &DiffReport, all: bool, style: Style) -> String {
    let mut out = String::new();
    for app in &shown.apps {
        application(&mut out, app, style);
    }
    let mut plain = Vec::new();
    for module in &shown.modules {
        let text = match module.kind {
            DiffKind::New | DiffKind::Deleted => true,
            DiffKind::Changed => module.is_visible(),
            DiffKind::Lines | DiffKind::Same => false,
        };
        if all || text {
            one(&mut out, module, style);
        } else {
            plain.push(module);
        }
    }
    summary(&mut out, shown, &plain);
    out
}

fn summary(out: &mut String, shown: &DiffReport, plain: &[&ModuleDiff]) {
    let names = |kind| {
        let of_kind = plain.iter().filter(|module| module.kind == kind);
        of_kind
            .map(|m| m.module.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    };
    for (kind, what) in [
        (DiffKind::Changed, "only the bodies of functions differ"),
        (DiffKind::Lines, "only line numbers differ"),
    ] {
        let names = names(kind);
        if !names.is_empty() {
            let _ = writeln!(out, "{what}: {names}");
        }
    }
    let number = |kind| shown.modules.iter().filter(|m| m.kind == kind).count();
    let _ = writeln!(
        out,
        "{}: {} changed, {} new, {} deleted, {} with other line numbers only",
        style::count(shown.compared, "module", "modules"),
        number(DiffKind::Changed),
        number(DiffKind::New),
        number(DiffKind::Deleted),
        number(DiffKind::Lines),
    );
}

fn word(kind: DiffKind) -> &'static str {
    match kind {
        DiffKind::New => "new",
        DiffKind::Deleted => "deleted",
        DiffKind::Changed => "changed",
        DiffKind::Lines => "only line numbers differ",
        DiffKind::Same => "unchanged",
    }
}

fn one(out: &mut String, module: &ModuleDiff, style: Style) {
    let name = module.module.to_string();
    let mut head = format!("{}  {}", style::name(style, &name), word(module.kind));
    let arrow = if style.unicode { "→" } else { "->" };
    let short = Md5::short;
    match (&module.md5.0, &module.md5.1) {
        (Some(old), Some(new)) if old != new => {
            let _ = write!(head, "  {} {arrow} {}", short(old), short(new));
        }
        (Some(one), _) | (None, Some(one)) => {
            let _ = write!(head, "  {}", short(one));
        }
        (None, None) => {}
    }
    match module.size {
        (Some(old), Some(new)) if old != new => {
            let _ = write!(head, "  {old} {arrow} {new} bytes");
        }
        (Some(one), _) | (None, Some(one)) => {
            let _ = write!(head, "  {one} bytes");
        }
        (None, None) => {}
    }
    let _ = writeln!(out, "{head}");
    if matches!(module.kind, DiffKind::New | DiffKind::Deleted) {
        out.push('\n');
        return;
    }
    let functions = |delta: &Delta<FunctionArity>| Delta {
        added: delta.added.iter().map(ToString::to_string).collect(),
        removed: delta.removed.iter().map(ToString::to_string).collect(),
    };
    delta(out, "exports", &functions(&module.exports), style);
    if let Some(behaviours) = &module.behaviours {
        delta(out, "behaviours", behaviours, style);
    }
    if let Some((old, new)) = module.written_vsn() {
        let or_none = |vsn: Option<&Term>| vsn.map_or("none".to_owned(), Term::to_string);
        line(
            out,
            "vsn",
            &format!("{} {arrow} {}", or_none(old), or_none(new)),
        );
    }
    for attribute in &module.attributes {
        let values = |values: &[Term]| {
            let shown: Vec<String> = values.iter().map(Term::to_string).collect();
            if shown.is_empty() {
                "none".to_owned()
            } else {
                shown.join(", ")
            }
        };
        let (old, new) = (values(&attribute.old), values(&attribute.new));
        line(
            out,
            "attribute",
            &format!("{}: {old} {arrow} {new}", attribute.name),
        );
    }
    for record in module.records.iter().flatten() {
        a_record(out, record, style);
    }
    if module.state_records().next().is_some() && !module.converts {
        let listed = "the new version exports no code_change: running processes keep the old form";
        line(out, "", &style::attention(style, listed));
    }
    if let Some(changed) = &module.struct_fields {
        fields(out, "struct", "fields", changed, style);
    }
    unknown(out, module, style);
    out.push('\n');
}

/// What could not be compared, so that silence is not taken for "the same".
fn unknown(out: &mut String, module: &ModuleDiff, style: Style) {
    if module.behaviours.is_none() {
        let text = "no copy of the old version: attributes and records are not compared";
        line(out, "", &style::faint(style, text));
    } else if module.records.is_none() && !module.module.as_str().starts_with("Elixir.") {
        let text = "no debug information in both versions: records are not compared";
        line(out, "", &style::faint(style, text));
    }
}

fn a_record(out: &mut String, record: &RecordDiff, style: Style) {
    let name = format!("#{}{{}}", record.name);
    if !record.in_both {
        let (sign, what) = if record.fields.old.is_empty() {
            ("+", &record.fields.new)
        } else {
            ("-", &record.fields.old)
        };
        let list: Vec<String> = what.iter().map(ToString::to_string).collect();
        return line(
            out,
            "record",
            &format!("{sign}{name} ({})", list.join(", ")),
        );
    }
    let what = if record.state { "state" } else { "record" };
    fields(out, what, &name, &record.fields, style);
}

fn fields(out: &mut String, what: &str, name: &str, fields: &FieldsDiff, style: Style) {
    let delta = fields.delta();
    let mut parts = vec![name.to_owned()];
    parts.extend(signed(&delta, style));
    if fields.reordered() {
        parts.push("fields are in another order".to_owned());
    }
    line(out, what, &parts.join("  "));
}

fn signed<T: Display>(delta: &Delta<T>, style: Style) -> Vec<String> {
    let added = delta
        .added
        .iter()
        .map(|x| style::good(style, &format!("+{x}")));
    let removed = delta
        .removed
        .iter()
        .map(|x| style::bad(style, &format!("-{x}")));
    removed.chain(added).collect()
}

fn delta<T: Display>(out: &mut String, what: &str, delta: &Delta<T>, style: Style) {
    if !delta.is_empty() {
        line(out, what, &signed(delta, style).join("  "));
    }
}

fn line(out: &mut String, what: &str, text: &str) {
    let _ = writeln!(out, "  {what:<12}{text}");
}

fn application(out: &mut String, app: &AppDiff, style: Style) {
    let arrow = if style.unicode { "→" } else { "->" };
    let name = style::name(style, &format!("{}.app", app.name));
    let _ = match (&app.vsn.0, &app.vsn.1) {
        (Some(old), Some(new)) if old == new => writeln!(out, "{name}  {old}"),
        (Some(old), Some(new)) => writeln!(out, "{name}  {old} {arrow} {new}"),
        (None, Some(new)) => writeln!(out, "{name}  new  {new}"),
        (Some(old), None) => writeln!(out, "{name}  deleted  {old}"),
        (None, None) => Ok(()),
    };
    delta(out, "modules", &app.modules, style);
    delta(out, "applications", &app.applications, style);
    delta(out, "registered", &app.registered, style);
    for (key, value) in &app.env_removed {
        line(out, "env", &style::bad(style, &format!("-{key}: {value}")));
    }
    for (key, value) in &app.env_added {
        line(out, "env", &style::good(style, &format!("+{key}: {value}")));
    }
    for (key, old, new) in &app.env_changed {
        line(out, "env", &format!("{key}: {old} {arrow} {new}"));
    }
    if app.start_changed {
        line(out, "mod", "differs");
    }
    out.push('\n');
}

/// The differences as a document.
pub fn json(shown: &DiffReport) -> Value {
    json!({
        "compared": shown.compared,
        "applications": shown.apps.iter().map(app_json).collect::<Vec<_>>(),
        "modules": shown.modules.iter().map(module_json).collect::<Vec<_>>(),
    })
}

fn texts<T: Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn delta_json<T: Display>(delta: &Delta<T>) -> Value {
    json!({"added": texts(&delta.added), "removed": texts(&delta.removed)})
}

fn fields_json(fields: &FieldsDiff) -> Value {
    let delta = fields.delta();
    json!({
        "old": texts(&fields.old),
        "new": texts(&fields.new),
        "added": texts(&delta.added),
        "removed": texts(&delta.removed),
        "reordered": fields.reordered(),
    })
}

/// One module's differences as a document.
pub(super) fn module_json(module: &ModuleDiff) -> Value {
    let pair = |old: Option<String>, new: Option<String>| json!({"old": old, "new": new});
    let md5 = |md5: Option<Md5>| md5.map(|md5| md5.to_string());
    let text = |vsn: &Option<Term>| vsn.as_ref().map(Term::to_string);
    json!({
        "module": module.module.as_str(),
        "kind": match module.kind {
            DiffKind::Lines => "lines",
            DiffKind::Same => "same",
            other => word(other),
        },
        "md5": pair(md5(module.md5.0), md5(module.md5.1)),
        "size": {"old": module.size.0, "new": module.size.1},
        "vsn": module.vsn.as_ref().map(|(old, new)| pair(text(old), text(new))),
        "exports": {
            "added": module.exports.added.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "removed": module.exports.removed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "behaviours": module.behaviours.as_ref().map(delta_json),
        "attributes": module.attributes.iter().map(|attribute| json!({
            "name": attribute.name.as_str(),
            "old": texts(&attribute.old),
            "new": texts(&attribute.new),
        })).collect::<Vec<_>>(),
        "records": module.records.as_ref().map(|records| records.iter().map(|record| json!({
            "name": record.name.as_str(),
            "state": record.state,
            "in_both": record.in_both,
            "fields": fields_json(&record.fields),
        })).collect::<Vec<_>>()),
        "struct": module.struct_fields.as_ref().map(fields_json),
        "code_change": module.converts,
    })
}

fn app_json(app: &AppDiff) -> Value {
    let env = |pairs: &[(crate::term::Atom, Term)]| -> Value {
        let pairs = pairs
            .iter()
            .map(|(k, v)| (k.as_str().to_owned(), json!(v.to_string())));
        Value::Object(pairs.collect())
    };
    json!({
        "application": app.name.as_str(),
        "vsn": {"old": app.vsn.0, "new": app.vsn.1},
        "modules": delta_json(&app.modules),
        "applications": delta_json(&app.applications),
        "registered": delta_json(&app.registered),
        "env": {
            "added": env(&app.env_added),
            "removed": env(&app.env_removed),
            "changed": app.env_changed.iter().map(|(key, old, new)| json!({
                "key": key.as_str(), "old": old.to_string(), "new": new.to_string(),
            })).collect::<Vec<_>>(),
        },
        "mod": app.start_changed,
    })
}
