//! Scripts: OTP's appup instructions ([`high`]) and relup instructions ([`low`]), and the way from one to
//! the other ([`lower`]). Both print as OTP's terms.

pub mod check;
pub mod high;
pub mod low;
pub mod lower;

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
