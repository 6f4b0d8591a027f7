//! `updo repl`.
use super::args::Repl;
use super::{Context, Exit};
pub(super) fn run(_context: &Context<'_>, _args: &Repl) -> Exit { Exit::Usage }
