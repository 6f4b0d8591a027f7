//! The nodes that switch at one instant, as their client sees them: who has come to a barrier, when all pass it, when
//! the switch is called off, and whether all go back.
//!
//! Takes what the runs of the nodes report, each from a thread of its own, and sends the nodes' agents what follows from
//! it. It decides nothing that a node could not decide without it: what the agents promise each other is in
//! `src/node/agent/PROTOCOL.md`, *Together*.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::barrier::{Barrier, BarrierKind};
use super::barriers::Barriers;
use super::event::NodeState;
use super::interrupt::{Interrupt, LOOK};
use super::step::Step;
use crate::diag::{Code, Diagnostic};
use crate::name::NodeName;
use crate::node::{Session, agent};
use crate::term::Term;

/// How much longer than a node waits at a barrier what the others have decided is kept for it.
const MARGIN: Duration = Duration::from_secs(2);

/// The nodes of a group.
pub struct Together {
    /// The rollout: four hexadecimal digits.
    group: String,
    nodes: Vec<NodeName>,
    barriers: Barriers,
    /// What all are when it is over.
    goal: NodeState,
    /// Which of them keeps the decision.
    keeper: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    /// Why the switch is called off, and which node it was.
    off: Option<(usize, String)>,
    /// When the keeper was let pass the decision.
    asked: Option<Instant>,
    /// Whether a node has passed it.
    decided: bool,
    /// Which nodes go back, once that is decided, and why.
    back: Option<(Vec<bool>, String)>,
}

/// One of them.
#[derive(Default)]
struct Member {
    session: Option<Session>,
    barriers: Vec<(u32, Barrier)>,
    back: Option<Vec<(u32, Barrier)>>,
    /// The barriers to which it has come.
    reached: Vec<Barrier>,
    /// The last one that it was let pass: for a guardian that may not have heard it.
    passed: Option<u32>,
    /// How its run has ended.
    end: Option<End>,
    /// Whether its way back is over.
    is_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    New,
    /// New, and the plan is not content with it; whether it is to go back.
    Bad(bool),
    Old,
    Mixed,
    Lost,
}

/// What follows when all nodes have ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that are new stay so.
    Stay,
    /// They go back, for this reason.
    Back(String),
    /// The end was requested before.
    Left,
}

/// A node of the group, for its own run.
#[derive(Clone, Copy)]
pub struct TogetherNode<'a> {
    group: &'a Together,
    at: usize,
}

impl Together {
    /// A group of which no run has begun.
    pub fn new(group: &str, nodes: Vec<NodeName>, barriers: Barriers, goal: NodeState) -> Self {
        let members = nodes.iter().map(|_| Member::default()).collect();
        Self {
            group: group.to_owned(),
            nodes,
            barriers,
            goal,
            keeper: 0,
            state: Mutex::new(State {
                members,
                ..State::default()
            }),
            changed: Condvar::new(),
        }
    }

    /// The decision is kept by this one of its nodes, which has to have something to switch; without it, by the first.
    #[must_use]
    pub fn kept_by(mut self, keeper: usize) -> Self {
        self.keeper = keeper;
        self
    }

    /// One of its nodes.
    pub fn node(&self, at: usize) -> TogetherNode<'_> {
        TogetherNode { group: self, at }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Sends those on that have waited for each other, where all have come that are still waited for.
    fn release(&mut self, barrier: &Barrier, keeper: usize) {
        let waited_for = |(at, member): (usize, &Member)| {
            let has = |all: &[(u32, Barrier)]| all.iter().any(|(_, one)| one.is_same(barrier));
            match (barrier.is_back(), &self.back) {
                (true, Some((going, _))) => {
                    let known = member.back.as_deref();
                    going[at] && !member.is_back && known.is_none_or(has)
                }
                (true, None) => false,
                (false, _) => {
                    member.end.is_none() && (member.session.is_none() || has(&member.barriers))
                }
            }
        };
        let members = self.members.iter().enumerate();
        let members: Vec<usize> = members
            .filter(|(at, member)| waited_for((*at, *member)))
            .map(|(at, _)| at)
            .collect();
        let has_come = |at: &usize| {
            self.members[*at]
                .reached
                .iter()
                .any(|one| one.is_same(barrier))
        };
        if !members.iter().all(has_come) {
            return;
        }
        match (barrier.kind, self.asked) {
            (BarrierKind::Decide, None) => {
                self.asked = Some(Instant::now());
                // Those behind the keeper pass when that one says that it has.
                self.pass(keeper, barrier);
            }
            (BarrierKind::Decide, Some(_)) if !self.decided => {}
            _ => {
                for at in members {
                    self.pass(at, barrier);
                }
            }
        }
    }

    fn pass(&mut self, at: usize, barrier: &Barrier) {
        let member = &mut self.members[at];
        let found = member.steps().find(|(_, one)| one.is_same(barrier));
        if let Some(id) = found.map(|(id, _)| *id)
            && member.passed != Some(id)
            && let Some(session) = &member.session
        {
            member.passed = Some(id);
            // A connection that is lost is noticed by the run.
            let _ = agent::pass(session, id);
        }
    }

    /// Who has not come to the barrier at which a node waits.
    fn late(&self, at: usize) -> Vec<usize> {
        let Some(barrier) = self.members[at].reached.last() else {
            return Vec::new();
        };
        let members = self.members.iter().enumerate();
        let late = members.filter(|(_, member)| {
            member.end.is_none() && !member.reached.iter().any(|one| one.is_same(barrier))
        });
        late.map(|(at, _)| at).collect()
    }

    /// Nothing can be decided any more: all that are not through go back.
    fn call_off(&mut self, at: usize, why: String) {
        if self.decided || self.off.is_some() {
            return;
        }
        self.off = Some((at, why));
        for member in self.members.iter().filter(|member| member.end.is_none()) {
            if let Some(session) = &member.session {
                let _ = agent::call_off(session);
            }
        }
    }
}

impl Member {
    fn steps(&self) -> impl Iterator<Item = &(u32, Barrier)> {
        self.barriers.iter().chain(self.back.iter().flatten())
    }
}

fn of_steps(steps: &[Step]) -> Vec<(u32, Barrier)> {
    let barriers = steps.iter();
    barriers
        .filter_map(|step| Some((step.id, step.barrier()?.clone())))
        .collect()
}

impl<'a> TogetherNode<'a> {
    /// The barriers of the group.
    pub fn barriers(&self) -> Barriers {
        self.group.barriers
    }

    /// The job's `together`.
    pub(super) fn term(&self, steps: &[Step]) -> Term {
        let name = |node: &NodeName| Term::atom(node.as_str());
        let decides = of_steps(steps).into_iter();
        let decides = decides.filter(|(_, barrier)| barrier.kind == BarrierKind::Decide);
        let mut pairs = vec![
            (Term::atom("group"), Term::binary(&self.group.group)),
            (
                Term::atom("keeper"),
                name(&self.group.nodes[self.group.keeper]),
            ),
            (
                Term::atom("nodes"),
                Term::list(self.group.nodes.iter().map(name)),
            ),
        ];
        for (id, _) in decides {
            pairs.push((Term::atom("decides"), Term::Int(i64::from(id))));
        }
        Term::map(pairs)
    }

    /// The run is about to be brought to the node.
    ///
    /// # Errors
    /// When the switch is called off already.
    pub(super) fn begin(&self, session: &Session, steps: &[Step]) -> Result<(), Diagnostic> {
        let mut state = self.group.state();
        if state.off.is_some() {
            drop(state);
            return Err(self.called_off());
        }
        let member = &mut state.members[self.at];
        member.session = Some(session.clone());
        member.barriers = of_steps(steps);
        Ok(())
    }

    /// The agent is there: it may have come too late to hear that the switch is called off.
    pub(super) fn begun(&self) {
        let state = self.group.state();
        if let (Some(_), Some(session)) = (&state.off, &state.members[self.at].session) {
            let _ = agent::call_off(session);
        }
    }

    /// The node has come to a step.
    pub(super) fn step_started(&self, step: &Step) {
        let Some(barrier) = step.barrier() else {
            return;
        };
        let mut state = self.group.state();
        let late = state.off.is_some() && !state.decided;
        let member = &mut state.members[self.at];
        member.reached.push(barrier.clone());
        match (&member.session, late) {
            (Some(session), true) => {
                let _ = agent::call_off(session);
            }
            _ => state.release(barrier, self.group.keeper),
        }
    }

    /// The node has passed a step.
    pub(super) fn step_finished(&self, step: &Step) {
        let Some(barrier) = step.barrier() else {
            return;
        };
        if barrier.kind == BarrierKind::Decide {
            let mut state = self.group.state();
            state.decided = true;
            for at in 0..state.members.len() {
                if at != self.at && state.members[at].end.is_none() {
                    state.pass(at, barrier);
                }
            }
        }
    }

    /// Another guardian has taken over: the former may have died with what was sent to it.
    pub(super) fn again(&self) {
        let state = self.group.state();
        let member = &state.members[self.at];
        if let (Some(session), Some(id)) = (&member.session, member.passed) {
            let _ = agent::pass(session, id);
        }
        if let (Some(session), Some(_)) = (&member.session, &state.off) {
            let _ = agent::call_off(session);
        }
    }

    /// The run has ended, or is not seen any more.
    pub fn ended(&self, ended: NodeState, error: Option<&Diagnostic>) {
        let mut state = self.group.state();
        let member = &mut state.members[self.at];
        member.is_back = true;
        if member.end.is_none() {
            let end = match ended {
                goal if goal == self.group.goal => End::New,
                NodeState::New | NodeState::Old => End::Old,
                NodeState::Mixed => End::Mixed,
                NodeState::Unknown => End::Lost,
            };
            member.end = Some(end);
            // The decision may be on its way where the keeper is lost with it: then the nodes find out by themselves.
            if end != End::New && !(end == End::Lost && state.asked.is_some()) {
                let why = error.map_or_else(String::new, |error| {
                    format!("{}: {}", error.code, error.title)
                });
                // A node that has waited in vain is not the one that was late.
                let waited = error.is_some_and(|error| error.code == Code::E659);
                let late = if waited {
                    state.late(self.at).first().copied()
                } else {
                    None
                };
                state.call_off(late.unwrap_or(self.at), why);
            }
        }
        let open: Vec<Barrier> = state
            .members
            .iter()
            .filter_map(|member| member.reached.last().cloned())
            .collect();
        for barrier in open {
            state.release(&barrier, self.group.keeper);
        }
        self.group.changed.notify_all();
    }

    /// The node is new, and what the plan says of that is known; `wanted`: whether that takes it back.
    pub(super) fn is_new(&self, good: bool, wanted: bool) {
        let end = if good { End::New } else { End::Bad(wanted) };
        let mut state = self.group.state();
        state.members[self.at].end = Some(end);
        self.group.changed.notify_all();
    }

    /// Waits for the end of all others, and gives what follows for all.
    pub(super) fn verdict(&self, interrupt: &Interrupt) -> Verdict {
        let mut state = self.group.state();
        loop {
            let ends: Option<Vec<End>> = state.members.iter().map(|member| member.end).collect();
            if let Some(ends) = ends {
                return self.all_ended(state, &ends, interrupt);
            }
            if interrupt.count() > 1 {
                return Verdict::Left;
            }
            let waited = self.group.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn all_ended(
        &self,
        mut state: MutexGuard<'_, State>,
        ends: &[End],
        interrupt: &Interrupt,
    ) -> Verdict {
        if state.back.is_none() {
            let fails = |end: &End| matches!(end, End::Bad(true) | End::Old | End::Mixed);
            if let Some(first) = ends.iter().position(fails) {
                let node = &self.group.nodes[first];
                let why = match ends[first] {
                    End::Bad(_) => format!("{node} is not as the plan wants it"),
                    _ => format!("{node} has not stayed new"),
                };
                let going = |end: &End| matches!(end, End::New | End::Bad(_));
                state.back = Some((ends.iter().map(going).collect(), why));
            }
        }
        if let Some((_, why)) = &state.back {
            return Verdict::Back(why.clone());
        }
        if !ends.contains(&End::Lost) {
            return Verdict::Stay;
        }
        // A node that is cut off from here asks the others: until then they must be able to answer.
        let until = self.group.barriers.hold.saturating_add(MARGIN);
        let waited = state.asked.map_or(Duration::ZERO, |asked| asked.elapsed());
        drop(state);
        interrupt.sleep(until.saturating_sub(waited), 2);
        Verdict::Stay
    }

    /// The node begins its way back.
    pub(super) fn going_back(&self, steps: &[Step]) {
        let mut state = self.group.state();
        let member = &mut state.members[self.at];
        member.back = Some(of_steps(steps));
        member.passed = None;
    }

    /// E658: what has kept this node from the new version is not its own.
    pub(super) fn called_off(&self) -> Diagnostic {
        let state = self.group.state();
        let (title, why) = match &state.off {
            Some((at, why)) if *at != self.at => {
                let node = &self.group.nodes[*at];
                let title = format!("called off: all nodes switch together, and {node} does not");
                (title, why.as_str())
            }
            Some((_, why)) => {
                let title =
                    "called off: all nodes switch together, and this one was not ready in time";
                (title.to_owned(), why.as_str())
            }
            None => {
                let title = "called off: all nodes switch together, and one of them does not";
                (title.to_owned(), "")
            }
        };
        let diagnostic = Diagnostic::new(Code::E658, title)
            .note("no process has run on since it was suspended; all were resumed as they were");
        let diagnostic = match why {
            "" => diagnostic,
            why => diagnostic.note(why),
        };
        diagnostic.help("correct that node, and run the same command again")
    }

    /// E659, with those that were waited for.
    pub(super) fn late(&self, diagnostic: Diagnostic) -> Diagnostic {
        let state = self.group.state();
        let late = state.late(self.at).into_iter();
        let late: Vec<&str> = late.map(|at| self.group.nodes[at].as_str()).collect();
        match late.is_empty() {
            true => diagnostic,
            false => diagnostic
                .note(format!("not ready in time: {}", late.join(", ")))
                .help("run the same command again; where a node needs longer: `wait => 5s` beside `together`"),
        }
    }

    /// E658: the node is good, and goes back with the others.
    pub(super) fn goes_back(&self, why: &str) -> Diagnostic {
        let title = format!("goes back with the others: {why}");
        Diagnostic::new(Code::E658, title)
            .note("all nodes switch together, so all of them go back together")
            .help("correct what has failed, and run the same command again")
    }
}

impl Barrier {
    /// Whether nodes that come to these wait for each other.
    fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.is_back() == other.is_back()
    }
}
