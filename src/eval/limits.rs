//! What an evaluation may cost, and the account that is kept of it.
//!
//! A [`Term`] is not shared between its owners, so reading a variable copies it. Copies are paid for
//! before they are made, in *cells*: one for each term inside a value, and one for every 64 bytes of a
//! binary or a big integer. `held` is what may be alive; it is set back when a scope ends.

use std::time::{Duration, Instant};

use crate::term::Term;

/// A time that nothing waits for: thirty years.
const AGES: Duration = Duration::from_secs(1_000_000_000);

/// Bounds of one evaluation: a body, a guard, a line of the REPL. What meets one of them ends with E705.
///
/// `Limits { steps: 1_000, ..Limits::default() }` sets one and keeps the others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Expressions evaluated and rounds of comprehensions; patterns do not count. 100,000 by default.
    pub steps: u64,
    /// Calls of plan functions inside each other; a call in tail position does not count. 500 by default.
    pub depth: usize,
    /// Cells alive at once: one for each term inside a value, and one for every 64 bytes of a binary or a big integer. A cell
    /// takes about 50 to 130 bytes. 4,000,000 by default.
    pub cells: u64,
    /// Cells copied or looked at in all. 200,000,000 by default.
    pub work: u64,
    /// Terms inside each other. 1,000 by default, and at most.
    pub nesting: usize,
    /// Expressions inside each other, those of called functions included. 10,000 by default; the stack for them is on
    /// the heap.
    pub inside: usize,
    /// Time for the whole evaluation, looked at in every step; 5 seconds by default.
    pub body: Duration,
    /// Time for one remote call; never more than what is left of `body`. 5 seconds by default.
    pub call: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            steps: 100_000,
            depth: 500,
            cells: 4_000_000,
            work: 200_000_000,
            nesting: 1_000,
            inside: 10_000,
            body: Duration::from_secs(5),
            call: Duration::from_secs(5),
        }
    }
}

/// The bound that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Steps,
    Depth,
    Memory,
    Work,
    Nesting,
    Inside,
    Time,
}

impl Exceeded {
    pub(super) fn words(self, limits: &Limits) -> String {
        match self {
            Self::Steps => format!("evaluation took more than {} steps", limits.steps),
            Self::Depth => format!("functions call each other more than {} deep", limits.depth),
            Self::Memory => "the values of this evaluation became too big".to_owned(),
            Self::Work => "evaluation copied too much data".to_owned(),
            Self::Nesting => format!("a value is nested more than {} deep", limits.nesting),
            Self::Inside => format!(
                "expressions are evaluated inside each other more than {} deep",
                limits.inside
            ),
            Self::Time => format!("evaluation took more than {:?}", limits.body),
        }
    }
}

/// What has been used up.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) limits: Limits,
    steps: u64,
    held: u64,
    work: u64,
    deadline: Instant,
}

impl Budget {
    pub(super) fn new(limits: Limits) -> Self {
        let now = Instant::now();
        // What the clock cannot reach is as good as for ever.
        let deadline = now.checked_add(limits.body).unwrap_or(now + AGES);
        Self {
            limits,
            steps: 0,
            held: 0,
            work: 0,
            deadline,
        }
    }

    /// Begins anew with the same limits.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.limits);
    }

    /// One step: counts it, and looks at the clock.
    pub(super) fn step(&mut self) -> Result<(), Exceeded> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(Exceeded::Steps);
        }
        self.check_limits()
    }

    /// Looks at the clock.
    pub(super) fn check_limits(&self) -> Result<(), Exceeded> {
        if Instant::now() > self.deadline {
            Err(Exceeded::Time)
        } else {
            Ok(())
        }
    }

    /// What is left of the body's time.
    pub(super) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Pays for cells that will be alive.
    pub(super) fn pay(&mut self, cells: u64) -> Result<(), Exceeded> {
        self.work = self.work.saturating_add(cells);
        self.held = self.held.saturating_add(cells);
        if self.held > self.limits.cells {
            return Err(Exceeded::Memory);
        }
        if self.work > self.limits.work {
            Err(Exceeded::Work)
        } else {
            Ok(())
        }
    }

    /// Pays for a binary (or a number) of so many bits.
    pub(super) fn pay_bits(&mut self, bits: u64) -> Result<(), Exceeded> {
        self.pay(1 + bits / 512)
    }

    /// Pays for a copy of a value.
    pub(super) fn pay_for(&mut self, value: &Term) -> Result<(), Exceeded> {
        let cells = cells(value, self.limits.nesting)?;
        self.pay(cells)
    }

    /// A mark of what is alive, for [`Budget::release`].
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Goes back to a mark: all that was paid since is dead, but for what is paid next.
    pub(super) fn release(&mut self, mark: u64) {
        self.held = mark;
    }
}

/// How many cells a value has, or that it is nested too deeply.
fn cells(value: &Term, nesting: usize) -> Result<u64, Exceeded> {
    let Some(below) = nesting.checked_sub(1) else {
        return Err(Exceeded::Nesting);
    };
    let mut sum = 1;
    match value {
        Term::Tuple(elements) | Term::List(elements) => {
            for element in elements {
                sum += cells(element, below)?;
            }
        }
        Term::Improper(elements, tail) => {
            for element in elements {
                sum += cells(element, below)?;
            }
            sum += cells(tail, below)?;
        }
        Term::Map(pairs) => {
            for (key, value) in pairs {
                sum += cells(key, below)? + cells(value, below)?;
            }
        }
        Term::Record(record) => {
            for (_, value) in &record.fields {
                sum += 1 + cells(value, below)?;
            }
        }
        Term::Binary(bytes) | Term::Bits(bytes, _) => sum += bytes.len() as u64 / 64,
        Term::Big(number) => sum += number.bits() / 512,
        _ => {}
    }
    Ok(sum)
}
