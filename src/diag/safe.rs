//! Text from outside, made safe to be shown: the one place that knows what a terminal, a log or a page must not get raw.
//!
//! Titles, reasons, names and values come from plans, nodes and files, and their author is not always their reader.
//! Control characters (C0, DEL, C1) could move the cursor or set the title of a terminal, the marks of bidirectional
//! text could show something else than there is, the separators of lines could forge a line. All of these become
//! escapes as Erlang writes them, `\x{202e}`; in JSON as JSON does, `\u202e`, so that no reader of JSON loses
//! anything. Escape sequences of our own are sealed with numbers that no text from outside can know: [`terminal`]
//! lets those through and nothing else.

use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use serde_json::Value;

/// Whether a character is never shown as it is. The end of a line and the tab are looked at by the callers.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

fn is_unsafe_in_text(c: char) -> bool {
    is_unsafe(c) && c != '\n' && c != '\t'
}

/// Text of several lines: ends of lines and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe_in_text)
}

/// Text of one line: nothing in it can begin another.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_unsafe)
}

fn escaped(text: &str, is_unsafe: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.char_indices() {
        if !ends_line(c, &text[at + c.len_utf8()..]) {
            push(&mut out, c, &is_unsafe);
        }
    }
    Cow::Owned(out)
}

/// Whether it is the first half of the end of a line, which a file may have from another system.
fn ends_line(c: char, after: &str) -> bool {
    c == '\r' && after.starts_with('\n')
}

fn push(out: &mut String, c: char, is_unsafe: impl Fn(char) -> bool) {
    match c {
        '\n' if is_unsafe(c) => out.push_str("\\n"),
        '\t' if is_unsafe(c) => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        '\u{1b}' => out.push_str("\\e"),
        c if is_unsafe(c) => {
            let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// The text of a JSON document, still the same document: such characters stand only in its strings, where `\u202e` means
/// the same.
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.contains(is_unsafe_in_text) {
        return Cow::Borrowed(document);
    }
    let mut out = String::with_capacity(document.len() + 16);
    for c in document.chars() {
        if is_unsafe_in_text(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A JSON value with all of its strings as [`text`].
pub fn value(raw: &Value) -> Value {
    match raw {
        Value::String(raw) => Value::String(text(raw).into_owned()),
        Value::Array(all) => Value::Array(all.iter().map(value).collect()),
        Value::Object(all) => Value::Object(
            all.iter()
                .map(|(key, one)| (text(key).into_owned(), value(one)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Three numbers behind the ones that mean something; a terminal ignores what it does not know.
fn seal() -> &'static str {
    static SEAL: OnceLock<String> = OnceLock::new();
    SEAL.get_or_init(|| {
        let mut chance = RandomState::new().hash_one(std::process::id());
        let mut number = || {
            let number = 1000 + chance % 9000;
            chance /= 9000;
            number
        };
        format!(";{};{};{}m", number(), number(), number())
    })
}

/// An escape sequence of our own that sets how text looks: `1;31`, `0`. It is for [`terminal`].
pub fn sgr(code: &str) -> String {
    format!("\u{1b}[{code}{}", seal())
}

/// Seals the sequences that a library has put around texts which are [safe](text) already.
pub(crate) fn sealed(styled: &str) -> String {
    let mut parts = styled.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('m') {
            Some((code, rest)) if is_code(code) => out += &(sgr(code) + rest),
            _ => out += &format!("\u{1b}[{part}"),
        }
    }
    out
}

fn is_code(code: &str) -> bool {
    code.chars().all(|c| c.is_ascii_digit() || c == ';')
}

/// What a terminal, a log or a pipe gets: [`text`] with the sequences of [`sgr`], without their seal.
pub fn terminal(composed: &str) -> Cow<'_, str> {
    if !composed.contains(is_unsafe_in_text) {
        return Cow::Borrowed(composed);
    }
    let mut out = String::with_capacity(composed.len());
    let mut rest = composed;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let own = (c == '\u{1b}').then(|| own(after)).flatten();
        if let Some((code, behind)) = own {
            let _ = write!(out, "\u{1b}[{code}m");
            rest = behind;
        } else if ends_line(c, after) {
            rest = after;
        } else {
            push(&mut out, c, is_unsafe_in_text);
            rest = after;
        }
    }
    Cow::Owned(out)
}

/// The code of a sequence that is ours, and what is behind it.
fn own(after: &str) -> Option<(&str, &str)> {
    let (code, behind) = after.strip_prefix('[')?.split_once(seal())?;
    is_code(code).then_some((code, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that must not be raw, and what looks like it and is text.
    #[test]
    fn what_could_act_is_escaped_and_what_is_text_stays() {
        let raw =
            "a\u{1b}]0;x\u{7}\u{9b}2J\u{7f}\u{202e}b\u{2066}\u{200f}\u{61c}\u{2028}\r\n\tåष日🙂";
        assert_eq!(
            text(raw),
            "a\\e]0;x\\x{7}\\x{9b}2J\\x{7f}\\x{202e}b\\x{2066}\\x{200f}\\x{61c}\\x{2028}\n\tåष日🙂"
        );
        assert!(line(raw).ends_with("}\\n\\tåष日🙂"));
        for c in (0..0x3000).filter_map(char::from_u32) {
            let one = c.to_string();
            let is_same = text(&one) == one;
            assert_eq!(is_same, !is_unsafe_in_text(c), "{:x}", u32::from(c));
            assert!(!text(&one).contains(is_unsafe_in_text));
        }
        assert!(matches!(text("åष日🙂\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_document_stays_the_same_document() {
        let raw = serde_json::json!({ "k\u{202e}": ["\u{9b}x\n", "\u{1b}", 7] });
        for printed in [format!("{raw}"), format!("{raw:#}")] {
            let safe = json(&printed);
            assert!(!safe.contains(is_unsafe_in_text), "{safe}");
            assert_eq!(serde_json::from_str::<Value>(&safe).ok(), Some(raw.clone()));
        }
        assert_eq!(
            value(&raw),
            serde_json::json!({ "k\\x{202e}": ["\\x{9b}x\n", "\\e", 7] })
        );
    }

    /// Only what we have coloured is coloured: a text cannot bring colours of its own, however it is composed.
    #[test]
    fn only_own_colours_reach_a_terminal() {
        let name = "evil\u{1b}[31mred\u{1b}[0m\u{1b}[1;1000;1000;1000mx\u{1b}[";
        let composed = format!("{}{name}{} done", sgr("1;32"), sgr("0"));
        assert_eq!(
            terminal(&composed),
            "\u{1b}[1;32mevil\\e[31mred\\e[0m\\e[1;1000;1000;1000mx\\e[\u{1b}[0m done"
        );
        assert_eq!(
            terminal(&sealed("\u{1b}[36ma\u{1b}[0m")),
            "\u{1b}[36ma\u{1b}[0m"
        );
        assert_eq!(terminal("\u{1b}[2J\u{202e}"), "\\e[2J\\x{202e}");
    }
}
