//! `updo graph`: the dependency graph of the changed modules, with the plan's rules in it; with `--beams`
//! the calls between the modules of any folders, without a plan and without a node.

use std::path::{Path, PathBuf};

use super::args::{GraphArgs, GraphFormat};
use super::context::Context;
use super::exit::Exit;
use crate::diag::suggest::suggest;
use crate::diag::{Diagnostic, SourceMap};
use crate::engine::Settings;
use crate::facts::beam::bifs;
use crate::facts::local::call_graph;
use crate::facts::local::files::{self, FileError};
use crate::graph::draw::{self, Clusters, Format, draw_with};
use crate::graph::{self, build};
use crate::name::Module;

pub(super) fn run(context: &Context<'_>, args: &GraphArgs) -> Exit {
    let settings = match context.settings_for(args.plan.as_deref(), &args.push) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match &args.plan {
        Some(plan) => of_plan(context, args, settings, plan),
        None => of_beams(context, args),
    }
}

fn format(context: &Context<'_>, args: &GraphArgs) -> Format {
    match args.format {
        _ if context.ui.json => Format::Json,
        GraphFormat::Text => Format::Text,
        GraphFormat::Edges => Format::Edges,
        GraphFormat::Dot => Format::Dot,
        GraphFormat::Mermaid => Format::Mermaid,
        GraphFormat::Svg => Format::Svg,
        GraphFormat::Json => Format::Json,
    }
}

fn of_plan(context: &Context<'_>, args: &GraphArgs, settings: Settings, plan: &Path) -> Exit {
    let Some(engine) = context.open(plan, settings) else {
        return Exit::Plan;
    };
    let upgrades = engine
        .nodes(context.global.target.as_deref())
        .and_then(|nodes| {
            nodes
                .iter()
                .map(|node| engine.connect(node)?.prepare())
                .collect::<crate::diag::Result<Vec<_>>>()
        });
    let upgrades = match upgrades {
        Ok(upgrades) => upgrades,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    for upgrade in upgrades {
        let clusters: Clusters = upgrade
            .changes
            .modules
            .iter()
            .filter_map(|(module, changed)| {
                Some((module.clone(), changed.app.as_ref()?.as_str().to_owned()))
            })
            .collect();
        match near(context, args, upgrade.rules.graph) {
            Ok(graph) => context
                .ui
                .data(&draw_with(&graph, format(context, args), &clusters)),
            Err(exit) => return exit,
        }
    }
    Exit::Done
}

fn of_beams(context: &Context<'_>, args: &GraphArgs) -> Exit {
    let patterns: Vec<&str> = args.beams.iter().map(String::as_str).collect();
    let paths = match files::beams_in(&patterns, Path::new("")) {
        Ok(paths) => paths,
        Err(error) => return refuse(context, &[error]),
    };
    if paths.is_empty() {
        let pattern = args.beams.join(" ");
        return refuse(context, &[FileError::Nothing { pattern }]);
    }
    let otp = args.otp.unwrap_or(bifs::NEWEST);
    let format = format(context, args);
    if format == Format::Edges {
        return edges(context, args, &paths, otp);
    }
    let mut facts = Vec::with_capacity(paths.len());
    let mut wrong = Vec::new();
    for read in files::facts_of(&paths) {
        match read {
            Ok(read) => facts.push(read),
            Err(error) => wrong.push(error),
        }
    }
    if wrong.is_empty() {
        wrong.extend(files::twice(&paths));
    }
    if !wrong.is_empty() {
        return refuse(context, &wrong);
    }
    let clusters = paths.iter().filter_map(|path| {
        let module = Module::new(path.file_stem()?.to_str()?);
        Some((module, files::application_of(path)?))
    });
    match near(context, args, build::of_beams(&facts, otp)) {
        Ok(graph) => {
            let clusters = clusters.collect();
            context.ui.data(&draw_with(&graph, format, &clusters));
            Exit::Done
        }
        Err(exit) => exit,
    }
}

/// The format that only needs to know the call graph, for which there is a faster way to read.
fn edges(context: &Context<'_>, args: &GraphArgs, paths: &[PathBuf], otp: u32) -> Exit {
    let calls = match call_graph::call_graph(paths, otp) {
        Ok(calls) => calls,
        Err(wrong) => return refuse(context, &wrong),
    };
    let Some(around) = &args.around else {
        context.ui.data(&draw::calls(&calls));
        return Exit::Done;
    };
    let near = spellings(around)
        .iter()
        .find_map(|middle| calls.around(middle, args.depth));
    match near {
        Some(near) => {
            context.ui.data(&draw::calls(&near));
            Exit::Done
        }
        None => unknown(context, around, calls.modules().iter()),
    }
}

/// What `--around` and `--depth` leave of a graph.
fn near(
    context: &Context<'_>,
    args: &GraphArgs,
    graph: graph::Graph,
) -> Result<graph::Graph, Exit> {
    let Some(around) = &args.around else {
        return Ok(graph);
    };
    let near = spellings(around)
        .iter()
        .find_map(|middle| graph.around(middle, args.depth));
    near.ok_or_else(|| unknown(context, around, graph.modules()))
}

/// What a typed name may mean: `Shop.Cart` is Elixir's, but `ELDAPv3` is not.
fn spellings(text: &str) -> [Module; 2] {
    [Module::typed(text), Module::new(text.trim_matches('\''))]
}

fn unknown<'a>(context: &Context<'_>, text: &str, known: impl Iterator<Item = &'a Module>) -> Exit {
    let help = match suggest(text, known.map(Module::as_str)) {
        Some(close) => format!("did you mean `{}`?", Module::new(close)),
        None => "--around takes the name of a module in the graph".to_owned(),
    };
    context.usage(&format!("`{text}` is not in the graph"), &help)
}

/// Says what is wrong with files; the worst comes first and gives the exit code.
fn refuse(context: &Context<'_>, wrong: &[FileError]) -> Exit {
    let errors: Vec<Diagnostic> = wrong.iter().map(FileError::diagnostic).collect();
    context.ui.diagnostics(&errors, &SourceMap::default());
    errors
        .first()
        .map_or(Exit::Done, |first| Exit::of(first.code))
}
