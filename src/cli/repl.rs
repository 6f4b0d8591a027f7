//! `updo repl`: interactive, from a file or from a pipe; with a plan or on a node without one.

use std::io::{BufReader, Cursor};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;

use super::args::{Args, Command, Repl};
use super::eval::connect;
use super::{Context, Exit};
use crate::diag::{Code, Diagnostic, Result, Severity, SourceMap};
use crate::name::NodeName;
use crate::plan::load::read_text;
use crate::repl::session::{Manner, Session};
use crate::repl::terminal::{self, End, Places};
use crate::ui::Ui;

pub(super) fn run(context: &Context<'_>, args: &Repl) -> Exit {
    let interactive = args.file.is_none() && terminal::is_interactive();
    let interrupt = Arc::new(AtomicBool::new(false));
    let manner = Manner {
        style: context.ui.out_style,
        interactive,
        read_only: args.read_only,
        interrupt: Arc::clone(&interrupt),
    };
    // A file that is not there is said before a node is bothered.
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
            let places = Places {
                history: &history,
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
        End::Done => Exit::Done,
        End::Failed(Code::E508 | Code::E608) => Exit::Connect,
        End::Failed(code) => Exit::of(code),
        End::Run => leave(context, &session, &began_on),
    }
}

fn session(
    context: &Context<'_>,
    args: &Repl,
    manner: Manner,
) -> std::result::Result<Session, Exit> {
    let settings = context.settings();
    let Some(plan) = &args.plan else {
        let Some(node) = &context.global.target else {
            return Err(context.usage(
                "repl wants a plan or a node",
                "updo repl PLAN, or updo repl -t NODE",
            ));
        };
        return connect(context, &NodeName::new(node))
            .and_then(|node| Session::without_plan(node, settings, manner))
            .map_err(|told| context.fail(*told, &SourceMap::default()));
    };
    let engine = context.open(plan, settings).ok_or(Exit::Plan)?;
    let made = engine
        .nodes(context.global.target.as_deref())
        .and_then(|nodes| one(nodes, context))
        .and_then(|node| Ok(engine.connect(&node)?.session));
    match made {
        Ok(node) => Ok(Session::new(engine, node, manner)),
        Err(told) => Err(context.fail(*told, &engine.plan.sources)),
    }
}

/// The banner, and what there is to know at first sight.
fn greet(session: &mut Session, ui: &Ui) {
    ui.status(&session.banner());
    if session.plan_file().is_none() {
        return;
    }
    match session.look() {
        Ok((differ, severities)) => {
            let count = |wanted| severities.iter().filter(|s| **s == wanted).count();
            let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
            let mut line = differ;
            for (number, one, many) in [
                (errors, "error", "errors"),
                (warnings, "warning", "warnings"),
            ] {
                if number > 0 {
                    line += &format!(", {}", crate::report::paint::count(number, one, many));
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
                let told = format!("the target has several nodes: this is {node}; `:nodes`");
                context.ui.status(&told);
            }
            Ok(node)
        }
        None => Err(Box::new(Diagnostic::new(
            Code::E211,
            "the target has no nodes",
        ))),
    }
}

/// `:run`: the same as `updo run PLAN` typed now, with the parameters that were set, on the target that the session
/// was started for, or on the node that was connected to since.
fn leave(context: &Context<'_>, session: &Session, began_on: &NodeName) -> Exit {
    let Some(plan) = session.plan_file() else {
        return Exit::Usage;
    };
    let words = ["updo", "run"].map(std::ffi::OsString::from);
    let parsed = Args::try_parse_from(words.into_iter().chain([plan.as_os_str().to_owned()]));
    let Ok(Args {
        mut global,
        command: Command::Run(args),
    }) = parsed
    else {
        return context.usage("the plan's name is no argument", "updo run ./PLAN");
    };
    let node = session.node().node();
    global.target = if node == began_on {
        context.global.target.clone()
    } else {
        Some(node.as_str().to_owned())
    };
    let sets = &session.engine().settings.sets;
    global.set = sets
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    global.cookie_file.clone_from(&context.global.cookie_file);
    global.name.clone_from(&context.global.name);
    let context = Context {
        ui: context.ui.clone(),
        global: &global,
    };
    super::run::run(&context, &args)
}
