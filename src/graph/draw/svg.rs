//! The graph as a self-contained picture: one SVG file, light and dark, no script, no font to load.
//!
//! What comes first in an upgrade is on the left. Cycles are boxed, applications have colours, what the plan
//! says has a colour of its own, and pointing at a module leaves only its own lines. Up to
//! [`MOST_NAMED`] modules are drawn one by one; of more, [`overview`](super::overview) draws the
//! applications. Names are escaped: whatever a module is called, it is text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::layout::{Layout, LayoutEdge, LayoutNode, columns, layout, split};
use super::page::{
    Legend, MARGIN, arrow, colour, counted, curve, escaped, heading, label, open, width_of,
};
use super::{Clusters, overview};
use crate::graph::order::Component;
use crate::graph::{Edge, Graph, Reason};
use crate::name::Module;

/// Most modules that are drawn one by one.
pub(super) const MOST_NAMED: usize = 240;

/// Modules of a cycle whose calls are drawn inside of its box; of larger ones only the members are.
const MOST_ARCS: usize = 12;

const ROW: f64 = 22.0;
const HEAD: f64 = 78.0;

/// Draws the graph.
pub(super) fn svg(graph: &Graph, clusters: &Clusters) -> String {
    if graph.modules().nth(MOST_NAMED).is_some() {
        overview::svg(graph, clusters)
    } else {
        Drawing::new(graph, clusters).draw()
    }
}

/// How an edge looks: the strongest of its reasons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EdgeStyle {
    Hidden,
    Calls,
    Hard,
    Plan,
}

impl EdgeStyle {
    fn of(edge: &Edge) -> Self {
        let style = |reason: &Reason| match reason {
            Reason::Plan { .. } => Self::Plan,
            reason if reason.is_hard() => Self::Hard,
            Reason::Calls { .. } => Self::Calls,
            _ => Self::Hidden,
        };
        edge.reasons.iter().map(style).max().unwrap_or(Self::Calls)
    }

    fn class(self) -> &'static str {
        match self {
            Self::Hidden => " hid",
            Self::Calls => "",
            Self::Hard => " hard",
            Self::Plan => " plan",
        }
    }
}

struct Drawing<'a> {
    graph: &'a Graph,
    clusters: &'a Clusters,
    /// Names of clusters, in order; the place is the colour.
    colours: Vec<&'a str>,
    /// Boxes that have lines, in the order of drawing, and those that have none.
    boxes: Vec<Component>,
    alone: Vec<&'a Module>,
    /// Number of each module, and the box and row it is in.
    number: BTreeMap<&'a Module, usize>,
    place: BTreeMap<Module, (usize, usize)>,
}

impl<'a> Drawing<'a> {
    fn new(graph: &'a Graph, clusters: &'a Clusters) -> Self {
        let mut joined: BTreeSet<&Module> = BTreeSet::new();
        for (from, to, _) in graph.edges() {
            joined.extend([from, to]);
        }
        for gone in &graph.removed {
            joined.extend([&gone.from, &gone.to]);
        }
        let colours: BTreeSet<&str> = graph
            .modules()
            .filter_map(|module| clusters.get(module).map(String::as_str))
            .collect();
        let mut boxes = graph.order();
        boxes.retain(|component| component.modules.iter().any(|m| joined.contains(m)));
        boxes.sort_by_key(|component| {
            let first = component.modules[0].clone();
            (clusters.get(&first).cloned(), first)
        });
        let place = boxes.iter().enumerate().flat_map(|(at, component)| {
            let rows = component.modules.iter().enumerate();
            rows.map(move |(row, module)| (module.clone(), (at, row)))
        });
        Self {
            place: place.collect(),
            graph,
            clusters,
            colours: colours.into_iter().collect(),
            boxes,
            alone: graph.modules().filter(|m| !joined.contains(m)).collect(),
            number: graph.modules().enumerate().map(|(at, m)| (m, at)).collect(),
        }
    }

    fn draw(&self) -> String {
        let (links, ends) = self.links();
        let placed = layout(&self.nodes(), &links);
        let (alone, below) = self.alone(placed.width.max(560.0));
        let width = placed.width.max(640.0) + 2.0 * MARGIN;
        let mut body = String::new();
        self.lines(&mut body, &placed, &ends);
        for (at, component) in self.boxes.iter().enumerate() {
            self.component(&mut body, component, placed.nodes[at]);
        }
        self.removed(&mut body, &placed);
        let mut height = HEAD + placed.height + MARGIN;
        if !self.alone.is_empty() {
            let _ = write!(
                body,
                "<g transform=\"translate(0 {:.0})\">{alone}</g>",
                placed.height + 26.0
            );
            height += below + 26.0;
        }
        let mut out = open(width, height);
        self.hovers(&mut out);
        self.head(&mut out, width);
        let _ = writeln!(
            out,
            "<g transform=\"translate({MARGIN} {HEAD})\">{body}</g></svg>"
        );
        out
    }

    /// The columns of boxes, and their sizes.
    fn nodes(&self) -> Vec<LayoutNode> {
        let pairs: BTreeSet<(usize, usize)> = self
            .graph
            .edges()
            .map(|(from, to, _)| (self.place[from].0, self.place[to].0))
            .filter(|(a, b)| a != b)
            .collect();
        let pairs: Vec<_> = pairs.into_iter().collect();
        let order: Vec<usize> = self
            .graph
            .order()
            .iter()
            .filter_map(|component| Some(self.place.get(&component.modules[0])?.0))
            .collect();
        let mut column = columns(self.boxes.len(), &pairs, &order);
        let rows = (self.boxes.len() as f64).sqrt() * 2.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the root of a number of boxes is small and positive"
        )]
        split(&mut column, (rows as usize).max(10));
        let sizes = self.boxes.iter().zip(column);
        sizes
            .map(|(component, column)| {
                let text = |m: &Module| width_of(&label(m)) + 26.0;
                let widest = component.modules.iter().map(text).fold(0.0, f64::max);
                let rows = component.modules.len() as f64;
                let (width, height) = if component.cyclic {
                    (widest + gutter(component) + 12.0, rows * ROW + 30.0)
                } else {
                    (widest, ROW)
                };
                LayoutNode {
                    width,
                    height,
                    column,
                }
            })
            .collect()
    }

    /// Lines between boxes, and the ends of each: dependent and dependency.
    fn links(&self) -> (Vec<LayoutEdge>, Vec<(&'a Module, &'a Module, &'a Edge)>) {
        let (mut links, mut ends) = (Vec::new(), Vec::new());
        for (from, to, edge) in self.graph.edges() {
            let ((a, from_row), (b, to_row)) = (self.place[from], self.place[to]);
            if a == b {
                continue;
            }
            links.push(LayoutEdge {
                from: a,
                to: b,
                from_port: self.port(a, from_row),
                to_port: self.port(b, to_row),
                trunk: self.number[to],
            });
            ends.push((from, to, edge));
        }
        (links, ends)
    }

    /// How far below the top of its box the middle of a row is.
    fn port(&self, at: usize, row: usize) -> f64 {
        let head = if self.boxes[at].cyclic { 24.0 } else { 0.0 };
        head + row as f64 * ROW + ROW / 2.0
    }

    fn lines(&self, out: &mut String, placed: &Layout, ends: &[(&Module, &Module, &Edge)]) {
        let implied = self.implied();
        let mut drawn: Vec<(EdgeStyle, String)> = Vec::with_capacity(placed.segments.len());
        for segment in &placed.segments {
            let edges = segment.links.iter().map(|at| ends[*at]);
            let style = edges.clone().map(|(_, _, edge)| EdgeStyle::of(edge)).max();
            let style = style.unwrap_or(EdgeStyle::Calls);
            let far =
                style < EdgeStyle::Hard && edges.clone().all(|(a, b, _)| implied.contains(&(a, b)));
            let mut class = format!("e{}{}", style.class(), if far { " far" } else { "" });
            let mut sources: Vec<usize> = edges.clone().map(|(a, _, _)| self.number[a]).collect();
            sources.dedup();
            for source in sources {
                let _ = write!(class, " u{source}");
            }
            let Some((_, to, _)) = edges.clone().next() else {
                continue;
            };
            let _ = write!(class, " d{}", self.number[to]);
            let (x, y) = segment.start;
            let start = if segment.arrives { x + 6.0 } else { x };
            let mut line = curve(&class, (start, y), segment.end, &edge_title(edges));
            if segment.arrives {
                let _ = write!(line, "{}", arrow(style.class(), (x, y), -1.0));
            }
            drawn.push((style, line));
        }
        // What must be obeyed lies on top.
        drawn.sort_by_key(|(style, _)| *style);
        out.extend(drawn.into_iter().map(|(_, line)| line));
    }

    /// Edges that a longer chain says as well.
    fn implied(&self) -> BTreeSet<(&'a Module, &'a Module)> {
        let mut reach: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
        let order = self.graph.order_flat();
        let names: Vec<&Module> = order
            .iter()
            .filter_map(|m| self.number.get_key_value(m))
            .map(|(m, _)| *m)
            .collect();
        for module in &names {
            let mut all = BTreeSet::new();
            for (to, _) in self.graph.dependencies(module) {
                all.insert(to);
                all.extend(reach.get(to).into_iter().flatten());
            }
            reach.insert(*module, all);
        }
        let implied = |from: &Module, to: &Module| {
            self.graph
                .dependencies(from)
                .any(|(other, _)| other != to && reach.get(other).is_some_and(|r| r.contains(to)))
        };
        let edges = self.graph.edges().filter(|(a, b, _)| implied(a, b));
        edges.map(|(a, b, _)| (a, b)).collect()
    }

    fn component(&self, out: &mut String, component: &Component, (x, y): (f64, f64)) {
        let (mut left, mut top) = (x, y);
        let widest = component.modules.iter().map(|m| width_of(&label(m)) + 26.0);
        let width = widest.fold(0.0, f64::max);
        if component.cyclic {
            let space = gutter(component);
            let height = component.modules.len() as f64 * ROW + 30.0;
            let _ = write!(
                out,
                "<rect class=\"r\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"8\"/>\
                 <text class=\"q\" x=\"{:.1}\" y=\"{:.1}\">cycle of {}</text>",
                width + space + 12.0,
                x + 10.0,
                y + 15.0,
                component.modules.len()
            );
            left += space;
            top += 24.0;
            self.arcs(out, component, left, top);
        }
        for (row, module) in component.modules.iter().enumerate() {
            self.module(out, module, (left, top + row as f64 * ROW), width);
        }
    }

    /// The calls inside of a cycle, left of its members.
    fn arcs(&self, out: &mut String, component: &Component, x: f64, y: f64) {
        if component.modules.len() > MOST_ARCS {
            return;
        }
        let row = |module: &Module| {
            let at = component.modules.iter().position(|m| m == module)?;
            Some(y + at as f64 * ROW + ROW / 2.0)
        };
        for (from, to, edge) in self.graph.edges() {
            let (Some(a), Some(b)) = (row(from), row(to)) else {
                continue;
            };
            // Downwards and upwards calls keep apart.
            let (a, b) = if a < b {
                (a + 3.0, b - 3.0)
            } else {
                (a - 3.0, b + 3.0)
            };
            let out_by = 8.0 + (a - b).abs() / ROW * 2.6 + if a < b { 0.0 } else { 5.0 };
            let style = EdgeStyle::of(edge);
            let _ = write!(
                out,
                "<path class=\"e{} u{} d{}\" d=\"M{x:.1} {a:.1}C{:.1} {a:.1} {:.1} {b:.1} {:.1} {b:.1}\">\
                 <title>{}</title></path>{}",
                style.class(),
                self.number[from],
                self.number[to],
                x - out_by,
                x - out_by,
                x - 6.0,
                edge_title([(from, to, edge)].into_iter()),
                arrow(style.class(), (x, b), 1.0),
            );
        }
    }

    fn module(&self, out: &mut String, module: &Module, (x, y): (f64, f64), width: f64) {
        let cluster = self.clusters.get(module);
        let number = self.number.get(module).copied().unwrap_or_default();
        let _ = write!(
            out,
            "<g class=\"n\" id=\"n{number}\"><title>{}{}</title>\
             <rect class=\"b\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"18\" rx=\"3.5\"/>",
            escaped(&module.to_string()),
            cluster
                .map(|app| format!(" of {}", escaped(app)))
                .unwrap_or_default(),
            y + 2.0,
        );
        if let Some(at) = cluster.and_then(|c| self.colours.binary_search(&c.as_str()).ok()) {
            let _ = write!(
                out,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"5\" height=\"18\" rx=\"2\" fill=\"{}\"/>",
                y + 2.0,
                colour(at, self.colours.len())
            );
        }
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            x + 13.0,
            y + 15.2,
            escaped(&label(module))
        );
    }

    /// What the plan took away, across everything.
    fn removed(&self, out: &mut String, placed: &Layout) {
        for gone in &self.graph.removed {
            let at = |module: &Module| {
                let (at, row) = *self.place.get(module)?;
                let (x, y) = placed.nodes[at];
                Some((x, y + self.port(at, row)))
            };
            let (Some(from), Some(to)) = (at(&gone.from), at(&gone.to)) else {
                continue;
            };
            let why = gone.because.as_deref();
            let why = why
                .map(|because| format!(": {because}"))
                .unwrap_or_default();
            let title = format!("the plan removes {} → {}{why}", gone.from, gone.to);
            // Out to the left of both, so that it is seen even when one is above the other.
            let out_to = from.0.min(to.0) - 34.0;
            let _ = write!(
                out,
                "<path class=\"e gone\" d=\"M{:.1} {:.1}C{out_to:.1} {:.1} {out_to:.1} {:.1} {:.1} {:.1}\">\
                 <title>{}</title></path>",
                from.0,
                from.1,
                from.1,
                to.1,
                to.0,
                to.1,
                escaped(&title)
            );
        }
    }

    /// Modules without a line, as a list in columns; and how high it is.
    fn alone(&self, width: f64) -> (String, f64) {
        let each = self.alone.iter().map(|m| width_of(&label(m)) + 26.0);
        let each = each.fold(60.0, f64::max);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few columns"
        )]
        let across = ((width / (each + 10.0)) as usize).max(1);
        let mut out = String::from("<text class=\"k\" y=\"-6\">without dependencies here</text>");
        for (at, module) in self.alone.iter().enumerate() {
            let place = (
                (at % across) as f64 * (each + 10.0),
                (at / across) as f64 * ROW,
            );
            self.module(&mut out, module, place, each);
        }
        (out, self.alone.len().div_ceil(across) as f64 * ROW + 10.0)
    }

    /// Pointing at a module leaves only its lines.
    fn hovers(&self, out: &mut String) {
        out.push_str("<style>");
        for at in 0..self.number.len() {
            let _ = write!(
                out,
                "svg:has(#n{at}:hover) .e:not(.u{at}):not(.d{at}){{stroke-opacity:.06}}"
            );
        }
        out.push_str("</style>");
    }

    fn head(&self, out: &mut String, width: f64) {
        let modules = self.number.len();
        let edges = self.graph.edges().count();
        let cycles = self.boxes.iter().filter(|c| c.cyclic).count();
        let title = [
            counted(modules, "module", "modules"),
            counted(edges, "dependency", "dependencies"),
            counted(cycles, "cycle", "cycles"),
        ];
        heading(
            out,
            &title.join(", "),
            "left comes first; a line leads from a module to what it depends on; point at a module to see its own",
        );
        let mut legend = Legend::new(out, width);
        let styles: BTreeSet<EdgeStyle> = self
            .graph
            .edges()
            .map(|(_, _, e)| EdgeStyle::of(e))
            .collect();
        for style in styles {
            legend.line(
                style.class(),
                match style {
                    EdgeStyle::Hidden => "seen in code or literals",
                    EdgeStyle::Calls => "calls",
                    EdgeStyle::Hard => "needs the other's version",
                    EdgeStyle::Plan => "the plan",
                },
            );
        }
        if !self.graph.removed.is_empty() {
            legend.line(" gone", "removed by the plan");
        }
        for (at, name) in self.colours.iter().enumerate().take(14) {
            legend.square(&colour(at, self.colours.len()), name);
        }
    }
}

/// The words for the edges that run through a line; the first few of many.
fn edge_title<'a>(
    edges: impl Iterator<Item = (&'a Module, &'a Module, &'a Edge)> + Clone,
) -> String {
    const MOST: usize = 6;
    let number = edges.clone().count();
    let mut lines: Vec<String> = edges
        .take(MOST)
        .map(|(from, to, edge)| match edge.reasons.first() {
            Some(reason) => reason.sentence(from, to),
            None => format!("{from} → {to}"),
        })
        .collect();
    if number > MOST {
        lines.push(format!("and {} more", number - MOST));
    }
    escaped(&lines.join("\n"))
}

/// Room for the arcs of a cycle.
fn gutter(component: &Component) -> f64 {
    if component.modules.len() > MOST_ARCS {
        12.0
    } else {
        18.0 + component.modules.len() as f64 * 2.4
    }
}
