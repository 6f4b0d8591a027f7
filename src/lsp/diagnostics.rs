//! Diagnostics as an editor shows them: the same codes, places, words and help as `updo check`.
//!
//! Takes plan documents, gives for each document what is to be shown in it. Nothing is left out but what is beyond a number
//! too large to be read.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::convert::{location, range};
use super::text::Encoding;
use super::workspace::{PlanDocument, Workspace};
use crate::diag::{Code, Diagnostic, Severity};

/// So many diagnostics are shown in a document.
const SHOWN: usize = 500;

/// What is shown in a document: its version, if it is open, and the diagnostics.
pub(super) type PublishedDiagnostics = (Option<i32>, Vec<Value>);

/// What is shown in each document; `more` gives what else is reported about a root.
pub(super) fn all(
    workspace: &Workspace,
    encoding: Encoding,
    more: &dyn Fn(&PlanDocument) -> Vec<Diagnostic>,
) -> BTreeMap<String, PublishedDiagnostics> {
    let mut found: BTreeMap<String, PublishedDiagnostics> = BTreeMap::new();
    for (root, version, plan_document) in workspace.roots() {
        // Of a plan that is not open only the files are shown that are.
        let shown = |uri: &str| {
            version.is_some() || plan_document.file(uri).is_some_and(|f| f.version.is_some())
        };
        if version.is_some() {
            found.entry(root.to_owned()).or_default().0 = version;
        }
        for file in plan_document.files.iter().filter(|file| shown(&file.uri)) {
            found.entry(file.uri.clone()).or_default().0 = file.version;
        }
        for diagnostic in plan_document
            .opened
            .diagnostics
            .iter()
            .chain(&more(plan_document))
        {
            let label = diagnostic.labels.first();
            let file = label.and_then(|label| plan_document.file_at(label.span.start));
            let uri = file.map_or(root, |file| &file.uri);
            if !shown(uri) {
                continue;
            }
            let (_, list) = found.entry(uri.to_owned()).or_default();
            if list.len() >= SHOWN {
                continue;
            }
            let value = diagnostic_value(plan_document, diagnostic, encoding);
            // Two plans that include a file say the same about it.
            if !list.contains(&value) {
                list.push(value);
            }
        }
    }
    found
}

/// One diagnostic in its document.
pub(super) fn diagnostic_value(
    plan_document: &PlanDocument,
    diagnostic: &Diagnostic,
    encoding: Encoding,
) -> Value {
    let label = diagnostic.labels.first();
    let place = label.and_then(|label| {
        let file = plan_document.file_at(label.span.start)?;
        Some(range(file, label.span, encoding))
    });
    let related: Vec<Value> = diagnostic
        .labels
        .iter()
        .skip(1)
        .filter_map(|label| {
            let message = match label.text.is_empty() {
                true => &diagnostic.title,
                false => &label.text,
            };
            let location = location(plan_document, label.span, encoding)?;
            Some(json!({"location": location, "message": message}))
        })
        .collect();
    let mut value = json!({
        "range": place.unwrap_or_default(),
        "severity": match diagnostic.severity() {
            Severity::Error => 1,
            Severity::Warning => 2,
            Severity::Advice => 4,
        },
        "code": diagnostic.code.as_str(),
        "source": "updo",
        "message": message(diagnostic),
        "data": {"explain": format!("updo explain {}", diagnostic.code)},
    });
    if !related.is_empty() {
        value["relatedInformation"] = related.into();
    }
    // Rules that do nothing are drawn faint.
    if matches!(
        diagnostic.code,
        Code::W305 | Code::A308 | Code::W309 | Code::W310
    ) {
        value["tags"] = json!([1]);
    }
    value
}

/// Title, what is at the place, facts, help.
fn message(diagnostic: &Diagnostic) -> String {
    let label = diagnostic.labels.first().map(|label| label.text.as_str());
    let label = label.filter(|text| !text.is_empty());
    let mut lines = vec![diagnostic.title.clone()];
    lines.extend(label.map(str::to_owned));
    lines.extend(diagnostic.notes.iter().cloned());
    lines.extend(diagnostic.help.iter().map(|help| format!("help: {help}")));
    lines.join("\n")
}
