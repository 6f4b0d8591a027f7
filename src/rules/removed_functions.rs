//! Functions that are gone after the upgrade and still called: W318, and the callers of W319 and W346.
//!
//! Judged by what takes part after `only` and `exclude`: a module that is left out goes on calling what its running
//! version calls, and loses nothing itself.

use std::collections::BTreeSet;

use super::Ruleset;
use super::lints::NAMED;
use crate::diag::{Code, Diagnostic};
use crate::facts::change::{Caller, ChangeSet, Notice, RemovedModule, SpecChange};
use crate::name::{Mfa, Module};

/// A caller of functions that are gone after the upgrade.
pub(super) struct Remaining {
    /// The caller.
    pub(super) module: Module,
    /// What it calls.
    functions: Vec<Mfa>,
    /// Which version of it: `unchanged`, `left out`, `in its new version`.
    which: &'static str,
}

impl Remaining {
    /// The sentence about it.
    pub(super) fn sentence(&self) -> String {
        let shown = self.functions.iter().take(3).map(ToString::to_string);
        let shown: Vec<String> = shown.collect();
        let more = match self.functions.len().saturating_sub(3) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let Self { module, which, .. } = self;
        format!("{module} ({which}) calls {}{more}", shown.join(", "))
    }
}

/// The modules that call functions of `callee` after the upgrade: `found` as the comparison gives them for a plan that
/// leaves nothing out.
pub(super) fn remaining(
    callee: &Module,
    is_gone: &dyn Fn(&Mfa) -> bool,
    found: &[Caller],
    changes: &ChangeSet,
    rules: &Ruleset,
) -> Vec<Remaining> {
    let left_out = |module: &Module| rules.left_out.iter().any(|(out, _)| out == module);
    let staying = found.iter().filter(|caller| !left_out(&caller.module));
    let mut all: Vec<Remaining> = staying
        .map(|caller| Remaining {
            module: caller.module.clone(),
            functions: caller.functions.clone(),
            which: match caller.changed {
                true => "in its new version",
                false => "unchanged",
            },
        })
        .collect();
    for (module, _) in &rules.left_out {
        let Some(changed) = changes.modules.get(module).filter(|_| module != callee) else {
            continue;
        };
        // Without a copy of the running version the new one is the best evidence of what it calls. A module that is
        // not loaded calls nothing.
        let beam = changed.old.as_ref().or(changed.new.as_ref());
        let Some(beam) = beam.filter(|_| !changed.is_new()) else {
            continue;
        };
        let calls = |function: &&Mfa| function.module == *callee && is_gone(function);
        let functions: Vec<Mfa> = beam.facts.imports.iter().filter(calls).cloned().collect();
        if !functions.is_empty() {
            all.push(Remaining {
                module: module.clone(),
                functions,
                which: "left out",
            });
        }
    }
    all.sort_by(|a, b| a.module.cmp(&b.module));
    all
}

/// Callers of a module that is gone.
pub(super) fn of_gone(
    gone: &RemovedModule,
    changes: &ChangeSet,
    rules: &Ruleset,
) -> Vec<Remaining> {
    remaining(&gone.module, &|_| true, &gone.callers, changes, rules)
}

/// W318: modules that take part lose functions that others call.
pub(super) fn advice(changes: &ChangeSet, rules: &Ruleset, diagnostics: &mut Vec<Diagnostic>) {
    for module in rules.modules.keys() {
        let Some(changed) = changes.modules.get(module) else {
            continue;
        };
        let (Some(loaded), Some(new)) = (&changed.loaded, &changed.new) else {
            continue;
        };
        let lost: BTreeSet<_> = loaded.exports.difference(&new.facts.exports).collect();
        if lost.is_empty() {
            continue;
        }
        let found = changes.notices.iter().find_map(|notice| match notice {
            Notice::LostFunctions {
                module: of,
                callers,
            } if of == module => Some(callers.as_slice()),
            _ => None,
        });
        let is_lost = |f: &Mfa| lost.contains(&f.function_arity());
        let found = found.unwrap_or_default();
        let callers = remaining(module, &is_lost, found, changes, rules);
        if callers.is_empty() {
            continue;
        }
        let title = format!("`{module}` lost functions that are still called");
        diagnostics.push(
            callers
                .iter()
                .take(NAMED)
                .fold(Diagnostic::new(Code::W318, title), |diagnostic, caller| {
                    diagnostic.note(caller.sentence())
                }),
        );
    }
}

/// Whether the plan leaves out everything that differs in an application.
pub(super) fn is_left_out(spec: &SpecChange, changes: &ChangeSet, rules: &Ruleset) -> bool {
    let mut own = changes
        .modules
        .iter()
        .filter(|(_, c)| c.app.as_ref() == Some(&spec.app));
    let taking_part = own
        .clone()
        .any(|(module, _)| rules.modules.contains_key(module));
    own.next().is_some() && !taking_part
}
