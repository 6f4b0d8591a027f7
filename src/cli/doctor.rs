//! `updo doctor`: step by step what works on the way to a node, and which setting won where several could.
//!
//! Asks only what any run would ask first; changes nothing. The first step that fails ends it with its diagnostic
//! and its exit code: what comes after would only fail for the same reason.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::args::Doctor;
use super::config::Config;
use super::{Context, Exit};
use crate::diag::{Result, SourceMap};
use crate::engine::{self, Engine, Settings};
use crate::facts::live;
use crate::name::NodeName;
use crate::node::tls::Options;
use crate::node::{Address, Session, agent, epmd};
use crate::report::paint;
use crate::term::Term;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(context: &Context<'_>, args: &Doctor) -> Exit {
    let is_plan = Path::new(&args.what)
        .extension()
        .is_some_and(|end| end == "updo");
    let engine = if is_plan {
        context.open(Path::new(&args.what), context.settings())
    } else {
        Engine::open_text("", context.settings()).engine
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
        context.ui.data(&format!("{:#}\n", Value::Array(all)));
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
            Ok(settings_of(settings, &visit.context.config))
        })?;
        let node = self.node;
        let address = self.keep("name", |_| {
            let address = Address::parse(node)?;
            let form = if address.is_long() { "long" } else { "short" };
            let said = format!("{}, {form} names", address.host());
            Ok((address, said))
        })?;
        self.step("epmd", |visit| visit.epmd(&address))?;
        self.step("cookie", |visit| visit.cookie())?;
        let planned = self.engine.target_of(node).and_then(|t| t.tls.clone());
        // Nothing is said of what nobody asked for.
        if planned.is_some() || settings.tls != Options::default() {
            self.step("tls", |visit| {
                let tls = engine::tls(&visit.engine.settings, planned.as_ref())?;
                Ok(tls.map_or_else(String::new, |tls| tls.to_string().replace("; ", "\n")))
            })?;
        }
        let connection = self.keep("handshake", |visit| {
            let began = Instant::now();
            let connection = visit.engine.connect(visit.node)?;
            let mut said = format!(
                "as hidden node {}, {}",
                connection.session.local_name(),
                paint::time(began.elapsed())
            );
            if let Some(terms) = connection.session.tls() {
                said.push_str(&format!("\n{terms}"));
            }
            Ok((connection, said))
        })?;
        let session = &connection.session;
        self.step("node", |_| about(session))?;
        self.step("helpers", |_| helpers(session))?;
        self.step("lock", |_| match agent::lock_holder(session) {
            Ok(None) => Ok("free".to_owned()),
            Ok(Some(who)) => Err(Box::new(agent::locked(session, who))),
            Err(error) => Err(error.diagnostic("asking for the lock")),
        })?;
        let left = live::gather(session).map(|facts| connection.half_done(&facts))?;
        self.step("last run", |_| {
            Ok(left
                .as_ref()
                .map_or("nothing left half done".to_owned(), |told| {
                    told.title.clone()
                }))
        })?;
        if let Some(told) = left {
            self.context.ui.diagnostics(&[told], &SourceMap::default());
        }
        self.step("round trip", |_| {
            let began = Instant::now();
            ask(session, "erlang", "node", vec![])?;
            Ok(paint::time(began.elapsed()))
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
        let said = match &done {
            Ok((_, said)) => said.clone(),
            Err(diagnostic) => format!("{}: {}", diagnostic.code, diagnostic.title),
        };
        if !self.context.ui.json {
            let mark = paint::mark(self.context.ui.out_style, done.is_ok());
            let mut lines = said.lines();
            let first = lines.next().unwrap_or_default();
            self.context
                .ui
                .data(&format!("{name:>12}  {mark}  {first}\n"));
            for line in lines {
                self.context.ui.data(&format!("{:>17}{line}\n", ""));
            }
        }
        self.steps
            .push(json!({ "step": name, "ok": done.is_ok(), "message": said }));
        done.map(|(result, _)| result)
    }

    fn epmd(&self, address: &Address) -> Result<String> {
        let target = self.engine.target_of(self.node);
        let planned = target.and_then(|target| target.epmd_port);
        let env = |name: &str| std::env::var(name).ok();
        let port = match (self.engine.settings.epmd_port, planned) {
            (Some(port), _) | (None, Some(port)) => port,
            (None, None) => epmd::port_from_env(&env)?,
        };
        let known = epmd::names(address.host(), port, PATIENCE)?;
        let names: Vec<&str> = known.iter().map(|node| node.name.as_str()).collect();
        match known.iter().find(|node| node.name == address.name()) {
            Some(found) => Ok(format!(
                "on port {port}, knows {}; {} listens on port {}",
                names.join(", "),
                found.name,
                found.port
            )),
            // Connecting says what to do about it.
            None => Ok(format!("on port {port}, knows {}", names.join(", "))),
        }
    }

    fn cookie(&self) -> Result<String> {
        let target = self.engine.target_of(self.node);
        let planned = target.and_then(|target| target.cookie.as_ref());
        let cookie = engine::cookie(&self.engine.settings, planned)?;
        Ok(format!("from {}", cookie.source()))
    }
}

/// What holds, and where it comes from.
fn settings_of(settings: &Settings, config: &Config) -> String {
    let from = |flag: bool, names: &[&str], otherwise: &str| -> String {
        let set = names
            .iter()
            .find(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()));
        match (flag, set) {
            (true, _) => "flag".to_owned(),
            (false, Some(name)) => format!("env {name}"),
            (false, None) => otherwise.to_owned(),
        }
    };
    let state = from(false, &["UPDO_STATE_DIR", "XDG_STATE_HOME"], "default");
    let name = match &settings.local_name {
        Some(name) => format!(
            "{name} ({})",
            from(std::env::var("UPDO_NAME").is_err(), &["UPDO_NAME"], "flag")
        ),
        None => "made up for each run (default)".to_owned(),
    };
    let own = match &config.path {
        Some(path) => format!(
            "\nown settings {}: {}",
            path.display(),
            config.says().join(", ")
        ),
        None => String::new(),
    };
    format!(
        "state folder {} ({state})\nour name {name}{own}",
        settings.state_dir.display()
    )
}

fn ask(session: &Session, module: &str, function: &str, args: Vec<Term>) -> Result<Term> {
    let what = format!("{module}:{function}/{}", args.len());
    session
        .call(module, function, args, PATIENCE)
        .map_err(|error| error.diagnostic(&what))
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
