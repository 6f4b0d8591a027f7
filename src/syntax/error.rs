//! From the place where the grammar gave up to a diagnostic.
//!
//! It takes the tokens of one statement and the index of the first one that does not fit, and always gives
//! exactly one diagnostic: a known habit first (E107, E108), then a malformed literal (E106), an unknown
//! statement (E102, E110), an open bracket (E104), and otherwise E101 with what was expected.

use super::expected;
use super::foreign_syntax;
use super::grammar::Failure;
use super::lex::{Problem, RawToken, TokenKind};
use crate::diag::{Code, Diagnostic, Span, suggest::suggest};

/// Words a statement begins with.
pub(super) const STATEMENTS: &[&str] = &[
    "plan", "updo", "include", "param", "target", "code", "module", "exclude", "only", "cycle",
    "window", "engine", "old", "insert", "before", "after", "on", "require", "verify", "hold",
    "gate", "deadline", "soak", "budget", "rollback", "rollout", "rehearse",
];

/// Statement words that are kept for later versions.
const PLANNED: &[&str] = &["phase", "matrix", "approve", "schedule"];

/// Words between two subjects, and the verb each begins.
pub(super) const VERB_WORDS: &[(&str, &str)] = &[
    ("depends", "depends on"),
    ("does", "does not depend on"),
    ("loads", "loads before"),
];

/// A statement that does not parse.
pub(super) struct Site<'a> {
    /// The whole text.
    pub text: &'a str,
    /// The tokens of the statement, its dot included.
    pub tokens: &'a [RawToken],
    /// Index of the first token that does not fit; the number of tokens when the text ends too early.
    pub bad: usize,
    /// `%` comments of the whole text.
    pub comments: &'a [(usize, usize)],
    /// What would have fitted.
    pub failure: &'a Failure,
    /// Where the text begins in the source map.
    pub base: usize,
    /// Whether a statement may be here; only then are there words about statements.
    pub statements: bool,
}

impl<'a> Site<'a> {
    /// The token at an index.
    pub fn token(&self, index: usize) -> Option<RawToken> {
        self.tokens.get(index).copied()
    }

    /// The text of the token at an index; empty outside.
    pub fn word(&self, index: usize) -> &'a str {
        self.token(index).map_or("", |t| &self.text[t.start..t.end])
    }

    /// The kind of the token at an index.
    pub fn kind(&self, index: usize) -> Option<TokenKind> {
        self.token(index).map(|t| t.kind)
    }

    /// Whether a token follows the one before it without a blank.
    pub fn is_adjacent(&self, index: usize) -> bool {
        index > 0
            && self
                .token(index)
                .zip(self.token(index - 1))
                .is_some_and(|(b, a)| a.end == b.start)
    }

    /// Whether a bracket is open before a token.
    pub fn is_bracketed(&self, index: usize) -> bool {
        let count = |kind| (0..index).filter(|i| self.kind(*i) == Some(kind)).count();
        count(TokenKind::Open) > count(TokenKind::Close)
    }

    /// The global place of a range of tokens.
    pub fn span(&self, from: usize, to: usize) -> Span {
        let last = self.tokens.last().map_or((0, 0), |t| (t.start, t.end));
        let start = self.token(from).map_or(last.0, |t| t.start);
        let end = self.token(to).map_or(last.1, |t| t.end);
        Span::new(self.base + start, self.base + end.max(start))
    }

    /// The global place of the first token that does not fit.
    pub fn bad_span(&self) -> Span {
        self.span(self.bad, self.bad)
    }
}

/// One diagnostic for a statement that does not parse.
pub(super) fn explain(site: &Site<'_>) -> Diagnostic {
    foreign_syntax::elixir(site)
        .or_else(|| foreign_syntax::erlang(site))
        .or_else(|| malformed(site))
        .or_else(|| statement_word(site))
        .or_else(|| brackets(site))
        .unwrap_or_else(|| expected::unexpected(site))
}

/// Diagnostics of the lexer itself.
pub(super) fn lexical(text: &str, problem: Problem, base: usize) -> Diagnostic {
    match problem {
        Problem::Unterminated { open, len } => {
            let span = Span::new(base + open, base + open + len);
            let quote = &text[open..open + len];
            let (what, close) = match quote.chars().last() {
                _ if quote.starts_with('~') => ("sigil", quote),
                _ if quote.starts_with("\"\"\"") => ("triple-quoted string", quote),
                Some('\'') => ("quoted atom", "'"),
                _ => ("string", "\""),
            };
            let diagnostic = Diagnostic::new(Code::E104, format!("unterminated {what}"))
                .label(span, "opened here");
            match what {
                "sigil" => diagnostic.help("close it with the matching delimiter"),
                "triple-quoted string" => {
                    diagnostic.help(format!("close it with `{close}` on a line of its own"))
                }
                _ => diagnostic.help(format!(
                    "close it with `{close}`; inside, write `\\{close}`"
                )),
            }
        }
        Problem::TripleOpen { start, end } => Diagnostic::new(
            Code::E106,
            "text behind the opening quotes of a triple-quoted string",
        )
        .label(
            Span::new(base + start, base + end),
            "the text starts on the next line",
        )
        .help("put the text on lines of its own, or use `\"…\"`"),
        Problem::HashComment { start, end } => {
            Diagnostic::new(Code::E108, "a comment starts with `%`")
                .label(
                    Span::new(base + start, base + end),
                    "this is a comment in other languages",
                )
                .help(format!(
                    "write `%{}`",
                    text[start..end].trim_start_matches('#').trim_end()
                ))
        }
    }
}

/// E105 at a token.
pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(
        Code::E105,
        format!("nested more than {} levels", super::recover::MAX_DEPTH),
    )
    .label(span, "one level too many")
    .help("give the inner part a name: `Part = …`, and use `Part` here")
}

/// E103 after a place.
pub(super) fn missing_dot(end: usize) -> Diagnostic {
    Diagnostic::new(Code::E103, "missing `.` at the end of this statement")
        .label(Span::new(end.saturating_sub(1), end), "add `.` after this")
}

/// A token that can be no part of any plan.
fn malformed(site: &Site<'_>) -> Option<Diagnostic> {
    let (word, span) = (site.word(site.bad), site.bad_span());
    let make = |title: String, label: &str| Diagnostic::new(Code::E106, title).label(span, label);
    Some(match site.kind(site.bad)? {
        TokenKind::Number if !is_number(word) => {
            let diagnostic = make(format!("malformed number `{word}`"), "not a number");
            match suffix(word) {
                Some(_) => diagnostic
                    .help("durations end in `ms`, `s`, `m` or `h`, with one unit only: `90s`"),
                None => diagnostic.help("write `17`, `1_000`, `16#ff`, `1.5`, `1.0e-3` or `30s`"),
            }
        }
        TokenKind::Char if word == "$" => make(
            "`$` without a character".into(),
            "expected a character after `$`",
        )
        .help("write `$\\s` for a blank"),
        TokenKind::Sigil
            if !word[1..].starts_with([
                'b', 'B', 's', 'S', '"', '(', '[', '{', '<', '/', '|', '\'', '`', '#',
            ]) =>
        {
            let title = format!("unknown sigil `{}`", word.get(..2).unwrap_or(word));
            make(title, "not a sigil of Erlang")
                .help("Erlang has `~b`, `~B`, `~s`, `~S` and `~\"…\"`")
        }
        TokenKind::Unknown => {
            let title = format!("a plan cannot hold {} here", describe(word));
            let help = match word {
                "\u{201c}" | "\u{201d}" | "\u{201e}" => "use the straight quote `\"`",
                "\u{2018}" | "\u{2019}" => "use the straight quote `'`",
                "\u{2013}" | "\u{2014}" => "use the hyphen `-`",
                "\u{2192}" => "write `->`",
                _ => "remove it, or put it in quotes",
            };
            make(title, "unexpected character").help(help)
        }
        _ => return None,
    })
}

fn is_number(word: &str) -> bool {
    super::grammar::parse(super::grammar::Rule::one_expr, word).is_ok()
}

/// The letters behind the digits.
fn suffix(word: &str) -> Option<&str> {
    let letters = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
    (letters.starts_with(['s', 'm', 'h', 'd', 'w']) && letters.is_ascii()).then_some(letters)
}

/// A character as text, or by its number when it would not be seen.
fn describe(word: &str) -> String {
    match word.chars().next() {
        Some('\u{a0}') => "a no-break space".into(),
        Some(c)
            if c.is_control()
                || c.is_whitespace()
                || ('\u{200b}'..='\u{200f}').contains(&c)
                || c == '\u{feff}' =>
        {
            format!("the invisible character U+{:04X}", u32::from(c))
        }
        _ => format!("`{word}`"),
    }
}

/// A statement that begins with a word which begins none.
fn statement_word(site: &Site<'_>) -> Option<Diagnostic> {
    if !site.statements {
        return None;
    }
    let first = site.word(0);
    let second = site.word(1);
    if site.kind(0) == Some(TokenKind::Op)
        && first == "-"
        && site.kind(1) == Some(TokenKind::Word)
        && site.bad <= 1
    {
        return Some(
            Diagnostic::new(Code::E102, format!("unknown statement `-{second}`"))
                .label(site.span(0, 1), "module attributes are not part of plans")
                .help(
                    "a plan is made of statements: `plan \"…\".`, `shop_a depends on shop_b.`, …",
                ),
        );
    }
    if site.kind(0) != Some(TokenKind::Word) {
        return None;
    }
    let is_verb = VERB_WORDS.iter().any(|(word, _)| *word == second);
    if STATEMENTS.contains(&first) {
        return (is_verb && site.bad <= 3).then(|| {
            Diagnostic::new(
                Code::E102,
                format!("`{first}` begins a statement of its own"),
            )
            .label(site.span(0, 0), "taken for a statement, not for a module")
            .help(format!(
                "quote it if it is a module: `'{first}' {second} …`"
            ))
        });
    }
    if PLANNED.contains(&first) && !is_verb && site.bad <= 2 {
        return Some(
            Diagnostic::new(
                Code::E110,
                format!("`{first}` is planned, but not there yet"),
            )
            .label(site.span(0, 0), "kept for a later version of updo"),
        );
    }
    let near_verb = suggest(second, VERB_WORDS.iter().map(|(w, _)| *w)).is_some();
    let follows = matches!(
        site.kind(1),
        Some(
            TokenKind::Word
                | TokenKind::Str
                | TokenKind::Var
                | TokenKind::Alias
                | TokenKind::QuotedAtom
                | TokenKind::Number
        )
    ) || site.word(1) == "#{"
        || site.word(1) == "[";
    if site.bad != 1 || near_verb || !follows {
        return None;
    }
    let diagnostic = Diagnostic::new(Code::E102, format!("unknown statement `{first}`"))
        .label(site.span(0, 0), "no statement begins with this word");
    Some(match suggest(first, STATEMENTS.iter().copied()) {
        Some(word) => diagnostic.help(format!("did you mean `{word}`?")),
        None => diagnostic.help(format!(
            "statements begin with {}, or with modules and a verb",
            list(STATEMENTS, "or")
        )),
    })
}

/// A bracket that is never closed, or closed by the wrong one.
fn brackets(site: &Site<'_>) -> Option<Diagnostic> {
    let mut open: Vec<usize> = Vec::new();
    for index in 0..site.bad.min(site.tokens.len()) {
        match (site.kind(index), site.word(index)) {
            (Some(TokenKind::Open), _) | (Some(TokenKind::Word), "case" | "begin" | "if") => {
                open.push(index)
            }
            (Some(TokenKind::Close), _) | (Some(TokenKind::Word), "end") => {
                open.pop();
            }
            _ => {}
        }
    }
    let bad = site.word(site.bad);
    let Some(&opener) = open.last() else {
        let closes = site.kind(site.bad) == Some(TokenKind::Close);
        return closes.then(|| {
            Diagnostic::new(Code::E101, format!("unexpected `{bad}`"))
                .label(site.bad_span(), "nothing is open here")
        });
    };
    let word = site.word(opener);
    let close = closing(word);
    if site.kind(site.bad) == Some(TokenKind::Close) && bad != close {
        return Some(
            Diagnostic::new(Code::E101, format!("unexpected `{bad}`"))
                .label(site.bad_span(), format!("expected `{close}`"))
                .label(site.span(opener, opener), "to close this"),
        );
    }
    let ends = matches!(site.kind(site.bad), None | Some(TokenKind::Dot));
    // The next statement may have been read on: `module` is a fine key of a map.
    let next = (site.bad.saturating_sub(1)..=site.bad)
        .find(|i| is_line_start(site, *i) && STATEMENTS.contains(&site.word(*i)))
        .unwrap_or(site.bad);
    let cut_short = is_line_start(site, next) && stays_open(site, opener);
    if !(ends || cut_short) {
        return None;
    }
    let what = match word {
        "<<" => "binary",
        "[" => "list",
        "{" => "tuple",
        "#{" => "map",
        "(" => "parenthesis",
        _ => "expression",
    };
    let diagnostic = Diagnostic::new(
        Code::E104,
        format!("unterminated {what}: `{word}` is never closed"),
    )
    .label(site.span(opener, opener), "opened here");
    let diagnostic = match site.token(next) {
        Some(_) => diagnostic.label(
            site.span(next, next),
            format!("expected `{close}` before this"),
        ),
        None => diagnostic,
    };
    Some(diagnostic.help(format!("close it with `{close}`")))
}

fn closing(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        "{" | "#{" => "}",
        "<<" => ">>",
        _ => "end",
    }
}

/// Whether a token is the first on its line.
fn is_line_start(site: &Site<'_>, index: usize) -> bool {
    match (
        site.token(index),
        index.checked_sub(1).and_then(|i| site.token(i)),
    ) {
        (Some(token), Some(before)) => site.text[before.end..token.start].contains('\n'),
        _ => true,
    }
}

/// Whether a bracket is still open at the end of the statement.
fn stays_open(site: &Site<'_>, opener: usize) -> bool {
    let mut depth = 0_usize;
    for index in opener..site.tokens.len() {
        match (site.kind(index), site.word(index)) {
            (Some(TokenKind::Open), _) | (Some(TokenKind::Word), "case" | "begin" | "if") => {
                depth += 1
            }
            (Some(TokenKind::Close), _) | (Some(TokenKind::Word), "end") => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

/// `a, b or c`.
pub(super) fn join(words: &[&str], and: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} {and} {last}", most.join(", ")),
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn list(words: &[&str], and: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    join(&quoted.iter().map(String::as_str).collect::<Vec<_>>(), and)
}
