//! From plan text to syntax tree, and nothing more: no file is read, no name is looked up.

pub mod ast;

mod binary;
mod error;
mod expr;
mod grammar;
mod habits;
mod lex;
mod literal;
mod operators;
pub mod parse;
pub mod print;
mod recover;
mod statement;

pub use parse::{Input, InputError, Parsed, parse_expression, parse_input, parse_plan, parse_term};
