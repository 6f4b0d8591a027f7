//! Beams inside of release archives: `.tar.gz` as `mix release`, relx and `systools:make_tar/1` make them, and plain `.tar`.
//!
//! Takes the path of an archive and gives the beams and application files in it, named by the archive's path and the path
//! inside. Nothing is unpacked to disk, and a name inside is only ever compared, never opened. An archive can only be read
//! from its beginning, so that the last one is kept for those who ask for its files one by one. Bounded: the files, what is
//! kept of them, and how much is unpacked at all.

#![expect(clippy::disallowed_methods, reason = "archives are files")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;

use crate::facts::beam::chunk::MAX_BEAM;

/// More files than any release has.
const MAX_FILES: usize = 1 << 17;

/// Most bytes of beams that are kept: ten times those of Erlang, Elixir and a large application together.
const MAX_KEPT: u64 = 512 << 20;

/// Most bytes that are unpacked; whatever else is in a release, it is smaller.
const MAX_UNPACKED: u64 = 4 << 30;

/// What an archive holds, by the names inside.
#[derive(Debug, Default)]
pub(super) struct Tarball {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tarball {
    /// The names of its beams.
    pub(super) fn beams(&self) -> impl Iterator<Item = &str> {
        let names = self.files.keys().map(String::as_str);
        names.filter(|name| name.ends_with(".beam"))
    }

    /// The bytes of a file; at most one more than [`MAX_BEAM`].
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }
}

/// Whether a path has the name of such an archive.
pub(super) fn is_tarball(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let ends = [".tar.gz", ".tgz", ".tar"];
    name.is_some_and(|name| ends.iter().any(|end| name.ends_with(end)))
}

/// Splits a path into archive and name inside; `None` when no part of it is an archive that is there.
pub(super) fn split(path: &Path) -> Option<(&Path, String)> {
    let mut above = path.ancestors().skip(1);
    let archive = above.find(|above| is_tarball(above) && above.is_file())?;
    let inside = path.strip_prefix(archive).ok()?;
    let parts: Option<Vec<&str>> = inside.iter().map(|part| part.to_str()).collect();
    Some((archive, parts?.join("/")))
}

/// What a file looks like: its size and time.
type Look = (u64, SystemTime);

/// Reads an archive, unless it is the last one that was read and has not changed.
///
/// # Errors
/// When it cannot be read, is damaged or larger than anything real.
pub(super) fn read(path: &Path) -> io::Result<Arc<Tarball>> {
    static LAST: Mutex<Option<(PathBuf, Look, Arc<Tarball>)>> = Mutex::new(None);
    let known = std::fs::metadata(path)?;
    if !known.is_file() {
        return Err(io::Error::other("not an ordinary file"));
    }
    let look = (known.len(), known.modified()?);
    // Held while it is read: other threads want the same.
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((before, seen, tarball)) = &*last
        && before == path
        && *seen == look
    {
        return Ok(Arc::clone(tarball));
    }
    let mut file = File::open(path)?;
    let mut magic = [0; 2];
    let begins = file.read(&mut magic)?;
    file.rewind()?;
    let file = BufReader::new(file);
    let tarball = match magic[..begins] {
        [31, 139] => unpacked(MultiGzDecoder::new(file))?,
        _ => unpacked(file)?,
    };
    let tarball = Arc::new(tarball);
    *last = Some((path.to_owned(), look, Arc::clone(&tarball)));
    Ok(tarball)
}

fn unpacked(reader: impl Read) -> io::Result<Tarball> {
    let damaged = |why: io::Error| io::Error::other(format!("the archive is damaged: {why}"));
    let too_large = || io::Error::other("the archive is larger than any release");
    let mut archive = tar::Archive::new(Bounded {
        reader,
        left: MAX_UNPACKED,
    });
    let (mut tarball, mut kept) = (Tarball::default(), 0);
    for (number, entry) in archive.entries().map_err(damaged)?.enumerate() {
        let entry = entry.map_err(damaged)?;
        if number >= MAX_FILES {
            return Err(too_large());
        }
        let name = match entry.path() {
            Ok(path) if entry.header().entry_type().is_file() => inside(&path),
            _ => None,
        };
        let Some(name) = name.filter(|name| is_wanted(name)) else {
            continue;
        };
        let mut bytes = Vec::new();
        entry
            .take(MAX_BEAM + 1)
            .read_to_end(&mut bytes)
            .map_err(damaged)?;
        kept += bytes.len() as u64;
        if kept > MAX_KEPT {
            return Err(too_large());
        }
        tarball.files.insert(name, bytes);
    }
    Ok(tarball)
}

/// A name inside, when it stays inside.
fn inside(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

fn is_wanted(name: &str) -> bool {
    name.ends_with(".beam") || name.ends_with(".app")
}

/// A reader that ends in an error instead of giving more than is sensible.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other("it unpacks to more than any release has"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of these names; each file holds its name.
    fn archive(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_gnu();
            // As a hostile one would: without the checks of the crate.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(name.len() as u64);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            builder
                .append(&header, name.as_bytes())
                .expect("it is appended");
        }
        builder.into_inner().expect("it ends")
    }

    #[test]
    fn beams_and_specifications_are_kept_and_no_name_leads_outside() {
        let names = [
            "lib/shop-1/ebin/shop.beam",
            "./lib/shop-1/ebin/shop.app",
            "../escape.beam",
            "/etc/root.beam",
            "a/../../up.beam",
            "releases/1/sys.config",
        ];
        let tarball = unpacked(&archive(&names)[..]).expect("an archive");
        let found: Vec<&str> = tarball.files.keys().map(String::as_str).collect();
        assert_eq!(
            found,
            ["lib/shop-1/ebin/shop.app", "lib/shop-1/ebin/shop.beam"]
        );
        assert_eq!(tarball.get(names[0]), Some(names[0].as_bytes()));
        assert_eq!(tarball.beams().count(), 1);
    }

    #[test]
    fn what_is_damaged_is_an_error_wherever_it_is_cut() {
        let whole = archive(&["lib/shop-1/ebin/shop.beam"]);
        assert!(unpacked(&whole[..520]).is_err());
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&whole).expect("it is packed");
        let packed = packed.finish().expect("it ends");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("shop-1.tar.gz");
        let write = |bytes: &[u8]| std::fs::write(&path, bytes).expect("a file can be written");
        write(&packed[..packed.len() / 2]);
        assert!(read(&path).is_err());
        write(&packed);
        assert_eq!(read(&path).expect("an archive").beams().count(), 1);
        write(b"no archive at all");
        assert!(read(&path).is_err());
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_given_up() {
        let mut bounded = Bounded {
            reader: io::repeat(0),
            left: 1 << 20,
        };
        assert!(io::copy(&mut bounded, &mut io::sink()).is_err());
    }
}
