//! From plan text to syntax tree, and nothing more: no file is read, no name is looked up.

pub mod ast;
