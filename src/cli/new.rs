//! `updo new`: a starter plan for a node, from what updo finds there. What a person has to look at is first:
//! calls that cannot be followed, cycles, classes in doubt, modules without a way back. It changes nothing
//! on the node, and what it writes is a plan without errors.

#![expect(clippy::disallowed_methods, reason = "a new plan is written")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::args::NewArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, Result, SourceMap};
use crate::engine::{Engine, Settings, Upgrade};
use crate::facts::beam::DynamicCall;
use crate::facts::local::globs;
use crate::name::{Mfa, Module, NodeName};
use crate::node::tls::{ExpectedName, Pem, TlsOptions};
use crate::plan::load::absolute;
use crate::report::style::count;
use crate::rules::{Change, Class, Origin};
use crate::syntax::fmt::format_plan;
use crate::term::Term;

/// How many calls of a module are listed.
const CALLS: usize = 5;

/// How many modules may be meant by a call to be named.
const MEANT: usize = 3;

/// How many applications are named one by one.
const APPS: usize = 6;

pub(super) fn run(context: &Context<'_>, args: &NewArgs) -> Exit {
    let none = SourceMap::default();
    if let Some(path) = args.output.as_deref().filter(|path| path.exists()) {
        let title = format!("`{}` is there already", path.display());
        return context.usage(&title, "remove it, or give another name");
    }
    if !args.node.contains('@') {
        return context.usage(
            &format!("`{}` is no node name", args.node),
            "name and host, such as shop@10.0.0.11",
        );
    }
    let text = match text(context, args) {
        Ok(text) => text,
        Err(diagnostic) => return context.fail(*diagnostic, &none),
    };
    let Some(path) = &args.output else {
        context.ui.data(&text);
        return Exit::Done;
    };
    if let Err(why) = std::fs::write(path, text) {
        let title = format!("cannot write `{}`", path.display());
        let error = Diagnostic::new(Code::E802, title).note(why.to_string());
        return context.fail(error, &none);
    }
    let path = path.display();
    context
        .ui
        .status(&format!("wrote {path}; next: updo preview {path}"));
    Exit::Done
}

fn text(context: &Context<'_>, args: &NewArgs) -> Result<String> {
    let settings = context.settings();
    let whole = |code: &str| format!("{}{code}", head(args, &settings.tls));
    let node = NodeName::new(&args.node);
    let (text, upgrade) = if args.push.globs.is_empty() {
        let here = whole("code on_disk.\n");
        // Newer versions beside the running ones are what is meant, where there are any.
        let newest = compared(&settings, &whole("code on_disk #{newest => all}.\n"), &node);
        match newest
            .ok()
            .filter(|newest| !newest.changes.moves.is_empty())
        {
            Some(newest) => (whole(&format!("{}\n", newest_of(&newest))), newest),
            None => {
                let upgrade = compared(&settings, &here, &node)?;
                (here, upgrade)
            }
        }
    } else {
        let here = absolute(Path::new("."));
        let globs = args.push.globs.iter();
        let globs: Vec<String> = globs.map(|glob| globs::absolute(glob, &here)).collect();
        let upgrade = compared(&settings, &whole(&push(&globs)), &node)?;
        let folder = args
            .output
            .as_deref()
            .map(|plan| folder_of_plan(plan, &here));
        let beside = |glob: &String| below(glob, folder.as_deref());
        let globs: Vec<String> = globs.iter().map(beside).collect();
        (whole(&push(&globs)), upgrade)
    };
    if upgrade.is_empty() {
        let line = "nothing differs now: what an upgrade needs is seen when there is new code";
        context.ui.status(line);
    }
    let text = starter(&text, &upgrade);
    format_plan(&text, 0).map_err(|mut diagnostics| {
        let bug = Diagnostic::new(Code::E900, "the starter plan has errors");
        Box::new(diagnostics.pop().unwrap_or(bug))
    })
}

/// What there is to do with a plan.
fn compared(settings: &Settings, text: &str, node: &NodeName) -> Result<Upgrade> {
    let mut opened = Engine::open_text(text, settings.clone());
    let Some(engine) = opened.engine else {
        let bug = || Diagnostic::new(Code::E900, "the starter plan has errors");
        return Err(Box::new(opened.diagnostics.pop().unwrap_or_else(bug)));
    };
    engine.connect(node)?.prepare()
}

/// The statement for versions that lie beside the running ones.
fn newest_of(upgrade: &Upgrade) -> String {
    let moves = upgrade.changes.moves.iter();
    let apps: BTreeSet<String> = moves.map(|switch| switch.app.to_string()).collect();
    let apps: Vec<String> = apps.into_iter().collect();
    match apps.len() {
        0..=APPS => format!("code on_disk #{{newest => [{}]}}.", apps.join(", ")),
        _ => "code on_disk #{newest => all}.".to_owned(),
    }
}

fn push(globs: &[String]) -> String {
    let globs = globs.iter().map(|glob| Term::string(glob).to_string());
    format!("code push [{}].\n", globs.collect::<Vec<_>>().join(", "))
}

/// The folder that a plan is written into, from the root.
fn folder_of_plan(plan: &Path, here: &Path) -> PathBuf {
    let folder = plan.parent().unwrap_or(Path::new(""));
    absolute(&here.join(folder))
}

/// A pattern as the plan has it: relative to the plan's folder where it is below, so that both can be moved together;
/// else from the root, so that it holds wherever updo is started.
fn below(glob: &str, folder: Option<&Path>) -> String {
    let inside = folder.and_then(|folder| {
        let folder = globs::absolute("", folder);
        glob.strip_prefix(&folder).map(str::to_owned)
    });
    inside
        .filter(|inside| !inside.starts_with("../"))
        .unwrap_or_else(|| glob.to_owned())
}

/// What every plan needs first: title, target.
fn head(args: &NewArgs, tls: &TlsOptions) -> String {
    let name = args.node.split('@').next().unwrap_or_default();
    let mut out = format!("plan {}.\n\n", Term::string(&format!("Upgrade of {name}")));
    let _ = writeln!(
        out,
        "target {} #{{nodes => [{}]{}}}.",
        Term::atom(name),
        Term::atom(&args.node),
        over_tls(tls)
    );
    out
}

/// The option `tls`, where the environment made the connection so.
fn over_tls(tls: &TlsOptions) -> String {
    let given = [("ca", &tls.ca), ("cert", &tls.cert), ("key", &tls.key)];
    let mut options: Vec<String> = given
        .into_iter()
        .filter_map(|(word, from)| match from {
            Some(Pem::Env(name)) => Some(format!("{word} => env({})", Term::string(name))),
            Some(Pem::File(path)) => {
                let path = path.display().to_string();
                Some(format!("{word} => {}", Term::string(&path)))
            }
            None => None,
        })
        .collect();
    match &tls.name {
        ExpectedName::Host => {}
        ExpectedName::Other(name) => options.push(format!("server_name => {}", Term::string(name))),
        ExpectedName::Any => options.push("server_name => disable".to_owned()),
    }
    match options.is_empty() {
        true => String::new(),
        false => format!(", tls => #{{{}}}", options.join(", ")),
    }
}

/// The plan: statements that are certain, and as comments those that a person must decide.
pub fn starter(head: &str, upgrade: &Upgrade) -> String {
    let mut out = head.to_owned();
    let parts = [
        gaps(upgrade),
        cycles(upgrade),
        doubts(upgrade),
        no_way_back(upgrade),
        conversions(upgrade),
    ];
    for part in parts.iter().filter(|part| !part.is_empty()) {
        out.push('\n');
        out.push_str(part);
    }
    out.push('\n');
    out.push_str(&checks(upgrade));
    out
}

/// What can be checked around the upgrade: an example that holds for what changes.
fn checks(upgrade: &Upgrade) -> String {
    let apps: BTreeSet<String> = upgrade
        .rules
        .modules
        .keys()
        .filter_map(|module| upgrade.changes.modules.get(module)?.app.as_ref())
        .filter(|app| !upgrade.changes.not_started.contains(*app))
        .map(ToString::to_string)
        .collect();
    let mut out = "% What must hold before anything is touched (`require`), and come true afterwards, else it is undone:\n".to_owned();
    let apps: Vec<String> = apps.into_iter().take(APPS).collect();
    if apps.is_empty() {
        out.push_str("% verify \"it answers\" #{within => 10s} -> {ok, _} = MODULE:ping().\n");
    }
    for app in apps {
        let name = Term::string(&format!("{} runs", app.replace('\'', "")));
        let _ = writeln!(
            out,
            "% verify {name} -> true = lists:keymember({app}, 1, application:which_applications())."
        );
    }
    out
}

fn list(modules: &[Module]) -> String {
    let names: Vec<String> = modules.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Calls whose module is not known before run time, with the modules that may be meant.
fn gaps(upgrade: &Upgrade) -> String {
    let mut out = String::new();
    for (module, changed) in &upgrade.changes.modules {
        let Some(new) = changed
            .new
            .as_ref()
            .filter(|_| upgrade.rules.modules.contains_key(module))
        else {
            continue;
        };
        let calls = upgrade.changes.unresolved(&new.facts);
        let mut meant: BTreeSet<&Module> = BTreeSet::new();
        let mut open = false;
        for call in calls.iter().take(CALLS) {
            let line = call
                .from
                .line
                .map(|line| format!(", line {line}"))
                .unwrap_or_default();
            let what = match &call.function {
                Some((name, Some(arity))) => format!("Mod:{name}/{arity}"),
                Some((name, None)) => format!("Mod:{name}"),
                None => "a function known at run time only".to_owned(),
            };
            let _ = writeln!(
                out,
                "%   {module}:{}/{}{line}: {what}",
                call.from.name, call.from.arity
            );
            let others = callees(upgrade, module, call);
            open |= others.is_empty() || others.len() > MEANT;
            meant.extend(others.into_iter().take(MEANT));
        }
        for callee in meant {
            let _ = writeln!(out, "% {module} depends on {callee} because \"REASON\".");
        }
        if open {
            let _ = writeln!(out, "% {module} depends on MODULE because \"REASON\".");
        }
    }
    if out.is_empty() {
        return out;
    }
    format!(
        "% Calls whose module updo cannot know (W315). Where one is meant by them, add the edge:\n{out}"
    )
}

/// The modules that take part and have the function of a call.
fn callees<'u>(upgrade: &'u Upgrade, caller: &Module, call: &DynamicCall) -> Vec<&'u Module> {
    let Some((name, Some(arity))) = &call.function else {
        return Vec::new();
    };
    let all = upgrade.changes.modules.iter();
    let callees = all.filter(|(module, changed)| {
        let function = Mfa {
            module: (*module).clone(),
            function: name.clone(),
            arity: *arity,
        };
        *module != caller && (changed.has(&function) || changed.had(&function))
    });
    callees.map(|(module, _)| module).collect()
}

fn cycles(upgrade: &Upgrade) -> String {
    let cycles = &upgrade.rules.cycles;
    if cycles.is_empty() {
        return String::new();
    }
    let mut out = "% Modules that call each other in a cycle (W307). They are switched at one instant; to declare the cycle:\n".to_owned();
    for cycle in cycles {
        let _ = writeln!(
            out,
            "% cycle [{}]: together because \"REASON\".",
            list(&cycle.members)
        );
    }
    out
}

/// Classes that were not plain to see.
fn doubts(upgrade: &Upgrade) -> String {
    let mut out = String::new();
    for (module, rules) in &upgrade.rules.modules {
        let processes = upgrade
            .changes
            .modules
            .get(module)
            .map_or(0, |changed| changed.processes);
        let how = match &rules.class.origin {
            Origin::Inferred(how)
                if !how.starts_with("behaviour") && rules.class.value != Class::Library =>
            {
                how.clone()
            }
            _ if rules.class.value == Class::Library && processes > 0 => {
                let verb = if processes == 1 { "runs" } else { "run" };
                let processes = count(processes, "process", "processes");
                format!("no behaviour, and {processes} {verb} it")
            }
            _ => continue,
        };
        let _ = writeln!(out, "%   {module}: {} ({how})", rules.class.value);
        let _ = writeln!(
            out,
            "% module {module} #{{class => {}}} because \"REASON\".",
            rules.class.value
        );
    }
    if out.is_empty() {
        return out;
    }
    format!("% Classes in doubt (supervisor, server or plain?):\n{out}")
}

fn no_way_back(upgrade: &Upgrade) -> String {
    let modules = upgrade.rules.modules.keys();
    let missing: Vec<Module> = modules
        .filter(|m| {
            upgrade
                .changes
                .modules
                .get(*m)
                .is_some_and(|c| c.loaded.is_some() && c.old.is_none())
        })
        .cloned()
        .collect();
    if missing.is_empty() {
        return String::new();
    }
    let mut out =
        "% No copy of the running version of these is available, so that the upgrade could not be undone:\n"
            .to_owned();
    for some in missing.chunks(4) {
        let _ = writeln!(out, "%   {}", list(some));
    }
    out.push_str("% old from \"PATH/TO/THE/RUNNING/VERSION/ebin\".\n");
    out
}

/// Servers that run and whose states are converted. A module that is new has none.
fn conversions(upgrade: &Upgrade) -> String {
    let mut servers: Vec<(&Module, usize)> = Vec::new();
    for (module, rules) in &upgrade.rules.modules {
        let changed = upgrade.changes.modules.get(module);
        let Some(changed) = changed.filter(|changed| !changed.is_new() && changed.new.is_some())
        else {
            continue;
        };
        if rules.class.value == Class::Server
            && rules.change.value != Change::Soft
            && changed.processes > 0
        {
            servers.push((module, changed.processes));
        }
    }
    let Some((first, _)) = servers.first() else {
        return String::new();
    };
    let mut out =
        "% States that are converted by code_change; its argument Extra is [], or what is said so:\n".to_owned();
    for (module, processes) in &servers {
        let _ = writeln!(
            out,
            "%   {module}: {}",
            count(*processes, "process", "processes")
        );
    }
    let _ = writeln!(
        out,
        "% module {first} #{{change => {{advanced, []}}}} because \"REASON\"."
    );
    out
}
