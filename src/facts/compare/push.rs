//! `code push [...]`: beams of this machine against what the node has loaded.
//!
//! Gives the beams that differ; of a protocol that is there consolidated and not, the consolidated one. A
//! specification beside the beams (`app.app`) tells which modules the new version does not have any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::comparison::{Comparison, local, unusable};
use super::on_disk::compare_specs;
use super::releases::{self, ReleaseLocation};
use crate::diag::{Result, Span};
use crate::facts::app::app_specs::MAX_SPEC;
use crate::facts::beam::protocols::{is_consolidated, is_protocol};
use crate::facts::change::{Beam, Notice, RemovalCause, RemovedModule, SkipReason};
use crate::facts::local::files::BeamFile;
use crate::facts::node::node_facts::{self, CodeOrigin};
use crate::facts::node::node_files::{OnDisk, folder_of};
use crate::name::{App, Module};

/// The local beams that differ from what runs.
pub(super) fn pushed(
    comparison: &mut Comparison<'_>,
    patterns: &[(String, Span)],
    base: &Path,
) -> Result<BTreeMap<Module, Beam>> {
    let files = local(patterns, base, comparison.facts.otp)?;
    let folders: BTreeSet<PathBuf> = files
        .iter()
        .filter_map(|file| file.path.parent().map(Path::to_owned))
        .collect();
    comparison.set.compared = files.len();
    let files = one_of_each(files)?;
    let all: BTreeSet<Module> = files.keys().cloned().collect();
    let homes = homes(comparison, &files);
    let mut beams = BTreeMap::new();
    let mut same = Vec::new();
    for (module, file) in files {
        let running = comparison.facts.loaded.get(&module);
        if running.is_some_and(|loaded| loaded.md5 == file.facts.md5) {
            comparison.set.same.push(module);
            same.push(file);
            continue;
        }
        let shown = match running.map(|loaded| &loaded.origin) {
            Some(CodeOrigin::File(there)) => there.clone(),
            _ => new_name(&file, &homes),
        };
        let (bytes, facts) = (Arc::from(file.bytes), file.facts);
        let beam = Beam {
            bytes,
            file: shown,
            facts,
        };
        beams.insert(module, beam);
    }
    already_there(comparison, &mut beams)?;
    unconsolidated(comparison, &mut beams)?;
    lines_moved(comparison, &same);
    specifications(comparison, &folders, &all)?;
    let folders = folders.iter().map(|folder| {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        whole.display().to_string()
    });
    releases::inspect(comparison, &ReleaseLocation::Here, &folders.collect())?;
    Ok(beams)
}

/// Each module once. Two versions are an error, unless one is the consolidated form of a protocol.
fn one_of_each(files: Vec<BeamFile>) -> Result<BTreeMap<Module, BeamFile>> {
    let mut found: BTreeMap<Module, BeamFile> = BTreeMap::new();
    for file in files {
        let module = file.facts.module.clone();
        let Some(twin) = found.get(&module) else {
            found.insert(module, file);
            continue;
        };
        if twin.facts.md5 == file.facts.md5 {
            continue;
        }
        let forms = (is_consolidated(&twin.bytes), is_consolidated(&file.bytes));
        match forms {
            (Some(true), Some(false)) => {}
            (Some(false), Some(true)) => {
                found.insert(module, file);
            }
            _ => {
                let why = format!("another version of {module} is in {}", twin.path.display());
                return Err(unusable(&file.path.display().to_string(), &why));
            }
        }
    }
    Ok(found)
}

/// For local folders, the folder on the node that the modules in it were loaded from, mostly.
fn homes(
    comparison: &Comparison<'_>,
    files: &BTreeMap<Module, BeamFile>,
) -> BTreeMap<PathBuf, String> {
    let mut counts: BTreeMap<(PathBuf, String), usize> = BTreeMap::new();
    for (module, file) in files {
        let there = comparison.facts.file_of(module).and_then(folder_of);
        if let (Some(here), Some(there)) = (file.path.parent(), there) {
            let pair = (here.to_owned(), there.to_owned());
            *counts.entry(pair).or_default() += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| *count);
    counts.into_iter().map(|(pair, _)| pair).collect()
}

/// The file name of a module that the node has not loaded: beside its neighbours.
fn new_name(file: &BeamFile, homes: &BTreeMap<PathBuf, String>) -> String {
    let home = file.path.parent().and_then(|folder| homes.get(folder));
    match home {
        Some(home) => format!("{home}/{}.beam", file.facts.module.as_str()),
        None => file.path.display().to_string(),
    }
}

/// On a node that loads on demand, a module that is not loaded and whose file is the one pushed is no news.
fn already_there(
    comparison: &mut Comparison<'_>,
    beams: &mut BTreeMap<Module, Beam>,
) -> Result<()> {
    let facts = comparison.facts;
    let unloaded: Vec<(Module, String)> = beams
        .keys()
        .filter(|module| !facts.loaded.contains_key(*module))
        .filter_map(|module| {
            let folder = facts.folder_of_app(facts.app_of(module)?)?;
            Some((module.clone(), format!("{folder}/{}.beam", module.as_str())))
        })
        .collect();
    let paths: Vec<String> = unloaded.iter().map(|(_, path)| path.clone()).collect();
    let mut on_demand: BTreeMap<Option<App>, Vec<Module>> = BTreeMap::new();
    for ((module, path), found) in unloaded.into_iter().zip(comparison.disk.beams(&paths)?) {
        let Some(beam) = beams.get_mut(&module) else {
            continue;
        };
        beam.file = path;
        let same = matches!(found, OnDisk::Beam(known) if known.md5 == beam.facts.md5);
        if same && !facts.embedded {
            beams.remove(&module);
            let app = facts.app_of(&module).cloned();
            on_demand.entry(app).or_default().push(module);
        }
    }
    let notices = on_demand.into_iter();
    comparison
        .set
        .notices
        .extend(notices.map(|(app, modules)| Notice::OnDemand { app, modules }));
    Ok(())
}

/// Takes out protocols that run consolidated, when only the other form is offered.
fn unconsolidated(
    comparison: &mut Comparison<'_>,
    beams: &mut BTreeMap<Module, Beam>,
) -> Result<()> {
    let offered: Vec<Module> = beams
        .iter()
        .filter(|(module, beam)| {
            comparison.facts.loaded.contains_key(*module)
                && is_protocol(&beam.facts)
                && is_consolidated(&beam.bytes) != Some(true)
        })
        .map(|(module, _)| module.clone())
        .collect();
    let running = node_facts::consolidated(comparison.session, &offered)?;
    for (module, consolidated) in offered.into_iter().zip(running) {
        if consolidated {
            beams.remove(&module);
            comparison
                .set
                .untouched
                .push((module, SkipReason::Unconsolidated));
        }
    }
    Ok(())
}

/// Beams with the code that runs and with other line information than it was seen to have.
fn lines_moved(comparison: &mut Comparison<'_>, same: &[BeamFile]) {
    let creation = comparison.session.creation();
    let moved = same.iter().filter(|file| {
        let there = comparison.facts.file_of(&file.facts.module);
        let lines = there.and_then(|there| {
            comparison
                .disk
                .seen
                .first_lines(there, creation, &file.facts.md5)
        });
        lines.is_some_and(|lines| lines != file.facts.line_md5)
    });
    let modules: Vec<Module> = moved.map(|file| file.facts.module.clone()).collect();
    if !modules.is_empty() {
        comparison.set.notices.push(Notice::LinesMoved { modules });
    }
}

/// Specifications beside the beams: how they differ, and which modules they do not list any more.
fn specifications(
    comparison: &mut Comparison<'_>,
    folders: &BTreeSet<PathBuf>,
    all: &BTreeSet<Module>,
) -> Result<()> {
    let mut texts = Vec::new();
    for folder in folders {
        for app in comparison.facts.apps.keys() {
            let file = folder.join(format!("{app}.app"));
            if let Some(text) = small_file(&file) {
                texts.push((app.clone(), file.display().to_string(), text));
            }
        }
    }
    let facts = comparison.facts;
    for (app, spec) in compare_specs(comparison, texts)? {
        let Some(running) = facts.apps.get(&app).filter(|_| spec.modules.is_some()) else {
            continue;
        };
        for module in &running.modules {
            if facts.loaded.contains_key(module) && !spec.lists(module) && !all.contains(module) {
                comparison.set.gone.push(RemovedModule {
                    module: module.clone(),
                    how: RemovalCause::Unlisted(app.clone()),
                    callers: Vec::new(),
                });
            }
        }
    }
    Ok(())
}

pub(super) fn small_file(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let is_file = std::fs::metadata(path).ok()?.is_file();
    let mut text = Vec::new();
    let limit = u64::try_from(MAX_SPEC).ok()? + 1;
    let file = std::fs::File::open(path).ok().filter(|_| is_file)?;
    file.take(limit).read_to_end(&mut text).ok()?;
    Some(text)
}
