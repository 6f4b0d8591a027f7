//! `updo mcp`: what changes nothing, as tools for assistants, on standard input and output.

#![expect(
    clippy::disallowed_methods,
    reason = "an assistant talks over standard input and output, and its tools are this binary"
)]

use std::io::IsTerminal;

use super::args::McpArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::mcp::{ServerOptions, serve};

pub(super) fn run(context: &Context<'_>, args: &McpArgs) -> Exit {
    if std::io::stdin().is_terminal() {
        let hint = "speaking with an assistant on standard input; how one starts it: docs/tools.md";
        context.ui.status(hint);
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(why) => {
            let title = "updo cannot find itself, which each tool is";
            let diagnostic = Diagnostic::new(Code::E802, title).note(why.to_string());
            return context.fail(diagnostic, &SourceMap::default());
        }
    };
    let global = context.global;
    let mut flags = Vec::new();
    if let Some(file) = &global.cookie_file {
        flags.push(format!("--cookie-file={}", file.display()));
    }
    flags.extend(global.name.iter().map(|name| format!("--name={name}")));
    flags.extend(global.set.iter().map(|set| format!("--set={set}")));
    // A node may be named in place of a plan; the name of a target only goes with one.
    let target = global.target.as_ref();
    let node = target.filter(|target| target.contains('@'));
    let subject = args.subject.clone().or_else(|| node.cloned());
    let options = ServerOptions {
        program,
        flags,
        subject,
        target: target.cloned(),
        rehearses: !args.no_rehearse,
    };
    serve(std::io::stdin(), std::io::stdout(), &options);
    Exit::Done
}
