//! The agent: the process inside the node that runs an upgrade.
//!
//! Its Erlang source is part of this binary. It travels as text, is compiled on the node (or interpreted
//! by `erl_eval` where there is no compiler) under a name of its own per run, and takes itself away when
//! it is done. `PROTOCOL.md` beside this file says what goes over the wire.

use std::time::Duration;

use crate::diag::{Code, Diagnostic};
use crate::node::{CallError, Session};
use crate::term::{Pid, Term};

/// The agent's source: one Erlang module, kept in parts that can be read in one sitting each.
pub const SOURCE: &str = concat!(
    include_str!("1_start.erl"),
    include_str!("2_guardian.erl"),
    include_str!("3_executor.erl"),
    include_str!("4_prepare.erl"),
    include_str!("5_suspend.erl"),
    include_str!("6_switch.erl"),
    include_str!("7_back.erl"),
    include_str!("8_workers.erl"),
);

/// The expressions that bring the source to life on the node.
pub const BOOTSTRAP: &str = include_str!("bootstrap.erlexpr");

/// Compiling takes a while on a busy node; nothing is suspended meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running agent.
#[derive(Clone, Debug)]
pub struct Agent {
    guardian: Pid,
}

/// Why an agent did not start.
#[derive(Debug)]
pub enum StartError {
    /// Another run holds the node's lock; the text says who and since when.
    Locked(String),
    /// Anything else.
    Other(Box<Diagnostic>),
}

/// Brings the agent's source to a node, under the name of a run (four hexadecimal digits), and starts a job.
///
/// # Errors
/// [`StartError::Locked`] when another run is going on: then nothing of this one stays on the node.
pub fn start(session: &Session, run: &str, job: &Term) -> std::result::Result<Agent, StartError> {
    let name = Term::atom(format!("updo_agent_{run}"));
    let bindings = [
        ("Source", Term::binary(SOURCE)),
        ("Name", name),
        ("Job", job.clone()),
    ];
    let answer = crate::node::evaluate(session, BOOTSTRAP, &bindings, PATIENCE)
        .map_err(|error| StartError::Other(refused(&error)))?;
    match answer.as_tuple() {
        Some([ok, Term::Pid(guardian)]) if ok.is_atom("ok") => Ok(Agent {
            guardian: guardian.clone(),
        }),
        Some([_, reason]) => match reason.as_tuple() {
            Some([locked, info]) if locked.is_atom("locked") => {
                Err(StartError::Locked(holder(info)))
            }
            _ => Err(StartError::Other(odd(reason))),
        },
        _ => Err(StartError::Other(odd(&answer))),
    }
}

impl Agent {
    /// The process that holds the lock.
    pub fn guardian(&self) -> &Pid {
        &self.guardian
    }

    /// Asks for further steps under the same lock.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn run(&self, session: &Session, job: Term) -> std::result::Result<(), CallError> {
        session.send_named("updo_run", Term::tuple([Term::atom("updo_run"), job]))
    }

    /// Answers the hook of a step: go on, or go back.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn answer(
        &self,
        session: &Session,
        step: u32,
        ok: bool,
    ) -> std::result::Result<(), CallError> {
        answer(session, step, ok)
    }

    /// Asks for the end: purge what nobody runs, unlock, go.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn settle(&self, session: &Session) -> std::result::Result<(), CallError> {
        session.send_named("updo_run", Term::atom("updo_settle"))
    }
}

/// Answers the hook of a step to whoever is the guardian now.
///
/// # Errors
/// When the connection is lost.
pub fn answer(session: &Session, step: u32, ok: bool) -> std::result::Result<(), CallError> {
    let (word, step) = (Term::atom("updo_hook"), Term::Int(i64::from(step)));
    session.send_named("updo_run", Term::tuple([word, step, Term::boolean(ok)]))
}

/// Who holds a node's lock, in words; `None` when nobody does. Two questions, nothing is started. One that
/// has finished and only keeps its result for somebody to fetch holds nothing.
///
/// # Errors
/// When the connection is lost, or the node does not answer in time.
pub fn lock_holder(session: &Session) -> std::result::Result<Option<String>, CallError> {
    const TIMEOUT: Duration = Duration::from_secs(10);
    let guardian = session.call("erlang", "whereis", vec![Term::atom("updo_run")], TIMEOUT)?;
    if !matches!(guardian, Term::Pid(_)) {
        return Ok(None);
    }
    let ask = vec![guardian, Term::atom("dictionary")];
    let answer = session.call("erlang", "process_info", ask, TIMEOUT)?;
    let Some([_, dictionary]) = answer.as_tuple() else {
        return Ok(None);
    };
    let info = dictionary.as_list().unwrap_or_default().iter();
    let info = info.filter_map(Term::as_tuple).find_map(|pair| match pair {
        [key, info] if key.is_atom("updo_info") => Some(info),
        _ => None,
    });
    let kept = info
        .and_then(|info| info.get("state"))
        .is_some_and(|state| state.is_atom("kept"));
    Ok(info.filter(|_| !kept).map(holder))
}

/// E505: another run holds the lock of a node.
pub fn locked(session: &Session, who: String) -> Diagnostic {
    let title = format!("another updo run holds the lock of {}", session.node());
    Diagnostic::new(Code::E505, title)
        .note(who)
        .help("wait until it is done")
}

/// Who holds the lock, in words.
fn holder(info: &Term) -> String {
    let show = |key: &str| {
        info.get(key)
            .map(|term| term.to_text().unwrap_or_else(|| term.to_string()))
    };
    let owner = show("owner").unwrap_or_else(|| "somebody".to_owned());
    let run = show("run")
        .map(|run| format!(", run {run}"))
        .unwrap_or_default();
    let since = info
        .get("since")
        .and_then(Term::as_i64)
        .and_then(|since| {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .ok()?;
            let ago = i64::try_from(now.as_secs())
                .ok()?
                .saturating_sub(since)
                .max(0);
            Some(format!(", for {ago} s"))
        })
        .unwrap_or_default();
    format!("held by {owner}{since}{run}")
}

fn odd(answer: &Term) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(Code::E612, "the agent did not start").note(answer.to_string()))
}

fn refused(error: &CallError) -> Box<Diagnostic> {
    let title = "the agent could not be brought to the node";
    let code = match error {
        CallError::Timeout | CallError::Lost(_) => Code::E508,
        _ => Code::E612,
    };
    let cause = error.diagnostic(title);
    let mut told = Diagnostic::new(code, title).note(cause.title);
    told.notes.extend(cause.notes);
    Box::new(told)
}
