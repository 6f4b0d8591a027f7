//! Questions to a running node: what is loaded, from where, which version, in which processes.
//!
//! One round trip per question, never one per module or process, and nothing installed: many calls are
//! made at once by handing documented functions to `lists:map/2` and its kin on the node
//! (`lists:zipwith3(fun erlang:apply/3, ..)`). More about some of the modules is in
//! [`queries`](super::queries), files are asked about in [`node_files`](super::node_files), processes in
//! [`processes`](super::processes).

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use super::ask::{Ask, function, unexpected_reply};
use super::folders::{folder_of, in_place, is_stage};
use crate::diag::Result;
use crate::facts::app::versions::name_of;
use crate::name::{App, Md5, Module};
use crate::node::Session;
use crate::term::{Atom, Term};

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
    pub md5: Md5,
    /// Where it came from.
    pub origin: CodeOrigin,
}

impl LoadedModule {
    /// The name of its beam, when it is relative to the node's current folder.
    fn relative_file(&mut self) -> Option<&mut String> {
        match &mut self.origin {
            CodeOrigin::File(file) if file.ends_with(".beam") && !file.starts_with('/') => {
                Some(file)
            }
            _ => None,
        }
    }
}

/// A relative name below a folder, without `.` in it.
fn joined(folder: &str, name: &str) -> String {
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    format!("{}/{}", folder.trim_end_matches('/'), parts.join("/"))
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
    /// Which application lists a module; made of `apps` when that is asked for the first time.
    pub listed_by: OnceLock<HashMap<Module, App>>,
    /// Where applications have their beams; found when that is asked for the first time.
    pub homes: OnceLock<HashMap<App, String>>,
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
        let listed_by = self.listed_by.get_or_init(|| {
            let mut all = HashMap::new();
            for (name, app) in &self.apps {
                for module in &app.modules {
                    all.entry(module.clone()).or_insert_with(|| name.clone());
                }
            }
            all
        });
        listed_by.get(module)
    }

    /// The modules of kernel, stdlib and erts, which an upgrade itself uses.
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
        let homes = self.homes.get_or_init(|| {
            let homes = self.apps.iter();
            let homes = homes.filter_map(|(app, running)| Some((app, self.home(app, running)?)));
            homes
                .map(|(app, home)| (app.clone(), home.to_owned()))
                .collect()
        });
        homes.get(app).map(String::as_str)
    }

    fn home(&self, app: &App, running: &RunningApp) -> Option<&str> {
        let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
        let files = running.modules.iter();
        for folder in files.filter_map(|m| folder_of(self.file_of(m)?)) {
            *folders.entry(folder).or_default() += 1;
        }
        let most = folders.into_iter().max_by_key(|(_, count)| *count);
        let most = most.map(|(folder, _)| folder);
        let path = || self.path.iter().map(String::as_str);
        if most.is_some_and(|most| path().any(|folder| folder == most)) {
            return most;
        }
        let named = path().find(|folder| name_of(folder) == Some(app.as_str()));
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
    let mut facts = NodeFacts {
        embedded: mode.is_atom("embedded"),
        path: code_path(session)?,
        otp,
        loaded: ask.loaded()?,
        apps: ask.apps()?,
        otp_lib,
        listed_by: OnceLock::new(),
        homes: OnceLock::new(),
    };
    ask.make_absolute(&mut facts)?;
    for loaded in facts.loaded.values_mut() {
        if let CodeOrigin::File(file) = &mut loaded.origin {
            in_place(file);
        }
    }
    let is_stage = |folder: &String| folder.rsplit('/').next().is_some_and(is_stage);
    facts.path.retain(|folder| !is_stage(folder));
    Ok(facts)
}

/// The code path as the node has it: folders may be relative to the node's own.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than OTP would.
pub fn code_path(session: &Session) -> Result<Vec<String>> {
    let path = Ask { session }.call("code", "get_path", vec![])?;
    let folders = path
        .as_list()
        .ok_or_else(|| unexpected_reply("code:get_path/0", &path))?;
    Ok(folders.iter().filter_map(Term::to_text).collect())
}

impl Ask<'_> {
    /// Names of files and folders that are relative to the node's current folder (`erl -pa ebin`, and code loaded from
    /// there by `code:ensure_modules_loaded/1`) become absolute. That of a beam which is not there stays as it is.
    fn make_absolute(&self, facts: &mut NodeFacts) -> Result<()> {
        let relative = facts
            .loaded
            .values_mut()
            .filter_map(LoadedModule::relative_file);
        let relative: Vec<&mut String> = relative.collect();
        // `.` is where the node was started, and no folder of an application.
        let path = facts.path.iter_mut();
        let path: Vec<&mut String> = path
            .filter(|folder| !folder.starts_with('/') && *folder != ".")
            .collect();
        if relative.is_empty() && path.is_empty() {
            return Ok(());
        }
        let answer = self.call("file", "get_cwd", vec![])?;
        let current = match answer.as_tuple() {
            Some([ok, folder]) if ok.is_atom("ok") => folder.to_text(),
            _ => None,
        };
        let Some(current) = current else {
            return Ok(());
        };
        let names: Vec<String> = relative.iter().map(|file| joined(&current, file)).collect();
        let args = vec![
            function("filelib", "is_regular", 1),
            Term::list(names.iter().map(|name| Term::string(name))),
        ];
        let found = self.call("lists", "map", args)?;
        let found = found.as_list().unwrap_or_default();
        for ((file, name), is_there) in relative.into_iter().zip(names).zip(found) {
            if is_there.is_atom("true") {
                *file = name;
            }
        }
        for folder in path {
            *folder = joined(&current, folder);
        }
        Ok(())
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
                    let md5 = Md5::from_bytes(md5.as_bytes()?)?;
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
