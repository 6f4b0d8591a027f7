//! Questions about some modules and applications of a node: versions, exports, behaviours, sticky folders, environments.
//!
//! Each is one round trip, by documented functions of OTP only; see [`node_facts`](super::node_facts).

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{Ask, TIMEOUT, call_failed, function};
use super::folders::folder_of;
use super::node_facts::{CodeOrigin, NodeFacts};
use crate::diag::Result;
use crate::name::{App, FunctionArity, Md5, Module};
use crate::node::Session;
use crate::term::{Atom, Term};

/// What is known of the version that runs now.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningVersion {
    /// `module_info(md5)`.
    pub md5: Md5,
    /// The file it was loaded from.
    pub file: String,
    /// Its exported functions.
    pub exports: BTreeSet<FunctionArity>,
    /// The `vsn` attribute, as the conversion will get it.
    pub vsn: Option<Term>,
}

/// What is known of the running version of some modules. `known` has the exports of those of which there is a copy: the
/// node goes through all exports of all its modules for each answer.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than OTP would.
pub fn loaded_versions(
    session: &Session,
    facts: &NodeFacts,
    modules: &[Module],
    known: &BTreeMap<&Module, &BTreeSet<FunctionArity>>,
) -> Result<BTreeMap<Module, RunningVersion>> {
    let ask = Ask { session };
    let modules: Vec<&Module> = modules
        .iter()
        .filter(|m| facts.loaded.contains_key(*m))
        .collect();
    let unknown = modules.iter().filter(|module| !known.contains_key(*module));
    let unknown: Vec<&Module> = unknown.copied().collect();
    let mut exports = BTreeMap::new();
    if !unknown.is_empty() {
        let answers = ask.module_info(&unknown, "exports")?;
        let answers = answers.iter().map(functions);
        exports.extend(unknown.into_iter().zip(answers));
    }
    let attributes = ask.module_info(&modules, "attributes")?;
    let mut found = BTreeMap::new();
    for (module, attributes) in modules.into_iter().zip(attributes) {
        let running = &facts.loaded[module];
        let file = match &running.origin {
            CodeOrigin::File(file) => file.clone(),
            _ => String::new(),
        };
        let loaded = RunningVersion {
            md5: running.md5,
            file,
            exports: match known.get(module) {
                Some(known) => (*known).clone(),
                None => exports.remove(module).unwrap_or_default(),
            },
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

/// Which of these modules are in a sticky directory. Of a folder with many modules one is asked first, because a
/// question costs the code server more than anything else here, and folders are what is sticky.
///
/// # Errors
/// As [`loaded_versions`].
pub fn sticky(
    session: &Session,
    facts: &NodeFacts,
    modules: &[Module],
) -> Result<BTreeSet<Module>> {
    const FEW: usize = 8;
    let mut folders: BTreeMap<&str, Vec<&Module>> = BTreeMap::new();
    for module in modules {
        let folder = match facts.loaded.get(module).map(|loaded| &loaded.origin) {
            Some(CodeOrigin::File(file)) => folder_of(file).unwrap_or_default(),
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
    pub exports: BTreeSet<FunctionArity>,
}

/// What loaded modules declare and export; those that are not loaded are left out.
///
/// # Errors
/// As [`loaded_versions`].
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
fn functions(exports: &Term) -> BTreeSet<FunctionArity> {
    let pairs = exports.as_list().unwrap_or_default().iter();
    pairs
        .filter_map(|pair| {
            let [name, arity] = pair.as_tuple()? else {
                return None;
            };
            let arity = u32::try_from(arity.as_i64()?).ok()?;
            Some(FunctionArity::new(name.as_atom()?.as_str(), arity))
        })
        .collect()
}

/// Which of these Elixir protocols are consolidated as they run (`Protocol.consolidated?/1`).
///
/// # Errors
/// As [`loaded_versions`].
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
/// As [`loaded_versions`].
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

/// The file that a node would load each of the modules from, in their order; `None` without one. `code:where_is_file/1`.
///
/// # Errors
/// As [`loaded_versions`].
pub fn where_is_file(session: &Session, modules: &[Module]) -> Result<Vec<Option<String>>> {
    let names = modules
        .iter()
        .map(|m| Term::string(&format!("{}.beam", m.as_str())));
    let args = vec![function("code", "where_is_file", 1), Term::list(names)];
    let answer = session
        .call("lists", "map", args, TIMEOUT)
        .map_err(|error| call_failed("code:where_is_file/1", error))?;
    let files = answer.as_list().unwrap_or_default().iter();
    let file = |file: &Term| match file.as_atom() {
        Some(_) => None,
        None => file.to_text(),
    };
    Ok(files.map(file).collect())
}

/// The version of the release that a node was started as; a node that is none has that of OTP. `init:script_id/0`.
///
/// # Errors
/// As [`loaded_versions`].
pub fn release_version(session: &Session) -> Result<String> {
    let id = session
        .call("init", "script_id", vec![], TIMEOUT)
        .map_err(|error| call_failed("init:script_id/0", error))?;
    let vsn = id.as_tuple().and_then(|pair| pair.get(1)?.to_text());
    Ok(vsn.unwrap_or_default())
}

/// The version of the run-time system: `15.2.7`.
///
/// # Errors
/// As [`loaded_versions`].
pub fn erts_version(session: &Session) -> Result<String> {
    let args = vec![Term::atom("version")];
    let version = session
        .call("erlang", "system_info", args, TIMEOUT)
        .map_err(|error| call_failed("erlang:system_info/1", error))?;
    Ok(version.to_text().unwrap_or_default())
}

impl Ask<'_> {
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
}
