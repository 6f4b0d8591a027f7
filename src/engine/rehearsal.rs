//! `updo rehearse`: every conversion of an upgrade that can be tried is tried on the live states of a node.
//!
//! Takes a prepared upgrade, gives what came of each conversion and why others were not tried.

use std::collections::{BTreeMap, BTreeSet};

use super::environment::now;
use super::rehearsal_back;
use super::state_checks;
use super::state_fit::{self, Grown};
pub use super::trials::Untried;
use super::trials::{divided, new_beam, new_bodies};
use super::{Connection, Upgrade, owner, run_id};
use crate::diag::{Diagnostic, Result};
use crate::exec::Interrupt;
use crate::exec::pause::Pause;
use crate::exec::rehearsal::{
    self, Limits, Progress, RehearsalRequest, StateKind, Trial, TrialCheck, Trials, Tried,
};
use crate::name::Module;
use crate::plan::{AppliedCheck, Rehearse};
use crate::rules::Change;
use crate::rules::children_found::{ChildrenFound, children_found};
use crate::rules::conversions::{Converted, converted};
use crate::rules::states::Fit;
use crate::script::lower::{Executor, processes};
use crate::script::precompute;
use crate::state::rehearsals::Figures;
use crate::twin::Converters;
use crate::twin::conversion::Conversion;

/// What a rehearsal came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rehearsal {
    /// The conversions that were tried, in the order of the modules.
    pub tried: Vec<Tried>,
    /// The others, and why.
    pub untried: BTreeMap<Module, Untried>,
    /// States that the new version cannot take, or cannot always take.
    pub fits: Vec<Fit>,
    /// Data in states and tables that the new code knows otherwise (W635).
    pub held: Vec<Diagnostic>,
    /// States that a rollback would not give back, by module (W651).
    pub lost: Vec<(Module, Diagnostic)>,
    /// Children of supervisors that differ from what the new versions specify.
    pub children: Vec<ChildrenFound>,
    /// Checks of the plan that do not hold (E636).
    pub false_checks: Vec<Diagnostic>,
    /// Checks of the plan that were asked about no state (W636).
    pub unasked: Vec<Diagnostic>,
    /// For how long processes would be suspended; `None` when no process was asked.
    pub pause: Option<Pause>,
    /// What was measured: what the pause is predicted from.
    pub figures: Figures,
}

impl Rehearsal {
    /// How many states would not be converted.
    pub fn failed(&self) -> u64 {
        self.tried.iter().map(|tried| tried.failed).sum()
    }

    /// How many states were converted with success.
    pub fn converted(&self) -> u64 {
        let converted = self.tried.iter().filter(|tried| !tried.kept);
        converted.map(|tried| tried.converted).sum()
    }

    /// Whether processes would fail at their next event (E635).
    pub fn misfits(&self) -> bool {
        self.fits.iter().any(Fit::is_certain)
    }

    /// What there is to say: E634 of states that would not be converted, E636 and W636 of the plan's checks, E635 and
    /// W635 of those that do not fit, W651 of those that a rollback would not give back, W652 of children of supervisors.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut all = crate::report::rehearsal::diagnostics(&self.tried);
        all.extend(self.false_checks.iter().cloned());
        all.extend(self.unasked.iter().cloned());
        all.extend(self.fits.iter().map(Fit::diagnostic));
        all.extend(self.held.iter().cloned());
        all.extend(self.lost.iter().map(|(_, lost)| lost.clone()));
        all.extend(self.children.iter().filter_map(ChildrenFound::diagnostic));
        all
    }
}

/// The first phase of a run on one node, for what comes after it.
#[derive(Clone, Debug)]
pub struct FirstPhase {
    /// Its line among the events.
    pub event: serde_json::Value,
    /// For how long processes will be suspended.
    pub pause: Option<Pause>,
    /// What was measured.
    pub figures: Figures,
}

impl Connection<'_> {
    #[doc(hidden)]
    /// Tries the conversions of an upgrade on copies of the live states. Nothing is suspended and nothing changed.
    ///
    /// # Errors
    /// As [`rehearsal::rehearse`].
    pub fn rehearse(
        &self,
        upgrade: &Upgrade,
        limits: Limits,
        interrupt: &Interrupt,
        progress: &mut Progress<'_>,
    ) -> Result<Rehearsal> {
        self.rehearse_before(upgrade, (limits, false), interrupt, progress)
    }

    /// The same; `stays`: a run may follow at once.
    fn rehearse_before(
        &self,
        upgrade: &Upgrade,
        (limits, stays): (Limits, bool),
        interrupt: &Interrupt,
        progress: &mut Progress<'_>,
    ) -> Result<Rehearsal> {
        let plan = &self.engine.plan;
        let (mut trials, mut untried) = divided(upgrade);
        let converters = converters(upgrade, &trials);
        trials.retain(|trial| match converters.refused.get(trial.converts()) {
            Some(why) if !trial.keep && !converters.has(trial.converts()) => {
                untried.insert(trial.module.clone(), Untried::NoTwin(why.clone()));
                false
            }
            _ => true,
        });
        if trials.is_empty() {
            let (changes, rules) = (&upgrade.changes, &upgrade.rules);
            let figures = Figures {
                at: now(),
                suspended: processes(changes, rules, &upgrade.script) as u64,
                ..Figures::default()
            };
            self.keep_figures(upgrade, &figures);
            let unasked = state_checks::unasked(plan, upgrade, &[], &why(&untried));
            return Ok(Rehearsal {
                unasked,
                untried,
                figures,
                ..Rehearsal::default()
            });
        }
        let grown = Grown::of(&upgrade.changes);
        let mut one_way = BTreeMap::new();
        for trial in &mut trials {
            trial.seek = grown.seek();
            trial.checks = self.checks(upgrade, trial);
            if let Some(why) = rehearsal_back::decide(plan, upgrade, trial) {
                one_way.insert(trial.module.clone(), why);
            }
        }
        let Trials {
            mut tried,
            schedulers,
        } = rehearsal::rehearse(
            &RehearsalRequest {
                session: &self.session,
                run: &run_id(&self.engine.settings.records()),
                owner: &owner(),
                plan: &self.engine.plan,
                rules: &upgrade.rules,
                converters: &converters,
                trials: &trials,
                special: &upgrade.changes.loops(),
                limits,
                interrupt,
                stays,
            },
            progress,
        )?;
        for tried in tried.iter_mut().filter(|tried| !tried.kept) {
            tried.back.untried = one_way.remove(&tried.module);
            let how = converted(&upgrade.changes, &upgrade.rules, &tried.module);
            if let Some(Converted::Code { conversion, .. }) = how {
                tried.acting = conversion.acting().map(ToString::to_string).collect();
            }
        }
        // What a twin made by way of a name, the running version has made: that shape says nothing.
        let by_name = |tried: &Tried| !tried.kept && converts_by_name(upgrade, &tried.module);
        let by_name: BTreeSet<Module> = tried
            .iter()
            .filter(|tried| by_name(tried))
            .map(|tried| tried.module.clone())
            .collect();
        for tried in &mut tried {
            if !tried.back.others.is_empty() && !by_name.contains(&tried.module) {
                state_fit::fits_back(upgrade, tried);
            }
        }
        let known = tried.iter();
        let known = known.filter(|tried| !by_name.contains(&tried.module));
        let known: Vec<&Tried> = known.collect();
        let fits = state_fit::fits(upgrade, &known);
        let held = state_fit::held_data(upgrade, &grown, &known, &fits);
        let unasked = state_checks::unasked(plan, upgrade, &tried, &why(&untried));
        let (changes, rules, script) = (&upgrade.changes, &upgrade.rules, &upgrade.script);
        let measured = tried.iter().map(|one| (one.module.clone(), one.figures()));
        let figures = Figures {
            at: now(),
            schedulers: schedulers.unwrap_or(1),
            suspended: processes(changes, rules, script) as u64,
            modules: measured.collect(),
        };
        let pause = Pause::predicted(changes, rules, script, &figures);
        self.keep_figures(upgrade, &figures);
        Ok(Rehearsal {
            held,
            false_checks: state_checks::failed(plan, &tried),
            lost: rehearsal_back::lost(upgrade, &tried),
            children: children(upgrade, &tried),
            unasked,
            fits,
            tried,
            untried,
            pause,
            figures,
        })
    }

    /// The first phase of a run, within the bounds of the plan's `rehearse`; `None` when the plan or the settings do
    /// without it, or when there is no state to try.
    ///
    /// # Errors
    /// As [`Connection::rehearse`].
    #[doc(hidden)]
    pub fn rehearse_first(
        &self,
        upgrade: &Upgrade,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Rehearsal>> {
        let plan = &self.engine.plan;
        // A live window is for what has been seen to convert.
        let off = plan.rehearse.never || self.engine.settings.no_rehearsal;
        if (off && !upgrade.script.is_live()) || !upgrade.has_steps() {
            return Ok(None);
        }
        let interrupt = self.engine.settings.interrupt.clone();
        // A shim goes by the name that its agent has as that of its run.
        let limits = (limits(&plan.rehearse), !upgrade.script.is_live());
        let mut done = self.rehearse_before(upgrade, limits, &interrupt, progress)?;
        // What the preview has said already (W314): the line of the rehearsal says how many.
        done.lost.retain(|(module, _)| {
            let changed = upgrade.changes.modules.get(module);
            let new = changed.and_then(|changed| changed.new.as_ref());
            new.is_none_or(|new| !new.facts.code.one_way)
        });
        // What has no process converts nothing.
        let runs = |module: &Module| {
            let changed = upgrade.changes.modules.get(module);
            changed.is_some_and(|changed| changed.processes > 0)
        };
        let is_said = !done.tried.is_empty() || done.untried.keys().any(runs);
        let is_said = is_said || !done.unasked.is_empty();
        Ok(is_said.then_some(done))
    }

    /// The plan's checks on the states of a module that is converted; a supervisor's conversion makes no state.
    fn checks(&self, upgrade: &Upgrade, trial: &Trial) -> Vec<TrialCheck> {
        if trial.keep || trial.kind == StateKind::Supervisor {
            return Vec::new();
        }
        let plan = &self.engine.plan;
        let applied = upgrade.rules.state_checks.iter();
        let applied = applied.filter(|check| check.concerns(&trial.module));
        let check = |applied: &AppliedCheck| {
            let check = plan.state_checks.get(applied.number)?;
            Some(TrialCheck {
                number: applied.number,
                text: check.text(),
                bindings: check.bindings(plan),
                named: applied.modules.is_some(),
            })
        };
        applied.filter_map(check).collect()
    }
}

/// What becomes of the children of supervisors that differ from what their new versions specify.
fn children(upgrade: &Upgrade, tried: &[Tried]) -> Vec<ChildrenFound> {
    let by_otp = matches!(upgrade.script.by, Executor::ReleaseHandler(_));
    let found = tried.iter().filter_map(|tried| {
        let decided = upgrade.rules.modules.get(&tried.module)?;
        let (supervisors, added) = (tried.converted, tried.added);
        let found = children_found(
            &tried.module,
            decided,
            &tried.children,
            supervisors,
            added,
            by_otp,
        );
        (!found.is_empty()).then_some(found)
    });
    found.collect()
}

/// Whether a conversion may come to another module of the upgrade by its name.
fn converts_by_name(upgrade: &Upgrade, module: &Module) -> bool {
    let decided = upgrade.rules.modules.get(module);
    if let Some(Change::Convert { module, function }) = decided.map(|d| &d.change.value) {
        let conversion = Conversion::by(module, function.as_str(), &|m| new_bodies(upgrade, m));
        return precompute::makes_structs(&upgrade.changes, module)
            || !conversion.by_name.is_empty();
    }
    precompute::converts_by_name(&upgrade.changes, module)
}

/// Why each was not tried, in words.
fn why(untried: &BTreeMap<Module, Untried>) -> impl Fn(&Module) -> Option<String> + '_ {
    |module| Some(untried.get(module)?.words())
}

/// The usual bounds, and what a plan says instead.
pub fn limits(plan: &Rehearse) -> Limits {
    let usual = Limits::default();
    Limits {
        at_most: plan.at_most.unwrap_or(usual.at_most),
        rate: plan.rate.unwrap_or(usual.rate),
        within: plan.within.unwrap_or(usual.within),
        ..usual
    }
}

/// What runs the conversions that are tried. Without one nothing is loaded.
fn converters(upgrade: &Upgrade, trials: &[Trial]) -> Converters {
    let taking_part = upgrade.rules.modules.keys();
    let beams = taking_part.filter_map(|module| Some((module, new_beam(upgrade, module)?)));
    let converting = || trials.iter().filter(|trial| !trial.keep);
    let wanted = converting().filter(|trial| trial.by.is_none());
    let wanted: Vec<_> = wanted
        .map(|trial| (&trial.module, trial.kind.entries()))
        .collect();
    let whole = converting()
        .filter_map(|trial| Some(trial.by.as_ref()?.0.clone()))
        .collect();
    Converters::of(&beams.collect(), &wanted, &whole, upgrade.facts.otp)
}
