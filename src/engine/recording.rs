//! The record of a run: what the state folder keeps of it before the node is touched, so that a rollback, `attach` and a
//! report find it whatever happens to this process.

use std::io::ErrorKind;
use std::panic::resume_unwind;

use super::environment::{now, owner};
use super::rollout::RunContext;
use super::{Connection, Upgrade, drift};
use crate::diag::{Code, Diagnostic};
use crate::exec;
use crate::exec::barriers::Barriers;
use crate::plan::load::absolute;
use crate::report::json;
use crate::state::beams::hex;
use crate::state::runs::{RecordedRun, RunPart, RunRecord, RunRecords};

impl Connection<'_> {
    /// The record, under another name when another run has just taken this one.
    pub(super) fn claimed_record(
        &self,
        records: &RunRecords,
        run: &mut String,
        part: &RunContext<'_>,
        upgrade: &Upgrade,
    ) -> std::io::Result<RunRecord> {
        const TRIES: usize = 16;
        for _ in 0..TRIES {
            match self.begin_record(records, run, part, upgrade) {
                Err(why) if why.kind() == ErrorKind::AlreadyExists => *run = run_id(records),
                other => return other,
            }
        }
        self.begin_record(records, run, part, upgrade)
    }

    fn begin_record(
        &self,
        records: &RunRecords,
        run: &str,
        part: &RunContext<'_>,
        upgrade: &Upgrade,
    ) -> std::io::Result<RunRecord> {
        let plan = &self.engine.plan;
        let version = drift::version_after(upgrade);
        let summary = RecordedRun {
            run: run.to_owned(),
            rollout: part.rollout.map(str::to_owned),
            node: self.session.node().clone(),
            creation: Some(self.session.creation()),
            title: plan.title.clone(),
            plan: absolute(&plan.path),
            owner: owner(),
            began: now(),
            state: "running".to_owned(),
            goal: "new".to_owned(),
            note: self.engine.settings.message.clone(),
            keep: now().saturating_add(plan.keep_old.as_secs()),
            part: RunPart {
                // Without it nothing can be brought to this version later; the run is as good.
                version: drift::keep(&self.engine.settings.state_dir, &version),
                target: self.target.clone(),
                ..part.part.clone()
            },
        };
        // The head of the events is as much work as all else, and none of it needs the other.
        let head = || -> Vec<String> {
            let lines = self.head(upgrade);
            lines.iter().map(ToString::to_string).collect()
        };
        std::thread::scope(|scope| {
            let head = scope.spawn(head);
            let barriers = part.together.map(|node| node.barriers());
            let mut record = self.begin_files(records, &summary, upgrade, barriers)?;
            record.event(&json::stream(&plan.path.display().to_string()));
            let head = head.join().unwrap_or_else(|why| resume_unwind(why));
            for line in head {
                record.line(&line);
            }
            Ok(record)
        })
    }

    /// What the record has beside its events.
    fn begin_files(
        &self,
        records: &RunRecords,
        summary: &RecordedRun,
        upgrade: &Upgrade,
        barriers: Option<Barriers>,
    ) -> std::io::Result<RunRecord> {
        let plan = &self.engine.plan;
        let back = upgrade.has_way_back().then(|| {
            exec::job::rollback_job(&upgrade.changes, &upgrade.rules, &upgrade.script)
                .persisting(plan.persist)
                .within(plan.budget)
                .record(
                    &upgrade.changes,
                    &upgrade.rules,
                    &upgrade.unwritten.restart.rewrites,
                )
        });
        let text = plan
            .sources
            .sources()
            .first()
            .map_or("", |source| &source.text);
        let steps = exec::steps::soaked(&upgrade.script, &upgrade.rules, plan.soak);
        let steps = exec::steps::with_barriers(steps, barriers);
        let taken = steps.len();
        let (changes, soak) = (&upgrade.changes, plan.soak);
        let mut steps = exec::steps::every(changes, &upgrade.rules, &upgrade.script, steps, 1);
        if let Some((rules, script)) = upgrade.suspending(Vec::new()) {
            let first = steps.len() + 1;
            let others = exec::steps::soaked(&script, &rules, soak);
            let others = exec::steps::with_barriers(others, None);
            steps.extend(exec::steps::every(changes, &rules, &script, others, first));
        }
        let script = exec::job::begun_record(&upgrade.changes, &upgrade.rules, &steps);
        let script = exec::job::with_outlook(script, taken, plan.deadline);
        records.begin(summary, text, back.as_ref(), Some(&script))
    }

    /// A run without a record cannot be found again: said before it begins.
    pub(super) fn unrecorded(&self, run: &str, why: &std::io::Error) -> Diagnostic {
        let folder = self.engine.settings.state_dir.display();
        Diagnostic::new(Code::W615, format!("run {run} is not recorded"))
            .note(format!("{folder}: {why}"))
            .note("updo rollback, attach, log and report will not find it")
            .help("give it a folder that it can write: UPDO_STATE_DIR=FOLDER")
    }
}

/// A name for a run: four hexadecimal digits that no recorded run has.
pub(super) fn run_id(records: &RunRecords) -> String {
    const TRIES: usize = 64;
    let mut bytes = [0; 2];
    let mut name = String::new();
    for _ in 0..TRIES {
        // Without randomness the process number has to do: the agent's name must only differ from its
        // neighbours'.
        if getrandom::fill(&mut bytes).is_err() {
            bytes.copy_from_slice(&std::process::id().to_le_bytes()[..2]);
        }
        name = hex(&bytes);
        if !records.has(&name) {
            break;
        }
    }
    name
}
