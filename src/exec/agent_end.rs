//! How a run has ended, as the agent says it: what the node is, what is left, and what mends it.
//!
//! Takes the last events of a run, and what it cleans up; gives the state of the node and the diagnostics that go with it.
//! The events before are in [`agent_events`](super::agent_events).

use super::agent_events::{listed, shown};
use super::agent_monitor::Watch;
use super::event::{EventKind, NodeState};
use super::old_code;
use crate::diag::{Code, Diagnostic};
use crate::name::NodeName;
use crate::node::agent::protocol::{
    Abandoned, CleanedUp, Codec, EndState, Finished, Lingering, Micros, Process, Reason, Run,
    Settled, Unconverted,
};
use crate::term::{Pid, Term};

impl Watch<'_, '_> {
    /// The node's state at the end, with what is reported of it.
    pub(super) fn ended(&mut self, state: EndState, info: &Finished) -> NodeState {
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
    if let Some(kept) = end.kept_new.as_ref().filter(|kept| !kept.is_empty()) {
        return kept_new(diagnostic, kept);
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

/// The code is the old one again, and the states of these processes are not.
fn kept_new(mut diagnostic: Diagnostic, processes: &[Unconverted]) -> Diagnostic {
    diagnostic.title = "the code is old again, the states of these processes are not".to_owned();
    for process in processes {
        let first = process.reason.lines().next().unwrap_or_default();
        diagnostic.notes.push(format!(
            "{} of {}: the new version does not convert its state back: {first}",
            shown(&process.pid),
            process.module.as_str()
        ));
    }
    diagnostic.help(
        "they may fail at their next event; end them, so that their supervisors restart them with the old code",
    )
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
