//! What a step that has succeeded reports.

use super::codec::{Codec, DecodeError, Record, optional, required};
use super::declare::{one_of, record};
use super::primitives::Micros;
use super::shapes::{
    ChildDifference, DownTrial, HeldForms, InsideForm, RehearsalFailure, Shapes, StateChecked,
    TableForm,
};
use super::values::{Child, FailedChild, ModuleProcess};
use crate::term::{Atom, Pid, Term};

record! {
    /// Of a suspension.
    Suspended as "suspended" {
        processes: u64,
        dead: u64,
        waited_for: u64,
        sweeps: u64,
        attempts: u64,
        /// How long the last attempt took.
        us: Micros,
    }
}

record! {
    /// Of a load.
    Loaded as "loaded" {
        modules: u64,
        /// How many newborn processes were suspended too.
        taken: u64,
        /// Newborn ones with a state of the code that is gone.
        ended: Vec<ModuleProcess>,
        /// Newborn ones of which nothing is known.
        born: Vec<Pid>,
        ;
        /// Calls of `on_load` functions that suspended processes have answered.
        served: u64,
    }
}

record! {
    /// Of a deletion; of the release handler, when its executor has died.
    Switched as "switched" {
        modules: u64,
    }
}

record! {
    /// Of the release handler.
    ScriptDone as "script_done" {
        modules: u64,
        processes: u64,
        converted: u64,
    }
}

record! {
    /// Of a conversion.
    Converted as "converted" {
        processes: u64,
        dead: u64,
        ;
        /// Supervisors whose `init/1` ran on the way back.
        init_again: Vec<Pid>,
        /// Calls of conversions that suspended processes have answered.
        served: u64,
    }
}

record! {
    /// Of a live window.
    WentLive as "went_live" {
        modules: u64,
        /// Those whose states were converted.
        processes: u64,
        /// How many of them a system message has converted; the others have by a callback of their own.
        swept: u64,
        through: u64,
        /// How many were waited for in a callback of the version before.
        inside: u64,
        dead: u64,
        /// From the switch to the plain new version.
        us: Micros,
    }
}

record! {
    /// Of a resume.
    Resumed as "resumed" {
        processes: u64,
        dead: u64,
        unconfirmed: u64,
    }
}

record! {
    /// Of a soak.
    Soaked as "soaked" {
        processes: u64,
        live: u64,
        crashed: u64,
    }
}

record! {
    /// Of the children.
    Children as "children" {
        failed: Vec<FailedChild>,
        ;
        started: Vec<Child>,
        stopped: Vec<Child>,
        /// They run on, and the new `init/1` does not have them.
        left: Vec<Child>,
        /// Applications whose supervisor was not found.
        unfound: Vec<Atom>,
    }
}

record! {
    /// Of loading twins.
    TwinsLoaded as "twins_loaded" {
        twins: u64,
        /// How long the loader took, after it had accepted their code.
        us: Micros,
        /// How many run on the node.
        schedulers: u64,
    }
}

record! {
    /// Of taking twins away.
    TwinsDropped as "twins_dropped" {
        twins: u64,
        left: Vec<Atom>,
    }
}

record! {
    /// Of a rehearsal.
    Rehearsed as "rehearsed" {
        processes: u64,
        converted: u64,
        failed: u64,
        busy: u64,
        dead: u64,
        big: u64,
        /// Above the number that was asked for, or the time was over.
        untried: u64,
        /// Processes whose conversion failed in a running version that it reached by name.
        unswitched: u64,
        /// What it takes, a process, to ask many for something as in a window, in nanoseconds; 0 when none answered.
        asked_ns: u64,
        /// How long conversions took, to three digits, and how many took so long; ascending.
        us: Vec<(u64, u64)>,
        /// The process whose conversion took longest, and how long.
        slowest: Vec<(u64, Pid)>,
        failures: Vec<RehearsalFailure>,
        shapes: Shapes,
        /// At most 60 different ones.
        held: Vec<HeldForms>,
        /// The same.
        inside: Vec<InsideForm>,
        /// At most 20.
        tables: Vec<TableForm>,
        /// Of the plan's checks on states, in their order.
        checks: Vec<StateChecked>,
        /// How many bytes of heap states take, to three digits, and how many take so many; ascending.
        bytes: Vec<(u64, u64)>,
        /// The same of what they are converted to.
        new_bytes: Vec<(u64, u64)>,
        /// The process with the largest new state, and its bytes.
        largest: Vec<(u64, Pid)>,
        /// The way back from the new states.
        down: DownTrial,
        /// Of supervisors; at most 100 different ones.
        children: Vec<ChildDifference>,
        /// How many children they were given by `start_child/2`.
        added: u64,
    }
}

record! {
    /// Of a step with nothing to report: a call, settings, paths, a hook.
    Nothing as "nothing" {}
}

one_of! {
    /// What a step reports, by its kind.
    StepResult as "step_result" {
        /// `suspend`
        Suspended(Suspended),
        /// `load`
        Loaded(Loaded),
        /// `delete`
        Switched(Switched),
        /// `release_handler`
        ScriptDone(ScriptDone),
        /// `code_change`
        Converted(Converted),
        /// `live`
        WentLive(WentLive),
        /// `resume`, `ahead`
        Resumed(Resumed),
        /// `soak`
        Soaked(Soaked),
        /// `children`
        Children(Children),
        /// `twins_load`
        TwinsLoaded(TwinsLoaded),
        /// `twins_drop`
        TwinsDropped(TwinsDropped),
        /// `rehearse`
        Rehearsed(Box<Rehearsed>),
        /// `apply`, `env`, `paths`, `config_change`, `hook`
        Nothing(Nothing),
    }
}

impl StepResult {
    /// How many processes the step was about.
    pub fn processes(&self) -> Option<u64> {
        match self {
            Self::Suspended(step) => Some(step.processes),
            Self::ScriptDone(step) => Some(step.processes),
            Self::Converted(step) => Some(step.processes),
            Self::WentLive(step) => Some(step.processes),
            Self::Resumed(step) => Some(step.processes),
            Self::Soaked(step) => Some(step.processes),
            Self::Rehearsed(step) => Some(step.processes),
            Self::Loaded(_)
            | Self::Switched(_)
            | Self::Children(_)
            | Self::TwinsLoaded(_)
            | Self::TwinsDropped(_)
            | Self::Nothing(_) => None,
        }
    }

    /// How many calls of conversions suspended processes have answered.
    pub fn served(&self) -> u64 {
        match self {
            Self::Converted(step) => step.served.unwrap_or(0),
            Self::Loaded(step) => step.served.unwrap_or(0),
            _ => 0,
        }
    }
}
