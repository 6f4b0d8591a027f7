//! What a rehearsal finds beside the conversions themselves: what states take, and what becomes of them on the way back.

use super::rehearsal_words::{conversion_in_words, reason_in_words, shape_in_words};
use super::trial::BackBy;
use crate::name::FunctionArity;
use crate::node::agent::protocol::{DownTrial, HeldForms, OtherState, RehearsalFailure, Rehearsed};
use crate::term::Term;

/// A state that would not be converted.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedState {
    /// The process, as the node prints it.
    pub pid: String,
    /// Why: what was raised and where, or what was returned.
    pub reason: String,
    /// The shape of its state.
    pub shape: String,
    /// The check of the plan that does not hold, by its number among the plan's: the conversion returned a state.
    pub check: Option<usize>,
}

impl FailedState {
    pub(super) fn read(failure: &RehearsalFailure) -> Self {
        Self {
            pid: Term::Pid(failure.pid.clone()).to_string(),
            reason: match failure.check {
                None => conversion_in_words(&failure.reason),
                Some(_) => reason_in_words(&failure.reason),
            },
            shape: shape_in_words(&failure.shape),
            check: failure.check.and_then(|n| usize::try_from(n).ok()),
        }
    }
}

/// What so many percent of measured values stay below; `None` without any. Values ascend, each with its number.
pub(super) fn percentile<T: Copy>(values: &[(T, u64)], percent: usize) -> Option<T> {
    let all: u64 = values.iter().map(|(_, number)| number).sum();
    let at = all.checked_sub(1)? * percent.min(100) as u64 / 100;
    let mut before = 0;
    let found = values.iter().find(|(_, number)| {
        before += number;
        before > at
    });
    found.map(|(value, _)| *value)
}

/// How many bytes states take, ascending, and how many states take so many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(Vec<(u64, u64)>);

impl Bytes {
    fn read(counts: &[(u64, u64)]) -> Self {
        let mut counts = counts.to_vec();
        counts.sort_unstable();
        Self(counts)
    }

    /// What so many percent of the states stay below; `None` without any.
    pub fn percentile(&self, percent: usize) -> Option<u64> {
        percentile(&self.0, percent)
    }

    /// Of all of them, to three digits each.
    pub fn total(&self) -> u64 {
        let sizes = self.0.iter();
        sizes.fold(0, |sum: u64, (bytes, number)| {
            sum.saturating_add(bytes.saturating_mul(*number))
        })
    }
}

/// What states take of the heap of their processes, without large binaries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// As they are.
    pub old: Bytes,
    /// What they are converted to; empty without a conversion.
    pub new: Bytes,
    /// The process with the largest state, the new one where there is one.
    pub largest: Option<String>,
}

impl Sizes {
    pub(super) fn read(rehearsed: &Rehearsed) -> Self {
        let largest = rehearsed.largest.first();
        Self {
            old: Bytes::read(&rehearsed.bytes),
            new: Bytes::read(&rehearsed.new_bytes),
            largest: largest.map(|(_, pid)| Term::Pid(pid.clone()).to_string()),
        }
    }

    /// What all `states` take before and after, from those that were converted, where the conversion makes them at least
    /// twice as large and that is much memory.
    pub fn growth(&self, states: u64) -> Option<(u64, u64)> {
        const MUCH: u64 = 10_000_000;
        let measured: u64 = self.new.0.iter().map(|(_, number)| number).sum();
        let of_all = |bytes: &Bytes| {
            let total = u128::from(bytes.total()) * u128::from(states.max(measured));
            let scaled = total.checked_div(u128::from(measured))?;
            u64::try_from(scaled).ok()
        };
        let (old, new) = (of_all(&self.old)?, of_all(&self.new)?);
        (new / 2 >= old && new - old >= MUCH).then_some((old, new))
    }
}

/// States that the conversion downwards does not give back.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherStates {
    /// The shape of what there was.
    pub was: String,
    /// The shape of what it gives.
    pub is: String,
    /// How many.
    pub states: u64,
    /// What was converted back, and what it became, as code is compared with it.
    pub held: Option<HeldForms>,
    /// The callbacks of the running version of which every event would fail with it.
    pub fails: Vec<FunctionArity>,
}

/// What a rollback would make of the converted states: whether they become what they were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WentBack {
    /// They do.
    pub same: u64,
    /// They become others.
    pub other: u64,
    /// They are not converted.
    pub failed: u64,
    /// The conversion failed in a running version that it reached by name: not a finding.
    pub unswitched: u64,
    /// The most frequent of the others first.
    pub others: Vec<OtherStates>,
    /// The first 20 that are not converted, with the shape of the new state.
    pub failures: Vec<FailedState>,
    /// Why it was not tried.
    pub untried: Option<String>,
    /// Who converts back, where it was tried.
    pub by: Option<BackBy>,
}

impl WentBack {
    pub(super) fn read(down: &DownTrial, by: Option<BackBy>) -> Self {
        let other = |other: &OtherState| OtherStates {
            was: shape_in_words(&other.was),
            is: shape_in_words(&other.is),
            states: other.states,
            held: other.held.clone(),
            fails: Vec::new(),
        };
        let mut others: Vec<OtherStates> = down.others.iter().map(other).collect();
        others.sort_by_key(|other| std::cmp::Reverse(other.states));
        Self {
            same: down.same,
            other: down.other,
            failed: down.failed,
            unswitched: down.unswitched,
            others,
            failures: down.failures.iter().map(FailedState::read).collect(),
            untried: None,
            by,
        }
    }

    /// How many states would not become what they were.
    pub fn lost(&self) -> u64 {
        self.other + self.failed
    }

    /// How many of the other states the running version could not take, as far as its code shows.
    pub fn unfit(&self) -> u64 {
        let unfit = self.others.iter().filter(|other| !other.fails.is_empty());
        unfit.map(|other| other.states).sum()
    }

    /// How many were tried.
    pub fn tried(&self) -> u64 {
        self.same + self.lost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(old: &[(u64, u64)], new: &[(u64, u64)]) -> Sizes {
        Sizes {
            old: Bytes::read(old),
            new: Bytes::read(new),
            largest: None,
        }
    }

    #[test]
    fn states_grow_when_they_are_twice_as_large_and_many() {
        let grown = sizes(&[(1_000, 10_000)], &[(2_000, 10_000)]);
        assert_eq!(grown.growth(10_000), Some((10_000_000, 20_000_000)));
        // Of ten times as many processes a tenth was asked.
        assert_eq!(grown.growth(100_000), Some((100_000_000, 200_000_000)));
        let few = sizes(&[(1_000, 100)], &[(20_000, 100)]);
        assert_eq!(few.growth(100), None, "1.9 MB");
        assert_eq!(few.growth(1_000), Some((1_000_000, 20_000_000)));
        let large = sizes(&[(1 << 30, 1)], &[(3 << 29, 1)]);
        assert_eq!(large.growth(1), None, "half as much again");
        assert_eq!(sizes(&[(1 << 40, 1)], &[]).growth(1), None);
        let most = sizes(&[(0, 1)], &[(u64::MAX, u64::MAX)]);
        assert_eq!(most.growth(1), Some((0, u64::MAX)));
        assert_eq!(sizes(&[], &[]).growth(9), None);
    }

    #[test]
    fn sizes_have_percentiles() {
        let all = Bytes::read(&[(300, 1), (16, 98), (32, 1)]);
        assert_eq!(all.percentile(50), Some(16));
        assert_eq!(all.percentile(99), Some(32));
        assert_eq!(all.percentile(100), Some(300));
        assert_eq!(all.total(), 16 * 98 + 332);
        assert_eq!(Bytes::default().percentile(50), None);
    }
}
