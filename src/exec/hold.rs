//! `hold`: what must be true all the time, for so long, on a node that was just upgraded.
//!
//! Takes a session and evaluates the plan's conditions again and again; says how far it has come through [`HoldShared`], which
//! several nodes share: the first that fails ends it for all. Decides nothing about any node.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::condition::{CheckContext, remote_error};
use super::interrupt::LOOK;
use crate::diag::{Code, Diagnostic};
use crate::eval::{Remote, RemoteError};
use crate::name::NodeName;
use crate::node::{CallError, Session};
use crate::plan::Hold;
use crate::rules::node_view::LogLine;
use crate::term::{Atom, Term};

/// How one hold is on one node.
#[derive(Clone, Debug, Default)]
pub struct HoldState {
    /// For how long it had held when it was true last; zero before the first evaluation, and after one that was not true.
    pub so_far: Duration,
    /// How often it was evaluated.
    pub tries: u32,
    /// How long it has held at the end, once it is over.
    pub held: Option<Duration>,
    /// How long all of it took, once it is over.
    pub took: Duration,
    /// Whether it applies to this node.
    pub applies: bool,
}

impl HoldState {
    /// How long it has held so far, at most as long as it has to. What has not been seen does not count.
    pub fn so_far(&self, hold: &Hold) -> Duration {
        self.held.unwrap_or(self.so_far).min(hold.time)
    }
}

/// What all nodes of a stage share.
#[derive(Debug)]
pub struct HoldShared {
    /// By node, then by hold.
    states: Mutex<Vec<Vec<HoldState>>>,
    stop: AtomicBool,
}

impl HoldShared {
    /// Before anything is evaluated.
    pub fn new(nodes: usize, holds: usize) -> Self {
        Self {
            states: Mutex::new(vec![vec![HoldState::default(); holds]; nodes]),
            stop: AtomicBool::new(false),
        }
    }

    /// No node needs to be asked any more.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// All states as they are now, by node, then by hold.
    pub fn states(&self) -> Vec<Vec<HoldState>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<HoldState>>> {
        // What is in there is whole after each statement.
        self.states.lock().unwrap_or_else(|held| held.into_inner())
    }

    fn set(&self, (node, hold): (usize, usize), change: impl FnOnce(&mut HoldState)) {
        if let Some(state) = self.lock().get_mut(node).and_then(|of| of.get_mut(hold)) {
            change(state);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// How the holds of a node ended.
#[derive(Debug)]
pub enum HoldEnd {
    /// All have held for as long as they had to.
    Held,
    /// One has not: its position, and why.
    Failed(usize, Box<Diagnostic>),
    /// The connection is lost.
    Lost(String),
    /// Others have ended it.
    Stopped,
}

/// One hold while it is being evaluated.
struct Track {
    began: Instant,
    due: Instant,
    since: Option<Instant>,
    is_over: bool,
}

/// The holds of one node: what is kept when the connection has to be made anew.
pub struct HoldWatch<'a> {
    holds: &'a [Hold],
    /// The position of the node in `shared`.
    node: usize,
    shared: &'a HoldShared,
    tracks: Vec<Track>,
    /// What the conditions of each said last: the same is not said again.
    said: Vec<Vec<LogLine>>,
}

impl<'a> HoldWatch<'a> {
    /// All of them begin now.
    pub fn new(holds: &'a [Hold], node: usize, shared: &'a HoldShared) -> Self {
        let now = Instant::now();
        let track = |_: &Hold| Track {
            began: now,
            due: now,
            since: None,
            is_over: false,
        };
        Self {
            holds,
            node,
            shared,
            tracks: holds.iter().map(track).collect(),
            said: vec![Vec::new(); holds.len()],
        }
    }

    /// Which of them apply to the node.
    ///
    /// # Errors
    /// A guard that cannot be decided, and the position of its hold.
    pub fn begin(&mut self, scene: &CheckContext<'_>) -> Result<(), (usize, Box<Diagnostic>)> {
        for (at, hold) in self.holds.iter().enumerate() {
            let applies = scene.holds(&hold.tail).map_err(|why| (at, why))?;
            self.tracks[at].is_over = !applies;
            self.shared
                .set((self.node, at), |state| state.applies = applies);
        }
        Ok(())
    }

    /// Evaluates until all have held, one has not, or the session is lost; `log` gets what `info` and `warn` say.
    pub fn watch(
        &mut self,
        scene: &CheckContext<'_>,
        log: &mut dyn FnMut(Vec<LogLine>),
    ) -> HoldEnd {
        loop {
            let next = self.tracks.iter().enumerate().filter(|(_, t)| !t.is_over);
            let Some((at, due)) = next.map(|(at, t)| (at, t.due)).min_by_key(|(_, due)| *due)
            else {
                return HoldEnd::Held;
            };
            if let Some(end) = self.sleep(scene.session, due) {
                return end;
            }
            let started = Instant::now();
            let mut remote = StoppableNode {
                session: scene.session,
                shared: self.shared,
            };
            let (failure, lines) = scene.attempt(&self.holds[at].body, &mut remote);
            if self.shared.is_stopped() {
                return HoldEnd::Stopped;
            }
            if let (Some(_), Some(why)) = (&failure, scene.session.is_lost()) {
                // Not an answer: it is asked again over the next connection.
                return HoldEnd::Lost(why);
            }
            if self.said[at] != lines {
                log(lines.clone());
                self.said[at] = lines;
            }
            if let Some(cause) = self.evaluated(at, started, failure) {
                return HoldEnd::Failed(at, cause);
            }
        }
    }

    /// Takes one answer; gives the reason when it ends the hold.
    fn evaluated(
        &mut self,
        at: usize,
        started: Instant,
        failure: Option<Box<Diagnostic>>,
    ) -> Option<Box<Diagnostic>> {
        let (hold, track) = (&self.holds[at], &mut self.tracks[at]);
        let now = Instant::now();
        let later = |from: Instant, time| from.checked_add(time).unwrap_or(from);
        let held = match track.since {
            Some(since) => started.saturating_duration_since(since),
            None => Duration::ZERO,
        };
        let took = now.saturating_duration_since(track.began);
        let can_begin_anew =
            took.saturating_add(hold.every).saturating_add(hold.time) <= hold.within;
        let mut fails = None;
        match failure {
            None => {
                // True since the answer was there, not since it was asked for.
                let since = *track.since.get_or_insert(now);
                track.is_over = held >= hold.time;
                track.due = later(now, hold.every).min(later(since, hold.time));
            }
            Some(_) if can_begin_anew => {
                track.since = None;
                track.due = later(now, hold.every);
            }
            Some(cause) => {
                track.is_over = true;
                fails = Some(cause);
            }
        }
        let is_true = track.since.is_some() && fails.is_none();
        let over = track.is_over;
        self.shared.set((self.node, at), |state| {
            state.tries = state.tries.saturating_add(1);
            state.so_far = if is_true { held } else { Duration::ZERO };
            state.took = took;
            if over {
                state.held = Some(held.min(hold.time));
            }
        });
        fails
    }

    /// The connection was lost and is made anew: what happened meanwhile was not seen, so what is not over begins anew.
    pub fn begin_anew(&mut self) {
        let now = Instant::now();
        for (at, track) in self.tracks.iter_mut().enumerate() {
            if !track.is_over {
                (track.since, track.due) = (None, now);
                self.shared
                    .set((self.node, at), |state| state.so_far = Duration::ZERO);
            }
        }
    }

    /// Waits; gives an end when there is no more reason to.
    fn sleep(&self, session: &Session, until: Instant) -> Option<HoldEnd> {
        loop {
            if self.shared.is_stopped() {
                return Some(HoldEnd::Stopped);
            }
            if let Some(why) = session.is_lost() {
                return Some(HoldEnd::Lost(why));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

/// A node whose calls are given up as soon as nothing is waited for any more.
struct StoppableNode<'a> {
    session: &'a Session,
    shared: &'a HoldShared,
}

impl Remote for StoppableNode<'_> {
    fn call(
        &mut self,
        module: &Atom,
        function: &Atom,
        args: Vec<Term>,
        timeout: Duration,
    ) -> Result<Term, RemoteError> {
        let began = Instant::now();
        let answer = || {
            let mut pending = self
                .session
                .start_call(module.as_str(), function.as_str(), args)?;
            loop {
                let left = timeout.saturating_sub(began.elapsed());
                if let Some(answer) = pending.poll(left.min(LOOK)) {
                    return answer;
                }
                if left.is_zero() || self.shared.is_stopped() {
                    // It must not go on unseen on the node.
                    pending.kill();
                    return Err(CallError::Timeout);
                }
            }
        };
        answer().map_err(remote_error)
    }

    fn can_nest(&self) -> bool {
        true
    }
}

/// E645: what did not hold, for how long it did, and why not.
pub fn did_not_hold(
    hold: &Hold,
    node: &NodeName,
    state: &HoldState,
    cause: &Diagnostic,
) -> Diagnostic {
    let text = |time: Duration| match time.as_millis() {
        ms if ms < 1000 => format!("{ms}ms"),
        _ => humantime::format_duration(Duration::from_secs(time.as_secs())).to_string(),
    };
    let held = state.held.unwrap_or_default();
    let whole = humantime::format_duration(hold.time);
    let title = match held {
        Duration::ZERO => format!("`{}` does not hold on {node}", hold.name),
        held => format!(
            "`{}` held for {} of {whole} on {node}, and then no longer",
            hold.name,
            text(held)
        ),
    };
    let mut diagnostic = Diagnostic::new(Code::E645, title);
    diagnostic.labels.clone_from(&cause.labels);
    if diagnostic.labels.is_empty() {
        diagnostic = diagnostic.label(hold.span, "this must hold");
    }
    diagnostic = diagnostic.note(format!("{}: {}", cause.code, cause.title));
    diagnostic.notes.extend(cause.notes.iter().cloned());
    if !hold.within.is_zero() {
        let within = humantime::format_duration(hold.within);
        diagnostic = diagnostic.note(format!(
            "too late to begin anew: {whole} would end after {within}"
        ));
    }
    diagnostic.help.clone_from(&cause.help);
    diagnostic
}
