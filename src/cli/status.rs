//! `updo status`: what a node runs and what differs. Copies of the running beams are kept by every comparison; `--save`
//! keeps all of them, however long it takes, says which cannot be kept, and ends with exit code 1 when none can.

use serde_json::{Value, json};

use super::args::StatusArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, Result};
use crate::engine::copies::Kept;
use crate::engine::{self, Engine, leftovers};
use crate::facts::node::node_facts;
use crate::name::NodeName;
use crate::node::Session;
use crate::node::agent::{self, PresenceError};
use crate::report::style::count;
use crate::state::runs::RunRecords;

/// How many modules that cannot be kept are named.
const SHOWN: usize = 5;

pub(super) fn run(context: &Context<'_>, args: &StatusArgs) -> Exit {
    let engine = match &args.plan {
        Some(plan) => context.open(plan, context.settings()),
        None if context.global.target.is_none() && engine::release_node().is_none() => {
            return context.usage(
                "status needs a plan or a node",
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

/// The holder of a node's lock, in words, and the name of the run.
fn lock(session: &Session) -> Result<(String, Option<String>)> {
    let asked = |error: PresenceError| error.diagnostic("reading the lock holder");
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
            Some(holder) => (holder, None),
            None => ("free".to_owned(), None),
        },
    })
}

/// W322: an undo will miss something. With the exit code: 1 when there was something to keep, and nothing was.
fn not_kept(kept: &Kept, node: &NodeName) -> Option<(Diagnostic, Exit)> {
    if kept.lost.is_empty() {
        return (kept.wanted + kept.before == 0).then(|| {
            let title = format!("no beam of {node} was kept");
            let why = "no loaded module has a file outside of OTP's own applications";
            (Diagnostic::new(Code::W322, title).note(why), Exit::Done)
        });
    }
    let number = count(kept.lost.len(), "running module", "running modules");
    let mut diagnostic = Diagnostic::new(Code::W322, format!("{number} of {node} cannot be kept"))
        .note("a node cannot return loaded object code: copies are made of its files, before they are replaced");
    for (module, file, why) in kept.lost.iter().take(SHOWN) {
        diagnostic = diagnostic.note(format!("`{module}`: {} ({file})", why.words()));
    }
    if let Some(more) = kept.lost.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        diagnostic = diagnostic.note(format!("and {more} more"));
    }
    let diagnostic = diagnostic
        .help("say where the old beams are in plans that replace them: `old from \"PATH/ebin\".`");
    let exit = match kept.now {
        0 => Exit::Plan,
        _ => Exit::Done,
    };
    Some((diagnostic, exit))
}

fn one(
    context: &Context<'_>,
    engine: &Engine,
    node: &NodeName,
    save: bool,
    exit: &mut Exit,
) -> Result<Value> {
    let connection = engine.connect(node)?;
    let facts = node_facts::gather(&connection.session)?;
    let modules = facts.loaded.len();
    let apps = facts.apps.values().filter(|app| app.is_started).count();
    let (held, run) = lock(&connection.session)?;
    let records = RunRecords::new(&engine.settings.state_dir).all();
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
        let time = super::time::time(last.began);
        say(&format!("  last     run {run}  {time}  {state}  {title}\n"));
    }
    let traces = leftovers::inspect(&connection.session, &engine.settings.records())?;
    let lines = traces.as_ref().map(leftovers::Traces::lines);
    for line in lines.iter().flatten() {
        say(&format!("  left     {line}\n"));
    }
    if let Some(diagnostic) = traces.and_then(|traces| traces.diagnostic()) {
        *exit = context.fail(diagnostic, &engine.plan.sources);
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
        let kept = connection.keep_copies(&facts, None)?;
        say(&format!(
            "kept {} of {}",
            kept.now,
            count(kept.wanted, "beam", "beams")
        ));
        say(&match kept.before {
            0 => "\n".to_owned(),
            before => format!(", {before} more were kept before\n"),
        });
        document["kept"] = json!(kept.now);
        document["kept_before"] = json!(kept.before);
        let mut diagnostics: Vec<Diagnostic> = connection.warning.into_iter().collect();
        if let Some((diagnostic, code)) = not_kept(&kept, node) {
            diagnostics.insert(0, diagnostic);
            *exit = if *exit == Exit::Done { code } else { *exit };
        }
        context.ui.diagnostics(&diagnostics, &engine.plan.sources);
        return Ok(document);
    }
    let upgrade = connection.prepare()?;
    let mut changes = Vec::new();
    for (module, changed) in &upgrade.changes.modules {
        let word = if changed.is_new() && changed.unloaded.is_none() {
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
