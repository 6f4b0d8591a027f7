//! Spans of a plan document as places in the editor's documents.

use lsp_types::Range;
use serde_json::{Value, json};

use super::text::Encoding;
use super::workspace::{PlanDocument, PlanText};
use crate::diag::Span;

/// A span within a file.
pub(super) fn range(file: &PlanText, span: Span, encoding: Encoding) -> Range {
    let local = |at: usize| at.saturating_sub(file.base);
    file.lines
        .range(&file.text, local(span.start), local(span.end), encoding)
}

/// A span as a document and a range.
pub(super) fn location(
    plan_document: &PlanDocument,
    span: Span,
    encoding: Encoding,
) -> Option<Value> {
    let file = plan_document.file_at(span.start)?;
    Some(json!({"uri": file.uri, "range": range(file, span, encoding)}))
}
