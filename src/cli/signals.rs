//! Ctrl-C and SIGTERM in commands that change a node.
//!
//! Until the run begins, a signal ends the program: nothing was changed. From then on the run itself decides what
//! the first and the second mean; the third ends the program whatever it is doing, for the node needs no client.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the third signal ends the process"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

use super::exit::Exit;
use crate::exec::Interrupt;

/// Requests after which nothing is waited for any more. Over several nodes the first one ends the walk, and the others
/// mean to a node what they mean to one alone.
const ENOUGH: u32 = 3;

/// Signals of one command.
#[derive(Debug)]
pub(super) struct Signals {
    begun: Arc<AtomicBool>,
    enough: Arc<AtomicU32>,
}

impl Signals {
    /// Begins to listen. Where that is not possible, signals do what they always did: end the program.
    pub(super) fn listen(interrupt: &Interrupt) -> Self {
        let begun = Arc::new(AtomicBool::new(false));
        let enough = Arc::new(AtomicU32::new(ENOUGH));
        let (seen, interrupt) = (Arc::clone(&begun), interrupt.clone());
        let limit = Arc::clone(&enough);
        if let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) {
            std::thread::spawn(move || {
                for _ in signals.forever() {
                    if !seen.load(Ordering::SeqCst) {
                        eprintln!("\ninterrupted; nothing was changed");
                        std::process::exit(Exit::Aborted as i32);
                    }
                    if interrupt.press() >= limit.load(Ordering::SeqCst) {
                        super::keys::restore();
                        std::process::exit(Exit::Lost as i32);
                    }
                }
            });
        }
        Self { begun, enough }
    }

    /// A rollout over several nodes begins.
    pub(super) fn begin_several(&self) {
        self.enough.store(ENOUGH + 1, Ordering::SeqCst);
        self.begin();
    }

    /// The run begins.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }
}
