//! Barriers between the steps of a run: where a node waits for the others with which it switches at one instant.
//!
//! Takes the steps of a run or of its way back, and gives them with barriers. What happens at a barrier is decided by
//! the node's agent and, for the group, by [`together`](super::together).

use std::time::Duration;

use super::barrier::{Barrier, BarrierKind, BarrierName};
use super::step::{Action, Step, number};
use crate::name::Module;
use crate::rules::Timeout;

/// How long a node waits at a barrier where nothing is suspended yet: others may still have old code to wait for.
const PREPARED: Duration = Duration::from_secs(120);

/// What all nodes of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barriers {
    /// How long a node waits for the others with processes suspended.
    pub hold: Duration,
    /// How many ranks the node has that suspends in most of them.
    pub ranks: usize,
}

/// In how many ranks a run suspends before its switch.
pub fn ranks(steps: &[Step]) -> usize {
    let before = steps.iter().take_while(|step| !is_switch(&step.action));
    before
        .map(|step| match &step.action {
            Action::Suspend(ranks) => ranks.len(),
            _ => 0,
        })
        .sum()
}

/// Why a run cannot switch together with those of other nodes; `None` when it can.
pub fn unfit(steps: &[Step]) -> Option<&'static str> {
    let Some(first) = steps.iter().position(|step| is_switch(&step.action)) else {
        return match steps.iter().any(|step| is_foreign(&step.action)) {
            true => Some("`engine release_handler` leaves no moment to wait in"),
            false => None,
        };
    };
    let behind = &steps[first + 1..];
    let again = |step: &Step| matches!(step.action, Action::Suspend(_) | Action::Live { .. });
    match behind.iter().any(again) {
        true => Some("it has more than one window, and one of them can be shared"),
        false => None,
    }
}

impl Barriers {
    /// The steps of a run.
    pub fn there(&self, steps: Vec<Step>) -> Vec<Step> {
        let mut steps = self.insert(steps, false);
        number(&mut steps, 1);
        steps
    }

    /// The steps of a way back: of a run that is not over yet (`within`), or by itself. Those that are there keep their
    /// numbers; new ones are numbered from `next`.
    pub fn back(&self, steps: Vec<Step>, next: u32, within: bool) -> Vec<Step> {
        let mut steps = self.insert(steps, within);
        let mut next = next;
        for step in steps.iter_mut().filter(|step| step.id == 0) {
            step.id = next;
            next = next.saturating_add(1);
        }
        steps
    }

    /// The same with barriers, numbered 0 where they are new.
    fn insert(&self, steps: Vec<Step>, back: bool) -> Vec<Step> {
        let own = ranks(&steps);
        let mut left = own.max(self.ranks);
        let switch = steps.iter().position(|step| is_switch(&step.action));
        let decide = switch.map(|first| decision(&steps, first));
        let kind = |kind| if back { BarrierKind::Onward } else { kind };
        let barrier = |name, of| {
            let hold = match name {
                BarrierName::Prepared if !back => PREPARED,
                _ => self.hold,
            };
            let kind = kind(of);
            Step::new(0, Action::Barrier(Barrier { name, hold, kind }))
        };
        let gather = |name| barrier(name, BarrierKind::Gather);
        let mut all = vec![gather(BarrierName::Prepared)];
        let last = steps.len();
        for (at, mut step) in steps.into_iter().enumerate() {
            if let Action::Barrier(sync) = &mut step.action {
                sync.hold = self.hold;
                // Behind the decision no node goes back by itself.
                if decide.is_some_and(|decide| at >= decide) {
                    sync.kind = BarrierKind::Onward;
                }
            }
            if decide == Some(at) && switch != Some(at) {
                all.push(barrier(BarrierName::Switched, BarrierKind::Decide));
            }
            if switch == Some(at) {
                // Ranks of other nodes that this one does not have.
                while left > 1 {
                    left -= 1;
                    all.push(gather(BarrierName::Suspended(left)));
                }
                all.push(gather(BarrierName::Suspended(0)));
                if decide == Some(at) {
                    all.push(barrier(BarrierName::Switched, BarrierKind::Decide));
                }
            }
            match (&step.action, switch) {
                (Action::Suspend(ranks), Some(switch)) if at < switch => {
                    while left > own {
                        left -= 1;
                        all.push(gather(BarrierName::Suspended(left)));
                    }
                    for rank in ranks.clone() {
                        all.push(one_rank(rank));
                        left -= 1;
                        if left > 0 {
                            all.push(gather(BarrierName::Suspended(left)));
                        }
                    }
                }
                _ => all.push(step),
            }
        }
        if decide == Some(last) {
            all.push(barrier(BarrierName::Switched, BarrierKind::Decide));
        }
        all
    }
}

fn one_rank(rank: Vec<(Module, Timeout)>) -> Step {
    Step::new(0, Action::Suspend(vec![rank]))
}

/// From here on something is another version than before.
fn is_switch(action: &Action) -> bool {
    matches!(
        action,
        Action::Load(_) | Action::Delete(_) | Action::CodeChange { .. } | Action::Live { .. }
    )
}

fn is_foreign(action: &Action) -> bool {
    matches!(action, Action::ReleaseHandler { .. })
}

/// Behind the switch and the conversions, and before anything runs on. A live window is decided before it begins.
fn decision(steps: &[Step], first: usize) -> usize {
    if matches!(steps[first].action, Action::Live { .. }) {
        return first;
    }
    let behind = &steps[first..];
    let runs_on = |step: &Step| {
        matches!(
            step.action,
            Action::Resume(_) | Action::Ahead(_) | Action::Children(_)
        )
    };
    let resumes = behind
        .iter()
        .any(|step| matches!(step.action, Action::Resume(_)));
    let at = match resumes {
        true => behind.iter().position(runs_on),
        false => behind.iter().position(|step| !is_switch(&step.action)),
    };
    at.map_or(steps.len(), |at| first + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Term;

    fn modules(names: &[&str]) -> Vec<Module> {
        names.iter().map(|name| Module::new(*name)).collect()
    }

    fn suspend(ranks: &[&[&str]]) -> Action {
        let one = |name: &&str| (Module::new(*name), Timeout::Default);
        let ranks = ranks.iter().map(|rank| rank.iter().map(one).collect());
        Action::Suspend(ranks.collect())
    }

    fn steps(actions: Vec<Action>) -> Vec<Step> {
        let mut steps: Vec<Step> = actions.into_iter().map(|a| Step::new(0, a)).collect();
        number(&mut steps, 1);
        steps
    }

    fn window() -> Vec<Step> {
        steps(vec![
            suspend(&[&["front"], &["back", "other"]]),
            Action::Precompute(Vec::new()),
            Action::Load(modules(&["front", "back", "other"])),
            Action::CodeChange {
                direction: crate::script::instruction::Direction::Up,
                modules: Vec::new(),
            },
            Action::Ahead(modules(&["back"])),
            Action::Resume(modules(&["front"])),
            Action::Delete(modules(&["gone"])),
        ])
    }

    const HOLD: Duration = Duration::from_secs(2);

    fn words(steps: &[Step]) -> Vec<String> {
        let one = |step: &Step| match &step.action {
            Action::Barrier(barrier) => {
                format!("{} {}", barrier.name.to_term(), barrier.kind.word())
            }
            Action::Suspend(ranks) => format!("suspend {}", ranks.concat().len()),
            _ => step.kind.to_string(),
        };
        steps.iter().map(one).collect()
    }

    #[test]
    fn a_window_waits_for_its_ranks_the_switch_and_the_decision() {
        let barriers = Barriers {
            hold: HOLD,
            ranks: 2,
        };
        let there = barriers.there(window());
        assert_eq!(
            words(&there),
            [
                "prepared gather",
                "suspend 1",
                "{suspended,1} gather",
                "suspend 2",
                "compute",
                "{suspended,0} gather",
                "load",
                "convert",
                "switched decide",
                "resume",
                "resume",
                "delete"
            ]
        );
        let ids: Vec<u32> = there.iter().map(|step| step.id).collect();
        assert_eq!(ids, (1..=12).collect::<Vec<_>>());
        assert_eq!(ranks(&window()), 2);
        assert_eq!(unfit(&window()), None);
        assert_eq!(there[2].barrier().map(|one| one.hold), Some(HOLD));
    }

    /// What is suspended last on one node is suspended together with what is last on the others.
    #[test]
    fn nodes_with_fewer_ranks_wait_for_those_with_more() {
        let barriers = Barriers {
            hold: HOLD,
            ranks: 3,
        };
        let one = steps(vec![
            suspend(&[&["back"]]),
            Action::Load(modules(&["back"])),
            Action::Resume(modules(&["back"])),
        ]);
        assert_eq!(
            words(&barriers.there(one)),
            [
                "prepared gather",
                "{suspended,2} gather",
                "{suspended,1} gather",
                "suspend 1",
                "{suspended,0} gather",
                "load",
                "switched decide",
                "resume"
            ]
        );
        let none = steps(vec![Action::Load(modules(&["plain"])), Action::Soak(HOLD)]);
        assert_eq!(
            words(&barriers.there(none)),
            [
                "prepared gather",
                "{suspended,2} gather",
                "{suspended,1} gather",
                "{suspended,0} gather",
                "load",
                "switched decide",
                "soak"
            ]
        );
    }

    #[test]
    fn a_live_window_is_decided_before_it_begins() {
        let barriers = Barriers {
            hold: HOLD,
            ranks: 0,
        };
        let live = Action::Live {
            convert: modules(&["back"]),
            modules: modules(&["back"]),
        };
        let there = barriers.there(steps(vec![live.clone()]));
        let expected = [
            "prepared gather",
            "{suspended,0} gather",
            "switched decide",
            "live",
        ];
        assert_eq!(words(&there), expected);
        let held = steps(vec![
            suspend(&[&["front"]]),
            Action::Load(modules(&["front"])),
            Action::Resume(modules(&["front"])),
            live,
        ]);
        assert!(unfit(&held).is_some());
    }

    /// A way back keeps the numbers of its steps, which the agent knows, and waits for nothing for ever.
    #[test]
    fn a_way_back_goes_on() {
        let barriers = Barriers {
            hold: HOLD,
            ranks: 2,
        };
        let back = barriers.back(window(), 20, true);
        let there = back.iter().filter(|step| step.id < 20);
        let ids: Vec<u32> = there.map(|step| step.id).collect();
        assert_eq!(ids, [2, 3, 4, 5, 6, 7]);
        let mut all: Vec<u32> = back.iter().map(|step| step.id).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), back.len());
        let kinds = back.iter().filter_map(Step::barrier);
        assert!(kinds.clone().all(Barrier::is_back));
        assert_eq!(kinds.count(), 4);
    }

    /// `sync_nodes` holds the others up to the decision; behind it no node goes back by itself.
    #[test]
    fn sync_nodes_is_a_barrier() {
        let barriers = Barriers {
            hold: HOLD,
            ranks: 0,
        };
        let sync = || Action::Barrier(Barrier::sync(Term::atom("here")));
        let there = barriers.there(steps(vec![
            sync(),
            suspend(&[&["back"]]),
            Action::Load(modules(&["back"])),
            Action::Resume(modules(&["back"])),
            sync(),
        ]));
        let kinds: Vec<_> = there
            .iter()
            .filter_map(Step::barrier)
            .filter(|one| matches!(one.name, BarrierName::Sync(_)))
            .map(|one| (one.kind, one.hold, one.is_back()))
            .collect();
        let expected = [
            (BarrierKind::Gather, HOLD, false),
            (BarrierKind::Onward, HOLD, false),
        ];
        assert_eq!(kinds, expected);
    }
}
