//! Rejoining a run that goes on by itself, or learning how it ended.
//!
//! The agent sends all events from the first one. As long as others watch as well, this side only shows them;
//! a client that is alone decides as a run does: `verify`, and the way back when the plan wants it. A run that ended
//! without a client has settled by itself; then the checks are still asked, but going back is another run.

use std::time::Duration;

use super::agent_monitor::{News, Outcome, Received, Watch};
use super::agent_reason;
use super::condition::CheckContext;
use super::event::{Event, EventKind, NodeState};
use super::interrupt::Interrupt;
use super::job::Back;
use super::plan_checks::Checks;
use super::rollback::WayBack;
use super::run::not_good;
use super::step::Step;
use super::step_term::read_steps;
use crate::name::{Md5, Module};
use crate::node::agent::LockHolder;
use crate::node::agent::protocol::{AgentEvent, Reason};
use crate::node::{Mail, Mailbox, Session};
use crate::plan::Plan;
use crate::rules::node_view::NodeView;
use crate::term::Term;

/// A module with the MD5 of its former and of its new version; `None`: not loaded.
pub type ModuleVersions = (Module, Option<Md5>, Option<Md5>);

/// What a record says about the steps of a run and its modules.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The steps, with those of the ways back.
    pub steps: Vec<Step>,
    /// How many of them are taken when all goes well; `None` in the records of older versions.
    pub taken: Option<usize>,
    /// The deadline, from the beginning of the run.
    pub deadline: Option<Duration>,
    /// The modules with the former and the new version.
    pub modules: Vec<ModuleVersions>,
}

impl Begun {
    /// Reads what [`super::job::begun_record`] wrote; `None` when it is something else.
    pub fn read(record: &Term) -> Option<Self> {
        let steps = read_steps(record.get("steps")?)?;
        let md5 = |term: &Term| term.as_bytes().and_then(Md5::from_bytes);
        let module = |entry: &Term| {
            let [name, old, new] = entry.as_tuple()? else {
                return None;
            };
            Some((Module::new(name.as_atom()?.as_str()), md5(old), md5(new)))
        };
        let modules = record.get("modules")?.as_list()?.iter().map(module);
        let number = |key| record.get(key).and_then(Term::as_i64);
        Some(Self {
            steps,
            taken: number("taken").and_then(|taken| usize::try_from(taken).ok()),
            deadline: number("deadline")
                .and_then(|ms| u64::try_from(ms).ok())
                .map(Duration::from_millis),
            modules: modules.collect::<Option<_>>()?,
        })
    }

    /// What a node is by the MD5 of its modules alone; `goal` is what success makes of it.
    pub fn judge(&self, goal: NodeState, now: &dyn Fn(&Module) -> Option<Md5>) -> NodeState {
        let all = |which: fn(&ModuleVersions) -> Option<Md5>| {
            self.modules
                .iter()
                .all(|entry| now(&entry.0) == which(entry))
        };
        if all(|(_, _, new)| *new) {
            goal
        } else if all(|(_, old, _)| *old) {
            other(goal)
        } else {
            NodeState::Mixed
        }
    }
}

fn other(goal: NodeState) -> NodeState {
    if goal == NodeState::Old {
        NodeState::New
    } else {
        NodeState::Old
    }
}

/// All that rejoining needs.
pub struct Rejoin<'a> {
    /// The connection.
    pub session: &'a Session,
    /// The agent on the node, which says that it is this run's.
    pub holder: &'a LockHolder,
    /// What its record says.
    pub begun: &'a Begun,
    /// Its way back, if there is one.
    pub back: Option<&'a WayBack>,
    /// What success makes of the node.
    pub goal: NodeState,
    /// The plan, for `verify` and the policy; one without checks decides nothing.
    pub plan: &'a Plan,
    /// The node's facts.
    pub view: NodeView<'a>,
    /// Whether `verify` is asked.
    pub verify: bool,
    /// Whether to call the run off, as long as nothing is switched, or a live window is not settled.
    pub abort: bool,
    /// The source of requests to end.
    pub interrupt: &'a Interrupt,
}

/// How long a guardian may take to repeat its first event.
const FIRST: Duration = Duration::from_secs(1);

/// Rejoins a run. Every event goes to `sink`, those of the past first. `None`: the run has ended, and its guardian was
/// gone before it could be asked; nothing has been sent to `sink`.
pub fn attach(what: &Rejoin<'_>, sink: &mut dyn FnMut(&Event)) -> Option<Outcome> {
    let explain = |reason: &Reason| agent_reason::of(reason);
    let run = what.holder.run.as_str();
    let mut watch = Watch::new(what.session, run, what.interrupt, &explain, sink);
    watch.outcome.state = other(what.goal);
    watch.abort = what.abort;
    let mut checks = Checks::new(
        CheckContext::new(what.plan, what.session, what.view),
        watch,
        what.verify,
    );
    let mailbox = what.session.mailbox();
    let agent = &what.holder.agent;
    // One that is gone already is reported as `Mail::Down`.
    let _ = mailbox.monitor(agent.guardian());
    checks.watch.liveness.follow(agent.guardian());
    let asked = agent.attach(what.session, &mailbox.pid());
    if asked.is_ok() {
        match mailbox.recv(FIRST) {
            Ok(Mail::Down { reason, .. }) if ends_well(&reason) => return None,
            Ok(mail) => checks.watch.first = Some(mail),
            Err(_) => {}
        }
    }
    checks.watch.tell(EventKind::Started {
        run: run.to_owned(),
        title: what.plan.title.clone(),
    });
    match asked {
        Ok(()) => follow(what, &mut checks, &mailbox),
        Err(why) => {
            checks.watch.unattended(&why.to_string());
        }
    }
    checks.watch.finished(what.begun.modules.len());
    Some(checks.watch.outcome)
}

/// Why a guardian is gone that has done all its work.
fn ends_well(reason: &Term) -> bool {
    reason.is_atom("normal") || reason.is_atom("noproc")
}

impl Rejoin<'_> {
    /// Whether beams are to be written: by the plan, or by the record of the run that is undone.
    fn persist(&self) -> bool {
        self.plan.persist || self.goal == NodeState::Old
    }
}

fn follow(what: &Rejoin<'_>, checks: &mut Checks<'_, '_>, mailbox: &Mailbox) {
    let agent = &what.holder.agent;
    checks.watch.outcome.state = checks.watch.until_finished(mailbox, &what.begun.steps);
    let mut settled = false;
    loop {
        if checks.watch.outcome.state == NodeState::Unknown {
            return;
        }
        match checks.watch.watchers {
            // Over, and undecided: the result was only kept.
            Some(0) if settled => {
                kept(what, checks);
                let _ = agent.let_go(what.session);
                return;
            }
            Some(1) if !settled => {
                decide(what, checks, mailbox);
                if checks.watch.outcome.state != NodeState::Unknown {
                    let good = checks.watch.outcome.errors.is_empty();
                    checks.watch.settle(agent, mailbox, what.persist() && good);
                }
                return;
            }
            _ => {}
        }
        match checks.watch.received(mailbox) {
            Received::Left => {
                checks.watch.detached();
            }
            Received::Ended(end) => {
                checks.watch.given_up(end);
            }
            Received::Is(Ok(Mail::Message(message))) => {
                match checks.watch.news(&message, mailbox) {
                    News::Event(AgentEvent::Settled { info }) => {
                        settled = true;
                        checks.watch.settled(&info);
                    }
                    News::Event(AgentEvent::Died { process }) => {
                        checks.watch.record_crash(&process)
                    }
                    // Another client was not content and takes it back.
                    News::Event(AgentEvent::Started { .. }) => {
                        checks.watch.tell(EventKind::RollbackStarted);
                        let steps = what.back.map_or(&[][..], |back| &back.steps);
                        checks.watch.outcome.state = checks.watch.until_finished(mailbox, steps);
                    }
                    News::Event(_) | News::Other => {}
                    News::Unreadable(error) => {
                        checks.watch.unreadable(&error);
                    }
                }
            }
            // The guardian goes when all is done; one that dies is followed by another, which reports it.
            Received::Is(Ok(Mail::Down { .. })) if settled => return,
            Received::Is(Ok(Mail::Down { .. })) => {}
            Received::Is(Err(why)) => {
                checks.watch.unattended(&why.to_string());
            }
        }
    }
}

/// As a run does when it has finished.
fn decide(what: &Rejoin<'_>, checks: &mut Checks<'_, '_>, mailbox: &Mailbox) {
    let ended = checks.watch.outcome.state;
    if what.goal == NodeState::New && ended == NodeState::New {
        if !checks.is_verified(None, Some(mailbox)) {
            let back = what.back.map(|way| Back {
                term: way.job.clone(),
                steps: way.steps.clone(),
                taken: way.taken,
            });
            let back = back.ok_or_else(|| "the run has recorded no way back".to_owned());
            not_good(checks, back, mailbox);
        }
    } else if what.goal == NodeState::Old && ended == NodeState::Old {
        checks.went_back();
    } else if matches!(ended, NodeState::Old | NodeState::Mixed)
        && !checks.watch.outcome.errors.is_empty()
    {
        if checks.watch.outcome.touched {
            checks.went_back();
        }
        checks.failed();
    }
}

/// The run has settled alone: what is new is looked at, but the lock is free and others may have come.
fn kept(what: &Rejoin<'_>, checks: &mut Checks<'_, '_>) {
    let ended = checks.watch.outcome.state;
    if what.goal == NodeState::New && ended == NodeState::New {
        let checked = !what.plan.verifies.is_empty() || !what.plan.hooks.is_empty();
        if what.plan.persist && checked {
            let text =
                "no client was connected to verify: the beams were not written to the node's disk";
            let text = text.to_owned();
            checks.watch.tell(EventKind::Log { warn: true, text });
        }
        if !checks.is_verified(None, None) && checks.watch.outcome.state != NodeState::Unknown {
            checks.failed();
            let text = match what.back {
                Some(_) => format!(
                    "the run is over; to roll back: updo rollback {}",
                    what.holder.run
                ),
                None => "the run is over; the new code stays: nothing leads back".to_owned(),
            };
            checks.watch.tell(EventKind::Log { warn: true, text });
        }
    } else if what.goal == NodeState::Old && ended == NodeState::Old {
        checks.went_back();
    } else if !checks.watch.outcome.errors.is_empty() {
        if checks.watch.outcome.touched {
            checks.went_back();
        }
        checks.failed();
    }
}
