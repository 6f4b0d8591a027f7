//! `updo rehearse`: every conversion of an upgrade that can be tried is tried on the live states of a node.
//!
//! Takes a prepared upgrade, gives what came of each conversion and why others were not tried. Which can be tried is
//! decided here: the node is asked to do nothing that the code of the conversion does outside of a copy of the state.

use std::collections::BTreeMap;

use super::{Connection, Upgrade, owner, run_id};
use crate::diag::Result;
use crate::exec::Interrupt;
use crate::exec::rehearsal::{self, Limits, Progress, RehearsalRequest, StateKind, Trial, Tried};
use crate::facts::change::{Beam, Changed};
use crate::name::Module;
use crate::rules::{Change, Class, ModuleRules};
use crate::twin::conversion::{Conversion, Kind};
use crate::twin::{self, NoTwin, Twins};

/// Why a conversion is not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untried {
    /// It may do more than compute and read; the places.
    Acts(Vec<String>),
    /// The new version cannot be loaded beside the running one.
    NoTwin(NoTwin),
    /// A supervisor's conversion is its new `init/1`, which is not tried.
    Supervisor,
    /// A special process is converted by `system_code_change/4`, which is not tried.
    Special,
    /// Its processes run in a server of another module, which hands the conversion on.
    Wrapped(Module),
    /// The plan converts with a function of its own (`{convert, F}`), which is not tried.
    OwnFunction,
}

impl Untried {
    /// The reason in words.
    pub fn words(&self) -> String {
        match self {
            Self::Acts(_) => "its conversion does more than compute and read".to_owned(),
            Self::NoTwin(why) => why.to_string(),
            Self::Supervisor => "the conversion of a supervisor is its new init/1".to_owned(),
            Self::Special => "special processes convert by system_code_change/4".to_owned(),
            Self::Wrapped(by) => format!("its processes are servers of {by}"),
            Self::OwnFunction => "the plan converts with a function of its own".to_owned(),
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
}

impl Rehearsal {
    /// How many states would not be converted.
    pub fn failed(&self) -> u64 {
        self.tried.iter().map(|tried| tried.failed).sum()
    }

    /// How many states were tried with success.
    pub fn converted(&self) -> u64 {
        self.tried.iter().map(|tried| tried.converted).sum()
    }
}

impl Connection<'_> {
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
        let twins = twins(upgrade);
        let (trials, untried) = divided(upgrade, &twins);
        if trials.is_empty() {
            return Ok(Rehearsal {
                tried: Vec::new(),
                untried,
            });
        }
        let tried = rehearsal::rehearse(
            &RehearsalRequest {
                session: &self.session,
                run: &run_id(&self.engine.settings.records()),
                owner: &owner(),
                plan: &self.engine.plan,
                rules: &upgrade.rules,
                twins: &twins.made,
                trials: &trials,
                limits,
                interrupt,
            },
            progress,
        )?;
        Ok(Rehearsal { tried, untried })
    }
}

/// The twins of all that is new.
fn twins(upgrade: &Upgrade) -> Twins {
    let taking_part = upgrade.rules.modules.keys();
    let beams = taking_part.filter_map(|module| {
        let new = upgrade.changes.modules.get(module)?.new.as_ref()?;
        Some((module, &new.bytes[..]))
    });
    twin::all(beams, upgrade.facts.otp)
}

/// What is tried, and what is not and why.
fn divided(upgrade: &Upgrade, twins: &Twins) -> (Vec<Trial>, BTreeMap<Module, Untried>) {
    let (mut trials, mut untried) = (Vec::new(), BTreeMap::new());
    for (module, decided) in &upgrade.rules.modules {
        let Some(changed) = upgrade.changes.modules.get(module) else {
            continue;
        };
        if changed.is_new() || changed.new.is_none() || decided.class.value == Class::Library {
            continue;
        }
        match trial(upgrade, twins, module, changed, decided) {
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
    twins: &Twins,
    module: &Module,
    changed: &Changed,
    decided: &ModuleRules,
) -> Option<std::result::Result<Trial, Untried>> {
    let extra = match &decided.change.value {
        Change::Soft => return None,
        Change::Convert { .. } => return Some(Err(Untried::OwnFunction)),
        Change::Advanced(extra) => extra.clone(),
    };
    if decided.class.value == Class::Supervisor {
        return Some(Err(Untried::Supervisor));
    }
    if let Some(by) = &changed.crew.wrapped_in {
        return Some(Err(Untried::Wrapped(by.clone())));
    }
    let new = changed.new.as_ref()?;
    let has = |arity| new.facts.exports("code_change", arity);
    let kind = match (has(3), has(4)) {
        (_, true) => StateKind::StateMachine,
        (true, false) if is_handler(new) => StateKind::Handler,
        (true, false) => StateKind::Server,
        (false, false) => return Some(Err(Untried::Special)),
    };
    if let Some(why) = twins.refused.get(module) {
        return Some(Err(Untried::NoTwin(why.clone())));
    }
    let world = |module: &Module| {
        let changed = upgrade.changes.modules.get(module)?;
        changed.new.as_ref().map(|new| &new.bytes[..])
    };
    let conversion = Conversion::of(module, Kind::Server, &world);
    if !conversion.can_be_tried() {
        let places = conversion.acting().map(ToString::to_string).collect();
        return Some(Err(Untried::Acts(places)));
    }
    Some(Ok(Trial {
        module: module.clone(),
        kind,
        extra,
    }))
}

fn is_handler(new: &Beam) -> bool {
    let mut behaviours = new.facts.behaviours.iter();
    behaviours.any(|behaviour| behaviour.as_str() == "gen_event")
}
