//! `code on_disk`: the node's own files against what it has loaded, and what lies beside them.
//!
//! Gives the beams that differ, and what else is there: files in two places, applications installed beside their running
//! version, specifications, modules that are not loaded. Each of these is a question of its own with a value as its
//! answer; [`on_disk`] puts the answers together.

use std::collections::{BTreeMap, BTreeSet};

use super::compared_node::ComparedNode;
use super::library_versions::{self, NewFolders};
use super::local_beams::unusable;
use super::missing;
use super::new_beams::NewBeams;
use super::releases::{self, ReleaseLocation};
use super::specs::{NewSpecs, compare_specs};
use crate::diag::Result;
use crate::facts::app::app_specs::Spec;
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, Notice, ReleaseChange, RemovalCause, RemovedModule, SkipReason};
use crate::facts::node::code_path::CodePathListing;
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{CORE, CodeOrigin, NodeFacts};
use crate::facts::node::node_files::OnDisk;
use crate::name::{App, Md5, Module};
use crate::parallel::computed;

/// The beams of the node's disk that differ from what runs.
pub(super) fn on_disk(node: &mut ComparedNode<'_>, new: &NewFolders) -> Result<NewBeams> {
    let mut files = changed_files(node, new)?;
    let places = CodePathListing::list(node.facts, &new.left, &mut node.disk)?;
    let doubles = doubles(node, new, &places, &files.wanted)?;
    files
        .wanted
        .retain(|module, _| !doubles.settled.contains(module));
    files
        .gone
        .retain(|gone| !doubles.settled.contains(&gone.module));
    let specs = specifications(node, new, &places)?;
    let unloaded = unloaded(node.facts, new, &places, &specs.specs, &files.wanted);
    let newer = library_versions::newer_versions(node, &new.moves)?;
    files.wanted.extend(unloaded.wanted);
    let beams = fetch(node, files.wanted)?;
    let (beams, called) = with_called(node, &places, beams)?;
    let unlisted = unlisted(node.facts, new, &places, &beams);
    let release = release(node, new, &beams)?;

    let moved = Some(files.lines_moved).filter(|modules| !modules.is_empty());
    let mut notices: Vec<Notice> = Vec::new();
    notices.extend(moved.map(|modules| Notice::LinesMoved { modules }));
    notices.extend(doubles.several);
    notices.extend(specs.bad);
    notices.extend(unloaded.on_demand);
    notices.extend(newer);
    notices.extend(unlisted);
    let mut untouched = doubles.elsewhere;
    untouched.extend(covered(node.facts, &places));
    untouched.extend(not_found(node.facts));
    Ok(NewBeams {
        beams,
        untouched,
        gone: files.gone,
        compared: files.compared,
        same: files.same,
        notices,
        specs: specs.changes,
        compile_env: specs.compile_env,
        called,
        release,
    })
}

/// What the release brings that these beams belong to, or the folders of running applications.
fn release(
    node: &mut ComparedNode<'_>,
    new: &NewFolders,
    beams: &BTreeMap<Module, Beam>,
) -> Result<Option<ReleaseChange>> {
    let folders = beams.values().filter_map(|beam| folder_of(&beam.file));
    let facts = node.facts;
    let own = facts.apps.keys().filter_map(|app| new.of_app(facts, app));
    let own = own.filter(|folder| !facts.is_otp(folder));
    let folders: BTreeSet<String> = folders.chain(own).map(str::to_owned).collect();
    releases::inspect(node, &ReleaseLocation::Node, &folders, &new.moves)
}

/// The beams, on a node that never loads code when it is called together with modules that are not loaded and that only
/// beams which take part call, whether a specification lists them or not: these, each with a caller.
fn with_called(
    node: &mut ComparedNode<'_>,
    places: &CodePathListing,
    mut beams: BTreeMap<Module, Beam>,
) -> Result<(BTreeMap<Module, Beam>, BTreeMap<Module, Module>)> {
    let mut called = BTreeMap::new();
    while node.facts.embedded {
        let unloaded = places.all().filter(|(module, _)| {
            !node.facts.loaded.contains_key(*module) && !beams.contains_key(*module)
        });
        let candidates: BTreeSet<Module> = unloaded.map(|(module, _)| module.clone()).collect();
        let found = missing::called(&beams, &candidates);
        if found.is_empty() {
            break;
        }
        let first = |module: &Module| Some(places.of(module).first()?.file.clone());
        let files = found.keys();
        let files = files.filter_map(|module| Some((module.clone(), first(module)?)));
        beams.extend(fetch(node, files.collect())?);
        called.extend(found);
    }
    Ok((beams, called))
}

/// Modules in folders that others were loaded from, which stay unloaded on a node that never loads code when it is called.
fn unlisted(
    facts: &NodeFacts,
    new: &NewFolders,
    places: &CodePathListing,
    beams: &BTreeMap<Module, Beam>,
) -> Option<Notice> {
    if !facts.embedded {
        return None;
    }
    let files = facts.loaded.keys();
    let files = files.filter_map(|module| facts.file_of(module));
    let used: BTreeSet<String> = files
        .filter_map(|file| folder_of(&new.moved(file)).map(str::to_owned))
        .collect();
    let left = places.all().filter(|(module, spots)| {
        let in_use = spots
            .first()
            .is_some_and(|spot| used.contains(&spot.folder));
        in_use && !facts.loaded.contains_key(*module) && !beams.contains_key(*module)
    });
    let modules: Vec<Module> = left.map(|(module, _)| module.clone()).collect();
    (!modules.is_empty()).then_some(Notice::Unlisted { modules })
}

/// What the files of loaded modules are.
#[derive(Debug, Default)]
struct ChangedFiles {
    /// How many were compared.
    compared: usize,
    /// Those with the MD5 that runs.
    same: Vec<Module>,
    /// Those of them with other line information.
    lines_moved: Vec<Module>,
    /// Those with another MD5, and their files.
    wanted: BTreeMap<Module, String>,
    /// Those without a file.
    gone: Vec<RemovedModule>,
}

/// Loaded modules whose file has another MD5.
fn changed_files(node: &mut ComparedNode<'_>, new: &NewFolders) -> Result<ChangedFiles> {
    let loaded = node.facts.loaded.iter();
    let with_file: Vec<(&Module, String, Md5)> = loaded
        .filter_map(|(module, loaded)| match &loaded.origin {
            CodeOrigin::File(file) if file.ends_with(".beam") && file.starts_with('/') => {
                Some((module, new.moved(file), loaded.md5))
            }
            _ => None,
        })
        .collect();
    let paths: Vec<String> = with_file.iter().map(|(_, file, _)| file.clone()).collect();
    let found = node.disk.beams(&paths)?;
    let creation = node.session.creation();
    let mut files = ChangedFiles::default();
    for ((module, file, md5), found) in with_file.into_iter().zip(found) {
        files.compared += 1;
        match found {
            OnDisk::Beam(known) if known.module != *module => {
                let why = format!("it holds the module {}", known.module);
                return Err(unusable(&file, &why));
            }
            OnDisk::Beam(known) if known.md5 == md5 => {
                files.same.push(module.clone());
                if node.disk.seen.lines_moved(&file, creation, &known) {
                    files.lines_moved.push(module.clone());
                }
            }
            OnDisk::Beam(_) => {
                files.wanted.insert(module.clone(), file);
            }
            OnDisk::Missing => files.gone.push(RemovedModule {
                module: module.clone(),
                how: RemovalCause::File(file),
                callers: Vec::new(),
            }),
            OnDisk::Broken(why) => return Err(unusable(&file, &why)),
        }
    }
    Ok(files)
}

/// Loaded modules that have more than one file.
#[derive(Debug, Default)]
struct Doubles {
    /// Those whose file is not to be taken, and not missed: the code path leads to another one that differs from it.
    settled: BTreeSet<Module>,
    /// Those of them where that one is not what runs.
    elsewhere: Vec<(Module, SkipReason)>,
    /// Changed modules in several folders of the code path.
    several: Vec<Notice>,
}

/// Loaded modules for which the code path leads to another file than the one they come from, or to several.
fn doubles(
    node: &mut ComparedNode<'_>,
    new: &NewFolders,
    places: &CodePathListing,
    wanted: &BTreeMap<Module, String>,
) -> Result<Doubles> {
    let mut doubles = Doubles::default();
    let mut doubtful = Vec::new();
    for (module, spots) in places.all() {
        let Some(file) = node.facts.file_of(module).map(|file| new.moved(file)) else {
            continue;
        };
        let mut path = spots.iter().filter(|spot| spot.in_path);
        let Some(first) = path.next() else { continue };
        if first.file != file {
            doubtful.push((module.clone(), file, first.file.clone()));
        } else if wanted.contains_key(module) && !first.folder.ends_with("/consolidated") {
            let others: Vec<String> = path.map(|spot| spot.file.clone()).collect();
            if !others.is_empty() {
                doubles.several.push(Notice::SeveralInPath {
                    module: module.clone(),
                    taken: file,
                    others,
                });
            }
        }
    }
    let both: Vec<String> = doubtful
        .iter()
        .flat_map(|(_, loaded, path)| [loaded.clone(), path.clone()])
        .collect();
    let found = node.disk.beams(&both)?;
    for ((module, loaded, path), pair) in doubtful.into_iter().zip(found.chunks_exact(2)) {
        let runs = node.facts.loaded.get(&module).map(|loaded| loaded.md5);
        let (own, other) = match pair {
            [own, OnDisk::Beam(other)] => (own, other),
            [_, OnDisk::Broken(why)] => return Err(unusable(&path, why)),
            _ => continue,
        };
        let same_file = matches!(own, OnDisk::Beam(own) if own.md5 == other.md5);
        if same_file {
            continue; // one file under two names, or a copy: nothing is in doubt
        }
        if Some(other.md5) != runs {
            let why = SkipReason::Elsewhere { loaded, path };
            doubles.elsewhere.push((module.clone(), why));
        }
        doubles.settled.insert(module);
    }
    Ok(doubles)
}

/// The specifications of running applications, and how they differ.
fn specifications(
    node: &mut ComparedNode<'_>,
    new: &NewFolders,
    places: &CodePathListing,
) -> Result<NewSpecs> {
    let facts = node.facts;
    let files: Vec<(App, String)> = facts
        .apps
        .keys()
        .filter(|app| !CORE.contains(&app.as_str()))
        .filter_map(|app| {
            let file = format!("{}/{app}.app", new.of_app(facts, app)?);
            places.has_spec(&file).then(|| (app.clone(), file))
        })
        .collect();
    let paths: Vec<String> = files.iter().map(|(_, file)| file.clone()).collect();
    let contents = node.disk.read(&paths)?;
    let texts = files.into_iter().zip(contents);
    let texts: Vec<(App, String, Vec<u8>)> = texts
        .filter_map(|((app, file), text)| Some((app, file, text?)))
        .collect();
    let has_beam = |folder: &str, module: &Module| {
        let files = places.of(module).iter();
        files.map(|file| &file.folder).any(|there| there == folder)
    };
    compare_specs(node, texts, &has_beam)
}

/// Files of modules that are not loaded.
#[derive(Debug, Default)]
struct UnloadedFiles {
    /// Those that take part.
    wanted: BTreeMap<Module, String>,
    /// Those that the node loads when they are called.
    on_demand: Vec<Notice>,
}

/// Files of modules that are not loaded: new ones, and those that the node loads when they are called. `changed`: the
/// files of loaded modules that differ.
fn unloaded(
    facts: &NodeFacts,
    new: &NewFolders,
    places: &CodePathListing,
    specs: &BTreeMap<App, Spec>,
    changed: &BTreeMap<Module, String>,
) -> UnloadedFiles {
    let touched: BTreeSet<&str> = changed
        .values()
        .filter_map(|file| folder_of(file))
        .collect();
    let owners: BTreeMap<&str, &App> = facts
        .apps
        .keys()
        .filter_map(|app| Some((new.of_app(facts, app)?, app)))
        .collect();
    let mut wanted = BTreeMap::new();
    let mut on_demand: BTreeMap<Option<App>, Vec<Module>> = BTreeMap::new();
    for (module, spots) in places.all() {
        let Some(spot) = spots.first().filter(|_| !facts.loaded.contains_key(module)) else {
            continue;
        };
        let app = owners.get(spot.folder.as_str()).copied();
        // Of an application that does not run it may be on purpose that nothing is loaded.
        let known = facts.app_of(module);
        let listed = known.is_some_and(|app| facts.is_in_use(app));
        let is_touched = touched.contains(spot.folder.as_str());
        let newly_listed = known.is_none()
            && app
                .and_then(|app| specs.get(app))
                .is_some_and(|spec| spec.lists(module));
        let takes_part = match (facts.embedded, app) {
            (true, _) => listed || newly_listed || is_touched,
            // Nor are modules of an application that is not in use, such as ExUnit in a shell of mix: the node loads them
            // when they are called.
            (false, Some(app)) => {
                known.is_none() && facts.is_in_use(app) && (newly_listed || is_touched)
            }
            (false, None) => false,
        };
        if takes_part {
            wanted.insert(module.clone(), spot.file.clone());
        } else if is_touched {
            on_demand
                .entry(app.cloned())
                .or_default()
                .push(module.clone());
        }
    }
    let on_demand = on_demand.into_iter();
    let on_demand = on_demand.map(|(app, modules)| Notice::OnDemand { app, modules });
    UnloadedFiles {
        wanted,
        on_demand: on_demand.collect(),
    }
}

/// Cover-compiled modules that have a file: whether it is the code they were made of cannot be known.
fn covered(facts: &NodeFacts, places: &CodePathListing) -> Vec<(Module, SkipReason)> {
    let covered = facts.loaded.iter().filter(|(module, loaded)| {
        loaded.origin == CodeOrigin::Cover && !places.of(module).is_empty()
    });
    let covered = covered.map(|(module, _)| (module.clone(), SkipReason::Cover));
    covered.collect()
}

/// Loaded from files with relative names that lead nowhere: the node's current folder may have been another one then.
fn not_found(facts: &NodeFacts) -> impl Iterator<Item = (Module, SkipReason)> {
    let loaded = facts.loaded.iter();
    loaded.filter_map(|(module, loaded)| match &loaded.origin {
        CodeOrigin::File(file) if file.ends_with(".beam") && !file.starts_with('/') => {
            Some((module.clone(), SkipReason::NotFound(file.clone())))
        }
        _ => None,
    })
}

/// Reads the beams that take part.
fn fetch(
    node: &mut ComparedNode<'_>,
    wanted: BTreeMap<Module, String>,
) -> Result<BTreeMap<Module, Beam>> {
    let paths: Vec<String> = wanted.values().cloned().collect();
    let contents = node.disk.read(&paths)?;
    let facts = computed(&contents, |bytes| bytes.as_deref().map(BeamFacts::read));
    let mut beams = BTreeMap::new();
    for (((module, file), bytes), facts) in wanted.into_iter().zip(contents).zip(facts) {
        let (Some(bytes), Some(facts)) = (bytes, facts) else {
            return Err(unusable(&file, "the file cannot be read"));
        };
        let facts = facts
            .map_err(|why| unusable(&file, &why.to_string()))?
            .on(node.facts.otp);
        if facts.module != module {
            let why = format!("it holds the module {}", facts.module);
            return Err(unusable(&file, &why));
        }
        beams.insert(module, Beam::new(bytes, file, facts));
    }
    Ok(beams)
}
