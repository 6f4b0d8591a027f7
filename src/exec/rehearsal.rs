//! A rehearsal: conversions of an upgrade, tried by twins of the new version on copies of live states.
//!
//! Takes what is to be tried, gives what came of it, module by module. The agent does it under the lock of a run, one
//! process after the other; nothing is suspended, nothing of the node changes, and the twins are gone at the end,
//! whatever happens to this side (`src/node/agent/PROTOCOL.md`, Twins and Rehearsal). No value of a state leaves the
//! node, only its shape.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::agent_reason;
use super::converters::twins_term;
use super::interrupt::Interrupt;
use super::liveness::Liveness;
use super::rehearsal_found::percentile;
pub use super::rehearsal_found::{Bytes, FailedState, OtherStates, Sizes, WentBack};
use super::rehearsal_words::shape_in_words;
use super::step::Action;
use super::step_list::push;
use super::step_term::{millis, steps_term};
pub use super::trial::{BackBy, Limits, Seek, StateKind, Trial, TrialCheck};
use crate::diag::{Code, Diagnostic};
use crate::name::{FunctionArity, Module};
use crate::node::agent::protocol::{
    self, AgentEvent, ChildDifference, HeldForms, InsideForm, Rehearsed, StateChecked, StepRef,
    StepResult, TableForm,
};
use crate::node::agent::{self, Agent, StartError};
use crate::node::{Mail, Mailbox, RecvError, Session};
use crate::plan::{Plan, StateCheck};
use crate::rules::Ruleset;
use crate::state::agents;
use crate::state::rehearsals::ModuleFigures;
use crate::term::Term;
use crate::twin::Converters;

/// How long is looked for mail before interrupts and the connection are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the agent may take to go.
const SETTLE: Duration = Duration::from_secs(30);
/// What the agent may take beside the conversions: loading twins, finding processes.
const MARGIN: Duration = Duration::from_secs(30);

/// What a check of the plan came to for the states of one module.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedStates {
    /// Its number among the plan's.
    pub number: usize,
    /// What it says, in words.
    pub name: String,
    /// For how many states it holds.
    pub held: u64,
    /// For how many it is the first that does not.
    pub failed: u64,
    /// How many no clause takes.
    pub other: u64,
}

/// What the trial of one module came to. Every process is counted once.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The module.
    pub module: Module,
    /// How many processes were asked.
    pub processes: u64,
    /// Of these: the conversion returns `{ok, NewState}`.
    pub converted: u64,
    /// It does not.
    pub failed: u64,
    /// They did not read the question in time.
    pub busy: u64,
    /// They had ended.
    pub dead: u64,
    /// Their heap is above the limit.
    pub big: u64,
    /// Not asked: above the number, or the time was over.
    pub untried: u64,
    /// The conversion failed in a running version that it reached by name: not a finding.
    pub unswitched: u64,
    /// What it takes, a process, to ask all of them for something as in a window; zero when none answered.
    pub message: Duration,
    /// How long successful conversions took, ascending, and how many took so long.
    pub times: Vec<(Duration, u64)>,
    /// The process whose conversion took longest.
    pub slowest: Option<String>,
    /// Shapes of the new states, and how many have each; the most frequent first.
    pub shapes: Vec<(String, u64)>,
    /// The first 20 that fail.
    pub failures: Vec<FailedState>,
    /// Nothing was converted: states stay as they are.
    pub kept: bool,
    /// The plan's function that converts.
    pub by: Option<String>,
    /// States with the names in their shapes, before and after, and how many there are.
    pub held: Vec<HeldForms>,
    /// What of [`Trial::seek`] is inside of states.
    pub inside: Vec<InsideForm>,
    /// And in tables.
    pub tables: Vec<TableForm>,
    /// What the plan's checks on states came to.
    pub checks: Vec<CheckedStates>,
    /// The places in which its conversion acts: it is tried because the plan says so.
    pub acting: Vec<String>,
    /// How large its states are.
    pub sizes: Sizes,
    /// What a rollback would make of the new states.
    pub back: WentBack,
    /// How the children of its supervisors differ from what the new `init/1` specifies.
    pub children: Vec<ChildDifference>,
    /// How many children `start_child/2` has added to its supervisors.
    pub added: u64,
}

impl Tried {
    /// The time that so many percent of the conversions stay below; `None` when none was successful.
    pub fn percentile(&self, percent: usize) -> Option<Duration> {
        percentile(&self.times, percent)
    }

    /// How many states are converted to one for which a check of the plan does not hold.
    pub fn unchecked(&self) -> u64 {
        self.checks.iter().map(|check| check.failed).sum()
    }

    /// How many states are not converted.
    pub fn unconverted(&self) -> u64 {
        self.failed.saturating_sub(self.unchecked())
    }

    /// What was measured, for a prediction.
    pub fn figures(&self) -> ModuleFigures {
        let times = self.times.iter();
        let times = times.map(|(time, number)| time.as_secs_f64() * *number as f64);
        let (converted, inspected) = match self.kept {
            true => (0, self.converted),
            false => (self.converted, 0),
        };
        ModuleFigures {
            message: self.message,
            converted,
            sum: Duration::try_from_secs_f64(times.sum()).unwrap_or_default(),
            slowest: self.percentile(100).unwrap_or_default(),
            inspected,
            back: self.back.tried(),
            lost: self.back.lost(),
        }
    }

    fn read(trial: &Trial, rehearsed: &Rehearsed, plan: &[StateCheck]) -> Self {
        let times = rehearsed.us.iter();
        let times = times.map(|(us, number)| (Duration::from_micros(*us), *number));
        let mut times: Vec<(Duration, u64)> = times.collect();
        times.sort_unstable();
        let shapes = rehearsed.shapes.0.iter();
        let shapes = shapes.map(|(shape, number)| (shape_in_words(shape), *number));
        let mut shapes: Vec<(String, u64)> = shapes.collect();
        shapes.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let checked = |counts: &StateChecked| {
            let number = usize::try_from(counts.check).ok()?;
            Some(CheckedStates {
                number,
                name: plan.get(number)?.name.clone(),
                held: counts.held,
                failed: counts.failed,
                other: counts.other,
            })
        };
        Self {
            module: trial.module.clone(),
            kept: trial.keep,
            by: trial
                .by
                .as_ref()
                .map(|(module, function)| format!("{module}:{function}/1")),
            held: rehearsed.held.clone(),
            inside: rehearsed.inside.clone(),
            tables: rehearsed.tables.clone(),
            checks: rehearsed.checks.iter().filter_map(checked).collect(),
            acting: Vec::new(),
            sizes: Sizes::read(rehearsed),
            back: WentBack::read(&rehearsed.down, trial.back),
            children: rehearsed.children.clone(),
            added: rehearsed.added,
            processes: rehearsed.processes,
            converted: rehearsed.converted,
            failed: rehearsed.failed,
            busy: rehearsed.busy,
            dead: rehearsed.dead,
            big: rehearsed.big,
            untried: rehearsed.untried,
            unswitched: rehearsed.unswitched,
            message: Duration::from_nanos(rehearsed.asked_ns),
            slowest: rehearsed
                .slowest
                .first()
                .map(|(_, pid)| Term::Pid(pid.clone()).to_string()),
            times,
            shapes,
            failures: rehearsed.failures.iter().map(FailedState::read).collect(),
        }
    }
}

/// All that a rehearsal needs.
pub struct RehearsalRequest<'a> {
    /// The connection.
    pub session: &'a Session,
    /// Four hexadecimal digits.
    pub run: &'a str,
    /// `user@host`, for another run that finds the lock taken.
    pub owner: &'a str,
    /// The plan, for reasons in words.
    pub plan: &'a Plan,
    /// What is decided, for reasons in words.
    pub rules: &'a Ruleset,
    /// What runs the conversions.
    pub converters: &'a Converters,
    /// What to try.
    pub trials: &'a [Trial],
    /// The loops of special processes, by module: how the agent finds those that began in another module.
    pub special: &'a BTreeMap<Module, Vec<FunctionArity>>,
    /// Bounds.
    pub limits: Limits,
    /// Where a request to stop comes from.
    pub interrupt: &'a Interrupt,
    /// Whether a run may follow at once: then the node keeps the module of the agent for it.
    pub stays: bool,
}

/// How far a rehearsal is: the module, processes done, processes of it in all.
pub type Progress<'p> = dyn FnMut(&Module, u64, u64) + 'p;

/// What came of all trials.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trials {
    /// Of each, in their order.
    pub tried: Vec<Tried>,
    /// How many schedulers the node has, where something was loaded.
    pub schedulers: Option<u64>,
}

/// Tries conversions; gives what came of each. `progress` is called once a second.
///
/// # Errors
/// E505 when a run is going on; E612 when the agent ended otherwise than it should; E608 when the connection was lost;
/// E611 when it was called off; E510 when an event cannot be read. The node goes back to what it was in every case.
pub fn rehearse(
    what: &RehearsalRequest<'_>,
    progress: &mut Progress<'_>,
) -> crate::diag::Result<Trials> {
    let mailbox = what.session.mailbox();
    let agent = match agent::start(what.session, what.run, &job(what, &mailbox)) {
        Ok(agent) => agent,
        Err(StartError::Locked(holder)) => {
            return Err(Box::new(agent::locked(what.session, holder)));
        }
        Err(StartError::Other(diagnostic)) => return Err(diagnostic),
    };
    let mut liveness = Liveness::new();
    liveness.until(Some(what.limits.within + MARGIN));
    let _ = mailbox.monitor(agent.guardian());
    liveness.follow(agent.guardian());
    let mut watched = Watched {
        what,
        mailbox: &mailbox,
        liveness,
        seen: 0,
    };
    let mut all = Trials::default();
    let mut called_off = false;
    let ended = loop {
        if what.interrupt.count() > 0 && !called_off {
            called_off = true;
            let _ = agent::abort(what.session);
        }
        let Some(event) = watched.next()? else {
            continue;
        };
        // The first step loads the twins.
        let trial = |id: u32| {
            let at = usize::try_from(id.checked_sub(2)?).ok()?;
            what.trials.get(at)
        };
        match event {
            AgentEvent::StepProgress {
                step: StepRef::Step(id),
                done,
                total,
                ..
            } => {
                if let Some(trial) = trial(id) {
                    progress(&trial.module, done, total);
                }
            }
            AgentEvent::StepFinished {
                id,
                result: StepResult::Rehearsed(rehearsed),
                ..
            } => {
                if let Some(trial) = trial(id) {
                    let checks = &what.plan.state_checks;
                    all.tried.push(Tried::read(trial, &rehearsed, checks));
                }
            }
            AgentEvent::StepFinished {
                result: StepResult::TwinsLoaded(loaded),
                ..
            } => all.schedulers = Some(loaded.schedulers),
            AgentEvent::Finished { info, .. } => break info,
            _ => {}
        }
    };
    watched.settle(&agent);
    match ended.reason() {
        None => Ok(all),
        Some(reason) => Err(Box::new(agent_reason::diagnostic(
            reason, what.rules, what.plan,
        ))),
    }
}

/// The events of a rehearsal.
struct Watched<'a> {
    what: &'a RehearsalRequest<'a>,
    mailbox: &'a Mailbox,
    liveness: Liveness,
    /// Number of the last event.
    seen: i64,
}

impl Watched<'_> {
    /// The next event, `None` when there is none at the moment.
    fn next(&mut self) -> crate::diag::Result<Option<AgentEvent>> {
        let lost = |why: &str| {
            let node = self.what.session.node();
            let title = format!("the connection to {node} was lost during a rehearsal");
            let note = "the agent ends by itself: nothing of the node was changed";
            Box::new(Diagnostic::new(Code::E608, title).note(why).note(note))
        };
        let message = match self.mailbox.recv(LOOK) {
            Ok(Mail::Message(message)) => message,
            Ok(Mail::Down { .. }) => {
                self.liveness.down();
                return Ok(None);
            }
            Err(RecvError::Timeout) => {
                return match self.liveness.check(self.what.session) {
                    None => Ok(None),
                    Some(end) => Err(lost(&format!("{end:?}"))),
                };
            }
            Err(why) => return Err(lost(&why.to_string())),
        };
        self.liveness.heard();
        let read = protocol::read(&message, self.what.run).map_err(|error| {
            let node = self.what.session.node();
            let title = format!("a rehearsal on {node} has sent an event that cannot be read");
            Box::new(agent::unreadable(title, &error.to_string()))
        })?;
        let Some(numbered) = read.filter(|numbered| numbered.seq > self.seen) else {
            return Ok(None);
        };
        self.seen = numbered.seq;
        if let AgentEvent::GuardianReplaced { info } = &numbered.event {
            let _ = self.mailbox.monitor(&info.guardian);
            self.liveness.follow(&info.guardian);
        }
        Ok(Some(numbered.event))
    }

    /// The agent goes.
    fn settle(&mut self, agent: &Agent) {
        let until = Instant::now() + SETTLE;
        if agent.settle(self.what.session, false).is_err() {
            return;
        }
        while Instant::now() < until {
            match self.next() {
                Ok(Some(AgentEvent::Settled { .. })) => {
                    if self.what.stays {
                        let module = format!("{}{}", agents::PREFIX, self.what.run);
                        self.what.session.agent_stays(module);
                    }
                    return;
                }
                Ok(_) if self.liveness.is_gone() => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// The job: load the twins, try, drop them.
fn job(what: &RehearsalRequest<'_>, mailbox: &Mailbox) -> Term {
    let limits = &what.limits;
    let atom = |module: &Module| Term::atom(module.as_str());
    let key = |name: &str, value: Term| (Term::atom(name), value);
    let names = what.converters.modules();
    let mut steps = Vec::new();
    push(&mut steps, Action::TwinsLoad(names.clone()));
    // Each gets its part of the time, and what those before it have left.
    let within = limits.within / u32::try_from(what.trials.len().max(1)).unwrap_or(u32::MAX);
    for trial in what.trials {
        let limits = Limits { within, ..*limits };
        push(&mut steps, Action::Rehearse(trial.clone(), limits));
    }
    push(&mut steps, Action::TwinsDrop(names));
    let handlers = what.trials.iter().filter(|t| t.kind == StateKind::Handler);
    Term::map([
        key("run", Term::binary(what.run)),
        key("owner", Term::binary(what.owner)),
        key("watcher", Term::Pid(mailbox.pid())),
        key("modules", Term::list([])),
        key("special", special_term(what.special)),
        key(
            "handlers",
            Term::list(handlers.map(|trial| atom(&trial.module))),
        ),
        key(
            "loops",
            Term::binary(crate::facts::node::processes::LOOPS.trim_end()),
        ),
        key("twins", twins_term(what.converters)),
        key("steps", steps_term(&steps)),
        key("deadline", millis(limits.within + MARGIN)),
        key("undo", Term::atom("none")),
        key("keep", Term::Int(0)),
        key("stay", Term::Int(if what.stays { agent::STAY } else { 0 })),
    ])
}

fn special_term(loops: &BTreeMap<Module, Vec<FunctionArity>>) -> Term {
    let function =
        |f: &FunctionArity| Term::tuple([Term::atom(&*f.name), Term::Int(i64::from(f.arity))]);
    let of = |(module, found): (&Module, &Vec<FunctionArity>)| {
        let functions = Term::list(found.iter().map(function));
        Term::tuple([Term::atom(module.as_str()), functions])
    };
    Term::list(loops.iter().map(of))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::agent::protocol::Codec;
    use crate::term::{Atom, Pid};

    #[test]
    fn percentiles() {
        let read = |us: Term, slowest: Term| {
            let info = "#{processes => 0, converted => 0, failed => 0, busy => 0, dead => 0, big => 0, untried => 0, unswitched => 0, asked_ns => 7, \
                        shapes => #{atom => 1, {map,3} => 2}, failures => [], held => [], inside => [], tables => [], checks => [], \
                        bytes => [], new_bytes => [], largest => [], children => [], added => 0, \
                        down => #{same => 0, other => 0, failed => 0, unswitched => 0, others => [], failures => []}}";
            let info = crate::syntax::parse_term(info).expect("a term");
            let Term::Map(mut info) = info else {
                panic!("a map");
            };
            info.insert(Term::atom("us"), us);
            info.insert(Term::atom("slowest"), slowest);
            let read = Rehearsed::decode(&Term::Map(info)).expect("an answer");
            let trial = Trial::new(Module::new("cart"), StateKind::Server);
            Tried::read(&trial, &read, &[])
        };
        let number = Term::Int;
        let all = (1..=50)
            .rev()
            .map(|us| Term::tuple([number(2 * us), number(2)]));
        let slowest = Term::Pid(Pid {
            node: Atom::new("shop@127.0.0.1"),
            id: 100,
            serial: 0,
            creation: 1,
        });
        let slowest = Term::list([Term::tuple([number(100), slowest])]);
        let tried = read(Term::list(all), slowest);
        assert_eq!(tried.percentile(0), Some(Duration::from_micros(2)));
        assert_eq!(tried.percentile(50), Some(Duration::from_micros(50)));
        assert_eq!(tried.percentile(51), Some(Duration::from_micros(52)));
        assert_eq!(tried.percentile(100), Some(Duration::from_micros(100)));
        assert_eq!(tried.slowest.as_deref(), Some("<0.100.0>"));
        let shapes = [("map of 3 keys".to_owned(), 2), ("atom".to_owned(), 1)];
        assert_eq!(tried.shapes, shapes);
        let none = read(Term::list([]), Term::list([]));
        assert_eq!((none.percentile(50), none.slowest), (None, None));
    }
}
