//! Diagnostics: what updo says when something is wrong or noteworthy.
//!
//! A [`Diagnostic`] is plain data. Every stage makes them, nobody but [`render`] turns them into text, and
//! its [`Code`] comes from one closed list, so that a diagnostic without a code does not compile.

pub mod code;
mod cut;
pub mod render;
pub mod safe;
mod shown;
pub mod source;
pub mod suggest;

pub use code::{Code, Severity};
pub use source::{SourceMap, Span};

/// A piece of source and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is wrong here: a lowercase fragment.
    pub text: String,
}

/// Something to tell the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind of thing; also decides the severity.
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
    /// A diagnostic with a title only.
    pub fn new(code: Code, title: impl Into<String>) -> Self {
        Self {
            code,
            title: title.into(),
            labels: Vec::new(),
            help: None,
            notes: Vec::new(),
        }
    }

    /// Adds a place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Sets the help.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Error, warning or advice.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }
}

/// A result whose error is one diagnostic (boxed, so that the good case stays small).
pub type Result<T> = std::result::Result<T, Box<Diagnostic>>;
