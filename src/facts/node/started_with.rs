//! What the supervisors of changed modules were started with: the new `init/1` will get it.

use std::collections::BTreeMap;

use super::ask::{TIMEOUT, call_failed, unexpected_reply};
use crate::diag::Result;
use crate::name::Module;
use crate::node::{CallError, Session, evaluate};
use crate::term::{Pid, Term};

/// The expression.
const TEXT: &str = include_str!("started_with.erlexpr");

/// How long a supervisor may take to answer: milliseconds.
const WAIT: i64 = 500;

/// An argument that is larger is not looked at: bytes.
const MOST: i64 = 65_536;

/// Asks a supervisor of each module for its argument. Those that do not answer, or not with one of a usual size, are
/// left out.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than the expression would.
pub(in crate::facts) fn ask(
    session: &Session,
    supervisors: &BTreeMap<&Module, &Pid>,
) -> Result<BTreeMap<Module, (Pid, Term)>> {
    let mut found = BTreeMap::new();
    if supervisors.is_empty() {
        return Ok(found);
    }
    let wanted = supervisors.iter().map(|(module, pid)| {
        let pid = Term::Pid((*pid).clone());
        Term::tuple([Term::atom(module.as_str()), pid])
    });
    let bindings = [
        ("Wanted", Term::list(wanted)),
        ("Wait", Term::Int(WAIT)),
        ("Most", Term::Int(MOST)),
    ];
    let what = "asking supervisors for their arguments";
    let answer = match evaluate(session, TEXT, &bindings, TIMEOUT) {
        Ok(answer) => answer,
        Err(CallError::Raised { .. }) => return Ok(found),
        Err(error) => return Err(call_failed(what, error)),
    };
    for row in answer.as_list().unwrap_or_default() {
        let Some([Term::Atom(module), Term::Pid(pid), argument]) = row.as_tuple() else {
            return Err(unexpected_reply(what, &answer));
        };
        if let Some([_, argument]) = argument.as_tuple() {
            let module = Module::new(module.as_str());
            found.insert(module, (pid.clone(), argument.clone()));
        }
    }
    Ok(found)
}
