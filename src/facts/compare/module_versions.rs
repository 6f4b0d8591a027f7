//! The modules that take part, each with its versions: the running one, a copy of it, the new one.
//!
//! Takes the beams that differ and the modules that are to be removed, gives them as [`Changed`], and which of them may
//! not be touched. Their processes are found by [`module_processes`](super::module_processes).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::compared_node::ComparedNode;
use super::library_versions::NewFolders;
use super::local_beams::{local, unusable};
use super::unloaded;
use crate::diag::{Result, Span};
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, Changed, SkipReason};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::facts::node::processes::ModuleProcesses;
use crate::facts::node::queries;
use crate::name::{App, FunctionArity, Md5, Module};
use crate::parallel::computed;
use crate::state::beams::Store;

/// Where copies of the running version may be found, beside the node's own files.
#[derive(Clone, Copy, Debug)]
pub struct OldBeamSources<'a> {
    /// `old from` patterns, each list relative to a folder.
    pub patterns: &'a [(Vec<(String, Span)>, PathBuf)],
    /// updo's own store.
    pub store: &'a Store,
}

/// Those of some modules that must not be touched, with the reason.
pub(super) fn untouchable(
    node: &ComparedNode<'_>,
    modules: &[Module],
) -> Result<Vec<(Module, SkipReason)>> {
    let sticky = queries::sticky(node.session, node.facts, modules)?;
    let why = |module: &Module| {
        let sticky = sticky.contains(module).then_some(SkipReason::Sticky);
        known_untouchable(node.facts, module).or(sticky)
    };
    let modules = modules.iter();
    let untouchable = modules.filter_map(|module| Some((module.clone(), why(module)?)));
    Ok(untouchable.collect())
}

/// Why a loaded module must not be touched, as far as it is known without asking.
pub(super) fn known_untouchable(facts: &NodeFacts, module: &Module) -> Option<SkipReason> {
    match facts.loaded.get(module).map(|loaded| &loaded.origin) {
        Some(CodeOrigin::Preloaded) => Some(SkipReason::Preloaded),
        Some(CodeOrigin::Cover) => Some(SkipReason::Cover),
        Some(CodeOrigin::Memory) => Some(SkipReason::NoFile),
        _ if facts.core().any(|core| core == module) => Some(SkipReason::Core),
        _ => None,
    }
}

/// The modules that take part.
#[derive(Debug, Default)]
pub(super) struct TakingPart {
    /// With their versions; processes are not known yet.
    pub(super) modules: BTreeMap<Module, Changed>,
    /// Modules that would not differ if the node loaded them by itself: they do not take part.
    pub(super) on_demand: BTreeSet<Module>,
}

/// New beams with their running versions; `pushed`: they come from this machine, the node's files are not the new version.
pub(super) fn taking_part(
    node: &mut ComparedNode<'_>,
    new: &NewFolders,
    beams: BTreeMap<Module, Beam>,
    pushed: bool,
    old: OldBeamSources<'_>,
) -> Result<TakingPart> {
    let names: Vec<Module> = beams.keys().cloned().collect();
    // A file that was just read is the new version.
    let new_files = match pushed {
        true => BTreeSet::new(),
        false => beams.values().map(|beam| beam.file.as_str()).collect(),
    };
    let mut copies = old_copies(node, &names, &new_files, old)?;
    let mut loaded = queries::loaded_versions(node.session, node.facts, &names, &exports(&copies))?;
    let mut former = unloaded::versions(node, &beams, pushed, old.patterns)?;
    let wanted: BTreeSet<Module> = names.into_iter().collect();
    let part = beams.into_iter();
    let part: Vec<(Module, Beam, Option<Beam>)> = part
        .filter(|(module, _)| !former.on_demand.contains(module))
        .map(|(module, beam)| {
            let old = copies.remove(&module);
            (module, beam, old)
        })
        .collect();
    let facts = node.facts;
    let read = computed(&part, |(_, new, old)| {
        // What is a process may be converted: what that does is asked in many places.
        if !new.facts.behaviours.is_empty() {
            new.bodies();
        }
        let old = old.as_ref().map(|old| read_with_code(facts, old, &wanted));
        (read_with_code(facts, new, &wanted), old)
    });
    let mut modules = BTreeMap::new();
    for ((module, mut beam, mut old), (new_facts, old_facts)) in part.into_iter().zip(read) {
        beam.facts = new_facts?;
        let app = app_of(node.facts, new, &module, &beam.file);
        if let (Some(old), Some(facts)) = (&mut old, old_facts) {
            old.facts = facts?;
        }
        let changed = Changed {
            loaded: loaded.remove(&module),
            old,
            unloaded: former.versions.remove(&module),
            new: Some(beam),
            app,
            processes: 0,
            module_processes: ModuleProcesses::default(),
        };
        modules.insert(module, changed);
    }
    Ok(TakingPart {
        modules,
        on_demand: former.on_demand,
    })
}

/// Modules that go, without a new version; those that are not loaded are left out.
pub(super) fn going(
    node: &mut ComparedNode<'_>,
    new: &NewFolders,
    names: &[Module],
    old: OldBeamSources<'_>,
) -> Result<BTreeMap<Module, Changed>> {
    let mut copies = old_copies(node, names, &BTreeSet::new(), old)?;
    let loaded = queries::loaded_versions(node.session, node.facts, names, &exports(&copies))?;
    let wanted: BTreeSet<Module> = names.iter().cloned().collect();
    for copy in copies.values_mut() {
        copy.facts = read_with_code(node.facts, copy, &wanted)?;
    }
    let going = loaded.into_iter().map(|(module, running)| {
        let changed = Changed {
            app: app_of(node.facts, new, &module, &running.file),
            loaded: Some(running),
            old: copies.remove(&module),
            unloaded: None,
            new: None,
            processes: 0,
            module_processes: ModuleProcesses::default(),
        };
        (module, changed)
    });
    Ok(going.collect())
}

/// The application of a module: the one that lists it, or the one whose modules its folder holds.
fn app_of(facts: &NodeFacts, new: &NewFolders, module: &Module, file: &str) -> Option<App> {
    let listed = facts.app_of(module).cloned();
    let folder = folder_of(file);
    let mut apps = facts.apps.keys();
    listed.or_else(|| {
        apps.find(|app| folder.is_some() && new.of_app(facts, app) == folder)
            .cloned()
    })
}

/// Copies of the running versions, each proven by MD5: the node's own file unless that is one of the `new_files`, `old
/// from`, the store.
fn old_copies(
    node: &mut ComparedNode<'_>,
    modules: &[Module],
    new_files: &BTreeSet<&str>,
    old: OldBeamSources<'_>,
) -> Result<BTreeMap<Module, Beam>> {
    let loaded = &node.facts.loaded;
    let running = modules.iter();
    let running = running.filter_map(|module| Some((loaded.get(module)?.md5, module)));
    let mut wanted: BTreeMap<Md5, &Module> = running.collect();
    let file = |module: &Module| match loaded.get(module).map(|loaded| &loaded.origin) {
        Some(CodeOrigin::File(file)) => file.clone(),
        _ => String::new(),
    };
    let mut copies = BTreeMap::new();
    let otp = node.facts.otp;
    let mut put = |wanted: &mut BTreeMap<Md5, &Module>, bytes: Vec<u8>, facts: BeamFacts| {
        let facts = facts.on(otp);
        if wanted
            .get(&facts.md5)
            .is_some_and(|module| **module == facts.module)
            && let Some(module) = wanted.remove(&facts.md5)
        {
            copies.insert(module.clone(), Beam::new(bytes, file(module), facts));
        }
    };
    let running: Vec<Md5> = wanted.keys().copied().collect();
    let stored = computed(&running, |md5| {
        let bytes = old.store.get(md5)?;
        let facts = BeamFacts::read(&bytes).ok()?;
        Some((bytes, facts))
    });
    for (bytes, facts) in stored.into_iter().flatten() {
        put(&mut wanted, bytes, facts);
    }
    let mut take = |wanted: &mut BTreeMap<Md5, &Module>, bytes: Vec<u8>| {
        if let Ok(facts) = BeamFacts::read(&bytes) {
            put(wanted, bytes, facts);
        }
    };
    for (patterns, base) in old.patterns {
        if !wanted.is_empty() {
            for file in local(patterns, base, otp)? {
                take(&mut wanted, file.bytes);
            }
        }
    }
    let paths: Vec<String> = wanted
        .values()
        .map(|module| file(module))
        .filter(|file| !file.is_empty() && !new_files.contains(file.as_str()))
        .collect();
    for bytes in node.disk.read(&paths)?.into_iter().flatten() {
        take(&mut wanted, bytes);
    }
    Ok(copies)
}

/// What the copies of running versions export: the MD5 that proves a copy covers its exports.
fn exports(copies: &BTreeMap<Module, Beam>) -> BTreeMap<&Module, &BTreeSet<FunctionArity>> {
    let copies = copies.iter();
    copies
        .map(|(module, copy)| (module, &copy.facts.exports))
        .collect()
}

/// The facts of a beam with its code, in which the names of changed modules are looked for.
fn read_with_code(facts: &NodeFacts, beam: &Beam, wanted: &BTreeSet<Module>) -> Result<BeamFacts> {
    BeamFacts::read_whole(&beam.bytes, wanted)
        .map(|beam| beam.on(facts.otp))
        .map_err(|why| unusable(&beam.file, &why.to_string()))
}
