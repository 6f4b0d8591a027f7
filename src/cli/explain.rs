//! `updo explain`: why a module is here, why one comes before another; or a diagnostic code.

use std::path::Path;

use super::args::ExplainArgs;
use super::context::Context;
use super::exit::Exit;
use super::pager;
use crate::diag::Code;
use crate::diag::suggest::suggest;
use crate::name::Module;
use crate::repl::session::{why_before, why_here};

pub(super) fn run(context: &Context<'_>, args: &ExplainArgs) -> Exit {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    match words.as_slice() {
        [code] => explain_code(context, code),
        [plan, module] => on_node(context, args, plan, &[module]),
        [plan, first, "before", then] => on_node(context, args, plan, &[first, then]),
        _ => context.usage(
            "explain what?",
            "updo explain E306, updo explain PLAN MODULE, or updo explain PLAN A before B",
        ),
    }
}

fn explain_code(context: &Context<'_>, text: &str) -> Exit {
    match Code::parse(text) {
        Some(code) => {
            pager::show(context, code.page());
            Exit::Done
        }
        None => {
            let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
            let help = match suggest(&text.to_uppercase(), known) {
                Some(close) => {
                    format!("did you mean {close}? For a module: updo explain PLAN MODULE")
                }
                None => "for a module: updo explain PLAN MODULE".to_owned(),
            };
            context.usage(&format!("no diagnostic code `{text}`"), &help)
        }
    }
}

fn on_node(context: &Context<'_>, args: &ExplainArgs, plan: &str, modules: &[&str]) -> Exit {
    let plan = Path::new(plan);
    let settings = match context.settings_for(Some(plan), &args.push) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let Some(engine) = context.open(plan, settings) else {
        return Exit::Plan;
    };
    let upgrade = engine
        .nodes(context.global.target.as_deref())
        .and_then(|nodes| match nodes.first() {
            Some(node) => engine.connect(node)?.prepare(),
            None => Err(Box::new(crate::diag::Diagnostic::new(
                Code::E211,
                "the target has no nodes",
            ))),
        });
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let modules: Vec<Module> = modules.iter().map(|text| Module::typed(text)).collect();
    for module in &modules {
        if !upgrade.rules.modules.contains_key(module) {
            let known = upgrade.rules.modules.keys().map(Module::as_str);
            let help = match suggest(module.as_str(), known) {
                Some(close) => format!("did you mean `{}`?", Module::new(close)),
                None => "it does not change, or the plan leaves it out".to_owned(),
            };
            return context.usage(&format!("`{module}` takes no part in this upgrade"), &help);
        }
    }
    let text = match modules.as_slice() {
        [one] => why_here(&upgrade, one),
        [first, then] => why_before(&upgrade, first, then),
        _ => String::new(),
    };
    pager::show(context, &text);
    Exit::Done
}
