//! The keeper thread: sends what the reader owes, ticks, and notices a silent peer.
//!
//! Runs until the session closes. A node drops a peer that it has not heard for its `net_ticktime`, which
//! may be a second. It ticks a hidden node that it receives nothing from (`dist_util:need_to_tick/4`), so a
//! tick is answered with a tick; and as a tick may be stuck behind a large frame on a slow line, a node
//! that talks receives something from us every second. A node with a long `net_ticktime` is silent for minutes and
//! well: therefore it is asked something first, and counts as lost only when it does not answer.

use std::time::{Duration, Instant};

use super::state::{Shared, lock};

/// A tick is not answered when something went out so recently.
const JUST_WROTE: Duration = Duration::from_millis(100);

/// How often, how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TickConfig {
    /// Wakes at least this often; a peer that talks receives something from us as often.
    pub(crate) pulse: Duration,
    /// Ticks at least this often.
    pub(crate) tick: Duration,
    /// A peer silent for so long is asked whether it lives.
    pub(crate) probe: Duration,
    /// Time between such questions.
    pub(crate) again: Duration,
    /// A peer silent for so long, in spite of being asked, is lost.
    pub(crate) lost: Duration,
}

impl Default for TickConfig {
    fn default() -> Self {
        let [pulse, tick, probe, again, lost] = [1, 10, 30, 10, 75].map(Duration::from_secs);
        Self {
            pulse,
            tick,
            probe,
            again,
            lost,
        }
    }
}

/// Keeps a session until it closes.
pub(crate) fn run(shared: &Shared, pace: TickConfig) {
    let mut probed = Instant::now();
    while let Some((frames, ticked)) = wait(shared, pace.pulse) {
        if !frames.is_empty() && shared.write(&frames).is_err() {
            return;
        }
        let (heard, wrote) = (shared.clock.since_heard(), shared.clock.since_wrote());
        if heard >= pace.lost {
            let seconds = pace.lost.as_secs();
            return shared.lose(&format!(
                "no message from {} for {seconds} seconds",
                shared.node
            ));
        }
        let talks = heard < wrote && wrote >= pace.pulse;
        if wrote >= pace.tick || talks || (ticked && wrote >= JUST_WROTE) {
            shared.tick();
        }
        if heard >= pace.probe && probed.elapsed() >= pace.again {
            probed = Instant::now();
            shared.probe();
        }
    }
}

/// Waits for something to do, at most a pulse: frames to send, and whether the peer ticked. `None` at the end.
fn wait(shared: &Shared, pulse: Duration) -> Option<(Vec<u8>, bool)> {
    let mut outbox = lock(&shared.outbox);
    if outbox.frames.is_empty() && !outbox.ticked && !outbox.closing {
        outbox = match shared.wake.wait_timeout(outbox, pulse) {
            Ok((outbox, _)) => outbox,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
    if outbox.closing {
        return None;
    }
    outbox.count = 0;
    Some((
        std::mem::take(&mut outbox.frames),
        std::mem::take(&mut outbox.ticked),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::NodeName;
    use crate::node::ids::Ids;
    use crate::term::Atom;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn session(sink: &Sink) -> Shared {
        let names = (NodeName::new("a@b"), "c@b".to_owned());
        let ids = Ids::new(Atom::new("c@b"), 5, 6);
        Shared::new(names, ids, Box::new(sink.clone()), Box::new(|| {}))
    }

    fn quick() -> TickConfig {
        let [pulse, tick, probe, again, lost] = [5, 60, 300, 50, 600].map(Duration::from_millis);
        TickConfig {
            pulse,
            tick,
            probe,
            again,
            lost,
        }
    }

    #[test]
    fn a_silent_peer_gets_a_tick_and_is_then_lost() {
        let sink = Sink::default();
        let shared = session(&sink);
        let start = Instant::now();
        run(&shared, quick());
        assert!(start.elapsed() >= quick().lost && start.elapsed() < Duration::from_secs(5));
        assert!(
            shared
                .lost()
                .is_some_and(|why| why.contains("no message from a@b"))
        );
        let sent = lock(&sink.0);
        // The first thing is a tick, for the peer is asked much later.
        assert_eq!(sent[..8], [0; 8]);
        let name = b"updo is anybody there";
        let asked = sent
            .windows(name.len())
            .filter(|window| window == name)
            .count();
        assert!((1..=6).contains(&asked), "{asked}");
    }

    #[test]
    fn a_peer_in_the_middle_of_a_large_frame_hears_from_us() {
        let sink = Sink::default();
        let shared = Arc::new(session(&sink));
        let pace = TickConfig {
            tick: Duration::from_secs(60),
            ..quick()
        };
        let keeper = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, pace)
        });
        let until = Instant::now() + pace.lost * 2;
        while Instant::now() < until {
            shared.clock.hear();
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(shared.lost(), None);
        shared.lose("enough");
        keeper.join().expect("the keeper ends");
        let sent = lock(&sink.0);
        assert!(
            sent.len() >= 3 * 4 && sent.iter().all(|byte| *byte == 0),
            "{}",
            sent.len()
        );
    }

    #[test]
    fn a_tick_is_answered_and_closing_ends_it() {
        let sink = Sink::default();
        let shared = Arc::new(session(&sink));
        let keeper = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, TickConfig::default())
        });
        std::thread::sleep(JUST_WROTE * 2);
        assert!(lock(&sink.0).is_empty());
        lock(&shared.outbox).ticked = true;
        shared.wake.notify_all();
        let until = Instant::now() + Duration::from_secs(5);
        while lock(&sink.0).is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(*lock(&sink.0), [0; 4]);
        shared.lose("enough");
        keeper.join().expect("the keeper ends");
    }
}
