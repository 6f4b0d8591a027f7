//! The keeper thread: sends what the reader owes, ticks, and notices a silent peer.
//!
//! Runs until the session closes. A node drops a peer that it has not heard for its `net_ticktime`, which
//! may be as short as a second, so a tick is answered with a tick, and a node that talks hears from us at
//! least every second. A node with a long `net_ticktime` is silent for minutes and well: therefore it
//! is asked something first, and counts as lost only when it does not answer that either.

use std::time::{Duration, Instant};

use super::control;
use super::state::{Shared, lock};
use crate::term::Term;

/// Wakes at least this often.
const PULSE: Duration = Duration::from_secs(1);
/// Ticks at least this often.
const TICK_AFTER: Duration = Duration::from_secs(10);
/// A tick is not answered when something went out so recently.
const JUST_WROTE: Duration = Duration::from_millis(100);
/// Silent for so long: asked whether it lives.
const PROBE_AFTER: Duration = Duration::from_secs(30);
/// Time between such questions.
const PROBE_EVERY: Duration = Duration::from_secs(10);
/// Silent for so long, in spite of being asked: lost.
const LOST_AFTER: Duration = Duration::from_secs(75);

/// Keeps a session until it closes.
pub(crate) fn run(shared: &Shared) {
    let mut probed = Instant::now();
    loop {
        let (frames, ticked) = {
            let mut outbox = lock(&shared.outbox);
            if outbox.frames.is_empty() && !outbox.ticked && !outbox.closing {
                outbox = match shared.wake.wait_timeout(outbox, PULSE) {
                    Ok((outbox, _)) => outbox,
                    Err(poisoned) => poisoned.into_inner().0,
                };
            }
            if outbox.closing {
                return;
            }
            outbox.count = 0;
            (
                std::mem::take(&mut outbox.frames),
                std::mem::take(&mut outbox.ticked),
            )
        };
        if !frames.is_empty() && shared.write(&frames).is_err() {
            return;
        }
        let (heard, wrote) = (shared.clock.since_heard(), shared.clock.since_wrote());
        if heard >= LOST_AFTER {
            let seconds = LOST_AFTER.as_secs();
            shared.lose(&format!(
                "nothing was heard from {} for {seconds} seconds",
                shared.node
            ));
            return;
        }
        if wrote >= TICK_AFTER
            || (heard < wrote && wrote >= PULSE)
            || (ticked && wrote >= JUST_WROTE)
        {
            shared.tick();
        }
        if heard >= PROBE_AFTER && probed.elapsed() >= PROBE_EVERY {
            probed = Instant::now();
            // A name that nobody registers: the node itself answers at once that there is no process.
            let reference = shared.ids.reference();
            let probe =
                control::monitor(&shared.us, Term::atom("updo is anybody there"), &reference);
            if shared.write(&probe).is_err() {
                return;
            }
        }
    }
}
