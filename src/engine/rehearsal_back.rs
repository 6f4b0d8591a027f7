//! The way back in a rehearsal: who would convert the new states in a rollback, and what it would not give back.

use super::Upgrade;
use super::rehearsal::conversion_kind;
use crate::diag::Diagnostic;
use crate::exec::rehearsal::{BackBy, StateKind, Trial, Tried};
use crate::name::Module;
use crate::plan::{Plan, RollbackPolicy};
use crate::report::rehearsal_found;
use crate::rules::ModuleType;
use crate::rules::conversions::effects;
use crate::twin::conversion::Conversion;

/// Whose code the way back of a trial runs; why it is not tried, in words. A supervisor goes back by what it has kept:
/// there the version that runs is only asked for its specifications.
pub(super) fn back_by(upgrade: &Upgrade, trial: &Trial) -> Result<BackBy, String> {
    if trial.by.is_some() {
        return Err("the plan's function has no way back".to_owned());
    }
    let decided = upgrade.rules.modules.get(&trial.module);
    let by_old = decided.is_some_and(|decided| decided.kind.value == ModuleType::Static);
    if by_old || trial.kind == StateKind::Supervisor {
        return by_running(upgrade, trial);
    }
    let conversion = effects(&upgrade.changes, &trial.module, conversion_kind(trial.kind));
    match conversion.can_be_tried() {
        true => Ok(BackBy::New),
        false => Err("its conversion has side effects".to_owned()),
    }
}

/// The version that runs: only where a copy of it shows what it does.
fn by_running(upgrade: &Upgrade, trial: &Trial) -> Result<BackBy, String> {
    let old = |module: &Module| {
        let changed = upgrade.changes.modules.get(module)?;
        changed.old.as_ref().map(|old| &old.bytes[..])
    };
    let why = |what: &str| format!("the running version converts back (`static`), and {what}");
    if old(&trial.module).is_none() {
        return Err(why("there is no copy of it"));
    }
    match Conversion::of(&trial.module, conversion_kind(trial.kind), &old).can_be_tried() {
        true => Ok(BackBy::Old),
        false => Err(why("that has side effects")),
    }
}

/// W651 for each module with states that a rollback would not give back; none where there is no rollback.
pub(super) fn lost(plan: &Plan, upgrade: &Upgrade, tried: &[Tried]) -> Vec<(Module, Diagnostic)> {
    if plan.rollback == RollbackPolicy::Never || !upgrade.has_way_back() {
        return Vec::new();
    }
    let by_old = |module: &Module| {
        let decided = upgrade.rules.modules.get(module);
        decided.is_some_and(|decided| decided.kind.value == ModuleType::Static)
    };
    let windows = upgrade.script.windows().len();
    let all = tried.iter().filter(|tried| tried.back.lost() > 0);
    let all = all.map(|tried| {
        let by_old = by_old(&tried.module);
        let lost = rehearsal_found::not_given_back(tried, by_old, windows > 1);
        (tried.module.clone(), lost)
    });
    all.collect()
}
