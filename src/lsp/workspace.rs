//! What each open plan says together with the files that it includes, as the editor has them.
//!
//! Takes the open documents, gives for each a [`PlanDocument`]: everything that `updo check` would say, and the files with their
//! texts. A file that an open plan includes belongs to that plan's document: what it says alone does not count, because the
//! names that it uses may be defined there. When no open plan does, one beside it that includes it counts, open or not.
//! Nothing is read again before it is asked for.

#![expect(
    clippy::disallowed_methods,
    reason = "plans beside an open one may include it"
)]

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::documents::{Document, Documents};
use super::text::LineIndex;
use super::uri;
use crate::diag::{Code, Span};
use crate::engine::{Engine, OpenedPlan, Settings};
use crate::plan::load::{identity, read_text};
use crate::syntax::ast::{Statement, StatementKind};
use crate::syntax::parse_plan;

/// A file of a plan document.
#[derive(Debug)]
pub(super) struct PlanText {
    /// What it really is.
    pub identity: PathBuf,
    /// As the editor calls it.
    pub uri: String,
    /// Its version, when it is open.
    pub version: Option<i32>,
    /// Its text.
    pub text: String,
    /// Its places.
    pub lines: LineIndex,
    /// Where it begins among the sources.
    pub base: usize,
    statements: OnceCell<Vec<Statement>>,
}

impl PlanText {
    /// What can be read of it; spans are those of the plan document.
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
pub(super) struct PlanDocument {
    /// The plan, as the editor calls it.
    pub uri: String,
    /// What it really is.
    pub root: PathBuf,
    /// Its version; nothing when it is not open itself, but a file that it includes is.
    pub version: Option<i32>,
    /// What there is to say.
    pub opened: OpenedPlan,
    /// The files, the plan first.
    pub files: Vec<PlanText>,
}

impl PlanDocument {
    /// The plan document of a document.
    fn of(plan: &Document, documents: &Documents, settings: &Settings) -> Self {
        let mut plan_document = Self::new(&plan.path, documents, settings);
        plan_document.uri.clone_from(&plan.uri);
        plan_document.version = Some(plan.version);
        plan_document
    }

    fn new(path: &Path, documents: &Documents, settings: &Settings) -> Self {
        let root = identity(path);
        let unsaved = |identity: &Path| {
            let document = documents.by_identity(identity)?;
            Some(document.text.clone())
        };
        let opened = Engine::open_over(path, &unsaved, settings.clone());
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
                    let lines = LineIndex::new(&text);
                    (uri::of(&identity), None, text, lines)
                }
            };
            files.push(PlanText {
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
            uri: uri::of(&root),
            root,
            version: None,
            opened,
            files,
        }
    }

    /// The file of a place among the sources.
    pub fn file_at(&self, at: usize) -> Option<&PlanText> {
        self.files.iter().find(|file| file.has(at))
    }

    /// The file that is called so.
    pub fn file(&self, uri: &str) -> Option<&PlanText> {
        self.files.iter().find(|file| file.uri == uri)
    }
}

/// The plan documents of all open documents, by their URIs.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    all: BTreeMap<String, PlanDocument>,
    /// Plans beside open files that include them.
    beside: BTreeMap<PathBuf, Option<PathBuf>>,
}

impl Workspace {
    /// The text of a file has changed: what it is part of must be read again.
    pub fn changed(&mut self, identity: &Path) {
        self.all.retain(|_, plan_document| {
            plan_document.root != identity
                && plan_document
                    .files
                    .iter()
                    .all(|file| file.identity != identity)
        });
    }

    /// A document is open now, or no longer: what has it on the disk, or missed it there, must be read again.
    pub fn appeared(&mut self, identity: &Path) {
        self.changed(identity);
        let misses = |plan_document: &PlanDocument| {
            plan_document
                .opened
                .diagnostics
                .iter()
                .any(|diagnostic| diagnostic.code == Code::E109)
        };
        self.all.retain(|_, plan_document| !misses(plan_document));
    }

    /// Everything must be read again: files on the disk are others.
    pub fn forget(&mut self) {
        self.all.clear();
        self.beside.clear();
    }

    /// Reads what is missing.
    pub fn refresh(&mut self, documents: &Documents, settings: &Settings) {
        let is_open = |file: &PlanText| documents.by_identity(&file.identity).is_some();
        self.all.retain(|uri, plan_document| {
            documents.get(uri).is_some()
                || plan_document.version.is_none() && plan_document.files.iter().any(is_open)
        });
        for document in documents.all() {
            if !self.all.contains_key(&document.uri) {
                let plan_document = PlanDocument::of(document, documents, settings);
                self.all.insert(document.uri.clone(), plan_document);
            }
        }
        let hidden: BTreeSet<String> = self.hidden().into_iter().map(str::to_owned).collect();
        for document in documents.all() {
            if hidden.contains(&document.uri) {
                continue;
            }
            let beside = self
                .beside
                .entry(document.identity.clone())
                .or_insert_with(|| includer(&document.identity));
            if let Some(path) = beside
                && !self.all.contains_key(&uri::of(path))
            {
                let plan_document = PlanDocument::new(path, documents, settings);
                self.all.insert(plan_document.uri.clone(), plan_document);
            }
        }
    }

    /// The documents that are part of a plan other than themselves. Of those that include each other the first is the plan.
    fn hidden(&self) -> BTreeSet<&str> {
        let mut hidden = BTreeSet::new();
        for (plan, plan_document) in &self.all {
            let others = plan_document.files.iter().filter(|file| file.uri != *plan);
            hidden.extend(
                others
                    .map(|file| file.uri.as_str())
                    .filter(|uri| self.hides(plan, uri)),
            );
        }
        hidden
    }

    /// Whether a plan that includes a document is above it.
    fn hides(&self, plan: &str, uri: &str) -> bool {
        let own = self.all.get(uri);
        let ring = own.is_some_and(|plan_document| plan_document.file(plan).is_some());
        !ring || plan < uri
    }

    /// The plan documents that count for a document: those of plans that include it, else its own.
    pub fn of(&self, uri: &str) -> Vec<&PlanDocument> {
        let others: Vec<&PlanDocument> = self
            .all
            .iter()
            .filter(|(plan, plan_document)| *plan != uri && plan_document.file(uri).is_some())
            .filter(|(plan, _)| self.hides(plan, uri))
            .map(|(_, plan_document)| plan_document)
            .collect();
        match (others.is_empty(), self.all.get(uri)) {
            (true, own) => own.into_iter().collect(),
            (false, _) => others,
        }
    }

    /// The plan documents of the plans that no other one includes, with the URIs and versions of these.
    pub fn roots(&self) -> impl Iterator<Item = (&str, Option<i32>, &PlanDocument)> {
        let hidden = self.hidden();
        self.all
            .iter()
            .filter(move |(uri, _)| !hidden.contains(uri.as_str()))
            .map(|(uri, plan_document)| (uri.as_str(), plan_document.version, plan_document))
    }
}

/// A plan that includes a file and lies beside it, or in the folder above: the first by name.
fn includer(file: &Path) -> Option<PathBuf> {
    /// So many files are looked into.
    const MOST: usize = 64;
    /// Plans are short; what is not is not looked into.
    const MAX_BYTES: u64 = 256 << 10;
    let folders = file.ancestors().skip(1).take(2);
    let mut plans: Vec<PathBuf> = folders
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.take(MOST * 8).flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "updo") && path != file)
        .take(MOST)
        .collect();
    plans.sort();
    plans.into_iter().find(|plan| {
        let short = plan
            .metadata()
            .is_ok_and(|it| it.is_file() && it.len() <= MAX_BYTES);
        let text = short
            .then(|| read_text(plan).ok())
            .flatten()
            .unwrap_or_default();
        let folder = plan.parent().unwrap_or(Path::new("/"));
        // Most plans include nothing: seen without reading them.
        text.contains("include")
            && parse_plan(&text, 0).statements.iter().any(|statement| {
                let StatementKind::Include { path, .. } = &statement.kind else {
                    return false;
                };
                identity(&folder.join(&path.value)) == file
            })
    })
}
