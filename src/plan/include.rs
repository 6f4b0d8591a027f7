//! Which files of a plan apply, and how near they stand to the plan.
//!
//! Takes the inclusions and their guards; gives each file its layer (the shortest way from the plan) and the
//! condition under which its statements apply. A file that several include is read once and applies when any of them
//! brings it in, so the order of `include` statements means nothing. Nothing is evaluated here.

use std::collections::VecDeque;

use crate::syntax::ast::{Expr, ExprKind};

/// A file with so many different conditions is not worth a formula.
const MAX_ALTERNATIVES: usize = 64;

/// `include "…" when …`: one file brings in another. Files are numbered from 0, the plan.
#[derive(Debug)]
pub(super) struct Inclusion {
    /// The file that has the statement.
    pub from: usize,
    /// The file included.
    pub to: usize,
    /// The guard; empty without one.
    pub when: Vec<Expr>,
}

/// What is known of a file in the end.
#[derive(Debug)]
pub(super) struct IncludeDepth {
    /// 0 for the plan, 1 for what it includes, and so on: a smaller number wins.
    pub layer: usize,
    /// When its statements apply; `None`: always.
    pub when: Option<Expr>,
}

/// The standing of every file, or the number of one with more conditions than can be distinguished. The inclusions
/// form no ring.
pub(super) fn standings(
    files: usize,
    inclusions: &[Inclusion],
) -> Result<Vec<IncludeDepth>, usize> {
    let layers = layers(files, inclusions);
    let mut open = vec![0_usize; files];
    for inclusion in inclusions {
        open[inclusion.to] += 1;
    }
    // Alternatives of conditions that must all hold; one without conditions is always true.
    let mut alternatives: Vec<Vec<Vec<Expr>>> = vec![Vec::new(); files];
    let mut ready: VecDeque<usize> = (0..files).filter(|file| open[*file] == 0).collect();
    for file in &ready {
        alternatives[*file].push(Vec::new());
    }
    while let Some(file) = ready.pop_front() {
        let here = std::mem::take(&mut alternatives[file]);
        for inclusion in inclusions.iter().filter(|inclusion| inclusion.from == file) {
            let there = &mut alternatives[inclusion.to];
            for conditions in &here {
                let mut all = conditions.clone();
                all.extend(inclusion.when.iter().cloned());
                if all.is_empty() {
                    *there = vec![Vec::new()];
                } else if !there.contains(&all) && !there.iter().any(Vec::is_empty) {
                    there.push(all);
                }
            }
            if there.len() > MAX_ALTERNATIVES {
                return Err(inclusion.to);
            }
            open[inclusion.to] -= 1;
            if open[inclusion.to] == 0 {
                ready.push_back(inclusion.to);
            }
        }
        alternatives[file] = here;
    }
    let standings = layers.into_iter().zip(alternatives);
    Ok(standings
        .map(|(layer, alternatives)| IncludeDepth {
            layer,
            when: condition(alternatives),
        })
        .collect())
}

fn layers(files: usize, inclusions: &[Inclusion]) -> Vec<usize> {
    let mut layers = vec![usize::MAX; files];
    let mut queue = VecDeque::new();
    if let Some(plan) = layers.first_mut() {
        *plan = 0;
        queue.push_back(0);
    }
    while let Some(file) = queue.pop_front() {
        for inclusion in inclusions.iter().filter(|inclusion| inclusion.from == file) {
            if layers[inclusion.to] == usize::MAX {
                layers[inclusion.to] = layers[file] + 1;
                queue.push_back(inclusion.to);
            }
        }
    }
    layers
}

/// The alternatives as one expression.
fn condition(alternatives: Vec<Vec<Expr>>) -> Option<Expr> {
    let all = |conditions: Vec<Expr>| join("andalso", conditions);
    let any: Option<Vec<Expr>> = alternatives.into_iter().map(all).collect();
    join("orelse", any?)
}

fn join(operator: &'static str, exprs: Vec<Expr>) -> Option<Expr> {
    exprs.into_iter().reduce(|left, right| Expr {
        span: left.span,
        kind: ExprKind::Binop(operator, Box::new(left), Box::new(right)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse_expression;
    use crate::syntax::print::to_source;

    fn include(from: usize, to: usize, when: &[&str]) -> Inclusion {
        let when = when
            .iter()
            .map(|text| parse_expression(text, 0).expect("an expression"))
            .collect();
        Inclusion { from, to, when }
    }

    fn described(files: usize, inclusions: &[Inclusion]) -> Vec<(usize, String)> {
        let standings = standings(files, inclusions).expect("few alternatives");
        let text = |standing: IncludeDepth| {
            let when = standing.when.as_ref().map(to_source);
            (standing.layer, when.unwrap_or_default())
        };
        standings.into_iter().map(text).collect()
    }

    #[test]
    fn any_way_that_brings_a_file_in_counts() {
        let described = described(
            4,
            &[
                include(0, 1, &["a", "b"]),
                include(1, 2, &["c"]),
                include(0, 3, &["d"]),
                include(3, 2, &[]),
            ],
        );
        assert_eq!(described[0], (0, String::new()));
        assert_eq!(described[1], (1, "a andalso b".to_owned()));
        assert_eq!(described[2].0, 2);
        assert!(
            [
                "a andalso b andalso c orelse d",
                "d orelse a andalso b andalso c"
            ]
            .contains(&described[2].1.replace(['(', ')'], "").as_str()),
            "{described:?}"
        );
    }

    #[test]
    fn an_unguarded_include_always_applies_at_its_nearest_place() {
        let described = described(
            3,
            &[
                include(0, 1, &[]),
                include(1, 2, &["x"]),
                include(0, 2, &[]),
            ],
        );
        assert_eq!(described[2], (1, String::new()));
    }

    #[test]
    fn too_many_ways_are_refused() {
        let mut inclusions = Vec::new();
        let guards = |n: usize| (format!("a{n}"), format!("b{n}"));
        for level in 0..10 {
            let (a, b) = guards(level);
            let (from, left, right, to) = (level * 3, level * 3 + 1, level * 3 + 2, level * 3 + 3);
            inclusions.push(include(from, left, &[&a]));
            inclusions.push(include(from, right, &[&b]));
            inclusions.push(include(left, to, &[]));
            inclusions.push(include(right, to, &[]));
        }
        assert!(standings(31, &inclusions).is_err());
    }
}
