//! Why a run fails.

use super::codec::{Codec, DecodeError, Parts, Record, optional, required, tagged};
use super::declare::{atoms, record, tagged_union};
use super::lock::Holder;
use super::primitives::Micros;
use super::values::{Call, FunPlace, Process, StepRef};
use crate::term::{Atom, Pid, Term};

record! {
    /// Funs of old code that are kept as data.
    FunsHeld as "funs_held" {
        holders: Vec<(Atom, FunPlace)>,
        /// What was not searched, and how many of that.
        unsearched: Vec<(Atom, u64)>,
    }
}

record! {
    /// The node's table of funs.
    FunTable as "fun_table" {
        entries: u64,
        limit: u64,
        funs: u64,
    }
}

record! {
    /// The first process whose conversion failed.
    FailedConversion as "failed_conversion" {
        pid: Pid,
        module: Atom,
        vsn: String,
        extra: String,
        reason: String,
        /// How many failed before the others were stopped.
        failed: u64,
        /// Whether something else had resumed it.
        running: bool,
        ;
        current_function: Call,
        stack: String,
        /// The suspended process that it waits for.
        blocked_by: Blocker,
    }
}

atoms! {
    /// Why a suspended process does not answer a call.
    Blocking as "blocking" {
        /// Its own conversion waits for the caller.
        Circle = "circle",
        /// It is no gen_server, gen_statem or supervisor.
        Kind = "kind",
        /// Its callback returned what cannot be installed, or raised.
        Returned = "returned",
    }
}

record! {
    /// A suspended process that a conversion waits for.
    Blocker as "blocker" {
        pid: Pid,
        module: Atom,
        why: Blocking,
        ;
        text: String,
    }
}

record! {
    /// An `on_load` function that waits for a suspended process.
    BlockedOnLoad as "blocked_on_load" {
        module: Atom,
        by: Blocker,
    }
}

record! {
    /// A window that took longer than the plan's budget before anything was switched.
    OverBudget as "over_budget" {
        us: Micros,
        /// In ms.
        budget: u64,
    }
}

record! {
    /// What cannot go live, and why: a module, or a process of it.
    UnfitProcess as "unfit" {
        module: Atom,
        why: String,
        ;
        pid: Pid,
    }
}

record! {
    /// A call of the script.
    FailedCall as "failed_call" {
        mfa: (Atom, Atom, u64),
        reason: String,
    }
}

record! {
    /// A folder of the code path.
    FailedPath as "failed_path" {
        folder: String,
        reason: String,
    }
}

tagged_union! {
    /// Why a run fails, or is called off.
    Reason as "reason" {
        /// Modules in a sticky directory.
        Sticky = "sticky" { modules: Vec<Atom> },
        /// Modules that are not in the version with which they were compared.
        ChangedMeanwhile = "changed_meanwhile" { modules: Vec<Atom> },
        /// New beams that the node cannot load.
        NotLoadable = "not_loadable" { modules: Vec<(Atom, Term)> },
        /// Copies of the running versions that it cannot load.
        OldNotLoadable = "old_not_loadable" { modules: Vec<(Atom, Term)> },
        /// Processes that still execute the version before the running one.
        OldCodeInUse = "old_code_in_use" { users: Vec<(Atom, Vec<Pid>)> },
        /// Funs of the version before the running one.
        FunsHeld = "funs_held" { funs: FunsHeld },
        /// Processes that did not suspend in time.
        NotSuspended = "not_suspended" { processes: Vec<Process> },
        /// Modules of which something else has loaded other code.
        Replaced = "replaced" { modules: Vec<Atom> },
        /// Modules that could not be switched.
        LoadFailed = "load_failed" { modules: Vec<(Atom, Term)> },
        /// Twins that the node cannot load.
        TwinsNotLoadable = "twins_not_loadable" { twins: Vec<(Atom, Term)> },
        /// Twins of an earlier run that a process executes.
        TwinsInUse = "twins_in_use" { twins: Vec<Atom> },
        /// There is no room for more funs.
        FunTableFull = "fun_table_full" { table: FunTable },
        /// What cannot be switched with no process suspended.
        LiveUnfit = "live_unfit" { unfit: Vec<UnfitProcess> },
        /// Funs of the version that goes, found when all had been switched.
        LiveFuns = "live_funs" { unfit: Vec<UnfitProcess> },
        /// Children of supervisors were not started or stopped in the window before the live one.
        LiveChildren = "live_children" { step: StepRef },
        /// Called off in a live window.
        LiveAborted = "live_aborted" { step: StepRef },
        /// A client, or another node of the group, has called the switch of all nodes off.
        TogetherOff = "together_off" { step: StepRef },
        /// Nothing was heard at a barrier for so many ms.
        TogetherLate = "together_late" { id: u32, ms: u64 },
        /// No client was left at a barrier, and nothing was decided.
        TogetherAlone = "together_alone" { id: u32 },
        /// The window was called off before the switch.
        OverBudget = "over_budget" { took: OverBudget },
        /// An `on_load` function waits for a suspended process.
        OnLoadBlocked = "on_load_blocked" { blocked: BlockedOnLoad },
        /// Modules that could not be deleted.
        DeleteFailed = "delete_failed" { modules: Vec<Atom> },
        /// A conversion failed, or did not end in time.
        ConversionFailed = "conversion_failed" { conversion: FailedConversion },
        /// A call of the script raised.
        ApplyFailed = "apply_failed" { call: FailedCall },
        /// The code path could not be switched.
        PathFailed = "path_failed" { path: FailedPath },
        /// A hook of the plan failed.
        HookFailed = "hook_failed" { id: u32 },
        /// No client answered for a hook.
        HookUnattended = "hook_unattended" { id: u32 },
        /// The deadline passed.
        Deadline = "deadline" { step: StepRef },
        /// The run was called off.
        Aborted = "aborted" { step: StepRef },
        /// The executor died.
        ExecutorDied = "executor_died" { why: String },
        /// The client had gone before the first step.
        Unattended = "unattended" {},
        /// Something else has the lock.
        LockLost = "lock_lost" { holder: Holder },
        /// A step is about a module that the job does not have.
        NotInJob = "not_in_job" { module: Atom },
        /// Folders into which the beams cannot be written.
        NotWritable = "not_writable" { folders: Vec<(String, Atom)> },
        /// A step that this agent does not know.
        UnknownStep = "unknown_step" { step: String },
        /// The agent itself has raised.
        AgentError = "agent_error" { why: String },
        /// The release handler refused the script.
        ReleaseHandlerRefused = "release_handler_refused" { why: String },
        /// The release handler gave up.
        ReleaseHandlerFailed = "release_handler_failed" { why: String },
        /// Guardian and executor were killed at once; the watchdog reports.
        AgentKilled = "agent_killed" {},
    }
}
