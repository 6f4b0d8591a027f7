//! `updo diff`: what differs between old and new. With a plan: between what its nodes run and the new code;
//! with `--old` and `--new`: between two folders, without a node.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::args::DiffArgs;
use super::context::Context;
use super::exit::Exit;
use super::pager;
use crate::diag::suggest::suggest;
use crate::diag::{Diagnostic, SourceMap};
use crate::engine::Settings;
use crate::facts::app::AppSpec;
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, Changed, RunningVersion};
use crate::facts::compare::diff::{AppDiff, DiffKind, ModuleDiff};
use crate::facts::local::files::{self, FileError};
use crate::name::{App, Module};
use crate::report::diff::{DiffReport, json, text};

pub(super) fn run(context: &Context<'_>, args: &DiffArgs) -> Exit {
    let offline_only = args.old.is_some();
    let plan = args.what.first().filter(|_| !offline_only).map(Path::new);
    let settings = match context.settings_for(plan, &args.push) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match (&args.old, &args.new) {
        (Some(old), Some(new)) => offline(context, args, old, new),
        _ => match args.what.split_first() {
            Some((plan, modules)) => of_plan(context, args, settings, (Path::new(plan), modules)),
            None => context.usage(
                "diff what?",
                "updo diff PLAN, or updo diff --old EBIN --new EBIN",
            ),
        },
    }
}

fn of_plan(
    context: &Context<'_>,
    args: &DiffArgs,
    settings: Settings,
    (plan, wanted): (&Path, &[String]),
) -> Exit {
    let Some(engine) = context.open(plan, settings) else {
        return Exit::Plan;
    };
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    for node in nodes {
        let upgrade = match engine.connect(&node).and_then(|c| c.prepare()) {
            Ok(upgrade) => upgrade,
            Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
        };
        let modules = upgrade.changes.modules.iter();
        let shown = DiffReport {
            modules: modules
                .map(|(m, changed)| ModuleDiff::of(m, changed))
                .collect(),
            apps: Vec::new(),
            compared: upgrade.changes.compared,
        };
        if let Err(exit) = show(context, args, shown, wanted) {
            return exit;
        }
    }
    Exit::Done
}

fn offline(context: &Context<'_>, args: &DiffArgs, old: &str, new: &str) -> Exit {
    let mut sources = SourceMap::default();
    let found = versions(old, new).and_then(|(old_facts, new_facts, compared)| {
        let modules = compare(&old_facts, &new_facts)?;
        let apps = applications(old, new, &mut sources).map_err(|diagnostic| vec![*diagnostic])?;
        Ok(DiffReport {
            modules,
            apps,
            compared,
        })
    });
    match found {
        Ok(shown) => show(context, args, shown, &args.what)
            .err()
            .unwrap_or(Exit::Done),
        Err(diagnostic) => {
            context.ui.diagnostics(&diagnostic, &sources);
            diagnostic
                .first()
                .map_or(Exit::Done, |first| Exit::of(first.code))
        }
    }
}

/// Shows what was asked for.
fn show(
    context: &Context<'_>,
    args: &DiffArgs,
    mut shown: DiffReport,
    wanted: &[String],
) -> Result<(), Exit> {
    let wanted: BTreeSet<Module> = wanted.iter().map(|text| Module::typed(text)).collect();
    for module in &wanted {
        if shown.modules.iter().any(|known| known.module == *module) {
            continue;
        }
        let known = shown.modules.iter().map(|known| known.module.as_str());
        let help = match suggest(module.as_str(), known) {
            Some(close) => format!("did you mean `{}`?", Module::new(close)),
            None => "it is not among the modules compared, or does not differ".to_owned(),
        };
        return Err(context.usage(&format!("nothing to say about `{module}`"), &help));
    }
    if !wanted.is_empty() {
        shown.modules.retain(|known| wanted.contains(&known.module));
        shown.apps.clear();
    } else if !args.all {
        shown.modules.retain(|known| known.kind != DiffKind::Same);
    }
    let style = context.ui.out_style;
    match context.ui.json {
        true => context.ui.json(&format!("{:#}\n", json(&shown))),
        false => pager::show(
            context,
            &text(&shown, args.all || !wanted.is_empty(), style),
        ),
    }
    Ok(())
}

/// Path and light facts of each module.
type Version = BTreeMap<Module, (PathBuf, BeamFacts)>;

fn versions(old: &str, new: &str) -> Result<(Version, Version, usize), Vec<Diagnostic>> {
    let (old, new) = (version(old)?, version(new)?);
    let names: BTreeSet<&Module> = old.keys().chain(new.keys()).collect();
    let compared = names.len();
    Ok((old, new, compared))
}

fn version(folder: &str) -> Result<Version, Vec<Diagnostic>> {
    let diagnostics_of =
        |errors: &[FileError]| errors.iter().map(FileError::diagnostic).collect::<Vec<_>>();
    let paths =
        files::beams_in(&[folder], Path::new("")).map_err(|error| diagnostics_of(&[error]))?;
    let twice = files::twice(&paths);
    if !twice.is_empty() {
        return Err(diagnostics_of(&twice));
    }
    let (mut read, mut wrong) = (Version::new(), Vec::new());
    for (path, facts) in paths.iter().zip(files::facts_of(&paths)) {
        match facts {
            Ok(facts) => {
                read.insert(facts.module.clone(), (path.clone(), facts));
            }
            Err(error) => wrong.push(error),
        }
    }
    if wrong.is_empty() {
        Ok(read)
    } else {
        Err(diagnostics_of(&wrong))
    }
}

fn compare(old: &Version, new: &Version) -> Result<Vec<ModuleDiff>, Vec<Diagnostic>> {
    let names: BTreeSet<&Module> = old.keys().chain(new.keys()).collect();
    let mut modules = Vec::with_capacity(names.len());
    for module in names {
        let (before, after) = (old.get(module), new.get(module));
        let same = before
            .zip(after)
            .is_some_and(|(a, b)| a.1.md5 == b.1.md5 && a.1.line_md5 == b.1.line_md5);
        let beam = |side: Option<&(PathBuf, BeamFacts)>| {
            side.map(|(path, facts)| {
                if same {
                    Ok(light(path, facts))
                } else {
                    read_beam(path)
                }
            })
            .transpose()
            .map_err(|error| vec![error.diagnostic()])
        };
        let (before, after) = (beam(before)?, beam(after)?);
        let changed = Changed {
            unloaded: None,
            loaded: before.as_ref().map(|beam| RunningVersion {
                md5: beam.facts.md5,
                file: beam.file.clone(),
                exports: beam.facts.exports.clone(),
                vsn: Some(beam.facts.vsn()),
            }),
            old: before,
            new: after,
            app: None,
            processes: 0,
            module_processes: Default::default(),
        };
        modules.push(ModuleDiff::of(module, &changed));
    }
    Ok(modules)
}

/// A version that is the same as the other: its bytes have nothing to add.
fn light(path: &Path, facts: &BeamFacts) -> Beam {
    Beam::new([], path.display().to_string(), facts.clone())
}

fn read_beam(path: &Path) -> Result<Beam, FileError> {
    let file = files::read_beam_file(path)?;
    let wrong = |error| FileError::Beam {
        path: path.to_owned(),
        error,
    };
    let facts = BeamFacts::read_whole(&file.bytes, &BTreeSet::new()).map_err(wrong)?;
    Ok(Beam::new(file.bytes, path.display().to_string(), facts))
}

fn applications(
    old: &str,
    new: &str,
    sources: &mut SourceMap,
) -> crate::diag::Result<Vec<AppDiff>> {
    let mut specs = |folder: &str| -> crate::diag::Result<BTreeMap<App, AppSpec>> {
        let mut found = BTreeMap::new();
        for path in files::apps_in(Path::new(folder)) {
            let spec = AppSpec::read(&path, sources)?;
            found.insert(spec.name.clone(), spec);
        }
        Ok(found)
    };
    let (old, new) = (specs(old)?, specs(new)?);
    let names: BTreeSet<&App> = old.keys().chain(new.keys()).collect();
    let differ = names
        .into_iter()
        .map(|name| AppDiff::of(name, old.get(name), new.get(name)));
    Ok(differ.filter(|app| !app.is_empty()).collect())
}
