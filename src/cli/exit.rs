//! Exit codes report the state of the node: was anything changed, and is it consistent?
//! 10 to 19: safe to retry. 20 to 29: see the state of the node first. The list only grows.

use crate::diag::Code;
use crate::exec::rollout_checks::RolloutOutcome;
use crate::exec::{NodeState, Outcome};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// The plan has errors; nothing was changed.
    Plan = 1,
    /// Wrong usage; nothing was changed.
    Usage = 2,
    /// `preview --exit-code`: there is something to do.
    Pending = 3,
    /// Cannot connect; nothing was changed.
    Connect = 10,
    /// A precondition failed; nothing was changed.
    Precondition = 11,
    /// The node is not what it was when it was last looked at; nothing was changed.
    Changed = 12,
    /// Another run holds the lock; nothing was changed.
    Locked = 13,
    /// Failed or aborted before any module was switched; all suspended processes were resumed.
    Aborted = 14,
    /// A rehearsal found states that would not be converted, or that the new version cannot take; nothing was changed.
    Rehearsal = 15,
    /// Failed after the switch and undone completely.
    RolledBack = 20,
    /// Failed after the switch and not undone: needs manual repair.
    Broken = 21,
    /// Some nodes new, the rest old, each consistent.
    Partly = 22,
    /// Connection lost; the run continues on the node.
    Lost = 23,
    /// A bug in updo.
    Bug = 70,
}

impl Exit {
    /// The exit code of an error found before anything was touched.
    pub fn of(code: Code) -> Self {
        match code {
            Code::E501
            | Code::E502
            | Code::E503
            | Code::E504
            | Code::E506
            | Code::E507
            | Code::E508
            | Code::E509
            | Code::E510
            | Code::E511
            | Code::E512 => Self::Connect,
            Code::E505 => Self::Locked,
            Code::E602 => Self::Changed,
            Code::E601
            | Code::E317
            | Code::E657
            | Code::E627
            | Code::E640
            | Code::E649
            | Code::E650 => Self::Precondition,
            Code::E603
            | Code::E605
            | Code::E607
            | Code::E611
            | Code::E612
            | Code::E614
            | Code::E622
            | Code::E626
            | Code::E639
            | Code::E658
            | Code::E659 => Self::Aborted,
            Code::E604 | Code::E606 => Self::RolledBack,
            Code::E609 | Code::E623 => Self::Broken,
            Code::E608 => Self::Lost,
            Code::E801 | Code::E802 | Code::E803 => Self::Usage,
            Code::E900 => Self::Bug,
            _ => Self::Plan,
        }
    }

    /// The exit code of a run on one node.
    pub fn of_run(outcome: &Outcome) -> Self {
        match (outcome.state, outcome.errors.first()) {
            (NodeState::New, None) => Self::Done,
            (NodeState::New, Some(_)) | (NodeState::Mixed, _) => Self::Broken,
            (NodeState::Unknown, _) => Self::Lost,
            (NodeState::Old, _) if outcome.locked => Self::Locked,
            (NodeState::Old, _) if outcome.hook_back_failed => Self::Broken,
            (NodeState::Old, _) if outcome.touched => Self::RolledBack,
            (NodeState::Old, Some(error)) => match Self::of(error.code) {
                Self::Precondition => Self::Precondition,
                Self::Connect => Self::Connect,
                Self::Changed => Self::Changed,
                // A conversion that fails before the switch wants a look as well as one that is rolled back.
                Self::RolledBack => Self::RolledBack,
                _ => Self::Aborted,
            },
            (NodeState::Old, None) => Self::Aborted,
        }
    }
}

impl Exit {
    /// The exit code of a rollback, for which old is the goal.
    pub fn of_rollback(outcome: &Outcome) -> Self {
        match (outcome.state, outcome.errors.first()) {
            (NodeState::Old, None) => Self::Done,
            (NodeState::Old, Some(_)) | (NodeState::Mixed, _) => Self::Broken,
            (NodeState::Unknown, _) => Self::Lost,
            (NodeState::New, _) if outcome.locked => Self::Locked,
            (NodeState::New, _) if outcome.touched => Self::RolledBack,
            (NodeState::New, _) => Self::Aborted,
        }
    }
}

impl Exit {
    /// The exit code of a rollout.
    pub fn of_rollout(rollout_outcome: &RolloutOutcome) -> Self {
        let ends = || rollout_outcome.ends.iter().flatten();
        // What was found before anything was begun.
        let early = |codes: &[crate::diag::Diagnostic]| match codes
            .first()
            .map_or(Self::Aborted, |error| Self::of(error.code))
        {
            kept @ (Self::Precondition | Self::Connect | Self::Changed) => kept,
            _ => Self::Aborted,
        };
        if ends().next().is_none() {
            return match (rollout_outcome.errors.is_empty(), rollout_outcome.stopped) {
                (true, false) => Self::Done,
                _ => early(&rollout_outcome.errors),
            };
        }
        let worst = |exit| ends().any(|end| Self::of_run(end) == exit);
        let old =
            rollout_outcome.count(|end| end.state == NodeState::Old) + rollout_outcome.untouched();
        if !rollout_outcome.errors.is_empty() {
            // Those that went back are as wished only when nothing went wrong on the way.
            let back = |(at, end): (usize, &Option<Outcome>)| {
                let Some(end) = end else { return true };
                let went_back = rollout_outcome.rolled_back.contains(&at);
                let is_clean = match went_back {
                    true => end.errors.is_empty(),
                    // It failed by itself, and was undone.
                    false => !end.hook_back_failed,
                };
                end.state == NodeState::Old && is_clean
            };
            return match (
                ends().any(|end| end.state == NodeState::Unknown),
                rollout_outcome.ends.iter().enumerate().all(back),
            ) {
                (true, _) => Self::Lost,
                (false, true) => Self::RolledBack,
                (false, false) => Self::Broken,
            };
        }
        match (rollout_outcome.done(), old) {
            _ if worst(Self::Broken) => Self::Broken,
            _ if worst(Self::Lost) => Self::Lost,
            (_, 0) => Self::Done,
            (0, _) if ends().any(|end| end.touched) => Self::RolledBack,
            (0, _) => {
                // Of nodes that switch together one has failed, and the others have gone back with it.
                let own = |end: &&Outcome| {
                    let first = end.errors.first();
                    first.is_none_or(|error| !matches!(error.code, Code::E658 | Code::E659))
                };
                let first = ends().find(own).or_else(|| ends().next());
                first.map_or(Self::Aborted, Self::of_run)
            }
            _ => Self::Partly,
        }
    }
}

impl Exit {
    /// What it says of the world, in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Plan => "the plan has errors, nothing was changed",
            Self::Usage => "wrong usage, nothing was changed",
            Self::Pending => "there is something to do",
            Self::Connect => "cannot connect, nothing was changed",
            Self::Precondition => "a precondition failed, nothing was changed",
            Self::Changed => "the node has changed meanwhile, nothing was changed",
            Self::Locked => "another run holds the lock, nothing was changed",
            Self::Aborted => "aborted before any module was switched",
            Self::Rehearsal => "a rehearsal found states that would fail, nothing was changed",
            Self::RolledBack => "failed and undone completely",
            Self::Broken => "failed and not undone: needs manual repair",
            Self::Partly => "some nodes are new, the rest old, each consistent",
            Self::Lost => "connection lost, the run continues on the node",
            Self::Bug => "a bug in updo",
        }
    }
}

impl std::process::Termination for Exit {
    fn report(self) -> std::process::ExitCode {
        std::process::ExitCode::from(self as u8)
    }
}
