//! Configuration that new versions were written for and the node does not have: W325, W326; and W328, a release that was
//! made with a newer Elixir or run-time system.

use std::collections::BTreeMap;

use super::Ruleset;
use super::lints::NAMED;
use crate::diag::{Code, Diagnostic};
use crate::facts::change::{ChangeSet, CompileEnv, ReleaseChange};
use crate::name::App;
use crate::plan::Plan;
use crate::term::Term;

/// Everything there is to say about it.
pub fn advice(plan: &Plan, changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let mut all = compiled(plan, changes, rules);
    if let Some(release) = &changes.release {
        if release.is_reconfigured() {
            all.push(configured(release));
        }
        if !release.newer.is_empty() {
            all.push(newer(release));
        }
    }
    all
}

/// W325: per application, as far as modules of it take part or its specification differs.
fn compiled(plan: &Plan, changes: &ChangeSet, rules: &Ruleset) -> Vec<Diagnostic> {
    let takes_part = |app: &App| {
        let mut own = changes
            .modules
            .iter()
            .filter(|(_, c)| c.app.as_ref() == Some(app));
        own.any(|(module, _)| rules.modules.contains_key(module))
    };
    // With `env => true` new defaults are set before the new code runs.
    let follows = |entry: &CompileEnv| {
        let [Term::Atom(key)] = entry.path.as_slice() else {
            return false;
        };
        let spec = changes.specs.iter().find(|spec| spec.app == entry.of);
        let change = spec.and_then(|spec| spec.env.iter().find(|change| change.key == *key));
        plan.env && change.is_some_and(|change| change.new == entry.compiled)
    };
    let mut apps: BTreeMap<&App, Vec<&CompileEnv>> = BTreeMap::new();
    for entry in &changes.compile_env {
        if takes_part(&entry.app) && !follows(entry) {
            apps.entry(&entry.app).or_default().push(entry);
        }
    }
    apps.into_iter()
        .map(|(app, entries)| otherwise(app, &entries))
        .collect()
}

fn otherwise(app: &App, entries: &[&CompileEnv]) -> Diagnostic {
    let title = format!("the new {app} was compiled for another configuration than the node has");
    let mut diagnostic = Diagnostic::new(Code::W325, title);
    for entry in entries.iter().take(NAMED) {
        let keys: Vec<String> = entry.path.iter().map(Term::to_string).collect();
        let what = match (&entry.compiled, &entry.runs) {
            (Some(_), None) => "is not set on the node",
            (None, _) => "is set on the node, and was not when it was compiled",
            _ => "has another value on the node",
        };
        diagnostic = diagnostic.note(format!("{}: `{}` {what}", entry.of, keys.join(" ")));
    }
    if entries.len() > NAMED {
        diagnostic = diagnostic.note(format!("and {} more", entries.len() - NAMED));
    }
    diagnostic.note("the code goes by the values that it was compiled with; Elixir compares them when a release boots, and refuses to")
        .help("see to it that the node boots with the configuration that the new version was built for; or build it with the node's")
}

/// W326: the release has another configuration.
fn configured(release: &ReleaseChange) -> Diagnostic {
    let title = format!(
        "the configuration of the release {} differs from what runs",
        release.vsn
    );
    let mut diagnostic =
        Diagnostic::new(Code::W326, title).note(format!("it is in {}", release.folder));
    for (app, keys) in release.config.iter().take(NAMED) {
        let mut shown: Vec<String> = keys
            .iter()
            .take(NAMED)
            .map(|key| format!("`{}`", Term::Atom(key.clone())))
            .collect();
        if keys.len() > shown.len() {
            shown.push(format!("and {} more", keys.len() - shown.len()));
        }
        diagnostic = diagnostic.note(format!("sys.config: {app}: {}", shown.join(", ")));
    }
    if release.config.len() > NAMED {
        let more = release.config.len() - NAMED;
        diagnostic = diagnostic.note(format!("sys.config: {more} more applications"));
    }
    if let Some(why) = &release.unread {
        diagnostic = diagnostic.note(format!("sys.config cannot be compared key by key: {why}"));
    }
    match release.runtime.as_deref() {
        Some([]) => diagnostic = diagnostic.note("runtime.exs differs"),
        Some(keys) => {
            let shown: Vec<&str> = keys.iter().take(NAMED).map(String::as_str).collect();
            let more = if keys.len() > NAMED { ", …" } else { "" };
            diagnostic =
                diagnostic.note(format!("runtime.exs differs: {}{more}", shown.join(", ")));
        }
        None => {}
    }
    let (app, key) = release
        .config
        .iter()
        .find_map(|(app, keys)| Some((app.as_str(), keys.first()?.as_str())))
        .unwrap_or(("APP", "key"));
    diagnostic.note("a node reads it when it boots: until then the new code goes by the configuration that runs")
        .help(format!(
            "to set a key before the new code reads it: `before upgrade -> ok = application:set_env({}, {}, …).`, \
             and `on rollback -> …` for the way back",
            Term::atom(app),
            Term::atom(key)
        ))
}

/// W328: made with newer tools than the node runs.
fn newer(release: &ReleaseChange) -> Diagnostic {
    let all: Vec<String> = release
        .newer
        .iter()
        .map(|(name, new, _)| format!("{name} {new}"))
        .collect();
    let title = format!(
        "the release {} was made with {}, newer than what the node runs",
        release.vsn,
        all.join(" and ")
    );
    let diagnostic = Diagnostic::new(Code::W328, title);
    let diagnostic = release
        .newer
        .iter()
        .fold(diagnostic, |diagnostic, (name, _, runs)| {
            diagnostic.note(format!("the node runs {name} {runs}"))
        });
    diagnostic.note("its modules may call what the node does not have, or keep states in forms that it does not know")
        .help("build with the versions that the node runs, or upgrade by a restart")
}
