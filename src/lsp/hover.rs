//! What is known of a place: the value of a constant, what a word of the language means, the page of a diagnostic.
//!
//! Takes a place, gives Markdown.

use serde_json::{Value, json};

use super::convert::range;
use super::cursor::Cursor;
use super::names::{self, Symbol};
use crate::diag::{Code, Diagnostic, Span};
use crate::plan::vocabulary::{CONNECTING, Due, FUNCTIONS, OptionSpec, STATEMENTS, due};
use crate::syntax::ast::StatementKind;
use crate::syntax::print::to_source;
use crate::syntax::token::Token;
use crate::term::Term;

/// What is known of a place, as Markdown, and what it is about.
pub(super) fn hover(here: &Cursor<'_>, diagnostic: &[Diagnostic], more: Option<String>) -> Value {
    let mut parts: Vec<String> = Vec::new();
    let places = names::places(here.plan_document);
    let name = names::at(&places, here.at);
    let (words, touched) = here.words();
    let token = touched.map(|at| &words[at]);
    parts.extend(name.and_then(|place| about_name(here, &place.name)));
    parts.extend(more);
    if let Some(at) = touched
        && name.is_none()
    {
        parts.extend(about_word(here, &words, at));
    }
    if let Some(code) = code_at(here) {
        parts.push(code.page().to_owned());
    }
    for diagnostic in diagnostic {
        let label = diagnostic.labels.first().map(|label| label.span);
        let inside = label.is_some_and(|span| span.start <= here.at && here.at <= span.end);
        // A whole statement is no place to explain something at: only its first word is.
        let small = label.is_some_and(|span| {
            let text = here.file.slice(span).unwrap_or_default();
            !text.contains('\n') || here.at <= span.start + 20
        });
        if inside && small {
            parts.push(diagnostic.code.page().to_owned());
        }
    }
    parts.dedup();
    if parts.is_empty() {
        return Value::Null;
    }
    let span = name.map(|place| place.span).or_else(|| {
        let token = token?;
        let base = here.file.base;
        Some(Span::new(token.range.start + base, token.range.end + base))
    });
    let mut hover = json!({
        "contents": {"kind": "markdown", "value": parts.join("\n\n---\n\n")},
    });
    if let Some(span) = span {
        hover["range"] = json!(range(here.file, span, here.encoding));
    }
    hover
}

/// A diagnostic code that is written somewhere, in a comment most likely.
fn code_at(here: &Cursor<'_>) -> Option<Code> {
    let (text, at) = (&here.file.text, here.local());
    let of_code = |c: &u8| c.is_ascii_alphanumeric();
    let bytes = text.as_bytes();
    let start = at
        - bytes[..at]
            .iter()
            .rev()
            .take(5)
            .take_while(|c| of_code(c))
            .count();
    let end = at
        + bytes[at..]
            .iter()
            .take(5)
            .take_while(|c| of_code(c))
            .count();
    Code::parse(text.get(start..end)?)
}

fn about_name(here: &Cursor<'_>, name: &Symbol) -> Option<String> {
    let all = here
        .plan_document
        .files
        .iter()
        .flat_map(|file| file.statements());
    match name {
        Symbol::Value(wanted) => all.into_iter().find_map(|statement| match &statement.kind {
            StatementKind::Param {
                name, kind, tail, ..
            } if name.value == *wanted => {
                let kind = kind.as_ref().map(to_source);
                let kind = kind.map_or_else(String::new, |kind| format!(" :: {kind}"));
                let why = tail
                    .because
                    .as_ref()
                    .map(|why| format!("\n\n{}", why.value));
                let text = format!("param {wanted}{kind}{}", value(here, wanted));
                Some(fenced(&text) + &why.unwrap_or_default())
            }
            StatementKind::Bind { name, value: expr } if name.value == *wanted => {
                let known = value(here, wanted);
                let text = match known.is_empty() {
                    true => format!("{wanted} = {}", to_source(expr)),
                    false => format!("{wanted}{known}"),
                };
                Some(fenced(&text))
            }
            _ => None,
        }),
        Symbol::Function(wanted, arity) => all.into_iter().find_map(|statement| {
            let StatementKind::Function { name, clauses } = &statement.kind else {
                return None;
            };
            let ours = name.value == wanted.as_str()
                && clauses
                    .first()
                    .is_some_and(|clause| clause.args.len() == *arity);
            let heads = clauses.iter().map(|clause| {
                let args: Vec<String> = clause.args.iter().map(to_source).collect();
                format!("{}({})", Term::atom(wanted), args.join(", "))
            });
            ours.then(|| fenced(&heads.collect::<Vec<_>>().join(";\n")))
        }),
        Symbol::Target(wanted) => {
            let engine = here.plan_document.opened.engine.as_ref()?;
            let target = engine.plan.targets.iter().find(|t| t.name == *wanted)?;
            let nodes: Vec<&str> = target.nodes.iter().map(|node| node.as_str()).collect();
            Some(match &target.seed {
                Some(seed) => format!(
                    "target: the nodes `{}` that `{}` knows",
                    seed.pattern, seed.from
                ),
                None => format!("target: {}", nodes.join(", ")),
            })
        }
    }
}

/// ` = value`, if it is known.
fn value(here: &Cursor<'_>, name: &str) -> String {
    /// So much of a value is enough.
    const SHOWN: usize = 400;
    let engine = here.plan_document.opened.engine.as_ref();
    let found = engine.and_then(|engine| {
        let mut constants = engine.plan.constants.iter();
        constants
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_string())
    });
    found.map_or_else(String::new, |text| {
        let cut: String = text.chars().take(SHOWN).collect();
        let more = if cut.len() < text.len() { "…" } else { "" };
        format!(" = {cut}{more}")
    })
}

fn fenced(text: &str) -> String {
    format!("```updo\n{text}\n```")
}

/// A word of the language: one that begins a statement, an option's key, one that connects, a function of updo.
fn about_word(here: &Cursor<'_>, words: &[Token], at: usize) -> Option<String> {
    let text = |token: &Token| &here.file.text[token.range.clone()];
    let earlier: Vec<&str> = words[..at].iter().map(text).collect();
    let word = text(&words[at]);
    match due(&earlier) {
        Some(Due::Key(options)) => {
            let option = options.iter().find(|option| option.word == word)?;
            return Some(about_option(option));
        }
        Some(Due::Value(option)) if option.values.contains(&word) => {
            return Some(about_option(option));
        }
        _ => {}
    }
    let next = words.get(at + 1).map(text);
    if next == Some("(") && !earlier.ends_with(&[":"]) {
        let (_, form, what) = FUNCTIONS.iter().find(|(name, ..)| *name == word)?;
        return Some(format!("{}\n\n{what}", fenced(form)));
    }
    let in_between = matches!(word, "depends" | "does" | "depend" | "loads");
    if at == 0 || in_between && !earlier.is_empty() {
        let wanted = if word == "depend" { "does" } else { word };
        let found = STATEMENTS
            .iter()
            .find(|known| known.word == wanted && known.form.starts_with("S ") == in_between)?;
        let options: Vec<String> = found
            .options
            .iter()
            .map(|option| format!("- `{}`: {}", option.word, option.what))
            .collect();
        return Some(format!(
            "{}\n\n{}\n\n{}",
            fenced(found.form),
            found.what,
            options.join("\n")
        ));
    }
    let (_, what) = CONNECTING.iter().find(|(known, _)| *known == word)?;
    Some(format!("`{word}`: {what}"))
}

fn about_option(option: &OptionSpec) -> String {
    format!("`{}`: {}", option.word, option.what)
}
