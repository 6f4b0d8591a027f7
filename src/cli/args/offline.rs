//! Flags of the commands about beams and releases, which connect to no node.

use super::super::complete;
use super::push::PushArgs;
use crate::facts::beam::bifs;
use clap_complete::engine::ArgValueCompleter;
use std::path::PathBuf;

/// `updo graph`
#[derive(Debug, clap::Args)]
pub struct GraphArgs {
    /// The plan, `-` for standard input, or a node: the graph of the modules that change, with the plan's rules in it
    #[arg(value_name = "PLAN | NODE", required_unless_present = "beams",
          add = ArgValueCompleter::new(complete::plans))]
    pub plan: Option<PathBuf>,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
    /// Beam files, folders of them or .ez archives instead: the call graph, offline
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
pub struct DiffArgs {
    /// The plan, `-` for standard input, or a node, to compare its nodes with the new code; then modules
    #[arg(value_name = "PLAN | NODE | MODULE", required_unless_present = "old",
          add = ArgValueCompleter::new(complete::plans))]
    pub what: Vec<String>,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
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

/// `updo relup`
#[derive(Debug, clap::Args)]
pub struct RelupArgs {
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
pub struct AppupArgs {
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
    #[arg(long, value_enum, default_value_t = DepsArg::Hard)]
    pub deps: DepsArg,
}

/// Edges that become dependencies of an appup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum DepsArg {
    /// Only hard edges: one version does not work with the other version of the called module
    Hard,
    /// All calls as well
    Calls,
}
