//! Finding beam files and reading them.
//!
//! Takes patterns of a plan or the command line and gives paths, takes paths and gives facts. The only
//! file of this stage that does input and output. It reads at most [`MAX_BEAM`] bytes of a file, and
//! only ordinary files; it never writes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::beam::{BeamError, BeamFacts};
use super::chunk::MAX_BEAM;
use crate::name::Module;

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
/// A pattern is taken from `base` unless it is absolute. A folder means its `*.beam`; `*`, `?`, `[…]`
/// and `**` work as in a shell, and folders that they match mean their `*.beam` as well. Errors when a
/// pattern is malformed or matches no beam file, or a folder cannot be read.
pub fn beams_of(patterns: &[&str], base: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    for pattern in patterns {
        let before = found.len();
        let plain = base.join(pattern);
        // A name that exists is itself, even if it looks like a pattern.
        match std::fs::metadata(&plain) {
            Ok(_) => add(plain, &mut found)?,
            Err(_) => globbed(pattern, base, &mut found)?,
        }
        if found.len() == before {
            return Err(FileError::Nothing {
                pattern: (*pattern).to_owned(),
            });
        }
    }
    found.sort();
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
    for path in glob::glob(&whole).map_err(|error| wrong(error.msg))? {
        match path {
            Ok(path) => add(path, found)?,
            Err(error) => {
                return Err(FileError::Io {
                    path: error.path().to_owned(),
                    error: error.into(),
                });
            }
        }
    }
    Ok(())
}

/// Adds a beam file, or the beam files of a folder. Anything else is passed over.
fn add(path: PathBuf, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    if !path.is_dir() {
        if is_beam(&path) {
            found.push(path);
        }
        return Ok(());
    }
    let failed = |error| FileError::Io {
        path: path.clone(),
        error,
    };
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if is_beam(&file) && !file.is_dir() {
            found.push(file);
        }
    }
    Ok(())
}

fn is_beam(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "beam")
}

/// Reads one beam file and what its tables say.
///
/// Errors when it cannot be read, is larger than [`MAX_BEAM`], is no beam, or holds a module of another
/// name than the file.
pub fn read_beam_file(path: &Path) -> Result<BeamFile, FileError> {
    let mut bytes = Vec::new();
    let facts = read_into(path, &mut bytes)?;
    Ok(BeamFile {
        path: path.to_owned(),
        bytes,
        facts,
    })
}

fn read_into(path: &Path, bytes: &mut Vec<u8>) -> Result<BeamFacts, FileError> {
    bytes.clear();
    contents(path, bytes).map_err(|error| FileError::Io {
        path: path.to_owned(),
        error,
    })?;
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

fn contents(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    // Opening a FIFO would wait for a writer, so look first.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("not an ordinary file"));
    }
    // One byte more than allowed, so that the reader sees that it is too big.
    let limit = MAX_BEAM + 1;
    let size = metadata.len().min(limit);
    bytes.reserve(usize::try_from(size).unwrap_or(0) + 1);
    File::open(path)?.take(limit).read_to_end(bytes)?;
    Ok(())
}

/// Reads the facts of many files, in parallel, without keeping their bytes. The answers stand in the
/// order of the paths.
pub fn facts_of(paths: &[PathBuf]) -> Vec<Result<BeamFacts, FileError>> {
    // Small shares, taken by whoever is free: files differ much in size.
    const SHARE: usize = 16;
    let shares: Vec<&[PathBuf]> = paths.chunks(SHARE).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = Vec::new();
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(share) = shares.get(number) else {
                return done;
            };
            let facts: Vec<_> = share
                .iter()
                .map(|path| read_into(path, &mut buffer))
                .collect();
            done.push((number, facts));
        }
    };
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut done = std::thread::scope(|scope| {
        let others = processors
            .min(MAX_THREADS)
            .min(shares.len())
            .saturating_sub(1);
        let others: Vec<_> = (0..others).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for thread in others {
            done.extend(
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().flat_map(|(_, facts)| facts).collect()
}
