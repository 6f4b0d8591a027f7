//! The way back in a rehearsal: who would convert the new states in a rollback, and what it would not give back.

use super::Upgrade;
use super::trials::conversion_kind;
use crate::diag::Diagnostic;
use crate::exec::rehearsal::{BackBy, StateKind, Trial, Tried};
use crate::facts::change::Beam;
use crate::name::Module;
use crate::plan::{Plan, RollbackPolicy};
use crate::report::rehearsal_found;
use crate::rules::ModuleType;
use crate::rules::conversions::effects;
use crate::twin::conversion::Conversion;

/// Whether the run can be rolled back as a whole. Without that no state is converted back, and none is lost.
pub(super) fn goes_back(plan: &Plan, upgrade: &Upgrade) -> bool {
    plan.rollback != RollbackPolicy::Never && upgrade.has_way_back()
}

/// Decides what of the way back is tried with a conversion. Why not, in words, where the plan has a rollback.
pub(super) fn decide(plan: &Plan, upgrade: &Upgrade, trial: &mut Trial) -> Option<String> {
    if trial.keep {
        return None;
    }
    // It goes back by what it has kept: the version that runs is only asked for its specifications.
    if trial.kind == StateKind::Supervisor {
        trial.old_init = trial.by.is_none() && by_running(upgrade, trial).is_ok();
        return None;
    }
    if plan.rollback == RollbackPolicy::Never {
        return None;
    }
    match back_by(upgrade, trial) {
        Ok(_) if !goes_back(plan, upgrade) => {
            Some("the upgrade as a whole has no way back".to_owned())
        }
        Ok(by) => {
            trial.back = Some(by);
            None
        }
        Err(why) => Some(why),
    }
}

/// Whose code the way back of a trial runs; why it is not tried, in words.
fn back_by(upgrade: &Upgrade, trial: &Trial) -> Result<BackBy, String> {
    if trial.by.is_some() {
        return Err("the plan's function has no way back".to_owned());
    }
    let decided = upgrade.rules.modules.get(&trial.module);
    let by_old = decided.is_some_and(|decided| decided.kind.value == ModuleType::Static);
    if by_old {
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
        changed.old.as_ref().map(Beam::bodies)
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

/// W651 for each module with states that a rollback would not give back.
pub(super) fn lost(upgrade: &Upgrade, tried: &[Tried]) -> Vec<(Module, Diagnostic)> {
    let windows = upgrade.script.windows().len();
    let all = tried.iter().filter(|tried| tried.back.lost() > 0);
    let all = all.map(|tried| {
        let lost = rehearsal_found::not_given_back(tried, windows > 1);
        (tried.module.clone(), lost)
    });
    all.collect()
}
