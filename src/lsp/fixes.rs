//! Quick fixes: what a diagnostic proposes, as an edit.
//!
//! Takes what is reported about a document, gives edits. What an edit of the text alone can mend is tried before it is
//! offered, on a copy of the plan: only what makes the diagnostic go away, and brings no other error, is offered. What
//! only a node can judge (rules that do nothing) is taken by its word.

use std::path::Path;

use lsp_types::Range;
use serde_json::{Value, json};

use super::convert::range;
use super::diagnostics::diagnostic_value;
use super::documents::Documents;
use super::navigation::{Edits, workspace_edit};
use super::text::Encoding;
use super::workspace::{PlanDocument, PlanText};
use crate::diag::{Code, Diagnostic, Span};
use crate::engine::{Engine, Settings};
use crate::syntax::ast::{Statement, StatementKind};
use crate::syntax::token::{Sort, tokens};

/// So many diagnostics of the asked range are looked at.
const LOOKED_AT: usize = 12;

/// Larger plans are not tried out.
const MAX_TRIED: usize = 256 << 10;

/// Where fixes are wanted, and what is reported there.
pub(super) struct Asked<'a> {
    /// The plan.
    pub plan_document: &'a PlanDocument,
    /// The document.
    pub file: &'a PlanText,
    /// The place in it.
    pub range: Range,
    /// Everything said about the plan.
    pub diagnostics: &'a [Diagnostic],
    /// What is open.
    pub documents: &'a Documents,
    /// Parameters.
    pub settings: &'a Settings,
    /// How the editor counts.
    pub encoding: Encoding,
    /// Whether the editor takes edits with versions.
    pub versioned: bool,
}

/// A proposal: in words, what it replaces, with what.
struct Proposal {
    title: String,
    span: Span,
    text: String,
    /// Whether it must prove itself.
    tried: bool,
}

/// The fixes for a range.
pub(super) fn fixes(asked: &Asked<'_>) -> Value {
    let mut found = Vec::new();
    let here = asked
        .diagnostics
        .iter()
        .filter(|diagnostic| asked.concerns(diagnostic));
    for diagnostic in here.take(LOOKED_AT) {
        for proposal in asked.proposals(diagnostic) {
            if proposal.tried && !asked.mends(diagnostic, &proposal) {
                continue;
            }
            let edit = json!({
                "range": range(asked.file, proposal.span, asked.encoding),
                "newText": proposal.text,
            });
            let file = asked.file;
            let edits = Edits::from([(file.uri.clone(), (file.version, vec![edit]))]);
            found.push(json!({
                "title": proposal.title,
                "kind": "quickfix",
                "isPreferred": proposal.tried,
                "diagnostics": [diagnostic_value(asked.plan_document, diagnostic, asked.encoding)],
                "edit": workspace_edit(edits, asked.versioned),
            }));
            break;
        }
    }
    found.into()
}

impl Asked<'_> {
    /// Whether a diagnostic is in the lines that are asked about.
    fn concerns(&self, diagnostic: &Diagnostic) -> bool {
        let place = match diagnostic.labels.first() {
            Some(label) if self.file.has(label.span.start) => {
                range(self.file, label.span, self.encoding)
            }
            Some(_) => return false,
            // Shown at the beginning of the plan.
            None if self.file.identity == self.plan_document.root => Range::default(),
            None => return false,
        };
        place.start.line <= self.range.end.line && self.range.start.line <= place.end.line
    }

    fn statement(&self, at: usize) -> Option<&Statement> {
        let mut all = self.file.statements().iter();
        all.find(|statement| statement.span.start <= at && at <= statement.span.end)
    }

    /// What might mend it, the likeliest first.
    fn proposals(&self, diagnostic: &Diagnostic) -> Vec<Proposal> {
        let help = diagnostic.help.as_deref().unwrap_or_default();
        let label = diagnostic.labels.first().map(|label| label.span);
        match (diagnostic.code, label) {
            (Code::A311, Some(span)) => self.because(span).into_iter().collect(),
            (Code::E103, Some(span)) => vec![Proposal {
                title: "add `.`".to_owned(),
                span: Span::new(span.end, span.end),
                text: ".".to_owned(),
                tried: true,
            }],
            (Code::W305 | Code::A308 | Code::W309 | Code::W310, Some(span)) => {
                self.deletion(span).into_iter().collect()
            }
            (Code::W307 | Code::W420 | Code::W421, _) => self.addition(help).into_iter().collect(),
            (_, Some(span)) => self.replacements(help, span),
            _ => Vec::new(),
        }
    }

    /// `because "…"` behind the statement, or before the arrow of a hook.
    fn because(&self, at: Span) -> Option<Proposal> {
        let statement = self.statement(at.start)?;
        let at = match statement.kind {
            StatementKind::Hook { .. } => statement.span.start + self.arrow(statement)?,
            _ => statement.span.end,
        };
        let text = match statement.kind {
            StatementKind::Hook { .. } => "because \"…\" ",
            _ => " because \"…\"",
        };
        Some(Proposal {
            title: "add `because \"…\"`".to_owned(),
            span: Span::new(at, at),
            text: text.to_owned(),
            tried: true,
        })
    }

    /// The first `->` of a statement that is in no bracket.
    fn arrow(&self, statement: &Statement) -> Option<usize> {
        let text = self.file.slice(statement.span)?;
        let mut depth = 0;
        for token in tokens(text) {
            match token.sort {
                Sort::Open => depth += 1,
                Sort::Close => depth -= 1,
                Sort::Sign if depth == 0 && &text[token.range.clone()] == "->" => {
                    return Some(token.range.start);
                }
                _ => {}
            }
        }
        None
    }

    /// The whole statement goes, with its line when it has it for itself.
    fn deletion(&self, at: Span) -> Option<Proposal> {
        let statement = self.statement(at.start)?;
        let text = &self.file.text;
        let local = |at: usize| at - self.file.base;
        let (mut start, mut end) = (local(statement.span.start), local(statement.span.end));
        let dot = text[end..].find('.')?;
        if !text[end..end + dot].trim().is_empty() {
            return None;
        }
        end += dot + 1;
        let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let rest = &text[end..];
        let next = rest.find('\n').map_or(rest.len(), |at| at + 1);
        if text[line..start].trim().is_empty() && rest[..next].trim().is_empty() {
            (start, end) = (line, end + next);
        }
        let base = self.file.base;
        Some(Proposal {
            title: "delete the statement".to_owned(),
            span: Span::new(base + start, base + end),
            text: String::new(),
            tried: false,
        })
    }

    /// The statement that the help writes, at the end of the plan.
    fn addition(&self, help: &str) -> Option<Proposal> {
        let written = backticked(help)
            .into_iter()
            .find(|text| text.ends_with('.'));
        let statement = written.unwrap_or(help);
        if !statement.ends_with('.') {
            return None;
        }
        let end = self.file.base + self.file.text.len();
        let gap = if self.file.text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        Some(Proposal {
            title: format!("add `{statement}`"),
            span: Span::new(end, end),
            text: format!("{gap}{statement}\n"),
            tried: false,
        })
    }

    /// What the help writes, instead of what is wrong.
    fn replacements(&self, help: &str, span: Span) -> Vec<Proposal> {
        let mut found = Vec::new();
        let mut propose = |span: Span, text: &str| {
            found.push(Proposal {
                title: match text.is_empty() {
                    true => "delete it".to_owned(),
                    false => format!("write `{text}`"),
                },
                span,
                text: text.to_owned(),
                tried: true,
            });
        };
        let text = &self.file.text;
        let Some(end) = span
            .end
            .checked_sub(self.file.base)
            .filter(|end| *end <= text.len())
        else {
            return found;
        };
        for written in backticked(help).into_iter().take(3) {
            if written.contains('…') {
                continue;
            }
            if let Some((_, value)) = written.split_once("=> ") {
                propose(span, value);
            }
            // `dependz on` becomes `depends on`, and not `depends on on`.
            if let Some((_, words)) = written.split_once(' ') {
                let behind = text[end..].trim_start();
                let gap = text[end..].len() - behind.len();
                if behind.starts_with(words) {
                    propose(Span::new(span.start, span.end + gap + words.len()), written);
                }
            }
            // `shop@host` is wrong from its middle on.
            if let Some(bare) = written
                .strip_prefix('\'')
                .and_then(|w| w.strip_suffix('\''))
            {
                let from = end.saturating_sub(bare.len());
                let from =
                    (from..=end).find(|at| text.get(*at..).is_some_and(|t| t.starts_with(bare)));
                if let Some(from) = from.or_else(|| text[..end].rfind(bare)) {
                    let start = self.file.base + from;
                    propose(Span::new(start, start + bare.len()), written);
                }
            }
            propose(span, written);
        }
        found
    }

    /// Whether the diagnostic is gone when a proposal is followed, and nothing else is wrong then.
    fn mends(&self, diagnostic: &Diagnostic, proposal: &Proposal) -> bool {
        let file = self.file;
        let (start, end) = (proposal.span.start, proposal.span.end);
        let (Some(from), Some(to)) = (start.checked_sub(file.base), end.checked_sub(file.base))
        else {
            return false;
        };
        if file.text.len() > MAX_TRIED || file.text.get(from..to).is_none() {
            return false;
        }
        let mut text = file.text.clone();
        text.replace_range(from..to, &proposal.text);
        let unsaved = |identity: &Path| match identity == file.identity {
            true => Some(text.clone()),
            false => {
                let open = self.documents.by_identity(identity)?;
                Some(open.text.clone())
            }
        };
        let then = Engine::open_over(&self.plan_document.root, &unsaved, self.settings.clone());
        let now = &self.plan_document.opened.diagnostics;
        let errors = |all: &[Diagnostic]| all.iter().filter(|d| d.is_error()).count();
        let same = |all: &[Diagnostic]| {
            let same = |d: &&Diagnostic| d.code == diagnostic.code && d.title == diagnostic.title;
            all.iter().filter(same).count()
        };
        let then = &then.diagnostics;
        if same(now) == 0 {
            // Only the node knows: its word is taken, as long as the plan stays what it is.
            return errors(then) <= errors(now);
        }
        // A statement that can be read again may show what could not be seen before.
        let grammar = diagnostic.code.as_str().starts_with("E1");
        same(then) < same(now) && (grammar || errors(then) <= errors(now))
    }
}

/// What is between backticks.
fn backticked(help: &str) -> Vec<&str> {
    help.split('`').skip(1).step_by(2).collect()
}
