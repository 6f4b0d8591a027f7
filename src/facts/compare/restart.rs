//! What a restart of a node would load: the lists of modules in its boot files and application files, and what becomes of
//! them when modules are written to its disk or deleted there.
//!
//! Takes the files that a restart reads ([`restart_files`](crate::facts::node::restart_files)), and those of modules that
//! will be there and that will be gone; gives the files with lists in them, before and after, and what a restart would
//! lack all the same (E640). Reads only.
//!
//! In embedded mode a node loads at its start what its boot file lists (`primLoad`), and nothing later: a new module
//! that is not listed does not exist after a restart, and a node whose boot file lists a module without a file does not
//! start at all. There is more than one boot file beside each other (`start.boot`, `start_clean.boot`), and all that
//! load from the folders in question are kept right.

use std::collections::BTreeSet;

use super::restart_lists::Lists;
pub use super::restart_lists::{Listing, ModuleFile, Recorded, Rewrite, Wanted};
use super::unstarted::{off_path, unstarted};
use crate::diag::{Diagnostic, Result};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::NodeFacts;
use crate::facts::node::restart_files::{self, RestartFiles};
use crate::facts::node::stages::StageFolders;
use crate::name::{App, Module};
use crate::node::Session;
use crate::term::Term;

/// What a restart would load.
#[derive(Clone, Debug, Default)]
pub struct Restart {
    /// The files with lists: boot files and their texts, application files.
    pub rewrites: Vec<Rewrite>,
    /// Why it would lack modules.
    pub refused: Option<Diagnostic>,
    /// What interrupted runs have left, which the next run with `persist` puts in order first.
    pub stages: StageFolders,
    /// New modules that the boot file of the node does not list as it is.
    pub unlisted: Vec<Module>,
    /// The boot file that the node was started with, if it was said.
    pub started: Option<String>,
}

/// Reads the files of a node that a restart reads, as they will be when what interrupted runs have left is put in order:
/// those in the folders of some modules, of their applications and of applications whose environments change.
///
/// # Errors
/// E5xx when the node does not answer.
pub fn files(
    session: &Session,
    facts: &NodeFacts,
    modules: &[ModuleFile],
    env: &[(App, Term)],
) -> Result<RestartFiles> {
    let mut folders: BTreeSet<&str> = modules.iter().filter_map(|m| folder_of(&m.file)).collect();
    let apps: BTreeSet<&App> = modules.iter().filter_map(|m| m.app.as_ref()).collect();
    let apps = apps.into_iter().chain(env.iter().map(|(app, _)| app));
    folders.extend(apps.filter_map(|app| facts.folder_of_app(app)));
    restart_files::read(session, &folders)
}

/// What a restart of a node would load, by these files.
///
/// # Errors
/// E5xx when the node does not answer.
pub fn restart(
    session: &Session,
    facts: &NodeFacts,
    found: RestartFiles,
    wanted: &Wanted<'_>,
) -> Result<Restart> {
    let modules = &wanted.modules;
    let mut lists = Lists::new(facts, wanted, &found);
    // While boot files are renamed a restart reads the one that the node was started with: it is the first.
    let is_own = |(file, _): &&(String, Vec<u8>)| found.started.contains(file);
    let (own, others): (Vec<_>, Vec<_>) = found.boots.iter().partition(is_own);
    for (file, bytes) in own.iter().chain(&others) {
        lists.boot_file(file, bytes);
    }
    lists.specifications();
    lists.restore(wanted.recorded);
    let new = modules.iter().filter(|m| m.listing == Listing::New);
    let unlisted = new.filter(|m| !lists.loaded.contains(&m.module));
    let unlisted = unlisted.map(|m| m.module.clone()).collect();
    if !facts.embedded {
        // A node that loads code on demand needs no list, but a folder in its code path.
        lists.unlisted.clear();
        let new = modules.iter().filter(|m| m.listing == Listing::New);
        let new = new.map(|m| (&m.module, m.file.as_str()));
        lists.unlisted.extend(off_path(facts, new));
    }
    let lacking = !lists.unlisted.is_empty();
    let refused = (lacking || !lists.problems.is_empty()).then(|| lists.refusal(session));
    let own: Vec<(&str, &[u8])> = own
        .iter()
        .map(|(file, bytes)| (file.as_str(), &bytes[..]))
        .collect();
    let refused = refused.or_else(|| unstarted(session, facts, &own, &wanted.starts));
    Ok(Restart {
        refused,
        unlisted,
        started: found.started.first().cloned(),
        rewrites: lists.rewrites,
        stages: found.stages,
    })
}
