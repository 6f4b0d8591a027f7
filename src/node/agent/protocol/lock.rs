//! What is known of the agent that holds a node's lock, and what starting one comes to.

use super::codec::{Codec, DecodeError, Parts, Record, optional, required, tagged};
use super::declare::{atoms, one_of, record, tagged_union};
use crate::term::{Atom, Pid, Term};

atoms! {
    /// Whether a run is at work.
    LockState as "lock_state" {
        /// It is.
        Running = "running",
        /// It is over, and its result waits to be fetched.
        Kept = "kept",
    }
}

/// Its owner: a text of the client, or `undefined`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner(pub Option<String>);

impl Owner {
    /// In words.
    pub fn words(&self) -> &str {
        self.0.as_deref().unwrap_or("undefined")
    }
}

impl Codec for Owner {
    fn notation() -> String {
        "owner()".to_owned()
    }

    #[cfg(test)]
    fn define(definitions: &mut super::codec::Definitions) {
        definitions.insert("owner", format!("{} | undefined", String::notation()));
    }

    fn decode(term: &Term) -> Result<Self, DecodeError> {
        if term.is_atom("undefined") {
            return Ok(Self(None));
        }
        String::decode(term).map(|owner| Self(Some(owner)))
    }

    fn encode(&self) -> Term {
        match &self.0 {
            Some(owner) => owner.encode(),
            None => Term::atom("undefined"),
        }
    }

    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self {
        Self((source.below(2) == 1).then(|| String::sample(source)))
    }
}

record! {
    /// What a guardian says of itself, under `updo_info` in its dictionary.
    RunInfo as "run_info" {
        run: String,
        owner: Owner,
        /// Seconds since 1970.
        since: u64,
        state: LockState,
        ;
        /// Added where another process reports it.
        guardian: Pid,
    }
}

record! {
    /// A process that holds the lock and says nothing of itself.
    Nameless as "nameless" {
        ;
        guardian: Pid,
    }
}

one_of! {
    /// The holder of the lock.
    Locked as "locked" {
        /// A run.
        Run(RunInfo),
        /// Something else, or one that comes and goes.
        Nameless(Nameless),
    }
}

/// The holder of the lock that a guardian has lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Holder {
    /// Nothing any more.
    Free,
    /// Another one.
    Locked(Locked),
}

impl Codec for Holder {
    fn notation() -> String {
        "holder()".to_owned()
    }

    #[cfg(test)]
    fn define(definitions: &mut super::codec::Definitions) {
        definitions.insert("holder", format!("free | {}", Locked::notation()));
        Locked::define(definitions);
    }

    fn decode(term: &Term) -> Result<Self, DecodeError> {
        if term.is_atom("free") {
            return Ok(Self::Free);
        }
        Locked::decode(term).map(Self::Locked)
    }

    fn encode(&self) -> Term {
        match self {
            Self::Free => Term::atom("free"),
            Self::Locked(locked) => locked.encode(),
        }
    }

    #[cfg(test)]
    fn sample(source: &mut super::tests::Source) -> Self {
        match source.below(2) {
            0 => Self::Free,
            _ => Self::Locked(Locked::sample(source)),
        }
    }
}

/// The beam that a node has made of the agent's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beam(pub Vec<u8>);

super::primitives::plain!(
    Beam,
    "binary()",
    |term| term.as_bytes().map(|bytes| Beam(bytes.to_vec())),
    |value| Term::binary(&value.0),
    |source| Beam(source.word().into_bytes())
);

tagged_union! {
    /// Why the bootstrap has started no agent.
    Refusal as "refusal" {
        /// Another run holds the lock.
        Locked = "locked" { holder: Locked },
        /// An earlier run of this name has not gone yet.
        NameInUse = "name_in_use" { name: Atom },
        /// The node does not load the beam that was sent.
        Beam = "beam" { why: Term },
        /// What an agent before it had left has gone.
        Gone = "gone" { name: Atom },
        /// The guardian died while it started.
        GuardianDied = "guardian_died" { why: String },
    }
}

tagged_union! {
    /// What the bootstrap gives.
    BootstrapAnswer as "bootstrap" {
        /// The guardian; and the beam, when the text was compiled.
        Ok = "ok" { guardian: Pid } [beam: Beam],
        /// Nothing was started.
        Error = "error" { refusal: Refusal },
    }
}
