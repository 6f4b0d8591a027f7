//! Application specifications as a node has them: what the text of a `.app` file says.
//!
//! The file is read here and not by `file:consult/1`, because a specification with thousands of modules costs the node
//! more than everything else that it is asked.

use std::collections::{BTreeMap, BTreeSet};

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
    /// The same as it is written.
    pub env_term: Option<Term>,
    /// The module of `mod`.
    pub callback: Option<Module>,
    /// `compile_env`, which Elixir writes: what was read of the configuration when the modules were compiled.
    pub compile_env: Vec<(App, Vec<Term>, Option<Term>)>,
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
        let env = value("env");
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
            env: Self::env_of(env.unwrap_or(&Term::List(Vec::new()))),
            env_term: env.cloned(),
        })
    }

    /// The keys of an environment. Of a key that is there twice the last value counts, as in OTP.
    pub fn env_of(env: &Term) -> BTreeMap<Atom, Term> {
        let pairs = env.as_list().unwrap_or_default().iter();
        let pairs = pairs.filter_map(|pair| match pair.as_tuple()? {
            [Term::Atom(key), value] => Some((key.clone(), value.clone())),
            _ => None,
        });
        pairs.collect()
    }

    /// Whether it lists a module.
    pub fn lists(&self, module: &Module) -> bool {
        self.modules.as_ref().is_some_and(|m| m.contains(module))
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
