//! Constants and parameters: `Name = Expr` and `param Name :: type = Default`, in any order, without rings.
//!
//! It takes the statements and what was given from outside, and gives the value of every name it can compute.
//! Each expression is evaluated once, after those it mentions; nothing is asked of a node.

use std::collections::BTreeMap;

use super::load::Located;
use super::options::evaluate;
use super::vocabulary::TYPES;
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Span};
use crate::eval::Bindings;
use crate::syntax::ast::{Expr, ExprKind, Spanned, StatementKind};
use crate::syntax::walk::variables;
use crate::term::Term;

/// What the names of parameters that come from the environment begin with, in the environment and in `sets`.
pub const ENVIRONMENT: &str = "UPDO_SET_";

/// The text given for a parameter, and what gave it: a flag, else a variable of the environment, `UPDO_SET_Wait` or
/// `UPDO_SET_WAIT`.
fn given_text<'s>(name: &str, sets: &'s BTreeMap<String, String>) -> Option<(String, &'s str)> {
    if let Some(text) = sets.get(name) {
        return Some((format!("--set {name}"), text));
    }
    let names = [name.to_owned(), name.to_ascii_uppercase()];
    names.into_iter().find_map(|name| {
        let variable = format!("{ENVIRONMENT}{name}");
        let text = sets.get(&variable)?;
        Some((variable, text.as_str()))
    })
}

/// The definition of a name before it is computed.
struct Open<'a> {
    at: Span,
    expr: &'a Expr,
    /// The type of a parameter.
    kind: Option<&'a Expr>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// Waits for what it mentions.
    Waiting,
    /// Computed, or the reason why not is reported.
    Over,
}

/// Every name with its value, and what there is to say. `once` gets the places of all names.
pub(super) fn constants(
    statements: &[Located],
    sets: &BTreeMap<String, String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Bindings {
    let mut values = BTreeMap::new();
    let mut open: BTreeMap<&str, Open<'_>> = BTreeMap::new();
    let mut parameters = Vec::new();
    for Located { statement, .. } in statements {
        let (name, expr, kind) = match &statement.kind {
            StatementKind::Bind { name, value } => (name, Some(value), None),
            StatementKind::Param {
                name,
                kind,
                default,
                ..
            } => {
                known_type(kind.as_ref(), diagnostics);
                parameters.push(name.value.as_str());
                let default = default.as_ref();
                match given_text(&name.value, sets) {
                    Some((giver, text)) => {
                        if let Some(value) = given(name, kind.as_ref(), &giver, text, diagnostics) {
                            values.insert(name.value.clone(), value);
                        }
                        continue;
                    }
                    None if default.is_none() => {
                        diagnostics.push(no_value(name));
                        continue;
                    }
                    None => (name, default, kind.as_ref()),
                }
            }
            _ => continue,
        };
        if let Some(expr) = expr {
            let at = name.span;
            open.entry(&name.value).or_insert(Open {
                at,
                expr,
                kind,
                state: State::New,
            });
        }
    }
    for set in sets
        .keys()
        .filter(|set| !set.starts_with(ENVIRONMENT) && !parameters.contains(&set.as_str()))
    {
        let title = format!("`--set {set}=…`: the plan has no such parameter");
        let diagnostic = Diagnostic::new(Code::E208, title);
        diagnostics.push(match suggest(set, parameters.iter().copied()) {
            Some(close) => diagnostic.help(format!("did you mean `{close}`?")),
            None => diagnostic,
        });
    }
    let names: Vec<&str> = open.keys().copied().collect();
    for name in names {
        compute(name, &mut open, &mut values, diagnostics);
    }
    values.into_iter().collect()
}

/// Computes a name after all it mentions, without recursion: rings and long chains are only data here.
fn compute<'a>(
    name: &'a str,
    open: &mut BTreeMap<&'a str, Open<'a>>,
    values: &mut BTreeMap<String, Term>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut path: Vec<&'a str> = vec![name];
    while let Some(top) = path.last().copied() {
        let Some(entry) = open.get_mut(top) else {
            path.pop();
            continue;
        };
        if entry.state == State::Over {
            path.pop();
            continue;
        }
        entry.state = State::Waiting;
        let expr: &'a Expr = entry.expr;
        let used = variables(expr);
        let next = used
            .iter()
            .find(|used| open.get(*used).is_some_and(|o| o.state != State::Over));
        match next.copied() {
            Some(next) if open.get(next).is_some_and(|o| o.state == State::Waiting) => {
                let from = path.iter().position(|name| *name == next).unwrap_or(0);
                diagnostics.push(ring(&path[from..], open));
                for name in &path[from..] {
                    if let Some(entry) = open.get_mut(name) {
                        entry.state = State::Over;
                    }
                }
            }
            Some(next) => path.push(next),
            None => {
                // What it mentions has failed: said already.
                let failed = used
                    .iter()
                    .any(|used| open.contains_key(used) && !values.contains_key(*used));
                if !failed && let Some(value) = value(expr, &used, values, diagnostics) {
                    if let Some(kind) = open.get(top).and_then(|entry| entry.kind) {
                        default_fits(top, kind, expr, &value, diagnostics);
                    }
                    values.insert(top.to_owned(), value);
                }
                if let Some(entry) = open.get_mut(top) {
                    entry.state = State::Over;
                }
                path.pop();
            }
        }
    }
}

fn value(
    expr: &Expr,
    used: &[&str],
    values: &BTreeMap<String, Term>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Term> {
    if let Some(term) = expr.as_literal() {
        return Some(term);
    }
    let known = used
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), values.get(*name)?.clone())));
    evaluate(expr, known.collect(), diagnostics)
}

fn ring(names: &[&str], open: &BTreeMap<&str, Open<'_>>) -> Diagnostic {
    let chain: Vec<String> = names
        .iter()
        .chain(names.first())
        .map(|n| format!("`{n}`"))
        .collect();
    let mut diagnostic = Diagnostic::new(
        Code::E206,
        format!("constants need each other: {}", chain.join(" needs ")),
    )
    .help("give one of them a value of its own");
    for name in names.iter().take(5) {
        if let Some(entry) = open.get(name) {
            diagnostic = diagnostic.label(entry.at, "needs itself in the end");
        }
    }
    diagnostic
}

fn no_value(name: &Spanned<String>) -> Diagnostic {
    Diagnostic::new(
        Code::E207,
        format!("parameter `{}` has no value", name.value),
    )
    .label(name.span, "has no default")
    .help(format!(
        "pass `--set {0}=VALUE` or set UPDO_SET_{0}",
        name.value
    ))
}

/// E205 for a type that there is not.
fn known_type(kind: Option<&Expr>, diagnostics: &mut Vec<Diagnostic>) {
    let Some((expr, term)) = kind.and_then(|expr| Some((expr, expr.as_literal()?))) else {
        return;
    };
    let element = match term.as_list() {
        Some([element]) => element.clone(),
        _ => term,
    };
    let name = element.to_text().unwrap_or_default();
    if TYPES.contains(&name.as_str()) {
        return;
    }
    let list = TYPES.join(", ");
    let diagnostic = Diagnostic::new(Code::E205, format!("there is no type `{element}`"))
        .label(expr.span, "not a type of parameters");
    diagnostics.push(match suggest(&name, TYPES.iter().copied()) {
        Some(close) => diagnostic.help(format!("did you mean `{close}`? Types: {list}")),
        None => diagnostic.help(format!(
            "types: {list}, and lists of these such as `[string]`"
        )),
    });
}

/// E205 for a default of another type.
fn default_fits(
    name: &str,
    kind: &Expr,
    default: &Expr,
    value: &Term,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(wanted) = kind.as_literal() else {
        return;
    };
    if !fits(&wanted, value) {
        let title = format!(
            "the default of `{name}` is not {}: `{value}`",
            article(&wanted)
        );
        diagnostics.push(
            Diagnostic::new(Code::E205, title)
                .label(default.span, format!("not {}", article(&wanted)))
                .label(kind.span, "the type"),
        );
    }
}

fn fits(kind: &Term, value: &Term) -> bool {
    if let Some([element]) = kind.as_list() {
        return value
            .as_list()
            .is_some_and(|list| list.iter().all(|value| fits(element, value)));
    }
    let atom = value.as_atom().map(|atom| atom.as_str());
    match kind.to_text().as_deref() {
        Some("string") => value.as_list().is_some() && value.to_text().is_some(),
        Some("atom") => atom.is_some(),
        Some("node") => atom.is_some_and(|name| name.contains('@')),
        Some("integer") => matches!(value, Term::Int(_) | Term::Big(_)),
        Some("duration") => matches!(value, Term::Int(0..)),
        Some("float") => matches!(value, Term::Float(_)),
        Some("boolean") => matches!(atom, Some("true" | "false")),
        // An unknown type was reported.
        _ => true,
    }
}

/// A value given as text, read by the parameter's type.
fn given(
    name: &Spanned<String>,
    kind: Option<&Expr>,
    giver: &str,
    text: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Term> {
    let kind = kind
        .and_then(Expr::as_literal)
        .unwrap_or_else(|| Term::atom("term"));
    let found = typed(&kind, text);
    if found.is_none() {
        let title = format!("`{giver}={text}`: the value is not {}", article(&kind));
        diagnostics
            .push(Diagnostic::new(Code::E208, title).label(name.span, format!("wants `{kind}`")));
    }
    found
}

fn article(kind: &Term) -> String {
    let text = kind.to_string();
    if text.starts_with(['a', 'e', 'i', 'o', 'u']) {
        format!("an {text}")
    } else {
        format!("a {text}")
    }
}

/// Reads a parameter's text by its type.
fn typed(kind: &Term, text: &str) -> Option<Term> {
    if let Some([element]) = kind.as_list() {
        if text.is_empty() {
            return Some(Term::List(Vec::new()));
        }
        return text
            .split(',')
            .map(|part| typed(element, part.trim()))
            .collect::<Option<Vec<_>>>()
            .map(Term::List);
    }
    let parsed = || crate::syntax::parse_expression(text, 0).ok();
    match kind.as_atom()?.as_str() {
        "string" => Some(Term::string(text)),
        "atom" => Some(Term::atom(text)),
        "node" => text.contains('@').then(|| Term::atom(text)),
        "integer" => text.parse().ok().map(Term::Int),
        "float" => text
            .parse()
            .ok()
            .filter(|f: &f64| f.is_finite())
            .map(Term::Float),
        "boolean" => text.parse().ok().map(Term::boolean),
        "duration" => match parsed()?.kind {
            ExprKind::Duration(ms) => i64::try_from(ms).ok().map(Term::Int),
            _ => None,
        },
        "term" => parsed()?.as_literal(),
        _ => None,
    }
}
