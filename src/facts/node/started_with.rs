//! What the supervisors of changed modules were started with: the new `init/1` will get it.

use super::node_facts::{TIMEOUT, call_failed, unexpected_reply};
use super::processes::Start;
use crate::diag::Result;
use crate::facts::change::ChangeSet;
use crate::name::Module;
use crate::node::{CallError, Session, evaluate};
use crate::term::Term;

/// The expression.
const TEXT: &str = include_str!("started_with.erlexpr");

/// How long a supervisor may take to answer: milliseconds.
const WAIT: i64 = 500;

/// An argument that is larger is not looked at: bytes.
const MOST: i64 = 65_536;

/// Asks one supervisor of each module for its argument.
///
/// # Errors
/// E508 when the node does not answer, E506 when it answers something else than the expression would.
pub(in crate::facts) fn ask(session: &Session, set: &mut ChangeSet) -> Result<()> {
    let wanted: Vec<Term> = set
        .modules
        .iter()
        .filter(|(_, changed)| changed.new.is_some() && changed.loaded.is_some())
        .filter_map(|(module, changed)| {
            let (_, example) = changed.crew.kinds.get(&Start::Supervisor)?;
            let pid = Term::Pid(example.pid.clone());
            Some(Term::tuple([Term::atom(module.as_str()), pid]))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let bindings = [
        ("Wanted", Term::list(wanted)),
        ("Wait", Term::Int(WAIT)),
        ("Most", Term::Int(MOST)),
    ];
    let what = "asking supervisors for their arguments";
    let answer = match evaluate(session, TEXT, &bindings, TIMEOUT) {
        Ok(answer) => answer,
        Err(CallError::Raised { .. }) => return Ok(()),
        Err(error) => return Err(call_failed(what, error)),
    };
    for row in answer.as_list().unwrap_or_default() {
        let Some([Term::Atom(module), Term::Pid(pid), found]) = row.as_tuple() else {
            return Err(unexpected_reply(what, &answer));
        };
        if let Some([_, argument]) = found.as_tuple()
            && let Some(changed) = set.modules.get_mut(&Module::new(module.as_str()))
        {
            changed.crew.started_with = Some((pid.clone(), argument.clone()));
        }
    }
    Ok(())
}
