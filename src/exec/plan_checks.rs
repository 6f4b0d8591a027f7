//! The plan's own words around a run: `require` and hooks before, `after upgrade` and `verify` when the agent has
//! said `new`, `on failure`. Evaluated here, with their calls running on the node.
//!
//! Used by a run and by whoever rejoins one. Tells everything through the [`Watch`]; decides nothing about the
//! node, only whether the plan is content.

use std::time::Instant;

use super::agent_monitor::{MonitorResult, Watch};
use super::condition::{CheckContext, not_held};
use super::event::{EventKind, NodeState};
use super::steps::Step;
use crate::diag::{Code, Diagnostic};
use crate::node::Mailbox;
use crate::plan::{Check, RollbackTrigger, When};
use crate::rules::node_view::LogLine;
use crate::term::Term;

/// A plan's checks and hooks over a watched run.
pub(super) struct Checks<'a, 'b> {
    pub(super) scene: CheckContext<'a>,
    pub(super) watch: Watch<'a, 'b>,
    /// Whether `verify` is asked at all.
    pub(super) verify: bool,
    /// What the plan was not content with, when the node was new.
    pub(super) failing: Option<RollbackTrigger>,
    /// Whether this is about a whole rollout: there is no job on the node that could be left to itself.
    pub(super) whole: bool,
}

impl<'a, 'b> Checks<'a, 'b> {
    pub(super) fn new(scene: CheckContext<'a>, watch: Watch<'a, 'b>, verify: bool) -> Self {
        Self {
            scene,
            watch,
            verify,
            failing: None,
            whole: false,
        }
    }

    /// `require` and `before upgrade`: nothing on the node has been touched by updo yet.
    pub(super) fn preconditions(&mut self) -> bool {
        self.required(false) && self.hooks(When::Before, &[]) && !self.stopped()
    }

    /// The same for a whole rollout, before its first node is begun.
    pub(super) fn rollout_preconditions(&mut self) -> bool {
        self.required(true) && self.hooks(When::BeforeRollout, &[]) && !self.stopped()
    }

    fn required(&mut self, rollout: bool) -> bool {
        let mut requires = self.scene.plan.requires.iter();
        requires.all(|check| check.rollout != rollout || self.check(check, false, None))
    }

    /// Whether an interrupt came before the node was touched; that is reported.
    fn stopped(&mut self) -> bool {
        if self.watch.interrupt.count() == 0 {
            return false;
        }
        let diagnostic = Diagnostic::new(Code::E611, "interrupted before anything was begun");
        self.watch.fail(diagnostic);
        true
    }

    /// Decides one check; reports it, and what is wrong if it does not hold.
    fn check(&mut self, check: &Check, verify: bool, until: Option<Instant>) -> bool {
        match self.scene.holds(&check.tail) {
            Ok(true) => {}
            Ok(false) => return true,
            Err(diagnostic) => {
                self.watch.fail(*diagnostic);
                return false;
            }
        }
        // A precondition is given up at the first request; what is upgraded is looked at until the second.
        let enough = if verify { 2 } else { 1 };
        if !verify && self.stopped() {
            return false;
        }
        let verdict = self
            .scene
            .decide(check, until, self.watch.interrupt, enough);
        if verify && !self.whole {
            self.watch.handle_interrupt();
        }
        let ok = verdict.failure.is_none();
        if !ok && self.gone(verify) {
            return false;
        }
        let (name, tries, took) = (check.name.clone(), verdict.tries, verdict.took);
        self.report_log(&verdict.log);
        self.watch.tell(EventKind::Check {
            verify,
            name,
            ok,
            tries,
            took,
        });
        if let Some(cause) = &verdict.failure {
            self.watch.fail(not_held(verify, check, &verdict, cause));
        }
        ok
    }

    /// Whether a check failed only because the run is not watched any more: the connection is lost, or we were asked
    /// to leave. That is reported.
    fn gone(&mut self, verify: bool) -> bool {
        let lost = self.scene.session.is_lost();
        match (verify, lost) {
            (false, Some(why)) => {
                let title = format!("the connection to {} was lost", self.scene.session.node());
                let diagnostic = Diagnostic::new(Code::E508, title).note(why);
                self.watch.fail(diagnostic.note("nothing was changed"));
                true
            }
            (false, None) => self.stopped(),
            (true, Some(why)) if self.whole => {
                let title = format!("the connection to {} was lost", self.scene.session.node());
                let diagnostic = Diagnostic::new(Code::E621, title).note(why);
                self.watch.fail(diagnostic);
                true
            }
            (true, Some(why)) => {
                self.watch.unattended(&why);
                true
            }
            (true, None) if self.whole && self.watch.interrupt.count() > 1 => {
                let title = "interrupted before the rollout was verified";
                self.watch.fail(Diagnostic::new(Code::E621, title));
                true
            }
            (true, None) if self.watch.interrupt.count() > 1 => {
                self.watch.left();
                true
            }
            (true, None) => false,
        }
    }

    /// Lines of `info` and `warn`.
    fn report_log(&mut self, log: &[LogLine]) {
        for LogLine { warn, text } in log {
            self.watch.tell(EventKind::Log {
                warn: *warn,
                text: text.clone(),
            });
        }
    }

    /// Runs the hooks of a moment; `false` when one failed.
    pub(super) fn hooks(&mut self, when: When, more: &[(&str, Term)]) -> bool {
        // The node asks for those at steps.
        if when == When::Step {
            return true;
        }
        let name = when.words();
        let plan = self.scene.plan;
        for hook in plan.hooks.iter().filter(|hook| hook.when == when) {
            match self.scene.holds(&hook.tail) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(diagnostic) => {
                    self.watch.fail(*diagnostic);
                    return false;
                }
            }
            let began = Instant::now();
            let mut log = Vec::new();
            let result = self.scene.hook(&hook.body, more, &mut log);
            self.report_log(&log);
            self.watch.tell(EventKind::Hook {
                name,
                ok: result.is_ok(),
                took: began.elapsed(),
            });
            if let Err(mut diagnostic) = result {
                use When::{After, AfterRollout, Rollback};
                if matches!(when, After | AfterRollout | Rollback) && self.gone(true) {
                    return false;
                }
                diagnostic.notes.push(format!("in a hook `{name}`"));
                self.watch.fail(*diagnostic);
                return false;
            }
        }
        true
    }

    /// Watches the agent until it says how it ended, and evaluates the hooks at steps that it asks for.
    pub(super) fn until_finished(&mut self, mailbox: &Mailbox, steps: &[Step]) -> NodeState {
        self.watch.begin();
        loop {
            match self.watch.next(mailbox, steps) {
                MonitorResult::Hook(step) => self.step_hook(&step),
                MonitorResult::Ended(state) => return state,
            }
        }
    }

    /// A hook at a step: the node waits for the answer. Its reports are shown beside the step. A hook that is not in
    /// our plan cannot be answered with yes.
    fn step_hook(&mut self, step: &Step) {
        let mut log = Vec::new();
        let plan = self.scene.plan;
        let hook = step.hook();
        let result = match hook.and_then(|(number, _)| plan.hooks.get(number)) {
            Some(hook) => self.scene.hook(&hook.body, &[], &mut log).map(drop),
            None => Err(Box::new(Diagnostic::new(
                Code::E612,
                "the node waits for a hook that the plan does not have",
            ))),
        };
        self.report_log(&log);
        if let Err(diagnostic) = &result {
            let name = hook.map_or("", |(_, name)| name);
            let hook_diagnostic = (**diagnostic).clone();
            self.watch.hook_failed = Some(hook_diagnostic.note(format!("in a hook `{name}`")));
        }
        self.watch.answer(step.id, result.is_ok());
    }

    /// Whether what the node has reported so far is good, and the plan is content with it.
    /// The node is asked at last which processes live and whether its code is still that of the run; not when the run
    /// has settled by itself, which has reported that.
    pub(super) fn content(&mut self, until: Option<Instant>, mailbox: Option<&Mailbox>) -> bool {
        if !self.watch.outcome.errors.is_empty() {
            return false;
        }
        if self.watch.crashes() {
            self.failing = Some(RollbackTrigger::Verify);
            return false;
        }
        let good = self.good(until);
        if self.watch.outcome.state == NodeState::Unknown {
            return false;
        }
        if let Some(mailbox) = mailbox {
            self.watch.survey(mailbox);
        }
        let crashed = self.watch.crashes();
        if crashed && good {
            self.failing = Some(RollbackTrigger::Verify);
        }
        good && !crashed && self.watch.outcome.state == NodeState::New
    }

    /// `after upgrade` and `verify`.
    fn good(&mut self, until: Option<Instant>) -> bool {
        if !self.hooks(When::After, &[]) {
            self.failing = Some(RollbackTrigger::After);
            return false;
        }
        let verified = self.verified(false, until);
        if !verified {
            self.failing = Some(RollbackTrigger::Verify);
        }
        verified
    }

    /// `after rollout` and what must hold when all nodes are new.
    pub(super) fn rollout_content(&mut self) -> bool {
        self.hooks(When::AfterRollout, &[]) && self.verified(true, None)
    }

    fn verified(&mut self, rollout: bool, until: Option<Instant>) -> bool {
        let mut verifies = self.scene.plan.verifies.iter();
        !self.verify
            || verifies.all(|check| check.rollout != rollout || self.check(check, true, until))
    }

    /// `on rollback`: the node has gone back after the switch, and all processes run again. What no hook undoes is
    /// reported.
    pub(super) fn went_back(&mut self) {
        if self.watch.outcome.state != NodeState::Old {
            return;
        }
        if !self.hooks(When::Rollback, &[]) {
            self.watch.outcome.hook_back_failed = self.watch.outcome.state == NodeState::Old;
        } else if let Some(diagnostic) = self.watch.outcome.acted.warning() {
            self.watch.tell(EventKind::Diagnostic(Box::new(diagnostic)));
        }
    }

    /// `on failure`, with the first error as its `Reason`.
    pub(super) fn failed(&mut self) {
        let first = self.watch.outcome.errors.first();
        let reason = first.map_or(Term::atom("failed"), |error| Term::string(&error.title));
        self.hooks(When::Failure, &[("Reason", reason)]);
    }
}
