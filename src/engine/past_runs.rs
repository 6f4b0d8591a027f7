//! Earlier runs, known by their records: rejoining one that still goes on, and what they say of a node. Undoing one that
//! is over is another file's.

use std::time::{Duration, Instant, SystemTime};

use super::{Connection, Engine, Upgrade, leftovers};
use crate::diag::{Code, Diagnostic, Result};
use crate::exec::attach::{self, Begun, Rejoin};
use crate::exec::rollback::WayBack;
use crate::exec::{Event, NodeState, Outcome};
use crate::facts::change::ChangeSet;
use crate::facts::node::node_facts::{self, NodeFacts};
use crate::name::{Module, NodeName};
use crate::node::agent::{self, LockHolder};
use crate::node::evaluate;
use crate::plan::load::read_text;
use crate::report::json;
use crate::rules::Change;
use crate::rules::node_view::NodeView;
use crate::state::runs::{RecordedRun, RunRecords};

/// How long the agent of a run that has begun is waited for: what comes before it (`require`, hooks) may take a while.
const ARRIVAL: Duration = Duration::from_secs(600);

/// How long it is waited for when its client is gone: it may be on its way.
const UNDER_WAY: Duration = Duration::from_secs(3);

/// How often it is looked for.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// For how many seconds a node has been running.
const UPTIME: &str = "erlang:convert_time_unit(erlang:monotonic_time() - erlang:system_info(start_time), native, second).";

/// How often a run that ends while it is being rejoined is looked for again.
const TRIES: usize = 5;

/// How many modules of a half done run are named one by one.
const HALF_DONE: usize = 8;

/// How rejoining went.
#[derive(Debug)]
pub struct Attached {
    /// How the run ended.
    pub outcome: Outcome,
    /// Whether that is only known from the code that the node runs now: its result is not kept any more.
    pub by_code: bool,
    /// What the record says, when the run has ended before its agent was ever there.
    pub ended: Option<RecordedRun>,
}

impl Engine {
    #[doc(hidden)]
    /// The engine of a recorded run: its plan as long as the file is as it was, otherwise one without any checks.
    /// Says whether it is the plan.
    pub fn of_run(summary: &RecordedRun, settings: super::Settings) -> (Option<Self>, bool) {
        let records = RunRecords::new(&settings.state_dir);
        let text = records.plan(&summary.run).unwrap_or_default();
        let now = read_text(&summary.plan).ok();
        if summary.goal == "new" && now.is_some_and(|now| now == text) {
            let opened = Self::open(&summary.plan, settings.clone());
            if opened.engine.is_some() {
                return (opened.engine, true);
            }
        }
        // Only its hooks `on rollback` count.
        if summary.goal == "old"
            && let Some(engine) = Self::of_record(summary, settings.clone())
        {
            return (Some(engine), false);
        }
        let bare = format!("plan {:?}.", summary.title);
        (Self::open_text(&bare, settings).engine, false)
    }
}

impl Engine {
    #[doc(hidden)]
    /// The engine of a recorded run as its plan was: for what is done later, whatever the file says by now. What it
    /// includes is read as it is now, and parameters are those of the settings.
    pub fn of_record(summary: &RecordedRun, settings: super::Settings) -> Option<Self> {
        let text = RunRecords::new(&settings.state_dir).plan(&summary.run)?;
        Self::open_as(&summary.plan, &text, settings).engine
    }
}

impl Connection<'_> {
    #[doc(hidden)]
    /// W619: the last recorded run has left this node half done. Which of its modules are new and which are old
    /// follows from what the node has loaded now.
    pub fn incomplete_run(&self, facts: &NodeFacts) -> Option<Diagnostic> {
        let records = RunRecords::new(&self.engine.settings.state_dir);
        let all = records.all();
        // A run that ended as it began, refused or taken back, has put nothing right.
        let last = all.iter().rev().find(|run| {
            run.node == *self.session.node() && (run.state == "mixed" || run.state == run.goal)
        })?;
        if last.state != "mixed" || self.has_restarted_since(last) {
            return None;
        }
        let title = format!("run {} has left this node half done", last.run);
        let mut diagnostic = Diagnostic::new(Code::W619, title);
        let begun = records.script(&last.run);
        for (module, old, new) in begun
            .as_ref()
            .and_then(Begun::read)
            .map_or(Vec::new(), |begun| begun.modules)
        {
            let now = facts.loaded.get(&module).map(|loaded| loaded.md5);
            let (old, new) = if last.goal == "old" {
                (new, old)
            } else {
                (old, new)
            };
            diagnostic.notes.push(match now {
                _ if now == new => format!("{module} is new"),
                _ if now == old => format!("{module} is old"),
                None => format!("{module} is not loaded"),
                Some(_) => format!("{module} is neither what it was nor what it was to be"),
            });
        }
        let more = diagnostic.notes.len().saturating_sub(HALF_DONE);
        diagnostic.notes.truncate(HALF_DONE);
        if more > 0 {
            diagnostic.notes.push(format!("and {more} more"));
        }
        let back = records.is_undoable(last) && records.rollback_term(&last.run).is_some();
        let mut help = Vec::new();
        if back {
            help.push(format!("updo rollback {}", last.run));
        }
        if records.to_convert(&last.run).is_some() {
            help.push(format!(
                "states that are still old: updo mend {}",
                last.node
            ));
        }
        if !back
            || diagnostic
                .notes
                .iter()
                .any(|note| !note.ends_with(" is new") && !note.starts_with("and "))
        {
            help.push(format!(
                "what has to be done by hand: updo replay {}",
                last.run
            ));
            let plan = last.plan.display();
            help.push(format!("what is still old is upgraded by: updo run {plan}"));
        }
        let diagnostic =
            diagnostic.note("no later run has succeeded, according to the records on this machine");
        Some(diagnostic.help(help.join("\n")))
    }

    /// Whether the node has started again since a run: all its processes were born with the code that it has. The node's
    /// creation says it; where a record has none, durations are compared, so that the clocks of the two machines may
    /// differ, and both are cut to seconds. `false` when the node does not answer.
    fn has_restarted_since(&self, run: &RecordedRun) -> bool {
        if let Some(creation) = run.creation {
            return creation != self.session.creation();
        }
        let uptime = evaluate(&self.session, UPTIME, &[], UNDER_WAY);
        let uptime = uptime.ok().and_then(|seconds| seconds.as_i64());
        let ago = SystemTime::UNIX_EPOCH + Duration::from_secs(run.began);
        let ago = ago.elapsed().map_or(0, |ago| ago.as_secs());
        uptime.is_some_and(|uptime| u64::try_from(uptime).is_ok_and(|uptime| uptime + 2 < ago))
    }

    #[doc(hidden)]
    /// Rejoins a recorded run, or reports how it ended. With `abort` it is called off, as long as nothing is switched.
    ///
    /// # Errors
    /// E505 when another run is going on, E602 when the record does not say what the run was to do, E508 when the
    /// node does not answer.
    pub fn attach(
        &self,
        summary: &RecordedRun,
        abort: bool,
        sink: &mut dyn FnMut(&Event),
    ) -> Result<Attached> {
        self.attach_within(summary, abort, sink, TRIES)
    }

    fn attach_within(
        &self,
        summary: &RecordedRun,
        abort: bool,
        sink: &mut dyn FnMut(&Event),
        tries: usize,
    ) -> Result<Attached> {
        let settings = &self.engine.settings;
        let records = RunRecords::new(&settings.state_dir);
        let begun = records.script(&summary.run);
        let begun = begun.as_ref().and_then(Begun::read).ok_or_else(|| {
            let title = format!("the record of run {} is not complete", summary.run);
            Diagnostic::new(Code::E802, title).help("look at the node: updo status PLAN")
        })?;
        let goal = if summary.goal == "old" {
            NodeState::Old
        } else {
            NodeState::New
        };
        let present = self.arrived(&records, summary)?;
        // While it was waited for, the run may have ended without an agent: its record knows how.
        let now = records.find(Some(&summary.run));
        let ended = now.filter(|now| present.is_none() && now.state != summary.state);
        if let Some(now) = ended {
            let state = [NodeState::New, NodeState::Old, NodeState::Mixed];
            let state = state.into_iter().find(|one| one.to_string() == now.state);
            return Ok(Attached {
                outcome: Outcome::new(state.unwrap_or(NodeState::Unknown)),
                by_code: false,
                ended: Some(now),
            });
        }
        let facts = node_facts::gather(&self.session)?;
        let holder = match present {
            Some(holder) if holder.run == summary.run => holder,
            Some(other) if !other.kept => {
                return Err(Box::new(agent::locked(&self.session, other.words)));
            }
            _ => {
                if let Some(diagnostic) = leftovers::inspect(&self.session, &records)?
                    .and_then(|traces| traces.diagnostic())
                {
                    let mut outcome = Outcome::new(NodeState::Mixed);
                    outcome.errors.push(diagnostic);
                    return Ok(Attached {
                        outcome,
                        by_code: true,
                        ended: None,
                    });
                }
                let now = |module: &_| facts.loaded.get(module).map(|loaded| loaded.md5);
                let state = begun.judge(goal, &now);
                return Ok(self.judged(summary, goal, state));
            }
        };
        let way = records
            .rollback_term(&summary.run)
            .as_ref()
            .and_then(WayBack::read);
        let changes = ChangeSet::default();
        let rejoin = Rejoin {
            session: &self.session,
            holder: &holder,
            begun: &begun,
            back: way.as_ref(),
            goal,
            plan: &self.engine.plan,
            view: NodeView {
                node: self.session.node(),
                target: self.target(),
                facts: &facts,
                changes: &changes,
            },
            verify: !settings.no_verify,
            abort,
            interrupt: &settings.interrupt,
        };
        let sources = &self.engine.plan.sources;
        let mut record = records.resume(summary).ok();
        if let Some(record) = &mut record {
            record.event(&json::stream(&summary.plan.display().to_string()));
        }
        let outcome = attach::attach(&rejoin, &mut |event| {
            if let Some(record) = &mut record {
                record.event(&json::event(event, sources));
            }
            sink(event);
        });
        let Some(outcome) = outcome else {
            // It has ended since it was found: now its record knows how.
            drop(record);
            if tries > 0 {
                return self.attach_within(summary, abort, sink, tries - 1);
            }
            let title = format!(
                "{} does not say how run {} ended",
                summary.node, summary.run
            );
            return Err(Box::new(Diagnostic::new(Code::E508, title)));
        };
        if let Some(record) = record {
            record.old_states(outcome.old_states.as_ref());
            record.to_convert(outcome.to_convert.as_ref());
            record.finish(&outcome.state.to_string());
        }
        Ok(Attached {
            outcome,
            by_code: false,
            ended: None,
        })
    }

    /// The run at work on the node. A run has its record before its agent is there: as long as the record is being
    /// written, and for a moment after, the agent is waited for. It is judged only then.
    fn arrived(&self, records: &RunRecords, summary: &RecordedRun) -> Result<Option<LockHolder>> {
        let interrupt = &self.engine.settings.interrupt;
        let began = Instant::now();
        let mut alone = None;
        loop {
            let present = agent::present(&self.session)
                .map_err(|error| error.diagnostic("reading the lock holder"))?;
            if present.is_some() || began.elapsed() > ARRIVAL {
                return Ok(present);
            }
            let now = records.find(Some(&summary.run));
            let young = super::environment::now().saturating_sub(summary.began) < ARRIVAL.as_secs();
            if !young || now.is_none_or(|now| now.state != "running") {
                return Ok(None);
            }
            if records.is_written(summary) {
                alone = None;
            } else if alone.get_or_insert_with(Instant::now).elapsed() > UNDER_WAY {
                return Ok(None);
            }
            if interrupt.sleep(RETRY_INTERVAL, 1) {
                return Ok(None);
            }
        }
    }

    /// The result is not on the node any more; its code is.
    fn judged(&self, summary: &RecordedRun, goal: NodeState, state: NodeState) -> Attached {
        let records = RunRecords::new(&self.engine.settings.state_dir);
        if state != NodeState::Mixed
            && let Ok(record) = records.resume(summary)
        {
            record.finish(&state.to_string());
        }
        let mut outcome = Outcome::new(state);
        // Whether something was switched and switched back cannot be determined any more: look first.
        outcome.touched = state != goal;
        if state == NodeState::Mixed {
            let title = format!(
                "{} runs neither the code before run {} nor that after it",
                summary.node, summary.run
            );
            let diagnostic = Diagnostic::new(Code::E602, title)
                .note("the run is over, its result is not kept any more")
                .help("was there another upgrade since? `updo status PLAN` says what differs");
            outcome.errors.push(diagnostic);
        }
        Attached {
            outcome,
            by_code: true,
            ended: None,
        }
    }
}

/// E628 or W622: the new beams are what a recorded run has replaced by the running ones. Converting "up" to them asks
/// `code_change` for what only `{down, _}` does; modules that nothing converts may well be taken back.
pub(super) fn backwards(engine: &Engine, node: &NodeName, upgrade: &Upgrade) -> Option<Diagnostic> {
    if engine.plan.earlier {
        return None;
    }
    let records = RunRecords::new(&engine.settings.state_dir);
    let all = records.all();
    let runs = all
        .iter()
        .filter(|run| run.node == *node && run.goal == "new");
    let runs: Vec<(&RecordedRun, Begun)> = runs
        .filter_map(|run| Some((run, Begun::read(&records.script(&run.run)?)?)))
        .collect();
    let taken = |module: &Module| {
        let changed = upgrade.changes.modules.get(module)?;
        let runs = changed.loaded.as_ref()?.md5;
        let new = changed.new.as_ref()?.facts.md5;
        Some((Some(new), Some(runs)))
    };
    // Of two versions the one that was there first is the earlier one, however often they have changed since, and
    // however those runs have ended.
    let is_up = |module: &Module, new, running| {
        let entries = runs.iter().flat_map(|(_, begun)| &begun.modules);
        let mut ways = entries.filter(|(name, ..)| name == module);
        let first =
            ways.find(|(_, was, left)| [(new, running), (running, new)].contains(&(*was, *left)));
        first.is_some_and(|(_, was, _)| *was == running)
    };
    for (run, begun) in runs.iter().rev().filter(|(run, _)| run.state == "new") {
        let back: Vec<&Module> = begun
            .modules
            .iter()
            .filter(|(module, was, left)| taken(module) == Some((*was, *left)))
            .filter(|(module, was, left)| !is_up(module, *was, *left))
            .map(|(module, ..)| module)
            .filter(|module| upgrade.rules.modules.contains_key(*module))
            .collect();
        let converted: Vec<&Module> = back
            .iter()
            .copied()
            .filter(|module| {
                let rules = upgrade.rules.modules.get(*module);
                rules.is_some_and(|rules| rules.change.value != Change::Soft)
            })
            .collect();
        let (code, names) = match (converted.is_empty(), back.is_empty()) {
            (_, true) => continue,
            (true, false) => (Code::W622, back),
            (false, false) => (Code::E628, converted),
        };
        let title = match names.as_slice() {
            [one] => format!("the new beam of {one} is the earlier version of what runs"),
            many => format!(
                "the new beams of {} modules are the earlier versions of what runs",
                many.len()
            ),
        };
        let shown: Vec<String> = names
            .iter()
            .take(HALF_DONE)
            .map(|m| m.to_string())
            .collect();
        let more = match names.len().saturating_sub(HALF_DONE) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let diagnostic = Diagnostic::new(code, title).note(format!(
            "run {} has replaced it: {}{more}",
            run.run,
            shown.join(", ")
        ));
        let meant = "if it is meant as a new version: `code … #{earlier => true}.`";
        return Some(match records.rollback_term(&run.run) {
            Some(_) => diagnostic.help(format!(
                "roll back with: updo rollback {}\n{meant}",
                run.run
            )),
            None => diagnostic.help(meant),
        });
    }
    None
}
