//! The REPL: one prompt for expressions, statements and commands.
