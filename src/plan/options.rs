//! Reading the options of statements: which there are, what type each wants.

use std::time::Duration;

use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Span};
use crate::eval::{Bindings, Evaluator, Moment};
use crate::syntax::ast::{Expr, ExprKind, Options};
use crate::term::{Atom, Term};

/// Reports options that a statement does not have.
pub(super) fn known(
    options: &Options,
    statement: &str,
    words: &[&str],
    said: &mut Vec<Diagnostic>,
) {
    let mut seen: Vec<&Atom> = Vec::new();
    for pair in options {
        let word = pair.key.value.as_str();
        if seen.contains(&&pair.key.value) {
            let title = format!("option `{word}` given twice");
            said.push(Diagnostic::new(Code::E209, title).label(pair.key.span, "again"));
        }
        seen.push(&pair.key.value);
        if words.contains(&word) {
            continue;
        }
        let list = words.join(", ");
        let help = match suggest(word, words.iter().copied()) {
            Some(close) => format!("did you mean `{close}`? Options: {list}"),
            None => format!("options: {list}"),
        };
        let title = format!("unknown option `{word}` for `{statement}`");
        said.push(
            Diagnostic::new(Code::E204, title)
                .label(pair.key.span, "no such option")
                .help(help),
        );
    }
}

/// An option's value, when it is given.
pub(super) fn value<'a>(options: &'a Options, word: &str) -> Option<&'a Expr> {
    options
        .iter()
        .find(|pair| pair.key.value == word)
        .map(|pair| &pair.value)
}

/// "`word` wants …, got …"
pub(super) fn wrong(word: &str, wants: &str, expr: &Expr, got: &Term) -> Diagnostic {
    let mut told = Diagnostic::new(Code::E205, format!("`{word}` wants {wants}, got `{got}`"))
        .label(expr.span, format!("not {wants}"));
    if wants.contains("duration") && got.as_list().is_some_and(|l| !l.is_empty()) {
        told = told.help("remove the quotes");
    }
    told
}

/// A statement that the language knows and this version does not carry out.
pub(super) fn unsupported(span: Span, what: &str) -> Diagnostic {
    Diagnostic::new(
        Code::E110,
        format!(
            "{what} is not carried out by updo {}",
            env!("CARGO_PKG_VERSION")
        ),
    )
    .label(span, "delete this statement, or use a newer updo")
}

/// The value of an expression that is read without a node.
pub(super) fn constant(
    expr: &Expr,
    constants: &Bindings,
    said: &mut Vec<Diagnostic>,
) -> Option<Term> {
    if let Some(term) = expr.as_literal() {
        return Some(term);
    }
    let mut bindings = constants.clone();
    match Evaluator::pure(Moment::Static).eval(std::slice::from_ref(expr), &mut bindings) {
        Ok(term) => Some(term),
        Err(failure) => {
            said.push(*failure.diagnostic);
            None
        }
    }
}

/// A duration option in its place: `30s`, or milliseconds.
pub fn duration(
    word: &str,
    expr: &Expr,
    constants: &Bindings,
    said: &mut Vec<Diagnostic>,
) -> Option<Duration> {
    if let ExprKind::Duration(ms) = expr.kind {
        return Some(Duration::from_millis(ms));
    }
    let term = constant(expr, constants, said)?;
    let found = term_duration(&term);
    if found.is_none() {
        said.push(wrong(word, "a duration such as `30s`", expr, &term));
    }
    found
}

/// A duration as a value: milliseconds, as OTP counts them.
pub fn term_duration(term: &Term) -> Option<Duration> {
    term.as_i64()
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
}
