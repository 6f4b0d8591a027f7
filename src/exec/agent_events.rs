//! What the agent's events mean: each becomes one of ours, with what there is to say about it.
//!
//! The other half of [`agent_monitor`](super::agent_monitor), which receives them. Counts suspended and converted
//! processes, and names what a person has to look at: children, the dead, the newborn, processes that still run old
//! code.

use std::time::{Duration, Instant};

use super::agent_monitor::Watch;
use super::event::{BusyProcess, EventKind, NodeState, StepKind};
use super::old_code;
use super::steps::Step;
use crate::diag::{Code, Diagnostic};
use crate::name::NodeName;
use crate::node::agent::protocol::{
    Abandoned, AgentEvent, Child, CleanedUp, Codec, EndState, FailedChild, Finished, Lingering,
    Micros, ModuleProcess, Process, Reason, Run, Settled, StepRef, StepResult,
};
use crate::term::{Atom, Pid, Term};

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
                    self.step_started(step);
                }
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
                self.tell(EventKind::RollbackFinished {
                    ok: info.is_complete(),
                    took: took.0,
                    processes: Some(info.processes()),
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
        let attempts = match result {
            StepResult::Suspended(result) => Some((result.attempts, result.us.0)),
            _ => None,
        };
        let (what, processes) = match result {
            StepResult::Soaked(result) => (
                format!("{} of {} live", result.live, result.processes),
                None,
            ),
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

    fn ended(&mut self, state: EndState, info: &Finished) -> NodeState {
        self.outcome.suspended = info
            .suspended()
            .and_then(|Micros(more)| Some(self.outcome.suspended? + more));
        let state = match state {
            EndState::New => NodeState::New,
            EndState::Old => NodeState::Old,
            EndState::Mixed => NodeState::Mixed,
        };
        let run = info.run();
        let (unsure, replaced) = match run {
            Some(run) => (run.unsure.as_deref(), run.replaced.as_deref()),
            None => (None, None),
        };
        // No step has failed: no process was left to say so.
        if let Some(reason @ Reason::AgentKilled {}) = info.reason()
            && state == NodeState::Old
            && self.outcome.errors.is_empty()
        {
            self.fail((self.explain)(reason));
        }
        if let Some(unsure) = unsure {
            self.unexplained(info);
            let goal = run.and_then(|run| run.goal);
            self.fail(undecided(unsure, goal.map_or("", EndState::as_str)));
        } else if let (Some(reason), Some(_)) = (info.reason(), replaced) {
            self.fail((self.explain)(reason));
        } else if state == NodeState::Mixed {
            let diagnostic = self.mixed(info);
            self.unexplained(info);
            let left = run.and_then(effects);
            // That code and states are back needs no diagnostic of its own.
            if left.is_none() || !diagnostic.notes.is_empty() {
                self.fail(diagnostic);
            }
            if let Some(left) = left {
                self.fail(left);
            }
        }
        state
    }

    /// The reason, where nothing else has been reported.
    fn unexplained(&mut self, info: &Finished) {
        if let Some(reason) = info.reason()
            && self.outcome.errors.is_empty()
        {
            self.fail((self.explain)(reason));
        }
    }

    /// E609, with what there is to do by hand.
    fn mixed(&mut self, info: &Finished) -> Diagnostic {
        let title = "the node could not be restored: it is neither old nor new";
        let mut diagnostic =
            Diagnostic::new(Code::E609, title).help("run these expressions on the node");
        if let Finished::Abandoned(end) = info {
            diagnostic = self.abandoned(diagnostic, end);
        }
        if let Some(run) = info.run() {
            if run.new.is_some() {
                self.outcome.old_states = Some(run.old_states.clone().unwrap_or_default().encode());
            }
            self.outcome.to_convert = run.to_convert.as_ref().map(Codec::encode);
            let node = self.session.node();
            diagnostic = half_way(diagnostic, run, self.run(), node);
            diagnostic = remains(diagnostic, run);
            if let Some(unasked) = &run.unasked {
                diagnostic = unkept(diagnostic, unasked);
            }
            if let Some(why) = &run.undo_failed {
                diagnostic = diagnostic.note(format!("what stopped it: {why}"));
            }
        }
        diagnostic.notes.extend(info.by_hand().iter().cloned());
        diagnostic
    }

    /// The agent was killed after the switch: its watchdog has only resumed.
    fn abandoned(&self, mut diagnostic: Diagnostic, end: &Abandoned) -> Diagnostic {
        let node = self.session.node();
        diagnostic.title = "the node is neither old nor new".to_owned();
        diagnostic = diagnostic
            .note(format!("code of this run: {}", end.switched_code.encode()))
            .note(format!("code as before: {}", end.former_code.encode()))
            .note(format!(
                "{} processes were resumed, some with states of the other version",
                end.resumed
            ));
        if end.left > 0 {
            let left = end.left;
            diagnostic = diagnostic.note(format!("{left} processes are still suspended"));
        }
        diagnostic.help(format!("updo mend {node}"))
    }

    /// What is reported at the very end: whether the disk has the beams, and which processes still run old code.
    pub(super) fn settled(&mut self, info: &Settled) {
        match info {
            Settled::CleanedUp(info) => self.cleaned_up(info),
            Settled::Killed(info) => {
                self.report_crashes();
                self.unsettled(false);
                // The watchdog keeps this for later clients; it came after what was sent to the processes before it.
                let _ = self
                    .session
                    .send_named("updo_run", Term::atom("updo_settle"));
                self.lingering(&info.lingering);
            }
        }
    }

    fn cleaned_up(&mut self, info: &CleanedUp) {
        if let Some(why) = &info.not_persisted {
            let title = format!(
                "the beams were not written to the disk of {}",
                self.session.node()
            );
            let diagnostic = Diagnostic::new(Code::E614, title).note(why);
            self.fail(
                diagnostic
                    .help("the new code runs until the node restarts: copy the beams by hand"),
            );
        } else if let Some(files) = info.persisted {
            let files = usize::try_from(files).unwrap_or(usize::MAX);
            self.tell(EventKind::Persisted { files });
        }
        self.apply_survey(&info.survivors, &info.replaced);
        self.report_crashes();
        self.lingering(&info.lingering);
        if let Some(kept) = old_code::kept(&info.held) {
            self.tell(EventKind::Diagnostic(Box::new(kept)));
        }
    }

    /// Processes that still run old code after everything.
    fn lingering(&mut self, entries: &[Lingering]) {
        let words = entries.iter().map(|entry| {
            let (pid, module) = (shown(&entry.pid), &entry.module);
            format!("{pid} still runs the old {module}")
        });
        let processes: Vec<String> = words.collect();
        if !processes.is_empty() {
            self.tell(EventKind::Lingering { processes });
        }
    }
}

/// What stays new, and why.
fn half_way(mut diagnostic: Diagnostic, end: &Run, run: &str, node: &NodeName) -> Diagnostic {
    if let Some(switched) = &end.switched {
        diagnostic.title =
            "the release handler has stopped half way: the node is neither old nor new".to_owned();
        diagnostic = diagnostic
            .note("it undoes nothing and resumes no process when a step fails")
            .note(format!("new code: {}; everything else is old", switched.encode()))
            .help(
                "run these expressions on the node: suspended processes resume under the code that is loaded now;\n\
                 then run the plan again without `engine release_handler`, or restart the node",
            );
    }
    if let Some(stays) = &end.stays {
        return old_code::stays(stays, end.unconverted.as_deref().unwrap_or_default(), run);
    }
    if end.no_old_code.is_some() {
        return old_code::no_way_back(end, node);
    }
    match &end.new {
        Some(new) => diagnostic
            .note(format!(
                "the windows of {} are new, everything else is old",
                new.encode()
            ))
            .help("no process is suspended; correct the plan and run again, or run the expressions above"),
        None => diagnostic,
    }
}

/// The code is what it was; children are not, or what conversions did elsewhere.
fn remains(mut diagnostic: Diagnostic, end: &Run) -> Diagnostic {
    let children = end.children.as_deref().unwrap_or_default();
    let effects = end.effects.as_deref().unwrap_or_default();
    if children.is_empty() && effects.is_empty() {
        return diagnostic;
    }
    if let Some(code) = end.code {
        let code = code.as_str();
        diagnostic.title = format!("the code is {code} again, and not everything is as it was");
        diagnostic.help = None;
    }
    diagnostic.notes.extend(children.iter().map(|child| {
        let (what, supervisor) = (child.what.as_str(), child.supervisor.as_str());
        format!(
            "not done: {what} {} of {supervisor}: {}",
            child.child, child.reason
        )
    }));
    diagnostic
}

/// E624: what conversions did outside of their states and nothing has undone.
fn effects(end: &Run) -> Option<Diagnostic> {
    let left = end.effects.as_ref().filter(|left| !left.is_empty())?;
    let title = "code and states are back; what conversions did elsewhere is not undone";
    let mut diagnostic = Diagnostic::new(Code::E624, title);
    diagnostic.notes.extend(left.iter().map(|entry| {
        let why = entry.why.lines().next().unwrap_or_default();
        format!("{} of {}: {why}", shown(&entry.pid), entry.module.as_str())
    }));
    let help = "compare what these processes write elsewhere (tables, files) with what the code that runs expects";
    Some(diagnostic.help(help))
}

/// A text by itself, anything else as a term.
fn plain(term: &Term) -> String {
    term.to_text().unwrap_or_else(|| term.to_string())
}

fn shown(pid: &Pid) -> String {
    Term::Pid(pid.clone()).to_string()
}

/// E617: the code is that of one version, and which version made the states of these processes is unknown.
fn undecided(processes: &[Pid], code: &str) -> Diagnostic {
    let title = format!(
        "the code is {code}; whether these processes are too is unknown: {}",
        listed(processes)
    );
    Diagnostic::new(Code::E617, title)
        .note("they were spawned during the switch; all others match the code")
        .help(
            "check each: `sys:get_state(c:pid(A,B,C)).`; one with a state of the other version is restarted by\n\
             `sys:terminate(c:pid(A,B,C), state).`",
        )
}

fn listed(processes: &[Pid]) -> String {
    let processes: Vec<String> = processes.iter().map(shown).collect();
    processes.join(", ")
}

/// gen_statem processes of the old code with the callback mode of the new one.
fn unkept(mut diagnostic: Diagnostic, processes: &[Process]) -> Diagnostic {
    diagnostic.title =
        "the code is old again, the callback mode of these processes is not".to_owned();
    for process in processes {
        let why = process.why.as_deref().unwrap_or_default();
        let first = why.lines().next().unwrap_or_default();
        diagnostic.notes.push(format!(
            "{} of {}: its old code_change/4 fails: {first}",
            shown(&process.pid),
            process.module.as_str()
        ));
    }
    diagnostic.help("they fail at their next event; end them with these expressions, their supervisors restart them: one that \
         answers terminates in order")
}

fn count(processes: usize) -> String {
    if processes == 1 {
        "1 process was".to_owned()
    } else {
        format!("{processes} processes were")
    }
}
