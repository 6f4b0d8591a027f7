//! New specifications of applications against what runs: keys of `env`, modules, versions, what was compiled in.
//!
//! Takes the texts of `.app` files, from whichever machine, gives what they say and the differences.

use std::collections::{BTreeMap, BTreeSet};

use super::compared_node::ComparedNode;
use crate::diag::Result;
use crate::facts::app::app_specs::Spec;
use crate::facts::change::{CompileEnv, EnvChange, Notice, SpecChange};
use crate::facts::node::folders::folder_of;
use crate::facts::node::node_facts::RunningApp;
use crate::facts::node::queries;
use crate::name::{App, Module};
use crate::term::{Atom, Term};

/// What the new specifications are.
#[derive(Debug, Default)]
pub(super) struct NewSpecs {
    /// By application.
    pub(super) specs: BTreeMap<App, Spec>,
    /// Those that differ from what runs.
    pub(super) changes: Vec<SpecChange>,
    /// What new versions were compiled with, where the node has something else.
    pub(super) compile_env: Vec<CompileEnv>,
    /// Those that cannot be read.
    pub(super) bad: Vec<Notice>,
}

/// Reads specifications (application, file, text) and compares them with the running applications. `has_beam` knows
/// whether the folder of such a file has a beam of a module.
pub(super) fn compare_specs(
    node: &mut ComparedNode<'_>,
    texts: Vec<(App, String, Vec<u8>)>,
    has_beam: &dyn Fn(&str, &Module) -> bool,
) -> Result<NewSpecs> {
    let (mut specs, mut bad) = (Vec::new(), Vec::new());
    for (app, file, text) in texts {
        match Spec::read(&text) {
            Ok(spec) if spec.app.as_ref() == Some(&app) => specs.push((app, file, spec)),
            Ok(_) => {
                let why = "it is about another application".to_owned();
                bad.push(Notice::BadSpec { file, why });
            }
            Err(why) => bad.push(Notice::BadSpec { file, why }),
        }
    }
    let mut old = running_specs(node, &specs)?;
    let with_env = specs.iter().filter(|(app, _, spec)| {
        let had = old.get(app).is_some_and(|old| !old.env.is_empty());
        had || !spec.env.is_empty()
    });
    let with_env = with_env.map(|(app, ..)| app.clone());
    let compiled = specs.iter().flat_map(|(_, _, spec)| &spec.compile_env);
    let compiled = compiled.map(|(of, ..)| of.clone());
    let with_env: BTreeSet<App> = with_env.chain(compiled).collect();
    let with_env: Vec<App> = with_env.into_iter().collect();
    let environments = queries::environments(node.session, &with_env)?;
    let environments: BTreeMap<App, _> = with_env.into_iter().zip(environments).collect();
    let none = BTreeMap::new();
    let changes = specs.iter().filter_map(|(app, file, spec)| {
        let env = environments.get(app).unwrap_or(&none);
        let running = node.facts.apps.get(app)?;
        let folder = folder_of(file).unwrap_or_default();
        let stays = |module: &Module| has_beam(folder, module);
        without_omissions(
            spec_change(spec, app, file, running, env, old.remove(app)),
            &stays,
        )
    });
    Ok(NewSpecs {
        changes: changes.collect(),
        compile_env: compiled_otherwise(&specs, &environments),
        bad,
        specs: specs
            .into_iter()
            .map(|(app, _, spec)| (app, spec))
            .collect(),
    })
}

/// The specifications that the applications were started with, where those are still there: beside the code that runs,
/// when the new ones are in other files.
fn running_specs(
    node: &mut ComparedNode<'_>,
    new: &[(App, String, Spec)],
) -> Result<BTreeMap<App, Spec>> {
    let files: Vec<(&App, String)> = new
        .iter()
        .filter_map(|(app, file, _)| {
            let running = format!("{}/{app}.app", node.facts.folder_of_app(app)?);
            (running != *file).then_some((app, running))
        })
        .collect();
    let paths: Vec<String> = files.iter().map(|(_, file)| file.clone()).collect();
    let texts = node.disk.read(&paths)?;
    let specs = files.into_iter().zip(texts).filter_map(|((app, _), text)| {
        let spec = Spec::read(&text?).ok()?;
        let runs = node.facts.apps.get(app)?.vsn == spec.vsn;
        (runs && spec.app.as_ref() == Some(app)).then(|| (app.clone(), spec))
    });
    Ok(specs.collect())
}

/// What differs from the running application.
///
/// A key that the node has is left alone, unless its value is still the default of the specification that the
/// application was started with (`old`, where that is known): nothing has set it, so it follows the
/// new default, or goes when the new specification has no such key. This is what OTP's release handler does.
fn spec_change(
    new: &Spec,
    app: &App,
    file: &str,
    running: &RunningApp,
    env: &BTreeMap<Atom, Term>,
    old: Option<Spec>,
) -> SpecChange {
    let defaults = old.map(|old| old.env).unwrap_or_default();
    let untouched = |key: &Atom| {
        defaults
            .get(key)
            .is_some_and(|value| env.get(key) == Some(value))
    };
    let mut keys: BTreeSet<&Atom> = new.env.keys().collect();
    keys.extend(defaults.keys());
    let env = keys.into_iter().filter_map(|key| {
        let (was, new) = (env.get(key), new.env.get(key));
        let changes = match was {
            None => new.is_some(),
            Some(_) => was != new && untouched(key),
        };
        changes.then(|| EnvChange {
            key: key.clone(),
            was: was.cloned(),
            new: new.cloned(),
        })
    });
    let env: Vec<EnvChange> = env.collect();
    let had: BTreeSet<&Module> = running.modules.iter().collect();
    let lists: Option<BTreeSet<&Module>> = new.modules.as_ref().map(|m| m.iter().collect());
    let only = |these: &BTreeSet<&Module>, those: &BTreeSet<&Module>| -> Vec<Module> {
        these.difference(those).map(|m| (*m).clone()).collect()
    };
    SpecChange {
        app: app.clone(),
        file: file.to_owned(),
        vsn: (new.vsn != running.vsn).then(|| (running.vsn.clone(), new.vsn.clone())),
        added: lists.as_ref().map_or_else(Vec::new, |new| only(new, &had)),
        removed: lists.as_ref().map_or_else(Vec::new, |new| only(&had, new)),
        env,
        // One that does not run has no process to ask.
        callback: new.callback.clone().filter(|_| running.is_started),
    }
}

/// What is left of it when modules do not count that a specification of the same version leaves out although their files
/// stay: nothing becomes of that in a node that runs. Gleam writes such specifications: a build that compiles no Erlang
/// again lists none of it.
fn without_omissions(
    mut change: SpecChange,
    stays: &dyn Fn(&Module) -> bool,
) -> Option<SpecChange> {
    if change.vsn.is_none() {
        change.removed.retain(|module| !stays(module));
    }
    let nothing = change.vsn.is_none()
        && change.added.is_empty()
        && change.removed.is_empty()
        && change.env.is_empty();
    (!nothing).then_some(change)
}

/// What `compile_env` entries of specifications find on a node with these environments.
fn compiled_otherwise(
    specs: &[(App, String, Spec)],
    environments: &BTreeMap<App, BTreeMap<Atom, Term>>,
) -> Vec<CompileEnv> {
    let mut found = Vec::new();
    for (app, file, spec) in specs {
        for (of, path, compiled) in &spec.compile_env {
            let runs = environments.get(of).and_then(|env| inside(env, path));
            if runs.as_ref() != compiled.as_ref() {
                found.push(CompileEnv {
                    app: app.clone(),
                    file: file.clone(),
                    of: of.clone(),
                    path: path.clone(),
                    compiled: compiled.clone(),
                    runs,
                });
            }
        }
    }
    found
}

/// A value of an environment, and in it: in keyword lists and maps, as Elixir's `Access` goes.
fn inside(env: &BTreeMap<Atom, Term>, path: &[Term]) -> Option<Term> {
    let (Term::Atom(key), rest) = path.split_first()? else {
        return None;
    };
    let mut value = env.get(key)?;
    for key in rest {
        value = match value {
            Term::Map(pairs) => pairs.get(key)?,
            Term::List(pairs) => pairs.iter().find_map(|pair| match pair.as_tuple() {
                Some([known, value]) if known == key => Some(value),
                _ => None,
            })?,
            _ => return None,
        };
    }
    Some(value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse_term;

    #[test]
    fn what_was_compiled_in_is_compared_with_what_runs() {
        let text = b"{application,shop,[{vsn,\"1\"},{compile_env,[{shop,[codec],{ok,plain}},{shop,[web,port],{ok,80}},\
                     {shop,[fresh],error},{logger,[level],{ok,info}},{shop,[gone],{ok,1}}]}]}.";
        let spec = Spec::read(text).expect("a specification");
        assert_eq!(spec.compile_env.len(), 5);
        let specs = [(App::new("shop"), "shop.app".to_owned(), spec)];
        let env = |text: &str| -> BTreeMap<Atom, Term> {
            let term = parse_term(text).expect("a term");
            let pairs = term.as_list().expect("a list").iter();
            let pair = |pair: &Term| match pair.as_tuple() {
                Some([Term::Atom(key), value]) => (key.clone(), value.clone()),
                _ => panic!("{pair}"),
            };
            pairs.map(pair).collect()
        };
        let good = "[{codec,plain},{web,#{port => 80}},{gone,1}].";
        let other = "[{codec,packed},{web,[{port,81}]},{fresh,true}].";
        let differing = |shop: &str, logger: &str| -> Vec<String> {
            let environments = [
                (App::new("shop"), env(shop)),
                (App::new("logger"), env(logger)),
            ];
            let found = compiled_otherwise(&specs, &environments.into_iter().collect());
            let keys = found
                .iter()
                .map(|found| Term::list(found.path.clone()).to_string());
            keys.collect()
        };
        assert!(differing(good, "[{level,info}].").is_empty());
        assert_eq!(
            differing(other, "[]."),
            ["[codec]", "[web,port]", "[fresh]", "[level]", "[gone]"]
        );
    }
}
