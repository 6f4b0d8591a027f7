//! Terms to bytes, as `term_to_binary(Term, [{minor_version, 2}])` of OTP 25 and later writes them.
//!
//! Takes a [`Term`], gives bytes with the leading 131. Equal terms give equal bytes. Maps are written in
//! our key order; a node writes maps of more than 32 keys in the order of its own hashes.
//!
//! Recurses as deep as the term is; terms are at most [`MAX_DEPTH`](super::MAX_DEPTH) deep.

use num_bigint::{BigInt, Sign};

use super::VERSION;
use crate::term::{Atom, Closure, Fun, Pid, Port, Reference, Term};

/// Ports up to this number travel in `NEW_PORT_EXT`, others in `V4_PORT_EXT`.
const SMALL_PORT: u64 = (1 << 28) - 1;

/// Encodes a term, with the leading 131.
///
/// An atom of more than 65,535 bytes (a node allows 255 characters) is cut to fit its length field.
///
/// # Panics
///
/// When a single tuple, list, map or binary has more than 2^32 - 1 elements, which the format cannot say.
pub fn encode(term: &Term) -> Vec<u8> {
    let mut out = vec![VERSION];
    put(&mut out, term);
    out
}

fn put(out: &mut Vec<u8>, term: &Term) {
    match term {
        Term::Int(value) => int(out, *value),
        Term::Big(value) => big(out, value),
        Term::Float(value) => {
            out.push(70);
            out.extend_from_slice(&value.to_be_bytes());
        }
        Term::Atom(value) => atom(out, value),
        Term::Reference(value) => reference(out, value),
        Term::Fun(Fun::External {
            module,
            name,
            arity,
        }) => {
            out.push(113);
            atom(out, module);
            atom(out, name);
            out.extend_from_slice(&[97, *arity]);
        }
        Term::Fun(Fun::Closure(value)) => closure(out, value),
        Term::Port(value) => port(out, value),
        Term::Pid(value) => pid(out, value),
        Term::Tuple(elements) => {
            match u8::try_from(elements.len()) {
                Ok(arity) => out.extend_from_slice(&[104, arity]),
                Err(_) => tag_and_length(out, 105, elements.len()),
            }
            for element in elements {
                put(out, element);
            }
        }
        Term::Record(record) => {
            tag_and_length(out, 67, record.fields.len());
            out.push(u8::from(record.exported));
            atom(out, &record.module);
            atom(out, &record.name);
            for (name, _) in &record.fields {
                atom(out, name);
            }
            for (_, value) in &record.fields {
                put(out, value);
            }
        }
        Term::Map(pairs) => {
            tag_and_length(out, 116, pairs.len());
            for (key, value) in pairs {
                put(out, key);
                put(out, value);
            }
        }
        Term::List(elements) => list(out, elements),
        Term::Improper(elements, tail) => {
            tag_and_length(out, 108, elements.len());
            for element in elements {
                put(out, element);
            }
            put(out, tail);
        }
        Term::Binary(bytes) => {
            tag_and_length(out, 109, bytes.len());
            out.extend_from_slice(bytes);
        }
        Term::Bits(bytes, used) => bits(out, bytes, *used),
    }
}

#[expect(
    clippy::expect_used,
    reason = "a term of 2^32 elements does not fit into memory"
)]
fn tag_and_length(out: &mut Vec<u8>, tag: u8, length: usize) {
    out.push(tag);
    let length = u32::try_from(length).expect("documented: at most 2^32 - 1 elements");
    out.extend_from_slice(&length.to_be_bytes());
}

fn int(out: &mut Vec<u8>, value: i64) {
    if let Ok(small) = u8::try_from(value) {
        out.extend_from_slice(&[97, small]);
    } else if let Ok(word) = i32::try_from(value) {
        out.push(98);
        out.extend_from_slice(&word.to_be_bytes());
    } else {
        big(out, &BigInt::from(value));
    }
}

fn big(out: &mut Vec<u8>, value: &BigInt) {
    let (sign, digits) = value.to_bytes_le();
    match u8::try_from(digits.len()) {
        Ok(length) => out.extend_from_slice(&[110, length]),
        Err(_) => tag_and_length(out, 111, digits.len()),
    }
    out.push(u8::from(sign == Sign::Minus));
    out.extend_from_slice(&digits);
}

#[expect(clippy::expect_used, reason = "the text was cut to fit")]
fn atom(out: &mut Vec<u8>, value: &Atom) {
    let mut text = value.as_str();
    if text.len() > usize::from(u16::MAX) {
        let end = (0..=usize::from(u16::MAX)).rfind(|i| text.is_char_boundary(*i));
        text = end.and_then(|end| text.get(..end)).unwrap_or_default();
    }
    match u8::try_from(text.len()) {
        Ok(length) => out.extend_from_slice(&[119, length]),
        Err(_) => {
            let length = u16::try_from(text.len()).expect("cut to fit above");
            out.push(118);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

fn pid(out: &mut Vec<u8>, value: &Pid) {
    out.push(88);
    atom(out, &value.node);
    for word in [value.id, value.serial, value.creation] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

fn port(out: &mut Vec<u8>, value: &Port) {
    match u32::try_from(value.id) {
        Ok(id) if value.id <= SMALL_PORT => {
            out.push(89);
            atom(out, &value.node);
            out.extend_from_slice(&id.to_be_bytes());
        }
        _ => {
            out.push(120);
            atom(out, &value.node);
            out.extend_from_slice(&value.id.to_be_bytes());
        }
    }
    out.extend_from_slice(&value.creation.to_be_bytes());
}

fn reference(out: &mut Vec<u8>, value: &Reference) {
    // A reference has one to five words; more cannot come from a node.
    let count = u16::try_from(value.words.len()).unwrap_or(u16::MAX);
    let words = value.words.iter().take(usize::from(count));
    out.push(90);
    out.extend_from_slice(&count.to_be_bytes());
    atom(out, &value.node);
    out.extend_from_slice(&value.creation.to_be_bytes());
    for word in words {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// A list of bytes travels as `STRING_EXT` when its length fits in 16 bits; a negative number is no byte.
fn list(out: &mut Vec<u8>, elements: &[Term]) {
    if elements.is_empty() {
        out.push(106);
        return;
    }
    if let (Ok(length), Some(bytes)) = (u16::try_from(elements.len()), as_bytes(elements)) {
        out.push(107);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&bytes);
        return;
    }
    tag_and_length(out, 108, elements.len());
    for element in elements {
        put(out, element);
    }
    out.push(106);
}

fn as_bytes(elements: &[Term]) -> Option<Vec<u8>> {
    elements
        .iter()
        .map(|e| e.as_i64().and_then(|i| u8::try_from(i).ok()))
        .collect()
}

fn bits(out: &mut Vec<u8>, bytes: &[u8], used: u8) {
    tag_and_length(out, 77, bytes.len());
    out.push(used);
    out.extend_from_slice(bytes);
}

#[expect(
    clippy::expect_used,
    reason = "a term of 2^32 elements does not fit into memory"
)]
fn closure(out: &mut Vec<u8>, value: &Closure) {
    out.push(112);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(value.arity);
    out.extend_from_slice(&value.uniq);
    out.extend_from_slice(&value.index.to_be_bytes());
    let free = u32::try_from(value.free.len()).expect("documented: at most 2^32 - 1 elements");
    out.extend_from_slice(&free.to_be_bytes());
    atom(out, &value.module);
    int(out, i64::from(value.old_index));
    int(out, i64::from(value.old_uniq));
    pid(out, &value.pid);
    for term in &value.free {
        put(out, term);
    }
    // The size counts itself. OTP ignores it when reading, so a fun of more than 4 GB does no harm.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    let place = out.iter_mut().skip(start);
    for (byte, of_size) in place.zip(size.to_be_bytes()) {
        *byte = of_size;
    }
}
