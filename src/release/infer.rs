//! An appup from two versions of an application: the rules of a run, written down for OTP.
//!
//! Takes two ebin folders, gives instructions up and down. What changed is decided by MD5, classes and
//! conversions as for a run, and the edges become dependencies: those that must be obeyed, or all calls.
//! The way down mirrors the way up: a module that waits on the way up goes first on the way down. Files only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::children;
use super::consult::{TermFile, consult};
use super::error::{Refusal, ReleaseError};
use super::path::app_files;
use super::wrapped;
use crate::diag::{Code, Diagnostic, Result, SourceMap};
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, ChangeSet, Changed, RunningVersion};
use crate::facts::local::files::{beams_of, read_beam_file};
use crate::graph::{Edge, Graph, Reason, build};
use crate::name::{App, Module};
use crate::rules::plan_rules::Manual;
use crate::rules::{Ruleset, lints, merge};
use crate::script::high;
use crate::script::instruction::Instruction;
use crate::term::Term;

/// Which edges become dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyKinds {
    /// Those that must be obeyed: one version does not work with the other of its partner.
    Hard,
    /// All calls as well.
    Calls,
}

/// An inferred appup.
#[derive(Clone, Debug)]
pub struct InferredAppup {
    /// The new version, a string.
    pub vsn: Term,
    /// The old version, a string.
    pub old_vsn: Term,
    /// From old to new.
    pub up: Vec<Instruction>,
    /// From new to old.
    pub down: Vec<Instruction>,
    /// What differs; the version of the application is the new one.
    pub changes: ChangeSet,
    /// What was decided.
    pub rules: Ruleset,
    /// What there is to say.
    pub diagnostics: Vec<Diagnostic>,
}

/// Infers an appup.
///
/// # Errors
/// When a folder has no `.app` file or a bad one (E411, E412), both are of one version, or a beam cannot be
/// used (E214). Texts that errors point into are added to `sources`.
pub fn appup(
    old: &Path,
    new: &Path,
    deps: DependencyKinds,
    sources: &mut SourceMap,
) -> Result<InferredAppup> {
    let mut read = |folder: &Path| {
        Version::read(folder).map_err(|refusal| Box::new(refusal.diagnostic(sources)))
    };
    let (old_app, new_app) = (read(old)?, read(new)?);
    if old_app.name != new_app.name {
        let title = format!("{} and {} are two applications", old_app.name, new_app.name);
        return Err(Box::new(Diagnostic::new(Code::E412, title)));
    }
    if old_app.vsn == new_app.vsn {
        let title = format!(
            "both folders hold version {} of {}",
            new_app.vsn, new_app.name
        );
        let help = "an appup is between two versions: raise `vsn` in the new .app file";
        return Err(Box::new(Diagnostic::new(Code::E412, title).help(help)));
    }
    let changes = change_set(&new_app, beams(old)?, beams(new)?);
    let graph = build::build(&changes);
    let merged = merge::merge(&changes, &graph, &Manual::default());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let groups = groups(&merged.rules);
    let steps = children::early(high::high(&changes, &merged.rules), &merged.rules);
    for step in steps {
        let module = &step.module;
        let deps = dependencies(&changes, &merged.rules, &groups, module, deps);
        let calls = children::calls(&changes, &merged.rules, module);
        up.extend(calls.up.0);
        let mut back = calls.down.0;
        let main = step.instruction.clone().nearest_in_otp().with_deps(deps);
        back.push(mirrored(&main));
        up.push(main);
        up.extend(calls.up.1);
        back.extend(calls.down.1);
        down.push(back);
    }
    let down = down.into_iter().rev().flatten().collect();
    let mut diagnostics = warnings(merged.diagnostics);
    diagnostics.extend(children::advice(&changes, &merged.rules));
    diagnostics.extend(unlisted(&changes, &old_app, &new_app));
    for (module, changed) in &changes.modules {
        if let Some(decided) = merged.rules.modules.get(module) {
            let class = decided.class.value;
            lints::wrapper(&changes, module, changed, class, &mut diagnostics);
        }
    }
    let rules = merged.rules;
    Ok(InferredAppup {
        vsn: new_app.vsn,
        old_vsn: old_app.vsn,
        up,
        down,
        changes,
        rules,
        diagnostics,
    })
}

impl InferredAppup {
    /// `{Vsn, [{OldVsn, Up}], [{OldVsn, Down}]}`.
    pub fn to_term(&self) -> Term {
        let side = |script: &[Instruction]| {
            // What OTP has no word for comes from plans only, and there is none.
            let script = Term::list(script.iter().filter_map(|one| one.to_appup().ok()));
            Term::list([Term::tuple([self.old_vsn.clone(), script])])
        };
        Term::tuple([self.vsn.clone(), side(&self.up), side(&self.down)])
    }
}

/// What the `.app` file of a folder says.
struct Version {
    name: App,
    vsn: Term,
    modules: BTreeSet<Module>,
}

impl Version {
    fn read(folder: &Path) -> std::result::Result<Self, Refusal> {
        let files = app_files(folder).map_err(|why| {
            ReleaseError::BadFolder(folder.to_owned(), format!("cannot be read: {why}"))
        })?;
        let [file] = files.as_slice() else {
            let why = match files.len() {
                0 => "holds no .app file".to_owned(),
                n => format!("holds {n} .app files, one is wanted"),
            };
            return Err(ReleaseError::BadFolder(folder.to_owned(), why).into());
        };
        let document = consult(file)
            .map_err(|failure| Refusal::from(ReleaseError::FileProblem(Box::new(failure))))?;
        Self::parse(&Arc::new(document))
    }

    fn parse(document: &Arc<TermFile>) -> std::result::Result<Self, Refusal> {
        let wrong = |why: &str| {
            let error = ReleaseError::BadFolder(document.path.clone(), why.to_owned());
            error.at(document, document.place.span)
        };
        let Some([tag, Term::Atom(name), Term::List(keys)]) = document.term.as_tuple() else {
            return Err(wrong("is not `{application, Name, [..]}`"));
        };
        if !tag.is_atom("application") {
            return Err(wrong("is not `{application, Name, [..]}`"));
        }
        let value = |key: &str| {
            keys.iter().find_map(|pair| match pair.as_tuple() {
                Some([found, value]) if found.is_atom(key) => Some(value),
                _ => None,
            })
        };
        let vsn = value("vsn").filter(|vsn| super::rel::is_string(vsn));
        let vsn = vsn.ok_or_else(|| wrong("has no `{vsn, \"…\"}`"))?;
        let modules = value("modules").and_then(Term::as_list).unwrap_or_default();
        Ok(Self {
            name: App::new(name.as_str()),
            vsn: vsn.clone(),
            modules: modules
                .iter()
                .filter_map(|module| Some(Module::new(module.as_atom()?.as_str())))
                .collect(),
        })
    }
}

pub(super) type Beams = BTreeMap<Module, Beam>;

/// The beams of a folder; a folder without any is fine.
fn beams(folder: &Path) -> Result<Beams> {
    let unusable =
        |why: String| Box::new(Diagnostic::new(Code::E214, "a beam file cannot be used").note(why));
    let pattern = folder
        .to_str()
        .ok_or_else(|| unusable(format!("{} is not UTF-8", folder.display())))?;
    let paths = match beams_of(&[pattern], Path::new("")) {
        Ok(paths) => paths,
        Err(crate::facts::local::files::FileError::Nothing { .. }) => Vec::new(),
        Err(error) => return Err(unusable(error.to_string())),
    };
    let mut found = Beams::new();
    for path in paths {
        let file = read_beam_file(&path).map_err(|error| unusable(error.to_string()))?;
        let beam = Beam::new(file.bytes, path.display().to_string(), file.facts);
        found.insert(beam.facts.module.clone(), beam);
    }
    Ok(found)
}

/// What differs, by MD5; modules that take part are read whole.
fn change_set(app: &Version, mut old: Beams, mut new: Beams) -> ChangeSet {
    let natures = wrapped::natures(&old, &new);
    let named = wrapped::named(&old, &new, &natures);
    let all: BTreeSet<Module> = old.keys().chain(new.keys()).cloned().collect();
    let md5 = |beams: &Beams, module: &Module| beams.get(module).map(|beam| beam.facts.md5);
    let changed: BTreeSet<Module> = all
        .iter()
        .filter(|module| md5(&old, module) != md5(&new, module))
        .cloned()
        .collect();
    let whole = |beam: Option<Beam>| {
        beam.map(|mut beam| {
            // Its tables were read before; what its code shows is a bonus.
            if let Ok(facts) = BeamFacts::read_whole(&beam.bytes, &changed) {
                beam.facts = facts;
            }
            beam
        })
    };
    let mut set = ChangeSet {
        compared: all.len(),
        app_vsn: BTreeMap::from([(app.name.clone(), app.vsn.to_text().unwrap_or_default())]),
        natures,
        ..ChangeSet::default()
    };
    for module in &changed {
        let old = whole(old.remove(module));
        let loaded = old.as_ref().map(|beam| RunningVersion {
            md5: beam.facts.md5,
            file: beam.file.clone(),
            exports: beam.facts.exports.clone(),
            vsn: Some(beam.facts.vsn()),
        });
        let changed = Changed {
            unloaded: None,
            loaded,
            new: whole(new.remove(module)),
            old,
            app: Some(app.name.clone()),
            processes: 0,
            module_processes: Default::default(),
        };
        set.modules.insert(module.clone(), changed);
    }
    wrapped::tell(&mut set, &named);
    set
}

/// What a module depends on, other than by the order of the instructions: a module that is added, or deleted, is so before,
/// or behind, whatever calls it. In one group with it everything would change at once, and no call could come between.
fn dependencies(
    changes: &ChangeSet,
    rules: &Ruleset,
    groups: &BTreeMap<Module, usize>,
    module: &Module,
    deps: DependencyKinds,
) -> Vec<Module> {
    let in_order = |to: &Module| {
        let comes = |changed: &Changed| changed.loaded.is_none() || changed.new.is_none();
        changes.modules.get(to).is_some_and(comes) && groups.get(to) != groups.get(module)
    };
    let counts = |edge: &Edge| {
        let calls = |reason: &Reason| matches!(reason, Reason::Calls { .. });
        edge.is_hard() || deps == DependencyKinds::Calls && edge.reasons.iter().any(calls)
    };
    rules
        .graph
        .dependencies(module)
        .filter(|(to, edge)| counts(edge) && !in_order(to))
        .map(|(to, _)| to.clone())
        .collect()
}

/// The cycle that a module is part of, as a number.
fn groups(rules: &Ruleset) -> BTreeMap<Module, usize> {
    let components = rules.order.iter().enumerate();
    let members = components.flat_map(|(at, one)| one.modules.iter().map(move |m| (m.clone(), at)));
    members.collect()
}

/// All that some modules depend on, directly or by way of others.
pub(super) fn reach(graph: &Graph, modules: impl IntoIterator<Item = Module>) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    let mut open: Vec<Module> = modules.into_iter().collect();
    while let Some(module) = open.pop() {
        for (to, _) in graph.dependencies(&module) {
            if found.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    found
}

/// The same module on the way down.
fn mirrored(instruction: &Instruction) -> Instruction {
    match instruction.clone() {
        Instruction::AddModule { module, deps } => Instruction::DeleteModule { module, deps },
        Instruction::DeleteModule { module, deps } => Instruction::AddModule { module, deps },
        other => other,
    }
}

/// What the rules say, without what only a plan could answer.
fn warnings(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics
        .into_iter()
        .filter(|diagnostic| diagnostic.code != Code::W307)
        .map(|mut diagnostic| {
            // OTP carries out any circle in one group; only the reader has to know it.
            if diagnostic.is_error() {
                diagnostic.code = Code::W417;
            }
            diagnostic
        })
        .collect()
}

/// Modules that a relup would not find: `systools` goes by the `.app` files.
fn unlisted(changes: &ChangeSet, old: &Version, new: &Version) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (module, changed) in &changes.modules {
        let sides = [
            (changed.new.is_some(), new, "new"),
            (changed.old.is_some(), old, "old"),
        ];
        for (there, version, which) in sides {
            if there && !version.modules.contains(module) {
                let title = format!("the {which} .app file does not list `{module}`");
                let help = format!("add `{module}` to `modules`: systools refuses it otherwise");
                diagnostics.push(Diagnostic::new(Code::W417, title).help(help));
            }
        }
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::mirrored;
    use crate::script::read::any_form;
    use crate::term::Term;

    #[test]
    fn adding_is_undone_by_deleting() {
        let m = || Term::atom("m");
        let add = any_form(&Term::tuple([Term::atom("add_module"), m()])).expect("fine");
        assert_eq!(mirrored(&add).to_string(), "{delete_module,m}");
        assert_eq!(mirrored(&mirrored(&add)), add);
    }
}
