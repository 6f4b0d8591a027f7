//! Questions of people to the node: where am I, what runs here. Documented functions only, and each within seconds.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::session::{ReplError, ReplSession};
use crate::diag::suggest::suggest;
use crate::facts::node::processes::{self, ProcessQuery, Start};
use crate::name::{App, Module};
use crate::node::evaluate;
use crate::report::style;
use crate::term::Term;

/// How long a question may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Processes that are shown.
const SHOWN: i64 = 20;

/// The processes that started in a module, and what some of them do.
const PROCS: &str = "
    Ps = [P || P <- erlang:processes(),
               case proc_lib:translate_initial_call(P) of
                   {supervisor, M, _} -> true;
                   {M, _, _} -> true;
                   _ -> false
               end],
    {length(Ps), erlang:check_old_code(M),
     [{P, erlang:process_info(P, [registered_name, current_function, message_queue_len])}
      || P <- lists:sublist(Ps, Shown)]}.";

impl ReplSession {
    /// `:info`
    pub(super) fn info(&mut self) -> Result<String, ReplError> {
        let dot = if self.manner.style.unicode { "·" } else { "-" };
        let latency = self.latency()?;
        let number = |what: &str| -> Result<i64, ReplError> {
            let answer = self.ask("erlang", "system_info", vec![Term::atom(what)])?;
            Ok(answer.as_i64().unwrap_or_default())
        };
        let text = |what: &str| -> Result<String, ReplError> {
            let answer = self.ask("erlang", "system_info", vec![Term::atom(what)])?;
            Ok(answer.to_text().unwrap_or_default())
        };
        let up = self.ask("erlang", "statistics", vec![Term::atom("wall_clock")])?;
        let up = up.as_tuple().and_then(|pair| pair.first()?.as_i64());
        let loaded = self.ask("erlang", "loaded", vec![])?;
        let apps = self.ask("application", "which_applications", vec![])?;
        let apps: Vec<String> = apps
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(|app| {
                let [name, _, vsn] = app.as_tuple()? else {
                    return None;
                };
                Some(format!("{} {}", name, vsn.to_text()?))
            })
            .collect();
        let mut out = String::new();
        let _ = writeln!(
            out,
            "node       {} {dot} OTP {} {dot} ERTS {}",
            self.node.node(),
            text("otp_release")?,
            text("version")?
        );
        let _ = writeln!(out, "here       {}, hidden", self.node.local_name());
        let _ = writeln!(out, "cookie     {}", self.cookie_source());
        let _ = writeln!(out, "latency    {}", style::time(latency));
        let _ = writeln!(
            out,
            "up         {} {dot} {} of {} processes {dot} {} modules loaded",
            up.and_then(|up| u64::try_from(up).ok())
                .map_or_else(String::new, |up| style::time(Duration::from_millis(up))),
            number("process_count")?,
            number("process_limit")?,
            loaded.as_list().map_or(0, <[Term]>::len),
        );
        let _ = writeln!(out, "apps       {}", apps.join(", "));
        if let Some(file) = &self.file {
            let plan = &self.engine.plan;
            let _ = writeln!(out, "plan       {}  {}", plan.title, file.path.display());
        }
        if let Some(upgrade) = &self.upgrade {
            let _ = writeln!(out, "changed    {}", super::session::differ(upgrade));
        }
        Ok(out)
    }

    /// The middle of five calls.
    fn latency(&self) -> Result<Duration, ReplError> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let began = Instant::now();
            self.ask("erlang", "node", vec![])?;
            times.push(began.elapsed());
        }
        times.sort();
        Ok(times[2])
    }

    fn cookie_source(&self) -> String {
        let target = self.engine.target_of(self.node.node());
        let from = target.and_then(|target| target.cookie.as_ref());
        match crate::engine::cookie(&self.engine.settings, from) {
            Ok(cookie) => cookie.source().to_string(),
            Err(diagnostic) => diagnostic.title.clone(),
        }
    }

    /// `:nodes`
    pub(super) fn nodes(&self) -> Result<String, ReplError> {
        let mut out = String::new();
        for target in &self.engine.plan.targets {
            let _ = writeln!(out, "target {}", target.name);
            let here = self.node.node();
            for node in &target.nodes {
                let mark = if node == here { "*" } else { " " };
                let _ = writeln!(out, "  {mark} {node}");
            }
            if let Some(seed) = &target.seed {
                if target.has(here) {
                    let _ = writeln!(out, "  * {here}");
                }
                let (from, pattern) = (&seed.from, &seed.pattern);
                let _ = writeln!(out, "    those that {from} knows as {pattern}");
            }
        }
        let targets = &self.engine.plan.targets;
        let here = self.node.node();
        if !targets.iter().any(|target| target.has(here)) {
            let _ = writeln!(out, "of no target\n  * {here}");
        }
        let connected = self.ask("erlang", "nodes", vec![])?;
        let connected: Vec<String> = connected
            .as_list()
            .unwrap_or_default()
            .iter()
            .filter_map(Term::to_text)
            .collect();
        let _ = match connected.as_slice() {
            [] => writeln!(out, "{} is connected to no other node", self.node.node()),
            some => writeln!(out, "{} sees {}", self.node.node(), some.join(", ")),
        };
        Ok(out)
    }

    /// `:procs M`
    pub(super) fn procs(&mut self, module: &Module) -> Result<String, ReplError> {
        let name = Term::atom(module.as_str());
        let loaded = self.ask("erlang", "module_loaded", vec![name.clone()])?;
        if !loaded.is_atom("true") {
            return Err(ReplError::usage(format!(
                "{module} is not loaded on the node"
            )));
        }
        let bindings = [("M", name), ("Shown", Term::Int(SHOWN))];
        let answer = evaluate(&self.node, PROCS, &bindings, TIMEOUT)
            .map_err(|error| self.fault(&error.diagnostic("looking for processes")))?;
        let otp: u32 = self.otp().and_then(|otp| otp.parse().ok()).unwrap_or(25);
        let question = ProcessQuery {
            modules: [module.clone()].into(),
            handlers: [module.clone()].into(),
            wrapped: [module.clone()].into(),
            ..ProcessQuery::default()
        };
        let found = processes::find_processes(&self.node, otp, &question)
            .map_err(|diagnostic| self.fault(&diagnostic))?;
        let mut out = String::new();
        let processes = found.by_module.get(module);
        let (total, old, shown) = match answer.as_tuple() {
            Some([total, old, Term::List(shown)]) => (
                total.as_i64().unwrap_or(0),
                old.is_atom("true"),
                shown.as_slice(),
            ),
            _ => (0, false, &[][..]),
        };
        if total == 0 && processes.is_none() {
            let _ = writeln!(out, "no process runs {module}");
        }
        if let Some(processes) = processes {
            let mut kinds: Vec<String> = processes
                .kinds
                .iter()
                .map(|(start, (count, _))| format!("{count} {}", words(*start)))
                .collect();
            if let Some(wrapper) = &processes.wrapped_in
                && !processes.also.is_empty()
            {
                kinds.push(format!("{} started in {wrapper}", processes.also.len()));
            }
            for foreign in &processes.foreign {
                let (count, other) = (foreign.count, &foreign.started_in);
                kinds.push(format!(
                    "{count} that a child specification names, started in {other}"
                ));
            }
            let number = style::count(processes.count(), "process", "processes");
            let _ = writeln!(out, "{number}: {}", kinds.join(", "));
            if processes.unnamed > 0 {
                let _ = writeln!(out, "{} named by no child specification", processes.unnamed);
            }
        }
        for process in shown {
            let _ = writeln!(out, "  {}", process_line(process));
        }
        if total > SHOWN {
            let _ = writeln!(out, "  and {} more", total - SHOWN);
        }
        if old {
            let _ = writeln!(out, "old code of {module} is still there");
        }
        Ok(out)
    }

    /// `:app A`
    pub(super) fn app(&mut self, app: &App) -> Result<String, ReplError> {
        let name = Term::atom(app.as_str());
        let answer = self.ask("application", "get_all_key", vec![name])?;
        let Some([_, Term::List(keys)]) = answer.as_tuple() else {
            return Err(self.no_such_app(app));
        };
        let key = |wanted: &str| {
            keys.iter().find_map(|pair| match pair.as_tuple()? {
                [key, value] if key.is_atom(wanted) => Some(value),
                _ => None,
            })
        };
        let text = |wanted: &str| key(wanted).and_then(Term::to_text).unwrap_or_default();
        let atoms = |wanted: &str| -> Vec<String> {
            let list = key(wanted).and_then(Term::as_list).unwrap_or_default();
            list.iter().map(ToString::to_string).collect()
        };
        let running = self.ask("application", "which_applications", vec![])?;
        let running = running.as_list().unwrap_or_default().iter().any(|known| {
            let first = known.as_tuple().and_then(|known| known.first());
            first.is_some_and(|first| first.is_atom(app.as_str()))
        });
        let modules = key("modules").and_then(Term::as_list).unwrap_or_default();
        let mut out = String::new();
        let state = if running {
            "running"
        } else {
            "loaded, not running"
        };
        let _ = writeln!(out, "{} {}  {state}", app.as_str(), text("vsn"));
        let _ = writeln!(out, "  {}", text("description"));
        let needs = atoms("applications");
        if !needs.is_empty() {
            let _ = writeln!(out, "  needs    {}", needs.join(", "));
        }
        let _ = writeln!(out, "  modules  {}", modules.len());
        let registered = atoms("registered");
        if !registered.is_empty() {
            let _ = writeln!(out, "  names    {}", registered.join(", "));
        }
        if let Some(upgrade) = &self.upgrade {
            let changed: Vec<String> = upgrade
                .changes
                .modules
                .iter()
                .filter(|(_, changed)| changed.app.as_ref() == Some(app))
                .map(|(module, _)| module.to_string())
                .collect();
            if !changed.is_empty() {
                let _ = writeln!(out, "  changed  {}", changed.join(", "));
            }
        }
        Ok(out)
    }

    /// The sentence for an unknown application.
    pub(super) fn no_such_app(&self, app: &App) -> ReplError {
        let known = self.ask("application", "loaded_applications", vec![]);
        let known: Vec<String> = known
            .ok()
            .iter()
            .flat_map(|list| list.as_list().unwrap_or_default())
            .filter_map(|app| app.as_tuple()?.first()?.to_text())
            .collect();
        let name = app.as_str();
        ReplError::usage(match suggest(name, known.iter().map(String::as_str)) {
            Some(close) => format!("no application `{name}`; did you mean `{close}`?"),
            None => format!("no application `{name}` on the node"),
        })
    }
}

fn words(start: Start) -> &'static str {
    match start {
        Start::Supervisor => "as supervisor",
        Start::Bridge => "as supervisor bridge",
        Start::Init => "started in init",
        Start::Other => "started in another function",
        Start::Handler => "with it as an event handler",
        Start::Entered => "in the loop of a server that was entered",
        Start::Special => "in its loop, started elsewhere",
        Start::Loop => "in a plain loop",
    }
}

/// `<0.91.0>  shop_stock  gen_server:loop/7  2 messages`
fn process_line(process: &Term) -> String {
    let Some([pid, facts]) = process.as_tuple() else {
        return process.to_string();
    };
    let fact = |wanted: &str| {
        facts
            .as_list()?
            .iter()
            .find_map(|pair| match pair.as_tuple()? {
                [key, value] if key.is_atom(wanted) => Some(value),
                _ => None,
            })
    };
    let mut out = pid.to_string();
    if let Some(Term::Atom(name)) = fact("registered_name") {
        let _ = write!(out, "  {}", Term::Atom(name.clone()));
    }
    if let Some([m, f, a]) = fact("current_function").and_then(Term::as_tuple) {
        let _ = write!(out, "  {m}:{f}/{a}");
    }
    if let Some(waiting) = fact("message_queue_len").and_then(Term::as_i64)
        && waiting > 0
    {
        let _ = write!(out, "  {waiting} messages waiting");
    }
    out
}
