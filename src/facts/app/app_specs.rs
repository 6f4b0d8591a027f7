//! Application specifications: the `.app` file beside new beams against what the running application was started with.
//!
//! Takes the text of a file and what the node says, gives the difference ([`SpecChange`]). The file is read here and
//! not by `file:consult/1`, because a specification with thousands of modules costs the node more than everything
//! else that it is asked.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::node::node_facts::RunningApp;
use crate::name::{App, Module};
use crate::syntax::parse_term;
use crate::term::{Atom, Term};

/// The largest file that is read, in bytes.
pub const MAX_SPEC: usize = 4 << 20;

/// What a `.app` file says, as far as upgrades are concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// The application.
    pub app: Option<App>,
    /// `vsn`.
    pub vsn: String,
    /// `modules`, when the key is there.
    pub modules: Option<BTreeSet<Module>>,
    /// `env`.
    pub env: BTreeMap<Atom, Term>,
    /// The module of `mod`.
    pub callback: Option<Module>,
    /// `compile_env`, which Elixir writes: what was read of the configuration when the modules were compiled.
    pub compile_env: Vec<(App, Vec<Term>, Option<Term>)>,
}

/// What modules of an application were compiled with, and the node does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct CompileEnv {
    /// The application with the modules.
    pub app: App,
    /// Its specification.
    pub file: String,
    /// The application that is configured.
    pub of: App,
    /// The key, and those in its value.
    pub path: Vec<Term>,
    /// What it was; `None` where it was not set.
    pub compiled: Option<Term>,
    /// What it is on the node.
    pub runs: Option<Term>,
}

/// How a new specification differs from the running application.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecChange {
    /// The application.
    pub app: App,
    /// The file.
    pub file: String,
    /// The versions, running and new, when they differ.
    pub vsn: Option<(String, String)>,
    /// Modules that only the new one lists.
    pub added: Vec<Module>,
    /// Modules that only the running one lists.
    pub removed: Vec<Module>,
    /// What would become of the keys of `env`.
    pub env: Vec<EnvChange>,
    /// The callback module of the application, which is notified when `env` changes.
    pub callback: Option<Module>,
}

/// A key of an application's `env` that a new specification changes.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvChange {
    /// The key.
    pub key: Atom,
    /// What it is now; `None` for a key that is new.
    pub was: Option<Term>,
    /// The new default; `None` for a key that goes.
    pub new: Option<Term>,
}

impl Spec {
    /// Reads a file's text; the text of the error says what is wrong.
    ///
    /// # Errors
    /// When it is not `{application, Name, Keys}.`
    pub fn read(text: &[u8]) -> Result<Self, String> {
        if text.len() > MAX_SPEC {
            return Err(format!("more than {MAX_SPEC} bytes"));
        }
        // Files of old tools may be Latin-1; what matters here is ASCII in both.
        let text = String::from_utf8_lossy(text);
        let term = parse_term(&text).map_err(|why| why.title.clone())?;
        let wrong = || "this is not {application, Name, Keys}".to_owned();
        let Some([tag, name, keys]) = term.as_tuple() else {
            return Err(wrong());
        };
        let (true, Some(name), Some(keys)) =
            (tag.is_atom("application"), name.as_atom(), keys.as_list())
        else {
            return Err(wrong());
        };
        let value = |key: &str| {
            keys.iter().find_map(|pair| match pair.as_tuple() {
                Some([k, value]) if k.is_atom(key) => Some(value),
                _ => None,
            })
        };
        let modules = value("modules").and_then(Term::as_list).map(|modules| {
            let names = modules.iter().filter_map(Term::as_atom);
            names.map(|name| Module::new(name.as_str())).collect()
        });
        let env = value("env").and_then(Term::as_list).unwrap_or_default();
        Ok(Self {
            app: Some(App::new(name.as_str())),
            vsn: value("vsn").and_then(Term::to_text).unwrap_or_default(),
            modules,
            compile_env: value("compile_env")
                .and_then(Term::as_list)
                .unwrap_or_default()
                .iter()
                .filter_map(compiled)
                .collect(),
            callback: match value("mod").and_then(Term::as_tuple) {
                Some([module, _]) => module.as_atom().map(|name| Module::new(name.as_str())),
                _ => None,
            },
            env: env
                .iter()
                .filter_map(|pair| match pair.as_tuple()? {
                    [Term::Atom(key), value] => Some((key.clone(), value.clone())),
                    _ => None,
                })
                .collect(),
        })
    }

    /// Whether it lists a module.
    pub fn lists(&self, module: &Module) -> bool {
        self.modules.as_ref().is_some_and(|m| m.contains(module))
    }

    /// What differs from the running application; `None` when nothing does.
    ///
    /// A key that the node has is left alone, unless its value is still the default of the specification that the
    /// application was started with (`old`, where that is known): nobody has set it to anything, so it follows the
    /// new default, or goes when the new specification has no such key. This is what OTP's release handler does.
    pub fn against(
        &self,
        app: &App,
        file: &str,
        running: &RunningApp,
        env: &BTreeMap<Atom, Term>,
        old: Option<Spec>,
    ) -> Option<SpecChange> {
        let defaults = old.map(|old| old.env).unwrap_or_default();
        let untouched = |key: &Atom| {
            defaults
                .get(key)
                .is_some_and(|value| env.get(key) == Some(value))
        };
        let mut keys: BTreeSet<&Atom> = self.env.keys().collect();
        keys.extend(defaults.keys());
        let env = keys.into_iter().filter_map(|key| {
            let (was, new) = (env.get(key), self.env.get(key));
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
        let old: BTreeSet<&Module> = running.modules.iter().collect();
        let new: Option<BTreeSet<&Module>> = self.modules.as_ref().map(|m| m.iter().collect());
        let only = |these: &BTreeSet<&Module>, those: &BTreeSet<&Module>| -> Vec<Module> {
            these.difference(those).map(|m| (*m).clone()).collect()
        };
        let change = SpecChange {
            app: app.clone(),
            file: file.to_owned(),
            vsn: (self.vsn != running.vsn).then(|| (running.vsn.clone(), self.vsn.clone())),
            added: new.as_ref().map_or_else(Vec::new, |new| only(new, &old)),
            removed: new.as_ref().map_or_else(Vec::new, |new| only(&old, new)),
            env,
            // One that does not run has no process to ask.
            callback: self.callback.clone().filter(|_| running.is_started),
        };
        let nothing = change.vsn.is_none()
            && change.added.is_empty()
            && change.removed.is_empty()
            && change.env.is_empty();
        (!nothing).then_some(change)
    }
}

/// `{App, [Key | Path], {ok, Value} | error}`.
fn compiled(entry: &Term) -> Option<(App, Vec<Term>, Option<Term>)> {
    let [app, path, value] = entry.as_tuple()? else {
        return None;
    };
    let value = match value.as_tuple() {
        Some([ok, value]) if ok.is_atom("ok") => Some(value.clone()),
        _ if value.is_atom("error") => None,
        _ => return None,
    };
    let path = match path {
        // A list of small numbers comes as text.
        Term::List(path) if !path.is_empty() => path.clone(),
        _ => return None,
    };
    Some((App::new(app.as_atom()?.as_str()), path, value))
}

/// What `compile_env` entries of specifications find on a node with these environments.
pub fn compiled_otherwise(
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

/// Compares version texts as people number them: number by number, then as text.
pub fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    let parts = |text: &str| -> Vec<(Option<u64>, String)> {
        text.split(['.', '-', '+', '_'])
            .map(|part| (part.parse().ok(), part.to_owned()))
            .collect()
    };
    parts(a).cmp(&parts(b))
}

/// `NAME-VSN` of a folder, as releases lay applications out.
pub fn versioned(folder: &str) -> Option<(&str, &str)> {
    let (name, vsn) = folder.rsplit_once('-')?;
    let starts = vsn.starts_with(|c: char| c.is_ascii_digit());
    (!name.is_empty() && starts).then_some((name, vsn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    #[test]
    fn reads_what_build_tools_write() {
        let text = b"%% made by hand\n{application,shop,\n [{vsn,\"1.2\"},{modules,[shop_a,'Elixir.Shop']},\n\
                     {registered,[]},{env,[{discount,10},{urls,[\"a\"]}]},{mod,{shop_app,[]}}]}.\n";
        let spec = Spec::read(text).expect("a specification");
        assert_eq!(spec.vsn, "1.2");
        assert!(spec.lists(&Module::new("Elixir.Shop")));
        assert_eq!(spec.env[&Atom::new("discount")], Term::Int(10));
        assert!(Spec::read(b"{application,shop").is_err());
        assert!(Spec::read(b"[1,2].").is_err());
    }

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

    #[test]
    fn versions_count_as_numbers() {
        for (a, b, order) in [
            ("1.9", "1.10", Ordering::Less),
            ("1.0", "1.0", Ordering::Equal),
            ("2", "1.9.9", Ordering::Greater),
            ("1.0", "1.0.1", Ordering::Less),
        ] {
            assert_eq!(compare_versions(a, b), order, "{a} {b}");
        }
        assert_eq!(versioned("shop-1.0"), Some(("shop", "1.0")));
        assert_eq!(versioned("my-shop"), None);
        assert_eq!(versioned("my-shop-2"), Some(("my-shop", "2")));
    }
}
