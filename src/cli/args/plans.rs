//! Flags of the commands that are about plans and need no node.

use super::super::complete;
use super::push::PushArgs;
use clap_complete::engine::ArgValueCompleter;
use std::path::PathBuf;

/// `updo check`
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Plans; `-` for standard input
    #[arg(required = true, value_name = "PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub plans: Vec<PathBuf>,
    /// Overrides without a reason are errors; with a target, undeclared cycles too
    #[arg(long)]
    pub strict: bool,
    /// Never connect, even if a target is given
    #[arg(long)]
    pub offline: bool,
    /// With a target: which rules without effect are reported
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
pub struct FmtArgs {
    /// Plans; `-` formats standard input to standard output
    #[arg(required = true, value_name = "FILE", add = ArgValueCompleter::new(complete::plans))]
    pub files: Vec<PathBuf>,
    /// Write nothing; exit code 3 if a plan is not formatted
    #[arg(long)]
    pub check: bool,
}

/// `updo new`
#[derive(Debug, clap::Args)]
pub struct NewArgs {
    /// The node
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Where to write it; standard output otherwise
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
}

/// `updo explain`
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// A diagnostic code; or a plan (`-` for standard input) or a node, and what to explain: `M`, or `A before B`
    #[arg(required = true, value_name = "CODE | PLAN WHAT",
          add = ArgValueCompleter::new(complete::codes_and_plans))]
    pub what: Vec<String>,
    /// New beams
    #[command(flatten)]
    pub push: PushArgs,
}
