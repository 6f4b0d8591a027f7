//! Calls between modules, read from many beam files as fast as the disk cache gives them.
//!
//! Takes paths and gives a [`CallGraph`], equal to what `xref` in modules mode answers to
//! `strict ME || AM`. Of each file only the chunk headers, the atoms and the import table are read:
//! code, literals and debug information, most of a beam, stay on the disk. Nothing else of
//! [`BeamFacts`](crate::facts::beam::BeamFacts) is known here; a caller that needs it reads the whole file.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::files::{FileError, FileReader, OpenedFile, each_in_parallel};
use crate::facts::beam::BeamError;
use crate::facts::beam::bifs::{Bifs, bifs};
use crate::facts::beam::chunk::{MAX_BEAM, unpacked};
use crate::facts::beam::cursor::ByteCursor;
use crate::name::Module;

/// How much is read at once, in bytes: the atoms of most modules and the start of their code.
const PIECE: usize = 8 << 10;

/// Modules and the calls between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallGraph {
    modules: Vec<Module>,
    /// Caller and callee as indices, sorted.
    edges: Vec<(u32, u32)>,
}

impl CallGraph {
    /// The modules, by name.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The edges, by caller and then callee.
    pub fn edges(&self) -> impl ExactSizeIterator<Item = (&Module, &Module)> {
        let name = |at: u32| &self.modules[at as usize];
        self.edges.iter().map(move |(a, b)| (name(*a), name(*b)))
    }

    /// The modules at most `depth` calls away from one, in either direction, and the calls between
    /// them; `None` when there is no such module.
    #[expect(
        clippy::expect_used,
        reason = "no more modules than there were, and those had numbers"
    )]
    pub fn around(&self, middle: &Module, depth: usize) -> Option<Self> {
        let middle = self.modules.binary_search(middle).ok()?;
        let mut near = vec![false; self.modules.len()];
        near[middle] = true;
        for _ in 0..depth {
            let before = near.clone();
            for (a, b) in &self.edges {
                let (a, b) = (*a as usize, *b as usize);
                near[a] |= before[b];
                near[b] |= before[a];
            }
            if near == before {
                break;
            }
        }
        let mut place = vec![0; near.len()];
        let mut modules = Vec::new();
        for (at, module) in self.modules.iter().enumerate().filter(|(at, _)| near[*at]) {
            place[at] = u32::try_from(modules.len()).expect("fewer than before");
            modules.push(module.clone());
        }
        let kept = |(a, b): &&(u32, u32)| near[*a as usize] && near[*b as usize];
        let moved = |(a, b): &(u32, u32)| (place[*a as usize], place[*b as usize]);
        let edges = self.edges.iter().filter(kept).map(moved).collect();
        Some(Self { modules, edges })
    }
}

/// Reads the files and finds the calls between their modules, as an OTP of release `otp` would see them.
///
/// # Errors
/// Every file that cannot be used, and every module that is in two files; in the order of the paths.
pub fn call_graph(paths: &[PathBuf], otp: u32) -> Result<CallGraph, Vec<FileError>> {
    let bifs = bifs(otp);
    let mut read = Vec::with_capacity(paths.len());
    let mut wrong = Vec::new();
    let calls = each_in_parallel(paths, || Scanner::new(bifs), Scanner::file);
    for (path, calls) in paths.iter().zip(calls) {
        match calls {
            Ok(calls) => read.push((calls, path)),
            Err(error) => wrong.push(error),
        }
    }
    read.sort_by(|(a, _), (b, _)| a.module.cmp(&b.module));
    for twins in read.windows(2) {
        if twins[0].0.module == twins[1].0.module {
            wrong.push(FileError::Twice {
                module: Module::new(&*twins[1].0.module),
                first: twins[0].1.clone(),
                path: twins[1].1.clone(),
            });
        }
    }
    if wrong.is_empty() {
        Ok(joined(read.into_iter().map(|(calls, _)| calls).collect()))
    } else {
        Err(wrong)
    }
}

/// Keeps the calls into modules of the set; `read` is sorted by module.
fn joined(read: Vec<Calls>) -> CallGraph {
    let place: HashMap<&str, u32> = (0..).zip(&read).map(|(at, c)| (&*c.module, at)).collect();
    let mut edges = Vec::new();
    for (caller, calls) in (0..).zip(&read) {
        let from = edges.len();
        edges.extend(
            calls
                .callees
                .iter()
                .filter_map(|callee| Some((caller, *place.get(&**callee)?))),
        );
        edges[from..].sort_unstable();
    }
    edges.dedup();
    let modules = read.iter().map(|calls| Module::new(&*calls.module));
    CallGraph {
        modules: modules.collect(),
        edges,
    }
}

/// What one file says.
#[derive(Debug, PartialEq)]
struct Calls {
    module: Box<str>,
    /// Each once, the module itself left out.
    callees: Vec<Box<str>>,
}

/// Reads one file after the other into buffers of its own.
struct Scanner {
    bifs: &'static Bifs,
    reader: FileReader,
    window: Vec<u8>,
    atoms: Vec<u8>,
    spans: Vec<(u32, u32)>,
    imports: Vec<u8>,
    seen: HashSet<u32>,
}

impl Scanner {
    fn new(bifs: &'static Bifs) -> Self {
        Self {
            bifs,
            reader: FileReader::default(),
            window: Vec::new(),
            atoms: Vec::new(),
            spans: Vec::new(),
            imports: Vec::new(),
            seen: HashSet::new(),
        }
    }

    fn file(&mut self, path: &Path) -> Result<Calls, FileError> {
        let wrong = |error| FileError::Beam {
            path: path.to_owned(),
            error,
        };
        let calls = match self.reader.open(path)? {
            OpenedFile::Bytes(bytes) => self.bytes(&bytes).map_err(wrong)?,
            OpenedFile::File(file, size) => match self.pieces(&file, size) {
                Some(calls) => calls.map_err(wrong)?,
                // Compressed, too big, or not to be read in pieces: the slow way knows, and says why.
                None => {
                    let bytes = self.reader.read_all(path, OpenedFile::File(file, size))?;
                    self.bytes(&bytes).map_err(wrong)?
                }
            },
        };
        if path.file_stem().is_none_or(|stem| stem != &*calls.module) {
            return Err(FileError::OtherModule {
                path: path.to_owned(),
                module: Module::new(&*calls.module),
            });
        }
        Ok(calls)
    }

    fn pieces(&mut self, file: &File, size: u64) -> Option<Result<Calls, BeamError>> {
        let mut window = std::mem::take(&mut self.window);
        window.clear();
        let mut pieces = Pieces {
            file: Some(file),
            size,
            held: &mut window,
            start: 0,
        };
        let fit = size <= MAX_BEAM && pieces.at(0, 4).is_some_and(|magic| magic == b"FOR1");
        let found = fit.then(|| self.scan(&mut pieces));
        self.window = window;
        found
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Calls, BeamError> {
        let mut plain = unpacked(bytes)?.into_owned();
        let size = plain.len() as u64;
        self.scan(&mut Pieces {
            file: None,
            size,
            held: &mut plain,
            start: 0,
        })
    }

    /// Goes from chunk header to chunk header until atoms and imports are found.
    fn scan(&mut self, file: &mut Pieces<'_>) -> Result<Calls, BeamError> {
        let header = file.at(0, 12).ok_or(BeamError::NotABeam)?;
        if &header[..4] != b"FOR1" || &header[8..] != b"BEAM" {
            return Err(BeamError::NotABeam);
        }
        let end = u64::from(word(&header[4..])) + 8;
        if end > file.size {
            return Err(BeamError::Truncated {
                expected: end,
                found: file.size,
            });
        }
        let (mut atoms, mut imports) = (None, false);
        self.imports.clear();
        let mut at = 12;
        while at < end && !(atoms.is_some() && imports) {
            let header = file.at(at, 8).ok_or(BeamError::BadChunk("header"))?;
            let (id, size) = ([header[0], header[1], header[2], header[3]], &header[4..]);
            let size = u64::from(word(size));
            at += 8;
            if at + size > end {
                return Err(BeamError::BadChunk("header"));
            }
            let into = match &id {
                b"AtU8" => {
                    atoms = Some(true);
                    Some(&mut self.atoms)
                }
                b"Atom" if atoms.is_none() => {
                    atoms = Some(false);
                    Some(&mut self.atoms)
                }
                b"ImpT" => {
                    imports = true;
                    Some(&mut self.imports)
                }
                _ => None,
            };
            if let Some(into) = into {
                let size = usize::try_from(size).map_err(|_| BeamError::BadChunk("header"))?;
                file.copy(at, size, into)
                    .ok_or(BeamError::BadChunk("header"))?;
            }
            at += size.next_multiple_of(4);
        }
        let utf8 = atoms.ok_or(BeamError::MissingChunk("AtU8"))?;
        self.spans().ok_or(BeamError::BadChunk("AtU8"))?;
        self.callees(utf8)
    }

    /// The position of each atom's text.
    fn spans(&mut self) -> Option<()> {
        self.spans.clear();
        let mut data = ByteCursor::new(&self.atoms);
        let count = data.u32()?.cast_signed();
        // Since OTP 28 a negative count says that lengths are compact numbers.
        let long = count < 0;
        let count = usize::try_from(count.unsigned_abs()).ok()?;
        if count > data.left() {
            return None;
        }
        for _ in 0..count {
            let size = if long {
                data.number()?
            } else {
                usize::from(data.u8()?)
            };
            let start = self.atoms.len() - data.left();
            data.take(size)?;
            let span = (u32::try_from(start).ok()?, u32::try_from(size).ok()?);
            self.spans.push(span);
        }
        Some(())
    }

    fn atom(&self, index: u32, utf8: bool) -> Option<std::borrow::Cow<'_, str>> {
        let at = usize::try_from(index).ok()?.checked_sub(1)?;
        let (start, size) = *self.spans.get(at)?;
        let raw = self.atoms.get(start as usize..)?.get(..size as usize)?;
        if utf8 {
            return std::str::from_utf8(raw).ok().map(Into::into);
        }
        Some(raw.iter().map(|byte| char::from(*byte)).collect())
    }

    fn callees(&mut self, utf8: bool) -> Result<Calls, BeamError> {
        const IMPORTS: BeamError = BeamError::BadChunk("ImpT");
        let module = self.atom(1, utf8).ok_or(BeamError::BadChunk("AtU8"))?;
        let module = Box::from(&*module);
        let mut callees = Vec::new();
        let mut rows = ByteCursor::new(&self.imports);
        let count = match self.imports.len() {
            0 => 0,
            _ => rows.count(12).ok_or(IMPORTS)?,
        };
        let mut seen = std::mem::take(&mut self.seen);
        seen.clear();
        // An atom may be in the table once only, so equal indices mean equal modules.
        seen.insert(1);
        let mut asked = None;
        for row in rows.rest().as_chunks::<12>().0.iter().take(count) {
            let [owner, function, arity] = [word(&row[..4]), word(&row[4..8]), word(&row[8..])];
            if seen.contains(&owner) {
                continue;
            }
            let name = self.atom(owner, utf8).ok_or(IMPORTS)?;
            let built_in = match asked {
                Some((same, built_in)) if same == owner => built_in,
                _ => self.bifs.of_module(&name),
            };
            asked = Some((owner, built_in));
            if let Some(built_in) = built_in {
                let function = self.atom(function, utf8).ok_or(IMPORTS)?;
                if built_in.contains(&(&*function, arity)) {
                    continue;
                }
            }
            seen.insert(owner);
            callees.push(Box::from(&*name));
        }
        self.seen = seen;
        Ok(Calls { module, callees })
    }
}

/// A file, or bytes, of which one piece at a time is in memory.
struct Pieces<'a> {
    file: Option<&'a File>,
    size: u64,
    held: &'a mut Vec<u8>,
    /// Where in the file the held piece starts.
    start: u64,
}

impl Pieces<'_> {
    /// `size` bytes at an offset; `None` behind the end.
    fn at(&mut self, offset: u64, size: usize) -> Option<&[u8]> {
        let end = offset.checked_add(size as u64)?;
        if end > self.size {
            return None;
        }
        if offset < self.start || end > self.start + self.held.len() as u64 {
            let file = self.file?;
            let most = usize::try_from(self.size - offset).ok()?;
            self.held.resize(size.max(PIECE).min(most), 0);
            file.read_exact_at(self.held, offset).ok()?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).ok()?;
        self.held.get(from..from + size)
    }

    /// Copies `size` bytes at an offset: what is held already, the rest straight from the file.
    fn copy(&mut self, offset: u64, size: usize, into: &mut Vec<u8>) -> Option<()> {
        into.clear();
        into.extend_from_slice(self.at(offset, size)?);
        Some(())
    }
}

fn word(four: &[u8]) -> u32 {
    u32::from_be_bytes([four[0], four[1], four[2], four[3]])
}

#[cfg(test)]
mod tests {
    use super::{CallGraph, Calls, joined};
    use crate::name::Module;

    fn graph() -> CallGraph {
        // a ──► b ──► c ◄── d
        let calls = |module: &str, callees: &[&str]| Calls {
            module: module.into(),
            callees: callees.iter().map(|callee| Box::from(*callee)).collect(),
        };
        joined(vec![
            calls("a", &["b", "elsewhere"]),
            calls("b", &["c"]),
            calls("c", &[]),
            calls("d", &["c"]),
        ])
    }

    fn shown(graph: &CallGraph) -> String {
        let edges = graph
            .edges()
            .map(|(a, b)| format!("{}>{}", a.as_str(), b.as_str()));
        edges.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn calls_out_of_the_set_are_left_out() {
        assert_eq!(shown(&graph()), "a>b b>c d>c");
    }

    #[test]
    fn around_goes_in_both_directions() {
        let around = |module: &str, depth| {
            let near = graph().around(&Module::new(module), depth)?;
            let names: Vec<_> = near.modules().iter().map(Module::as_str).collect();
            Some(format!("{} | {}", names.join(" "), shown(&near)))
        };
        assert_eq!(around("a", 0).as_deref(), Some("a | "));
        assert_eq!(around("a", 1).as_deref(), Some("a b | a>b"));
        assert_eq!(around("c", 1).as_deref(), Some("b c d | b>c d>c"));
        assert_eq!(around("a", 99).as_deref(), Some("a b c d | a>b b>c d>c"));
        assert_eq!(around("nobody", 1), None);
    }
}
