//! `updo repl`: interactive, with a plan or on a node without one.

use super::args::Repl;
use super::eval::connect;
use super::{Context, Exit};
use crate::diag::{Code, Diagnostic, Result, SourceMap};
use crate::name::NodeName;
use crate::repl::session::Session;
use crate::repl::terminal;

pub(super) fn run(context: &Context<'_>, args: &Repl) -> Exit {
    let settings = context.settings();
    let history = settings.state_dir.join("history");
    let finish = |session: &mut Session<'_>| {
        if terminal::run(session, &context.ui, &history) {
            Exit::Done
        } else {
            Exit::Plan
        }
    };
    let Some(plan) = &args.plan else {
        let Some(node) = &context.global.target else {
            return context.usage(
                "repl wants a plan or a node",
                "updo repl PLAN, or updo repl -t NODE",
            );
        };
        return match connect(context, &NodeName::new(node)) {
            Ok(node) => finish(&mut Session::new(node, context.ui.style)),
            Err(diagnostic) => context.fail(*diagnostic, &SourceMap::default()),
        };
    };
    let Some(engine) = context.open(plan, settings) else {
        return Exit::Plan;
    };
    let node = engine
        .nodes(context.global.target.as_deref())
        .and_then(|nodes| one(nodes, context));
    let connection = match node.and_then(|node| engine.connect(&node)) {
        Ok(connection) => connection,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    match connection.prepare() {
        Ok(upgrade) => {
            context
                .ui
                .diagnostics(&upgrade.diagnostics, &engine.plan.sources);
            finish(&mut Session::with_plan(
                &connection,
                &engine.plan,
                upgrade,
                context.ui.style,
            ))
        }
        Err(diagnostic) => context.fail(*diagnostic, &engine.plan.sources),
    }
}

fn one(nodes: Vec<NodeName>, context: &Context<'_>) -> Result<NodeName> {
    let several = nodes.len() > 1;
    match nodes.into_iter().next() {
        Some(node) => {
            if several {
                context
                    .ui
                    .status(&format!("the target has several nodes: this is {node}"));
            }
            Ok(node)
        }
        None => Err(Box::new(Diagnostic::new(
            Code::E211,
            "the target has no nodes",
        ))),
    }
}
