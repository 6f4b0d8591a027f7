//! `updo rehearse`: every conversion of an upgrade that can be tried is tried on the live states of a node.
//!
//! Takes a prepared upgrade, gives what came of each conversion and why others were not tried. Which can be tried is
//! decided here: the node is asked to do nothing that the code of the conversion does outside of a copy of the state.

use std::collections::{BTreeMap, BTreeSet};

use super::environment::now;
use super::rehearsal_back::{back_by, lost};
use super::state_checks;
use super::state_fit::{self, Grown};
use super::{Connection, Upgrade, owner, run_id};
use crate::diag::{Diagnostic, Result};
use crate::exec::Interrupt;
use crate::exec::pause::Pause;
use crate::exec::rehearsal::{
    self, Limits, Progress, RehearsalRequest, Seek, StateKind, Trial, TrialCheck, Trials, Tried,
};
use crate::facts::beam::BeamFacts;
use crate::facts::beam::states::Callbacks;
use crate::facts::change::{Beam, Changed};
use crate::name::Module;
use crate::plan::{AppliedCheck, Rehearse};
use crate::report::preview::PauseShown;
use crate::rules::children_found::{ChildrenFound, children_found};
use crate::rules::conversions::{Converted, converted, effects};
use crate::rules::states::{Fit, callbacks};
use crate::rules::{Change, Class, ModuleRules};
use crate::script::lower::{Executor, processes};
use crate::script::precompute;
use crate::state::rehearsals::{self, Figures};
use crate::term::{Atom, Term, etf};
use crate::twin::conversion::{Conversion, Kind};
use crate::twin::{self, Converters, NoTwin};

/// Why a conversion is not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untried {
    /// It may do more than compute and read; the places.
    Acts(Vec<String>),
    /// The new version cannot be loaded beside the running one.
    NoTwin(NoTwin),
    /// A special process that has a view of its own of its state (`system_replace_state/2`), or no conversion.
    Special,
    /// Its processes run in a server of another module, which hands the conversion on.
    Wrapped(Module),
    /// The plan converts with a function (`{convert, F}`) of a module that is not a part of the upgrade.
    OwnFunction(Module),
    /// The plan leaves it out (`module m #{rehearse => false}`).
    LeftOut,
    /// A supervisor of Elixir, which asks modules by their names for child specifications, while others change: before
    /// the switch the running versions would answer, and new modules could not.
    AsksByName,
}

impl Untried {
    /// The line of a plan with which it is tried all the same.
    pub fn paste(&self, module: &Module) -> Option<String> {
        let acts = matches!(self, Self::Acts(_));
        acts.then(|| format!("module {module} #{{rehearse => true}} because \"…\"."))
    }

    /// The reason in words.
    pub fn words(&self) -> String {
        match self {
            Self::Acts(_) => "its conversion has side effects".to_owned(),
            Self::NoTwin(why) => why.to_string(),
            Self::Special => "its special processes show a state of their own making".to_owned(),
            Self::Wrapped(by) => format!("its processes are servers of {by}"),
            Self::AsksByName => {
                "its init/1 asks modules for child specifications that are not switched yet"
                    .to_owned()
            }
            Self::LeftOut => "the plan leaves it out (`rehearse => false`)".to_owned(),
            Self::OwnFunction(module) => {
                format!("the plan converts with a function of {module}, which does not change")
            }
        }
    }
}

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
            if trial.keep {
                continue;
            }
            match back_by(upgrade, trial) {
                Ok(by) => trial.back = Some(by),
                Err(_) if trial.kind == StateKind::Supervisor => {}
                Err(why) => {
                    one_way.insert(trial.module.clone(), why);
                }
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
        let known: Vec<Tried> = tried
            .iter()
            .filter(|tried| tried.kept || !converts_by_name(upgrade, &tried.module))
            .cloned()
            .collect();
        let fits = state_fit::fits(upgrade, &known);
        for tried in &mut tried {
            if !converts_by_name(upgrade, &tried.module) {
                state_fit::fits_back(upgrade, tried);
            }
        }
        let unasked = state_checks::unasked(plan, upgrade, &tried, &why(&untried));
        let (changes, rules, script) = (&upgrade.changes, &upgrade.rules, &upgrade.script);
        let measured = tried
            .iter()
            .map(|one| {
                let mut figures = one.figures();
                // Without a way back of the whole nothing is converted back.
                figures.lost *= u64::from(upgrade.has_way_back());
                (one.module.clone(), figures)
            })
            .collect();
        let figures = Figures {
            at: now(),
            schedulers: schedulers.unwrap_or(1),
            suspended: processes(changes, rules, script) as u64,
            modules: measured,
        };
        let pause = Pause::predicted(changes, rules, script, &figures);
        self.keep_figures(upgrade, &figures);
        Ok(Rehearsal {
            held: state_fit::held_data(upgrade, &grown, &known, &fits),
            false_checks: state_checks::failed(plan, &tried),
            lost: lost(plan, upgrade, &tried),
            children: children(upgrade, &tried),
            unasked,
            fits,
            tried,
            untried,
            pause,
            figures,
        })
    }
}

impl Connection<'_> {
    /// Which upgrade it is that figures belong to: both versions of each module, and the steps with their conversions.
    fn known_as(&self, upgrade: &Upgrade) -> rehearsals::Rehearsed {
        let content = etf::encode(&upgrade.content());
        rehearsals::Rehearsed {
            creation: self.session.creation(),
            upgrade: <md5::Md5 as md5::Digest>::digest(content).into(),
        }
    }

    /// For previews. What cannot be written costs them a line, not this rehearsal.
    fn keep_figures(&self, upgrade: &Upgrade, figures: &Figures) {
        let (state, node) = (&self.engine.settings.state_dir, self.session.node());
        let _ = rehearsals::keep(state, node, self.known_as(upgrade), figures.clone());
    }

    /// What a preview says of the pause: what follows from the last rehearsal of this very upgrade, for the processes
    /// of now; or with which command it is measured. `None` when nothing is suspended.
    pub(super) fn pause_shown(&self, upgrade: &Upgrade) -> Option<PauseShown> {
        let (changes, rules, script) = (&upgrade.changes, &upgrade.rules, &upgrade.script);
        let suspended = processes(changes, rules, script);
        if suspended == 0 || matches!(script.by, Executor::ReleaseHandler(_)) {
            return None;
        }
        let (state, node) = (&self.engine.settings.state_dir, self.session.node());
        let Some(figures) = rehearsals::load(state, node, &self.known_as(upgrade)) else {
            return Some(PauseShown::Unmeasured {
                suspended,
                command: self.rehearse_command(),
            });
        };
        Some(PauseShown::Rehearsed {
            pause: Pause::predicted(changes, rules, script, &figures),
            ago: now().saturating_sub(figures.at),
            suspended,
            figures,
        })
    }

    /// As one would type it: for this node, with the parameters that this plan has been given.
    fn rehearse_command(&self) -> String {
        let (plan, settings) = (&self.engine.plan, &self.engine.settings);
        let mut command = format!("updo rehearse {}", plan.path.display());
        for (name, value) in settings.sets_of(plan) {
            command += &format!(" --set {name}={value}");
        }
        let is_its_only =
            matches!(plan.targets.as_slice(), [only] if only.has(self.session.node()));
        if !is_its_only {
            command += &format!(" -t {}", self.session.node());
        }
        command
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
        let mut done = self.rehearse(upgrade, limits(&plan.rehearse), &interrupt, progress)?;
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
        let conversion = Conversion::by(module, function.as_str(), &|m| new_beam(upgrade, m));
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

/// Why the new version of a module has no twin, whatever others have.
fn no_twin(upgrade: &Upgrade, module: &Module) -> Option<NoTwin> {
    let beam = new_beam(upgrade, module)?;
    twin::twin(beam, &BTreeSet::new(), upgrade.facts.otp).err()
}

/// What is tried, and what is not and why.
fn divided(upgrade: &Upgrade) -> (Vec<Trial>, BTreeMap<Module, Untried>) {
    let (mut trials, mut untried) = (Vec::new(), BTreeMap::new());
    for (module, decided) in &upgrade.rules.modules {
        let Some(changed) = upgrade.changes.modules.get(module) else {
            continue;
        };
        if changed.is_new() || changed.new.is_none() || decided.class.value == Class::Library {
            continue;
        }
        let of = trial(upgrade, module, changed, decided);
        let left_out = decided.rehearse.value == Some(false);
        match of.map(|of| if left_out { Err(Untried::LeftOut) } else { of }) {
            Some(Ok(trial)) => trials.push(trial),
            Some(Err(why)) => {
                untried.insert(module.clone(), why);
            }
            None => {}
        }
    }
    (trials, untried)
}

/// How a module's conversion is tried; `None` when it has none.
fn trial(
    upgrade: &Upgrade,
    module: &Module,
    changed: &Changed,
    decided: &ModuleRules,
) -> Option<std::result::Result<Trial, Untried>> {
    let extra = match &decided.change.value {
        Change::Soft => return kept(changed, decided.class.value).map(Ok),
        Change::Convert { module, function } => {
            let in_any_case = decided.rehearse.value == Some(true);
            return Some(by_plan(upgrade, changed, (module, function), in_any_case));
        }
        Change::Advanced(extra) => extra.clone(),
    };
    if let Some(by) = &changed.module_processes.wrapped_in {
        return Some(Err(Untried::Wrapped(by.clone())));
    }
    let new = changed.new.as_ref()?;
    let Some(kind) = state_kind(changed, new, decided.class.value) else {
        return Some(Err(Untried::Special));
    };
    if kind == StateKind::Supervisor && asks_by_name(new) && upgrade.changes.modules.len() > 1 {
        return Some(Err(Untried::AsksByName));
    }
    if let Some(why) = no_twin(upgrade, module) {
        return Some(Err(Untried::NoTwin(why)));
    }
    let conversion = effects(&upgrade.changes, module, conversion_kind(kind));
    if !conversion.can_be_tried() && decided.rehearse.value != Some(true) {
        let places = conversion.acting().map(ToString::to_string).collect();
        return Some(Err(Untried::Acts(places)));
    }
    Some(Ok(Trial {
        module: module.clone(),
        kind,
        extra,
        keep: false,
        by: None,
        back: None,
        seek: Seek::default(),
        checks: Vec::new(),
    }))
}

/// How the plan's function is tried: like a conversion, where its module is new in the upgrade. `in_any_case`: the plan
/// wants it tried although it acts.
fn by_plan(
    upgrade: &Upgrade,
    changed: &Changed,
    (module, function): (&Module, &Atom),
    in_any_case: bool,
) -> std::result::Result<Trial, Untried> {
    if let Some(by) = &changed.module_processes.wrapped_in {
        return Err(Untried::Wrapped(by.clone()));
    }
    let takes_part = upgrade.rules.modules.contains_key(module);
    if !takes_part || new_beam(upgrade, module).is_none() {
        return Err(Untried::OwnFunction(module.clone()));
    }
    if let Some(why) = no_twin(upgrade, module) {
        return Err(Untried::NoTwin(why));
    }
    let new = changed.new.as_ref().ok_or(Untried::Special)?;
    let kind = callbacks_kind(changed, new).ok_or(Untried::Special)?;
    let conversion = Conversion::by(module, function.as_str(), &|module| {
        new_beam(upgrade, module)
    });
    if !conversion.can_be_tried() && !in_any_case {
        let places = conversion.acting().map(ToString::to_string).collect();
        return Err(Untried::Acts(places));
    }
    Ok(Trial {
        module: new.facts.module.clone(),
        kind,
        extra: Term::list([]),
        keep: false,
        by: Some((module.clone(), function.clone())),
        back: None,
        seek: Seek::default(),
        checks: Vec::new(),
    })
}

fn new_beam<'u>(upgrade: &'u Upgrade, module: &Module) -> Option<&'u [u8]> {
    let changed = upgrade.changes.modules.get(module)?;
    changed.new.as_ref().map(|new| &new.bytes[..])
}

/// Whether a module lets Elixir make child specifications of what it lists.
fn asks_by_name(new: &Beam) -> bool {
    let mut imports = new.facts.imports.iter();
    imports.any(|function| function.module.as_str() == "Elixir.Supervisor")
}

/// States that are not converted: only their shapes are asked for.
fn kept(changed: &Changed, class: Class) -> Option<Trial> {
    let new = changed.new.as_ref()?;
    let is_asked = class == Class::Server && changed.processes > 0;
    if !is_asked || changed.module_processes.wrapped_in.is_some() || changed.old.is_none() {
        return None;
    }
    let kind = callbacks_kind(changed, new)?;
    Some(Trial {
        module: new.facts.module.clone(),
        kind,
        extra: Term::list([]),
        keep: true,
        by: None,
        back: None,
        seek: Seek::default(),
        checks: Vec::new(),
    })
}

/// The kind by the callbacks; `None` where processes show a state of their own making.
fn callbacks_kind(changed: &Changed, new: &Beam) -> Option<StateKind> {
    let own_view = changed
        .former_facts()
        .is_some_and(|old| old.exports("system_replace_state", 2));
    match callbacks(&new.facts)? {
        Callbacks::Server => Some(StateKind::Server),
        Callbacks::StateMachine => Some(StateKind::StateMachine),
        Callbacks::Handler => Some(StateKind::Handler),
        Callbacks::Special => (!own_view).then_some(StateKind::Special),
    }
}

/// How the states of a module's processes are converted; `None` when that cannot be tried.
fn state_kind(changed: &Changed, new: &Beam, class: Class) -> Option<StateKind> {
    if class == Class::Supervisor {
        return Some(StateKind::Supervisor);
    }
    let has = |name, arity| new.facts.exports(name, arity);
    let own_view = |facts: &BeamFacts| facts.exports("system_replace_state", 2);
    match (has("code_change", 3), has("code_change", 4)) {
        (_, true) => Some(StateKind::StateMachine),
        (true, false) if is_handler(new) => Some(StateKind::Handler),
        (true, false) => Some(StateKind::Server),
        (false, false) => {
            let shows_all = !own_view(&new.facts) && !changed.former_facts().is_some_and(own_view);
            (has("system_code_change", 4) && shows_all).then_some(StateKind::Special)
        }
    }
}

pub(super) fn conversion_kind(kind: StateKind) -> Kind {
    match kind {
        StateKind::Server | StateKind::StateMachine | StateKind::Handler => Kind::Server,
        StateKind::Supervisor => Kind::Supervisor,
        StateKind::Special => Kind::Special,
    }
}

fn is_handler(new: &Beam) -> bool {
    let mut behaviours = new.facts.behaviours.iter();
    behaviours.any(|behaviour| behaviour.as_str() == "gen_event")
}
