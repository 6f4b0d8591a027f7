//! What a recorded way back has to learn anew from a node: files that are not loaded yet, and processes that only
//! supervisors know.
//!
//! A node may have been restarted since the record was made. In interactive mode modules are loaded when they are
//! called, and recorded pids belong to the former node: both are looked at as they are now.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{TIMEOUT, call_failed, function, unexpected_reply};
use super::behaviours;
use super::node_facts::NodeFacts;
use super::processes::{self, ProcessQuery};
use super::queries::natures;
use crate::diag::Result;
use crate::name::{Md5, Module};
use crate::node::Session;
use crate::term::{Pid, Term};

/// The MD5 of modules as the node would load them from its code path; those without a file there are left out.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than OTP would.
pub fn on_path(session: &Session, modules: &[Module]) -> Result<BTreeMap<Module, Md5>> {
    if modules.is_empty() {
        return Ok(BTreeMap::new());
    }
    let each = |what: &str, fun: Term, list: Vec<Term>| -> Result<Vec<Term>> {
        let many = list.len();
        let args = vec![fun, Term::List(list)];
        match session.call("lists", "map", args, TIMEOUT) {
            Ok(Term::List(answers)) if answers.len() == many => Ok(answers),
            Ok(other) => Err(unexpected_reply(what, &other)),
            Err(error) => Err(call_failed(what, error)),
        }
    };
    let names = modules.iter().map(|m| Term::atom(m.as_str())).collect();
    let which = each("code:which/1", function("code", "which", 1), names)?;
    // Atoms: `non_existing`, `preloaded`, `cover_compiled`.
    let files = modules.iter().zip(which);
    let files: Vec<(&Module, Term)> = files.filter(|(_, file)| file.as_atom().is_none()).collect();
    if files.is_empty() {
        return Ok(BTreeMap::new());
    }
    let paths = files.iter().map(|(_, file)| file.clone()).collect();
    let sums = each("beam_lib:md5/1", function("beam_lib", "md5", 1), paths)?;
    let sums = files.iter().zip(sums).filter_map(|((module, _), sum)| {
        let [_, pair] = sum.as_tuple()? else {
            return None;
        };
        let [name, md5] = pair.as_tuple()? else {
            return None;
        };
        let md5 = Md5::from_bytes(md5.as_bytes()?)?;
        name.is_atom(module.as_str())
            .then(|| ((*module).clone(), md5))
    });
    Ok(sums.collect())
}

/// The processes of loaded modules that started in a behaviour of another module, and that the agent cannot find by
/// their initial call; modules without such processes are left out.
///
/// # Errors
/// As [`on_path`].
pub fn wrapped(
    session: &Session,
    facts: &NodeFacts,
    modules: &BTreeSet<Module>,
) -> Result<BTreeMap<Module, Vec<Pid>>> {
    let declared = natures(session, facts, modules)?;
    let behaviours = declared.values().flat_map(|n| n.behaviours.iter().cloned());
    let about = behaviours::ask(session, facts, behaviours.collect())?;
    let mut question = ProcessQuery::default();
    for (module, nature) in &declared {
        for behaviour in &nature.behaviours {
            let known = |name: &Module| about.get(name).cloned();
            let Some(found) = behaviours::behaves(behaviour, &known).filter(|b| b.wraps) else {
                continue;
            };
            question.modules.insert(module.clone());
            question.wrapped.insert(module.clone());
            if found.runs == behaviours::ProcessKind::Supervisor {
                question.supervisors.insert(behaviour.clone());
            }
        }
    }
    let answer = processes::find_processes(session, facts.otp, &question)?;
    let crews = answer.crews.into_iter().filter_map(|(module, mut crew)| {
        crew.classify(&declared.get(&module)?.behaviours);
        (!crew.also.is_empty()).then_some((module, crew.also))
    });
    Ok(crews.collect())
}

/// How many processes run each of these modules; those that no process runs are left out.
///
/// # Errors
/// As [`on_path`].
pub fn running(
    session: &Session,
    facts: &NodeFacts,
    modules: &BTreeSet<Module>,
) -> Result<BTreeMap<Module, usize>> {
    let question = ProcessQuery {
        modules: modules.clone(),
        ..ProcessQuery::default()
    };
    let answer = processes::find_processes(session, facts.otp, &question)?;
    let crews = answer.crews.into_iter();
    Ok(crews
        .map(|(module, crew)| (module, crew.count()))
        .filter(|(_, count)| *count > 0)
        .collect())
}
