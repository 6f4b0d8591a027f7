//! Brackets: their elements on one line or one a line, with the last comma and the arrows of maps that belong to it.
//!
//! It takes the tokens of a [`Builder`] from an opening bracket to its end and gives one group. Commas at the end are
//! the only tokens that come and go, and only where the language allows them.

use super::build::{Builder, Piece, Within, is_comment};
use super::doc::{Doc, group};
use crate::syntax::lex::{RawToken, TokenKind};

impl<'a> Builder<'a> {
    /// A bracket with all that is in it.
    pub(super) fn bracket(&mut self) -> Doc {
        let open = self.take_text();
        let behind = self.trailing();
        let within = if open == "<<" {
            Within::Binary
        } else {
            Within::Code
        };
        let mut items: Vec<Item> = Vec::new();
        let mut separators: Vec<Vec<Doc>> = Vec::new();
        let mut comma_may_end = matches!(open, "[" | "{" | "#{");
        let mut keep = false;
        // Comments behind the last comma.
        let mut ending: Vec<Doc> = Vec::new();
        while !matches!(
            self.token(),
            Some(RawToken {
                kind: TokenKind::Close,
                ..
            })
        ) && self.peek().is_some()
        {
            let from = self.at;
            let within = if comma_may_end || open != "[" {
                within
            } else {
                Within::Code
            };
            let docs = self.run(within, false);
            let level = self.level_words(from);
            if level.iter().any(|word| matches!(*word, "||" | "|")) {
                comma_may_end = false;
            }
            if docs.iter().all(is_comment) {
                ending.extend(docs);
            } else {
                items.push(Item {
                    docs,
                    key: self.key(from),
                });
            }
            match self.word() {
                "," => {
                    let late = items
                        .last_mut()
                        .map(|item| self.late_comments(&mut item.docs));
                    let mut separator = self.separator(",");
                    separator.splice(1..1, late.unwrap_or_default());
                    separators.push(separator);
                    keep = matches!(
                        self.token(),
                        Some(RawToken {
                            kind: TokenKind::Close,
                            ..
                        })
                    );
                }
                _ if matches!(
                    self.token(),
                    Some(RawToken {
                        kind: TokenKind::Close,
                        ..
                    })
                ) => {}
                "" => break,
                _ => {
                    let text = self.take_text();
                    items.push(Item {
                        docs: vec![Doc::text(text)],
                        key: None,
                    });
                }
            }
        }
        let last = self.prev;
        let close = self.take_text();
        self.lay(
            open,
            close,
            behind,
            ending,
            items,
            separators,
            comma_may_end,
            keep,
            last,
        )
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one bracket")]
    fn lay(
        &self,
        open: &str,
        close: &str,
        behind: Vec<Doc>,
        ending: Vec<Doc>,
        mut items: Vec<Item>,
        mut separators: Vec<Vec<Doc>>,
        comma_may_end: bool,
        keep: bool,
        last: Option<RawToken>,
    ) -> Doc {
        if items.is_empty() && separators.is_empty() && behind.is_empty() && ending.is_empty() {
            return Doc::text(format!("{open}{close}"));
        }
        if let [item] = items.as_mut_slice()
            && separators.is_empty()
            && behind.is_empty()
            && ending.is_empty()
            && matches!(open, "(" | "[" | "{")
            && matches!(item.docs.as_slice(), [Doc::Group(..)])
        {
            // A bracket in a bracket: both break together, without a level of their own.
            let inner = item.docs.pop();
            let mut parts = vec![Doc::text(open)];
            parts.extend(inner);
            parts.push(Doc::text(close));
            return group(parts, false);
        }
        pad(&mut items);
        // `<<<<` and `>>>>` would be read, but not by people.
        let doubled = |docs: &[Doc], end: bool| -> bool {
            let doc = if end { docs.last() } else { docs.first() };
            match doc {
                Some(Doc::Group(parts, _)) => {
                    let text = if end { parts.last() } else { parts.first() };
                    matches!(text, Some(Doc::Text(text)) if text == "<<" || text == ">>")
                }
                Some(Doc::Text(text)) => text == "<<>>",
                _ => false,
            }
        };
        let first_doubled =
            open == "<<" && items.first().is_some_and(|item| doubled(&item.docs, false));
        let last_doubled = open == "<<" && last.is_some_and(|token| self.text_of(token) == ">>");
        let edge = |doubled: bool| if doubled { Doc::Line } else { Doc::Soft };
        let mut inner = behind;
        inner.push(edge(first_doubled || open == "<<" && last_doubled));
        let count = items.len();
        separators.resize_with(separators.len().max(count), Vec::new);
        for (index, (mut item, separator)) in items.into_iter().zip(separators).enumerate() {
            let is_last = index + 1 == count;
            let late = self.late_comments(&mut item.docs);
            inner.extend(item.docs);
            if is_last {
                // The last comma comes and goes with the line break behind it.
                if comma_may_end {
                    inner.push(Doc::IfBroken(",".to_owned()));
                }
                inner.extend(late);
                inner.extend(separator.into_iter().skip(1));
            } else {
                inner.extend(late);
                inner.extend(separator);
                inner.push(Doc::Line);
            }
        }
        inner.extend(ending);
        let parts = vec![
            Doc::text(open),
            Doc::Indent(inner),
            edge(last_doubled || first_doubled),
            Doc::text(close),
        ];
        group(parts, keep && comma_may_end)
    }

    /// The signs of a run's own level, from a piece up to here.
    fn level_words(&self, from: usize) -> Vec<&'a str> {
        let mut depth = 0_usize;
        let mut words = Vec::new();
        for piece in &self.pieces[from..self.at] {
            let Piece::Token(token) = piece else { continue };
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth = depth.saturating_sub(1),
                TokenKind::Op if depth == 0 => words.push(self.text_of(*token)),
                _ => {}
            }
        }
        words
    }

    /// The columns of a key, when the run from a piece up to here is `key => …` with a key of one token.
    fn key(&self, from: usize) -> Option<usize> {
        let run = self.pieces.get(from..self.at)?;
        let comments = run
            .iter()
            .take_while(|piece| matches!(piece, Piece::Comment(..)));
        match &run[comments.count()..] {
            [Piece::Token(key), Piece::Token(arrow), ..]
                if matches!(self.text_of(*arrow), "=>" | ":=") =>
            {
                Some(self.text_of(*key).chars().count())
            }
            _ => None,
        }
    }
}

/// One element of a bracket.
struct Item {
    docs: Vec<Doc>,
    /// Columns of its key.
    key: Option<usize>,
}

/// Puts the arrows of a map under each other, for the case that it breaks.
fn pad(items: &mut [Item]) {
    let Some(widest) = items
        .iter()
        .map(|item| item.key)
        .try_fold(0, |widest, key| Some(widest.max(key?)))
    else {
        return;
    };
    for item in items {
        let short = widest - item.key.unwrap_or(widest);
        let after_key = item
            .docs
            .iter()
            .position(|doc| matches!(doc, Doc::Text(_) | Doc::Group(..)));
        if let Some(at) = after_key.filter(|_| short > 0) {
            item.docs.insert(at + 1, Doc::IfBroken(" ".repeat(short)));
        }
    }
}
