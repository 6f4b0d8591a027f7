//! The whole way as a library: open a plan, connect to a node, look at the upgrade, run it.
//!
//! This is what "embedded" means: the command line does nothing that cannot be done from here. The crate's root hands out
//! what other programs use; see `examples/embed.rs`.

mod between_stages;
mod command;
pub mod copies;
mod discovery;
mod environment;
mod gate;
mod hold;
pub mod leftovers;
mod old_builds;
pub mod past_runs;
mod prepare;
mod recording;
pub mod rehearsal;
mod rehearsal_back;
pub mod rollout;
mod rollout_back;
pub mod saved_script;
mod settings;
mod state_checks;
mod state_fit;
pub mod undo;
pub mod watch;

pub use discovery::{release_node, tls};
pub use prepare::{Upgrade, decide};
pub use settings::Settings;

use std::path::Path;
use std::time::{Duration, Instant};

use self::environment::{now, owner, variable};
use self::rollout::RunContext;
use crate::diag::render::Style;
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Diagnostics, Result, SourceMap, Span};
use crate::exec::{self, Event, Outcome, RunRequest};
use crate::facts::change::ChangeSet;
use crate::facts::compare::library_versions::Libraries;
use crate::facts::compare::persist_diff::{unlisted, unwritten};
use crate::facts::compare::{self, NewCode, OldBeamSources};
use crate::facts::node::node_facts::{self};
use crate::facts::node::node_files::Disk;
use crate::name::NodeName;
use crate::node::{Connect, Cookie, Session, agent};
use crate::plan::load::{Unsaved, absolute, load_over, plan_of_nodes};
use crate::plan::{CodeFrom, CookieFrom, Plan, Rollout};
use crate::report::header;
use crate::report::json;
use crate::report::preview::{self, Detail, PreviewInput};
use crate::rules::node_view::NodeView;
use crate::rules::removal;
use crate::script::insert;
use crate::state::beams::Store;
use crate::state::file_cache::Seen;
use crate::state::runs::RunRecords;

/// How often a locked node is asked again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// How many overrides without a reason are shown when there has to be one.
const SHOWN_WITHOUT_REASON: usize = 5;

/// What opening a plan gives: the engine when the plan has no errors, and everything said about it.
#[non_exhaustive]
#[derive(Debug)]
pub struct OpenedPlan {
    /// The engine; `None` when a diagnostic is an error.
    pub engine: Option<Engine>,
    /// Errors, warnings and advice, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The text that they point into: the plan, and what it includes.
    pub sources: SourceMap,
}

impl OpenedPlan {
    /// The engine, for programs that show warnings nowhere.
    ///
    /// # Errors
    /// Everything said about the plan, when something of it is an error: E1xx for what does not parse or cannot be read,
    /// E2xx and E7xx for what means nothing.
    pub fn into_result(self) -> std::result::Result<Engine, Diagnostics> {
        self.engine.ok_or(Diagnostics {
            list: self.diagnostics,
            sources: self.sources,
        })
    }
}

/// A plan and how to reach its nodes. It holds no connection and does nothing by itself.
#[derive(Debug)]
pub struct Engine {
    #[doc(hidden)]
    pub plan: Plan,
    #[doc(hidden)]
    pub settings: Settings,
    store: Store,
}

impl Engine {
    /// Reads a plan and what it includes, and checks both as far as that goes without a node. No network: that is
    /// [`Engine::connect`].
    pub fn open(path: &Path, settings: Settings) -> OpenedPlan {
        let loaded = match plan_of_nodes(path, &settings.push) {
            Some(text) => crate::plan::load_text(path, &text, &settings.sets),
            None => crate::plan::load(path, &settings.sets),
        };
        Self::opened(loaded, settings)
    }

    /// The same for a text that is in no file. What it includes is a file, relative to the current folder.
    pub fn open_text(text: &str, settings: Settings) -> OpenedPlan {
        let loaded = crate::plan::load_text(Path::new("plan.updo"), text, &settings.sets);
        Self::opened(loaded, settings)
    }

    /// The same for what a file would say if it were changed so, as the REPL does: `path` is its name and what
    /// includes are relative to.
    #[doc(hidden)]
    pub fn open_as(path: &Path, text: &str, settings: Settings) -> OpenedPlan {
        let loaded = crate::plan::load_text(path, text, &settings.sets);
        Self::opened(loaded, settings)
    }

    /// The same for files of which some are as an editor has them.
    #[doc(hidden)]
    pub fn open_over(path: &Path, unsaved: Unsaved<'_>, settings: Settings) -> OpenedPlan {
        let loaded = load_over(path, &settings.sets, unsaved);
        Self::opened(loaded, settings)
    }

    fn opened(loaded: crate::plan::load::LoadedPlan, settings: Settings) -> OpenedPlan {
        let store = Store::new(&settings.state_dir);
        let mut diagnostics = loaded.diagnostics;
        if let Some(plan) = &loaded.plan {
            diagnostics.extend(insert::check(plan));
        }
        let without = diagnostics.iter().filter(|d| d.code == Code::A311);
        let places: Vec<Span> = without
            .filter_map(|d| d.labels.first().map(|label| label.span))
            .collect();
        if settings.strict && !places.is_empty() {
            let diagnostic =
                Diagnostic::new(Code::E205, "with --strict every override needs a reason")
                    .help("add `because \"…\"`");
            let shown = places.iter().take(SHOWN_WITHOUT_REASON);
            diagnostics.push(shown.fold(diagnostic, |diagnostic, span| {
                diagnostic.label(*span, "why?")
            }));
        }
        let wrong = diagnostics.iter().any(Diagnostic::is_error);
        let engine = loaded.plan.filter(|_| !wrong).map(|mut plan| {
            plan.warn_unused_everywhere = settings.warn_unused_everywhere;
            Engine {
                plan,
                settings,
                store,
            }
        });
        OpenedPlan {
            engine,
            diagnostics,
            sources: loaded.sources,
        }
    }

    /// The title of the plan: that of its statement `plan`, else the name of its file.
    pub fn title(&self) -> &str {
        &self.plan.title
    }

    /// The text of the plan and of what it includes: what diagnostics of its upgrades point into.
    pub fn sources(&self) -> &SourceMap {
        &self.plan.sources
    }

    /// The nodes of a target: by its name, as node names joined by commas, or the plan's only target; where the plan has
    /// none, the node of `RELEASE_NODE`. A target with
    /// a seed is asked for them: this connects to the seed.
    ///
    /// # Errors
    /// E211 when there is no such target, several and none is named, or one without nodes; E217 when a seed knows none;
    /// E501 to E509 when it cannot be asked.
    pub fn nodes(&self, target: Option<&str>) -> Result<Vec<NodeName>> {
        if let (Some(wanted), Some(named)) = (target, self.plan.path.to_str())
            && wanted != named
            && plan_of_nodes(&self.plan.path, &[]).is_some()
        {
            let title =
                format!("`{named}` is given in place of a plan, and the target is `{wanted}`");
            let help = "name the node once: without --target, and without UPDO_TARGET";
            return Err(Box::new(Diagnostic::new(Code::E211, title).help(help)));
        }
        let known: Vec<&str> = self.plan.targets.iter().map(|t| t.name.as_str()).collect();
        let Some(wanted) = target else {
            return match self.plan.targets.as_slice() {
                [one] => self.nodes_of(one),
                [] if release_node().is_some() => Ok(release_node().into_iter().collect()),
                [] => Err(Box::new(
                    Diagnostic::new(Code::E211, "the plan has no target").help(
                        "add `target shop #{nodes => ['shop@host']}.` or pass `-t shop@host`",
                    ),
                )),
                _ => Err(Box::new(
                    Diagnostic::new(Code::E211, "the plan has several targets")
                        .help(format!("pass one of them: -t {}", known.join(", -t "))),
                )),
            };
        };
        if let Some(found) = self.plan.targets.iter().find(|t| t.name == wanted) {
            return self.nodes_of(found);
        }
        if wanted.split(',').all(|node| node.contains('@')) {
            let all = wanted.split(',').map(|node| NodeName::new(node.trim()));
            return Ok(each_once(all));
        }
        let mut diagnostic =
            Diagnostic::new(Code::E211, format!("no target `{wanted}` in the plan"));
        if let Some(close) = suggest(wanted, known.iter().copied()) {
            diagnostic = diagnostic.help(format!("did you mean `{close}`?"));
        }
        Err(Box::new(diagnostic))
    }

    #[doc(hidden)]
    /// How the nodes of a target are walked through: the plan's `rollout` for it, or the one for any target.
    pub fn rollout(&self, target: Option<&str>, nodes: &[NodeName]) -> Rollout {
        let named = target.filter(|name| self.plan.targets.iter().any(|t| t.name == *name));
        let target = named.or_else(|| Some(self.target_of(nodes.first()?)?.name.as_str()));
        let all = || self.plan.rollouts.iter().map(|(rollout, _)| rollout);
        let found =
            all().find(|rollout| rollout.target.is_some() && rollout.target.as_deref() == target);
        let any = || all().find(|rollout| rollout.target.is_none());
        found.or_else(any).cloned().unwrap_or_default()
    }

    /// Connects to a node as a hidden node (`-hidden` of `erl`): it is in no `nodes()`, and `global` does not see it. The
    /// protocol is that of "Distribution Protocol" in the ERTS User's Guide, over TCP or TLS. Takes at most
    /// [`Settings::connect_timeout`].
    ///
    /// # Errors
    /// E501 when the host, epmd or the node cannot be reached, E502 to E509 when the handshake, the cookie or TLS fails,
    /// E803 when others may write in the state folder.
    pub fn connect(&self, node: &NodeName) -> Result<Connection<'_>> {
        crate::atomic_file::check_owned(&self.settings.state_dir)?;
        let target = self.target_of(node);
        let from_plan = target.and_then(|target| target.cookie.clone());
        let cookie = cookie(&self.settings, from_plan.as_ref())?;
        let mut connect = Connect::new(node.clone(), cookie);
        connect.local_name = self
            .settings
            .local_name
            .clone()
            .or_else(|| target.and_then(|t| t.local_name.clone()));
        connect.epmd_port = self
            .settings
            .epmd_port
            .or_else(|| target.and_then(|t| t.epmd_port));
        connect.tls = discovery::tls(&self.settings, target.and_then(|t| t.tls.as_ref()))?;
        if !self.settings.connect_timeout.is_zero() {
            connect.timeout = self.settings.connect_timeout;
        }
        let agents = agent::kept(&self.settings.state_dir, &connect.cookie);
        let warning = connect.cookie.warning().cloned();
        let session = Session::connect(&connect)?;
        session.keep_agents(agents);
        Ok(Connection {
            warning,
            ..self.with_session(session)
        })
    }

    #[doc(hidden)]
    /// A connection over a session that is there already, for the plan as it is now.
    pub fn with_session(&self, session: Session) -> Connection<'_> {
        let target = self.target_of(session.node());
        Connection {
            engine: self,
            target: target.map(|target| target.name.clone()).unwrap_or_default(),
            session,
            warning: None,
        }
    }

    /// The target that a node belongs to; that of a plan with only one is meant for any node.
    pub(crate) fn target_of(&self, node: &NodeName) -> Option<&crate::plan::Target> {
        let targets = &self.plan.targets;
        let named = targets.iter().find(|t| t.has(node));
        named.or(match targets.as_slice() {
            [one] => Some(one),
            _ => None,
        })
    }
}

/// Nodes in their order, each once.
fn each_once(nodes: impl IntoIterator<Item = NodeName>) -> Vec<NodeName> {
    let mut once: Vec<NodeName> = Vec::new();
    for node in nodes {
        if !once.contains(&node) {
            once.push(node);
        }
    }
    once
}

/// The cookie by the usual precedence: file, environment, plan, a person's own setting, `RELEASE_COOKIE`, home.
///
/// # Errors
/// E507 when the first that is there cannot be used.
pub fn cookie(settings: &Settings, plan: Option<&CookieFrom>) -> Result<Cookie> {
    let file = settings.cookie_file.as_deref();
    let own = settings.cookie_default.clone().map(CookieFrom::File);
    let from_plan = plan.or(own.as_ref()).map(|from| {
        move || match from {
            CookieFrom::File(path) => Cookie::from_file(path),
            CookieFrom::Env(name) => Cookie::from_env(name, variable(name).as_deref()),
            CookieFrom::Prompt => Err(Box::new(
                Diagnostic::new(Code::E507, "the plan has `cookie => prompt`")
                    .help("set UPDO_COOKIE_FILE, or pass --cookie-file"),
            )),
        }
    });
    match &from_plan {
        Some(read) => Cookie::find(file, Some(read), &variable),
        None => Cookie::find(file, None, &variable),
    }
}

/// A connected node. Dropping it closes the connection; a run that is under way then goes on by itself, and `updo attach`
/// finds it.
pub struct Connection<'a> {
    engine: &'a Engine,
    #[doc(hidden)]
    pub session: Session,
    target: String,
    /// What there is to say about the way to the node: W329, a cookie that others can read. It is among the
    /// diagnostics of every [`Upgrade`] of this connection as well.
    pub warning: Option<Diagnostic>,
}

impl Connection<'_> {
    /// Compares the node with the new code, infers what an upgrade needs, merges the plan, makes the script. Reads only:
    /// the node's loaded modules, applications and processes, beams of this machine or of the node. What is wrong with
    /// the upgrade itself is in [`Upgrade::diagnostics`]. Copies of what runs are kept in [`Settings::state_dir`] as
    /// long as the node's disk has it.
    ///
    /// # Errors
    /// When the facts cannot be had: E2xx for beams, E5xx for the connection.
    pub fn prepare(&self) -> Result<Upgrade> {
        let plan = &self.engine.plan;
        let facts = node_facts::gather(&self.session)?;
        let old: Vec<_> = plan
            .old_from
            .iter()
            .map(|p| (p.patterns.clone(), p.base.clone()))
            .collect();
        let old = OldBeamSources {
            patterns: &old,
            store: &self.engine.store,
        };
        let new = match &plan.code {
            CodeFrom::OnDisk if plan.libraries == Libraries::default() => NewCode::OnDisk,
            CodeFrom::OnDisk => NewCode::Elsewhere(&plan.libraries),
            CodeFrom::Push(patterns) => NewCode::Push(&patterns.patterns, &patterns.base),
        };
        let mut seen = Seen::open(&self.engine.settings.state_dir, self.session.node());
        let node = self.session.node();
        let going = |changes: &ChangeSet| {
            let target = &self.target;
            let view = NodeView {
                node,
                target,
                facts: &facts,
                changes,
            };
            removal::going(plan, &view).into_keys().collect()
        };
        let mut changes = compare::compare(&self.session, &facts, new, old, &going, &mut seen)?;
        let mut lacking = old_builds::lacking(&changes);
        let mut warnings = Vec::new();
        if !plan.old_git.is_empty() && !lacking.is_empty() {
            let (settings, before) = (&self.engine.settings, lacking.len());
            let store = &self.engine.store;
            let workshop = old_builds::Workshop {
                plan,
                settings,
                store,
                otp: facts.otp,
            };
            warnings = old_builds::build(&workshop, &mut lacking)?;
            if lacking.len() < before {
                // With the copies that are in the store now.
                changes = compare::compare(&self.session, &facts, new, old, &going, &mut seen)?;
            }
        }
        // Without copies there may be no way back, which the preview says; a comparison needs none.
        let _ = self.keep_copies_of(&facts, &mut seen, Some(copies::UNASKED));
        let settings = &self.engine.settings;
        let mut upgrade = decide(plan, node, &self.target, facts, changes, settings);
        let missing =
            exec::release_handler::missing(&self.session, plan, &upgrade.changes, &upgrade.script)?;
        upgrade.diagnostics.splice(0..0, missing);
        upgrade.diagnostics.extend(warnings);
        upgrade.diagnostics.extend(self.warning.clone());
        if let (CodeFrom::Push(from), true) = (&plan.code, plan.persist) {
            let part = upgrade.rules.modules.keys().cloned().collect();
            let (facts, changes) = (&upgrade.facts, (&upgrade.changes, &part, plan.env));
            let (patterns, base) = (&from.patterns, &from.base);
            let starts = upgrade.script.started();
            let found = unwritten(
                &self.session,
                facts,
                changes,
                starts,
                patterns,
                base,
                Disk::new(&self.session, facts.otp, &mut seen),
            )?;
            let by = "`updo run` with this plan";
            upgrade
                .diagnostics
                .extend(found.diagnostics(&self.session, by));
            upgrade.unwritten = found;
        }
        if matches!(new, NewCode::OnDisk) {
            let part = upgrade.rules.modules.keys().cloned().collect();
            let found = unlisted(&self.session, &upgrade.facts, &upgrade.changes, &part)?;
            upgrade.diagnostics.extend(found);
        }
        let left = self.incomplete_run(&upgrade.facts);
        upgrade.diagnostics.splice(0..0, left);
        let back = past_runs::backwards(self.engine, node, &upgrade);
        upgrade.diagnostics.splice(0..0, back);
        Ok(upgrade)
    }

    /// Looks whether another run is going on: until it has ended it is not known what the node will be.
    ///
    /// # Errors
    /// E505 when there is one; E508 when the node does not answer.
    pub fn ensure_unlocked(&self) -> Result<()> {
        match agent::lock_holder(&self.session) {
            Ok(None) => Ok(()),
            Ok(Some(holder)) => Err(Box::new(agent::locked(&self.session, holder))),
            Err(error) => Err(error.diagnostic("asking for the lock")),
        }
    }

    /// The same, and waits for the end of the other run, at most [`Settings::lock_timeout`].
    ///
    /// # Errors
    /// As [`Connection::ensure_unlocked`].
    pub fn await_unlocked(&self) -> Result<()> {
        let settings = &self.engine.settings;
        let began = Instant::now();
        loop {
            let state = self.ensure_unlocked();
            let left = settings.lock_timeout.saturating_sub(began.elapsed());
            match &state {
                Err(diagnostic) if diagnostic.code == Code::E505 && !left.is_zero() => {}
                _ => return state,
            }
            if settings.interrupt.sleep(left.min(RETRY_INTERVAL), 1) {
                return state;
            }
        }
    }

    /// The name of the plan's target that this node belongs to; empty when it belongs to none.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Runs a prepared upgrade, as a transaction on the node: afterwards it is wholly new or wholly old, or the outcome
    /// says why not. Blocks until then. `sink` gets every event as it comes, in order, in this thread; the last one is
    /// [`EventKind::Finished`](exec::EventKind::Finished). Another thread may press [`Settings::interrupt`].
    ///
    /// It does not ask: whether to run an upgrade is decided before, and an upgrade that [is
    /// refused](Upgrade::is_refused) must not be run. Nor does it ask whether a failure after the switch may leave the new
    /// code where no copy of the running version exists: [`Upgrade::has_way_back`] is `false` then, and a diagnostic (W317)
    /// names what can fail. What goes wrong is in [`Outcome::errors`]: E505 when another run
    /// holds the node's lock, E6xx for the run itself.
    ///
    /// Keeps copies of both versions and a record of the run in [`Settings::state_dir`], so that `updo rollback` finds a
    /// way back: a folder that cannot be written costs that way back (W615), not this run.
    pub fn run(&self, upgrade: &Upgrade, sink: &mut dyn FnMut(&Event)) -> Outcome {
        self.run_in(upgrade, &RunContext::alone(self.engine), sink)
    }

    /// The same as part of a rollout.
    fn run_in(
        &self,
        upgrade: &Upgrade,
        part: &RunContext<'_>,
        sink: &mut dyn FnMut(&Event),
    ) -> Outcome {
        std::thread::scope(|scope| {
            // For later comparisons, so beside the run and not before it: its record has its own copies of what leads back.
            scope.spawn(|| compare::keep(&self.engine.store, &upgrade.changes));
            self.run_recorded(upgrade, part, sink)
        })
    }

    fn run_recorded(
        &self,
        upgrade: &Upgrade,
        part: &RunContext<'_>,
        sink: &mut dyn FnMut(&Event),
    ) -> Outcome {
        let records = self.engine.settings.records();
        let mut run = run_id(&records);
        let (mut record, warning) = match upgrade.has_steps() {
            false => (None, None),
            true => match self.claimed_record(&records, &mut run, part.rollout, upgrade) {
                Ok(record) => (Some(record), None),
                Err(why) => (None, Some(self.unrecorded(&run, &why))),
            },
        };
        let plan = &self.engine.plan;
        let job = RunRequest {
            session: &self.session,
            run: &run,
            owner: &owner(),
            plan,
            view: self.view(upgrade),
            rules: &upgrade.rules,
            script: &upgrade.script,
            verify: !self.engine.settings.no_verify,
            detach: self.engine.settings.detach,
            also: exec::persist::also(&upgrade.unwritten.modules),
            restart: &upgrade.unwritten.restart,
            interrupt: part.interrupt,
            warning,
            stale: part.stale.clone(),
            predicted: part.rehearsed.and_then(|first| Some(first.pause?.whole)),
        };
        let begin = match upgrade.has_steps() {
            false => exec::persist::only,
            true => exec::upgrade,
        };
        if let (Some(record), Some(first)) = (&mut record, part.rehearsed) {
            record.event(&first.event);
        }
        let mut outcome = begin(&job, &mut |event| {
            if let Some(record) = &mut record {
                record.event(&json::event(event, &plan.sources));
            }
            sink(event);
        });
        outcome.one_way = upgrade.has_steps() && !upgrade.has_way_back();
        if let Some(record) = record {
            record.old_states(outcome.old_states.as_ref());
            record.to_convert(outcome.to_convert.as_ref());
            record.finish(&outcome.state.to_string());
        }
        outcome
    }

    /// The preview of an upgrade as `updo preview` shows it, without colours: every instruction with its reasons, the window,
    /// the way back. For people: the text may change with every version.
    pub fn preview_text(&self, upgrade: &Upgrade) -> String {
        preview::text(&self.preview(upgrade), Style::default(), Detail::Each)
    }

    #[doc(hidden)]
    /// The lines that are at the head of this node's events: plan, facts, script, graph, what was reported.
    pub fn head(&self, upgrade: &Upgrade) -> Vec<serde_json::Value> {
        let note = self.engine.settings.message.as_deref();
        header::head(&self.preview(upgrade), &owner(), note)
    }

    #[doc(hidden)]
    /// What a preview shows of an upgrade.
    pub fn preview<'u>(&'u self, upgrade: &'u Upgrade) -> PreviewInput<'u> {
        PreviewInput {
            lists: &upgrade.unwritten.restart.rewrites,
            node: self.session.node(),
            otp: upgrade.facts.otp,
            plan: &self.engine.plan,
            changes: &upgrade.changes,
            inferred: &upgrade.inferred,
            rules: &upgrade.rules,
            script: &upgrade.script,
            diagnostics: &upgrade.diagnostics,
            pause: self.pause_shown(upgrade),
            full: "--full",
            others: Vec::new(),
        }
    }

    #[doc(hidden)]
    /// The facts as plan expressions see them.
    pub fn view<'u>(&'u self, upgrade: &'u Upgrade) -> NodeView<'u> {
        NodeView {
            node: self.session.node(),
            target: &self.target,
            facts: &upgrade.facts,
            changes: &upgrade.changes,
        }
    }
}

/// A name for a run: four hexadecimal digits that no recorded run has.
pub(crate) fn run_id(records: &RunRecords) -> String {
    const TRIES: usize = 64;
    let mut bytes = [0; 2];
    let mut name = String::new();
    for _ in 0..TRIES {
        // Without randomness the process number has to do: the agent's name must only differ from its
        // neighbours'.
        if getrandom::fill(&mut bytes).is_err() {
            bytes.copy_from_slice(&std::process::id().to_le_bytes()[..2]);
        }
        name = crate::state::beams::hex(&bytes);
        if !records.has(&name) {
            break;
        }
    }
    name
}
