//! `updo appup`: an appup inferred from two versions of an application; one term on standard output.

use super::args::{AppupArgs, DepsArg};
use super::context::Context;
use super::exit::Exit;
use super::relup;
use crate::diag::SourceMap;
use crate::release::infer;

pub(super) fn run(context: &Context<'_>, args: &AppupArgs) -> Exit {
    let mut sources = SourceMap::default();
    let deps = match args.deps {
        DepsArg::Hard => infer::DependencyKinds::Hard,
        DepsArg::Calls => infer::DependencyKinds::Calls,
    };
    match infer::appup(&args.old, &args.new, deps, &mut sources) {
        Err(diagnostic) => context.fail(*diagnostic, &sources),
        Ok(appup) => {
            context.ui.diagnostics(&appup.diagnostics, &sources);
            relup::give(context, &appup.to_term(), args.output.as_deref())
        }
    }
}
