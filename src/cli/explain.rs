//! `updo explain`: why a module is here, why one comes before another; or a diagnostic code.

use std::path::Path;

use super::args::Explain;
use super::{Context, Exit};
use crate::diag::Code;
use crate::diag::suggest::suggest;
use crate::engine::Upgrade;
use crate::name::Module;

pub(super) fn run(context: &Context<'_>, args: &Explain) -> Exit {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    match words.as_slice() {
        [code] => explain_code(context, code),
        [plan, module] => on_node(context, plan, &[module]),
        [plan, first, "before", then] => on_node(context, plan, &[first, then]),
        _ => context.usage(
            "explain what?",
            "updo explain E306, updo explain PLAN MODULE, or updo explain PLAN A before B",
        ),
    }
}

fn explain_code(context: &Context<'_>, text: &str) -> Exit {
    match Code::parse(text) {
        Some(code) => {
            context.ui.data(&format!("{code}\n{}", code.page()));
            Exit::Done
        }
        None => {
            let known: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
            let help = match suggest(&text.to_uppercase(), known) {
                Some(close) => format!("did you mean {close}? For a module: updo explain PLAN MODULE"),
                None => "for a module: updo explain PLAN MODULE".to_owned(),
            };
            context.usage(&format!("no diagnostic code `{text}`"), &help)
        }
    }
}

fn on_node(context: &Context<'_>, plan: &str, modules: &[&str]) -> Exit {
    let Some(engine) = context.open(Path::new(plan), context.settings()) else { return Exit::Plan };
    let upgrade = engine.nodes(context.global.target.as_deref()).and_then(|nodes| match nodes.first() {
        Some(node) => engine.connect(node)?.prepare(),
        None => Err(Box::new(crate::diag::Diagnostic::new(Code::E211, "the target has no nodes"))),
    });
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let modules: Vec<Module> = modules.iter().map(|text| named(text)).collect();
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
    context.ui.data(&text);
    Exit::Done
}

/// A module as it is typed: `shop_cart`, `Shop.Cart`, `'odd name'`.
pub(crate) fn named(text: &str) -> Module {
    let bare = text.trim_matches('\'');
    if bare.starts_with(|c: char| c.is_ascii_uppercase()) && !bare.starts_with("Elixir.") {
        return Module::new(format!("Elixir.{bare}"));
    }
    Module::new(bare)
}

/// Everything about one module.
pub(crate) fn why_here(upgrade: &Upgrade, module: &Module) -> String {
    let mut out = String::new();
    if let Some(step) = upgrade.script.high.iter().find(|step| step.instruction.module() == module) {
        out.push_str(&format!("{}\n", step.instruction));
        for why in &step.why {
            out.push_str(&format!("    {}\n", why.text));
        }
    }
    if let Some(changed) = upgrade.changes.modules.get(module) {
        use crate::facts::compare::short;
        let old = changed.loaded.as_ref().map_or("not loaded".to_owned(), |l| short(&l.md5));
        let new = changed.new.as_ref().map_or("deleted".to_owned(), |n| short(&n.facts.md5));
        out.push_str(&format!("    md5 {old} -> {new}, {} processes run it\n", changed.processes));
    }
    let waiting: Vec<String> =
        upgrade.rules.graph.edges().filter(|(_, to, _)| *to == module).map(|(from, _, _)| from.to_string()).collect();
    if !waiting.is_empty() {
        out.push_str(&format!("    before {}\n", waiting.join(", ")));
    }
    out
}

/// Why one module comes before another: the chain of evidence, or that nothing forces it.
pub(crate) fn why_before(upgrade: &Upgrade, first: &Module, then: &Module) -> String {
    let order = upgrade.rules.graph.order_flat();
    let at = |module: &Module| order.iter().position(|m| m == module).map_or(0, |at| at + 1);
    let head = format!("{first} is {} of {}, {then} is {}\n", at(first), order.len(), at(then));
    match upgrade.rules.graph.why_before(first, then) {
        Some(links) => {
            links.iter().fold(head, |mut out, link| {
                out.push_str(&format!("    {link}\n"));
                out
            })
        }
        None => format!("{head}    nothing makes {then} wait for {first}; their order is by name\n"),
    }
}
