//! The way back of an earlier run: its recorded steps, under a lock of their own.
//!
//! Only when the node still runs exactly what that run left: otherwise it has been upgraded since,
//! and going back would undo more than was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::agent_monitor::{Outcome, Watch};
use super::agent_reason;
use super::barriers::Barriers;
use super::condition::CheckContext;
use super::event::{Event, EventKind, NodeState};
use super::interrupt::Interrupt;
use super::job;
use super::plan_checks::Checks;
use super::side_effects::Acted;
use super::step::{Action, ChildAction, ChildStep, Step};
use super::step_term::{read_steps, steps_term};
use super::together::TogetherNode;
use crate::diag::{Code, Diagnostic};
use crate::facts::compare::restart::{Recorded, Restart, Rewrite};
use crate::name::{Md5, Module};
use crate::node::Session;
use crate::node::agent::protocol::Reason;
use crate::plan::Plan;
use crate::rules::Purge;
use crate::rules::node_view::NodeView;
use crate::term::{Pid, Term};

/// A module of a recorded job: its name, the beam that comes back, the MD5 of that as it was recorded.
pub type Returning<'w> = (Module, Option<&'w [u8]>, Option<Md5>);

/// A recorded way back.
#[derive(Clone, Debug)]
pub struct WayBack {
    /// The job, without what is new at every run.
    pub job: Term,
    /// What is recorded when it begins.
    pub begun: Term,
    /// Its steps, and those that lead forward again should it fail in a later window.
    pub steps: Vec<Step>,
    /// How many of them are taken when all goes well.
    pub taken: usize,
    /// The modules, and the MD5 that each must have now (`None`: not loaded).
    pub expected: Vec<(Module, Option<Md5>)>,
    /// What lists of modules were before the run, with the digest of what it has made of each.
    recorded: Vec<Recorded>,
    /// The files that a restart reads: those with lists of modules are written on the way.
    restart: Restart,
}

impl WayBack {
    /// Reads what [`job::Back::record`] wrote; `None` when it is something else.
    pub fn read(record: &Term) -> Option<Self> {
        let job = record.get("job")?.clone();
        let mut steps = read_steps(job.get("steps")?)?;
        let taken = steps.len();
        // Should the way back fail in a later window; not in the records of older versions.
        let forward = job.get("back").and_then(Term::as_list).unwrap_or_default();
        for window in forward.iter().filter(|window| window.as_list().is_some()) {
            steps.extend(read_steps(window)?);
        }
        let expected = record.get("expected")?.as_list()?.iter().map(|pair| {
            let [module, md5] = pair.as_tuple()? else {
                return None;
            };
            let md5 = md5.as_bytes().and_then(Md5::from_bytes);
            Some((Module::new(module.as_atom()?.as_str()), md5))
        });
        // Not in the records of older versions.
        let listed = record.get("lists").and_then(Term::as_list);
        let listed = listed.unwrap_or_default().iter().filter_map(|entry| {
            let [file, made, before] = entry.as_tuple()? else {
                return None;
            };
            let made = Md5::from_bytes(made.as_bytes()?)?;
            Some(Recorded {
                file: file.to_text()?,
                made,
                before: before.as_bytes()?.to_vec(),
            })
        });
        Some(Self {
            recorded: listed.collect(),
            restart: Restart::default(),
            expected: expected.collect::<Option<_>>()?,
            begun: record.get("begun")?.clone(),
            job,
            steps,
            taken,
        })
    }

    /// The same at one instant with other nodes.
    #[must_use]
    pub fn together(mut self, barriers: &Barriers) -> Self {
        let behind = self.steps.split_off(self.taken.min(self.steps.len()));
        let all = self.steps.iter().chain(&behind);
        let next = all.map(|step| step.id).max().unwrap_or(0).saturating_add(1);
        self.steps = barriers.back(self.steps, next, false);
        self.taken = self.steps.len();
        let key = || Term::atom("steps");
        if let Term::Map(pairs) = &mut self.job {
            pairs.insert(key(), steps_term(&self.steps));
        }
        self.steps.extend(behind);
        if let Term::Map(pairs) = &mut self.begun {
            pairs.insert(key(), steps_term(&self.steps));
        }
        self
    }

    /// The modules of the recorded job, with what comes back.
    pub fn beams(&self) -> Vec<Returning<'_>> {
        let recorded = |name: &Term| {
            let modules = self.begun.get("modules").and_then(Term::as_list);
            let mut entries = modules.unwrap_or_default().iter();
            entries.find_map(|entry| match entry.as_tuple() {
                Some([module, _, old]) if module == name => Md5::from_bytes(old.as_bytes()?),
                _ => None,
            })
        };
        let modules = self.job.get("modules").and_then(Term::as_list);
        let modules = modules.unwrap_or_default().iter().filter_map(|module| {
            let name = module.get("name")?;
            let beam = module.get("new").and_then(Term::as_bytes);
            let md5 = recorded(name);
            Some((Module::new(name.as_atom()?.as_str()), beam, md5))
        });
        modules.collect()
    }

    /// What is done when all goes well.
    fn actions(&self) -> impl Iterator<Item = &Action> {
        self.steps.iter().take(self.taken).map(|step| &step.action)
    }

    /// The steps of the way back, when all goes well.
    pub fn planned(&self) -> &[Step] {
        &self.steps[..self.taken.min(self.steps.len())]
    }

    /// Folders of the code path that come back.
    pub fn folders(&self) -> Vec<String> {
        let paths = self.actions().filter_map(|action| match action {
            Action::Paths(paths) => Some(paths),
            _ => None,
        });
        paths.flatten().map(|path| path.folder.clone()).collect()
    }

    /// Supervisors whose children are started or stopped on the way, as the plan said.
    pub fn supervisors(&self) -> BTreeSet<Module> {
        let children = self.actions().filter_map(|action| match action {
            Action::Children(all) => Some(all),
            _ => None,
        });
        // What was inferred each supervisor knows itself.
        let named = |step: &&ChildStep| {
            !matches!(
                step.action,
                ChildAction::Revoked(_)
                    | ChildAction::Reinstated(_)
                    | ChildAction::Unlisted(_)
                    | ChildAction::Relisted(_)
            )
        };
        let named = children.flatten().filter(named);
        named.map(|step| step.supervisor.clone()).collect()
    }

    /// Whether the files of the way there are put back as well.
    pub fn is_persisting(&self) -> bool {
        let word = self.job.get("persist");
        word.is_some_and(|word| word.is_atom("asked"))
    }

    /// The modules whose files are written or deleted on the way back, with the file that was recorded, and whether it
    /// will be there.
    pub fn files(&self) -> Vec<(Module, String, bool)> {
        let modules = self.job.get("modules").and_then(Term::as_list);
        let modules = modules.unwrap_or_default().iter().filter_map(|module| {
            let name = module.get("name")?.as_atom()?;
            let file = module.get("file")?.to_text()?;
            let stays = module.get("new")?.as_bytes().is_some();
            Some((Module::new(name.as_str()), file, stays))
        });
        modules.collect()
    }

    /// What lists of modules were before the run.
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    /// The lists of modules that are put back with the files, and what interrupted runs have left.
    pub fn listing(&mut self, restart: Restart) {
        self.restart = restart;
    }

    /// The same, as they were given.
    pub fn rewrites(&self) -> &[Rewrite] {
        &self.restart.rewrites
    }

    /// How long processes stay suspended because another one is busy: instead of what is recorded.
    pub fn within(&mut self, budget: Option<Duration>) {
        if let Term::Map(job) = &mut self.job {
            job.insert(Term::atom("budget"), job::budget_term(budget));
        }
    }

    /// What happens to processes in code that has to go: instead of what is recorded.
    pub fn purging(&mut self, purge: Purge) {
        let Term::Map(job) = &mut self.job else {
            return;
        };
        let Some(Term::List(modules)) = job.get_mut(&Term::atom("modules")) else {
            return;
        };
        for module in modules {
            if let Term::Map(module) = module {
                module.insert(Term::atom("purge"), job::purge_term(purge));
                if purge == Purge::Brutal {
                    // One that a supervisor has started again before the load runs the version that is left.
                    module.insert(Term::atom("purge_after"), job::purge_term(purge));
                }
            }
        }
    }

    /// The processes whose state is what the returning code expects, by module: an earlier run has not converted them,
    /// and they are not converted down.
    pub fn unconverted(&mut self, kept: Term) {
        if let Term::Map(job) = &mut self.job {
            job.insert(Term::atom("unconverted"), kept);
        }
    }

    /// How many processes are not converted down because of that.
    pub fn kept(&self) -> usize {
        let lists = self.job.get("unconverted").and_then(Term::as_list);
        let lists = lists.unwrap_or_default().iter();
        let pids = lists.filter_map(|entry| entry.as_tuple()?.get(1)?.as_list());
        pids.map(<[Term]>::len).sum()
    }

    /// The modules that run what would come back already: a run that was half undone has left them so.
    pub fn returned(&self, now: &dyn Fn(&Module) -> Option<Md5>) -> BTreeSet<Module> {
        let former = self.beams().into_iter();
        let former: BTreeMap<Module, Option<Md5>> =
            former.map(|(module, _, md5)| (module, md5)).collect();
        let back = self.expected.iter().filter(|(module, left)| {
            let now = now(module);
            now != *left && former.get(module) == Some(&now)
        });
        back.map(|(module, _)| module.clone()).collect()
    }

    /// The way without some modules: what is old already is left alone.
    pub fn without(&mut self, those: &BTreeSet<Module>) {
        let is_left = |name: &Term| {
            let name = name.as_atom();
            name.is_none_or(|name| !those.contains(name.as_str()))
        };
        let entry = |term: &Term| match term.as_tuple() {
            Some([module, ..]) => is_left(module),
            _ => is_left(term),
        };
        self.expected.retain(|(module, _)| !those.contains(module));
        self.steps.truncate(self.taken);
        let keep = |module: &Module| !those.contains(module);
        self.steps.retain_mut(|step| step.retain(&keep));
        self.taken = self.steps.len();
        let steps = steps_term(&self.steps);
        if let Term::Map(job) = &mut self.job {
            job.insert(Term::atom("steps"), steps.clone());
            // Forward again through a part of the windows: no such steps are recorded.
            job.insert(Term::atom("back"), Term::list([]));
            if let Some(Term::List(modules)) = job.get_mut(&Term::atom("modules")) {
                modules.retain(|module| module.get("name").is_none_or(is_left));
            }
        }
        if let Term::Map(begun) = &mut self.begun {
            begun.insert(Term::atom("steps"), steps);
            if let Some(Term::List(modules)) = begun.get_mut(&Term::atom("modules")) {
                modules.retain(entry);
            }
        }
    }

    /// The processes that the agent cannot find, as they are now: those that were recorded may be gone, or belong to
    /// the node before its restart.
    pub fn processes(&mut self, now: BTreeMap<Module, Vec<Pid>>) {
        let Term::Map(job) = &mut self.job else {
            return;
        };
        let each = now.into_iter().map(|(module, pids)| {
            let pids = Term::list(pids.into_iter().map(Term::Pid));
            Term::tuple([Term::atom(module.as_str()), pids])
        });
        job.insert(Term::atom("processes"), Term::list(each));
    }

    /// The modules that are not what the run left, with what they are now.
    pub fn differing(&self, now: &dyn Fn(&Module) -> Option<Md5>) -> Vec<String> {
        let shown = |md5: Option<Md5>| md5.map_or("not loaded".to_owned(), |md5| md5.short());
        self.expected
            .iter()
            .filter(|(module, md5)| now(module) != *md5)
            .map(|(module, md5)| {
                format!(
                    "{module}: left as {}, is {}",
                    shown(*md5),
                    shown(now(module))
                )
            })
            .collect()
    }
}

/// A node that goes back now.
pub struct RollbackRequest<'a> {
    /// The connection.
    pub session: &'a Session,
    /// The name of this run.
    pub run: &'a str,
    /// The owner of this run.
    pub owner: &'a str,
    /// The run that is undone.
    pub undone: &'a str,
    /// The way.
    pub way: &'a WayBack,
    /// Its plan, with the hooks `on rollback`; one without any when it cannot be read.
    pub plan: &'a Plan,
    /// The node's facts.
    pub view: NodeView<'a>,
    /// What hooks of the run that is undone have done.
    pub acted: Acted,
    /// The source of requests to end.
    pub interrupt: &'a Interrupt,
    /// The node's place in the group that goes back at one instant.
    pub together: Option<TogetherNode<'a>>,
}

/// Goes back on a node. The outcome's state is `Old` after a success.
pub fn roll_back(what: &RollbackRequest<'_>, sink: &mut dyn FnMut(&Event)) -> Outcome {
    let explain = |reason: &Reason| match (reason, what.together) {
        (Reason::TogetherOff { .. }, Some(node)) => node.called_off(),
        (Reason::TogetherLate { .. }, Some(node)) => node.late(agent_reason::of(reason)),
        _ => agent_reason::of_rollback(reason, what.undone),
    };
    let (session, way) = (what.session, what.way);
    let mut watch = Watch::new(session, what.run, what.interrupt, &explain, sink);
    watch.together = what.together;
    let mut checks = Checks::new(
        CheckContext::new(what.plan, session, what.view),
        watch,
        false,
    );
    checks.watch.tell(EventKind::Started {
        run: what.run.to_owned(),
        title: "rollback".to_owned(),
    });
    let mailbox = session.mailbox();
    let mut job = job::begun(&way.job, what.run, what.owner, Some(mailbox.pid()));
    if let Term::Map(pairs) = &mut job {
        let lists = job::lists_term(&way.restart.rewrites, what.run);
        pairs.insert(Term::atom("lists"), lists);
        pairs.insert(Term::atom("stages"), way.restart.stages.term());
        if let Some(node) = what.together {
            pairs.insert(Term::atom("together"), node.term(&way.steps));
        }
    }
    checks.watch.outcome.state = NodeState::New;
    checks.watch.outcome.acted = what.acted.clone();
    checks.watch.conversions_acted(&way.job);
    if let Some(Err(off)) = what.together.map(|node| node.begin(session, &way.steps)) {
        checks.watch.fail(off);
    } else if let Some(agent) = checks.watch.start(&mailbox, &job) {
        if let Some(node) = what.together {
            node.begun();
        }
        let began = Instant::now();
        checks.watch.outcome.state = checks.watch.until_finished(&mailbox, &way.steps);
        if let Some(node) = what.together {
            let outcome = &checks.watch.outcome;
            node.ended(outcome.state, outcome.errors.first());
            // Until all have ended, each may be asked what is decided.
            node.verdict(what.interrupt);
        }
        if checks.watch.outcome.state == NodeState::New && checks.watch.outcome.errors.is_empty() {
            let diagnostic = Diagnostic::new(Code::E609, "the node stayed as it was");
            let diagnostic = diagnostic.note(format!("after {:?}", began.elapsed()));
            checks.watch.fail(diagnostic);
        }
        checks.went_back();
        if checks.watch.outcome.state != NodeState::Unknown {
            let wanted = way.is_persisting();
            // The old code runs, whatever a hook thinks of it: the disk must not differ from that.
            let failed = !checks.watch.outcome.errors.is_empty();
            let persist = wanted && (!failed || checks.watch.outcome.hook_back_failed);
            checks.watch.settle(&agent, &mailbox, persist);
        }
    }
    checks.watch.finished(way.expected.len());
    checks.watch.outcome
}
