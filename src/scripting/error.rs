//! Why there is no program or no value.

use std::fmt;

use crate::diag::{Diagnostic, Diagnostics, SourceMap};
use crate::eval::{ExceptionClass, Failure, FailureKind};
use crate::term::Term;

/// What kind of thing went wrong.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum ScriptErrorKind {
    /// The text is no program or no expression, or uses a name that is not there. Nothing was evaluated.
    Invalid,
    /// An Erlang exception, as "Errors and Error Handling" in the Erlang Reference Manual has them: `catch` in the
    /// program would have seen it.
    Exception {
        /// `error`, `exit` or `throw`.
        class: ExceptionClass,
        /// The reason, `{badmatch, V}` and the like.
        reason: Term,
    },
    /// The program did what it may not do here: read an unbound variable, call a module in a guard.
    Refused,
    /// It asked about a node what the host does not know.
    Unknown,
    /// It met one of the [`Limits`](super::Limits), or the host's time was over.
    Limit,
    /// The host has lost what it asks: [`HostError::Lost`](super::HostError::Lost).
    Lost,
}

/// Why there is no program or no value: the kind for programs, the diagnostics for people.
///
/// `Display` writes the diagnostics with the lines that they are about.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ScriptError {
    /// What kind of thing went wrong.
    pub kind: ScriptErrorKind,
    /// What to show: at least one error, and the text that it points into.
    pub diagnostics: Diagnostics,
}

impl ScriptError {
    pub(super) fn invalid(list: Vec<Diagnostic>, sources: SourceMap) -> Self {
        Self {
            kind: ScriptErrorKind::Invalid,
            diagnostics: Diagnostics { list, sources },
        }
    }

    pub(super) fn failed(failure: Failure, sources: SourceMap) -> Self {
        let kind = match failure.kind {
            FailureKind::Raised => ScriptErrorKind::Exception {
                class: failure.class,
                reason: failure.reason,
            },
            FailureKind::Refused => ScriptErrorKind::Refused,
            FailureKind::Unknown => ScriptErrorKind::Unknown,
            FailureKind::Limit => ScriptErrorKind::Limit,
            FailureKind::Lost => ScriptErrorKind::Lost,
        };
        let list = vec![*failure.diagnostic];
        Self {
            kind,
            diagnostics: Diagnostics { list, sources },
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostics.fmt(f)
    }
}

impl std::error::Error for ScriptError {}
