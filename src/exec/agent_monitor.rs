//! Watching a transaction: starts the agent, receives its events, passes on requests to stop, lets it settle.
//!
//! Knows neither plan nor rules: the meaning of a reason comes from a function that is handed in, that of an event
//! is in [`agent_events`](super::agent_events). The agent alone decides what happens on the node; this side listens.

use std::time::{Duration, Instant};

use super::event::{Event, EventKind, NodeState, StepKind};
use super::interrupt::{Interrupt, LOOK};
use super::liveness::{End, Liveness};
use super::side_effects::Acted;
use super::steps::Step;
use super::survivors::Survivors;
use super::together::TogetherNode;
use crate::diag::{Code, Diagnostic};
use crate::name::{Module, NodeName};
use crate::node::agent::protocol::{self, AgentEvent, DecodeError, Reason};
use crate::node::agent::{self, Agent, StartError};
use crate::node::{Mail, Mailbox, RecvError, Session};
use crate::term::Term;

/// How a run ended.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the node is now.
    pub state: NodeState,
    /// What went wrong, the most important first; empty after a success.
    pub errors: Vec<Diagnostic>,
    /// From the first suspension to the last resumption, by the node's clock: how long callers may have waited. Zero when
    /// nothing was suspended; `None` where what could say it was killed.
    pub suspended: Option<Duration>,
    /// How many processes were suspended.
    pub processes: u64,
    /// How many states were converted, forwards.
    pub converted: u64,
    /// Whether anything on the node was switched at any time (and perhaps switched back).
    pub touched: bool,
    /// Whether processes ended on the way that would have gone on without the run.
    pub lost: bool,
    /// Whether another run holds the node's lock (E505): nothing was done.
    pub locked: bool,
    /// The hooks that have acted, and whether that is undone.
    #[doc(hidden)]
    pub acted: Acted,
    /// Whether the old code is back and a hook `on rollback` failed.
    pub hook_back_failed: bool,
    /// Where the new code has stayed, wholly or in part: the processes that keep a state of the old one, by module, as
    /// the agent takes them for a way back (`unconverted`).
    #[doc(hidden)]
    pub old_states: Option<Term>,
    /// Those of them whose conversion can be tried again, as the agent has sent them (`to_convert`).
    #[doc(hidden)]
    pub to_convert: Option<Term>,
    /// Whether nothing leads back to the old version.
    #[doc(hidden)]
    pub one_way: bool,
}

impl Outcome {
    /// An outcome of which nothing is known but the state.
    #[doc(hidden)]
    pub fn new(state: NodeState) -> Self {
        Self {
            state,
            errors: Vec::new(),
            suspended: Some(Duration::ZERO),
            processes: 0,
            converted: 0,
            touched: false,
            lost: false,
            locked: false,
            acted: Acted::default(),
            hook_back_failed: false,
            old_states: None,
            to_convert: None,
            one_way: false,
        }
    }

    /// Whether the node is new, and nothing is wrong with it.
    pub fn is_good(&self) -> bool {
        self.state == NodeState::New && self.errors.is_empty()
    }

    /// Whether the node may be inconsistent, or is new with errors: it is not as the plan or the time before wanted it.
    pub fn is_grave(&self) -> bool {
        match self.state {
            NodeState::New => !self.is_good(),
            NodeState::Old => false,
            NodeState::Mixed | NodeState::Unknown => true,
        }
    }
}

/// What waiting for mail came to.
pub(super) enum Received {
    /// Mail, or why there is none.
    Is(Result<Mail, RecvError>),
    /// The end was requested twice.
    Left,
    /// Nothing will come any more.
    Ended(End),
}

/// What a message is to a watch.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and it is gone when it has been read"
)]
pub(super) enum News {
    /// An event of this run that was not seen before.
    Event(AgentEvent),
    /// One that was, or something else.
    Other,
    /// An event of this run that cannot be read.
    Unreadable(DecodeError),
}

/// What the agent wants next.
#[derive(Debug)]
pub(super) enum MonitorResult {
    /// A hook of the plan evaluated, and an answer.
    Hook(Box<Step>),
    /// Nothing any more.
    Ended(NodeState),
}

/// Where events go.
pub type EventSink<'s> = dyn FnMut(&Event) + 's;

/// A transaction as it is seen from here.
pub(super) struct Watch<'a, 'b> {
    pub(super) session: &'a Session,
    run: &'a str,
    pub(super) explain: &'b dyn Fn(&Reason) -> Diagnostic,
    sink: &'b mut EventSink<'b>,
    began: Instant,
    seq: u64,
    /// Number of the agent's last event.
    seen: i64,
    /// What is wrong with a hook, until the node says that it goes back for it.
    pub(super) hook_failed: Option<Diagnostic>,
    /// Whether anything was switched before the step that is under way.
    pub(super) touched_before: bool,
    /// Whether a live window is open: until it is closed, the run can be called off.
    pub(super) live: bool,
    /// Whether processes are suspended after all when a live window cannot be opened.
    pub(super) may_suspend: bool,
    /// Whether it could not: nothing was touched, and that is said.
    pub(super) called_off: bool,
    /// The last answer to a hook.
    answered: Option<(u32, bool)>,
    /// Whether closed windows are gone through backwards: that counts for nothing.
    pub(super) turned: bool,
    /// Since when.
    pub(super) turned_at: Option<Instant>,
    /// The source of requests to end.
    pub(super) interrupt: &'a Interrupt,
    /// Whether the first request has been answered.
    pub(super) heeded: bool,
    /// Whether to ask for the end as soon as all that has happened so far is known.
    pub(super) abort: bool,
    /// How many watch the run, when the agent has reported; 0 when it is over.
    pub(super) watchers: Option<u64>,
    /// Which processes live.
    pub(super) survivors: Survivors,
    /// What is known of the outcome so far.
    pub(super) outcome: Outcome,
    /// Whether the run still speaks.
    pub(super) liveness: Liveness,
    /// Mail that has been received ahead of its turn.
    pub(super) first: Option<Mail>,
    /// For how long processes were to be suspended.
    pub(super) predicted: Option<Duration>,
    /// The node's place in the group with which it switches.
    pub(super) together: Option<TogetherNode<'a>>,
}

impl<'a, 'b> Watch<'a, 'b> {
    /// A watch over a run that has not begun.
    pub(super) fn new(
        session: &'a Session,
        run: &'a str,
        interrupt: &'a Interrupt,
        explain: &'b dyn Fn(&Reason) -> Diagnostic,
        sink: &'b mut EventSink<'b>,
    ) -> Self {
        Self {
            session,
            run,
            explain,
            sink,
            began: Instant::now(),
            seq: 0,
            seen: 0,
            hook_failed: None,
            touched_before: false,
            live: false,
            may_suspend: false,
            called_off: false,
            answered: None,
            turned: false,
            turned_at: None,
            interrupt,
            heeded: false,
            abort: false,
            watchers: None,
            survivors: Survivors::default(),
            outcome: Outcome::new(NodeState::Old),
            liveness: Liveness::new(),
            first: None,
            predicted: None,
            together: None,
        }
    }

    pub(super) fn tell(&mut self, kind: EventKind) {
        self.seq += 1;
        if let EventKind::Diagnostic(diagnostic) = &kind {
            self.outcome.lost |= diagnostic.code.ends_processes();
        }
        self.outcome.acted.event(&kind);
        let node: NodeName = self.session.node().clone();
        (self.sink)(&Event {
            seq: self.seq,
            node,
            at: self.began.elapsed(),
            kind,
        });
    }

    /// Announces what the job of a way back cannot undo of conversions; records of older versions do not say it.
    pub(super) fn conversions_acted(&mut self, job: &Term) {
        let acted = job.get("acted").and_then(Term::as_list).unwrap_or_default();
        let acted: Vec<Module> = acted
            .iter()
            .filter_map(|module| Some(Module::new(module.as_atom()?.as_str())))
            .collect();
        if let Some(diagnostic) = Acted::conversions(&acted) {
            self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
        }
    }

    /// The name of the run.
    pub(super) fn run(&self) -> &str {
        self.run
    }

    pub(super) fn fail(&mut self, diagnostic: Diagnostic) {
        self.tell(EventKind::Diagnostic(Box::new(diagnostic.clone())));
        self.outcome.errors.push(diagnostic);
    }

    /// The last event: what the node is now.
    pub(super) fn finished(&mut self, modules: usize) {
        let outcome = &self.outcome;
        let kind = EventKind::Finished {
            state: outcome.state,
            suspended: outcome
                .suspended
                .filter(|_| outcome.state != NodeState::Unknown),
            processes: outcome.processes,
            converted: outcome.converted,
            modules,
            living: self.survivors.living,
            predicted: self.predicted,
        };
        self.tell(kind);
    }

    /// Brings the agent to the node with its job; `None` when it did not start, which is reported.
    pub(super) fn start(&mut self, mailbox: &Mailbox, job: &Term) -> Option<Agent> {
        match agent::start(self.session, self.run, job) {
            Ok(agent) => {
                // A guardian that is gone already is reported as `Mail::Down`.
                let _ = mailbox.monitor(agent.guardian());
                self.liveness.follow(agent.guardian());
                let what = "object code, lock".to_owned();
                let step = StepKind::Prepare;
                self.tell(EventKind::StepStarted { id: 0, step, what });
                Some(agent)
            }
            Err(StartError::Locked(holder)) => {
                self.outcome.locked = true;
                self.fail(agent::locked(self.session, holder));
                None
            }
            Err(StartError::Other(diagnostic)) => {
                self.fail(*diagnostic);
                None
            }
        }
    }

    /// Purge, and the agent goes.
    pub(super) fn settle(&mut self, agent: &Agent, mailbox: &Mailbox, persist: bool) {
        const TIMEOUT: Duration = Duration::from_secs(120);
        if agent.settle(self.session, persist).is_err() {
            return;
        }
        let until = Instant::now() + TIMEOUT;
        // All is decided: a request to end is granted here, the node needs no client.
        while self.interrupt.count() < 2 && Instant::now() < until {
            let mail = match mailbox.recv(LOOK) {
                Ok(mail) => mail,
                Err(RecvError::Timeout) => match self.liveness.check(self.session) {
                    None => continue,
                    Some(End::Gone) => return self.unsettled(persist),
                    Some(_) if persist => {
                        self.unattended("the node no longer answers");
                        return;
                    }
                    Some(_) => return,
                },
                // Whether the disk has the beams is part of how it ended.
                Err(why) if persist => {
                    self.unattended(&why.to_string());
                    return;
                }
                Err(_) => return,
            };
            let message = match mail {
                Mail::Message(message) => {
                    self.liveness.heard();
                    message
                }
                // It had settled before it was asked to.
                Mail::Down { reason, .. } if reason.is_atom("normal") && !persist => return,
                Mail::Down { .. } => {
                    self.liveness.down();
                    continue;
                }
            };
            match self.news(&message, mailbox) {
                News::Event(AgentEvent::GuardianReplaced { .. }) => {
                    let _ = agent.settle(self.session, persist);
                }
                News::Event(AgentEvent::Died { process }) => self.record_crash(&process),
                News::Event(AgentEvent::Settled { info }) => return self.settled(&info),
                News::Event(_) | News::Other => {}
                News::Unreadable(error) => {
                    self.unreadable(&error);
                    return;
                }
            }
        }
    }

    /// The next mail; requests to stop are answered meanwhile, and after the second nothing is waited for.
    pub(super) fn received(&mut self, mailbox: &Mailbox) -> Received {
        loop {
            self.handle_interrupt();
            if self.interrupt.count() > 1 {
                return Received::Left;
            }
            let mail = match self.first.take() {
                Some(mail) => Ok(mail),
                None => mailbox.recv(LOOK),
            };
            match mail {
                Err(RecvError::Timeout) => {}
                other => {
                    match &other {
                        Ok(Mail::Down { .. }) => self.liveness.down(),
                        Ok(Mail::Message(_)) => self.liveness.heard(),
                        Err(_) => {}
                    }
                    return Received::Is(other);
                }
            }
            if let Some(end) = self.liveness.check(self.session) {
                return Received::Ended(end);
            }
        }
    }

    /// Answers the first request to stop: says what follows from it, and does that.
    pub(super) fn handle_interrupt(&mut self) {
        if self.heeded || self.interrupt.count() == 0 {
            return;
        }
        self.heeded = true;
        let leave = "once more: leave the node to itself";
        if self.live {
            let text =
                format!("turning round: every process goes back to the old version ({leave})");
            self.tell(EventKind::Interrupt { text });
            let _ = agent::abort(self.session);
            return;
        }
        if self.outcome.touched {
            let text = format!(
                "modules are switched already: the run completes on {} ({leave})",
                self.session.node()
            );
            return self.tell(EventKind::Interrupt { text });
        }
        let text = format!("aborting: suspended processes are resumed ({leave})");
        self.tell(EventKind::Interrupt { text });
        // A connection that is gone is noticed by the thread that waits for mail.
        let _ = agent::abort(self.session);
    }

    /// Further steps under the same lock, to their end.
    pub(super) fn further(&mut self, job: Term, mailbox: &Mailbox, steps: &[Step]) -> NodeState {
        match agent::run(self.session, job) {
            Ok(()) => self.until_finished(mailbox, steps),
            Err(why) => self.unattended(&why.to_string()),
        }
    }

    /// Translates the agent's events until it says how it ended. Hooks at steps are not answered: a client that
    /// rejoins a run cannot distinguish pending ones from those answered long ago.
    pub(super) fn until_finished(&mut self, mailbox: &Mailbox, steps: &[Step]) -> NodeState {
        self.begin();
        loop {
            if let MonitorResult::Ended(state) = self.next(mailbox, steps) {
                return state;
            }
        }
    }

    /// Nothing is counted yet.
    pub(super) fn begin(&mut self) {
        (self.outcome.processes, self.outcome.converted) = (0, 0);
        self.turned = false;
    }

    /// Sends the node the result of a hook.
    pub(super) fn answer(&mut self, step: u32, ok: bool) {
        self.answered = Some((step, ok));
        // Lost connections are reported by the next event.
        let _ = agent::answer(self.session, step, ok);
    }

    /// Translates the agent's events until it wants something, or says how it ended.
    pub(super) fn next(&mut self, mailbox: &Mailbox, steps: &[Step]) -> MonitorResult {
        loop {
            let message = match self.received(mailbox) {
                Received::Left => return MonitorResult::Ended(self.detached()),
                Received::Is(Ok(Mail::Message(message))) => message,
                // It is replaced within moments; `liveness` knows when not.
                Received::Is(Ok(Mail::Down { .. })) => continue,
                Received::Is(Err(why)) => {
                    return MonitorResult::Ended(self.unattended(&why.to_string()));
                }
                Received::Ended(end) => return MonitorResult::Ended(self.given_up(end)),
            };
            let event = match self.news(&message, mailbox) {
                News::Event(event) => event,
                News::Other => continue,
                News::Unreadable(error) => return MonitorResult::Ended(self.unreadable(&error)),
            };
            if let AgentEvent::Hook { id } = event
                && let Some(step) = steps.iter().find(|step| step.id == id)
            {
                return MonitorResult::Hook(Box::new(step.clone()));
            }
            if let Some(state) = self.translate(event, steps) {
                return MonitorResult::Ended(state);
            }
        }
    }

    /// What a message is. A new guardian is watched like the old one.
    pub(super) fn news(&mut self, message: &Term, mailbox: &Mailbox) -> News {
        let (seq, event) = match protocol::read(message, self.run) {
            Ok(Some(numbered)) => (numbered.seq, numbered.event),
            Ok(None) => return News::Other,
            Err(error) => return News::Unreadable(error),
        };
        if let AgentEvent::GuardianReplaced { info } = &event {
            // It counts anew, and repeats earlier events.
            let _ = mailbox.monitor(&info.guardian);
            self.liveness.follow(&info.guardian);
            // The old one may have died with our answer.
            if let Some((step, ok)) = self.answered {
                let _ = agent::answer(self.session, step, ok);
            }
            if let Some(node) = self.together {
                node.again();
            }
        }
        if let AgentEvent::Watchers { number } = event {
            self.watchers = Some(number);
            if std::mem::take(&mut self.abort) && self.interrupt.count() == 0 {
                self.interrupt.press();
            }
            return News::Event(event);
        }
        if seq <= self.seen {
            return News::Other;
        }
        self.seen = seq;
        News::Event(event)
    }

    /// An event cannot be read: what the node is now must not be concluded from the others. The agent goes on by
    /// itself as after a lost connection, so its result is found in the same way.
    pub(super) fn unreadable(&mut self, error: &DecodeError) -> NodeState {
        let title = format!(
            "the run on {} has sent an event that cannot be decoded; it continues without the client",
            self.session.node()
        );
        self.outcome_unknown(agent::unreadable(title, &error.to_string()))
    }

    /// The connection is gone; the node is not.
    pub(super) fn unattended(&mut self, why: &str) -> NodeState {
        let title = format!(
            "the connection to {} was lost; the run continues on the node",
            self.session.node()
        );
        self.outcome_unknown(Diagnostic::new(Code::E608, title).note(why))
    }

    /// Nothing comes any more.
    pub(super) fn given_up(&mut self, end: End) -> NodeState {
        match end {
            End::Lost(why) => self.unattended(&why),
            End::Silent => {
                let title = format!("{} does not answer any more", self.session.node());
                let diagnostic = Diagnostic::new(Code::E608, title)
                    .note("it may be stopped, or the connection is dead in one direction")
                    .note("if it runs, it continues on the node");
                self.outcome_unknown(diagnostic)
            }
            End::Gone => {
                let title = format!(
                    "all processes of the run on {} were killed, and none was restarted",
                    self.session.node()
                );
                let diagnostic = Diagnostic::new(Code::E622, title)
                    .note("no process on the node has reported how the run ended");
                self.outcome_unknown(diagnostic)
            }
        }
    }

    /// W623: the result is known, what comes after it is not.
    pub(super) fn unsettled(&mut self, persist: bool) {
        let title = format!(
            "the processes of the run on {} were killed before they had cleaned up",
            self.session.node()
        );
        let diagnostic = Diagnostic::new(Code::W623, title)
            .note(
                "old code was not purged; what the run has left is taken away by the command below",
            )
            .help(format!("updo mend {}", self.session.node()));
        self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
        if persist {
            let title = format!(
                "the beams were not written to the disk of {}",
                self.session.node()
            );
            let diagnostic = Diagnostic::new(Code::E614, title);
            self.fail(
                diagnostic
                    .help("the new code runs until the node restarts: copy the beams by hand"),
            );
        }
    }

    /// The end was requested twice.
    pub(super) fn detached(&mut self) -> NodeState {
        let title = format!(
            "detached from {} in the middle of the run",
            self.session.node()
        );
        self.outcome_unknown(Diagnostic::new(Code::E608, title))
    }

    fn outcome_unknown(&mut self, diagnostic: Diagnostic) -> NodeState {
        let help = format!("see how it ended: updo attach {}", self.run);
        self.fail(diagnostic.help(help));
        self.outcome.state = NodeState::Unknown;
        NodeState::Unknown
    }
}
