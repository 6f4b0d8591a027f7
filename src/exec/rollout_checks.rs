//! The plan's own words around a whole rollout: `require` and `verify` with `each => rollout`, hooks `before rollout`
//! and `after rollout`. Asked once, on the first node.
//!
//! Takes a session and its facts, reports events of that node, and gives what went wrong. Decides nothing about any
//! node: what follows from it is decided by `engine::rollout`, which runs the nodes.

use std::collections::BTreeSet;

use super::agent_monitor::{Outcome, Watch};
use super::condition::CheckContext;
use super::event::Event;
use super::interrupt::Interrupt;
use super::plan_checks::Checks;
use crate::diag::{Code, Diagnostic};
use crate::node::Session;
use crate::node::agent::protocol::{Codec, Reason};
use crate::plan::{Plan, When};
use crate::rules::node_view::NodeView;

/// What is needed to ask.
pub struct RolloutChecks<'a> {
    /// The first node.
    pub session: &'a Session,
    /// The rollout: four hexadecimal digits.
    pub rollout: &'a str,
    /// The plan.
    pub plan: &'a Plan,
    /// The node's facts.
    pub view: NodeView<'a>,
    /// Whether `verify` is asked at all.
    pub verify: bool,
    /// The source of requests to end.
    pub interrupt: &'a Interrupt,
}

impl RolloutChecks<'_> {
    /// Whether the plan says anything after a rollout.
    pub fn is_said_after(plan: &Plan) -> bool {
        let hooks = plan
            .hooks
            .iter()
            .any(|hook| hook.when == When::AfterRollout);
        hooks || !plan.holds.is_empty() || plan.verifies.iter().any(|check| check.rollout)
    }

    /// Before any node is begun: what is wrong, if anything.
    pub fn before(&self, sink: &mut dyn FnMut(&Event)) -> Vec<Diagnostic> {
        self.ask(sink, |checks| checks.rollout_preconditions())
    }

    /// When all nodes are new: what the plan is not content with, if anything.
    pub fn after(&self, sink: &mut dyn FnMut(&Event)) -> Vec<Diagnostic> {
        self.ask(sink, |checks| checks.rollout_is_verified())
    }

    fn ask(
        &self,
        sink: &mut dyn FnMut(&Event),
        question: fn(&mut Checks<'_, '_>) -> bool,
    ) -> Vec<Diagnostic> {
        // No agent speaks here, so there are no reasons of its to explain.
        let explain = |reason: &Reason| Diagnostic::new(Code::E612, reason.encode().to_string());
        let watch = Watch::new(self.session, self.rollout, self.interrupt, &explain, sink);
        let scene = CheckContext::new(self.plan, self.session, self.view);
        let mut checks = Checks::new(scene, watch, self.verify);
        checks.whole = true;
        question(&mut checks);
        checks.watch.outcome.errors
    }
}

/// How a rollout ended.
#[derive(Debug)]
pub struct RolloutOutcome {
    /// Its name: four hexadecimal digits.
    pub rollout: String,
    /// Per node how it ended; `None` for one that was never begun.
    pub ends: Vec<Option<Outcome>>,
    /// What is wrong with the whole.
    pub errors: Vec<Diagnostic>,
    /// Whether it was ended before all nodes were begun.
    pub stopped: bool,
    /// The nodes that were taken back after they were new: how that ended is in `ends`.
    pub rolled_back: BTreeSet<usize>,
}

impl RolloutOutcome {
    /// How many nodes ended so.
    pub fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.ends.iter().flatten().filter(|end| is(end)).count()
    }

    /// How many nodes are new, and good.
    pub fn done(&self) -> usize {
        self.count(Outcome::is_good)
    }

    /// How many nodes were never begun.
    pub fn untouched(&self) -> usize {
        self.ends.iter().filter(|end| end.is_none()).count()
    }
}
