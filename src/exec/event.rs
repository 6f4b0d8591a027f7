//! Events: everything that happens in a run, in order. The only source of the live view, the JSON stream
//! and the last line.

use std::fmt;
use std::time::Duration;

use crate::diag::Diagnostic;
use crate::name::NodeName;
use crate::node::agent::protocol::SlowProcess;

/// Something that happened in a run. Events of a run come in the order in which things happened on the node.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts from 1 within a run.
    pub seq: u64,
    /// The node that runs.
    pub node: NodeName,
    /// Time since the run began, by the clock of this machine.
    pub at: Duration,
    /// What happened, with its figures.
    pub kind: EventKind,
}

/// A step of a run; `Display` gives the word that the screen shows.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Lock, object code, old code out of the way.
    Prepare,
    /// Processes are suspended.
    Suspend,
    /// All modules are switched at one instant.
    Load,
    /// Modules are deleted.
    Delete,
    /// States are computed before the switch.
    Compute,
    /// States are converted.
    Convert,
    /// All modules are switched with no process suspended, and each process converts its state.
    Live,
    /// Processes go on.
    Resume,
    /// A function is called.
    Apply,
    /// The configuration of applications follows their new specifications.
    Env,
    /// The code path leads to other folders.
    Paths,
    /// Applications are notified that their configuration has changed.
    Config,
    /// Children of supervisors are stopped and started.
    Children,
    /// The node waits for a hook of the plan.
    Hook,
    /// The node waits for others with which it switches at one instant.
    Together,
    /// OTP's release handler carries out all of the script.
    ReleaseHandler,
    /// What was suspended runs again, and is watched.
    Soak,
}

impl StepKind {
    /// Every kind of step.
    #[doc(hidden)]
    pub const ALL: [Self; 17] = [
        Self::Prepare,
        Self::Suspend,
        Self::Load,
        Self::Delete,
        Self::Compute,
        Self::Convert,
        Self::Live,
        Self::Resume,
        Self::Apply,
        Self::Env,
        Self::Paths,
        Self::Config,
        Self::Children,
        Self::Hook,
        Self::Together,
        Self::ReleaseHandler,
        Self::Soak,
    ];
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Prepare => "prepare",
            Self::Suspend => "suspend",
            Self::Load => "load",
            Self::Delete => "delete",
            Self::Compute => "compute",
            Self::Convert => "convert",
            Self::Live => "live",
            Self::Resume => "resume",
            Self::Apply => "apply",
            Self::Env => "env",
            Self::Paths => "paths",
            Self::Config => "config",
            Self::Children => "children",
            Self::Hook => "hook",
            Self::Together => "together",
            Self::ReleaseHandler => "otp",
            Self::Soak => "soak",
        })
    }
}

/// What a node ends as; `Display` gives the word: `new`, `old`, `mixed`, `unknown`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// All modules are the new ones, all processes run, all states are converted.
    New,
    /// All modules and states are as before the run, all processes run.
    Old,
    /// Some modules or states are new and some old: it needs manual repair, the errors say of what.
    Mixed,
    /// Not known: the connection was lost, or the node was left to itself. The run goes on without a client.
    Unknown,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::Old => "old",
            Self::Mixed => "mixed",
            Self::Unknown => "unknown",
        })
    }
}

/// A process that a step waits for.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyProcess {
    /// As the node prints it: `<0.120.0>`.
    pub pid: String,
    /// The innermost function that is not OTP's own: `bank_account:code_change/3`.
    pub at: String,
    /// How long it has been at it.
    pub took: Duration,
}

impl BusyProcess {
    /// The processes that a step waits for, as the agent names them.
    pub(super) fn all(list: Vec<SlowProcess>) -> Vec<Self> {
        let slow = |process: SlowProcess| BusyProcess {
            pid: process.pid,
            at: process.at,
            took: process.ms.0,
        };
        list.into_iter().map(slow).collect()
    }
}

/// What happened, with its figures. Times are those of the node where that is said, else of this machine.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum EventKind {
    /// The run begins.
    Started {
        /// Its name: four hexadecimal digits.
        run: String,
        /// The plan's title.
        title: String,
    },
    /// A `require` or `verify` was decided.
    Check {
        /// Whether it is a `verify`.
        verify: bool,
        /// Its name in the plan.
        name: String,
        /// Whether it holds. A `require` that does not keeps the run from beginning; a `verify`: E606.
        ok: bool,
        /// How often it was evaluated, at least once.
        tries: u32,
        /// How long that took.
        took: Duration,
    },
    /// A `hold` is over on a node of a stage.
    Hold {
        /// Its name in the plan.
        name: String,
        /// Whether it held for as long as it had to. One that did not: E645.
        ok: bool,
        /// How long it held in one piece.
        held: Duration,
        /// How long it had to.
        goal: Duration,
        /// How often it was evaluated.
        tries: u32,
        /// How long all of it took.
        took: Duration,
    },
    /// The command of a `gate` is over; about the whole rollout.
    Gate {
        /// Its name in the plan.
        name: String,
        /// Whether the next stage may begin: exit code 0. Otherwise: E646.
        ok: bool,
        /// The exit code; `None` when it was ended.
        exit: Option<i32>,
        /// How long it took.
        took: Duration,
        /// The stage that it was asked for.
        before: String,
    },
    /// A hook ran.
    Hook {
        /// `before upgrade`, `after upgrade`, `on failure`, `on rollback`.
        name: &'static str,
        /// Whether it ran through.
        ok: bool,
        /// How long it took.
        took: Duration,
    },
    /// A check or a hook said something.
    Log {
        /// `warn`, not `info`.
        warn: bool,
        /// What it said, without a line end.
        text: String,
    },
    /// A step begins.
    StepStarted {
        /// Number of the step.
        id: u32,
        /// What it is.
        step: StepKind,
        /// The modules concerned, in words.
        what: String,
    },
    /// A step goes on.
    StepProgress {
        /// Number of the step.
        id: u32,
        /// Processes done.
        done: u64,
        /// Processes in all.
        total: u64,
        /// Some of those that are waited for, when only slow ones are left; at most three.
        slowest: Vec<BusyProcess>,
    },
    /// Some processes of a suspension were busy: all others were resumed, and it is tried again.
    StepPostponed {
        /// Number of the step.
        id: u32,
        /// How many attempts there have been.
        attempt: u64,
        /// How long this one has lasted.
        paused: Duration,
        /// How many processes were resumed.
        processes: u64,
        /// How many are busy.
        waiting: u64,
        /// Some of these; at most three.
        slowest: Vec<BusyProcess>,
    },
    /// A step ended.
    StepFinished {
        /// Number of the step.
        id: u32,
        /// What it is.
        step: StepKind,
        /// Whether it succeeded.
        ok: bool,
        /// How long it took on the node.
        took: Duration,
        /// The modules concerned, in words.
        what: String,
        /// Processes concerned, when the step is about processes.
        processes: Option<u64>,
        /// How often a suspension was tried, and how long the last attempt took.
        attempts: Option<(u64, Duration)>,
    },
    /// Going back begins.
    RollbackStarted,
    /// Going back ended.
    RollbackFinished {
        /// Whether everything is as before.
        ok: bool,
        /// How long it took on the node.
        took: Duration,
        /// How many processes were resumed, where that is known.
        processes: Option<u64>,
        /// Whether code had been switched, and was put back; otherwise processes were resumed only.
        switched: bool,
    },
    /// The end was asked for ([`Interrupt`](super::Interrupt)): what follows from it, before it is done.
    Interrupt {
        /// What is done now, and what another request would do.
        text: String,
    },
    /// A warning or an error, at the moment in which it is known. Errors are in the outcome as well.
    Diagnostic(Box<Diagnostic>),
    /// The beams are on the node's disk.
    Persisted {
        /// How many files were written; those that were right already are not counted.
        files: usize,
    },
    /// Processes that still run the old code of a module, after everything.
    Lingering {
        /// One text per process.
        processes: Vec<String>,
    },
    /// The node is done.
    Finished {
        /// What it is now.
        state: NodeState,
        /// From the first suspension to the last resumption; none where what could say it was killed.
        suspended: Option<Duration>,
        /// How many processes were suspended.
        processes: u64,
        /// How many states were converted.
        converted: u64,
        /// How many modules changed.
        modules: usize,
        /// Of those that were suspended and resumed: how many live, and how many there were. Where that is known.
        living: Option<(u64, u64)>,
        /// What a rehearsal had predicted for `suspended`.
        predicted: Option<Duration>,
    },
}
