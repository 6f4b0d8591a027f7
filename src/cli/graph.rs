//! `updo graph`: the dependency graph of the changed modules, with the plan's rules in it.

use super::args::{Graph, GraphFormat};
use super::{Context, Exit};
use crate::graph::draw::{Format, draw};

pub(super) fn run(context: &Context<'_>, args: &Graph) -> Exit {
    let Some(engine) = context.open(&args.plan, context.settings()) else {
        return Exit::Plan;
    };
    let drawn = engine
        .nodes(context.global.target.as_deref())
        .and_then(|nodes| {
            nodes
                .iter()
                .map(|node| Ok(engine.connect(node)?.prepare()?.rules.graph))
                .collect::<crate::diag::Result<Vec<_>>>()
        });
    match drawn {
        Err(diagnostic) => context.fail(*diagnostic, &engine.plan.sources),
        Ok(graphs) => {
            let format = match args.format {
                _ if context.ui.json => Format::Json,
                GraphFormat::Text => Format::Text,
                GraphFormat::Edges => Format::Edges,
                GraphFormat::Dot => Format::Dot,
                GraphFormat::Mermaid => Format::Mermaid,
                GraphFormat::Json => Format::Json,
            };
            for graph in graphs {
                context.ui.data(&draw(&graph, format));
            }
            Exit::Done
        }
    }
}
