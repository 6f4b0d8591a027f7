//! One run on one node: checks, the agent's transaction, verification, and the way back.
//!
//! Before the agent starts, nothing on the node has been touched. From then on the agent alone decides;
//! this side translates its events and answers two questions that need the plan's expressions: whether
//! the result is good (`verify`), and if not, whether to go back.

use std::time::{Duration, Instant};

use super::check::{Scene, not_held};
use super::event::{Event, Kind, State, StepKind};
use super::failure;
use super::job::{self, Step};
use crate::diag::{Code, Diagnostic};
use crate::facts::change::ChangeSet;
use crate::name::NodeName;
use crate::node::agent::{self, Agent, StartError};
use crate::node::{Mail, Mailbox, RecvError, Session};
use crate::plan::{Check, Plan, Rollback, When};
use crate::rules::view::View;
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

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the node is now.
    pub state: State,
    /// What went wrong, the most important first; empty after a success.
    pub errors: Vec<Diagnostic>,
    /// From the first suspension to the last resumption.
    pub suspended: Duration,
    /// How many processes stood still.
    pub processes: u64,
    /// How many states were converted.
    pub converted: u64,
    /// Whether anything on the node was switched at any time (and perhaps switched back).
    pub touched: bool,
    /// Whether somebody else holds the node's lock.
    pub locked: bool,
}

/// Runs an upgrade. Every event goes to `sink`, in order.
pub fn upgrade(what: &Upgrade<'_>, sink: &mut dyn FnMut(&Event)) -> Outcome {
    let mut run = Run {
        what,
        scene: Scene::new(what.plan, what.session, what.view),
        sink,
        began: Instant::now(),
        seq: 0,
        seen: 0,
        outcome: Outcome {
            state: State::Old,
            errors: Vec::new(),
            suspended: Duration::ZERO,
            processes: 0,
            converted: 0,
            touched: false,
            locked: false,
        },
    };
    run.started();
    if run.preconditions() {
        run.transaction();
    }
    run.finished();
    run.outcome
}

struct Run<'a, 'b> {
    what: &'a Upgrade<'a>,
    scene: Scene<'a>,
    sink: &'b mut dyn FnMut(&Event),
    began: Instant,
    seq: u64,
    /// Number of the agent's last event.
    seen: i64,
    outcome: Outcome,
}

impl Run<'_, '_> {
    fn tell(&mut self, kind: Kind) {
        self.seq += 1;
        let node: NodeName = self.what.session.node().clone();
        (self.sink)(&Event {
            seq: self.seq,
            node,
            at: self.began.elapsed(),
            kind,
        });
    }

    fn fail(&mut self, diagnostic: Diagnostic) {
        self.tell(Kind::Diagnostic(Box::new(diagnostic.clone())));
        self.outcome.errors.push(diagnostic);
    }

    fn started(&mut self) {
        let title = self.what.plan.title.clone();
        self.tell(Kind::Started {
            run: self.what.run.to_owned(),
            title,
        });
    }

    fn finished(&mut self) {
        let outcome = &self.outcome;
        let kind = Kind::Finished {
            state: outcome.state,
            suspended: outcome.suspended,
            processes: outcome.processes,
            converted: outcome.converted,
            modules: self.what.rules.modules.len(),
        };
        self.tell(kind);
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
                self.fail(*diagnostic);
                return false;
            }
        }
        let verdict = self.scene.decide(check, until);
        let ok = verdict.failure.is_none();
        let (name, tries, took) = (check.name.clone(), verdict.tries, verdict.took);
        self.tell(Kind::Check {
            verify,
            name,
            ok,
            tries,
            took,
        });
        if let Some(cause) = &verdict.failure {
            self.fail(not_held(verify, check, &verdict, cause));
        }
        ok
    }

    fn hooks(&mut self, when: When, more: &[(&str, Term)]) -> bool {
        let name = match when {
            When::Before => "before upgrade",
            When::After => "after upgrade",
            When::Failure => "on failure",
        };
        for hook in self.what.plan.hooks.iter().filter(|hook| hook.when == when) {
            match self.scene.holds(&hook.tail) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(diagnostic) => {
                    self.fail(*diagnostic);
                    return false;
                }
            }
            let began = Instant::now();
            let result = self.scene.hook(&hook.body, more);
            self.tell(Kind::Hook {
                name,
                ok: result.is_ok(),
                took: began.elapsed(),
            });
            if let Err(mut diagnostic) = result {
                diagnostic.notes.push(format!("in a hook `{name}`"));
                self.fail(*diagnostic);
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
        let job = job::job(&terms, what.view.changes, what.rules, &steps);
        let agent = match agent::start(what.session, what.run, &job) {
            Ok(started) => started,
            Err(StartError::Locked(who)) => {
                self.outcome.locked = true;
                return self.fail(agent::locked(what.session, who));
            }
            Err(StartError::Other(diagnostic)) => return self.fail(*diagnostic),
        };
        let until = what.plan.deadline.map(|deadline| Instant::now() + deadline);
        let _ = mailbox.monitor(agent.guardian());
        self.tell(Kind::StepStarted {
            id: 0,
            step: StepKind::Prepare,
            what: "object code, lock".to_owned(),
        });
        let ended = self.watch(&mailbox, &steps);
        self.outcome.state = ended;
        if ended == State::New && !self.good(until) {
            self.go_back(&agent, &mailbox);
        } else if matches!(ended, State::Old | State::Mixed) && !self.outcome.errors.is_empty() {
            let reason = Term::string(&self.outcome.errors[0].title);
            self.hooks(When::Failure, &[("Reason", reason)]);
        }
        if self.outcome.state != State::Unknown {
            self.settle(&agent, &mailbox);
        }
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
        let reason = self.outcome.errors.first().map(|e| Term::string(&e.title));
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
            return self.fail(told);
        }
        if !changes.undo_is_exact(self.what.rules.modules.keys()) {
            let told = Diagnostic::new(
                Code::E609,
                "cannot go back: no copy of the running version was found",
            )
            .help("the node runs the new version; correct it forward");
            return self.fail(told);
        }
        self.tell(Kind::RollbackStarted);
        let began = Instant::now();
        let back = job::back(changes, self.what.rules, self.what.script);
        if agent.run(self.what.session, back.term).is_err() {
            self.outcome.state = State::Unknown;
            return;
        }
        let ended = self.watch(mailbox, &back.steps);
        self.outcome.state = ended;
        self.tell(Kind::RollbackFinished {
            ok: ended == State::Old,
            took: began.elapsed(),
        });
    }

    /// Purge, and the agent goes.
    fn settle(&mut self, agent: &Agent, mailbox: &Mailbox) {
        const PATIENCE: Duration = Duration::from_secs(120);
        if agent.settle(self.what.session).is_err() {
            return;
        }
        let until = Instant::now() + PATIENCE;
        while let Ok(mail) = mailbox.recv(until.saturating_duration_since(Instant::now())) {
            let Mail::Message(message) = mail else {
                continue;
            };
            let Some((tag, parts)) = self.news(&message, mailbox) else {
                continue;
            };
            match tag.as_str() {
                "guardian_replaced" => {
                    let _ = agent.settle(self.what.session);
                }
                "settled" => return self.lingering(parts.first()),
                _ => {}
            }
        }
    }

    /// Who still runs old code after everything.
    fn lingering(&mut self, info: Option<&Term>) {
        let entries = info
            .and_then(|info| info.get("lingering"))
            .and_then(Term::as_list);
        let processes: Vec<String> = entries
            .unwrap_or_default()
            .iter()
            .map(|entry| {
                let show = |key: &str| entry.get(key).map(ToString::to_string).unwrap_or_default();
                format!("{} still runs the old {}", show("pid"), show("module"))
            })
            .collect();
        if !processes.is_empty() {
            self.tell(Kind::Lingering { processes });
        }
    }

    /// Translates the agent's events until it says how it ended.
    fn watch(&mut self, mailbox: &Mailbox, steps: &[Step]) -> State {
        // Silence is broken by the connection or the guardian ending, both of which are reported.
        const SILENCE: Duration = Duration::from_secs(3_600);
        // A guardian that dies is replaced by the executor within moments.
        const SUCCESSION: Duration = Duration::from_secs(10);
        let mut patience = SILENCE;
        loop {
            let message = match mailbox.recv(patience) {
                Ok(Mail::Message(message)) => message,
                Ok(Mail::Down { .. }) => {
                    patience = SUCCESSION;
                    continue;
                }
                Err(RecvError::Lost(why)) => return self.unattended(&why),
                Err(RecvError::Timeout) if patience == SUCCESSION => {
                    return self.unattended("the agent's guardian ended");
                }
                Err(_) => return self.unattended("the node says nothing any more"),
            };
            let Some((tag, parts)) = self.news(&message, mailbox) else {
                continue;
            };
            patience = SILENCE;
            if let Some(state) = self.translate(&tag, &parts, steps) {
                return state;
            }
        }
    }

    /// An event of this run that was not seen before. A new guardian is watched like the old one.
    fn news(&mut self, message: &Term, mailbox: &Mailbox) -> Option<(String, Vec<Term>)> {
        let (seq, tag, parts) = agent_event(message, self.what.run)?;
        if tag == "guardian_replaced" {
            // It counts anew, and tells again what came before.
            if let Some(Term::Pid(guardian)) = parts.first().and_then(|info| info.get("guardian")) {
                let _ = mailbox.monitor(guardian);
            }
        }
        if seq <= self.seen {
            return None;
        }
        self.seen = seq;
        Some((tag, parts))
    }

    fn unattended(&mut self, why: &str) -> State {
        let title = format!(
            "the connection to {} was lost; it goes on by itself",
            self.what.session.node()
        );
        self.fail(
            Diagnostic::new(Code::E608, title)
                .note(why)
                .help("connect again and preview: the node is then fully new or fully old"),
        );
        State::Unknown
    }

    /// One event of the agent; the state when it was the last.
    fn translate(&mut self, tag: &str, parts: &[Term], steps: &[Step]) -> Option<State> {
        let micros = |term: Option<&Term>| {
            Duration::from_micros(
                term.and_then(Term::as_i64)
                    .and_then(|us| u64::try_from(us).ok())
                    .unwrap_or(0),
            )
        };
        let count = |term: Option<&Term>| {
            term.and_then(Term::as_i64)
                .and_then(|n| u64::try_from(n).ok())
        };
        let id = count(parts.first())
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or(0);
        let step = steps.iter().find(|step| step.id == id);
        match (tag, step) {
            ("prepared", _) => {
                let took = micros(parts.first());
                let what = "object code accepted, lock taken".to_owned();
                let step = StepKind::Prepare;
                self.tell(Kind::StepFinished {
                    id: 0,
                    step,
                    ok: true,
                    took,
                    what,
                    processes: None,
                });
            }
            ("step_started", Some(step)) => {
                self.outcome.touched |= step.kind == StepKind::Load;
                self.tell(Kind::StepStarted {
                    id,
                    step: step.kind,
                    what: step.what(),
                });
            }
            ("step_progress", Some(_)) => {
                let (done, total) = (
                    count(parts.get(1)).unwrap_or(0),
                    count(parts.get(2)).unwrap_or(0),
                );
                self.tell(Kind::StepProgress { id, done, total });
            }
            ("step_finished", Some(step)) => {
                let processes = parts.get(2).and_then(|info| count(info.get("processes")));
                match step.kind {
                    StepKind::Suspend => self.outcome.processes = processes.unwrap_or(0),
                    StepKind::Convert => self.outcome.converted = processes.unwrap_or(0),
                    _ => {}
                }
                let born = parts.get(2).and_then(|info| info.get("born")).cloned();
                let (took, what, step) = (micros(parts.get(1)), step.what(), step.kind);
                self.tell(Kind::StepFinished {
                    id,
                    step,
                    ok: true,
                    took,
                    what,
                    processes,
                });
                self.born(born.as_ref());
            }
            ("step_failed", Some(step)) => {
                let (what, step, took) = (step.what(), step.kind, Duration::ZERO);
                self.tell(Kind::StepFinished {
                    id,
                    step,
                    ok: false,
                    took,
                    what,
                    processes: None,
                });
            }
            ("undo_started", _) => {
                if let Some(why) = parts.first() {
                    self.fail(failure::diagnostic(why, self.what.rules, self.what.plan));
                }
                self.tell(Kind::RollbackStarted);
            }
            ("undo_finished", _) => {
                self.tell(Kind::RollbackFinished {
                    ok: true,
                    took: micros(parts.first()),
                });
            }
            ("finished", _) => return Some(self.ended(parts)),
            _ => {}
        }
        None
    }

    /// Processes that came to life in the very moment of the switch.
    fn born(&mut self, born: Option<&Term>) {
        let Some(born) = born.and_then(Term::as_list).filter(|list| !list.is_empty()) else {
            return;
        };
        let title = format!("{} born while the modules were switched", count(born.len()));
        let told = Diagnostic::new(Code::W613, title)
            .note(
                born.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
            )
            .note("nobody can tell which code made their states; they were not converted");
        self.tell(Kind::Diagnostic(Box::new(told)));
    }

    fn ended(&mut self, parts: &[Term]) -> State {
        let info = parts.get(1);
        if let Some(us) = info
            .and_then(|info| info.get("suspended_us"))
            .and_then(Term::as_i64)
        {
            self.outcome.suspended += Duration::from_micros(u64::try_from(us).unwrap_or(0));
        }
        let state = match parts
            .first()
            .and_then(Term::as_atom)
            .map(crate::term::Atom::as_str)
        {
            Some("new") => State::New,
            Some("old") => State::Old,
            _ => State::Mixed,
        };
        if state == State::Mixed {
            let mut told = Diagnostic::new(
                Code::E609,
                "going back failed: the node is neither old nor new",
            )
            .help("run these expressions on the node");
            for line in info
                .and_then(|i| i.get("by_hand"))
                .and_then(Term::as_list)
                .unwrap_or_default()
            {
                told = told.note(line.to_text().unwrap_or_else(|| line.to_string()));
            }
            if let Some(reason) = info.and_then(|i| i.get("reason"))
                && self.outcome.errors.is_empty()
            {
                self.fail(failure::diagnostic(reason, self.what.rules, self.what.plan));
            }
            self.fail(told);
        }
        state
    }
}

fn count(processes: usize) -> String {
    if processes == 1 {
        "1 process was".to_owned()
    } else {
        format!("{processes} processes were")
    }
}

/// `{updo, Run, Seq, Event}` of this run: its number, the event's tag and its other parts.
fn agent_event(message: &Term, run: &str) -> Option<(i64, String, Vec<Term>)> {
    let [tag, of, seq, event] = message.as_tuple()? else {
        return None;
    };
    if !tag.is_atom("updo") || of.as_bytes() != Some(run.as_bytes()) {
        return None;
    }
    let (name, parts) = match event {
        Term::Tuple(parts) => parts.split_first()?,
        single => (single, &[][..]),
    };
    let name = name.as_atom()?.as_str().to_owned();
    Some((seq.as_i64()?, name, parts.to_vec()))
}
