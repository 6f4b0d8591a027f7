//! The reader thread: frames in, waiters woken.
//!
//! Takes the reading half and runs until the stream ends or cannot be trusted; then all waiting threads are notified.
//! It never writes (answers go through the outbox) and never decodes a payload that a thread waits for, so one large
//! reply does not hold up what comes behind it.

use std::io::{ErrorKind, Read};

use super::control::{self, Signal};
use super::io;
use super::state::{CallOutcome, Shared, Then, key, lock};
use super::wire::FrameReader;
use crate::term::{Pid, Reference, Term};

/// Reads until the end.
pub(crate) fn run(shared: &Shared, stream: Box<dyn Read + Send>) {
    let mut frames = FrameReader::new(stream, &shared.clock);
    loop {
        let frame = match frames.next() {
            Ok(frame) => frame,
            Err(error) => return shared.lose(&ended(shared, &error)),
        };
        if frame.is_empty() {
            lock(&shared.outbox).ticked = true;
            shared.wake.notify_all();
            continue;
        }
        match control::parse(frame) {
            Ok(signal) => take(shared, signal),
            Err(why) => {
                return shared.lose(&format!("{} sent what cannot be read: {why}", shared.node));
            }
        }
        if shared.lost().is_some() {
            return;
        }
    }
}

fn ended(shared: &Shared, error: &std::io::Error) -> String {
    let node = &shared.node;
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            format!("{node} closed the connection")
        }
        _ => format!(
            "the connection to {node} failed: {}",
            super::cookie::plain(error)
        ),
    }
}

fn take(shared: &Shared, signal: Signal) {
    match signal {
        Signal::Send { to, message } => on_message(shared, &to, message),
        Signal::Down { reference, reason } => on_down(shared, reference, reason),
        Signal::SpawnReply { reference, result } => on_spawned(shared, reference, result),
        Signal::Monitor {
            from,
            to,
            reference,
        } => on_monitor(shared, from, to, reference),
        Signal::Link { from, to } => on_link(shared, from, &to),
        Signal::Demonitor { reference } => {
            if let Ok(mut state) = shared.state() {
                state.watchers.remove(&reference);
            }
        }
        Signal::Unlink { id, from, to } => {
            if let (Ok(mut state), Term::Pid(from), Term::Pid(to)) = (shared.state(), &from, &to) {
                state.links.remove(&(from.clone(), key(to)));
            }
            shared.post(&control::unlink_ack(id, from, to));
        }
        Signal::SpawnRequest { reference, from } => {
            shared.post(&control::refuse_spawn(reference, from));
        }
        Signal::Other => {}
    }
}

fn on_message(shared: &Shared, to: &Pid, message: control::Payload) {
    if !shared.ids.is_ours(to) {
        return;
    }
    if *to == shared.us {
        return io::on_message(shared, message);
    }
    let queue = shared
        .state()
        .ok()
        .and_then(|state| state.boxes.get(&key(to)).cloned());
    if let Some(queue) = queue {
        queue.message(message);
    }
}

fn on_down(shared: &Shared, reference: Reference, reason: control::Payload) {
    let Ok(mut state) = shared.state() else {
        return;
    };
    if let Some(call) = state.calls.remove(&reference) {
        drop(state);
        match call.then {
            // A waiter that has gone needs no telling.
            Then::Tell(waiter) => drop(waiter.send(CallOutcome::Down(reason))),
            Then::Print { from, reply_as } => {
                io::on_formatted(shared, &call.result, reason, &from, reply_as)
            }
        }
        return;
    }
    state.abandoned.remove(&reference);
    let watcher = state.monitors.remove(&reference);
    let queue = watcher.and_then(|(pid, _)| state.boxes.get(&key(&pid)).cloned());
    drop(state);
    if let Some(queue) = queue {
        queue.down(reference, reason);
    }
}

fn on_spawned(shared: &Shared, reference: Reference, result: Term) {
    let Ok(mut state) = shared.state() else {
        return;
    };
    if let Term::Pid(pid) = result {
        if let Some(kill) = state.abandoned.remove(&reference) {
            drop(state);
            shared.post(&control::demonitor(
                &shared.us,
                Term::Pid(pid.clone()),
                &reference,
            ));
            if kill {
                shared.post(&control::exit2(&shared.us, &pid, &Term::atom("kill")));
            }
        } else if let Some(call) = state.calls.get_mut(&reference) {
            call.pid = Some(pid);
        }
        return;
    }
    state.abandoned.remove(&reference);
    let call = state.calls.remove(&reference);
    drop(state);
    match call.map(|call| call.then) {
        Some(Then::Tell(waiter)) => drop(waiter.send(CallOutcome::Refused(result))),
        Some(Then::Print { from, reply_as }) => io::refuse(shared, &from, reply_as),
        None => {}
    }
}

/// Whether something of ours is at that pid.
fn lives(shared: &Shared, pid: &Pid) -> bool {
    shared.ids.is_ours(pid)
        && (*pid == shared.us
            || shared
                .state()
                .is_ok_and(|state| state.boxes.contains_key(&key(pid))))
}

fn on_monitor(shared: &Shared, from: Pid, to: Term, reference: Reference) {
    if let Term::Pid(pid) = &to
        && lives(shared, pid)
        && let Ok(mut state) = shared.state()
        && state.watch(reference.clone(), from.clone(), key(pid))
    {
        return;
    }
    shared.post(&control::down(to, &from, &reference, &Term::atom("noproc")));
}

fn on_link(shared: &Shared, from: Pid, to: &Pid) {
    if lives(shared, to)
        && let Ok(mut state) = shared.state()
        && state.link(from.clone(), key(to))
    {
        return;
    }
    shared.post(&control::exit(to, &from, &Term::atom("noproc")));
}
