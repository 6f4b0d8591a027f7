//! `updo lsp`: the language server for plan files, on standard input and output.

#![expect(
    clippy::disallowed_methods,
    reason = "the editor talks over standard input and output"
)]

use std::io::IsTerminal;

use super::args::LspArgs;
use super::context::Context;
use super::exit::Exit;
use crate::lsp::{ServerOptions, serve};

pub(super) fn run(context: &Context<'_>, args: &LspArgs) -> Exit {
    if std::io::stdin().is_terminal() {
        let hint =
            "speaking with an editor on standard input; how editors start it: docs/editors.md";
        context.ui.status(hint);
    }
    let mut settings = context.settings();
    settings.strict = args.strict;
    let target = context.global.target.clone().filter(|_| !args.offline);
    let options = ServerOptions {
        settings,
        target,
        timeout: args.patience,
    };
    match serve(std::io::stdin(), std::io::stdout(), options) {
        true => Exit::Done,
        // The protocol's own code for an editor that leaves without a word.
        false => Exit::Plan,
    }
}
