//! Silence of a run that is watched: whether it only takes long, or no guardian is left to answer.
//!
//! Events may be minutes apart. So after a while without any the node is asked for the lock's holder: an answer means
//! that the run goes on. None in time, or no guardian and no successor, ends the wait.

use std::time::{Duration, Instant};

use crate::node::{CallError, Pending, Session};
use crate::term::{Pid, Term};

/// Silence after which the node is asked.
const QUIET: Duration = Duration::from_secs(10);
/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// A guardian that dies is replaced by the executor within moments; the watchdog follows both within a second.
const SUCCESSION: Duration = Duration::from_secs(10);
/// The same when the deadline is over: by then the run should have ended.
const LATE: Duration = Duration::from_secs(5);
/// Two looks further apart: this program itself stood still, and what is waited for may have come meanwhile.
const ABSENT: Duration = Duration::from_secs(5);

/// Why nothing is waited for any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The connection is lost.
    Lost(String),
    /// The node does not answer.
    Silent,
    /// The node answers; the guardian is dead and has no successor.
    Gone,
}

/// What is known of a silence.
#[derive(Debug)]
pub(super) struct Liveness {
    /// The expected holder of the lock.
    guardian: Option<Pid>,
    /// When the run should be over.
    deadline: Option<Instant>,
    /// When something was heard from the node, or this began.
    heard: Instant,
    /// When a look was taken.
    checked_at: Instant,
    /// The question in flight, and since when.
    asking: Option<(Pending, Instant)>,
    /// Since when the guardian is known to be dead.
    gone: Option<Instant>,
}

impl Liveness {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            guardian: None,
            deadline: None,
            heard: now,
            checked_at: now,
            asking: None,
            gone: None,
        }
    }

    /// The run is to be over after so long.
    pub(super) fn until(&mut self, deadline: Option<Duration>) {
        self.deadline = deadline.and_then(|time| Instant::now().checked_add(time));
    }

    /// The guardian of the run from now on.
    pub(super) fn follow(&mut self, guardian: &Pid) {
        self.guardian = Some(guardian.clone());
        self.heard();
    }

    /// An event of the run has come.
    pub(super) fn heard(&mut self) {
        (self.heard, self.asking, self.gone) = (Instant::now(), None, None);
    }

    /// The guardian has died.
    pub(super) fn down(&mut self) {
        self.gone.get_or_insert_with(Instant::now);
    }

    /// Whether the guardian is known to be dead.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    /// To be called again and again while nothing comes.
    pub(super) fn check(&mut self, session: &Session) -> Option<End> {
        let now = Instant::now();
        if now.duration_since(self.checked_at) > ABSENT {
            (self.heard, self.asking) = (now, None);
            self.gone = self.gone.map(|_| now);
        }
        self.checked_at = now;
        let late = self.deadline.is_some_and(|at| now > at + LATE);
        let limit = |usual| if late { LATE } else { usual };
        if self.gone.is_some_and(|at| now - at > limit(SUCCESSION)) {
            return Some(End::Gone);
        }
        let Some((pending, since)) = &mut self.asking else {
            if now - self.heard >= limit(QUIET) {
                let name = vec![Term::atom("updo_run")];
                match session.start_call("erlang", "whereis", name) {
                    Ok(pending) => self.asking = Some((pending, now)),
                    Err(CallError::Lost(why)) => return Some(End::Lost(why)),
                    Err(_) => return Some(End::Silent),
                }
            }
            return None;
        };
        match pending.poll(Duration::ZERO) {
            None if now - *since >= limit(ANSWER) => Some(End::Silent),
            None => None,
            Some(Err(CallError::Lost(why))) => Some(End::Lost(why)),
            Some(answer) => {
                let lives = match (&answer, &self.guardian) {
                    (Ok(Term::Pid(now)), Some(known)) => now == known,
                    (Ok(Term::Pid(_)), None) => true,
                    _ => false,
                };
                (self.heard, self.asking) = (now, None);
                if lives {
                    self.gone = None;
                } else {
                    self.down();
                }
                None
            }
        }
    }
}
