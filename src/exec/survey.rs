//! The agent's account of a run: which processes live, and whether the code is still what the run has made of it.

use std::time::{Duration, Instant};

use super::agent_monitor::{News, Watch};
use super::agent_reason;
use super::event::NodeState;
use super::interrupt::LOOK;
use crate::node::agent;
use crate::node::agent::protocol::{AgentEvent, Died, Survivors as Living};
use crate::node::{Mail, Mailbox, RecvError};
use crate::term::Atom;

impl Watch<'_, '_> {
    /// A crash that the agent tells.
    pub(super) fn crashed(&mut self, one: &Died) {
        self.survivors.died(one);
    }

    /// Says the crashes that have not been reported; whether there are any.
    pub(super) fn crashes(&mut self) -> bool {
        let crash = self.survivors.crash();
        let any = crash.is_some();
        if let Some(diagnostic) = crash {
            self.fail(diagnostic);
        }
        any
    }

    /// The agent's account: which processes live, and which modules are not what the run has made of them.
    pub(super) fn surveyed(&mut self, survivors: &Living, replaced: &[Atom]) {
        if let Living::Counted(counts) = survivors {
            self.survivors.update(counts);
        }
        if !replaced.is_empty() && self.outcome.state != NodeState::Mixed {
            self.outcome.state = NodeState::Mixed;
            self.fail(agent_reason::replaced(replaced));
        }
    }

    /// Asks the agent for its account, before anything is decided by it.
    pub(super) fn survey(&mut self, mailbox: &Mailbox) {
        const TIMEOUT: Duration = Duration::from_secs(15);
        if agent::survey(self.session).is_err() {
            return;
        }
        let until = Instant::now() + TIMEOUT;
        while self.interrupt.count() < 2 && Instant::now() < until {
            let message = match mailbox.recv(LOOK) {
                Ok(Mail::Message(message)) => message,
                Ok(Mail::Down { .. }) | Err(RecvError::Timeout) => continue,
                // Settling says what follows from that.
                Err(_) => return,
            };
            match self.news(&message, mailbox) {
                News::Event(AgentEvent::Died { process }) => self.crashed(&process),
                News::Event(AgentEvent::GuardianReplaced { .. }) => {
                    let _ = agent::survey(self.session);
                }
                News::Event(AgentEvent::Surveyed { survey }) => {
                    return self.surveyed(&survey.survivors, &survey.replaced);
                }
                News::Event(_) | News::Other => {}
                News::Unreadable(error) => {
                    self.unreadable(&error);
                    return;
                }
            }
        }
    }
}
