//! Terms as text, the way `io_lib:format/2` of OTP 25 writes them with default flags.
//!
//! [`Display`](fmt::Display) is `~0tp`: one line, with strings as strings. [`write`] is `~tw`: the same without guessing
//! what is a string. [`pretty`] is `~tp`, broken into lines. Printable means Latin-1, as in an `erl`
//! without `+pc unicode`.
//!
//! Known differences. The first number of a pid, port or reference of another node counts the
//! connections of the node that prints it; here it is always 0, as on the node it belongs to. Maps of
//! more than 32 keys keep Erlang's key order here; a node prints them in the order of its hashes. In
//! funs, `erl` shows the UTF-8 bytes of names that are not ASCII; here they are characters.
//!
//! Recurses as deep as the term is. Nothing is collected on the way: what a value takes while it is printed is the text
//! that has been made, and [`pretty_within`] and [`line_within`] stop making it where their limit is.

pub mod elixir;
mod elixir_text;
mod layout;
mod notation;
mod sink;
mod text;

use std::fmt::{self, Write};

use super::{Atom, Fun, Record, Term};

pub use layout::{pretty, pretty_from, pretty_within};
pub use notation::Notation;

use sink::{Limited, Sink, Whole};

/// Most bytes of text that are shown of one value. What is longer ends in [`CUT`].
pub const MAX_PRINTED: usize = 8 << 20;

/// What ends a text that was not made to its end; no Erlang term ends so.
pub const CUT: &str = "...";

impl fmt::Display for Term {
    /// At most [`MAX_PRINTED`] bytes and [`CUT`]; what must be whole is made by [`write_to`] or [`pretty`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Limited::new(&mut *f, MAX_PRINTED);
        let made = line(&mut out, self, true);
        if out.is_full() {
            return f.write_str(CUT);
        }
        made
    }
}

/// A term on one line as `~0tp` writes it, but no more than `limit` bytes and then [`CUT`].
pub fn line_within(term: &Term, limit: usize) -> String {
    let mut text = String::new();
    let mut out = Limited::new(&mut text, limit);
    let _ = line(&mut out, term, true);
    if out.is_full() {
        text.push_str(CUT);
    }
    text
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::atom(f, self.as_str())
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::atom(f, self.as_str())
    }
}

impl fmt::Display for Fun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External {
                module,
                name,
                arity,
            } => {
                f.write_str("fun ")?;
                text::runtime_atom(f, module.as_str())?;
                f.write_char(':')?;
                text::runtime_atom(f, name.as_str())?;
                write!(f, "/{arity}")
            }
            Self::Closure(closure) => write!(
                f,
                "#Fun<{}.{}.{}>",
                closure.module.as_str(),
                closure.old_index,
                closure.old_uniq
            ),
        }
    }
}

/// A term on one line as `~tw` writes it: lists of characters stay lists.
#[expect(clippy::expect_used, reason = "a string takes everything")]
pub fn write(term: &Term) -> String {
    let mut out = String::new();
    line(&mut Whole(&mut out), term, false).expect("a string takes everything");
    out
}

/// The same to any writer, which may refuse to take more.
///
/// # Errors
/// Those of the writer.
pub fn write_to(f: &mut impl Write, term: &Term) -> fmt::Result {
    line(&mut Whole(f), term, false)
}

/// Writes a term on one line; with `strings`, text that looks like text appears as such.
fn line(f: &mut impl Sink, term: &Term, strings: bool) -> fmt::Result {
    match term {
        Term::Tuple(elements) => {
            f.write_char('{')?;
            comma_separated(f, elements, strings)?;
            f.write_char('}')
        }
        Term::Record(record) => {
            record_head(f, record)?;
            for (i, (name, value)) in record.fields.iter().enumerate() {
                if i > 0 {
                    f.write_char(',')?;
                }
                text::atom(f, name.as_str())?;
                f.write_str(" = ")?;
                line(f, value, strings)?;
            }
            f.write_char('}')
        }
        Term::Map(pairs) => {
            f.write_str("#{")?;
            for (i, (key, value)) in pairs.iter().enumerate() {
                if i > 0 {
                    f.write_char(',')?;
                }
                line(f, key, strings)?;
                f.write_str(" => ")?;
                line(f, value, strings)?;
            }
            f.write_char('}')
        }
        Term::List(elements) => {
            if strings && elements.len() < f.room() && text::printable_list(elements) {
                return text::string(f, elements);
            }
            f.write_char('[')?;
            comma_separated(f, elements, strings)?;
            f.write_char(']')
        }
        Term::Improper(elements, tail) => {
            f.write_char('[')?;
            comma_separated(f, elements, strings)?;
            f.write_char('|')?;
            line(f, tail, strings)?;
            f.write_char(']')
        }
        Term::Binary(bytes) => {
            // A character takes two bytes at most, so what is longer does not fit either way.
            if strings && bytes.len() / 2 < f.room() && text::binary_text(f, bytes)? {
                return Ok(());
            }
            bits(f, bytes, 8)
        }
        Term::Bits(bytes, used) => bits(f, bytes, *used),
        _ => atomic(f, term),
    }
}

/// `#module:name{`.
fn record_head(f: &mut impl Write, record: &Record) -> fmt::Result {
    f.write_char('#')?;
    text::atom(f, record.module.as_str())?;
    f.write_char(':')?;
    text::atom(f, record.name.as_str())?;
    f.write_char('{')
}

fn comma_separated(f: &mut impl Sink, elements: &[Term], strings: bool) -> fmt::Result {
    for (i, element) in elements.iter().enumerate() {
        if i > 0 {
            f.write_char(',')?;
        }
        line(f, element, strings)?;
    }
    Ok(())
}

/// What has no inside.
fn atomic(f: &mut impl Write, term: &Term) -> fmt::Result {
    match term {
        Term::Int(value) => write!(f, "{value}"),
        Term::Big(value) => write!(f, "{value}"),
        Term::Float(value) => f.write_str(&text::float(*value)),
        Term::Atom(value) => text::atom(f, value.as_str()),
        Term::Pid(value) => write!(f, "<0.{}.{}>", value.id, value.serial),
        Term::Port(value) => write!(f, "#Port<0.{}>", value.id),
        Term::Reference(value) => {
            f.write_str("#Ref<0")?;
            for word in value.words.iter().rev() {
                write!(f, ".{word}")?;
            }
            f.write_char('>')
        }
        Term::Fun(value) => write!(f, "{value}"),
        _ => Ok(()),
    }
}

/// `<<1,2,5:3>>`: a bitstring of whose last byte `used` bits count.
fn bits(f: &mut impl Write, bytes: &[u8], used: u8) -> fmt::Result {
    f.write_str("<<")?;
    for at in 0..bytes.len() {
        if at > 0 {
            f.write_char(',')?;
        }
        segment(f, bytes, used, at)?;
    }
    f.write_str(">>")
}

/// `1` or, at the end, `5:3`: one segment of a bitstring.
fn segment(f: &mut impl Write, bytes: &[u8], used: u8, at: usize) -> fmt::Result {
    let unused = 8 - u32::from(used.min(8));
    let byte = bytes.get(at).copied().unwrap_or_default();
    if unused > 0 && at + 1 == bytes.len() {
        write!(f, "{}:{used}", byte.checked_shr(unused).unwrap_or(0))
    } else {
        write!(f, "{byte}")
    }
}

#[cfg(test)]
mod tests;
