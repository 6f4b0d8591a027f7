//! The arguments, as they were typed.

mod around;
mod nodes;
mod offline;
mod plans;
mod push;

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand};
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use crate::ui::Colour;
pub use around::*;
pub use nodes::*;
pub use offline::*;
pub use plans::*;
pub use push::*;

/// Hot code upgrades of live Erlang and Elixir nodes: shown before they are done, run as a transaction.
#[derive(Debug, Parser)]
#[command(
    name = "updo",
    version,
    max_term_width = 100,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Only `run`, `reconcile`, `watch`, `rollback`, `attach`, `mend`, `eval` and `repl` can change a node; `rehearse` loads temporary modules.\n\
    Every flag has an environment variable of lower precedence: UPDO_NO_VERIFY for --no-verify.\n\
    Exit codes: 0 done, 1 plan has errors, 2 wrong usage, 3 something to do, 10-19 nothing was changed, 20 undone,\n\
    21 needs manual repair, 22 some nodes are new, 23 connection lost, 70 a bug in updo."
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
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// A target of the plan, or node names joined by commas (else the plan's only target, RELEASE_NODE)
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
    /// Reads the cookie from a file (else UPDO_COOKIE_FILE, UPDO_COOKIE, the plan, RELEASE_COOKIE, ~/.erlang.cookie)
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
    Check(CheckArgs),
    /// Format plans
    Fmt(FmtArgs),
    /// Write a first plan for a node
    New(NewArgs),
    /// Connect, compare, print the script; changes nothing
    #[command(visible_alias = "p")]
    Preview(PreviewArgs),
    /// Try the conversions on copies of live states; suspends and changes nothing
    Rehearse(RehearseArgs),
    /// Preview, ask, upgrade, verify
    #[command(visible_alias = "r")]
    Run(RunArgs),
    /// Bring nodes that joined later, or were restarted from old files, to the version of the plan's last run
    Reconcile(ReconcileArgs),
    /// For development: upgrade what is rebuilt, as it comes, until ctrl-c
    Watch(WatchArgs),
    /// The dependency graph of the changed modules; with --beams the call graph, offline
    Graph(GraphArgs),
    /// What differs between old and new: exports, attributes, records, size
    Diff(DiffArgs),
    /// Explain why a module takes part, why A comes before B, or a diagnostic code
    Explain(ExplainArgs),
    /// Evaluate one expression; prints the result as a term
    Eval(EvalArgs),
    /// Interactive: expressions on the node, and the order of the upgrade
    Repl(ReplArgs),
    /// Undo a run with the beams it saved; the newest when none is named
    Rollback(RollbackArgs),
    /// Follow a run that is still active, or see how it ended
    Attach(AttachArgs),
    /// Repair what a run has left on a node (all its processes were killed, old states under new code): list, ask, put right
    Mend(MendArgs),
    /// Recorded runs
    Log(LogArgs),
    /// What a node runs, and what differs; --save keeps copies of all running beams
    Status(StatusArgs),
    /// Make the relup that systools:make_relup makes, from .rel, .app and .appup files
    Relup(RelupArgs),
    /// An appup, up and down, inferred from two versions of an application
    Appup(AppupArgs),
    /// A recorded run as one HTML file
    Report(ReportArgs),
    /// A recorded run as it was on the screen
    Replay(ReplayArgs),
    /// JSON Schemas of what updo writes for machines
    Schema(SchemaArgs),
    /// Check the connection to a node step by step: name, host, epmd, port, cookie, TLS, handshake, calls, lock
    Doctor(DoctorArgs),
    /// Print a shell completion script for plans, targets, parameters, runs and codes
    Completions(CompletionsArgs),
    /// Manual pages
    Man(ManArgs),
    /// The version
    Version,
    /// The language server for plan files: editors start it
    Lsp(LspArgs),
    /// Tools for assistants, over the Model Context Protocol: preview, explain, diff, rehearse, status, graph
    Mcp(McpArgs),
}
