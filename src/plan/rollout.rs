//! `rollout [Target] #{…}`: how the nodes of a target are walked through, and in which stages.
//!
//! It takes the options and gives a [`Rollout`]; [`Rollout::stages`] divides nodes by it. Both ask no node: which of
//! the nodes have anything to do is known to the caller.

use std::time::Duration;

use super::options::{constant, duration, known, value, wrong};
use super::resolve::Resolver;
use super::vocabulary;
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Span};
use crate::name::NodeName;
use crate::syntax::ast::{Expr, Options};
use crate::term::Term;

/// The name of the stage that goes first.
const CANARY: &str = "canary";

/// The name of the only stage of nodes that switch at one instant.
const TOGETHER: &str = "together";

/// How long a node waits for the others with processes suspended: callers wait for 5 s, unless they say so.
const WAIT: Duration = Duration::from_secs(2);

/// `rollout [Target] #{…}`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The target it is meant for; `None` for any.
    pub target: Option<String>,
    /// The nodes that go first, alone.
    pub canary: Canary,
    /// Sizes of the stages after that; the last one is repeated.
    pub batches: Vec<Share>,
    /// How many nodes of a stage at the same time; `None` for all of it.
    pub parallel: Option<usize>,
    /// What happens between two stages.
    pub pause: Pause,
    /// After how many failed nodes the walk ends; at least 1.
    pub abort_after: usize,
    /// `on_failure => all_back`: when so many nodes have failed, those that are new go back as well.
    pub all_back: bool,
    /// Which node comes first.
    pub order: Order,
    /// `together`: all nodes switch at one instant, and for so long one waits for the others meanwhile.
    pub together: Option<Duration>,
}

/// The nodes that go first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canary {
    /// So many of the first.
    First(usize),
    /// These.
    Nodes(Vec<NodeName>),
}

/// A number of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many; at least 1.
    Nodes(usize),
    /// So much of the target, rounded up; 1 to 100.
    Percent(usize),
}

/// What happens between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Nothing.
    None,
    /// Time goes by.
    For(Duration),
    /// The user is asked.
    Confirm,
}

/// Which node comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// As the target names them.
    Given,
    /// By name.
    Name,
    /// These first, the others as the target names them.
    First(Vec<NodeName>),
}

/// Nodes that are upgraded before the next ones begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `canary`, `batch 1`, …
    pub name: String,
    /// Positions in the list that was divided.
    pub nodes: Vec<usize>,
}

impl Stage {
    /// Whether its nodes go first, to be watched before the others begin.
    pub fn is_canary(&self) -> bool {
        self.name == CANARY
    }
}

impl Default for Rollout {
    /// Without the statement: one node after the other, and the first failure ends it.
    fn default() -> Self {
        Self {
            target: None,
            canary: Canary::First(0),
            batches: vec![Share::Nodes(usize::MAX)],
            parallel: Some(1),
            pause: Pause::None,
            abort_after: 1,
            all_back: false,
            order: Order::Given,
            together: None,
        }
    }
}

impl Rollout {
    /// The nodes in the order in which they are walked through: canaries first.
    pub fn ordered(&self, nodes: &[NodeName]) -> Vec<NodeName> {
        let mut ordered = nodes.to_vec();
        let first = |ordered: &mut Vec<NodeName>, wanted: &[NodeName]| {
            let place = |node: &NodeName| wanted.iter().position(|name| name == node);
            ordered.sort_by_key(|node| place(node).unwrap_or(wanted.len()));
        };
        match &self.order {
            Order::Given => {}
            Order::Name => ordered.sort(),
            Order::First(wanted) => first(&mut ordered, wanted),
        }
        if let Canary::Nodes(wanted) = &self.canary {
            first(&mut ordered, wanted);
        }
        ordered
    }

    /// Divides nodes that are in order into stages. `whole` is how many the target has: percentages are of it.
    pub fn stages(&self, nodes: &[NodeName], whole: usize) -> Vec<Stage> {
        let canaries = match &self.canary {
            Canary::First(count) => (*count).min(nodes.len()),
            Canary::Nodes(wanted) => nodes.iter().take_while(|n| wanted.contains(n)).count(),
        };
        let mut stages = Vec::new();
        if self.together.is_some() && !nodes.is_empty() {
            stages.push(Stage {
                name: TOGETHER.to_owned(),
                nodes: (0..nodes.len()).collect(),
            });
            return stages;
        }
        if canaries > 0 {
            stages.push(Stage {
                name: CANARY.to_owned(),
                nodes: (0..canaries).collect(),
            });
        }
        let mut at = canaries;
        let mut number = 0;
        while at < nodes.len() {
            let share = self.batches.get(number).or(self.batches.last());
            let size = match share {
                Some(Share::Nodes(count)) => *count,
                Some(Share::Percent(percent)) => whole.saturating_mul(*percent).div_ceil(100),
                None => usize::MAX,
            };
            let end = at.saturating_add(size.max(1)).min(nodes.len());
            number += 1;
            stages.push(Stage {
                name: format!("batch {number}"),
                nodes: (at..end).collect(),
            });
            at = end;
        }
        stages
    }
}

/// Reads `2`, `"25%"`: what `batch` and `--batch` say.
pub fn share(term: &Term) -> Option<Share> {
    if let Some(count) = term.as_i64() {
        return usize::try_from(count)
            .ok()
            .filter(|count| *count > 0)
            .map(Share::Nodes);
    }
    let text = term.to_text()?;
    let percent: usize = text.strip_suffix('%')?.trim().parse().ok()?;
    (1..=100)
        .contains(&percent)
        .then_some(Share::Percent(percent))
}

impl Resolver<'_> {
    /// `rollout [Target] #{…}`
    pub(super) fn rollout(&mut self, target: Option<&str>, options: &Options, span: Span) {
        self.once(
            &match target {
                Some(target) => format!("rollout {target}"),
                None => "rollout".to_owned(),
            },
            span,
        );
        known(
            options,
            "rollout",
            &vocabulary::words(vocabulary::ROLLOUT),
            &mut self.diagnostics,
        );
        let mut rollout = Rollout {
            target: target.map(str::to_owned),
            parallel: None,
            batches: vec![Share::Nodes(1)],
            ..Rollout::default()
        };
        if let Some((expr, term)) = self.rollout_option(options, "canary") {
            match (count(&term, 0), node_names(&term)) {
                (Some(count), _) => rollout.canary = Canary::First(count),
                (None, Some(nodes)) => rollout.canary = Canary::Nodes(nodes),
                (None, None) => self.wants("canary", "a number or a list of nodes", expr, &term),
            }
        }
        if let Some((expr, term)) = self.rollout_option(options, "batch") {
            let one = share(&term).map(|share| vec![share]);
            let many = || {
                let list = term.as_list().filter(|list| !list.is_empty())?;
                list.iter().map(share).collect::<Option<Vec<_>>>()
            };
            match one.or_else(many) {
                Some(batches) => rollout.batches = batches,
                None => self.wants(
                    "batch",
                    "a number, a share such as `\"25%\"`, or a list of these",
                    expr,
                    &term,
                ),
            }
        }
        if let Some((expr, term)) = self.rollout_option(options, "parallel") {
            match count(&term, 1) {
                Some(count) => rollout.parallel = Some(count),
                None if term.is_atom("all") => rollout.parallel = None,
                None => self.wants("parallel", "a number of nodes or `all`", expr, &term),
            }
        }
        match value(options, "pause") {
            Some(expr)
                if expr
                    .as_literal()
                    .is_some_and(|term| term.is_atom("confirm")) =>
            {
                rollout.pause = Pause::Confirm;
            }
            Some(expr) => {
                let time = duration("pause", expr, &self.plan.constants, &mut self.diagnostics);
                rollout.pause = time.map_or(Pause::None, Pause::For);
            }
            None => {}
        }
        if let Some((expr, term)) = self.rollout_option(options, "abort_after") {
            match count(&term, 1) {
                Some(count) => rollout.abort_after = count,
                None => self.wants("abort_after", "a number of failed nodes", expr, &term),
            }
        }
        if let Some((expr, term)) = self.rollout_option(options, "on_failure") {
            rollout.all_back = term.is_atom("all_back");
            if !rollout.all_back && !term.is_atom("stop") {
                self.wants("on_failure", "`stop` or `all_back`", expr, &term);
            }
        }
        if let Some((expr, term)) = self.rollout_option(options, "order") {
            match node_names(&term) {
                Some(nodes) => rollout.order = Order::First(nodes),
                None if term.is_atom("given") => rollout.order = Order::Given,
                None if term.is_atom("name") => rollout.order = Order::Name,
                None => self.wants("order", "`given`, `name` or a list of nodes", expr, &term),
            }
        }
        if let Some((expr, term)) = self.rollout_option(options, "together") {
            rollout.together = term.is_atom("true").then_some(WAIT);
            if rollout.together.is_none() && !term.is_atom("false") {
                self.wants("together", "`true` or `false`", expr, &term);
            }
        }
        let wait = value(options, "wait").and_then(|expr| {
            let time = duration("wait", expr, &self.plan.constants, &mut self.diagnostics)?;
            Some((expr, time))
        });
        match (wait, rollout.together) {
            (Some((_, time)), Some(_)) if !time.is_zero() => rollout.together = Some(time),
            (Some((expr, _)), together) => {
                let (title, label) = match together {
                    Some(_) => ("`wait` wants a duration above zero", "no time to answer in"),
                    None => (
                        "`wait` is for `together`",
                        "these nodes do not wait for each other",
                    ),
                };
                let diagnostic = Diagnostic::new(Code::E358, title).label(expr.span, label);
                let help = "write, for instance, `#{together => true, wait => 2s}`";
                self.diagnostics.push(diagnostic.help(help));
            }
            (None, _) => {}
        }
        if rollout.together.is_some() {
            self.all_at_once(options, span);
            rollout.batches = vec![Share::Nodes(usize::MAX)];
        }
        self.plan.rollouts.push((rollout, span));
    }

    /// E358: what is said for nodes that come one after the other means nothing for all at once.
    fn all_at_once(&mut self, options: &Options, span: Span) {
        for word in ["canary", "batch", "parallel", "pause", "abort_after"] {
            let Some(expr) = value(options, word) else {
                continue;
            };
            let title = format!("`together` does not go with `{word}`");
            let diagnostic = Diagnostic::new(Code::E358, title)
                .label(expr.span, "is for nodes that come one after the other")
                .label(span, "all nodes of this rollout switch at one instant");
            self.diagnostics
                .push(diagnostic.help(format!("leave `{word}` out, or `together`")));
        }
    }

    /// E211 for a rollout of a target that the plan does not have.
    pub(super) fn rollout_targets(&mut self) {
        let known: Vec<&str> = self.plan.targets.iter().map(|t| t.name.as_str()).collect();
        for (rollout, span) in &self.plan.rollouts {
            let Some(wanted) = rollout.target.as_deref().filter(|w| !known.contains(w)) else {
                continue;
            };
            let title =
                format!("`rollout` names the target `{wanted}`, which the plan does not have");
            let diagnostic = Diagnostic::new(Code::E211, title).label(*span, "no such target");
            self.diagnostics
                .push(match suggest(wanted, known.iter().copied()) {
                    Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
                    None => diagnostic.help(format!("add `target {wanted} #{{nodes => […]}}.`")),
                });
        }
    }

    fn rollout_option<'o>(&mut self, options: &'o Options, word: &str) -> Option<(&'o Expr, Term)> {
        let expr = value(options, word)?;
        let term = constant(expr, &self.plan.constants, &mut self.diagnostics)?;
        Some((expr, term))
    }

    fn wants(&mut self, word: &str, wants: &str, expr: &Expr, term: &Term) {
        self.diagnostics.push(wrong(word, wants, expr, term));
    }
}

fn count(term: &Term, least: usize) -> Option<usize> {
    let count = usize::try_from(term.as_i64()?).ok()?;
    (count >= least).then_some(count)
}

fn node_names(term: &Term) -> Option<Vec<NodeName>> {
    let list = term.as_list().filter(|list| !list.is_empty())?;
    list.iter().map(super::target::node_name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize) -> Vec<NodeName> {
        (0..count)
            .map(|n| NodeName::new(format!("n{n:03}@h")))
            .collect()
    }

    fn sizes(rollout: &Rollout, count: usize) -> Vec<usize> {
        let stages = rollout.stages(&names(count), count);
        stages.iter().map(|stage| stage.nodes.len()).collect()
    }

    #[test]
    fn the_last_size_is_repeated() {
        let rollout = Rollout {
            canary: Canary::First(1),
            batches: vec![Share::Nodes(1), Share::Nodes(3), Share::Percent(50)],
            ..Rollout::default()
        };
        assert_eq!(sizes(&rollout, 12), [1, 1, 3, 6, 1]);
        assert_eq!(sizes(&rollout, 1), [1]);
        assert_eq!(sizes(&rollout, 0), [0; 0]);
        // A share is never empty.
        let rollout = Rollout {
            batches: vec![Share::Percent(1)],
            ..rollout
        };
        assert_eq!(sizes(&rollout, 3), [1, 1, 1]);
        assert_eq!(sizes(&Rollout::default(), 4), [4]);
    }

    #[test]
    fn canaries_by_name_come_first() {
        let rollout = Rollout {
            canary: Canary::Nodes(vec![NodeName::new("n002@h"), NodeName::new("gone@h")]),
            order: Order::First(vec![NodeName::new("n003@h")]),
            ..Rollout::default()
        };
        let ordered = rollout.ordered(&names(4));
        let text: Vec<&str> = ordered.iter().map(NodeName::as_str).collect();
        assert_eq!(text, ["n002@h", "n003@h", "n000@h", "n001@h"]);
        assert_eq!(rollout.stages(&ordered, 4)[0].nodes, [0]);
    }

    proptest! {
        #[test]
        fn every_node_is_in_one_stage_in_order(
            count in 0_usize..40,
            canary in 0_usize..5,
            sizes in proptest::collection::vec((any::<bool>(), 1_usize..100), 0..4),
        ) {
            let share = |(percent, size): (bool, usize)| match percent {
                true => Share::Percent(size),
                false => Share::Nodes(size),
            };
            let rollout = Rollout {
                canary: Canary::First(canary),
                batches: sizes.into_iter().map(share).collect(),
                ..Rollout::default()
            };
            let all: Vec<usize> = rollout
                .stages(&names(count), count)
                .into_iter()
                .flat_map(|stage| { assert!(!stage.nodes.is_empty()); stage.nodes })
                .collect();
            prop_assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }
}
