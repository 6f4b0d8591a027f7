//! Atoms, strings, binaries that are text, and floats, with Erlang's quotes and escapes.
//!
//! Takes the contents, gives source text that `erl_scan` reads back. Follows `io_lib:write_atom/1`,
//! `io_lib:write_string/1`, `io_lib:printable_latin1_list/1` and `erlang:float_to_list/2` with `short`.

use std::fmt::{self, Write};

use crate::term::Term;

/// The reserved words of OTP 25, sorted; `maybe` and `else` are reserved only where that feature is on.
const RESERVED: [&str; 27] = [
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case",
    "catch", "cond", "div", "end", "fun", "if", "let", "not", "of", "or", "orelse", "receive",
    "rem", "try", "when", "xor",
];

/// Writes an atom, quoted if it must be.
pub(super) fn atom(f: &mut impl Write, text: &str) -> fmt::Result {
    let plain = starts_like_an_atom(text)
        && text.chars().all(|c| name_character(c) || c == '@')
        && RESERVED.binary_search(&text).is_err();
    if plain {
        return f.write_str(text);
    }
    f.write_char('\'')?;
    for c in text.chars() {
        character(f, c, '\'')?;
    }
    f.write_char('\'')
}

/// Writes an atom as the runtime system does inside of `fun m:f/1`, by rules a little different: `@`
/// needs quotes, reserved words do not.
pub(super) fn runtime_atom(f: &mut impl Write, text: &str) -> fmt::Result {
    if starts_like_an_atom(text) && text.chars().all(name_character) {
        return f.write_str(text);
    }
    f.write_char('\'')?;
    for c in text.chars() {
        match c {
            '\u{1b}' => f.write_str("\\033")?,
            '\u{7f}'.. | '"' => f.write_char(c)?,
            _ => character(f, c, '\'')?,
        }
    }
    f.write_char('\'')
}

fn starts_like_an_atom(text: &str) -> bool {
    text.starts_with(|c| matches!(c, 'a'..='z' | 'ß'..='ö' | 'ø'..='ÿ'))
}

fn name_character(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ÿ')
}

/// Writes one character of something quoted.
fn character(f: &mut impl Write, c: char, quote: char) -> fmt::Result {
    match c {
        _ if c == quote => write!(f, "\\{c}"),
        '\\' => f.write_str("\\\\"),
        ' '..='~' | '\u{a0}'.. => f.write_char(c),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\u{b}' => f.write_str("\\v"),
        '\u{8}' => f.write_str("\\b"),
        '\u{c}' => f.write_str("\\f"),
        '\u{1b}' => f.write_str("\\e"),
        '\u{7f}' => f.write_str("\\d"),
        _ => write!(f, "\\{:03o}", u32::from(c)),
    }
}

/// Whether a character counts as text: Latin-1 without its control characters.
fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{ff}' | '\u{8}'..='\u{d}' | '\u{1b}')
}

fn list_character(element: &Term) -> Option<char> {
    let byte = u8::try_from(element.as_i64()?).ok()?;
    Some(char::from(byte))
}

/// Whether a list is shown as a string.
pub(super) fn printable_list(elements: &[Term]) -> bool {
    !elements.is_empty()
        && elements
            .iter()
            .all(|e| list_character(e).is_some_and(printable))
}

/// Writes a list that is [printable](printable_list).
pub(super) fn string(f: &mut impl Write, elements: &[Term]) -> fmt::Result {
    quoted(f, elements.iter().filter_map(list_character))
}

fn quoted(f: &mut impl Write, text: impl Iterator<Item = char>) -> fmt::Result {
    f.write_char('"')?;
    for c in text {
        character(f, c, '"')?;
    }
    f.write_char('"')
}

/// Whether a binary is shown as text.
pub(super) fn is_binary_text(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && match std::str::from_utf8(bytes) {
            Ok(text) => text.chars().all(printable),
            Err(_) => bytes.iter().all(|b| printable(char::from(*b))),
        }
}

/// Writes a binary as `<<"text">>` or `<<"text"/utf8>>`, or writes nothing and says `false`.
pub(super) fn binary_text(f: &mut impl Write, bytes: &[u8]) -> Result<bool, fmt::Error> {
    if !is_binary_text(bytes) {
        return Ok(false);
    }
    let utf8 = std::str::from_utf8(bytes).ok();
    f.write_str("<<")?;
    match utf8 {
        Some(text) => quoted(f, text.chars())?,
        None => quoted(f, bytes.iter().map(|b| char::from(*b)))?,
    }
    f.write_str(match utf8 {
        Some(text) if !text.is_ascii() => "/utf8>>",
        _ => ">>",
    })?;
    Ok(true)
}

/// The shortest text that reads back as the same float: digits and point, or with an exponent where
/// that is shorter or the number is past the exact integers.
pub(super) fn float(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let size = value.abs();
    if size == 0.0 {
        return format!("{sign}0.0");
    }
    // "1.25e3": the digits are 125 and the point belongs after the fourth place.
    let scientific = shortest(size);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{sign}{}", place_point(&digits, exponent, size))
}

/// The fewest digits that read back as the same float, with an exponent. Where two texts are equally
/// short and equally near, Erlang takes the even last digit, Rust's shortest format the larger.
fn shortest(size: f64) -> String {
    let shortest = format!("{size:e}");
    let decimals = shortest.find('e').map_or(0, |end| end.saturating_sub(2));
    let even = format!("{size:.decimals$e}");
    if even.len() == shortest.len() && even.parse() == Ok(size) {
        even
    } else {
        shortest
    }
}

fn place_point(digits: &str, exponent: i32, size: f64) -> String {
    /// From here on Erlang always writes an exponent.
    const PAST_EXACT: f64 = 9_007_199_254_740_992.0;
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let place = exponent + 1;
    let fraction = if digits.len() == 1 { "0" } else { &digits[1..] };
    let with_exponent = format!("{}.{fraction}e{exponent}", &digits[..1]);
    let exponent_cost = with_exponent.len() as i32 - length;
    if size >= PAST_EXACT {
        with_exponent
    } else if place <= 0 {
        if place < 0 && 2 - place > exponent_cost {
            return with_exponent;
        }
        format!("0.{}{digits}", "0".repeat(place.unsigned_abs() as usize))
    } else if place >= length {
        if place - length + 2 > exponent_cost {
            return with_exponent;
        }
        format!("{digits}{}.0", "0".repeat((place - length) as usize))
    } else {
        let (whole, fraction) = digits.split_at(place as usize);
        format!("{whole}.{fraction}")
    }
}
