//! From the text of a resource file to tokens, up to its first full stop, as `erl_scan` cuts it.
//!
//! Unlike plans these files hold plain Erlang terms: no aliases, no durations. Text behind the first term is
//! not looked at, as OTP does not look at it either.

use crate::diag::Span;
use crate::term::Term;
use crate::term::number::{self, NotInteger};

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TermTokenKind {
    Atom(String),
    /// A reserved word or a variable.
    Word(String),
    Number(Term),
    Text(Vec<u32>),
    Sign(&'static str),
}

/// A token and its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TermToken {
    pub kind: TermTokenKind,
    pub span: Span,
}

/// What cannot be a token, and where.
pub(super) type Bad = (Span, &'static str);

/// Signs, the longest first.
const SIGNS: &[&str] = &[
    "=:=", "=/=", "...", "<<", ">>", "=>", ":=", "->", "<-", "<=", "=<", ">=", "==", "/=", "||",
    "++", "--", "::", "..", "{", "}", "[", "]", "(", ")", ",", "|", "-", "+", "#", ":", "/", "*",
    "=", "<", ">", ";", "!", "?", ".", "\\", "^", "`", "~", "&", "@",
];

const RESERVED: &[&str] = &[
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case",
    "catch", "cond", "div", "end", "fun", "if", "let", "not", "of", "or", "orelse", "receive",
    "rem", "try", "when", "xor",
];

/// The tokens before the first full stop, and whether there is one.
pub(super) fn scan(text: &str) -> Result<(Vec<TermToken>, bool), Bad> {
    let mut scanner = Scanner { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        scanner.blank();
        let start = scanner.at;
        let Some(c) = scanner.peek() else {
            if tokens.is_empty() {
                return Err((Span::new(start, start), "there is no term"));
            }
            return Ok((tokens, false));
        };
        if c == '.' && scanner.is_full_stop() {
            return Ok((tokens, true));
        }
        let kind = scanner.token(c)?;
        let span = Span::new(start, scanner.at);
        tokens.push(TermToken { kind, span });
    }
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

fn is_blank(c: char) -> bool {
    matches!(u32::from(c), 0..=32 | 128..=160)
}

fn is_lower(c: char) -> bool {
    c.is_ascii_lowercase() || matches!(c, 'ß'..='ÿ') && c != '÷'
}

fn is_upper(c: char) -> bool {
    c.is_ascii_uppercase() || c == '_' || matches!(c, 'À'..='Þ') && c != '×'
}

fn is_name(c: char) -> bool {
    is_lower(c) || is_upper(c) || c.is_ascii_digit() || c == '@'
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn bad<T>(&self, start: usize, what: &'static str) -> Result<T, Bad> {
        Err((Span::new(start, self.at.max(start)), what))
    }

    fn take(&mut self, test: impl Fn(char) -> bool) -> String {
        let rest = self.rest();
        let len = rest.find(|c| !test(c)).unwrap_or(rest.len());
        let taken = rest[..len].to_owned();
        self.at += len;
        taken
    }

    /// Blanks and comments.
    fn blank(&mut self) {
        loop {
            self.take(is_blank);
            if self.peek() != Some('%') {
                return;
            }
            self.take(|c| c != '\n');
        }
    }

    fn is_full_stop(&self) -> bool {
        let behind = self.rest()[1..].chars().next();
        behind.is_none_or(|c| is_blank(c) || c == '%')
    }

    fn token(&mut self, c: char) -> Result<TermTokenKind, Bad> {
        let start = self.at;
        match c {
            '0'..='9' => self.number(),
            '"' => Ok(TermTokenKind::Text(self.quoted('"')?)),
            '\'' => {
                let codes = self.quoted('\'')?;
                let text: Option<String> = codes.iter().map(|c| char::from_u32(*c)).collect();
                match text {
                    Some(text) if text.chars().count() < 256 => Ok(TermTokenKind::Atom(text)),
                    _ => self.bad(start, "not a possible atom"),
                }
            }
            '$' => {
                self.at += 1;
                match self.next() {
                    Some('\\') => Ok(TermTokenKind::Number(Term::Int(i64::from(
                        self.escape(start)?,
                    )))),
                    Some(c) => Ok(TermTokenKind::Number(Term::Int(i64::from(u32::from(c))))),
                    None => self.bad(start, "`$` without a character"),
                }
            }
            c if is_lower(c) => {
                let word = self.take(is_name);
                Ok(if RESERVED.contains(&word.as_str()) {
                    TermTokenKind::Word(word)
                } else if word.chars().count() < 256 {
                    TermTokenKind::Atom(word)
                } else {
                    return self.bad(start, "an atom has at most 255 characters");
                })
            }
            c if is_upper(c) => Ok(TermTokenKind::Word(self.take(is_name))),
            _ => match SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
                Some(sign) => {
                    self.at += sign.len();
                    Ok(TermTokenKind::Sign(sign))
                }
                // The rest of Latin-1 makes tokens, though no terms.
                None if u32::from(c) < 256 => {
                    self.next();
                    Ok(TermTokenKind::Word(c.to_string()))
                }
                None => {
                    self.next();
                    self.bad(start, "not a character that Erlang terms are written with")
                }
            },
        }
    }

    /// Digits with single underscores between them.
    fn digits(&mut self, radix: u32) -> String {
        let mut digits = String::new();
        loop {
            digits += &self.take(|c| c.is_digit(radix));
            let mut ahead = self.rest().chars();
            let underscore = !digits.is_empty() && ahead.next() == Some('_');
            if underscore && ahead.next().is_some_and(|c| c.is_digit(radix)) {
                self.at += 1;
            } else {
                return digits;
            }
        }
    }

    fn number(&mut self) -> Result<TermTokenKind, Bad> {
        let start = self.at;
        let mut text = self.digits(10);
        let mut ahead = self.rest().chars();
        let (sign, digit) = (ahead.next(), ahead.next());
        if sign == Some('#') {
            let radix = text.parse().unwrap_or(0);
            if (2..=36).contains(&radix) {
                self.at += 1;
                let digits = self.digits(radix);
                return self.integer(start, &digits, radix);
            }
            return self.bad(start, "a base is 2 to 36");
        }
        if sign == Some('.') && digit.is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            text = format!("{text}.{}", self.digits(10));
            let rest = self.rest();
            let exponent = rest
                .strip_prefix(['e', 'E'])
                .map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
            if let Some(behind) = exponent {
                if !behind.starts_with(|c: char| c.is_ascii_digit()) {
                    return self.bad(start, "an exponent needs digits");
                }
                text += &rest[..rest.len() - behind.len()];
                self.at = self.text.len() - behind.len();
                text += &self.digits(10);
            }
            return match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(TermTokenKind::Number(Term::Float(value))),
                _ => self.bad(start, "does not fit a float"),
            };
        }
        self.integer(start, &text, 10)
    }

    fn integer(&self, start: usize, digits: &str, base: u32) -> Result<TermTokenKind, Bad> {
        match number::parse(digits.as_bytes(), base) {
            Ok(value) => Ok(TermTokenKind::Number(Term::integer(value))),
            Err(NotInteger::Malformed) => self.bad(start, "not a number"),
            Err(NotInteger::TooBig) => self.bad(start, "a number with more than 2^20 bits"),
        }
    }

    fn quoted(&mut self, close: char) -> Result<Vec<u32>, Bad> {
        let start = self.at;
        self.at += 1;
        let mut codes = Vec::new();
        loop {
            match self.next() {
                None => {
                    let span = Span::new(start, start + 1);
                    return Err((span, "this quote is never closed"));
                }
                Some('\\') => codes.push(self.escape(start)?),
                Some(c) if c == close => return Ok(codes),
                Some(c) => codes.push(u32::from(c)),
            }
        }
    }

    /// What is behind a backslash.
    fn escape(&mut self, start: usize) -> Result<u32, Bad> {
        let Some(c) = self.next() else {
            return self.bad(start, "the text ends in an escape");
        };
        let valid = |code: u32| (code < 0x11_0000).then_some(code);
        let code = match c {
            'n' => Some(10),
            'r' => Some(13),
            't' => Some(9),
            'v' => Some(11),
            'b' => Some(8),
            'f' => Some(12),
            'e' => Some(27),
            's' => Some(32),
            'd' => Some(127),
            '^' => self.next().map(|c| u32::from(c) & 31),
            'x' if self.peek() == Some('{') => {
                self.at += 1;
                let hex = self.take(|c| c.is_ascii_hexdigit());
                let closed = self.next() == Some('}');
                u32::from_str_radix(&hex, 16)
                    .ok()
                    .filter(|_| closed)
                    .and_then(valid)
            }
            'x' => {
                let hex: String = self.rest().chars().take(2).collect();
                let good = hex.len() == 2 && hex.bytes().all(|b| b.is_ascii_hexdigit());
                self.at += if good { 2 } else { 0 };
                u32::from_str_radix(&hex, 16).ok().filter(|_| good)
            }
            '0'..='7' => {
                self.at -= 1;
                let octal: String = self
                    .rest()
                    .chars()
                    .take(3)
                    .take_while(|c| c.is_digit(8))
                    .collect();
                self.at += octal.len();
                u32::from_str_radix(&octal, 8).ok()
            }
            other => Some(u32::from(other)),
        };
        match code {
            Some(code) => Ok(code),
            None => self.bad(start, "a malformed escape"),
        }
    }
}
