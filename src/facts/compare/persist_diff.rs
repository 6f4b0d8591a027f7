//! `persist`: what the disk of a node lacks although the node runs it already, and what a crash has left in its folders.
//!
//! Takes the pushed beams; of those that run as they are, the file on the node is compared by MD5. Folders are listed for
//! names that `persist` gives its own; lists of modules that a restart reads are in [`restart`](super::restart). Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::local_beams::{local, small_file};
use super::restart::{Listing, ModuleFile, Restart, Wanted, restart};
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::facts::app::app_specs::Spec;
use crate::facts::change::{Beam, ChangeSet};
use crate::facts::node::folders::{folder_of, is_stage};
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::facts::node::node_files::{Disk, OnDisk};
use crate::name::{App, Module};
use crate::node::Session;
use crate::state::file_cache::Seen;
use crate::term::Term;

/// How many files a diagnostic names.
const NAMED: usize = 8;

/// What is left to be written.
#[derive(Clone, Debug, Default)]
pub struct UnpersistedFiles {
    /// Modules that run as pushed, and have another file or none.
    pub modules: Vec<(Module, Beam)>,
    /// A module of each folder in which something was left, if it is none of those.
    pub beside: Vec<(Module, Beam)>,
    /// What a crash has left.
    pub left: Vec<String>,
    /// Files with lists that lack modules which run, where there is nothing else to do.
    pub lists: Vec<String>,
    /// The files with lists of modules, which are written with the beams.
    pub restart: Restart,
}

impl UnpersistedFiles {
    /// Whether the disk is as it should be.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.left.is_empty() && self.lists.is_empty()
    }

    /// W344 for both.
    pub fn diagnostics(&self, session: &Session) -> Vec<Diagnostic> {
        let node = session.node();
        let mut diagnostics = Vec::new();
        let name = |diagnostic: Diagnostic, names: Vec<String>| {
            let more = names.len().saturating_sub(NAMED);
            let diagnostic = names
                .into_iter()
                .take(NAMED)
                .fold(diagnostic, Diagnostic::note);
            if more == 0 {
                diagnostic
            } else {
                diagnostic.note(format!("and {more} more"))
            }
        };
        if !self.left.is_empty() {
            let title =
                format!("an earlier run was interrupted while it wrote to the disk of {node}");
            let diagnostic = name(Diagnostic::new(Code::W344, title), self.left.clone());
            diagnostics.push(
                diagnostic
                    .help("each file there is old or new; `updo run` with this plan finishes it"),
            );
        }
        if !self.modules.is_empty() {
            let title =
                format!("{node} runs new code that is not on its disk: a restart would lose it");
            let files = self.modules.iter().map(|(_, beam)| beam.file.clone());
            let diagnostic = name(Diagnostic::new(Code::W344, title), files.collect());
            diagnostics.push(diagnostic.help("`updo run` with this plan writes them"));
        }
        if !self.lists.is_empty() {
            let title = format!(
                "{node} runs new modules that its files do not list: a restart would lack them"
            );
            let diagnostic = name(Diagnostic::new(Code::W344, title), self.lists.clone());
            diagnostics.push(diagnostic.help("`updo run` with this plan writes them"));
        }
        diagnostics.extend(self.restart.refused.clone());
        diagnostics
    }
}

/// Looks at the disk of a node, for an upgrade of some modules and, if so, of the environments of their applications, that
/// starts applications.
///
/// # Errors
/// E214 when a pushed beam cannot be used, E5xx when the node does not answer.
pub fn unwritten(
    session: &Session,
    facts: &NodeFacts,
    (changes, part, env): (&ChangeSet, &BTreeSet<Module>, bool),
    starts: Vec<App>,
    patterns: &[(String, Span)],
    base: &Path,
    seen: &mut Seen,
) -> Result<UnpersistedFiles> {
    let mut disk = Disk::new(session, facts.otp, seen);
    let mut same = BTreeMap::new();
    for file in local(patterns, base, facts.otp)? {
        let Some(loaded) = facts.loaded.get(&file.facts.module) else {
            continue;
        };
        if let (CodeOrigin::File(there), true) = (&loaded.origin, loaded.md5 == file.facts.md5) {
            let beam = Beam::new(file.bytes, there.clone(), file.facts);
            same.insert(beam.facts.module.clone(), beam);
        }
    }
    let files: Vec<String> = same.values().map(|beam| beam.file.clone()).collect();
    let found = disk.beams(&files)?;
    let wanted = Wanted {
        modules: to_list(facts, changes, part, &same),
        env: if env { configured(changes) } else { Vec::new() },
        starts,
        recorded: &[],
    };
    let restart = restart(session, facts, &wanted)?;
    let going = changes.modules.values().filter_map(|c| c.new.as_ref());
    let folders: BTreeSet<String> = going
        .map(|beam| beam.file.as_str())
        .chain(files.iter().map(String::as_str))
        .filter_map(folder_of)
        .map(str::to_owned)
        .collect();
    let folders: Vec<String> = folders.into_iter().collect();
    let mut unwritten = UnpersistedFiles::default();
    let mut dirty = BTreeSet::new();
    for (folder, names) in folders.iter().zip(disk.list(&folders)?) {
        let left = names.into_iter().filter(|name| is_stage(name));
        let before = unwritten.left.len();
        unwritten
            .left
            .extend(left.map(|name| format!("{folder}/{name}")));
        if unwritten.left.len() > before {
            dirty.insert(folder.clone());
        }
    }
    for ((module, beam), found) in same.into_iter().zip(found) {
        let right = matches!(&found, OnDisk::Beam(known) if known.md5 == beam.facts.md5);
        let folder = folder_of(&beam.file).unwrap_or_default().to_owned();
        if !right {
            dirty.remove(&folder);
            unwritten.modules.push((module, beam));
        } else if dirty.remove(&folder) {
            unwritten.beside.push((module, beam));
        }
    }
    // They only say which folders to tidy up: the same code in other bytes stays what it is.
    let files: Vec<String> = unwritten
        .beside
        .iter()
        .map(|(_, beam)| beam.file.clone())
        .collect();
    for ((_, beam), there) in unwritten.beside.iter_mut().zip(disk.read(&files)?) {
        beam.bytes = there.map_or_else(|| beam.bytes.clone(), Into::into);
    }
    let listed = |folder: &String| unwritten.left.contains(folder);
    let left: Vec<String> = restart
        .left
        .iter()
        .filter(|f| !listed(f))
        .cloned()
        .collect();
    unwritten.left.extend(left);
    if part.is_empty() && wanted.env.is_empty() {
        let behind = restart.rewrites.iter().filter(|file| file.changes());
        unwritten.lists = behind.map(|file| file.file.clone()).collect();
    }
    unwritten.restart = restart;
    Ok(unwritten)
}

/// W642: new modules on the disk of a node in embedded mode that its boot file does not list: this upgrade loads them, and
/// no restart does.
///
/// # Errors
/// E5xx when the node does not answer.
pub fn unlisted(
    session: &Session,
    facts: &NodeFacts,
    changes: &ChangeSet,
    part: &BTreeSet<Module>,
) -> Result<Option<Diagnostic>> {
    let is_new = |file: &ModuleFile| file.listing == Listing::New;
    let files = to_list(facts, changes, part, &BTreeMap::new());
    let wanted = Wanted {
        modules: files.into_iter().filter(is_new).collect(),
        ..Wanted::default()
    };
    if !facts.embedded || wanted.modules.is_empty() {
        return Ok(None);
    }
    let found = restart(session, facts, &wanted)?;
    if found.unlisted.is_empty() {
        return Ok(None);
    }
    let title = format!("after a restart {} would lack new modules", session.node());
    let mut diagnostic = Diagnostic::new(Code::W642, title);
    for module in found.unlisted.iter().take(NAMED) {
        diagnostic = diagnostic.note(format!("`{module}`"));
    }
    if found.unlisted.len() > NAMED {
        diagnostic = diagnostic.note(format!("and {} more", found.unlisted.len() - NAMED));
    }
    let boot = found.started.as_deref().unwrap_or("its boot file");
    Ok(Some(
        diagnostic
            .note(format!("in embedded mode a node loads what its boot file lists: {boot}"))
            .help("install the boot file of a release that has them, or push the beams: `code push […] #{persist => true}` writes the lists, too"),
    ))
}

/// The environments of applications whose new specifications change them.
fn configured(changes: &ChangeSet) -> Vec<(App, Term)> {
    let changed = changes.specs.iter().filter(|spec| !spec.env.is_empty());
    let read = changed.filter_map(|change| {
        let spec = Spec::read(&small_file(Path::new(&change.file))?).ok()?;
        let env = spec.env_term.unwrap_or_else(|| Term::list([]));
        Some((change.app.clone(), env))
    });
    read.collect()
}

/// The modules whose files will be there, or gone, and what lists have to say of them.
fn to_list(
    facts: &NodeFacts,
    changes: &ChangeSet,
    part: &BTreeSet<Module>,
    same: &BTreeMap<Module, Beam>,
) -> Vec<ModuleFile> {
    let specified: BTreeMap<&Module, &App> = changes
        .specs
        .iter()
        .flat_map(|spec| spec.added.iter().map(|module| (module, &spec.app)))
        .collect();
    let one = |module: &Module, file: &str, listing: Listing| ModuleFile {
        module: module.clone(),
        file: file.to_owned(),
        app: specified
            .get(module)
            .copied()
            .or_else(|| facts.app_of(module))
            .cloned(),
        listing: match listing {
            Listing::Kept if specified.contains_key(module) => Listing::Specified,
            listing => listing,
        },
    };
    let running = same
        .iter()
        .map(|(module, beam)| one(module, &beam.file, Listing::Kept));
    let changed = part.iter().filter_map(|module| {
        let changed = changes.modules.get(module)?;
        let there = facts.file_of(module);
        Some(match (&changed.new, &changed.loaded) {
            (Some(beam), None) => one(module, there.unwrap_or(&beam.file), Listing::New),
            (Some(beam), Some(_)) => one(module, there.unwrap_or(&beam.file), Listing::Kept),
            (None, _) => one(module, there?, Listing::Gone),
        })
    });
    running.chain(changed).collect()
}
