//! Processes that a run has left with a state of the version before, under new code: which of them live, and their
//! conversion once more.

use std::time::Duration;

use crate::diag::Result;
use crate::node::agent::protocol::ToConvert;
use crate::node::{Session, evaluate};
use crate::term::{Pid, Term};

const CONVERT: &str = include_str!("convert_again.erlexpr");

/// Pids of an earlier life of the node are no processes of it.
const ALIVE: &str = "[P || P <- Pids, (catch is_process_alive(P)) =:= true].";

const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a conversion may take.
const WITHIN: i64 = 30_000;

/// What has come of one of them; gone ones are not listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Retried {
    /// The process.
    pub pid: Pid,
    /// Why it has its old state still; `None` when it is converted.
    pub failed: Option<String>,
}

/// Those of these processes that are alive.
///
/// # Errors
/// E508 when the node does not answer.
pub fn alive(session: &Session, pids: &[Pid]) -> Result<Vec<Pid>> {
    let these = Term::list(pids.iter().cloned().map(Term::Pid));
    let answer = evaluate(session, ALIVE, &[("Pids", these)], TIMEOUT)
        .map_err(|error| error.diagnostic("looking for processes that a run has named"))?;
    let alive = answer.as_list().unwrap_or_default().iter();
    Ok(alive.filter_map(pid).collect())
}

/// Suspends each of them, has it converted by the code that runs, and resumes it.
///
/// # Errors
/// E508 when the node does not answer.
pub fn convert(session: &Session, these: &[ToConvert]) -> Result<Vec<Retried>> {
    let work = these.iter().map(|one| {
        Term::tuple([
            Term::atom(one.module.as_str()),
            one.vsn.clone(),
            one.extra.clone(),
            Term::list(one.pids.iter().cloned().map(Term::Pid)),
        ])
    });
    let bindings = [("Work", Term::list(work)), ("Within", Term::Int(WITHIN))];
    let answer = evaluate(session, CONVERT, &bindings, TIMEOUT)
        .map_err(|error| error.diagnostic("converting what a run has left"))?;
    let retried = |entry: &Term| {
        let [process, result] = entry.as_tuple()? else {
            return None;
        };
        (!result.is_atom("gone")).then_some(Retried {
            pid: pid(process)?,
            failed: result.to_text().filter(|_| !result.is_atom("ok")),
        })
    };
    let all = answer.as_list().unwrap_or_default().iter();
    Ok(all.filter_map(retried).collect())
}

fn pid(term: &Term) -> Option<Pid> {
    match term {
        Term::Pid(pid) => Some(pid.clone()),
        _ => None,
    }
}
