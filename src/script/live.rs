//! Which modules go live: their processes convert by themselves, and none is suspended.
//!
//! Takes a script of the kind `live` and what was decided beside it. What would need suspended processes is said with its
//! reason ([`Unfit`]); the switch of all others is safe between any two callbacks, because all modules come at one
//! instant and a process converts before its first callback.

use std::collections::BTreeMap;

use super::high::HighStep;
use super::instruction::Instruction;
use super::lower::{Executor, Script, suspended, switched};
use super::precompute::{Beside, conversion};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::Evidence;
use crate::facts::change::{Beam, ChangeSet};
use crate::graph::build::{is_function, name_owners};
use crate::name::Module;
use crate::rules::{Change, Class, Ruleset, StateForm};
use crate::term::{Atom, Term};
use crate::twin::Converters;
use crate::twin::conversion::Kind;
use crate::twin::shim::{ShimFor, shim};

/// What keeps a module from going live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The module, where it is about one.
    pub module: Option<Module>,
    /// Why, as the end of a sentence about it.
    pub why: String,
}

/// What goes live.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// The modules whose processes convert by themselves, with the last argument of their conversions.
    pub modules: BTreeMap<Module, Term>,
    /// Their new versions' conversions beside what runs, for the way back.
    pub beside: Beside,
}

/// The modules of an upgrade in two parts.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// Those that are switched first, in a window of their own.
    pub(super) held: Vec<Module>,
    /// Those that go live afterwards; empty when no process could.
    pub(super) live: Vec<Module>,
    /// Of each of the first why.
    pub(super) why: Vec<Unfit>,
}

/// What needs suspended processes, and all that has to be switched with it. Between the two parts processes see a mix: what
/// a hard edge joins is never divided. What the first part calls comes with it, where no process is suspended for that.
pub(super) fn apart(changes: &ChangeSet, rules: &Ruleset, high: &[HighStep]) -> Apart {
    let steps = high
        .iter()
        .filter(|step| !matches!(step.instruction, Instruction::DeleteModule { .. }));
    let serves: BTreeMap<&Module, bool> = steps
        .map(|step| {
            let serves = matches!(step.instruction, Instruction::Update { .. });
            (&step.module, serves)
        })
        .collect();
    let mut why: BTreeMap<&Module, String> = BTreeMap::new();
    for (module, serves) in &serves {
        let unfit = match needs_both(changes, module) {
            Some(unfit) => Some(unfit.to_owned()),
            None if *serves => goes_live(changes, rules, module).err(),
            None => None,
        };
        why.extend(unfit.map(|unfit| (*module, unfit)));
    }
    let sets = rules.graph.sets();
    let set_of: BTreeMap<&Module, &Vec<Module>> = sets
        .iter()
        .flat_map(|set| set.iter().map(move |module| (module, set)))
        .collect();
    let alone = Vec::new();
    let mut todo: Vec<&Module> = why.keys().copied().collect();
    while let Some(module) = todo.pop() {
        let set = set_of.get(module).copied().unwrap_or(&alone);
        let mut more: Vec<(&Module, String)> = set
            .iter()
            .map(|one| (one, format!("it changes together with `{module}`")))
            .collect();
        for (called, _) in rules.graph.dependencies(module) {
            let set = set_of.get(called).copied().unwrap_or(&alone);
            let serves = |one: &Module| serves.get(one).copied().unwrap_or(false);
            if !set.iter().any(serves) {
                let text = format!("`{module}` needs it");
                more.extend(set.iter().map(|one| (one, text.clone())));
            }
        }
        for (one, text) in more {
            if serves.contains_key(one) && !why.contains_key(one) {
                why.insert(one, text);
                todo.push(one);
            }
        }
    }
    let (held, live): (Vec<&Module>, Vec<&Module>) =
        serves.keys().partition(|module| why.contains_key(*module));
    let goes = live.iter().any(|module| serves[*module]);
    let cloned = |modules: Vec<&Module>| modules.into_iter().cloned().collect();
    Apart {
        held: cloned(held),
        live: if goes { cloned(live) } else { Vec::new() },
        why: why
            .into_iter()
            .map(|(module, why)| of(module, &why))
            .collect(),
    }
}

impl Live {
    /// The same, when the node can load what leads back.
    ///
    /// # Errors
    /// The modules whose conversions it cannot.
    pub fn with(self, converters: &Converters) -> Result<Self, Vec<Unfit>> {
        let without = self.modules.keys().filter(|module| !converters.has(module));
        let unfit: Vec<Unfit> = without
            .map(|module| of(module, "its conversion cannot be loaded beside what runs"))
            .collect();
        match unfit.is_empty() {
            true => Ok(self),
            false => Err(unfit),
        }
    }
}

/// The modules that go live.
///
/// # Errors
/// What needs suspended processes, each with its reason; never empty.
pub fn live(changes: &ChangeSet, rules: &Ruleset, script: &Script) -> Result<Live, Vec<Unfit>> {
    let mut live = Live::default();
    if !script.is_live() {
        return Ok(live);
    }
    let mut unfit = Vec::new();
    if let Executor::ReleaseHandler(_) = script.by {
        unfit.push(whole("the release handler of OTP suspends processes"));
    }
    unfit.extend(in_between(script).into_iter().map(|word| {
        whole(&format!(
            "`{word}` is executed while processes are suspended"
        ))
    }));
    let (loads, removes) = switched(script.live_part());
    for module in loads.iter().chain(&removes) {
        if let Some(why) = needs_both(changes, module) {
            unfit.push(of(module, why));
        }
    }
    for module in suspended(script.live_part()) {
        match goes_live(changes, rules, module) {
            Ok(Some(extra)) => {
                let (_, reached) = conversion(changes, module, Kind::Server);
                let form = match is_statem(changes, module) {
                    true => StateForm::StateMachine,
                    false => StateForm::Server,
                };
                live.beside.needed.extend(reached);
                live.beside.needed.insert(module.clone());
                live.beside.modules.insert(module.clone(), form);
                live.modules.insert(module.clone(), extra);
            }
            Ok(None) => {}
            Err(why) => unfit.push(of(module, &why)),
        }
    }
    match unfit.is_empty() {
        true => Ok(live),
        false => Err(unfit),
    }
}

/// Said when processes are suspended that would have gone live.
pub const AFTER_ALL: &str = "window auto, so single after all";

/// From how many processes on `window auto` keeps them from being suspended: fewer stand still for about 5 ms.
pub const MANY: usize = 100;

/// Why an upgrade that could go live is one window with suspended processes where the plan leaves that to updo: because
/// something of what such a window promises would be lost. Empty where nothing is.
pub(super) fn loses(changes: &ChangeSet, rules: &Ruleset, high: &[HighStep]) -> Vec<Unfit> {
    let serve = high
        .iter()
        .filter(|step| matches!(step.instruction, Instruction::Update { .. }));
    let owners = name_owners(changes);
    let lost = serve.filter_map(|step| {
        let why = sees_both(changes, rules, &owners, &step.module)?;
        Some(of(&step.module, &why))
    });
    lost.collect()
}

/// `window auto` where too few processes would be suspended for it to matter.
pub(super) fn few(processes: usize) -> Unfit {
    let plural = if processes == 1 { "" } else { "es" };
    whole(&format!(
        "{processes} process{plural}: fewer than {MANY} are suspended for a few milliseconds"
    ))
}

/// Where a callback of the old version that is under way at the switch goes on in the new version of something: with all
/// processes suspended none is under way.
fn sees_both(
    changes: &ChangeSet,
    rules: &Ruleset,
    owners: &BTreeMap<Atom, Module>,
    module: &Module,
) -> Option<String> {
    let old = changes.modules.get(module)?.old_facts()?;
    let changes_too = |other: &Module| {
        let known = changes.modules.get(other);
        rules.modules.contains_key(other) && known.is_some_and(|one| one.loaded.is_some())
    };
    let mut calls = old.imports.iter();
    if let Some(called) =
        calls.find(|called| changes_too(&called.module) && &*called.function != "module_info")
    {
        let what = match called.module == *module {
            true => {
                let (name, arity) = (&called.function, called.arity);
                format!("it calls its own `{name}/{arity}` by the module's name")
            }
            false => format!("it calls `{called}`, which changes as well"),
        };
        return Some(format!(
            "{what}: a callback under way would see both versions"
        ));
    }
    let other = |one: &&Module| *one != module && changes_too(one);
    let named = old.code.hidden.iter().filter(|seen| match seen.evidence {
        Evidence::ExternalFun | Evidence::StartCall => true,
        Evidence::MfaLiteral => is_function(changes, seen),
        // A name that may be anything: the tag of a struct, most often.
        Evidence::AtomInCode | Evidence::AtomInLiteral => false,
    });
    let named = named.map(|seen| &seen.module);
    let sent = old.code.sends_to.iter();
    let sent = sent.filter_map(|(name, _)| owners.get(name));
    let found = named.chain(sent).find(other)?;
    Some(format!(
        "it starts, calls or sends to `{found}`, which changes as well: a callback under way would see both versions"
    ))
}

/// The refusal.
pub fn refusal(unfit: &[Unfit]) -> Diagnostic {
    let title = match unfit {
        [_] => "no live window: one thing needs suspended processes".to_owned(),
        all => format!(
            "no live window: {} things need suspended processes",
            all.len()
        ),
    };
    reasons(Diagnostic::new(Code::E425, title), unfit)
        .help("suspend them for a short time: `window single.`")
}

/// W653: what does not go live, and is switched before what does.
pub fn held(unfit: &[Unfit]) -> Option<Diagnostic> {
    let title = match unfit {
        [] => return None,
        [_] => {
            "one module does not go live: it is switched first, in a window of its own".to_owned()
        }
        all => format!(
            "{} modules do not go live: they are switched first, in a window of their own",
            all.len()
        ),
    };
    Some(reasons(Diagnostic::new(Code::W653, title), unfit).help(
        "`window single.` switches all modules at one instant, and suspends the processes of all",
    ))
}

fn reasons(mut diagnostic: Diagnostic, unfit: &[Unfit]) -> Diagnostic {
    const NAMED: usize = 8;
    for line in lines(unfit).take(NAMED) {
        diagnostic = diagnostic.note(line);
    }
    if unfit.len() > NAMED {
        diagnostic = diagnostic.note(format!("and {} more", unfit.len() - NAMED));
    }
    diagnostic
}

/// The reasons of `window auto`, as lines.
pub fn lines(unfit: &[Unfit]) -> impl Iterator<Item = String> {
    unfit.iter().map(|one| match &one.module {
        Some(module) => format!("`{module}`: {}", one.why),
        None => one.why.clone(),
    })
}

fn whole(why: &str) -> Unfit {
    Unfit {
        module: None,
        why: why.to_owned(),
    }
}

fn of(module: &Module, why: &str) -> Unfit {
    Unfit {
        module: Some(module.clone()),
        why: why.to_owned(),
    }
}

/// What a window has beside its usual instructions.
fn in_between(script: &Script) -> Vec<&'static str> {
    let part = script.live_part();
    let resumes = |i: &Instruction| matches!(i, Instruction::Resume(_));
    let to = part.iter().rposition(resumes);
    let window = part.get(..to.unwrap_or(0)).unwrap_or_default();
    let others = window.iter().filter(|instruction| {
        !instruction.is_switch()
            && !matches!(
                instruction,
                Instruction::Suspend(_) | Instruction::CodeChange { .. } | Instruction::Resume(_)
            )
    });
    others.map(Instruction::word).collect()
}

fn is_statem(changes: &ChangeSet, module: &Module) -> bool {
    let new = changes
        .modules
        .get(module)
        .and_then(|changed| changed.new.as_ref());
    new.is_some_and(|new| new.facts.exports("callback_mode", 0))
}

/// Every module that is switched must be able to come back at any moment, and none may run code when it is loaded.
fn needs_both(changes: &ChangeSet, module: &Module) -> Option<&'static str> {
    let changed = changes.modules.get(module)?;
    let beams = [changed.old.as_ref(), changed.new.as_ref()];
    let on_load = |beam: &Beam| beam.facts.code.on_load.is_some();
    if changed.loaded.is_some() && changed.old.is_none() {
        return Some("there is no copy of its running version, which a way back needs");
    }
    if beams.into_iter().flatten().any(on_load) {
        return Some("it has an `on_load` function, which may run only once");
    }
    None
}

/// Whether the processes of a module convert by themselves: the last argument of their conversion, or none when their
/// states stay as they are.
fn goes_live(
    changes: &ChangeSet,
    rules: &Ruleset,
    module: &Module,
) -> Result<Option<Term>, String> {
    let unknown = || "it is not known what its processes are".to_owned();
    let (decided, changed) = rules
        .modules
        .get(module)
        .zip(changes.modules.get(module))
        .ok_or_else(unknown)?;
    let new = changed.new.as_ref().ok_or_else(unknown)?;
    let is = |name: &str| new.facts.behaviours.iter().any(|one| one.as_str() == name);
    match decided.class.value {
        Class::Server => {}
        Class::Supervisor => return Err("its processes are supervisors".to_owned()),
        _ => return Err("it has no processes that could convert by themselves".to_owned()),
    }
    let statem = is_statem(changes, module);
    if statem && decided.change.value == Change::Soft {
        // The callback mode of one that is not converted is not asked for.
        return Err("its processes are state machines without a conversion".to_owned());
    }
    let old = changed.old.as_ref();
    if statem != old.is_some_and(|old| old.facts.exports("callback_mode", 0)) {
        return Err("it becomes another behaviour".to_owned());
    }
    if is("gen_event") {
        return Err("its processes are managers of events (gen_event)".to_owned());
    }
    let is_server = statem || new.facts.exports("handle_call", 3);
    if !is_server || new.facts.exports("system_continue", 3) {
        return Err("its processes are neither gen_servers nor gen_statems".to_owned());
    }
    if changed.module_processes.wrapped_in.is_some() {
        return Err("another behaviour runs its callbacks".to_owned());
    }
    match &decided.change.value {
        Change::Soft => Ok(None),
        Change::Convert { .. } => Err("a function of the plan converts its states".to_owned()),
        Change::Advanced(extra) => {
            let exports = |arity| new.facts.exports("code_change", arity);
            if exports(3) == statem || exports(4) != statem {
                return Err("it has another `code_change` than its behaviour calls".to_owned());
            }
            let (conversion, _) = conversion(changes, module, Kind::Server);
            if !conversion.can_be_tried() {
                return Err("its conversion does more than compute".to_owned());
            }
            for (which, beam) in [("running", old), ("new", Some(new))] {
                let Some(beam) = beam else { continue };
                let what = ShimFor {
                    agent: "updo_agent_0000",
                    key: "updo_live_0000",
                    about: extra.clone(),
                };
                if let Err(why) = shim(&beam.bytes, &what) {
                    return Err(format!("of the {which} version: {why}"));
                }
            }
            Ok(Some(extra.clone()))
        }
    }
}
