//! One run on one node: checks, the agent's transaction, verification, and the way back.
//!
//! Before the agent starts, nothing on the node has been touched. From then on the agent alone decides;
//! this side translates its events and answers two questions that need the plan's expressions: whether
//! the result is good (`verify`), and if not, whether to go back.

use std::time::{Duration, Instant};

use super::agent_monitor::{Outcome, Watch};
use super::agent_reason;
use super::condition::CheckContext;
use super::event::{Event, EventKind, NodeState};
use super::interrupt::Interrupt;
use super::job::{self, Back, Persist};
use super::plan_checks::Checks;
use super::steps::{self, Step};
use super::together::{TogetherNode, Verdict};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::ChangeSet;
use crate::facts::compare::restart::Restart;
use crate::node::agent::{self, protocol::Reason};
use crate::node::{Mailbox, Session};
use crate::plan::{Plan, RollbackPolicy, When};
use crate::rules::node_view::NodeView;
use crate::rules::{Change, Ruleset};
use crate::script::lower::Script;
use crate::script::waiting;
use crate::term::Term;

/// All that a run needs.
pub struct RunRequest<'a> {
    /// The connection.
    pub session: &'a Session,
    /// Four hexadecimal digits.
    pub run: &'a str,
    /// `user@host`, shown to a run that finds the lock taken.
    pub owner: &'a str,
    /// The plan.
    pub plan: &'a Plan,
    /// The node's facts.
    pub view: NodeView<'a>,
    /// What is decided.
    pub rules: &'a Ruleset,
    /// The instructions.
    pub script: &'a Script,
    /// Whether `verify` is asked at all (`--no-verify`).
    pub verify: bool,
    /// Whether the node is left to itself as soon as it has taken the job (`--detach`).
    pub detach: bool,
    /// Modules that are only written to the disk ([`super::persist::also`]).
    pub also: Vec<Term>,
    /// The files that a restart reads, of which those with lists are written with the beams.
    pub restart: &'a Restart,
    /// The source of requests to end.
    pub interrupt: &'a Interrupt,
    /// What is reported first, before anything is asked or touched: that the run cannot be recorded.
    pub warning: Option<Diagnostic>,
    /// That the node is not any more what it was when this was decided: then nothing is asked or touched.
    pub stale: Option<Diagnostic>,
    /// For how long processes will be suspended, where a rehearsal has measured what that depends on.
    pub predicted: Option<Duration>,
    /// The node's place in the group with which it switches.
    pub together: Option<TogetherNode<'a>>,
    /// What is done when the node shows that the live window of the script cannot be opened, where the plan leaves that
    /// to updo: what is decided, and the instructions.
    pub instead: Option<(Ruleset, Script)>,
}

/// Runs an upgrade. Every event goes to `sink`, in order.
pub fn upgrade(what: &RunRequest<'_>, sink: &mut dyn FnMut(&Event)) -> Outcome {
    let explain = |reason: &Reason| match (reason, what.together) {
        (Reason::TogetherOff { .. }, Some(node)) => node.called_off(),
        (Reason::TogetherLate { .. }, Some(node)) => node.late(agent_reason::of(reason)),
        _ => agent_reason::diagnostic(reason, what.rules, what.plan),
    };
    let mut watch = Watch::new(what.session, what.run, what.interrupt, &explain, sink);
    watch.predicted = what.predicted;
    watch.together = what.together;
    watch.may_suspend = what.instead.is_some();
    let mut run = Run {
        what,
        rules: what.rules,
        script: what.script,
        checks: Checks::new(
            CheckContext::new(what.plan, what.session, what.view),
            watch,
            what.verify,
        ),
    };
    run.checks.watch.tell(EventKind::Started {
        run: what.run.to_owned(),
        title: what.plan.title.clone(),
    });
    if let Some(warning) = &what.warning {
        run.checks
            .watch
            .tell(EventKind::Diagnostic(Box::new(warning.clone())));
    }
    if let Some(stale) = &what.stale {
        run.checks.watch.fail(stale.clone());
    } else if run.checks.preconditions() {
        run.transaction();
    }
    run.left();
    run.checks.watch.finished(what.rules.modules.len());
    run.checks.watch.outcome
}

struct Run<'a, 'b> {
    what: &'a RunRequest<'a>,
    /// What is decided, and the instructions: those of the request, or what is done instead.
    rules: &'a Ruleset,
    script: &'a Script,
    checks: Checks<'a, 'b>,
}

impl Run<'_, '_> {
    /// The part in the node's hands.
    fn transaction(&mut self) {
        let what = self.what;
        let mailbox = what.session.mailbox();
        let (job, steps) = self.job(&mailbox, 1);
        let watch = &mut self.checks.watch;
        if let Some(Err(off)) = what.together.map(|node| node.begin(what.session, &steps)) {
            return watch.fail(off);
        }
        let Some(agent) = watch.start(&mailbox, &job) else {
            return;
        };
        if let Some(node) = what.together {
            node.begun();
        }
        watch.liveness.until(what.plan.deadline);
        if what.detach {
            watch.outcome.state = NodeState::Unknown;
            return;
        }
        let until = what
            .plan
            .deadline
            .and_then(|deadline| Instant::now().checked_add(deadline));
        let mut ended = self.checks.until_finished(&mailbox, &steps);
        if let Some((rules, script)) = what.instead.as_ref().filter(|_| self.suspends(ended)) {
            (self.rules, self.script) = (rules, script);
            let (job, steps) = self.job(&mailbox, steps.len() + 1);
            ended = match agent::run(what.session, job) {
                Ok(()) => self.checks.until_finished(&mailbox, &steps),
                Err(why) => self.checks.watch.unattended(&why.to_string()),
            };
        }
        self.checks.watch.outcome.state = ended;
        if ended != NodeState::New {
            self.left();
        }
        if ended == NodeState::New && !self.is_to_stay(until, &mailbox) {
            self.go_back(&mailbox);
        } else if matches!(ended, NodeState::Old | NodeState::Mixed)
            && !self.checks.watch.outcome.errors.is_empty()
        {
            if self.checks.watch.outcome.touched {
                self.checks.went_back();
            }
            self.checks.failed();
        }
        if self.checks.watch.outcome.state != NodeState::Unknown {
            let good = self.checks.watch.outcome.errors.is_empty();
            let persist = what.plan.persist && good;
            self.checks.watch.settle(&agent, &mailbox, persist);
        }
    }

    /// Nothing more is to be expected of this node.
    fn left(&self) {
        if let Some(node) = self.what.together {
            let outcome = &self.checks.watch.outcome;
            node.ended(outcome.state, outcome.errors.first());
        }
    }

    /// Whether a node that is new stays so: the plan is content with it, and with all that have switched with it.
    fn is_to_stay(&mut self, until: Option<Instant>, mailbox: &Mailbox) -> bool {
        let good = self.checks.is_verified(until, Some(mailbox));
        let watch = &mut self.checks.watch;
        let Some(node) = self.what.together else {
            return good;
        };
        if watch.outcome.state == NodeState::Unknown {
            node.ended(NodeState::Unknown, watch.outcome.errors.first());
            return good;
        }
        let wanted = is_wanted(&self.checks);
        node.is_new(good, wanted);
        match node.verdict(self.what.interrupt) {
            Verdict::Stay => good,
            Verdict::Left => {
                self.checks.watch.detached();
                true
            }
            Verdict::Back(why) => {
                if good {
                    self.checks.watch.fail(node.goes_back(&why));
                }
                // Whatever the plan says of this node alone.
                self.checks.failing = None;
                false
            }
        }
    }

    /// Whether processes are suspended after all, because the live window could not be opened: nothing was touched.
    fn suspends(&mut self, ended: NodeState) -> bool {
        let called_off = std::mem::take(&mut self.checks.watch.called_off);
        called_off && ended == NodeState::Old && self.checks.watch.interrupt.count() == 0
    }

    /// The job, and all steps that the node may speak of; numbered from `first`.
    fn job(&self, mailbox: &Mailbox, first: usize) -> (Term, Vec<Step>) {
        let what = self.what;
        let (changes, rules, script) = (what.view.changes, self.rules, self.script);
        let barriers = what.together.map(|node| node.barriers());
        let steps = steps::soaked(script, rules, what.plan.soak);
        let steps = steps::with_barriers(steps, barriers);
        let (steps, ways) = steps::with_ways_back(changes, rules, script, steps, first);
        let terms = job::Terms {
            run: what.run,
            owner: what.owner,
            watcher: (!what.detach).then(|| mailbox.pid()),
            deadline: what.plan.deadline,
            budget: what.plan.budget,
            pause: what.plan.budget.filter(|_| what.plan.budget_said),
            persist: self.persist(),
            also: what.also.clone(),
            restart: what.restart,
            together: what.together.map(|node| node.term(&steps)),
        };
        let in_window = waiting::act_in_their_window(changes, rules, script);
        let job = job::job(&terms, changes, rules, &steps, &ways, &in_window);
        let steps = steps
            .into_iter()
            .chain(ways.into_iter().flatten().flatten());
        (job, steps.collect())
    }

    /// A node that is left alone may write its beams when there is nothing else to be content with.
    fn persist(&self) -> Persist {
        let plan = self.what.plan;
        let more = self.what.verify && plan.verifies.iter().any(|check| !check.rollout);
        match plan.persist {
            false => Persist::No,
            true if more || plan.hooks.iter().any(|hook| hook.when == When::After) => {
                Persist::Asked
            }
            true => Persist::Always,
        }
    }

    /// The upgrade went through and is not good: the plan's policy.
    fn go_back(&mut self, mailbox: &Mailbox) {
        let what = self.what;
        let changes: &ChangeSet = what.view.changes;
        let one_way = self
            .rules
            .modules
            .values()
            .any(|r| matches!(r.change.value, Change::Convert { .. }));
        let back = if one_way {
            Err("`{convert, F}` cannot be reversed".to_owned())
        } else if changes.undo_is_exact(self.rules.modules.keys()) {
            Ok(job::rollback_job(changes, self.rules, self.script)
                .persisting(what.plan.persist)
                .within(what.plan.budget))
            .map(|back| match what.together {
                Some(node) => {
                    let back = back.together(&node.barriers());
                    node.going_back(&back.steps);
                    back
                }
                None => back,
            })
        } else {
            let found = self.rules.modules.keys().filter(|module| {
                let changed = changes.modules.get(*module);
                changed.is_some_and(|changed| changed.loaded.is_some() && changed.old.is_none())
            });
            let names: Vec<String> = found.take(5).map(|module| format!("`{module}`")).collect();
            let names = names.join(", ");
            Err(format!(
                "there is no copy of the running version of {names}"
            ))
        };
        not_good(&mut self.checks, back, mailbox);
    }
}

/// Whether the plan takes a node back after what has failed.
fn is_wanted(checks: &Checks<'_, '_>) -> bool {
    let plan = checks.scene.plan;
    let wanted = |failing| plan.rollback_on.contains(&failing);
    plan.rollback == RollbackPolicy::Automatic && checks.failing.is_none_or(wanted)
}

/// What follows when a node is new and the plan is not content: `on failure`, and the way back if the plan wants it.
/// Not when we do not see the node any more.
pub(super) fn not_good(checks: &mut Checks<'_, '_>, back: Result<Back, String>, mailbox: &Mailbox) {
    if checks.watch.outcome.state == NodeState::Unknown {
        return;
    }
    checks.failed();
    // Code of something else: going back would undo more than this run.
    if checks.watch.outcome.state == NodeState::Mixed {
        return;
    }
    if !is_wanted(checks) {
        return;
    }
    let watch = &mut checks.watch;
    let back = match back {
        Ok(back) => back,
        Err(why) => {
            let diagnostic = Diagnostic::new(Code::E609, format!("the new code stays: {why}"))
                .note("all modules are new, every process has its new state, and none is suspended")
                .help("correct what has failed and upgrade to that: updo run PLAN");
            return watch.fail(diagnostic);
        }
    };
    watch.tell(EventKind::RollbackStarted);
    watch.conversions_acted(&back.term);
    let began = Instant::now();
    let mut ended = watch.further(back.term.clone(), mailbox, &back.steps);
    // An agent's process was killed before the way back had changed anything: nothing keeps it from being taken again.
    let killed = |last: &Diagnostic| last.code == Code::E612;
    if ended == NodeState::New && watch.outcome.errors.last().is_some_and(killed) {
        ended = watch.further(back.term, mailbox, &back.steps);
    }
    watch.outcome.state = ended;
    watch.tell(EventKind::RollbackFinished {
        ok: ended == NodeState::Old,
        took: began.elapsed(),
        processes: None,
        switched: true,
    });
    checks.went_back();
}
