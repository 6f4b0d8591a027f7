//! Questions to a running node: what is loaded, from where, which version, who runs it.
//!
//! One round trip per question, never one per module or process, and nothing installed: many calls are
//! made at once by handing documented functions to `lists:map/2` and its kin on the node
//! (`lists:zipwith3(fun erlang:apply/3, ..)`). Files are asked about in [`node_files`](super::node_files), processes in
//! [`processes`](super::processes).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::diag::{Code, Diagnostic, Result};
use crate::facts::change::RunningVersion;
use crate::name::{App, Module};
use crate::node::{CallError, Session};
use crate::term::{Atom, Fun, Term};

/// How long a question may take.
pub(in crate::facts) const TIMEOUT: Duration = Duration::from_secs(60);

/// Applications that are never upgraded this way.
pub const CORE: [&str; 3] = ["kernel", "stdlib", "erts"];

/// Where a loaded module came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeOrigin {
    /// A file.
    File(String),
    /// Part of the emulator.
    Preloaded,
    /// Compiled for coverage.
    Cover,
    /// Loaded from memory, without a file.
    Memory,
}

/// A module that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedModule {
    /// `module_info(md5)`.
    pub md5: [u8; 16],
    /// Where it came from.
    pub origin: CodeOrigin,
}

/// An application that runs, or that is loaded only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningApp {
    /// Whether it was started.
    pub is_started: bool,
    /// Its version.
    pub vsn: String,
    /// Its modules, as its specification lists them.
    pub modules: Vec<Module>,
    /// The applications that it needs to run, as its specification lists them.
    pub needs: Vec<App>,
}

/// What is true of a node as a whole.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// The OTP release: 25.
    pub otp: u32,
    /// Loaded modules.
    pub loaded: BTreeMap<Module, LoadedModule>,
    /// Applications, those that run and those that are only loaded.
    pub apps: BTreeMap<App, RunningApp>,
    /// `code:lib_dir()`: the folder of OTP's own libraries, and of all others in a release with its own run-time system.
    pub otp_lib: String,
    /// The code path, in order.
    pub path: Vec<String>,
    /// Whether code is never loaded by being called (`code:get_mode/0`).
    pub embedded: bool,
}

impl NodeFacts {
    /// Whether an application runs, or code of it is loaded.
    pub fn is_in_use(&self, app: &App) -> bool {
        self.apps.get(app).is_some_and(|app| {
            let mut modules = app.modules.iter();
            app.is_started || modules.any(|module| self.loaded.contains_key(module))
        })
    }

    /// The application that lists a module.
    pub fn app_of(&self, module: &Module) -> Option<&App> {
        self.apps
            .iter()
            .find(|(_, app)| app.modules.contains(module))
            .map(|(name, _)| name)
    }

    /// The modules of kernel, stdlib and erts, on which an upgrade stands itself.
    pub fn core(&self) -> impl Iterator<Item = &Module> {
        CORE.iter()
            .filter_map(|app| self.apps.get(*app))
            .flat_map(|app| &app.modules)
    }

    /// The file that a module was loaded from.
    pub fn file_of(&self, module: &Module) -> Option<&str> {
        match &self.loaded.get(module)?.origin {
            CodeOrigin::File(file) => Some(file),
            _ => None,
        }
    }

    /// The folder of beams of an application: where most of its modules come from, as long as the code path leads there;
    /// else where it leads (an upgrade loads changed modules only, the others keep the file they had; of an application
    /// that is only loaded there may be no module yet).
    pub fn folder_of_app(&self, app: &App) -> Option<&str> {
        let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
        let files = self.apps.get(app)?.modules.iter();
        for folder in files.filter_map(|m| super::node_files::folder_of(self.file_of(m)?)) {
            *folders.entry(folder).or_default() += 1;
        }
        let most = folders.into_iter().max_by_key(|(_, count)| *count);
        let most = most.map(|(folder, _)| folder);
        let path = || self.path.iter().map(String::as_str);
        if most.is_some_and(|most| path().any(|folder| folder == most)) {
            return most;
        }
        let named = path().find(|folder| {
            crate::facts::compare::library_versions::name_of(folder) == Some(app.as_str())
        });
        named.or(most)
    }
}

/// Asks a node for its [`NodeFacts`].
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than OTP would.
pub fn gather(session: &Session) -> Result<NodeFacts> {
    let ask = Ask { session };
    let release = ask.call("erlang", "system_info", vec![Term::atom("otp_release")])?;
    let otp = release
        .to_text()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| unexpected_reply("otp_release", &release))?;
    let lib = ask.call("code", "lib_dir", vec![])?;
    let otp_lib = lib
        .to_text()
        .ok_or_else(|| unexpected_reply("code:lib_dir/0", &lib))?;
    let mode = ask.call("code", "get_mode", vec![])?;
    let path = ask.call("code", "get_path", vec![])?;
    let path = path
        .as_list()
        .ok_or_else(|| unexpected_reply("code:get_path/0", &path))?;
    Ok(NodeFacts {
        embedded: mode.is_atom("embedded"),
        path: path.iter().filter_map(Term::to_text).collect(),
        otp,
        loaded: ask.loaded()?,
        apps: ask.apps()?,
        otp_lib,
    })
}

/// What is known of the running version of some modules.
///
/// # Errors
/// As [`gather`].
pub fn loaded_versions(
    session: &Session,
    facts: &NodeFacts,
    modules: &[Module],
) -> Result<BTreeMap<Module, RunningVersion>> {
    let ask = Ask { session };
    let modules: Vec<&Module> = modules
        .iter()
        .filter(|m| facts.loaded.contains_key(*m))
        .collect();
    let exports = ask.module_info(&modules, "exports")?;
    let attributes = ask.module_info(&modules, "attributes")?;
    let mut found = BTreeMap::new();
    for ((module, exports), attributes) in modules.into_iter().zip(exports).zip(attributes) {
        let known = &facts.loaded[module];
        let file = match &known.origin {
            CodeOrigin::File(file) => file.clone(),
            _ => String::new(),
        };
        let loaded = RunningVersion {
            md5: known.md5,
            file,
            exports: functions(&exports),
            vsn: vsn_of(&attributes),
        };
        found.insert(module.clone(), loaded);
    }
    Ok(found)
}

/// The `vsn` attribute out of `module_info(attributes)`.
fn vsn_of(attributes: &Term) -> Option<Term> {
    attributes
        .as_list()?
        .iter()
        .find_map(|pair| match pair.as_tuple()? {
            [key, value] if key.is_atom("vsn") => match value.as_list() {
                Some([one]) => Some(one.clone()),
                _ => Some(value.clone()),
            },
            _ => None,
        })
}

/// Reads files of the node over the connection; `None` for one that cannot be read.
///
/// # Errors
/// As [`gather`].
pub fn read_files(session: &Session, files: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
    let mut nothing = crate::facts::local::file_cache::Seen::nothing();
    let mut disk =
        super::node_files::Disk::new(session, crate::facts::beam::bifs::NEWEST, &mut nothing);
    disk.assume_remote();
    disk.read(files)
}

/// Which of these modules are in a sticky directory. Of a folder with many modules one is asked first, because a
/// question costs the code server more than anything else here, and folders are what is sticky.
///
/// # Errors
/// As [`gather`].
pub fn sticky(
    session: &Session,
    facts: &NodeFacts,
    modules: &[Module],
) -> Result<BTreeSet<Module>> {
    const FEW: usize = 8;
    let mut folders: BTreeMap<&str, Vec<&Module>> = BTreeMap::new();
    for module in modules {
        let folder = match facts.loaded.get(module).map(|loaded| &loaded.origin) {
            Some(CodeOrigin::File(file)) => super::node_files::folder_of(file).unwrap_or_default(),
            _ => "",
        };
        folders.entry(folder).or_default().push(module);
    }
    let ask = Ask { session };
    let first: Vec<&Module> = folders
        .values()
        .flat_map(|inside| inside.iter().take(FEW))
        .copied()
        .collect();
    let mut found = ask.sticky(&first)?;
    let more: Vec<&Module> = folders
        .values()
        .filter(|inside| inside.iter().take(FEW).any(|m| found.contains(*m)))
        .flat_map(|inside| inside.iter().skip(FEW))
        .copied()
        .collect();
    found.extend(ask.sticky(&more)?);
    Ok(found)
}

/// What a behaviour that changed modules declare is itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BehaviourInfo {
    /// The behaviours that it declares.
    pub behaviours: Vec<Module>,
    /// Its exported functions.
    pub exports: BTreeSet<(Arc<str>, u32)>,
}

/// What loaded modules declare and export; those that are not loaded are left out.
///
/// # Errors
/// As [`gather`].
pub fn natures(
    session: &Session,
    facts: &NodeFacts,
    modules: &BTreeSet<Module>,
) -> Result<BTreeMap<Module, BehaviourInfo>> {
    let ask = Ask { session };
    let modules: Vec<&Module> = modules
        .iter()
        .filter(|m| facts.loaded.contains_key(*m))
        .collect();
    if modules.is_empty() {
        return Ok(BTreeMap::new());
    }
    let exports = ask.module_info(&modules, "exports")?;
    let attributes = ask.module_info(&modules, "attributes")?;
    let found = modules.into_iter().zip(exports).zip(attributes);
    Ok(found
        .map(|((module, exports), attributes)| {
            let nature = BehaviourInfo {
                behaviours: behaviours_of(&attributes),
                exports: functions(&exports),
            };
            (module.clone(), nature)
        })
        .collect())
}

fn behaviours_of(attributes: &Term) -> Vec<Module> {
    let mut found = Vec::new();
    for pair in attributes.as_list().unwrap_or_default() {
        let Some([key, values]) = pair.as_tuple() else {
            continue;
        };
        if key.is_atom("behaviour") || key.is_atom("behavior") {
            let names = values.as_list().unwrap_or_default();
            let names = names.iter().filter_map(Term::as_atom);
            found.extend(names.map(|name| Module::new(name.as_str())));
        }
    }
    found
}

/// `[{Name, Arity}]`.
fn functions(exports: &Term) -> BTreeSet<(Arc<str>, u32)> {
    let pairs = exports.as_list().unwrap_or_default().iter();
    pairs
        .filter_map(|pair| {
            let [name, arity] = pair.as_tuple()? else {
                return None;
            };
            let arity = u32::try_from(arity.as_i64()?).ok()?;
            Some((name.as_atom()?.as_str().into(), arity))
        })
        .collect()
}

/// Which of these Elixir protocols are consolidated as they run (`Protocol.consolidated?/1`).
///
/// # Errors
/// As [`gather`].
pub fn consolidated(session: &Session, protocols: &[Module]) -> Result<Vec<bool>> {
    if protocols.is_empty() {
        return Ok(Vec::new());
    }
    let each = |term: Term| Term::List(vec![term; protocols.len()]);
    let args = vec![
        function("erlang", "apply", 3),
        Term::list(protocols.iter().map(|m| Term::atom(m.as_str()))),
        each(Term::atom("__protocol__")),
        each(Term::list([Term::atom("consolidated?")])),
    ];
    let answer = Ask { session }.call("lists", "zipwith3", args)?;
    let answers = answer.as_list().unwrap_or_default();
    Ok(answers
        .iter()
        .map(|answer| answer.is_atom("true"))
        .collect())
}

/// The environment of running applications, `application:get_all_env/1`.
///
/// # Errors
/// As [`gather`].
pub fn environments(session: &Session, apps: &[App]) -> Result<Vec<BTreeMap<Atom, Term>>> {
    if apps.is_empty() {
        return Ok(Vec::new());
    }
    let args = vec![
        function("application", "get_all_env", 1),
        Term::list(apps.iter().map(|app| Term::atom(app.as_str()))),
    ];
    let answer = Ask { session }.call("lists", "map", args)?;
    let answers = answer.as_list().unwrap_or_default().iter();
    let env = |answer: &Term| {
        let pairs = answer.as_list().unwrap_or_default().iter();
        pairs
            .filter_map(|pair| match pair.as_tuple()? {
                [Term::Atom(key), value] => Some((key.clone(), value.clone())),
                _ => None,
            })
            .collect()
    };
    Ok(answers.map(env).collect())
}

/// `fun m:f/a` as a term.
pub(in crate::facts) fn function(module: &str, name: &str, arity: u8) -> Term {
    Term::Fun(Fun::External {
        module: Atom::new(module),
        name: Atom::new(name),
        arity,
    })
}

struct Ask<'a> {
    session: &'a Session,
}

impl Ask<'_> {
    fn call(&self, module: &str, function: &str, args: Vec<Term>) -> Result<Term> {
        let arity = args.len();
        self.session
            .call(module, function, args, TIMEOUT)
            .map_err(|error| call_failed(&format!("{module}:{function}/{arity}"), error))
    }

    /// `M:module_info(Item)` of many modules in one round trip.
    fn module_info(&self, modules: &[&Module], item: &str) -> Result<Vec<Term>> {
        let names = Term::list(modules.iter().map(|m| Term::atom(m.as_str())));
        let each = |term: Term| Term::List(vec![term; modules.len()]);
        let args = vec![
            function("erlang", "apply", 3),
            names,
            each(Term::atom("module_info")),
            each(Term::list([Term::atom(item)])),
        ];
        match self.call("lists", "zipwith3", args)? {
            Term::List(answers) if answers.len() == modules.len() => Ok(answers),
            other => Err(unexpected_reply("module_info/1", &other)),
        }
    }

    fn sticky(&self, modules: &[&Module]) -> Result<BTreeSet<Module>> {
        if modules.is_empty() {
            return Ok(BTreeSet::new());
        }
        let names = Term::list(modules.iter().map(|m| Term::atom(m.as_str())));
        let answers = self.call(
            "lists",
            "map",
            vec![function("code", "is_sticky", 1), names],
        )?;
        let answers = answers.as_list().unwrap_or_default().iter();
        let sticky = modules
            .iter()
            .zip(answers)
            .filter(|(_, a)| a.is_atom("true"));
        Ok(sticky.map(|(module, _)| (*module).clone()).collect())
    }

    fn loaded(&self) -> Result<BTreeMap<Module, LoadedModule>> {
        let all = self.call("code", "all_loaded", vec![])?;
        let mut modules = Vec::new();
        let mut origins = Vec::new();
        for pair in all
            .as_list()
            .ok_or_else(|| unexpected_reply("code:all_loaded/0", &all))?
        {
            let Some([name, file]) = pair.as_tuple() else {
                continue;
            };
            let Some(name) = name.as_atom() else { continue };
            // The agent of a run takes itself away at any moment, and is no part of the node.
            if name.as_str().starts_with("updo_agent_") {
                continue;
            }
            modules.push(Module::new(name.as_str()));
            origins.push(match file {
                Term::Atom(atom) if atom == "preloaded" => CodeOrigin::Preloaded,
                Term::Atom(atom) if atom == "cover_compiled" => CodeOrigin::Cover,
                other => match other.to_text() {
                    Some(file) if !file.is_empty() => CodeOrigin::File(file),
                    _ => CodeOrigin::Memory,
                },
            });
        }
        let md5s = self.module_info(&modules.iter().collect::<Vec<_>>(), "md5")?;
        let known =
            modules
                .into_iter()
                .zip(origins)
                .zip(md5s)
                .filter_map(|((module, origin), md5)| {
                    let md5 = md5.as_bytes()?.try_into().ok()?;
                    Some((module, LoadedModule { md5, origin }))
                });
        Ok(known.collect())
    }

    fn apps(&self) -> Result<BTreeMap<App, RunningApp>> {
        let running = self.call("application", "which_applications", vec![])?;
        let loaded = self.call("application", "loaded_applications", vec![])?;
        let mut apps: BTreeMap<Atom, (bool, String)> = BTreeMap::new();
        for (list, is_started) in [(&loaded, false), (&running, true)] {
            for app in list.as_list().unwrap_or_default() {
                if let Some([Term::Atom(name), _, vsn]) = app.as_tuple() {
                    let vsn = vsn.to_text().unwrap_or_default();
                    apps.insert(name.clone(), (is_started, vsn));
                }
            }
        }
        let each = |key| std::iter::repeat_n(Term::atom(key), apps.len());
        let twice = apps.keys().chain(apps.keys());
        let args = vec![
            function("application", "get_key", 2),
            Term::list(twice.cloned().map(Term::Atom)),
            Term::list(each("modules").chain(each("applications"))),
        ];
        let keys = self.call("lists", "zipwith", args)?;
        let keys = keys.as_list().unwrap_or_default();
        let (modules, needs) = keys.split_at(keys.len() / 2);
        let atoms = |key: &Term| -> Vec<Atom> {
            let listed = key.as_tuple().and_then(|pair| pair.get(1)?.as_list());
            let listed = listed.unwrap_or_default().iter();
            listed.filter_map(|one| one.as_atom().cloned()).collect()
        };
        let apps = apps.iter().zip(modules.iter().zip(needs));
        let apps = apps.map(|((name, (is_started, vsn)), (modules, needs))| {
            let modules = atoms(modules).into_iter();
            let needs = atoms(needs).into_iter();
            let app = RunningApp {
                is_started: *is_started,
                vsn: vsn.clone(),
                modules: modules.map(|name| Module::new(name.as_str())).collect(),
                needs: needs.map(|name| App::new(name.as_str())).collect(),
            };
            (App::new(name.as_str()), app)
        });
        Ok(apps.collect())
    }
}

pub(in crate::facts) fn call_failed(what: &str, error: CallError) -> Box<Diagnostic> {
    error.diagnostic(what)
}

pub(in crate::facts) fn unexpected_reply(what: &str, answer: &Term) -> Box<Diagnostic> {
    let text: String = answer.to_string().chars().take(200).collect();
    Box::new(
        Diagnostic::new(
            Code::E506,
            format!("{what} gave an answer that OTP does not give"),
        )
        .note(text),
    )
}
