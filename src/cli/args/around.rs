//! Flags of what surrounds an upgrade: editors, reports, shells, help.

use super::super::complete;
use clap_complete::engine::ArgValueCompleter;
use std::path::PathBuf;
use std::time::Duration;

/// `updo lsp`
#[derive(Debug, clap::Args)]
pub struct LspArgs {
    /// Accepted for editors that pass it; standard input and output are always used
    #[arg(long)]
    pub stdio: bool,
    /// Overrides without a reason are errors
    #[arg(long)]
    pub strict: bool,
    /// Never connect, even if a target is given
    #[arg(long)]
    pub offline: bool,
    /// With a target: how long a query of its nodes may take [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub patience: Option<Duration>,
}

/// `updo mcp`
#[derive(Debug, clap::Args)]
pub struct McpArgs {
    /// The plan or node of tools that are called without one [default: the node of --target]
    #[arg(value_name = "PLAN | NODE", add = ArgValueCompleter::new(complete::plans))]
    pub subject: Option<String>,
    /// No tool that executes new code on a node: `rehearse` is left out
    #[arg(long)]
    pub no_rehearse: bool,
}

/// `updo report`
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// The run, a rollout, or a file that `run --events` wrote; the newest run when nothing is named
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// Where to write it; standard output otherwise
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `updo replay`
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// The run, a rollout, or a file that `run --events` wrote; the newest run when nothing is named
    #[arg(value_name = "RUN", add = ArgValueCompleter::new(complete::runs))]
    pub run: Option<String>,
    /// At its original speed, multiplied by this factor
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
pub struct SchemaArgs {
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
pub struct DoctorArgs {
    /// The node, or a plan: then its target's nodes
    #[arg(value_name = "NODE | PLAN", add = ArgValueCompleter::new(complete::plans))]
    pub what: String,
}

/// `updo completions`
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
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
pub struct ManArgs {
    /// A command, or `plan` for the plan language; updo itself when nothing is named
    #[arg(value_name = "PAGE", conflicts_with = "dir")]
    pub page: Option<String>,
    /// Write all pages into a folder
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
