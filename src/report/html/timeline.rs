//! A node's run as a picture: one bar a step, the time in which processes are suspended shaded.

use maud::{Markup, html};
use serde_json::Value;

use super::sections::{NodeSection, ms};

/// Height of a row: its words above its bar, so that both are readable on any width.
const ROW: f64 = 36.0;
const TOP: f64 = 24.0;
/// Where bars begin and how wide all are together, percent of the width.
const LEFT: f64 = 1.0;
const WIDE: f64 = 98.0;
/// Characters of what a check is called.
const NAME: usize = 60;

/// A step in time, ms since the first began.
struct Bar<'a> {
    name: &'a str,
    what: &'a str,
    from: f64,
    took: f64,
    /// How long it is drawn: as it took, but what waits long leaves room for the steps.
    drawn: f64,
    /// How many bars before it are part of it.
    spans: usize,
    /// Whether it is no work on the node: a check, a hook, the soak.
    is_beside: bool,
    ok: bool,
    /// The process that it waited for longest, where that was reported.
    slowest: Option<String>,
    /// How often a suspension was tried.
    attempts: u64,
    /// How long the processes have been paused, of `took`.
    paused: f64,
}

impl<'a> Bar<'a> {
    fn new(name: &'a str, what: &'a str, took: f64) -> Self {
        Self {
            name,
            what,
            from: 0.0,
            took,
            drawn: took,
            spans: 0,
            is_beside: false,
            ok: true,
            slowest: None,
            attempts: 1,
            paused: took,
        }
    }
}

/// The picture; a sentence when no step was taken.
pub(super) fn picture(node: &NodeSection<'_>) -> Markup {
    let bars = bars(node);
    if bars.is_empty() {
        return html! { p.soft { "No step was taken on this node." } };
    }
    let whole = bars.iter().map(|bar| bar.from + bar.drawn);
    let whole = whole.fold(0.1, f64::max);
    let steps = of_steps(&bars);
    let x = |at: f64| LEFT + at / whole * WIDE;
    let bottom = TOP + ROW * bars.len() as f64;
    let shades = suspended_spans(&bars, node.number("suspended_ms"));
    html! {
        div.picture {
            svg.time xmlns="http://www.w3.org/2000/svg" width="100%" height=(px(bottom + 28.0)) role="img"
                aria-label="the steps and checks of the run in time" {
                @for (from, to) in &shades {
                    @let wide = (x(*to) - x(*from)).max(0.2);
                    rect.shade x=(percent(x(*from))) y=(px(TOP - 6.0)) width=(percent(wide)) height=(px(bottom - TOP + 8.0)) {}
                    @let (anchor, at) = if *from > whole / 2.0 { ("end", *to) } else { ("start", *from) };
                    text.small x=(percent(x(at))) y=(px(TOP - 10.0)) text-anchor=(anchor) { "processes suspended" }
                }
                @for (at, bar) in bars.iter().enumerate() {
                    @let y = TOP + ROW * at as f64;
                    @let mark = if bar.ok { "" } else { " ✗" };
                    text class=[(!bar.ok).then_some("failed")] x=(percent(LEFT)) y=(px(y + 12.0)) {
                        (bar.name) (mark) tspan.small dx="8" { (ms(bar.took)) }
                        @if bar.is_beside { tspan.small dx="8" { (bar.what.chars().take(NAME).collect::<String>()) } }
                    }
                    rect class={ "bar " (if bar.ok { "good" } else { "bad" }) (if bar.drawn < bar.took { " cut" } else { "" }) }
                        x=(percent(x(bar.from))) y=(px(y + 18.0)) width=(percent((bar.drawn / whole * WIDE).max(0.3))) height="12" rx="2" {
                        title {
                            (bar.name) " " (bar.what) ": " (ms(bar.took))
                            @if let Some(slowest) = &bar.slowest { "; slowest " (slowest) }
                        }
                    }
                }
                line.axis x1=(percent(LEFT)) y1=(px(bottom + 4.0)) x2=(percent(LEFT + WIDE)) y2=(px(bottom + 4.0)) {}
                text.small x=(percent(LEFT + WIDE)) y=(px(bottom + 20.0)) text-anchor="end" { (ms(steps)) " of steps on the node" }
            }
        }
        @if bars.iter().any(|bar| bar.drawn < bar.took) {
            p.soft { "Hatched bars are cut: they took longer than is drawn." }
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

fn percent(number: f64) -> String {
    format!("{number:.2}%")
}

fn px(number: f64) -> String {
    format!("{number:.1}")
}

/// The steps and checks, end to end: one comes after the other, and how long each took was measured where it was
/// done. When their events arrived here depends on the connection. An undo that says its steps spans them.
fn bars<'a>(node: &NodeSection<'a>) -> Vec<Bar<'a>> {
    let mut bars: Vec<Bar<'a>> = Vec::new();
    let mut undo = None;
    // A step that fails or is called off says not how long it took.
    let mut begun: Option<&Value> = None;
    let since = |begun: &Value, end: &Value| {
        let (from, to) = (begun["t"].as_f64()?, end["t"].as_f64()?);
        Some((to - from).max(0.0) * 1000.0)
    };
    for line in &node.lines {
        match line["type"].as_str() {
            Some("step.started") => begun = Some(line),
            Some("rollback.started") => {
                let interrupted = begun.take();
                bars.extend(interrupted.and_then(|begun| {
                    let took = since(begun, line)?;
                    let what = begun["what"].as_str().unwrap_or_default();
                    Some(Bar {
                        slowest: slowest(node, &begun["id"]),
                        ok: false,
                        ..Bar::new(begun["step"].as_str()?, what, took)
                    })
                }));
                undo = Some(bars.len());
            }
            _ => {}
        }
        if let Some(mut bar) = bar(node, line) {
            if line["type"] == "step.finished" {
                let begun = begun.take();
                if let (false, Some(begun)) = (bar.ok, begun) {
                    bar.took = since(begun, line).map_or(bar.took, |took| took.max(bar.took));
                    bar.drawn = bar.took;
                }
            }
            let spanned = undo.filter(|_| line["type"] == "rollback.finished");
            bar.spans = spanned.map_or(0, |since| bars.len() - since);
            bars.push(bar);
        }
    }
    let steps = of_steps(&bars);
    let mut at = 0.0;
    for index in 0..bars.len() {
        let spans = bars[index].spans;
        let from = if spans > 0 {
            bars[index - spans].from
        } else {
            at
        };
        let bar = &mut bars[index];
        if bar.is_beside && steps > 0.0 {
            bar.drawn = bar.took.min(steps / 4.0);
        }
        if spans > 0 {
            bar.drawn = bar.took.max(at - from);
        }
        bar.from = from;
        at = from + bar.drawn;
    }
    bars
}

/// How long all steps took, each counted once.
fn of_steps(bars: &[Bar<'_>]) -> f64 {
    let counted = bars.iter().filter(|bar| !bar.is_beside && bar.spans == 0);
    counted.map(|bar| bar.took).sum()
}

fn bar<'a>(node: &NodeSection<'a>, line: &'a Value) -> Option<Bar<'a>> {
    let (name, what, is_beside) = match line["type"].as_str()? {
        "step.finished" => {
            let step = line["step"].as_str()?;
            (step, "what", step == "soak")
        }
        "rollback.finished" => ("undo", "what", false),
        "check" => (line["kind"].as_str()?, "name", true),
        "hook" => ("hook", "name", true),
        "hold" => ("hold", "name", true),
        "gate" => ("gate", "name", true),
        _ => return None,
    };
    let took = line["took_ms"].as_f64()?;
    Some(Bar {
        is_beside,
        ok: line["ok"].as_bool().unwrap_or(true),
        slowest: slowest(node, &line["id"]),
        attempts: line["attempts"].as_u64().unwrap_or(1),
        paused: line["paused_ms"].as_f64().map_or(took, |ms| ms.min(took)),
        ..Bar::new(name, line[what].as_str().unwrap_or_default(), took)
    })
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

/// From the first process that is suspended to the end of the resume after it. A step that suspends looks for them before:
/// with one window, the time for which they were (ms) says when the first was.
fn suspended_spans(bars: &[Bar<'_>], suspended: Option<f64>) -> Vec<(f64, f64)> {
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
    if let ([(from, to)], Some(suspended)) = (&mut shades[..], suspended) {
        *from = from.max(*to - suspended);
    }
    shades
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, from: f64, took: f64) -> Bar<'_> {
        Bar {
            from,
            ..Bar::new(name, "", took)
        }
    }

    #[test]
    fn the_shade_is_as_long_as_processes_were_suspended() {
        let bars = [
            bar("suspend", 10.0, 13.0),
            bar("load", 23.0, 2.0),
            bar("resume", 25.0, 3.0),
        ];
        assert_eq!(suspended_spans(&bars, Some(7.0)), [(21.0, 28.0)]);
        assert_eq!(suspended_spans(&bars, Some(40.0)), [(10.0, 28.0)]);
        assert_eq!(suspended_spans(&bars, None), [(10.0, 28.0)]);
    }
}
