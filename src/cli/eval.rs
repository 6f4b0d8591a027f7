//! `updo eval`: one body of expressions, its last value as a term on standard output.

#![expect(
    clippy::disallowed_methods,
    reason = "an expression may come from standard input"
)]

use std::io::Read;

use super::args::EvalArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, SourceMap};
use crate::eval::{Bindings, Evaluator, Functions, Phase};
use crate::exec::condition::OnNode;
use crate::name::NodeName;
use crate::node::{Connect, Session};
use crate::repl::notation;
use crate::rules::node_view::NoFacts;
use crate::syntax::{Input, InputError, parse_body, parse_input};
use crate::term::{CUT, MAX_PRINTED};

/// The largest expression that is read from standard input.
const MAX_BYTES: u64 = 1 << 20;

pub(super) fn run(context: &Context<'_>, args: &EvalArgs) -> Exit {
    let mut text = args.expression.clone();
    if text == "-" {
        text.clear();
        if let Err(why) = std::io::stdin().take(MAX_BYTES).read_to_string(&mut text) {
            return context.usage("standard input cannot be read", &why.to_string());
        }
    }
    let mut sources = SourceMap::default();
    let base = sources.add("expression", text.clone());
    let body = match parse_body(&text, base) {
        Ok(body) => body,
        Err(InputError::Wrong(_))
            if matches!(parse_input(&text, base), Ok(Input::Statement(_))) =>
        {
            return context.usage(
                "eval needs an expression, this is a statement",
                "put it into a plan",
            );
        }
        Err(InputError::Wrong(diagnostic)) => return context.fail(*diagnostic, &sources),
        Err(InputError::Incomplete) => {
            return context.usage(
                "the expression is not complete",
                "close what is open at its end",
            );
        }
    };
    let session = match connect(context, &NodeName::new(&args.node)) {
        Ok(session) => session,
        Err(diagnostic) => return context.fail(*diagnostic, &sources),
    };
    let functions = Functions::new();
    let mut host = NoFacts(session.node());
    let mut remote = OnNode(&session);
    let mut bindings = Bindings::new();
    match Evaluator::new(Phase::Live, &functions)
        .with_names(&mut host)
        .with_remote(&mut remote)
        .eval(&body, &mut bindings)
    {
        Ok(value) => {
            let notation = match args.syntax {
                Some(syntax) => syntax.notation(),
                None => notation::of(&session),
            };
            let (text, is_whole) = notation.within(&value, 80, MAX_PRINTED);
            context.ui.data(&text);
            context.ui.data("\n");
            if !is_whole {
                let title = format!("the value is longer than {} MiB of text", MAX_PRINTED >> 20);
                let warning = Diagnostic::new(Code::W620, title)
                    .note(format!("what is printed ends in `{CUT}`: it is no term"))
                    .help("ask for a part of it, for its size or for a hash of it");
                context.ui.diagnostics(&[warning], &sources);
            }
            Exit::Done
        }
        Err(failure) => {
            let lost = session.is_lost().is_some() || failure.diagnostic.code == Code::E508;
            let exit = context.fail(*failure.diagnostic, &sources);
            if lost { Exit::Connect } else { exit }
        }
    }
}

/// Connects to a node that no plan describes.
pub(super) fn connect(context: &Context<'_>, node: &NodeName) -> crate::diag::Result<Session> {
    let settings = context.settings();
    let cookie = crate::engine::cookie(&settings, None)?;
    if let Some(warning) = cookie.warning() {
        context
            .ui
            .diagnostics(std::slice::from_ref(warning), &SourceMap::default());
    }
    let mut connect = Connect::new(node.clone(), cookie);
    connect.tls = crate::engine::tls(&settings, None)?;
    crate::engine::way::way(&settings, None, node)?.apply(&mut connect);
    connect.local_name = settings.local_name;
    Session::connect(&connect)
}
