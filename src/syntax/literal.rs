//! From the text of a literal to its value: numbers, durations, characters, strings, sigils, quoted atoms.
//!
//! It takes the text of one token that the grammar accepted and gives a term or E106 with the exact place.
//! Escapes are Erlang's (Reference Manual, "Data Types"); triple-quoted strings and sigils are OTP 27's.

use std::borrow::Cow;

use crate::diag::{Code, Diagnostic, Result, Span};
use crate::term::Term;
use crate::term::number::{self, NotInteger};

/// E106 at a place.
pub(super) fn malformed(
    span: Span,
    title: impl Into<String>,
    label: &str,
    help: &str,
) -> Box<Diagnostic> {
    let diagnostic = Diagnostic::new(Code::E106, title).label(span, label);
    Box::new(if help.is_empty() {
        diagnostic
    } else {
        diagnostic.help(help)
    })
}

/// The beginning of a literal, which may be of any length; what a message says of it.
fn short(text: &str) -> Cow<'_, str> {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// `17`, `1_000`.
pub(super) fn integer(text: &str, span: Span) -> Result<Term> {
    digits(text, 10, span)
}

/// The integer of digits and underscores.
fn digits(text: &str, base: u32, span: Span) -> Result<Term> {
    match number::parse(text.replace('_', "").as_bytes(), base) {
        Ok(value) => Ok(Term::integer(value)),
        Err(NotInteger::Malformed) => Err(malformed(
            span,
            format!("malformed number `{}`", short(text)),
            "not a number",
            "",
        )),
        Err(NotInteger::TooBig) => Err(malformed(
            span,
            "a number with more than 2^20 bits",
            "too big to compute with",
            "",
        )),
    }
}

/// `16#ff`: a base from 2 to 36.
pub(super) fn based(text: &str, span: Span) -> Result<Term> {
    let (base, behind) = text.split_once('#').unwrap_or((text, ""));
    let radix = base.parse::<u32>().ok().filter(|r| (2..=36).contains(r));
    let Some(radix) = radix else {
        let span = Span::new(span.start, span.start + base.len());
        return Err(malformed(
            span,
            format!("there is no base {}", short(base)),
            "a base is 2 to 36",
            "",
        ));
    };
    if let Some((at, digit)) = behind
        .char_indices()
        .find(|(_, c)| *c != '_' && !c.is_digit(radix))
    {
        let at = span.start + base.len() + 1 + at;
        let title = format!("`{digit}` is no digit of base {radix}");
        return Err(malformed(
            Span::new(at, at + digit.len_utf8()),
            title,
            "not a digit of this base",
            "",
        ));
    }
    digits(behind, radix, span)
}

/// `1.5`, `1.0e-3`.
pub(super) fn float(text: &str, span: Span) -> Result<Term> {
    match text.replace('_', "").parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Term::Float(value)),
        _ => Err(malformed(
            span,
            format!("`{}` does not fit a float", short(text)),
            "too large",
            "",
        )),
    }
}

/// `500ms`, `30s`, `5m`, `1h`: milliseconds.
pub(super) fn duration(text: &str, span: Span) -> Result<u64> {
    let (digits, factor) = if let Some(digits) = text.strip_suffix("ms") {
        (digits, 1)
    } else if let Some(digits) = text.strip_suffix('s') {
        (digits, 1_000)
    } else if let Some(digits) = text.strip_suffix('m') {
        (digits, 60_000)
    } else {
        (text.trim_end_matches('h'), 3_600_000)
    };
    let value = digits
        .replace('_', "")
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor));
    // Timeouts of the VM end at 2^32 - 1 milliseconds; ten years are a generous border for plans.
    value
        .filter(|ms| *ms <= 10 * 366 * 24 * 3_600_000)
        .ok_or_else(|| {
            malformed(
                span,
                format!("the duration `{}` is too long", short(text)),
                "more than ten years",
                "write `infinity` if it shall never end",
            )
        })
}

/// `$c`: its code point.
pub(super) fn char(text: &str, span: Span) -> Result<Term> {
    let body = &text[1..];
    let code = match body.strip_prefix('\\') {
        Some(_) => unescape(body, span.start + 1, true)?.first().copied(),
        None => body.chars().next().map(u32::from),
    };
    match code {
        Some(code) => Ok(Term::Int(i64::from(code))),
        None => Err(malformed(
            span,
            "`$` without a character",
            "expected a character after `$`",
            "write `$\\s` for a blank",
        )),
    }
}

/// The code points of `"…"`, or of a triple-quoted string; `start` is the position of the text.
pub(super) fn string(text: &str, start: usize) -> Result<Vec<u32>> {
    if text.starts_with("\"\"\"") {
        return triple(text, start, false);
    }
    unescape(&text[1..text.len() - 1], start + 1, true)
}

/// The text of `'…'`.
pub(super) fn quoted_atom(text: &str, span: Span) -> Result<String> {
    let codes = unescape(&text[1..text.len() - 1], span.start + 1, true)?;
    atom_text(&to_text(&codes, span)?, span)
}

/// Checks the length of an atom: at most 255 characters.
pub(super) fn atom_text(text: &str, span: Span) -> Result<String> {
    if text.chars().count() > 255 {
        return Err(malformed(
            span,
            "an atom has at most 255 characters",
            "this one is longer",
            "",
        ));
    }
    Ok(text.to_owned())
}

/// A sigil: `~s`, `~S` give strings, `~b`, `~B` and `~` alone UTF-8 binaries.
pub(super) fn sigil(text: &str, span: Span) -> Result<Term> {
    let letter = text[1..].chars().next().filter(char::is_ascii_alphabetic);
    let body = &text[1 + letter.map_or(0, char::len_utf8)..];
    let start = span.end - body.len();
    let verbatim = letter.is_some_and(|l| l.is_ascii_uppercase());
    let codes = if body.starts_with("\"\"\"") {
        triple(body, start, letter.is_some() && !verbatim)?
    } else {
        unescape(&body[1..body.len() - 1], start + 1, !verbatim)?
    };
    if letter.is_some_and(|l| l.eq_ignore_ascii_case(&'s')) {
        return Ok(codes_to_list(&codes));
    }
    Ok(Term::binary(to_text(&codes, span)?))
}

/// A string as Erlang has it: a list of code points.
pub(super) fn codes_to_list(codes: &[u32]) -> Term {
    Term::list(codes.iter().map(|c| Term::Int(i64::from(*c))))
}

/// Code points as text. Surrogates, which `"\x{d800}"` may hold, are no text.
pub(super) fn to_text(codes: &[u32], span: Span) -> Result<String> {
    codes
        .iter()
        .map(|c| char::from_u32(*c))
        .collect::<Option<String>>()
        .ok_or_else(|| {
            malformed(
                span,
                "half a surrogate pair is not text",
                "holds a code point from D800 to DFFF",
                "",
            )
        })
}

/// The lines of a triple-quoted string without the indentation of its last line.
fn triple(text: &str, start: usize, escapes: bool) -> Result<Vec<u32>> {
    let Some((first, last)) = text.find('\n').zip(text.rfind('\n')) else {
        return Ok(Vec::new());
    };
    if first == last {
        return Ok(Vec::new());
    }
    let tail = &text[last + 1..];
    let indent = &tail[..tail.len() - tail.trim_start_matches([' ', '\t', '\r']).len()];
    let mut codes = Vec::new();
    let mut at = first + 1;
    for line in text[first + 1..last].split('\n') {
        let cut = match line.strip_prefix(indent) {
            Some(rest) => rest,
            None if line.trim().is_empty() => "",
            None => {
                let span = Span::new(start + at, start + at + line.len().max(1));
                let title = "a line of this text is indented less than its closing quotes";
                return Err(malformed(span, title, "indent this line", ""));
            }
        };
        if at > first + 1 {
            codes.push(u32::from('\n'));
        }
        codes.extend(unescape(cut, start + at + line.len() - cut.len(), escapes)?);
        at += line.len() + 1;
    }
    Ok(codes)
}

/// Resolves escapes; `start` is the position of the text.
fn unescape(text: &str, start: usize, escapes: bool) -> Result<Vec<u32>> {
    let mut codes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        at += c.len_utf8();
        if c != '\\' || !escapes {
            codes.push(u32::from(c));
            continue;
        }
        let len = super::lex::escape_len(&text[at..]);
        let escape = &text[at..at + len];
        match escape_code(escape, &text[at..]) {
            Some(code) => codes.push(code),
            None => {
                let span = Span::new(start + at - 1, start + at + len);
                let title = format!("bad escape `\\{escape}`");
                let help = "write `\\x41` or `\\x{1F600}`; `\\\\` is a backslash";
                return Err(malformed(span, title, "this is not a character", help));
            }
        }
        at += len;
    }
    Ok(codes)
}

/// The code point of an escape (without its backslash).
fn escape_code(escape: &str, rest: &str) -> Option<u32> {
    let mut chars = escape.chars();
    let first = chars.next()?;
    let code = match first {
        'x' if rest.starts_with("x{") => {
            u32::from_str_radix(escape.strip_prefix("x{")?.strip_suffix('}')?, 16).ok()?
        }
        'x' => u32::from_str_radix(&escape[1..], 16).ok()?,
        '0'..='7' => u32::from_str_radix(escape, 8).ok()?,
        '^' => match chars.next()? {
            c @ '@'..='_' => u32::from(c) - 64,
            c @ 'a'..='z' => u32::from(c) - 96,
            '?' => 127,
            _ => return None,
        },
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        'b' => 8,
        'f' => 12,
        'e' => 27,
        's' => 32,
        'd' => 127,
        other => u32::from(other),
    };
    (code <= 0x10_FFFF).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Span {
        Span::new(0, text.len())
    }

    #[test]
    fn numbers_are_those_of_erlang() {
        let of = |f: fn(&str, Span) -> Result<Term>, text: &str| f(text, span(text)).ok();
        assert_eq!(of(integer, "1_000"), Some(Term::Int(1000)));
        assert_eq!(of(based, "16#fF"), Some(Term::Int(255)));
        assert_eq!(of(based, "36#z_z"), Some(Term::Int(35 * 36 + 35)));
        assert_eq!(of(based, "37#1"), None);
        assert_eq!(of(float, "1.0e999"), None);
        assert_eq!(
            based("2#102", span("2#102")).map_err(|d| d.labels[0].span),
            Err(Span::new(4, 5))
        );
        assert!(matches!(
            of(integer, "99999999999999999999"),
            Some(Term::Big(_))
        ));
    }

    #[test]
    fn durations_are_milliseconds() {
        let of = |text: &str| duration(text, span(text)).ok();
        assert_eq!(
            [of("500ms"), of("30s"), of("5m"), of("1h")],
            [Some(500), Some(30_000), Some(300_000), Some(3_600_000)]
        );
        assert_eq!(of("99999999999999999999h"), None);
        assert_eq!(of("9999999h"), None);
    }

    #[test]
    fn escapes_are_those_of_erlang() {
        let codes = string(r#""\x41\x{1F600}\101\n\^A\s\"""#, 0);
        assert_eq!(codes.ok(), Some(vec![65, 0x1F600, 65, 10, 1, 32, 34]));
        assert_eq!(
            string(r#""ab\xzz""#, 10).map_err(|d| d.labels[0].span),
            Err(Span::new(13, 15))
        );
        assert!(string(r#""\x{110000}""#, 0).is_err());
        assert_eq!(char("$\\^A", span("    ")).ok(), Some(Term::Int(1)));
    }

    #[test]
    fn triple_quotes_and_sigils_are_those_of_otp_27() {
        let text = |codes: Vec<u32>| {
            codes
                .into_iter()
                .filter_map(char::from_u32)
                .collect::<String>()
        };
        assert_eq!(
            string("\"\"\"\n  a\\n\n\n   b\n  \"\"\"", 0)
                .map(text)
                .ok()
                .as_deref(),
            Some("a\\n\n\n b")
        );
        assert_eq!(string("\"\"\"\n\"\"\"", 0).ok(), Some(vec![]));
        assert!(string("\"\"\"\n a\n  \"\"\"", 0).is_err());
        let of = |text: &str| sigil(text, span(text)).ok();
        assert_eq!(of("~\"\u{e5}\\n\""), Some(Term::binary("\u{e5}\n")));
        assert_eq!(of("~B(a\\n)"), Some(Term::binary("a\\n")));
        assert_eq!(of("~s[a\\n]"), Some(Term::string("a\n")));
        assert_eq!(of("~b\"\"\"\n a\\n\n \"\"\""), Some(Term::binary("a\n")));
        assert_eq!(of("~\"\"\"\n a\\n\n \"\"\""), Some(Term::binary("a\\n")));
    }
}
