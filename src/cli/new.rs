//! `updo new`: a starter plan for a node.

use super::args::New;
use super::{Context, Exit};

pub(super) fn run(context: &Context<'_>, args: &New) -> Exit {
    let _ = args;
    context.usage("not yet", "")
}
