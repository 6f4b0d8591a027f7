//! Makes the change set: the running code against the new beams.
//!
//! Everything is compared by MD5. A file that is no beam stops the comparison (it is never "unchanged"),
//! and a module that must not be touched is named, not skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::beam::BeamFacts;
use super::change::{Beam, ChangeSet, Changed, Untouched};
use super::files::{self, BeamFile};
use super::live::{self, NodeFacts, OnDisk, Origin};
use super::store::{Store, hex};
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::name::{App, Module};
use crate::node::Session;

/// Where new code comes from.
#[derive(Clone, Copy, Debug)]
pub enum NewCode<'a> {
    /// The node's own files.
    OnDisk,
    /// Local beams: patterns with their places, relative to a folder.
    Push(&'a [(String, Span)], &'a Path),
}

/// Where copies of the running version may be found, beside the node's own files.
#[derive(Clone, Copy, Debug)]
pub struct OldCode<'a> {
    /// `old from` patterns, each list relative to a folder.
    pub patterns: &'a [(Vec<(String, Span)>, std::path::PathBuf)],
    /// updo's own store.
    pub store: &'a Store,
}

/// Compares a node with new code.
///
/// # Errors
/// E213 when a pattern matches nothing, E214 for a file that is no usable beam, and what [`live`] gives.
pub fn compare(
    session: &Session,
    facts: &NodeFacts,
    new: NewCode<'_>,
    old: OldCode<'_>,
) -> Result<ChangeSet> {
    let mut set = ChangeSet {
        app_vsn: facts
            .apps
            .iter()
            .map(|(app, running)| (app.clone(), running.vsn.clone()))
            .collect(),
        ..ChangeSet::default()
    };
    let beams = match new {
        NewCode::OnDisk => on_disk(session, facts, &mut set)?,
        NewCode::Push(patterns, base) => pushed(session, facts, patterns, base, &mut set)?,
    };
    leave_alone(session, facts, beams.keys(), &mut set)?;
    let untouched: BTreeSet<Module> = set
        .untouched
        .iter()
        .map(|(module, _)| module.clone())
        .collect();
    let names: Vec<Module> = beams
        .keys()
        .filter(|m| !untouched.contains(*m))
        .cloned()
        .collect();
    let mut loaded = live::loaded_versions(session, facts, &names)?;
    let mut processes = live::processes(session, &names)?;
    let mut copies = old_copies(session, &loaded, old)?;
    let wanted: BTreeSet<Module> = names.into_iter().collect();
    for (module, mut beam) in beams {
        if untouched.contains(&module) {
            continue;
        }
        beam.facts = whole(&beam, &wanted)?;
        let app = facts
            .app_of(&module)
            .cloned()
            .or_else(|| app_by_folder(facts, &beam.file));
        let mut old = copies.remove(&module);
        if let Some(old) = &mut old {
            old.facts = whole(old, &wanted)?;
        }
        let changed = Changed {
            loaded: loaded.remove(&module),
            old,
            new: Some(beam),
            app,
            processes: processes.remove(&module).unwrap_or(0),
        };
        set.modules.insert(module, changed);
    }
    Ok(set)
}

/// The facts of a beam with its code, in which the names of changed modules are looked for.
fn whole(beam: &Beam, wanted: &BTreeSet<Module>) -> Result<BeamFacts> {
    BeamFacts::read_whole(&beam.bytes, wanted).map_err(|why| unusable(&beam.file, &why.to_string()))
}

/// Modules whose file on the node's disk differs from what is loaded, and new files beside them.
fn on_disk(
    session: &Session,
    facts: &NodeFacts,
    set: &mut ChangeSet,
) -> Result<BTreeMap<Module, Beam>> {
    let with_file: Vec<(&Module, &str, [u8; 16])> = facts
        .loaded
        .iter()
        .filter_map(|(module, loaded)| match &loaded.origin {
            Origin::File(file) if file.ends_with(".beam") => {
                Some((module, file.as_str(), loaded.md5))
            }
            _ => None,
        })
        .collect();
    let paths: Vec<String> = with_file
        .iter()
        .map(|(_, file, _)| (*file).to_owned())
        .collect();
    let mut wanted: BTreeMap<Module, String> = BTreeMap::new();
    for ((module, file, md5), found) in with_file.into_iter().zip(live::files(session, &paths)?) {
        set.compared += 1;
        match found {
            OnDisk::Md5(same) if same == md5 => {}
            OnDisk::Md5(_) => {
                wanted.insert(module.clone(), file.to_owned());
            }
            OnDisk::Missing => set.gone.push(module.clone()),
            OnDisk::Broken(why) => return Err(unusable(file, &why)),
        }
    }
    wanted.extend(new_files(session, facts, &wanted)?);
    fetch(session, wanted)
}

/// Files of modules that are neither loaded nor known to their running application.
fn new_files(
    session: &Session,
    facts: &NodeFacts,
    changed: &BTreeMap<Module, String>,
) -> Result<BTreeMap<Module, String>> {
    let known: BTreeSet<&Module> = facts.apps.values().flat_map(|app| &app.modules).collect();
    let folders: BTreeSet<String> = changed
        .values()
        .cloned()
        .chain(
            facts
                .apps
                .values()
                .filter_map(|app| file_of(facts, app.modules.first()?)),
        )
        .filter_map(|file| Some(file.rsplit_once('/')?.0.to_owned()))
        .filter(|folder| !folder.starts_with(&facts.otp_lib))
        .collect();
    let folders: Vec<String> = folders.into_iter().collect();
    let mut found = BTreeMap::new();
    for (folder, names) in folders.iter().zip(live::beams_in(session, &folders)?) {
        for name in names {
            let module = Module::new(name.trim_end_matches(".beam"));
            if !facts.loaded.contains_key(&module) && !known.contains(&module) {
                found.insert(module, format!("{folder}/{name}"));
            }
        }
    }
    Ok(found)
}

fn file_of(facts: &NodeFacts, module: &Module) -> Option<String> {
    match &facts.loaded.get(module)?.origin {
        Origin::File(file) => Some(file.clone()),
        _ => None,
    }
}

/// Reads beams from the node's disk.
fn fetch(session: &Session, wanted: BTreeMap<Module, String>) -> Result<BTreeMap<Module, Beam>> {
    let paths: Vec<String> = wanted.values().cloned().collect();
    let mut beams = BTreeMap::new();
    for ((module, file), bytes) in wanted.into_iter().zip(live::read_files(session, &paths)?) {
        let bytes = bytes.ok_or_else(|| unusable(&file, "the file cannot be read"))?;
        let facts = BeamFacts::read(&bytes).map_err(|why| unusable(&file, &why.to_string()))?;
        if facts.module != module {
            return Err(unusable(
                &file,
                &format!("it holds the module {}", facts.module),
            ));
        }
        beams.insert(
            module,
            Beam {
                bytes: Arc::from(bytes),
                file,
                facts,
            },
        );
    }
    Ok(beams)
}

/// Local beams that differ from what is loaded.
fn pushed(
    session: &Session,
    facts: &NodeFacts,
    patterns: &[(String, Span)],
    base: &Path,
    set: &mut ChangeSet,
) -> Result<BTreeMap<Module, Beam>> {
    let mut beams: BTreeMap<Module, Beam> = BTreeMap::new();
    for file in local(patterns, base)? {
        set.compared += 1;
        let module = file.facts.module.clone();
        let running = facts.loaded.get(&module);
        if running.is_some_and(|loaded| loaded.md5 == file.facts.md5) {
            continue;
        }
        if let Some(twin) = beams
            .get(&module)
            .filter(|twin| twin.facts.md5 != file.facts.md5)
        {
            let why = format!("another version of {module} is in {}", twin.file);
            return Err(unusable(&file.path.display().to_string(), &why));
        }
        let shown = match running.map(|loaded| &loaded.origin) {
            Some(Origin::File(file)) => file.clone(),
            _ => file.path.display().to_string(),
        };
        beams.insert(
            module,
            Beam {
                bytes: Arc::from(file.bytes),
                file: shown,
                facts: file.facts,
            },
        );
    }
    already_there(session, facts, &mut beams)?;
    Ok(beams)
}

/// A module that is not loaded yet and whose file on the node is the one pushed is no news.
fn already_there(
    session: &Session,
    facts: &NodeFacts,
    beams: &mut BTreeMap<Module, Beam>,
) -> Result<()> {
    let unloaded: Vec<(Module, String)> = beams
        .keys()
        .filter(|module| !facts.loaded.contains_key(*module))
        .filter_map(|module| {
            let app = facts.app_of(module)?;
            let sibling = facts.apps[app]
                .modules
                .iter()
                .find_map(|m| file_of(facts, m))?;
            Some((
                module.clone(),
                format!("{}/{}.beam", sibling.rsplit_once('/')?.0, module.as_str()),
            ))
        })
        .collect();
    let paths: Vec<String> = unloaded.iter().map(|(_, path)| path.clone()).collect();
    for ((module, path), found) in unloaded.into_iter().zip(live::files(session, &paths)?) {
        let Some(beam) = beams.get_mut(&module) else {
            continue;
        };
        if found == OnDisk::Md5(beam.facts.md5) {
            beams.remove(&module);
        } else {
            beam.file = path;
        }
    }
    Ok(())
}

fn local(patterns: &[(String, Span)], base: &Path) -> Result<Vec<BeamFile>> {
    let mut found = Vec::new();
    for (pattern, span) in patterns {
        let paths = files::beams_of(&[pattern.as_str()], base).map_err(|why| {
            Diagnostic::new(Code::E213, why.to_string()).label(*span, "in this pattern")
        })?;
        if paths.is_empty() {
            let title = format!("no beam matches `{pattern}`");
            let told = Diagnostic::new(Code::E213, title).label(*span, "matches nothing");
            return Err(Box::new(
                told.help(format!("paths are relative to {}", shown(base))),
            ));
        }
        for path in paths {
            let file = files::read_beam_file(&path)
                .map_err(|why| unusable(&path.display().to_string(), &why.to_string()))?;
            found.push(file);
        }
    }
    Ok(found)
}

fn shown(base: &Path) -> String {
    if base.as_os_str().is_empty() {
        ".".to_owned()
    } else {
        base.display().to_string()
    }
}

fn unusable(file: &str, why: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::E214, format!("`{file}` is not a usable beam"))
            .note(why)
            .help("nothing was changed; build or copy the file again"),
    )
}

/// Modules that differ and must not be touched.
fn leave_alone<'a>(
    session: &Session,
    facts: &NodeFacts,
    changed: impl Iterator<Item = &'a Module>,
    set: &mut ChangeSet,
) -> Result<()> {
    let changed: Vec<Module> = changed.cloned().collect();
    let sticky = live::sticky(session, &changed)?;
    let core: BTreeSet<&Module> = ["kernel", "stdlib", "erts"]
        .iter()
        .filter_map(|app| facts.apps.get(*app))
        .flat_map(|app| &app.modules)
        .collect();
    for (module, sticky) in changed.iter().zip(sticky) {
        let why = match facts.loaded.get(module).map(|loaded| &loaded.origin) {
            Some(Origin::Preloaded) => Some(Untouched::Preloaded),
            Some(Origin::Cover) => Some(Untouched::Cover),
            Some(Origin::Memory) => Some(Untouched::OtherFile),
            _ if core.contains(module) => Some(Untouched::Core),
            _ if sticky => Some(Untouched::Sticky),
            _ => None,
        };
        if let Some(why) = why {
            set.untouched.push((module.clone(), why));
        }
    }
    Ok(())
}

/// Copies of the running versions, each proven by MD5: the node's own file, `old from`, the store.
fn old_copies(
    session: &Session,
    loaded: &BTreeMap<Module, super::change::Loaded>,
    old: OldCode<'_>,
) -> Result<BTreeMap<Module, Beam>> {
    let mut wanted: BTreeMap<[u8; 16], &Module> = loaded
        .iter()
        .map(|(module, version)| (version.md5, module))
        .collect();
    let mut copies = BTreeMap::new();
    let mut take = |wanted: &mut BTreeMap<[u8; 16], &Module>, bytes: Vec<u8>| {
        let Ok(facts) = BeamFacts::read(&bytes) else {
            return;
        };
        if wanted
            .get(&facts.md5)
            .is_some_and(|module| **module == facts.module)
            && let Some(module) = wanted.remove(&facts.md5)
        {
            let file = loaded[module].file.clone();
            copies.insert(
                module.clone(),
                Beam {
                    bytes: Arc::from(bytes),
                    file,
                    facts,
                },
            );
        }
    };
    for md5 in wanted.keys().copied().collect::<Vec<_>>() {
        if let Some(bytes) = old.store.get(&md5) {
            take(&mut wanted, bytes);
        }
    }
    for (patterns, base) in old.patterns {
        if !wanted.is_empty() {
            for file in local(patterns, base)? {
                take(&mut wanted, file.bytes);
            }
        }
    }
    let left: Vec<(&Module, String)> = wanted
        .values()
        .map(|m| (*m, loaded[*m].file.clone()))
        .collect();
    let paths: Vec<String> = left
        .into_iter()
        .map(|(_, file)| file)
        .filter(|f| !f.is_empty())
        .collect();
    for bytes in live::read_files(session, &paths)?.into_iter().flatten() {
        take(&mut wanted, bytes);
    }
    Ok(copies)
}

fn app_by_folder(facts: &NodeFacts, file: &str) -> Option<App> {
    let folder = file.rsplit_once('/')?.0;
    let lives_here = |module: &Module| {
        file_of(facts, module)
            .is_some_and(|f| f.rsplit_once('/').is_some_and(|(dir, _)| dir == folder))
    };
    facts
        .apps
        .iter()
        .find(|(_, app)| app.modules.iter().any(lives_here))
        .map(|(name, _)| name.clone())
}

/// Keeps copies of every version that a change set knows, the running and the new ones.
///
/// # Errors
/// When the store cannot be written.
pub fn keep(store: &Store, set: &ChangeSet) -> std::io::Result<usize> {
    let mut kept = 0;
    for changed in set.modules.values() {
        for beam in [&changed.old, &changed.new].into_iter().flatten() {
            store.put(&beam.facts.md5, &beam.bytes)?;
            kept += 1;
        }
    }
    Ok(kept)
}

/// A module's MD5 as people compare it.
pub fn short(md5: &[u8; 16]) -> String {
    hex(&md5[..4])
}
