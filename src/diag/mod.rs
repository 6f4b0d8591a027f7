//! Diagnostics: what updo says when something is wrong or noteworthy.
//!
//! A [`Diagnostic`] is plain data. Every stage makes them, only [`mod@render`] turns them into text, and
//! its [`Code`] comes from one closed list, so that a diagnostic without a code does not compile.

pub mod code;
mod cut;
pub(crate) mod fold;
pub mod render;
pub mod safe;
mod shown;
pub mod source;
pub mod suggest;

use std::fmt;

use self::render::{Style, render};

pub use code::{Code, Severity};
pub use source::{SourceMap, Span};

/// A piece of source and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place: bytes of one source of the [`SourceMap`] that comes with the diagnostic.
    pub span: Span,
    /// What is wrong here: a lowercase fragment.
    pub text: String,
}

/// An error, a warning or advice: plain data, made by every stage, shown by [`render()`].
///
/// It is an error for `?`: `Display` is one line, `E211: the plan has no target`, and `{:#}` adds notes and help.
///
/// ```
/// use std::path::Path;
/// use updo::{Engine, Settings};
///
/// fn first_node(text: &str) -> Result<String, Box<dyn std::error::Error>> {
///     let engine = Engine::open_text(text, Settings::default()).into_result()?;
///     Ok(engine.nodes(Some("shop"))?[0].to_string())
/// }
///
/// let error = first_node("target shop #{nodes => ['shop@a'].").unwrap_err();
/// assert!(error.to_string().contains("E104"), "{error}");
/// let error = first_node("target shops #{nodes => ['shop@a']}.").unwrap_err();
/// assert_eq!(error.to_string(), "E211: no target `shop` in the plan");
/// assert_eq!(first_node("target shop #{nodes => ['shop@a']}.")?, "shop@a");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of thing is wrong; it decides the severity too.
    pub code: Code,
    /// A lowercase fragment without a full stop.
    pub title: String,
    /// The places concerned, the most important first.
    pub labels: Vec<Label>,
    /// An imperative fix, one that can be pasted where possible; may be several lines.
    pub help: Option<String>,
    /// Facts that do not belong to a place in a plan (stack, process, value), one a line.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic with a title only: a lowercase fragment without a full stop.
    pub fn new(code: Code, title: impl Into<String>) -> Self {
        Self {
            code,
            title: title.into(),
            labels: Vec::new(),
            help: None,
            notes: Vec::new(),
        }
    }

    /// Adds a place, less important than those before; `text` may be empty.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Sets the help: an imperative, in place of what was there.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds a fact that belongs to no place in a plan.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Error, warning or advice: that of its code.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether its severity is [`Severity::Error`].
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    /// `E501: the title`, on one line. `{:#}` adds a line for each note, and the help; [`render()`] also shows the lines of the
    /// plan. Control characters of texts from outside are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, safe::line(&self.title))?;
        if f.alternate() {
            for note in &self.notes {
                write!(f, "\nnote: {}", safe::text(note))?;
            }
            if let Some(help) = &self.help {
                write!(f, "\nhelp: {}", safe::text(help))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// Diagnostics, and the text that they point into.
///
/// As an error it is whatever keeps a plan or a program from being used: at least one of the list is an error.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// The diagnostics, in the order of the text.
    pub list: Vec<Diagnostic>,
    /// All text read.
    pub sources: SourceMap,
}

impl Diagnostics {
    /// Those that are errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter().filter(|diagnostic| diagnostic.is_error())
    }

    /// All of them as [`render()`] shows them, one after the other.
    pub fn render(&self, style: Style) -> String {
        let shown = self
            .list
            .iter()
            .map(|diagnostic| render(diagnostic, &self.sources, style));
        shown.collect()
    }
}

impl fmt::Display for Diagnostics {
    /// All of them as [`Diagnostics::render`] gives them, without colours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(Style::default()).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

/// A result whose error is one diagnostic (boxed, so that the good case stays small).
pub type Result<T> = std::result::Result<T, Box<Diagnostic>>;
