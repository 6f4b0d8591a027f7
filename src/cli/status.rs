//! `updo status`: what a node runs and what differs; of several nodes, which one runs which version.
//!
//! Copies of the running beams are kept by every comparison; `--save` keeps all of them, however long it takes, says which cannot be kept, and ends with exit code 1 when none can.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::StatusArgs;
use super::context::Context;
use super::drift;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, Result};
use crate::engine::copies::Kept;
use crate::engine::drift::{Asked, History, Meant, Standing, Verdict};
use crate::engine::{self, Engine, Upgrade, leftovers};
use crate::facts::node::node_facts::{self, NodeFacts};
use crate::name::{Module, NodeName};
use crate::node::Session;
use crate::node::agent::{self, PresenceError};
use crate::parallel::in_parallel;
use crate::plan::load::absolute;
use crate::report::drift::{nodes as some_nodes, text};
use crate::report::style::count;
use crate::state::runs::{RecordedRun, RunRecords};

/// How many nodes are looked at at the same time.
const AT_ONCE: usize = 8;

/// How many modules that cannot be kept are named.
const SHOWN: usize = 5;

pub(super) fn run(context: &Context<'_>, args: &StatusArgs) -> Exit {
    let engine = match &args.plan {
        Some(plan) => context.open(plan, context.settings()),
        None if context.global.target.is_none() && engine::release_node().is_none() => {
            return context.usage(
                "status needs a plan or a node",
                "updo status PLAN, or updo status -t NODE",
            );
        }
        // What lies on the node's disk is the new code then.
        None => {
            let opened = Engine::open_text("", context.settings());
            context.ui.diagnostics(&opened.diagnostics, &opened.sources);
            opened.engine
        }
    };
    let Some(engine) = engine else {
        return Exit::Plan;
    };
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let plan = match &args.plan {
        Some(plan) => absolute(plan),
        None => PathBuf::new(),
    };
    let asked = Asked {
        plan: &plan,
        target: engine.target_name(&nodes),
        nodes: &nodes,
    };
    let history = History::read(&engine.settings, asked, Meant::Last);
    match nodes.as_slice() {
        [node] => alone(context, &engine, node, args.save, &history),
        nodes => several(context, &engine, nodes, args.save, history),
    }
}

/// One node, with everything that there is to say.
fn alone(
    context: &Context<'_>,
    engine: &Engine,
    node: &NodeName,
    save: bool,
    history: &History,
) -> Exit {
    let status = match Status::of(engine, node, save) {
        Ok(status) => status,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let verdict = status.verdict(history);
    let mut exit = Exit::Done;
    if let Some(diagnostic) = &status.dead {
        exit = context.fail(diagnostic.clone(), &engine.plan.sources);
    }
    if context.ui.json {
        let document = status.document(history, verdict.as_ref());
        context.ui.json(&format!("{:#}\n", json!([document])));
    } else {
        context.ui.data(&status.text());
        if let Some(verdict) = &verdict {
            let shown = drift::shown(node, verdict, history, &status.facts);
            let why = match shown.why.as_str() {
                "" => String::new(),
                why => format!("  {why}"),
            };
            let meant = drift::meant(history);
            let line = match verdict.standing {
                Standing::Same => {
                    let meant = meant.strip_prefix("the version of ").unwrap_or(&meant);
                    format!("  version  {meant}{why}\n")
                }
                _ => format!("  version  {}{why}; not {meant}\n", shown.word),
            };
            context.ui.data(&line);
        }
        context.ui.data(&status.kept_line());
        for change in &status.changes {
            context.ui.data(&format!("  {}\n", change.line()));
        }
    }
    context
        .ui
        .diagnostics(&status.diagnostics, &engine.plan.sources);
    status.exit(exit)
}

/// Several nodes: those of which the same is to be said together, and only what is unusual of each.
fn several(
    context: &Context<'_>,
    engine: &Engine,
    nodes: &[NodeName],
    save: bool,
    mut history: History,
) -> Exit {
    let ui = &context.ui;
    let look = |(): &mut (), node: &NodeName| Status::of(engine, node, save);
    let all = in_parallel(nodes, AT_ONCE, || (), look);
    if !history.is_known() {
        let facts: Vec<&NodeFacts> = all.iter().flatten().map(|status| &status.facts).collect();
        history.of_most(&facts);
    }
    let mut exit = Exit::Done;
    let (mut lines, mut documents, mut unusual) = (Vec::new(), Vec::new(), Vec::new());
    let mut changes: Vec<(String, Vec<NodeName>)> = Vec::new();
    let mut diagnostics: Vec<(Diagnostic, Vec<&NodeName>)> = Vec::new();
    for (node, status) in nodes.iter().zip(&all) {
        let status = match status {
            Ok(status) => status,
            Err(diagnostic) => {
                if exit == Exit::Done {
                    exit = Exit::of(diagnostic.code);
                }
                lines.push(drift::unreached(node, diagnostic));
                documents.push(json!({ "node": node.as_str(), "error": diagnostic.code.as_str() }));
                together(&mut diagnostics, diagnostic, node);
                continue;
            }
        };
        let verdict = history.judge(node, status.creation, &status.facts);
        lines.push(drift::shown(node, &verdict, &history, &status.facts));
        documents.push(status.document(&history, Some(&verdict)));
        unusual.extend(status.unusual());
        let what: Vec<String> = status.changes.iter().map(Change::words).collect();
        if !what.is_empty() {
            let what = what.join(", ");
            match changes.iter_mut().find(|(known, _)| *known == what) {
                Some((_, nodes)) => nodes.push(node.clone()),
                None => changes.push((what, vec![node.clone()])),
            }
        }
        if let Some(diagnostic) = &status.dead {
            exit = Exit::of(diagnostic.code);
            together(&mut diagnostics, diagnostic, node);
        }
        for diagnostic in &status.diagnostics {
            together(&mut diagnostics, diagnostic, node);
        }
        exit = status.exit(exit);
    }
    if ui.json {
        ui.json(&format!("{:#}\n", Value::Array(documents)));
    } else {
        ui.data(&text(&drift::meant(&history), &lines, ui.out_style));
        for line in unusual {
            ui.data(&format!("  {line}\n"));
        }
        for (what, nodes) in &changes {
            let nodes: Vec<&NodeName> = nodes.iter().collect();
            ui.data(&format!("  new code      {}: {what}\n", some_nodes(&nodes)));
        }
        if save {
            let kept = all
                .iter()
                .flatten()
                .filter_map(|status| status.kept.as_ref());
            let (now, wanted) = kept.fold((0, 0), |(now, wanted), kept| {
                (now + kept.now, wanted + kept.wanted)
            });
            ui.data(&format!(
                "kept {now} of {}\n",
                count(wanted, "beam", "beams")
            ));
        }
    }
    let diagnostics = diagnostics
        .into_iter()
        .map(|(diagnostic, nodes)| diagnostic.note(format!("on {}", some_nodes(&nodes))));
    ui.diagnostics(&diagnostics.collect::<Vec<_>>(), &engine.plan.sources);
    exit
}

/// What is said of several nodes is said once.
fn together<'n>(
    all: &mut Vec<(Diagnostic, Vec<&'n NodeName>)>,
    diagnostic: &Diagnostic,
    node: &'n NodeName,
) {
    let same = |(one, _): &&mut (Diagnostic, Vec<&NodeName>)| {
        one.code == diagnostic.code && one.title == diagnostic.title
    };
    match all.iter_mut().find(same) {
        Some((_, nodes)) => nodes.push(node),
        None => all.push((diagnostic.clone(), vec![node])),
    }
}

/// The holder of a node's lock, in words, and the name of the run.
fn lock(session: &Session) -> Result<(String, Option<String>)> {
    let asked = |error: PresenceError| error.diagnostic("reading the lock holder");
    Ok(match agent::present(session).map_err(asked)? {
        Some(holder) if holder.kept => {
            let words = format!("free; run {} is over, its result is kept", holder.run);
            (words, Some(holder.run))
        }
        Some(holder) => {
            let words = format!("{}; updo attach {}", holder.words, holder.run);
            (words, Some(holder.run))
        }
        None => match agent::lock_holder(session).map_err(asked)? {
            Some(holder) => (holder, None),
            None => ("free".to_owned(), None),
        },
    })
}

/// W322: an undo will miss something. With the exit code: 1 when there was something to keep, and nothing was.
fn not_kept(kept: &Kept, node: &NodeName) -> Option<(Diagnostic, Exit)> {
    if kept.lost.is_empty() {
        return (kept.wanted + kept.before == 0).then(|| {
            let title = format!("no beam of {node} was kept");
            let why = "no loaded module has a file outside of OTP's own applications";
            (Diagnostic::new(Code::W322, title).note(why), Exit::Done)
        });
    }
    let number = count(kept.lost.len(), "running module", "running modules");
    let mut diagnostic = Diagnostic::new(Code::W322, format!("{number} of {node} cannot be kept"))
        .note("a node cannot return loaded object code: copies are made of its files, before they are replaced");
    for (module, file, why) in kept.lost.iter().take(SHOWN) {
        diagnostic = diagnostic.note(format!("`{module}`: {} ({file})", why.words()));
    }
    if let Some(more) = kept.lost.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        diagnostic = diagnostic.note(format!("and {more} more"));
    }
    let diagnostic = diagnostic
        .help("say where the old beams are in plans that replace them: `old from \"PATH/ebin\".`");
    let exit = match kept.now {
        0 => Exit::Plan,
        _ => Exit::Done,
    };
    Some((diagnostic, exit))
}

/// A module that differs from the new code.
struct Change {
    module: Module,
    is_new: bool,
    has_way_back: bool,
}

impl Change {
    fn of(upgrade: &Upgrade) -> Vec<Self> {
        let modules = upgrade.changes.modules.iter();
        let changes = modules.map(|(module, changed)| Self {
            module: module.clone(),
            is_new: changed.is_new() && changed.unloaded.is_none(),
            has_way_back: changed.loaded.is_none() || changed.old.is_some(),
        });
        changes.collect()
    }

    fn word(&self) -> &'static str {
        if self.is_new { "new" } else { "changed" }
    }

    fn line(&self) -> String {
        let undo = if self.has_way_back {
            ""
        } else {
            "  no way back"
        };
        format!("{:<7}  {}{undo}", self.word(), self.module)
    }

    fn words(&self) -> String {
        match (self.is_new, self.has_way_back) {
            (true, _) => format!("{} (new)", self.module),
            (false, true) => self.module.to_string(),
            (false, false) => format!("{} (no way back)", self.module),
        }
    }
}

/// What is known of a node.
struct Status {
    node: NodeName,
    creation: u32,
    facts: NodeFacts,
    /// How many applications run.
    apps: usize,
    /// The lock in words, and the name of the run that has it or had it last.
    lock: (String, Option<String>),
    last: Option<RecordedRun>,
    /// What a run whose processes were killed has left.
    left: Option<Vec<String>>,
    dead: Option<Diagnostic>,
    changes: Vec<Change>,
    kept: Option<Kept>,
    /// Why it could not be compared with the new code.
    failed: Option<Exit>,
    diagnostics: Vec<Diagnostic>,
}

impl Status {
    /// Looks at a node.
    ///
    /// # Errors
    /// When it cannot be reached, or compared.
    fn of(engine: &Engine, node: &NodeName, save: bool) -> Result<Self> {
        let connection = engine.connect(node)?;
        let facts = node_facts::gather(&connection.session)?;
        let lock = lock(&connection.session)?;
        let records = RunRecords::new(&engine.settings.state_dir).all();
        let traces = leftovers::inspect(&connection.session, &engine.settings.records())?;
        let left = traces.as_ref().map(leftovers::Traces::lines);
        let mut status = Self {
            node: node.clone(),
            creation: connection.session.creation(),
            apps: facts.apps.values().filter(|app| app.is_started).count(),
            facts,
            lock,
            last: records.into_iter().rev().find(|run| run.node == *node),
            left,
            dead: traces.and_then(|traces| traces.diagnostic()),
            changes: Vec::new(),
            kept: None,
            failed: None,
            diagnostics: Vec::new(),
        };
        if save {
            let kept = connection.keep_copies(&status.facts, None)?;
            status.diagnostics = connection.warning.into_iter().collect();
            if let Some((diagnostic, _)) = not_kept(&kept, node) {
                status.diagnostics.insert(0, diagnostic);
            }
            status.kept = Some(kept);
            return Ok(status);
        }
        match connection.prepare() {
            Ok(upgrade) => {
                status.changes = Change::of(&upgrade);
                status.diagnostics = upgrade.diagnostics;
            }
            // What the node runs is known all the same.
            Err(diagnostic) => {
                status.failed = Some(Exit::of(diagnostic.code));
                status.diagnostics.push(*diagnostic);
            }
        }
        Ok(status)
    }

    /// What it is to the version that nodes should run, where one is known.
    fn verdict(&self, history: &History) -> Option<Verdict> {
        history.meant().filter(|_| history.is_known())?;
        Some(history.judge(&self.node, self.creation, &self.facts))
    }

    /// Where nothing was said before: that it could not be compared, or that none of the running beams could be kept.
    fn exit(&self, before: Exit) -> Exit {
        let kept = self.kept.as_ref();
        let kept = kept.and_then(|kept| Some(not_kept(kept, &self.node)?.1));
        match before {
            Exit::Done => self.failed.or(kept).unwrap_or(Exit::Done),
            before => before,
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}: OTP {}, {} loaded, {} running\n  lock     {}\n",
            self.node,
            self.facts.otp,
            count(self.facts.loaded.len(), "module", "modules"),
            count(self.apps, "application", "applications"),
            self.lock.0
        );
        if let Some(last) = &self.last {
            let (run, state, title) = (&last.run, &last.state, &last.title);
            let time = super::time::time(last.began);
            text += &format!("  last     run {run}  {time}  {state}  {title}\n");
        }
        for line in self.left.iter().flatten() {
            text += &format!("  left     {line}\n");
        }
        text
    }

    fn kept_line(&self) -> String {
        let Some(kept) = &self.kept else {
            return String::new();
        };
        let line = format!(
            "kept {} of {}",
            kept.now,
            count(kept.wanted, "beam", "beams")
        );
        match kept.before {
            0 => line + "\n",
            before => format!("{line}, {before} more were kept before\n"),
        }
    }

    /// What is not so on most nodes.
    fn unusual(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let (held, run) = &self.lock;
        let is_free = held == "free" || held.starts_with("free;");
        if !is_free {
            let run = run
                .as_ref()
                .map_or_else(String::new, |run| format!(" (run {run})"));
            lines.push(format!("lock          {}: {held}{run}", self.node));
        }
        for line in self.left.iter().flatten() {
            lines.push(format!("left          {}: {line}", self.node));
        }
        if let Some(last) = &self.last
            && !matches!(last.state.as_str(), "new" | "undone")
            && last.state != last.goal
        {
            let (run, state) = (&last.run, &last.state);
            let time = super::time::time(last.began);
            lines.push(format!(
                "last          {}: run {run} of {time}: {state}",
                self.node
            ));
        }
        lines
    }

    fn document(&self, history: &History, verdict: Option<&Verdict>) -> Value {
        let mut document = json!({
            "left": self.left,
            "node": self.node.as_str(),
            "otp": self.facts.otp,
            "modules": self.facts.loaded.len(),
            "applications": self.apps,
            "lock": self.lock.0,
            "run": self.lock.1,
            "last": self.last.as_ref().map(super::log::document),
            "version": verdict.map(|verdict| drift::document(verdict, history)),
        });
        match &self.kept {
            Some(kept) => {
                document["kept"] = json!(kept.now);
                document["kept_before"] = json!(kept.before);
            }
            None => {
                let changes = self.changes.iter().map(|change| {
                    json!({
                        "module": change.module.as_str(),
                        "is": change.word(),
                        "way_back": change.has_way_back,
                    })
                });
                document["changes"] = changes.collect();
            }
        }
        document
    }
}
