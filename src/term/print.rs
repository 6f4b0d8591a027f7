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
//! Recurses as deep as the term is.

mod layout;
mod text;

use std::fmt::{self, Write};

use super::{Atom, Fun, Term};

pub use layout::{pretty, pretty_from};

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, self, true)
    }
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
pub fn write(term: &Term) -> String {
    let mut out = String::new();
    line(&mut out, term, false).expect("a string takes everything");
    out
}

/// The same to any writer, which may refuse to take more.
///
/// # Errors
/// Those of the writer.
pub fn write_to(f: &mut impl Write, term: &Term) -> fmt::Result {
    line(f, term, false)
}

/// Writes a term on one line; with `strings`, text that looks like text appears as such.
fn line(f: &mut impl Write, term: &Term, strings: bool) -> fmt::Result {
    match term {
        Term::Tuple(elements) => {
            f.write_char('{')?;
            comma_separated(f, elements, strings)?;
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
            if strings && text::printable_list(elements) {
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
            if strings && text::binary_text(f, bytes)? {
                return Ok(());
            }
            write!(f, "<<{}>>", segments(bytes, 8).join(","))
        }
        Term::Bits(bytes, used) => write!(f, "<<{}>>", segments(bytes, *used).join(",")),
        _ => atomic(f, term),
    }
}

fn comma_separated(f: &mut impl Write, elements: &[Term], strings: bool) -> fmt::Result {
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

/// `1`, `2`, `5:3`: the segments of a bitstring of whose last byte `used` bits count.
fn segments(bytes: &[u8], used: u8) -> Vec<String> {
    let unused = 8 - u32::from(used.min(8));
    let mut segments: Vec<String> = bytes.iter().map(u8::to_string).collect();
    if let (Some(byte), Some(segment)) = (bytes.last(), segments.last_mut())
        && unused > 0
    {
        *segment = format!("{}:{used}", byte.checked_shr(unused).unwrap_or(0));
    }
    segments
}

#[cfg(test)]
mod tests;
