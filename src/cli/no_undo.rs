//! The question before a run that could not be undone everywhere: there is no copy of the running version, and something
//! can fail after the switch.

use super::args::RunArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::Result;
use crate::engine::rollout::PreparedNode;
use crate::exec::no_undo::NoUndo;

/// Whether a person can be asked. `--yes` answers whether to run, and nothing about an undo.
fn can_ask(context: &Context<'_>, args: &RunArgs) -> bool {
    !args.yes && !context.ui.no_input
}

fn of(prepared_nodes: &[PreparedNode<'_>]) -> Option<NoUndo> {
    let upgrades = prepared_nodes.iter().map(|prepared| &prepared.upgrade);
    NoUndo::merged(upgrades.filter_map(|upgrade| upgrade.no_undo.as_ref()))
}

/// Before anything is asked of a process: whether someone has said, or can be asked, that the new code may stay. Where
/// every process is new before anything can fail, it does, as with `rollback manual`.
///
/// # Errors
/// E317.
pub(super) fn answered(
    context: &Context<'_>,
    args: &RunArgs,
    prepared_nodes: &[PreparedNode<'_>],
) -> Result<()> {
    match of(prepared_nodes) {
        Some(found) if !args.without.no_undo && !can_ask(context, args) && found.wants_answer() => {
            Err(Box::new(found.refusal()))
        }
        _ => Ok(()),
    }
}

/// Asks; an exit code when it ends here.
pub(super) fn ask(
    context: &Context<'_>,
    args: &RunArgs,
    prepared_nodes: &[PreparedNode<'_>],
) -> Option<Exit> {
    let found = of(prepared_nodes)?;
    if args.without.no_undo || !can_ask(context, args) {
        return None;
    }
    match context.ui.confirm(&format!("\n{}. Go on?", found.words())) {
        Some(true) => None,
        Some(false) => {
            let words = "not run: only the word yes goes on without an undo; nothing was changed";
            context.ui.status(words);
            Some(Exit::Aborted)
        }
        None => Some(context.usage("standard input is not a terminal", "add --yes --no-undo")),
    }
}
