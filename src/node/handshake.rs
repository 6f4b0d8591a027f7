//! The handshake of protocol version 6, from the side that connects.
//!
//! Takes a fresh stream, our name and the cookie; gives what the node says of itself, or a diagnostic
//! that distinguishes a wrong cookie (E502) from a wrong name (E504), from a node that wants TLS or does not like our
//! certificate (E503) and from a peer that is no node (E506, E508). Follows "Erlang Distribution Protocol, Distribution Handshake" and kernel's `dist_util`.
//! Both sides prove that they know the cookie; it never travels.

use std::fmt;
use std::io::{self, ErrorKind};

use super::cookie::{Cookie, plain};
use super::flags;
use super::forward;
use super::name::Address;
use super::stream::{Deadline, Stream};
use super::tls::{self, Tls};
use crate::diag::{Code, Diagnostic, Result};

/// Longest handshake message: what the two-byte length of plain TCP can say.
const MAX_MESSAGE: usize = 0xffff;

/// Width of the length before a handshake message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing<'a> {
    /// Plain TCP.
    Two,
    /// TLS, where all of the connection has four.
    Four(&'a Tls),
}

/// The answer begins as an alert of TLS does.
#[derive(Debug)]
struct SpeaksTls;

impl fmt::Display for SpeaksTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it answers in TLS")
    }
}

impl std::error::Error for SpeaksTls {}

/// The identity that we give.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) name: String,
    pub(crate) creation: u32,
}

/// What the node says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) creation: u32,
    pub(crate) flags: u64,
}

/// The end of a handshake that was not refused for good.
pub(crate) enum Handshake {
    /// We are connected.
    Peer(Peer),
    /// The node is still busy with another connection of our name: reported, unless a later try gets through.
    Busy(Box<Diagnostic>),
}

/// Goes through the handshake. `challenge` must be random.
pub(crate) fn shake(
    stream: &mut dyn Stream,
    framing: Framing<'_>,
    (target, local): (&Address, &Local),
    cookie: &Cookie,
    challenge: u32,
    deadline: Deadline,
) -> Result<Handshake> {
    let (mut talk, busy) = Talk::begun(stream, framing, (target, local), deadline)?;
    if let Some(busy) = busy {
        return Ok(Handshake::Busy(busy));
    }
    let (peer, theirs) = talk.receive_challenge()?;
    talk.send_reply(challenge, &cookie.digest(theirs))?;
    talk.receive_ack(cookie, challenge)?;
    Ok(Handshake::Peer(peer))
}

/// The first half of a handshake: which name the node gives itself, and whether it is a hidden one. It knows nothing of a cookie, and the node takes the
/// end of the connection for one that did not come about.
pub(crate) fn name_of(
    stream: &mut dyn Stream,
    framing: Framing<'_>,
    (target, local): (&Address, &Local),
    deadline: Deadline,
) -> Result<(Address, bool)> {
    let (mut talk, busy) = Talk::begun(stream, framing, (target, local), deadline)?;
    if let Some(busy) = busy {
        return Err(busy);
    }
    let (flags, .., name) = talk.receive_name()?;
    let latin1 = || name.iter().map(|byte| char::from(*byte)).collect();
    let name = std::str::from_utf8(&name).map_or_else(|_| latin1(), str::to_owned);
    Address::parse(&crate::name::NodeName::new(&name))
        .map(|name| (name, flags & flags::PUBLISHED == 0))
        .map_err(|_| talk.strange(&format!("it calls itself `{}`", show(name.as_bytes()))))
}

struct Talk<'a> {
    stream: &'a mut dyn Stream,
    framing: Framing<'a>,
    target: &'a Address,
    deadline: Deadline,
}

impl<'a> Talk<'a> {
    /// Begins one: our name is sent. The second is that the node is still busy with another connection of it.
    fn begun(
        stream: &'a mut dyn Stream,
        framing: Framing<'a>,
        (target, local): (&'a Address, &Local),
        deadline: Deadline,
    ) -> Result<(Self, Option<Box<Diagnostic>>)> {
        let mut talk = Self {
            stream,
            framing,
            target,
            deadline,
        };
        talk.send_name(local)?;
        let busy = talk.receive_status(local)?;
        Ok((talk, busy))
    }

    fn send_name(&mut self, local: &Local) -> Result<()> {
        let length =
            u16::try_from(local.name.len()).map_err(|_| self.strange("our name is too long"))?;
        let mut message = vec![b'N'];
        message.extend_from_slice(&flags::OFFERED.to_be_bytes());
        message.extend_from_slice(&local.creation.to_be_bytes());
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(local.name.as_bytes());
        self.send(&message)
    }

    /// `Some` when the node asks for another try.
    fn receive_status(&mut self, local: &Local) -> Result<Option<Box<Diagnostic>>> {
        let message = self.receive("its status")?;
        let Some((b's', status)) = message.split_first().map(|(tag, rest)| (*tag, rest)) else {
            return Err(self.strange("it does not answer our name with a status"));
        };
        let target = self.target;
        let refuse = |title: String, help: &str| {
            Err(Box::new(Diagnostic::new(Code::E506, title).help(help)))
        };
        match status {
            b"ok" | b"ok_simultaneous" => Ok(None),
            b"nok" => {
                let title = format!("{target} is just connecting to {} itself", local.name);
                let help = "try again; each try goes by a new name unless --name is given";
                let diagnostic = Diagnostic::new(Code::E506, title).help(help);
                Ok(Some(Box::new(diagnostic)))
            }
            b"not_allowed" => refuse(
                format!("{target} does not allow a connection from {}", local.name),
                "the node restricts who may connect (`net_kernel:allow/1`), or it needs distribution flags of a newer updo; pass an allowed name with --name",
            ),
            b"alive" => {
                // It asks whether we mean it; an open connection of that name is not ours to replace.
                // Whether the answer still arrives does not matter.
                let _ = self.send(b"sfalse");
                refuse(
                    format!("{target} still has a connection to {}", local.name),
                    "another updo uses this name, or one ended a moment ago: leave out --name, or wait a minute",
                )
            }
            other if other.starts_with(b"named:") => {
                Err(self.strange("it gave us a name that we did not ask for"))
            }
            other => Err(self.strange(&format!("unknown status `{}`", show(other)))),
        }
    }

    fn receive_challenge(&mut self) -> Result<(Peer, u32)> {
        let (flags, challenge, creation, name) = self.receive_name()?;
        self.check_name(&name)?;
        match flags::missing(flags) {
            missing if missing.is_empty() => Ok((Peer { creation, flags }, challenge)),
            missing => Err(self.too_old(&missing)),
        }
    }

    /// Flags, challenge, creation and name.
    fn receive_name(&mut self) -> Result<(u64, u32, u32, Vec<u8>)> {
        let message = self.receive("its challenge")?;
        if message.first() == Some(&b'n') {
            return Err(self.too_old(&[]));
        }
        let mut rest = Fields(&message);
        let parsed = (|| {
            let tag = *rest.bytes(1)?.first()?;
            let flags = u64::from(rest.u32()?) << 32 | u64::from(rest.u32()?);
            let (challenge, creation, length) = (rest.u32()?, rest.u32()?, rest.u16()?);
            (tag == b'N').then_some(())?;
            let name = rest.bytes(usize::from(length))?.to_vec();
            Some((flags, challenge, creation, name))
        })();
        parsed.ok_or_else(|| self.strange("its challenge is malformed"))
    }

    fn send_reply(&mut self, challenge: u32, digest: &[u8; 16]) -> Result<()> {
        let mut message = vec![b'r'];
        message.extend_from_slice(&challenge.to_be_bytes());
        message.extend_from_slice(digest);
        self.send(&message)
    }

    fn receive_ack(&mut self, cookie: &Cookie, challenge: u32) -> Result<()> {
        let wrong = |title: String| {
            Err(Box::new(
                Diagnostic::new(Code::E502, title)
                    .note(format!("the cookie came from {}", cookie.source()))
                    .help("use the cookie that the node was started with (its ~/.erlang.cookie, -setcookie or releases/COOKIE): --cookie-file FILE or UPDO_COOKIE"),
            ))
        };
        let message = match self.receive_raw() {
            Ok(message) => message,
            // A node that does not like our digest says nothing and closes.
            Err(error) if is_closed(&error) => {
                return wrong(format!("{} refused the cookie", self.target));
            }
            Err(error) => return Err(self.failed(&error, "its acknowledgement")),
        };
        match message.split_first() {
            Some((b'a', digest)) if same(digest, &cookie.digest(challenge)) => Ok(()),
            Some((b'a', digest)) if digest.len() == 16 => wrong(format!(
                "{} accepted our cookie but did not prove its own",
                self.target
            )),
            _ => Err(self.strange("its acknowledgement is malformed")),
        }
    }

    /// epmd knows `shop@web1` and `shop@web1.example.com` by the same name; only one of them is right.
    fn check_name(&self, name: &[u8]) -> Result<()> {
        let wanted = self.target.to_string();
        let latin1 = || {
            name.iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
        };
        let name = std::str::from_utf8(name).map_or_else(|_| latin1(), str::to_owned);
        if name == wanted {
            return Ok(());
        }
        let Ok(actual) = Address::parse(&crate::name::NodeName::new(&name)) else {
            return Err(self.strange(&format!("it calls itself `{}`", show(name.as_bytes()))));
        };
        let style = |address: &Address| {
            if address.is_long() {
                "long (-name)"
            } else {
                "short (-sname)"
            }
        };
        let text = Diagnostic::new(
            Code::E504,
            format!("the node calls itself {actual}, not {wanted}"),
        );
        Err(Box::new(
            if actual.is_long() == self.target.is_long() {
                text
            } else {
                text.note(format!(
                    "its name is {}, and {wanted} is {}; the two do not mix",
                    style(&actual),
                    style(self.target)
                ))
            }
            .help(format!("connect to {actual}")),
        ))
    }

    fn send(&mut self, message: &[u8]) -> Result<()> {
        let length = message.len() as u32;
        let mut bytes = match self.framing {
            Framing::Two => (length as u16).to_be_bytes().to_vec(),
            Framing::Four(_) => length.to_be_bytes().to_vec(),
        };
        bytes.extend_from_slice(message);
        self.stream
            .write_all(&bytes, self.deadline)
            .map_err(|error| self.failed(&error, "our handshake"))
    }

    fn receive(&mut self, what: &str) -> Result<Vec<u8>> {
        self.receive_raw()
            .map_err(|error| self.failed(&error, what))
    }

    fn receive_raw(&mut self) -> io::Result<Vec<u8>> {
        let length = match self.framing {
            Framing::Two => {
                let mut head = [0; 2];
                self.stream.read_exact(&mut head, self.deadline)?;
                if tls::is_alert(&head) {
                    return Err(io::Error::other(SpeaksTls));
                }
                usize::from(u16::from_be_bytes(head))
            }
            Framing::Four(_) => {
                let mut head = [0; 4];
                self.stream.read_exact(&mut head, self.deadline)?;
                u32::from_be_bytes(head) as usize
            }
        };
        if length > MAX_MESSAGE {
            return Err(io::Error::other("a handshake message too long to be one"));
        }
        let mut message = vec![0; length];
        self.stream.read_exact(&mut message, self.deadline)?;
        Ok(message)
    }

    fn failed(&self, error: &io::Error, what: &str) -> Box<Diagnostic> {
        let target = self.target;
        if let Some(why) = forward::cause(error) {
            return why;
        }
        if error.get_ref().is_some_and(|inner| inner.is::<SpeaksTls>()) {
            return tls::speaks_tls(target);
        }
        // A node that speaks TLS 1.3 looks at our certificate when its own side is ready: it refuses it here.
        if let (Framing::Four(ours), Some(cause)) = (self.framing, tls::cause(error)) {
            return tls::refused(target, ours, cause);
        }
        if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) {
            return Box::new(
                Diagnostic::new(Code::E508, format!("{target} did not finish the handshake in time (waiting for {what})"))
                    .help("the node is overloaded or stopped, or something else listens there: look at the node, or allow more time"),
            );
        }
        let why = if is_closed(error) {
            "it closed the connection".to_owned()
        } else {
            plain(error)
        };
        self.strange(&format!("{why} (waiting for {what})"))
    }

    fn strange(&self, why: &str) -> Box<Diagnostic> {
        let help = match self.framing {
            Framing::Two => {
                "if the node was started with `-proto_dist inet_tls`, the plan's target needs `tls`; otherwise look at the node's log"
            }
            Framing::Four(_) => "look at the node's log: it may have refused our certificate",
        };
        Box::new(
            Diagnostic::new(
                Code::E506,
                format!(
                    "{} does not speak the distribution protocol as expected: {why}",
                    self.target
                ),
            )
            .help(help),
        )
    }

    fn too_old(&self, missing: &[&str]) -> Box<Diagnostic> {
        let text = Diagnostic::new(Code::E506, format!("{} is older than OTP 23", self.target))
            .help("updo needs OTP 23 or newer on the node");
        Box::new(if missing.is_empty() {
            text
        } else {
            text.note(format!("it lacks {}", missing.join(", ")))
        })
    }
}

/// The fields of a message, big endian, as far as it goes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }
}

fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe
    )
}

/// Compares in constant time.
fn same(a: &[u8], b: &[u8; 16]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// A peer's bytes, short and harmless.
fn show(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(40)
        .flat_map(|byte| byte.escape_ascii())
        .map(char::from)
        .collect()
}
