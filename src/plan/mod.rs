//! A plan: its statements read, included, resolved as far as that goes without a node.
//!
//! [`load()`] reads files and gives a [`Plan`]; what depends on a node (subjects, guards) stays as
//! expressions and is decided per node by `rules::plan_rules`. Reading a plan asks no node anything.

mod between_stages;
mod checks;
mod code;
mod constants;
mod include;
pub mod load;
pub mod offline;
mod options;
mod per_node;
pub mod rehearse;
mod resolve;
pub mod rollout;
mod scope;
pub mod state_check;
mod target;
mod tls;
pub mod vocabulary;
mod way;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::diag::{SourceMap, Span};
use crate::eval::{Bindings, Functions};
use crate::facts::compare::library_versions::Libraries;
use crate::name::NodeName;
use crate::syntax::ast::{Expr, FunClause, Statement, Tail};
use crate::term::Term;

pub use between_stages::{Gate, Hold};
pub use constants::ENVIRONMENT;
pub use load::{load, load_text};
pub use options::{attribute, duration, term_duration, wrong_value};
pub use rehearse::Rehearse;
pub use rollout::Rollout;
pub use state_check::{AppliedCheck, StateCheck};
pub use way::Addresses;

/// Where a cookie comes from, as the plan says it. The cookie itself never is in a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CookieFrom {
    /// `file("path")`, relative to the plan.
    File(PathBuf),
    /// `env("NAME")`.
    Env(String),
    /// `prompt`: asked on the terminal.
    Prompt,
}

/// `target Name #{…}`
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// The nodes; none where a seed knows them.
    pub nodes: Vec<NodeName>,
    /// `seed` and `match`: the nodes are found when they are needed.
    pub seed: Option<Seed>,
    /// Where the cookie comes from.
    pub cookie: Option<CookieFrom>,
    /// `tls`: how to speak to nodes that were started with `-proto_dist inet_tls`.
    pub tls: Option<crate::node::tls::TlsOptions>,
    /// `name`: the local node name.
    pub local_name: Option<String>,
    /// `epmd_port`.
    pub epmd_port: Option<u16>,
    /// `port`: where its nodes listen, when epmd is not to be asked.
    pub port: Option<u16>,
    /// `address`.
    pub addresses: Addresses,
    /// `via`: the machine that connects for us.
    pub via: Option<crate::node::Via>,
    /// The statement.
    pub span: Span,
}

impl Target {
    /// Whether a node belongs to it: named, or of a name that its seed may find.
    pub fn has(&self, node: &NodeName) -> bool {
        let seed = self.seed.as_ref();
        self.nodes.contains(node)
            || seed.is_some_and(|seed| {
                seed.node() == Some(node) || seed.pattern.matches(node.as_str())
            })
    }
}

/// `seed => N, match => "glob"`: what knows the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// Where their names are from.
    pub from: SeedFrom,
    /// Which of those that it knows belong to the target; of a node's, itself included.
    pub pattern: glob::Pattern,
}

/// Where the nodes of a target are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeedFrom {
    /// A node knows those that it is connected to.
    Node(NodeName),
    /// `dns("NAME")`: the nodes on the hosts behind a name.
    Dns(String),
    /// `file("PATH")`: a node name a line.
    File(PathBuf),
}

impl Seed {
    /// The node that knows the others.
    pub fn node(&self) -> Option<&NodeName> {
        match &self.from {
            SeedFrom::Node(node) => Some(node),
            SeedFrom::Dns(_) | SeedFrom::File(_) => None,
        }
    }
}

impl std::fmt::Display for SeedFrom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Dns(name) => write!(f, "dns {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Patterns of files, and what they are relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns {
    /// The patterns with their places.
    pub patterns: Vec<(String, Span)>,
    /// The folder they are relative to.
    pub base: PathBuf,
}

/// `old from git`: a revision that is built for the beams of the running version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitBuild {
    /// A commit, or what leads to one.
    pub revision: String,
    /// The command of a shell.
    pub build: String,
    /// How long it may take.
    pub within: Duration,
    /// The folder of the plan, which is in the repository.
    pub base: PathBuf,
    /// The statement.
    pub span: Span,
}

/// Where new code comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CodeFrom {
    /// The node's own files, already replaced.
    OnDisk,
    /// Local beams, sent over the connection.
    Push(Patterns),
}

/// `require` or `verify`.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it checks, in words.
    pub name: String,
    /// The conditions.
    pub body: Vec<Expr>,
    /// When it applies.
    pub tail: Tail,
    /// Until when to retry; zero: once.
    pub within: Duration,
    /// How long to wait between tries.
    pub every: Duration,
    /// How long to wait before the first try.
    pub after: Duration,
    /// `each => rollout`: asked once, on the first node, before or after all of them.
    pub rollout: bool,
    /// The statement.
    pub span: Span,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `before upgrade`.
    Before,
    /// `after upgrade`.
    After,
    /// `on failure`.
    Failure,
    /// `on rollback`: the old code and states are back, and all processes run again.
    Rollback,
    /// At a step of the script.
    Step,
    /// `before rollout`: once, on the first node.
    BeforeRollout,
    /// `after rollout`: once, on the first node.
    AfterRollout,
}

impl When {
    /// How the plan says it; a hook at a step is named by its step.
    pub fn words(self) -> &'static str {
        match self {
            Self::Before => "before upgrade",
            Self::After => "after upgrade",
            Self::Failure => "on failure",
            Self::Rollback => "on rollback",
            Self::Step => "at a step",
            Self::BeforeRollout => "before rollout",
            Self::AfterRollout => "after rollout",
        }
    }
}

/// `before upgrade -> …`, `after upgrade -> …`, `on failure -> …`, `on rollback -> …`, `before load S -> …`
#[derive(Clone, Debug)]
pub struct Hook {
    /// When.
    pub when: When,
    /// What.
    pub body: Vec<Expr>,
    /// When it applies.
    pub tail: Tail,
    /// The statement.
    pub span: Span,
}

/// How long is watched after the resume when the plan says nothing.
pub const SOAK: Duration = Duration::from_secs(2);

/// What to do after a failure behind the last window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RollbackPolicy {
    /// Undo with the saved beams.
    #[default]
    Automatic,
    /// Stop and say how.
    Manual,
    /// Go on.
    Never,
}

/// What may turn out to be wrong when a node is new already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackTrigger {
    /// A `verify`.
    Verify,
    /// A hook `after upgrade`.
    After,
    /// A `verify` or a hook of the whole rollout: then all of its nodes go back.
    Rollout,
}

impl RollbackTrigger {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Verify, Self::After, Self::Rollout];

    /// The word of the plan.
    pub fn word(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::After => "after",
            Self::Rollout => "rollout",
        }
    }
}

/// `engine`: what carries a script out on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExecutionEngine {
    /// updo's own agent: a transaction.
    #[default]
    Updo,
    /// OTP's `release_handler_1:eval_script/5`, with the statement that asks for it.
    ReleaseHandler(Span),
}

/// `window`: how a script is grouped. A window is what lies between suspending and resuming.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WindowPolicy {
    /// Everything at one instant.
    Single,
    /// One for each set of modules that must change together.
    Minimal,
    /// As `systools_rc` makes them.
    Otp,
    /// Those that the plan writes, in its order.
    Own,
    /// No process is suspended: each converts its state when it first comes by a callback.
    Live,
    /// [`WindowPolicy::Live`] where nothing of what [`WindowPolicy::Single`] promises is lost by it and a rehearsal has
    /// proven that, else that.
    #[default]
    Auto,
}

impl std::fmt::Display for WindowPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Single => "single",
            Self::Minimal => "minimal",
            Self::Otp => "otp",
            Self::Own => "own",
            Self::Live => "live",
            Self::Auto => "auto",
        })
    }
}

/// A statement that is decided per node, with the layer it is in (0: the plan file).
#[derive(Clone, Debug)]
pub struct Rule {
    /// The statement.
    pub statement: Statement,
    /// 0 for the plan file, 1 for a file it includes.
    pub layer: usize,
}

/// A plan, resolved as far as that goes without a node.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The file, as it was named.
    pub path: PathBuf,
    /// `plan "…"`.
    pub title: String,
    /// The metadata of `plan`.
    pub metadata: Vec<(String, Term)>,
    /// All text read, for diagnostics.
    pub sources: SourceMap,
    /// Targets by name, in order.
    pub targets: Vec<Target>,
    /// `code`; on disk when the plan says nothing.
    pub code: CodeFrom,
    /// `code … #{env => true}`: whether the configuration follows new `.app` files.
    pub env: bool,
    /// `code on_disk #{newest => …, from => …, update_paths => …}`: applications whose new version is in another folder.
    pub libraries: Libraries,
    /// `code push … #{persist => true}`: whether the beams are written to the node's disk as well.
    pub persist: bool,
    /// Whether beams of an earlier version of what runs are taken all the same (E628).
    pub earlier: bool,
    /// `old from`.
    pub old_from: Vec<Patterns>,
    /// `old from git`.
    pub old_git: Vec<GitBuild>,
    /// Constants and parameters.
    pub constants: Bindings,
    /// Plan functions by name and arity.
    pub functions: BTreeMap<(String, usize), Vec<FunClause>>,
    /// Statements decided per node.
    pub rules: Vec<Rule>,
    /// Preconditions.
    pub requires: Vec<Check>,
    /// Postconditions.
    pub verifies: Vec<Check>,
    /// `hold`: what must hold all the time, after each stage of a rollout.
    pub holds: Vec<Hold>,
    /// `gate`: commands that let the next stage begin.
    pub gates: Vec<Gate>,
    /// Hooks.
    pub hooks: Vec<Hook>,
    /// `deadline`: from first suspend to last verify.
    pub deadline: Option<Duration>,
    /// `budget`: how long processes stay suspended at most because another one does not answer; `None` is `infinity`.
    pub budget: Option<Duration>,
    /// Whether the plan says so itself.
    pub budget_said: bool,
    /// `soak`: how long the processes that were suspended are watched after the resume, before anything is verified.
    pub soak: Duration,
    /// `rollback`.
    pub rollback: RollbackPolicy,
    /// `rollback automatic #{on => […]}`: after which failures the way back is gone by itself.
    pub rollback_on: Vec<RollbackTrigger>,
    /// `rollback … #{keep_old => D}`: how long the way back of a run is kept at least.
    pub keep_old: Duration,
    /// `rehearse`: how a run tries conversions before it begins.
    pub rehearse: Rehearse,
    /// `rehearse S "text" -> fun …`: what must hold of states and what they are converted to.
    pub state_checks: Vec<StateCheck>,
    /// `rollout`, with the statements: at most one per target, and one for any.
    pub rollouts: Vec<(Rollout, Span)>,
    /// Whether rules of included files that do nothing are reported too.
    pub warn_unused_everywhere: bool,
    /// `window`; with `engine release_handler` always `otp`.
    pub windows: WindowPolicy,
    /// Whether the plan says so itself.
    pub windows_said: bool,
    /// `engine`: what carries the script out.
    pub engine: ExecutionEngine,
}

impl Plan {
    /// Its functions as the evaluator wants them; they see the constants.
    pub fn scripts(&self) -> Functions<'_> {
        scripts(&self.functions, &self.constants)
    }

    /// The rollout of a target, or the one for any.
    pub fn rollout_of(&self, target: Option<&str>) -> Option<&Rollout> {
        let all = || self.rollouts.iter().map(|(rollout, _)| rollout);
        let own =
            all().find(|rollout| rollout.target.is_some() && rollout.target.as_deref() == target);
        own.or_else(|| all().find(|rollout| rollout.target.is_none()))
    }

    /// Whether all nodes of a target switch at one instant.
    pub fn is_together(&self, target: &str) -> bool {
        let rollout = self.rollout_of(Some(target));
        rollout.is_some_and(|rollout| rollout.together.is_some())
    }
}

fn scripts<'a>(
    functions: &'a BTreeMap<(String, usize), Vec<FunClause>>,
    constants: &'a Bindings,
) -> Functions<'a> {
    let mut table = Functions::new();
    for ((name, _), clauses) in functions {
        table.insert(name, clauses);
    }
    table.with_constants(constants)
}
