//! Reads a plan and the files it includes. The only place of this stage that touches files.

#![expect(
    clippy::disallowed_methods,
    reason = "plans and what they include are files"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::include::{Inclusion, include_depths};
use super::{Plan, resolve};
use crate::diag::{Code, Diagnostic, SourceMap, Span};
use crate::regular_file;
use crate::syntax::ast::{Expr, Statement, StatementKind};
use crate::syntax::parse_plan;
use crate::term::Term;

/// The largest plan file that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Files include each other at most so deep.
const MAX_CHAIN: usize = 64;

/// A plan (when there was no error), everything there is to say about it, and its text.
#[derive(Debug)]
pub struct LoadedPlan {
    /// The plan; `None` when a diagnostic is an error.
    pub plan: Option<Plan>,
    /// Errors, warnings, advice.
    pub diagnostics: Vec<Diagnostic>,
    /// All text read.
    pub sources: SourceMap,
}

/// A statement, the folder its file is in, how deep it was included, and when it applies.
pub(super) struct Located {
    pub statement: Statement,
    pub folder: PathBuf,
    pub layer: usize,
    /// The condition that the `include` statements put on it; `None` when there is none.
    pub when: Option<Expr>,
}

/// The text of a file as it is in an editor and not (yet) on the disk, by its [`identity`].
pub type Unsaved<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// Reads, parses and resolves a plan. `sets` are the parameters given from outside (`--set Name=value`).
pub fn load(path: &Path, sets: &BTreeMap<String, String>) -> LoadedPlan {
    load_over(path, sets, &|_| None)
}

/// The same, where some files are as an editor has them.
pub fn load_over(path: &Path, sets: &BTreeMap<String, String>, unsaved: Unsaved<'_>) -> LoadedPlan {
    let mut reader = Reader::new(unsaved);
    reader.read(path, None, &mut Vec::new());
    finish(reader, path, sets)
}

/// The same for a text at hand; `path` is only its name and what includes are relative to.
pub fn load_text(path: &Path, text: &str, sets: &BTreeMap<String, String>) -> LoadedPlan {
    let mut reader = Reader::new(&|_| None);
    reader.files.push((path.to_owned(), None));
    reader.statements(path, text.to_owned(), 0, &mut Vec::new());
    finish(reader, path, sets)
}

/// The plan of a node, or of several with commas between them, that is named in place of a file: what lies on the node's
/// disk is the new code, or the beams that the patterns of `push` match. `None` where there is such a file, or where it is
/// no name of a node.
pub fn plan_of_nodes(path: &Path, push: &[String]) -> Option<String> {
    let names = path.to_str()?;
    let is_node = |name: &str| {
        name.split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
            && !name.contains('/')
    };
    if path.exists() || !names.split(',').all(is_node) {
        return None;
    }
    let nodes: Vec<String> = names
        .split(',')
        .map(|name| Term::atom(name).to_string())
        .collect();
    let title = Term::string(&format!(
        "What differs on {}",
        nodes.join(", ").replace('\'', "")
    ));
    let code = match push {
        [] => "on_disk".to_owned(),
        globs => {
            let globs = globs.iter().map(|glob| Term::string(glob).to_string());
            format!("push [{}]", globs.collect::<Vec<_>>().join(", "))
        }
    };
    Some(format!(
        "plan {title}.\ntarget nodes #{{nodes => [{}]}}.\ncode {code}.\n",
        nodes.join(", ")
    ))
}

/// The file of a plan from the root, without links; as it was given when it is not there.
pub fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// What a path really is: without links and `..`, also when the file itself is not there (yet).
pub fn identity(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

fn finish(mut reader: Reader<'_>, path: &Path, sets: &BTreeMap<String, String>) -> LoadedPlan {
    let statements = reader.located();
    let Reader {
        mut sources,
        mut diagnostics,
        ..
    } = reader;
    let broken = diagnostics.iter().any(Diagnostic::is_error);
    let (mut plan, found) = resolve::resolve(path, statements, sets, sources.clone());
    // What looks like a cookie is never shown, not even in the line around another mistake.
    let secrets = found
        .iter()
        .filter(|diagnostic| diagnostic.code == Code::W212);
    for label in secrets.flat_map(|diagnostic| &diagnostic.labels) {
        sources.mask(label.span);
        plan.sources.mask(label.span);
    }
    diagnostics.extend(found);
    // In the order of the text, whatever was looked at first; what has no place comes last.
    diagnostics.sort_by_key(|d| {
        d.labels
            .first()
            .map_or(usize::MAX, |label| label.span.start)
    });
    let failed = broken || diagnostics.iter().any(Diagnostic::is_error);
    LoadedPlan {
        plan: (!failed).then_some(plan),
        diagnostics,
        sources,
    }
}

struct Reader<'a> {
    unsaved: Unsaved<'a>,
    sources: SourceMap,
    /// Each statement with the number of its file.
    statements: Vec<(usize, Statement)>,
    diagnostics: Vec<Diagnostic>,
    /// The files, the plan first, with the place of the statement that first named them.
    files: Vec<(PathBuf, Option<Span>)>,
    /// Their numbers, by what they really are.
    numbers: BTreeMap<PathBuf, usize>,
    inclusions: Vec<Inclusion>,
}

impl<'a> Reader<'a> {
    fn new(unsaved: Unsaved<'a>) -> Self {
        Self {
            unsaved,
            sources: SourceMap::default(),
            statements: Vec::new(),
            diagnostics: Vec::new(),
            files: Vec::new(),
            numbers: BTreeMap::new(),
            inclusions: Vec::new(),
        }
    }

    /// The statements with what `include` makes of them.
    fn located(&mut self) -> Vec<Located> {
        let statements = std::mem::take(&mut self.statements);
        let include_depths = match include_depths(self.files.len(), &self.inclusions) {
            Ok(include_depths) => include_depths,
            Err(file) => {
                let (path, at) = &self.files[file];
                let title = format!("`{}` is included under too many conditions", path.display());
                let diagnostic =
                    Diagnostic::new(Code::E109, title).help("include it once, with one guard");
                self.diagnostics.push(match at {
                    Some(span) => diagnostic.label(*span, "included here first"),
                    None => diagnostic,
                });
                return Vec::new();
            }
        };
        let locate = |(file, statement): (usize, Statement)| Located {
            statement,
            folder: self.files[file]
                .0
                .parent()
                .map(Path::to_owned)
                .unwrap_or_default(),
            layer: include_depths[file].layer,
            when: include_depths[file].when.clone(),
        };
        statements.into_iter().map(locate).collect()
    }

    /// Reads a file, unless it was read before; gives its number, if it can be included.
    fn read(&mut self, path: &Path, at: Option<Span>, chain: &mut Vec<PathBuf>) -> Option<usize> {
        let identity = identity(path);
        if chain.contains(&identity) {
            let names: Vec<String> = chain
                .iter()
                .chain([&identity])
                .map(|p| p.display().to_string())
                .collect();
            let mut diagnostic =
                Diagnostic::new(Code::E109, "files include each other").note(names.join(" -> "));
            if let Some(span) = at {
                diagnostic = diagnostic.label(span, "closes the cycle");
            }
            self.diagnostics.push(diagnostic);
            return None;
        }
        if let Some(number) = self.numbers.get(&identity) {
            return Some(*number); // each file once
        }
        let number = self.files.len();
        self.numbers.insert(identity.clone(), number);
        self.files.push((path.to_owned(), at));
        if chain.len() >= MAX_CHAIN {
            let title = format!("files include each other more than {MAX_CHAIN} deep");
            let diagnostic = Diagnostic::new(Code::E109, title);
            self.diagnostics.push(match at {
                Some(span) => diagnostic.label(span, "not read any more"),
                None => diagnostic,
            });
            return None;
        }
        let text = match (self.unsaved)(&identity).map_or_else(|| read_text(path), bounded) {
            Ok(text) => text,
            Err(why) => {
                let mut diagnostic =
                    Diagnostic::new(Code::E109, format!("cannot read `{}`", path.display()))
                        .note(why);
                diagnostic = match at {
                    Some(span) => diagnostic
                        .help("check the path; a path in `include` is relative to the file that has it")
                        .label(span, "included here"),
                    None => diagnostic.help("check the path; a node in place of a plan is NAME@HOST"),
                };
                self.diagnostics.push(diagnostic);
                return None;
            }
        };
        chain.push(identity);
        self.statements(path, text, number, chain);
        chain.pop();
        Some(number)
    }

    /// The statements of a file and of those it includes.
    fn statements(&mut self, path: &Path, text: String, number: usize, chain: &mut Vec<PathBuf>) {
        let base = self.sources.add(path.display().to_string(), text.clone());
        let parsed = parse_plan(&text, base);
        self.diagnostics.extend(parsed.diagnostics);
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        for statement in parsed.statements {
            if let StatementKind::Include {
                path: include,
                tail,
            } = &statement.kind
            {
                let target = folder.join(&include.value);
                if let Some(to) = self.read(&target, Some(include.span), chain) {
                    self.inclusions.push(Inclusion {
                        from: number,
                        to,
                        when: tail.when.clone(),
                    });
                }
            }
            self.statements.push((number, statement));
        }
    }
}

/// The text of a plan file.
///
/// # Errors
/// In words: no such file, not a regular one, larger than 16 MiB, not UTF-8.
pub fn read_text(path: &Path) -> Result<String, String> {
    regular_file::read_text(path, MAX_BYTES).map_err(|why| match why.kind() {
        std::io::ErrorKind::FileTooLarge => too_large(),
        _ => why.to_string(),
    })
}

fn bounded(text: String) -> Result<String, String> {
    match text.len() as u64 > MAX_BYTES {
        true => Err(too_large()),
        false => Ok(text),
    }
}

fn too_large() -> String {
    format!("larger than {MAX_BYTES} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_saved_counts_in_included_files_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(
            path("a.updo"),
            "include \"b.updo\".\ninclude \"sub/../new.updo\".\n",
        )
        .expect("can write");
        std::fs::create_dir(path("sub")).expect("a folder can be made");
        std::fs::write(path("b.updo"), "Limit = 1.\n").expect("can write");
        let open = |file: &Path| match file.file_name()?.to_str()? {
            "b.updo" => Some("Limit = 2.\n".to_owned()),
            "new.updo" => Some("More = Limit + 1.\n".to_owned()),
            _ => None,
        };
        let loaded = load_over(&path("a.updo"), &BTreeMap::new(), &open);
        let plan = loaded
            .plan
            .unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let more = plan.constants.iter().find(|(name, _)| *name == "More");
        assert_eq!(
            more.map(|(_, value)| value.to_string()),
            Some("3".to_owned())
        );
    }

    #[test]
    fn a_cookie_in_a_plan_is_never_printed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret.updo");
        let text = "target t #{nodes => ['a@b'], cookie => \"tops€cret\"}.\nm depends on 5.\n";
        std::fs::write(&path, text).expect("can write");
        let loaded = load(&path, &BTreeMap::new());
        assert!(loaded.diagnostics.iter().any(|d| d.code == Code::W212));
        let shown = format!("{:?}", loaded.sources);
        assert!(!shown.contains("tops"), "{shown}");
        assert!(shown.contains("m depends on 5."), "{shown}");
    }
}
