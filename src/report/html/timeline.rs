//! A node's run as a picture: one bar a step, the time in which processes are suspended shaded.

use maud::{Markup, html};
use serde_json::Value;

use super::sections::{NodeSection, ms};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 118.0;
const RIGHT: f64 = 70.0;
const ROW: f64 = 26.0;
const TOP: f64 = 30.0;

/// A step in time, ms since the first began.
struct Bar<'a> {
    name: &'a str,
    what: &'a str,
    from: f64,
    took: f64,
    ok: bool,
    /// The process that it waited for longest, where that was reported.
    slowest: Option<String>,
    /// How often a suspension was tried.
    attempts: u64,
    /// How long the processes have been paused, of `took`.
    paused: f64,
}

/// The picture; a sentence when no step was taken.
pub(super) fn picture(node: &NodeSection<'_>) -> Markup {
    let bars = bars(node);
    if bars.is_empty() {
        return html! { p.soft { "No step was taken on this node." } };
    }
    let end = bars
        .iter()
        .map(|bar| bar.from + bar.took)
        .fold(1.0, f64::max);
    let start = bars.iter().map(|bar| bar.from).fold(end, f64::min);
    let span = (end - start).max(0.1);
    let scale = (WIDTH - LEFT - RIGHT) / span;
    let x = |at: f64| LEFT + (at - start) * scale;
    let height = TOP + ROW * bars.len() as f64 + 30.0;
    let bottom = TOP + ROW * bars.len() as f64;
    let shades = standing(&bars);
    html! {
        div.picture {
            svg.time xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
                aria-label="the steps of the run in time" {
                @for (from, to) in &shades {
                    @let wide = (x(*to) - x(*from)).max(1.0);
                    rect.shade x=(px(x(*from))) y=(px(TOP - 12.0)) width=(px(wide)) height=(px(bottom - TOP + 16.0)) {}
                    text.small x=(px(x(*from) + wide / 2.0)) y=(px(TOP - 16.0)) text-anchor="middle" { "processes suspended" }
                }
                @for (at, bar) in bars.iter().enumerate() {
                    @let y = TOP + ROW * at as f64;
                    text x=(px(LEFT - 12.0)) y=(px(y + 13.0)) text-anchor="end" { (bar.name) }
                    rect class={ "bar " (if bar.ok { "good" } else { "bad" }) } x=(px(x(bar.from))) y=(px(y + 2.0))
                        width=(px((bar.took * scale).max(2.0))) height="14" rx="2" {
                        title {
                            (bar.name) " " (bar.what) ": " (ms(bar.took))
                            @if let Some(slowest) = &bar.slowest { "; slowest " (slowest) }
                        }
                    }
                    text.small x=(px(x(bar.from) + (bar.took * scale).max(2.0) + 6.0)) y=(px(y + 13.0)) { (ms(bar.took)) }
                }
                line.axis x1=(px(LEFT)) y1=(px(bottom + 6.0)) x2=(px(WIDTH - RIGHT)) y2=(px(bottom + 6.0)) {}
                text.small x=(px(LEFT)) y=(px(bottom + 22.0)) { (ms(start)) }
                text.small x=(px(WIDTH - RIGHT)) y=(px(bottom + 22.0)) text-anchor="end" { (ms(end)) " on the node" }
            }
        }
        @for bar in bars.iter().filter(|bar| bar.attempts > 1) {
            p.soft { (bar.name) ": " (bar.attempts) " attempts; between them all processes were resumed" }
        }
        @for bar in &bars {
            @if let Some(slowest) = &bar.slowest {
                p.soft { (bar.name) " waited for " code { (slowest) } }
            }
        }
    }
}

fn px(number: f64) -> String {
    format!("{number:.1}")
}

/// The steps, end to end: the node takes one after the other, and how long each took was measured there. When their
/// events arrived here would tell about the connection.
fn bars<'a>(node: &NodeSection<'a>) -> Vec<Bar<'a>> {
    let mut from = 0.0;
    let bar = |line: &'a Value| {
        let name = match line["type"].as_str()? {
            "step.finished" => line["step"].as_str()?,
            "rollback.finished" => "undo",
            _ => return None,
        };
        let took = line["took_ms"].as_f64()?;
        let bar = Bar {
            name,
            what: line["what"].as_str().unwrap_or_default(),
            from,
            took,
            ok: line["ok"].as_bool().unwrap_or(true),
            slowest: slowest(node, &line["id"]),
            attempts: line["attempts"].as_u64().unwrap_or(1),
            paused: line["paused_ms"].as_f64().map_or(took, |ms| ms.min(took)),
        };
        from += took;
        Some(bar)
    };
    node.lines.iter().copied().filter_map(bar).collect()
}

/// The last report of the processes that a step waits for.
fn slowest(node: &NodeSection<'_>, step: &Value) -> Option<String> {
    let has_slowest = |line: &&&Value| {
        let waits = line["type"] == "step.progress" || line["type"] == "step.postponed";
        waits && line["id"] == *step && line["slowest"][0].is_object()
    };
    let slow = &node.lines.iter().rev().find(has_slowest)?["slowest"][0];
    let (pid, at) = (slow["pid"].as_str()?, slow["at"].as_str()?);
    Some(format!("{pid} {} in {at}", ms(slow["ms"].as_f64()?)))
}

/// From the beginning of each suspend to the end of the resume after it.
fn standing(bars: &[Bar<'_>]) -> Vec<(f64, f64)> {
    let mut shades = Vec::new();
    let mut since = None;
    for bar in bars {
        match (bar.name, since) {
            ("suspend", None) if bar.attempts > 1 => {
                since = Some(bar.from + bar.took - bar.paused);
            }
            ("suspend", None) => since = Some(bar.from),
            ("resume" | "undo", Some(from)) => {
                shades.push((from, bar.from + bar.took));
                since = None;
            }
            _ => {}
        }
    }
    shades
}
