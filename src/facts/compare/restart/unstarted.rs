//! What a restart would neither find nor start: modules in folders off the code path, and applications that no boot file
//! starts.

use std::collections::BTreeSet;

use super::{Found, Listing, ModuleFile, NAMED};
use crate::diag::{Code, Diagnostic};
use crate::facts::app::boot_file::{BootFile, plain};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::NodeFacts;
use crate::name::{App, Module};
use crate::node::Session;

/// New modules in folders that a node which loads code on demand does not look into.
pub(super) fn off_path<'m>(facts: &NodeFacts, modules: &'m [ModuleFile]) -> Vec<&'m Module> {
    let path = facts.path.iter().map(|folder| plain(folder));
    let files = facts
        .loaded
        .keys()
        .filter_map(|module| facts.file_of(module));
    let known: BTreeSet<String> = path.chain(files.filter_map(folder_of).map(plain)).collect();
    let new = modules.iter().filter(|this| {
        let folder = folder_of(&this.file).map(plain);
        this.listing == Listing::New && folder.is_some_and(|folder| !known.contains(&folder))
    });
    new.map(|this| &this.module).collect()
}

/// E640 for applications that the run starts and no restart does. Of a node that loads code on demand it is not known what
/// starts its applications: its command line may.
pub(super) fn unstarted(
    session: &Session,
    facts: &NodeFacts,
    found: &Found,
    starts: &[App],
) -> Option<Diagnostic> {
    let own = found
        .boots
        .iter()
        .filter(|(file, _)| found.started.contains(file));
    let read: Vec<BootFile> = own
        .filter_map(|(_, bytes)| BootFile::read(bytes).ok())
        .collect();
    // One that runs is only started again.
    let new = starts
        .iter()
        .filter(|app| !facts.apps.get(*app).is_some_and(|app| app.is_started));
    let mut missing = new.filter(|app| !read.iter().any(|boot| boot.starts(app)));
    let first = missing.next().filter(|_| facts.embedded)?;
    let boot = found
        .started
        .first()
        .map_or("its boot file", String::as_str);
    let title = format!(
        "after a restart {} would not start `{first}`",
        session.node()
    );
    let diagnostic = missing
        .take(NAMED)
        .fold(Diagnostic::new(Code::E640, title), |diagnostic, app| {
            diagnostic.note(format!("nor `{app}`"))
        });
    let help = "build a release that has it and restart the node with it; without `persist` the run starts it, and nothing is written";
    Some(
        diagnostic
            .note(format!(
                "{boot} does not start it, and a run changes only what a boot file loads"
            ))
            .note("nothing was changed")
            .help(help),
    )
}
