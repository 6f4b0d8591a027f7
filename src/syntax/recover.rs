//! Reading a whole file in spite of its mistakes.
//!
//! It takes the tokens of the lexer, cuts them at statement-ending dots, parses each statement by itself, and
//! goes on behind every error at the next place that looks like the start of a statement. It gives all good
//! statements and one diagnostic per mistake, and must stay linear in the length of the text.

use std::collections::BTreeMap;

use pest::iterators::Pair;

use super::ast::Statement;
use super::error::{self, STATEMENTS, Site};
use super::expr::Builder;
use super::grammar::{self, Failure, Rule};
use super::lex::{Lexed, RawToken, TokenKind};
use super::statement::shift;
use crate::diag::{Code, Diagnostic};

/// A way to apply the grammar: with or without words for what does not fit.
type Parse = for<'t> fn(Rule, &'t str) -> Result<Pair<'t, Rule>, Failure>;

/// How deep expressions may be nested.
pub(super) const MAX_DEPTH: usize = 256;

/// After so many errors the rest of the file is not read.
const MAX_ERRORS: usize = 100;

/// The deepest nesting of a run of tokens, and the token that first goes beyond [`MAX_DEPTH`].
///
/// An upper bound of the depth of the tree: brackets, `case … end`, and every operator of the enclosing
/// expressions, since a row of operators becomes a ladder of nodes.
pub(super) fn nesting(text: &str, tokens: &[RawToken]) -> (usize, Option<usize>) {
    let mut levels: Vec<usize> = vec![0];
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for (index, token) in tokens.iter().enumerate() {
        let word = &text[token.start..token.end];
        match (token.kind, word) {
            (TokenKind::Open, _) | (TokenKind::Word, "case" | "begin" | "if") => {
                // `f(…)(…)` and `M#{…}#{…}` grow to the left, one level for each bracket.
                let chained = index > 0 && tokens[index - 1].kind == TokenKind::Close;
                if let Some(level) = levels.last_mut().filter(|_| chained) {
                    *level += 1;
                    depth += 1;
                }
                levels.push(1);
                depth += 1;
            }
            (TokenKind::Close, _) | (TokenKind::Word, "end") if levels.len() > 1 => {
                depth -= levels.pop().unwrap_or(0)
            }
            (TokenKind::Op, "," | ";" | "->" | "|" | "||" | "=>" | ":=" | "<-") => {
                if let Some(level) = levels.last_mut() {
                    // What belongs to the bracket itself stays.
                    let keep = (*level).min(1);
                    depth -= *level - keep;
                    *level = keep;
                }
            }
            // The sign of a constant is no operator.
            (TokenKind::Op, "=") if index == 1 && tokens[0].kind == TokenKind::Var => {}
            (TokenKind::Op, _)
            | (
                TokenKind::Word,
                "catch" | "not" | "bnot" | "orelse" | "andalso" | "or" | "and" | "xor" | "bor"
                | "bxor" | "band" | "bsl" | "bsr" | "div" | "rem",
            ) => {
                if let Some(level) = levels.last_mut() {
                    *level += 1;
                    depth += 1;
                }
            }
            (TokenKind::Dot, _) => {
                levels = vec![0];
                depth = 0;
            }
            _ => {}
        }
        deepest = deepest.max(depth);
        if depth > MAX_DEPTH {
            return (deepest, Some(index));
        }
    }
    (deepest, None)
}

/// A text with so many tokens is worth more than one thread.
const MANY_TOKENS: usize = 10_000;

/// No more threads than this, however many processors there are.
const MAX_THREADS: usize = 8;

/// Where the statements of a text begin and end, as indices of tokens; the end is one past the dot.
fn forms(tokens: &[RawToken]) -> Vec<(usize, usize)> {
    let mut forms = Vec::new();
    let mut from = 0;
    for (index, token) in tokens.iter().enumerate() {
        if token.kind == TokenKind::Dot {
            forms.push((from, index + 1));
            from = index + 1;
        }
    }
    if from < tokens.len() {
        forms.push((from, tokens.len()));
    }
    forms
}

/// Statements and errors of a file.
pub(super) struct Reader<'a> {
    text: &'a str,
    masked: &'a str,
    lexed: &'a Lexed,
    base: usize,
    /// Statements that were read ahead, by the index of their first token.
    ahead: BTreeMap<usize, Statement>,
    /// The good statements.
    pub statements: Vec<Statement>,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    /// Reads every statement. `masked` is the text without what the lexer has reported already.
    pub fn read(text: &'a str, masked: &'a str, lexed: &'a Lexed, base: usize) -> Self {
        let mut reader = Self {
            text,
            masked,
            lexed,
            base,
            ahead: BTreeMap::new(),
            statements: Vec::new(),
            diagnostics: Vec::new(),
        };
        if lexed.tokens.len() >= MANY_TOKENS {
            reader.read_ahead();
        }
        let problems = lexed.problems.iter().take(MAX_ERRORS);
        reader
            .diagnostics
            .extend(problems.map(|p| error::lexical(text, *p, base)));
        let tokens = &lexed.tokens;
        let mut at = 0;
        while at < tokens.len() {
            let end = tokens[at..]
                .iter()
                .position(|t| t.kind == TokenKind::Dot)
                .map_or(tokens.len(), |n| at + n + 1);
            if let (_, Some(deep)) = nesting(text, &tokens[at..end]) {
                let token = tokens[at + deep];
                reader
                    .diagnostics
                    .push(error::too_deep(shift((token.start, token.end), base)));
                at = reader.resume(at, at + deep, end);
                continue;
            }
            while at < end {
                if reader.diagnostics.len() >= MAX_ERRORS {
                    reader.give_up(tokens[at]);
                    at = tokens.len();
                    break;
                }
                at = reader.statement(at, end);
            }
        }
        reader
            .diagnostics
            .sort_by_key(|d| d.labels.first().map(|l| l.span.start));
        reader
    }

    /// Reads what is good on all processors; what is not is left to be read again, one by one, and reported.
    fn read_ahead(&mut self) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = threads.min(MAX_THREADS);
        let forms = forms(&self.lexed.tokens);
        if threads < 2 || forms.len() < threads {
            return;
        }
        let this = &*self;
        let ahead = std::thread::scope(|scope| {
            let shares = forms.chunks(forms.len().div_ceil(threads));
            let workers: Vec<_> = shares
                .filter_map(|share| {
                    std::thread::Builder::new()
                        .name("updo-parse".into())
                        .stack_size(super::parse::STACK)
                        .spawn_scoped(scope, move || this.good_ones(share))
                        .ok()
                })
                .collect();
            // What a worker could not do is done below as if there were none.
            let done = workers.into_iter().filter_map(|worker| worker.join().ok());
            done.flatten().collect()
        });
        self.ahead = ahead;
    }

    /// The statements of a share that can be read, by their first token. With too many that cannot, the file will
    /// be given up, and the rest is not worth the time.
    fn good_ones(&self, share: &[(usize, usize)]) -> Vec<(usize, Statement)> {
        let mut good = Vec::new();
        for (index, (from, end)) in share.iter().enumerate() {
            let fits = nesting(self.text, &self.lexed.tokens[*from..*end])
                .1
                .is_none();
            let parsed = fits.then(|| self.parsed(*from, *end, grammar::accepted));
            if let Some(Ok(statement)) = parsed {
                good.push((*from, statement));
            } else if index - good.len() > MAX_ERRORS {
                break;
            }
        }
        good
    }

    fn give_up(&mut self, token: RawToken) {
        let span = shift((token.start, token.end), self.base);
        self.diagnostics.push(
            Diagnostic::new(Code::E101, format!("more than {MAX_ERRORS} errors"))
                .label(span, "not read from here on")
                .help("correct the errors above first"),
        );
    }

    /// Reads one statement and gives the index of the next one's first token.
    fn statement(&mut self, from: usize, end: usize) -> usize {
        match self.parse(from, end) {
            Ok(()) => {
                if self.lexed.tokens[end - 1].kind != TokenKind::Dot
                    && !self.is_lexically_broken(from, end)
                {
                    self.diagnostics.push(error::missing_dot(
                        self.base + self.lexed.tokens[end - 1].end,
                    ));
                }
                end
            }
            Err(Stop::Built(diagnostic)) => {
                self.diagnostics.push(*diagnostic);
                end
            }
            Err(Stop::Grammar(failure)) => {
                let bad = self.bad_token(from, end, &failure);
                self.failed(from, bad, end, &failure)
            }
        }
    }

    fn failed(&mut self, from: usize, bad: usize, end: usize, failure: &Failure) -> usize {
        let tokens = &self.lexed.tokens;
        if self.is_lexically_broken(from, end) {
            return self.resume(from, from, end);
        }
        let begins =
            |bad| self.is_line_start(bad) || self.parsed(bad, end, grammar::accepted).is_ok();
        if bad > from && bad < end && begins(bad) && self.parse(from, bad).is_ok() {
            self.diagnostics
                .push(error::missing_dot(self.base + tokens[bad - 1].end));
            return bad;
        }
        let site = Site {
            text: self.text,
            tokens: &tokens[from..end],
            bad: bad - from,
            comments: &self.lexed.comments,
            failure,
            base: self.base,
            statements: true,
        };
        self.diagnostics.push(error::explain(&site));
        self.resume(from, bad, end)
    }

    /// Parses a run of tokens as one statement and keeps it.
    fn parse(&mut self, from: usize, end: usize) -> Result<(), Stop> {
        // A run that ends before its dot is another statement than the one that was read ahead.
        let whole = self.lexed.tokens[end - 1].kind == TokenKind::Dot;
        let statement = match self.ahead.remove(&from).filter(|_| whole) {
            Some(statement) => statement,
            None => self.parsed(from, end, grammar::parse)?,
        };
        self.statements.push(statement);
        Ok(())
    }

    /// Parses a run of tokens as one statement.
    fn parsed(&self, from: usize, end: usize, parse: Parse) -> Result<Statement, Stop> {
        let tokens = &self.lexed.tokens;
        let (start, stop) = (tokens[from].start, tokens[end - 1].end);
        let pair = parse(Rule::form, &self.masked[start..stop]).map_err(Stop::Grammar)?;
        let builder = Builder {
            base: self.base + start,
        };
        let Some(pair) = super::expr::inner(pair).next() else {
            return Err(Stop::Grammar(Failure::default()));
        };
        let kind = builder.statement(pair).map_err(Stop::Built)?;
        let last = match tokens[end - 1].kind {
            TokenKind::Dot if end - 1 > from => tokens[end - 2].end,
            _ => stop,
        };
        Ok(Statement {
            kind,
            span: shift((start, last), self.base),
        })
    }

    /// The token at which parsing stopped; `end` when all were taken.
    fn bad_token(&self, from: usize, end: usize, failure: &Failure) -> usize {
        let tokens = &self.lexed.tokens[from..end];
        bad_token(self.text, tokens, failure.at + tokens[0].start, failure) + from
    }

    fn is_line_start(&self, index: usize) -> bool {
        index == 0
            || self.text[self.lexed.tokens[index - 1].end..self.lexed.tokens[index].start]
                .contains('\n')
    }

    /// Whether the lexer has reported a broken quote within these tokens.
    fn is_lexically_broken(&self, from: usize, end: usize) -> bool {
        let (start, stop) = (
            self.lexed.tokens[from].start,
            self.lexed.tokens[end - 1].end,
        );
        self.lexed.problems.iter().any(|p| {
            !matches!(p, super::lex::Problem::HashComment { .. })
                && (start..stop).contains(&p.start())
        })
    }

    /// The next token behind an error that looks like the start of a statement, at the latest `end`.
    fn resume(&self, from: usize, bad: usize, end: usize) -> usize {
        let first = (from + 1).max(bad.saturating_sub(1));
        (first..end)
            .find(|index| self.looks_like_start(*index))
            .unwrap_or(end)
    }

    fn looks_like_start(&self, index: usize) -> bool {
        let tokens = &self.lexed.tokens;
        let start = tokens[index].start;
        if start > 0 && self.text.as_bytes()[start - 1] != b'\n' {
            return false;
        }
        let word = |i: usize| tokens.get(i).map_or("", |t| &self.text[t.start..t.end]);
        match tokens[index].kind {
            TokenKind::Word if STATEMENTS.contains(&word(index)) => true,
            TokenKind::Word | TokenKind::Alias | TokenKind::QuotedAtom => {
                matches!(word(index + 1), "depends" | "does" | "loads")
            }
            TokenKind::Var => word(index + 1) == "=",
            _ => false,
        }
    }
}

/// Why a statement was not taken.
enum Stop {
    /// It does not fit the grammar.
    Grammar(Failure),
    /// It fits, and something in it is wrong.
    Built(Box<Diagnostic>),
}

/// The index of the token at which the grammar failed; the number of tokens when all were taken.
///
/// The offset may lie inside or behind the token that does not fit, because the grammar looks ahead:
///  - right behind a token, with a blank following: had the token fitted, the blank would have been skipped;
///  - right behind a reserved word that can only go on as a longer name: the word is what does not fit;
///  - right behind a dot that ends no statement: the dot.
pub(super) fn bad_token(text: &str, tokens: &[RawToken], at: usize, failure: &Failure) -> usize {
    let index = tokens.partition_point(|t| t.end <= at);
    let Some(before) = index.checked_sub(1).map(|i| tokens[i]) else {
        return index;
    };
    if before.end != at {
        return index;
    }
    let word = &text[before.start..before.end];
    let blank = text[at..].starts_with(|c: char| c.is_whitespace() || c == '%');
    let longer = |t: &String| matches!(t.as_str(), "_" | "@" | "BUILTIN_RULE") || t.contains("..");
    let only_longer = failure.tokens.iter().all(longer);
    let reserved =
        before.kind == TokenKind::Word && super::foreign_syntax::is_reserved(word) && only_longer;
    let dot = before.kind == TokenKind::Op && word == ".";
    if blank || reserved || dot {
        index - 1
    } else {
        index
    }
}
