//! All source text of a session in one address space, so that one span says file and place.

/// A range of bytes in the [`SourceMap`]'s address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A span from its first byte to one past its last.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Span) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// One file (or one line typed in the REPL).
#[derive(Clone, Debug)]
pub struct Source {
    /// Name as it is shown.
    pub name: String,
    /// The text.
    pub text: String,
    /// Where it begins in the map's address space.
    pub base: usize,
}

/// A file, a line and a column, all counted from 1; the column counts characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// The name of the source, as it was given to [`SourceMap::add`].
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

/// All text that diagnostics point into, in one address space: one [`Span`] says source and place. The root plan comes
/// first, and is shown first.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a text and returns the offset at which it begins; add it to every local offset.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> usize {
        let base = self.sources.last().map_or(0, |s| s.base + s.text.len() + 1);
        self.sources.push(Source {
            name: name.into(),
            text: text.into(),
            base,
        });
        base
    }

    #[doc(hidden)]
    /// Covers a span with asterisks, so that no diagnostic shows what is there: a secret.
    pub fn mask(&mut self, span: Span) {
        for source in &mut self.sources {
            let (Some(start), Some(end)) = (
                span.start.checked_sub(source.base),
                span.end.checked_sub(source.base),
            ) else {
                continue;
            };
            if source.text.get(start..end).is_some() {
                source
                    .text
                    .replace_range(start..end, &"*".repeat(end - start));
            }
        }
    }

    #[doc(hidden)]
    /// The sources, in the order they were added.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    #[doc(hidden)]
    /// The source that holds this offset (its end included).
    pub fn source_at(&self, offset: usize) -> Option<&Source> {
        let after = self.sources.partition_point(|s| s.base <= offset);
        let source = self.sources.get(after.checked_sub(1)?)?;
        (offset <= source.base + source.text.len()).then_some(source)
    }

    /// File, line and column of a span's first character; `None` when it lies in no source.
    pub fn place(&self, span: Span) -> Option<SourcePosition> {
        let source = self.source_at(span.start)?;
        let mut local = span.start - source.base;
        while !source.text.is_char_boundary(local) {
            local -= 1;
        }
        let before = &source.text[..local];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some(SourcePosition {
            file: source.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }

    /// The text of a span, if it lies within one source.
    pub fn text(&self, span: Span) -> Option<&str> {
        let source = self.source_at(span.start)?;
        source
            .text
            .get(span.start - source.base..span.end.checked_sub(source.base)?)
    }
}
