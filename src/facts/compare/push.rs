//! `code push [...]`: beams of this machine against what the node has loaded.
//!
//! Gives the beams that differ; of a protocol that is there consolidated and not, the consolidated one. A
//! specification beside the beams (`app.app`) shows which modules the new version does not have any more.

#![expect(
    clippy::disallowed_methods,
    reason = "folders of pushed beams are known by what they really are"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::compared_node::ComparedNode;
use super::local_beams::{local, small_file, unusable};
use super::new_beams::NewBeams;
use super::releases::{self, ReleaseLocation};
use super::specs::{NewSpecs, compare_specs};
use crate::diag::{Result, Span};
use crate::facts::beam::protocols::{is_consolidated, is_protocol};
use crate::facts::change::{Beam, Notice, RemovalCause, RemovedModule, SkipReason};
use crate::facts::local::files::BeamFile;
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::facts::node::node_files::OnDisk;
use crate::facts::node::queries;
use crate::name::{App, Module};

/// The local beams that differ from what runs.
pub(super) fn pushed(
    node: &mut ComparedNode<'_>,
    patterns: &[(String, Span)],
    base: &Path,
) -> Result<NewBeams> {
    let files = local(patterns, base, node.facts.otp)?;
    let folders = by_folder(&files);
    let compared = files.len();
    let files = one_of_each(files)?;
    let all: BTreeSet<Module> = files.keys().cloned().collect();
    let homes = homes(node.facts, &files);
    let mut beams = BTreeMap::new();
    let mut same = Vec::new();
    for (module, file) in files {
        let running = node.facts.loaded.get(&module);
        if running.is_some_and(|loaded| loaded.md5 == file.facts.md5) {
            same.push(file);
            continue;
        }
        let shown = match running.map(|loaded| &loaded.origin) {
            Some(CodeOrigin::File(there)) => there.clone(),
            _ => new_name(&file, &homes),
        };
        let beam = Beam::new(file.bytes, shown, file.facts);
        beams.insert(module, beam);
    }
    let (mut beams, on_demand) = already_there(node, beams)?;
    let unconsolidated = unconsolidated(node, &beams)?;
    beams.retain(|module, _| !unconsolidated.contains(module));
    let moved = lines_moved(node, &same);
    let specs = specifications(node, &folders)?;
    let gone = gone(node.facts, &specs, &all);
    let folders = folders.keys().map(|folder| {
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        whole.display().to_string()
    });
    let release = releases::inspect(node, &ReleaseLocation::Here, &folders.collect(), &[])?;

    let mut notices = on_demand;
    notices.extend(moved);
    notices.extend(specs.bad);
    let untouched = unconsolidated.into_iter();
    Ok(NewBeams {
        beams,
        untouched: untouched
            .map(|module| (module, SkipReason::Unconsolidated))
            .collect(),
        gone,
        compared,
        same: same.into_iter().map(|file| file.facts.module).collect(),
        notices,
        specs: specs.changes,
        compile_env: specs.compile_env,
        called: BTreeMap::new(),
        release,
    })
}

/// The folders of beams, and the modules in each.
fn by_folder(files: &[BeamFile]) -> BTreeMap<PathBuf, BTreeSet<Module>> {
    let mut folders: BTreeMap<PathBuf, BTreeSet<Module>> = BTreeMap::new();
    for file in files {
        let Some(folder) = file.path.parent() else {
            continue;
        };
        let module = file.facts.module.clone();
        match folders.get_mut(folder) {
            Some(modules) => _ = modules.insert(module),
            None => _ = folders.insert(folder.to_owned(), BTreeSet::from([module])),
        }
    }
    folders
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
fn homes(facts: &NodeFacts, files: &BTreeMap<Module, BeamFile>) -> BTreeMap<PathBuf, String> {
    let mut counts: BTreeMap<(PathBuf, String), usize> = BTreeMap::new();
    for (module, file) in files {
        let there = facts.file_of(module).and_then(folder_of);
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

/// The beams without what is no news: on a node that loads on demand, a module that is not loaded and whose file is the
/// one pushed. Those that stay get the name of their file on the node.
fn already_there(
    node: &mut ComparedNode<'_>,
    mut beams: BTreeMap<Module, Beam>,
) -> Result<(BTreeMap<Module, Beam>, Vec<Notice>)> {
    let facts = node.facts;
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
    for ((module, path), found) in unloaded.into_iter().zip(node.disk.beams(&paths)?) {
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
    let notices = notices.map(|(app, modules)| Notice::OnDemand { app, modules });
    let notices = notices.collect();
    Ok((beams, notices))
}

/// Protocols that run consolidated, when only the other form is offered.
fn unconsolidated(
    node: &ComparedNode<'_>,
    beams: &BTreeMap<Module, Beam>,
) -> Result<BTreeSet<Module>> {
    let offered: Vec<Module> = beams
        .iter()
        .filter(|(module, beam)| {
            node.facts.loaded.contains_key(*module)
                && is_protocol(&beam.facts)
                && is_consolidated(&beam.bytes) != Some(true)
        })
        .map(|(module, _)| module.clone())
        .collect();
    let running = queries::consolidated(node.session, &offered)?;
    let both = offered.into_iter().zip(running);
    let consolidated = both.filter(|(_, consolidated)| *consolidated);
    Ok(consolidated.map(|(module, _)| module).collect())
}

/// Beams with the code that runs and with other line information than it was seen to have.
fn lines_moved(node: &ComparedNode<'_>, same: &[BeamFile]) -> Option<Notice> {
    let creation = node.session.creation();
    let moved = same.iter().filter(|file| {
        let there = node.facts.file_of(&file.facts.module);
        let lines =
            there.and_then(|there| node.disk.seen.first_lines(there, creation, &file.facts.md5));
        lines.is_some_and(|lines| lines != file.facts.line_md5)
    });
    let modules: Vec<Module> = moved.map(|file| file.facts.module.clone()).collect();
    (!modules.is_empty()).then_some(Notice::LinesMoved { modules })
}

/// Specifications beside the beams, and how they differ.
fn specifications(
    node: &mut ComparedNode<'_>,
    folders: &BTreeMap<PathBuf, BTreeSet<Module>>,
) -> Result<NewSpecs> {
    let mut texts = Vec::new();
    for folder in folders.keys() {
        for app in node.facts.apps.keys() {
            let file = folder.join(format!("{app}.app"));
            if let Some(text) = small_file(&file) {
                texts.push((app.clone(), file.display().to_string(), text));
            }
        }
    }
    let named = folders
        .iter()
        .map(|(folder, modules)| (folder.display().to_string(), modules));
    let named: BTreeMap<String, &BTreeSet<Module>> = named.collect();
    let has_beam = |folder: &str, module: &Module| {
        let modules = named.get(folder);
        modules.is_some_and(|modules| modules.contains(module))
    };
    compare_specs(node, texts, &has_beam)
}

/// Loaded modules that the new specification of their application does not list, and that are not pushed.
fn gone(facts: &NodeFacts, specs: &NewSpecs, pushed: &BTreeSet<Module>) -> Vec<RemovedModule> {
    let mut gone = Vec::new();
    for (app, spec) in &specs.specs {
        let Some(running) = facts.apps.get(app).filter(|_| spec.modules.is_some()) else {
            continue;
        };
        let modules = running.modules.iter().filter(|module| {
            facts.loaded.contains_key(*module) && !spec.lists(module) && !pushed.contains(*module)
        });
        gone.extend(modules.map(|module| RemovedModule {
            module: module.clone(),
            how: RemovalCause::Unlisted(app.clone()),
            callers: Vec::new(),
        }));
    }
    gone
}
