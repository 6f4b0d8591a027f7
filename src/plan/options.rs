//! Reading the options of statements: which there are, what type each wants.

use std::time::Duration;

use super::offline::Offline;
use crate::diag::suggest::suggest;
use crate::diag::{Code, Diagnostic, Span};
use crate::eval::{Bindings, Evaluator, Phase};
use crate::syntax::ast::{Expr, ExprKind, Options};
use crate::syntax::walk::variables;
use crate::term::{Atom, Fun, Term};

/// Reports options that a statement does not have.
pub(super) fn known(
    options: &Options,
    statement: &str,
    words: &[&str],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut seen: Vec<&Atom> = Vec::new();
    for pair in options {
        let word = pair.key.value.as_str();
        if seen.contains(&&pair.key.value) {
            let title = format!("option `{word}` given twice");
            diagnostics.push(Diagnostic::new(Code::E209, title).label(pair.key.span, "again"));
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
        diagnostics.push(
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
    wrong_value(word, wants, expr.span, got)
}

/// E205 for the value of an option; quotes around something that would fit are distinguished.
pub fn wrong_value(word: &str, wants: &str, span: Span, got: &Term) -> Diagnostic {
    /// So much of a value is enough to find it again.
    const ENOUGH: usize = 200;
    let mut shown: String = got.to_string();
    if let Some((end, _)) = shown.char_indices().nth(ENOUGH) {
        shown.truncate(end);
        shown.push('…');
    }
    let diagnostic = Diagnostic::new(Code::E205, format!("`{word}` wants {wants}, got `{shown}`"))
        .label(span, format!("not {wants}"));
    match got
        .as_list()
        .and_then(|list| if list.is_empty() { None } else { got.to_text() })
    {
        Some(text) if is_bare(word, &text) => {
            diagnostic.help(format!("remove the quotes: `{word} => {text}`"))
        }
        _ => diagnostic,
    }
}

/// Whether the text of a string would be a value of the option without its quotes.
fn is_bare(word: &str, text: &str) -> bool {
    let Ok(expr) = crate::syntax::parse_expression(text, 0) else {
        return false;
    };
    match &expr.kind {
        ExprKind::Duration(_) => true,
        _ => expr
            .as_literal()
            .is_some_and(|term| attribute(word, &term).is_ok()),
    }
}

/// Whether a value fits an option of `module`; if not, what would.
///
/// # Errors
/// What the option wants, in words.
pub fn attribute(word: &str, term: &Term) -> Result<(), &'static str> {
    let is_word = |words: &[&str]| words.iter().any(|word| term.is_atom(word));
    let (fits, wants) = match word {
        "class" => (
            is_word(&["supervisor", "server", "plain"]),
            "`supervisor`, `server` or `plain`",
        ),
        "type" => (is_word(&["static", "dynamic"]), "`static` or `dynamic`"),
        "change" => (
            term.is_atom("soft") || is_change(term),
            "`soft`, `{advanced, Extra}` or `{convert, fun m:f/1}`",
        ),
        "timeout" => (
            is_word(&["infinity", "default"]) || term_duration(term).is_some(),
            "a duration such as `30s`, or `infinity`",
        ),
        "purge" => {
            let both =
                matches!(term.as_tuple(), Some([pre, post]) if is_purge(pre) && is_purge(post));
            (
                is_purge(term) || both,
                "`defer`, `soft`, `brutal`, `{wait, 2s}` or a pair of these",
            )
        }
        "children" => (
            is_children(term),
            "`#{start => [Id] or none, stop => [Id] or none}`",
        ),
        "restart" => (is_word(&["true", "false"]), "`true` or `false`"),
        "remove" => (is_word(&["true", "false"]), "`true` or `false`"),
        // E204 was reported.
        _ => return Ok(()),
    };
    if fits { Ok(()) } else { Err(wants) }
}

fn is_children(term: &Term) -> bool {
    let Term::Map(pairs) = term else { return false };
    !pairs.is_empty()
        && pairs.iter().all(|(key, ids)| {
            (key.is_atom("start") || key.is_atom("stop"))
                && (ids.as_list().is_some() || ids.is_atom("none"))
        })
}

fn is_change(term: &Term) -> bool {
    match term.as_tuple() {
        Some([word, _]) if word.is_atom("advanced") => true,
        Some([word, Term::Fun(Fun::External { arity: 1, .. })]) => word.is_atom("convert"),
        _ => false,
    }
}

fn is_purge(term: &Term) -> bool {
    term.is_atom("defer")
        || term.is_atom("soft")
        || term.is_atom("brutal")
        || matches!(term.as_tuple(), Some([word, time]) if word.is_atom("wait") && term_duration(time).is_some())
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
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Term> {
    match expr.as_literal() {
        Some(term) => Some(term),
        None => evaluate(expr, constants.only(variables(expr)), diagnostics),
    }
}

/// The value of an expression with these bindings and no node; what is wrong with it is reported.
pub(super) fn evaluate(
    expr: &Expr,
    mut bindings: Bindings,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Term> {
    Evaluator::pure(Phase::Static)
        .with_names(&mut Offline)
        .eval(std::slice::from_ref(expr), &mut bindings)
        .map_err(|failure| diagnostics.push(*failure.diagnostic))
        .ok()
}

/// A duration option in its place: `30s`, or milliseconds.
pub fn duration(
    word: &str,
    expr: &Expr,
    constants: &Bindings,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Duration> {
    if let ExprKind::Duration(ms) = expr.kind {
        return Some(Duration::from_millis(ms));
    }
    let term = constant(expr, constants, diagnostics)?;
    let found = term_duration(&term);
    if found.is_none() {
        diagnostics.push(wrong(word, "a duration such as `30s`", expr, &term));
    }
    found
}

/// A pause budget in its place: a duration above zero, or `infinity`, which is `None`.
pub fn budget(
    expr: &Expr,
    constants: &Bindings,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Option<Duration>> {
    let term = match expr.kind {
        ExprKind::Duration(ms) => Term::Int(i64::try_from(ms).unwrap_or(i64::MAX)),
        _ => constant(expr, constants, diagnostics)?,
    };
    if term.is_atom("infinity") {
        return Some(None);
    }
    let found = term_duration(&term).filter(|time| !time.is_zero());
    if found.is_none() {
        diagnostics.push(wrong(
            "budget",
            "a duration such as `100ms`, or `infinity`",
            expr,
            &term,
        ));
    }
    found.map(Some)
}

/// A duration as a value: milliseconds, as OTP counts them.
pub fn term_duration(term: &Term) -> Option<Duration> {
    term.as_i64()
        .and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
}
