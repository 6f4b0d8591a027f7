//! Which supervisors have the processes of some modules as children, and can start them anew.

use std::collections::{BTreeMap, BTreeSet};

use super::ask::{TIMEOUT, call_failed, unexpected_reply};
use super::processes::ChildId;
use crate::diag::Result;
use crate::name::Module;
use crate::node::{CallError, Session, evaluate};
use crate::term::Term;

/// The expression.
const PARENTS: &str = include_str!("parents.erlexpr");

/// How long a supervisor may take to say what children it has: milliseconds.
const WAIT: i64 = 500;

/// Which supervisors have the processes of these modules as children, an entry per process.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than the expression would.
pub(in crate::facts) fn parents(
    session: &Session,
    modules: &BTreeSet<Module>,
) -> Result<BTreeMap<Module, Vec<Option<ChildId>>>> {
    let mut found: BTreeMap<Module, Vec<Option<ChildId>>> = BTreeMap::new();
    if modules.is_empty() {
        return Ok(found);
    }
    let wanted = modules.iter();
    let wanted = wanted.map(|module| (Term::atom(module.as_str()), Term::boolean(true)));
    let bindings = [("Wait", Term::Int(WAIT)), ("Wanted", Term::map(wanted))];
    let what = "looking for supervisors";
    let answer = match evaluate(session, PARENTS, &bindings, TIMEOUT) {
        Ok(answer) => answer,
        Err(CallError::Raised { .. }) => return Ok(found),
        Err(error) => return Err(call_failed(what, error)),
    };
    let Some(rows) = answer.as_list() else {
        return Err(unexpected_reply(what, &answer));
    };
    for row in rows {
        let Some([Term::Atom(module), child]) = row.as_tuple() else {
            return Err(unexpected_reply(what, &answer));
        };
        let child = match child.as_tuple() {
            Some([Term::Atom(supervisor), id]) => {
                Some((Module::new(supervisor.as_str()), id.clone()))
            }
            _ => None,
        };
        let module = Module::new(module.as_str());
        found.entry(module).or_default().push(child);
    }
    Ok(found)
}
