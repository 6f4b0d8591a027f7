//! `updo status`: what a node runs and what differs. `--save` keeps copies of the running beams while the
//! node's disk still has them, so that an upgrade that replaces the files can be undone.

use serde_json::{Value, json};

use super::args::StatusArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, Result};
use crate::engine::{self, Engine, leftovers};
use crate::facts::beam::BeamFacts;
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::{self, CodeOrigin, NodeFacts};
use crate::facts::node::node_files;
use crate::name::{Module, NodeName};
use crate::node::Session;
use crate::node::agent::{self, PresenceError};
use crate::report::style::count;
use crate::state::beams::Store;
use crate::state::runs::RunRecords;

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

/// What `--save` has done.
struct Kept {
    /// Beams of which a copy was made.
    now: usize,
    /// Beams of which none was there.
    wanted: usize,
    /// Beams of which one was there already.
    before: usize,
    /// Modules whose file is not what runs.
    replaced: Vec<Module>,
}

impl Kept {
    /// W322: an undo will miss something.
    fn diagnostic(&self, node: &NodeName) -> Option<Diagnostic> {
        if !self.replaced.is_empty() {
            let number = count(self.replaced.len(), "running module", "running modules");
            let mut diagnostic = Diagnostic::new(Code::W322, format!("{number} of {node} cannot be kept"))
                .note("their files do not exist or have another version already; a node cannot return loaded object code");
            for module in self.replaced.iter().take(5) {
                diagnostic = diagnostic.note(format!("`{module}`"));
            }
            return Some(diagnostic.help(
                "say where the old beams are in plans that replace them: `old from \"PATH/ebin\".`",
            ));
        }
        (self.wanted + self.before == 0).then(|| {
            Diagnostic::new(Code::W322, format!("no beam of {node} was kept"))
                .note("no loaded module has a file outside of OTP's own applications")
        })
    }
}

/// Keeps copies of the running beams; those of OTP's own applications are left out.
fn keep(engine: &Engine, session: &Session, facts: &NodeFacts) -> Result<Kept> {
    let store = Store::new(&engine.settings.state_dir);
    let (mut wanted, mut before) = (Vec::new(), 0);
    for (name, module) in &facts.loaded {
        let CodeOrigin::File(file) = &module.origin else {
            continue;
        };
        if folder_of(file).is_some_and(|folder| facts.is_otp(folder)) {
            continue;
        }
        if store.want(&module.md5) {
            before += 1;
        } else {
            wanted.push((name, file.clone(), module.md5));
        }
    }
    let paths: Vec<String> = wanted.iter().map(|(_, file, _)| file.clone()).collect();
    let mut kept = Kept {
        now: 0,
        wanted: wanted.len(),
        before,
        replaced: Vec::new(),
    };
    for ((name, _, md5), bytes) in wanted.iter().zip(node_files::read_files(session, &paths)?) {
        match bytes {
            Some(bytes)
                if BeamFacts::read(&bytes).is_ok_and(|beam| beam.digests.on(facts.otp) == *md5) =>
            {
                store.put(md5, &bytes).map_err(|why| {
                    Diagnostic::new(Code::E802, "the store of beams cannot be written")
                        .note(why.to_string())
                })?;
                kept.now += 1;
            }
            _ => kept.replaced.push((*name).clone()),
        }
    }
    store.forget();
    Ok(kept)
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
        let kept = keep(engine, &connection.session, &facts)?;
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
        let diagnostics: Vec<Diagnostic> = kept
            .diagnostic(node)
            .into_iter()
            .chain(connection.warning)
            .collect();
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
