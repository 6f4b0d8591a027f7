//! `updo check`: reads, resolves and lints plans, without a network.

use serde_json::Value;

use super::args::Check;
use super::{Context, Exit};
use crate::diag::render::to_json;
use crate::engine::Engine;
use crate::report::paint;

pub(super) fn run(context: &Context<'_>, args: &Check) -> Exit {
    let mut failed = false;
    let mut all: Vec<Value> = Vec::new();
    for plan in &args.plans {
        let mut settings = context.settings();
        settings.strict = args.strict;
        let opened = Engine::open(plan, settings);
        failed |= opened.engine.is_none();
        if context.ui.json {
            all.extend(
                opened
                    .diagnostics
                    .iter()
                    .map(|d| to_json(d, &opened.sources)),
            );
            continue;
        }
        context.ui.diagnostics(&opened.diagnostics, &opened.sources);
        let errors = opened.diagnostics.iter().filter(|d| d.is_error()).count();
        let mark = paint::mark(context.ui.style, errors == 0);
        let verdict = match errors {
            0 => "is fine as far as that can be said without a node".to_owned(),
            n => format!("has {}", paint::count(n, "error", "errors")),
        };
        context
            .ui
            .status(&format!("{mark} {} {verdict}", plan.display()));
    }
    if context.ui.json {
        context.ui.data(&format!("{:#}\n", Value::Array(all)));
    }
    if failed { Exit::Plan } else { Exit::Done }
}
