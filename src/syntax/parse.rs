//! The entry points: a plan, one line of the REPL, a term, an expression.
//!
//! They take text and the offset at which it begins in the source map, and give syntax trees and diagnostics
//! whose spans are local offset plus that base. Nothing is read, nothing is looked up; no text makes them
//! panic or take long.

use super::ast::{Expr, Statement};
use super::error::{self, Site};
use super::expr::{Builder, inner};
use super::foreign_syntax;
use super::grammar::{self, Rule};
use super::lex::{self, Lexed, TokenKind};
use super::recover::{self, Reader};
use super::statement::shift;
use crate::diag::{Code, Diagnostic, Result, Span};
use crate::term::Term;

/// What became of the text of a plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// The statements that could be read, in order, even when others are broken.
    pub statements: Vec<Statement>,
    /// The places of the `%` comments, in order.
    pub comments: Vec<Span>,
    /// What is wrong, in order; empty when the plan is fine.
    pub diagnostics: Vec<Diagnostic>,
}

/// What one line of the REPL is.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one value for each line typed")]
pub enum Input {
    /// Expressions joined by comma.
    Expressions(Vec<Expr>),
    /// A statement.
    Statement(Statement),
}

/// Why a line of the REPL could not be read.
#[derive(Clone, Debug, PartialEq)]
pub enum InputError {
    /// It may still become right: something is open, or expected, at its end.
    Incomplete,
    /// It is wrong, whatever follows.
    Wrong(Box<Diagnostic>),
}

/// Beyond this nesting, parsing runs on a thread with a stack that suffices for the deepest text allowed.
const INLINE_DEPTH: usize = 12;

/// The stack of that thread, in bytes. Debug builds need about 20 KB a level.
pub(super) const STACK: usize = 64 * 1024 * 1024;

/// Reads a plan. Never fails: what is wrong is in [`Parsed::diagnostics`].
pub fn parse_plan(text: &str, base: usize) -> Parsed {
    let lexed = lex::lex(text, true);
    let masked = lexed.mask(text);
    let (statements, diagnostics) = with_stack(text, &lexed, || {
        let reader = Reader::read(text, &masked, &lexed, base);
        (reader.statements, reader.diagnostics)
    })
    .unwrap_or_else(|diagnostic| (Vec::new(), vec![*diagnostic]));
    let comments = lexed.comments.iter().map(|c| shift(*c, base)).collect();
    Parsed {
        statements,
        comments,
        diagnostics,
    }
}

/// Reads one input of the REPL: expressions or a statement, with or without the dot.
///
/// # Errors
/// [`InputError::Incomplete`] exactly when the text ends where more is expected, or inside quotes.
pub fn parse_input(text: &str, base: usize) -> std::result::Result<Input, InputError> {
    let lexed = lex::lex(text, false);
    if lexed.open_quote {
        return Err(InputError::Incomplete);
    }
    match entry(text, &lexed, Rule::input, base) {
        Ok(Entry::Expressions(expressions)) => Ok(Input::Expressions(expressions)),
        Ok(Entry::Statement(statement)) => Ok(Input::Statement(statement)),
        Err(Stop::AtEnd(_)) => Err(InputError::Incomplete),
        Err(Stop::Wrong(diagnostic)) => Err(InputError::Wrong(diagnostic)),
    }
}

/// Whether a line of the REPL begins like a map or a struct of Elixir, and is no comment.
pub fn is_percent_map(text: &str) -> bool {
    foreign_syntax::is_percent_map(text)
}

/// Reads expressions joined by comma, with or without the dot; a statement is not one.
///
/// # Errors
/// As [`parse_input`].
pub fn parse_body(text: &str, base: usize) -> std::result::Result<Vec<Expr>, InputError> {
    let lexed = lex::lex(text, false);
    if lexed.open_quote {
        return Err(InputError::Incomplete);
    }
    match entry(text, &lexed, Rule::body, base) {
        Ok(Entry::Expressions(expressions)) => Ok(expressions),
        Ok(Entry::Statement(_)) => Err(InputError::Wrong(nothing(base))),
        Err(Stop::AtEnd(_)) => Err(InputError::Incomplete),
        Err(Stop::Wrong(diagnostic)) => Err(InputError::Wrong(diagnostic)),
    }
}

/// Reads a single expression, with or without a dot.
///
/// # Errors
/// A diagnostic of the E1xx family.
pub fn parse_expression(text: &str, base: usize) -> Result<Expr> {
    let lexed = lex::lex(text, false);
    if let Some(problem) = lexed.problems.first() {
        return Err(Box::new(error::lexical(text, *problem, base)));
    }
    match entry(text, &lexed, Rule::one_expr, base) {
        Ok(Entry::Expressions(expressions)) => {
            expressions.into_iter().next().ok_or_else(|| nothing(base))
        }
        Ok(Entry::Statement(_)) => Err(nothing(base)),
        Err(Stop::AtEnd(diagnostic) | Stop::Wrong(diagnostic)) => Err(diagnostic),
    }
}

/// Reads a term: a constant expression, with or without a dot. Durations count as milliseconds.
///
/// # Errors
/// A diagnostic of the E1xx family; spans are offsets in `text`.
pub fn parse_term(text: &str) -> Result<Term> {
    let expr = parse_expression(text, 0)?;
    expr.as_literal().ok_or_else(|| {
        let label = "calls, variables and operators are computed, not read";
        Box::new(Diagnostic::new(Code::E101, "this is not a constant term").label(expr.span, label))
    })
}

fn nothing(base: usize) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(Code::E101, "unexpected end")
            .label(Span::new(base, base), "expected an expression"),
    )
}

/// What the small entry rules give.
#[expect(clippy::large_enum_variant, reason = "one value for each line typed")]
enum Entry {
    Expressions(Vec<Expr>),
    Statement(Statement),
}

/// Why they failed.
enum Stop {
    /// The text ends too early.
    AtEnd(Box<Diagnostic>),
    /// Something does not fit.
    Wrong(Box<Diagnostic>),
}

fn entry(text: &str, lexed: &Lexed, rule: Rule, base: usize) -> std::result::Result<Entry, Stop> {
    if let Some(problem) = lexed
        .problems
        .iter()
        .find(|p| !matches!(p, lex::Problem::HashComment { .. }))
    {
        return Err(Stop::Wrong(Box::new(error::lexical(text, *problem, base))));
    }
    // What follows is ignored, so that more would be waited for in vain.
    let elixir = || {
        let starts = lexed.comments.iter().map(|comment| comment.0);
        let diagnostic = foreign_syntax::percent_comment(text, starts, base)?;
        Some(Stop::Wrong(Box::new(diagnostic)))
    };
    if lexed.tokens.is_empty() {
        return Err(elixir().unwrap_or_else(|| Stop::AtEnd(nothing(base))));
    }
    if let (_, Some(deep)) = recover::nesting(text, &lexed.tokens) {
        let token = lexed.tokens[deep];
        let span = shift((token.start, token.end), base);
        return Err(Stop::Wrong(Box::new(error::too_deep(span))));
    }
    let masked = lexed.mask(text);
    with_stack(text, lexed, || match grammar::parse(rule, &masked) {
        Ok(pair) => build(pair, lexed, base).map_err(Stop::Wrong),
        Err(failure) => {
            let bad = recover::bad_token(text, &lexed.tokens, failure.at, &failure);
            let site = Site {
                text,
                tokens: &lexed.tokens,
                bad,
                comments: &lexed.comments,
                failure: &failure,
                base,
                statements: rule == Rule::input,
            };
            let diagnostic = Box::new(error::explain(&site));
            Err(if bad == lexed.tokens.len() {
                elixir().unwrap_or(Stop::AtEnd(diagnostic))
            } else {
                Stop::Wrong(diagnostic)
            })
        }
    })
    .unwrap_or_else(|diagnostic| Err(Stop::Wrong(diagnostic)))
}

fn build(pair: pest::iterators::Pair<'_, Rule>, lexed: &Lexed, base: usize) -> Result<Entry> {
    let builder = Builder { base };
    let Some(pair) = inner(pair).next() else {
        return Err(nothing(base));
    };
    match pair.as_rule() {
        Rule::exprs => Ok(Entry::Expressions(builder.many(pair)?)),
        Rule::expr => Ok(Entry::Expressions(vec![builder.any(pair)?])),
        _ => {
            let words = lexed.tokens.iter().filter(|t| t.kind != TokenKind::Dot);
            let span = words.fold(None, |span: Option<Span>, t| {
                let here = shift((t.start, t.end), base);
                Some(span.map_or(here, |s| s.to(here)))
            });
            Ok(Entry::Statement(Statement {
                kind: builder.statement(pair)?,
                span: span.unwrap_or_default(),
            }))
        }
    }
}

/// Runs a parser where the stack suffices. Parsing and building recurse with the nesting of the text.
fn with_stack<T: Send>(text: &str, lexed: &Lexed, run: impl FnOnce() -> T + Send) -> Result<T> {
    let (deepest, _) = recover::nesting(text, &lexed.tokens);
    if deepest <= INLINE_DEPTH {
        return Ok(run());
    }
    let bug = || Box::new(Diagnostic::new(Code::E900, "the parser could not run"));
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new()
            .name("updo-parse".into())
            .stack_size(STACK);
        builder
            .spawn_scoped(scope, run)
            .map_err(|_| bug())?
            .join()
            .map_err(|_| bug())
    })
}

impl std::str::FromStr for Term {
    type Err = Box<Diagnostic>;

    /// Reads a constant term in Erlang's notation, with or without a dot, as `file:consult/1` would; a duration (`30s`) counts
    /// in milliseconds. Brackets may be nested 256 deep. Pids, ports, references, closures and bitstrings that are no binaries
    /// (`<<3:4>>`) have no constant notation.
    ///
    /// # Errors
    /// E101 to E108, whose places are offsets in the text.
    fn from_str(text: &str) -> Result<Self> {
        parse_term(text)
    }
}
