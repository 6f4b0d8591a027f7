//! What plan expressions may ask about the node under upgrade: `app(shop)`, `changed()`, `otp()`, …
//!
//! A [`View`] is facts only; it never asks the node.

use std::collections::BTreeSet;

use crate::diag::Span;
use crate::eval::{Class, World, WorldError};
use crate::facts::change::ChangeSet;
use crate::facts::live::NodeFacts;
use crate::name::{App, Module, NodeName};
use crate::term::Term;

/// The facts of one node, as expressions see them.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// The target's name, when the plan has one for it.
    pub target: &'a str,
    /// The node's facts.
    pub facts: &'a NodeFacts,
    /// What differs.
    pub changes: &'a ChangeSet,
}

impl<'a> View<'a> {
    /// The built-in functions of plans over these facts.
    pub fn world(&self) -> Facts<'a> {
        Facts {
            view: *self,
            said: Vec::new(),
        }
    }

    /// Whether a module is loaded, new, or listed by an application.
    pub fn knows(&self, module: &Module) -> bool {
        self.facts.loaded.contains_key(module)
            || self.changes.modules.contains_key(module)
            || self.changes.untouched.iter().any(|(m, _)| m == module)
            || self.facts.app_of(module).is_some()
    }

    /// Every name that [`View::knows`] accepts, for suggestions: the changed ones first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let changed = self.changes.modules.keys();
        let listed = self.facts.apps.values().flat_map(|app| &app.modules);
        changed
            .chain(self.facts.loaded.keys())
            .chain(listed)
            .map(Module::as_str)
    }

    fn all(&self) -> BTreeSet<&Module> {
        let listed = self.facts.apps.values().flat_map(|app| &app.modules);
        self.facts
            .loaded
            .keys()
            .chain(self.changes.modules.keys())
            .chain(listed)
            .collect()
    }
}

/// The built-in functions; collects what `info` and `warn` say.
#[derive(Debug)]
pub struct Facts<'a> {
    view: View<'a>,
    /// Lines said by `info` and `warn`.
    pub said: Vec<Said>,
}

impl World for Facts<'_> {
    fn call(&mut self, name: &str, args: &[Term], _: Span) -> Option<Result<Term, WorldError>> {
        let view = self.view;
        Some(match (name, args) {
            ("node", []) => Ok(Term::atom(view.node.as_str())),
            ("target", []) => Ok(Term::atom(view.target)),
            ("otp", []) => Ok(Term::Int(i64::from(view.facts.otp))),
            ("vsn", [app]) => vsn(view, app),
            ("app", [app]) => app_modules(view, app),
            ("changed", []) => Ok(modules(view.changes.modules.keys())),
            ("changed", [module]) => {
                text(module).map(|m| Term::boolean(view.changes.modules.contains_key(m.as_str())))
            }
            ("glob", [pattern]) => glob(view, pattern),
            ("behaviour", [behaviour]) => behaves(view, behaviour),
            ("exports", [module, function, arity]) => exports(view, module, function, arity),
            ("info" | "warn", [format]) => self.say(name == "warn", format, &[]),
            ("info" | "warn", [format, Term::List(args)]) => self.say(name == "warn", format, args),
            _ => return anywhere(name, args),
        })
    }
}

/// What needs no facts.
fn anywhere(name: &str, args: &[Term]) -> Option<Result<Term, WorldError>> {
    Some(match (name, args) {
        ("matches", [value, pattern]) => matches(value, pattern).map(Term::boolean),
        ("env", [name]) => text(name).map(|name| match std::env::var(name) {
            Ok(value) => Term::string(&value),
            Err(_) => Term::atom("undefined"),
        }),
        ("fail", [reason]) => Err(WorldError::Raised(Class::Error, reason.clone())),
        ("sleep", [time]) => sleep(time),
        _ => return None,
    })
}

/// The built-in functions on a node that no plan describes: nothing was compared.
#[derive(Debug)]
pub struct NoFacts<'a>(pub &'a NodeName);

impl World for NoFacts<'_> {
    fn call(&mut self, name: &str, args: &[Term], _: Span) -> Option<Result<Term, WorldError>> {
        match (name, args) {
            ("node", []) => Some(Ok(Term::atom(self.0.as_str()))),
            _ => anywhere(name, args).or_else(|| {
                let needed = crate::eval::needs(name)?;
                (needed == crate::eval::Moment::Facts).then(|| {
                    let what =
                        format!("`{name}` needs a plan, whose code is compared with the node's");
                    Err(WorldError::Unknown(what))
                })
            }),
        }
    }
}

impl Facts<'_> {
    fn say(&mut self, warn: bool, format: &Term, args: &[Term]) -> Result<Term, WorldError> {
        let text = formatted(&text(format)?, args).ok_or(WorldError::BadArgument)?;
        self.said.push(Said { warn, text });
        Ok(Term::atom("ok"))
    }
}

/// A line said by a check or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whether `warn` said it, not `info`.
    pub warn: bool,
    /// The line.
    pub text: String,
}

/// `io_lib:format/2` for the directives that messages use: `~p ~w ~s ~b ~n ~~`, with or without `t`. `None` where
/// Erlang would raise badarg.
fn formatted(format: &str, args: &[Term]) -> Option<String> {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars();
    while let Some(char) = chars.next() {
        if char != '~' {
            out.push(char);
            continue;
        }
        let directive = match chars.next()? {
            't' => chars.next()?,
            other => other,
        };
        match directive {
            'n' => out.push('\n'),
            '~' => out.push('~'),
            'p' => out.push_str(&args.next()?.to_string()),
            'w' => out.push_str(&crate::term::write(args.next()?)),
            's' => out.push_str(&args.next()?.to_text()?),
            'b' => {
                let number = args.next()?;
                let is_integer = matches!(number, Term::Int(_) | Term::Big(_));
                out.push_str(&is_integer.then(|| number.to_string())?);
            }
            _ => return None,
        }
    }
    args.next().is_none().then_some(out)
}

fn text(term: &Term) -> Result<String, WorldError> {
    term.to_text().ok_or(WorldError::BadArgument)
}

fn modules<'a>(names: impl IntoIterator<Item = &'a Module>) -> Term {
    Term::list(names.into_iter().map(|module| Term::atom(module.as_str())))
}

fn vsn(view: View<'_>, app: &Term) -> Result<Term, WorldError> {
    let name = App::new(text(app)?);
    match view.facts.apps.get(&name) {
        Some(running) => Ok(Term::string(&running.vsn)),
        None => Ok(Term::atom("undefined")),
    }
}

fn app_modules(view: View<'_>, app: &Term) -> Result<Term, WorldError> {
    let name = App::new(text(app)?);
    let Some(running) = view.facts.apps.get(&name) else {
        return Err(WorldError::Refused(Box::new(unknown_app(view, &name))));
    };
    let new = view
        .changes
        .modules
        .iter()
        .filter(|(_, c)| c.app.as_ref() == Some(&name))
        .map(|(m, _)| m);
    let all: BTreeSet<&Module> = running.modules.iter().chain(new).collect();
    Ok(modules(all))
}

fn unknown_app(view: View<'_>, name: &App) -> crate::diag::Diagnostic {
    use crate::diag::{Code, Diagnostic, suggest::suggest};
    let told = Diagnostic::new(Code::E203, format!("unknown application `{name}`"));
    match suggest(name.as_str(), view.facts.apps.keys().map(App::as_str)) {
        Some(close) => told.help(format!("did you mean `{close}`?")),
        None => told.help("it does not run on this node"),
    }
}

fn glob(view: View<'_>, pattern: &Term) -> Result<Term, WorldError> {
    let pattern = text(pattern)?;
    let pattern = glob::Pattern::new(&pattern).map_err(|_| WorldError::BadArgument)?;
    let fits = |module: &&&Module| {
        let name = module.as_str();
        pattern.matches(name)
            || name
                .strip_prefix("Elixir.")
                .is_some_and(|short| pattern.matches(short))
    };
    Ok(modules(view.all().iter().filter(fits).copied()))
}

fn matches(value: &Term, pattern: &Term) -> Result<bool, WorldError> {
    let pattern = glob::Pattern::new(&text(pattern)?).map_err(|_| WorldError::BadArgument)?;
    Ok(pattern.matches(&text(value)?))
}

fn behaves(view: View<'_>, behaviour: &Term) -> Result<Term, WorldError> {
    let name = text(behaviour)?;
    let with = view.changes.modules.iter().filter(|(_, changed)| {
        let facts = changed
            .new
            .as_ref()
            .map(|beam| &beam.facts)
            .or(changed.old_facts());
        facts.is_some_and(|facts| facts.behaviours.iter().any(|b| b.as_str() == name))
    });
    Ok(modules(with.map(|(module, _)| module)))
}

fn exports(
    view: View<'_>,
    module: &Term,
    function: &Term,
    arity: &Term,
) -> Result<Term, WorldError> {
    let (module, function) = (text(module)?, text(function)?);
    let arity = arity
        .as_i64()
        .and_then(|a| u32::try_from(a).ok())
        .ok_or(WorldError::BadArgument)?;
    let Some(changed) = view.changes.modules.get(module.as_str()) else {
        return Err(WorldError::Unknown(format!(
            "`{module}` does not change, its exports were not read"
        )));
    };
    Ok(Term::boolean(
        changed
            .new
            .as_ref()
            .is_some_and(|beam| beam.facts.exports(&function, arity)),
    ))
}

/// At most what one body may take anyway.
fn sleep(time: &Term) -> Result<Term, WorldError> {
    let ms = time
        .as_i64()
        .and_then(|ms| u64::try_from(ms).ok())
        .ok_or(WorldError::BadArgument)?;
    std::thread::sleep(std::time::Duration::from_millis(ms.min(5_000)));
    Ok(Term::atom("ok"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_formatted_as_erlang_would() {
        let args = [Term::Int(3), Term::string("carts"), Term::atom("ok")];
        assert_eq!(
            formatted("~b ~ts: ~p~n", &args).as_deref(),
            Some("3 carts: ok\n")
        );
        assert_eq!(
            formatted("~w", &[Term::string("a")]).as_deref(),
            Some("[97]")
        );
        assert_eq!(formatted("100~~", &[]).as_deref(), Some("100~"));
        assert_eq!(formatted("~p", &[]), None);
        assert_eq!(formatted("no", &args), None);
        assert_eq!(formatted("~b", &[Term::atom("x")]), None);
    }
}
