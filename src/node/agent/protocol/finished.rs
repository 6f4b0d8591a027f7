//! How an undo ends, how a run ends, and what is reported when everything is cleaned up.

#![expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is gone when it has been read"
)]

use super::codec::{Codec, DecodeError, Record, optional, required};
use super::declare::{one_of, record};
use super::primitives::Micros;
use super::reason::Reason;
use super::values::{
    Effect, EndState, FailedChild, FunPlace, Lingering, ModuleProcess, NewStates, Process, Stays,
    Survivors, ToConvert, Unconverted,
};
use crate::term::{Atom, Pid, Term};

record! {
    /// Before the switch all processes were resumed, and that is all.
    CalledOff as "called_off" {
        processes: u64,
    }
}

record! {
    /// Code and states were put back.
    Restored as "restored" {
        processes: u64,
        killed: Vec<(Atom, Vec<Pid>)>,
        /// Processes that are still inside of something.
        late: Vec<Pid>,
        /// Modules whose old code is not back.
        lost: Vec<Atom>,
        /// Newborn processes with a state of the version that is left.
        ended: Vec<ModuleProcess>,
        ;
        /// Modules of which the old code is occupied: the new code stays.
        stays: Vec<Atom>,
    }
}

record! {
    /// There is no old code to go back to.
    GivenUp as "given_up" {
        processes: u64,
        lost: Vec<Atom>,
    }
}

one_of! {
    /// What an undo has come to.
    Undone as "undone" {
        /// Nothing was switched.
        CalledOff(CalledOff),
        /// It was gone back.
        Restored(Restored),
        /// It could not be.
        GivenUp(GivenUp),
    }
}

impl Undone {
    /// How many processes were resumed.
    pub fn processes(&self) -> u64 {
        match self {
            Self::CalledOff(undo) => undo.processes,
            Self::Restored(undo) => undo.processes,
            Self::GivenUp(undo) => undo.processes,
        }
    }

    /// Whether code had been switched.
    pub fn is_about_code(&self) -> bool {
        !matches!(self, Self::CalledOff(_))
    }

    /// Whether everything is as before.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::CalledOff(_) => true,
            Self::Restored(undo) => {
                let stays = undo.stays.as_ref().is_some_and(|stays| !stays.is_empty());
                undo.late.is_empty() && undo.lost.is_empty() && !stays
            }
            Self::GivenUp(undo) => undo.lost.is_empty(),
        }
    }

    /// Newborn processes that were ended.
    pub fn ended(&self) -> &[ModuleProcess] {
        match self {
            Self::Restored(undo) => &undo.ended,
            Self::CalledOff(_) | Self::GivenUp(_) => &[],
        }
    }
}

record! {
    /// An executor reports the end of its run; what is optional is about one that has not ended as it should.
    Run as "run" {
        /// From the first suspension to the last resumption, over all windows and attempts.
        suspended_us: Micros,
        /// Attempts to suspend that were called off.
        called_off: u64,
        ;
        reason: Reason,
        /// Expressions that put the node right.
        by_hand: Vec<String>,
        killed: Vec<(Atom, Vec<Pid>)>,
        late: Vec<Process>,
        not_restored: Vec<(Atom, Term)>,
        no_old_code: Vec<Atom>,
        /// Processes that could not be asked for their callback mode.
        unasked: Vec<Process>,
        undo_failed: String,
        /// Modules of windows that stay new.
        new: Vec<Atom>,
        replaced: Vec<Atom>,
        /// What the release handler has switched.
        switched: Vec<Atom>,
        /// How many processes it has left suspended.
        suspended: u64,
        /// The state of the code, when children or effects are left.
        code: EndState,
        children: Vec<FailedChild>,
        effects: Vec<Effect>,
        /// Processes of which it is not known which code made their states; `goal` is the code.
        unsure: Vec<Pid>,
        goal: EndState,
        stays: Stays,
        unconverted: Vec<Unconverted>,
        old_states: Vec<(Atom, Vec<Pid>)>,
        /// On the way back from a live window: processes that have kept a state of the new version.
        kept_new: Vec<Unconverted>,
        /// Which processes have a state of the new code, where it stays for lack of the old one.
        new_states: Vec<NewStates>,
        /// Those of `old_states` whose conversion can be tried again.
        to_convert: Vec<ToConvert>,
    }
}

record! {
    /// The guardian reports: executors died as fast as they were started.
    LastResort as "last_resort" {
        reason: Reason,
        ;
        suspended_us: Micros,
        by_hand: Vec<String>,
    }
}

record! {
    /// The watchdog reports: guardian and executor were killed at once.
    Abandoned as "abandoned" {
        reason: Reason,
        resumed: u64,
        /// How many are still suspended.
        left: u64,
        former_code: Vec<Atom>,
        switched_code: Vec<Atom>,
    }
}

one_of! {
    /// How a run has ended.
    Finished as "finished" {
        /// As the executor knows it.
        Run(Run),
        /// As the guardian knows it.
        LastResort(LastResort),
        /// As the watchdog knows it.
        Abandoned(Abandoned),
    }
}

impl Finished {
    /// Why it has not ended as it should.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Run(run) => run.reason.as_ref(),
            Self::LastResort(end) => Some(&end.reason),
            Self::Abandoned(end) => Some(&end.reason),
        }
    }

    /// For how long processes were suspended, where that is known.
    pub fn suspended(&self) -> Option<Micros> {
        match self {
            Self::Run(run) => Some(run.suspended_us),
            Self::LastResort(end) => end.suspended_us,
            Self::Abandoned(_) => None,
        }
    }

    /// What is to be done by hand.
    pub fn by_hand(&self) -> &[String] {
        let lines = match self {
            Self::Run(run) => run.by_hand.as_deref(),
            Self::LastResort(end) => end.by_hand.as_deref(),
            Self::Abandoned(_) => None,
        };
        lines.unwrap_or_default()
    }

    /// What the executor has said.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Run(run) => Some(run),
            Self::LastResort(_) | Self::Abandoned(_) => None,
        }
    }
}

record! {
    /// The executor has cleaned up.
    CleanedUp as "cleaned_up" {
        survivors: Survivors,
        /// Modules that are not what the run has made of them.
        replaced: Vec<Atom>,
        lingering: Vec<Lingering>,
        /// Funs that keep old code from being purged.
        held: Vec<(Atom, FunPlace)>,
        ;
        /// Beams that were written.
        persisted: u64,
        /// Why they were not.
        not_persisted: String,
    }
}

record! {
    /// The watchdog has nothing to clean up.
    KilledBefore as "killed_before" {
        lingering: Vec<Lingering>,
        killed: bool,
    }
}

one_of! {
    /// The last that is reported.
    Settled as "settled" {
        /// By the executor.
        CleanedUp(CleanedUp),
        /// By the watchdog.
        Killed(KilledBefore),
    }
}
