//! The lists of modules in boot files and application files, as they become with the modules of an upgrade.
//!
//! Takes the files that a restart reads and what it is to find; [`Lists`] goes through them one after the other and keeps
//! what will be in them, what a restart would load, and what no list can be made to name (E640).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use md5::Digest;

use crate::diag::{Code, Diagnostic};
use crate::facts::app::app_specs::Spec;
use crate::facts::app::app_text::{with_env, with_modules};
use crate::facts::app::boot_file::{BootFile, Listed, LoadGroup, expanded, plain};
use crate::facts::node::folders::{folder_of, stage_in};
use crate::facts::node::node_facts::NodeFacts;
use crate::facts::node::restart_files::RestartFiles;
use crate::name::{App, Md5, Module};
use crate::node::Session;
use crate::term::Term;

/// How many modules a diagnostic names.
const NAMED: usize = 8;

/// A module's file, as it will be.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    /// The module.
    pub module: Module,
    /// Its file on the node.
    pub file: String,
    /// Its application, where that is known.
    pub app: Option<App>,
    /// What a restart needs to know of it.
    pub listing: Listing,
}

/// Whether lists have to name a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is new on the node, or comes back: a restart has to load it.
    New,
    /// It is there, and whether lists name it stays as it is.
    Kept,
    /// Its new application file lists it.
    Specified,
    /// Its file goes.
    Gone,
}

impl Listing {
    fn is_wanted(self) -> bool {
        matches!(self, Self::New | Self::Specified)
    }
}

/// What a restart is to find.
#[derive(Clone, Debug, Default)]
pub struct Wanted<'a> {
    /// The files of modules.
    pub modules: Vec<ModuleFile>,
    /// The environments of applications that change (`code … #{env => true}`).
    pub env: Vec<(App, Term)>,
    /// The applications that are added and started (`insert {add_application, A}`).
    pub starts: Vec<App>,
    /// What files have been before a run that is undone.
    pub recorded: &'a [Recorded],
}

/// A file as it was before a run has written it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The file on the node.
    pub file: String,
    /// Of what the run has made of it.
    pub made: Md5,
    /// What it was.
    pub before: Vec<u8>,
}

/// A file with lists of modules in it.
#[derive(Clone, Debug)]
pub struct Rewrite {
    /// The file on the node.
    pub file: String,
    /// What it holds.
    pub was: Vec<u8>,
    /// What it will hold.
    pub will: Vec<u8>,
    /// Of a boot file: itself, and the folders (as it writes them) in which beams are replaced.
    boot: Option<(BootFile, BTreeSet<String>)>,
}

impl Rewrite {
    /// What a boot file holds while the files of a run are put in their places: it loads what the run has written
    /// beside them, so that a node that goes down then starts with all of it.
    pub fn meanwhile(&self, run: &str) -> Option<Vec<u8>> {
        let (boot, folders) = self.boot.as_ref()?;
        let first = |folder: &str| folders.contains(folder).then(|| stage_in(folder, run));
        Some(boot.looking_first(&first).bytes())
    }

    /// Whether it changes.
    pub fn changes(&self) -> bool {
        self.was != self.will
    }

    /// What it holds, and what it will hold.
    pub fn digests(&self) -> (Md5, Md5) {
        (digest(&self.was), digest(&self.will))
    }
}

/// Of bytes.
fn digest(bytes: &[u8]) -> Md5 {
    Md5::from(<[u8; 16]>::from(md5::Md5::digest(bytes)))
}

/// A module's file, and what is known of its place.
struct Placed<'a> {
    file: &'a ModuleFile,
    /// The folder, without `.` and `..` in it.
    folder: Option<String>,
    /// Its application: the one that is known, else the one whose file is in that folder.
    app: Option<App>,
}

/// The files with lists in them, as they become.
pub(super) struct Lists<'a> {
    facts: &'a NodeFacts,
    modules: Vec<Placed<'a>>,
    /// The folders of the applications of these modules.
    homes: BTreeMap<App, String>,
    env: &'a [(App, Term)],
    found: &'a RestartFiles,
    pub(super) rewrites: Vec<Rewrite>,
    pub(super) problems: Vec<String>,
    /// What the boot file of the node loads.
    pub(super) loaded: BTreeSet<Module>,
    /// New modules that it will not list.
    pub(super) unlisted: BTreeSet<&'a Module>,
}

/// What a boot file loads from one folder.
#[derive(Default)]
struct Loads<'b> {
    groups: Vec<&'b LoadGroup>,
    /// As they are written.
    folders: BTreeSet<&'b str>,
    /// Which commands the groups are.
    at: HashSet<usize>,
    modules: HashSet<&'b Module>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(
        facts: &'a NodeFacts,
        wanted: &'a Wanted<'a>,
        found: &'a RestartFiles,
    ) -> Self {
        let mut specified = BTreeMap::new();
        for (file, _) in &found.specs {
            let Some((folder, base)) = file.rsplit_once('/') else {
                continue;
            };
            let app = base.strip_suffix(".app").map(App::new);
            specified.entry(plain(folder)).or_insert(app);
        }
        let placed = |file: &'a ModuleFile| {
            let folder = folder_of(&file.file).map(plain);
            let there = folder.as_ref().and_then(|folder| specified.get(folder));
            let app = file.app.clone().or_else(|| there?.clone());
            Placed { file, folder, app }
        };
        let modules: Vec<Placed<'a>> = wanted.modules.iter().map(placed).collect();
        let apps: BTreeSet<&App> = modules
            .iter()
            .filter_map(|this| this.app.as_ref())
            .collect();
        let homes = apps
            .into_iter()
            .filter_map(|app| Some((app.clone(), plain(facts.folder_of_app(app)?))));
        let new = wanted.modules.iter().filter(|m| m.listing == Listing::New);
        Self {
            facts,
            homes: homes.collect(),
            modules,
            env: &wanted.env,
            found,
            rewrites: Vec::new(),
            problems: Vec::new(),
            loaded: BTreeSet::new(),
            unlisted: new.map(|m| &m.module).collect(),
        }
    }

    pub(super) fn boot_file(&mut self, file: &str, bytes: &[u8]) {
        let is_own = self.found.started.iter().any(|own| own == file);
        let boot = match BootFile::read(bytes) {
            Ok(boot) => boot,
            Err(why) => {
                let mut modules = self.modules.iter().map(|this| this.file.listing);
                if is_own && modules.any(|listing| listing != Listing::Kept) {
                    self.problems.push(format!("{file} cannot be read: {why}"));
                }
                return;
            }
        };
        let groups = boot.groups();
        if is_own {
            let loaded = groups.iter().flat_map(|group| &group.modules);
            self.loaded.extend(loaded.cloned());
        }
        let by_folder = self.by_folder(&groups);
        let mut folders: BTreeSet<&str> = BTreeSet::new();
        let mut loads: BTreeMap<usize, Vec<Listed<'_>>> = BTreeMap::new();
        let mut specified: BTreeMap<App, Vec<Listed<'_>>> = BTreeMap::new();
        for this in &self.modules {
            let (module, listing) = (&this.file.module, this.file.listing);
            let there = this
                .folder
                .as_ref()
                .and_then(|folder| by_folder.get(folder));
            let Some(there) = there else {
                continue;
            };
            folders.extend(&there.folders);
            let mut listed = there.modules.contains(module);
            if listing == Listing::Gone {
                for group in &there.groups {
                    loads.entry(group.at).or_default().push((module, false));
                }
                if let (Some(app), true) = (&this.app, listed) {
                    let changes = specified.entry(app.clone()).or_default();
                    changes.push((module, false));
                }
                continue;
            }
            if !listed && listing.is_wanted() {
                // Of several applications that look into the same folder (consolidated protocols), its own.
                let home = this.app.as_ref().and_then(|app| self.homes.get(app));
                let at_home = home.and_then(|home| by_folder.get(home));
                let is_home =
                    |group: &&&LoadGroup| at_home.is_some_and(|home| home.at.contains(&group.at));
                let own = there.groups.iter().find(is_home);
                if let Some(group) = own.or(there.groups.last()) {
                    loads.entry(group.at).or_default().push((module, true));
                    if let Some(app) = &this.app {
                        let changes = specified.entry(app.clone()).or_default();
                        changes.push((module, true));
                    }
                    listed = true;
                }
            }
            if is_own && listed {
                self.unlisted.remove(module);
            }
        }
        if folders.is_empty() {
            return;
        }
        let mut new = boot.clone();
        for (at, changes) in &loads {
            new.load(*at, changes);
        }
        new.specify(&specified);
        for (app, env) in self.env {
            new.configure(app, env);
        }
        let will = match new == boot {
            true => bytes.to_vec(),
            false => new.bytes(),
        };
        let script = file
            .strip_suffix(".boot")
            .map(|name| format!("{name}.script"));
        let text = script
            .as_ref()
            .and_then(|script| self.found.scripts.get(script));
        if let (Some(script), Some(text)) = (script, text)
            && let Some(will) = new.script_text(&boot, text).filter(|_| new != boot)
        {
            self.rewrites.push(Rewrite {
                file: script,
                was: text.clone(),
                will,
                boot: None,
            });
        }
        self.rewrites.push(Rewrite {
            file: file.to_owned(),
            was: bytes.to_vec(),
            will,
            boot: Some((new, folders.into_iter().map(str::to_owned).collect())),
        });
    }

    /// What a boot file loads, by the folders that it looks into.
    fn by_folder<'b>(&self, groups: &'b [LoadGroup]) -> HashMap<String, Loads<'b>> {
        let mut found: HashMap<String, Loads<'b>> = HashMap::new();
        for group in groups {
            let looks = group.folders.iter();
            let looks = looks.map(|written| (expanded(written, &self.found.variables), written));
            let looks: BTreeSet<(String, &String)> = looks.collect();
            let mut last = None;
            for (folder, written) in looks {
                let is_again = last.as_ref() == Some(&folder);
                let loads = found.entry(folder.clone()).or_default();
                loads.folders.insert(written);
                if !is_again {
                    loads.groups.push(group);
                    loads.at.insert(group.at);
                    loads.modules.extend(&group.modules);
                }
                last = Some(folder);
            }
        }
        found
    }

    pub(super) fn specifications(&mut self) {
        let changed = self.modules.iter();
        let changed = changed.filter(|this| this.file.listing != Listing::Kept);
        let mut by_app: BTreeMap<&App, Vec<&ModuleFile>> = BTreeMap::new();
        for this in changed {
            if let Some(app) = &this.app {
                by_app.entry(app).or_default().push(this.file);
            }
        }
        for (file, text) in &self.found.specs {
            let Ok(spec) = Spec::read(text) else {
                continue;
            };
            match self.specification(file, text, &spec, &by_app) {
                Ok(will) if will != *text => self.rewrites.push(Rewrite {
                    file: file.clone(),
                    was: text.clone(),
                    will,
                    boot: None,
                }),
                Ok(_) => {}
                Err(why) => self.problems.push(format!("{file}: {why}")),
            }
        }
    }

    /// An application file as it has to be.
    fn specification(
        &self,
        file: &str,
        text: &[u8],
        spec: &Spec,
        by_app: &BTreeMap<&App, Vec<&ModuleFile>>,
    ) -> std::result::Result<Vec<u8>, String> {
        let (Some((folder, base)), Some(app)) = (file.rsplit_once('/'), &spec.app) else {
            return Ok(text.to_vec());
        };
        let (folder, home) = (plain(folder), self.facts.folder_of_app(app).map(plain));
        let is_its =
            base == format!("{app}.app") && home.as_ref().is_none_or(|home| *home == folder);
        if !is_its {
            return Ok(text.to_vec());
        }
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        for this in by_app.get(app).into_iter().flatten() {
            match (this.listing.is_wanted(), spec.lists(&this.module)) {
                (true, false) => add.push(&this.module),
                (false, true) => remove.push(&this.module),
                _ => {}
            }
        }
        // Without the key nothing is listed, and nothing has to be.
        let mut will = match spec.modules {
            Some(_) => with_modules(text, &add, &remove)?,
            None => text.to_vec(),
        };
        for (configured, env) in self.env {
            if configured == app && spec.env != Spec::env_of(env) {
                will = with_env(&will, env)?;
            }
        }
        Ok(will)
    }

    /// The bytes of before, where a file holds what was made of them.
    pub(super) fn restore(&mut self, recorded: &[Recorded]) {
        for Recorded { file, made, before } in recorded {
            if let Some(known) = self.rewrites.iter_mut().find(|known| known.file == *file) {
                if digest(&known.was) == *made {
                    known.will.clone_from(before);
                    // What a restart loads while files are put in their places is the same.
                    if let (Some((boot, _)), Ok(read)) = (&mut known.boot, BootFile::read(before)) {
                        *boot = read;
                    }
                }
                continue;
            }
            let scripts = self.found.scripts.iter();
            let specs = self.found.specs.iter().map(|(file, text)| (file, text));
            let there = specs.chain(scripts).find(|(name, _)| *name == file);
            if let Some((_, text)) = there.filter(|(_, text)| digest(text) == *made) {
                self.rewrites.push(Rewrite {
                    file: file.clone(),
                    was: text.clone(),
                    will: before.clone(),
                    boot: None,
                });
            }
        }
    }

    /// E640.
    pub(super) fn refusal(&self, session: &Session) -> Diagnostic {
        let title = format!(
            "after a restart {} would lack modules of this upgrade",
            session.node()
        );
        let mut diagnostic = Diagnostic::new(Code::E640, title);
        diagnostic.notes.clone_from(&self.problems);
        if self.problems.is_empty() {
            for module in self.unlisted.iter().take(NAMED) {
                let mut files = self.modules.iter().map(|this| this.file);
                let file = files.find(|m| m.module == **module);
                let folder = file.and_then(|m| folder_of(&m.file)).unwrap_or_default();
                diagnostic = diagnostic.note(match self.facts.embedded {
                    true => format!("`{module}`: no boot file of the node loads from {folder}"),
                    false => format!("`{module}`: {folder} is not on the node's code path"),
                });
            }
            let more = self.unlisted.len().saturating_sub(NAMED);
            if more > 0 {
                diagnostic = diagnostic.note(format!("and {more} more"));
            }
            let boot = self
                .found
                .started
                .first()
                .map_or("the default boot file", String::as_str);
            if self.facts.embedded {
                diagnostic = diagnostic.note(format!(
                    "in embedded mode a node loads at its start what its boot file lists, and nothing later: {boot}"
                ));
            }
        }
        diagnostic.note("nothing was changed").help(
            "build a release that has them and restart the node with it; without `persist` what runs is upgraded and nothing else",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::node::node_facts::{CodeOrigin, LoadedModule, RunningApp};
    use crate::facts::node::stages::StageFolders;
    use crate::syntax::parse_term;
    use crate::term::etf::encode;

    const MANY: usize = 5000;

    /// A release of many modules, as many of which are new, and some go: what boot file and application file list then.
    /// The work is in proportion: with work for each pair of modules, this would take minutes.
    #[test]
    fn lists_of_many_modules_are_kept_right() {
        let names = |of: &str| -> Vec<String> { (0..MANY).map(|n| format!("{of}{n}")).collect() };
        let (old, new) = (names("old"), names("new"));
        let folder = "/rel/lib/shop-1/ebin";
        let file = |name: &String| format!("{folder}/{name}.beam");
        let all = old.join(",");
        let spec = format!("{{application,shop,[{{vsn,\"1\"}},{{modules,[{all}]}}]}}");
        let script = format!(
            "{{script,{{\"shop\",\"1\"}},[{{path,[\"$ROOT/lib/shop-1/ebin\"]}},{{primLoad,[{all}]}},\
             {{apply,{{application,load,[{spec}]}}}}]}}"
        );
        let found = RestartFiles {
            variables: BTreeMap::from([("ROOT".to_owned(), "/rel".to_owned())]),
            started: vec!["/rel/start.boot".to_owned()],
            boots: vec![(
                "/rel/start.boot".to_owned(),
                encode(&parse_term(&script).expect("a term")),
            )],
            scripts: BTreeMap::new(),
            specs: vec![(
                format!("{folder}/shop.app"),
                format!("{spec}.\n").into_bytes(),
            )],
            stages: StageFolders::default(),
        };
        let loaded = |name: &String| LoadedModule {
            md5: Md5::from([0; 16]),
            origin: CodeOrigin::File(file(name)),
        };
        let app = RunningApp {
            is_started: true,
            vsn: "1".to_owned(),
            modules: old.iter().map(Module::new).collect(),
            needs: Vec::new(),
        };
        let facts = NodeFacts {
            loaded: old
                .iter()
                .map(|name| (Module::new(name), loaded(name)))
                .collect(),
            apps: BTreeMap::from([(App::new("shop"), app)]),
            embedded: true,
            ..NodeFacts::default()
        };
        let changed = |name: &String, app: Option<App>, listing| ModuleFile {
            module: Module::new(name),
            file: file(name),
            app,
            listing,
        };
        let mut modules: Vec<ModuleFile> = new
            .iter()
            .map(|name| changed(name, None, Listing::New))
            .collect();
        let gone = old.iter().step_by(2);
        modules.extend(gone.map(|name| changed(name, Some(App::new("shop")), Listing::Gone)));
        let wanted = Wanted {
            modules,
            ..Wanted::default()
        };
        let mut lists = Lists::new(&facts, &wanted, &found);
        lists.boot_file(&found.boots[0].0, &found.boots[0].1);
        lists.specifications();
        assert!(lists.unlisted.is_empty() && lists.problems.is_empty());
        assert_eq!(lists.loaded.len(), MANY);
        let kept = old.iter().skip(1).step_by(2);
        let listed: Vec<Module> = kept.chain(&new).map(Module::new).collect();
        let [boot, spec] = &lists.rewrites[..] else {
            panic!("two files");
        };
        let boot = BootFile::read(&boot.will).expect("a boot file");
        assert_eq!(boot.groups()[0].modules, listed);
        let text = boot.term().to_string();
        assert_eq!(
            text.matches("old4999,").count(),
            1 + 1,
            "in the specification as well"
        );
        assert!(!text.contains("old4998"));
        let listed: BTreeSet<Module> = listed.into_iter().collect();
        assert_eq!(
            Spec::read(&spec.will).expect("a file").modules,
            Some(listed)
        );
    }
}
