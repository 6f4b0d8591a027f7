//! `updo reconcile`: nodes that joined later, or were restarted from old files, are brought to the version that the plan's
//! last run has left on all others; with `--watch` as they come.
//!
//! What a node is follows from its code and the records of runs. What is done to those that are behind is what `updo run`
//! does, by the plan as it was recorded and with the beams that were kept; each node stands for itself: one that cannot be
//! rehearsed keeps no other from being upgraded.

#![expect(clippy::disallowed_methods, reason = "lines have the time of day")]

use std::collections::{BTreeMap, BTreeSet};

use super::args::{ReconcileArgs, RunArgs};
use super::context::Context;
use super::drift;
use super::event_sinks::OutputStream;
use super::exit::Exit;
use super::signals::Signals;
use super::{no_undo, rehearse, run};
use crate::diag::{Code, Diagnostic, Result};
use crate::engine::drift::{Asked, History, Meant, Standing, Verdict, same_digests};
use crate::engine::reconcile::{LookedAt, nothing_meant, other_plan, unknown_version};
use crate::engine::rollout::{PreparedNode, RolloutScope};
use crate::engine::{Connection, Engine};
use crate::name::{Module, NodeName};
use crate::plan::Rollout;
use crate::plan::load::absolute;
use crate::plan::rollout::{Canary, Order, Pause};
use crate::report::drift::{DriftNode, text};
use crate::report::style::count;
use crate::report::{log, rollout as words};
use crate::state::runs::RecordedRun;

/// After so many looks a node that needs nothing is asked again what it runs; until then it is enough that it is there.
const DEEP: u32 = 12;

const UNKNOWN_HELP: &str = "see what it is: updo diff PLAN -t NODE\nbring it to the version all the same: updo reconcile PLAN --include-unknown";

pub(super) fn run(context: &Context<'_>, args: &ReconcileArgs) -> Exit {
    let mut settings = context.settings();
    settings.no_verify = args.no_verify;
    settings.no_rehearsal = args.no_rehearsal;
    settings.message.clone_from(&args.message);
    let signals = Signals::listen(&settings.interrupt);
    let Some(engine) = context.open(&args.plan, settings) else {
        return Exit::Plan;
    };
    if context.ui.no_input && !args.yes && !args.dry_run {
        return context.usage(
            "standard input is not a terminal: the question cannot be answered",
            "see what would be done with --dry-run, then add --yes",
        );
    }
    let run_args = RunArgs {
        plan: args.plan.clone(),
        // While it stays, the question was answered when it began.
        yes: args.yes || args.watch,
        dry_run: args.dry_run,
        no_undo: args.no_undo,
        no_verify: args.no_verify,
        no_rehearsal: args.no_rehearsal,
        message: args.message.clone(),
        events: args.events.clone(),
        ..RunArgs::default()
    };
    let stream = match OutputStream::open(context, &run_args, &engine) {
        Ok(stream) => stream,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let mut reconcile = Reconcile {
        context,
        args,
        run_args,
        engine: &engine,
        signals: &signals,
        stream,
        said: BTreeSet::new(),
    };
    let exit = match args.watch {
        true => reconcile.watch(),
        false => reconcile.once(),
    };
    reconcile.stream.end(context, &engine.plan.title, exit);
    exit
}

struct Reconcile<'a> {
    context: &'a Context<'a>,
    args: &'a ReconcileArgs,
    run_args: RunArgs,
    engine: &'a Engine,
    signals: &'a Signals,
    stream: OutputStream,
    /// What was said: each once, as long as it stays.
    said: BTreeSet<(Code, String)>,
}

/// A node that was looked at, and what came out.
struct Judged {
    node: NodeName,
    looked: LookedAt,
    verdict: Verdict,
}

/// What has become of the nodes that were to be brought there.
#[derive(Default)]
struct Pass {
    /// Those that did not begin, and why.
    failed: BTreeMap<NodeName, Exit>,
    /// What the rollouts of the others came to.
    walked: Vec<Exit>,
    /// The nodes that run the version now.
    brought: BTreeSet<NodeName>,
    /// Whether any node runs something else than before.
    changed: bool,
    /// Whether the question was answered with no.
    is_refused: bool,
    /// Nodes that run the version, as a comparison with their disks shows.
    same: usize,
}

impl Pass {
    /// One exit code of all.
    fn exit(&self) -> Exit {
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

impl<'a> Reconcile<'a> {
    /// The nodes of the target, and which version they should run.
    fn history(&self, nodes: &[NodeName]) -> std::result::Result<History, Box<Diagnostic>> {
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

    fn once(&mut self) -> Exit {
        let sources = &self.engine.plan.sources;
        let nodes = match self.engine.nodes(self.context.global.target.as_deref()) {
            Ok(nodes) => nodes,
            Err(diagnostic) => return self.context.fail(*diagnostic, sources),
        };
        let history = match self.history(&nodes) {
            Ok(history) => history,
            Err(diagnostic) => return self.context.fail(*diagnostic, sources),
        };
        let looks = self.engine.look_at_all(&nodes);
        let (mut judged, mut lines, mut unreached) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (node, looked) in nodes.iter().zip(looks) {
            match looked {
                Ok(looked) => {
                    let one = judge(&history, node, looked);
                    lines.push(drift::shown(
                        node,
                        &one.verdict,
                        &history,
                        &one.looked.facts,
                    ));
                    judged.push(one);
                }
                Err(diagnostic) => {
                    lines.push(drift::unreached(node, &diagnostic));
                    unreached.insert(node.clone(), Exit::of(diagnostic.code));
                    self.context.ui.diagnostics(&[*diagnostic], sources);
                }
            }
        }
        self.summary(&history, &lines);
        let unknown = self.unknown(&judged);
        let due: Vec<&Judged> = judged.iter().filter(|one| self.is_due(one)).collect();
        let is_other = |one: &&Judged| one.verdict.standing == Standing::OtherOtp;
        let unknown = unknown + judged.iter().filter(is_other).count();
        let others = unknown + unreached.len();
        let others = others
            + judged
                .iter()
                .filter(|one| is_meant_so(&one.verdict))
                .count();
        let mut pass = self.pass(&history, &due, others == 0);
        pass.failed.extend(unreached);
        let exit = pass.exit();
        if exit == Exit::Done && pass.brought.is_empty() && unknown == 0 && !self.args.dry_run {
            self.nothing(&history, &judged);
        }
        let is_left = unknown > 0 || (self.args.dry_run && due.len() > pass.same);
        match exit {
            Exit::Done if is_left => Exit::Pending,
            exit => exit,
        }
    }

    /// Says that all nodes are as they should be.
    fn nothing(&self, history: &History, judged: &[Judged]) {
        let meant = history.meant().map_or_else(String::new, |one| one.words());
        let excepted = judged
            .iter()
            .filter(|one| is_meant_so(&one.verdict))
            .count();
        let same = judged.len() - excepted;
        let mut line = format!(
            "nothing to do: {} the version of {meant}",
            match same {
                1 => "1 node runs".to_owned(),
                many => format!("{many} nodes run"),
            }
        );
        if excepted > 0 {
            line += &format!(
                ", {} left as meant",
                count(excepted, "node is", "nodes are")
            );
        }
        self.context.ui.status(&line);
    }

    fn summary(&self, history: &History, lines: &[DriftNode]) {
        let style = self.context.ui.style;
        let summary = text(&drift::meant(history), lines, style);
        self.context.ui.status_text(summary.trim_end());
    }

    /// Says which nodes run what no run explains; how many of them are left alone.
    fn unknown(&mut self, judged: &[Judged]) -> usize {
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
    fn is_due(&self, one: &Judged) -> bool {
        match one.verdict.standing {
            Standing::Behind => true,
            Standing::Unknown => self.args.include_unknown,
            Standing::Same => one.verdict.unloaded,
            Standing::RolledBack | Standing::Ahead | Standing::OtherOtp => false,
        }
    }

    /// Brings nodes to the version, over those that they lack. `whole`: all nodes of the target run it afterwards.
    fn pass(&mut self, history: &History, due: &[&Judged], whole: bool) -> Pass {
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
            abort_after: usize::MAX,
            pause,
            ..rollout
        }
    }

    /// Diagnostics that were not said before.
    fn say(&mut self, all: Vec<Diagnostic>) {
        let new: Vec<Diagnostic> = all
            .into_iter()
            .filter(|one| self.said.insert((one.code, one.title.clone())))
            .collect();
        self.context.ui.diagnostics(&new, &self.engine.plan.sources);
    }
}

/// A node that is watched.
struct Known<'a> {
    connection: Connection<'a>,
    /// Whether nothing is to be done there.
    settled: bool,
    /// How often it was found to be there since it was asked what it runs.
    looks: u32,
}

impl<'a> Reconcile<'a> {
    /// Stays, and looks again and again.
    fn watch(&mut self) -> Exit {
        let interrupt = self.engine.settings.interrupt.clone();
        if !self.args.yes {
            let question = "Nodes that are behind are upgraded as they come, without further questions. Go on?";
            match self.context.ui.confirm(question) {
                Some(true) => {}
                Some(false) => {
                    self.context
                        .ui
                        .status("only the word yes goes on; nothing was changed");
                    return Exit::Aborted;
                }
                None => {
                    return self
                        .context
                        .usage("standard input is not a terminal", "add --yes");
                }
            }
        }
        // From now on a signal is an end in order.
        self.signals.begin_several();
        let mut known: BTreeMap<NodeName, Known<'a>> = BTreeMap::new();
        let mut failed: BTreeMap<NodeName, Exit> = BTreeMap::new();
        // In which life of a node what was tried: not again before it is another one.
        let mut tried: BTreeSet<(NodeName, u32, String)> = BTreeSet::new();
        let mut records: Option<(Vec<RecordedRun>, Vec<NodeName>, History)> = None;
        let mut shown: BTreeMap<NodeName, (String, String)> = BTreeMap::new();
        let mut brought = 0;
        loop {
            match self.look(&mut known, &mut records) {
                Err(diagnostic) => {
                    // Before anything was looked at it is no use to wait for a version.
                    if shown.is_empty() && Exit::of(diagnostic.code) != Exit::Connect {
                        return self.context.fail(*diagnostic, &self.engine.plan.sources);
                    }
                    self.say(vec![*diagnostic]);
                }
                Ok(judged) => {
                    let Some((_, nodes, history)) = records.take() else {
                        continue;
                    };
                    let meant = history.meant().map_or_else(String::new, |one| one.words());
                    let mut lines = Vec::new();
                    for one in &judged {
                        let line =
                            drift::shown(&one.node, &one.verdict, &history, &one.looked.facts);
                        let words = (line.word.clone(), line.why.clone());
                        if shown.insert(one.node.clone(), words.clone()) != Some(words) {
                            lines.push(line);
                        }
                    }
                    if !lines.is_empty() {
                        self.line("looked at");
                        self.summary(&history, &lines);
                    }
                    self.unknown(&judged);
                    let key = |one: &Judged| (one.node.clone(), one.looked.creation, meant.clone());
                    let due: Vec<&Judged> = judged
                        .iter()
                        .filter(|one| self.is_due(one) && !tried.contains(&key(one)))
                        .collect();
                    let pass = self.pass(&history, &due, false);
                    for one in &due {
                        let is_new = pass.brought.contains(&one.node);
                        let exit = pass.failed.get(&one.node).copied().unwrap_or(Exit::Done);
                        // What is in the way for a while is tried again.
                        if matches!(exit, Exit::Locked | Exit::Connect | Exit::Changed) {
                            known.remove(&one.node);
                            continue;
                        }
                        tried.insert(key(one));
                        match exit {
                            Exit::Done => {
                                brought += usize::from(is_new);
                                failed.remove(&one.node);
                            }
                            exit => _ = failed.insert(one.node.clone(), exit),
                        }
                        // What it runs now is looked at once more.
                        if let Some(known) = known.get_mut(&one.node) {
                            known.settled = false;
                        }
                    }
                    if !due.is_empty() && interrupt.count() == 0 {
                        let nodes = count(nodes.len(), "node", "nodes");
                        self.line(&format!("{nodes} watched; ctrl-c ends"));
                    }
                    records = Some((self.engine.settings.records().all(), nodes, history));
                }
            }
            if interrupt.sleep(self.args.every, 1) {
                break;
            }
        }
        let end = match brought {
            0 => "ended: no node was behind".to_owned(),
            some => format!(
                "ended: {} to the version",
                count(some, "node was brought", "nodes were brought")
            ),
        };
        match failed.len() {
            0 => self.line(&end),
            some => self.line(&format!(
                "{end}, {} not",
                count(some, "node was", "nodes were")
            )),
        }
        let all = Pass {
            failed,
            ..Pass::default()
        };
        match (all.exit(), brought) {
            (Exit::Broken, _) => Exit::Broken,
            (exit, 0) | (exit @ Exit::Done, _) => exit,
            _ => Exit::Partly,
        }
    }

    /// Looks at the nodes of which it is not known what they are; the records are read anew when there are others.
    fn look(
        &mut self,
        known: &mut BTreeMap<NodeName, Known<'a>>,
        records: &mut Option<(Vec<RecordedRun>, Vec<NodeName>, History)>,
    ) -> Result<Vec<Judged>> {
        let nodes = self.engine.nodes(self.context.global.target.as_deref())?;
        let now = self.engine.settings.records().all();
        let is_same = |(before, names, _): &(Vec<RecordedRun>, Vec<NodeName>, History)| {
            *before == now && *names == nodes
        };
        if !records.as_ref().is_some_and(is_same) {
            let history = self.history(&nodes)?;
            known.values_mut().for_each(|one| one.settled = false);
            *records = Some((now, nodes.clone(), history));
        }
        known
            .retain(|node, one| nodes.contains(node) && one.connection.session.is_lost().is_none());
        let mut judged = Vec::new();
        let Some((_, _, history)) = records else {
            return Ok(judged);
        };
        for node in &nodes {
            if self.engine.settings.interrupt.count() > 0 {
                break;
            }
            let one = match known.get_mut(node) {
                Some(one) => one,
                // One that is not there yet is waited for.
                None => match self.engine.connect(node) {
                    Ok(connection) => known.entry(node.clone()).or_insert(Known {
                        connection,
                        settled: false,
                        looks: 0,
                    }),
                    Err(_) => continue,
                },
            };
            one.looks += 1;
            if one.settled && one.looks < DEEP {
                continue;
            }
            let Ok(looked) = LookedAt::of(&one.connection) else {
                known.remove(node);
                continue;
            };
            let this = judge(history, node, looked);
            (one.settled, one.looks) = (true, 0);
            judged.push(this);
        }
        Ok(judged)
    }

    /// A line with the time of day.
    fn line(&self, line: &str) {
        let clock = log::clock(std::time::SystemTime::now());
        self.context.ui.status(&format!("{clock} {line}"));
    }
}

fn judge(history: &History, node: &NodeName, looked: LookedAt) -> Judged {
    Judged {
        verdict: history.judge(node, looked.creation, &looked.facts),
        node: node.clone(),
        looked,
    }
}

/// Whether a node differs, and is left so.
fn is_meant_so(verdict: &Verdict) -> bool {
    matches!(verdict.standing, Standing::RolledBack | Standing::Ahead)
}
