//! From the tokens of one statement to a document.
//!
//! It works on tokens, not on the tree: numbers, strings and quotes keep their spelling, and the only tokens that
//! come or go are trailing commas. Comments stay between the tokens where they are; one before a comma or a
//! dot moves behind it. The statement has been parsed before, so brackets are balanced and not too deep.

use super::doc::{Doc, fill, group};
use crate::syntax::foreign_syntax::is_reserved;
use crate::syntax::lex::{RawToken, TokenKind};

/// A token or a comment, in the order of the text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece {
    Token(RawToken),
    /// Its place, and whether it has a line of its own.
    Comment(usize, usize, bool),
}

/// What surrounds a run of tokens.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Within {
    /// The head of a statement: before any `->`.
    Head,
    /// Directly in `<<…>>`, before any `||`.
    Binary,
    /// Anywhere else.
    Code,
}

pub(super) struct Builder<'a> {
    pub(super) text: &'a str,
    pub(super) pieces: &'a [Piece],
    pub(super) at: usize,
    pub(super) prev: Option<RawToken>,
    /// The previous token is a sign: nothing between it and what follows.
    tight: bool,
    /// Where the slash of a `fun m:f/1` will be.
    fun_slash: usize,
}

impl<'a> Builder<'a> {
    pub fn new(text: &'a str, pieces: &'a [Piece]) -> Self {
        Self {
            text,
            pieces,
            at: 0,
            prev: None,
            tight: false,
            fun_slash: usize::MAX,
        }
    }

    /// A whole statement with its dot.
    pub fn statement(mut self) -> Vec<Doc> {
        let is_cycle = self.word_at(0) == "cycle" && self.word_at(1) == "[";
        let mut parts = Vec::new();
        // Comments that begin the pieces belong in front of the statement.
        while let Some(Piece::Comment(start, end, _)) = self.peek() {
            parts.push(Doc::Comment(self.comment(start, end), true));
            self.at += 1;
        }
        let mut line = Vec::new();
        loop {
            line.extend(self.run(Within::Head, is_cycle));
            match self.word() {
                "," => {
                    line.extend(self.separator(","));
                    line.push(Doc::Indent(vec![fill()]));
                }
                "->" if is_cycle => {
                    line.push(Doc::text(" ->"));
                    self.take();
                    line.push(Doc::text(" "));
                    self.prev = None;
                }
                "->" => {
                    line.extend(self.body(false));
                    if self.word() == ";" {
                        line.extend(self.separator(";"));
                        // The next clause begins at the margin.
                        parts.append(&mut line);
                        parts.push(Doc::Hard);
                    }
                }
                "." | "" => break,
                _ => {
                    // What does not belong here has been refused by the parser; it is kept all the same.
                    let text = self.take_text();
                    line.push(Doc::text(text));
                }
            }
        }
        let comments = self.late_comments(&mut line);
        line.push(Doc::text("."));
        line.extend(comments);
        parts.append(&mut line);
        parts
    }

    pub(super) fn peek(&self) -> Option<Piece> {
        self.pieces.get(self.at).copied()
    }

    pub(super) fn token(&self) -> Option<RawToken> {
        match self.peek() {
            Some(Piece::Token(token)) => Some(token),
            _ => None,
        }
    }

    pub(super) fn text_of(&self, token: RawToken) -> &'a str {
        &self.text[token.start..token.end]
    }

    /// The text of the next token; empty before a comment and at the end.
    pub(super) fn word(&self) -> &'a str {
        self.token().map_or("", |token| self.text_of(token))
    }

    /// The text of the nth token from here, comments not counted.
    fn word_at(&self, n: usize) -> &'a str {
        let tokens = self.pieces[self.at..]
            .iter()
            .filter_map(|piece| match piece {
                Piece::Token(token) => Some(*token),
                Piece::Comment(..) => None,
            });
        tokens
            .skip(n)
            .map(|token| self.text_of(token))
            .next()
            .unwrap_or("")
    }

    fn comment(&self, start: usize, end: usize) -> String {
        self.text[start..end].trim_end().to_owned()
    }

    fn take(&mut self) -> Option<RawToken> {
        let token = self.token()?;
        self.at += 1;
        self.prev = Some(token);
        self.tight = false;
        Some(token)
    }

    pub(super) fn take_text(&mut self) -> &'a str {
        self.take().map_or("", |token| self.text_of(token))
    }

    /// Whether the text has a line feed between the previous token and the next piece.
    fn broken_here(&self) -> bool {
        let Some(prev) = self.prev else { return false };
        let next = match self.peek() {
            Some(Piece::Token(token)) => token.start,
            Some(Piece::Comment(..)) => return true,
            None => return false,
        };
        self.text[prev.end..next].contains('\n')
    }

    /// Comments at the end of a run, which go behind the sign that follows.
    pub(super) fn late_comments(&self, run: &mut Vec<Doc>) -> Vec<Doc> {
        let from = run
            .iter()
            .rposition(|doc| !is_comment(doc))
            .map_or(0, |n| n + 1);
        run.split_off(from)
    }

    /// A `,` or `;` and the comments around it, those before it included.
    pub(super) fn separator(&mut self, sign: &'static str) -> Vec<Doc> {
        self.take();
        self.prev = None;
        let mut docs = vec![Doc::text(sign)];
        docs.extend(self.trailing());
        docs
    }

    /// Comments on the line of the token just taken.
    pub(super) fn trailing(&mut self) -> Vec<Doc> {
        let mut docs = Vec::new();
        while let Some(Piece::Comment(start, end, false)) = self.peek() {
            docs.push(Doc::Comment(self.comment(start, end), false));
            self.at += 1;
        }
        docs
    }

    /// Tokens up to a separator, an arrow or a closing word of the same level.
    pub(super) fn run(&mut self, within: Within, is_cycle: bool) -> Vec<Doc> {
        let mut docs = Vec::new();
        let mut within = within;
        let mut spec = false;
        while let Some(piece) = self.peek() {
            let token = match piece {
                Piece::Comment(start, end, own) => {
                    let comment = Doc::Comment(self.comment(start, end), own);
                    docs.push(match within {
                        Within::Head => Doc::Indent(vec![comment]),
                        _ => comment,
                    });
                    self.at += 1;
                    continue;
                }
                Piece::Token(token) => token,
            };
            let word = self.text_of(token);
            match (token.kind, word) {
                (TokenKind::Dot | TokenKind::Close, _) | (TokenKind::Op, "," | ";" | "->") => break,
                (TokenKind::Word, "of" | "end") if within != Within::Head => break,
                (TokenKind::Op, "||") => within = Within::Code,
                (TokenKind::Op, "/") if within == Within::Binary => spec = true,
                _ => {}
            }
            self.gap(token, within, spec, is_cycle, &mut docs);
            match (token.kind, word) {
                (TokenKind::Open, _) => docs.push(self.bracket()),
                (TokenKind::Word, "case" | "if" | "begin") => docs.push(self.block()),
                // Of a check on states; any other fun is a name.
                (TokenKind::Word, "fun") if self.word_at(1) == "(" => docs.push(self.state_fun()),
                _ => {
                    if word == "fun" {
                        self.fun_slash = self.at + 4;
                    }
                    let sign = self.is_sign(token);
                    docs.push(Doc::text(word));
                    self.take();
                    self.tight = sign;
                }
            }
        }
        docs
    }

    /// What is between the previous token and this one.
    fn gap(
        &self,
        token: RawToken,
        within: Within,
        spec: bool,
        is_cycle: bool,
        docs: &mut Vec<Doc>,
    ) {
        let Some(prev) = self.prev else { return };
        let word = self.text_of(token);
        if token.kind == TokenKind::Word
            && within == Within::Head
            && word == "because"
            && self.word_at(1).starts_with('"')
        {
            return docs.push(Doc::Indent(vec![Doc::Tail]));
        }
        if !self.is_spaced(prev, token, within, spec, is_cycle) {
            return;
        }
        let before = self.text_of(prev);
        let breakable = (prev.kind == TokenKind::Str && token.kind == TokenKind::Str)
            || matches!(before, "andalso" | "orelse" | "++" | "--")
            || (matches!(word, "when" | "then") && within == Within::Head)
            || word == "||";
        docs.push(if breakable {
            Doc::Indent(vec![fill()])
        } else {
            Doc::text(" ")
        });
    }

    fn is_spaced(
        &self,
        prev: RawToken,
        token: RawToken,
        within: Within,
        spec: bool,
        is_cycle: bool,
    ) -> bool {
        let (before, word) = (self.text_of(prev), self.text_of(token));
        let as_written = prev.end < token.start;
        if prev.kind == TokenKind::Open {
            return false;
        }
        if self.tight {
            // Two minus signs in a row would be another operator.
            return token.kind == TokenKind::Op;
        }
        let tight_sign = |sign: &str, at: usize| match sign {
            ":" => !(is_cycle && within == Within::Head),
            "/" => within == Within::Binary || at == self.fun_slash,
            "-" => within == Within::Binary && spec,
            _ => false,
        };
        if prev.kind == TokenKind::Op && tight_sign(before, self.at - 1) {
            return false;
        }
        if token.kind == TokenKind::Op {
            return !(word == ":" || tight_sign(word, self.at));
        }
        match word {
            "(" => prev.kind == TokenKind::Op || is_reserved(before) || as_written,
            "#{" if within == Within::Head && !matches!(prev.kind, TokenKind::Var) => {
                prev.kind == TokenKind::Op
                    || self.before_first_arrow() && !self.is_bind()
                    || as_written
            }
            "#{" => prev.kind == TokenKind::Op || is_reserved(before) || as_written,
            _ => true,
        }
    }

    /// Whether no `->` of the statement itself has been passed.
    fn before_first_arrow(&self) -> bool {
        !self.pieces[..self.at].iter().any(|piece| match piece {
            Piece::Token(token) => self.text_of(*token) == "->",
            Piece::Comment(..) => false,
        })
    }

    /// Whether the statement is `Name = …`, in which `#{` updates a map.
    fn is_bind(&self) -> bool {
        let first = self.pieces.iter().find_map(|piece| match piece {
            Piece::Token(token) => Some(*token),
            Piece::Comment(..) => None,
        });
        first.is_some_and(|token| token.kind == TokenKind::Var)
    }

    /// Whether a `-` or `+` is a sign, not an operation.
    fn is_sign(&self, token: RawToken) -> bool {
        if !matches!(self.text_of(token), "-" | "+") {
            return false;
        }
        match self.prev {
            None => true,
            Some(prev) => match prev.kind {
                TokenKind::Open => true,
                TokenKind::Op => self.text_of(prev) != "/",
                TokenKind::Word => is_reserved(self.text_of(prev)) && self.text_of(prev) != "end",
                _ => false,
            },
        }
    }

    /// `-> E, E`: on the same line when it is short and was written so.
    fn body(&mut self, in_clause: bool) -> Vec<Doc> {
        self.take();
        let mut broken = self.broken_here();
        self.prev = None;
        let mut inner = self.trailing();
        let mut count = 1;
        inner.push(Doc::Line);
        loop {
            inner.extend(self.run(Within::Code, false));
            if self.word() != "," {
                break;
            }
            count += 1;
            let late = self.late_comments(&mut inner);
            let mut separator = self.separator(",");
            separator.splice(1..1, late);
            inner.extend(separator);
            inner.push(Doc::Line);
        }
        let late = self.late_comments(&mut inner);
        broken |= count > 1 && !in_clause;
        let inner = vec![Doc::Indent(inner)];
        let mut docs = vec![Doc::text(" ->"), group(inner, broken)];
        docs.extend(late);
        docs
    }

    /// `case … of … end`, `if … end`, `begin … end`.
    fn block(&mut self) -> Doc {
        let word = self.take_text();
        let mut parts = vec![Doc::text(word)];
        if word == "case" {
            let subject = self.run(Within::Code, false);
            parts.push(Doc::text(" "));
            parts.extend(strip(subject));
            parts.push(Doc::text(" of"));
            self.take();
        }
        let mut broken = self.broken_here();
        self.prev = None;
        let mut inner = self.trailing();
        inner.push(Doc::Line);
        loop {
            inner.extend(self.run(Within::Code, false));
            match self.word() {
                "->" => {
                    inner.extend(self.body(true));
                    if self.word() == ";" {
                        let late = self.late_comments(&mut inner);
                        let mut separator = self.separator(";");
                        separator.splice(1..1, late);
                        inner.extend(separator);
                        broken |= self.text_has_break_before();
                        inner.push(Doc::Line);
                    }
                }
                sign @ ("," | ";") => {
                    let sign = if sign == "," { "," } else { ";" };
                    inner.extend(self.separator(sign));
                    inner.push(if word == "begin" { Doc::Line } else { fill() });
                }
                _ => break,
            }
        }
        parts.push(Doc::Indent(inner));
        parts.push(Doc::Line);
        parts.push(Doc::text("end"));
        self.take();
        group(parts, broken)
    }

    /// `fun (…) -> … end` of a check on states; several clauses have lines of their own.
    fn state_fun(&mut self) -> Doc {
        let fun = self.take_text();
        let mut inner = self.trailing();
        let mut several = !inner.is_empty();
        self.prev = None;
        loop {
            inner.extend(self.run(Within::Code, false));
            if self.word() == ";" {
                // Between alternatives of a guard.
                inner.extend(self.separator(";"));
                inner.push(fill());
                continue;
            }
            if self.word() == "->" {
                inner.extend(self.body(true));
            }
            if self.word() != ";" {
                break;
            }
            several = true;
            let late = self.late_comments(&mut inner);
            let mut separator = self.separator(";");
            separator.splice(1..1, late);
            inner.extend(separator);
            inner.push(Doc::Line);
        }
        let mut parts = vec![Doc::text(fun)];
        if several {
            inner.insert(0, Doc::Line);
            parts.push(Doc::Indent(inner));
        } else {
            parts.push(Doc::text(" "));
            parts.extend(inner);
        }
        parts.push(Doc::Line);
        parts.push(Doc::text("end"));
        self.take();
        group(parts, several)
    }

    /// Whether the next piece begins a line.
    fn text_has_break_before(&self) -> bool {
        let start = match self.peek() {
            Some(Piece::Token(token)) => token.start,
            Some(Piece::Comment(start, ..)) => start,
            None => return false,
        };
        let line = self.text[..start].rsplit('\n').next().unwrap_or_default();
        start > 0 && line.trim().is_empty()
    }
}

pub(super) fn is_comment(doc: &Doc) -> bool {
    match doc {
        Doc::Comment(..) => true,
        Doc::Indent(parts) => matches!(parts.as_slice(), [Doc::Comment(..)]),
        _ => false,
    }
}

/// Without blanks at the front.
fn strip(mut docs: Vec<Doc>) -> Vec<Doc> {
    if matches!(docs.first(), Some(Doc::Text(text)) if text == " ") {
        docs.remove(0);
    }
    docs
}
