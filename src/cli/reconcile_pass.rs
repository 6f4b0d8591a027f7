//! What `updo reconcile` does with the nodes that are behind.
//!
//! What a node is follows from its code and the records of runs. What is done to those that are behind is what `updo run`
//! does, by the plan as it was recorded and with the beams that were kept; each node is a run of its own: one that cannot be
//! rehearsed keeps no other from being upgraded.

use std::collections::{BTreeMap, BTreeSet};

use super::args::{ReconcileArgs, RunArgs};
use super::context::Context;
use super::drift;
use super::event_sinks::OutputStream;
use super::exit::Exit;
use super::signals::Signals;
use super::{no_undo, rehearse, run};
use crate::diag::{Code, Diagnostic};
use crate::engine::Engine;
use crate::engine::drift::{Asked, History, Meant, Standing, Verdict, same_digests};
use crate::engine::reconcile::{LookedAt, nothing_meant, other_plan, unknown_version};
use crate::engine::rollout::{PreparedNode, RolloutScope};
use crate::name::{Module, NodeName};
use crate::plan::Rollout;
use crate::plan::load::absolute;
use crate::plan::rollout::{Canary, Order, Pause};
use crate::report::drift::{DriftNode, text};
use crate::report::rollout as words;
use crate::report::style::count;

const UNKNOWN_HELP: &str = "see what it is: updo diff PLAN -t NODE\nbring it to the version all the same: updo reconcile PLAN --include-unknown";

pub(super) struct Reconcile<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) args: &'a ReconcileArgs,
    pub(super) run_args: RunArgs,
    pub(super) engine: &'a Engine,
    pub(super) signals: &'a Signals,
    pub(super) stream: OutputStream,
    /// What was said: each once, as long as it stays.
    pub(super) said: BTreeSet<(Code, String)>,
}

/// A node that was looked at, and what came out.
pub(super) struct Judged {
    pub(super) node: NodeName,
    pub(super) looked: LookedAt,
    pub(super) verdict: Verdict,
}

/// What has become of the nodes that were to be brought there.
#[derive(Default)]
pub(super) struct Pass {
    /// Those that did not begin, and why.
    pub(super) failed: BTreeMap<NodeName, Exit>,
    /// What the rollouts of the others came to.
    pub(super) walked: Vec<Exit>,
    /// The nodes that run the version now.
    pub(super) brought: BTreeSet<NodeName>,
    /// Whether any node runs something else than before.
    pub(super) changed: bool,
    /// Whether the question was answered with no.
    pub(super) is_refused: bool,
    /// Nodes that run the version, as a comparison with their disks shows.
    pub(super) same: usize,
}

impl Pass {
    /// One exit code of all.
    pub(super) fn exit(&self) -> Exit {
        let mut all = self.walked.iter().chain(self.failed.values());
        let grave = |exit: &&Exit| matches!(exit, Exit::Broken | Exit::Lost);
        if let Some(grave) = all.clone().find(grave) {
            return *grave;
        }
        match all.find(|exit| **exit != Exit::Done) {
            None => Exit::Done,
            Some(_) if self.changed => Exit::Partly,
            Some(first) => *first,
        }
    }
}

impl Reconcile<'_> {
    /// The nodes of the target, and which version they should run.
    pub(super) fn history(
        &self,
        nodes: &[NodeName],
    ) -> std::result::Result<History, Box<Diagnostic>> {
        let plan = absolute(&self.engine.plan.path);
        let meant = self.args.to.as_deref().map_or(Meant::OfPlan, Meant::Named);
        let asked = Asked {
            plan: &plan,
            target: self.engine.target_name(nodes),
            nodes,
        };
        let history = History::read(&self.engine.settings, asked, meant);
        let Some(one) = history.meant() else {
            let diagnostic = match &self.args.to {
                Some(run) => Diagnostic::new(
                    Code::E801,
                    format!("there is no run {run} that left a node new"),
                )
                .help("`updo log` lists the recorded runs and how they ended"),
                None => nothing_meant(self.engine, &history),
            };
            return Err(Box::new(diagnostic));
        };
        if !history.is_known() {
            return Err(Box::new(unknown_version(one)));
        }
        if self.args.to.is_none()
            && let Some(newer) = history.last_through()
            && newer.plan() != one.plan()
            && newer.began() > one.began()
        {
            return Err(Box::new(other_plan(one, newer)));
        }
        Ok(history)
    }

    pub(super) fn summary(&self, history: &History, lines: &[DriftNode]) {
        let style = self.context.ui.style;
        let summary = text(&drift::meant(history), lines, style);
        self.context.ui.status_text(summary.trim_end());
    }

    /// Says which nodes run what no run explains; how many of them are left alone.
    pub(super) fn unknown(&mut self, judged: &[Judged]) -> usize {
        if self.args.include_unknown {
            return 0;
        }
        let unknown = judged
            .iter()
            .filter(|one| one.verdict.standing == Standing::Unknown);
        let unknown: Vec<Diagnostic> = unknown
            .map(|one| drift::unknown(&one.node, &one.verdict, UNKNOWN_HELP))
            .collect();
        let number = unknown.len();
        self.say(unknown);
        number
    }

    /// Whether something is to be done on a node, or only a comparison with its disk shows whether.
    pub(super) fn is_due(&self, one: &Judged) -> bool {
        match one.verdict.standing {
            Standing::Behind => true,
            Standing::Unknown => self.args.include_unknown,
            Standing::Same => one.verdict.unloaded,
            Standing::RolledBack | Standing::Ahead | Standing::OtherOtp => false,
        }
    }

    /// Brings nodes to the version, over those that they lack. `whole`: all nodes of the target run it afterwards.
    pub(super) fn pass(&mut self, history: &History, due: &[&Judged], whole: bool) -> Pass {
        let mut pass = Pass::default();
        let first = due.iter().filter_map(|one| one.verdict.lacks).min();
        let steps = history.steps(first, &self.engine.settings);
        for (at, step) in steps.iter().enumerate() {
            let is_last = at + 1 == steps.len();
            let lacking = |one: &&&Judged| match one.verdict.lacks {
                Some(lacks) => step.is_behind(lacks),
                // What no run explains, or is not loaded yet: no step on the way is known.
                None => is_last,
            };
            let mut left: Vec<&Judged> = due.iter().filter(lacking).copied().collect();
            left.retain(|one| !pass.failed.contains_key(&one.node));
            let is_begun = !left.is_empty();
            // Digests of the same beam differ between some releases: each kind by itself.
            while let Some(first) = left.first() {
                let otp = first.looked.facts.otp;
                let alike = |one: &&Judged| same_digests(one.looked.facts.otp, otp);
                let (these, others): (Vec<&Judged>, Vec<&Judged>) =
                    left.iter().copied().partition(alike);
                let whole = whole && is_last && others.is_empty();
                self.alike(step, otp, &these, (whole, is_last), &mut pass);
                left = others;
                if self.engine.settings.interrupt.count() > 0 || pass.is_refused {
                    return pass;
                }
            }
            if self.args.dry_run && !is_last && is_begun {
                let then = steps[at + 1..].iter().filter_map(History::meant);
                let then: Vec<String> = then.map(|one| one.words()).collect();
                let line = format!("then on to what these have left: {}", then.join(", "));
                self.context.ui.status(&line);
                break;
            }
        }
        pass
    }

    fn alike(
        &mut self,
        history: &History,
        otp: u32,
        due: &[&Judged],
        (whole, is_last): (bool, bool),
        pass: &mut Pass,
    ) {
        let context = self.context;
        let mut modules: BTreeSet<Module> = history.changed().into_iter().cloned().collect();
        if is_last {
            let differs = due.iter().flat_map(|one| &one.verdict.differs);
            modules.extend(differs.cloned());
        }
        let to = match self.engine.to_version(history, otp, &modules) {
            Ok(to) => to,
            // The next one may be come to as well without it.
            Err(all) if !is_last && all.iter().all(|one| one.code == Code::E650) => {
                let words = history.meant().map_or_else(String::new, |one| one.words());
                let line = format!("not over {words}: its beams are not kept any more");
                return self.context.ui.status(&line);
            }
            Err(all) => {
                let exit = all.first().map_or(Exit::Bug, |first| Exit::of(first.code));
                pass.failed
                    .extend(due.iter().map(|one| (one.node.clone(), exit)));
                return self.say(all);
            }
        };
        // The file is another one since the earlier runs in any case.
        let said = to.diagnostics.into_iter();
        self.say(
            said.filter(|one| is_last || one.code != Code::W655)
                .collect(),
        );
        if let (false, Some(step)) = (is_last, history.meant()) {
            let nodes = count(due.len(), "node lacks", "nodes lack");
            let line = format!(
                "{nodes} {} as well: first to what it has left",
                step.words()
            );
            context.ui.status(&line);
        }
        let engine = &to.engine;
        let nodes: Vec<NodeName> = due.iter().map(|one| one.node.clone()).collect();
        let mut prepared: Vec<PreparedNode<'_>> = Vec::new();
        for (one, result) in due.iter().zip(engine.prepare_each(&nodes)) {
            match result {
                Ok(one) if one.upgrade.is_empty() => pass.same += usize::from(is_last),
                Ok(one) => prepared.push(one),
                Err(diagnostic) => {
                    pass.failed
                        .insert(one.node.clone(), Exit::of(diagnostic.code));
                    self.say(vec![diagnostic.note(format!("on {}", one.node))]);
                }
            }
        }
        if prepared.is_empty() {
            return;
        }
        run::show(context, engine, &self.run_args, &prepared);
        let mut drop_those = |prepared: &mut Vec<PreparedNode<'_>>, exits: Vec<Option<Exit>>| {
            let mut exits = exits.into_iter();
            prepared.retain(|one| match exits.next().flatten() {
                Some(exit) => {
                    pass.failed
                        .insert(one.connection.session.node().clone(), exit);
                    false
                }
                None => true,
            });
        };
        let refused = prepared
            .iter()
            .map(|one| one.upgrade.is_refused().then_some(Exit::Plan));
        let refused: Vec<Option<Exit>> = refused.collect();
        drop_those(&mut prepared, refused);
        if self.args.dry_run {
            return;
        }
        let mut unanswered = Vec::new();
        for one in prepared.chunks(1) {
            let refusal = no_undo::answered(context, &self.run_args, one).err();
            unanswered.push(refusal.map(|refusal| context.fail(*refusal, &engine.plan.sources)));
        }
        drop_those(&mut prepared, unanswered);
        let failing = rehearse::of_each(context, engine, &mut prepared, &mut self.stream);
        if failing.iter().any(Option::is_some) && prepared.len() > 1 {
            let number = failing.iter().flatten().count();
            let number = count(number, "node is", "nodes are");
            context
                .ui
                .status(&format!("{number} not touched, the others go on"));
        }
        drop_those(&mut prepared, failing);
        if prepared.is_empty() {
            context.ui.status("nothing was changed");
            return;
        }
        let names: Vec<NodeName> = prepared
            .iter()
            .map(|one| one.connection.session.node().clone())
            .collect();
        let rollout = self.rollout(&names);
        let stages = rollout.stages(&names, names.len());
        if names.len() > 1 {
            let text = words::stages(&rollout, &stages, &names, context.ui.style);
            context.ui.status(&format!("\n{text}"));
        }
        let asked = no_undo::ask(context, &self.run_args, &prepared)
            .or_else(|| run::ask(context, &self.run_args, &prepared));
        if let Some(exit) = asked {
            pass.walked.push(exit);
            pass.is_refused = true;
            return;
        }
        match names.len() {
            1 => self.signals.begin(),
            _ => self.signals.begin_several(),
        }
        let scope = RolloutScope {
            whole: whole && pass.failed.is_empty(),
            of: names.len(),
            to: history.meant().map(|meant| meant.name().to_owned()),
        };
        let how = (&rollout, &stages[..], &scope);
        let outcome = run::walk(context, engine, &prepared, how, &mut self.stream);
        pass.walked.push(Exit::of_rollout(&outcome));
        for (node, end) in names.into_iter().zip(&outcome.ends) {
            match end {
                Some(end) if end.is_good() => {
                    pass.changed = true;
                    if is_last {
                        pass.brought.insert(node);
                    }
                }
                Some(end) => _ = pass.failed.insert(node, Exit::of_run(end)),
                // Not begun: another one has needed a person, or the end was asked for.
                None => {}
            }
        }
    }

    /// The plan's rollout without what is for a new version: canaries, and an end for all when one fails.
    fn rollout(&self, names: &[NodeName]) -> Rollout {
        let target = self.context.global.target.as_deref();
        let rollout = self.engine.rollout(target, names);
        let pause = match rollout.pause {
            Pause::Confirm if self.run_args.yes || self.context.ui.no_input => Pause::None,
            pause => pause,
        };
        Rollout {
            canary: Canary::First(0),
            order: Order::Given,
            all_back: false,
            together: None,
            abort_after: usize::MAX,
            pause,
            ..rollout
        }
    }

    /// Diagnostics that were not said before.
    pub(super) fn say(&mut self, all: Vec<Diagnostic>) {
        let new: Vec<Diagnostic> = all
            .into_iter()
            .filter(|one| self.said.insert((one.code, one.title.clone())))
            .collect();
        self.context.ui.diagnostics(&new, &self.engine.plan.sources);
    }
}

pub(super) fn judge(history: &History, node: &NodeName, looked: LookedAt) -> Judged {
    Judged {
        verdict: history.judge(node, looked.creation, &looked.facts),
        node: node.clone(),
        looked,
    }
}

/// Whether a node differs, and is left so.
pub(super) fn is_meant_so(verdict: &Verdict) -> bool {
    matches!(verdict.standing, Standing::RolledBack | Standing::Ahead)
}
