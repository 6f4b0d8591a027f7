//! The agent: the process inside the node that runs an upgrade.
//!
//! Its Erlang source is part of this binary. It travels as text, is compiled on the node (or interpreted
//! by `erl_eval` where there is no compiler) under a name of its own per run, and takes itself away when
//! it is done. `PROTOCOL.md` beside this file says what goes over the wire.

use std::time::Duration;

use crate::diag::{Code, Diagnostic, Result};
use crate::node::{CallError, Session};
use crate::term::{Pid, Term};

/// The agent's source.
pub const SOURCE: &str = include_str!("updo_agent.erl");

/// The expressions that bring the source to life on the node.
pub const BOOTSTRAP: &str = include_str!("bootstrap.erlexpr");

/// Compiling takes a while on a busy node; nothing is suspended meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// The source brought to life on a node, not yet started.
#[derive(Debug)]
pub struct Installed {
    /// What the bootstrap gave: `{module, Name}` or `{interpreted, Name}`.
    how: Term,
}

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

/// Brings the agent's source to a node, under the name of a run (four hexadecimal digits).
///
/// # Errors
/// E508 when the connection is lost, E612 when the node refuses the source.
pub fn install(session: &Session, run: &str) -> Result<Installed> {
    let name = Term::atom(format!("updo_agent_{run}"));
    let bindings = [("Source", Term::binary(SOURCE)), ("Name", name)];
    let how = crate::node::evaluate(session, BOOTSTRAP, &bindings, PATIENCE)
        .map_err(|error| refused("the agent could not be brought to the node", error))?;
    match how.as_tuple() {
        Some([kind, _]) if kind.is_atom("module") || kind.is_atom("interpreted") => Ok(Installed { how }),
        _ => Err(Box::new(
            Diagnostic::new(Code::E612, "the node did not accept the agent").note(how.to_string()),
        )),
    }
}

impl Installed {
    /// Starts the job.
    ///
    /// # Errors
    /// [`StartError::Locked`] when another run is going on.
    pub fn start(self, session: &Session, job: &Term) -> std::result::Result<Agent, StartError> {
        let other = |diagnostic| StartError::Other(diagnostic);
        let mut job = job.clone();
        if let Term::Map(pairs) = &mut job {
            pairs.insert(Term::atom("agent"), self.how.clone());
        }
        let [_, name] = self.how.as_tuple().unwrap_or_default() else {
            return Err(other(Box::new(Diagnostic::new(Code::E900, "the agent has no name"))));
        };
        let answer = if self.how.as_tuple().is_some_and(|how| how[0].is_atom("module")) {
            let module = name.as_atom().map(|atom| atom.as_str().to_owned()).unwrap_or_default();
            session.call(&module, "start", vec![job], PATIENCE)
        } else {
            const START: &str = "(persistent_term:get(Name))(Job).";
            crate::node::evaluate(session, START, &[("Name", name.clone()), ("Job", job)], PATIENCE)
        };
        let answer =
            answer.map_err(|error| other(refused("the agent could not be started", error)))?;
        match answer.as_tuple() {
            Some([ok, Term::Pid(guardian)]) if ok.is_atom("ok") => Ok(Agent { guardian: guardian.clone() }),
            Some([_, reason]) => match reason.as_tuple() {
                Some([locked, info]) if locked.is_atom("locked") => Err(StartError::Locked(holder(info))),
                _ => Err(other(Box::new(
                    Diagnostic::new(Code::E612, "the agent did not start").note(reason.to_string()),
                ))),
            },
            _ => Err(other(Box::new(
                Diagnostic::new(Code::E612, "the agent did not start").note(answer.to_string()),
            ))),
        }
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

    /// Asks for the end: purge what nobody runs, unlock, go.
    ///
    /// # Errors
    /// When the connection is lost.
    pub fn settle(&self, session: &Session) -> std::result::Result<(), CallError> {
        session.send_named("updo_run", Term::atom("updo_settle"))
    }
}

/// Who holds the lock, in words.
fn holder(info: &Term) -> String {
    let show = |key: &str| info.get(key).map(|term| term.to_text().unwrap_or_else(|| term.to_string()));
    let owner = show("owner").unwrap_or_else(|| "somebody".to_owned());
    let run = show("run").map(|run| format!(", run {run}")).unwrap_or_default();
    let since = info
        .get("since")
        .and_then(Term::as_i64)
        .and_then(|since| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?;
            let ago = i64::try_from(now.as_secs()).ok()?.saturating_sub(since).max(0);
            Some(format!(", for {ago} s"))
        })
        .unwrap_or_default();
    format!("held by {owner}{since}{run}")
}

fn refused(title: &str, error: CallError) -> Box<Diagnostic> {
    let code = match error {
        CallError::Raised { .. } | CallError::Undecodable(_) => Code::E612,
        CallError::Timeout | CallError::Lost(_) => Code::E508,
    };
    let cause = error.diagnostic(title);
    let mut told = Diagnostic::new(code, title).note(cause.title);
    told.notes.extend(cause.notes);
    Box::new(told)
}
