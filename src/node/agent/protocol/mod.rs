//! What the agent sends, as values: events, reasons, what its guardian says of itself, what the bootstrap gives.
//!
//! The only place in which terms of the agent are read. `PROTOCOL.md` has the same types in the same notation, and a
//! test compares both with each other and with the keys that the agent's text sends.

mod codec;
mod declare;
mod event;
mod finished;
mod lock;
mod primitives;
mod reason;
mod shapes;
mod step;
mod values;

#[cfg(test)]
mod erlang;
#[cfg(test)]
mod tests;

pub use codec::{Codec, DecodeError};
pub use event::{AgentEvent, Purging, read};
pub use finished::{Abandoned, CleanedUp, Finished, Run, Settled};
pub use lock::{BootstrapAnswer, LockState, Locked, Refusal, RunInfo};
pub use primitives::Micros;
pub use reason::{Blocker, Blocking, FailedConversion, FunsHeld, Reason, UnfitProcess};
pub use shapes::{
    ChildDifference, ChildDiffers, DownTrial, Form, HeldForms, InsideForm, OtherState, PartForm,
    RehearsalFailure, Shape, StateChecked, TableForm,
};
pub use step::{Rehearsed, StepResult, WentLive};
pub use values::{
    Call, Child, Died, EndState, FailedChild, FunPlace, Lingering, ModuleProcess, Process,
    SlowProcess, Stays, StepRef, SurvivorCounts, Survivors, ToConvert, Unconverted,
};
