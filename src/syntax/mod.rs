//! From plan text to syntax tree, and nothing more: no file is read, no name is looked up.
//!
//! The way of a text: `lex` cuts it into tokens and statements, `recover` parses each statement with
//! the grammar (`grammar/updo.pest`), `statement` and `expr` build the tree (`ast`) with constants folded to
//! terms, and `error`, `expected` and `foreign_syntax` turn a failure into one diagnostic (E101 to E110).

pub mod ast;

mod binary;
mod error;
mod expected;
mod expr;
pub mod fmt;
mod foreign_syntax;
mod grammar;
mod lex;
mod literal;
mod operators;
pub mod parse;
pub mod print;
mod recover;
mod statement;
pub mod token;
pub mod walk;

pub use parse::{
    Input, InputError, Parsed, is_percent_map, parse_body, parse_expression, parse_input,
    parse_plan, parse_term,
};
pub use statement::WINDOWS;
