//! `updo fmt`: plans as they should look. A file is replaced as a whole or not at all; a broken plan is left
//! alone and its errors are reported.

use std::path::Path;

use super::args::FmtArgs;
use super::context::Context;
use super::exit::Exit;
use super::standard_input::{STDIN, from_stdin};
use crate::atomic_file;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::plan::load::read_text;
use crate::report::style;
use crate::syntax::fmt::format_plan;

pub(super) fn run(context: &Context<'_>, args: &FmtArgs) -> Exit {
    let mut exit = Exit::Done;
    for file in &args.files {
        exit = worse(exit, one(context, file, args.check));
    }
    exit
}

/// An error over "would change", which is over nothing to do.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Done, next) => next,
        (Exit::Pending, Exit::Done) => Exit::Pending,
        (Exit::Pending, next) => next,
        (first, _) => first,
    }
}

fn one(context: &Context<'_>, file: &Path, check: bool) -> Exit {
    let stdin = file == Path::new(STDIN);
    let text = if stdin { from_stdin() } else { read_text(file) };
    let text = match text {
        Ok(text) => text,
        Err(why) => {
            let title = format!("cannot read `{}`", file.display());
            let diagnostic = Diagnostic::new(Code::E109, title).note(why);
            return context.fail(diagnostic, &SourceMap::default());
        }
    };
    let mut sources = SourceMap::default();
    let base = sources.add(file.display().to_string(), text.clone());
    let formatted = match format_plan(&text, base) {
        Ok(formatted) => formatted,
        Err(diagnostics) => {
            context.ui.diagnostics(&diagnostics, &sources);
            return Exit::Plan;
        }
    };
    let differs = formatted != text;
    if check {
        if differs {
            context
                .ui
                .status(&format!("{} is not formatted", file.display()));
            return Exit::Pending;
        }
        return Exit::Done;
    }
    if stdin {
        context.ui.content(&formatted);
        return Exit::Done;
    }
    if differs {
        if let Err(why) = atomic_file::replace(file, formatted.as_bytes()) {
            let title = format!("cannot write `{}`", file.display());
            let diagnostic = Diagnostic::new(Code::E802, title).note(why.to_string());
            return context.fail(diagnostic, &sources);
        }
        let mark = style::mark(context.ui.style, true);
        context
            .ui
            .status(&format!("{mark} {} formatted", file.display()));
    }
    Exit::Done
}
