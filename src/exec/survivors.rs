//! Which of the suspended processes survive a run.
//!
//! The agent tells each crash when it happens, and gives the whole account when it is asked for it and when it
//! settles. Here it is kept, and said once; [`survey`](super::survey) asks.

use crate::diag::{Code, Diagnostic};
use crate::node::agent::protocol::{Died, SurvivorCounts};
use crate::term::Term;

/// How many crashes are described one by one.
const NAMED: usize = 8;

/// What is known so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Survivors {
    /// Crashed processes, as the agent describes them; not all of very many.
    died: Vec<Died>,
    /// How many crashed.
    crashed: u64,
    /// How many live, and how many there were.
    pub(super) living: Option<(u64, u64)>,
    /// How many crashes have been reported.
    reported: u64,
}

impl Survivors {
    pub(super) fn died(&mut self, one: &Died) {
        if !self.died.iter().any(|other| other.pid == one.pid) {
            self.died.push(one.clone());
            self.crashed = self.crashed.max(self.died.len() as u64);
        }
    }

    pub(super) fn update(&mut self, counts: &SurvivorCounts) {
        if counts.watched > 0 {
            self.living = Some((counts.live, counts.watched));
        }
        for one in &counts.died {
            self.died(one);
        }
        self.crashed = self.crashed.max(counts.crashed);
    }

    /// What has not been reported yet.
    pub(super) fn crash(&mut self) -> Option<Diagnostic> {
        let new = self.crashed.saturating_sub(self.reported);
        if new == 0 {
            return None;
        }
        let before = usize::try_from(self.reported).unwrap_or(usize::MAX);
        self.reported = self.crashed;
        let title = match new {
            1 => "1 process died after the resume: its state is lost".to_owned(),
            n => format!("{n} processes died after the resume: their states are lost"),
        };
        let mut diagnostic = Diagnostic::new(Code::E618, title);
        for one in self.died.iter().skip(before).take(NAMED) {
            let (pid, module) = (Term::Pid(one.pid.clone()), one.module.as_str());
            let lines: Vec<&str> = one.reason.lines().collect();
            let first = lines.first().copied().unwrap_or_default();
            diagnostic = diagnostic.note(format!("{pid} of {module}: {first}"));
            // Of a long value the beginning; where it was raised is at the end.
            let rest = lines.get(1..).unwrap_or_default();
            let (head, tail) = match rest.len() {
                0..=6 => (rest, &[][..]),
                more => (&rest[..3], &rest[more - 2..]),
            };
            let cut = (!tail.is_empty()).then_some("…");
            let shown = head.iter().copied().chain(cut).chain(tail.iter().copied());
            diagnostic
                .notes
                .extend(shown.map(|line| format!("  {line}")));
        }
        let shown = self.died.len().saturating_sub(before).min(NAMED) as u64;
        if new > shown {
            diagnostic = diagnostic.note(format!("and {} more", new - shown));
        }
        Some(diagnostic.help("one that a supervisor restarts has the code that is loaded then; check the service and the node's log"))
    }
}
