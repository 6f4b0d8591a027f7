//! What is open in the editor, as it is there and not on the disk.
//!
//! Takes texts and changes, gives texts. How much there may be is bounded: what is beyond it is refused, and a document
//! whose changes cannot be followed is forgotten, because a text that is not the editor's is worse than none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lsp_types::TextDocumentContentChangeEvent;

use super::text::{Encoding, LineIndex};
use super::uri;
use crate::plan::load::identity;

/// So much text may be open altogether.
const MAX_OPEN: usize = 128 << 20;

/// So many documents.
const MAX_DOCUMENTS: usize = 1000;

/// So many bytes may be moved for the changes of one message.
const MAX_WORK: usize = 512 << 20;

/// A document.
#[derive(Debug)]
pub(super) struct Document {
    /// As the editor calls it.
    pub uri: String,
    /// Where it lies, or would lie.
    pub path: PathBuf,
    /// What that really is.
    pub identity: PathBuf,
    /// As the editor counts.
    pub version: i32,
    /// As the editor has it.
    pub text: String,
    /// Its places.
    pub lines: LineIndex,
}

/// All of them, by their URIs.
#[derive(Debug, Default)]
pub(super) struct Documents {
    open: BTreeMap<String, Document>,
    /// Where documents are taken to lie that are in no file.
    pub folder: PathBuf,
}

impl Documents {
    /// A document is opened, or opened again.
    pub fn open(&mut self, uri: &str, version: i32, text: String) -> Result<(), String> {
        let others: usize = self
            .all()
            .filter(|document| document.uri != uri)
            .map(|document| document.text.len())
            .sum();
        self.open.remove(uri);
        if others.saturating_add(text.len()) > MAX_OPEN || self.open.len() >= MAX_DOCUMENTS {
            return Err(format!("{uri}: too much is open, it is not looked at"));
        }
        let path = uri::path(uri).unwrap_or_else(|| {
            let name = uri
                .rsplit(['/', ':'])
                .next()
                .filter(|name| !name.is_empty());
            self.folder.join(name.unwrap_or("plan"))
        });
        let document = Document {
            uri: uri.to_owned(),
            identity: identity(&path),
            path,
            version,
            lines: LineIndex::new(&text),
            text,
        };
        self.open.insert(uri.to_owned(), document);
        Ok(())
    }

    /// Applies changes, one after the other.
    pub fn change(
        &mut self,
        uri: &str,
        version: i32,
        changes: Vec<TextDocumentContentChangeEvent>,
        encoding: Encoding,
    ) -> Result<(), String> {
        let Some(document) = self.open.get_mut(uri) else {
            return Err(format!("{uri} is changed and was not opened"));
        };
        let mut work: usize = 0;
        for change in changes {
            work = work.saturating_add(document.text.len());
            let Some(range) = change.range else {
                document.text = change.text;
                document.lines = LineIndex::new(&document.text);
                continue;
            };
            let text = &mut document.text;
            let from = document.lines.offset(text, range.start, encoding);
            let to = document.lines.offset(text, range.end, encoding).max(from);
            let length = text.len() - (to - from) + change.text.len();
            if work > MAX_WORK || length > MAX_OPEN {
                self.open.remove(uri);
                return Err(format!(
                    "{uri}: too many changes at once, it is not looked at until it is opened again"
                ));
            }
            text.replace_range(from..to, &change.text);
            document.lines = LineIndex::new(text);
        }
        document.version = version;
        Ok(())
    }

    /// A document is closed: what it was, if it was open.
    pub fn close(&mut self, uri: &str) -> Option<Document> {
        self.open.remove(uri)
    }

    /// An open document.
    pub fn get(&self, uri: &str) -> Option<&Document> {
        self.open.get(uri)
    }

    /// The one that is a file.
    pub fn by_identity(&self, identity: &Path) -> Option<&Document> {
        self.all().find(|document| document.identity == identity)
    }

    /// All that are open.
    pub fn all(&self) -> impl Iterator<Item = &Document> {
        self.open.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lsp_types::{Position, Range};

    fn change(range: Option<[u32; 4]>, text: &str) -> TextDocumentContentChangeEvent {
        TextDocumentContentChangeEvent {
            range: range.map(|[a, b, c, d]| Range::new(Position::new(a, b), Position::new(c, d))),
            range_length: None,
            text: text.to_owned(),
        }
    }

    fn edited(changes: Vec<TextDocumentContentChangeEvent>, encoding: Encoding) -> String {
        let mut documents = Documents::default();
        let opened = documents.open("untitled:x", 1, "größe 𝄞 b\r\nzwei\n".to_owned());
        opened.expect("there is room");
        documents
            .change("untitled:x", 2, changes, encoding)
            .expect("these changes are good");
        documents
            .get("untitled:x")
            .expect("it is open")
            .text
            .clone()
    }

    #[test]
    fn changes_come_one_after_the_other() {
        let changes = vec![
            change(Some([0, 6, 0, 8]), "G"),
            change(Some([0, 6, 0, 7]), "clef"),
            change(Some([1, 4, 1, 4]), "!"),
        ];
        assert_eq!(edited(changes, Encoding::Utf16), "größe clef b\r\nzwei!\n");
        let changes = vec![change(Some([0, 8, 0, 12]), "G")];
        assert_eq!(edited(changes, Encoding::Utf8), "größe G b\r\nzwei\n");
        let changes = vec![change(Some([0, 0, 0, 1]), "x"), change(None, "new")];
        assert_eq!(edited(changes, Encoding::Utf16), "new");
    }

    #[test]
    fn ranges_that_are_none_are_the_nearest() {
        let end = vec![change(Some([9, 9, 99, 0]), "end")];
        assert_eq!(edited(end, Encoding::Utf16), "größe 𝄞 b\r\nzwei\nend");
        let backwards = vec![change(Some([1, 2, 0, 0]), "-")];
        assert_eq!(edited(backwards, Encoding::Utf16), "größe 𝄞 b\r\nzw-ei\n");
        // Half of a pair of surrogates is none of it.
        let half = vec![change(Some([0, 7, 0, 7]), "-")];
        assert_eq!(edited(half, Encoding::Utf16), "größe -𝄞 b\r\nzwei\n");
    }

    #[test]
    fn what_cannot_be_followed_is_forgotten() {
        let mut documents = Documents::default();
        let big = "x".repeat(16 << 20);
        documents
            .open("file:///big", 1, big)
            .expect("there is room");
        let many = (0..200).map(|_| change(Some([0, 0, 0, 0]), "y")).collect();
        assert!(
            documents
                .change("file:///big", 2, many, Encoding::Utf16)
                .is_err()
        );
        assert!(documents.get("file:///big").is_none());
        assert!(
            documents
                .change("file:///big", 3, Vec::new(), Encoding::Utf16)
                .is_err()
        );
    }
}
