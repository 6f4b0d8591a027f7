//! Scripts: what a run does ([`high`], [`low`], [`lower`]), and OTP's own translation of appup scripts.
//!
//! [`instruction`] has every form of an appup and a relup, [`read`] makes them from terms with OTP's checks,
//! [`translate`] is `systools_rc`, with `group` for the dependencies. All of them print as OTP's terms.

pub mod check;
pub mod error;
mod group;
pub mod high;
pub mod insert;
pub mod instruction;
pub mod low;
pub mod lower;
mod merge;
pub mod otp;
pub mod read;
pub mod release_handler;
pub mod removed;
pub mod translate;

use crate::name::{App, Module};
use crate::rules::Origin;
use crate::term::Term;

/// Why an instruction is there or stands where it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Why {
    /// The sentence.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// An atom term for a module.
pub(crate) fn module_term(module: &Module) -> Term {
    Term::atom(module.as_str())
}

/// An atom term for an application.
pub(crate) fn app_term(app: &App) -> Term {
    Term::atom(app.as_str())
}
