//! Calls: `erpc:call/5` from outside.
//!
//! Takes module, function and arguments, gives a [`Pending`] that can be waited for; many may be in
//! flight. The node starts `erpc:execute_call/4` in a process that we monitor, and the process exits
//! with the result, exactly as between two nodes of OTP 23 or newer. A call that is given up leaves
//! nothing behind on either side, except that the function runs to its end unless it is killed.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::control::{self, Payload};
use super::session::Session;
use super::state::{CallOutcome, PendingCall, Shared, Then};
use super::trace;
use crate::diag::{Code, Diagnostic};
use crate::term::{Atom, Reference, Term, line_within};

/// Bytes that are shown of a reason or of a frame of a stack.
const MAX_REASON: usize = 4_096;

/// Why a call has no value.
#[derive(Clone, PartialEq, Debug)]
pub enum CallError {
    /// The function raised an exception, or its process was killed (`exit`, `{signal, Reason}`).
    Raised {
        /// `error`, `exit` or `throw`.
        class: Atom,
        /// What was raised; `{erpc, Reason}` when the node could not even start it.
        reason: Term,
        /// The stack trace as Erlang gives it; `[]` for `exit` and `throw`.
        stack: Term,
    },
    /// It did not come back in time. The function may still be running.
    Timeout,
    /// The connection is gone; whether the function ran is unknown.
    Lost(String),
    /// The reply came and cannot be decoded.
    Undecodable(String),
    /// The arguments are too large for one message; nothing was sent.
    TooLarge,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised { class, reason, .. } => {
                write!(
                    f,
                    "exception {}: {}",
                    class,
                    line_within(reason, MAX_REASON)
                )
            }
            Self::Timeout => f.write_str("no answer in time"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::Undecodable(why) => write!(f, "the answer cannot be read: {why}"),
            Self::TooLarge => f.write_str("the arguments are too large for one message"),
        }
    }
}

impl std::error::Error for CallError {}

impl CallError {
    /// Whether the node has no such function (`error:undef` raised by the call itself).
    pub fn is_undef(&self) -> bool {
        matches!(self, Self::Raised { class, reason, .. } if class == "error" && reason.is_atom("undef"))
    }

    /// Whether the node has reached one of its limits, be it for the process that makes the call (`erpc` spawns one on
    /// the node) or for what the call wanted: `system_limit`.
    pub fn is_full(&self) -> bool {
        let Self::Raised { reason, .. } = self else {
            return false;
        };
        reason.is_atom("system_limit")
            || matches!(reason.as_tuple(), Some([erpc, limit]) if erpc.is_atom("erpc") && limit.is_atom("system_limit"))
    }

    /// As a diagnostic: E702 (no such function), E703 (exception) or E508 (it was not made, or its answer did not
    /// come). `what` is what was called, as it should be shown.
    pub fn diagnostic(&self, what: &str) -> Box<Diagnostic> {
        let code = match self {
            Self::Raised { .. } if self.is_undef() => Code::E702,
            Self::Raised { .. } if self.is_full() => Code::E508,
            Self::Raised { .. } | Self::TooLarge => Code::E703,
            Self::Timeout | Self::Lost(_) | Self::Undecodable(_) => Code::E508,
        };
        let text = Diagnostic::new(code, format!("{what}: {self}"));
        Box::new(match self {
            _ if self.is_full() => text
                .note("the node has reached a limit: of processes as a rule, else of ports, atoms or tables")
                .help("try again later; `erl +P` sets how many processes a node may have"),
            Self::Raised {
                stack: Term::List(frames),
                ..
            } => frames.iter().take(8).fold(text, |text, frame| {
                text.note(format!("at {}", line_within(frame, MAX_REASON)))
            }),
            _ => text,
        })
    }
}

/// A call in flight. Dropped without being waited for, it is given up.
pub struct Pending {
    session: Session,
    reference: Reference,
    result: Reference,
    outcome: Receiver<CallOutcome>,
    settled: bool,
    /// What was called and when, for the listener.
    traced: Option<(String, Instant)>,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending(on {})", self.session.node())
    }
}

impl Pending {
    /// Waits for the value; gives the call up when the time is over.
    pub fn wait(mut self, timeout: Duration) -> Result<Term, CallError> {
        self.poll(timeout).unwrap_or(Err(CallError::Timeout))
    }

    /// Waits as long and goes on afterwards: `None` when there is nothing yet.
    ///
    /// Once it has returned `Some`, it returns [`CallError::Timeout`] from then on.
    pub fn poll(&mut self, timeout: Duration) -> Option<Result<Term, CallError>> {
        if self.settled {
            return Some(Err(CallError::Timeout));
        }
        let outcome = match self.outcome.recv_timeout(timeout) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => CallOutcome::Lost(
                self.session
                    .is_lost()
                    .unwrap_or_else(|| "the session ended".to_owned()),
            ),
        };
        self.settled = true;
        let result = match outcome {
            CallOutcome::Down(reason) => interpret(reason, &self.result),
            CallOutcome::Refused(reason) => Err(raised("error", erpc(reason))),
            CallOutcome::Lost(why) => Err(CallError::Lost(why)),
        };
        if let Some((what, since)) = &self.traced {
            let how = match &result {
                Ok(_) => "returned".to_owned(),
                // Not the reason: it may hold arguments.
                Err(CallError::Raised { class, .. }) => format!("raised {class}"),
                Err(other) => other.to_string(),
            };
            trace::tell(|| format!("answer  {what}: {how} in {:.1?}", since.elapsed()));
        }
        Some(result)
    }

    /// Gives the call up and kills the process that runs it.
    pub fn kill(mut self) {
        self.give_up(true);
    }

    fn give_up(&mut self, kill: bool) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let shared = self.session.shared();
        let Ok(mut state) = shared.state() else {
            return;
        };
        let Some(call) = state.calls.remove(&self.reference) else {
            return;
        };
        let Some(pid) = call.pid else {
            // Its process is not known yet; the reader sees to it when the node tells.
            state.abandoned.insert(self.reference.clone(), kill);
            return;
        };
        drop(state);
        shared.post(&control::demonitor(
            &shared.us,
            Term::Pid(pid.clone()),
            &self.reference,
        ));
        if kill {
            // Not left to another thread: the program may end before that comes to it.
            let _ = shared.write(&control::exit2(&shared.us, &pid, &Term::atom("kill")));
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.give_up(false);
    }
}

/// Starts a call.
pub(crate) fn start(
    session: &Session,
    module: &str,
    function: &str,
    args: Vec<Term>,
) -> Result<Pending, CallError> {
    let shared: &Shared = session.shared();
    let (reference, result) = (shared.ids.reference(), shared.ids.reference());
    let mfa = (Term::atom(module), Term::atom(function), args);
    let what = format!("{module}:{function}/{}", mfa.2.len());
    let frame = control::call(&shared.us, &reference, &result, mfa).ok_or(CallError::TooLarge)?;
    let (sender, outcome) = channel();
    let call = PendingCall {
        result: result.clone(),
        then: Then::Tell(sender),
        pid: None,
    };
    shared
        .state()
        .map_err(CallError::Lost)?
        .calls
        .insert(reference.clone(), call);
    trace::tell(|| format!("call    {what}, {} bytes", frame.len()));
    // On failure all calls, this one too, have been notified already.
    shared.write(&frame).map_err(CallError::Lost)?;
    Ok(Pending {
        session: session.clone(),
        reference,
        result,
        outcome,
        settled: false,
        traced: trace::is_on().then(|| (what, Instant::now())),
    })
}

/// What an exit reason of `erpc:execute_call/4` says.
pub(crate) fn interpret(reason: Payload, result: &Reference) -> Result<Term, CallError> {
    let reason = reason.decode().map_err(CallError::Undecodable)?;
    match reason {
        Term::Tuple(mut fields) if matches!(fields.first(), Some(Term::Reference(first)) if first == result) =>
        {
            let class = fields
                .get(1)
                .and_then(Term::as_atom)
                .cloned()
                .unwrap_or_else(|| Atom::new(""));
            match (class.as_str(), fields.len()) {
                ("return", 3) => Ok(fields.remove(2)),
                ("throw" | "exit" | "error", 3) => Err(raised(class.as_str(), fields.remove(2))),
                ("error", 4) => {
                    let stack = fields.remove(3);
                    Err(CallError::Raised {
                        class,
                        reason: fields.remove(2),
                        stack,
                    })
                }
                _ => Err(CallError::Undecodable("not a result of erpc".to_owned())),
            }
        }
        reason if reason.is_atom("noconnection") => Err(CallError::Lost(
            "the node dropped the connection".to_owned(),
        )),
        reason => Err(raised("exit", Term::tuple([Term::atom("signal"), reason]))),
    }
}

fn raised(class: &str, reason: Term) -> CallError {
    CallError::Raised {
        class: Atom::new(class),
        reason,
        stack: Term::list([]),
    }
}

fn erpc(reason: Term) -> Term {
    Term::tuple([Term::atom("erpc"), reason])
}
