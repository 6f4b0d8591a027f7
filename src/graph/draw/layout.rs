//! Where things go in a picture: boxes in columns, lines between them.
//!
//! Takes boxes with a size and a column and links that run from a later column to an earlier one, and
//! gives places. Links to one port share a trunk, so that a library that all modules call has one line and
//! not a hundred. Deterministic, and never slower than columns times links.

use std::collections::BTreeMap;

use petgraph::unionfind::UnionFind;

/// Rounds of sorting columns by their neighbours, and of pulling boxes towards theirs.
const ROUNDS: usize = 12;

/// Space between boxes of a column, between lines that pass, and between columns, in pixels.
const BOX_GAP: f64 = 9.0;
const LINE_GAP: f64 = 5.0;
const COLUMN_GAP: f64 = 46.0;

/// Space between parts that no line joins.
const PART_GAP: f64 = 24.0;

/// A box before it has a place.
#[derive(Clone, Debug)]
pub(super) struct LayoutNode {
    pub width: f64,
    pub height: f64,
    pub column: usize,
}

/// A line from a dependent to what it depends on, which is in an earlier column.
#[derive(Clone, Debug)]
pub(super) struct LayoutEdge {
    pub from: usize,
    pub to: usize,
    /// How far below the top of the box the line starts and ends.
    pub from_port: f64,
    pub to_port: f64,
    /// Links of one trunk end in the same place.
    pub trunk: usize,
}

/// A piece of line between two neighbouring columns, or straight through one.
#[derive(Clone, Debug)]
pub(super) struct LayoutSegment {
    pub start: (f64, f64),
    pub end: (f64, f64),
    /// The links that run through it.
    pub links: Vec<usize>,
    /// Whether it touches the box that the links lead to.
    pub arrives: bool,
}

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// The upper left corner of each box.
    pub nodes: Vec<(f64, f64)>,
    pub segments: Vec<LayoutSegment>,
    pub width: f64,
    pub height: f64,
}

/// What is in a column: a box, or a trunk that passes.
#[derive(Clone, Debug)]
struct Item {
    node: Option<usize>,
    height: f64,
    y: f64,
    weight: f64,
}

/// A piece between two columns: items and ports.
struct Piece {
    left: (usize, f64),
    right: (usize, f64),
    links: Vec<usize>,
    arrives: bool,
}

struct Sketch {
    items: Vec<Item>,
    columns: Vec<Vec<usize>>,
    /// By column of the left end.
    pieces: Vec<Vec<Piece>>,
}

/// Places boxes and lines; boxes of one column are in the order given, as far as lines allow. Parts
/// that no line joins are placed apart: side by side where they fit beside the widest.
pub(super) fn layout(nodes: &[LayoutNode], links: &[LayoutEdge]) -> Layout {
    let parts = parts(nodes.len(), links);
    let mut placed: Vec<(Vec<usize>, Layout)> = Vec::with_capacity(parts.len());
    for members in parts {
        let mut place = BTreeMap::new();
        place.extend(members.iter().enumerate().map(|(at, node)| (*node, at)));
        let mine = |(_, link): &(usize, &LayoutEdge)| place.contains_key(&link.from);
        let (numbers, inside): (Vec<usize>, Vec<LayoutEdge>) = links
            .iter()
            .enumerate()
            .filter(mine)
            .map(|(number, link)| {
                let (from, to) = (place[&link.from], place[&link.to]);
                (
                    number,
                    LayoutEdge {
                        from,
                        to,
                        ..link.clone()
                    },
                )
            })
            .unzip();
        let boxes: Vec<LayoutNode> = members.iter().map(|at| nodes[*at].clone()).collect();
        let mut part = connected(&boxes, &inside);
        for segment in &mut part.segments {
            segment
                .links
                .iter_mut()
                .for_each(|link| *link = numbers[*link]);
        }
        placed.push((members, part));
    }
    shelves(nodes.len(), placed)
}

/// The boxes that lines join, the largest part first.
fn parts(count: usize, links: &[LayoutEdge]) -> Vec<Vec<usize>> {
    let mut joined = UnionFind::new(count);
    for link in links {
        joined.union(link.from, link.to);
    }
    let mut place = BTreeMap::new();
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for (at, label) in joined.into_labeling().into_iter().enumerate() {
        let part = *place.entry(label).or_insert(parts.len());
        if part == parts.len() {
            parts.push(Vec::new());
        }
        parts[part].push(at);
    }
    parts.sort_by_key(|members| std::cmp::Reverse(members.len()));
    parts
}

/// Sets the parts in rows as wide as the widest of them.
fn shelves(count: usize, parts: Vec<(Vec<usize>, Layout)>) -> Layout {
    let width = parts
        .iter()
        .map(|(_, part)| part.width)
        .fold(720.0, f64::max);
    let mut whole = Layout {
        nodes: vec![(0.0, 0.0); count],
        ..Layout::default()
    };
    let (mut x, mut y, mut row) = (0.0, 0.0, 0.0_f64);
    for (members, part) in parts {
        if x > 0.0 && x + part.width > width {
            (x, y, row) = (0.0, y + row + PART_GAP, 0.0);
        }
        for (at, place) in members.into_iter().zip(part.nodes) {
            whole.nodes[at] = (place.0 + x, place.1 + y);
        }
        whole
            .segments
            .extend(part.segments.into_iter().map(|s| LayoutSegment {
                start: (s.start.0 + x, s.start.1 + y),
                end: (s.end.0 + x, s.end.1 + y),
                ..s
            }));
        whole.width = whole.width.max(x + part.width);
        row = row.max(part.height);
        whole.height = y + row;
        x += part.width + PART_GAP * 1.6;
    }
    whole
}

fn connected(nodes: &[LayoutNode], links: &[LayoutEdge]) -> Layout {
    let mut sketch = sketch(nodes, links);
    sketch.stack();
    for round in 0..ROUNDS {
        sketch.sweep(round % 2 == 0, true);
    }
    for round in 0..2 * ROUNDS {
        sketch.sweep(round % 2 == 0, false);
    }
    sketch.finish(nodes)
}

fn sketch(nodes: &[LayoutNode], links: &[LayoutEdge]) -> Sketch {
    let count = nodes.iter().map(|node| node.column + 1).max().unwrap_or(0);
    let mut columns = vec![Vec::new(); count];
    let mut items: Vec<Item> = Vec::with_capacity(nodes.len());
    for (at, node) in nodes.iter().enumerate() {
        columns[node.column].push(at);
        items.push(Item {
            node: Some(at),
            height: node.height,
            y: 0.0,
            weight: 1.0,
        });
    }
    let mut passing: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut pieces: Vec<BTreeMap<(usize, usize, usize), Piece>> = Vec::new();
    pieces.resize_with(count, BTreeMap::new);
    for (number, link) in links.iter().enumerate() {
        let (first, last) = (nodes[link.to].column, nodes[link.from].column);
        let mut left = (link.to, link.to_port);
        for column in first + 1..=last {
            let right = if column == last {
                (link.from, link.from_port)
            } else {
                let item = *passing.entry((link.trunk, column)).or_insert_with(|| {
                    columns[column].push(items.len());
                    items.push(Item {
                        node: None,
                        height: 0.0,
                        y: 0.0,
                        weight: 2.0,
                    });
                    items.len() - 1
                });
                (item, 0.0)
            };
            let piece = pieces[column - 1]
                .entry((link.trunk, left.0, right.0 * 4096 + port(right.1)))
                .or_insert_with(|| Piece {
                    left,
                    right,
                    links: Vec::new(),
                    arrives: column == first + 1,
                });
            piece.links.push(number);
            left = right;
        }
    }
    Sketch {
        items,
        columns,
        pieces: pieces
            .into_iter()
            .map(|of_column| of_column.into_values().collect())
            .collect(),
    }
}

/// A port as part of a key.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ports are small positive pixels, and the cast saturates"
)]
fn port(offset: f64) -> usize {
    (offset as usize).min(4095)
}

impl Sketch {
    fn gap(&self, above: usize, below: usize) -> f64 {
        match (self.items[above].node, self.items[below].node) {
            (Some(_), Some(_)) => BOX_GAP,
            (None, None) => LINE_GAP,
            _ => BOX_GAP * 0.8,
        }
    }

    /// First places: one below the other.
    fn stack(&mut self) {
        for column in 0..self.columns.len() {
            let mut y = 0.0;
            for at in 0..self.columns[column].len() {
                let item = self.columns[column][at];
                self.items[item].y = y;
                y += self.items[item].height + BOX_GAP;
            }
            let middle = y / 2.0;
            for item in self.columns[column].clone() {
                self.items[item].y -= middle;
            }
        }
    }

    /// Goes through the columns, and pulls what is in each towards its neighbours on the side just done.
    fn sweep(&mut self, rightwards: bool, sort: bool) {
        let count = self.columns.len();
        let order: Vec<usize> = if rightwards {
            (0..count).collect()
        } else {
            (0..count).rev().collect()
        };
        for column in order {
            let mut wish: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
            let sides = [
                (column.checked_sub(1), rightwards, true),
                (Some(column), !rightwards, false),
            ];
            for (pieces, ahead, here_is_right) in sides {
                // While sorting only the finished side counts; while pulling both do.
                let weight = match (sort, ahead) {
                    (true, false) => continue,
                    (_, true) => 1.0,
                    (false, false) => 0.6,
                };
                let pieces = pieces.and_then(|at| self.pieces.get(at));
                for piece in pieces.into_iter().flatten() {
                    let (here, there) = if here_is_right {
                        (piece.right, piece.left)
                    } else {
                        (piece.left, piece.right)
                    };
                    let y = self.items[there.0].y + there.1 - here.1;
                    let sum = wish.entry(here.0).or_default();
                    *sum = (sum.0 + weight * y, sum.1 + weight);
                }
            }
            let wanted = |item: usize| match wish.get(&item) {
                Some((sum, weight)) => sum / weight,
                None => self.items[item].y,
            };
            let mut places: Vec<(f64, usize)> = self.columns[column]
                .iter()
                .map(|item| (wanted(*item), *item))
                .collect();
            if sort {
                let middle = |(y, item): &(f64, usize)| y + self.items[*item].height / 2.0;
                places.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
                self.columns[column] = places.iter().map(|(_, item)| *item).collect();
            }
            self.settle(&places);
        }
    }

    /// The places nearest to the wished ones that keep order and distance: pools of neighbours that would
    /// overlap move together (isotonic regression).
    fn settle(&mut self, places: &[(f64, usize)]) {
        // Mean of the wishes, weight, how many.
        let mut pools: Vec<(f64, f64, usize)> = Vec::new();
        let mut offsets = Vec::with_capacity(places.len());
        let mut offset = 0.0;
        for (at, (wish, item)) in places.iter().enumerate() {
            if at > 0 {
                let above = places[at - 1].1;
                offset += self.items[above].height + self.gap(above, *item);
            }
            offsets.push(offset);
            let mut pool = (wish - offset, self.items[*item].weight, 1);
            while let Some(before) = pools.pop_if(|before| before.0 >= pool.0) {
                let weight = before.1 + pool.1;
                let mean = (before.0 * before.1 + pool.0 * pool.1) / weight;
                pool = (mean, weight, before.2 + pool.2);
            }
            pools.push(pool);
        }
        let mut at = 0;
        for (mean, _, many) in pools {
            for _ in 0..many {
                self.items[places[at].1].y = mean + offsets[at];
                at += 1;
            }
        }
    }

    fn finish(self, nodes: &[LayoutNode]) -> Layout {
        let top = self
            .items
            .iter()
            .map(|item| item.y)
            .fold(f64::INFINITY, f64::min);
        let mut left = 0.0;
        let mut spans = Vec::with_capacity(self.columns.len());
        for (column, items) in self.columns.iter().enumerate() {
            let of = items.iter().filter_map(|item| self.items[*item].node);
            let width = of.map(|node| nodes[node].width).fold(0.0, f64::max);
            spans.push((left, width));
            if items.is_empty() {
                continue;
            }
            let busy = self.pieces.get(column).map_or(0, Vec::len);
            let busy = f64::from(u32::try_from(busy).unwrap_or(u32::MAX)).sqrt();
            left += width + COLUMN_GAP + (busy * 7.0).min(110.0);
        }
        let mut column_of = vec![0; self.items.len()];
        for (column, items) in self.columns.iter().enumerate() {
            for item in items {
                column_of[*item] = column;
            }
        }
        let right_side = |item: usize| {
            let (x, width) = spans[column_of[item]];
            x + self.items[item]
                .node
                .map_or(width, |node| nodes[node].width)
        };
        let y = |(item, port): (usize, f64)| self.items[item].y + port - top;
        let mut segments = Vec::new();
        for piece in self.pieces.iter().flatten() {
            let start = (right_side(piece.left.0), y(piece.left));
            let end = (spans[column_of[piece.right.0]].0, y(piece.right));
            segments.push(LayoutSegment {
                start,
                end,
                links: piece.links.clone(),
                arrives: piece.arrives,
            });
            if self.items[piece.right.0].node.is_none() {
                segments.push(LayoutSegment {
                    start: end,
                    end: (right_side(piece.right.0), end.1),
                    links: piece.links.clone(),
                    arrives: false,
                });
            }
        }
        let bottom = self
            .items
            .iter()
            .map(|item| item.y + item.height)
            .fold(top, f64::max);
        Layout {
            nodes: nodes
                .iter()
                .enumerate()
                .map(|(at, node)| (spans[node.column].0, self.items[at].y - top))
                .collect(),
            segments,
            width: spans.last().map_or(0.0, |(x, width)| x + width),
            height: if bottom.is_finite() {
                bottom - top
            } else {
                0.0
            },
        }
    }
}

/// A column for each of `count` things so that nothing is left of what it depends on: the longest chain
/// below, then as near to its dependents as that allows. `links` are (dependent, dependency), acyclic,
/// and `order` names dependencies first.
pub(super) fn columns(count: usize, links: &[(usize, usize)], order: &[usize]) -> Vec<usize> {
    let mut below = vec![Vec::new(); count];
    let mut above = vec![Vec::new(); count];
    for (from, to) in links {
        below[*from].push(*to);
        above[*to].push(*from);
    }
    let mut column = vec![0usize; count];
    for at in order {
        column[*at] = below[*at]
            .iter()
            .map(|to| column[*to] + 1)
            .max()
            .unwrap_or(0);
    }
    for at in order.iter().rev() {
        if let Some(nearest) = above[*at].iter().map(|from| column[*from]).min() {
            column[*at] = column[*at].max(nearest.saturating_sub(1));
        }
    }
    column
}

/// Splits columns that hold more than `rows` things into several; those of one column do not depend on
/// each other, so any split is right. Things next to each other stay at one height.
pub(super) fn split(column: &mut [usize], rows: usize) {
    let count = column.iter().map(|c| c + 1).max().unwrap_or(0);
    let mut members = vec![Vec::new(); count];
    for (at, c) in column.iter().enumerate() {
        members[*c].push(at);
    }
    let mut next = 0;
    for of_column in members {
        let parts = of_column.len().div_ceil(rows.max(1)).max(1);
        for (place, at) in of_column.into_iter().enumerate() {
            column[at] = next + place % parts;
        }
        next += parts;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(column: usize) -> LayoutNode {
        LayoutNode {
            width: 50.0,
            height: 20.0,
            column,
        }
    }

    fn link(from: usize, to: usize) -> LayoutEdge {
        LayoutEdge {
            from,
            to,
            from_port: 10.0,
            to_port: 10.0,
            trunk: to,
        }
    }

    #[test]
    fn boxes_never_overlap_and_lines_run_from_left_to_right() {
        // 0 ◄── 1..=6 ◄── 7, and 7 ──► 0 past the column between
        let mut nodes = vec![node(0)];
        nodes.extend((0..6).map(|_| node(1)));
        nodes.push(node(2));
        let mut links: Vec<LayoutEdge> = (1..=6).map(|at| link(at, 0)).collect();
        links.extend((1..=6).map(|at| link(7, at)));
        links.push(link(7, 0));
        let placed = layout(&nodes, &links);
        let mut middle: Vec<f64> = placed.nodes[1..7].iter().map(|(_, y)| *y).collect();
        middle.sort_by(f64::total_cmp);
        assert!(middle.windows(2).all(|two| two[1] - two[0] >= 20.0));
        assert!(placed.segments.iter().all(|s| s.start.0 <= s.end.0));
        assert!(placed.nodes.iter().all(|(x, y)| *x >= 0.0 && *y >= 0.0));
        assert!(
            placed
                .segments
                .iter()
                .filter(|s| s.arrives)
                .all(|s| s.start.1.is_finite())
        );
    }

    #[test]
    fn columns_put_dependencies_first_and_near() {
        // 0 ◄── 1 ◄── 2 ; 3 is called by 2 only
        let column = columns(4, &[(1, 0), (2, 1), (2, 3)], &[0, 3, 1, 2]);
        assert_eq!(column, [0, 1, 2, 1]);
    }

    #[test]
    fn a_long_column_is_split_beside_itself() {
        let mut column = vec![0, 0, 0, 0, 0, 1];
        split(&mut column, 2);
        assert_eq!(column, [0, 1, 2, 0, 1, 3]);
    }

    #[test]
    fn nothing_is_no_trouble() {
        let placed = layout(&[], &[]);
        assert_eq!((placed.nodes.len(), placed.height), (0, 0.0));
    }
}
