//! Nodes on which the same will happen: shown as one block, and what there is to say of them once.
//!
//! Takes prepared upgrades, gives which of them belong together; prints nothing.

use crate::diag::Diagnostic;
use crate::engine::rollout::PreparedNode;
use crate::engine::{Connection, Upgrade};
use crate::name::NodeName;
use crate::report::style::count;

/// One node of several, and what is to happen there.
#[derive(Clone, Copy)]
pub(super) struct PlannedNode<'a> {
    pub connection: &'a Connection<'a>,
    pub upgrade: &'a Upgrade,
}

impl<'a> PlannedNode<'a> {
    pub(super) fn of(prepared: &'a PreparedNode<'_>) -> Self {
        Self {
            connection: &prepared.connection,
            upgrade: &prepared.upgrade,
        }
    }

    pub(super) fn node(&self) -> &'a NodeName {
        self.connection.session.node()
    }
}

/// The nodes in their order, those with the same content together; a node with nothing to do is alone.
pub(super) fn blocks<'a>(all: &[PlannedNode<'a>]) -> Vec<Vec<PlannedNode<'a>>> {
    let mut blocks: Vec<(crate::term::Term, Vec<PlannedNode<'a>>)> = Vec::new();
    for planned in all {
        let content = planned.upgrade.content();
        let same = blocks.iter_mut().find(|(other, block)| {
            *other == content && !planned.upgrade.is_empty() && !block[0].upgrade.is_empty()
        });
        match same {
            Some((_, block)) => block.push(*planned),
            None => blocks.push((content, vec![*planned])),
        }
    }
    blocks.into_iter().map(|(_, block)| block).collect()
}

/// What there is to say. What several nodes have in common is said once, with their names.
pub(super) fn diagnostics(planned_nodes: &[PlannedNode<'_>]) -> Vec<Diagnostic> {
    let mut all: Vec<(Diagnostic, Vec<&NodeName>)> = Vec::new();
    for planned in planned_nodes {
        for diagnostic in &planned.upgrade.diagnostics {
            let same = |one: &&mut (Diagnostic, _)| {
                one.0.code == diagnostic.code && one.0.title == diagnostic.title
            };
            match all.iter_mut().find(same) {
                Some((_, nodes)) => nodes.push(planned.node()),
                None => all.push((diagnostic.clone(), vec![planned.node()])),
            }
        }
    }
    let named = |(diagnostic, nodes): (Diagnostic, Vec<&NodeName>)| match nodes.as_slice() {
        _ if planned_nodes.len() == 1 => diagnostic,
        [one] => diagnostic.note(format!("on {one}")),
        [first, others @ ..] => {
            let others = count(others.len(), "more node", "more nodes");
            diagnostic.note(format!("on {first} and {others}"))
        }
        [] => diagnostic,
    };
    all.into_iter().map(named).collect()
}
