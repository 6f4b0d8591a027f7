//! Earlier runs, known by their records: rejoining one that still goes on, and undoing one that is over.

use super::{Connection, Engine, leftovers, now, owner, run_id};
use crate::diag::{Code, Diagnostic, Result};
use crate::exec::attach::{self, Begun, Rejoin};
use crate::exec::back::{self, WayBack};
use crate::exec::{Event, Outcome, State};
use crate::facts::change::ChangeSet;
use crate::facts::live::{self, NodeFacts};
use crate::node::{Session, agent};
use crate::report::json;
use crate::report::record::{Records, Summary};
use crate::rules::view::View;

/// How many modules of a half done run are named one by one.
const HALF_DONE: usize = 8;

/// How rejoining went.
#[derive(Debug)]
pub struct Attached {
    /// How the run ended.
    pub outcome: Outcome,
    /// Whether that is only known from the code that the node runs now: its result is not kept any more.
    pub by_code: bool,
}

impl Engine {
    /// The engine of a recorded run: its plan as long as the file is as it was, otherwise one without any checks.
    /// Says whether it is the plan.
    pub fn of_run(summary: &Summary, settings: super::Settings) -> (Option<Self>, bool) {
        let records = Records::new(&settings.state_dir);
        let text = records.plan(&summary.run).unwrap_or_default();
        let now = std::fs::read_to_string(&summary.plan).ok();
        if summary.goal == "new" && now.is_some_and(|now| now == text) {
            let opened = Self::open(&summary.plan, settings.clone());
            if opened.engine.is_some() {
                return (opened.engine, true);
            }
        }
        let bare = format!("plan {:?}.", summary.title);
        (Self::open_text(&bare, settings).engine, false)
    }
}

impl Connection<'_> {
    /// W619: the last recorded run has left this node half done. Which of its modules are new and which are old is told
    /// by what the node has loaded now.
    pub fn half_done(&self, facts: &NodeFacts) -> Option<Diagnostic> {
        let records = Records::new(&self.engine.settings.state_dir);
        let all = records.all();
        // A run that ended as it began, refused or taken back, has put nothing right.
        let last = all.iter().rev().find(|run| {
            run.node == *self.session.node() && (run.state == "mixed" || run.state == run.goal)
        })?;
        if last.state != "mixed" {
            return None;
        }
        let title = format!("run {} has left this node half done", last.run);
        let mut told = Diagnostic::new(Code::W619, title);
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
            told.notes.push(match now {
                _ if now == new => format!("{module} is new"),
                _ if now == old => format!("{module} is old"),
                None => format!("{module} is not loaded"),
                Some(_) => format!("{module} is neither what it was nor what it was to be"),
            });
        }
        let more = told.notes.len().saturating_sub(HALF_DONE);
        told.notes.truncate(HALF_DONE);
        if more > 0 {
            told.notes.push(format!("and {more} more"));
        }
        Some(
            told.note("nobody has put it right since, as far as the records here tell")
                .help(format!(
                    "what it said has to be done by hand: updo replay {}\n\
             what is still old is upgraded by: updo run {}",
                    last.run,
                    last.plan.display()
                )),
        )
    }

    /// Rejoins a recorded run, or tells how it ended. With `abort` it is called off, as long as nothing is switched.
    ///
    /// # Errors
    /// E505 when another run is going on, E602 when the record does not say what the run was to do, E508 when the
    /// node does not answer.
    pub fn attach(
        &self,
        summary: &Summary,
        abort: bool,
        sink: &mut dyn FnMut(&Event),
    ) -> Result<Attached> {
        let settings = &self.engine.settings;
        let records = Records::new(&settings.state_dir);
        let begun = records.script(&summary.run);
        let begun = begun.as_ref().and_then(Begun::read).ok_or_else(|| {
            let title = format!("the record of run {} is not complete", summary.run);
            Diagnostic::new(Code::E802, title).help("look at the node: updo status PLAN")
        })?;
        let goal = if summary.goal == "old" {
            State::Old
        } else {
            State::New
        };
        let present = agent::present(&self.session)
            .map_err(|error| error.diagnostic("asking who is at work"))?;
        let facts = live::gather(&self.session)?;
        let holder = match present {
            Some(holder) if holder.run == summary.run => holder,
            Some(other) if !other.kept => {
                return Err(Box::new(agent::locked(&self.session, other.words)));
            }
            _ => {
                if let Some(told) =
                    leftovers::look(&self.session, &records)?.and_then(|traces| traces.diagnostic())
                {
                    let mut outcome = Outcome::new(State::Mixed);
                    outcome.errors.push(told);
                    return Ok(Attached {
                        outcome,
                        by_code: true,
                    });
                }
                let now = |module: &_| facts.loaded.get(module).map(|loaded| loaded.md5);
                let state = begun.judge(goal, &now);
                return Ok(self.judged(summary, goal, state));
            }
        };
        let way = records.back(&summary.run).as_ref().and_then(WayBack::read);
        let changes = ChangeSet::default();
        let rejoin = Rejoin {
            session: &self.session,
            holder: &holder,
            begun: &begun,
            back: way.as_ref(),
            goal,
            plan: &self.engine.plan,
            view: View {
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
        if let Some(record) = record {
            record.finish(&outcome.state.to_string());
        }
        Ok(Attached {
            outcome,
            by_code: false,
        })
    }

    /// The result is not on the node any more; its code is.
    fn judged(&self, summary: &Summary, goal: State, state: State) -> Attached {
        let records = Records::new(&self.engine.settings.state_dir);
        if state != State::Mixed
            && let Ok(record) = records.resume(summary)
        {
            record.finish(&state.to_string());
        }
        let mut outcome = Outcome::new(state);
        // Whether something was switched and switched back cannot be told any more: look first.
        outcome.touched = state != goal;
        if state == State::Mixed {
            let title = format!(
                "{} runs neither the code before run {} nor that after it",
                summary.node, summary.run
            );
            let told = Diagnostic::new(Code::E602, title)
                .note("the run is over, its result is not kept any more")
                .help("was there another upgrade since? `updo status PLAN` says what differs");
            outcome.errors.push(told);
        }
        Attached {
            outcome,
            by_code: true,
        }
    }
}

/// Whether a node still is what the run left that a way leads back from. `title` and `help` are the words otherwise.
///
/// # Errors
/// E602 with the modules that differ; E508 when the node does not answer.
pub fn unchanged(session: &Session, way: &WayBack, title: String, help: &str) -> Result<()> {
    let facts = live::gather(session)?;
    let differing = way.differing(&|module| facts.loaded.get(module).map(|loaded| loaded.md5));
    if differing.is_empty() {
        return Ok(());
    }
    let mut told = Diagnostic::new(Code::E602, title).help(help);
    told.notes = differing;
    Err(Box::new(told))
}

/// Goes back on a node by the record of a run. A run of its own: recorded, and to be rejoined like any other.
pub fn undo(
    settings: &super::Settings,
    session: &Session,
    summary: &Summary,
    way: &WayBack,
    sink: &mut dyn FnMut(&Event),
) -> (String, Outcome) {
    let records = settings.records();
    let run = run_id(&records);
    let this = Summary {
        run: run.clone(),
        title: format!("undo of run {}", summary.run),
        owner: owner(),
        began: now(),
        state: "running".to_owned(),
        goal: "old".to_owned(),
        rollout: None,
        keep: 0,
        note: None,
        ..summary.clone()
    };
    let mut record = records.begin(&this, "", None, Some(&way.begun)).ok();
    let sources = crate::diag::SourceMap::default();
    let outcome = back::back(
        session,
        &run,
        &owner(),
        way,
        &settings.interrupt,
        &mut |event| {
            if let Some(record) = &mut record {
                record.event(&json::event(event, &sources));
            }
            sink(event);
        },
    );
    if let Some(record) = record {
        record.finish(&outcome.state.to_string());
    }
    if outcome.state == State::Old
        && let Ok(undone) = records.resume(summary)
    {
        undone.finish("undone");
    }
    (run, outcome)
}
