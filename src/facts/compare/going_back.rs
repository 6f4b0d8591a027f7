//! What going back to earlier versions means for a node as it runs: which processes take part, and who calls what goes.
//!
//! The same questions as for an upgrade, asked of the beams that a record has kept.

use std::collections::{BTreeMap, BTreeSet};

use super::callers::callers;
use super::compared_node::ComparedNode;
use super::library_versions::NewFolders;
use super::local_beams::unusable;
use super::module_processes::processes;
use super::module_versions::{self, OldBeamSources, taking_part};
use crate::diag::Result;
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, Caller, RemovalCause, RemovedModule};
use crate::facts::node::node_facts::NodeFacts;
use crate::facts::node::node_files::Disk;
use crate::name::Module;
use crate::node::Session;
use crate::state::file_cache::Seen;

/// What was found.
#[derive(Debug, Default)]
pub struct GoingBack {
    /// How many processes run each module; without those that none runs.
    pub processes: BTreeMap<Module, usize>,
    /// The callers of modules that go, and of functions that the earlier version of a module does not have.
    pub callers: BTreeMap<Module, Vec<Caller>>,
    /// The modules that go.
    pub gone: BTreeSet<Module>,
}

/// Looks at a node before it goes back: `earlier` are the modules that take part with the beams that come back, `None` for
/// those that were not loaded then.
///
/// # Errors
/// E214 for a beam that cannot be used, E508 when the node does not answer.
pub fn going_back(
    session: &Session,
    facts: &NodeFacts,
    old: OldBeamSources<'_>,
    earlier: &[(Module, Option<&[u8]>)],
) -> Result<GoingBack> {
    let mut nothing = Seen::nothing();
    let mut node = ComparedNode {
        session,
        facts,
        disk: Disk::new(session, facts.otp, &mut nothing),
    };
    let mut beams = BTreeMap::new();
    let mut gone = Vec::new();
    for (module, bytes) in earlier {
        let Some(bytes) = bytes else {
            gone.push(module.clone());
            continue;
        };
        let file = facts.file_of(module).unwrap_or_default().to_owned();
        let read = BeamFacts::read(bytes).map_err(|why| unusable(&file, &why.to_string()))?;
        beams.insert(module.clone(), Beam::new(*bytes, file, read.on(facts.otp)));
    }
    let folders = NewFolders::default();
    let mut modules = taking_part(&mut node, &folders, beams, true, old)?.modules;
    let going = module_versions::going(&mut node, &folders, &gone, old)?;
    let gone: BTreeSet<Module> = going.keys().cloned().collect();
    modules.extend(going);
    let found = processes(session, facts, &modules)?.processes;
    let removed = |module: &Module| RemovedModule {
        module: module.clone(),
        how: RemovalCause::Plan,
        callers: Vec::new(),
    };
    let removed: Vec<RemovedModule> = gone.iter().map(removed).collect();
    let callers = callers(&mut node, &modules, &removed)?;
    let found = found.into_iter();
    Ok(GoingBack {
        processes: found.map(|(module, of)| (module, of.count())).collect(),
        callers,
        gone,
    })
}
