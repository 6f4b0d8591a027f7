//! Events: what the agent reports of a run.

#![expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is gone when it has been read"
)]

use super::codec::{Codec, DecodeError, Parts, Record, required, tagged};
use super::declare::{one_of, record, tagged_union};
use super::finished::{Finished, Settled, Undone};
use super::primitives::Micros;
use super::reason::Reason;
use super::step::StepResult;
use super::values::{AgentCode, Died, EndState, FunPlace, Killed, SlowProcess, StepRef, Survivors};
use crate::term::{Atom, Pid, Term};

record! {
    /// The run has begun.
    FirstStart as "first_start" {
        guardian: Pid,
        executor: Pid,
        workers: u64,
        otp: String,
        agent: AgentCode,
    }
}

record! {
    /// Further steps under the same lock have begun.
    FurtherStart as "further_start" {
        guardian: Pid,
        executor: Pid,
    }
}

one_of! {
    /// What begins.
    Started as "started" {
        /// The run.
        First(FirstStart),
        /// Further steps.
        Further(FurtherStart),
    }
}

record! {
    /// What a `brutal` purge ends and breaks, reported before it does.
    Purging as "purging" {
        module: Atom,
        processes: u64,
        killed: Vec<Killed>,
        funs: Vec<FunPlace>,
    }
}

record! {
    /// An attempt to suspend that was called off.
    Postponed as "postponed" {
        attempt: u64,
        us: Micros,
        /// How many were resumed.
        processes: u64,
        /// How many are busy.
        waiting: u64,
        busy: Vec<SlowProcess>,
    }
}

record! {
    /// Which processes live, and which modules are not what the run has made of them.
    Survey as "survey" {
        survivors: Survivors,
        replaced: Vec<Atom>,
    }
}

record! {
    /// Why a step failed.
    StepFailure as "step_failure" {
        reason: Reason,
    }
}

record! {
    /// Another executor has taken over.
    NewExecutor as "new_executor" {
        executor: Pid,
        why: Reason,
    }
}

record! {
    /// Another guardian has taken over.
    NewGuardian as "new_guardian" {
        guardian: Pid,
    }
}

record! {
    /// Closed windows are gone through backwards.
    TurningBack as "turning_back" {
        windows: u64,
    }
}

tagged_union! {
    /// Something that has happened in a run.
    AgentEvent as "event" {
        /// The executor has begun.
        Started = "started" { info: Started },
        /// Everything slow is done.
        Prepared = "prepared" { took: Micros },
        /// Old code is about to be purged at a price.
        Purging = "purging" { info: Purging },
        /// Processes have to leave old code first.
        Leaving = "leaving" { processes: u64 },
        /// A step begins.
        StepStarted = "step_started" { id: u32 },
        /// In a live window all modules are switched.
        LiveSwitched = "live_switched" { id: u32 },
        /// A step goes on.
        StepProgress = "step_progress" { step: StepRef, done: u64, total: u64 } [slowest: Vec<SlowProcess>],
        /// A step has succeeded.
        StepFinished = "step_finished" { id: u32, took: Micros, result: StepResult },
        /// An attempt to suspend was called off.
        SuspendPostponed = "suspend_postponed" { id: u32, info: Postponed },
        /// A process has crashed.
        Died = "died" { process: Died },
        /// Twins that stay, as processes execute them.
        TwinsLeft = "twins_left" { twins: Vec<Atom> },
        /// The answer to `updo_survey`.
        Surveyed = "surveyed" { survey: Survey },
        /// A hook of the plan is waited for.
        Hook = "hook" { id: u32 },
        /// A step has failed.
        StepFailed = "step_failed" { id: u32, failure: StepFailure },
        /// The executor has died.
        ExecutorReplaced = "executor_replaced" { info: NewExecutor },
        /// The guardian has died.
        GuardianReplaced = "guardian_replaced" { info: NewGuardian },
        /// An undo begins.
        UndoStarted = "undo_started" { why: Reason },
        /// An undo has ended.
        UndoFinished = "undo_finished" { took: Micros, info: Undone },
        /// Closed windows follow.
        TurningBack = "turning_back" { info: TurningBack },
        /// The run has ended.
        Finished = "finished" { state: EndState, info: Finished },
        /// How many watch the run; not part of the log.
        Watchers = "watchers" { number: u64 },
        /// Everything is cleaned up.
        Settled = "settled" { info: Settled },
    }
}

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbered {
    /// Counts from 1; 0 outside of the log.
    pub seq: i64,
    /// What has happened.
    pub event: AgentEvent,
}

/// Reads a message, `{updo, Run, Seq, Event}`. `None`: it is none of the agent of this run.
///
/// # Errors
/// When it is one, and cannot be read.
pub fn read(message: &Term, run: &str) -> Result<Option<Numbered>, DecodeError> {
    let Some([tag, of, seq, event]) = message.as_tuple() else {
        return Ok(None);
    };
    if !tag.is_atom("updo") || of.as_bytes() != Some(run.as_bytes()) {
        return Ok(None);
    }
    let seq = seq
        .as_i64()
        .ok_or_else(|| DecodeError::expected("the number of an event", seq))?;
    let event = AgentEvent::decode(event)?;
    Ok(Some(Numbered { seq, event }))
}
