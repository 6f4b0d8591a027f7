//! The plan language by itself: parse, check and evaluate, with no node, no network and no files.
//!
//! A [`Program`] is the text of a plan: functions, constants, parameters, checks. An [`Interpreter`] evaluates it, a
//! function of it or an expression. Calls of functions in modules (`shop:price(apple)`) and questions about a node
//! (`otp()`) go to a [`Host`] of your own; a closure is one. [`evaluate`] is all of that for a single expression.
//!
//! ```
//! use updo::Term;
//! use updo::scripting::{HostError, Interpreter, Program};
//!
//! let program = Program::parse(
//!     "Discount = 10.
//!      total(Items) -> total(Items, 0).
//!      total([], Sum) -> Sum - Sum * Discount div 100;
//!      total([Item | Rest], Sum) -> total(Rest, Sum + shop:price(Item)).",
//! )?;
//! let mut prices = |module: &str, function: &str, args: &[Term]| match (module, function, args) {
//!     ("shop", "price", [item]) if item.is_atom("apple") => Ok(Term::Int(30)),
//!     ("shop", "price", [_]) => Ok(Term::Int(70)),
//!     _ => Err(HostError::Undefined),
//! };
//! let mut interpreter = Interpreter::new(&program, &mut prices);
//! let basket = "[apple, pear]".parse()?;
//! assert_eq!(interpreter.call("total", [basket])?, Term::Int(90));
//! assert_eq!(interpreter.eval("Sum = total([apple]), Sum + Discount")?, Term::Int(37));
//! assert_eq!(interpreter.variable("Sum"), Some(&Term::Int(27)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The language is the subset of Erlang in docs/language.md. Values, operators, patterns, comprehensions and exceptions
//! are those of the Erlang Reference Manual ("Expressions", "Patterns", "Bit Syntax"), and are compared with `erl` by
//! tests. There are no processes, no funs and no side effects besides what the host does.
//!
//! # Text that is not trusted
//!
//! An evaluation ends within its [`Limits`], with an error of the kind [`ScriptErrorKind::Limit`] at the latest. Text
//! never ends the program with a panic, never reads a file (`include` is refused) and never sees the environment of the
//! process (`env(Name)` is refused in a program, and asked of the host in an expression). A host has to end by itself:
//! it gets the time that is left, and cannot be interrupted. Constants are computed when a program is parsed, each
//! within [`Limits::default`].

mod error;
mod host;
mod interpreter;
mod program;

pub use crate::eval::{ExceptionClass, Limits};
pub use error::{ScriptError, ScriptErrorKind};
pub use host::{Host, HostError, NoHost};
pub use interpreter::{Checked, Interpreter, evaluate};
pub use program::Program;
