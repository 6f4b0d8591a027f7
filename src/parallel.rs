//! Several at a time: each of many values is worked on by the next thread that is free.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Does something with each of `all`, by at most so many threads, this one among them; the answers are in their order.
/// Each thread has a state of its own, which `state` makes. Whatever takes long keeps only its own thread: the others go
/// on with the next. A panic in one of them is a panic here.
pub fn in_parallel<T: Sync, S, U: Send>(
    all: &[T],
    threads: usize,
    state: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, &T) -> U + Sync,
) -> Vec<U> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut state = state();
        let mut done = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(one) = all.get(at)
        {
            done.push((at, each(&mut state, one)));
        }
        done
    };
    let others = threads.min(all.len()).saturating_sub(1);
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|why| resume_unwind(why)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

/// More threads than this gain nothing for what is done here.
const MOST: usize = 8;

/// Fewer than this are not worth a thread.
const FEW: usize = 16;

/// Computes something of each of `all`, on all processors when there are many; the answers are in their order.
pub fn computed<T: Sync, U: Send>(all: &[T], each: impl Fn(&T) -> U + Sync) -> Vec<U> {
    let threads = match all.len() {
        0..FEW => 1,
        _ => std::thread::available_parallelism().map_or(1, NonZero::get),
    };
    in_parallel(all, threads.min(MOST), || (), |(), one| each(one))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Barrier, Mutex};

    use super::*;

    #[test]
    fn the_answers_are_in_order_and_one_that_takes_long_keeps_none_waiting() {
        let all: Vec<usize> = (0..1000).collect();
        // The first ends only when the last is done, by another thread.
        let both = Barrier::new(2);
        let states = AtomicUsize::new(0);
        let state = || states.fetch_add(1, Ordering::Relaxed);
        let by = Mutex::new(BTreeSet::new());
        let answers = in_parallel(&all, 3, state, |state, one| {
            by.lock().expect("no panic").insert(*state);
            if [0, 999].contains(one) {
                both.wait();
            }
            one * 2
        });
        assert_eq!(answers, all.iter().map(|one| one * 2).collect::<Vec<_>>());
        let by = by.into_inner().expect("no panic").len();
        assert!((2..=3).contains(&by), "{by}");
        assert!(in_parallel(&[(); 0], 8, || (), |(), ()| ()).is_empty());
    }

    #[test]
    fn many_and_few_are_computed() {
        for number in [0, 1, FEW - 1, FEW, 1000] {
            let all: Vec<usize> = (0..number).collect();
            let doubled: Vec<usize> = all.iter().map(|one| one * 2).collect();
            assert_eq!(computed(&all, |one| one * 2), doubled);
        }
    }

    #[test]
    fn a_panic_there_is_a_panic_here() {
        let panics = || in_parallel(&[1, 2, 3, 4], 4, || (), |(), one| assert_ne!(*one, 3));
        assert!(std::panic::catch_unwind(panics).is_err());
    }
}
