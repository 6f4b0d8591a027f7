//! `updo status`: what a node runs and what differs. `--save` keeps copies of the running beams while the
//! node's disk still has them, so that an upgrade that replaces the files can be undone.

use super::args::Status;
use super::{Context, Exit};
use crate::diag::{Code, Diagnostic};
use crate::engine::Engine;
use crate::facts::live;
use crate::facts::store::Store;
use crate::facts::{beam::BeamFacts, live::Origin};
use crate::name::NodeName;
use crate::report::paint::count;

pub(super) fn run(context: &Context<'_>, args: &Status) -> Exit {
    let Some(engine) = context.open(&args.plan, context.settings()) else {
        return Exit::Plan;
    };
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    for node in nodes {
        if let Err(diagnostic) = one(context, &engine, &node, args.save) {
            return context.fail(*diagnostic, &engine.plan.sources);
        }
    }
    Exit::Done
}

fn one(
    context: &Context<'_>,
    engine: &Engine,
    node: &NodeName,
    save: bool,
) -> crate::diag::Result<()> {
    let connection = engine.connect(node)?;
    let facts = live::gather(&connection.session)?;
    let loaded = count(facts.loaded.len(), "module", "modules");
    let apps = count(facts.apps.len(), "application", "applications");
    context.ui.data(&format!(
        "{node}: OTP {}, {loaded} loaded, {apps} running\n",
        facts.otp
    ));
    if save {
        let store = Store::new(&engine.settings.state_dir);
        let files: Vec<(String, [u8; 16])> = facts
            .loaded
            .values()
            .filter_map(|module| match &module.origin {
                Origin::File(file)
                    if !file.starts_with(&facts.otp_lib) && !store.want(&module.md5) =>
                {
                    Some((file.clone(), module.md5))
                }
                _ => None,
            })
            .collect();
        let paths: Vec<String> = files.iter().map(|(file, _)| file.clone()).collect();
        let mut kept = 0;
        for ((_, md5), bytes) in files
            .iter()
            .zip(live::read_files(&connection.session, &paths)?)
        {
            let Some(bytes) = bytes else { continue };
            if BeamFacts::read(&bytes).is_ok_and(|facts| facts.md5 == *md5) {
                store.put(md5, &bytes).map_err(|why| {
                    Diagnostic::new(Code::E802, "the store of beams cannot be written")
                        .note(why.to_string())
                })?;
                kept += 1;
            }
        }
        store.forget();
        context.ui.data(&format!(
            "kept {} of {}\n",
            kept,
            count(files.len(), "beam", "beams")
        ));
        return Ok(());
    }
    let upgrade = connection.prepare()?;
    for (module, changed) in &upgrade.changes.modules {
        let word = if changed.is_new() {
            "new    "
        } else {
            "changed"
        };
        let undo = if changed.loaded.is_some() && changed.old.is_none() {
            "  no way back"
        } else {
            ""
        };
        context.ui.data(&format!("  {word}  {module}{undo}\n"));
    }
    context
        .ui
        .diagnostics(&upgrade.diagnostics, &engine.plan.sources);
    Ok(())
}
