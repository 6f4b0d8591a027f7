//! A rollout: the nodes of a target, stage after stage, each with a script of its own.
//!
//! It takes nodes that are prepared and shown, and runs them as the plan's `rollout` says. What it promises: every
//! node ends fully new or fully old, or is named; after a failure no further node is begun; a requested end comes
//! after the nodes that are being upgraded. What happens is reported to a [`Watcher`], which also decides at a pause.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::rehearsal::{FirstPhase, Rehearsal};
use super::{Connection, Engine, Upgrade, run_id};
use crate::diag::{Code, Diagnostic, Result};
use crate::exec::barrier::phase;
use crate::exec::barriers::{self, Barriers};
use crate::exec::rollout_checks::{RolloutChecks, RolloutOutcome};
use crate::exec::together::{Together, TogetherNode};
use crate::exec::{Event, EventKind, Interrupt, NodeState, Outcome, StepKind, steps};
use crate::facts::node::node_facts;
use crate::name::{Module, NodeName};
use crate::parallel::in_parallel;
use crate::plan::Rollout;
use crate::plan::rollout::{Pause, Stage};
use crate::state::runs::{RunPart, RunRecords};

/// How often a look is taken for requests to stop.
const LOOK: Duration = Duration::from_millis(50);

/// After so long a node is looked at again before its turn.
const FRESH: Duration = Duration::from_secs(1);

/// How many nodes are prepared, or rehearse, at the same time.
pub(super) const AT_ONCE: usize = 8;

/// What one run knows of the rollout that it is a part of.
pub(super) struct RunContext<'a> {
    pub(super) rollout: Option<&'a str>,
    pub(super) interrupt: &'a Interrupt,
    /// That the node has changed since it was shown.
    pub(super) stale: Option<Diagnostic>,
    /// What its rehearsal came to.
    pub(super) rehearsed: Option<&'a FirstPhase>,
    /// What its record says of the whole.
    pub(super) part: RunPart,
    /// Its place in the group with which it switches.
    pub(super) together: Option<TogetherNode<'a>>,
}

impl<'a> RunContext<'a> {
    /// A run of its own.
    pub(super) fn alone(engine: &'a Engine) -> Self {
        Self {
            rollout: None,
            interrupt: &engine.settings.interrupt,
            stale: None,
            rehearsed: None,
            part: RunPart {
                of: Some(1),
                ..RunPart::default()
            },
            together: None,
        }
    }
}

/// What a rollout is to all nodes of its target.
#[derive(Clone, Debug, Default)]
pub struct RolloutScope {
    /// Whether all of them are new when it is over, so that the plan can be asked about the whole.
    pub whole: bool,
    /// How many have to become new for that, the nodes of this rollout among them.
    pub of: usize,
    /// The run or rollout to whose version the nodes are brought, when they come later.
    pub to: Option<String>,
}

/// A node of a rollout: connected, and what is to be done there.
pub struct PreparedNode<'e> {
    /// The node.
    pub connection: Connection<'e>,
    /// What is to be done.
    pub upgrade: Upgrade,
    /// What the first phase of the run came to, once it is done.
    pub rehearsed: Option<FirstPhase>,
    prepared_at: Instant,
}

impl<'e> PreparedNode<'e> {
    /// Connects to a node and decides what is to be done there. Reads only.
    ///
    /// # Errors
    /// As [`Engine::connect`], [`Connection::ensure_unlocked`] and [`Connection::prepare`].
    pub fn prepare(engine: &'e Engine, node: &NodeName) -> Result<Self> {
        let connection = engine.connect(node)?;
        connection.await_unlocked()?;
        let upgrade = connection.prepare()?;
        Ok(Self {
            connection,
            upgrade,
            rehearsed: None,
            prepared_at: Instant::now(),
        })
    }

    /// All nodes, several at a time; in their order.
    ///
    /// # Errors
    /// What is wrong with each node that cannot be prepared.
    pub fn prepare_all(
        engine: &'e Engine,
        nodes: &[NodeName],
    ) -> std::result::Result<Vec<Self>, Vec<Diagnostic>> {
        let prepared = in_parallel(
            nodes,
            AT_ONCE,
            || (),
            |(), node| Self::prepare(engine, node),
        );
        let (good, bad): (Vec<_>, Vec<_>) = prepared.into_iter().partition(|one| one.is_ok());
        match bad.is_empty() {
            true => Ok(good.into_iter().flatten().collect()),
            false => Err(bad
                .into_iter()
                .filter_map(|one| Some(*one.err()?))
                .collect()),
        }
    }

    /// The first phase of a run on all nodes, several at a time; in their order. `progress` says which node it is.
    ///
    /// # Errors
    /// For each node as [`Connection::rehearse`].
    #[doc(hidden)]
    pub fn rehearse_all(
        nodes: &[Self],
        progress: &(dyn Fn(&NodeName, &Module, u64, u64) + Sync),
    ) -> Vec<Result<Option<Rehearsal>>> {
        in_parallel(
            nodes,
            AT_ONCE,
            || (),
            |(), prepared| {
                let node = prepared.node();
                let mut progress = |module: &Module, done, all| progress(node, module, done, all);
                let connection = &prepared.connection;
                connection.rehearse_first(&prepared.upgrade, &mut progress)
            },
        )
    }

    pub(super) fn node(&self) -> &NodeName {
        self.connection.session.node()
    }

    /// Makes sure, when time has gone by, that the node is there and what it was when it was shown. A connection that
    /// broke meanwhile is made anew: then that is what counts.
    ///
    /// # Errors
    /// E602 when something else would happen than was shown; what is wrong with the connection.
    fn refresh(&self, engine: &'e Engine) -> Result<Option<Self>> {
        let lost = self.connection.session.is_lost().is_some();
        if !lost && self.prepared_at.elapsed() < FRESH {
            return Ok(None);
        }
        if lost {
            let mut fresh = Self::prepare(engine, self.node())?;
            fresh.upgrade.tried_live = self.upgrade.tried_live;
            if let (false, Some(why)) = (self.upgrade.script.is_live(), &self.upgrade.script.chosen)
            {
                fresh.upgrade.suspend_after_all(why.clone());
            }
            let same = fresh.upgrade.content() == self.upgrade.content();
            return match same && !fresh.upgrade.is_refused() {
                true => Ok(Some(Self {
                    rehearsed: self.rehearsed.clone(),
                    ..fresh
                })),
                false => Err(Box::new(self.changed(Vec::new()))),
            };
        }
        let facts = node_facts::gather(&self.connection.session)?;
        let md5 = |module: &Module| facts.loaded.get(module).map(|loaded| loaded.md5);
        let differing: Vec<String> = self
            .upgrade
            .changes
            .modules
            .iter()
            .filter(|(module, _)| self.upgrade.rules.modules.contains_key(*module))
            .filter(|(module, was)| was.loaded.as_ref().map(|was| was.md5) != md5(module))
            .map(|(module, _)| format!("{module} is not the version it was"))
            .collect();
        match differing.is_empty() {
            true => Ok(None),
            false => Err(Box::new(self.changed(differing))),
        }
    }

    /// The node's turn.
    fn run(
        &self,
        engine: &'e Engine,
        (rollout, part, together): (Option<&str>, RunPart, Option<TogetherNode<'_>>),
        interrupt: &Interrupt,
        tell: &dyn Fn(&Event),
    ) -> Outcome {
        let (fresh, stale) = match self.refresh(engine) {
            Ok(fresh) => (fresh, None),
            Err(diagnostic) => (None, Some(*diagnostic)),
        };
        let prepared = fresh.as_ref().unwrap_or(self);
        let part = RunContext {
            rollout,
            interrupt,
            stale,
            rehearsed: self.rehearsed.as_ref(),
            part,
            together,
        };
        prepared
            .connection
            .run_in(&prepared.upgrade, &part, &mut |event| tell(event))
    }

    /// E657: why the node cannot switch at one instant with the others, if it cannot.
    pub fn unfit_together(&self, rollout: &Rollout) -> Option<Diagnostic> {
        rollout.together?;
        let upgrade = &self.upgrade;
        let title = format!(
            "{} cannot switch together with the other nodes",
            self.node()
        );
        let diagnostic = Diagnostic::new(Code::E657, title);
        if !upgrade.changes.undo_is_exact(upgrade.rules.modules.keys()) {
            let note = "there is no copy of the running version of all modules: it could not go back with the others";
            return Some(diagnostic.note(note).help(
                "say where these versions are: `old from \"FOLDER\".`, or leave `together` out",
            ));
        }
        let why = barriers::unfit(&steps::steps(&upgrade.script, &upgrade.rules))?;
        Some(
            diagnostic
                .note(why)
                .help("one window for all: `window single.`; or leave `together` out"),
        )
    }

    fn changed(&self, notes: Vec<String>) -> Diagnostic {
        let title = format!("{} has changed since it was compared", self.node());
        let mut diagnostic = Diagnostic::new(Code::E602, title)
            .help("run it again: the node is compared and shown again");
        diagnostic.notes = notes;
        diagnostic.note("nothing was changed on this node")
    }
}

/// What nodes of both versions send each other while they are upgraded one after the other, and what the other version
/// does not take: W660, W661, W662. Nodes that run the same and get the same are one question.
#[doc(hidden)]
pub fn crossing<'u>(upgrades: impl Iterator<Item = &'u Upgrade>) -> Vec<Diagnostic> {
    let mut known = Vec::new();
    let mut found: Vec<Diagnostic> = Vec::new();
    for upgrade in upgrades.filter(|upgrade| !upgrade.is_empty()) {
        let (changes, rules) = (&upgrade.changes, &upgrade.rules);
        let taking_part = changes.modules.iter();
        let taking_part = taking_part.filter(|(name, _)| rules.modules.contains_key(*name));
        let versions = taking_part.map(|(name, changed)| {
            let old = changed.loaded.as_ref().map(|loaded| loaded.md5);
            let new = changed.new.as_ref().map(|new| new.facts.md5);
            (name, old, new, changed.old.is_some())
        });
        let versions: Vec<_> = versions.collect();
        if known.contains(&versions) {
            continue;
        }
        known.push(versions);
        let more = crate::rules::crossing::crossing(changes, rules);
        for one in more {
            let is_known =
                |other: &Diagnostic| other.title == one.title && other.notes == one.notes;
            if !found.iter().any(is_known) {
                found.push(one);
            }
        }
    }
    found
}

/// What happens in a rollout.
#[derive(Debug)]
pub enum RolloutEvent<'a> {
    /// It begins: its name, four hexadecimal digits.
    Began(&'a str),
    /// A stage begins.
    StageStarted {
        /// Its number, from 0.
        stage: usize,
    },
    /// A node's turn begins: its position.
    Turn(usize),
    /// Something happens on a node.
    Node {
        /// Its position.
        at: usize,
        /// What.
        event: &'a Event,
    },
    /// A node's turn is over.
    Ended {
        /// Its position.
        at: usize,
        /// How.
        outcome: &'a Outcome,
    },
    /// A check or a hook of the whole rollout, on its first node.
    Whole(&'a Event),
    /// A stage is over.
    StageFinished {
        /// Its number, from 0.
        stage: usize,
        /// How long it took.
        took: Duration,
    },
    /// After a stage: something has to hold on its nodes, and this is how far it has come. Many times a second.
    Holding(&'a [HoldProgress]),
    /// Something has held on all nodes of a stage.
    Held {
        /// Its name.
        name: &'a str,
        /// How long it had to.
        goal: Duration,
        /// On how many nodes.
        nodes: usize,
    },
    /// Nothing has to hold any more.
    HoldOver,
    /// The command of a gate begins.
    Gate {
        /// Its name.
        name: &'a str,
        /// How long it may take.
        within: Duration,
        /// The stage that it is asked for, from 0.
        next: usize,
    },
    /// Nodes that switch at one instant wait for each other: another one has come so far.
    Together {
        /// What all of them are when they go on: `prepared`, `suspended`, `switched`, `sync`.
        phase: &'static str,
        /// The same in words.
        words: &'a str,
        /// How many have come.
        ready: usize,
        /// How many there are.
        nodes: usize,
    },
    /// The end was requested: what follows from it.
    Stopping(String),
    /// All nodes go back, for this reason.
    Back(&'a str),
}

/// How far a `hold` has come on the nodes of a stage.
#[derive(Clone, Debug)]
pub struct HoldProgress {
    /// Its name in the plan.
    pub name: String,
    /// For how long it has held on the node where that is shortest.
    pub held: Duration,
    /// How long it has to.
    pub goal: Duration,
    /// On how many nodes.
    pub nodes: usize,
    /// How often it was evaluated.
    pub tries: u64,
}

/// The observer of a rollout.
pub trait Watcher {
    /// Something happened.
    fn on_event(&mut self, rollout_event: RolloutEvent<'_>);
    /// Between two stages. `false` ends the rollout here; so does a request to stop meanwhile.
    fn pause(&mut self, pause: Pause, next: usize) -> bool;
}

/// Walks through prepared nodes. `stages` divides them: [`Rollout::stages`].
pub fn run_rollout<'e>(
    engine: &'e Engine,
    prepared_nodes: &[PreparedNode<'e>],
    rollout: &Rollout,
    stages: &[Stage],
    scope: &RolloutScope,
    watcher: &mut dyn Watcher,
) -> RolloutOutcome {
    let records = RunRecords::new(&engine.settings.state_dir);
    let rollout_name = run_id(&records);
    let mut walk = Walk {
        engine,
        rollout,
        scope,
        watcher,
        heeded: false,
        halted: false,
        failed: false,
        runs: vec![NodeRun::default(); prepared_nodes.len()],
        records,
        rollout_outcome: RolloutOutcome {
            rollout: rollout_name,
            ends: prepared_nodes.iter().map(|_| None).collect(),
            errors: Vec::new(),
            stopped: false,
            rolled_back: Default::default(),
        },
    };
    if stages.is_empty() {
        return walk.rollout_outcome;
    }
    walk.watcher
        .on_event(RolloutEvent::Began(&walk.rollout_outcome.rollout));
    walk.overall_checks(prepared_nodes, |around, sink| around.before(sink));
    if walk.rollout_outcome.errors.is_empty() {
        walk.stages(prepared_nodes, stages);
        let failed = walk.rollout_outcome.count(|end| !end.is_good());
        let good = walk.rollout_outcome.errors.is_empty() && failed == 0;
        if scope.whole && good && !walk.rollout_outcome.stopped {
            walk.overall_checks(prepared_nodes, |around, sink| around.after(sink));
        }
        walk.go_back(prepared_nodes);
    }
    walk.rollout_outcome
}

/// What is known of the run of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeRun {
    /// Its name, once it has begun.
    pub(super) name: Option<String>,
    /// When it began.
    pub(super) began: Option<Instant>,
    /// The number of its last event.
    pub(super) seq: u64,
}

pub(super) struct Walk<'e, 'w> {
    pub(super) engine: &'e Engine,
    pub(super) rollout: &'w Rollout,
    scope: &'w RolloutScope,
    pub(super) watcher: &'w mut dyn Watcher,
    /// Whether the first request to stop was answered.
    heeded: bool,
    /// Whether no further node is begun.
    halted: bool,
    /// Whether that is because of failures.
    pub(super) failed: bool,
    /// The nodes' runs.
    pub(super) runs: Vec<NodeRun>,
    pub(super) records: RunRecords,
    pub(super) rollout_outcome: RolloutOutcome,
}

/// Before, or after.
type Asking = fn(&RolloutChecks<'_>, &mut dyn FnMut(&Event)) -> Vec<Diagnostic>;

/// What a node's thread reports.
enum News {
    Event(Box<Event>),
    Ended(Box<Outcome>),
}

impl<'e> Walk<'e, '_> {
    /// Asks what the plan says around the whole, on the first node.
    fn overall_checks(&mut self, prepared_nodes: &[PreparedNode<'e>], ask: Asking) {
        let Some(first) = prepared_nodes.first() else {
            return;
        };
        let settings = &self.engine.settings;
        let around = RolloutChecks {
            session: &first.connection.session,
            rollout: &self.rollout_outcome.rollout,
            plan: &self.engine.plan,
            view: first.connection.view(&first.upgrade),
            verify: !settings.no_verify,
            interrupt: &settings.interrupt,
        };
        let watcher = &mut *self.watcher;
        self.rollout_outcome.errors = ask(&around, &mut |event| {
            watcher.on_event(RolloutEvent::Whole(event))
        });
    }

    fn stages(&mut self, prepared_nodes: &[PreparedNode<'e>], stages: &[Stage]) {
        for (number, stage) in stages.iter().enumerate() {
            if number > 0 && !self.goes_on(prepared_nodes, stages, number) {
                self.rollout_outcome.stopped = self.rollout_outcome.errors.is_empty();
                return;
            }
            let began = Instant::now();
            self.watcher
                .on_event(RolloutEvent::StageStarted { stage: number });
            self.stage(prepared_nodes, stage);
            self.watcher.on_event(RolloutEvent::StageFinished {
                stage: number,
                took: began.elapsed(),
            });
            let left = self.rollout_outcome.untouched() > 0;
            if self.failed || (self.halted && left) {
                self.rollout_outcome.stopped = left;
                return;
            }
            if !self.has_held(prepared_nodes, stage) || self.halted {
                return;
            }
        }
    }

    /// The pause before a stage, and the gates; whether it is begun. The gates come last: between their answer and
    /// the next stage no time goes by.
    fn goes_on(
        &mut self,
        prepared_nodes: &[PreparedNode<'e>],
        stages: &[Stage],
        next: usize,
    ) -> bool {
        let interrupt = &self.engine.settings.interrupt;
        interrupt.count() == 0
            && (self.rollout.pause == Pause::None || self.watcher.pause(self.rollout.pause, next))
            && interrupt.count() == 0
            && self
                .engine
                .plan
                .gates
                .iter()
                .all(|gate| self.is_open(gate, prepared_nodes, stages, next))
    }

    /// All nodes of a stage, so many at a time.
    fn stage(&mut self, prepared_nodes: &[PreparedNode<'e>], stage: &Stage) {
        let most = self.rollout.parallel.unwrap_or(usize::MAX);
        // Requests to stop reach a node only when there are more of them: the first one ends the walk, not the run.
        let interrupts: Vec<Interrupt> = stage.nodes.iter().map(|_| Interrupt::default()).collect();
        let name = self
            .is_named(prepared_nodes.len())
            .then(|| self.rollout_outcome.rollout.clone());
        let part = RunPart {
            version: None,
            of: Some(self.scope.of),
            target: String::new(),
            canary: stage.is_canary(),
            to: self.scope.to.clone(),
        };
        let group = self.group(prepared_nodes, stage);
        let group = group.as_ref();
        // Nodes that switch at one instant are called off as one.
        let several = prepared_nodes.len() > 1 && group.is_none();
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            let mut waiting = stage.nodes.iter().copied().zip(&interrupts).enumerate();
            let mut running = 0;
            let mut ready: BTreeMap<String, usize> = BTreeMap::new();
            loop {
                self.handle_interrupt(&interrupts, several, running);
                while running < most
                    && (!self.halted || (group.is_some() && running > 0))
                    && let Some((place, (at, interrupt))) = waiting.next()
                {
                    self.watcher.on_event(RolloutEvent::Turn(at));
                    running += 1;
                    let (prepared, sender) = (&prepared_nodes[at], sender.clone());
                    let together = group.map(|group| group.node(place));
                    let place = (name.as_deref(), part.clone(), together);
                    let engine = self.engine;
                    scope.spawn(move || {
                        // There is no receiver only when the walk itself has ended in a panic.
                        let tell = |event: &Event| {
                            let _ = sender.send((at, News::Event(Box::new(event.clone()))));
                        };
                        let run =
                            AssertUnwindSafe(|| prepared.run(engine, place, interrupt, &tell));
                        // Whatever happens here, the walk must hear of an end.
                        let outcome = catch_unwind(run).unwrap_or_else(|_| thread_panicked());
                        if let Some(node) = together {
                            node.ended(outcome.state, outcome.errors.first());
                        }
                        let _ = sender.send((at, News::Ended(Box::new(outcome))));
                    });
                }
                if running == 0 {
                    return;
                }
                match receiver.recv_timeout(LOOK) {
                    Ok((at, News::Event(event))) => {
                        if let EventKind::StepStarted {
                            step: StepKind::Together,
                            what,
                            ..
                        } = &event.kind
                        {
                            let (ready, nodes) =
                                (ready.entry(what.clone()).or_default(), stage.nodes.len());
                            // On the way back they come there again.
                            *ready = *ready % nodes + 1;
                            self.watcher.on_event(RolloutEvent::Together {
                                phase: phase(what),
                                words: what,
                                ready: *ready,
                                nodes,
                            });
                        }
                        let known = &mut self.runs[at];
                        if let EventKind::Started { run, .. } = &event.kind {
                            known.name = Some(run.clone());
                            known.began = Instant::now().checked_sub(event.at);
                        }
                        known.seq = event.seq;
                        self.watcher
                            .on_event(RolloutEvent::Node { at, event: &event });
                    }
                    Ok((at, News::Ended(outcome))) => {
                        running -= 1;
                        self.ended(at, *outcome);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    // We hold a sender ourselves.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
    }

    /// The nodes of a stage that switch at one instant.
    fn group(&self, prepared_nodes: &[PreparedNode<'e>], stage: &Stage) -> Option<Together> {
        let hold = self.rollout.together?;
        let nodes = stage.nodes.iter().map(|at| &prepared_nodes[*at]);
        let keeper = nodes.clone().position(|one| one.upgrade.has_steps())?;
        let ranks = nodes.clone().map(|prepared| {
            let upgrade = &prepared.upgrade;
            barriers::ranks(&steps::steps(&upgrade.script, &upgrade.rules))
        });
        let barriers = Barriers {
            hold,
            ranks: ranks.max().unwrap_or(0),
        };
        let names = nodes.map(|prepared| prepared.node().clone()).collect();
        let name = &self.rollout_outcome.rollout;
        Some(Together::new(name, names, barriers, NodeState::New).kept_by(keeper))
    }

    /// Passes on requests to stop. With one node there is nothing else that the first could mean.
    fn handle_interrupt(&mut self, interrupts: &[Interrupt], several: bool, running: usize) {
        let pressed = self.engine.settings.interrupt.count();
        if pressed == 0 {
            return;
        }
        self.halted = true;
        if several && !self.heeded && running > 0 {
            self.heeded = true;
            let text =
                "no further node is begun; those at work are finished (once more: call them off)";
            self.watcher
                .on_event(RolloutEvent::Stopping(text.to_owned()));
        }
        let passed = if several { pressed - 1 } else { pressed };
        for interrupt in interrupts {
            while interrupt.count() < passed {
                interrupt.press();
            }
        }
    }

    fn ended(&mut self, at: usize, outcome: Outcome) {
        self.watcher.on_event(RolloutEvent::Ended {
            at,
            outcome: &outcome,
        });
        let grave = outcome.is_grave();
        self.rollout_outcome.ends[at] = Some(outcome);
        let failed = self.rollout_outcome.count(|end| !end.is_good());
        self.failed |= grave || failed >= self.rollout.abort_after;
        self.halted |= self.failed;
    }

    /// Whether the nodes' runs carry the rollout's name: one node alone is a run like any other, unless something has
    /// to hold afterwards.
    fn is_named(&self, nodes: usize) -> bool {
        nodes > 1 || !self.engine.plan.holds.is_empty()
    }
}

/// The outcome of a node whose thread has panicked.
fn thread_panicked() -> Outcome {
    let mut outcome = Outcome::new(NodeState::Unknown);
    let diagnostic = Diagnostic::new(Code::E900, "updo lost track of the run because of a bug");
    outcome
        .errors
        .push(diagnostic.help("the run continues on the node: updo status PLAN"));
    outcome
}
