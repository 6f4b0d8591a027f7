//! `updo doctor`: step by step what works on the way to a node, and which setting won where several could.
//!
//! Asks only what any run would ask first; changes nothing on the node. The first step that fails ends it with its diagnostic
//! and its exit code: what comes after would only fail for the same reason.

#![expect(
    clippy::disallowed_methods,
    reason = "shows which settings come from the environment"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::DoctorArgs;
use super::context::Context;
use super::exit::Exit;
use super::pager;
use crate::diag::{Result, SourceMap};
use crate::engine::copies::{self, Kept};
use crate::engine::way::Way;
use crate::engine::{self, Engine, Settings, leftovers};
use crate::facts::node::node_facts;
use crate::name::NodeName;
use crate::node::session::tls_terms;
use crate::node::tls::TlsOptions;
use crate::node::{Address, Dial, Session, agent};
use crate::plan::ENVIRONMENT;
use crate::report::style;
use crate::term::Term;

/// How long one question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many modules without a copy are named.
const NAMED: usize = 5;

pub(super) fn run(context: &Context<'_>, args: &DoctorArgs) -> Exit {
    let is_plan = Path::new(&args.what)
        .extension()
        .is_some_and(|end| end == "updo");
    let engine = if is_plan {
        context.open(Path::new(&args.what), context.settings())
    } else {
        let opened = Engine::open_text("", context.settings());
        context.ui.diagnostics(&opened.diagnostics, &opened.sources);
        opened.engine
    };
    let Some(engine) = engine else {
        return Exit::Plan;
    };
    let wanted = if is_plan {
        context.global.target.as_deref()
    } else {
        Some(args.what.as_str())
    };
    let nodes = if is_plan || args.what.contains('@') {
        engine.nodes(wanted)
    } else {
        // The parser of names knows how to say what is missing.
        Ok(vec![NodeName::new(args.what.as_str())])
    };
    let nodes = match nodes {
        Ok(nodes) => nodes,
        Err(diagnostic) => return context.fail(*diagnostic, &engine.plan.sources),
    };
    let mut all = Vec::new();
    let mut exit = Exit::Done;
    for node in nodes {
        let mut visit = Visit {
            context,
            engine: &engine,
            node: &node,
            steps: Vec::new(),
        };
        if !context.ui.json {
            context.ui.data(&format!("{node}\n"));
        }
        if let Err(diagnostic) = visit.all() {
            exit = context.fail(*diagnostic, &SourceMap::default());
        }
        all.push(json!({ "node": node.as_str(), "steps": visit.steps }));
        if exit != Exit::Done {
            break;
        }
    }
    if context.ui.json {
        context.ui.json(&format!("{:#}\n", Value::Array(all)));
    }
    exit
}

/// One node on the way.
struct Visit<'a> {
    context: &'a Context<'a>,
    engine: &'a Engine,
    node: &'a NodeName,
    steps: Vec<Value>,
}

impl Visit<'_> {
    fn all(&mut self) -> Result<()> {
        let settings = &self.engine.settings;
        self.step("settings", |visit| {
            crate::atomic_file::check_owned(&settings.state_dir)?;
            Ok(settings_of(visit.context, settings))
        })?;
        let node = self.node;
        let address = self.keep("name", |_| {
            let address = Address::parse(node)?;
            let form = if address.is_long() { "long" } else { "short" };
            let text = format!("{}, {form} names", address.host());
            Ok((address, text))
        })?;
        let way = self.keep("way", |visit| {
            let way = visit.engine.way(visit.node)?;
            let text = way_words(&way);
            Ok((way, text))
        })?;
        let dial = way.dial(address);
        self.dialled(&way, &dial)?;
        self.step("cookie", |visit| visit.cookie())?;
        let planned = self.engine.target_of(node).and_then(|t| t.tls.clone());
        // Nothing is reported that was not asked for.
        if planned.is_some() || settings.tls != TlsOptions::default() {
            let tls = self.keep("tls files", |visit| {
                let tls = engine::tls(&visit.engine.settings, planned.as_ref())?;
                let text = tls.as_ref().map_or_else(String::new, ToString::to_string);
                Ok((tls, text.replace("; ", "\n")))
            })?;
            if let Some(tls) = tls {
                self.step("tls", |_| tls_terms(&dial, &tls, TIMEOUT))?;
            }
        }
        let connection = self.keep("handshake", |visit| {
            let began = Instant::now();
            let connection = visit.engine.connect(visit.node)?;
            let text = format!(
                "as hidden node {}, {}",
                connection.session.local_name(),
                style::time(began.elapsed())
            );
            Ok((connection, text))
        })?;
        let session = &connection.session;
        self.step("erpc", |_| {
            let began = Instant::now();
            let itself = ask(session, "erlang", "node", vec![])?;
            Ok(format!(
                "{itself} executes calls of ours, {}",
                style::time(began.elapsed())
            ))
        })?;
        self.step("permits", |_| Ok(permits(session)))?;
        self.step("node", |_| about(session))?;
        self.step("helpers", |_| helpers(session))?;
        self.step("lock", |_| match agent::lock_holder(session) {
            Ok(None) => Ok("free".to_owned()),
            Ok(Some(holder)) => Err(Box::new(agent::locked(session, holder))),
            Err(error) => Err(error.diagnostic("asking for the lock")),
        })?;
        self.step("left", |visit| {
            let records = visit.engine.settings.records();
            let traces = leftovers::inspect(session, &records)?;
            match traces.as_ref().and_then(leftovers::Traces::diagnostic) {
                Some(found) => Err(Box::new(found)),
                None => Ok(traces
                    .map(|traces| traces.lines().join("\n"))
                    .filter(|lines| !lines.is_empty())
                    .unwrap_or_else(|| "nothing of any run, no process is suspended".to_owned())),
            }
        })?;
        let facts = node_facts::gather(session)?;
        let left = connection.incomplete_run(&facts);
        self.step("last run", |_| {
            Ok(left
                .as_ref()
                .map_or("nothing left half done".to_owned(), |found| {
                    found.title.clone()
                }))
        })?;
        if let Some(found) = left {
            self.context.ui.diagnostics(&[found], &SourceMap::default());
        }
        self.step("copies", |_| {
            let kept = connection.keep_copies(&facts, Some(copies::UNASKED))?;
            Ok(copies_words(&kept))
        })?;
        self.step("round trip", |_| {
            let began = Instant::now();
            ask(session, "erlang", "node", vec![])?;
            Ok(style::time(began.elapsed()))
        })
    }

    /// Does a step and says how it went.
    fn step(&mut self, name: &str, what: impl FnOnce(&Self) -> Result<String>) -> Result<()> {
        self.keep(name, |visit| Ok(((), what(visit)?)))
    }

    /// The same for a step with a result that later ones need.
    fn keep<T>(
        &mut self,
        name: &str,
        what: impl FnOnce(&Self) -> Result<(T, String)>,
    ) -> Result<T> {
        let done = what(self);
        let text = match &done {
            Ok((_, text)) => text.clone(),
            Err(diagnostic) => format!("{}: {}", diagnostic.code, diagnostic.title),
        };
        if !self.context.ui.json {
            let mark = style::mark(self.context.ui.out_style, done.is_ok());
            let mut lines = text.lines();
            let first = lines.next().unwrap_or_default();
            self.context
                .ui
                .data(&format!("{name:>12}  {mark}  {first}\n"));
            for line in lines {
                self.context.ui.data(&format!("{:>17}{line}\n", ""));
            }
        }
        self.steps
            .push(json!({ "step": name, "ok": done.is_ok(), "message": text }));
        done.map(|(result, _)| result)
    }

    /// The steps to the port of the node.
    fn dialled(&mut self, way: &Way, dial: &Dial) -> Result<()> {
        if dial.via.is_none() {
            self.step("host", |_| {
                let found = dial.addresses(TIMEOUT)?;
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                Ok(format!("{} is {}", dial.host(), found.join(", ")))
            })?;
        }
        let port = match &way.port {
            Some((port, _)) => Some(*port),
            None => self.keep("epmd", |_| asked(dial))?,
        };
        // A node that epmd does not know: connecting says what to do about it.
        if let Some(port) = port {
            self.step("port", |_| {
                let began = Instant::now();
                let by = way.port.as_ref().map_or("epmd", |(_, by)| by.as_str());
                Ok(match dial.tried(port, TIMEOUT)? {
                    Some(at) => format!("{at} ({by}) answers, {}", style::time(began.elapsed())),
                    None => format!("{port} ({by}), behind {}", way_through(way)),
                })
            })?;
        }
        Ok(())
    }

    fn cookie(&self) -> Result<String> {
        let target = self.engine.target_of(self.node);
        let planned = target.and_then(|target| target.cookie.as_ref());
        let cookie = engine::cookie(&self.engine.settings, planned)?;
        Ok(format!("from {}", cookie.source()))
    }
}

/// Which way is taken, and who says so.
fn way_words(way: &Way) -> String {
    let mut lines = Vec::new();
    if let Some((via, by)) = &way.via {
        lines.push(format!("through {via} ({by})"));
    }
    match &way.address {
        Some((address, by)) => lines.push(format!("at {address} ({by})")),
        None => lines.push("at the host of its name".to_owned()),
    }
    match &way.port {
        Some((port, by)) => lines.push(format!("port {port} ({by}), epmd is not asked")),
        None => {
            let (port, by) = &way.epmd_port;
            lines.push(format!("asks epmd, on port {port} ({by}), for its port"));
        }
    }
    lines.join("\n")
}

fn way_through(way: &Way) -> String {
    let via = way.via.as_ref();
    via.map_or_else(String::new, |(via, _)| via.destination().to_owned())
}

/// What epmd says: the port of the node when it knows it.
fn asked(dial: &Dial) -> Result<(Option<u16>, String)> {
    let known = dial.registered(TIMEOUT)?;
    let names: Vec<&str> = known.iter().map(|node| node.name.as_str()).collect();
    let knows = match names.as_slice() {
        [] => "no node".to_owned(),
        names => names.join(", "),
    };
    let text = format!("knows {knows}");
    Ok(
        match known.iter().find(|node| node.name == dial.node.name()) {
            Some(found) => (
                Some(found.port),
                format!("{text}; {} listens on port {}", found.name, found.port),
            ),
            None => (None, text),
        },
    )
}

/// The settings in effect and their origin: a flag, the environment, the user's own settings, or none.
fn settings_of(context: &Context<'_>, settings: &Settings) -> String {
    let (global, config, given) = (context.global, &context.config, &context.given);
    let env = |names: &[&str]| {
        let set = |name: &&&str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        names.iter().find(set).map(|name| format!("env {name}"))
    };
    // A setting that is not allowed in the user's file has no third place to come from.
    let by = |flag: &str, names: &[&str], own: bool| -> String {
        let source = given.get(flag).cloned().or_else(|| env(names));
        source.unwrap_or_else(|| if own { "own settings" } else { "default" }.to_owned())
    };
    let mut lines = vec![format!(
        "state folder {} ({})",
        settings.state_dir.display(),
        by("", &["UPDO_STATE_DIR", "XDG_STATE_HOME"], false)
    )];
    let name = settings.local_name.as_deref();
    lines.push(format!(
        "our name {} ({})",
        name.unwrap_or("made up for each run"),
        by("name", &["UPDO_NAME"], false)
    ));
    if let Some(target) = &global.target {
        lines.push(format!("target {target} ({})", by("target", &[], false)));
    }
    for name in settings.sets.keys() {
        // Values may be secrets.
        lines.push(match name.strip_prefix(ENVIRONMENT) {
            Some(short) => format!("parameter {short} (env {name})"),
            None => format!("parameter {name} (flag)"),
        });
    }
    let color = global.color.or(config.color).unwrap_or_default();
    let color = format!("{color:?}").to_ascii_lowercase();
    let color_by = by(
        "color",
        &["NO_COLOR", "CLICOLOR_FORCE"],
        config.color.is_some(),
    );
    lines.push(format!("color {color} ({color_by})"));
    let unicode = if context.ui.style.unicode {
        "yes"
    } else {
        "no"
    };
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"];
    let unicode_by = match config.unicode {
        Some(false) if !given.contains_key("no-unicode") => "own settings".to_owned(),
        _ => by("no-unicode", &locale, false),
    };
    lines.push(format!("unicode {unicode} ({unicode_by})"));
    let width = context.ui.style.width;
    let width_by = match context.ui.given_width {
        None if crate::ui::columns().is_some() => "terminal".to_owned(),
        _ => by("width", &["COLUMNS"], config.width.is_some()),
    };
    lines.push(format!("width {width} ({width_by})"));
    let (pager, pager_by) = pager::choice(context, &|name| std::env::var(name).ok());
    lines.push(format!(
        "pager {} ({pager_by})",
        pager.as_deref().unwrap_or("none")
    ));
    if let Some(path) = &global.log_file {
        let log_by = by("log-file", &[], false);
        lines.push(format!("log file {} ({log_by})", path.display()));
    }
    for (key, what, number) in [
        ("runs", "recorded runs kept", config.runs),
        ("history", "lines of history kept", config.history),
    ] {
        if let Some(number) = number {
            lines.push(format!("{what} {number} (own settings: {key})"));
        }
    }
    if let Some(path) = &config.path {
        let says = config.says().join(", ");
        lines.push(format!("own settings {}: {says}", path.display()));
    }
    lines.join("\n")
}

/// Of which running beams there are copies: those of the others have no way back.
fn copies_words(kept: &Kept) -> String {
    let all = kept.wanted + kept.before;
    if all == 0 {
        return "no loaded module has a file outside of OTP's own applications".to_owned();
    }
    let (there, all) = (
        kept.now + kept.before,
        style::count(all, "running beam", "running beams"),
    );
    let mut text = format!("{there} of {all} kept");
    for (module, _, why) in kept.lost.iter().take(NAMED) {
        text += &format!("\n{module}: {}", why.words());
    }
    if let Some(more) = kept.lost.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text += &format!("\nand {more} more");
    }
    if kept.left > 0 {
        text += "\nthe others with the next command, or at once: updo status NODE --save";
    }
    text
}

fn ask(session: &Session, module: &str, function: &str, args: Vec<Term>) -> Result<Term> {
    let what = format!("{module}:{function}/{}", args.len());
    session
        .call(module, function, args, TIMEOUT)
        .map_err(|error| error.diagnostic(&what))
}

/// Whose connections the node takes. Of one that lets in some only, the handshake has shown that we are among them.
fn permits(session: &Session) -> String {
    let answer = session.call("net_kernel", "allowed", vec![], TIMEOUT);
    let allowed = answer.ok().and_then(|answer| {
        let [ok, Term::List(names)] = answer.as_tuple()? else {
            return None;
        };
        ok.is_atom("ok").then_some(names.len())
    });
    match allowed {
        None => "not known: net_kernel:allowed/0 gave no answer".to_owned(),
        Some(0) => "connections of all nodes with its cookie".to_owned(),
        Some(n) => {
            let nodes = style::count(n, "name", "names");
            format!("connections of {nodes} (net_kernel:allow/1), ours among them")
        }
    }
}

/// What kind of node it is.
fn about(session: &Session) -> Result<String> {
    let release = ask(
        session,
        "erlang",
        "system_info",
        vec![Term::atom("otp_release")],
    )?;
    let mode = ask(session, "code", "get_mode", vec![])?;
    let processes = ask(
        session,
        "erlang",
        "system_info",
        vec![Term::atom("process_count")],
    )?;
    let loaded = ask(session, "code", "all_loaded", vec![])?;
    let release = release.to_text().unwrap_or_default();
    let on_demand = match mode.as_atom().map(|mode| mode.as_str()) {
        Some("embedded") => "embedded mode: new modules are loaded by the upgrade only",
        _ => "interactive mode: code is loaded when it is called first",
    };
    Ok(format!(
        "OTP {release}, {} modules loaded, {processes} processes\n{on_demand}",
        loaded.as_list().map_or(0, <[_]>::len)
    ))
}

/// What the node has that makes things faster or that an engine needs.
fn helpers(session: &Session) -> Result<String> {
    let running = ask(session, "application", "which_applications", vec![])?;
    let runs = |app: &str| {
        running
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(Term::as_tuple)
            .any(|fields| fields.first().is_some_and(|name| name.is_atom(app)))
    };
    let compiler = ask(session, "code", "which", vec![Term::atom("compile")])?;
    let compiler = if compiler.is_atom("non_existing") {
        "no compiler: the agent is interpreted, about 1 ms a process"
    } else {
        "compiler: the agent is compiled, about 10 us a process"
    };
    let sasl = if runs("sasl") {
        "sasl runs"
    } else {
        "sasl does not run: only `engine release_handler` needs it"
    };
    let elixir = if runs("elixir") { "\nElixir runs" } else { "" };
    Ok(format!("{compiler}\n{sasl}{elixir}"))
}
