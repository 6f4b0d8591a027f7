//! Atoms, strings and lists of characters with Elixir's quotes and escapes.
//!
//! Takes the contents, gives source text that Elixir reads back. Follows `Macro.inspect_atom/2`,
//! `String.printable?/1` and `List.ascii_printable?/1`.

use std::fmt::{self, Write};

use crate::term::{Atom, Term};

/// Whether a list is shown as text: ASCII, as `List.ascii_printable?/1`.
pub(super) fn is_charlist(elements: &[Term]) -> bool {
    let ascii = |element: &Term| {
        let Some(value) = element.as_i64() else {
            return false;
        };
        matches!(value, 32..=126 | 7..=13 | 27)
    };
    !elements.is_empty() && elements.iter().all(ascii)
}

/// The text of a binary, if it is shown as such: `String.printable?/1`.
pub(super) fn printable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.chars().all(is_printable).then_some(text)
}

fn is_printable(c: char) -> bool {
    matches!(c, ' '..='\u{7f}' | '\u{7}'..='\u{d}' | '\u{1b}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

/// Text inside of quotes.
pub(super) fn escaped(f: &mut impl Write, text: &str, quote: char) -> fmt::Result {
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            _ if c == quote => write!(f, "\\{c}")?,
            '\\' => f.write_str("\\\\")?,
            '#' if characters.peek() == Some(&'{') => f.write_str("\\#")?,
            '\u{0}' => f.write_str("\\0")?,
            '\u{7}' => f.write_str("\\a")?,
            '\u{8}' => f.write_str("\\b")?,
            '\t' => f.write_str("\\t")?,
            '\n' => f.write_str("\\n")?,
            '\u{b}' => f.write_str("\\v")?,
            '\u{c}' => f.write_str("\\f")?,
            '\r' => f.write_str("\\r")?,
            '\u{1b}' => f.write_str("\\e")?,
            '\u{7f}' => f.write_str("\\d")?,
            '\u{feff}' => f.write_str("\\uFEFF")?,
            _ if is_printable(c) => f.write_char(c)?,
            _ if u32::from(c) < 0x100 => write!(f, "\\x{:02X}", u32::from(c))?,
            _ => write!(f, "\\x{{{:X}}}", u32::from(c))?,
        }
    }
    Ok(())
}

/// What an atom is to Elixir's tokenizer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtomKind {
    /// A module, `Elixir.Shop.Cart`.
    Alias,
    /// A name of a function.
    Identifier,
    /// An operator that needs no quotes.
    Operator,
    /// One that needs them behind a colon, not as the name of a function.
    QuotedOperator,
    /// No quotes behind a colon, but as the name of a function.
    NotCallable,
    /// Anything else.
    Other,
}

const OPERATORS: [&str; 38] = [
    "!", "!=", "!==", "&", "&&", "&&&", "*", "**", "+", "++", "+++", "-", "--", "---", "/", "<",
    "<-", "<<<", "<<~", "<=", "<>", "<~", "<~>", "=", "==", "===", "=~", ">", ">=", ">>>", "@",
    "\\\\", "^", "|", "|>", "||", "|||", "~>",
];

fn kind(atom: &str) -> AtomKind {
    match atom {
        "%" | "%{}" | "{}" | "<<>>" | "..." | ".." | "." | "..//" | "->" => {
            return AtomKind::NotCallable;
        }
        "::" | "^^^" | "~~~" | "<|>" => return AtomKind::QuotedOperator,
        "~>>" => return AtomKind::Operator,
        _ if OPERATORS.contains(&atom) => return AtomKind::Operator,
        _ if is_alias(atom) => return AtomKind::Alias,
        _ => {}
    }
    let name = atom.strip_suffix(['?', '!']).unwrap_or(atom);
    let mut characters = name.chars();
    let letter = |c: char| c == '_' || c.is_ascii_alphabetic() || is_letter(c);
    let Some(first) = characters.next().filter(|c| letter(*c)) else {
        return AtomKind::Other;
    };
    if !characters.all(|c| letter(c) || c.is_ascii_digit() || c == '@') {
        return AtomKind::Other;
    }
    match first.is_uppercase() || name.contains('@') {
        true => AtomKind::NotCallable,
        false => AtomKind::Identifier,
    }
}

/// A letter beyond ASCII that a name may have.
fn is_letter(c: char) -> bool {
    !c.is_ascii() && c.is_alphabetic() && !matches!(c, 'ª' | 'µ' | 'º' | '\u{ff00}'..='\u{ffef}')
}

/// Whether an atom is the name of a module as Elixir writes them.
pub(super) fn is_alias(atom: &str) -> bool {
    let Some(parts) = atom.strip_prefix("Elixir") else {
        return false;
    };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    parts.is_empty() || parts.starts_with('.') && parts[1..].split('.').all(part)
}

/// An atom by itself.
pub(super) fn literal(atom: &str) -> String {
    if matches!(atom, "nil" | "true" | "false") {
        return atom.to_owned();
    }
    match kind(atom) {
        AtomKind::Alias => match atom.strip_prefix("Elixir.") {
            Some(rest) if rest != "Elixir" && !rest.starts_with("Elixir.") => rest.to_owned(),
            _ => atom.to_owned(),
        },
        AtomKind::Identifier | AtomKind::Operator | AtomKind::NotCallable => format!(":{atom}"),
        AtomKind::QuotedOperator | AtomKind::Other => {
            let mut text = ":".to_owned();
            // A string takes everything.
            let _ = quoted(&mut text, atom);
            text
        }
    }
}

/// The module of a fun: `Function.info/1` has `nil` for what Erlang calls undefined.
pub(super) fn module_of_fun(module: &Atom) -> String {
    match module.as_str() {
        "undefined" => "nil".to_owned(),
        module => literal(module),
    }
}

/// An atom as a key, its colon included.
pub(super) fn key(f: &mut impl Write, atom: &str) -> fmt::Result {
    match kind(atom) {
        AtomKind::Identifier | AtomKind::Operator | AtomKind::NotCallable => f.write_str(atom)?,
        AtomKind::Alias | AtomKind::QuotedOperator | AtomKind::Other => quoted(f, atom)?,
    }
    f.write_char(':')
}

/// An atom as the name of a function.
pub(super) fn remote(f: &mut impl Write, atom: &str) -> fmt::Result {
    match kind(atom) {
        AtomKind::Identifier | AtomKind::Operator | AtomKind::QuotedOperator => f.write_str(atom),
        AtomKind::Alias | AtomKind::NotCallable | AtomKind::Other => quoted(f, atom),
    }
}

fn quoted(f: &mut impl Write, atom: &str) -> fmt::Result {
    f.write_char('"')?;
    escaped(f, atom, '"')?;
    f.write_char('"')
}
