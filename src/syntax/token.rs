//! The tokens of a text, for those that colour it or complete it and do not care what it means.
//!
//! Takes any text, finished or not, and gives its tokens with their places; nothing is refused. The grammar
//! alone decides what a plan means.

use std::ops::Range;

use super::lex::{self, TokenKind};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A bare atom, a reserved word, a word of the plan language.
    Word,
    /// A variable.
    Variable,
    /// An Elixir module with a dot in it.
    Alias,
    /// A number or a duration.
    Number,
    /// A string, a sigil or a character.
    Text,
    /// `'…'`.
    QuotedAtom,
    /// A bracket that opens.
    Open,
    /// A bracket that closes.
    Close,
    /// The dot at the end of a statement.
    Dot,
    /// Anything else.
    Sign,
    /// A `%` comment.
    Comment,
}

/// A token and its bytes in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub sort: Sort,
    /// Where.
    pub range: Range<usize>,
}

/// All tokens of a text, comments among them, in order.
pub fn tokens(text: &str) -> Vec<Token> {
    let lexed = lex::lex(text, false);
    let mut found: Vec<Token> = lexed
        .tokens
        .iter()
        .map(|token| Token {
            sort: sort(token.kind),
            range: token.start..token.end,
        })
        .collect();
    found.extend(lexed.comments.iter().map(|(start, end)| Token {
        sort: Sort::Comment,
        range: *start..*end,
    }));
    found.sort_by_key(|token| token.range.start);
    found
}

fn sort(kind: TokenKind) -> Sort {
    match kind {
        TokenKind::Word => Sort::Word,
        TokenKind::Var => Sort::Variable,
        TokenKind::Alias => Sort::Alias,
        TokenKind::Number => Sort::Number,
        TokenKind::Str | TokenKind::Sigil | TokenKind::Char => Sort::Text,
        TokenKind::QuotedAtom => Sort::QuotedAtom,
        TokenKind::Open => Sort::Open,
        TokenKind::Close => Sort::Close,
        TokenKind::Dot => Sort::Dot,
        TokenKind::Op | TokenKind::Unknown => Sort::Sign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_text_has_tokens_too() {
        let sorts = |text| {
            tokens(text)
                .into_iter()
                .map(|t| t.sort)
                .collect::<Vec<Sort>>()
        };
        use Sort::*;
        assert_eq!(
            sorts("X = m:f(\"abc\", 'q', 30s % note"),
            [
                Variable, Sign, Word, Sign, Word, Open, Text, Sign, QuotedAtom, Sign, Number,
                Comment
            ]
        );
        assert_eq!(sorts("{ok, \"open"), [Open, Word, Sign, Text]);
    }
}
