//! A thread beside a screen, for as long as the screen lives, and what the two share.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Dropped, it asks its thread to stop and waits until it has.
#[derive(Debug)]
pub(super) struct Ticker {
    stop: Arc<Stop>,
    /// Closed, it wakes the thread: a run does not end later because its screen waits for the next tick.
    waker: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Whether the thread is asked to stop, and how it learns of that while it waits.
#[derive(Debug)]
pub(super) struct Stop {
    asked: AtomicBool,
    /// Readable when it is asked; without one (no descriptor was left) it is seen after the wait.
    woken: Option<UnixStream>,
}

impl Stop {
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits, but no longer than until it is asked to stop.
    pub(super) fn wait(&self, time: Duration) {
        match self.fd() {
            // An interrupted wait is a shorter one.
            Some(woken) => drop(readable(&[woken], time)),
            None => std::thread::sleep(time),
        }
    }

    /// What becomes readable when it is asked.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.woken.as_ref()?.as_fd())
    }
}

impl Ticker {
    /// Begins. `run` looks at [`Stop`] after every wait, and ends when it is asked to.
    pub(super) fn start(run: impl FnOnce(&Stop) + Send + 'static) -> Self {
        let (waker, woken) = UnixStream::pair().ok().unzip();
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            woken,
        });
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || run(&seen));
        Self {
            stop,
            waker,
            thread: Some(thread),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.asked.store(true, Ordering::SeqCst);
        self.waker = None;
        if let Some(thread) = self.thread.take() {
            // It returns nothing, and a screen is no reason to fail.
            let _ = thread.join();
        }
    }
}

/// Which of these have something to be read, or will never have, within `time`.
pub(super) fn readable(fds: &[BorrowedFd<'_>], time: Duration) -> io::Result<Vec<bool>> {
    let mut wanted: Vec<PollFd<'_>> = fds
        .iter()
        .map(|fd| PollFd::new(fd, PollFlags::IN))
        .collect();
    let limit = Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(&mut wanted, Some(&limit)) {
        Ok(_) => Ok(wanted.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(rustix::io::Errno::INTR) => Ok(vec![false; fds.len()]),
        Err(why) => Err(why.into()),
    }
}

/// What a screen and its thread share. A screen that has panicked is still one to be put in order.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// A thread that waits is woken: a minute here would be a tenth of a second of every run.
    #[test]
    fn the_end_of_a_screen_waits_for_no_tick() {
        let ticker = Ticker::start(|stop| {
            while !stop.is_asked() {
                stop.wait(Duration::from_secs(60));
            }
        });
        let began = Instant::now();
        drop(ticker);
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_wait_lasts_as_long_as_it_should() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let _ticker = Ticker::start(move |stop| {
            let began = Instant::now();
            stop.wait(Duration::from_millis(20));
            let _ = sender.send(began.elapsed());
        });
        let took = receiver.recv().expect("it has waited");
        assert!(took >= Duration::from_millis(20), "{took:?}");
    }
}
