//! Keys while a run goes on: the terminal gives them one by one and without echo, and is put back afterwards.
//!
//! Only a terminal that is ours to use is touched: a command in the background would be stopped for it. Ctrl-C stays
//! a signal. A program that is ended by [`super::signals`] puts the terminal back by [`restore`].

#![expect(
    clippy::disallowed_methods,
    reason = "keys are read from the terminal while a run goes on"
)]

use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use super::ticker::{Stop, readable};

/// How the terminal was before us.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Keys one by one, as long as this lives.
#[derive(Debug)]
pub(super) struct Keys(());

impl Keys {
    /// `None` where there are no keys to be had.
    pub(super) fn open() -> Option<Self> {
        if !ours() {
            return None;
        }
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut now = before.clone();
        now.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let set = termios::tcsetattr(io::stdin(), OptionalActions::Now, &now);
        set.is_ok().then_some(Self(()))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts the terminal back, if it is not as it was.
pub(super) fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before.filter(|_| ours()) {
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
    }
}

/// The keys of the next moment; after `time` at the latest, or when the thread that waits is asked to stop. An error when
/// there will never be any.
pub(super) fn next(time: Duration, stop: Option<&Stop>) -> io::Result<Vec<u8>> {
    if !ours() {
        match stop {
            Some(stop) => stop.wait(time),
            None => std::thread::sleep(time),
        }
        return Ok(Vec::new());
    }
    let stdin = io::stdin();
    let fds: Vec<_> = std::iter::once(stdin.as_fd())
        .chain(stop.and_then(Stop::fd))
        .collect();
    if readable(&fds, time)?.first() != Some(&true) {
        return Ok(Vec::new());
    }
    let mut bytes = [0; 16];
    match rustix::io::read(io::stdin(), &mut bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => Ok(bytes[..count].to_vec()),
        Err(rustix::io::Errno::INTR) => Ok(Vec::new()),
        Err(why) => Err(why.into()),
    }
}

/// Discards what was typed before a question was asked.
pub(super) fn forget() {
    if ours() {
        let _ = termios::tcflush(io::stdin(), termios::QueueSelector::IFlush);
    }
}

/// Whether there is something to be read, within `time`. An error when there will never be.
pub(super) fn ready(time: Duration) -> io::Result<bool> {
    Ok(readable(&[io::stdin().as_fd()], time)?.first() == Some(&true))
}

/// Whether standard input is a terminal, and we are in its foreground.
fn ours() -> bool {
    termios::tcgetpgrp(io::stdin()).is_ok_and(|group| group == rustix::process::getpgrp())
}
