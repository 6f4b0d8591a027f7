//! Scripts: what a run does ([`high`], [`lower`]), and OTP's own translation of appup scripts.
//!
//! [`instruction`] has the one type of instructions, high and low level; all scripts are sequences of it. [`print`](mod@print)
//! prints it, [`read`] makes it from terms with OTP's checks, [`otp`] says what is nearest to it in OTP and in a run.
//! [`translate`] is `systools_rc`, with `group` for the dependencies.

mod boot;
pub mod check;
pub mod error;
mod group;
pub mod high;
pub mod insert;
pub mod instruction;
pub mod live;
pub mod lower;
mod normalise;
pub mod otp;
pub mod precompute;
pub mod print;
pub mod read;
pub mod release_handler;
pub mod removed;
pub mod translate;
pub mod waiting;

use crate::name::{App, Module};
use crate::rules::Origin;
use crate::term::Term;

/// Why an instruction is there or at its position.
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
