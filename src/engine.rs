//! The whole way as a library: open a plan, connect to a node, look at the upgrade, run it.
//!
//! This is what "embedded" means: the command line does nothing that cannot be done from here. The crate's root hands out
//! what other programs use; see `examples/embed.rs`.

mod between_stages;
mod command;
mod connection;
pub mod copies;
mod discovery;
mod dist_optfile;
pub mod drift;
mod environment;
mod gate;
mod hold;
pub mod leftovers;
pub mod live_window;
pub mod milestone;
mod old_builds;
pub mod past_runs;
mod prepare;
pub mod reconcile;
mod recording;
pub mod rehearsal;
mod rehearsal_back;
mod rehearsal_figures;
pub mod rollout;
mod rollout_back;
pub mod saved_script;
mod seeds;
mod settings;
mod state_checks;
mod state_fit;
mod trials;
pub mod undo;
pub mod watch;
pub mod way;

pub use connection::Connection;
pub use discovery::{release_node, tls};
pub use prepare::{Upgrade, decide};
pub use settings::Settings;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use self::environment::{owner, variable};
use self::old_builds::FailedBuilds;
use self::recording::run_id;
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Diagnostics, Result, SourceMap, Span};
use crate::name::NodeName;
use crate::node::{Connect, Cookie, Session, agent};
use crate::plan::load::{Unsaved, load_over, plan_of_nodes};
use crate::plan::{CookieFrom, Plan, Rollout};
use crate::script::insert;
use crate::state::beams::Store;

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
    /// Where nodes were found that a seed has named.
    located: Mutex<BTreeMap<NodeName, seeds::Place>>,
    failed_builds: FailedBuilds,
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
                located: Mutex::default(),
                failed_builds: FailedBuilds::default(),
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
    /// a seed is asked for them: this connects to the seed, or to the hosts behind it.
    ///
    /// # Errors
    /// E211 when there is no such target, several and none is named, or one without nodes; E217 and E512 when a seed knows none;
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
        self.plan.rollout_of(target).cloned().unwrap_or_default()
    }

    /// Connects to a node as a hidden node (`-hidden` of `erl`): it is in no `nodes()`, and `global` does not see it. The
    /// protocol is that of "Distribution Protocol" in the ERTS User's Guide, over TCP or TLS. Takes at most
    /// [`Settings::connect_timeout`].
    ///
    /// # Errors
    /// E501 when the host, epmd or the node cannot be reached, E502 to E509 when the handshake, the cookie or TLS fails,
    /// E511 when the machine on the way is not reached or does not let us through, E803 when others may write in the state folder.
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
        self.way(node)?.apply(&mut connect);
        connect.tls = discovery::tls(&self.settings, target.and_then(|t| t.tls.as_ref()))?;
        if !self.settings.connect_timeout.is_zero() {
            connect.timeout = self.settings.connect_timeout;
        }
        let agents = agent::kept(&self.settings.state_dir, &connect.cookie);
        let warning = connect.cookie.warning().cloned();
        let session = Session::connect(&connect).inspect_err(|_| self.forget_place(node))?;
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

    #[doc(hidden)]
    /// The name of the target that nodes belong to; empty when they belong to none.
    pub fn target_name(&self, nodes: &[NodeName]) -> &str {
        let target = nodes.first().and_then(|node| self.target_of(node));
        target.map_or("", |target| target.name.as_str())
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
