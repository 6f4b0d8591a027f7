//! The picture of a graph too large to draw every module: applications, and the call graph among them.
//!
//! Takes a graph and gives boxes, one for each application (or, where those are not known, for each family
//! of names, or each stretch of the order), with the names of their modules and lines as thick as there
//! are calls. Applications may well depend on each other in cycles: the few lines that run against the
//! order are drawn as such.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::Clusters;
use super::layout::{LayoutEdge, LayoutNode, columns, layout, split};
use super::page::{Legend, MARGIN, arrow, colour, counted, escaped, heading, open, thick_curve};
use crate::graph::Graph;
use crate::name::Module;

/// Most boxes; the smallest ones beyond that share one.
const MOST_GROUPS: usize = 60;

/// About how many names are written in all, and how many below each other.
const NAMES: usize = 640;
const ROWS: usize = 16;

const LINE: f64 = 12.5;
const CHARACTER: f64 = 5.5;
const HEAD: f64 = 84.0;

struct Group {
    name: String,
    modules: Vec<Module>,
    /// How the names are set: columns, rows, width of a column.
    set: (usize, usize, f64),
}

/// Draws the graph.
pub(super) fn svg(graph: &Graph, clusters: &Clusters) -> String {
    let groups = groups(graph, clusters);
    let place: BTreeMap<&Module, usize> = (0..)
        .zip(&groups)
        .flat_map(|(at, group)| group.modules.iter().map(move |module| (module, at)))
        .collect();
    let mut calls: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (from, to, _) in graph.edges() {
        let pair = (place[from], place[to]);
        if pair.0 != pair.1 {
            *calls.entry(pair).or_default() += 1;
        }
    }
    let order = against_least(groups.len(), &calls);
    let mut step = vec![0; groups.len()];
    for (at, group) in order.iter().enumerate() {
        step[*group] = at;
    }
    let (with, against): (Vec<_>, Vec<_>) = calls
        .iter()
        .partition(|((from, to), _)| step[*to] < step[*from]);
    let pairs: Vec<(usize, usize)> = with.iter().map(|(pair, _)| **pair).collect();
    let mut column = columns(groups.len(), &pairs, &order);
    split(&mut column, 12);
    let nodes: Vec<LayoutNode> = groups
        .iter()
        .zip(&column)
        .map(|(g, c)| g.node(*c))
        .collect();
    let links: Vec<LayoutEdge> = pairs
        .iter()
        .map(|(from, to)| link(&nodes, *from, *to))
        .collect();
    let placed = layout(&nodes, &links);
    let mut body = String::new();
    for segment in &placed.segments {
        let through = segment
            .links
            .iter()
            .map(|at| (pairs[*at], calls[&pairs[*at]]));
        let number: usize = through.clone().map(|(_, number)| number).sum();
        let texts: Vec<String> = through
            .clone()
            .take(8)
            .map(|((a, b), n)| {
                format!(
                    "{} → {}: {}",
                    groups[a].name,
                    groups[b].name,
                    counted(n, "call", "calls")
                )
            })
            .collect();
        let mut class = String::from("e");
        for ((a, b), _) in through {
            let _ = write!(class, " u{a} d{b}");
        }
        let wide = thick(number);
        let (x, y) = segment.start;
        let start = if segment.arrives {
            (x + 6.0, y)
        } else {
            (x, y)
        };
        body.push_str(&thick_curve(
            &class,
            start,
            segment.end,
            &escaped(&texts.join("\n")),
            &wide,
        ));
        if segment.arrives {
            body.push_str(&arrow("", (x, y), -1.0));
        }
    }
    for ((from, to), number) in against {
        let corner = |at: usize| {
            (
                placed.nodes[at].0 + nodes[at].width,
                placed.nodes[at].1 + 8.0,
            )
        };
        let title = format!(
            "{} → {}: {}, against the order",
            groups[*from].name,
            groups[*to].name,
            counted(*number, "call", "calls")
        );
        let class = format!("e back u{from} d{to}");
        let end = (placed.nodes[*to].0 - 6.0, placed.nodes[*to].1 + 8.0);
        body.push_str(&thick_curve(
            &class,
            corner(*from),
            end,
            &escaped(&title),
            &thick(*number),
        ));
        body.push_str(&arrow(" back", (end.0 + 6.0, end.1), 1.0));
    }
    for (at, group) in groups.iter().enumerate() {
        group.draw(&mut body, at, placed.nodes[at], &nodes[at], groups.len());
    }
    page(graph, &groups, placed.width, placed.height, &body)
}

fn page(graph: &Graph, groups: &[Group], width: f64, height: f64, body: &str) -> String {
    let (width, height) = (width.max(760.0) + 2.0 * MARGIN, height + HEAD + MARGIN);
    let mut out = open(width, height);
    out.push_str("<style>.t{font-size:19px;font-weight:600}.m{font-size:9px}");
    for at in 0..groups.len() {
        let _ = write!(
            out,
            "svg:has(#n{at}:hover) .e:not(.u{at}):not(.d{at}){{stroke-opacity:.06}}"
        );
    }
    out.push_str("</style>");
    let title = [
        counted(graph.modules().count(), "module", "modules"),
        format!("in {}", counted(groups.len(), "group", "groups")),
        counted(graph.edges().count(), "dependency", "dependencies"),
        counted(graph.cycles().len(), "cycle", "cycles"),
    ];
    heading(
        &mut out,
        &title.join(", "),
        "left comes first; the thicker a line, the more calls; point at a box to see its own; --around MODULE draws a part in full",
    );
    let mut legend = Legend::new(&mut out, width);
    legend.line("", "calls");
    legend.line(" back", "calls against the order (applications in a cycle)");
    let _ = writeln!(
        out,
        "<g transform=\"translate({MARGIN} {HEAD})\">{body}</g></svg>"
    );
    out
}

/// Line width for a number of calls.
fn thick(number: usize) -> String {
    let width = 1.0 + (number as f64).ln().max(0.0) * 0.75;
    format!(" style=\"stroke-width:{width:.1}\"")
}

fn link(nodes: &[LayoutNode], from: usize, to: usize) -> LayoutEdge {
    LayoutEdge {
        from,
        to,
        from_port: nodes[from].height / 2.0,
        to_port: nodes[to].height / 2.0,
        trunk: to,
    }
}

impl Group {
    fn new(name: String, modules: Vec<Module>, most: usize) -> Self {
        let lines = modules.len().min(most);
        let rows = lines.clamp(1, ROWS);
        let shown = modules.iter().take(lines);
        let widest = shown.map(|m| short(m).chars().count()).max();
        Self {
            name,
            modules,
            set: (
                lines.div_ceil(rows).max(1),
                rows,
                widest.unwrap_or(4) as f64 * CHARACTER + 12.0,
            ),
        }
    }

    fn title(&self) -> String {
        format!("{}  {}", self.name, self.modules.len())
    }

    fn node(&self, column: usize) -> LayoutNode {
        let (columns, rows, wide) = self.set;
        let title = self.title().chars().count() as f64 * 11.6 + 24.0;
        LayoutNode {
            width: (columns as f64 * wide + 16.0).max(title),
            height: rows as f64 * LINE + 42.0,
            column,
        }
    }

    fn draw(&self, out: &mut String, at: usize, (x, y): (f64, f64), node: &LayoutNode, of: usize) {
        let _ = write!(
            out,
            "<g class=\"n\" id=\"n{at}\"><rect class=\"b\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" \
             height=\"{:.1}\" rx=\"6\"/><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"5\" rx=\"2\" \
             fill=\"{}\"/><text class=\"t\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            node.width,
            node.height,
            node.width,
            colour(at, of),
            x + 10.0,
            y + 26.0,
            escaped(&self.title())
        );
        let (columns, rows, wide) = self.set;
        let room = columns * rows;
        let all = self.modules.len() <= room;
        let shown = if all { self.modules.len() } else { room - 1 };
        for (at, module) in self.modules.iter().take(shown).enumerate() {
            self.name(out, (x, y), at, &short(module), rows, wide);
        }
        if !all {
            let more = format!("and {} more", self.modules.len() - shown);
            self.name(out, (x, y), shown, &more, rows, wide);
        }
        out.push_str("</g>");
    }

    fn name(
        &self,
        out: &mut String,
        (x, y): (f64, f64),
        at: usize,
        text: &str,
        rows: usize,
        wide: f64,
    ) {
        let (column, row) = (at / rows.max(1), at % rows.max(1));
        let _ = write!(
            out,
            "<text class=\"m\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 10.0 + column as f64 * wide,
            y + 43.0 + row as f64 * LINE,
            escaped(text)
        );
    }
}

/// By application; by family of names where those say little; by the order where names say nothing.
fn groups(graph: &Graph, clusters: &Clusters) -> Vec<Group> {
    let by = |key: &dyn Fn(&Module) -> String| {
        let mut found: BTreeMap<String, Vec<Module>> = BTreeMap::new();
        for module in graph.modules() {
            found.entry(key(module)).or_default().push(module.clone());
        }
        found
    };
    let app = |module: &Module| clusters.get(module).cloned();
    let mut found = by(&|module| app(module).unwrap_or_else(|| family(module)));
    let largest =
        |found: &BTreeMap<String, Vec<Module>>| found.values().map(Vec::len).max().unwrap_or(0);
    let count = graph.modules().count();
    if found.len() < 3 || largest(&found) * 10 > count * 8 {
        found = by(&family);
    }
    if found.len() < 3 || largest(&found) * 10 > count * 8 {
        found = stretches(graph);
    }
    let mut sorted: Vec<(String, Vec<Module>)> = found.into_iter().collect();
    if sorted.len() > MOST_GROUPS {
        sorted.sort_by_key(|(_, modules)| std::cmp::Reverse(modules.len()));
        let rest = sorted.split_off(MOST_GROUPS - 1);
        let name = format!("{} small groups", rest.len());
        sorted.push((
            name,
            rest.into_iter().flat_map(|(_, modules)| modules).collect(),
        ));
        sorted.sort();
    }
    for (name, _) in &mut sorted {
        if let Some((_, shown)) = name.split_once('|') {
            *name = shown.to_owned();
        }
    }
    let most = (NAMES / sorted.len().max(1)).max(8);
    let groups = sorted.into_iter();
    groups
        .map(|(name, modules)| Group::new(name, modules, most))
        .collect()
}

/// A name that leaves room for others.
fn short(module: &Module) -> String {
    const MOST: usize = 28;
    let name = module.to_string();
    if name.chars().count() <= MOST {
        return name;
    }
    let start: String = name.chars().take(MOST - 1).collect();
    start + "…"
}

/// What a name begins with: `shop_` of `shop_cart`, `Shop` of `Shop.Cart.Line`.
fn family(module: &Module) -> String {
    match module.as_str().strip_prefix("Elixir.") {
        Some(alias) => alias.split('.').next().unwrap_or(alias).to_owned(),
        None => module
            .as_str()
            .split('_')
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Twelve stretches of the order.
fn stretches(graph: &Graph) -> BTreeMap<String, Vec<Module>> {
    let order = graph.order_flat();
    let size = order.len().div_ceil(12).max(1);
    let numbered = order.chunks(size).enumerate().map(|(at, part)| {
        let mut part = part.to_vec();
        part.sort();
        let (first, last) = (at * size + 1, at * size + part.len());
        // The number in front is for sorting and goes away with it.
        (format!("{at:02}|{first} to {last}"), part)
    });
    numbered.collect()
}

/// An order of groups, dependencies first, against which few calls run: again and again the group that calls none of
/// those left goes first, or the one with the fewest calls made per call received (Eades, Lin, Smyth 1993).
fn against_least(count: usize, calls: &BTreeMap<(usize, usize), usize>) -> Vec<usize> {
    let mut left: BTreeSet<usize> = (0..count).collect();
    let mut order = Vec::with_capacity(count);
    while !left.is_empty() {
        let mut balance: BTreeMap<usize, (usize, usize)> =
            left.iter().map(|at| (*at, (0, 0))).collect();
        for ((from, to), number) in calls {
            if left.contains(from) && left.contains(to) {
                balance.entry(*from).or_default().0 += number;
                balance.entry(*to).or_default().1 += number;
            }
        }
        // Calls made, less calls received; a group that makes none comes first of all.
        let cost = |(made, got): &(usize, usize)| match made {
            0 => f64::NEG_INFINITY,
            _ => (*made as f64 + 1.0) / (*got as f64 + 1.0),
        };
        let next = balance
            .iter()
            .min_by(|a, b| cost(a.1).total_cmp(&cost(b.1)));
        let Some(next) = next.map(|(at, _)| *at) else {
            break;
        };
        left.remove(&next);
        order.push(next);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_calls_run_against_the_order() {
        // 0 ◄═ 1 ◄═ 2, and one call 0 ──► 2
        let calls = BTreeMap::from([((1, 0), 9), ((2, 1), 9), ((0, 2), 1)]);
        assert_eq!(against_least(3, &calls), [0, 1, 2]);
    }

    #[test]
    fn modules_of_a_prefix_are_a_family() {
        let shown =
            ["shop_cart", "Elixir.Shop.Cart.Line", "lists"].map(|m| family(&Module::new(m)));
        assert_eq!(shown, ["shop", "Shop", "lists"]);
    }
}
