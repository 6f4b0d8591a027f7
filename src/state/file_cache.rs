//! What updo has seen of a node's files, so that only those that changed since are read again.
//!
//! One file per node in the state folder, in the external term format, written beside and renamed. An entry holds
//! only while device, inode, size, modification and change time of the file are what they were; a file touched in
//! the last seconds before it was read is not remembered, because a second change could hide in the same second.
//! Losing the whole of it costs one slower look, nothing else: what cannot be read is taken for empty.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::node_file;
use crate::name::{Md5, Module, NodeName};
use crate::term::Term;

/// The largest file that is read back, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// A file is remembered when its times lie further back than this, in seconds of the node's clock.
const SETTLED: i64 = 3;

/// First element of the stored tuple. Another one is another format, and read as nothing.
const FORMAT: i64 = 2;

/// What distinguishes one state of a file from another. Times are in seconds, of the node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Device.
    pub device: i64,
    /// Inode.
    pub inode: i64,
    /// Bytes.
    pub size: i64,
    /// Time of modification.
    pub mtime: i64,
    /// Time of the last change of the inode.
    pub ctime: i64,
}

/// What a beam file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedBeam {
    /// The module inside.
    pub module: Module,
    /// Its MD5.
    pub md5: Md5,
    /// The MD5 of its line information, see [`BeamFacts::line_md5`](crate::facts::beam::BeamFacts::line_md5).
    pub lines: Md5,
}

/// A file as it was when a version of a module was first seen in it, while the node ran the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FirstSight {
    /// The node's incarnation: after a restart the node has loaded what is there then.
    creation: u32,
    md5: Md5,
    lines: Md5,
}

#[derive(Clone, Debug)]
struct Entry {
    stat: Stat,
    known: CachedBeam,
}

/// The memory of one node's files.
#[derive(Debug)]
pub struct Seen {
    path: Option<PathBuf>,
    /// The OTP release that it is about: another one gives the same file another MD5.
    otp: u32,
    entries: BTreeMap<String, Entry>,
    firsts: BTreeMap<String, FirstSight>,
    changed: bool,
}

impl Seen {
    /// What is remembered of a node in a state folder.
    pub fn open(state: &Path, node: &NodeName) -> Self {
        let path = node_file::path(state, "files", node, "seen");
        let (otp, entries, firsts) = read(&path).unwrap_or_default();
        Self {
            path: Some(path),
            otp,
            entries,
            firsts,
            changed: false,
        }
    }

    /// A memory that begins empty and is kept nowhere.
    pub fn nothing() -> Self {
        Self {
            path: None,
            otp: 0,
            entries: BTreeMap::new(),
            firsts: BTreeMap::new(),
            changed: false,
        }
    }

    /// Says which OTP release the node is of. What was seen under another one is forgotten.
    pub fn on(&mut self, otp: u32) {
        if self.otp != otp {
            self.otp = otp;
            self.entries.clear();
            self.firsts.clear();
        }
    }

    /// What a file is, if it is still as it was seen.
    pub fn get(&self, file: &str, stat: &Stat) -> Option<&CachedBeam> {
        let entry = self.entries.get(file)?;
        (entry.stat == *stat).then_some(&entry.known)
    }

    /// Remembers a file, unless it was touched at about `now` (seconds of the node's clock).
    pub fn put(&mut self, file: &str, stat: Stat, known: CachedBeam, now: i64) {
        if now.saturating_sub(stat.mtime.max(stat.ctime)) < SETTLED {
            return;
        }
        let entry = Entry { stat, known };
        self.entries.insert(file.to_owned(), entry);
        self.changed = true;
    }

    /// Notes that the node runs the version of a file that is `known`; whether that version was first seen, in this
    /// life of the node, with other line information.
    pub fn lines_moved(&mut self, file: &str, creation: u32, known: &CachedBeam) -> bool {
        match self.firsts.get(file) {
            Some(first) if first.creation == creation && first.md5 == known.md5 => {
                first.lines != known.lines
            }
            _ => {
                let first = FirstSight {
                    creation,
                    md5: known.md5,
                    lines: known.lines,
                };
                self.firsts.insert(file.to_owned(), first);
                self.changed = true;
                false
            }
        }
    }

    /// The lines that the running version of a file was first seen with, as far as known.
    pub fn first_lines(&self, file: &str, creation: u32, md5: &Md5) -> Option<Md5> {
        let first = self.firsts.get(file)?;
        (first.creation == creation && first.md5 == *md5).then_some(first.lines)
    }

    /// Keeps it for the next time.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub fn save(&mut self) -> std::io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.changed) else {
            return Ok(());
        };
        let entries = self.entries.iter().map(|(file, entry)| term(file, entry));
        let firsts = self.firsts.iter().map(|(file, first)| {
            Term::tuple([
                Term::binary(file),
                Term::Int(i64::from(first.creation)),
                Term::binary(first.md5),
                Term::binary(first.lines),
            ])
        });
        let whole = Term::tuple([
            Term::Int(FORMAT),
            Term::Int(i64::from(self.otp)),
            Term::list(entries),
            Term::list(firsts),
        ]);
        node_file::write(path, &whole)?;
        self.changed = false;
        Ok(())
    }
}

fn term(file: &str, entry: &Entry) -> Term {
    let Entry { stat, known } = entry;
    let numbers = [stat.device, stat.inode, stat.size, stat.mtime, stat.ctime];
    Term::tuple([
        Term::binary(file),
        Term::tuple(numbers.map(Term::Int)),
        Term::binary(known.module.as_str()),
        Term::binary(known.md5),
        Term::binary(known.lines),
    ])
}

type Memory = (u32, BTreeMap<String, Entry>, BTreeMap<String, FirstSight>);

fn read(path: &Path) -> Option<Memory> {
    let whole = node_file::read(path, MAX_FILE)?;
    match whole.as_tuple()? {
        [
            Term::Int(FORMAT),
            Term::Int(otp),
            Term::List(entries),
            Term::List(firsts),
        ] => {
            let entries: Option<_> = entries.iter().map(entry).collect();
            let firsts: Option<_> = firsts.iter().map(first_sight).collect();
            Some((u32::try_from(*otp).ok()?, entries?, firsts?))
        }
        _ => None,
    }
}

fn digest(term: &Term) -> Option<Md5> {
    Md5::from_bytes(term.as_bytes()?)
}

fn entry(term: &Term) -> Option<(String, Entry)> {
    let [file, numbers, module, md5, lines] = term.as_tuple()? else {
        return None;
    };
    let [device, inode, size, mtime, ctime] = numbers.as_tuple()? else {
        return None;
    };
    let stat = Stat {
        device: device.as_i64()?,
        inode: inode.as_i64()?,
        size: size.as_i64()?,
        mtime: mtime.as_i64()?,
        ctime: ctime.as_i64()?,
    };
    let known = CachedBeam {
        module: Module::new(module.to_text()?),
        md5: digest(md5)?,
        lines: digest(lines)?,
    };
    Some((file.to_text()?, Entry { stat, known }))
}

fn first_sight(term: &Term) -> Option<(String, FirstSight)> {
    let [file, creation, md5, lines] = term.as_tuple()? else {
        return None;
    };
    let first = FirstSight {
        creation: u32::try_from(creation.as_i64()?).ok()?,
        md5: digest(md5)?,
        lines: digest(lines)?,
    };
    Some((file.to_text()?, first))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: Stat = Stat {
        device: 1,
        inode: 2,
        size: 3,
        mtime: 1000,
        ctime: 1000,
    };

    fn known(lines: u8) -> CachedBeam {
        CachedBeam {
            module: Module::new("m"),
            md5: Md5::from([1; 16]),
            lines: Md5::from([lines; 16]),
        }
    }

    #[test]
    fn holds_until_the_file_changes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = NodeName::new("a@b");
        let mut seen = Seen::open(folder.path(), &node);
        seen.put("/m.beam", STAT, known(1), 2000);
        seen.save().expect("can be written");
        let seen = Seen::open(folder.path(), &node);
        assert_eq!(seen.get("/m.beam", &STAT), Some(&known(1)));
        let touched = Stat {
            ctime: 1001,
            ..STAT
        };
        assert_eq!(seen.get("/m.beam", &touched), None);
        let other = Seen::open(folder.path(), &NodeName::new("c@b"));
        assert_eq!(other.get("/m.beam", &STAT), None);
    }

    #[test]
    fn what_was_just_written_is_not_remembered() {
        let mut seen = Seen::nothing();
        seen.put("/m.beam", STAT, known(1), STAT.mtime + SETTLED - 1);
        assert_eq!(seen.get("/m.beam", &STAT), None);
    }

    #[test]
    fn lines_are_compared_within_one_life_of_the_node() {
        let mut seen = Seen::nothing();
        seen.put("/m.beam", STAT, known(1), 2000);
        assert!(!seen.lines_moved("/m.beam", 7, &known(1)), "seen first");
        assert!(seen.lines_moved("/m.beam", 7, &known(2)), "moved");
        assert!(seen.lines_moved("/m.beam", 7, &known(2)), "still moved");
        assert!(!seen.lines_moved("/m.beam", 8, &known(2)), "restarted");
    }

    #[test]
    fn a_damaged_file_is_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let node = NodeName::new("a@b");
        let mut seen = Seen::open(folder.path(), &node);
        seen.put("/m.beam", STAT, known(1), 2000);
        seen.save().expect("can be written");
        let path = seen.path.clone().expect("it has one");
        let mut bytes = std::fs::read(&path).expect("is there");
        bytes.truncate(bytes.len() / 2);
        std::fs::write(&path, bytes).expect("can be written");
        assert_eq!(Seen::open(folder.path(), &node).get("/m.beam", &STAT), None);
    }
}
