//! Children that a supervisor's new version adds or no longer has: W343, and what the plan's `children` may say.
//!
//! Renewing its specifications neither starts nor stops anybody (that is OTP's rule), and nobody can ask the new
//! `init/1` without running it. What stands in both beams as constants is compared instead; the plan decides.

use std::collections::BTreeSet;

use super::{Change, Class, Origin, Ruleset};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::ChangeSet;
use crate::facts::children::specified;
use crate::name::Module;
use crate::term::Term;

/// What the plan says about a supervisor's children.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Children {
    /// Identifiers of children that are started after the upgrade, in this order.
    pub start: Vec<Term>,
    /// Identifiers of children that are stopped and forgotten before that.
    pub stop: Vec<Term>,
}

impl Children {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty() && self.stop.is_empty()
    }

    /// Reads `#{start => [Id], stop => [Id]}`.
    pub fn read(term: &Term) -> Option<Self> {
        let Term::Map(pairs) = term else { return None };
        let known = |key: &Term| key.is_atom("start") || key.is_atom("stop");
        if pairs.is_empty() || !pairs.keys().all(known) {
            return None;
        }
        let list = |key: &str| match term.get(key) {
            None => Some(Vec::new()),
            Some(ids) => ids.as_list().map(<[Term]>::to_vec),
        };
        Some(Self {
            start: list("start")?,
            stop: list("stop")?,
        })
    }
}

/// What is to be said about the children of the supervisors of an upgrade.
pub fn advice(changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    for (module, decided) in &rules.modules {
        let children = &decided.children;
        if decided.class.value != Class::Supervisor {
            if !children.value.is_empty() {
                said.push(misplaced(module, &children.origin));
            }
            continue;
        }
        if decided.change.value == Change::Soft && !children.value.is_empty() {
            let told = misplaced(module, &children.origin)
                .note("with `change => soft` its specifications are not renewed");
            said.push(told);
            continue;
        }
        let Some(changed) = changes.modules.get(module) else {
            continue;
        };
        let (Some(old), Some(new)) = (&changed.old, &changed.new) else {
            continue;
        };
        let (old, new) = (specified(&old.bytes), specified(&new.bytes));
        let unsaid = |ids: &BTreeSet<Term>, others: &BTreeSet<Term>, named: &[Term]| -> Vec<Term> {
            ids.difference(others)
                .filter(|id| !named.contains(id))
                .cloned()
                .collect()
        };
        let added = unsaid(&new, &old, &children.value.start);
        let removed = unsaid(&old, &new, &children.value.stop);
        if !added.is_empty() || !removed.is_empty() {
            said.push(unsettled(module, &added, &removed));
        }
    }
    said
}

fn misplaced(module: &Module, origin: &Origin) -> Diagnostic {
    let title = format!(
        "`children` is for supervisors whose specifications are renewed, not for `{module}`"
    );
    let told = Diagnostic::new(Code::E205, title);
    match origin {
        Origin::Plan { span, .. } => told.label(*span, "in this statement"),
        _ => told,
    }
}

fn unsettled(module: &Module, added: &[Term], removed: &[Term]) -> Diagnostic {
    let list = |ids: &[Term]| {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.join(", ")
    };
    let title = format!("the children of `{module}` differ, and nobody starts or stops them");
    let mut told = Diagnostic::new(Code::W343, title);
    let mut wanted = Vec::new();
    if !added.is_empty() {
        told = told.note(format!("new, would not be started: {}", list(added)));
        wanted.push(format!("start => [{}]", list(added)));
    }
    if !removed.is_empty() {
        told = told.note(format!("gone, would go on running: {}", list(removed)));
        wanted.push(format!("stop => [{}]", list(removed)));
    }
    told.help(format!(
        "module {module} #{{children => #{{{}}}}} because \"…\".",
        wanted.join(", ")
    ))
}
