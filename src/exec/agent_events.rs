//! What the agent's events mean: each becomes one of ours, with what there is to say about it.
//!
//! The other half of [`agent_monitor`](super::agent_monitor), which receives them; how a run has ended is in
//! [`agent_end`](super::agent_end). Counts suspended and converted
//! processes, and names what a person has to look at: children, the dead, the newborn, processes that still run old
//! code.

use std::time::{Duration, Instant};

use super::agent_monitor::Watch;
use super::agent_reason::unfit_lines;
use super::event::{BusyProcess, EventKind, NodeState, StepKind};
use super::old_code;
use super::steps::Step;
use crate::diag::{Code, Diagnostic};
use crate::node::agent::protocol::{
    AgentEvent, Child, FailedChild, ModuleProcess, Reason, StepRef, StepResult, WentLive,
};
use crate::script::live::AFTER_ALL;
use crate::term::{Atom, Pid, Term};

/// How many of those that keep a window from being live are named.
const UNFIT_NAMED: usize = 3;

impl Watch<'_, '_> {
    /// One event of the agent; the state when it was the last.
    pub(super) fn translate(&mut self, event: AgentEvent, steps: &[Step]) -> Option<NodeState> {
        let by_id = |id: u32| steps.iter().find(|step| step.id == id);
        match event {
            AgentEvent::Died { process } => self.record_crash(&process),
            AgentEvent::TurningBack { .. } => {
                self.turned = true;
                self.turned_at = Some(Instant::now());
                self.tell(EventKind::RollbackStarted);
            }
            AgentEvent::Prepared { took } => {
                if !self.turned {
                    self.prepared(took.0);
                }
            }
            AgentEvent::Purging { info } => {
                self.tell(EventKind::Diagnostic(Box::new(old_code::purged(&info))));
            }
            AgentEvent::Leaving { processes } => {
                let text = old_code::leaving(processes);
                self.tell(EventKind::Log { warn: false, text });
            }
            AgentEvent::StepStarted { id } => {
                if let Some(step) = by_id(id) {
                    // Nothing is waited for longer than it takes to say so.
                    if let Some(node) = self.together {
                        node.step_started(step);
                    }
                    self.step_started(step);
                }
            }
            AgentEvent::LiveSwitched { .. } => {
                self.live = true;
                self.outcome.touched = true;
            }
            AgentEvent::StepProgress {
                step: StepRef::Step(id),
                done,
                total,
                slowest,
            } => {
                if by_id(id).is_some() {
                    let slowest = BusyProcess::all(slowest.unwrap_or_default());
                    self.tell(EventKind::StepProgress {
                        id,
                        done,
                        total,
                        slowest,
                    });
                }
            }
            AgentEvent::SuspendPostponed { id, info } => {
                if by_id(id).is_some() {
                    self.tell(EventKind::StepPostponed {
                        id,
                        attempt: info.attempt,
                        paused: info.us.0,
                        processes: info.processes,
                        waiting: info.waiting,
                        slowest: BusyProcess::all(info.busy),
                    });
                }
            }
            AgentEvent::StepFinished { id, took, result } => {
                if let Some(step) = by_id(id) {
                    if let Some(node) = self.together {
                        node.step_finished(step);
                    }
                    self.step_finished(step, took.0, &result);
                }
            }
            AgentEvent::StepFailed { id, .. } => {
                if let Some(step) = by_id(id) {
                    let (what, step, took) = (step.what(), step.kind, Duration::ZERO);
                    self.tell(EventKind::StepFinished {
                        id,
                        step,
                        ok: false,
                        took,
                        what,
                        processes: None,
                        attempts: None,
                    });
                }
            }
            AgentEvent::UndoStarted {
                why: Reason::LiveUnfit { unfit },
            } if self.may_suspend && !self.outcome.touched => {
                self.called_off = true;
                let mut text = AFTER_ALL.to_owned();
                for (at, line) in unfit_lines(&unfit, UNFIT_NAMED).enumerate() {
                    text += if at == 0 { ": " } else { "; " };
                    text += &line;
                }
                self.tell(EventKind::Log { warn: false, text });
            }
            AgentEvent::UndoFinished { .. } if self.called_off => {}
            AgentEvent::UndoStarted { why } => {
                let conversion = matches!(why, Reason::ConversionFailed { .. });
                // The last look at the clock is the first thing that the step of the switch does.
                if matches!(why, Reason::OverBudget { .. }) {
                    self.outcome.touched = self.touched_before;
                }
                let mut why = match self.hook_failed.take() {
                    Some(diagnostic) => diagnostic,
                    None => (self.explain)(&why),
                };
                if conversion && !self.outcome.touched {
                    why = why.note("nothing was changed: no module was switched");
                }
                self.fail(why);
                self.tell(EventKind::RollbackStarted);
            }
            AgentEvent::UndoFinished { took, info } => {
                // In a live window none was suspended.
                let live = std::mem::take(&mut self.live);
                self.tell(EventKind::RollbackFinished {
                    ok: info.is_complete(),
                    took: took.0,
                    processes: Some(if live { 0 } else { info.processes() }),
                    switched: info.is_about_code() || self.outcome.touched,
                });
                self.ended_newborn(info.ended());
            }
            AgentEvent::Finished { state, info } => {
                let state = self.ended(state, &info);
                if let Some(began) = self.turned.then_some(self.turned_at).flatten() {
                    let (ok, took) = (state != NodeState::Mixed, began.elapsed());
                    self.tell(EventKind::RollbackFinished {
                        ok,
                        took,
                        processes: None,
                        switched: true,
                    });
                }
                return Some(state);
            }
            // Progress of what is no step; what is dealt with where it is received; what only a log wants.
            AgentEvent::StepProgress { .. }
            | AgentEvent::Started { .. }
            | AgentEvent::TwinsLeft { .. }
            | AgentEvent::Surveyed { .. }
            | AgentEvent::Hook { .. }
            | AgentEvent::ExecutorReplaced { .. }
            | AgentEvent::GuardianReplaced { .. }
            | AgentEvent::Watchers { .. }
            | AgentEvent::Settled { .. } => {}
        }
        None
    }

    fn prepared(&mut self, took: Duration) {
        let what = "object code accepted, lock taken".to_owned();
        let step = StepKind::Prepare;
        self.tell(EventKind::StepFinished {
            id: 0,
            step,
            ok: true,
            took,
            what,
            processes: None,
            attempts: None,
        });
    }

    fn step_started(&mut self, step: &Step) {
        let switches = matches!(
            step.kind,
            StepKind::Load | StepKind::Delete | StepKind::ReleaseHandler
        );
        if switches && self.heeded && !self.outcome.touched {
            let text = "too late: modules are switched already, the run completes on the node";
            let text = text.to_owned();
            self.tell(EventKind::Interrupt { text });
        }
        self.touched_before = self.outcome.touched;
        self.outcome.touched |= switches;
        self.tell(EventKind::StepStarted {
            id: step.id,
            step: step.kind,
            what: step.what(),
        });
    }

    fn step_finished(&mut self, step: &Step, took: Duration, result: &StepResult) {
        if std::mem::take(&mut self.live) && self.heeded {
            let text = "too late: all processes have come to the new version, which stays";
            let text = text.to_owned();
            self.tell(EventKind::Interrupt { text });
        }
        let attempts = match result {
            StepResult::Suspended(result) => Some((result.attempts, result.us.0)),
            _ => None,
        };
        let (what, processes) = match result {
            StepResult::Soaked(result) => (
                format!("{} of {} live", result.live, result.processes),
                None,
            ),
            StepResult::WentLive(result) => {
                (went_live(step.what(), result), Some(result.processes))
            }
            _ => {
                let what = match result.served() {
                    0 => step.what(),
                    1 => format!("{}; 1 call answered meanwhile", step.what()),
                    served => format!("{}; {served} calls answered meanwhile", step.what()),
                };
                (what, result.processes())
            }
        };
        let failed = match result {
            StepResult::Children(result) => result.failed.as_slice(),
            _ => &[],
        };
        let computed = step.kind == StepKind::Compute;
        if !self.turned && !computed {
            self.count(result);
        }
        self.tell(EventKind::StepFinished {
            id: step.id,
            step: step.kind,
            ok: failed.is_empty(),
            took,
            what,
            processes,
            attempts,
        });
        match result {
            StepResult::Loaded(result) => {
                self.born(&result.born);
                self.ended_newborn(&result.ended);
            }
            // Those that died while they computed are counted when the states are installed.
            StepResult::Converted(result) if !computed => self.died(result.dead),
            StepResult::Children(result) => {
                self.children(failed);
                self.left_running(result.left.as_deref().unwrap_or_default());
                self.not_found(result.unfound.as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }

    /// How many processes were suspended, and how many states were converted.
    fn count(&mut self, result: &StepResult) {
        let (processes, converted) = match result {
            StepResult::Suspended(result) => (result.processes, 0),
            StepResult::Converted(result) => (0, result.processes.saturating_sub(result.dead)),
            StepResult::ScriptDone(result) => (result.processes, result.converted),
            StepResult::WentLive(result) => (0, result.swept + result.through),
            _ => (0, 0),
        };
        let outcome = &mut self.outcome;
        outcome.processes = outcome.processes.saturating_add(processes);
        outcome.converted = outcome.converted.saturating_add(converted);
    }

    /// W423: children that the new init/1 does not have, which was not known when the upgrade was shown.
    fn left_running(&mut self, left: &[Child]) {
        if left.is_empty() {
            return;
        }
        let title = "children keep running that the new version does not specify";
        let mut diagnostic = Diagnostic::new(Code::W423, title);
        diagnostic.notes = left
            .iter()
            .map(|entry| format!("{} of {}", entry.child, entry.supervisor.as_str()))
            .collect();
        let diagnostic = diagnostic
            .note("its new init/1 does not have them: they were started by hand, or it computes what it has")
            .help("to stop one: supervisor:terminate_child(Sup, Id), supervisor:delete_child(Sup, Id)");
        self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
    }

    /// W628: applications whose children differ and whose supervisor is not there.
    fn not_found(&mut self, unfound: &[Atom]) {
        for module in unfound {
            let title = format!("children of {module} were neither started nor stopped");
            let diagnostic = Diagnostic::new(Code::W628, title)
                .note("no process of the supervisor was found that its start/2 gives them to")
                .help("when the application is started, it has the new list");
            self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
        }
    }

    /// Children that were not started or stopped.
    fn children(&mut self, failed: &[FailedChild]) {
        if let Some(first) = failed.first() {
            let words = |entry: &FailedChild| {
                format!(
                    "{} {} of {}: {}",
                    entry.what.as_str(),
                    plain(&entry.child),
                    entry.supervisor.as_str(),
                    entry.reason
                )
            };
            let title = format!("a child was not started or stopped: {}", first.child);
            let mut diagnostic = Diagnostic::new(Code::E610, title);
            diagnostic.notes = failed.iter().take(8).map(words).collect();
            self.fail(diagnostic.help("correct the child, or its identifier in the plan"));
        }
    }

    /// Processes that ended before their conversion: their states are lost, also when a supervisor restarts them.
    fn died(&mut self, dead: u64) {
        if dead > 0 {
            let title = format!("{dead} of the processes to convert died: their states are lost");
            let diagnostic = Diagnostic::new(Code::W616, title)
                .note("while they were suspended or inside code_change")
                .note("supervisors restart them, with the code that is loaded now");
            self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
        }
    }

    /// Processes that came to life in the very moment of the switch, when births could not be watched.
    fn born(&mut self, born: &[Pid]) {
        if born.is_empty() {
            return;
        }
        let title = format!(
            "{} started while the modules were switched",
            count(born.len())
        );
        let diagnostic = Diagnostic::new(Code::W613, title).note(listed(born)).note(
            "another tracer traces new processes, so which code made their states is unknown",
        );
        self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
    }

    /// Newborn processes with a state of the version that is left, which cannot be converted any more.
    fn ended_newborn(&mut self, ended: &[ModuleProcess]) {
        if ended.is_empty() {
            return;
        }
        let title = format!(
            "{} ended: started with a state of the version that was replaced",
            count(ended.len())
        );
        let words = |entry: &ModuleProcess| format!("{} of {}", shown(&entry.pid), entry.module);
        let mut diagnostic = Diagnostic::new(Code::W618, title);
        diagnostic.notes = ended.iter().take(8).map(words).collect();
        if ended.len() > 8 {
            diagnostic
                .notes
                .push(format!("and {} more", ended.len() - 8));
        }
        let diagnostic = diagnostic
            .note("they were started while the modules were switched; supervisors restart them");
        self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
    }
}

/// How the processes of a live window have come to the new version.
fn went_live(mut what: String, result: &WentLive) -> String {
    if result.through > 0 {
        what += &format!("; {} by a callback of their own", result.through);
    }
    if result.inside > 0 {
        what += &format!("; {} waited for in the version before", result.inside);
    }
    what
}

/// A text by itself, anything else as a term.
fn plain(term: &Term) -> String {
    term.to_text().unwrap_or_else(|| term.to_string())
}

/// A pid as the node writes it.
pub(super) fn shown(pid: &Pid) -> String {
    Term::Pid(pid.clone()).to_string()
}

fn count(processes: usize) -> String {
    if processes == 1 {
        "1 process was".to_owned()
    } else {
        format!("{processes} processes were")
    }
}

/// Pids with commas between them.
pub(super) fn listed(processes: &[Pid]) -> String {
    let processes: Vec<String> = processes.iter().map(shown).collect();
    processes.join(", ")
}
