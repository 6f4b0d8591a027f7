//! Between two stages of a rollout: what has to hold on the nodes that are new, and the gates before the next ones.
//!
//! Takes what a [`Walk`] knows; says whether it goes on, and reports everything on the way. What it finds on a node belongs
//! to the record of that node's run.

use std::time::Duration;

use super::command::CommandEnd;
use super::gate;
use super::hold::{HeldNode, HoldNews, StageHeld, hold};
use super::rollout::{HoldProgress, PreparedNode, RolloutEvent, Walk};
use crate::diag::{Code, Diagnostic};
use crate::exec::hold::HoldState;
use crate::exec::{Event, EventKind, Outcome};
use crate::name::NodeName;
use crate::plan::rollout::Stage;
use crate::plan::{Gate, Hold};
use crate::report::json;

impl<'e> Walk<'e, '_> {
    /// Runs the command of a gate; whether it lets the next stage begin.
    pub(super) fn is_open(
        &mut self,
        gate: &Gate,
        prepared_nodes: &[PreparedNode<'e>],
        stages: &[Stage],
        next: usize,
    ) -> bool {
        let names = |nodes: &[usize]| {
            let names: Vec<&str> = nodes
                .iter()
                .map(|at| prepared_nodes[*at].node().as_str())
                .collect();
            names.join(" ")
        };
        let new: Vec<usize> = (0..prepared_nodes.len())
            .filter(|at| {
                let end = self.rollout_outcome.ends[*at].as_ref();
                end.is_some_and(Outcome::is_good)
            })
            .collect();
        let (before, last) = (&stages[next], &stages[next - 1]);
        let variables = vec![
            ("UPDO_GATE", gate.name.clone()),
            ("UPDO_GATE_ROLLOUT", self.rollout_outcome.rollout.clone()),
            ("UPDO_GATE_STAGE", last.name.clone()),
            ("UPDO_GATE_NODES", names(&last.nodes)),
            ("UPDO_GATE_NEW_NODES", names(&new)),
            ("UPDO_GATE_NEXT_STAGE", before.name.clone()),
            ("UPDO_GATE_NEXT_NODES", names(&before.nodes)),
        ];
        self.watcher.on_event(RolloutEvent::Gate {
            name: &gate.name,
            within: gate.within,
            next,
        });
        let settings = &self.engine.settings;
        let id = format!("{}-{}", self.rollout_outcome.rollout, std::process::id());
        let run = gate::run(gate, &self.engine.plan, &id, variables, &settings.interrupt);
        let is_open = run.exit() == Some(0);
        let at = last.nodes.first().copied().unwrap_or_default();
        let kind = EventKind::Gate {
            name: gate.name.clone(),
            ok: is_open,
            exit: run.exit(),
            took: run.took,
            before: before.name.clone(),
        };
        if !matches!(run.end, CommandEnd::Stopped) {
            self.whole_event(prepared_nodes[at].node(), at, kind);
        }
        if !is_open && !matches!(run.end, CommandEnd::Stopped) {
            let diagnostic = gate::refusal(gate, &run, &before.name);
            self.whole_error(prepared_nodes[at].node(), at, diagnostic);
        }
        is_open && settings.interrupt.count() == 0
    }

    /// What has to hold on the nodes of a stage that are new; whether it has.
    pub(super) fn has_held(&mut self, prepared_nodes: &[PreparedNode<'e>], stage: &Stage) -> bool {
        let engine = self.engine;
        let holds = &engine.plan.holds;
        if holds.is_empty() || engine.settings.no_verify {
            return true;
        }
        let good = stage.nodes.iter().copied().filter(|at| {
            let end = self.rollout_outcome.ends[*at].as_ref();
            end.is_some_and(Outcome::is_good)
        });
        let nodes: Vec<HeldNode<'_, '_>> = good
            .map(|at| HeldNode {
                at,
                prepared: &prepared_nodes[at],
            })
            .collect();
        if nodes.is_empty() {
            return true;
        }
        let end = hold(
            engine,
            &nodes,
            &engine.settings.interrupt,
            &mut |news| match news {
                HoldNews::Progress(states) => {
                    let progress = progress(holds, &states);
                    self.watcher.on_event(RolloutEvent::Holding(&progress));
                }
                HoldNews::Node(at, kind) => {
                    self.node_event(prepared_nodes[at].node(), at, kind);
                }
            },
        );
        self.watcher.on_event(RolloutEvent::HoldOver);
        match end {
            StageHeld::Yes(applies) => {
                for (hold, nodes) in holds.iter().zip(applies).filter(|(_, nodes)| *nodes > 0) {
                    self.watcher.on_event(RolloutEvent::Held {
                        name: &hold.name,
                        goal: hold.time,
                        nodes,
                    });
                }
                true
            }
            StageHeld::Stopped => {
                self.rollout_outcome.stopped = self.rollout_outcome.untouched() > 0;
                if !self.rollout_outcome.stopped {
                    let names: Vec<String> =
                        holds.iter().map(|h| format!("`{}`", h.name)).collect();
                    let title = format!("interrupted before {} had held", names.join(", "));
                    let help = format!(
                        "look whether it does: updo repl PLAN; if not: updo rollback {}",
                        self.rollout_outcome.rollout
                    );
                    let diagnostic = Diagnostic::new(Code::E621, title).help(help);
                    self.whole_error(nodes[0].prepared.node(), nodes[0].at, diagnostic);
                }
                false
            }
            StageHeld::No(node, diagnostic) => {
                let at = nodes.iter().find(|held| *held.prepared.node() == node);
                let at = at.map_or(nodes[0].at, |held| held.at);
                self.whole_error(&node, at, *diagnostic);
                false
            }
        }
    }

    /// An event of a node whose run is over: it belongs to its record as well.
    fn node_event(&mut self, node: &NodeName, at: usize, kind: EventKind) {
        let event = self.next_event(node, at, kind);
        self.watcher
            .on_event(RolloutEvent::Node { at, event: &event });
    }

    /// The same, about the whole.
    pub(super) fn whole_event(&mut self, node: &NodeName, at: usize, kind: EventKind) {
        let event = self.next_event(node, at, kind);
        self.watcher.on_event(RolloutEvent::Whole(&event));
    }

    fn next_event(&mut self, node: &NodeName, at: usize, kind: EventKind) -> Event {
        let run = &mut self.runs[at];
        run.seq += 1;
        let event = Event {
            seq: run.seq,
            node: node.clone(),
            at: run.began.map_or(Duration::ZERO, |began| began.elapsed()),
            kind,
        };
        // Opened for each event, and there are few: of a gate, and of holds whose answer changes. A record that is open is
        // locked, and a client that attaches to that run or takes it back meanwhile could not write into it.
        let summary = run
            .name
            .as_deref()
            .and_then(|run| self.records.find(Some(run)));
        if let Some(mut record) = summary.and_then(|summary| self.records.resume(&summary).ok()) {
            record.event(&json::event(&event, &self.engine.plan.sources));
        }
        event
    }

    /// Something is wrong with the whole, as seen on a node.
    pub(super) fn whole_error(&mut self, node: &NodeName, at: usize, diagnostic: Diagnostic) {
        let kind = EventKind::Diagnostic(Box::new(diagnostic.clone()));
        self.whole_event(node, at, kind);
        self.rollout_outcome.errors.push(diagnostic);
    }
}

/// How far each hold has come, over all nodes.
fn progress(holds: &[Hold], states: &[Vec<HoldState>]) -> Vec<HoldProgress> {
    let of = |(at, hold): (usize, &Hold)| {
        let asked = states.iter().filter_map(|node| node.get(at));
        let asked: Vec<&HoldState> = asked.filter(|state| state.applies).collect();
        let held = asked.iter().map(|state| state.so_far(hold)).min();
        Some(HoldProgress {
            name: hold.name.clone(),
            held: held?,
            goal: hold.time,
            nodes: asked.len(),
            tries: asked.iter().map(|state| u64::from(state.tries)).sum(),
        })
    };
    holds.iter().enumerate().filter_map(of).collect()
}
