//! `updo status`: what a node runs and what differs. `--save` keeps copies of the running beams while the
//! node's disk still has them, so that an upgrade that replaces the files can be undone.

use serde_json::{Value, json};

use super::args::Status;
use super::{Context, Exit};
use crate::diag::{Code, Diagnostic, Result};
use crate::engine::{Engine, leftovers};
use crate::facts::live;
use crate::facts::store::Store;
use crate::facts::{beam::BeamFacts, live::Origin};
use crate::name::NodeName;
use crate::node::{CallError, Session, agent};
use crate::report::paint::count;
use crate::report::record::Records;

pub(super) fn run(context: &Context<'_>, args: &Status) -> Exit {
    let engine = match &args.plan {
        Some(plan) => context.open(plan, context.settings()),
        None if context.global.target.is_none() => {
            return context.usage(
                "status wants a plan or a node",
                "updo status PLAN, or updo status -t NODE",
            );
        }
        // What lies on the node's disk is the new code then.
        None => {
            let opened = Engine::open_text("", context.settings());
            context.ui.diagnostics(&opened.diagnostics, &opened.sources);
            opened.engine
        }
    };
    let Some(engine) = engine else {
        return Exit::Plan;
    };
    let nodes = match engine.nodes(context.global.target.as_deref()) {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let mut all = Vec::new();
    let mut exit = Exit::Done;
    for node in nodes {
        match one(context, &engine, &node, args.save, &mut exit) {
            Ok(document) => all.push(document),
            Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
        }
    }
    if context.ui.json {
        context.ui.json(&format!("{:#}\n", Value::Array(all)));
    }
    exit
}

/// Who is at work on a node: in words, and the name of the run.
fn lock(session: &Session) -> Result<(String, Option<String>)> {
    let asked = |error: CallError| error.diagnostic("asking who is at work");
    Ok(match agent::present(session).map_err(asked)? {
        Some(holder) if holder.kept => {
            let words = format!("free; run {} is over, its result is kept", holder.run);
            (words, Some(holder.run))
        }
        Some(holder) => {
            let words = format!("{}; updo attach {}", holder.words, holder.run);
            (words, Some(holder.run))
        }
        None => match agent::lock_holder(session).map_err(asked)? {
            Some(who) => (who, None),
            None => ("free".to_owned(), None),
        },
    })
}

fn one(
    context: &Context<'_>,
    engine: &Engine,
    node: &NodeName,
    save: bool,
    exit: &mut Exit,
) -> Result<Value> {
    let connection = engine.connect(node)?;
    let facts = live::gather(&connection.session)?;
    let (modules, apps) = (facts.loaded.len(), facts.apps.len());
    let (held, run) = lock(&connection.session)?;
    let records = Records::new(&engine.settings.state_dir).all();
    let last = records.iter().rev().find(|run| run.node == *node);
    let say = |text: &str| {
        if !context.ui.json {
            context.ui.data(text);
        }
    };
    say(&format!(
        "{node}: OTP {}, {} loaded, {} running\n  lock     {held}\n",
        facts.otp,
        count(modules, "module", "modules"),
        count(apps, "application", "applications")
    ));
    if let Some(last) = last {
        let (run, state, title) = (&last.run, &last.state, &last.title);
        let time = super::log::time(last.began);
        say(&format!("  last     run {run}  {time}  {state}  {title}\n"));
    }
    let traces = leftovers::look(&connection.session, &engine.settings.records())?;
    let lines = traces.as_ref().map(leftovers::Traces::lines);
    for line in lines.iter().flatten() {
        say(&format!("  left     {line}\n"));
    }
    if let Some(told) = traces.and_then(|traces| traces.diagnostic()) {
        *exit = context.fail(told, &engine.plan.sources);
    }
    let mut document = json!({
        "left": lines,
        "node": node.as_str(),
        "otp": facts.otp,
        "modules": modules,
        "applications": apps,
        "lock": held,
        "run": run,
        "last": last.map(super::log::document),
    });
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
            let own = |beam: BeamFacts| beam.digests.on(facts.otp);
            if BeamFacts::read(&bytes).is_ok_and(|beam| own(beam) == *md5) {
                store.put(md5, &bytes).map_err(|why| {
                    Diagnostic::new(Code::E802, "the store of beams cannot be written")
                        .note(why.to_string())
                })?;
                kept += 1;
            }
        }
        store.forget();
        say(&format!(
            "kept {} of {}\n",
            kept,
            count(files.len(), "beam", "beams")
        ));
        document["kept"] = json!(kept);
        return Ok(document);
    }
    let upgrade = connection.prepare()?;
    let mut changes = Vec::new();
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
        say(&format!("  {word}  {module}{undo}\n"));
        changes.push(json!({
            "module": module.as_str(),
            "is": word.trim_end(),
            "way_back": undo.is_empty(),
        }));
    }
    document["changes"] = Value::Array(changes);
    context
        .ui
        .diagnostics(&upgrade.diagnostics, &engine.plan.sources);
    Ok(document)
}
