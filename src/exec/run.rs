//! One run on one node: checks, the agent's transaction, verification, and the way back.
//!
//! Before the agent starts, nothing on the node has been touched. From then on the agent alone decides;
//! this side translates its events and answers two questions that need the plan's expressions: whether
//! the result is good (`verify`), and if not, whether to go back.

use std::time::Instant;

use super::check::{Scene, not_held};
use super::event::{Event, Kind, State};
use super::failure;
use super::job;
use super::watch::{Outcome, Turn, Watch};
use super::ways;
use crate::diag::{Code, Diagnostic};
use crate::facts::change::ChangeSet;
use crate::node::agent::Agent;
use crate::node::{Mailbox, Session};
use crate::plan::{Check, Plan, Rollback, When};
use crate::rules::view::{Said, View};
use crate::rules::{Change, Ruleset};
use crate::script::lower::Script;
use crate::term::Term;

/// All that a run needs.
pub struct Upgrade<'a> {
    /// The connection.
    pub session: &'a Session,
    /// Four hexadecimal digits.
    pub run: &'a str,
    /// `user@host`, for whoever finds the lock taken.
    pub owner: &'a str,
    /// The plan.
    pub plan: &'a Plan,
    /// The node's facts.
    pub view: View<'a>,
    /// What is decided.
    pub rules: &'a Ruleset,
    /// The instructions.
    pub script: &'a Script,
    /// Whether `verify` is asked at all (`--no-verify`).
    pub verify: bool,
}

/// Runs an upgrade. Every event goes to `sink`, in order.
pub fn upgrade(what: &Upgrade<'_>, sink: &mut dyn FnMut(&Event)) -> Outcome {
    let explain = |reason: &Term| failure::diagnostic(reason, what.rules, what.plan);
    let mut run = Run {
        what,
        scene: Scene::new(what.plan, what.session, what.view),
        watch: Watch::new(what.session, what.run, &explain, sink),
    };
    run.started();
    if run.preconditions() {
        run.transaction();
    }
    run.watch.finished(what.rules.modules.len());
    run.watch.outcome
}

struct Run<'a, 'b> {
    what: &'a Upgrade<'a>,
    scene: Scene<'a>,
    watch: Watch<'a, 'b>,
}

impl Run<'_, '_> {
    fn started(&mut self) {
        let title = self.what.plan.title.clone();
        self.watch.tell(Kind::Started {
            run: self.what.run.to_owned(),
            title,
        });
    }

    /// `require` and `before upgrade`: nothing on the node has been touched by updo yet.
    fn preconditions(&mut self) -> bool {
        for check in &self.what.plan.requires {
            if !self.check(check, false, None) {
                return false;
            }
        }
        self.hooks(When::Before, &[])
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
        let verdict = self.scene.decide(check, until);
        let ok = verdict.failure.is_none();
        let (name, tries, took) = (check.name.clone(), verdict.tries, verdict.took);
        self.said(&verdict.said);
        self.watch.tell(Kind::Check {
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

    /// Lines of `info` and `warn`.
    fn said(&mut self, said: &[Said]) {
        for Said { warn, text } in said {
            self.watch.tell(Kind::Log {
                warn: *warn,
                text: text.clone(),
            });
        }
    }

    fn hooks(&mut self, when: When, more: &[(&str, Term)]) -> bool {
        let name = match when {
            When::Before => "before upgrade",
            When::After => "after upgrade",
            When::Failure => "on failure",
            When::Step => return true,
        };
        for hook in self.what.plan.hooks.iter().filter(|hook| hook.when == when) {
            match self.scene.holds(&hook.tail) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(diagnostic) => {
                    self.watch.fail(*diagnostic);
                    return false;
                }
            }
            let began = Instant::now();
            let mut said = Vec::new();
            let result = self.scene.hook(&hook.body, more, &mut said);
            self.said(&said);
            self.watch.tell(Kind::Hook {
                name,
                ok: result.is_ok(),
                took: began.elapsed(),
            });
            if let Err(mut diagnostic) = result {
                diagnostic.notes.push(format!("in a hook `{name}`"));
                self.watch.fail(*diagnostic);
                return false;
            }
        }
        true
    }

    /// The part in the node's hands.
    fn transaction(&mut self) {
        let what = self.what;
        let steps = job::steps(what.script, what.rules);
        let mailbox = what.session.mailbox();
        let terms = job::Terms {
            run: what.run,
            owner: what.owner,
            watcher: mailbox.pid(),
            deadline: what.plan.deadline,
        };
        let ways = ways::ways(what.view.changes, what.rules, what.script, steps.len() + 1);
        let job = job::job(&terms, what.view.changes, what.rules, &steps, &ways);
        let steps: Vec<_> = steps
            .into_iter()
            .chain(ways.into_iter().flatten().flatten())
            .collect();
        let Some(agent) = self.watch.start(&mailbox, &job) else {
            return;
        };
        let until = what.plan.deadline.map(|deadline| Instant::now() + deadline);
        self.watch.begin();
        let ended = loop {
            match self.watch.next(&mailbox, &steps) {
                Turn::Hook(step) => self.step_hook(&agent, &step),
                Turn::Ended(state) => break state,
            }
        };
        self.watch.outcome.state = ended;
        if ended == State::New && !self.good(until) {
            self.go_back(&agent, &mailbox);
        } else if matches!(ended, State::Old | State::Mixed)
            && !self.watch.outcome.errors.is_empty()
        {
            let reason = Term::string(&self.watch.outcome.errors[0].title);
            self.hooks(When::Failure, &[("Reason", reason)]);
        }
        if self.watch.outcome.state != State::Unknown {
            self.watch.settle(&agent, &mailbox);
        }
    }

    /// A hook at a step: the node waits for the answer. What it reports stands beside the step.
    fn step_hook(&mut self, agent: &Agent, step: &job::Step) {
        let mut said = Vec::new();
        let hook = step.hook.as_ref();
        let hook = hook.and_then(|(number, name)| Some((self.what.plan.hooks.get(*number)?, name)));
        let result = match hook {
            Some((hook, _)) => self.scene.hook(&hook.body, &[], &mut said).map(drop),
            None => Ok(()),
        };
        self.said(&said);
        if let Err(diagnostic) = &result {
            let name = hook.map_or("", |(_, name)| name.as_str());
            let told = (**diagnostic).clone();
            self.watch.hook_failed = Some(told.note(format!("in a hook `{name}`")));
        }
        self.watch.answer(agent, step.id, result.is_ok());
    }

    /// `after upgrade` and `verify`.
    fn good(&mut self, until: Option<Instant>) -> bool {
        if !self.hooks(When::After, &[]) {
            return false;
        }
        if !self.what.verify {
            return true;
        }
        self.what
            .plan
            .verifies
            .iter()
            .all(|check| self.check(check, true, until))
    }

    /// The upgrade went through and is not good: the plan's policy.
    fn go_back(&mut self, agent: &Agent, mailbox: &Mailbox) {
        let reason = self
            .watch
            .outcome
            .errors
            .first()
            .map(|e| Term::string(&e.title));
        self.hooks(
            When::Failure,
            &[("Reason", reason.unwrap_or(Term::atom("failed")))],
        );
        match self.what.plan.rollback {
            Rollback::Automatic => {}
            Rollback::Manual | Rollback::Never => return,
        }
        let changes: &ChangeSet = self.what.view.changes;
        let one_way = self
            .what
            .rules
            .modules
            .values()
            .any(|r| matches!(r.change.value, Change::Convert { .. }));
        if one_way {
            let told =
                Diagnostic::new(Code::E609, "cannot go back: `{convert, F}` has no way down")
                    .help("the node runs the new version; correct it forward");
            return self.watch.fail(told);
        }
        if !changes.undo_is_exact(self.what.rules.modules.keys()) {
            let told = Diagnostic::new(
                Code::E609,
                "cannot go back: no copy of the running version was found",
            )
            .help("the node runs the new version; correct it forward");
            return self.watch.fail(told);
        }
        self.watch.tell(Kind::RollbackStarted);
        let began = Instant::now();
        let back = job::back(changes, self.what.rules, self.what.script);
        if agent.run(self.what.session, back.term).is_err() {
            self.watch.outcome.state = State::Unknown;
            return;
        }
        let ended = self.watch.until_finished(mailbox, &back.steps);
        self.watch.outcome.state = ended;
        self.watch.tell(Kind::RollbackFinished {
            ok: ended == State::Old,
            took: began.elapsed(),
        });
    }
}
