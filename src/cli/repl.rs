//! `updo repl`: interactive, from a file or from a pipe; with a plan or on a node without one.

#![expect(
    clippy::disallowed_methods,
    reason = "reads a script from standard input, and starts updo again for `:run`"
)]

use std::io::{BufReader, Cursor};
use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;

use super::args::{ReplArgs, Syntax};
use super::context::Context;
use super::eval::connect;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, Result, Severity, SourceMap};
use crate::name::NodeName;
use crate::plan::load::read_text;
use crate::repl::session::{ReplSession, SessionOptions};
use crate::repl::terminal::{self, HistoryFiles, SessionEnd};
use crate::ui::Ui;

pub(super) fn run(context: &Context<'_>, args: &ReplArgs) -> Exit {
    let interactive = args.file.is_none() && terminal::is_interactive();
    let interrupt = Arc::new(AtomicBool::new(false));
    let manner = SessionOptions {
        style: context.ui.out_style,
        interactive,
        read_only: args.read_only,
        notation: args.syntax.map(Syntax::notation),
        interrupt: Arc::clone(&interrupt),
    };
    // A file that is not there is reported before a node is bothered.
    let script = match args.file.as_deref().map(read_text).transpose() {
        Ok(script) => script,
        Err(why) => return context.usage("the file cannot be read", &why),
    };
    let mut session = match session(context, args, manner) {
        Ok(session) => session,
        Err(exit) => return exit,
    };
    let began_on = session.node().node().clone();
    let end = match (script, &args.file) {
        (Some(text), Some(file)) => {
            let name = file.display().to_string();
            terminal::script(&mut session, &context.ui, &name, &mut Cursor::new(text))
        }
        _ if interactive => {
            greet(&mut session, &context.ui);
            let state = &session.engine().settings.state_dir;
            let (history, edited) = (
                state.join("history"),
                state.join(format!("edit-{}.updo", std::process::id())),
            );
            let places = HistoryFiles {
                history: &history,
                lines: context.config.history,
                edited: &edited,
            };
            terminal::interactive(&mut session, &context.ui, places, &interrupt)
        }
        _ => {
            let mut input = BufReader::new(std::io::stdin());
            terminal::script(&mut session, &context.ui, "input", &mut input)
        }
    };
    match end {
        SessionEnd::Done => Exit::Done,
        SessionEnd::Failed(Code::E508 | Code::E608) => Exit::Connect,
        SessionEnd::Failed(code) => Exit::of(code),
        SessionEnd::Run => leave(context, &session, &began_on),
    }
}

fn session(
    context: &Context<'_>,
    args: &ReplArgs,
    manner: SessionOptions,
) -> std::result::Result<ReplSession, Exit> {
    let settings = context.settings();
    let Some(plan) = &args.plan else {
        let Some(node) = &context.global.target else {
            return Err(context.usage(
                "repl needs a plan or a node",
                "updo repl PLAN, or updo repl -t NODE",
            ));
        };
        return connect(context, &NodeName::new(node))
            .and_then(|node| ReplSession::without_plan(node, settings, manner))
            .map_err(|diagnostic| context.fail(*diagnostic, &SourceMap::default()));
    };
    let engine = context.open(plan, settings).ok_or(Exit::Plan)?;
    let made = engine
        .nodes(context.global.target.as_deref())
        .and_then(|nodes| one(nodes, context))
        .and_then(|node| Ok(engine.connect(&node)?.session));
    match made {
        Ok(node) => Ok(ReplSession::new(engine, node, manner)),
        Err(diagnostic) => Err(context.fail(*diagnostic, &engine.plan.sources)),
    }
}

/// The banner, and what there is to know at first sight.
fn greet(session: &mut ReplSession, ui: &Ui) {
    ui.status(&session.banner());
    if session.plan_file().is_none() {
        return;
    }
    match session.refresh() {
        Ok((differ, severities)) => {
            let count = |wanted| severities.iter().filter(|s| **s == wanted).count();
            let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
            let mut line = differ;
            for (number, one, many) in [
                (errors, "error", "errors"),
                (warnings, "warning", "warnings"),
            ] {
                if number > 0 {
                    line += &format!(", {}", crate::report::style::count(number, one, many));
                }
            }
            if errors + warnings > 0 {
                line += "    :check";
            }
            ui.status(&line);
        }
        Err(fault) => ui.error_line(fault.text.trim_end()),
    }
}

fn one(nodes: Vec<NodeName>, context: &Context<'_>) -> Result<NodeName> {
    let several = nodes.len() > 1;
    match nodes.into_iter().next() {
        Some(node) => {
            if several {
                let text = format!("the target has several nodes: this is {node}; `:nodes`");
                context.ui.status(&text);
            }
            Ok(node)
        }
        None => Err(Box::new(Diagnostic::new(
            Code::E211,
            "the target has no nodes",
        ))),
    }
}

/// `:run`: this program becomes `updo run PLAN`, with the parameters that were set, on the target that the session was
/// started for, or on the node that was connected to since. So nothing of the session is left, not even its Ctrl-C.
fn leave(context: &Context<'_>, session: &ReplSession, began_on: &NodeName) -> Exit {
    let global = context.global;
    let updo = std::env::current_exe().unwrap_or_else(|_| "updo".into());
    let mut command = std::process::Command::new(updo);
    command.arg("run");
    let node = session.node().node();
    let target = match node == began_on {
        true => global.target.as_deref(),
        false => Some(node.as_str()),
    };
    if let Some(target) = target {
        command.args(["--target", target]);
    }
    for (name, value) in &session.engine().settings.sets {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    if let Some(file) = &global.cookie_file {
        command.arg("--cookie-file").arg(file);
    }
    if let Some(name) = &global.name {
        command.args(["--name", name]);
    }
    if let Some(width) = global.width {
        command.arg("--width").arg(width.to_string());
    }
    if let Some(colour) = global.color.and_then(|colour| colour.to_possible_value()) {
        command.args(["--color", colour.get_name()]);
    }
    for (is_set, flag) in [
        (global.no_unicode, "--no-unicode"),
        (global.quiet, "--quiet"),
        (global.no_input, "--no-input"),
        (global.json, "--json"),
    ] {
        if is_set {
            command.arg(flag);
        }
    }
    command.args((0..global.verbose).map(|_| "--verbose"));
    if let Some(plan) = session.plan_file() {
        command.arg("--").arg(plan);
    }
    let why = command.exec();
    let diagnostic =
        Diagnostic::new(Code::E802, "`updo run` cannot be started").note(why.to_string());
    context.fail(diagnostic, &SourceMap::default())
}
