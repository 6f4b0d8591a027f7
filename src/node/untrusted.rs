//! What a peer sends, taken from bytes instead of a socket: whole conversations without a node, for fuzz targets.
//!
//! Nothing else uses this. The bytes go through the code that reads those of a connection, up to where the values are
//! looked at by other stages.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::agent::protocol::{
    BootstrapAnswer, Codec, Finished, LockState, Rehearsed, StateChecked, ToConvert, read,
};
use super::control::{self, Signal};
use super::cookie::{Cookie, CookieSource};
use super::handshake::{Framing, Handshake, Local, shake};
use super::name::Address;
use super::stream::{Deadline, SplitStream, Stream};
use super::wire::{Clock, FrameReader};
use crate::diag::Diagnostic;
use crate::name::NodeName;
use crate::term::Term;

/// The cookie of [`handshake`].
pub const COOKIE: &str = "sesame";

/// What [`handshake`] asks the peer to prove it with.
pub const CHALLENGE: u32 = 0x5EED_0001;

/// The node that [`handshake`] wants.
pub const NODE: &str = "shop@localhost";

/// A stream that answers what was prepared, and takes everything.
struct Prepared<'a>(&'a [u8]);

impl Stream for Prepared<'_> {
    fn read_some(&mut self, bytes: &mut [u8], _: Deadline) -> io::Result<usize> {
        io::Read::read(&mut self.0, bytes)
    }

    fn write_all(&mut self, _: &[u8], _: Deadline) -> io::Result<()> {
        Ok(())
    }

    fn local_ip(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn split(self: Box<Self>) -> io::Result<SplitStream> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A handshake with a peer that answers these bytes: whether it got through, or why not.
///
/// # Errors
/// The diagnostic that a person would see.
pub fn handshake(answers: &[u8]) -> Result<bool, Box<Diagnostic>> {
    let target = Address::parse(&NodeName::new(NODE))?;
    let local = Local {
        name: "updo-1-1@localhost".to_owned(),
        creation: 1,
    };
    let cookie = Cookie::new(COOKIE, CookieSource::Given)?;
    let shaken = shake(
        &mut Prepared(answers),
        Framing::Two,
        (&target, &local),
        &cookie,
        CHALLENGE,
        Deadline::after(Duration::from_secs(60)),
    )?;
    Ok(matches!(shaken, Handshake::Peer(_)))
}

/// The frames of a connection, as far as they can be trusted: how many there were.
pub fn frames(bytes: &[u8]) -> usize {
    let clock = Clock::new();
    let mut frames = FrameReader::new(bytes, &clock);
    let mut count = 0;
    while let Ok(frame) = frames.next() {
        count += 1;
        if frame.is_empty() {
            continue;
        }
        let payload = match control::parse(frame) {
            Ok(Signal::Send { message, .. }) => message,
            Ok(Signal::Down { reason, .. }) => reason,
            Ok(Signal::SpawnRequest { reference, from }) => {
                // What is echoed is bounded as well.
                control::refuse_spawn(reference, from);
                continue;
            }
            Ok(_) => continue,
            Err(_) => break,
        };
        if let Ok(term) = payload.decode() {
            answer(&term);
        }
    }
    count
}

/// A term that a process of the node has sent, as each of those that may be waited for. What can be read is written as it
/// was.
pub fn answer(term: &Term) {
    fn of<T: Codec + PartialEq>(term: &Term) -> bool {
        T::decode(term).is_ok_and(|value| T::decode(&value.encode()) == Ok(value))
    }
    let run = match term.as_tuple() {
        Some([_, run, ..]) => run.to_text(),
        _ => None,
    };
    let _ = read(term, run.as_deref().unwrap_or_default());
    let _ = of::<BootstrapAnswer>(term) | of::<LockState>(term) | of::<Finished>(term);
    let _ = of::<Rehearsed>(term) | of::<StateChecked>(term) | of::<ToConvert>(term);
    let _ = term.to_string();
}
