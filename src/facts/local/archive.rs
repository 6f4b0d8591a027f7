//! Beams inside of code archives (`.ez`), which are ZIP files with `APP/ebin/*.beam` in them.
//!
//! Takes the path of an archive and gives the beams in it, named as Erlang's code server names them:
//! the archive's path, then the path inside. Takes such a name and gives the bytes. Nothing is unpacked
//! to disk, nothing beyond [`MAX_BEAM`] into memory, and a name inside of the archive is only ever
//! compared, never opened.

#![expect(clippy::disallowed_methods, reason = "archives are files")]

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;

use crate::facts::beam::chunk::MAX_BEAM;
use crate::regular_file;

/// More files than any archive of an application holds; bounds the index of a hostile one.
const MAX_FILES: usize = 1 << 16;

/// Whether a path has the name of an archive.
pub(super) fn is_archive(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ez")
}

/// Splits a path into archive and name inside; `None` when no part of it is an archive.
///
/// Only names are looked at, so the caller tries the path as a regular file first.
pub(super) fn split(path: &Path) -> Option<(&Path, String)> {
    let archive = path.ancestors().skip(1).find(|above| is_archive(above))?;
    let inside = path.strip_prefix(archive).ok()?;
    let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
    Some((archive, parts?.join("/")))
}

/// The beams in the `ebin` folders of an archive.
///
/// # Errors
/// When it cannot be read or is no ZIP file.
pub(super) fn beams(path: &Path) -> io::Result<Vec<PathBuf>> {
    let archive = open(path)?;
    let names = archive.file_names().filter_map(Result::ok);
    Ok(names
        .filter(|name| is_beam(name))
        .map(|name| path.join(&*name))
        .collect())
}

/// Whether a name inside stays inside, and is a beam in an `ebin` folder.
fn is_beam(name: &str) -> bool {
    let inside = Path::new(name)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let mut parts = name.rsplit('/');
    let file = parts.next().unwrap_or_default();
    inside && file.ends_with(".beam") && parts.next() == Some("ebin")
}

fn open(path: &Path) -> io::Result<ZipArchive<BufReader<File>>> {
    let (file, _) = regular_file::open(path)?;
    let archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    if archive.len() > MAX_FILES {
        return Err(io::Error::other("an archive of too many files"));
    }
    Ok(archive)
}

fn damaged(error: zip::result::ZipError) -> io::Error {
    match error {
        zip::result::ZipError::Io(error) => error,
        zip::result::ZipError::FileNotFound => io::ErrorKind::NotFound.into(),
        _ => io::Error::other("the archive is damaged or packed in a way that Erlang does not use"),
    }
}

/// Reads files of archives; keeps the last archive open, because neighbours are asked for in a row.
#[derive(Debug, Default)]
pub(super) struct Archives {
    last: Option<(PathBuf, ZipArchive<BufReader<File>>)>,
}

impl Archives {
    /// The bytes of one file; one more than [`MAX_BEAM`] when it is larger.
    pub(super) fn read(&mut self, path: &Path, name: &str) -> io::Result<Vec<u8>> {
        if self.last.as_ref().is_none_or(|(known, _)| known != path) {
            self.last = Some((path.to_owned(), open(path)?));
        }
        let Some((_, archive)) = &mut self.last else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let file = archive.by_name(name).map_err(damaged)?;
        let mut bytes = Vec::new();
        file.take(MAX_BEAM + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
