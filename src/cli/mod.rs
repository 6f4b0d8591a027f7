//! The command line: a thin client of [`crate::engine`]. Each command is a file; all end in an [`Exit`].

mod appup;
pub mod args;
mod attach;
mod check;
mod complete;
mod completions;
mod config;
mod context;
mod diff;
mod doctor;
mod drift;
mod env_flags;
mod eval;
mod event_sinks;
mod exit;
mod explain;
mod fmt;
mod graph;
mod keys;
mod live_region;
mod log;
mod lsp;
mod man;
mod mcp;
mod mend;
mod new;
mod no_undo;
mod pager;
mod preview;
mod reconcile;
mod reconcile_pass;
mod reconcile_watch;
mod rehearse;
mod relup;
mod repl;
mod report;
mod rollback;
mod rollout_screen;
mod run;
mod same;
mod screen;
mod signals;
mod standard_input;
mod status;
mod ticker;
mod time;
mod trace;
mod watch;

pub use exit::Exit;

use crate::diag::{Code, Diagnostic, SourceMap, safe};
use crate::ui::Ui;
use args::Command;
use config::Config;
use context::Context;

/// Parses the arguments, runs the command, gives the exit code.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "the process's environment and folder; what is wrong before there is a `Ui`"
)]
pub fn main() -> Exit {
    completions::answer();
    let (args, given) = match env_flags::parse() {
        Ok(parsed) => parsed,
        Err(error) => {
            if let Some(plan) = bare_plan(&error) {
                let title = "a plan alone says nothing about what to do with it";
                let error = Diagnostic::new(Code::E801, title);
                let error = error.help(format!("updo preview {plan}"));
                let ui = Ui::new(crate::ui::Colour::Auto, false, None, None);
                ui.diagnostics(&[error], &SourceMap::default());
                return Exit::Usage;
            }
            let help = !error.use_stderr();
            // clap's own text says what is wrong and what would be right.
            let text = error.render().to_string();
            match safe::text(&text) {
                std::borrow::Cow::Borrowed(_) => drop(error.print()),
                std::borrow::Cow::Owned(text) => eprintln!("{}", text.trim_end()),
            }
            return if help { Exit::Done } else { Exit::Usage };
        }
    };
    let global = &args.global;
    if let Some(folder) = &global.directory
        && let Err(why) = std::env::set_current_dir(folder)
    {
        let folder = folder.display().to_string();
        eprintln!("updo: cannot start in {}: {why}", safe::line(&folder));
        return Exit::Usage;
    }
    // What is wrong with it is said in the look that the flags want.
    let config = Config::read(&|name| std::env::var(name).ok());
    let (config, wrong) = match config {
        Ok(config) => (config, None),
        Err(error) => (Config::default(), Some(error)),
    };
    let colour = global.color.or(config.color).unwrap_or_default();
    let no_unicode = global.no_unicode || config.unicode == Some(false);
    let mut ui = Ui::new(colour, no_unicode, global.width, config.width);
    ui.set_quiet(global.quiet);
    ui.set_verbose(global.verbose);
    ui.json = global.json;
    ui.no_input |= global.no_input;
    ui.full = match &args.command {
        Command::Preview(args) => args.full,
        Command::Rehearse(args) => args.full,
        Command::Run(args) => args.full,
        // They have no such flag, and are asked for all there is to say.
        _ => true,
    };
    let context = Context {
        ui,
        global,
        given,
        config,
    };
    if let Some(error) = wrong {
        return context.fail(*error, &SourceMap::default());
    }
    if let Err(diagnostic) = trace::begin(&context) {
        return context.fail(*diagnostic, &SourceMap::default());
    }
    if uses_state(&args.command)
        && let Err(refused) = crate::atomic_file::check_owned(&context.settings().state_dir)
    {
        return context.fail(*refused, &SourceMap::default());
    }
    match &args.command {
        Command::Check(args) => check::run(&context, args),
        Command::Fmt(args) => fmt::run(&context, args),
        Command::New(args) => new::run(&context, args),
        Command::Preview(args) => preview::run(&context, args),
        Command::Run(args) => run::run(&context, args),
        Command::Reconcile(args) => reconcile::run(&context, args),
        Command::Watch(args) => watch::run(&context, args),
        Command::Graph(args) => graph::run(&context, args),
        Command::Diff(args) => diff::run(&context, args),
        Command::Explain(args) => explain::run(&context, args),
        Command::Eval(args) => eval::run(&context, args),
        Command::Repl(args) => repl::run(&context, args),
        Command::Rollback(args) => rollback::run(&context, args),
        Command::Mend(args) => mend::run(&context, args),
        Command::Rehearse(args) => rehearse::run(&context, args),
        Command::Attach(args) => attach::run(&context, args),
        Command::Log(args) => log::run(&context, args),
        Command::Status(args) => status::run(&context, args),
        Command::Relup(args) => relup::run(&context, args),
        Command::Appup(args) => appup::run(&context, args),
        Command::Report(args) => report::report(&context, args),
        Command::Replay(args) => report::replayed(&context, args),
        Command::Schema(args) => report::schema(&context, args),
        Command::Doctor(args) => doctor::run(&context, args),
        Command::Completions(args) => completions::run(&context, args),
        Command::Man(args) => man::run(&context, args),
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            context.ui.data(&match context.ui.json {
                true => format!("{:#}\n", serde_json::json!({ "updo": version })),
                false => format!("updo {version}\n"),
            });
            Exit::Done
        }
        Command::Lsp(args) => lsp::run(&context, args),
        Command::Mcp(args) => mcp::run(&context, args),
    }
}

/// Whether a command believes what is in the state folder.
fn uses_state(command: &Command) -> bool {
    use Command::{
        Attach, Diff, Explain, Graph, Log, Preview, Reconcile, Repl, Replay, Report, Rollback, Run,
        Status, Watch,
    };
    matches!(
        command,
        Attach(_)
            | Diff(_)
            | Explain(_)
            | Graph(_)
            | Log(_)
            | Preview(_)
            | Reconcile(_)
            | Repl(_)
            | Replay(_)
            | Report(_)
            | Rollback(_)
            | Run(_)
            | Status(_)
            | Watch(_)
    )
}

/// `updo plan.updo`: never a run.
fn bare_plan(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(word)) if word.ends_with(".updo") => Some(word.clone()),
        _ => None,
    }
}
