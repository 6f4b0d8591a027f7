//! Process identifiers and references of our own.
//!
//! Gives numbers that every node from OTP 23 on can take: a pid's number has 15 bits and its serial 13,
//! a reference has three words and the first of them 18 bits. An OTP 23 node drops the connection over
//! a larger one.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::term::{Atom, Pid, Reference};

/// Makes them, for one connection.
pub(crate) struct Ids {
    node: Atom,
    creation: u32,
    pids: AtomicU32,
    references: AtomicU64,
    salt: u32,
}

impl Ids {
    /// `salt` makes our references differ from those of an earlier connection.
    pub(crate) fn new(node: Atom, creation: u32, salt: u32) -> Self {
        let (pids, references) = (AtomicU32::new(1), AtomicU64::new(1));
        Self {
            node,
            creation,
            pids,
            references,
            salt,
        }
    }

    /// A pid; comes round again after 2^28.
    pub(crate) fn pid(&self) -> Pid {
        let n = self.pids.fetch_add(1, Ordering::Relaxed);
        Pid {
            node: self.node.clone(),
            id: n & 0x7fff,
            serial: (n >> 15) & 0x1fff,
            creation: self.creation,
        }
    }

    /// A reference that was never given before.
    pub(crate) fn reference(&self) -> Reference {
        let n = self.references.fetch_add(1, Ordering::Relaxed);
        Reference {
            node: self.node.clone(),
            creation: self.creation,
            words: vec![(n & 0x3_ffff) as u32, (n >> 18) as u32, self.salt],
        }
    }

    /// Whether a pid is one that this connection may have made.
    pub(crate) fn is_ours(&self, pid: &Pid) -> bool {
        pid.node == self.node && pid.creation == self.creation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn stay_within_what_otp_23_can_read() {
        let ids = Ids::new(Atom::new("x@y"), 7, 99);
        let mut seen = HashSet::new();
        for _ in 0..100_000 {
            let pid = ids.pid();
            assert!(pid.id < 1 << 15 && pid.serial < 1 << 13 && ids.is_ours(&pid));
            assert!(seen.insert((pid.id, pid.serial)));
        }
        let mut seen = HashSet::new();
        for _ in 0..300_000 {
            let reference = ids.reference();
            assert!(reference.words.len() == 3 && reference.words[0] < 1 << 18);
            assert!(seen.insert(reference.words));
        }
    }
}
