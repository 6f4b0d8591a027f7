//! A barrier as a value: where a node waits for the others with which it switches at one instant.
//!
//! Knows its words, for people, and its term, for the agent; where barriers are among the steps of a run decides
//! [`barriers`](super::barriers).

use std::time::Duration;

use crate::term::Term;

/// Where a node waits; nodes that come to the same one wait for each other.
#[derive(Clone, Debug, PartialEq)]
pub enum BarrierName {
    /// All is prepared, and nothing is suspended.
    Prepared,
    /// Some ranks are suspended; this many are still to come. 0: all, and the switch is next.
    Suspended(usize),
    /// All modules are switched, all states converted, and no process has run on.
    Switched,
    /// A `sync_nodes` of the script, by its identity.
    Sync(Term),
}

/// What a node does when it hears nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierKind {
    /// It goes back.
    Gather,
    /// It asks the node that keeps the decision.
    Decide,
    /// It goes on, for it is on its way back.
    Onward,
}

/// A barrier.
#[derive(Clone, Debug, PartialEq)]
pub struct Barrier {
    /// Which one.
    pub name: BarrierName,
    /// How long a node waits at it.
    pub hold: Duration,
    /// What it does then.
    pub kind: BarrierKind,
}

impl Barrier {
    /// `sync_nodes` of a script, for the nodes of a group.
    pub fn sync(id: Term) -> Self {
        Self {
            name: BarrierName::Sync(id),
            hold: Duration::ZERO,
            kind: BarrierKind::Gather,
        }
    }

    /// Whether it belongs to a way back.
    pub fn is_back(&self) -> bool {
        self.kind == BarrierKind::Onward && !matches!(self.name, BarrierName::Sync(_))
    }

    /// What all nodes are when they pass it.
    pub fn words(&self) -> String {
        self.name.words()
    }
}

impl BarrierName {
    /// What all nodes are when they pass it.
    pub fn words(&self) -> String {
        match self {
            Self::Prepared => "prepared".to_owned(),
            Self::Suspended(0) => "suspended".to_owned(),
            Self::Suspended(1) => "suspended, but for the last rank".to_owned(),
            Self::Suspended(ranks) => format!("suspended, but for {ranks} ranks"),
            Self::Switched => "switched and converted".to_owned(),
            Self::Sync(id) => format!("at sync_nodes {id}"),
        }
    }

    /// The agent's term.
    pub fn to_term(&self) -> Term {
        let tagged = |word, of| Term::tuple([Term::atom(word), of]);
        match self {
            Self::Prepared => Term::atom("prepared"),
            Self::Suspended(ranks) => {
                let ranks = Term::Int(i64::try_from(*ranks).unwrap_or(i64::MAX));
                tagged("suspended", ranks)
            }
            Self::Switched => Term::atom("switched"),
            Self::Sync(id) => tagged("sync", id.clone()),
        }
    }

    /// From the agent's term.
    pub fn read(term: &Term) -> Option<Self> {
        if term.is_atom("prepared") {
            return Some(Self::Prepared);
        }
        if term.is_atom("switched") {
            return Some(Self::Switched);
        }
        match term.as_tuple()? {
            [word, ranks] if word.is_atom("suspended") => {
                Some(Self::Suspended(usize::try_from(ranks.as_i64()?).ok()?))
            }
            [word, id] if word.is_atom("sync") => Some(Self::Sync(id.clone())),
            _ => None,
        }
    }
}

impl BarrierKind {
    /// The agent's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gather => "gather",
            Self::Decide => "decide",
            Self::Onward => "onward",
        }
    }

    /// From the agent's word.
    pub fn read(term: &Term) -> Option<Self> {
        let all = [Self::Gather, Self::Decide, Self::Onward];
        all.into_iter().find(|kind| term.is_atom(kind.word()))
    }
}

/// The phase of a barrier with these words.
pub fn phase(words: &str) -> &'static str {
    let all = ["prepared", "suspended", "switched"];
    all.into_iter()
        .find(|phase| words.starts_with(phase))
        .unwrap_or("sync")
}
