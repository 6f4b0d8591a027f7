//! `updo completions SHELL`: the script that asks updo what to offer, and the answer to a shell that does.

#![expect(
    clippy::disallowed_methods,
    reason = "a shell says in the environment that it asks"
)]

use clap::CommandFactory;
use clap_complete::CompleteEnv;
use clap_complete::env::Shells;

use super::args::{Args, CompletionsArgs};
use super::context::Context;
use super::exit::Exit;

/// The variable that makes updo answer a shell instead of running a command.
const VARIABLE: &str = "COMPLETE";

/// Answers a shell that asks, and ends the process then; otherwise does nothing.
pub(super) fn answer() {
    // Looked at first, because building the description of all commands takes longer than most of them.
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(Args::command)
            .var(VARIABLE)
            .complete();
    }
}

/// `updo completions SHELL`: the script to be sourced.
pub(super) fn run(context: &Context<'_>, args: &CompletionsArgs) -> Exit {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(args.shell.name()) else {
        return Exit::Usage;
    };
    let mut script = Vec::new();
    if shell
        .write_registration(VARIABLE, "updo", "updo", "updo", &mut script)
        .is_err()
    {
        return Exit::Usage;
    }
    context.ui.data(&String::from_utf8_lossy(&script));
    Exit::Done
}
