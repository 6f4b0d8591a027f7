//! The graph as text, edge list, DOT, Mermaid or JSON.

mod from_json;
mod layout;
mod overview;
mod page;
mod reduced;
mod svg;

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;

use super::Graph;
use crate::diag::safe;
use crate::facts::local::call_graph::CallGraph;
use crate::name::Module;

pub use from_json::from_json;
pub use reduced::{ReducedGraph, reduced};

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One module a line with what it waits for.
    Text,
    /// One `caller -> callee` a line, sorted.
    Edges,
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
    /// A picture.
    Svg,
    /// A document with modules, edges and reasons.
    Json,
}

/// What modules belong together in a picture: each one's application.
pub type Clusters = BTreeMap<Module, String>;

/// Draws the graph; ends in a newline.
pub fn draw(graph: &Graph, format: Format) -> String {
    draw_with(graph, format, &Clusters::new())
}

/// Draws the graph, and in a picture what belongs together.
pub fn draw_with(graph: &Graph, format: Format, clusters: &Clusters) -> String {
    let drawn = match format {
        Format::Svg => svg::svg(graph, clusters),
        Format::Text => text(graph),
        Format::Edges => edges(graph),
        Format::Dot => dot(graph),
        Format::Mermaid => mermaid(graph),
        Format::Json => return safe::json(&format!("{:#}\n", to_json(graph))).into_owned(),
    };
    safe::text(&drawn).into_owned()
}

fn text(graph: &Graph) -> String {
    let mut out = String::new();
    for component in graph.order() {
        let mark = if component.cyclic { "cycle " } else { "" };
        for module in &component.modules {
            let _ = writeln!(out, "{mark}{module}");
            for (to, edge) in graph.dependencies(module) {
                let kind = if edge.is_hard() { "after" } else { "calls" };
                let why = edge
                    .reasons
                    .first()
                    .map(|r| r.sentence(module, to))
                    .unwrap_or_default();
                let _ = writeln!(out, "    {kind} {to}: {why}");
            }
        }
    }
    for gone in &graph.removed {
        let why = gone
            .because
            .as_ref()
            .map(|b| format!(" because \"{b}\""))
            .unwrap_or_default();
        let _ = writeln!(out, "removed {} -> {}{why}", gone.from, gone.to);
    }
    out
}

fn edges(graph: &Graph) -> String {
    graph.edges().fold(String::new(), |mut out, (from, to, _)| {
        let _ = writeln!(out, "{from} -> {to}");
        out
    })
}

fn dot(graph: &Graph) -> String {
    let mut out = String::from(
        "digraph upgrade {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n",
    );
    for module in graph.modules() {
        let _ = writeln!(out, "  {};", quoted(module));
    }
    for (at, cycle) in graph.cycles().iter().enumerate() {
        let members: Vec<_> = cycle.iter().map(quoted).collect();
        let _ = writeln!(
            out,
            "  subgraph cluster_{at} {{ label=\"cycle\"; style=dashed; {}; }}",
            members.join("; ")
        );
    }
    for (from, to, edge) in graph.edges() {
        let style = if edge.is_hard() {
            "style=bold"
        } else {
            "color=gray50"
        };
        let _ = writeln!(out, "  {} -> {} [{style}];", quoted(from), quoted(to));
    }
    for gone in &graph.removed {
        let _ = writeln!(
            out,
            "  {} -> {} [style=dashed];",
            quoted(&gone.from),
            quoted(&gone.to)
        );
    }
    out.push_str("}\n");
    out
}

fn mermaid(graph: &Graph) -> String {
    let ids: std::collections::BTreeMap<&Module, usize> = graph
        .modules()
        .enumerate()
        .map(|(at, module)| (module, at))
        .collect();
    let mut out = String::from("graph LR\n");
    for (module, at) in &ids {
        let _ = writeln!(
            out,
            "  m{at}[\"{}\"]",
            module.as_str().replace('"', "#quot;")
        );
    }
    for (from, to, edge) in graph.edges() {
        let arrow = if edge.is_hard() { "==>" } else { "-->" };
        let _ = writeln!(out, "  m{} {arrow} m{}", ids[from], ids[to]);
    }
    out
}

/// Calls as `xref` answers them, one `caller -> callee` a line, in Erlang's order of atoms. Modules are
/// written as `io:format("~tp")` writes atoms: `lists`, `'Elixir.Enum'`.
pub fn calls(calls: &CallGraph) -> String {
    let names: Vec<String> = calls.modules().iter().map(atom).collect();
    let place = |module: &Module| calls.modules().binary_search(module).unwrap_or_default();
    let mut out = String::with_capacity(calls.edges().len() * 32);
    for (from, to) in calls.edges() {
        for part in [&names[place(from)], " -> ", &names[place(to)], "\n"] {
            out.push_str(part);
        }
    }
    out
}

fn atom(module: &Module) -> String {
    crate::term::Term::atom(module.as_str()).to_string()
}

/// The graph as a JSON document.
pub fn to_json(graph: &Graph) -> serde_json::Value {
    json!({
        "modules": graph.modules().map(Module::as_str).collect::<Vec<_>>(),
        "order": graph.order_flat().iter().map(Module::as_str).collect::<Vec<_>>(),
        "cycles": graph.cycles().iter()
            .map(|c| c.iter().map(Module::as_str).collect::<Vec<_>>()).collect::<Vec<_>>(),
        "edges": graph.edges().map(|(from, to, edge)| json!({
            "from": from.as_str(),
            "to": to.as_str(),
            "hard": edge.is_hard(),
            "kind": edge.reasons.first().map(super::Reason::kind),
            "reasons": edge.reasons.iter().map(|r| r.sentence(from, to)).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "removed": graph.removed.iter().map(|gone| json!({
            "from": gone.from.as_str(),
            "to": gone.to.as_str(),
            "because": gone.because,
        })).collect::<Vec<_>>(),
    })
}

fn quoted(module: &Module) -> String {
    format!(
        "\"{}\"",
        module.as_str().replace('\\', "\\\\").replace('"', "\\\"")
    )
}
