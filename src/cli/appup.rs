//! `updo appup`: an appup inferred from two versions of an application; one term on standard output.

use super::args::{Appup, Deps};
use super::{Context, Exit, relup};
use crate::diag::SourceMap;
use crate::release::infer;

pub(super) fn run(context: &Context<'_>, args: &Appup) -> Exit {
    let mut sources = SourceMap::default();
    let deps = match args.deps {
        Deps::Hard => infer::Deps::Hard,
        Deps::Calls => infer::Deps::Calls,
    };
    match infer::appup(&args.old, &args.new, deps, &mut sources) {
        Err(diagnostic) => context.fail(*diagnostic, &sources),
        Ok(appup) => {
            context.ui.diagnostics(&appup.diagnostics, &sources);
            relup::give(context, &appup.to_term(), args.output.as_deref())
        }
    }
}
