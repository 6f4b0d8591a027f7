//! A place in a document: the statement around it and its words.
//!
//! Takes a document and a position of the editor; knows nothing of what is asked there.

use lsp_types::Position;

use super::text::Encoding;
use super::workspace::{PlanDocument, PlanText};
use crate::diag::Span;
use crate::syntax::ast::Statement;
use crate::syntax::token::{Sort, Token, tokens};

/// A place in a document of a plan document.
pub(super) struct Cursor<'w> {
    /// The plan document.
    pub plan_document: &'w PlanDocument,
    /// The document.
    pub file: &'w PlanText,
    /// The place among the sources.
    pub at: usize,
    /// How the editor counts.
    pub encoding: Encoding,
}

impl<'w> Cursor<'w> {
    /// A place, if the document belongs to the plan document.
    pub fn new(
        plan_document: &'w PlanDocument,
        uri: &str,
        place: Position,
        encoding: Encoding,
    ) -> Option<Self> {
        let file = plan_document.file(uri)?;
        let at = file.base + file.lines.offset(&file.text, place, encoding);
        Some(Self {
            plan_document,
            file,
            at,
            encoding,
        })
    }

    /// The place in the document's text.
    pub fn local(&self) -> usize {
        self.at - self.file.base
    }

    /// The statement that it lies in, dot included.
    pub fn statement(&self) -> Option<&'w Statement> {
        let around = |span: Span| span.start <= self.at && self.at <= span.end;
        let mut statements = self.file.statements().iter();
        statements.find(|statement| around(statement.span))
    }

    /// The tokens of the statement, finished or not, that it lies in, with their places in the text; and which of
    /// them it touches.
    pub fn words(&self) -> (Vec<Token>, Option<usize>) {
        let mut all = tokens(&self.file.text);
        all.retain(|token| token.sort != Sort::Comment);
        let local = self.local();
        let dots = |token: &&Token| token.sort == Sort::Dot;
        let begin = all
            .iter()
            .rposition(|token| token.sort == Sort::Dot && token.range.end <= local)
            .map_or(0, |at| at + 1);
        let rest = &all[begin..];
        let length = rest
            .iter()
            .position(|token| dots(&token))
            .map_or(rest.len(), |at| at + 1);
        let words = rest[..length].to_vec();
        let touched = words
            .iter()
            .position(|token| token.range.start <= local && local < token.range.end)
            .or_else(|| words.iter().position(|token| token.range.end == local));
        (words, touched)
    }
}
