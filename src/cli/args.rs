//! The arguments, as they were typed.

use crate::plan::rollout::{Pause, Share, share};
use crate::term::Term;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use crate::facts::bifs;
use crate::ui::Colour;

/// Hot code upgrades of live Erlang and Elixir nodes: shown before they are done, run as a transaction.
#[derive(Debug, Parser)]
#[command(
    name = "updo",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Nothing but `run`, `rollback`, `attach --abort` and `eval` changes anything on a node.\n\
    Every flag has a twin in the environment that counts less: --no-verify is UPDO_NO_VERIFY.\n\
    Exit codes: 0 done, 1 plan has errors, 2 usage, 10-19 nothing was changed, 20-29 look first."
)]
pub struct Args {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
pub struct Global {
    /// A target of the plan, or node names joined by commas
    #[arg(
        short,
        long,
        global = true,
        value_name = "NAME|NODE",
        env = "UPDO_TARGET",
        add = ArgValueCompleter::new(complete::targets)
    )]
    pub target: Option<String>,
    /// Sets a parameter of the plan; repeatable
    #[arg(short, long, global = true, value_name = "NAME=VALUE",
          add = ArgValueCompleter::new(complete::parameters))]
    pub set: Vec<String>,
    /// Reads the cookie from a file (else UPDO_COOKIE_FILE, UPDO_COOKIE, the plan, ~/.erlang.cookie)
    #[arg(long, global = true, value_name = "FILE")]
    pub cookie_file: Option<PathBuf>,
    /// Our own node name; updo-PID-RANDOM@HOST by default, hidden
    #[arg(long, global = true, value_name = "NODE")]
    pub name: Option<String>,
    /// Colours
    #[arg(long, global = true, value_enum, env = "UPDO_COLOR")]
    pub color: Option<Colour>,
    /// ASCII only
    #[arg(long, global = true)]
    pub no_unicode: bool,
    /// Width of the screen in columns
    #[arg(long, global = true, value_name = "N")]
    pub width: Option<usize>,
    /// Long texts go to the terminal as they are, not through UPDO_PAGER, PAGER or less
    #[arg(long, global = true)]
    pub no_pager: bool,
    /// Machine output on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Say less
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: advice as well; twice: what goes over the connection, without contents
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Append what goes over the connection to a file, without contents
    #[arg(long, global = true, value_name = "FILE", env = "UPDO_LOG_FILE")]
    pub log_file: Option<PathBuf>,
    /// Never ask; fail instead
    #[arg(long, global = true, env = "UPDO_NO_INPUT", value_parser = FalseyValueParser::new())]
    pub no_input: bool,
    /// Start in this folder
    #[arg(short = 'C', global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read, resolve and lint a plan; no network, unless --target names nodes to look at
    Check(Check),
    /// Format plans
    Fmt(Fmt),
    /// A starter plan for a node, from what updo finds there
    New(New),
    /// Connect, compare, print the script; changes nothing
    #[command(visible_alias = "p")]
    Preview(Preview),
    /// Preview, ask, upgrade, verify
    #[command(visible_alias = "r")]
    Run(Run),
    /// The dependency graph of the changed modules; with --beams who calls whom, offline
    Graph(Graph),
    /// What differs between old and new: exports, attributes, records, size
    Diff(Diff),
    /// Why a module is here, why A comes before B; or a diagnostic code
    Explain(Explain),
    /// One expression; the result as a term on standard output
    Eval(Eval),
    /// Interactive: expressions on the node, and the order of the upgrade
    Repl(Repl),
    /// Undo a run with the beams it saved; the newest when none is named
    Rollback(Rollback),
    /// Rejoin a run that is still going, or see how it ended
    Attach(Attach),
    /// Recorded runs
    Log(Log),
    /// What a node runs, and what differs; --save keeps copies of the running beams
    Status(Status),
    /// What systools:make_relup gives, from .rel, .app and .appup files
    Relup(Relup),
    /// An appup, up and down, inferred from two versions of an application
    Appup(Appup),
    /// A recorded run as one HTML file
    Report(Report),
    /// A recorded run as it was on the screen
    Replay(Replay),
    /// JSON Schemas of what updo writes for machines
    Schema(Schema),
    /// Step by step what works on the way to a node: name, epmd, cookie, handshake, OTP, lock
    Doctor(Doctor),
    /// A script that teaches a shell to complete plans, targets, parameters, runs and codes
    Completions(Completions),
    /// Manual pages
    Man(Man),
    /// The version
    Version,
    /// The language server for plan files: editors start it
    Lsp(Lsp),
}

/// `updo lsp`
#[derive(Debug, clap::Args)]
pub struct Lsp {
    /// Standard input and output, which it always speaks on; editors like to say so
    #[arg(long)]
    pub stdio: bool,
    /// Overrides without a reason are errors
    #[arg(long)]
    pub strict: bool,
    /// Never connect, even if a target is given
    #[arg(long)]
    pub offline: bool,
    /// With a target: how long a look at its nodes may take [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub patience: Option<Duration>,
}

/// `updo report`
#[derive(Debug, clap::Args)]
pub struct Report {
    /// The run, or a file that `run --events` wrote; the newest run when nothing is named
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Where to write it; standard output otherwise
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `updo replay`
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The run, or a file that `run --events` wrote; the newest run when nothing is named
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// At its own pace, so many times faster
    #[arg(long, value_name = "TIMES", value_parser = speed)]
    pub speed: Option<f64>,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed >= 0.01 => Ok(speed),
        _ => Err("a number from 0.01".to_owned()),
    }
}

/// `updo schema`
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Of what
    #[arg(value_enum)]
    pub what: SchemaOf,
}

/// What there are schemas of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SchemaOf {
    /// One line of `run --json`, `run --events` and of a record
    Events,
}

/// `updo doctor`
#[derive(Debug, clap::Args)]
pub struct Doctor {
    /// The node, or a plan: then its target's nodes
    #[arg(value_name = "NODE | PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub what: String,
}

/// `updo completions`
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Shells that can be taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// `source <(updo completions bash)` in ~/.bashrc
    Bash,
    /// `source <(updo completions zsh)` in ~/.zshrc, after compinit
    Zsh,
    /// `updo completions fish | source` in ~/.config/fish/config.fish
    Fish,
    /// `eval (updo completions elvish | slurp)` in ~/.elvish/rc.elv
    Elvish,
    /// `updo completions powershell | Out-String | Invoke-Expression` in $PROFILE
    Powershell,
}

impl Shell {
    /// As it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Elvish => "elvish",
            Self::Powershell => "powershell",
        }
    }
}

/// `updo man`
#[derive(Debug, clap::Args)]
pub struct Man {
    /// A command, or `plan` for the plan language; updo itself when nothing is named
    #[arg(value_name = "PAGE", conflicts_with = "dir")]
    pub page: Option<String>,
    /// Write all pages into a folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `updo check`
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Plans
    #[arg(required = true, value_name = "PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plans: Vec<PathBuf>,
    /// Overrides without a reason are errors; with a target, undeclared cycles too
    #[arg(long)]
    pub strict: bool,
    /// Never connect, even if a target is given
    #[arg(long)]
    pub offline: bool,
    /// With a target: which rules that do nothing are told
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = WarnUnused::Plan)]
    pub warn_unused: WarnUnused,
}

/// Rules that do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WarnUnused {
    /// Those of the plan's own file
    Plan,
    /// Those of included files as well
    All,
}

/// `updo fmt`
#[derive(Debug, clap::Args)]
pub struct Fmt {
    /// Plans; `-` formats standard input to standard output
    #[arg(required = true, value_name = "FILE", add = ArgValueCompleter::new(complete::plans))]
    pub files: Vec<PathBuf>,
    /// Write nothing; exit code 3 if a plan is not formatted
    #[arg(long)]
    pub check: bool,
}

/// `updo new`
#[derive(Debug, clap::Args)]
pub struct New {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Where to write it; standard output otherwise
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// New beams to push from here, instead of those on the node's disk; repeatable
    #[arg(long, value_name = "GLOB")]
    pub push: Vec<String>,
}

/// `updo preview`
#[derive(Debug, clap::Args)]
pub struct Preview {
    /// The plan
    #[arg(value_name = "PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plan: PathBuf,
    /// The low-level script, as a relup would have it
    #[arg(long)]
    pub low: bool,
    /// The high-level instructions as terms
    #[arg(long, conflicts_with = "low")]
    pub terms: bool,
    /// The instructions as a script of an appup: one term
    #[arg(long, conflicts_with_all = ["low", "terms"])]
    pub appup: bool,
    /// What OTP makes of that script, as in a relup: one term
    #[arg(long, conflicts_with_all = ["low", "terms", "appup"])]
    pub relup: bool,
    /// All evidence for every line, and the modules that were compared and are the same
    #[arg(long, conflicts_with_all = ["low", "terms", "appup", "relup"])]
    pub full: bool,
    /// Save the script, with fingerprints of what runs: `updo run FILE.script` does that or nothing
    #[arg(short, long, value_name = "FILE.script", conflicts_with_all = ["low", "terms", "appup", "relup"])]
    pub output: Option<PathBuf>,
    /// Exit code 3 if there is something to do
    #[arg(long)]
    pub exit_code: bool,
    /// Undeclared cycles and overrides without a reason are errors
    #[arg(long)]
    pub strict: bool,
}

/// `updo run`
#[derive(Debug, clap::Args)]
pub struct Run {
    /// The plan, or a script that `preview -o` has saved
    #[arg(value_name = "PLAN | FILE.script", add = ArgValueCompleter::new(complete::plans))]
    pub plan: PathBuf,
    /// Do not ask
    #[arg(short, long, env = "UPDO_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
    /// Show what would happen, and end there
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Who wants it, or why: kept with the record, and in the report
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    /// The plan's `deadline` for each node, instead of what the plan says
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,
    /// Wait so long for another run to end, instead of not at all
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub lock_timeout: Option<Duration>,
    /// Skip `verify` (said in the report)
    #[arg(long)]
    pub no_verify: bool,
    /// Write the report, one HTML file, when it is over
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write checks and steps as test cases, JUnit XML, when it is over
    #[arg(long, value_name = "FILE")]
    pub report_junit: Option<PathBuf>,
    /// Only this node of the target
    #[arg(long, value_name = "NODE", conflicts_with = "from")]
    pub only_node: Option<String>,
    /// Begin with this node and without a canary, to go on with a rollout that was stopped
    #[arg(long, value_name = "NODE")]
    pub from: Option<String>,
    /// End after the canary of the plan's `rollout`
    #[arg(long, conflicts_with_all = ["only_node", "from"])]
    pub canary_only: bool,
    /// How many nodes are a stage, instead of what the plan says: `2`, `25%`, `1,3,50%`
    #[arg(long, value_name = "N|P%", value_parser = batches)]
    pub batch: Option<Batches>,
    /// What happens between stages, instead of what the plan says: `30s`, or `confirm`
    #[arg(long, value_name = "TIME|confirm", value_parser = pause)]
    pub pause: Option<Pause>,
    /// Leave as soon as the node has taken the job; exit code 23. `updo attach` rejoins, and asks `verify`
    #[arg(long)]
    pub detach: bool,
    /// Write the stream of events to a file as well
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Undeclared cycles and overrides without a reason are errors
    #[arg(long)]
    pub strict: bool,
}

/// Sizes of stages.
#[derive(Clone, Debug)]
pub struct Batches(pub Vec<Share>);

fn batches(text: &str) -> Result<Batches, String> {
    let one = |part: &str| {
        let term = match part.trim().parse::<i64>() {
            Ok(number) => Term::Int(number),
            Err(_) => Term::string(part.trim()),
        };
        share(&term)
    };
    let all: Option<Vec<Share>> = text.split(',').map(one).collect();
    all.map(Batches).ok_or_else(|| {
        "numbers of nodes or shares such as 25%, with commas between them".to_owned()
    })
}

fn pause(text: &str) -> Result<Pause, String> {
    if text == "confirm" {
        return Ok(Pause::Confirm);
    }
    humantime::parse_duration(text)
        .map(Pause::For)
        .map_err(|why| format!("a time such as `30s`, or `confirm`: {why}"))
}

/// `updo graph`
#[derive(Debug, clap::Args)]
pub struct Graph {
    /// The plan: the graph of the modules that change, with the plan's rules in it
    #[arg(value_name = "PLAN", required_unless_present = "beams",
          add = ArgValueCompleter::new(complete::plans))]
    pub plan: Option<PathBuf>,
    /// Beam files, folders of them or .ez archives instead: who calls whom, offline
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "plan")]
    pub beams: Vec<String>,
    /// With --beams: leave out what is built into this OTP release, as its xref does [default: 29]
    #[arg(long, value_name = "N", requires = "beams",
          value_parser = clap::value_parser!(u32).range(i64::from(bifs::OLDEST)..100))]
    pub otp: Option<u32>,
    /// How to draw
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    pub format: GraphFormat,
    /// Only what is near this module
    #[arg(long, value_name = "MODULE")]
    pub around: Option<String>,
    /// With --around: how many calls away, in either direction
    #[arg(long, value_name = "N", default_value_t = 1, requires = "around")]
    pub depth: usize,
}

/// Forms of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum GraphFormat {
    /// One module a line with what it waits for
    Text,
    /// One `caller -> callee` a line, sorted
    Edges,
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
    /// A picture
    Svg,
    /// A document
    Json,
}

/// `updo diff`
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// The plan, to compare its nodes with the new code; then modules
    #[arg(value_name = "PLAN | MODULE", required_unless_present = "old",
          add = ArgValueCompleter::new(complete::plans))]
    pub what: Vec<String>,
    /// Compare offline: beams of the old version
    #[arg(long, value_name = "EBIN", requires = "new")]
    pub old: Option<String>,
    /// Compare offline: beams of the new version
    #[arg(long, value_name = "EBIN", requires = "old")]
    pub new: Option<String>,
    /// Modules without a visible difference as well
    #[arg(long)]
    pub all: bool,
}

/// `updo explain`
#[derive(Debug, clap::Args)]
pub struct Explain {
    /// A diagnostic code; or a plan and what to explain: `M`, or `A before B`
    #[arg(required = true, value_name = "CODE | PLAN WHAT",
          add = ArgValueCompleter::new(complete::codes_and_plans))]
    pub what: Vec<String>,
}

/// `updo eval`
#[derive(Debug, clap::Args)]
pub struct Eval {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// The expression; `-` reads it from standard input
    #[arg(value_name = "EXPR")]
    pub expression: String,
}

/// `updo repl`
#[derive(Debug, clap::Args)]
pub struct Repl {
    /// The plan
    #[arg(value_name = "PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plan: Option<PathBuf>,
    /// Evaluates the lines of a file and stops at the first error
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Calls only functions that change nothing
    #[arg(long)]
    pub read_only: bool,
}

/// `updo status`
#[derive(Debug, clap::Args)]
pub struct Status {
    /// The plan that names target and code; with --target a node alone will do, and what lies on its disk
    #[arg(value_name = "PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plan: Option<PathBuf>,
    /// Keep copies of the running beams, so that a later upgrade can be undone
    #[arg(long)]
    pub save: bool,
}

/// `updo rollback`
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// The run: four hexadecimal digits, as its last line says
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Do not ask
    #[arg(short, long, env = "UPDO_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

/// `updo attach`
#[derive(Debug, clap::Args)]
pub struct Attach {
    /// The run: four hexadecimal digits, as its last line says
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: String,
    /// Call it off, as long as nothing is switched
    #[arg(long)]
    pub abort: bool,
    /// Skip `verify`
    #[arg(long)]
    pub no_verify: bool,
}

/// `updo log`
#[derive(Debug, clap::Args)]
pub struct Log {
    /// Only the last so many
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
}

/// `updo relup`
#[derive(Debug, clap::Args)]
pub struct Relup {
    /// The .rel file of a release to come from and to go back to; repeatable
    #[arg(long, required = true, value_name = "REL")]
    pub old: Vec<String>,
    /// The .rel file of the new release
    #[arg(long, value_name = "REL")]
    pub new: String,
    /// Folders with .rel, .app and .appup files, with wildcards; repeatable
    #[arg(long, required = true, value_name = "GLOB", num_args = 1..)]
    pub path: Vec<String>,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Restart the emulator in the end
    #[arg(long)]
    pub restart_emulator: bool,
}

/// `updo appup`
#[derive(Debug, clap::Args)]
pub struct Appup {
    /// The ebin folder of the old version
    #[arg(long, value_name = "EBIN")]
    pub old: PathBuf,
    /// The ebin folder of the new version
    #[arg(long, value_name = "EBIN")]
    pub new: PathBuf,
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Which edges become dependencies
    #[arg(long, value_enum, default_value_t = Deps::Hard)]
    pub deps: Deps,
}

/// Edges that become dependencies of an appup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Deps {
    /// Only where one version does not work with the other of its partner
    Hard,
    /// All calls as well
    Calls,
}
