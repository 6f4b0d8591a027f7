//! What the threads of a session share: what each waits for, and the way out.
//!
//! Takes signals from the reader and orders from callers; wakes waiting threads. When the connection is
//! lost, all are notified at once, and none can begin to wait afterwards. Everything that a peer
//! can make grow has a limit. Locks are held for moments, never over a read or write of the network.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use super::control::{self, Payload};
use super::ids::Ids;
use super::io::Output;
use super::mailbox::Queue;
use super::wire::{Clock, write_frames};
use crate::name::NodeName;
use crate::term::{Pid, Reference, Term};

/// Most processes of the node that may monitor or be linked to us.
const MAX_WATCHERS: usize = 100_000;
/// Most frames that wait to be sent because the node asked for them, and most bytes of them.
const MAX_OUTBOX: (usize, usize) = (100_000, 64 << 20);

/// How a call came out.
pub(crate) enum CallOutcome {
    /// The process ended; this is its exit reason.
    Down(Payload),
    /// It was never started.
    Refused(Term),
    /// The connection is gone.
    Lost(String),
}

/// What to do with the outcome of a call.
pub(crate) enum Then {
    /// Hand it to whoever waits.
    Tell(mpsc::Sender<CallOutcome>),
    /// It is text that a process of the node wants printed; answer that process.
    Print { from: Pid, reply_as: Term },
}

/// A call under way.
pub(crate) struct PendingCall {
    /// The first element of a good exit reason.
    pub(crate) result: Reference,
    pub(crate) then: Then,
    /// The process, once the node has reported.
    pub(crate) pid: Option<Pid>,
}

/// A pid of ours without the parts that are always the same.
pub(crate) type Key = (u32, u32);

pub(crate) fn key(pid: &Pid) -> Key {
    (pid.id, pid.serial)
}

/// Under one lock.
#[derive(Default)]
pub(crate) struct ConnectionState {
    lost: Option<String>,
    pub(crate) calls: HashMap<Reference, PendingCall>,
    /// Calls given up before the node reported their process; whether to kill it then.
    pub(crate) abandoned: HashMap<Reference, bool>,
    pub(crate) boxes: HashMap<Key, Arc<Queue>>,
    /// Our monitors of theirs.
    pub(crate) monitors: HashMap<Reference, (Pid, Term)>,
    /// Their monitors of ours: the monitoring process, and what of ours.
    pub(crate) watchers: HashMap<Reference, (Pid, Key)>,
    /// Their links to ours.
    pub(crate) links: HashSet<(Pid, Key)>,
}

impl ConnectionState {
    /// Whether a pid of ours is alive.
    pub(crate) fn watch(&mut self, reference: Reference, from: Pid, of: Key) -> bool {
        let room = self.watchers.len() < MAX_WATCHERS;
        if room {
            self.watchers.insert(reference, (from, of));
        }
        room
    }

    /// Remembers a link; false when there are too many.
    pub(crate) fn link(&mut self, from: Pid, to: Key) -> bool {
        self.links.len() < MAX_WATCHERS && {
            self.links.insert((from, to));
            true
        }
    }
}

/// Frames for the keeper to send, and what else it should know.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) frames: Vec<u8>,
    pub(crate) count: usize,
    /// The peer ticked: tick back.
    pub(crate) ticked: bool,
    pub(crate) closing: bool,
}

/// Shared by the session's threads and its users.
pub(crate) struct Shared {
    pub(crate) node: NodeName,
    pub(crate) local: String,
    pub(crate) ids: Ids,
    /// In whose name calls are made; also their group leader.
    pub(crate) us: Pid,
    pub(crate) clock: Clock,
    pub(crate) output: Mutex<Output>,
    pub(crate) outbox: Mutex<Outbox>,
    pub(crate) wake: Condvar,
    writer: Mutex<Box<dyn Write + Send>>,
    closer: Box<dyn Fn() + Send + Sync>,
    state: Mutex<ConnectionState>,
}

/// A lock whose holder panicked still guards good data here: every change is a single step.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        (node, local): (NodeName, String),
        ids: Ids,
        writer: Box<dyn Write + Send>,
        closer: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            node,
            local,
            us: ids.pid(),
            ids,
            clock: Clock::new(),
            output: Mutex::default(),
            outbox: Mutex::default(),
            wake: Condvar::new(),
            writer: Mutex::new(writer),
            closer,
            state: Mutex::default(),
        }
    }

    /// The state, or why the connection is lost.
    pub(crate) fn state(&self) -> Result<MutexGuard<'_, ConnectionState>, String> {
        let state = lock(&self.state);
        match &state.lost {
            Some(why) => Err(why.clone()),
            None => Ok(state),
        }
    }

    /// Why the connection is lost, if it is.
    pub(crate) fn lost(&self) -> Option<String> {
        lock(&self.state).lost.clone()
    }

    /// Ends it all: all waiting threads are notified, the socket is closed, the threads will end.
    pub(crate) fn lose(&self, why: &str) {
        let (calls, boxes) = {
            let mut state = lock(&self.state);
            if state.lost.is_some() {
                return;
            }
            let gone = std::mem::take(&mut *state);
            state.lost = Some(why.to_owned());
            (gone.calls, gone.boxes)
        };
        self.clock.close();
        (self.closer)();
        for call in calls.into_values() {
            if let Then::Tell(waiter) = call.then {
                // A waiter that has gone needs no telling.
                let _ = waiter.send(CallOutcome::Lost(why.to_owned()));
            }
        }
        for queue in boxes.into_values() {
            queue.lose(why);
        }
        lock(&self.outbox).closing = true;
        self.wake.notify_all();
    }

    /// Writes now, on this thread.
    pub(crate) fn write(&self, frames: &[u8]) -> Result<(), String> {
        if let Some(why) = self.lost() {
            return Err(why);
        }
        let written = write_frames(&mut **lock(&self.writer), frames, &self.clock);
        written.map_err(|error| {
            self.lose(&format!(
                "cannot send to {}: {}",
                self.node,
                super::cookie::plain(&error)
            ));
            self.lost().unwrap_or_default()
        })
    }

    /// Ticks, unless a thread is writing anyway.
    pub(crate) fn tick(&self) {
        if let Ok(mut writer) = self.writer.try_lock()
            && let Err(error) = write_frames(&mut **writer, &control::TICK, &self.clock)
        {
            drop(writer);
            self.lose(&format!(
                "cannot send to {}: {}",
                self.node,
                super::cookie::plain(&error)
            ));
        }
    }

    /// Asks whether the peer lives, by something that it answers at once without any process: it monitors
    /// a name that is never registered. The answer belongs to no call; that it comes is enough.
    pub(crate) fn probe(&self) {
        let name = Term::atom("updo is anybody there");
        // A failure is a loss, and every waiter has been notified then.
        let _ = self.write(&control::monitor(&self.us, name, &self.ids.reference()));
    }

    /// Leaves a frame for the keeper: the reader must never wait for a writer.
    pub(crate) fn post(&self, frame: &[u8]) {
        let full = {
            let mut outbox = lock(&self.outbox);
            outbox.frames.extend_from_slice(frame);
            outbox.count += 1;
            outbox.count > MAX_OUTBOX.0 || outbox.frames.len() > MAX_OUTBOX.1
        };
        if full {
            self.lose(&format!(
                "{} asks faster than it takes the answers",
                self.node
            ));
        }
        self.wake.notify_all();
    }
}
