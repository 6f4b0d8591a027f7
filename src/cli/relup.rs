//! `updo relup`: the relup between releases, as `systools:make_relup` makes it; one term on standard output.

#![expect(clippy::disallowed_methods, reason = "a relup is written")]

use std::path::Path;

use super::args::RelupArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::release::path::SearchPath;
use crate::release::relup::{Request, make};
use crate::term::{Term, pretty};

pub(super) fn run(context: &Context<'_>, args: &RelupArgs) -> Exit {
    let request = Request {
        new: &args.new,
        up: &args.old,
        down: &args.old,
        restart_emulator: args.restart_emulator,
    };
    match SearchPath::new(&args.path).and_then(|path| make(&request, &path)) {
        Err(refusal) => {
            let mut sources = SourceMap::default();
            let diagnostic = refusal.diagnostic(&mut sources);
            context.fail(diagnostic, &sources)
        }
        Ok(relup) => {
            let warnings: Vec<_> = relup.warnings.iter().map(|w| w.diagnostic()).collect();
            context.ui.diagnostics(&warnings, &SourceMap::default());
            give(context, &relup.to_term(), args.output.as_deref())
        }
    }
}

/// Prints a term with its dot, or writes it to a file that names its encoding.
pub(super) fn give(context: &Context<'_>, term: &Term, file: Option<&Path>) -> Exit {
    let text = format!("{}.\n", pretty(term, 80));
    let Some(file) = file else {
        context.ui.data(&text);
        return Exit::Done;
    };
    match std::fs::write(file, format!("%% coding: utf-8\n{text}")) {
        Ok(()) => Exit::Done,
        Err(why) => {
            let title = format!("cannot write {}: {why}", file.display());
            context.fail(Diagnostic::new(Code::E802, title), &SourceMap::default())
        }
    }
}
