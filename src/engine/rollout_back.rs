//! The way back of a whole rollout: every node that is new goes back to what it was, the last one first.
//!
//! Takes what a [`Walk`] knows when no further node is begun and decides by the plan whether nodes go back; each is
//! reported with its outcome, and one that stays as it is with the command that is left to do.

use super::rollout::{PreparedNode, RolloutEvent, Walk};
use super::undo::Undo;
use super::{Engine, Settings};
use crate::diag::{Code, Diagnostic, Result};
use crate::exec::rollback::WayBack;
use crate::exec::{Event, Interrupt, NodeState, Outcome};
use crate::plan::{RollbackPolicy, RollbackTrigger};
use crate::state::runs::RecordedRun;

/// What was read of the record of a node's run: itself, and its way back where there is one.
type Recorded = (RecordedRun, Option<WayBack>);

impl<'e> Walk<'e, '_> {
    /// Takes all nodes back that are new, where the plan wants that after what has happened.
    pub(super) fn go_back(&mut self, prepared_nodes: &[PreparedNode<'e>]) {
        let Some(why) = self.reason() else { return };
        let is = |at: usize, state: NodeState| {
            let end = self.rollout_outcome.ends[at].as_ref();
            end.is_some_and(|end| end.state == state)
        };
        let all = || (0..prepared_nodes.len()).rev();
        let new: Vec<usize> = all().filter(|at| is(*at, NodeState::New)).collect();
        let left: Vec<usize> = all()
            .filter(|at| is(*at, NodeState::Mixed) || is(*at, NodeState::Unknown))
            .collect();
        if new.is_empty() {
            return;
        }
        self.watcher.on_event(RolloutEvent::Back(&why));
        // A request to stop that ended the walk is none to stay half way back.
        let settings = Settings {
            interrupt: Interrupt::default(),
            ..self.engine.settings.clone()
        };
        // All of them before the first: every run that is begun may cost the oldest record.
        let recorded: Vec<Option<Recorded>> = new.iter().map(|at| self.recorded(*at)).collect();
        if self.rollout.together.is_some() {
            self.back_together(&settings, prepared_nodes, new.into_iter().zip(recorded));
        } else {
            for (at, recorded) in new.into_iter().zip(recorded) {
                let prepared = &prepared_nodes[at];
                let Some(ready) = self.node_ready(&settings, at, prepared, recorded) else {
                    continue;
                };
                let watcher = &mut *self.watcher;
                let tell = &mut |event: &Event| watcher.on_event(RolloutEvent::Node { at, event });
                let (undo, outcome) = ready.undo(&settings, None, tell);
                self.node_is_back(at, prepared, &ready.summary.run, &undo, outcome);
            }
        }
        for at in left {
            let prepared = &prepared_nodes[at];
            let end = self.rollout_outcome.ends[at].as_ref();
            let why = match end.map(|end| end.state) {
                Some(NodeState::Unknown) => "its run goes on without a client",
                _ => "its run has left it in between",
            };
            let help = self.what_is_left(at, prepared, end);
            self.stays(at, prepared, &[why.to_owned()], help);
        }
    }

    /// Why all nodes go back; `None` when they do not.
    fn reason(&self) -> Option<String> {
        let plan = &self.engine.plan;
        let outcome = &self.rollout_outcome;
        // Not asked to the end is not the same as not content.
        let first = outcome.errors.first();
        let first = first.filter(|first| first.code != Code::E621);
        if let Some(first) = first {
            let wanted = plan.rollback == RollbackPolicy::Automatic
                && plan.rollback_on.contains(&RollbackTrigger::Rollout);
            return (wanted || self.rollout.all_back).then(|| {
                match first.code {
                    Code::E645 => "a hold has failed",
                    Code::E647 => "a node was lost in a hold",
                    Code::E646 => "a gate has refused",
                    _ => "a check or hook of the rollout failed",
                }
                .to_owned()
            });
        }
        if !self.rollout.all_back || !outcome.errors.is_empty() || !self.failed {
            return None;
        }
        // What the operator has called off is no failure of a node.
        let asked = self.engine.settings.interrupt.count() > 0;
        let failed = outcome.count(|end| {
            let called_off = end
                .errors
                .first()
                .is_some_and(|error| matches!(error.code, Code::E611 | Code::E608));
            !(end.is_good() || (asked && called_off))
        });
        match failed {
            0 => None,
            1 => Some("a node has failed".to_owned()),
            many => Some(format!("{many} nodes have failed")),
        }
    }

    fn recorded(&self, at: usize) -> Option<Recorded> {
        let run = self.runs[at].name.as_deref()?;
        let way = self.records.rollback_term(run);
        let way = way.and_then(|term| WayBack::read(&term));
        Some((self.records.find(Some(run))?, way))
    }

    /// Nodes that have switched at one instant go back like that. What happens is reported when it is over.
    fn back_together(
        &mut self,
        settings: &Settings,
        prepared_nodes: &[PreparedNode<'e>],
        new: impl Iterator<Item = (usize, Option<Recorded>)>,
    ) {
        let (mut nodes, mut ready) = (Vec::new(), Vec::new());
        for (at, recorded) in new {
            if let Some(one) = self.node_ready(settings, at, &prepared_nodes[at], recorded) {
                nodes.push(at);
                ready.push(one);
            }
        }
        let ends = Undo::undo_together(&ready, settings);
        for ((at, ready), (events, undo, outcome)) in nodes.into_iter().zip(&ready).zip(ends) {
            for event in &events {
                self.watcher.on_event(RolloutEvent::Node { at, event });
            }
            let run = &ready.summary.run;
            self.node_is_back(at, &prepared_nodes[at], run, &undo, outcome);
        }
    }

    /// Whether a node can go back; reported when it cannot.
    fn node_ready(
        &mut self,
        settings: &Settings,
        at: usize,
        prepared: &PreparedNode<'e>,
        recorded: Option<Recorded>,
    ) -> Option<Undo> {
        let forward = format!("updo run PLAN --only-node {}", prepared.node());
        let Some((summary, Some(way))) = recorded else {
            let why = "a conversion cannot be reversed, or no copy of the former version was found";
            let help = format!("it runs the new version; correct it forward: {forward}");
            self.stays(at, prepared, &[why.to_owned()], help);
            return None;
        };
        let run = summary.run.clone();
        match ready(self.engine, settings, prepared, &summary, &way) {
            Ok(ready) => Some(ready),
            Err(diagnostic) => {
                let help = match diagnostic.code {
                    Code::E602 => format!("leave it, or correct it forward: {forward}"),
                    _ => format!("when that is mended: updo rollback {run}"),
                };
                let title = format!("{}: {}", diagnostic.code, diagnostic.title);
                let notes: Vec<String> = std::iter::once(title).chain(diagnostic.notes).collect();
                self.stays(at, prepared, &notes, help);
                None
            }
        }
    }

    /// The way back of a node is over.
    fn node_is_back(
        &mut self,
        at: usize,
        prepared: &PreparedNode<'e>,
        run: &str,
        undo: &str,
        mut outcome: Outcome,
    ) {
        // It was new for a while.
        outcome.touched = true;
        self.watcher.on_event(RolloutEvent::Ended {
            at,
            outcome: &outcome,
        });
        let help = match outcome.state {
            NodeState::Old => None,
            NodeState::New => Some(format!("it runs the new version: updo rollback {run}")),
            NodeState::Unknown => Some(format!("see how it ends: updo attach {undo}")),
            NodeState::Mixed => Some(self.what_is_left(at, prepared, Some(&outcome))),
        };
        self.rollout_outcome.ends[at] = Some(outcome);
        self.rollout_outcome.rolled_back.insert(at);
        if let Some(help) = help {
            let why = "its way back has failed, see above".to_owned();
            self.stays(at, prepared, &[why], help);
        }
    }

    /// The command for a node whose own run has left it neither new nor old, or not known.
    fn what_is_left(
        &self,
        at: usize,
        prepared: &PreparedNode<'e>,
        end: Option<&Outcome>,
    ) -> String {
        let run = self.runs[at].name.as_deref().unwrap_or("RUN");
        match end.map(|end| end.state) {
            Some(NodeState::Unknown) => format!("see how it ends: updo attach {run}"),
            _ => format!(
                "convert what has kept an old state: updo mend {}",
                prepared.node()
            ),
        }
    }

    /// E648: a node stays as it is although all were to go back.
    fn stays(&mut self, at: usize, prepared: &PreparedNode<'e>, notes: &[String], help: String) {
        let title = format!("{} does not go back with the others", prepared.node());
        let mut diagnostic = Diagnostic::new(Code::E648, title).help(help);
        diagnostic.notes = notes.to_vec();
        self.whole_error(prepared.node(), at, diagnostic);
    }
}

/// A session over which a node can go back: made anew where it was lost, and the node is what its run has left.
fn ready(
    engine: &Engine,
    settings: &Settings,
    prepared: &PreparedNode<'_>,
    summary: &RecordedRun,
    way: &WayBack,
) -> Result<Undo> {
    let session = match prepared.connection.session.is_lost() {
        Some(_) => engine.connect(prepared.node())?.session,
        None => prepared.connection.session.clone(),
    };
    let title = format!("{} has changed since its upgrade", prepared.node());
    let help = "it stays as it is: another run has changed it since";
    Undo::ready(
        settings,
        session,
        summary.clone(),
        way.clone(),
        (title, help),
    )
}
