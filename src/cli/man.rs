//! `updo man`: manual pages. One for updo, one for each command (both made from the arguments themselves), and
//! updo-plan(5), made from the reference of the plan language.

#![expect(
    clippy::disallowed_methods,
    reason = "manual pages are written into a folder"
)]

use std::io::IsTerminal;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man as Page;

use super::args::{Args, ManArgs};
use super::context::Context;
use super::exit::Exit;
use super::pager;
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::report::{man_text, roff};

/// The reference of the plan language, as it is in the documentation.
const LANGUAGE: &str = include_str!("../../docs/language.md");

pub(super) fn run(context: &Context<'_>, args: &ManArgs) -> Exit {
    let pages = pages();
    if let Some(dir) = &args.dir {
        return match written(dir, &pages) {
            Ok(()) => Exit::Done,
            Err(diagnostic) => context.fail(diagnostic, &SourceMap::default()),
        };
    }
    let wanted = args
        .page
        .as_ref()
        .map_or_else(|| "updo".to_owned(), |page| format!("updo-{page}"));
    match pages.iter().find(|(name, ..)| *name == wanted) {
        Some((_, _, text)) => {
            // A person reads it; everything else is for `man -l -` and its like.
            if std::io::stdout().is_terminal() && !context.ui.json {
                let style = context.ui.out_style;
                pager::show(context, &man_text::text(text, style.width, style.color));
            } else {
                context.ui.data(text);
            }
            Exit::Done
        }
        None => {
            let names = pages
                .iter()
                .filter_map(|(name, ..)| name.strip_prefix("updo-"));
            let typed = args.page.as_deref().unwrap_or_default();
            let help = match suggest(typed, names) {
                Some(close) => format!("did you mean `updo man {close}`?"),
                None => "updo man --dir DIR writes all pages".to_owned(),
            };
            context.usage(&format!("no manual page for `{typed}`"), &help)
        }
    }
}

/// Name, section and text of every page.
fn pages() -> Vec<(String, u8, String)> {
    let mut command = Args::command();
    command.build();
    let mut pages = vec![("updo".to_owned(), 1, rendered(command.clone(), "updo"))];
    for sub in command.get_subcommands() {
        let name = format!("updo-{}", sub.get_name());
        // A page's title is the name that `man` is asked for.
        let titled = sub.clone().name(name.clone());
        pages.push((name.clone(), 1, rendered(titled, &name)));
    }
    let plan = roff::page("updo-plan", 5, "the plan language of updo", LANGUAGE);
    pages.push(("updo-plan".to_owned(), 5, plan));
    pages
}

fn rendered(command: Command, title: &str) -> String {
    let mut text = Vec::new();
    let version = env!("CARGO_PKG_VERSION");
    let page = Page::new(command)
        .title(title.to_uppercase())
        .source(format!("updo {version}"));
    // Writing into memory cannot fail.
    let _ = page.render(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn written(dir: &Path, pages: &[(String, u8, String)]) -> Result<(), Diagnostic> {
    let failed = |path: &Path, why: &std::io::Error| {
        Diagnostic::new(Code::E802, format!("cannot write `{}`", path.display()))
            .note(why.to_string())
    };
    std::fs::create_dir_all(dir).map_err(|why| failed(dir, &why))?;
    for (name, section, text) in pages {
        let file = dir.join(format!("{name}.{section}"));
        std::fs::write(&file, text).map_err(|why| failed(&file, &why))?;
    }
    Ok(())
}
