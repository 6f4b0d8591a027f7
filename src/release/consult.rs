//! Reading `.rel`, `.app` and `.appup` files: one Erlang term each, with the place of every part.
//!
//! As `systools` reads them: the first term up to its full stop counts, text in UTF-8 unless one of the first two
//! lines says `coding: latin-1`. Files of at most [`MAX_FILE`] bytes, terms of at most
//! [`MAX_DEPTH`] levels; never a panic.

#![expect(clippy::disallowed_methods, reason = ".rel, .app and .appup are files")]

use std::io::Read;
use std::path::{Path, PathBuf};

use super::scan::{TermToken, TermTokenKind, scan};
use crate::diag::Span;
use crate::regular_file;
use crate::term::etf::MAX_DEPTH;
use crate::term::{Fun, Term};

/// Largest file that is read, in bytes: ten times that of an application of ten thousand modules. Its term has up to a
/// hundred times as many in memory.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Where a term and its elements are in the text. Numbers, atoms, strings and maps have no elements here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermSpan {
    /// The whole term.
    pub span: Span,
    /// The elements of a tuple or list.
    pub inner: Vec<TermSpan>,
}

impl TermSpan {
    /// The place of an element, or of the whole if there is none of this number.
    pub fn at(&self, index: usize) -> &TermSpan {
        self.inner.get(index).unwrap_or(self)
    }
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct TermFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text; places are offsets in it.
    pub text: String,
    /// Its term.
    pub term: Term,
    /// Where its parts are.
    pub place: TermSpan,
}

/// What OTP calls a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsultErrorKind {
    /// The file cannot be opened.
    Open,
    /// It cannot be cut into tokens, or has no full stop.
    Read,
    /// Its tokens are no term.
    Parse,
}

/// A file that cannot be read, and where it stops making sense.
#[derive(Clone, Debug)]
pub struct ConsultError {
    /// Which file.
    pub path: PathBuf,
    /// What OTP calls it.
    pub kind: ConsultErrorKind,
    /// What is wrong.
    pub what: String,
    /// The text, if it could be got.
    pub text: Option<String>,
    /// Where.
    pub span: Span,
}

/// Reads a file.
///
/// # Errors
/// [`ConsultError`], with the place where there is one.
pub fn consult(path: &Path) -> Result<TermFile, ConsultError> {
    let failure = |kind, what: String| ConsultError {
        path: path.to_owned(),
        kind,
        what,
        text: None,
        span: Span::default(),
    };
    let bytes =
        contents(path).map_err(|error| failure(ConsultErrorKind::Open, error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        let what = format!("larger than {} MiB", MAX_FILE / 1024 / 1024);
        return Err(failure(ConsultErrorKind::Read, what));
    }
    let text = if is_latin1(&bytes) {
        bytes.iter().map(|byte| char::from(*byte)).collect()
    } else {
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let what =
                format!("byte {at} is not UTF-8, and no `%% coding: latin-1` says otherwise");
            failure(ConsultErrorKind::Read, what)
        })?
    };
    match read_term(&text) {
        Ok((term, place)) => Ok(TermFile {
            path: path.to_owned(),
            text,
            term,
            place,
        }),
        Err((kind, span, what)) => Err(ConsultError {
            text: Some(text),
            span,
            ..failure(kind, what.to_owned())
        }),
    }
}

fn contents(path: &Path) -> std::io::Result<Vec<u8>> {
    let (file, _) = regular_file::open(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a comment in the first two lines names Latin-1 (epp, "encoding").
fn is_latin1(bytes: &[u8]) -> bool {
    let head = bytes.split(|byte| *byte == b'\n').take(2);
    head.filter(|line| line.trim_ascii_start().starts_with(b"%"))
        .any(|line| {
            let line = String::from_utf8_lossy(line).to_ascii_lowercase();
            line.split_once("coding").is_some_and(|(_, behind)| {
                let value = behind.trim_start().strip_prefix([':', '=']);
                value.is_some_and(|value| value.trim_start().starts_with("latin-1"))
            })
        })
}

type Wrong = (ConsultErrorKind, Span, &'static str);

/// Reads the first term of a text.
fn read_term(text: &str) -> Result<(Term, TermSpan), Wrong> {
    let (tokens, stopped) =
        scan(text).map_err(|(span, what)| (ConsultErrorKind::Read, span, what))?;
    let end = tokens.last().map_or(0, |token| token.span.end);
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        end,
    };
    let found = parser.term(0)?;
    match parser.tokens.get(parser.at) {
        None if stopped => Ok(found),
        None => Err((
            ConsultErrorKind::Parse,
            Span::new(end, end),
            "the term does not end in a full stop",
        )),
        Some(token) => Err((
            ConsultErrorKind::Parse,
            token.span,
            "expected a full stop before this",
        )),
    }
}

struct Parser<'a> {
    tokens: &'a [TermToken],
    at: usize,
    end: usize,
}

type Parsed = Result<(Term, TermSpan), Wrong>;

impl Parser<'_> {
    fn wrong<T>(&self, what: &'static str) -> Result<T, Wrong> {
        let span = self
            .tokens
            .get(self.at)
            .map_or(Span::new(self.end, self.end), |token| token.span);
        Err((ConsultErrorKind::Parse, span, what))
    }

    fn kind(&self) -> Option<&TermTokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.kind(), Some(TermTokenKind::Sign(found)) if *found == sign)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str, what: &'static str) -> Result<usize, Wrong> {
        if self.eat(sign) {
            return Ok(self.tokens[self.at - 1].span.end);
        }
        self.wrong(what)
    }

    fn term(&mut self, depth: usize) -> Parsed {
        /// Spare stack below which a new piece is taken, and how large that is: the depth is bounded, but a
        /// thread may have begun with little.
        const SPARE: usize = 128 * 1024;
        const PIECE: usize = 4 << 20;
        if depth >= MAX_DEPTH {
            return self.wrong("nested too deep");
        }
        stacker::maybe_grow(SPARE, PIECE, || self.term_here(depth))
    }

    fn term_here(&mut self, depth: usize) -> Parsed {
        let Some(token) = self.tokens.get(self.at) else {
            return self.wrong("expected a term");
        };
        let start = token.span.start;
        self.at += 1;
        let (term, inner) = match &token.kind {
            TermTokenKind::Atom(name) => (Term::atom(name), Vec::new()),
            TermTokenKind::Number(number) => (number.clone(), Vec::new()),
            TermTokenKind::Text(codes) => (self.text(codes), Vec::new()),
            TermTokenKind::Sign("{") => {
                let (elements, places) = self.elements("}", depth)?;
                self.at += 1;
                (Term::Tuple(elements), places)
            }
            TermTokenKind::Sign("[") => self.list(depth)?,
            TermTokenKind::Sign("(") => {
                let (term, place) = self.term(depth + 1)?;
                self.expect(")", "expected `)`")?;
                (term, place.inner)
            }
            TermTokenKind::Sign("#") => (self.map(depth)?, Vec::new()),
            TermTokenKind::Sign("<<") => (self.binary()?, Vec::new()),
            TermTokenKind::Sign("-") => (self.number(true)?, Vec::new()),
            TermTokenKind::Sign("+") => (self.number(false)?, Vec::new()),
            TermTokenKind::Word(word) if word == "fun" => (self.fun()?, Vec::new()),
            _ => {
                self.at -= 1;
                return self.wrong("expected a term: no variables, operators or calls");
            }
        };
        let end = self.tokens[self.at - 1].span.end;
        let span = Span::new(start, end);
        Ok((term, TermSpan { span, inner }))
    }

    /// A string and those right behind it.
    fn text(&mut self, first: &[u32]) -> Term {
        let mut codes = first.to_vec();
        while let Some(TermTokenKind::Text(more)) = self.kind() {
            codes.extend(more);
            self.at += 1;
        }
        Term::list(codes.into_iter().map(|c| Term::Int(i64::from(c))))
    }

    fn elements(
        &mut self,
        close: &'static str,
        depth: usize,
    ) -> Result<(Vec<Term>, Vec<TermSpan>), Wrong> {
        let (mut elements, mut places) = (Vec::new(), Vec::new());
        if self.is(close) {
            return Ok((elements, places));
        }
        loop {
            let (term, place) = self.term(depth + 1)?;
            elements.push(term);
            places.push(place);
            // The bracket, or the bar of a tail, is left for the caller to see which.
            if self.is(close) || close == "]" && self.is("|") {
                return Ok((elements, places));
            }
            self.expect(",", "expected `,` or the closing bracket")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<(Term, Vec<TermSpan>), Wrong> {
        let (elements, mut places) = self.elements("]", depth)?;
        if self.eat("]") {
            return Ok((Term::List(elements), places));
        }
        self.at += 1;
        let (tail, place) = self.term(depth + 1)?;
        self.expect("]", "expected `]` behind the tail")?;
        places.extend(place.inner);
        Ok((Term::cons(elements, tail), places))
    }

    fn map(&mut self, depth: usize) -> Result<Term, Wrong> {
        self.expect("{", "expected `{`: records are not terms")?;
        let mut pairs = Vec::new();
        if self.eat("}") {
            return Ok(Term::map(pairs));
        }
        loop {
            let (key, _) = self.term(depth + 1)?;
            self.expect("=>", "expected `=>`")?;
            let (value, _) = self.term(depth + 1)?;
            pairs.push((key, value));
            if self.eat("}") {
                return Ok(Term::map(pairs));
            }
            self.expect(",", "expected `,` or `}`")?;
        }
    }

    fn number(&mut self, negative: bool) -> Result<Term, Wrong> {
        let Some(TermTokenKind::Number(number)) = self.kind() else {
            return self.wrong("expected a number behind the sign");
        };
        let number = match number {
            number if !negative => number.clone(),
            Term::Int(value) => Term::integer(-crate::term::BigInt::from(*value)),
            Term::Big(value) => Term::integer(-(**value).clone()),
            Term::Float(value) => Term::Float(-value),
            other => other.clone(),
        };
        self.at += 1;
        Ok(number)
    }

    fn fun(&mut self) -> Result<Term, Wrong> {
        const FORM: &str = "expected `fun Module:Name/Arity`";
        let name = |parser: &mut Self| match parser.kind() {
            Some(TermTokenKind::Atom(name)) => {
                let name = name.as_str().into();
                parser.at += 1;
                Ok(name)
            }
            _ => parser.wrong(FORM),
        };
        let module = name(self)?;
        self.expect(":", FORM)?;
        let function = name(self)?;
        self.expect("/", FORM)?;
        let arity = match self.kind() {
            Some(TermTokenKind::Number(Term::Int(arity))) => u8::try_from(*arity).ok(),
            _ => None,
        };
        let Some(arity) = arity else {
            return self.wrong(FORM);
        };
        self.at += 1;
        Ok(Term::Fun(Fun::External {
            module,
            name: function,
            arity,
        }))
    }

    /// Bytes, strings, and strings as UTF-8; no other segments.
    fn binary(&mut self) -> Result<Term, Wrong> {
        const FORM: &str = "updo reads bytes, strings and strings with `/utf8` in a binary";
        let mut bytes = Vec::new();
        if self.eat(">>") {
            return Ok(Term::binary(bytes));
        }
        loop {
            let kind = self.kind().cloned();
            self.at += 1;
            let utf8 = self.is("/");
            if utf8 {
                self.at += 1;
                if !matches!(self.kind(), Some(TermTokenKind::Atom(kind)) if kind == "utf8") {
                    return self.wrong(FORM);
                }
                self.at += 1;
            }
            let codes = match kind {
                Some(TermTokenKind::Text(codes)) => codes,
                Some(TermTokenKind::Number(Term::Int(byte))) => {
                    vec![u32::try_from(byte & if utf8 { 0x1f_ffff } else { 0xff }).unwrap_or(0)]
                }
                _ => {
                    self.at -= 1;
                    return self.wrong(FORM);
                }
            };
            for code in codes {
                match char::from_u32(code) {
                    Some(c) if utf8 => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
                    None if utf8 => return self.wrong("not a character"),
                    _ => bytes.push(code.to_le_bytes()[0]),
                }
            }
            if self.eat(">>") {
                return Ok(Term::binary(bytes));
            }
            self.expect(",", FORM)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_with_their_places() {
        let text = "%% a comment\n{a, [\"b\" \"c\", <<\"d\">>|x], #{k => -1}, $\\n}. garbage";
        let (term, place) = read_term(text).expect("a term");
        assert_eq!(term.to_string(), "{a,[\"bc\",<<\"d\">>|x],#{k => -1},10}");
        let shown = |place: &TermSpan| text[place.span.start..place.span.end].to_owned();
        assert_eq!(shown(place.at(1).at(0)), "\"b\" \"c\"");
        assert_eq!(shown(place.at(2)), "#{k => -1}");
    }

    #[test]
    fn nonsense_is_refused_in_its_place() {
        for (text, kind, at) in [
            ("{a, b", ConsultErrorKind::Parse, 5),
            ("{a, b}", ConsultErrorKind::Parse, 6),
            ("{a, b}}.", ConsultErrorKind::Parse, 6),
            ("{a, B}.", ConsultErrorKind::Parse, 4),
            ("{a, 'b}.", ConsultErrorKind::Read, 4),
            ("[a|].", ConsultErrorKind::Parse, 3),
            ("1 + 2.", ConsultErrorKind::Parse, 2),
            ("", ConsultErrorKind::Read, 0),
            (".", ConsultErrorKind::Parse, 0),
            ("1.0e999.", ConsultErrorKind::Read, 0),
            ("<<a>>.", ConsultErrorKind::Parse, 2),
            ("37#1.", ConsultErrorKind::Read, 0),
        ] {
            let (found, span, _) = read_term(text).expect_err(text);
            assert_eq!((found, span.start), (kind, at), "{text}");
        }
        let deep = format!("{}1{}.", "[".repeat(100_000), "]".repeat(100_000));
        assert!(read_term(&deep).is_err());
    }
}
