//! Finding beam files and reading them.
//!
//! Takes patterns of a plan or the command line and gives paths, takes paths and gives facts. Beams
//! inside of code archives (`.ez`) count as files, by the names that the code server gives them, and so do those of
//! release archives (`.tar.gz`) that a pattern names. It reads
//! at most [`MAX_BEAM`] bytes of a file, and only regular files; it never writes.

#![expect(clippy::disallowed_methods, reason = "beams are files, many of them")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use super::archive::{self, Archives};
use super::{globs, tarball};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::chunk::MAX_BEAM;
use crate::facts::beam::{BeamError, BeamFacts};
use crate::name::Module;
use crate::parallel::in_parallel;
use crate::regular_file;
use crate::state::file_cache::Stat;

/// Most threads that read files at once.
const MAX_THREADS: usize = 8;

/// Why files cannot be found or read.
#[derive(Debug)]
pub enum FileError {
    /// A pattern is no pattern.
    Pattern {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A pattern matches no beam file.
    Nothing {
        /// As it was given.
        pattern: String,
    },
    /// A file or folder cannot be read.
    Io {
        /// Which.
        path: PathBuf,
        /// The reason of the operating system.
        error: io::Error,
    },
    /// A file is no usable beam.
    Beam {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: BeamError,
    },
    /// A file holds another module than its name says; the code server would refuse it.
    OtherModule {
        /// Which.
        path: PathBuf,
        /// The module inside.
        module: Module,
    },
    /// A module is in two files; which one is meant only the user can say.
    Twice {
        /// The module.
        module: Module,
        /// One file.
        first: PathBuf,
        /// The other.
        path: PathBuf,
    },
}

impl FileError {
    /// As a diagnostic: E213 when there is no file, E214 when one cannot be used.
    pub fn diagnostic(&self) -> Diagnostic {
        let unusable = |path: &Path, why: String| {
            let title = format!("`{}` is not a usable beam", path.display());
            Diagnostic::new(Code::E214, title).note(why)
        };
        match self {
            Self::Pattern { .. } => Diagnostic::new(Code::E213, self.to_string()),
            Self::Nothing { pattern } => Diagnostic::new(Code::E213, self.to_string()).help(
                format!("a folder means its *.beam and *.ez; for all below it: \"{pattern}/**\""),
            ),
            Self::Io { path, error } => unusable(path, error.to_string()),
            Self::Beam { path, error } => unusable(path, error.to_string()),
            Self::OtherModule { path, module } => {
                unusable(path, format!("the module inside is {module}"))
            }
            Self::Twice {
                module,
                first,
                path,
            } => Diagnostic::new(Code::E214, format!("`{module}` is there twice"))
                .note(first.display().to_string())
                .note(path.display().to_string())
                .help("name only one of the two folders"),
        }
    }
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern { pattern, reason } => write!(f, "\"{pattern}\" is no pattern: {reason}"),
            Self::Nothing { pattern } => write!(f, "no beam file matches \"{pattern}\""),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Beam { path, error } => write!(f, "{}: {error}", path.display()),
            Self::OtherModule { path, module } => {
                write!(f, "{}: the module inside is {module}", path.display())
            }
            Self::Twice {
                module,
                first,
                path,
            } => write!(
                f,
                "{module} is in {} and in {}",
                first.display(),
                path.display()
            ),
        }
    }
}

/// A beam file that was read.
#[derive(Clone, Debug)]
pub struct BeamFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes, as they are in the file.
    pub bytes: Vec<u8>,
    /// What its tables say.
    pub facts: BeamFacts,
}

/// The beam files that patterns name, sorted, each once.
///
/// A pattern is taken from `base` unless it is absolute. A folder means its `*.beam` and what is in its
/// `*.ez`; `*`, `?`, `[…]` and `**` work as in a shell, and folders that they match mean the same. Errors
/// when a pattern is malformed or matches no beam file, or a folder or archive cannot be read.
pub fn beams_of(patterns: &[&str], base: &Path) -> Result<Vec<PathBuf>, FileError> {
    collect(patterns, base, |_| false)
}

/// The same for paths that a shell has already expanded: a folder may be without beams, as long as it
/// is there.
pub fn beams_in(paths: &[&str], base: &Path) -> Result<Vec<PathBuf>, FileError> {
    collect(paths, base, Path::is_dir)
}

/// What a file looks like without being read. A file that is written again looks different, as far as the clock of its
/// disk can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLook {
    bytes: i64,
    /// Seconds and nanoseconds of the last modification.
    time: (i64, i64),
    inode: i64,
}

impl FileLook {
    /// That of a file of which a node has said size and times.
    pub fn of(stat: &Stat) -> Self {
        Self {
            bytes: stat.size,
            time: (stat.mtime.max(stat.ctime), 0),
            inode: stat.inode,
        }
    }
}

/// What a file looks like now, if it is there.
pub fn look_at(path: &Path) -> Option<FileLook> {
    use std::os::unix::fs::MetadataExt;
    // What is in an archive looks like the archive.
    let known = std::fs::metadata(path);
    let known = known.or_else(|error| match tarball::split(path) {
        Some((archive, _)) => std::fs::metadata(archive),
        None => Err(error),
    });
    let known = known.ok()?;
    Some(FileLook {
        bytes: i64::try_from(known.size()).ok()?,
        time: (known.mtime(), known.mtime_nsec()),
        inode: i64::try_from(known.ino()).unwrap_or_default(),
    })
}

/// Whether a name is that of a file which an upgrade depends on: a beam, an archive, a specification.
pub fn is_code(name: &str) -> bool {
    [".beam", ".ez", ".app"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// What the beam files that patterns name look like, and the specifications beside them. A pattern that matches nothing
/// is no error: a build may be at work.
pub fn looks_of<T>(patterns: &[(String, T)], base: &Path) -> BTreeMap<String, FileLook> {
    let one = |pattern: &(String, T)| beams_of(&[pattern.0.as_str()], base).unwrap_or_default();
    let mut files: Vec<PathBuf> = patterns.iter().flat_map(one).collect();
    let folders: BTreeSet<PathBuf> = files
        .iter()
        .filter_map(|file| file.parent().map(Path::to_owned))
        .collect();
    files.extend(folders.iter().flat_map(|folder| apps_in(folder)));
    let look = |file: PathBuf| Some((file.display().to_string(), look_at(&file)?));
    files.into_iter().filter_map(look).collect()
}

fn collect(
    patterns: &[&str],
    base: &Path,
    may_be_empty: impl Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    for pattern in patterns {
        let before = found.len();
        let plain = base.join(pattern);
        // A name that exists is itself, even if it looks like a pattern.
        match std::fs::metadata(&plain) {
            Ok(_) => add(plain.clone(), &mut found)?,
            Err(_) => match tarball::split(&plain) {
                Some((archive, inside)) => packed(archive, &inside, &mut found)?,
                None => globbed(pattern, base, &mut found)?,
            },
        }
        if found.len() == before && !may_be_empty(&plain) {
            return Err(FileError::Nothing {
                pattern: (*pattern).to_owned(),
            });
        }
    }
    // By bytes: comparing paths part by part costs more than reading some of the files.
    found.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    found.dedup();
    Ok(found)
}

fn globbed(pattern: &str, base: &Path, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let wrong = |reason| FileError::Pattern {
        pattern: pattern.to_owned(),
        reason,
    };
    let whole = if Path::new(pattern).is_absolute() {
        pattern.to_owned()
    } else {
        let base = base
            .to_str()
            .ok_or(wrong("the folder it starts from is not UTF-8"))?;
        let base = glob::Pattern::escape(if base.is_empty() { "." } else { base });
        format!("{base}/{pattern}")
    };
    let matching = globs::paths(&whole).map_err(|error| wrong(error.msg))?;
    if let Some((path, error)) = matching.failed.into_iter().next() {
        return Err(FileError::Io { path, error });
    }
    for path in matching.paths {
        add(path, found)?;
    }
    Ok(())
}

/// Adds the beams of a release archive whose name, or whose folder's, fits a pattern inside of it.
fn packed(archive: &Path, inside: &str, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let pattern = glob::Pattern::new(inside).map_err(|error| FileError::Pattern {
        pattern: inside.to_owned(),
        reason: error.msg,
    })?;
    let options = glob::MatchOptions {
        require_literal_separator: true,
        ..glob::MatchOptions::new()
    };
    let fits = |name: &&str| {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        pattern.matches_with(name, options) || pattern.matches_with(folder, options)
    };
    let content = tarball::read(archive).map_err(|error| FileError::Io {
        path: archive.to_owned(),
        error,
    })?;
    found.extend(content.beams().filter(fits).map(|name| archive.join(name)));
    Ok(())
}

/// A file in a release archive, if the path leads to one.
pub fn in_archive(path: &Path) -> Option<Vec<u8>> {
    let (archive, name) = tarball::split(path)?;
    Some(tarball::read(archive).ok()?.get(&name)?.to_vec())
}

/// Adds a beam file, or the beam files of a folder or an archive. Anything else is passed over.
fn add(path: PathBuf, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let failed = |path: &Path, error| FileError::Io {
        path: path.to_owned(),
        error,
    };
    if !path.is_dir() {
        if archive::is_archive(&path) {
            found.extend(archive::beams(&path).map_err(|error| failed(&path, error))?);
        } else if tarball::is_tarball(&path) {
            let content = tarball::read(&path).map_err(|error| failed(&path, error))?;
            found.extend(content.beams().map(|name| path.join(name)));
        } else if is_beam(&path) {
            found.push(path);
        }
        return Ok(());
    }
    for entry in std::fs::read_dir(&path).map_err(|error| failed(&path, error))? {
        let entry = entry.map_err(|error| failed(&path, error))?;
        let file = entry.path();
        let (beam, packed) = (is_beam(&file), archive::is_archive(&file));
        // The entry knows its kind without being asked again, unless it is a link.
        let is_folder = match entry.file_type() {
            Ok(kind) if !kind.is_symlink() => kind.is_dir(),
            _ => file.is_dir(),
        };
        if !(beam || packed) || is_folder {
            continue;
        }
        if packed {
            found.extend(archive::beams(&file).map_err(|error| failed(&file, error))?);
        } else {
            found.push(file);
        }
    }
    Ok(())
}

fn is_beam(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "beam")
}

/// The `.app` files of a folder, sorted; none when it is no folder.
pub fn apps_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "app") && path.is_file())
        .collect();
    found.sort();
    found
}

/// Reads one beam file and what its tables say.
///
/// Errors when it cannot be read, is larger than [`MAX_BEAM`], is no beam, or holds a module of another
/// name than the file.
pub fn read_beam_file(path: &Path) -> Result<BeamFile, FileError> {
    let bytes = FileReader::default().read(path)?;
    let facts = facts(path, &bytes)?;
    Ok(BeamFile {
        path: path.to_owned(),
        bytes,
        facts,
    })
}

fn facts(path: &Path, bytes: &[u8]) -> Result<BeamFacts, FileError> {
    let facts = BeamFacts::read(bytes).map_err(|error| FileError::Beam {
        path: path.to_owned(),
        error,
    })?;
    if path
        .file_stem()
        .is_none_or(|stem| stem != facts.module.as_str())
    {
        return Err(FileError::OtherModule {
            path: path.to_owned(),
            module: facts.module,
        });
    }
    Ok(facts)
}

/// Modules that are in two of the files, by file name.
pub fn twice(paths: &[PathBuf]) -> Vec<FileError> {
    let mut known = std::collections::HashMap::new();
    paths
        .iter()
        .filter_map(|path| {
            let stem = path.file_stem()?;
            let first = known.insert(stem, path)?;
            Some(FileError::Twice {
                module: Module::new(stem.to_str()?),
                first: first.clone(),
                path: path.clone(),
            })
        })
        .collect()
}

/// The application that a beam belongs to by its place: `APP-VSN/ebin/x.beam`, `APP/ebin/x.beam`.
pub fn application_of(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let folder = match folder.file_name() {
        Some(name) if name == "ebin" => folder.parent()?.file_name()?,
        other => other?,
    };
    let name = folder.to_str()?;
    let bare = match name.rsplit_once('-') {
        Some((bare, vsn)) if vsn.starts_with(|c: char| c.is_ascii_digit()) => bare,
        _ => name,
    };
    Some(bare.to_owned())
}

/// A file as it was found.
pub(super) enum OpenedFile {
    /// A regular file and its size.
    File(File, u64),
    /// The contents of a file in an archive.
    Bytes(Vec<u8>),
}

/// Reads regular files and files in archives.
#[derive(Default)]
pub(super) struct FileReader {
    archives: Archives,
}

impl FileReader {
    /// Opens a file; one in an archive comes with its bytes.
    pub(super) fn open(&mut self, path: &Path) -> Result<OpenedFile, FileError> {
        let opened = regular(path).or_else(|error| match archive::split(path) {
            Some((archive, name)) => self.archives.read(archive, &name).map(OpenedFile::Bytes),
            None => match tarball::split(path) {
                Some((archive, name)) => {
                    let content = tarball::read(archive)?;
                    let bytes = content.get(&name).ok_or(error)?;
                    Ok(OpenedFile::Bytes(bytes.to_vec()))
                }
                None => Err(error),
            },
        });
        opened.map_err(|error| FileError::Io {
            path: path.to_owned(),
            error,
        })
    }

    /// The contents of an opened file; one byte more than [`MAX_BEAM`] when it is larger, so that the reader sees it.
    pub(super) fn read_all(
        &mut self,
        path: &Path,
        opened: OpenedFile,
    ) -> Result<Vec<u8>, FileError> {
        let (file, size) = match opened {
            OpenedFile::Bytes(bytes) => return Ok(bytes),
            OpenedFile::File(file, size) => (file, size),
        };
        let limit = MAX_BEAM + 1;
        let mut bytes = Vec::new();
        bytes.reserve_exact(usize::try_from(size.min(limit)).unwrap_or(0) + 1);
        match file.take(limit).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(FileError::Io {
                path: path.to_owned(),
                error,
            }),
        }
    }

    /// The contents of a file.
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, FileError> {
        let opened = self.open(path)?;
        self.read_all(path, opened)
    }
}

fn regular(path: &Path) -> io::Result<OpenedFile> {
    let (file, known) = regular_file::open(path)?;
    Ok(OpenedFile::File(file, known.len()))
}

/// Reads the facts of many files, in parallel, without keeping their bytes. The answers are in the
/// order of the paths.
pub fn facts_of(paths: &[PathBuf]) -> Vec<Result<BeamFacts, FileError>> {
    each_in_parallel(paths, FileReader::default, |reader, path| {
        facts(path, &reader.read(path)?)
    })
}

/// Does something with each path, shared out among threads that each have a state of their own. The
/// answers are in the order of the paths.
pub(super) fn each_in_parallel<S, T: Send>(
    paths: &[PathBuf],
    state: impl Fn() -> S + Sync,
    each: impl Fn(&mut S, &Path) -> T + Sync,
) -> Vec<T> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors.min(MAX_THREADS);
    in_parallel(paths, threads, state, |state, path| each(state, path))
}
