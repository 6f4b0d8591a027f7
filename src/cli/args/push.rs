//! The flag `--push`, of every command that takes a node in place of a plan.

/// New beams for a node that is named in place of a plan.
#[derive(Debug, Default, clap::Args)]
pub struct PushArgs {
    /// With a node in place of a plan: new beams to push from here (files, folders, patterns), instead of those on its disk
    #[arg(long = "push", value_name = "GLOB", num_args = 1.., value_hint = clap::ValueHint::AnyPath)]
    pub globs: Vec<String>,
}
