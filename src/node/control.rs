//! Control messages: the first term of every frame.
//!
//! Takes a frame, gives a [`Signal`] and where its payload begins; and makes the frames that we send.
//! The numbers and layouts are those of "Erlang Distribution Protocol, Protocol between Connected
//! Nodes". A payload is not decoded here: its waiter does that, on its own thread.

use super::wire::MAX_FRAME;
use crate::term::{Atom, Pid, Reference, Term, etf};

/// Marks a frame without a distribution header.
const PASS_THROUGH: u8 = 112;

const LINK: i64 = 1;
const SEND: i64 = 2;
const REG_SEND: i64 = 6;
const SEND_TT: i64 = 12;
const MONITOR_P: i64 = 19;
const DEMONITOR_P: i64 = 20;
const MONITOR_P_EXIT: i64 = 21;
const SEND_SENDER: i64 = 22;
const SEND_SENDER_TT: i64 = 23;
const PAYLOAD_EXIT: i64 = 24;
const PAYLOAD_EXIT2: i64 = 26;
const PAYLOAD_MONITOR_P_EXIT: i64 = 28;
const SPAWN_REQUEST: i64 = 29;
const SPAWN_REQUEST_TT: i64 = 30;
const SPAWN_REPLY: i64 = 31;
const SPAWN_REPLY_TT: i64 = 32;
const UNLINK_ID: i64 = 35;
const UNLINK_ID_ACK: i64 = 36;

/// A term that has arrived and has not been looked at yet.
pub(crate) enum Payload {
    /// A frame and where the term begins.
    Bytes(Vec<u8>, usize),
    /// One that was part of the control message.
    Term(Term),
}

impl Payload {
    /// Memory it holds, roughly, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Bytes(frame, _) => frame.capacity(),
            Self::Term(_) => 64,
        }
    }

    /// The term, or why it cannot be read.
    pub(crate) fn decode(self) -> Result<Term, String> {
        match self {
            Self::Bytes(frame, at) => {
                etf::decode(frame.get(at..).unwrap_or_default()).map_err(|error| error.to_string())
            }
            Self::Term(term) => Ok(term),
        }
    }
}

/// What a node sends.
pub(crate) enum Signal {
    /// A message to one of our pids.
    Send { to: Pid, message: Payload },
    /// A process of theirs links to one of our pids.
    Link { from: Pid, to: Pid },
    /// Undoes a link; wants to be acknowledged.
    Unlink { id: Term, from: Term, to: Term },
    /// A process of theirs monitors one of our pids, or a name.
    Monitor {
        from: Pid,
        to: Term,
        reference: Reference,
    },
    /// No longer.
    Demonitor { reference: Reference },
    /// A process that we monitor has ended.
    Down {
        reference: Reference,
        reason: Payload,
    },
    /// The peer wants to start a process on us.
    SpawnRequest { reference: Term, from: Term },
    /// The answer to our own request: a pid, or an atom that says why not.
    SpawnReply { reference: Reference, result: Term },
    /// Nothing to us.
    Other,
}

/// Takes a frame apart. An error means that the stream cannot be trusted any further.
pub(crate) fn parse(frame: Vec<u8>) -> Result<Signal, String> {
    let Some((&PASS_THROUGH, rest)) = frame.split_first() else {
        return Err("a frame with a distribution header, which was not agreed on".to_owned());
    };
    let (control, used) = etf::decode_prefix(rest).map_err(|error| error.to_string())?;
    let Term::Tuple(mut fields) = control else {
        return Err("a control message that is not a tuple".to_owned());
    };
    let payload = Payload::Bytes(frame, used + 1);
    let tag = fields.first().and_then(Term::as_i64);
    // The tag is taken out of the way, so that the arms show the fields as the documents number them.
    let signal = match (tag.unwrap_or(-1), &mut fields[..]) {
        (SEND | SEND_TT | SEND_SENDER | SEND_SENDER_TT, [_, _, Term::Pid(to), ..]) => {
            Signal::Send {
                to: to.clone(),
                message: payload,
            }
        }
        (LINK, [_, Term::Pid(from), Term::Pid(to)]) => Signal::Link {
            from: from.clone(),
            to: to.clone(),
        },
        (UNLINK_ID, [_, id, from, to]) => Signal::Unlink {
            id: id.clone(),
            from: from.clone(),
            to: to.clone(),
        },
        (MONITOR_P, [_, Term::Pid(from), to, Term::Reference(reference)]) => Signal::Monitor {
            from: from.clone(),
            to: to.clone(),
            reference: reference.clone(),
        },
        (DEMONITOR_P, [_, _, _, Term::Reference(reference)]) => Signal::Demonitor {
            reference: reference.clone(),
        },
        (MONITOR_P_EXIT, [_, _, _, Term::Reference(reference), reason]) => {
            let reason = Payload::Term(std::mem::replace(reason, Term::Int(0)));
            Signal::Down {
                reference: reference.clone(),
                reason,
            }
        }
        (PAYLOAD_MONITOR_P_EXIT, [_, _, _, Term::Reference(reference)]) => Signal::Down {
            reference: reference.clone(),
            reason: payload,
        },
        (SPAWN_REQUEST | SPAWN_REQUEST_TT, [_, reference, from, ..]) => Signal::SpawnRequest {
            reference: reference.clone(),
            from: from.clone(),
        },
        (SPAWN_REPLY | SPAWN_REPLY_TT, [_, Term::Reference(reference), _, _, result, ..]) => {
            Signal::SpawnReply {
                reference: reference.clone(),
                result: result.clone(),
            }
        }
        (
            LINK
            | SEND
            | SEND_TT
            | SEND_SENDER
            | SEND_SENDER_TT
            | UNLINK_ID
            | MONITOR_P
            | DEMONITOR_P
            | MONITOR_P_EXIT
            | PAYLOAD_MONITOR_P_EXIT
            | SPAWN_REQUEST
            | SPAWN_REQUEST_TT
            | SPAWN_REPLY
            | SPAWN_REPLY_TT
            | -1,
            _,
        ) => return Err(format!("a malformed control message, {}", shown_tag(tag))),
        // Exit signals, messages to registered names and aliases, group leaders: we have none of these.
        _ => Signal::Other,
    };
    Ok(signal)
}

fn shown_tag(tag: Option<i64>) -> String {
    tag.map_or_else(
        || "without a number".to_owned(),
        |tag| format!("number {tag}"),
    )
}

/// A frame from a control message and what follows it, its length in front.
///
/// `None` when it would be larger than [`MAX_FRAME`].
fn frame(control: Vec<Term>, payload: Option<&Term>) -> Option<Vec<u8>> {
    let control = etf::encode(&Term::Tuple(control));
    let payload = payload.map(etf::encode).unwrap_or_default();
    let length = 1 + control.len() + payload.len();
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME)?;
    let mut bytes = Vec::with_capacity(4 + length);
    bytes.extend_from_slice(&prefix.to_be_bytes());
    bytes.push(PASS_THROUGH);
    bytes.extend_from_slice(&control);
    bytes.extend_from_slice(&payload);
    Some(bytes)
}

/// A frame whose size a peer's message bounds.
fn small(control: Vec<Term>, payload: Option<&Term>) -> Vec<u8> {
    // Too large to echo: then the peer gets a tick instead, and its waiter a timeout.
    frame(control, payload).unwrap_or_else(|| vec![0; 4])
}

/// A tick.
pub(crate) const TICK: [u8; 4] = [0; 4];

/// A message to a process.
pub(crate) fn send(to: &Pid, message: &Term) -> Option<Vec<u8>> {
    frame(
        vec![Term::Int(SEND), Term::atom(""), Term::Pid(to.clone())],
        Some(message),
    )
}

/// A message to a registered name.
pub(crate) fn send_named(from: &Pid, to: &Atom, message: &Term) -> Option<Vec<u8>> {
    let control = vec![
        Term::Int(REG_SEND),
        Term::Pid(from.clone()),
        Term::atom(""),
        Term::Atom(to.clone()),
    ];
    frame(control, Some(message))
}

/// Monitors a pid or a registered name.
pub(crate) fn monitor(from: &Pid, to: Term, reference: &Reference) -> Vec<u8> {
    small(
        vec![
            Term::Int(MONITOR_P),
            Term::Pid(from.clone()),
            to,
            Term::Reference(reference.clone()),
        ],
        None,
    )
}

/// Ends a monitor of ours.
pub(crate) fn demonitor(from: &Pid, to: Term, reference: &Reference) -> Vec<u8> {
    small(
        vec![
            Term::Int(DEMONITOR_P),
            Term::Pid(from.clone()),
            to,
            Term::Reference(reference.clone()),
        ],
        None,
    )
}

/// Informs a monitor on the node that the process it watches has ended.
pub(crate) fn down(what: Term, watcher: &Pid, reference: &Reference, reason: &Term) -> Vec<u8> {
    small(
        vec![
            Term::Int(PAYLOAD_MONITOR_P_EXIT),
            what,
            Term::Pid(watcher.clone()),
            Term::Reference(reference.clone()),
        ],
        Some(reason),
    )
}

/// Breaks a link.
pub(crate) fn exit(from: &Pid, to: &Pid, reason: &Term) -> Vec<u8> {
    link_like(PAYLOAD_EXIT, from, to, reason)
}

/// `exit(To, Reason)`.
pub(crate) fn exit2(from: &Pid, to: &Pid, reason: &Term) -> Vec<u8> {
    link_like(PAYLOAD_EXIT2, from, to, reason)
}

fn link_like(tag: i64, from: &Pid, to: &Pid, reason: &Term) -> Vec<u8> {
    small(
        vec![
            Term::Int(tag),
            Term::Pid(from.clone()),
            Term::Pid(to.clone()),
        ],
        Some(reason),
    )
}

/// Acknowledges an unlink; the pids change sides.
pub(crate) fn unlink_ack(id: Term, from: Term, to: Term) -> Vec<u8> {
    small(vec![Term::Int(UNLINK_ID_ACK), id, to, from], None)
}

/// Refuses to start a process for the peer.
pub(crate) fn refuse_spawn(reference: Term, from: Term) -> Vec<u8> {
    small(
        vec![
            Term::Int(SPAWN_REPLY),
            reference,
            from,
            Term::Int(0),
            Term::atom("notsup"),
        ],
        None,
    )
}

/// Starts `erpc:execute_call(Result, Module, Function, Args)` under a monitor.
///
/// The option is `monitor` alone: nodes refuse erpc's own `{reply, error_only}` when it travels.
pub(crate) fn call(
    us: &Pid,
    reference: &Reference,
    result: &Reference,
    (module, function, args): (Term, Term, Vec<Term>),
) -> Option<Vec<u8>> {
    let control = vec![
        Term::Int(SPAWN_REQUEST),
        Term::Reference(reference.clone()),
        Term::Pid(us.clone()),
        Term::Pid(us.clone()),
        Term::tuple([Term::atom("erpc"), Term::atom("execute_call"), Term::Int(4)]),
        Term::list([Term::atom("monitor")]),
    ];
    let args = Term::list([
        Term::Reference(result.clone()),
        module,
        function,
        Term::List(args),
    ]);
    frame(control, Some(&args))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pid(id: u32) -> Pid {
        Pid {
            node: Atom::new("x@y"),
            id,
            serial: 0,
            creation: 9,
        }
    }

    fn reference() -> Reference {
        Reference {
            node: Atom::new("x@y"),
            creation: 9,
            words: vec![1, 2, 3],
        }
    }

    /// Frames as we write them, without their length.
    fn frames() -> Vec<Vec<u8>> {
        let (a, b, r) = (pid(1), pid(2), reference());
        let reason = Term::atom("normal");
        let mfa = (Term::atom("m"), Term::atom("f"), vec![Term::Int(1)]);
        [
            send(&a, &reason).expect("small"),
            call(&a, &r, &reference(), mfa).expect("small"),
            monitor(&a, Term::Pid(b.clone()), &r),
            demonitor(&a, Term::atom("name"), &r),
            down(Term::Pid(a.clone()), &b, &r, &reason),
            exit(&a, &b, &reason),
            refuse_spawn(Term::Reference(r.clone()), Term::Pid(a.clone())),
            unlink_ack(Term::Int(5), Term::Pid(a), Term::Pid(b)),
        ]
        .map(|frame| frame[4..].to_vec())
        .to_vec()
    }

    #[test]
    fn lengths_and_signals() {
        let frame = send(&pid(1), &Term::Int(7)).expect("small");
        assert_eq!(
            u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize,
            frame.len() - 4
        );
        let Ok(Signal::Send { to, message }) = parse(frame[4..].to_vec()) else {
            panic!("no message")
        };
        assert_eq!((to, message.decode()), (pid(1), Ok(Term::Int(7))));
        let frame = down(Term::Pid(pid(1)), &pid(2), &reference(), &Term::atom("why"));
        let Ok(Signal::Down {
            reference: r,
            reason,
        }) = parse(frame[4..].to_vec())
        else {
            panic!("no down")
        };
        assert_eq!((r, reason.decode()), (reference(), Ok(Term::atom("why"))));
        assert!(frames().into_iter().all(|frame| parse(frame).is_ok()));
    }

    proptest! {
        #[test]
        fn no_frame_panics(which in 0usize..8, at in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut frame = frames().swap_remove(which);
            let length = frame.len();
            frame[at % length] = byte;
            frame.truncate(length - cut % length);
            if let Ok(Signal::Send { message, .. } | Signal::Down { reason: message, .. }) = parse(frame) {
                let _ = message.decode();
            }
        }
    }
}
