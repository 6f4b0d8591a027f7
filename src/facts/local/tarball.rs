//! Beams inside of release archives: `.tar.gz` as `mix release`, relx and `systools:make_tar/1` make them, and plain `.tar`.
//!
//! Takes the path of an archive and gives the beams and application files in it, named by the archive's path and the path
//! inside. Nothing is unpacked to disk, and a name inside is only ever compared, never opened. An archive can only be read
//! from its beginning, so that a few are kept for those who ask for their files one by one. Bounded: the files, what is
//! kept of them, what describes one of them, and how much is unpacked at all.

#![expect(clippy::disallowed_methods, reason = "archives are files")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;

use crate::facts::beam::chunk::MAX_BEAM;
use crate::regular_file;

/// More files than any release has.
const MAX_FILES: usize = 1 << 17;

/// Most bytes of beams that are kept: ten times those of Erlang, Elixir and a large application together.
const MAX_KEPT: u64 = 512 << 20;

/// Most bytes that are unpacked; whatever else is in a release, it is smaller.
const MAX_UNPACKED: u64 = 4 << 30;

/// Most bytes between two files: headers, long names, extended attributes. They are read as a whole.
const MAX_HEADERS: u64 = 1 << 20;

/// Archives that are kept: the new version and the old one, of two releases.
const RECENT: usize = 4;

/// What an archive holds, by the names inside.
#[derive(Debug, Default)]
pub(super) struct Tarball {
    files: BTreeMap<String, Vec<u8>>,
    /// Bytes of these files and their names.
    kept: u64,
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

/// The archives that were read last, the newest at the end: together no more than [`MAX_KEPT`] allows for one.
struct Recent(Vec<(PathBuf, Look, Arc<Tarball>)>);

impl Recent {
    fn get(
        &mut self,
        path: &Path,
        look: Look,
        read: impl FnOnce() -> io::Result<Tarball>,
    ) -> io::Result<Arc<Tarball>> {
        let is_this = |(before, seen, _): &(PathBuf, Look, _)| before == path && *seen == look;
        let known = self.0.iter().position(is_this);
        let found = match known.map(|at| self.0.remove(at)) {
            Some((_, _, tarball)) => tarball,
            None => {
                self.0.retain(|(before, ..)| before != path);
                let tarball = read()?;
                while self.0.len() >= RECENT || self.kept() + tarball.kept > MAX_KEPT {
                    if self.0.is_empty() {
                        break;
                    }
                    self.0.remove(0);
                }
                Arc::new(tarball)
            }
        };
        self.0.push((path.to_owned(), look, Arc::clone(&found)));
        Ok(found)
    }

    fn kept(&self) -> u64 {
        self.0.iter().map(|(_, _, tarball)| tarball.kept).sum()
    }
}

/// Reads an archive, unless it is one of the last that were read and has not changed.
///
/// # Errors
/// When it cannot be read, is damaged or larger than anything real.
pub(super) fn read(path: &Path) -> io::Result<Arc<Tarball>> {
    static LAST: Mutex<Recent> = Mutex::new(Recent(Vec::new()));
    let (mut file, known) = regular_file::open(path)?;
    let look = (known.len(), known.modified()?);
    // Held while it is read: other threads want the same.
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.get(path, look, || {
        let mut magic = [0; 2];
        let begins = file.read(&mut magic)?;
        file.rewind()?;
        let file = BufReader::new(file);
        match magic[..begins] {
            [31, 139] => unpacked(MultiGzDecoder::new(file)),
            _ => unpacked(file),
        }
    })
}

fn unpacked(reader: impl Read) -> io::Result<Tarball> {
    let damaged = |why: io::Error| io::Error::other(format!("the archive is damaged: {why}"));
    let too_large = || io::Error::other("the archive is larger than any release");
    let (read, most) = (Cell::new(0), Cell::new(MAX_HEADERS));
    let mut archive = tar::Archive::new(Bounded {
        reader,
        read: &read,
        most: &most,
    });
    let mut tarball = Tarball::default();
    for (number, entry) in archive.entries().map_err(damaged)?.enumerate() {
        let mut entry = entry.map_err(damaged)?;
        if number >= MAX_FILES {
            return Err(too_large());
        }
        // What may be read until the next entry is there: the rest of this one, and what describes the next one.
        let rest = raw_size(&mut entry).map_err(damaged)?;
        let until = read.get().saturating_add(rest).saturating_add(MAX_HEADERS);
        most.set(until.min(MAX_UNPACKED));
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
        tarball.kept += (name.len() + bytes.len()) as u64;
        if tarball.kept > MAX_KEPT {
            return Err(too_large());
        }
        tarball.files.insert(name, bytes);
    }
    Ok(tarball)
}

/// How many bytes a file has in the archive itself. Its holes are not among them.
fn raw_size(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<u64> {
    if !entry.header().entry_type().is_gnu_sparse() {
        return Ok(entry.size().saturating_add(512));
    }
    // They could say another size than the header does, and only one of the two is known here.
    match entry.pax_extensions()? {
        Some(_) => Err(io::Error::other("a file with holes and extended headers")),
        None => Ok(entry.header().entry_size()?.saturating_add(512)),
    }
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
struct Bounded<'a, R> {
    reader: R,
    /// How much it has given.
    read: &'a Cell<u64>,
    /// How much it gives until that is said anew.
    most: &'a Cell<u64>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        let all = self.read.get() + read as u64;
        self.read.set(all);
        match (all > self.most.get(), all > MAX_UNPACKED) {
            (false, _) => Ok(read),
            (true, true) => Err(io::Error::other("it unpacks to more than any release has")),
            (true, false) => Err(io::Error::other(
                "more describes a file than any file needs",
            )),
        }
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

    /// A header of the given type, with a file of this size behind it.
    fn header(kind: tar::EntryType, size: u64) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..6].copy_from_slice(b"a.beam");
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    /// Counts what is read of it.
    struct Counted<R>(R, u64);

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1 += read as u64;
            Ok(read)
        }
    }

    #[test]
    fn a_long_name_or_extended_header_without_an_end_is_given_up() {
        let big = 64 << 20;
        for kind in [
            tar::EntryType::GNULongName,
            tar::EntryType::GNULongLink,
            tar::EntryType::XHeader,
        ] {
            let begin = archive(&["shop.beam"]);
            let begin = &begin[..1024];
            let header = header(kind, big);
            let rest = io::repeat(b'a').take(big);
            let mut counted = Counted(begin.chain(&header[..]).chain(rest), 0);
            let why = unpacked(&mut counted).expect_err("no archive");
            assert!(why.to_string().contains("describes"), "{why}");
            assert!(counted.1 < 2 * MAX_HEADERS, "{kind:?}: {}", counted.1);
        }
        // A file that nothing is kept of may be as large as it likes.
        let header = header(tar::EntryType::Continuous, big);
        let rest = io::repeat(b'a').take(big);
        let last = archive(&["shop.beam"]);
        let all = header.chain(rest).chain(&last[..]);
        assert_eq!(unpacked(all).expect("an archive").beams().count(), 1);
    }

    /// An archive with a long name, an extended header and a file with holes in it.
    fn unusual() -> Vec<u8> {
        let mut builder = tar::Builder::new(archive(&["one.beam"])[..1024].to_vec());
        let long = format!("{}/{}.beam", "long".repeat(40), "name".repeat(40));
        let mut plain = tar::Header::new_gnu();
        plain.set_size(3);
        builder
            .append_data(&mut plain, &long, &b"two"[..])
            .expect("it is appended");
        builder
            .append_pax_extensions([("path", &b"three.app"[..])])
            .expect("it is appended");
        builder
            .append_data(&mut plain, "no.app", &b"abc"[..])
            .expect("it is appended");
        let mut sparse = tar::Header::new_gnu();
        sparse.as_old_mut().name[..9].copy_from_slice(b"four.beam");
        sparse.set_entry_type(tar::EntryType::GNUSparse);
        sparse.set_size(512);
        let gnu = sparse.as_gnu_mut().expect("a header of GNU");
        gnu.sparse[0].offset[..12].copy_from_slice(b"00000002000\0");
        gnu.sparse[0].numbytes[..12].copy_from_slice(b"00000001000\0");
        gnu.realsize[..12].copy_from_slice(b"00000003000\0");
        sparse.set_cksum();
        builder
            .append(&sparse, &[7; 512][..])
            .expect("it is appended");
        builder
            .append_data(&mut plain, "five.beam", &b"end"[..])
            .expect("it is appended");
        builder.into_inner().expect("it ends")
    }

    #[test]
    fn unusual_archives_are_read_and_damaged_ones_never_panic() {
        let whole = unusual();
        let tarball = unpacked(&whole[..]).expect("an archive");
        let names: Vec<&str> = tarball.files.keys().map(String::as_str).collect();
        assert_eq!((names.len(), names[0]), (4, "five.beam"));
        assert!(
            names.contains(&"three.app") && names[1].starts_with("longlong"),
            "{names:?}"
        );
        // By a linear congruential generator: the same each time.
        let mut state = 1_u64;
        let mut below = |most: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(state >> 33).expect("small") % most
        };
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=below(4) {
                let at = below(bytes.len());
                bytes[at] = [b'0', b'7', 0, 255, b'L', b'S', b'x'][below(7)];
            }
            // So that more than the sum is read.
            for at in (0..bytes.len() - 512).step_by(512) {
                let header = &mut bytes[at..at + 512];
                let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
                let sum = sum - header[148..156].iter().map(|b| u32::from(*b)).sum::<u32>() + 256;
                if header[257..262] == *b"ustar" {
                    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
            bytes.truncate(bytes.len() - below(600));
            if let Ok(tarball) = unpacked(&bytes[..]) {
                assert!(tarball.kept < 100_000, "{}", tarball.kept);
            }
        }
    }

    #[test]
    fn an_archive_that_unpacks_to_too_much_is_given_up() {
        let (read, most) = (Cell::new(0), Cell::new(1 << 20));
        let mut bounded = Bounded {
            reader: io::repeat(0),
            read: &read,
            most: &most,
        };
        assert!(io::copy(&mut bounded, &mut io::sink()).is_err());
    }

    #[test]
    fn archives_that_are_used_in_turns_are_read_once() {
        let (mut recent, mut reads) = (Recent(Vec::new()), 0);
        let looks = (1, SystemTime::UNIX_EPOCH);
        let mut ask = |name: &str, look: Look, kept| {
            let read = || {
                reads += 1;
                let files = BTreeMap::new();
                Ok(Tarball { files, kept })
            };
            recent.get(Path::new(name), look, read).expect("it is read");
            (reads, recent.0.len(), recent.kept() <= MAX_KEPT)
        };
        for _ in 0..3 {
            ask("new.tar.gz", looks, 1);
            assert_eq!(ask("old.tar.gz", looks, 1), (2, 2, true));
        }
        // One that has changed takes its own place, one that is too large that of all others.
        assert_eq!(ask("old.tar.gz", (2, looks.1), 1), (3, 2, true));
        assert_eq!(ask("big.tar.gz", looks, MAX_KEPT), (4, 1, true));
        for number in 0..9 {
            ask(&number.to_string(), looks, 1);
        }
        assert_eq!(ask("8", looks, 1), (13, RECENT, true));
    }
}
