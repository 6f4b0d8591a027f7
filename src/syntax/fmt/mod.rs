//! The formatter of plans: one way to write each statement, whatever it looked like before.
//!
//! It takes the text of a plan without errors and gives the text it should have: a statement a line, options one
//! a line where they do not fit in 100 columns (or end in a comma, as their author wanted), `because` on a
//! line of its own, at most one empty line, comments where they are. What comes out means the same as what
//! went in, which is checked before it is given, and formatting it again changes nothing.

mod bracket;
mod build;
mod doc;

use super::ast::Statement;
use super::lex::{self, RawToken, TokenKind};
use super::parse_plan;
use crate::diag::{Code, Diagnostic};
use build::{Builder, Piece};
use doc::{Doc, Printer};

/// Columns of a line.
const WIDTH: usize = 100;

/// The text of a plan as it should be.
///
/// # Errors
/// The diagnostics of the parser, when the plan is broken; spans begin at `base`.
pub fn format_plan(text: &str, base: usize) -> Result<String, Vec<Diagnostic>> {
    let parsed = parse_plan(text, base);
    if parsed.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(parsed.diagnostics);
    }
    let formatted = settled(text);
    let again = parse_plan(&formatted, 0);
    if again.diagnostics.is_empty() && same(&parsed.statements, &again.statements) {
        return Ok(formatted);
    }
    Err(vec![
        Diagnostic::new(Code::E900, "the formatter would change what the plan says")
            .note("nothing was written")
            .note(formatted),
    ])
}

/// Whether two plans say the same, at whatever positions.
pub fn same(one: &[Statement], other: &[Statement]) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(a, b)| bare(&format!("{:?}", a.kind)) == bare(&format!("{:?}", b.kind)))
}

/// A tree as text without its places.
fn bare(tree: &str) -> String {
    let mut out = String::with_capacity(tree.len());
    let mut rest = tree;
    while let Some(at) = rest.find("Span { start: ") {
        let (before, place) = rest.split_at(at);
        out.push_str(before);
        rest = place.find('}').map_or("", |end| &place[end + 1..]);
    }
    out + rest
}

/// A bracket that breaks ends in a comma from then on, and so is known to break: the line before it may have room
/// that was kept for the whole bracket. Laying out again until nothing moves takes that room; two rounds do.
const ROUNDS: usize = 6;

fn settled(text: &str) -> String {
    let mut formatted = lay_out(text);
    for _ in 0..ROUNDS {
        let again = lay_out(&formatted);
        if again == formatted {
            break;
        }
        formatted = again;
    }
    formatted
}

fn lay_out(text: &str) -> String {
    let lexed = lex::lex(text, true);
    let pieces = pieces(text, &lexed.tokens, &lexed.comments);
    let mut printer = Printer::new(WIDTH);
    let mut at = 0;
    // The end of what was printed last, to see how many lines lie between.
    let mut last = 0;
    while at < pieces.len() {
        let end = end_of_statement(&pieces, at);
        let (start, stop) = (start_of(pieces[at]), end_of(pieces[end - 1]));
        let between = &text[last..start];
        match pieces[at] {
            Piece::Comment(from, to, own) => {
                let comment = text[from..to].trim_end().to_owned();
                if own && between.matches('\n').count() > 1 {
                    printer.blank();
                } else if own {
                    printer.end_line();
                }
                printer.print(&[Doc::Comment(comment, own)]);
            }
            Piece::Token(_) => {
                if between.matches('\n').count() > 1 {
                    printer.blank();
                } else {
                    printer.end_line();
                }
                printer.print(&Builder::new(text, &pieces[at..end]).statement());
            }
        }
        last = stop;
        at = end;
    }
    printer.end_line();
    printer.finish()
}

/// Tokens and comments in the order of the text.
fn pieces(text: &str, tokens: &[RawToken], comments: &[(usize, usize)]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = tokens.iter().copied().map(Piece::Token).collect();
    pieces.extend(comments.iter().map(|(start, end)| {
        let line = text[..*start].rsplit('\n').next().unwrap_or_default();
        let own = line.trim_start_matches('\u{feff}').trim().is_empty();
        Piece::Comment(*start, *end, own)
    }));
    pieces.sort_by_key(|piece| start_of(*piece));
    pieces
}

/// One comment between statements, or all up to the dot that ends a statement.
fn end_of_statement(pieces: &[Piece], at: usize) -> usize {
    if matches!(pieces[at], Piece::Comment(..)) {
        return at + 1;
    }
    pieces[at..]
        .iter()
        .position(|piece| matches!(piece, Piece::Token(token) if token.kind == TokenKind::Dot))
        .map_or(pieces.len(), |n| at + n + 1)
}

fn start_of(piece: Piece) -> usize {
    match piece {
        Piece::Token(token) => token.start,
        Piece::Comment(start, ..) => start,
    }
}

fn end_of(piece: Piece) -> usize {
    match piece {
        Piece::Token(token) => token.end,
        Piece::Comment(_, end, _) => end,
    }
}
