//! Turning diagnostics into text, for people and for machines.
//!
//! It takes a [`Diagnostic`] and the [`SourceMap`] its spans point into, and gives a report with snippets (laid
//! out by miette) or a JSON object. All sources share one address space, so labels in several files appear
//! each under its own file with its own line numbers. It never prints anything itself, and a label that
//! points outside of every source is left out rather than guessed. Texts from outside are made [safe] here; colours are
//! sealed for [`safe::terminal`].

use std::borrow::Cow;
use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents,
    SourceCode, SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};
use serde_json::{Value, json};
use textwrap::core::Word;
use textwrap::{WordSeparator, WordSplitter, WrapAlgorithm};

use super::cut::Cut;
use super::{Diagnostic, Label, Severity, SourceMap, Span};
use super::{safe, shown};

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Colours, as ANSI escape sequences.
    pub color: bool,
    /// Frames of box-drawing characters; otherwise the report is ASCII as far as its texts are.
    pub unicode: bool,
    /// Columns of the terminal; at least 20 are used.
    pub width: usize,
}

impl Default for Style {
    /// No colour, Unicode, 100 columns.
    fn default() -> Self {
        Self {
            color: false,
            unicode: true,
            width: 100,
        }
    }
}

/// A diagnostic for people: the code and the title, the lines that it is about, the notes, the help; several lines that end in
/// a line end. A place outside of `sources` is left out. Control characters of texts from outside are escaped.
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap, style: Style) -> String {
    let width = style.width.max(20);
    let marker = if style.unicode { "…" } else { "..." };
    let labels = labels(diagnostic, sources);
    let (labels, sources) = shown::safe(labels, sources);
    let adapter = Adapter {
        diagnostic,
        shown: Cut::new(labels, &sources, marker),
    };
    let mut out = heading(diagnostic, width, style);
    let handler = GraphicalReportHandler::new_themed(theme(style))
        .with_width(width)
        .with_links(false);
    let mut snippets = String::new();
    // Snippets that cannot be laid out must not hide the message.
    if !adapter.shown.labels.is_empty()
        && handler.render_report(&mut snippets, &adapter).is_ok()
        && let Some((_, snippets)) = snippets.split_once('\n')
    {
        // The first line would be the title.
        out += &match style.color {
            true => safe::sealed(snippets),
            false => snippets.to_owned(),
        };
    }
    for note in &diagnostic.notes {
        footer(&mut out, "note", &safe::text(note), width, style);
    }
    if let Some(help) = &diagnostic.help {
        footer(&mut out, "help", &safe::text(help), width, style);
    }
    if style.unicode { out } else { ascii(&out) }
}

/// Whether a warning says all in its title.
pub(crate) fn is_bare(diagnostic: &Diagnostic) -> bool {
    let Diagnostic {
        labels,
        help,
        notes,
        ..
    } = diagnostic;
    !diagnostic.is_error() && labels.is_empty() && notes.is_empty() && help.is_none()
}

/// A warning that says all in its title, on one line: `⚠ warning[W332]: …`.
pub(crate) fn one_line(diagnostic: &Diagnostic, style: Style) -> String {
    let line = heading(diagnostic, usize::MAX, style);
    let line = line.trim_end();
    if style.unicode {
        line.to_owned()
    } else {
        ascii(line)
    }
}

/// `✗ error[E604]: …`, as rustc writes it but for the mark: what and how bad it is, and what it is about, on the line where one looks first
/// and that a search finds. The words say what colours say.
fn heading(diagnostic: &Diagnostic, width: usize, style: Style) -> String {
    let word = word(diagnostic.severity());
    let title = safe::line(&diagnostic.title);
    let mark = match (diagnostic.severity(), style.unicode) {
        (Severity::Error, true) => "✗ ",
        (Severity::Warning, true) => "⚠ ",
        _ => "",
    };
    let text = format!("{mark}{word}[{}]: {title}", diagnostic.code);
    let lines = match width {
        usize::MAX => vec![Cow::Borrowed(text.as_str())],
        width => wrap(&text, width.saturating_sub(4).max(20)),
    };
    let mut out = lines.join("\n    ");
    if style.color {
        let color = match diagnostic.severity() {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Advice => "1;36",
        };
        // Before the first `:`, which no code has in it.
        let end = mark.len() + word.len() + diagnostic.code.as_str().len() + 2;
        let (head, rest) = out.split_at(end.min(out.len()));
        let (on, bold, off) = (safe::sgr(color), safe::sgr("1"), safe::sgr("0"));
        out = format!("{on}{head}{off}{bold}{rest}{off}");
    }
    out + "\n"
}

/// How bad it is.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Advice => "advice",
    }
}

/// The diagnostic as data: `code severity title help notes labels`, each label with `file line column offset
/// length text`. Lines and columns count from 1, columns in characters; offsets are bytes within the file.
pub fn to_json(diagnostic: &Diagnostic, sources: &SourceMap) -> Value {
    let labels: Vec<Value> = diagnostic
        .labels
        .iter()
        .filter_map(|label| {
            let place = sources.place(label.span)?;
            let source = sources.source_at(label.span.start)?;
            Some(json!({
                "file": place.file,
                "line": place.line,
                "column": place.column,
                "offset": label.span.start - source.base,
                "length": label.span.end.saturating_sub(label.span.start),
                "text": label.text,
            }))
        })
        .collect();
    json!({
        "code": diagnostic.code.as_str(),
        "severity": word(diagnostic.severity()),
        "title": diagnostic.title,
        "help": diagnostic.help,
        "notes": diagnostic.notes,
        "labels": labels,
    })
}

fn theme(style: Style) -> GraphicalTheme {
    let characters = if style.unicode {
        ThemeCharacters::unicode()
    } else {
        ThemeCharacters::ascii()
    };
    let styles = if style.color {
        ThemeStyles::ansi()
    } else {
        ThemeStyles::none()
    };
    GraphicalTheme { characters, styles }
}

/// `  help: …`, every line of it as it is: a help is there to be pasted, so only sentences are wrapped.
fn footer(out: &mut String, name: &str, text: &str, width: usize, style: Style) {
    let (on, off) = if style.color {
        (safe::sgr("36"), safe::sgr("0"))
    } else {
        (String::new(), String::new())
    };
    let mut head = format!("  {on}{name}:{off} ");
    for line in text.lines() {
        for part in wrap(line, width.saturating_sub(10).max(20)) {
            out.push_str(&head);
            out.push_str(&part);
            out.push('\n');
            head = " ".repeat(name.len() + 4);
        }
    }
}

/// Breaks a line at blanks outside of backticks.
fn wrap(line: &str, width: usize) -> Vec<Cow<'_, str>> {
    let options = textwrap::Options::new(width)
        .break_words(false)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(line, options)
}

/// What is kept together; the blanks that a line begins with belong to its first word.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let (mut quoted, mut begun) = (false, false);
    let ends_word = move |c| {
        quoted ^= c == '`';
        begun |= c != ' ';
        begun && !quoted && c == ' '
    };
    Box::new(line.split_inclusive(ends_word).map(Word::from))
}

/// The punctuation of our own messages in ASCII; letters of other scripts stay.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '…' => out.push_str("..."),
            '→' => out.push_str("->"),
            '·' => out.push('.'),
            '–' | '—' => out.push('-'),
            other => out.push(other),
        }
    }
    out
}

/// The labels that can be shown, cut to their source.
fn labels(diagnostic: &Diagnostic, sources: &SourceMap) -> Vec<Label> {
    let visible = diagnostic.labels.iter().filter_map(|label| {
        let source = sources.source_at(label.span.start)?;
        let text = &source.text;
        let bound = |at: usize| {
            let mut at = at.clamp(source.base, source.base + text.len()) - source.base;
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at + source.base
        };
        let span = Span::new(
            bound(label.span.start),
            bound(label.span.end.max(label.span.start)),
        );
        Some(Label {
            span,
            text: safe::line(&label.text).into_owned(),
        })
    });
    visible.collect()
}

/// A diagnostic as miette wants it, for its snippets: the title is above them already, notes and help come after them.
struct Adapter<'a> {
    diagnostic: &'a Diagnostic,
    shown: Cut<'a>,
}

impl fmt::Debug for Adapter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.diagnostic, f)
    }
}

impl fmt::Display for Adapter<'_> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Adapter<'_> {}

impl miette::Diagnostic for Adapter<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity() {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Advice => miette::Severity::Advice,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.shown.labels.is_empty()).then_some(self as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let spans = self.shown.labels.iter().enumerate().map(|(index, label)| {
            let span = (label.span.start, label.span.end - label.span.start);
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            if index == 0 {
                LabeledSpan::new_primary_with_span(text, span)
            } else {
                LabeledSpan::new_with_span(text, span)
            }
        });
        Some(Box::new(spans))
    }
}

impl SourceCode for Adapter<'_> {
    /// The lines around a global span, taken from the one file it lies in.
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let shown = &self.shown;
        let source = shown
            .sources
            .source_at(span.offset())
            .ok_or(MietteError::OutOfBounds)?;
        let local = SourceSpan::from((span.offset() - source.base, span.len()));
        if local.offset() + local.len() > source.text.len() {
            return Err(MietteError::OutOfBounds);
        }
        let found = source.text.as_str().read_span(&local, before, after)?;
        let global = SourceSpan::from((found.span().offset() + source.base, found.span().len()));
        // What is above the snippet is the place in the file, not in what is shown of it.
        let column = shown.column(span.offset()).filter(|_| before == 0);
        let contents = MietteSpanContents::new_named(
            source.name.clone(),
            found.data(),
            global,
            found.line(),
            column.unwrap_or(found.column()),
            found.line_count(),
        );
        Ok(Box::new(contents))
    }
}
