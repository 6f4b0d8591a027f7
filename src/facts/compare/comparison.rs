//! Makes the change set: the running code against the new beams.
//!
//! Everything is compared by MD5. A file that is no beam stops the comparison (it is never "unchanged"),
//! and a module that must not be touched is named, not skipped. What is new is found by `on_disk` and `push`; this
//! file completes it: what may not be touched, the running versions, processes, callers of what goes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::behaviour;
use super::callers::{self, callers};
use super::library_versions::{self, Libraries};
use super::missing;
use super::{on_disk, push, unloaded};
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::facts::beam::BeamFacts;
use crate::facts::beam::protocols;
use crate::facts::change::{
    Beam, Caller, ChangeSet, Changed, Notice, RemovalCause, RemovedModule, RunningVersion,
    SkipReason,
};
use crate::facts::local::file_cache::Seen;
use crate::facts::local::files::{self, BeamFile};
use crate::facts::local::store::{Store, hex};
use crate::facts::node::behaviours;
use crate::facts::node::disturbed;
use crate::facts::node::node_facts::{self, CodeOrigin, NodeFacts};
use crate::facts::node::node_files::{Disk, folder_of};
use crate::facts::node::processes::{self, ModuleProcesses, ProcessQuery};
use crate::facts::node::{old_code, started_with};
use crate::name::{App, Module};
use crate::node::Session;

/// Where new code comes from.
#[derive(Clone, Copy, Debug)]
pub enum NewCode<'a> {
    /// The node's own files.
    OnDisk,
    /// The same, with the new version of some applications in other folders.
    Elsewhere(&'a Libraries),
    /// Local beams: patterns with their places, relative to a folder.
    Push(&'a [(String, Span)], &'a Path),
}

/// Where copies of the running version may be found, beside the node's own files.
#[derive(Clone, Copy, Debug)]
pub struct OldBeamSources<'a> {
    /// `old from` patterns, each list relative to a folder.
    pub patterns: &'a [(Vec<(String, Span)>, std::path::PathBuf)],
    /// updo's own store.
    pub store: &'a Store,
}

/// Which loaded modules are to be removed, asked when it is known what differs.
pub type RemovalSelector<'a> = &'a dyn Fn(&ChangeSet) -> BTreeSet<Module>;

/// What a comparison works with.
pub(super) struct Comparison<'a> {
    pub(super) session: &'a Session,
    pub(super) facts: &'a NodeFacts,
    pub(super) disk: Disk<'a>,
    pub(super) set: ChangeSet,
    /// Folders that others take the place of.
    pub(super) left: BTreeMap<String, String>,
    /// Whether the new beams come from here, and the node's files are not the new version.
    pub(super) pushed: bool,
}

/// Compares a node with new code. What is learned of the node's files goes into `seen`.
///
/// # Errors
/// E213 when a pattern matches nothing, E214 for a file that is no usable beam, and what [`node_facts`] gives.
pub fn compare<'a>(
    session: &'a Session,
    facts: &'a NodeFacts,
    new: NewCode<'_>,
    old: OldBeamSources<'a>,
    going: RemovalSelector<'_>,
    seen: &'a mut Seen,
) -> Result<ChangeSet> {
    let disk = Disk::new(session, facts.otp, seen);
    compare_on(disk, session, facts, new, old, going)
}

/// The same with a disk of the caller's choice: to measure what a far node costs.
///
/// # Errors
/// As [`compare`].
pub fn compare_on<'a>(
    mut disk: Disk<'a>,
    session: &'a Session,
    facts: &'a NodeFacts,
    new: NewCode<'_>,
    old: OldBeamSources<'a>,
    going: RemovalSelector<'_>,
) -> Result<ChangeSet> {
    disk.keep(old.store, facts.loaded.values().map(|l| l.md5).collect());
    let app_vsn = facts.apps.iter();
    let not_started = facts.apps.iter().filter(|(_, app)| !app.is_started);
    let mut comparison = Comparison {
        session,
        facts,
        disk,
        left: BTreeMap::new(),
        pushed: matches!(new, NewCode::Push(..)),
        set: ChangeSet {
            app_vsn: app_vsn.map(|(a, r)| (a.clone(), r.vsn.clone())).collect(),
            not_started: not_started.map(|(app, _)| app.clone()).collect(),
            ..ChangeSet::default()
        },
    };
    let beams = match new {
        NewCode::OnDisk => {
            comparison.left = library_versions::left(facts, &[]);
            on_disk::on_disk(&mut comparison)?
        }
        NewCode::Elsewhere(libraries) => {
            comparison.set.moves = library_versions::moves(&mut comparison, libraries)?;
            comparison.left = library_versions::left(facts, &comparison.set.moves);
            on_disk::on_disk(&mut comparison)?
        }
        NewCode::Push(patterns, base) => push::pushed(&mut comparison, patterns, base)?,
    };
    let beams = comparison.leave_alone(beams)?;
    comparison.take(beams, old)?;
    comparison.collect_processes()?;
    let going = going(&comparison.set);
    if !going.is_empty() {
        comparison.remove(going, old)?;
        comparison.collect_processes()?;
    }
    comparison.consolidation()?;
    comparison.callers()?;
    missing::missing(&mut comparison)?;
    comparison.set.old_code = old_code::inspect(session, &comparison.set)?;
    // What cannot be remembered is looked at again the next time.
    let _ = comparison.disk.seen.save();
    Ok(comparison.set)
}

impl Comparison<'_> {
    /// Takes out the modules that differ and must not be touched.
    fn leave_alone(&mut self, mut beams: BTreeMap<Module, Beam>) -> Result<BTreeMap<Module, Beam>> {
        let names: Vec<Module> = beams.keys().cloned().collect();
        let sticky = node_facts::sticky(self.session, self.facts, &names)?;
        for module in names {
            let known = self.untouchable(&module);
            let why = known.or_else(|| sticky.contains(&module).then_some(SkipReason::Sticky));
            if let Some(why) = why {
                beams.remove(&module);
                self.set.untouched.push((module, why));
            }
        }
        Ok(beams)
    }

    /// Puts the modules that take part into the change set, each with its running version.
    fn take(&mut self, mut beams: BTreeMap<Module, Beam>, old: OldBeamSources<'_>) -> Result<()> {
        let names: Vec<Module> = beams.keys().cloned().collect();
        let mut loaded = node_facts::loaded_versions(self.session, self.facts, &names)?;
        let mut copies = self.old_copies(&loaded, &beams, old)?;
        let mut unloaded = unloaded::versions(self, &mut beams, old)?;
        let wanted: BTreeSet<Module> = names.into_iter().collect();
        for (module, mut beam) in beams {
            beam.facts = self.read_with_code(&beam, &wanted)?;
            let app = self.app_of(&module, &beam.file);
            let mut old = copies.remove(&module);
            if let Some(old) = &mut old {
                old.facts = self.read_with_code(old, &wanted)?;
            }
            let changed = Changed {
                loaded: loaded.remove(&module),
                old,
                unloaded: unloaded.remove(&module),
                new: Some(beam),
                app,
                processes: 0,
                crew: ModuleProcesses::default(),
            };
            self.set.modules.insert(module, changed);
        }
        Ok(())
    }

    /// Lets modules go: they take part without a new version.
    fn remove(&mut self, going: BTreeSet<Module>, old: OldBeamSources<'_>) -> Result<()> {
        let mut names: Vec<Module> = Vec::new();
        for module in going {
            if let Some(why) = self.untouchable(&module) {
                if !self.set.untouched.iter().any(|(known, _)| *known == module) {
                    self.set.untouched.push((module, why));
                }
            } else {
                names.push(module);
            }
        }
        for sticky in node_facts::sticky(self.session, self.facts, &names)? {
            names.retain(|module| *module != sticky);
            self.set.untouched.push((sticky, SkipReason::Sticky));
        }
        let mut loaded = node_facts::loaded_versions(self.session, self.facts, &names)?;
        let mut copies = self.old_copies(&loaded, &BTreeMap::new(), old)?;
        let wanted: BTreeSet<Module> = names.iter().cloned().collect();
        for copy in copies.values_mut() {
            copy.facts = self.read_with_code(copy, &wanted)?;
        }
        for module in names {
            let Some(running) = loaded.remove(&module) else {
                self.set.modules.remove(&module); // was to be loaded for the first time
                continue;
            };
            let listed = self.set.gone.iter().any(|gone| gone.module == module);
            if !listed {
                self.set.gone.push(RemovedModule {
                    module: module.clone(),
                    how: RemovalCause::Plan,
                    callers: Vec::new(),
                });
            }
            let changed = Changed {
                app: self.app_of(&module, &running.file),
                loaded: Some(running),
                old: copies.remove(&module),
                unloaded: None,
                new: None,
                processes: 0,
                crew: ModuleProcesses::default(),
            };
            self.set.modules.insert(module, changed);
        }
        Ok(())
    }

    /// Why a loaded module must not be touched, as far as it is known without asking.
    fn untouchable(&self, module: &Module) -> Option<SkipReason> {
        match self.facts.loaded.get(module).map(|loaded| &loaded.origin) {
            Some(CodeOrigin::Preloaded) => Some(SkipReason::Preloaded),
            Some(CodeOrigin::Cover) => Some(SkipReason::Cover),
            Some(CodeOrigin::Memory) => Some(SkipReason::NoFile),
            _ if self.facts.core().any(|core| core == module) => Some(SkipReason::Core),
            _ => None,
        }
    }

    /// The application of a module: the one that lists it, or the one whose modules its folder holds.
    fn app_of(&self, module: &Module, file: &str) -> Option<App> {
        let listed = self.facts.app_of(module).cloned();
        let folder = folder_of(file);
        let mut apps = self.facts.apps.keys();
        listed.or_else(|| {
            apps.find(|app| folder.is_some() && self.new_folder(app) == folder)
                .cloned()
        })
    }

    /// Finds the processes of the modules that take part.
    fn collect_processes(&mut self) -> Result<()> {
        let beams = |changed: &Changed| -> Vec<Module> {
            let both = [&changed.old, &changed.new];
            let facts = both.into_iter().flatten().map(|beam| &beam.facts);
            facts.flat_map(|f| f.behaviours.iter().cloned()).collect()
        };
        let declared: BTreeMap<Module, Vec<Module>> = self
            .set
            .modules
            .iter()
            .filter(|(_, changed)| changed.loaded.is_some())
            .map(|(module, changed)| (module.clone(), beams(changed)))
            .collect();
        let unknown = declared.values().flatten().cloned().collect();
        self.set.natures = behaviours::ask(self.session, self.facts, unknown)?;
        let mut question = ProcessQuery {
            modules: declared.keys().cloned().collect(),
            ..ProcessQuery::default()
        };
        for (module, behaviours) in &declared {
            for behaviour in behaviours {
                if behaviour.as_str() == "gen_event" {
                    question.handlers.insert(module.clone());
                }
                let about = |name: &Module| self.set.nature(name);
                let Some(found) = behaviours::behaves(behaviour, &about).filter(|b| b.wraps) else {
                    continue;
                };
                question.wrapped.insert(module.clone());
                if found.runs == behaviours::ProcessKind::Supervisor {
                    question.supervisors.insert(behaviour.clone());
                }
            }
        }
        question.loops = self.set.loops();
        let mut answer = processes::find_processes(self.session, self.facts.otp, &question)?;
        for (module, changed) in &mut self.set.modules {
            let Some(mut crew) = answer.crews.remove(module) else {
                continue;
            };
            let behaviours = declared.get(module).map(Vec::as_slice).unwrap_or_default();
            crew.classify(behaviours);
            changed.processes = crew.count();
            changed.crew = crew;
        }
        let silent = answer
            .silent
            .into_iter()
            .map(|name| Notice::Unresponsive { name });
        self.set
            .notices
            .retain(|notice| !matches!(notice, Notice::Unresponsive { .. }));
        self.set.notices.extend(silent);
        self.set.notices.retain(|notice| {
            !matches!(
                notice,
                Notice::SuspendedBefore { .. } | Notice::Traced { .. }
            )
        });
        let disturbed = disturbed::inspect(self.session, &mut self.set.modules)?;
        self.set.notices.extend(disturbed);
        started_with::ask(self.session, &mut self.set)?;
        for (module, parents) in behaviour::parents(self.session, &self.set)? {
            if let Some(changed) = self.set.modules.get_mut(&module) {
                changed.crew.parents = parents;
            }
        }
        Ok(())
    }

    /// New implementations that a consolidated protocol will not find.
    fn consolidation(&mut self) -> Result<()> {
        let unseen: Vec<(Module, Module)> = self
            .set
            .modules
            .iter()
            .filter(|(_, changed)| changed.is_new())
            .filter_map(|(module, changed)| {
                let protocol = protocols::implements(&changed.new.as_ref()?.facts)?;
                let stays = !self.set.modules.contains_key(&protocol);
                (stays && self.facts.loaded.contains_key(&protocol))
                    .then(|| (module.clone(), protocol))
            })
            .collect();
        let names: Vec<Module> = unseen.iter().map(|(_, p)| p.clone()).collect();
        let answers = node_facts::consolidated(self.session, &names)?;
        for ((module, protocol), consolidated) in unseen.into_iter().zip(answers) {
            if consolidated {
                let notice = Notice::ImplementationUnseen { module, protocol };
                self.set.notices.push(notice);
            }
        }
        Ok(())
    }

    /// Who calls what goes.
    fn callers(&mut self) -> Result<()> {
        let mut going: callers::RemovedFunctions = self
            .set
            .gone
            .iter()
            .map(|gone| (gone.module.clone(), None))
            .collect();
        // Those that go by the plan are reported with their callers, as those whose file has gone.
        for (module, changed) in &self.set.modules {
            let (Some(loaded), Some(new)) = (&changed.loaded, &changed.new) else {
                continue;
            };
            let lost: BTreeSet<_> = loaded
                .exports
                .difference(&new.facts.exports)
                .cloned()
                .collect();
            if !lost.is_empty() {
                going.insert(module.clone(), Some(lost));
            }
        }
        let mut found = callers(&mut self.disk, self.facts, &self.set, &going)?;
        for gone in &mut self.set.gone {
            gone.callers = found.remove(&gone.module).unwrap_or_default();
        }
        for (module, callers) in found {
            let callers: Vec<Caller> = callers.into_iter().filter(|c| !c.changed).collect();
            if !callers.is_empty() {
                let notice = Notice::LostFunctions { module, callers };
                self.set.notices.push(notice);
            }
        }
        Ok(())
    }

    /// Copies of the running versions, each proven by MD5: the node's own file, `old from`, the store.
    fn old_copies(
        &mut self,
        loaded: &BTreeMap<Module, RunningVersion>,
        new: &BTreeMap<Module, Beam>,
        old: OldBeamSources<'_>,
    ) -> Result<BTreeMap<Module, Beam>> {
        let mut wanted: BTreeMap<[u8; 16], &Module> = loaded
            .iter()
            .map(|(module, version)| (version.md5, module))
            .collect();
        let mut copies = BTreeMap::new();
        let otp = self.facts.otp;
        let mut take = |wanted: &mut BTreeMap<[u8; 16], &Module>, bytes: Vec<u8>| {
            let Ok(facts) = BeamFacts::read(&bytes) else {
                return;
            };
            let facts = facts.on(otp);
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
                for file in local(patterns, base, otp)? {
                    take(&mut wanted, file.bytes);
                }
            }
        }
        // A file that was just read is the new version.
        let read: BTreeSet<&str> = match self.pushed {
            true => BTreeSet::new(),
            false => new.values().map(|beam| beam.file.as_str()).collect(),
        };
        let paths: Vec<String> = wanted
            .values()
            .map(|m| loaded[*m].file.clone())
            .filter(|file| !file.is_empty() && !read.contains(file.as_str()))
            .collect();
        for bytes in self.disk.read(&paths)?.into_iter().flatten() {
            take(&mut wanted, bytes);
        }
        Ok(copies)
    }

    /// The facts of a beam with its code, in which the names of changed modules are looked for.
    fn read_with_code(&self, beam: &Beam, wanted: &BTreeSet<Module>) -> Result<BeamFacts> {
        BeamFacts::read_whole(&beam.bytes, wanted)
            .map(|facts| facts.on(self.facts.otp))
            .map_err(|why| unusable(&beam.file, &why.to_string()))
    }
}

/// Local beams of patterns, as they are to a node of an OTP release.
pub(super) fn local(patterns: &[(String, Span)], base: &Path, otp: u32) -> Result<Vec<BeamFile>> {
    let mut found = Vec::new();
    for (pattern, span) in patterns {
        let paths = files::beams_of(&[pattern.as_str()], base).map_err(|why| {
            Diagnostic::new(Code::E213, why.to_string()).label(*span, "in this pattern")
        })?;
        if paths.is_empty() {
            let title = format!("no beam matches `{pattern}`");
            let diagnostic = Diagnostic::new(Code::E213, title).label(*span, "matches nothing");
            return Err(Box::new(
                diagnostic.help(format!("paths are relative to {}", shown(base))),
            ));
        }
        for path in paths {
            let mut file = files::read_beam_file(&path)
                .map_err(|why| unusable(&path.display().to_string(), &why.to_string()))?;
            file.facts = file.facts.on(otp);
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

/// E214.
pub(super) fn unusable(file: &str, why: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::E214, format!("`{file}` is not a usable beam"))
            .note(why)
            .help("nothing was changed; build or copy the file again"),
    )
}

/// Keeps copies of every version that a change set knows, the running and the new ones, and forgets what nobody has wanted
/// for long.
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
    store.forget();
    Ok(kept)
}

/// A module's MD5 as people compare it.
pub fn short(md5: &[u8; 16]) -> String {
    hex(&md5[..4])
}
