//! Makes the change set: the running code against the new beams.
//!
//! Everything is compared by MD5. A file that is no beam stops the comparison (it is never "unchanged"),
//! and a module that must not be touched is named, not skipped. Each question is a function of its own, from what is known
//! to a value; [`compare_on`] asks them in order, and here alone the change set is put together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::callers::callers;
use super::compared_node::ComparedNode;
use super::consolidation;
use super::library_versions::{self, Libraries, NewFolders};
use super::missing::missing;
use super::module_processes::{ProcessFindings, processes};
use super::module_versions::{self, OldBeamSources, TakingPart, taking_part};
use super::new_beams::NewBeams;
use super::{old_code, on_disk, push};
use crate::diag::{Result, Span};
use crate::facts::change::{Caller, ChangeSet, Notice, RemovalCause, RemovedModule, SkipReason};
use crate::facts::node::node_facts::NodeFacts;
use crate::facts::node::node_files::Disk;
use crate::facts::node::queries;
use crate::name::Module;
use crate::node::Session;
use crate::state::beams::Store;
use crate::state::file_cache::Seen;

/// Where new code comes from.
#[derive(Clone, Copy, Debug)]
pub enum NewCode<'a> {
    /// The node's own files.
    OnDisk,
    /// The same, with the new version of some applications in other folders.
    Elsewhere(&'a Libraries),
    /// Local beams: patterns with their places, relative to a folder.
    Push(&'a [(String, Span)], &'a Path),
}

/// Which loaded modules are to be removed, asked when it is known what differs.
pub type RemovalSelector<'a> = &'a dyn Fn(&ChangeSet) -> BTreeSet<Module>;

/// Compares a node with new code. What is learned of the node's files goes into `seen`.
///
/// # Errors
/// E213 when a pattern matches nothing, E214 for a file that is no usable beam, and what
/// [`node_facts`](crate::facts::node::node_facts) gives.
pub fn compare<'a>(
    session: &'a Session,
    facts: &'a NodeFacts,
    new: NewCode<'_>,
    old: OldBeamSources<'a>,
    going: RemovalSelector<'_>,
    seen: &'a mut Seen,
) -> Result<ChangeSet> {
    let disk = Disk::new(session, facts.otp, seen);
    compare_on(disk, session, facts, new, old, going)
}

/// The same with a disk of the caller's choice: to measure what a far node costs.
///
/// # Errors
/// As [`compare`].
pub fn compare_on<'a>(
    mut disk: Disk<'a>,
    session: &'a Session,
    facts: &'a NodeFacts,
    new: NewCode<'_>,
    old: OldBeamSources<'a>,
    going: RemovalSelector<'_>,
) -> Result<ChangeSet> {
    disk.keep(old.store, facts.otp_versions());
    let mut node = ComparedNode {
        session,
        facts,
        disk,
    };
    let (folders, mut found) = new_beams(&mut node, new)?;
    let mut beams = std::mem::take(&mut found.beams);
    let names: Vec<Module> = beams.keys().cloned().collect();
    let left_alone = module_versions::untouchable(&node, &names)?;
    beams.retain(|module, _| !left_alone.iter().any(|(known, _)| known == module));
    let pushed = matches!(new, NewCode::Push(..));
    let part = taking_part(&mut node, &folders, beams, pushed, old)?;
    let processes_found = processes(session, facts, &part.modules)?;
    let mut set = put_together(facts, &folders, found, left_alone, part);
    put_processes(&mut set, processes_found);
    let going = going(&set);
    if !going.is_empty() {
        remove(&mut node, &folders, &mut set, going, old)?;
        let processes_found = processes(session, facts, &set.modules)?;
        put_processes(&mut set, processes_found);
    }
    let unseen = consolidation::unseen(&node, &set.modules)?;
    let mut callers = callers(&mut node, &set.modules, &set.gone)?;
    for gone in &mut set.gone {
        gone.callers = callers.remove(&gone.module).unwrap_or_default();
    }
    set.notices.extend(unseen);
    set.notices.extend(lost_functions(callers));
    set.notices.extend(missing(&node, &set.modules)?);
    set.old_code = old_code::inspect(session, &set.modules)?;
    // What cannot be remembered is looked at again the next time.
    let _ = node.disk.seen.save();
    Ok(set)
}

/// The beams that differ, and the folders that the new version is in.
fn new_beams(node: &mut ComparedNode<'_>, new: NewCode<'_>) -> Result<(NewFolders, NewBeams)> {
    let moves = match new {
        NewCode::Push(patterns, base) => {
            let found = push::pushed(node, patterns, base)?;
            return Ok((NewFolders::default(), found));
        }
        NewCode::OnDisk => Vec::new(),
        NewCode::Elsewhere(libraries) => library_versions::moves(node, libraries)?,
    };
    let folders = NewFolders::new(node.facts, moves);
    let found = on_disk::on_disk(node, &folders)?;
    Ok((folders, found))
}

/// The change set as far as it is known without processes and callers.
fn put_together(
    facts: &NodeFacts,
    folders: &NewFolders,
    found: NewBeams,
    left_alone: Vec<(Module, SkipReason)>,
    part: TakingPart,
) -> ChangeSet {
    let mut untouched = found.untouched;
    untouched.extend(left_alone);
    let mut notices = found.notices;
    if !part.on_demand.is_empty() {
        let modules = part.on_demand.into_iter().collect();
        notices.push(Notice::OnDemand { app: None, modules });
    }
    let apps = facts.apps.iter();
    let not_started = facts.apps.iter().filter(|(_, app)| !app.is_started);
    ChangeSet {
        modules: part.modules,
        untouched,
        gone: found.gone,
        compared: found.compared,
        same: found.same,
        app_vsn: apps.map(|(a, r)| (a.clone(), r.vsn.clone())).collect(),
        not_started: not_started.map(|(app, _)| app.clone()).collect(),
        notices,
        moves: folders.moves.clone(),
        specs: found.specs,
        called: found.called,
        compile_env: found.compile_env,
        release: found.release,
        ..ChangeSet::default()
    }
}

/// The processes of the modules, in place of what was found before.
fn put_processes(set: &mut ChangeSet, mut found: ProcessFindings) {
    set.natures = found.natures;
    for (module, changed) in &mut set.modules {
        changed.module_processes = found.processes.remove(module).unwrap_or_default();
        changed.processes = changed.module_processes.count();
    }
    set.notices.retain(|notice| {
        !matches!(
            notice,
            Notice::Unresponsive { .. } | Notice::SuspendedBefore { .. } | Notice::Traced { .. }
        )
    });
    set.notices.extend(found.notices);
}

/// Lets modules go: they take part without a new version.
fn remove(
    node: &mut ComparedNode<'_>,
    folders: &NewFolders,
    set: &mut ChangeSet,
    going: BTreeSet<Module>,
    old: OldBeamSources<'_>,
) -> Result<()> {
    let mut names: Vec<Module> = Vec::new();
    for module in going {
        match module_versions::known_untouchable(node.facts, &module) {
            None => names.push(module),
            Some(_) if set.untouched.iter().any(|(known, _)| *known == module) => {}
            Some(why) => set.untouched.push((module, why)),
        }
    }
    for sticky in queries::sticky(node.session, node.facts, &names)? {
        names.retain(|module| *module != sticky);
        set.untouched.push((sticky, SkipReason::Sticky));
    }
    let mut removed = module_versions::going(node, folders, &names, old)?;
    for module in names {
        let Some(changed) = removed.remove(&module) else {
            set.modules.remove(&module); // was to be loaded for the first time
            continue;
        };
        let listed = set.gone.iter().any(|gone| gone.module == module);
        if !listed {
            set.gone.push(RemovedModule {
                module: module.clone(),
                how: RemovalCause::Plan,
                callers: Vec::new(),
            });
        }
        set.modules.insert(module, changed);
    }
    Ok(())
}

/// Functions that modules lost and that modules which do not take part still call.
fn lost_functions(callers: BTreeMap<Module, Vec<Caller>>) -> Vec<Notice> {
    let lost = callers.into_iter().filter_map(|(module, callers)| {
        let callers: Vec<Caller> = callers.into_iter().filter(|c| !c.changed).collect();
        (!callers.is_empty()).then_some(Notice::LostFunctions { module, callers })
    });
    lost.collect()
}

/// Keeps copies of every version that a change set knows, the running and the new ones, and forgets what was not wanted
/// for long.
///
/// # Errors
/// When the store cannot be written.
pub fn keep(store: &Store, set: &ChangeSet) -> std::io::Result<()> {
    let versions = set.modules.values();
    let versions = versions.flat_map(|changed| [&changed.old, &changed.new].into_iter().flatten());
    let written = store.put_all(versions.map(|beam| (beam.facts.md5, &beam.bytes[..])))?;
    // Without a new copy there are no more than before.
    if written > 0 {
        store.forget();
    }
    Ok(())
}
