//! `code on_disk`: the node's own files against what it has loaded, and what lies beside them.
//!
//! Gives the beams that differ, and notes in the change set what else is there: files in two places, applications
//! installed beside their running version, specifications, modules that are not loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::comparison::{Comparison, unusable};
use super::library_versions;
use super::missing;
use super::releases::{self, ReleaseLocation};
use crate::diag::Result;
use crate::facts::app::app_specs::{Spec, compiled_otherwise};
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, Notice, RemovalCause, RemovedModule, SkipReason};
use crate::facts::node::code_path::CodePathListing;
use crate::facts::node::node_facts::{self, CORE, CodeOrigin};
use crate::facts::node::node_files::{OnDisk, folder_of};
use crate::name::{App, Module};

/// The beams of the node's disk that differ from what runs.
pub(super) fn on_disk(comparison: &mut Comparison<'_>) -> Result<BTreeMap<Module, Beam>> {
    let mut wanted = changed_files(comparison)?;
    let places = CodePathListing::list(comparison.facts, &comparison.left, &mut comparison.disk)?;
    doubles(comparison, &places, &mut wanted)?;
    let specs = specifications(comparison, &places)?;
    unloaded(comparison, &places, &specs, &mut wanted);
    covered(comparison, &places);
    note_newer_versions(comparison)?;
    let mut beams = fetch(comparison, wanted)?;
    called(comparison, &places, &mut beams)?;
    unlisted(comparison, &places, &beams);
    let mut folders: BTreeSet<String> = beams
        .values()
        .filter_map(|beam| folder_of(&beam.file))
        .map(str::to_owned)
        .collect();
    let own = comparison
        .facts
        .apps
        .keys()
        .filter_map(|app| comparison.new_folder(app));
    folders.extend(
        own.filter(|f| !comparison.facts.is_otp(f))
            .map(str::to_owned),
    );
    releases::inspect(comparison, &ReleaseLocation::Node, &folders)?;
    Ok(beams)
}

/// On a node that never loads code when it is called: modules that are not loaded and that only beams which take part
/// call, whether a specification lists them or not.
fn called(
    comparison: &mut Comparison<'_>,
    places: &CodePathListing,
    beams: &mut BTreeMap<Module, Beam>,
) -> Result<()> {
    while comparison.facts.embedded {
        let unloaded = places.all().filter(|(module, _)| {
            !comparison.facts.loaded.contains_key(*module) && !beams.contains_key(*module)
        });
        let candidates: BTreeSet<Module> = unloaded.map(|(module, _)| module.clone()).collect();
        let found = missing::called(beams, &candidates);
        if found.is_empty() {
            break;
        }
        let first = |module: &Module| Some(places.of(module).first()?.file.clone());
        let files = found.keys();
        let files = files.filter_map(|module| Some((module.clone(), first(module)?)));
        beams.extend(fetch(comparison, files.collect())?);
        comparison.set.called.extend(found);
    }
    Ok(())
}

/// Modules in folders that others were loaded from, which stay unloaded on a node that never loads code when it is called.
fn unlisted(
    comparison: &mut Comparison<'_>,
    places: &CodePathListing,
    beams: &BTreeMap<Module, Beam>,
) {
    if !comparison.facts.embedded {
        return;
    }
    let files = comparison
        .facts
        .loaded
        .keys()
        .filter_map(|module| comparison.facts.file_of(module));
    let used: BTreeSet<String> = files
        .filter_map(|file| folder_of(&comparison.moved(file)).map(str::to_owned))
        .collect();
    let left = places.all().filter(|(module, spots)| {
        let in_use = spots
            .first()
            .is_some_and(|spot| used.contains(&spot.folder));
        in_use && !comparison.facts.loaded.contains_key(*module) && !beams.contains_key(*module)
    });
    let modules: Vec<Module> = left.map(|(module, _)| module.clone()).collect();
    if !modules.is_empty() {
        comparison.set.notices.push(Notice::Unlisted { modules });
    }
}

/// Loaded modules whose file has another MD5.
fn changed_files(comparison: &mut Comparison<'_>) -> Result<BTreeMap<Module, String>> {
    let facts = comparison.facts;
    let with_file: Vec<(&Module, String, [u8; 16])> = facts
        .loaded
        .iter()
        .filter_map(|(module, loaded)| match &loaded.origin {
            CodeOrigin::File(file) if file.ends_with(".beam") && file.starts_with('/') => {
                Some((module, comparison.moved(file), loaded.md5))
            }
            _ => None,
        })
        .collect();
    let paths: Vec<String> = with_file.iter().map(|(_, file, _)| file.clone()).collect();
    let found = comparison.disk.beams(&paths)?;
    let creation = comparison.session.creation();
    let mut wanted = BTreeMap::new();
    let mut moved = Vec::new();
    for ((module, file, md5), found) in with_file.into_iter().zip(found) {
        comparison.set.compared += 1;
        match found {
            OnDisk::Beam(known) if known.module != *module => {
                let why = format!("it holds the module {}", known.module);
                return Err(unusable(&file, &why));
            }
            OnDisk::Beam(known) if known.md5 == md5 => {
                comparison.set.same.push(module.clone());
                if comparison.disk.seen.lines_moved(&file, creation, &known) {
                    moved.push(module.clone());
                }
            }
            OnDisk::Beam(_) => {
                wanted.insert(module.clone(), file);
            }
            OnDisk::Missing => comparison.set.gone.push(RemovedModule {
                module: module.clone(),
                how: RemovalCause::File(file),
                callers: Vec::new(),
            }),
            OnDisk::Broken(why) => return Err(unusable(&file, &why)),
        }
    }
    if !moved.is_empty() {
        comparison
            .set
            .notices
            .push(Notice::LinesMoved { modules: moved });
    }
    Ok(wanted)
}

/// Loaded modules for which the code path leads to another file than the one they come from, or to several.
fn doubles(
    comparison: &mut Comparison<'_>,
    places: &CodePathListing,
    wanted: &mut BTreeMap<Module, String>,
) -> Result<()> {
    let mut doubtful = Vec::new();
    for (module, spots) in places.all() {
        let Some(file) = comparison
            .facts
            .file_of(module)
            .map(|file| comparison.moved(file))
        else {
            continue;
        };
        let mut path = spots.iter().filter(|spot| spot.in_path);
        let Some(first) = path.next() else { continue };
        if first.file != file {
            doubtful.push((module.clone(), file, first.file.clone()));
        } else if wanted.contains_key(module) && !first.folder.ends_with("/consolidated") {
            let others: Vec<String> = path.map(|spot| spot.file.clone()).collect();
            if !others.is_empty() {
                comparison.set.notices.push(Notice::SeveralInPath {
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
    let found = comparison.disk.beams(&both)?;
    for ((module, loaded, path), pair) in doubtful.into_iter().zip(found.chunks_exact(2)) {
        let runs = comparison
            .facts
            .loaded
            .get(&module)
            .map(|loaded| loaded.md5);
        let (own, other) = match pair {
            [own, OnDisk::Beam(other)] => (own, other),
            [_, OnDisk::Broken(why)] => return Err(unusable(&path, why)),
            _ => continue,
        };
        let same_file = matches!(own, OnDisk::Beam(own) if own.md5 == other.md5);
        if same_file {
            continue; // one file under two names, or a copy: nothing is in doubt
        }
        comparison.set.gone.retain(|gone| gone.module != module);
        wanted.remove(&module);
        if Some(other.md5) != runs {
            let why = SkipReason::Elsewhere { loaded, path };
            comparison.set.untouched.push((module, why));
        }
    }
    Ok(())
}

/// The specifications of running applications, and how they differ.
fn specifications(
    comparison: &mut Comparison<'_>,
    places: &CodePathListing,
) -> Result<BTreeMap<App, Spec>> {
    let facts = comparison.facts;
    let files: Vec<(App, String)> = facts
        .apps
        .keys()
        .filter(|app| !CORE.contains(&app.as_str()))
        .filter_map(|app| {
            let file = format!("{}/{app}.app", comparison.new_folder(app)?);
            places.has_spec(&file).then(|| (app.clone(), file))
        })
        .collect();
    let paths: Vec<String> = files.iter().map(|(_, file)| file.clone()).collect();
    let contents = comparison.disk.read(&paths)?;
    let texts = files.into_iter().zip(contents);
    let texts: Vec<(App, String, Vec<u8>)> = texts
        .filter_map(|((app, file), text)| Some((app, file, text?)))
        .collect();
    compare_specs(comparison, texts)
}

/// Reads specifications and notes how they differ from the running applications.
pub(super) fn compare_specs(
    comparison: &mut Comparison<'_>,
    texts: Vec<(App, String, Vec<u8>)>,
) -> Result<BTreeMap<App, Spec>> {
    let mut specs = Vec::new();
    for (app, file, text) in texts {
        match Spec::read(&text) {
            Ok(spec) if spec.app.as_ref() == Some(&app) => specs.push((app, file, spec)),
            Ok(_) => {
                let why = "it is about another application".to_owned();
                comparison.set.notices.push(Notice::BadSpec { file, why });
            }
            Err(why) => comparison.set.notices.push(Notice::BadSpec { file, why }),
        }
    }
    let mut old = running_specs(comparison, &specs)?;
    let with_env: Vec<App> = specs
        .iter()
        .filter(|(app, _, spec)| {
            let had = old.get(app).is_some_and(|old| !old.env.is_empty());
            had || !spec.env.is_empty()
        })
        .map(|(app, _, _)| app.clone())
        .collect();
    let compiled = specs.iter().flat_map(|(_, _, spec)| &spec.compile_env);
    let compiled = compiled.map(|(of, ..)| of.clone());
    let with_env: BTreeSet<App> = with_env.into_iter().chain(compiled).collect();
    let with_env: Vec<App> = with_env.into_iter().collect();
    let environments = node_facts::environments(comparison.session, &with_env)?;
    let environments: BTreeMap<App, _> = with_env.into_iter().zip(environments).collect();
    comparison
        .set
        .compile_env
        .extend(compiled_otherwise(&specs, &environments));
    let none = BTreeMap::new();
    for (app, file, spec) in &specs {
        let env = environments.get(app).unwrap_or(&none);
        let running = comparison.facts.apps.get(app);
        comparison.set.specs.extend(
            running.and_then(|running| spec.against(app, file, running, env, old.remove(app))),
        );
    }
    Ok(specs
        .into_iter()
        .map(|(app, _, spec)| (app, spec))
        .collect())
}

/// The specifications that the applications were started with, where those are still there: beside the code that runs,
/// when the new ones are in other files.
fn running_specs(
    comparison: &mut Comparison<'_>,
    new: &[(App, String, Spec)],
) -> Result<BTreeMap<App, Spec>> {
    let files: Vec<(&App, String)> = new
        .iter()
        .filter_map(|(app, file, _)| {
            let running = format!("{}/{app}.app", comparison.facts.folder_of_app(app)?);
            (running != *file).then_some((app, running))
        })
        .collect();
    let paths: Vec<String> = files.iter().map(|(_, file)| file.clone()).collect();
    let texts = comparison.disk.read(&paths)?;
    let specs = files.into_iter().zip(texts).filter_map(|((app, _), text)| {
        let spec = Spec::read(&text?).ok()?;
        let runs = comparison.facts.apps.get(app)?.vsn == spec.vsn;
        (runs && spec.app.as_ref() == Some(app)).then(|| (app.clone(), spec))
    });
    Ok(specs.collect())
}

/// Files of modules that are not loaded: new ones, and those that the node loads when they are called.
fn unloaded(
    comparison: &mut Comparison<'_>,
    places: &CodePathListing,
    specs: &BTreeMap<App, Spec>,
    wanted: &mut BTreeMap<Module, String>,
) {
    let facts = comparison.facts;
    let touched: BTreeSet<String> = wanted
        .values()
        .filter_map(|file| folder_of(file))
        .map(str::to_owned)
        .collect();
    let owners: BTreeMap<String, &App> = facts
        .apps
        .keys()
        .filter_map(|app| Some((comparison.new_folder(app)?.to_owned(), app)))
        .collect();
    let mut on_demand: BTreeMap<Option<App>, Vec<Module>> = BTreeMap::new();
    for (module, spots) in places.all() {
        let Some(spot) = spots.first().filter(|_| !facts.loaded.contains_key(module)) else {
            continue;
        };
        let app = owners.get(spot.folder.as_str()).copied();
        // Of an application that does not run it may be on purpose that nothing is loaded.
        let listed = facts.app_of(module).is_some_and(|app| facts.is_in_use(app));
        let is_touched = touched.contains(&spot.folder);
        let newly_listed = app
            .and_then(|app| specs.get(app))
            .is_some_and(|spec| spec.lists(module));
        let takes_part = match (facts.embedded, app) {
            (true, _) => listed || newly_listed || is_touched,
            (false, Some(_)) => !listed && (newly_listed || is_touched),
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
    let notices = on_demand.into_iter();
    comparison
        .set
        .notices
        .extend(notices.map(|(app, modules)| Notice::OnDemand { app, modules }));
}

/// Cover-compiled modules that have a file: nobody can tell whether it is the code they were made of.
fn covered(comparison: &mut Comparison<'_>, places: &CodePathListing) {
    for (module, loaded) in &comparison.facts.loaded {
        if loaded.origin == CodeOrigin::Cover && !places.of(module).is_empty() {
            comparison
                .set
                .untouched
                .push((module.clone(), SkipReason::Cover));
        }
    }
}

/// Newer versions of running applications in `NAME-VSN` folders beside theirs.
fn note_newer_versions(comparison: &mut Comparison<'_>) -> Result<()> {
    for (app, running, newer, folder) in library_versions::newer_versions(comparison)? {
        comparison.set.notices.push(Notice::NewerBeside {
            app,
            running,
            newer,
            folder,
        });
    }
    Ok(())
}

/// Reads the beams that take part.
fn fetch(
    comparison: &mut Comparison<'_>,
    wanted: BTreeMap<Module, String>,
) -> Result<BTreeMap<Module, Beam>> {
    let paths: Vec<String> = wanted.values().cloned().collect();
    let contents = comparison.disk.read(&paths)?;
    let mut beams = BTreeMap::new();
    for ((module, file), bytes) in wanted.into_iter().zip(contents) {
        let bytes = bytes.ok_or_else(|| unusable(&file, "the file cannot be read"))?;
        let facts = BeamFacts::read(&bytes)
            .map_err(|why| unusable(&file, &why.to_string()))?
            .on(comparison.facts.otp);
        if facts.module != module {
            let why = format!("it holds the module {}", facts.module);
            return Err(unusable(&file, &why));
        }
        let bytes = Arc::from(bytes);
        beams.insert(module, Beam { bytes, file, facts });
    }
    Ok(beams)
}
