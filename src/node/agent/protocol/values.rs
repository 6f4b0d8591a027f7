//! What events and reasons consist of: processes, places, children, counts.

use super::codec::{Codec, DecodeError, Parts, Record, optional, required, tagged};
use super::declare::{atoms, one_of, record, tagged_union};
use super::primitives::{Millis, plain};
use crate::term::{Atom, Pid, Term};

/// A function as a process names it, `{Module, Name, Arity}`; or what else its dictionary has in that place.
#[derive(Clone, Debug, PartialEq)]
pub struct Call(pub Term);

impl Call {
    /// `module:name/arity`, when it is a function.
    pub fn name(&self) -> Option<String> {
        match self.0.as_tuple() {
            Some([module, name, arity]) => Some(format!("{module}:{name}/{arity}")),
            _ => None,
        }
    }
}

plain!(
    Call,
    "call()",
    |term| Some(Call(term.clone())),
    |value| value.0.clone(),
    |source| Call(Term::sample(source))
);

/// What keeps a fun of old code, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct FunPlace {
    /// `state`, `dictionary`, `ets` …
    pub what: Atom,
    /// The process, the table, the key.
    pub place: Term,
}

impl Codec for FunPlace {
    fn notation() -> String {
        <(Atom, Term)>::notation()
    }

    fn decode(term: &Term) -> Result<Self, DecodeError> {
        let (what, place) = <(Atom, Term)>::decode(term)?;
        Ok(Self { what, place })
    }

    fn encode(&self) -> Term {
        (self.what.clone(), self.place.clone()).encode()
    }

    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self {
        let (what, place) = <(Atom, Term)>::sample(source);
        Self { what, place }
    }
}

/// A step by its number; or a phase of the run that is no step, which reports progress under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepRef {
    /// A step of the job.
    Step(u32),
    /// `resume`, `undo`, `settle`, … or `undefined`.
    Phase(Atom),
}

impl Codec for StepRef {
    fn notation() -> String {
        "step_ref()".to_owned()
    }

    #[cfg(test)]
    fn define(definitions: &mut super::codec::Definitions) {
        let cases = [u32::notation(), Atom::notation()];
        definitions.insert("step_ref", cases.join(" | "));
    }

    fn decode(term: &Term) -> Result<Self, DecodeError> {
        match term {
            Term::Atom(phase) => Ok(Self::Phase(phase.clone())),
            number => u32::decode(number).map(Self::Step),
        }
    }

    fn encode(&self) -> Term {
        match self {
            Self::Step(id) => id.encode(),
            Self::Phase(phase) => phase.encode(),
        }
    }

    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self {
        match source.below(2) {
            0 => Self::Step(u32::sample(source)),
            _ => Self::Phase(Atom::sample(source)),
        }
    }
}

atoms! {
    /// How a run ends.
    EndState as "end_state" {
        /// The new code runs.
        New = "new",
        /// The code from before the run.
        Old = "old",
        /// Neither.
        Mixed = "mixed",
    }
}

record! {
    /// A process as a reason describes it.
    Process as "process" {
        pid: Pid,
        module: Atom,
        initial_call: Call,
        current_function: Call,
        /// Messages in its queue.
        queue: u64,
        waits_for: Vec<Pid>,
        /// Processes that were resumed again for its sake.
        let_go: Vec<Pid>,
        stack: String,
        ;
        /// Why it did not suspend, where that is known.
        reason: String,
        /// Why its callback mode could not be asked for.
        why: String,
    }
}

record! {
    /// A process that a step waits for.
    SlowProcess as "slow_process" {
        pid: String,
        at: String,
        ms: Millis,
    }
}

record! {
    /// A process that a purge ends.
    Killed as "killed" {
        pid: Pid,
        initial_call: Call,
        at: String,
    }
}

record! {
    /// A process of a module.
    ModuleProcess as "module_process" {
        module: Atom,
        pid: Pid,
    }
}

record! {
    /// A process that has crashed.
    Died as "died" {
        pid: Pid,
        module: Atom,
        reason: String,
    }
}

record! {
    /// A process that executes old code when all is over.
    Lingering as "lingering" {
        module: Atom,
        pid: Pid,
        initial_call: Call,
        stack: String,
    }
}

record! {
    /// What a conversion has done outside of the state and nothing has undone.
    Effect as "effect" {
        pid: Pid,
        module: Atom,
        why: String,
    }
}

record! {
    /// A process that keeps a state of the old code.
    Unconverted as "unconverted" {
        pid: Pid,
        module: Atom,
        reason: String,
        ;
        /// Whether it answers system messages.
        answers: bool,
    }
}

record! {
    /// The processes of a module that have a state of the new code.
    NewStates as "new_states" {
        module: Atom,
        processes: u64,
        /// The first of them.
        named: Vec<Pid>,
    }
}

record! {
    /// Processes of a module whose conversion can be tried again.
    ToConvert as "to_convert" {
        module: Atom,
        /// The version that made their states.
        vsn: Term,
        extra: Term,
        pids: Vec<Pid>,
    }
}

record! {
    /// A child of a supervisor; identifiers are any terms.
    Child as "child" {
        supervisor: Atom,
        child: Term,
    }
}

record! {
    /// A child that could not be started or stopped.
    FailedChild as "failed_child" {
        what: Atom,
        supervisor: Atom,
        child: Term,
        reason: String,
    }
}

record! {
    /// Processes in the way of an undo.
    Stays as "stays" {
        processes: u64,
        named: Vec<Process>,
        /// Whether a rollback can go back later.
        way_back: bool,
    }
}

record! {
    /// Of the processes that were suspended: how many live.
    SurvivorCounts as "survivor_counts" {
        watched: u64,
        live: u64,
        crashed: u64,
        died: Vec<Died>,
    }
}

record! {
    /// No process was suspended, or nothing is known of them.
    NoSurvivors as "no_survivors" {}
}

one_of! {
    /// Which processes live.
    Survivors as "survivors" {
        /// As counted.
        Counted(SurvivorCounts),
        /// Nothing is known.
        None(NoSurvivors),
    }
}

tagged_union! {
    /// The form in which the agent's code is on the node.
    AgentCode as "agent_code" {
        /// Compiled, as a module.
        Module = "module" { name: Atom },
        /// Interpreted, under a persistent term.
        Interpreted = "interpreted" { name: Atom },
        /// Started by other means than the bootstrap.
        Undefined = "undefined" {},
    }
}
