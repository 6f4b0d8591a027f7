//! Records that several modules of an upgrade share and that change: W321.
//!
//! Takes the change set and what was decided, gives warnings. A shared layout says nothing about which module has to
//! come first (it is a cycle between all users), so it makes no edge; it says that data of the old form may outlive
//! the switch, in states, in messages and in tables, and that only a person knows where.

use crate::diag::{Code, Diagnostic};
use crate::facts::change::ChangeSet;
use crate::facts::compare::diff::{FieldsDiff, shared_records as found};
use crate::graph::Reason;
use crate::name::Module;

use super::Ruleset;

/// A warning for each record that two modules or more of the upgrade use and whose fields differ. A rule
/// of the plan between two of the users shows that the order was considered: then nothing is reported.
pub fn shared_records(changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for record in found(changes) {
        let users = record.modules.iter();
        let users: Vec<&Module> = users
            .filter(|module| rules.modules.contains_key(*module))
            .collect();
        if users.len() < 2 || ruled(rules, &users) {
            continue;
        }
        let names: Vec<String> = users.iter().map(ToString::to_string).collect();
        let title = format!(
            "record `{}` changed its fields and is used by {}",
            record.name,
            names.join(", ")
        );
        let diagnostic = Diagnostic::new(Code::W321, title).note(words(&record.fields));
        diagnostics.push(diagnostic.help(format!(
            "make sure that every server that keeps one converts it, and say so: \
             `{} depends on {} because \"…\".`",
            names[0], names[1]
        )));
    }
    diagnostics
}

fn ruled(rules: &Ruleset, users: &[&Module]) -> bool {
    let by_plan = |from: &Module, to: &Module| {
        let edge = rules.graph.edge(from, to);
        edge.is_some_and(|e| e.reasons.iter().any(|r| matches!(r, Reason::Plan { .. })))
    };
    users
        .iter()
        .any(|from| users.iter().any(|to| by_plan(from, to)))
}

/// `added rounding; removed total; fields are in another order`.
fn words(fields: &FieldsDiff) -> String {
    let delta = fields.delta();
    let list = |what: &str, atoms: &[crate::term::Atom]| {
        let names: Vec<String> = atoms.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    let order = fields
        .reordered()
        .then(|| "fields are in another order".to_owned());
    let parts = [
        list("added", &delta.added),
        list("removed", &delta.removed),
        order,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}
