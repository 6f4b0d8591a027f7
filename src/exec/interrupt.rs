//! An interrupt: Ctrl-C, or a signal that asks for the end.
//!
//! Shared between what receives signals and the run that obeys them. It only counts: what the first and the
//! second press mean depends on how far the run has come, and is decided there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often a look is taken while something is waited for.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// How often the end of a run was asked for. Clones share the count.
///
/// Before anything is switched, the first request aborts a run: all processes are resumed, the node is as before (E611).
/// After that the node finishes what is begun. The second request leaves the node to itself: it ends in order without a
/// client, the outcome is [`NodeState::Unknown`](super::NodeState::Unknown) (E608), and `updo attach` comes back to it.
/// [`EventKind::Interrupt`](super::EventKind::Interrupt) says what is done.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicU32>);

impl Interrupt {
    /// One more request; gives how many there have been, this one included.
    pub fn press(&self) -> u32 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many requests there have been.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    #[doc(hidden)]
    /// Sleeps so long, or until there have been `enough` requests: then `true`.
    pub fn sleep(&self, time: Duration, enough: u32) -> bool {
        let began = Instant::now();
        loop {
            if self.count() >= enough {
                return true;
            }
            let left = time.saturating_sub(began.elapsed());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_a_sleep() {
        let interrupt = Interrupt::default();
        assert!(!interrupt.sleep(Duration::from_millis(1), 1));
        let other = interrupt.clone();
        let pressed = std::thread::spawn(move || other.press());
        assert!(interrupt.sleep(Duration::from_secs(60), 1));
        assert_eq!(pressed.join().ok(), Some(1));
        assert!(!interrupt.sleep(Duration::ZERO, 2));
    }
}
