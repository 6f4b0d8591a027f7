//! What of an upgrade a rehearsal tries, and why not the rest.
//!
//! Takes a prepared upgrade, gives the conversions that are tried. The node is asked to do nothing that the code of a
//! conversion does outside of a copy of the state.

use std::collections::{BTreeMap, BTreeSet};

use super::Upgrade;
use crate::exec::rehearsal::{StateKind, Trial};
use crate::facts::beam::BeamFacts;
use crate::facts::beam::code::effects::Bodies;
use crate::facts::beam::states::Callbacks;
use crate::facts::change::{Beam, Changed};
use crate::name::Module;
use crate::rules::conversions::effects;
use crate::rules::states::callbacks;
use crate::rules::{Change, Class, ModuleRules};
use crate::term::Atom;
use crate::twin::conversion::{Conversion, Kind};
use crate::twin::{self, NoTwin};

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

/// What is tried, and what is not and why.
pub(super) fn divided(upgrade: &Upgrade) -> (Vec<Trial>, BTreeMap<Module, Untried>) {
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
        extra,
        ..Trial::new(module.clone(), kind)
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
        new_bodies(upgrade, module)
    });
    if !conversion.can_be_tried() && !in_any_case {
        let places = conversion.acting().map(ToString::to_string).collect();
        return Err(Untried::Acts(places));
    }
    Ok(Trial {
        by: Some((module.clone(), function.clone())),
        ..Trial::new(new.facts.module.clone(), kind)
    })
}

/// Why the new version of a module has no twin, whatever others have.
fn no_twin(upgrade: &Upgrade, module: &Module) -> Option<NoTwin> {
    let beam = new_beam(upgrade, module)?;
    twin::twin(beam, &BTreeSet::new(), upgrade.facts.otp).err()
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
        keep: true,
        ..Trial::new(new.facts.module.clone(), kind)
    })
}

/// Whether a module lets Elixir make child specifications of what it lists.
fn asks_by_name(new: &Beam) -> bool {
    let mut imports = new.facts.imports.iter();
    imports.any(|function| function.module.as_str() == "Elixir.Supervisor")
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

/// What is looked for in the code of a conversion.
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

/// What the functions of the new version of a module do.
pub(super) fn new_bodies<'u>(upgrade: &'u Upgrade, module: &Module) -> Option<&'u Bodies> {
    let changed = upgrade.changes.modules.get(module)?;
    changed.new.as_ref().map(Beam::bodies)
}

/// The new version of a module.
pub(super) fn new_beam<'u>(upgrade: &'u Upgrade, module: &Module) -> Option<&'u [u8]> {
    let changed = upgrade.changes.modules.get(module)?;
    changed.new.as_ref().map(|new| &new.bytes[..])
}
