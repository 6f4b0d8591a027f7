//! What the agent's events mean: each becomes one of ours, with what there is to say about it.
//!
//! The other half of [`agent_monitor`](super::agent_monitor), which receives them. Counts who stood still and who was converted, and
//! names what a person has to look at: children, the dead, the newborn, whoever still runs old code.

use std::time::{Duration, Instant};

use super::agent_monitor::Watch;
use super::event::{EventKind, NodeState, Slow, StepKind};
use super::old_code;
use super::steps::Step;
use crate::diag::{Code, Diagnostic};
use crate::term::{Atom, Term};

impl Watch<'_, '_> {
    /// One event of the agent; the state when it was the last.
    pub(super) fn translate(
        &mut self,
        tag: &str,
        parts: &[Term],
        steps: &[Step],
    ) -> Option<NodeState> {
        let micros = |term: Option<&Term>| {
            Duration::from_micros(
                term.and_then(Term::as_i64)
                    .and_then(|us| u64::try_from(us).ok())
                    .unwrap_or(0),
            )
        };
        let count = |term: Option<&Term>| {
            term.and_then(Term::as_i64)
                .and_then(|n| u64::try_from(n).ok())
        };
        let id = count(parts.first())
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or(0);
        let step = steps.iter().find(|step| step.id == id);
        match (tag, step) {
            ("died", _) => self.crashed(parts.first()),
            ("turning_back", _) => {
                self.turned = true;
                self.turned_at = Some(Instant::now());
                self.tell(EventKind::RollbackStarted);
            }
            ("prepared", _) if self.turned => {}
            ("prepared", _) => {
                let took = micros(parts.first());
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
            ("purging", _) => {
                if let Some(info) = parts.first() {
                    self.tell(EventKind::Diagnostic(Box::new(old_code::purged(info))));
                }
            }
            ("leaving", _) => {
                let number = count(parts.first()).unwrap_or(0);
                let text = old_code::leaving(number);
                self.tell(EventKind::Log { warn: false, text });
            }
            ("step_started", Some(step)) => {
                let switches = matches!(
                    step.kind,
                    StepKind::Load | StepKind::Delete | StepKind::ReleaseHandler
                );
                if switches && self.heeded && !self.outcome.touched {
                    let text = "too late: the node was past the point of no return, and finishes";
                    let text = text.to_owned();
                    self.tell(EventKind::Interrupt { text });
                }
                self.outcome.touched |= switches;
                self.tell(EventKind::StepStarted {
                    id,
                    step: step.kind,
                    what: step.what(),
                });
            }
            ("step_progress", Some(_)) => {
                let number = |at| count(parts.get(at)).unwrap_or(0);
                let (done, total) = (number(1), number(2));
                let slowest = Slow::all(parts.get(3));
                self.tell(EventKind::StepProgress {
                    id,
                    done,
                    total,
                    slowest,
                });
            }
            ("suspend_postponed", Some(_)) => {
                let info = parts.get(1);
                let number = |key: &str| info.and_then(|info| count(info.get(key)));
                self.tell(EventKind::StepPostponed {
                    id,
                    attempt: number("attempt").unwrap_or(1),
                    paused: micros(info.and_then(|info| info.get("us"))),
                    processes: number("processes").unwrap_or(0),
                    waiting: number("waiting").unwrap_or(0),
                    slowest: Slow::all(info.and_then(|info| info.get("busy"))),
                });
            }
            ("step_finished", Some(step)) => {
                let number = |key| parts.get(2).and_then(|info| count(info.get(key)));
                let (processes, dead) = (number("processes"), number("dead").unwrap_or(0));
                let paused = parts.get(2).and_then(|info| info.get("us"));
                let attempts = number("attempts").map(|tried| (tried, micros(paused)));
                match step.kind {
                    _ if self.turned => {}
                    StepKind::Suspend => self.outcome.processes += processes.unwrap_or(0),
                    StepKind::Convert => {
                        self.outcome.converted += processes.unwrap_or(0).saturating_sub(dead);
                    }
                    StepKind::ReleaseHandler => {
                        let converted = parts.get(2).and_then(|info| count(info.get("converted")));
                        self.outcome.processes += processes.unwrap_or(0);
                        self.outcome.converted += converted.unwrap_or(0);
                    }
                    _ => {}
                }
                let failed = parts.get(2).and_then(|info| info.get("failed")).cloned();
                let born = parts.get(2).and_then(|info| info.get("born")).cloned();
                let (took, step, what) = (micros(parts.get(1)), step.kind, step.what());
                let (processes, what) = match (step, number("live"), processes) {
                    (StepKind::Soak, Some(live), Some(of)) => {
                        (None, format!("{live} of {of} live"))
                    }
                    _ => (processes, what),
                };
                self.tell(EventKind::StepFinished {
                    id,
                    step,
                    ok: failed
                        .as_ref()
                        .and_then(Term::as_list)
                        .is_none_or(<[_]>::is_empty),
                    took,
                    what,
                    processes,
                    attempts,
                });
                self.born(born.as_ref());
                self.ended_newborn(parts.get(2));
                if step == StepKind::Convert {
                    self.died(dead);
                }
                self.children(failed.as_ref());
                self.left_running(parts.get(2));
            }
            ("step_failed", Some(step)) => {
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
            ("undo_started", _) => {
                match (self.hook_failed.take(), parts.first()) {
                    (Some(diagnostic), _) => self.fail(diagnostic),
                    (None, Some(why)) => self.fail((self.explain)(why)),
                    (None, None) => {}
                }
                self.tell(EventKind::RollbackStarted);
            }
            ("undo_finished", _) => {
                let left = |key| {
                    let list = parts.get(1).and_then(|info| info.get(key)?.as_list());
                    list.is_some_and(|list| !list.is_empty())
                };
                let (ok, took) = (
                    !left("late") && !left("lost") && !left("stays"),
                    micros(parts.first()),
                );
                let processes = count(parts.get(1).and_then(|info| info.get("processes")));
                self.tell(EventKind::RollbackFinished {
                    ok,
                    took,
                    processes,
                });
                self.ended_newborn(parts.get(1));
            }
            ("finished", _) => {
                let state = self.ended(parts);
                if let Some(began) = self.turned.then_some(self.turned_at).flatten() {
                    let (ok, took) = (state != NodeState::Mixed, began.elapsed());
                    self.tell(EventKind::RollbackFinished {
                        ok,
                        took,
                        processes: None,
                    });
                }
                return Some(state);
            }
            _ => {}
        }
        None
    }

    /// W423: children that the new init/1 does not have, which was not known when the upgrade was shown.
    fn left_running(&mut self, info: Option<&Term>) {
        let left = info.map_or(&[][..], |info| listed_under(info, "left"));
        if left.is_empty() {
            return;
        }
        let title = "children run on that their supervisor would not start again";
        let mut diagnostic = Diagnostic::new(Code::W423, title);
        diagnostic.notes = left
            .iter()
            .map(|entry| {
                let id = entry.get("child").map(ToString::to_string);
                format!(
                    "{} of {}",
                    id.unwrap_or_default(),
                    in_words(entry, "supervisor")
                )
            })
            .collect();
        let diagnostic = diagnostic
            .note("its new init/1 does not have them: they were started by hand, or it computes what it has")
            .help("to stop one: supervisor:terminate_child(Sup, Id), supervisor:delete_child(Sup, Id)");
        self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
    }

    /// Children that were not started or stopped.
    fn children(&mut self, failed: Option<&Term>) {
        let failed = failed.and_then(Term::as_list).unwrap_or_default();
        if let Some(first) = failed.first() {
            let show = |entry: &Term, key: &str| {
                let value = entry.get(key);
                value.map(|v| v.to_text().unwrap_or_else(|| v.to_string()))
            };
            let words = |entry: &Term| {
                let part = |key| show(entry, key).unwrap_or_default();
                format!(
                    "{} {} of {}: {}",
                    part("what"),
                    part("child"),
                    part("supervisor"),
                    part("reason")
                )
            };
            let name = first
                .get("child")
                .map(ToString::to_string)
                .unwrap_or_default();
            let title = format!("a child was not started or stopped: {name}");
            let mut diagnostic = Diagnostic::new(Code::E610, title);
            diagnostic.notes = failed.iter().take(8).map(words).collect();
            self.fail(diagnostic.help("correct the child, or its identifier in the plan"));
        }
    }

    /// Processes that did not live to see their conversion: their states are lost, whoever restarts them.
    fn died(&mut self, dead: u64) {
        if dead > 0 {
            let title = format!("{dead} of the processes to convert died: their states are lost");
            let diagnostic = Diagnostic::new(Code::W616, title)
                .note("while they were suspended or inside code_change")
                .note("supervisors start them anew, with the code that runs now");
            self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
        }
    }

    /// Processes that came to life in the very moment of the switch, when births could not be watched.
    fn born(&mut self, born: Option<&Term>) {
        let Some(born) = born.and_then(Term::as_list).filter(|list| !list.is_empty()) else {
            return;
        };
        let title = format!("{} born while the modules were switched", count(born.len()));
        let diagnostic = Diagnostic::new(Code::W613, title).note(listed(born)).note(
            "another tracer traces new processes, so which code made their states is unknown",
        );
        self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
    }

    /// Newborn processes with a state of the version that is left, which nobody can convert any more.
    fn ended_newborn(&mut self, info: Option<&Term>) {
        let ended = info.and_then(|info| info.get("ended")?.as_list());
        let Some(ended) = ended.filter(|list| !list.is_empty()) else {
            return;
        };
        let title = format!(
            "{} ended: born with a state of the version that is left",
            count(ended.len())
        );
        let words = |entry: &Term| {
            let part = |key| entry.get(key).map(ToString::to_string).unwrap_or_default();
            format!("{} of {}", part("pid"), part("module"))
        };
        let mut diagnostic = Diagnostic::new(Code::W618, title);
        diagnostic.notes = ended.iter().take(8).map(words).collect();
        if ended.len() > 8 {
            diagnostic
                .notes
                .push(format!("and {} more", ended.len() - 8));
        }
        let diagnostic = diagnostic
            .note("they were born while the modules were switched; supervisors start them anew");
        self.tell(EventKind::Diagnostic(Box::new(diagnostic)));
    }

    fn ended(&mut self, parts: &[Term]) -> NodeState {
        let info = parts.get(1);
        let us = info.and_then(|info| info.get("suspended_us")?.as_i64());
        let us = us.and_then(|us| u64::try_from(us).ok());
        self.outcome.suspended = us
            .map(Duration::from_micros)
            .and_then(|more| Some(self.outcome.suspended? + more));
        let state = match parts.first().and_then(Term::as_atom).map(Atom::as_str) {
            Some("new") => NodeState::New,
            Some("old") => NodeState::Old,
            _ => NodeState::Mixed,
        };
        // No step has failed: nobody was left to say so.
        if let Some(reason) = info.and_then(|info| info.get("reason"))
            && state == NodeState::Old
            && reason.is_atom("agent_killed")
            && self.outcome.errors.is_empty()
        {
            self.fail((self.explain)(reason));
        }
        if let Some(unsure) = info.and_then(|info| info.get("unsure")?.as_list()) {
            let goal = info.and_then(|info| info.get("goal")?.to_text());
            if let Some(reason) = info.and_then(|info| info.get("reason"))
                && self.outcome.errors.is_empty()
            {
                self.fail((self.explain)(reason));
            }
            self.fail(undecided(unsure, &goal.unwrap_or_default()));
        } else if let (Some(reason), Some(_)) = (
            info.and_then(|info| info.get("reason")),
            info.and_then(|info| info.get("replaced")),
        ) {
            self.fail((self.explain)(reason));
        } else if state == NodeState::Mixed {
            let mut diagnostic = Diagnostic::new(
                Code::E609,
                "going back failed: the node is neither old nor new",
            )
            .help("run these expressions on the node");
            if let Some(switched) = info.and_then(|i| i.get("switched")) {
                diagnostic.title =
                    "the release handler has stopped half way: the node is neither old nor new"
                        .to_owned();
                diagnostic = diagnostic
                    .note("it undoes nothing and resumes no process")
                    .note(format!("new code: {switched}; everything else is old"))
                    .help(
                        "run these expressions on the node: suspended processes resume under the code that is loaded now;\n\
                         then run the plan again without `engine release_handler`, or restart the node",
                    );
            }
            if let Some(code) = info.and_then(|i| i.get("switched_code")) {
                diagnostic = self.abandoned(diagnostic, info, code);
            }
            if let Some(stays) = info.and_then(|i| i.get("stays")) {
                diagnostic = old_code::stays(stays, info.and_then(|i| i.get("unconverted")));
            } else if let Some(new) = info.and_then(|i| i.get("new")) {
                diagnostic = diagnostic
                    .note(format!("the windows of {new} are new, everything else is old"))
                    .help("no process is suspended; correct the plan and run again, or run the expressions above");
            }
            if let Some(info) = info {
                diagnostic = remains(diagnostic, info);
            }
            if let Some(unasked) = info.and_then(|i| i.get("unasked")?.as_list()) {
                diagnostic = unkept(diagnostic, unasked);
            }
            if let Some(why) = info.and_then(|i| i.get("undo_failed")?.to_text()) {
                diagnostic = diagnostic.note(format!("what stopped it: {why}"));
            }
            for line in info
                .and_then(|i| i.get("by_hand"))
                .and_then(Term::as_list)
                .unwrap_or_default()
            {
                diagnostic = diagnostic.note(line.to_text().unwrap_or_else(|| line.to_string()));
            }
            if let Some(reason) = info.and_then(|i| i.get("reason"))
                && self.outcome.errors.is_empty()
            {
                self.fail((self.explain)(reason));
            }
            let left = info.and_then(effects);
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

    /// The agent was killed after the switch: its watchdog has only resumed.
    fn abandoned(
        &self,
        mut diagnostic: Diagnostic,
        info: Option<&Term>,
        code: &Term,
    ) -> Diagnostic {
        let part = |key| info.and_then(|info| info.get(key));
        let node = self.session.node();
        diagnostic.title = "the node is neither old nor new".to_owned();
        diagnostic = diagnostic.note(format!("code of this run: {code}"));
        if let Some(former) = part("former_code") {
            diagnostic = diagnostic.note(format!("code as before: {former}"));
        }
        if let Some(resumed) = part("resumed").and_then(Term::as_i64) {
            diagnostic = diagnostic.note(format!(
                "{resumed} processes were resumed, some with states of the other version"
            ));
        }
        if let Some(left) = part("left").and_then(Term::as_i64).filter(|n| *n > 0) {
            diagnostic = diagnostic.note(format!("{left} processes are still suspended"));
        }
        diagnostic.help(format!("updo mend {node}"))
    }

    /// What is reported at the very end: whether the disk has the beams, and who still runs old code.
    pub(super) fn settled(&mut self, info: Option<&Term>) {
        let part = |key| info.and_then(|info| info.get(key));
        if let Some(why) = part("not_persisted") {
            let title = format!(
                "the beams were not written to the disk of {}",
                self.session.node()
            );
            let why = why.to_text().unwrap_or_else(|| why.to_string());
            let diagnostic = Diagnostic::new(Code::E614, title).note(why);
            self.fail(
                diagnostic.help("all is well until the node restarts: copy the beams by hand"),
            );
        } else if let Some(files) = part("persisted").and_then(Term::as_i64) {
            let files = usize::try_from(files).unwrap_or(0);
            self.tell(EventKind::Persisted { files });
        }
        self.surveyed(info);
        self.crashes();
        if part("killed").is_some() {
            self.unsettled(false);
            // The watchdog keeps this for whoever comes; it came after what was sent to the processes before it.
            let _ = self
                .session
                .send_named("updo_run", Term::atom("updo_settle"));
        }
        self.lingering(info);
        if let Some(kept) = part("held").and_then(old_code::kept) {
            self.tell(EventKind::Diagnostic(Box::new(kept)));
        }
    }

    /// Who still runs old code after everything.
    fn lingering(&mut self, info: Option<&Term>) {
        let entries = info
            .and_then(|info| info.get("lingering"))
            .and_then(Term::as_list);
        let processes: Vec<String> = entries
            .unwrap_or_default()
            .iter()
            .map(|entry| {
                let show = |key: &str| entry.get(key).map(ToString::to_string).unwrap_or_default();
                format!("{} still runs the old {}", show("pid"), show("module"))
            })
            .collect();
        if !processes.is_empty() {
            self.tell(EventKind::Lingering { processes });
        }
    }
}

/// The code is what it was; children are not, or what conversions did elsewhere.
fn remains(mut diagnostic: Diagnostic, info: &Term) -> Diagnostic {
    let children = listed_under(info, "children");
    if children.is_empty() && listed_under(info, "effects").is_empty() {
        return diagnostic;
    }
    if let Some(code) = info.get("code") {
        diagnostic.title = format!("the code is {code} again, and not everything is as it was");
        diagnostic.help = None;
    }
    diagnostic.notes.extend(children.iter().map(|child| {
        let id = child.get("child").map(ToString::to_string);
        let part = |key| in_words(child, key);
        let (what, supervisor, why) = (part("what"), part("supervisor"), part("reason"));
        format!(
            "not done: {what} {} of {supervisor}: {why}",
            id.unwrap_or_default()
        )
    }));
    diagnostic
}

/// E624: what conversions did outside of their states and nothing has undone.
fn effects(info: &Term) -> Option<Diagnostic> {
    let left = listed_under(info, "effects");
    let title = "code and states are back; what conversions did elsewhere is not undone";
    let mut diagnostic = Diagnostic::new(Code::E624, title);
    diagnostic.notes.extend(left.iter().map(|entry| {
        let why = in_words(entry, "why");
        let why = why.lines().next().unwrap_or_default();
        let (pid, module) = (in_words(entry, "pid"), in_words(entry, "module"));
        format!("{pid} of {module}: {why}")
    }));
    let help = "compare what these processes write elsewhere (tables, files) with what the code that runs expects";
    (!left.is_empty()).then(|| diagnostic.help(help))
}

fn listed_under<'t>(info: &'t Term, key: &str) -> &'t [Term] {
    let list = info.get(key).and_then(Term::as_list);
    list.unwrap_or_default()
}

fn in_words(entry: &Term, key: &str) -> String {
    let value = entry.get(key);
    value.map_or_else(String::new, |v| {
        v.to_text().unwrap_or_else(|| v.to_string())
    })
}

/// E617: the code is that of one version, and of these processes nobody knows which made their states.
fn undecided(processes: &[Term], code: &str) -> Diagnostic {
    let title = format!(
        "the code is {code}; whether these processes are too is unknown: {}",
        listed(processes)
    );
    Diagnostic::new(Code::E617, title)
        .note("they were spawned in the moment of the switch; all others match the code")
        .help(
            "look at each: `sys:get_state(c:pid(A,B,C)).`; one with a state of the other version is started anew by\n\
             `exit(c:pid(A,B,C), kill).`",
        )
}

fn listed(processes: &[Term]) -> String {
    let processes: Vec<String> = processes.iter().map(ToString::to_string).collect();
    processes.join(", ")
}

/// gen_statem processes of the old code with the callback mode of the new one.
fn unkept(mut diagnostic: Diagnostic, processes: &[Term]) -> Diagnostic {
    diagnostic.title =
        "the code is old again, the callback mode of these processes is not".to_owned();
    for process in processes {
        let show = |key: &str| {
            let value = process.get(key);
            value.map(|v| v.to_text().unwrap_or_else(|| v.to_string()))
        };
        let part = |key| show(key).unwrap_or_default();
        let why = part("why");
        let first = why.lines().next().unwrap_or_default();
        diagnostic.notes.push(format!(
            "{} of {}: its old code_change/4 fails: {first}",
            part("pid"),
            part("module")
        ));
    }
    diagnostic.help("they fail at their next event; end them by these expressions, their supervisors start them anew")
}

fn count(processes: usize) -> String {
    if processes == 1 {
        "1 process was".to_owned()
    } else {
        format!("{processes} processes were")
    }
}
