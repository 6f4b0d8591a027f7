//! What plan expressions may ask about the node under upgrade: `app(shop)`, `changed()`, `otp()`, …
//!
//! A [`NodeView`] is facts only; it never asks the node.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::diag::{Code, Diagnostic, Result as Told, Span};
use crate::eval::{Evaluator, ExceptionClass, Functions, NameError, OwnNames, Phase, Truth};
use crate::facts::change::ChangeSet;
use crate::facts::node::node_facts::{CodeOrigin, NodeFacts};
use crate::name::{App, Module, NodeName};
use crate::plan::{Plan, offline};
use crate::syntax::ast::Tail;
use crate::syntax::walk::variables;
use crate::term::Term;

/// The facts of one node, as expressions see them.
#[derive(Clone, Copy, Debug)]
pub struct NodeView<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// The target's name, when the plan has one for it.
    pub target: &'a str,
    /// The node's facts.
    pub facts: &'a NodeFacts,
    /// What differs.
    pub changes: &'a ChangeSet,
}

impl<'a> NodeView<'a> {
    /// The built-in functions of plans over these facts.
    pub fn host(&self) -> Facts<'a> {
        Facts {
            view: *self,
            left: MAX_SAID,
            log: Vec::new(),
        }
    }

    /// Whether a statement's `when` holds on this node; without one, it does.
    ///
    /// # Errors
    /// The guard's own failure, and E210 for a fact that is not known of this node: a rule does not vanish
    /// because of a slip.
    pub fn holds(&self, plan: &Plan, functions: &Functions<'_>, tail: &Tail) -> Told<bool> {
        let [first, ..] = tail.when.as_slice() else {
            return Ok(true);
        };
        let mut host = self.host();
        let names = tail.when.iter().flat_map(variables);
        let mut bindings = plan.constants.only(names);
        let truth = Evaluator::new(Phase::Facts, functions)
            .with_names(&mut host)
            .guard(&tail.when, &mut bindings);
        match truth.map_err(|failure| failure.diagnostic)? {
            Truth::True => Ok(true),
            Truth::False => Ok(false),
            Truth::Unknown(what) => {
                let label = "decides whether this statement applies";
                Err(Box::new(
                    Diagnostic::new(Code::E210, what).label(first.span, label),
                ))
            }
        }
    }

    /// Whether a module is loaded, new, or listed by an application.
    pub fn knows(&self, module: &Module) -> bool {
        self.facts.loaded.contains_key(module)
            || self.changes.modules.contains_key(module)
            || self.changes.untouched.iter().any(|(m, _)| m == module)
            || self.facts.app_of(module).is_some()
    }

    /// Every name that [`NodeView::knows`] accepts, for suggestions: the changed ones first.
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

/// How much one body may say, in bytes.
const MAX_SAID: usize = 1 << 20;

/// The built-in functions; collects what `info` and `warn` say.
#[derive(Debug)]
pub struct Facts<'a> {
    view: NodeView<'a>,
    /// How much more may be reported.
    left: usize,
    /// Lines said by `info` and `warn`.
    pub log: Vec<LogLine>,
}

impl OwnNames for Facts<'_> {
    fn call(&mut self, name: &str, args: &[Term], span: Span) -> Option<Result<Term, NameError>> {
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
            ("lib", [pattern]) => lib(view, pattern),
            ("behaviour", [behaviour]) => behaves(view, behaviour),
            ("exports", [module, function, arity]) => exports(view, module, function, arity),
            ("info" | "warn", [format]) => self.say(name == "warn", format, &[], span),
            ("info" | "warn", [format, Term::List(args)]) => {
                self.say(name == "warn", format, args, span)
            }
            _ => return anywhere(name, args),
        })
    }
}

/// What needs no facts.
pub(crate) fn anywhere(name: &str, args: &[Term]) -> Option<Result<Term, NameError>> {
    Some(match (name, args) {
        ("fail", [reason]) => Err(NameError::Raised(ExceptionClass::Error, reason.clone())),
        ("fail", [format, Term::List(args)]) => fail(format, args),
        ("sleep", [time]) => sleep(time),
        _ => return offline::anywhere(name, args),
    })
}

fn fail(format: &Term, args: &[Term]) -> Result<Term, NameError> {
    let text = message(format, args, MAX_SAID)?;
    Err(NameError::Raised(
        ExceptionClass::Error,
        Term::string(&text),
    ))
}

/// The built-in functions on a node that no plan describes: nothing was compared.
#[derive(Debug)]
pub struct NoFacts<'a>(pub &'a NodeName);

impl OwnNames for NoFacts<'_> {
    fn call(&mut self, name: &str, args: &[Term], _: Span) -> Option<Result<Term, NameError>> {
        match (name, args) {
            ("node", []) => Some(Ok(Term::atom(self.0.as_str()))),
            _ => anywhere(name, args).or_else(|| {
                let needed = crate::eval::needs(name)?;
                (needed == crate::eval::Phase::Facts).then(|| {
                    let what =
                        format!("`{name}` needs a plan, whose code is compared with the node's");
                    Err(NameError::Unknown(what))
                })
            }),
        }
    }
}

impl Facts<'_> {
    fn say(
        &mut self,
        warn: bool,
        format: &Term,
        args: &[Term],
        span: Span,
    ) -> Result<Term, NameError> {
        // One more than may be, to tell too much from just enough.
        let text = message(format, args, self.left + 1)?;
        let Some(left) = self.left.checked_sub(text.len()) else {
            let diagnostic = Diagnostic::new(Code::E705, "a body may say 1 MiB, this is more");
            return Err(NameError::Refused(Box::new(
                diagnostic.label(span, "stopped here"),
            )));
        };
        self.left = left;
        self.log.push(LogLine { warn, text });
        Ok(Term::atom("ok"))
    }
}

/// A line said by a check or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Whether `warn` said it, not `info`.
    pub warn: bool,
    /// The line.
    pub text: String,
}

/// What `info(Format, Args)` and its kin say: at most so many bytes, the rest is left out.
///
/// # Errors
/// Where Erlang would raise badarg.
pub(crate) fn message(format: &Term, args: &[Term], most: usize) -> Result<String, NameError> {
    formatted(&text(format)?, args, most).ok_or(NameError::BadArgument)
}

/// `io_lib:format/2` for the directives that messages use: `~p ~w ~s ~b ~n ~~`, with or without `t`. `None` where
/// Erlang would raise badarg. No more than `most` bytes are made: the rest is left out.
fn formatted(format: &str, args: &[Term], most: usize) -> Option<String> {
    let mut out = Bounded {
        text: String::new(),
        most,
    };
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
            'p' => out.show(args.next()?),
            'w' => out.show_plainly(args.next()?),
            's' => out.push_str(&args.next()?.to_text()?),
            'b' => {
                let number = args.next()?;
                let is_integer = matches!(number, Term::Int(_) | Term::Big(_));
                out.push_str(&is_integer.then(|| number.to_string())?);
            }
            _ => return None,
        }
    }
    args.next().is_none().then_some(out.text)
}

/// A text that stops growing.
struct Bounded {
    text: String,
    most: usize,
}

impl Bounded {
    fn push(&mut self, c: char) {
        if self.text.len() + c.len_utf8() <= self.most {
            self.text.push(c);
        } else {
            self.most = self.text.len();
        }
    }

    fn push_str(&mut self, more: &str) {
        if self.text.len() + more.len() <= self.most {
            self.text.push_str(more);
        } else {
            more.chars().for_each(|c| self.push(c));
        }
    }

    fn show(&mut self, term: &Term) {
        // It never fails by itself, and stops early once nothing more fits.
        let _ = write!(self, "{term}");
    }

    fn show_plainly(&mut self, term: &Term) {
        let _ = crate::term::write_to(self, term);
    }
}

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> std::fmt::Result {
        self.push_str(more);
        if self.text.len() == self.most {
            return Err(std::fmt::Error);
        }
        Ok(())
    }
}

fn text(term: &Term) -> Result<String, NameError> {
    term.to_text().ok_or(NameError::BadArgument)
}

fn modules<'a>(names: impl IntoIterator<Item = &'a Module>) -> Term {
    Term::list(names.into_iter().map(|module| Term::atom(module.as_str())))
}

fn vsn(view: NodeView<'_>, app: &Term) -> Result<Term, NameError> {
    let name = App::new(text(app)?);
    match view.facts.apps.get(&name) {
        Some(running) => Ok(Term::string(&running.vsn)),
        None => Ok(Term::atom("undefined")),
    }
}

fn app_modules(view: NodeView<'_>, app: &Term) -> Result<Term, NameError> {
    let name = App::new(text(app)?);
    let Some(running) = view.facts.apps.get(&name) else {
        return Err(NameError::Refused(Box::new(unknown_app(view, &name))));
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

fn unknown_app(view: NodeView<'_>, name: &App) -> Diagnostic {
    use crate::diag::suggest::suggest;
    let diagnostic = Diagnostic::new(Code::E203, format!("unknown application `{name}`"));
    match suggest(name.as_str(), view.facts.apps.keys().map(App::as_str)) {
        Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
        None => diagnostic.help("it does not run on this node"),
    }
}

fn glob(view: NodeView<'_>, pattern: &Term) -> Result<Term, NameError> {
    let pattern = text(pattern)?;
    let pattern = glob::Pattern::new(&pattern).map_err(|_| NameError::BadArgument)?;
    let fits = |module: &&&Module| {
        let name = module.as_str();
        pattern.matches(name)
            || name
                .strip_prefix("Elixir.")
                .is_some_and(|short| pattern.matches(short))
    };
    Ok(modules(view.all().iter().filter(fits).copied()))
}

/// The modules of library folders: `shop-4.1` for what runs from, or is to be loaded from, `…/shop-4.1/ebin`, and for
/// the modules of a running application `shop` of version 4.1.
fn lib(view: NodeView<'_>, pattern: &Term) -> Result<Term, NameError> {
    let pattern = glob::Pattern::new(&text(pattern)?).map_err(|_| NameError::BadArgument)?;
    let inside = |file: &str| folder_of_library(file).is_some_and(|name| pattern.matches(name));
    let mut found: BTreeSet<&Module> = BTreeSet::new();
    for (module, loaded) in &view.facts.loaded {
        if matches!(&loaded.origin, CodeOrigin::File(file) if inside(file)) {
            found.insert(module);
        }
    }
    for (module, changed) in &view.changes.modules {
        let new = changed.new.as_ref().map(|new| &new.file);
        let running = changed.loaded.as_ref().map(|loaded| &loaded.file);
        if new.into_iter().chain(running).any(|file| inside(file)) {
            found.insert(module);
        }
    }
    for (name, running) in &view.facts.apps {
        if pattern.matches(&format!("{name}-{}", running.vsn)) || pattern.matches(name.as_str()) {
            found.extend(&running.modules);
        }
    }
    Ok(modules(found))
}

/// `shop-4.1` of `/srv/lib/shop-4.1/ebin/shop_cart.beam`, `shop` of `/srv/lib/shop/ebin/…`.
fn folder_of_library(file: &str) -> Option<&str> {
    let (folder, _) = file.rsplit_once('/')?;
    let library = folder.strip_suffix("/ebin")?;
    Some(library.rsplit_once('/').map_or(library, |(_, name)| name))
}

fn behaves(view: NodeView<'_>, behaviour: &Term) -> Result<Term, NameError> {
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
    view: NodeView<'_>,
    module: &Term,
    function: &Term,
    arity: &Term,
) -> Result<Term, NameError> {
    let (module, function) = (text(module)?, text(function)?);
    let arity = arity
        .as_i64()
        .and_then(|a| u32::try_from(a).ok())
        .ok_or(NameError::BadArgument)?;
    let Some(changed) = view.changes.modules.get(module.as_str()) else {
        return Err(NameError::Unknown(format!(
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
fn sleep(time: &Term) -> Result<Term, NameError> {
    let ms = time
        .as_i64()
        .and_then(|ms| u64::try_from(ms).ok())
        .ok_or(NameError::BadArgument)?;
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
            formatted("~b ~ts: ~p~n", &args, 100).as_deref(),
            Some("3 carts: ok\n")
        );
        assert_eq!(
            formatted("~w", &[Term::string("a")], 100).as_deref(),
            Some("[97]")
        );
        assert_eq!(formatted("100~~", &[], 100).as_deref(), Some("100~"));
        assert_eq!(formatted("~p", &[], 100), None);
        assert_eq!(formatted("no", &args, 100), None);
        assert_eq!(formatted("~b", &[Term::atom("x")], 100), None);
    }
}
