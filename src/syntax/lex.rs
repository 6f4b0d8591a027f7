//! A small lexer that runs before the grammar: it cuts the text into tokens and the tokens into statements.
//!
//! It takes any text and always gives tokens; what it cannot read it reports and steps over. It exists for
//! error messages and recovery: the grammar (`grammar/updo.pest`) alone decides what a plan means. Offsets
//! are local to the text. It must never loop, panic, or need more than a few passes over the text.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A bare atom, a reserved word or a word of the plan language.
    Word,
    /// A variable.
    Var,
    /// An Elixir module with a dot in it.
    Alias,
    /// A number or duration, well formed or not.
    Number,
    /// A string, triple-quoted ones included.
    Str,
    /// `'…'`.
    QuotedAtom,
    /// `$c`.
    Char,
    /// `~…`.
    Sigil,
    /// `(`, `[`, `{`, `#{`, `<<`.
    Open,
    /// `)`, `]`, `}`, `>>`.
    Close,
    /// A dot that ends a statement.
    Dot,
    /// Any other sign.
    Op,
    /// A character that has no business outside of quotes.
    Unknown,
}

/// A token and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RawToken {
    /// What it is.
    pub kind: TokenKind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// What the lexer itself finds wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// A quote at `open` (with its prefix `len` bytes long) that nothing closes.
    Unterminated { open: usize, len: usize },
    /// `"""` with text behind it on the same line.
    TripleOpen { start: usize, end: usize },
    /// `# comment`.
    HashComment { start: usize, end: usize },
}

impl Problem {
    /// Where it is.
    pub fn start(self) -> usize {
        match self {
            Self::Unterminated { open, .. } => open,
            Self::TripleOpen { start, .. } | Self::HashComment { start, .. } => start,
        }
    }
}

/// Everything the lexer knows about a text.
#[derive(Debug)]
pub(super) struct Lexed {
    /// The tokens, in order.
    pub tokens: Vec<RawToken>,
    /// `%` comments without their line ends.
    pub comments: Vec<(usize, usize)>,
    /// What is wrong, by place.
    pub problems: Vec<Problem>,
    /// Whether a quote is still open at the end of the text.
    pub open_quote: bool,
}

/// How often a suspicious quote is reread before the rest is taken as it comes.
const MAX_REWINDS: usize = 24;

/// Signs of more than one character, the longest first.
const SIGNS: &[&str] = &[
    "=:=", "=/=", "!==", "===", "...", "==", "/=", "=<", ">=", "->", "<-", "<=", "::", ":=", "=>",
    "||", "++", "--", "!=", "&&", "|>", "<>", "..",
];

/// Cuts a text into tokens.
///
/// With `recover`, a quote that nothing closes is taken to end with its line; without, it takes the rest
/// of the text and [`Lexed::open_quote`] is set, which is what the REPL wants to know.
pub(super) fn lex(text: &str, recover: bool) -> Lexed {
    let mut lexer = Lexer {
        text,
        at: 0,
        rewinds: 0,
        recover,
        out: Lexed::empty(),
    };
    while lexer.at < text.len() {
        lexer.token();
    }
    lexer.out.problems.sort_by_key(|p| p.start());
    lexer.out
}

impl Lexed {
    fn empty() -> Self {
        Self {
            tokens: Vec::new(),
            comments: Vec::new(),
            problems: Vec::new(),
            open_quote: false,
        }
    }

    /// The text with everything that was reported and can be ignored replaced by blanks.
    pub fn mask(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        if text.starts_with('\u{feff}') {
            bytes[..3].fill(b' ');
        }
        for problem in &self.problems {
            if let Problem::HashComment { start, end } = *problem {
                bytes[start..end].fill(b' ');
            }
        }
        String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    rewinds: usize,
    recover: bool,
    out: Lexed,
}

/// Whether a character may continue a name.
pub(super) fn is_id(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '@'
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: TokenKind, start: usize) {
        let end = self.at;
        self.out.tokens.push(RawToken { kind, start, end });
    }

    /// Moves over characters while they satisfy the test.
    fn skip(&mut self, test: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !test(c)).unwrap_or(rest.len());
    }

    /// Reads one token, comment or run of blanks.
    fn token(&mut self) {
        let start = self.at;
        let Some(c) = self.rest().chars().next() else {
            return;
        };
        match c {
            ' ' | '\t' | '\r' | '\n' | '\u{b}' | '\u{c}' => {
                self.skip(|c| c.is_ascii_whitespace() || c == '\u{b}')
            }
            '\u{feff}' if start == 0 => self.at += c.len_utf8(),
            '%' => {
                self.skip(|c| c != '\n');
                self.out.comments.push((start, self.at));
            }
            '0'..='9' => self.number(),
            '"' | '\'' => self.quoted(start),
            '$' => self.char(),
            '~' => self.sigil(),
            '#' if self.is_hash_comment() => {
                self.skip(|c| c != '\n');
                self.out.problems.push(Problem::HashComment {
                    start,
                    end: self.at,
                });
            }
            '.' if !self.rest()[1..]
                .starts_with(|c: char| !c.is_ascii_whitespace() && c != '%') =>
            {
                self.at += 1;
                self.push(TokenKind::Dot, start);
            }
            '(' | '[' | '{' => self.sign(1, TokenKind::Open),
            ')' | ']' | '}' => self.sign(1, TokenKind::Close),
            _ if self.rest().starts_with("#{") || self.rest().starts_with("<<") => {
                self.sign(2, TokenKind::Open)
            }
            _ if self.rest().starts_with(">>") => self.sign(2, TokenKind::Close),
            _ if c.is_uppercase() || c == '_' => self.variable(),
            _ if c.is_alphabetic() => {
                self.skip(is_id);
                self.push(TokenKind::Word, start);
            }
            _ => self.operator(c),
        }
    }

    fn sign(&mut self, len: usize, kind: TokenKind) {
        let start = self.at;
        self.at += len;
        self.push(kind, start);
    }

    fn operator(&mut self, c: char) {
        let long = SIGNS.iter().find(|sign| self.rest().starts_with(**sign));
        let kind = if c.is_ascii_graphic() {
            TokenKind::Op
        } else {
            TokenKind::Unknown
        };
        self.sign(long.map_or(c.len_utf8(), |sign| sign.len()), kind);
    }

    /// `#` opens a comment of another language when a blank or `#` follows, or when it begins its line.
    fn is_hash_comment(&self) -> bool {
        let rest = &self.rest()[1..];
        if rest.starts_with('{') {
            return false;
        }
        let line = &self.text[self.text[..self.at].rfind('\n').map_or(0, |n| n + 1)..self.at];
        rest.starts_with([' ', '\t', '#', '!', '\n', '\r']) || line.trim().is_empty()
    }

    fn variable(&mut self) {
        let start = self.at;
        self.skip(is_id);
        let mut kind = TokenKind::Var;
        while self.rest().starts_with('.')
            && self.rest()[1..].starts_with(|c: char| c.is_ascii_uppercase())
        {
            self.at += 1;
            self.skip(is_id);
            kind = TokenKind::Alias;
        }
        self.push(kind, start);
    }

    fn number(&mut self) {
        let start = self.at;
        self.skip(|c| c.is_ascii_digit() || c == '_');
        if self.rest().starts_with('#')
            && self.rest()[1..].starts_with(|c: char| c.is_ascii_alphanumeric())
        {
            self.at += 1;
        } else if self.rest().starts_with('.')
            && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit())
        {
            self.at += 1;
            self.skip(|c| c.is_ascii_digit() || c == '_');
            let exponent = self
                .rest()
                .strip_prefix(['e', 'E'])
                .map(|r| r.strip_prefix(['+', '-']).unwrap_or(r));
            if let Some(rest) = exponent.filter(|r| r.starts_with(|c: char| c.is_ascii_digit())) {
                self.at = self.text.len() - rest.len();
            }
        }
        self.skip(is_id);
        self.push(TokenKind::Number, start);
    }

    fn char(&mut self) {
        let start = self.at;
        self.at += 1;
        let rest = self.rest();
        let len = match rest.strip_prefix('\\') {
            Some(escape) => 1 + escape_len(escape),
            None => rest
                .chars()
                .next()
                .filter(|c| !c.is_whitespace())
                .map_or(0, char::len_utf8),
        };
        self.at += len;
        self.push(TokenKind::Char, start);
    }

    fn sigil(&mut self) {
        let start = self.at;
        self.at += 1;
        let letter = self.rest().chars().next().filter(char::is_ascii_alphabetic);
        let prefix = 1 + letter.map_or(0, char::len_utf8);
        self.at = start + prefix;
        let close = match self.rest().chars().next() {
            Some('"') => {
                return self.quote(
                    start,
                    TokenKind::Sigil,
                    '"',
                    !letter.is_some_and(|l| l.is_ascii_uppercase()),
                );
            }
            Some('(') => ')',
            Some('[') => ']',
            Some('{') => '}',
            Some('<') => '>',
            Some(c @ ('/' | '|' | '\'' | '`' | '#')) => c,
            _ => {
                self.at = start + 1;
                return self.push(TokenKind::Op, start);
            }
        };
        self.quote(
            start,
            TokenKind::Sigil,
            close,
            !letter.is_some_and(|l| l.is_ascii_uppercase()),
        );
    }

    fn quoted(&mut self, start: usize) {
        if self.rest().starts_with('"') {
            self.quote(start, TokenKind::Str, '"', true);
        } else {
            self.quote(start, TokenKind::QuotedAtom, '\'', true);
        }
    }

    /// Reads from the opening delimiter at the cursor to the closing one.
    fn quote(&mut self, start: usize, kind: TokenKind, close: char, escapes: bool) {
        if close == '"' && self.rest().starts_with("\"\"\"") {
            return self.triple(start, kind);
        }
        let opening = self.at + 1;
        let mut chars = self.text[opening..].char_indices();
        while let Some((i, c)) = chars.next() {
            if c == '\\' && escapes {
                chars.next();
            } else if c == close {
                self.at = opening + i + c.len_utf8();
                return self.push(kind, start);
            }
        }
        self.unterminated(start, opening - start, kind, close);
    }

    fn triple(&mut self, start: usize, kind: TokenKind) {
        let quotes = self.rest().len() - self.rest().trim_start_matches('"').len();
        let opening = self.at + quotes;
        let blank = |s: &str| s.trim_start_matches([' ', '\t', '\r']).len();
        let first = &self.text[opening..];
        if blank(first) == 0 {
            return self.unterminated(start, opening - start, kind, '"');
        }
        let line_end = opening + first.len() - blank(first);
        if !self.text[line_end..].starts_with('\n') {
            self.skip(|c| c != '\n');
            self.out.problems.push(Problem::TripleOpen {
                start,
                end: opening,
            });
            return self.push(kind, start);
        }
        let closing = &self.text[self.at..opening];
        let mut at = line_end;
        while let Some(next) = self.text[at..].find('\n').map(|n| at + n + 1) {
            let line = &self.text[next..];
            let indent = line.len() - blank(line);
            if line[indent..].starts_with(closing) {
                self.at = next + indent + quotes;
                return self.push(kind, start);
            }
            at = next;
        }
        self.unterminated(start, opening - start, kind, '"');
    }

    /// Nothing closes the quote opened at `start`. The culprit is more likely the first quote that runs
    /// over a line end: everything behind a forgotten quote is inside out.
    fn unterminated(&mut self, start: usize, len: usize, kind: TokenKind, close: char) {
        self.at = self.text.len();
        if !self.recover {
            self.out.open_quote = true;
            self.out
                .problems
                .push(Problem::Unterminated { open: start, len });
            return self.push(kind, start);
        }
        let suspect = self.out.tokens.iter().position(|t| {
            let text = &self.text[t.start..t.end];
            let same =
                text.starts_with(close) && !text.starts_with("\"\"\"") && t.end - t.start > 1;
            same && text.ends_with(close) && text.contains('\n')
        });
        let (start, len, kind) = match suspect {
            Some(index) if self.rewinds < MAX_REWINDS => {
                let token = self.out.tokens[index];
                self.out.tokens.truncate(index);
                self.out.comments.retain(|c| c.1 <= token.start);
                self.out.problems.retain(|p| p.start() < token.start);
                (token.start, 1, token.kind)
            }
            _ => (start, len, kind),
        };
        self.rewinds += 1;
        self.out
            .problems
            .push(Problem::Unterminated { open: start, len });
        if self.rewinds > MAX_REWINDS {
            return self.push(kind, start);
        }
        self.end_with_line(start, len, kind);
    }

    /// Lets a broken quote end with its line, and the statement too if the line ends in a dot.
    fn end_with_line(&mut self, start: usize, len: usize, kind: TokenKind) {
        let line = &self.text[start..];
        let line = line[..line.find('\n').unwrap_or(line.len())].trim_end();
        self.at = start + line.len().max(len);
        match line.strip_suffix('.') {
            Some(before) if before.len() >= len => {
                self.at = start + before.len();
                self.push(kind, start);
                self.sign(1, TokenKind::Dot);
            }
            _ => self.push(kind, start),
        }
    }
}

/// The length of an escape sequence behind its backslash; 0 at the end of the text.
pub(super) fn escape_len(text: &str) -> usize {
    let mut chars = text.chars();
    match chars.next() {
        None => 0,
        Some('x') if text.starts_with("x{") => match text.find('}') {
            Some(end) if text[2..end].chars().all(|c| c.is_ascii_hexdigit()) && end > 2 => end + 1,
            _ => 1,
        },
        Some('x')
            if text.len() > 2 && text.bytes().skip(1).take(2).all(|b| b.is_ascii_hexdigit()) =>
        {
            3
        }
        Some('0'..='7') => text
            .bytes()
            .take(3)
            .take_while(|b| (b'0'..=b'7').contains(b))
            .count(),
        Some('^') => 1 + chars.next().map_or(0, char::len_utf8),
        Some(c) => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        lex(text, true).tokens.iter().map(|t| t.kind).collect()
    }

    #[test]
    fn statement_dots_are_distinguished_from_other_dots() {
        use TokenKind::*;
        assert_eq!(
            kinds("a 5000. 1.5 $. Chat.Room x.y.%c"),
            [Word, Number, Dot, Number, Char, Alias, Word, Op, Word, Dot]
        );
        assert_eq!(
            kinds("\"a. b\" 'c. d' ~s(e. f)."),
            [Str, QuotedAtom, Sigil, Dot]
        );
    }

    #[test]
    fn a_forgotten_quote_is_found_where_it_was_forgotten() {
        let text = "plan \"x.\nupdo \">= 1\".\ninclude \"b\".\n";
        let lexed = lex(text, true);
        assert_eq!(lexed.problems, [Problem::Unterminated { open: 5, len: 1 }]);
        assert_eq!(
            lexed
                .tokens
                .iter()
                .filter(|t| t.kind == TokenKind::Dot)
                .count(),
            3
        );
    }

    #[test]
    fn triple_quoted_strings_are_one_token() {
        use TokenKind::*;
        assert_eq!(kinds("\"\"\"\n a \" b. \n \"\"\"."), [Str, Dot]);
        assert_eq!(kinds("~b\"\"\"\"\n \"\"\"\n \"\"\"\" x"), [Sigil, Word]);
        assert_eq!(
            lex("\"\"\"abc\"\"\" .", true).problems,
            [Problem::TripleOpen { start: 0, end: 3 }]
        );
    }
}
