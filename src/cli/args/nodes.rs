//! Flags of the commands that look at nodes, upgrade them, or ask about earlier runs.

use super::super::complete;
use super::push::PushArgs;
use crate::plan::rollout::{Pause, Share, share};
use crate::rules::Purge;
use crate::term::{Notation, Term};
use clap::builder::FalseyValueParser;
use clap_complete::engine::ArgValueCompleter;
use std::path::PathBuf;
use std::time::Duration;

/// `updo preview`
#[derive(Debug, clap::Args)]
pub struct PreviewArgs {
    /// The plan, `-` for standard input; or a node: what differs between it and its disk
    #[arg(value_name = "PLAN | NODE", add = ArgValueCompleter::new(complete::plans))]
    pub plan: PathBuf,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
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
    /// Every instruction with all evidence, all warnings, and the modules that were compared and are the same
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

/// `updo rehearse`
#[derive(Debug, clap::Args)]
pub struct RehearseArgs {
    /// The plan, `-` for standard input; or a node: what differs between it and its disk
    #[arg(value_name = "PLAN | NODE", add = ArgValueCompleter::new(complete::plans))]
    pub plan: PathBuf,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
    /// How many processes of one module are asked for their state, at most (10000)
    #[arg(long, value_name = "N")]
    pub at_most: Option<usize>,
    /// How many of them a second, at most (5000)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// How long all of it may take (10s)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub within: Option<std::time::Duration>,
    /// All modules and all warnings, however many there are
    #[arg(long)]
    pub full: bool,
}

/// `updo run`
#[derive(Debug, Default, clap::Args)]
pub struct RunArgs {
    /// The plan, `-` for standard input; or a node: what differs between it and its disk; or a script that `preview -o` has saved
    #[arg(value_name = "PLAN | NODE | FILE.script", add = ArgValueCompleter::new(complete::plans))]
    pub plan: PathBuf,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
    /// Do not ask
    #[arg(short, long, env = "UPDO_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
    /// Show what would happen, and end there
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Every instruction with all evidence, and all warnings, however many there are
    #[arg(long)]
    pub full: bool,
    /// The operator or the reason: kept with the record, and in the report
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    /// The plan's `deadline` for each node, instead of what the plan says
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub deadline: Option<Duration>,
    /// How long the processes are watched after the resume, instead of what the plan says; `0s`: until `verify` is over
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub soak: Option<Duration>,
    /// How long processes stay suspended for a busy one, instead of what the plan says; `infinity`: until its timeout
    #[arg(long, value_name = "TIME|infinity", value_parser = budget)]
    pub budget: Option<BudgetArg>,
    /// How long to wait for another run to end (default: not at all)
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub lock_timeout: Option<Duration>,
    #[command(flatten)]
    pub without: WithoutArgs,
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
    /// Exit as soon as the run has started on the node (exit code 23); `updo attach` follows it and runs `verify`
    #[arg(long)]
    pub detach: bool,
    /// Write the stream of events to a file as well
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Undeclared cycles and overrides without a reason are errors
    #[arg(long)]
    pub strict: bool,
}

/// `updo reconcile`
#[derive(Debug, clap::Args)]
pub struct ReconcileArgs {
    /// The plan whose last run through all nodes has made the version
    #[arg(value_name = "PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plan: PathBuf,
    /// Stay, and bring nodes there as they come, until ctrl-c
    #[arg(long)]
    pub watch: bool,
    /// With --watch: how often nodes are looked at
    #[arg(long, value_name = "TIME", default_value = "5s", requires = "watch",
          value_parser = humantime::parse_duration)]
    pub every: Duration,
    /// The version that this run or rollout has left, instead of the last that went through on all nodes
    #[arg(long, value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub to: Option<String>,
    /// Nodes with code that no recorded run explains (W654), too
    #[arg(long)]
    pub include_unknown: bool,
    /// Do not ask
    #[arg(short, long, env = "UPDO_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
    /// Show which nodes differ and what would happen, and end there
    #[arg(long, conflicts_with_all = ["yes", "watch"])]
    pub dry_run: bool,
    /// The operator or the reason: kept with the records, and in reports
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    #[command(flatten)]
    pub without: WithoutArgs,
    /// Write the stream of events to a file as well
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
}

/// What a run does by default and is to do without.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct WithoutArgs {
    /// Skip `verify` (noted in the report)
    #[arg(long)]
    pub no_verify: bool,
    /// Go on where the running version has no copy and something can fail after the switch (W317): the new code stays then
    #[arg(long)]
    pub no_undo: bool,
    /// Do not try conversions on copies of live states first (the plan's `rehearse never`)
    #[arg(long, env = "UPDO_NO_REHEARSAL", value_parser = FalseyValueParser::new())]
    pub no_rehearsal: bool,
}

/// `updo watch`
#[derive(Debug, clap::Args)]
pub struct WatchArgs {
    /// The node, whose disk is watched; or a plan, `-` for standard input, that says where new code comes from
    #[arg(value_name = "NODE | PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plan: PathBuf,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
    /// Do not try conversions on copies of live states first (the plan's `rehearse never`)
    #[arg(long, env = "UPDO_NO_REHEARSAL", value_parser = FalseyValueParser::new())]
    pub no_rehearsal: bool,
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

/// `updo eval`
#[derive(Debug, clap::Args)]
pub struct EvalArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// The expression; `-` reads it from standard input
    #[arg(value_name = "EXPR")]
    pub expression: String,
    /// The notation of the value; by default Elixir's where the node runs Elixir
    #[arg(long, value_enum)]
    pub syntax: Option<Syntax>,
}

/// How values are printed; expressions are Erlang's in any case.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Syntax {
    /// As `~tp` of io_lib:format
    Erlang,
    /// As inspect/2
    Elixir,
}

impl Syntax {
    /// The same for the printer.
    pub fn notation(self) -> Notation {
        match self {
            Self::Erlang => Notation::Erlang,
            Self::Elixir => Notation::Elixir,
        }
    }
}

/// `updo repl`
#[derive(Debug, clap::Args)]
pub struct ReplArgs {
    /// The plan
    #[arg(value_name = "PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plan: Option<PathBuf>,
    /// Evaluates the lines of a file and stops at the first error
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Calls only functions that change nothing
    #[arg(long)]
    pub read_only: bool,
    /// The notation of values; by default Elixir's where the node runs Elixir
    #[arg(long, value_enum)]
    pub syntax: Option<Syntax>,
}

/// `updo status`
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The plan that names target and code, `-` for standard input; or a node, and what lies on its disk
    #[arg(value_name = "PLAN | NODE", add = ArgValueCompleter::new(complete::plans))]
    pub plan: Option<PathBuf>,
    /// Keep copies of all running beams, however long it takes, and say which cannot be kept (exit code 1: none can)
    #[arg(long)]
    pub save: bool,
}

/// `updo rollback`
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    /// The run: four hexadecimal digits, as its last line says
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Do not ask
    #[arg(short, long, env = "UPDO_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
    /// Processes in code that has to be purged: how long to wait for them; `soft`: not at all; `brutal`: kill them
    #[arg(long, value_name = "soft|brutal|TIME", default_value = "5s", value_parser = purge)]
    pub purge: Purge,
    /// How long processes stay suspended for a busy one, instead of what the run had; `infinity`: until its timeout
    #[arg(long, value_name = "TIME|infinity", value_parser = budget)]
    pub budget: Option<BudgetArg>,
}

/// A pause budget; `None` is `infinity`.
#[derive(Clone, Copy, Debug)]
pub struct BudgetArg(pub Option<Duration>);

fn budget(text: &str) -> Result<BudgetArg, String> {
    if text == "infinity" {
        return Ok(BudgetArg(None));
    }
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("more than nothing, or `infinity`".to_owned()),
        Ok(time) => Ok(BudgetArg(Some(time))),
        Err(why) => Err(format!("`infinity` or a time such as `100ms`: {why}")),
    }
}

fn purge(text: &str) -> Result<Purge, String> {
    match text {
        "soft" => Ok(Purge::Soft),
        "brutal" => Ok(Purge::Brutal),
        _ => humantime::parse_duration(text)
            .map(Purge::Wait)
            .map_err(|why| format!("`soft`, `brutal` or a time such as `30s`: {why}")),
    }
}

/// `updo attach`
#[derive(Debug, clap::Args)]
pub struct AttachArgs {
    /// The run: four hexadecimal digits, as its last line says [default: the newest that goes on, else the newest]
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Abort the run, as long as no module is switched
    #[arg(long)]
    pub abort: bool,
    /// Skip `verify`
    #[arg(long)]
    pub no_verify: bool,
}

/// `updo mend`
#[derive(Debug, clap::Args)]
pub struct MendArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Do not ask
    #[arg(short, long, env = "UPDO_YES", value_parser = FalseyValueParser::new())]
    pub yes: bool,
}

/// `updo log`
#[derive(Debug, clap::Args)]
pub struct LogArgs {
    /// Only the newest N runs
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
}
