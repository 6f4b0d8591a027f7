//! `updo run`: preview, ask, upgrade, verify. Over the nodes of a target as the plan's `rollout` says.

use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use serde_json::json;

use super::args::RunArgs;
use super::context::Context;
use super::event_sinks::OutputStream;
use super::exit::Exit;
use super::no_undo;
use super::preview::nothing;
use super::rehearse;
use super::rollout_screen::Walking;
use super::same::{self, PlannedNode};
use super::screen::{Ending, Screen, ScreenHeader};
use super::signals::Signals;
use crate::diag::{Code, Diagnostic, Severity, SourceMap};
use crate::engine::Engine;
use crate::engine::rollout::{PreparedNode, RolloutEvent, RolloutScope, Watcher, run_rollout};
use crate::engine::saved_script::Saved;
use crate::exec::rollout_checks::{RolloutChecks, RolloutOutcome};
use crate::exec::{Event, Outcome, steps};
use crate::name::NodeName;
use crate::plan::Rollout;
use crate::plan::rollout::{Canary, Order, Pause, Stage};
use crate::report::{self, json, preview, rollout, style};
use crate::script::lower::processes;

pub(super) fn run(context: &Context<'_>, args: &RunArgs) -> Exit {
    let mut settings = match context.settings_for(Some(&args.plan), &args.push) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    settings.strict = args.strict;
    settings.no_verify = args.without.no_verify;
    settings.no_rehearsal = args.without.no_rehearsal;
    settings.detach = args.detach;
    settings.message.clone_from(&args.message);
    settings.lock_timeout = args.lock_timeout.unwrap_or_default();
    let signals = Signals::listen(&settings.interrupt);
    let saved = match Saved::is(&args.plan)
        .then(|| Saved::read(&args.plan))
        .transpose()
    {
        Ok(saved) => saved,
        Err(error) => return context.fail(*error, &SourceMap::default()),
    };
    let mut plan = &args.plan;
    if let Some(saved) = &saved {
        if context.global.target.is_some() || !context.global.set.is_empty() {
            let title = "a saved script has its nodes and parameters";
            return context.usage(
                title,
                "leave out --target and --set, or preview again with -o",
            );
        }
        settings.sets.clone_from(&saved.sets);
        settings.push.clone_from(&saved.push);
        plan = &saved.plan;
    }
    let Some(mut engine) = context.open(plan, settings) else {
        return Exit::Plan;
    };
    if let Some(deadline) = args.deadline {
        engine.plan.deadline = Some(deadline);
    }
    if let Some(soak) = args.soak {
        engine.plan.soak = soak;
    }
    if let Some(budget) = args.budget {
        engine.plan.budget = budget.0;
        engine.plan.budget_said = true;
    }
    if let Some(Err(error)) = saved.as_ref().map(|saved| saved.same_plan(&engine.plan)) {
        return context.fail(*error, &engine.plan.sources);
    }
    let names = saved.as_ref().map(|saved| {
        let names: Vec<&str> = saved.nodes.iter().map(|(node, _)| node.as_str()).collect();
        names.join(",")
    });
    let target = names.as_deref().or(context.global.target.as_deref());
    let all = match engine.nodes(target) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let walking = match RolloutSelection::new(&engine, args, target, &all) {
        Ok(way) => way,
        Err(error) => return context.fail(error, &engine.plan.sources),
    };
    if args.detach {
        if walking.nodes.len() > 1 {
            return context.usage("--detach is for one node at a time", "name it: -t NODE");
        }
        if RolloutChecks::is_said_after(&engine.plan) {
            let title = "with --detach the plan's checks and hooks after the rollout would not run";
            return context.usage(title, "leave --detach out");
        }
    }
    // Without a terminal there is no answer: say so before a node is asked anything.
    if context.ui.no_input {
        if !args.yes && !args.dry_run {
            return context.usage(
                "standard input is not a terminal: the question cannot be answered",
                "look at `updo preview` first, then add --yes",
            );
        }
        if walking.rollout.pause == Pause::Confirm && walking.nodes.len() > 1 {
            return context.usage(
                "standard input is not a terminal: the pauses between batches cannot be answered",
                "give a time instead: --pause 5m",
            );
        }
    }
    let mut stream = match OutputStream::open(context, args, &engine) {
        Ok(stream) => stream,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let exit = walking.go(
        context,
        args,
        &engine,
        saved.as_ref(),
        &signals,
        &mut stream,
    );
    stream.end(context, &engine.plan.title, exit);
    exit
}

/// Which nodes, and how they are walked through.
struct RolloutSelection {
    rollout: Rollout,
    nodes: Vec<NodeName>,
    /// How many nodes the target has.
    whole: usize,
    /// Whether all of them are new when it is over.
    all: bool,
    /// Whether nodes of the target are left out of which it is not known what they run.
    parts: bool,
}

impl RolloutSelection {
    /// What the plan says, and what was reported instead.
    fn new(
        engine: &Engine,
        args: &RunArgs,
        target: Option<&str>,
        all: &[NodeName],
    ) -> Result<Self, Diagnostic> {
        let mut rollout = engine.rollout(target, all);
        if let Some(batches) = &args.batch {
            rollout.batches.clone_from(&batches.0);
        }
        if let Some(pause) = args.pause {
            rollout.pause = pause;
        }
        let one_by_one = [
            ("--batch", args.batch.is_some()),
            ("--pause", args.pause.is_some()),
        ];
        if let (Some(_), Some((flag, _))) = (
            rollout.together,
            one_by_one.iter().find(|(_, given)| *given),
        ) {
            let title =
                format!("all nodes of this rollout switch at one instant: {flag} means nothing");
            return Err(Diagnostic::new(Code::E801, title).help(format!(
                "leave {flag} out, or `together` of the plan's rollout"
            )));
        }
        if args.canary_only && rollout.canary == Canary::First(0) {
            let title = "the plan's rollout has no canary";
            let help = "add `rollout #{canary => 1}.`, or name a node: --only-node NODE";
            return Err(Diagnostic::new(Code::E801, title).help(help));
        }
        let named = |what: &str, nodes: &[NodeName]| match nodes.iter().find(|n| !all.contains(n)) {
            Some(node) => {
                let title = format!("`{what}` names `{node}`, which is none of the target's nodes");
                Err(Diagnostic::new(Code::E211, title))
            }
            None => Ok(()),
        };
        if let Canary::Nodes(nodes) = &rollout.canary {
            named("canary", nodes)?;
        }
        if let Order::First(nodes) = &rollout.order {
            named("order", nodes)?;
        }
        let mut nodes = rollout.ordered(all);
        let place = |name: &str| {
            let found = nodes.iter().position(|node| node.as_str() == name);
            found.ok_or_else(|| {
                let title = format!("`{name}` is none of the target's nodes");
                let diagnostic = Diagnostic::new(Code::E211, title);
                let names = nodes.iter().map(NodeName::as_str);
                match crate::diag::suggest::suggest(name, names.clone()) {
                    Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
                    None => diagnostic.help(format!(
                        "there are: {}",
                        names.collect::<Vec<_>>().join(", ")
                    )),
                }
            })
        };
        if let Some(name) = &args.only_node {
            nodes = vec![nodes[place(name)?].clone()];
        } else if let Some(name) = &args.from {
            let at = place(name)?;
            nodes.drain(..at);
            rollout.canary = Canary::First(0);
        }
        Ok(Self {
            rollout,
            nodes,
            whole: all.len(),
            all: args.only_node.is_none() && !args.canary_only,
            parts: args.only_node.is_some() || args.from.is_some(),
        })
    }

    /// Looks at all nodes, shows, asks, and walks.
    fn go(
        &self,
        context: &Context<'_>,
        args: &RunArgs,
        engine: &Engine,
        saved: Option<&Saved>,
        signals: &Signals,
        stream: &mut OutputStream,
    ) -> Exit {
        let mut prepared_nodes = match PreparedNode::prepare_all(engine, &self.nodes) {
            Ok(prepared_nodes) => prepared_nodes,
            Err(all) => {
                context.ui.diagnostics(&all, &engine.plan.sources);
                return all.first().map_or(Exit::Bug, |first| Exit::of(first.code));
            }
        };
        let refused = show(context, engine, args, &prepared_nodes);
        let not_shown =
            |prepared: &PreparedNode<'_>| saved?.same_node(node(prepared), &prepared.upgrade).err();
        let stale: Vec<Diagnostic> = prepared_nodes
            .iter()
            .filter_map(not_shown)
            .map(|diagnostic| *diagnostic)
            .collect();
        if !stale.is_empty() {
            context.ui.diagnostics(&stale, &engine.plan.sources);
            return Exit::Changed;
        }
        prepared_nodes.retain(|prepared| !prepared.upgrade.is_empty());
        if refused {
            return Exit::Plan;
        }
        if prepared_nodes.is_empty() {
            return Exit::Done;
        }
        let mut nodes: Vec<NodeName> = prepared_nodes.iter().map(node).cloned().collect();
        let left = nodes.clone();
        if args.canary_only {
            // Those of the whole target, whether or not there is anything left to do there.
            let first = self
                .rollout
                .stages(&self.nodes, self.whole)
                .into_iter()
                .next();
            let first = first.map_or_else(Vec::new, |stage| stage.nodes);
            prepared_nodes
                .retain(|prepared| first.iter().any(|at| self.nodes[*at] == *node(prepared)));
            nodes = prepared_nodes.iter().map(node).cloned().collect();
            if prepared_nodes.is_empty() {
                context
                    .ui
                    .status("nothing to do: the canary is new already");
                return Exit::Done;
            }
        }
        let unfit = prepared_nodes.iter();
        let unfit = unfit.filter_map(|prepared| prepared.unfit_together(&self.rollout));
        let unfit: Vec<Diagnostic> = unfit.collect();
        if let Some(first) = unfit.first() {
            context.ui.diagnostics(&unfit, &engine.plan.sources);
            return Exit::of(first.code);
        }
        let mut stages = self.rollout.stages(&nodes, self.whole);
        if args.canary_only {
            stages = vec![Stage {
                name: "canary".to_owned(),
                nodes: (0..nodes.len()).collect(),
            }];
        }
        if prepared_nodes.len() > 1 {
            let words = rollout::stages(&self.rollout, &stages, &nodes, context.ui.style);
            context.ui.status(&format!("\n{words}"));
        }
        // Nodes that switch at one instant meet no other version.
        if self.whole > 1 && self.rollout.together.is_none() {
            let upgrades = prepared_nodes.iter().map(|prepared| &prepared.upgrade);
            let crossing = crate::engine::rollout::crossing(upgrades);
            context.ui.diagnostics(&crossing, &engine.plan.sources);
        }
        if args.dry_run {
            return Exit::Done;
        }
        if let Err(refusal) = no_undo::answered(context, args, &prepared_nodes) {
            return context.fail(*refusal, &engine.plan.sources);
        }
        if let Err(exit) = rehearse::before_run(context, engine, &mut prepared_nodes, stream) {
            return exit;
        }
        let asked = no_undo::ask(context, args, &prepared_nodes)
            .or_else(|| ask(context, args, &prepared_nodes));
        if let Some(exit) = asked {
            return exit;
        }
        match prepared_nodes.len() {
            1 => signals.begin(),
            _ => signals.begin_several(),
        }
        let scope = RolloutScope {
            whole: self.all,
            of: if self.parts { self.whole } else { left.len() },
            to: None,
        };
        let rollout = &self.rollout;
        let how = (rollout, &stages[..], &scope);
        let exit = Exit::of_rollout(&walk(context, engine, &prepared_nodes, how, stream));
        for prepared in prepared_nodes {
            // The process ends soon: the facts of thousands of modules need not be given back piece by piece.
            let _kept = ManuallyDrop::new(prepared.upgrade);
        }
        let mut left = left.iter().filter(|node| !nodes.contains(node));
        if let (Exit::Done, Some(next)) = (exit, left.next()) {
            context.ui.status(&format!(
                "{} left: updo run {} --from {next}",
                style::count(1 + left.count(), "node is", "nodes are"),
                args.plan.display()
            ));
        }
        exit
    }
}

/// Runs prepared nodes, as a rollout of these stages; what is to be asked was asked.
pub(super) fn walk<'e>(
    context: &Context<'_>,
    engine: &'e Engine,
    prepared_nodes: &[PreparedNode<'e>],
    how: (&Rollout, &[Stage], &RolloutScope),
    stream: &mut OutputStream,
) -> RolloutOutcome {
    match prepared_nodes {
        [prepared] if engine.plan.holds.is_empty() => alone(context, engine, prepared, how, stream),
        _ => several(context, engine, prepared_nodes, how, stream),
    }
}

/// One node: all of the screen is for it.
fn alone<'e>(
    context: &Context<'_>,
    engine: &'e Engine,
    prepared: &PreparedNode<'e>,
    (rollout, stages, scope): (&Rollout, &[Stage], &RolloutScope),
    stream: &mut OutputStream,
) -> RolloutOutcome {
    let upgrade = &prepared.upgrade;
    let steps = steps::soaked(&upgrade.script, &upgrade.rules, engine.plan.soak);
    let node = node(prepared).clone();
    let head = ScreenHeader {
        node: &node,
        title: &engine.plan.title,
        steps: Some(steps.len() + 1),
        deadline: engine.plan.deadline,
        ending: Ending::Run,
        rejoined: false,
        is_brief: false,
        undo: upgrade.has_way_back(),
    };
    let mut one = One {
        context,
        engine,
        head: match stream.is_wanted(context) {
            true => prepared.connection.head(upgrade),
            false => Vec::new(),
        },
        rollout: String::new(),
        screen: Screen::open(&context.ui, &head),
        stream,
    };
    let nodes = std::slice::from_ref(prepared);
    let rollout_outcome = run_rollout(engine, nodes, rollout, stages, scope, &mut one);
    drop(one);
    rollout_outcome
}

/// Several nodes: a line for each.
fn several<'e>(
    context: &Context<'_>,
    engine: &'e Engine,
    prepared_nodes: &[PreparedNode<'e>],
    (plan, stages, scope): (&Rollout, &[Stage], &RolloutScope),
    stream: &mut OutputStream,
) -> RolloutOutcome {
    let began = Instant::now();
    let mut walking = Walking::open(context, engine, stream, prepared_nodes, stages);
    let rollout_outcome = run_rollout(engine, prepared_nodes, plan, stages, scope, &mut walking);
    drop(walking);
    let took = began.elapsed();
    let exit = Exit::of_rollout(&rollout_outcome);
    finished(stream, &rollout_outcome, took);
    let ui = &context.ui;
    if exit != Exit::Done {
        let dot = if ui.style.unicode { "·" } else { "-" };
        let stop = ended_early(&rollout_outcome, dot);
        ui.diagnostics(&stop.into_iter().collect::<Vec<_>>(), &engine.plan.sources);
    }
    let modules = prepared_nodes
        .iter()
        .map(|prepared| prepared.upgrade.script.high.len());
    let title = &engine.plan.title;
    let last = rollout::last(
        &rollout_outcome,
        title,
        modules.max().unwrap_or(0),
        took,
        ui.style,
    );
    ui.error_line(&format!("\n{last}"));
    rollout_outcome
}

/// The last line of the stream.
fn finished(stream: &mut OutputStream, rollout_outcome: &RolloutOutcome, took: Duration) {
    let fields = json!({
        "nodes": rollout_outcome.ends.len(),
        "new": rollout_outcome.done(),
        "untouched": rollout_outcome.untouched(),
        "took_ms": json::ms(took),
    });
    let message = rollout::numbers(rollout_outcome, "·");
    stream.rollout_ended(json::rollout(
        "run.finished",
        &rollout_outcome.rollout,
        &message,
        fields,
    ));
}

/// E620: why no further node was begun, and how to go on.
fn ended_early(rollout_outcome: &RolloutOutcome, dot: &str) -> Option<Diagnostic> {
    if !rollout_outcome.errors.is_empty()
        || (rollout_outcome.done() == 0 && rollout_outcome.untouched() == 0)
    {
        return None;
    }
    let failed = rollout_outcome.count(|end| !end.is_good());
    let why = match failed {
        0 => ", it was asked to stop".to_owned(),
        _ => format!(" after {}", style::count(failed, "failure", "failures")),
    };
    let title = format!(
        "rollout stopped{why}: {}",
        rollout::numbers(rollout_outcome, dot)
    );
    let diagnostic = Diagnostic::new(Code::E620, title);
    let diagnostic = match rollout_outcome.count(Outcome::is_grave) {
        0 => diagnostic.note("every node is completely old or completely new"),
        _ => diagnostic.note("first see the nodes that need manual repair or lost the connection: their diagnostics are above"),
    };
    let mut help =
        "run the same command again to continue: nodes that are new are skipped".to_owned();
    if rollout_outcome.done() > 0 {
        let rollout = &rollout_outcome.rollout;
        help += &format!("\nor take back those that are new: updo rollback {rollout}");
    }
    Some(diagnostic.help(help))
}

fn node<'a>(prepared: &'a PreparedNode<'_>) -> &'a NodeName {
    prepared.connection.session.node()
}

/// Shows what will happen on every node; whether it is refused somewhere. Nodes where the same will happen are shown
/// once.
pub(super) fn show(
    context: &Context<'_>,
    engine: &Engine,
    args: &RunArgs,
    prepared_nodes: &[PreparedNode<'_>],
) -> bool {
    let ui = &context.ui;
    let planned: Vec<PlannedNode<'_>> = prepared_nodes.iter().map(PlannedNode::of).collect();
    let mut goes_on = false;
    for block in same::blocks(&planned) {
        let PlannedNode {
            connection,
            upgrade,
        } = block[0];
        if upgrade.is_empty() {
            ui.status(nothing(upgrade, connection).trim_end());
        } else if !ui.quiet {
            let mut shown = connection.preview(upgrade);
            shown.others = block.iter().skip(1).map(PlannedNode::node).collect();
            // It is measured next, and said with the question.
            let is_measured =
                !args.dry_run && !engine.plan.rehearse.never && !engine.settings.no_rehearsal;
            shown.pause = shown.pause.filter(|_| !is_measured);
            goes_on |= is_measured && upgrade.changes.modules.values().any(|m| m.processes > 0);
            let detail = match args.full {
                true => preview::Detail::Full,
                false => preview::Detail::Usual,
            };
            let text = preview::text(&shown, ui.style, detail);
            ui.error_text(text.trim_end());
        }
    }
    let found = same::diagnostics(&planned);
    ui.diagnostics(&found, &engine.plan.sources);
    // What the rehearsal says is not part of the preview; the last diagnostic ends in an empty line.
    let is_shown = |one: &Diagnostic| one.severity() != Severity::Advice || ui.verbose > 0;
    if goes_on && !found.iter().any(is_shown) {
        ui.status("");
    }
    prepared_nodes
        .iter()
        .any(|prepared| prepared.upgrade.is_refused())
}

/// The numbers, and the question; an exit code when it ends here.
pub(super) fn ask(
    context: &Context<'_>,
    args: &RunArgs,
    prepared_nodes: &[PreparedNode<'_>],
) -> Option<Exit> {
    let ui = &context.ui;
    let modules = prepared_nodes
        .iter()
        .map(|prepared| prepared.upgrade.script.high.len());
    let suspended: usize = prepared_nodes
        .iter()
        .map(|prepared| &prepared.upgrade)
        .map(|u| processes(&u.changes, &u.rules, &u.script))
        .sum();
    let what = match prepared_nodes {
        [prepared] => node(prepared).to_string(),
        many => style::count(many.len(), "node", "nodes"),
    };
    let pauses = prepared_nodes.iter();
    let pauses = pauses.filter_map(|prepared| prepared.rehearsed.as_ref());
    let pauses = pauses.filter_map(|first| Some((first.pause?, &first.figures)));
    let pause =
        pauses
            .max_by_key(|(pause, _)| pause.whole)
            .map_or_else(String::new, |(pause, figures)| {
                let about = report::rehearsal::about(pause);
                let measured = report::rehearsal::measured(figures);
                format!(" for {about} (rehearsed: {measured})")
            });
    let numbers = format!(
        "{what}: {} switched, {} suspended{pause}.",
        style::count(modules.max().unwrap_or(0), "module", "modules"),
        match suspended {
            0 => "no process".to_owned(),
            some => style::count(some, "process", "processes"),
        }
    );
    if args.yes {
        ui.status_text(&format!("\n{numbers} (--yes)\n"));
        return None;
    }
    match ui.confirm(&format!("\n{numbers} Run it?")) {
        Some(true) => {
            ui.status("");
            None
        }
        Some(false) => {
            ui.status("not run: only the word yes runs it; nothing was changed");
            Some(Exit::Aborted)
        }
        None => Some(context.usage("standard input is not a terminal", "add --yes")),
    }
}

/// Watches a rollout of one node.
struct One<'a> {
    context: &'a Context<'a>,
    engine: &'a Engine,
    head: Vec<serde_json::Value>,
    rollout: String,
    screen: Screen<'a>,
    stream: &'a mut OutputStream,
}

impl One<'_> {
    fn event(&mut self, event: &Event, whole: bool) {
        match whole {
            true => self
                .stream
                .rollout_event(self.context, self.engine, &self.rollout, event),
            false => self.stream.write(self.context, self.engine, event),
        }
        self.screen.event(event, &self.engine.plan.sources);
    }
}

impl Watcher for One<'_> {
    fn on_event(&mut self, rollout_event: RolloutEvent<'_>) {
        match rollout_event {
            RolloutEvent::Began(rollout) => rollout.clone_into(&mut self.rollout),
            RolloutEvent::Turn(_) => self.stream.head(self.context, &self.head),
            RolloutEvent::Node { event, .. } => self.event(event, false),
            RolloutEvent::Whole(event) => self.event(event, true),
            _ => {}
        }
    }

    fn pause(&mut self, _pause: Pause, _next: usize) -> bool {
        true
    }
}
