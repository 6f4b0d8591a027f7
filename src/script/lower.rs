//! From high-level to low-level instructions, in a single window.
//!
//! All servers concerned are suspended (callers first), *all* modules are switched at one instant, states
//! are converted (dependencies first), everybody is resumed (dependencies first). A cycle costs nothing,
//! no process ever sees a mix, and going back is exact, because nobody has run in between.

use std::collections::{BTreeMap, BTreeSet};

use super::high::{High, HighStep};
use super::low::Low;
use crate::facts::change::ChangeSet;
use crate::name::{App, Module};
use crate::rules::{Change, Class, Ruleset};

/// A script ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The high-level instructions with their reasons.
    pub high: Vec<HighStep>,
    /// The low-level instructions, as a relup would have them.
    pub low: Vec<Low>,
    /// The modules to suspend, in ranks: callers first, each rank at once.
    pub ranks: Vec<Vec<Module>>,
    /// Whether this goes back to an older version.
    pub down: bool,
}

impl Script {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.high.is_empty()
    }

    /// The modules that are switched or deleted, in order.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.high.iter().map(|step| step.instruction.module())
    }
}

/// The script of a single window.
pub fn single(changes: &ChangeSet, rules: &Ruleset, high: Vec<HighStep>) -> Script {
    let servers: BTreeSet<Module> = high
        .iter()
        .filter(|step| matches!(step.instruction, High::Update { .. }))
        .map(|step| step.instruction.module().clone())
        .collect();
    let ranks = rules.graph.layers(&servers);
    let mut low = object_code(changes, &high);
    low.push(Low::PointOfNoReturn);
    let suspended: Vec<_> = ranks
        .iter()
        .flatten()
        .map(|module| (module.clone(), rules.modules[module].timeout.value))
        .collect();
    if !suspended.is_empty() {
        low.push(Low::Suspend(suspended.clone()));
    }
    for step in &high {
        match &step.instruction {
            High::DeleteModule { module, .. } => {
                let decided = &rules.modules[module];
                let (pre, post) = (decided.pre_purge.value, decided.post_purge.value);
                low.push(Low::Remove {
                    module: module.clone(),
                    pre,
                    post,
                });
            }
            other => {
                let decided = &rules.modules[other.module()];
                low.push(Low::Load {
                    module: other.module().clone(),
                    pre: decided.pre_purge.value,
                    post: decided.post_purge.value,
                });
            }
        }
    }
    let conversions: Vec<_> = high
        .iter()
        .filter_map(|step| match &step.instruction {
            High::Update {
                change: Change::Soft,
                ..
            } => None,
            High::Update { module, change, .. } => Some((module.clone(), change.clone())),
            _ => None,
        })
        .collect();
    if !conversions.is_empty() {
        low.push(Low::CodeChange {
            down: false,
            modules: conversions,
        });
    }
    if !suspended.is_empty() {
        low.push(Low::Resume(
            suspended
                .into_iter()
                .rev()
                .map(|(module, _)| module)
                .collect(),
        ));
    }
    Script {
        high,
        low,
        ranks,
        down: false,
    }
}

/// `load_object_code`, one per application, in the order of first use.
fn object_code(changes: &ChangeSet, high: &[HighStep]) -> Vec<Low> {
    let mut order: Vec<App> = Vec::new();
    let mut by_app: BTreeMap<App, Vec<Module>> = BTreeMap::new();
    for step in high {
        if matches!(step.instruction, High::DeleteModule { .. }) {
            continue;
        }
        let module = step.instruction.module();
        let app = changes
            .modules
            .get(module)
            .and_then(|changed| changed.app.clone())
            .unwrap_or_else(|| App::new("undefined"));
        if !by_app.contains_key(&app) {
            order.push(app.clone());
        }
        by_app.entry(app).or_default().push(module.clone());
    }
    order
        .into_iter()
        .map(|app| {
            let modules = by_app.remove(&app).unwrap_or_default();
            let vsn = changes.app_vsn.get(&app).cloned().unwrap_or_default();
            Low::LoadObjectCode { app, vsn, modules }
        })
        .collect()
}

/// How many processes a script suspends, by the facts.
pub fn processes(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> usize {
    script
        .ranks
        .iter()
        .flatten()
        .filter(|module| {
            rules
                .modules
                .get(*module)
                .is_some_and(|r| r.class.value != Class::Plain)
        })
        .filter_map(|module| changes.modules.get(module))
        .map(|changed| changed.processes)
        .sum()
}
