//! What each open plan says together with the files that it includes, as the editor has them.
//!
//! Takes the open documents, gives for each a [`World`]: everything that `updo check` would say, and the files with their
//! texts. A file that an open plan includes belongs to that plan's world: what it says alone does not count, because the
//! names that it uses may be defined there. Nothing is read again before it is asked for.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::documents::{Document, Documents};
use super::text::Lines;
use super::uri;
use crate::diag::Span;
use crate::engine::{Engine, Opened, Settings};
use crate::plan::load::{identity, read_text};
use crate::syntax::ast::Statement;
use crate::syntax::parse_plan;

/// A file of a world.
#[derive(Debug)]
pub(super) struct File {
    /// What it really is.
    pub identity: PathBuf,
    /// As the editor calls it.
    pub uri: String,
    /// Its version, when it is open.
    pub version: Option<i32>,
    /// Its text.
    pub text: String,
    /// Its places.
    pub lines: Lines,
    /// Where it begins among the sources.
    pub base: usize,
    statements: OnceCell<Vec<Statement>>,
}

impl File {
    /// What can be read of it; spans are those of the world.
    pub fn statements(&self) -> &[Statement] {
        self.statements
            .get_or_init(|| parse_plan(&self.text, self.base).statements)
    }

    /// Whether a place among the sources lies in it.
    pub fn has(&self, at: usize) -> bool {
        (self.base..=self.base + self.text.len()).contains(&at)
    }

    /// The text of a span in it.
    pub fn slice(&self, span: Span) -> Option<&str> {
        let from = span.start.checked_sub(self.base)?;
        self.text.get(from..span.end.checked_sub(self.base)?)
    }
}

/// A plan and what it includes.
#[derive(Debug)]
pub(super) struct World {
    /// The plan, as the editor calls it.
    pub uri: String,
    /// What it really is.
    pub root: PathBuf,
    /// Its version.
    pub version: i32,
    /// What there is to say.
    pub opened: Opened,
    /// The files, the plan first.
    pub files: Vec<File>,
}

impl World {
    fn new(plan: &Document, documents: &Documents, settings: &Settings) -> Self {
        let unsaved = |identity: &Path| {
            let document = documents.by_identity(identity)?;
            Some(document.text.clone())
        };
        let opened = Engine::open_over(&plan.path, &unsaved, settings.clone());
        let mut files = Vec::new();
        for source in opened.sources.sources() {
            let path = Path::new(&source.name);
            let identity = identity(path);
            let (uri, version, text, lines) = match documents.by_identity(&identity) {
                Some(open) => {
                    let (uri, text) = (open.uri.clone(), open.text.clone());
                    (uri, Some(open.version), text, open.lines.clone())
                }
                None => {
                    // In the source a secret may be covered by as many bytes and more characters.
                    let text = read_text(path)
                        .ok()
                        .filter(|text| text.len() == source.text.len())
                        .unwrap_or_else(|| source.text.clone());
                    let lines = Lines::new(&text);
                    (uri::of(&identity), None, text, lines)
                }
            };
            files.push(File {
                identity,
                uri,
                version,
                text,
                lines,
                base: source.base,
                statements: OnceCell::new(),
            });
        }
        Self {
            uri: plan.uri.clone(),
            root: plan.identity.clone(),
            version: plan.version,
            opened,
            files,
        }
    }

    /// The file of a place among the sources.
    pub fn file_at(&self, at: usize) -> Option<&File> {
        self.files.iter().find(|file| file.has(at))
    }

    /// The file that is called so.
    pub fn file(&self, uri: &str) -> Option<&File> {
        self.files.iter().find(|file| file.uri == uri)
    }
}

/// The worlds of all open documents, by their URIs.
#[derive(Debug, Default)]
pub(super) struct Worlds {
    all: BTreeMap<String, World>,
}

impl Worlds {
    /// The text of a file has changed: what it is part of must be read again.
    pub fn changed(&mut self, identity: &Path) {
        self.all.retain(|_, world| {
            world.root != identity && world.files.iter().all(|file| file.identity != identity)
        });
    }

    /// Everything must be read again: files have come or gone.
    pub fn forget(&mut self) {
        self.all.clear();
    }

    /// Reads what is missing; whether anything was.
    pub fn refresh(&mut self, documents: &Documents, settings: &Settings) -> bool {
        let mut news = false;
        self.all.retain(|uri, _| documents.get(uri).is_some());
        for document in documents.all() {
            if !self.all.contains_key(&document.uri) {
                let world = World::new(document, documents, settings);
                self.all.insert(document.uri.clone(), world);
                news = true;
            }
        }
        news
    }

    /// The worlds that count for a document: those of open plans that include it, else its own.
    pub fn of(&self, uri: &str) -> Vec<&World> {
        let others: Vec<&World> = self
            .all
            .iter()
            .filter(|(root, world)| *root != uri && world.file(uri).is_some())
            .map(|(_, world)| world)
            .collect();
        match (others.is_empty(), self.all.get(uri)) {
            (true, own) => own.into_iter().collect(),
            (false, _) => others,
        }
    }

    /// The worlds of the plans that no other open plan includes, with the URIs and versions of these.
    pub fn roots(&self) -> impl Iterator<Item = (&str, i32, &World)> {
        self.all
            .iter()
            .filter(|(uri, world)| {
                let included = self.of(uri);
                included.iter().any(|other| std::ptr::eq(*other, *world))
            })
            .map(|(uri, world)| (uri.as_str(), world.version, world))
    }
}
