//! The evaluator of plan expressions: guards, checks, hooks, functions, `updo eval`, the REPL.
//!
//! Takes the syntax tree of an expression and [`Bindings`], gives a term or a [`Failure`] that knows the
//! Erlang exception (class and reason) as well as what to tell the user. Values and errors are
//! Erlang's; what Erlang would do with processes and modules goes through two traits: [`Remote`] for
//! `m:f(…)`, [`OwnNames`] for updo's own names. It opens no socket, reads no file and never panics,
//! however the plan is written: steps, depth, memory and time are bounded by [`Limits`].

mod bif;
mod binary;
mod bindings;
mod bits;
mod call;
mod check;
mod comprehension;
mod evaluator;
mod failure;
mod functions;
mod guard;
mod hook;
mod host;
mod limits;
mod nested;
mod number;
mod operator;
mod pattern;
mod show;
#[cfg(test)]
mod tests;

pub use bif::exists as is_builtin;
pub use bif::names as builtin_names;
pub use bindings::Bindings;
pub use check::CheckResult;
pub use evaluator::Evaluator;
pub use failure::{ExceptionClass, Failure, FailureKind};
pub use functions::Functions;
pub use guard::Truth;
pub use host::{NameError, NoNames, OwnNames, Phase, Remote, RemoteError, needs};
pub use limits::Limits;
pub use show::expression as show_expression;
