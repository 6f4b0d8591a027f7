//! Questions to a running node: what is loaded, from where, which version, who runs it.
//!
//! One round trip per question, never one per module or process, and nothing installed: many calls are
//! made at once by handing documented functions to `lists:map/2` and its kin on the node
//! (`lists:zipwith3(fun erlang:apply/3, ..)`), and the one question that no function answers, which
//! process runs what, is an expression for `erl_eval`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::change::Loaded;
use crate::diag::{Code, Diagnostic, Result};
use crate::name::{App, Module};
use crate::node::{CallError, Session, evaluate};
use crate::term::{Atom, Fun, Term};

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a loaded module came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
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
    pub origin: Origin,
}

/// An application that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningApp {
    /// Its version.
    pub vsn: String,
    /// Its modules, as its specification lists them.
    pub modules: Vec<Module>,
}

/// What is true of a node as a whole.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// The OTP release: 25.
    pub otp: u32,
    /// Loaded modules.
    pub loaded: BTreeMap<Module, LoadedModule>,
    /// Running applications.
    pub apps: BTreeMap<App, RunningApp>,
    /// The folder of OTP's own libraries.
    pub otp_lib: String,
}

impl NodeFacts {
    /// The running application that lists a module.
    pub fn app_of(&self, module: &Module) -> Option<&App> {
        self.apps
            .iter()
            .find(|(_, app)| app.modules.contains(module))
            .map(|(name, _)| name)
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
        .ok_or_else(|| odd("otp_release", &release))?;
    let lib = ask.call("code", "lib_dir", vec![])?;
    let otp_lib = lib.to_text().ok_or_else(|| odd("code:lib_dir/0", &lib))?;
    Ok(NodeFacts {
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
) -> Result<BTreeMap<Module, Loaded>> {
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
        let functions = exports
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(|pair| {
                let [name, arity] = pair.as_tuple()? else {
                    return None;
                };
                Some((
                    name.as_atom()?.as_str().into(),
                    u32::try_from(arity.as_i64()?).ok()?,
                ))
            });
        let file = match &known.origin {
            Origin::File(file) => file.clone(),
            _ => String::new(),
        };
        let loaded = Loaded {
            md5: known.md5,
            file,
            exports: functions.collect(),
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

/// What the file of a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// A beam with this MD5.
    Md5([u8; 16]),
    /// There is no file.
    Missing,
    /// There is a file, and it is no beam; the text says why.
    Broken(String),
}

/// The MD5 of beam files on the node's disk.
///
/// # Errors
/// As [`gather`].
pub fn files(session: &Session, files: &[String]) -> Result<Vec<OnDisk>> {
    let ask = Ask { session };
    let names = Term::list(files.iter().map(|file| Term::string(file)));
    let answers = ask.call("lists", "map", vec![function("beam_lib", "md5", 1), names])?;
    let answers = answers
        .as_list()
        .ok_or_else(|| odd("beam_lib:md5/1", &answers))?;
    Ok(answers.iter().map(on_disk).collect())
}

fn on_disk(answer: &Term) -> OnDisk {
    let broken = || OnDisk::Broken(answer.to_string());
    match answer.as_tuple() {
        Some([ok, value]) if ok.is_atom("ok") => {
            let md5 = value
                .as_tuple()
                .and_then(|pair| pair.get(1)?.as_bytes()?.try_into().ok());
            md5.map_or_else(broken, OnDisk::Md5)
        }
        Some([_, _, reason]) => match reason.as_tuple() {
            Some([what, _, why]) if what.is_atom("file_error") && why.is_atom("enoent") => {
                OnDisk::Missing
            }
            _ => OnDisk::Broken(reason.to_string()),
        },
        _ => broken(),
    }
}

/// The beam files in folders of the node, without their folders; a folder that cannot be read has none.
///
/// # Errors
/// As [`gather`].
pub fn beams_in(session: &Session, folders: &[String]) -> Result<Vec<Vec<String>>> {
    let ask = Ask { session };
    let names = Term::list(folders.iter().map(|folder| Term::string(folder)));
    let answers = ask.call("lists", "map", vec![function("file", "list_dir", 1), names])?;
    let answers = answers
        .as_list()
        .ok_or_else(|| odd("file:list_dir/1", &answers))?;
    let beams = |answer: &Term| -> Vec<String> {
        let Some([ok, names]) = answer.as_tuple() else {
            return Vec::new();
        };
        let names = if ok.is_atom("ok") {
            names.as_list().unwrap_or_default()
        } else {
            &[]
        };
        let beams = names
            .iter()
            .filter_map(Term::to_text)
            .filter(|name| name.ends_with(".beam"));
        beams.collect()
    };
    Ok(answers.iter().map(beams).collect())
}

/// Reads files of the node, several at a time; `None` for one that cannot be read.
///
/// # Errors
/// As [`gather`].
pub fn read_files(session: &Session, files: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
    const AT_ONCE: usize = 8;
    let mut contents = Vec::with_capacity(files.len());
    for some in files.chunks(AT_ONCE) {
        let pending: Vec<_> = some
            .iter()
            .map(|file| session.start_call("file", "read_file", vec![Term::string(file)]))
            .collect();
        for call in pending {
            let answer = call
                .and_then(|call| call.wait(PATIENCE))
                .map_err(|e| failed("file:read_file/1", e))?;
            contents.push(match answer.as_tuple() {
                Some([ok, bytes]) if ok.is_atom("ok") => bytes.as_bytes().map(<[u8]>::to_vec),
                _ => None,
            });
        }
    }
    Ok(contents)
}

/// Which of these modules are in a sticky directory.
///
/// # Errors
/// As [`gather`].
pub fn sticky(session: &Session, modules: &[Module]) -> Result<Vec<bool>> {
    let ask = Ask { session };
    let names = Term::list(modules.iter().map(|m| Term::atom(m.as_str())));
    let answers = ask.call(
        "lists",
        "map",
        vec![function("code", "is_sticky", 1), names],
    )?;
    Ok(answers
        .as_list()
        .unwrap_or_default()
        .iter()
        .map(|answer| answer.is_atom("true"))
        .collect())
}

/// How many processes run each of these modules, by their initial call: no message is sent to any of them.
///
/// # Errors
/// As [`gather`].
pub fn processes(session: &Session, modules: &[Module]) -> Result<BTreeMap<Module, usize>> {
    const WHO_RUNS: &str = "[M || P <- erlang:processes(),
         {dictionary, D} <- [erlang:process_info(P, dictionary)],
         {_, I} <- [lists:keyfind('$initial_call', 1, D)],
         M <- case I of {supervisor, S, _} -> [S]; {S, _, _} -> [S]; _ -> [] end,
         is_map_key(M, Wanted)].";
    let wanted = Term::map(
        modules
            .iter()
            .map(|m| (Term::atom(m.as_str()), Term::atom("true"))),
    );
    let answer = evaluate(session, WHO_RUNS, &[("Wanted", wanted)], PATIENCE)
        .map_err(|error| failed("looking for processes", error))?;
    let mut counts = BTreeMap::new();
    for module in answer.as_list().unwrap_or_default() {
        if let Some(name) = module.as_atom() {
            *counts.entry(Module::new(name.as_str())).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

/// `fun m:f/a` as a term.
fn function(module: &str, name: &str, arity: u8) -> Term {
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
            .call(module, function, args, PATIENCE)
            .map_err(|error| failed(&format!("{module}:{function}/{arity}"), error))
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
            other => Err(odd("module_info/1", &other)),
        }
    }

    fn loaded(&self) -> Result<BTreeMap<Module, LoadedModule>> {
        let all = self.call("code", "all_loaded", vec![])?;
        let mut modules = Vec::new();
        let mut origins = Vec::new();
        for pair in all
            .as_list()
            .ok_or_else(|| odd("code:all_loaded/0", &all))?
        {
            let Some([name, file]) = pair.as_tuple() else {
                continue;
            };
            let Some(name) = name.as_atom() else { continue };
            modules.push(Module::new(name.as_str()));
            origins.push(match file {
                Term::Atom(atom) if atom == "preloaded" => Origin::Preloaded,
                Term::Atom(atom) if atom == "cover_compiled" => Origin::Cover,
                other => match other.to_text() {
                    Some(file) if !file.is_empty() => Origin::File(file),
                    _ => Origin::Memory,
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
        let mut names = Vec::new();
        let mut versions = Vec::new();
        for app in running.as_list().unwrap_or_default() {
            let Some([name, _, vsn]) = app.as_tuple() else {
                continue;
            };
            let Some(name) = name.as_atom() else { continue };
            names.push(name.clone());
            versions.push(vsn.to_text().unwrap_or_default());
        }
        let args = vec![
            function("application", "get_key", 2),
            Term::list(names.iter().cloned().map(Term::Atom)),
            Term::List(vec![Term::atom("modules"); names.len()]),
        ];
        let keys = self.call("lists", "zipwith", args)?;
        let keys = keys.as_list().unwrap_or_default();
        let apps = names
            .into_iter()
            .zip(versions)
            .zip(keys)
            .map(|((name, vsn), key)| {
                let modules = match key.as_tuple() {
                    Some([_, modules]) => modules.as_list().unwrap_or_default(),
                    _ => &[],
                };
                let modules = modules
                    .iter()
                    .filter_map(|m| Some(Module::new(m.as_atom()?.as_str())))
                    .collect();
                (App::new(name.as_str()), RunningApp { vsn, modules })
            });
        Ok(apps.collect())
    }
}

fn failed(what: &str, error: CallError) -> Box<Diagnostic> {
    error.diagnostic(what)
}

fn odd(what: &str, answer: &Term) -> Box<Diagnostic> {
    let text: String = answer.to_string().chars().take(200).collect();
    Box::new(
        Diagnostic::new(
            Code::E506,
            format!("{what} gave an answer that OTP does not give"),
        )
        .note(text),
    )
}
