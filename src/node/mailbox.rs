//! Mailboxes: pids of our own that processes of the node can send to and monitor.
//!
//! Takes what the reader has for a pid, gives [`Mail`] in the order of arrival. A queue is bounded in
//! messages and bytes; what does not fit is dropped and counted, and the reader of the mailbox learns exactly once
//! where the gap is. To the node, dropping a mailbox is the normal end of a process.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::control::{self, Payload};
use super::session::Session;
use super::state::{key, lock};
use super::stream::Deadline;
use super::trace;
use crate::term::{Atom, Pid, Reference, Term};

/// Most messages that wait in one mailbox, and most bytes of them.
const MAX_QUEUE: (usize, usize) = (100_000, 256 << 20);

/// Something that arrived.
#[derive(Clone, PartialEq, Debug)]
pub enum Mail {
    /// A message.
    Message(Term),
    /// A monitored process has ended, or was not there (`noproc`).
    Down {
        /// What [`Mailbox::monitor`] returned.
        reference: Reference,
        /// Its exit reason.
        reason: Term,
    },
}

/// Why nothing was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecvError {
    /// Nothing came in time.
    Timeout,
    /// The connection is gone, and everything that came before has been received.
    Lost(String),
    /// Here so many messages were dropped, because the mailbox was full. Told once; later ones follow.
    Overflow(usize),
    /// A message cannot be decoded. Later ones follow.
    Undecodable(String),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("nothing came in time"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
            Self::Overflow(count) => {
                write!(f, "{count} messages were dropped: the mailbox was full")
            }
            Self::Undecodable(why) => write!(f, "a message cannot be read: {why}"),
        }
    }
}

impl std::error::Error for RecvError {}

enum Entry {
    Message(Payload),
    Down(Reference, Payload),
    /// So many are missing here.
    Gap(usize),
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    bytes: usize,
    lost: Option<String>,
}

/// What waits in a mailbox.
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

impl Queue {
    pub(crate) fn message(&self, message: Payload) {
        self.put(message.size(), Entry::Message(message));
    }

    pub(crate) fn down(&self, reference: Reference, reason: Payload) {
        self.put(reason.size(), Entry::Down(reference, reason));
    }

    pub(crate) fn lose(&self, why: &str) {
        lock(&self.inner).lost = Some(why.to_owned());
        self.arrived.notify_all();
    }

    fn put(&self, size: usize, entry: Entry) {
        let mut inner = lock(&self.inner);
        if inner.entries.len() < MAX_QUEUE.0 && inner.bytes.saturating_add(size) <= MAX_QUEUE.1 {
            inner.bytes += size;
            inner.entries.push_back(entry);
        } else if let Some(Entry::Gap(count)) = inner.entries.back_mut() {
            *count += 1;
        } else {
            inner.entries.push_back(Entry::Gap(1));
        }
        self.arrived.notify_one();
    }

    fn take(&self, timeout: Duration) -> Result<Entry, RecvError> {
        let deadline = Deadline::after(timeout);
        let mut inner = lock(&self.inner);
        loop {
            if let Some(entry) = inner.entries.pop_front() {
                if let Entry::Message(payload) | Entry::Down(_, payload) = &entry {
                    inner.bytes = inner.bytes.saturating_sub(payload.size());
                }
                return Ok(entry);
            }
            if let Some(why) = &inner.lost {
                return Err(RecvError::Lost(why.clone()));
            }
            let Ok(left) = deadline.left() else {
                return Err(RecvError::Timeout);
            };
            inner = match self.arrived.wait_timeout(inner, left) {
                Ok((inner, _)) => inner,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

/// A pid of ours with a queue.
pub struct Mailbox {
    session: Session,
    pid: Pid,
    queue: Arc<Queue>,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({:?})", self.pid)
    }
}

impl Mailbox {
    /// A new one. On a lost session it is there, and says so when it is read.
    pub(crate) fn open(session: &Session) -> Self {
        let shared = session.shared();
        let queue = Arc::new(Queue::default());
        let mut pid = shared.ids.pid();
        match shared.state() {
            Ok(mut state) => {
                // Numbers come round again; those in use are left out.
                while pid == shared.us || state.boxes.contains_key(&key(&pid)) {
                    pid = shared.ids.pid();
                }
                state.boxes.insert(key(&pid), Arc::clone(&queue));
            }
            Err(why) => queue.lose(&why),
        }
        Self {
            session: session.clone(),
            pid,
            queue,
        }
    }

    /// The pid, to be given to processes of the node.
    pub fn pid(&self) -> Pid {
        self.pid.clone()
    }

    /// The next mail, waiting for it at most so long.
    pub fn recv(&self, timeout: Duration) -> Result<Mail, RecvError> {
        match self.queue.take(timeout)? {
            Entry::Message(payload) => payload
                .decode()
                .map(|message| {
                    trace::tell(|| format!("message {}", trace::shape(&message)));
                    Mail::Message(message)
                })
                .map_err(RecvError::Undecodable),
            Entry::Down(reference, payload) => {
                // That it ended matters more than why.
                let reason = payload.decode().unwrap_or_else(|why| {
                    Term::tuple([Term::atom("undecodable"), Term::binary(why)])
                });
                Ok(Mail::Down { reference, reason })
            }
            Entry::Gap(count) => Err(RecvError::Overflow(count)),
        }
    }

    /// Monitors a process of the node: a [`Mail::Down`] will come. Fails when the connection is lost.
    pub fn monitor(&self, pid: &Pid) -> Result<Reference, RecvError> {
        self.monitor_term(Term::Pid(pid.clone()))
    }

    /// Monitors whatever has a registered name on the node.
    pub fn monitor_name(&self, name: &str) -> Result<Reference, RecvError> {
        self.monitor_term(Term::Atom(Atom::new(name)))
    }

    fn monitor_term(&self, what: Term) -> Result<Reference, RecvError> {
        let shared = self.session.shared();
        let reference = shared.ids.reference();
        let mut state = shared.state().map_err(RecvError::Lost)?;
        state
            .monitors
            .insert(reference.clone(), (self.pid.clone(), what.clone()));
        drop(state);
        let frame = control::monitor(&self.pid, what, &reference);
        shared.write(&frame).map_err(RecvError::Lost)?;
        Ok(reference)
    }

    /// Ends a monitor. A [`Mail::Down`] that has arrived already stays.
    pub fn demonitor(&self, reference: &Reference) {
        let shared = self.session.shared();
        let entry = shared
            .state()
            .ok()
            .and_then(|mut state| state.monitors.remove(reference));
        if let Some((_, what)) = entry {
            shared.post(&control::demonitor(&self.pid, what, reference));
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let shared = self.session.shared();
        let Ok(mut state) = shared.state() else {
            return;
        };
        let own = key(&self.pid);
        state.boxes.remove(&own);
        let ours: Vec<_> = state
            .monitors
            .extract_if(|_, (pid, _)| *pid == self.pid)
            .collect();
        let theirs: Vec<_> = state.watchers.extract_if(|_, (_, of)| *of == own).collect();
        let linked: Vec<_> = state.links.extract_if(|(_, to)| *to == own).collect();
        drop(state);
        let normal = Term::atom("normal");
        for (reference, (_, what)) in ours {
            shared.post(&control::demonitor(&self.pid, what, &reference));
        }
        for (reference, (watcher, _)) in theirs {
            shared.post(&control::down(
                Term::Pid(self.pid.clone()),
                &watcher,
                &reference,
                &normal,
            ));
        }
        for (peer, _) in linked {
            shared.post(&control::exit(&self.pid, &peer, &normal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(queue: &Queue, n: i64) {
        queue.message(Payload::Term(Term::Int(n)));
    }

    #[test]
    fn a_flood_leaves_one_gap() {
        let queue = Queue::default();
        for n in 0..MAX_QUEUE.0 as i64 + 5 {
            number(&queue, n);
        }
        let next = || queue.take(Duration::ZERO);
        for _ in 0..MAX_QUEUE.0 {
            assert!(matches!(next(), Ok(Entry::Message(_))));
        }
        assert!(matches!(next(), Ok(Entry::Gap(5))));
        assert!(matches!(next(), Err(RecvError::Timeout)));
        number(&queue, 1);
        assert!(matches!(next(), Ok(Entry::Message(_))));
    }

    #[test]
    fn bytes_are_bounded_too() {
        let queue = Queue::default();
        let big = || Payload::Bytes(Vec::with_capacity(200 << 20), 0);
        queue.message(big());
        queue.message(big());
        assert!(matches!(queue.take(Duration::ZERO), Ok(Entry::Message(_))));
        assert!(matches!(queue.take(Duration::ZERO), Ok(Entry::Gap(1))));
        queue.message(big());
        assert!(matches!(queue.take(Duration::ZERO), Ok(Entry::Message(_))));
    }

    #[test]
    fn what_came_before_the_loss_is_received() {
        let queue = Queue::default();
        number(&queue, 1);
        queue.lose("gone");
        assert!(matches!(
            queue.take(Duration::from_secs(9)),
            Ok(Entry::Message(_))
        ));
        assert!(
            matches!(queue.take(Duration::from_secs(9)), Err(RecvError::Lost(why)) if why == "gone")
        );
    }
}
