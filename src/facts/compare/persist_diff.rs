//! `persist`: what the disk of a node lacks although the node runs it already, and what interrupted runs have left there.
//!
//! Takes the pushed beams; of those that run as they are, the file on the node is compared by MD5, as it will be when what
//! is left is put in order ([`stages`](crate::facts::node::stages)): that is what the run does first. Lists of modules that
//! a restart reads are in [`restart`](super::restart). Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::local_beams::{local, small_file};
use super::restart::{Listing, ModuleFile, Restart, Wanted, files, restart};
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::facts::app::app_specs::Spec;
use crate::facts::app::boot_file::BootFile;
use crate::facts::change::{Beam, ChangeSet};
use crate::facts::local::files::BeamFile;
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::facts::node::node_files::{Disk, OnDisk};
use crate::facts::node::restart_files::RestartFiles;
use crate::facts::node::stages::{Fate, StageFolders};
use crate::name::{App, Md5, Module};
use crate::node::Session;
use crate::term::Term;

/// How many files a diagnostic names.
const NAMED: usize = 8;

/// A file to be written, or deleted, of a module that nothing else is done with.
#[derive(Clone, Debug)]
pub struct ModuleToWrite {
    /// The module.
    pub module: Module,
    /// Its file on the node.
    pub file: String,
    /// What it will hold; `None`: it will be gone.
    pub beam: Option<Beam>,
    /// Whether the node runs it.
    pub is_loaded: bool,
}

/// What is left to be written.
#[derive(Clone, Debug, Default)]
pub struct UnpersistedFiles {
    /// Modules that run as pushed, and have another file or none; and files of modules that a restart must not find.
    pub modules: Vec<ModuleToWrite>,
    /// Files of modules that run in a version which is neither pushed nor there: nothing can be done about them.
    pub unknown: Vec<String>,
    /// Files with lists that lack modules which run, where there is nothing else to do.
    pub lists: Vec<String>,
    /// The files with lists of modules, which are written with the beams, and what interrupted runs have left.
    pub restart: Restart,
}

impl UnpersistedFiles {
    /// Whether the disk is as it should be, or as it can be.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty() && self.left().is_empty() && self.lists.is_empty()
    }

    /// What interrupted runs have left.
    fn left(&self) -> &[(String, Fate)] {
        self.restart.stages.folders()
    }

    /// W344 for all of it; `by` is what writes.
    pub fn diagnostics(&self, session: &Session, by: &str) -> Vec<Diagnostic> {
        let writes = format!("{by} writes them");
        let node = session.node();
        let left = self.left().iter().map(|(folder, fate)| match fate {
            Fate::Finished => format!("{folder}: will be finished"),
            Fate::Removed => format!("{folder}: nothing of it is in use, it will be removed"),
            Fate::Unreadable => format!("{folder}: its journal cannot be read"),
        });
        let gone = self.modules.iter().filter(|module| module.beam.is_none());
        let gone = gone.map(|module| {
            format!(
                "{}: the node does not run it, it will be deleted",
                module.file
            )
        });
        let files = self.modules.iter().filter(|module| module.beam.is_some());
        let files = files.map(|module| module.file.clone());
        let all: [(String, Vec<String>, String); 4] = [
            (
                format!("an earlier run was interrupted while it wrote to the disk of {node}"),
                left.chain(gone).collect(),
                format!("each file there is old or new; {by} finishes it"),
            ),
            (
                format!("{node} runs new code that is not on its disk: a restart would lose it"),
                files.collect(),
                writes.clone(),
            ),
            (
                format!(
                    "{node} runs new modules that its files do not list: a restart would lack them"
                ),
                self.lists.clone(),
                writes,
            ),
            (
                format!(
                    "{node} runs code that is neither pushed nor on its disk: a restart would mix versions"
                ),
                self.unknown.clone(),
                "push them as well: `code push` with their folder and `persist`".to_owned(),
            ),
        ];
        let all = all.into_iter().filter(|(_, names, _)| !names.is_empty());
        let all = all.map(|(title, names, help)| {
            let more = names.len().saturating_sub(NAMED);
            let names = names.into_iter().take(NAMED);
            let mut diagnostic = names.fold(Diagnostic::new(Code::W344, title), Diagnostic::note);
            if more > 0 {
                diagnostic = diagnostic.note(format!("and {more} more"));
            }
            diagnostic.help(help)
        });
        all.chain(self.restart.refused.clone()).collect()
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
    mut disk: Disk<'_>,
) -> Result<UnpersistedFiles> {
    let (same, others) = pushed(facts, changes, local(patterns, base, facts.otp)?);
    let mut modules = to_list(facts, changes, part, &same);
    let env = if env { configured(changes) } else { Vec::new() };
    if modules.is_empty() && starts.is_empty() {
        return Ok(UnpersistedFiles::default());
    }
    let found = files(session, facts, &modules, &env)?;
    let stages = &found.stages;
    let there = look(&mut disk, stages, same.values().map(|beam| &beam.file))?;
    let mut unwritten = UnpersistedFiles::default();
    let mut missing = BTreeSet::new();
    for ((module, beam), there) in same.iter().zip(there) {
        if there == OnDisk::Missing {
            missing.insert(module.clone());
        }
        if !is_version(&there, beam) {
            unwritten.modules.push(to_write(module, beam, true));
        }
    }
    for file in &mut modules {
        let module = &file.module;
        if file.listing != Listing::Kept || !same.contains_key(module) {
            continue;
        }
        if missing.contains(module) {
            file.listing = Listing::New;
        } else if stages.finishes() && facts.app_of(module).is_some() {
            // Lists are put in their places as well: those of another version may be among them.
            file.listing = Listing::Specified;
        }
    }
    // Files that are as pushed, of modules that are loaded on demand; they may be others in a moment.
    let concerned: Vec<(&Module, &Beam)> = others
        .iter()
        .filter(|(module, beam)| !part.contains(*module) && stages.concerns(&beam.file))
        .collect();
    let there = look(&mut disk, stages, concerned.iter().map(|(_, b)| &b.file))?;
    for ((module, beam), there) in concerned.into_iter().zip(there) {
        if !is_version(&there, beam) {
            unwritten.modules.push(to_write(module, beam, false));
        }
    }
    let is_pushed = |module: &Module| {
        same.contains_key(module)
            || others.contains_key(module)
            || changes.modules.contains_key(module)
    };
    for (module, file) in strays(facts, &found, &is_pushed) {
        modules.push(ModuleFile {
            module: module.clone(),
            file: file.clone(),
            app: None,
            listing: Listing::Gone,
        });
        unwritten.modules.push(ModuleToWrite {
            module,
            file,
            beam: None,
            is_loaded: false,
        });
    }
    let is_written = |module: &Module| same.contains_key(module) || part.contains(module);
    unwritten.unknown = unknown(&mut disk, facts, stages, &modules, &is_written)?;
    let wanted = Wanted {
        modules,
        env,
        starts,
        recorded: &[],
    };
    let restart = restart(session, facts, found, &wanted)?;
    if part.is_empty() && wanted.env.is_empty() {
        let behind = restart.rewrites.iter().filter(|file| file.changes());
        unwritten.lists = behind.map(|file| file.file.clone()).collect();
    }
    unwritten.restart = restart;
    Ok(unwritten)
}

/// The pushed beams that run, as files of the node; and those of modules that are not loaded, where the folder of their
/// application is known.
fn pushed(
    facts: &NodeFacts,
    changes: &ChangeSet,
    files: Vec<BeamFile>,
) -> (BTreeMap<Module, Beam>, BTreeMap<Module, Beam>) {
    let (mut same, mut others) = (BTreeMap::new(), BTreeMap::new());
    for file in files {
        let module = file.facts.module.clone();
        match facts.loaded.get(&module) {
            Some(loaded) if loaded.md5 == file.facts.md5 => {
                if let CodeOrigin::File(there) = &loaded.origin {
                    same.insert(module, Beam::new(file.bytes, there.clone(), file.facts));
                }
            }
            Some(_) => {}
            None if changes.modules.contains_key(&module) => {}
            None => {
                let app = facts.app_of(&module);
                if let Some(folder) = app.and_then(|app| facts.folder_of_app(app)) {
                    let there = format!("{folder}/{module}.beam");
                    others.insert(module, Beam::new(file.bytes, there, file.facts));
                }
            }
        }
    }
    (same, others)
}

fn to_write(module: &Module, beam: &Beam, is_loaded: bool) -> ModuleToWrite {
    ModuleToWrite {
        module: module.clone(),
        file: beam.file.clone(),
        beam: Some(beam.clone()),
        is_loaded,
    }
}

fn is_version(there: &OnDisk, beam: &Beam) -> bool {
    matches!(there, OnDisk::Beam(known) if known.md5 == beam.facts.md5)
}

/// What files will be when what is left of interrupted runs is put in order.
fn look<'f>(
    disk: &mut Disk<'_>,
    stages: &StageFolders,
    files: impl Iterator<Item = &'f String>,
) -> Result<Vec<OnDisk>> {
    let places: Vec<Option<&str>> = files.map(|file| stages.place_of(file)).collect();
    let there = places.iter().flatten().map(|place| (*place).to_owned());
    let mut found = disk.beams(&there.collect::<Vec<String>>())?.into_iter();
    let places = places.into_iter();
    let all = places.map(|place| match place {
        Some(_) => found.next().unwrap_or(OnDisk::Missing),
        None => OnDisk::Missing,
    });
    Ok(all.collect())
}

/// Files of interrupted runs that are finished, of modules that the node does not run although its boot file will list them,
/// and that are not pushed: it has gone back since, and a restart would load them into another version. On a node that
/// loads code on demand it is not known whether they are needed later.
fn strays(
    facts: &NodeFacts,
    found: &RestartFiles,
    is_pushed: &dyn Fn(&Module) -> bool,
) -> Vec<(Module, String)> {
    if !facts.embedded || !found.stages.finishes() {
        return Vec::new();
    }
    let own = found.boots.iter();
    let own = own.filter(|(file, _)| found.started.contains(file));
    let own = own.filter_map(|(_, bytes)| BootFile::read(bytes).ok());
    let groups = own.flat_map(|boot| boot.groups());
    let listed: BTreeSet<Module> = groups.flat_map(|group| group.modules).collect();
    let written = found.stages.written().filter_map(|file| {
        let module = Module::new(file.rsplit_once('/')?.1.strip_suffix(".beam")?);
        let stays = facts.loaded.contains_key(&module) || is_pushed(&module);
        (listed.contains(&module) && !stays).then(|| (module, file.to_owned()))
    });
    written.collect()
}

/// The files of modules that run in a version which is neither written nor there, in the folders and of the applications
/// of those that are written.
///
/// # Errors
/// E5xx when the node does not answer.
pub fn unknown(
    disk: &mut Disk<'_>,
    facts: &NodeFacts,
    stages: &StageFolders,
    modules: &[ModuleFile],
    is_written: &dyn Fn(&Module) -> bool,
) -> Result<Vec<String>> {
    let folders: BTreeSet<&str> = modules.iter().filter_map(|m| folder_of(&m.file)).collect();
    let apps: BTreeSet<&App> = modules.iter().filter_map(|m| m.app.as_ref()).collect();
    let running = facts.loaded.iter().filter_map(|(module, loaded)| {
        let file = facts.file_of(module)?;
        let is_near = folder_of(file).is_some_and(|folder| folders.contains(folder))
            || facts.app_of(module).is_some_and(|app| apps.contains(app));
        let is_beam = file.starts_with('/') && file.ends_with(".beam");
        let asked = is_near && is_beam && !is_written(module) && !facts.is_otp_file(file);
        asked.then(|| (file.to_owned(), loaded.md5))
    });
    let (files, versions): (Vec<String>, Vec<Md5>) = running.unzip();
    let there = look(disk, stages, files.iter())?;
    let all = files.into_iter().zip(versions).zip(there);
    let differing =
        all.filter(|((_, md5), there)| !matches!(there, OnDisk::Beam(known) if known.md5 == *md5));
    Ok(differing.map(|((file, _), _)| file).collect())
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
    let listed = to_list(facts, changes, part, &BTreeMap::new());
    let wanted = Wanted {
        modules: listed.into_iter().filter(is_new).collect(),
        ..Wanted::default()
    };
    if !facts.embedded || wanted.modules.is_empty() {
        return Ok(None);
    }
    let found = files(session, facts, &wanted.modules, &[])?;
    let found = restart(session, facts, found, &wanted)?;
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
