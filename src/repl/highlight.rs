//! Colours of the line being typed. They help to see an open string or a mistyped word, and carry no meaning alone.

use crate::plan::vocabulary::STATEMENTS;
use crate::syntax::token::{Sort, tokens};

/// Words between and behind subjects.
const CONNECTING: &[&str] = &[
    "depends", "depend", "does", "not", "loads", "because", "when", "together", "break", "then",
    "cmd",
];

/// The line with colours; as long as before when the escapes are left out.
pub(super) fn coloured(line: &str) -> String {
    let mut out = String::with_capacity(line.len() * 2);
    let mut rest = 0;
    let indent = line.len() - line.trim_start().len();
    let command = line[indent..].starts_with(':');
    if command {
        let end = line[indent..]
            .find(char::is_whitespace)
            .map_or(line.len(), |at| indent + at);
        out += &line[..indent];
        paint(&mut out, "1;36", &line[indent..end]);
        rest = end;
    }
    let base = rest;
    let mut words = 0;
    for token in tokens(&line[base..]) {
        let (start, end) = (base + token.range.start, base + token.range.end);
        out += &line[rest..start];
        let text = &line[start..end];
        words += 1;
        let begins = !command && words == 1 && STATEMENTS.iter().any(|s| s.word == text);
        let code = match token.sort {
            Sort::Text => "32",
            Sort::Number => "35",
            Sort::Variable => "36",
            Sort::Comment => "2",
            Sort::Word if begins || !command && CONNECTING.contains(&text) => "1",
            _ => "",
        };
        paint(&mut out, code, text);
        rest = end;
    }
    out += &line[rest..];
    out
}

fn paint(out: &mut String, code: &str, text: &str) {
    if code.is_empty() {
        out.push_str(text);
    } else {
        *out += &format!("\x1b[{code}m{text}\x1b[0m");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bare(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("\x1b[") {
            out += &rest[..at];
            let after = &rest[at..];
            rest = &after[after.find('m').map_or(after.len(), |end| end + 1)..];
        }
        out + rest
    }

    #[test]
    fn colours_change_no_text() {
        for line in [
            "module shop_cart #{timeout => 30s} because \"it is slow\".",
            "X = m:f(\"open",
            "  :why shop_cart before Shop.Cart",
            ":watch 2s m:f(1) % note",
            "é € \"ü\" 'ß'",
            "",
            " ",
        ] {
            assert_eq!(bare(&coloured(line)), line);
        }
        assert!(coloured("m:f(\"a\")").contains("\x1b[32m\"a\"\x1b[0m"));
        assert!(coloured("module m").starts_with("\x1b[1mmodule\x1b[0m"));
    }
}
