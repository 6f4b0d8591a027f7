//! How much code does to the world, in one word.

/// What code does, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doing {
    /// It computes.
    Pure,
    /// It looks at tables, files, processes or the clock, or prints.
    Reads,
    /// It cannot be known: a module that is not known, a fun, a module in a variable.
    Unknown,
    /// It writes, sends, starts, links or registers.
    Acts,
}
