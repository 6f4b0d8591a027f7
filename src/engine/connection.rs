//! One node as the engine sees it: connected, compared with the new code, upgraded.
//!
//! Takes a session and the engine's plan; gives an [`Upgrade`], and its outcome when it is run. Everything else that is done
//! over a connection is in modules of its own: rehearsals, copies, rollbacks, what earlier runs have left.

use std::time::{Duration, Instant};

use super::environment::owner;
use super::rollout::RunContext;
use super::{Engine, Upgrade, copies, decide, old_builds, past_runs, run_id};
use crate::diag::render::Style;
use crate::diag::{Code, Diagnostic, Result};
use crate::exec::{self, Event, Outcome, RunRequest};
use crate::facts::change::ChangeSet;
use crate::facts::compare::library_versions::Libraries;
use crate::facts::compare::persist_diff::{unlisted, unwritten};
use crate::facts::compare::{self, NewCode, OldBeamSources};
use crate::facts::node::node_facts;
use crate::facts::node::node_files::Disk;
use crate::node::{Session, agent};
use crate::plan::CodeFrom;
use crate::report::header;
use crate::report::json;
use crate::report::preview::{self, Detail, PreviewInput};
use crate::rules::node_view::NodeView;
use crate::rules::removal;
use crate::state::file_cache::Seen;

/// How often a locked node is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// A connected node. Dropping it closes the connection; a run that is under way then goes on by itself, and `updo attach`
/// finds it.
pub struct Connection<'a> {
    pub(super) engine: &'a Engine,
    #[doc(hidden)]
    pub session: Session,
    pub(super) target: String,
    /// What there is to say about the way to the node: W329, a cookie that others can read. It is among the
    /// diagnostics of every [`Upgrade`] of this connection as well.
    pub warning: Option<Diagnostic>,
}

impl Connection<'_> {
    /// Compares the node with the new code, infers what an upgrade needs, merges the plan, makes the script. Reads only:
    /// the node's loaded modules, applications and processes, beams of this machine or of the node. What is wrong with
    /// the upgrade itself is in [`Upgrade::diagnostics`]. Copies of what runs are kept in [`super::Settings::state_dir`] as
    /// long as the node's disk has it.
    ///
    /// # Errors
    /// When the facts cannot be had: E2xx for beams, E5xx for the connection.
    pub fn prepare(&self) -> Result<Upgrade> {
        let plan = &self.engine.plan;
        let facts = node_facts::gather(&self.session)?;
        let old: Vec<_> = plan
            .old_from
            .iter()
            .map(|p| (p.patterns.clone(), p.base.clone()))
            .collect();
        let old = OldBeamSources {
            patterns: &old,
            store: &self.engine.store,
        };
        let new = match &plan.code {
            CodeFrom::OnDisk if plan.libraries == Libraries::default() => NewCode::OnDisk,
            CodeFrom::OnDisk => NewCode::Elsewhere(&plan.libraries),
            CodeFrom::Push(patterns) => NewCode::Push(&patterns.patterns, &patterns.base),
        };
        let mut seen = Seen::open(&self.engine.settings.state_dir, self.session.node());
        let node = self.session.node();
        let going = |changes: &ChangeSet| {
            let target = &self.target;
            let view = NodeView {
                node,
                target,
                facts: &facts,
                changes,
            };
            removal::going(plan, &view).into_keys().collect()
        };
        let mut changes = compare::compare(&self.session, &facts, new, old, &going, &mut seen)?;
        let mut lacking = old_builds::lacking(&changes);
        let mut warnings = Vec::new();
        if !plan.old_git.is_empty() && !lacking.is_empty() {
            let (settings, before) = (&self.engine.settings, lacking.len());
            let store = &self.engine.store;
            let workshop = old_builds::Workshop {
                plan,
                settings,
                store,
                failed: &self.engine.failed_builds,
                node,
                otp: facts.otp,
            };
            warnings = old_builds::build(&workshop, &mut lacking)?;
            if lacking.len() < before {
                // With the copies that are in the store now.
                changes = compare::compare(&self.session, &facts, new, old, &going, &mut seen)?;
            }
        }
        // Without copies there may be no way back, which the preview says; a comparison needs none.
        let _ = self.keep_copies_of(&facts, &mut seen, Some(copies::UNASKED));
        let settings = &self.engine.settings;
        let mut upgrade = decide(plan, node, &self.target, facts, changes, settings);
        let missing =
            exec::release_handler::missing(&self.session, plan, &upgrade.changes, &upgrade.script)?;
        upgrade.diagnostics.splice(0..0, missing);
        upgrade.diagnostics.extend(warnings);
        upgrade.diagnostics.extend(self.warning.clone());
        if let (CodeFrom::Push(from), true) = (&plan.code, plan.persist) {
            let part = upgrade.rules.modules.keys().cloned().collect();
            let (facts, changes) = (&upgrade.facts, (&upgrade.changes, &part, plan.env));
            let (patterns, base) = (&from.patterns, &from.base);
            let starts = upgrade.script.started();
            let found = unwritten(
                &self.session,
                facts,
                changes,
                starts,
                patterns,
                base,
                Disk::new(&self.session, facts.otp, &mut seen),
            )?;
            let by = "`updo run` with this plan";
            upgrade
                .diagnostics
                .extend(found.diagnostics(&self.session, by));
            upgrade.unwritten = found;
        }
        if matches!(new, NewCode::OnDisk) {
            let part = upgrade.rules.modules.keys().cloned().collect();
            let found = unlisted(&self.session, &upgrade.facts, &upgrade.changes, &part)?;
            upgrade.diagnostics.extend(found);
        }
        let left = self.incomplete_run(&upgrade.facts);
        upgrade.diagnostics.splice(0..0, left);
        let back = past_runs::backwards(self.engine, node, &upgrade);
        upgrade.diagnostics.splice(0..0, back);
        Ok(upgrade)
    }

    /// Looks whether another run is going on: until it has ended it is not known what the node will be.
    ///
    /// # Errors
    /// E505 when there is one; E508 when the node does not answer.
    pub fn ensure_unlocked(&self) -> Result<()> {
        match agent::lock_holder(&self.session) {
            Ok(None) => Ok(()),
            Ok(Some(holder)) => Err(Box::new(agent::locked(&self.session, holder))),
            Err(error) => Err(error.diagnostic("asking for the lock")),
        }
    }

    /// The same, and waits for the end of the other run, at most [`super::Settings::lock_timeout`].
    ///
    /// # Errors
    /// As [`Connection::ensure_unlocked`].
    pub fn await_unlocked(&self) -> Result<()> {
        let settings = &self.engine.settings;
        let began = Instant::now();
        loop {
            let state = self.ensure_unlocked();
            let left = settings.lock_timeout.saturating_sub(began.elapsed());
            match &state {
                Err(diagnostic) if diagnostic.code == Code::E505 && !left.is_zero() => {}
                _ => return state,
            }
            if settings.interrupt.sleep(left.min(RETRY_INTERVAL), 1) {
                return state;
            }
        }
    }

    /// The name of the plan's target that this node belongs to; empty when it belongs to none.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Runs a prepared upgrade, as a transaction on the node: afterwards it is wholly new or wholly old, or the outcome
    /// says why not. Blocks until then. `sink` gets every event as it comes, in order, in this thread; the last one is
    /// [`EventKind::Finished`](exec::EventKind::Finished). Another thread may press [`super::Settings::interrupt`].
    ///
    /// It does not ask: whether to run an upgrade is decided before, and an upgrade that [is
    /// refused](Upgrade::is_refused) must not be run. Nor does it ask whether a failure after the switch may leave the new
    /// code where no copy of the running version exists: [`Upgrade::has_way_back`] is `false` then, and a diagnostic (W317)
    /// names what can fail. What goes wrong is in [`Outcome::errors`]: E505 when another run
    /// holds the node's lock, E6xx for the run itself.
    ///
    /// Keeps copies of both versions and a record of the run in [`super::Settings::state_dir`], so that `updo rollback` finds a
    /// way back: a folder that cannot be written costs that way back (W615), not this run.
    pub fn run(&self, upgrade: &Upgrade, sink: &mut dyn FnMut(&Event)) -> Outcome {
        self.run_in(upgrade, &RunContext::alone(self.engine), sink)
    }

    /// The same as part of a rollout.
    pub(super) fn run_in(
        &self,
        upgrade: &Upgrade,
        part: &RunContext<'_>,
        sink: &mut dyn FnMut(&Event),
    ) -> Outcome {
        std::thread::scope(|scope| {
            // For later comparisons, so beside the run and not before it: its record has its own copies of what leads back.
            scope.spawn(|| compare::keep(&self.engine.store, &upgrade.changes));
            self.run_recorded(upgrade, part, sink)
        })
    }

    fn run_recorded(
        &self,
        upgrade: &Upgrade,
        part: &RunContext<'_>,
        sink: &mut dyn FnMut(&Event),
    ) -> Outcome {
        // A program that has not rehearsed it leaves nothing proven: what is left to updo suspends then.
        let never = upgrade.never_tried();
        if let Some(suspending) = upgrade.suspended_instead(never) {
            return self.run_recorded(&suspending, part, sink);
        }
        let instead = upgrade.suspending(Vec::new());
        let records = self.engine.settings.records();
        let mut run = run_id(&records);
        let (mut record, warning) = match upgrade.has_steps() {
            false => (None, None),
            true => match self.claimed_record(&records, &mut run, part, upgrade) {
                Ok(record) => (Some(record), None),
                Err(why) => (None, Some(self.unrecorded(&run, &why))),
            },
        };
        let plan = &self.engine.plan;
        let job = RunRequest {
            session: &self.session,
            run: &run,
            owner: &owner(),
            plan,
            view: self.view(upgrade),
            rules: &upgrade.rules,
            script: &upgrade.script,
            verify: !self.engine.settings.no_verify,
            detach: self.engine.settings.detach,
            also: exec::persist::also(&upgrade.unwritten.modules),
            restart: &upgrade.unwritten.restart,
            interrupt: part.interrupt,
            warning,
            stale: part.stale.clone().or_else(|| upgrade.never_rehearsed()),
            predicted: part.rehearsed.and_then(|first| Some(first.pause?.whole)),
            together: part.together,
            // A group goes through one window, decided before any of its nodes begins.
            instead: instead.filter(|_| part.together.is_none()),
        };
        let begin = match upgrade.has_steps() {
            false => exec::persist::only,
            true => exec::upgrade,
        };
        if let (Some(record), Some(first)) = (&mut record, part.rehearsed) {
            record.event(&first.event);
        }
        let mut outcome = begin(&job, &mut |event| {
            if let Some(record) = &mut record {
                record.event(&json::event(event, &plan.sources));
            }
            sink(event);
        });
        outcome.one_way = upgrade.has_steps() && !upgrade.has_way_back();
        if let Some(record) = record {
            record.old_states(outcome.old_states.as_ref());
            record.to_convert(outcome.to_convert.as_ref());
            record.finish(&outcome.state.to_string());
        }
        outcome
    }

    /// The preview of an upgrade as `updo preview` shows it, without colours: every instruction with its reasons, the window,
    /// the way back. For people: the text may change with every version.
    pub fn preview_text(&self, upgrade: &Upgrade) -> String {
        preview::text(&self.preview(upgrade), Style::default(), Detail::Each)
    }

    #[doc(hidden)]
    /// The lines that are at the head of this node's events: plan, facts, script, graph, what was reported.
    pub fn head(&self, upgrade: &Upgrade) -> Vec<serde_json::Value> {
        let note = self.engine.settings.message.as_deref();
        header::head(&self.preview(upgrade), &owner(), note)
    }

    #[doc(hidden)]
    /// What a preview shows of an upgrade.
    pub fn preview<'u>(&'u self, upgrade: &'u Upgrade) -> PreviewInput<'u> {
        PreviewInput {
            lists: &upgrade.unwritten.restart.rewrites,
            node: self.session.node(),
            otp: upgrade.facts.otp,
            plan: &self.engine.plan,
            changes: &upgrade.changes,
            inferred: &upgrade.inferred,
            rules: &upgrade.rules,
            script: &upgrade.script,
            diagnostics: &upgrade.diagnostics,
            pause: self.pause_shown(upgrade),
            full: "--full",
            others: Vec::new(),
        }
    }

    #[doc(hidden)]
    /// The facts as plan expressions see them.
    pub fn view<'u>(&'u self, upgrade: &'u Upgrade) -> NodeView<'u> {
        NodeView {
            node: self.session.node(),
            target: &self.target,
            facts: &upgrade.facts,
            changes: &upgrade.changes,
        }
    }
}
