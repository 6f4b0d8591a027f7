//! The chapters of the report: verdict, nodes, and of each node time, instructions, graph, checks, what was reported,
//! modules.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::super::replay::{place, texts};
use super::super::style::bytes;
use super::{text, timeline};
use crate::graph::draw::{Clusters, Format, ReducedGraph, draw_with, from_json, reduced};
use crate::name::Module;

/// One node's lines.
pub(super) struct NodeSection<'a> {
    pub name: &'a str,
    pub lines: Vec<&'a Value>,
}

impl<'a> NodeSection<'a> {
    /// The first line of a type.
    pub fn first(&self, kind: &str) -> Option<&'a Value> {
        self.of(kind).next()
    }

    /// All lines of a type.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.lines
            .iter()
            .copied()
            .filter(move |line| line["type"] == kind)
    }

    /// `new`, `not good` when it is new and something was wrong, `old`, `mixed`, `unknown`, or `unfinished`.
    pub fn state(&self) -> &'a str {
        // Warnings before the run have no number.
        let wrong =
            |line: &Value| line.get("seq").is_some() && line["diagnostic"]["severity"] == "error";
        match text(self.of("node.finished").last(), "state") {
            Some("new") if self.of("diagnostic").any(wrong) => "not good",
            Some(state) => state,
            None => "unfinished",
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        self.of("node.finished").last()?.get(key)?.as_f64()
    }
}

/// `38 ms`, `1.8 s`.
pub(super) fn ms(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

fn meaning(state: &str) -> (&'static str, &'static str) {
    match state {
        "new" => ("good", "runs the new version"),
        "not good" => ("bad", "is new, but with errors"),
        "old" => ("look", "runs the old version"),
        "mixed" => ("bad", "needs manual repair"),
        "unknown" => ("look", "was lost from sight"),
        _ => ("look", "has no end in this record"),
    }
}

/// The first error of a node: why it is not as it should be.
fn cause<'a>(node: &NodeSection<'a>) -> Option<&'a Value> {
    let mut errors = node.of("diagnostic").filter_map(|line| {
        let diagnostic = line.get("diagnostic")?;
        (diagnostic["severity"] == "error").then_some(diagnostic)
    });
    errors.next()
}

/// The verdict: why it failed, where it did, one sentence, and the numbers.
pub(super) fn verdict(nodes: &[NodeSection<'_>]) -> Markup {
    let done = nodes.iter().filter(|node| node.state() == "new").count();
    let all_done = done == nodes.len();
    let (class, sentence) = match nodes {
        [one] => {
            let (class, words) = meaning(one.state());
            (class, format!("{} {words}", one.name))
        }
        many if all_done => (
            "good",
            format!("all {} nodes run the new version", many.len()),
        ),
        many => (
            "look",
            format!("{done} of {} nodes run the new version", many.len()),
        ),
    };
    let causes: Vec<(&str, &Value)> = nodes
        .iter()
        .filter_map(|node| Some((node.name, cause(node)?)))
        .collect();
    let most = |key: &str| {
        let numbers = nodes.iter().filter_map(|node| node.number(key));
        numbers.fold(0.0, f64::max)
    };
    let sum = |key: &str| -> f64 { nodes.iter().filter_map(|node| node.number(key)).sum() };
    html! {
        @for (node, cause) in &causes {
            p.verdict.bad {
                @if nodes.len() > 1 { code { (node) } " " }
                (cause["title"].as_str().unwrap_or_default()) " "
                a.code href="#wrong" { (cause["code"].as_str().unwrap_or_default()) }
            }
        }
        @if causes.is_empty() { p class={ "verdict " (class) } { (sentence) } }
        @else { p class={ "outcome " (class) } { (sentence) } }
        ul.numbers {
            li { b { (ms(most("suspended_ms"))) } " suspended at most" }
            li { b { (sum("processes")) } " processes suspended" }
            li { b { (sum("converted")) } " states converted" }
            li { b { (most("modules")) } " modules" }
        }
    }
}

/// The table of nodes.
pub(super) fn nodes(nodes: &[NodeSection<'_>]) -> Markup {
    html! {
        section {
            h2 { "Nodes" }
            table.stacked {
                thead { tr { th { "node" } th { "state" } th.num { "suspended" } th.num { "processes" } th.num { "converted" } th.num { "whole run" } } }
                tbody {
                    @for node in nodes {
                        @let (class, _) = meaning(node.state());
                        tr {
                            td { code { (node.name) } }
                            td { span class={ "state " (class) } { (node.state()) } }
                            td.num data-is="suspended" {
                                (node.number("suspended_ms").map(ms).unwrap_or_default())
                                @if let Some(before) = node.number("predicted_ms") { " (predicted " (ms(before)) ")" }
                            }
                            td.num data-is="processes" { (node.number("processes").unwrap_or_default()) }
                            td.num data-is="converted" { (node.number("converted").unwrap_or_default()) }
                            td.num data-is="whole run" { (node.number("t").map(|t| ms(t * 1000.0)).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

/// Everything about one node: what went wrong, when it happened, what depends on what, and only then the terms. What
/// the node has in common with the first one is there.
pub(super) fn node(
    node: &NodeSection<'_>,
    first: Option<&NodeSection<'_>>,
    several: bool,
) -> Markup {
    let same = first.filter(|first| {
        let equal = |kind: &str, key: &str| {
            let of = |node: &NodeSection<'_>| node.first(kind).map(|line| line[key].clone());
            of(first) == of(node)
        };
        equal("script", "instructions") && equal("graph", "edges")
    });
    html! {
        @if several { h2.node { code { (node.name) } } }
        (messages(node, true))
        section { h2 { "Time" } (timeline::picture(node)) }
        (rehearsal(node))
        (checks(node))
        @match same {
            None => (graph(node)),
            Some(first) => p.soft { "Dependencies and instructions are those of " code { (first.name) } "." },
        }
        (messages(node, false))
        @if same.is_none() { (instructions(node)) }
        (modules(node))
    }
}

/// More entries than these are folded away until they are asked for.
const OPEN: usize = 40;

/// A long list behind a line that says how long it is.
fn foldable(number: usize, what: &str, list: &Markup) -> Markup {
    html! {
        @if number > OPEN { details.long { summary { (number) " " (what) } (list) } } @else { (list) }
    }
}

/// The instructions with their reasons.
fn instructions(node: &NodeSection<'_>) -> Markup {
    let Some(script) = node.first("script") else {
        return html! {};
    };
    let all: Vec<&Value> = script["instructions"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let list = html! {
        ol.script {
            @for step in &all {
                li {
                    code.term { (step["term"].as_str().unwrap_or_default()) }
                    @if let Some(class) = step["class"].as_str() { " " span.tag { (class) } }
                    ul {
                        @for why in step["why"].as_array().into_iter().flatten() { li { (reason(why)) } }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Instructions" }
            (foldable(all.len(), "instructions", &list))
            @let low = texts(&script["low"]);
            @if !low.is_empty() {
                details {
                    summary { "as a relup would have them (" (low.len()) ")" }
                    pre { @for line in &low { (line) "\n" } }
                }
            }
        }
    }
}

fn reason(why: &Value) -> Markup {
    let words = why["text"].as_str().unwrap_or_default();
    html! {
        // An edge's text says after which modules.
        @let after = why["text"].as_str().and_then(|text| Some(text.split_once(": ")?.0));
        @let after = after.filter(|text| text.starts_with("after "));
        @match (why["because"].as_str(), why["line"].as_u64()) {
            (Some(because), Some(line)) => {
                @if let Some(after) = after { (after) " " }
                "because “" (because) "” " a href={ "#L" (line) } { "plan, line " (line) } }
            (None, Some(line)) => { (words) " " a href={ "#L" (line) } { "plan, line " (line) } }
            _ => (words),
        }
    }
}

/// The dependency graph as a picture.
fn graph(node: &NodeSection<'_>) -> Markup {
    let drawn = node.first("graph").and_then(from_json);
    let Some(graph) = drawn else {
        return html! {};
    };
    let clusters: Clusters = node
        .first("facts")
        .and_then(|facts| facts["modules"].as_array())
        .into_iter()
        .flatten()
        .filter_map(|module| {
            let app = module["application"].as_str()?.to_owned();
            Some((Module::new(module["module"].as_str()?), app))
        })
        .collect();
    let all = graph.modules().count();
    let part = reduced(&graph);
    let is_drawn = part.graph.modules().next().is_some();
    let picture = draw_with(&part.graph, Format::Svg, &clusters);
    html! {
        section {
            h2 { "Dependencies" }
            @if let Some(words) = left_out(&part, all) {
                p.soft { (words) " All of them: " code { "updo graph PLAN --format svg" } }
            }
            // Our own drawing, which has escaped every name in it.
            @if is_drawn { div.picture { (PreEscaped(picture)) } }
        }
    }
}

/// How many modules the picture leaves out, and why.
fn left_out(part: &ReducedGraph, all: usize) -> Option<String> {
    let gone = part.left_out();
    if gone == 0 {
        return None;
    }
    let mut why = Vec::new();
    if part.alone > 0 {
        why.push(format!(
            "{} have no dependency among what changes",
            part.alone
        ));
    }
    if part.ordinary > 0 {
        why.push(format!(
            "{} have ordinary calls only, and fewer of them",
            part.ordinary
        ));
    }
    Some(format!(
        "{} of {all} modules are drawn: those with an unusual dependency (what only the new version has, a cycle, \
         a line of the plan) and what is connected. Left out: {gone} ({}).",
        all - gone,
        why.join("; ")
    ))
}

/// What the first phase has found of each module whose states were tried.
fn rehearsal(node: &NodeSection<'_>) -> Markup {
    let line = node.first("rehearsal");
    let modules = line.and_then(|line| line["modules"].as_array());
    let Some(modules) = modules.filter(|modules| !modules.is_empty()) else {
        return html! {};
    };
    let size = |sizes: &Value| {
        let at = |key: &str| sizes[key].as_u64().map(bytes);
        at("median").zip(at("largest"))
    };
    let table = html! {
        table.stacked {
            thead { tr { th { "module" } th { "states" } th { "size before: median, largest" } th { "after" } th { "going back" } } }
            tbody {
                @for module in modules {
                    @let number = |key: &str| module[key].as_u64().unwrap_or_default();
                    @let all = number("converted") + number("failed");
                    tr {
                        td { code { (module["module"].as_str().unwrap_or_default()) } }
                        td data-is="states" {
                            @if module["kept"] == true { (all) " inspected" }
                            @else { (number("converted")) " of " (all) " convert" }
                            @for line in texts(&module["children"]["lines"]) { br; span.soft { (line) } }
                        }
                        td data-is="before" { @if let Some((median, largest)) = size(&module["bytes"]) { (median) ", " (largest) } }
                        td data-is="after" { @if let Some((median, largest)) = size(&module["new_bytes"]) { (median) ", " (largest) } }
                        td data-is="going back" { (module["going_back"]["line"].as_str().unwrap_or_default()) }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Rehearsal" }
            @if let Some(message) = line.and_then(|line| line["message"].as_str()) { p.soft { (message) } }
            (foldable(modules.len(), "modules", &table))
        }
    }
}

/// What was checked, before and after.
fn checks(node: &NodeSection<'_>) -> Markup {
    let all: Vec<&Value> = node
        .lines
        .iter()
        .copied()
        .filter(|line| {
            let kind = line["type"].as_str().unwrap_or_default();
            ["check", "hook", "hold", "gate"].contains(&kind)
        })
        .collect();
    html! {
        @if !all.is_empty() {
            section {
                h2 { "Checks and hooks" }
                table.stacked {
                    thead { tr { th { "" } th { "what" } th { "holds" } th.num { "tries" } th.num { "took" } } }
                    tbody {
                        @for line in all {
                            @let ok = line["ok"].as_bool().unwrap_or_default();
                            tr {
                                td.soft { (line["kind"].as_str().or(line["type"].as_str()).unwrap_or("hook")) }
                                td {
                                    (line["name"].as_str().unwrap_or_default())
                                    @if let Some(goal) = line["for_ms"].as_f64() {
                                        " (held " (ms(line["held_ms"].as_f64().unwrap_or_default())) " of " (ms(goal)) ")"
                                    }
                                    @if let Some(before) = line["before"].as_str() { " (before " (before) ")" }
                                }
                                td data-is="holds" { span class={ "state " (if ok { "good" } else { "bad" }) } { (if ok { "yes" } else { "no" }) } }
                                td.num data-is="tries" { (line["tries"].as_u64().unwrap_or(1)) }
                                td.num data-is="took" { (ms(line["took_ms"].as_f64().unwrap_or_default())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Errors; or warnings, advice, and what hooks and checks logged.
fn messages(node: &NodeSection<'_>, errors: bool) -> Markup {
    let diagnostics: Vec<&Value> = node
        .of("diagnostic")
        .filter_map(|line| line.get("diagnostic"))
        .filter(|diagnostic| (diagnostic["severity"] == "error") == errors)
        .collect();
    let logged: Vec<&Value> = match errors {
        true => Vec::new(),
        false => node.of("log").collect(),
    };
    html! {
        @if !diagnostics.is_empty() {
            section id=[errors.then_some("wrong")] {
                h2 { (if errors { "What went wrong" } else { "Warnings" }) }
                @for diagnostic in diagnostics {
                    @let severity = diagnostic["severity"].as_str().unwrap_or_default();
                    @let class = match severity { "error" => "bad", "warning" => "look", _ => "soft" };
                    article.message {
                        p { span class={ "state " (class) } { (diagnostic["code"].as_str().unwrap_or_default()) } " " (diagnostic["title"].as_str().unwrap_or_default()) }
                        @for label in diagnostic["labels"].as_array().into_iter().flatten() {
                            p.note {
                                a href={ "#L" (label["line"].as_u64().unwrap_or(1)) } { (place(label)) }
                                " " (label["text"].as_str().unwrap_or_default())
                            }
                        }
                        @for note in texts(&diagnostic["notes"]) { p.note { (note) } }
                        @if let Some(help) = diagnostic["help"].as_str() { p.help { (help) } }
                    }
                }
            }
        }
        @if !logged.is_empty() {
            section {
                h2 { "Logged" }
                pre { @for line in logged { (line["text"].as_str().unwrap_or_default()) "\n" } }
            }
        }
    }
}

/// What differs in each module.
fn modules(node: &NodeSection<'_>) -> Markup {
    let all = node
        .first("facts")
        .and_then(|facts| facts["modules"].as_array());
    html! {
        @if let Some(all) = all {
            @let list = html! {
                table.stacked {
                    thead { tr { th { "module" } th { "application" } th { "md5" } th { "exports" } th.num { "processes" } th { "undo" } } }
                    tbody { @for module in all { (module_row(module)) } }
                }
            };
            section {
                h2 { "Modules" }
                (foldable(all.len(), "modules", &list))
            }
        }
    }
}

fn module_row(module: &Value) -> Markup {
    let short = |md5: &Value| {
        let md5 = md5.as_str().unwrap_or("none");
        md5.get(..8).unwrap_or(md5).to_owned()
    };
    let exports = &module["exports"];
    html! {
        tr {
            td { code { (module["module"].as_str().unwrap_or_default()) } " " span.tag { (module["kind"].as_str().unwrap_or_default()) } }
            td data-is="application" { (module["application"].as_str().unwrap_or("none")) }
            td data-is="md5" { code { (short(&module["md5"]["old"])) } " → " code { (short(&module["md5"]["new"])) } }
            td data-is="exports" {
                @for added in texts(&exports["added"]) { code.added { "+" (added) } " " }
                @for removed in texts(&exports["removed"]) { code.removed { "-" (removed) } " " }
            }
            td.num data-is="processes" { (module["processes"].as_u64().unwrap_or_default()) }
            td data-is="undo" { (module["undo"].as_str().unwrap_or_default()) }
        }
    }
}
