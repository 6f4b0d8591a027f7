//! Application files: `{application, Name, Properties}.`
//!
//! Takes the text of an `.app` file and gives an [`AppSpec`] with the keys of app(4) that an upgrade
//! looks at. It reads the text as a constant term, at most [`MAX_APP`] bytes of it; nothing is evaluated.
//! What does not fit is a diagnostic (E215) with its place, and keys that OTP does not know are passed over.

#![expect(
    clippy::disallowed_methods,
    reason = "application specifications are files"
)]

use std::collections::BTreeMap;
use std::path::Path;

use crate::diag::{Code, Diagnostic, Result, SourceMap, Span};
use crate::name::{App, Module};
use crate::regular_file;
use crate::syntax::parse_expression;
use crate::term::{Atom, Term};

/// The largest application file, in bytes: 1 MiB.
pub const MAX_APP: u64 = 1 << 20;

/// What an application file says.
#[derive(Clone, Debug, PartialEq)]
pub struct AppSpec {
    /// The application.
    pub name: App,
    /// Its version; empty when there is none, as `application:load/1` takes it.
    pub vsn: String,
    /// Its modules, in the order of the file.
    pub modules: Vec<Module>,
    /// Names that its processes register.
    pub registered: Vec<Atom>,
    /// Applications that have to run before it.
    pub applications: Vec<App>,
    /// Applications that are loaded with it.
    pub included: Vec<App>,
    /// Applications that may be missing, of [`AppSpec::applications`].
    pub optional: Vec<App>,
    /// Its environment. Of a key that is there twice the last value counts, as in OTP.
    pub env: BTreeMap<Atom, Term>,
    /// The callback module and its argument; `None` for a library.
    pub start: Option<(Module, Term)>,
}

impl AppSpec {
    /// Reads a file; its text is put into `sources`, so that diagnostics can show it.
    ///
    /// # Errors
    /// E215 when it cannot be read, is larger than `MAX_APP`, is no application, or belongs to another
    /// application than its name says; the syntax errors E101 to E107.
    pub fn read(path: &Path, sources: &mut SourceMap) -> Result<Self> {
        let shown = path.display().to_string();
        let failed = |why: String| {
            let title = format!("`{shown}` is not a usable application file");
            Box::new(Diagnostic::new(Code::E215, title).note(why))
        };
        let text = contents(path).map_err(|error| failed(error.to_string()))?;
        let base = sources.add(shown.clone(), text.clone());
        let spec = Self::parse(&text, base)?;
        match path.file_stem() {
            Some(stem) if stem != spec.name.as_str() => {
                Err(failed(format!("the application inside is {}", spec.name)))
            }
            _ => Ok(spec),
        }
    }

    /// Reads a text that begins at `base` of the source map.
    ///
    /// # Errors
    /// E215 when it is no application or a key has a value of another kind; E101 to E107.
    pub fn parse(text: &str, base: usize) -> Result<Self> {
        let read = parse_expression(text, base)?;
        let at = |title: &str, span, label: &str| {
            Box::new(Diagnostic::new(Code::E215, title).label(span, label))
        };
        let whole = || {
            let title = "an application file holds `{application, Name, [{Key, Value}]}.`";
            at(title, read.span, "this is something else")
        };
        let term = read.as_literal().ok_or_else(whole)?;
        let (name, properties) = match term.as_tuple() {
            Some([tag, Term::Atom(name), properties]) if tag.is_atom("application") => {
                (name, properties.as_list().ok_or_else(whole)?)
            }
            _ => return Err(whole()),
        };
        let keys = Keys {
            text,
            base,
            whole: read.span,
            properties,
        };
        keys.spec(name)
    }
}

fn contents(path: &Path) -> std::io::Result<String> {
    let bytes = regular_file::read(path, MAX_APP)?;
    // Files of the time before UTF-8 are Latin-1; `file:consult` reads them so without a coding comment.
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| {
        let bytes = error.into_bytes();
        bytes.iter().map(|byte| char::from(*byte)).collect()
    }))
}

/// The properties, and their places in the file.
struct Keys<'a> {
    text: &'a str,
    base: usize,
    whole: Span,
    properties: &'a [Term],
}

impl Keys<'_> {
    fn spec(&self, name: &Atom) -> Result<AppSpec> {
        let modules = self.atoms("modules")?;
        Ok(AppSpec {
            name: App::new(name.as_str()),
            vsn: match self.get("vsn") {
                None => String::new(),
                Some(value) => value
                    .as_list()
                    .and_then(|_| value.to_text())
                    .ok_or_else(|| self.wrong("vsn", "a string"))?,
            },
            modules: modules.iter().map(|m| Module::new(m.as_str())).collect(),
            registered: self.atoms("registered")?,
            applications: self.apps("applications")?,
            included: self.apps("included_applications")?,
            optional: self.apps("optional_applications")?,
            env: self.env()?,
            start: self.start()?,
        })
    }

    /// The first value of a key, as `lists:keyfind/3` finds it.
    fn get(&self, key: &str) -> Option<&Term> {
        self.properties
            .iter()
            .find_map(|property| match property.as_tuple() {
                Some([name, value]) if name.is_atom(key) => Some(value),
                _ => None,
            })
    }

    fn atoms(&self, key: &str) -> Result<Vec<Atom>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let atoms: Option<Vec<Atom>> = value
            .as_list()
            .and_then(|list| list.iter().map(|term| term.as_atom().cloned()).collect());
        atoms.ok_or_else(|| self.wrong(key, "a list of atoms"))
    }

    fn apps(&self, key: &str) -> Result<Vec<App>> {
        let atoms = self.atoms(key)?;
        Ok(atoms.iter().map(|atom| App::new(atom.as_str())).collect())
    }

    fn env(&self) -> Result<BTreeMap<Atom, Term>> {
        let Some(value) = self.get("env") else {
            return Ok(BTreeMap::new());
        };
        let pair = |term: &Term| match term.as_tuple() {
            Some([Term::Atom(key), value]) => Some((key.clone(), value.clone())),
            _ => None,
        };
        let pairs: Option<BTreeMap<Atom, Term>> = value
            .as_list()
            .and_then(|list| list.iter().map(pair).collect());
        pairs.ok_or_else(|| self.wrong("env", "a list of `{Key, Value}`"))
    }

    fn start(&self) -> Result<Option<(Module, Term)>> {
        let Some(value) = self.get("mod") else {
            return Ok(None);
        };
        match value.as_tuple() {
            Some([Term::Atom(module), argument]) => {
                Ok(Some((Module::new(module.as_str()), argument.clone())))
            }
            // What `application:load/1` takes for "none".
            _ if value.as_list().is_some_and(<[Term]>::is_empty) || value.is_atom("undefined") => {
                Ok(None)
            }
            _ => Err(self.wrong("mod", "`{Module, Argument}`")),
        }
    }

    fn wrong(&self, key: &str, wanted: &str) -> Box<Diagnostic> {
        let title = format!("`{key}` of an application is {wanted}");
        let label = format!("expected {wanted}");
        Box::new(Diagnostic::new(Code::E215, title).label(self.place(key), label))
    }

    /// The position of a key: constants carry no places of their own, so the text is searched for `{key`.
    fn place(&self, key: &str) -> Span {
        let mut from = 0;
        while let Some(found) = self.text.get(from..).and_then(|rest| rest.find(key)) {
            let (start, end) = (from + found, from + found + key.len());
            let before = self.text[..start].trim_end();
            let after = self.text[end..].trim_start();
            if before.ends_with('{') && after.starts_with(',') {
                return Span::new(self.base + start, self.base + end);
            }
            from = end;
        }
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::AppSpec;
    use crate::diag::Code;

    #[test]
    fn a_file_is_read() {
        let text = r#"%% a comment
            {application, shop, [{description, "A " "shop"}, {vsn, "1.2.0"}, {modules, [a, 'Elixir.B']},
              {registered, [shop_sup]}, {applications, [kernel, stdlib]}, {mod, {shop_app, [x]}},
              {env, [{rate, 7}, {rate, 8}]}, {runtime_dependencies, ["erts-11"]}, {odd, #{}}]}."#;
        let spec = AppSpec::parse(text, 0).expect("an application");
        assert_eq!((spec.name.as_str(), spec.vsn.as_str()), ("shop", "1.2.0"));
        assert_eq!(spec.modules.len() + spec.applications.len(), 4);
        assert_eq!(spec.start.expect("has a callback").0.as_str(), "shop_app");
        let env: Vec<String> = spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(env, ["rate=8"]);
    }

    #[test]
    fn mismatches_are_reported_with_their_place() {
        for (text, code, place) in [
            ("{application, a, [{vsn, one}]}.", Code::E215, "vsn"),
            (
                "{application, a, [{vsn, \"1\"}, { env , [a]}]}.",
                Code::E215,
                "env",
            ),
            ("{application, a, [{mod, b}]}.", Code::E215, "mod"),
            ("{app, a, []}.", Code::E215, "{app, a, []}"),
            (
                "{application, a, f()}.",
                Code::E215,
                "{application, a, f()}",
            ),
            ("{application, a, [}.", Code::E101, "}"),
        ] {
            let diagnostic = AppSpec::parse(text, 0).expect_err(text);
            assert_eq!(diagnostic.code, code, "{text}");
            let span = diagnostic.labels.first().expect("a place").span;
            assert_eq!(&text[span.start..span.end], place, "{text}");
        }
    }
}
