//! `updo new`: a starter plan for a node, from what updo finds there. What a person has to look at is first:
//! calls that cannot be followed, cycles, classes in doubt, modules without a way back. It changes nothing
//! on the node, and what it writes is a plan without errors.

#![expect(clippy::disallowed_methods, reason = "a new plan is written")]

use std::fmt::Write as _;

use super::args::NewArgs;
use super::context::Context;
use super::exit::Exit;
use crate::diag::{Code, Diagnostic, Result, SourceMap};
use crate::engine::{Engine, Upgrade};
use crate::name::{Module, NodeName};
use crate::node::tls::{ExpectedName, Pem, TlsOptions};
use crate::rules::{Class, Origin};
use crate::syntax::fmt::format_plan;
use crate::term::Term;

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
    let head = head(args, &settings.tls);
    let mut opened = Engine::open_text(&head, settings);
    let Some(engine) = opened.engine else {
        let bug = || Diagnostic::new(Code::E900, "the starter plan has errors");
        return Err(Box::new(opened.diagnostics.pop().unwrap_or_else(bug)));
    };
    let upgrade = engine.connect(&NodeName::new(&args.node))?.prepare()?;
    let text = starter(&head, &upgrade);
    format_plan(&text, 0).map_err(|mut diagnostics| {
        let bug = Diagnostic::new(Code::E900, "the starter plan has errors");
        Box::new(diagnostics.pop().unwrap_or(bug))
    })
}

/// What every plan needs: title, target, where the code comes from.
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
    if args.push.is_empty() {
        out.push_str("code on_disk.\n");
    } else {
        let globs: Vec<String> = args
            .push
            .iter()
            .map(|glob| Term::string(glob).to_string())
            .collect();
        let _ = writeln!(out, "code push [{}].", globs.join(", "));
    }
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
    out.push_str(
        "\n% What must hold before anything is touched, and what must come true afterwards:\n\
         % require \"idle\" -> 0 = MODULE:busy().\n\
         % verify \"it answers\" #{within => 10s} -> {ok, _} = MODULE:ping().\n",
    );
    out
}

fn list(modules: &[Module]) -> String {
    let names: Vec<String> = modules.iter().map(ToString::to_string).collect();
    names.join(", ")
}

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
        if calls.is_empty() {
            continue;
        }
        for call in calls.iter().take(5) {
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
                "%   {}/{}{line}: {what}",
                call.from.name, call.from.arity
            );
        }
        let _ = writeln!(out, "% {module} depends on MODULE because \"REASON\".");
    }
    if out.is_empty() {
        return out;
    }
    format!(
        "% Calls that updo cannot resolve (W315). Where one calls a changed module, add the edge:\n{out}"
    )
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
                format!("no behaviour, and {processes} processes run it")
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

fn conversions(upgrade: &Upgrade) -> String {
    let mut out = String::new();
    for (module, rules) in &upgrade.rules.modules {
        if rules.class.value == Class::Server && rules.change.value != crate::rules::Change::Soft {
            let _ = writeln!(
                out,
                "% module {module} #{{change => {{advanced, []}}, timeout => 5s}} because \"REASON\"."
            );
        }
    }
    if out.is_empty() {
        return out;
    }
    format!(
        "% States that are converted by code_change; change the extra argument, or the timeout:\n{out}"
    )
}
