//! What a restart would neither find nor start: modules in folders off the code path, and applications that no boot file
//! starts.

use std::collections::BTreeSet;

use crate::diag::{Code, Diagnostic};
use crate::facts::app::boot_file::{BootFile, plain};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::NodeFacts;
use crate::name::{App, Module};
use crate::node::Session;

/// How many applications a diagnostic names.
const NAMED: usize = 8;

/// Those of some new modules, each with its file, in folders that a node which loads code on demand does not look into.
pub(super) fn off_path<'m>(
    facts: &NodeFacts,
    new: impl Iterator<Item = (&'m Module, &'m str)>,
) -> Vec<&'m Module> {
    let path = facts.path.iter().map(|folder| plain(folder));
    let files = facts
        .loaded
        .keys()
        .filter_map(|module| facts.file_of(module));
    let known: BTreeSet<String> = path.chain(files.filter_map(folder_of).map(plain)).collect();
    let new = new.filter(|(_, file)| {
        let folder = folder_of(file).map(plain);
        folder.is_some_and(|folder| !known.contains(&folder))
    });
    new.map(|(module, _)| module).collect()
}

/// E640 for applications that the run starts and no restart does. Of a node that loads code on demand it is not known what
/// starts its applications: its command line may. `own`: the boot files that it was started with, with their bytes.
pub(super) fn unstarted(
    session: &Session,
    facts: &NodeFacts,
    own: &[(&str, &[u8])],
    starts: &[App],
) -> Option<Diagnostic> {
    let read = own
        .iter()
        .filter_map(|(_, bytes)| BootFile::read(bytes).ok());
    let read: Vec<BootFile> = read.collect();
    // One that runs is only started again.
    let new = starts
        .iter()
        .filter(|app| !facts.apps.get(*app).is_some_and(|app| app.is_started));
    let mut missing = new.filter(|app| !read.iter().any(|boot| boot.starts(app)));
    let first = missing.next().filter(|_| facts.embedded)?;
    let boot = own.first().map_or("its boot file", |(file, _)| *file);
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
