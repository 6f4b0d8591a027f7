//! The report of a run: one self-contained HTML file, readable without script, in print and in the dark.
//!
//! Takes the lines of a stream (a record, or what `run --events` wrote) and nothing else, so that it can be made
//! years later on another machine; the lines are in the file again, as data. maud escapes everything that comes from
//! outside, and [`safe`] what a browser would obey. Parts: `sections` are the chapters, `timeline` the picture of time.

mod sections;
mod timeline;

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use crate::diag::safe;
use sections::NodeSection;

/// Everything about one run, by node in the order in which they were begun.
struct Run<'a> {
    nodes: Vec<NodeSection<'a>>,
    lines: &'a [Value],
}

impl<'a> Run<'a> {
    fn of(lines: &'a [Value]) -> Self {
        let mut order: Vec<&str> = Vec::new();
        let mut by_node: BTreeMap<&str, Vec<&'a Value>> = BTreeMap::new();
        for line in lines {
            let Some(node) = line.get("node").and_then(Value::as_str) else {
                continue;
            };
            if !by_node.contains_key(node) {
                order.push(node);
            }
            by_node.entry(node).or_default().push(line);
        }
        let nodes = order.into_iter().map(|name| NodeSection {
            name,
            lines: by_node.remove(name).unwrap_or_default(),
        });
        Self {
            nodes: nodes.collect(),
            lines,
        }
    }

    /// `run 7f2a`, or the runs of a rollout.
    fn names(&self) -> String {
        /// So many runs are named.
        const NAMED: usize = 4;
        let started = self
            .nodes
            .iter()
            .filter_map(|node| node.of("node.started").last());
        let runs: Vec<&str> = started.filter_map(|line| text(Some(line), "run")).collect();
        match runs.as_slice() {
            [] => "not begun".to_owned(),
            [one] => format!("run {one}"),
            few if few.len() <= NAMED => format!("runs {}", few.join(", ")),
            many => {
                let more = many.len() - NAMED;
                format!("runs {} and {more} more", many[..NAMED].join(", "))
            }
        }
    }

    /// The first line of a type, of any node.
    fn first(&self, kind: &str) -> Option<&'a Value> {
        self.lines.iter().find(|line| line["type"] == kind)
    }
}

/// The report; `None` when the lines are about no node.
pub fn html(lines: &[Value]) -> Option<String> {
    let shown: Vec<Value> = lines.iter().map(safe::value).collect();
    let run = Run::of(&shown);
    if run.nodes.is_empty() {
        return None;
    }
    let title = text(run.first("plan"), "title").unwrap_or("an upgrade");
    let id = run.names();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · " (id) }
                style { (PreEscaped(include_str!("html/style.css"))) }
            }
            body {
                header {
                    p.kicker { "updo · " (id) }
                    h1 { (title) }
                    (sections::verdict(&run.nodes))
                    (facts(&run))
                }
                main {
                    (sections::nodes(&run.nodes))
                    @for (at, node) in run.nodes.iter().enumerate() {
                        @let first = run.nodes.first().filter(|_| at > 0);
                        (sections::node(node, first, run.nodes.len() > 1))
                    }
                    (source(&run))
                    (environment(&run))
                }
                script type="application/json" id="events" { (PreEscaped(embedded(lines))) }
            }
        }
    };
    Some(page.into_string())
}

/// User, time, plan and outcome.
fn facts(run: &Run<'_>) -> Markup {
    let plan = run.first("plan");
    let stream = run.first("stream");
    let metadata = plan.and_then(|plan| plan["metadata"].as_object());
    html! {
        dl.facts {
            @if let Some(time) = text(stream, "time") { div { dt { "began" } dd { (time) } } }
            @if let Some(owner) = text(plan, "owner") { div { dt { "by" } dd { (owner) } } }
            @if let Some(note) = text(plan, "note") { div { dt { "for" } dd { (note) } } }
            @if let Some(end) = run.lines.iter().rev().find(|line| line["type"] == "run.finished") {
                @if let Some(exit) = end["exit"].as_u64() { div { dt { "exit" } dd { (exit) } } }
            }
            @if let Some(file) = text(plan, "file") { div { dt { "plan" } dd { code { (file) } } } }
            @if let Some(hash) = text(plan, "sha256") {
                div { dt { "sha256" } dd { code title=(hash) { (hash.get(..16).unwrap_or(hash)) "…" } } }
            }
            @for (key, value) in metadata.into_iter().flatten() {
                div { dt { (key) } dd { (value.as_str().unwrap_or_default()) } }
            }
        }
    }
}

/// The plan with an anchor at every line.
fn source(run: &Run<'_>) -> Markup {
    let source = text(run.first("plan"), "source").unwrap_or_default();
    html! {
        @if !source.is_empty() {
            section {
                h2 { "The plan" }
                pre.plan {
                    @for (at, line) in source.lines().enumerate() {
                        span.line id={ "L" (at + 1) } { span.number { (at + 1) } (line) "\n" }
                    }
                }
            }
        }
    }
}

fn environment(run: &Run<'_>) -> Markup {
    let stream = run.first("stream");
    let otp = run.first("facts").and_then(|facts| facts["otp"].as_u64());
    html! {
        section {
            h2 { "Made by" }
            dl.facts {
                @if let Some(updo) = text(stream, "updo") { div { dt { "updo" } dd { (updo) } } }
                @if let Some(schema) = text(stream, "schema") { div { dt { "events" } dd { (schema) } } }
                @if let Some(otp) = otp { div { dt { "OTP of the node" } dd { (otp) } } }
            }
        }
    }
}

/// The events as data; `</script` cannot occur in it.
fn embedded(lines: &[Value]) -> String {
    let all: Vec<String> = lines.iter().map(ToString::to_string).collect();
    safe::json(&format!("[{}]", all.join(",\n")))
        .replace("</", "<\\/")
        .replace("<!--", "<\\u0021--")
}

/// A text of a line.
fn text<'a>(line: Option<&'a Value>, key: &str) -> Option<&'a str> {
    line?.get(key)?.as_str().filter(|text| !text.is_empty())
}
