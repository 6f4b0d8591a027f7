//! The container of a beam file: chunks, and the tables inside of them.
//!
//! Takes the bytes of a file, plain or gzip-compressed, and gives slices and small tables. Every count
//! and size is checked against the bytes that are left before anything is allocated; nothing is
//! unpacked beyond [`MAX_BEAM`]. Any chunk may be missing: that is `None` or an empty table here, and
//! what it means is decided by the reader above.
//!
//! Layout as `beam_lib` and `beam_asm` of OTP 23 to 29 have it. OTP 28 and later mark long atom
//! lengths by a negative atom count, and store literals unpacked with a size field of zero.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::io::Read;
use std::sync::Arc;

use super::cursor::{ByteCursor, Tag};
use super::error::BeamError;

/// The largest beam file, plain or unpacked, and the largest literal table, in bytes: 64 MiB.
pub const MAX_BEAM: u64 = 64 << 20;

/// More chunks than any compiler writes; bounds the index of a hostile file.
const MAX_CHUNKS: usize = 1024;

/// A chunk's name.
pub type ChunkId = [u8; 4];

/// The bytes of a beam file, unpacked if the file is gzip-compressed (`erlc +compressed`).
pub fn unpacked(bytes: &[u8]) -> Result<Cow<'_, [u8]>, BeamError> {
    if bytes.len() as u64 > MAX_BEAM {
        return Err(BeamError::TooBig { limit: MAX_BEAM });
    }
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .take(MAX_BEAM + 1)
        .read_to_end(&mut plain)
        .map_err(|_| BeamError::BadGzip)?;
    if plain.len() as u64 > MAX_BEAM {
        return Err(BeamError::TooBig { limit: MAX_BEAM });
    }
    Ok(Cow::Owned(plain))
}

/// The chunks of one file, by name.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    found: Vec<(ChunkId, &'a [u8])>,
}

impl<'a> Chunks<'a> {
    /// Finds the chunks of unpacked bytes (see [`unpacked`]).
    ///
    /// Bytes behind the size that the header states are left alone, as the emulator does.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BeamError> {
        let mut header = ByteCursor::new(bytes);
        if header.take(4) != Some(b"FOR1") {
            return Err(BeamError::NotABeam);
        }
        let size = header.u32().ok_or(BeamError::NotABeam)?;
        let body = usize::try_from(size)
            .ok()
            .and_then(|size| bytes.get(8..)?.get(..size))
            .ok_or(BeamError::Truncated {
                expected: u64::from(size) + 8,
                found: bytes.len() as u64,
            })?;
        let mut body = ByteCursor::new(body);
        if body.take(4) != Some(b"BEAM") {
            return Err(BeamError::NotABeam);
        }
        let mut found = Vec::with_capacity(16);
        while body.left() > 0 {
            let (id, data) = chunk(&mut body).ok_or(BeamError::BadChunk("header"))?;
            if found.len() == MAX_CHUNKS {
                return Err(BeamError::BadChunk("header"));
            }
            found.push((id, data));
        }
        Ok(Self { found })
    }

    /// The chunk of this name; of several the last, as the loader of a node has it.
    pub fn get(&self, id: &ChunkId) -> Option<&'a [u8]> {
        self.found
            .iter()
            .rfind(|(name, _)| name == id)
            .map(|(_, data)| *data)
    }

    /// The names of all chunks, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &ChunkId> {
        self.found.iter().map(|(name, _)| name)
    }
}

fn chunk<'a>(body: &mut ByteCursor<'a>) -> Option<(ChunkId, &'a [u8])> {
    let id = body.take(4)?.try_into().ok()?;
    let size = usize::try_from(body.u32()?).ok()?;
    let data = body.take(size)?;
    // The last chunk of a hand-made file may lack its padding.
    let padding = size.next_multiple_of(4) - size;
    body.take(padding.min(body.left()))?;
    Some((id, data))
}

/// The atom table. Index 1 is the module.
///
/// Most atoms of a module are of no interest to a quick reading, so a text is only copied, and then
/// shared, on request.
#[derive(Clone, Debug)]
pub struct Atoms<'a>(Vec<(Cow<'a, str>, OnceCell<Arc<str>>)>);

impl<'a> Atoms<'a> {
    /// Reads `AtU8`, or the Latin-1 `Atom` of old compilers.
    pub fn read(chunks: &Chunks<'a>) -> Result<Self, BeamError> {
        if let Some(data) = chunks.get(b"AtU8") {
            let text = |raw| std::str::from_utf8(raw).ok().map(Cow::Borrowed);
            return Self::parse(data, text).ok_or(BeamError::BadChunk("AtU8"));
        }
        let data = chunks.get(b"Atom").ok_or(BeamError::MissingChunk("AtU8"))?;
        let text = |raw: &[u8]| Some(raw.iter().map(|byte| char::from(*byte)).collect());
        Self::parse(data, text).ok_or(BeamError::BadChunk("Atom"))
    }

    fn parse(data: &'a [u8], text: impl Fn(&'a [u8]) -> Option<Cow<'a, str>>) -> Option<Self> {
        let mut data = ByteCursor::new(data);
        let count = data.u32()?.cast_signed();
        let long = count < 0;
        let count = usize::try_from(count.unsigned_abs()).ok()?;
        if count > data.left() {
            return None;
        }
        let mut atoms = Vec::with_capacity(count);
        for _ in 0..count {
            let size = if long {
                data.number()?
            } else {
                usize::from(data.u8()?)
            };
            atoms.push((text(data.take(size)?)?, OnceCell::new()));
        }
        Some(Self(atoms))
    }

    fn slot(&self, index: u32) -> Option<&(Cow<'a, str>, OnceCell<Arc<str>>)> {
        self.0.get(usize::try_from(index).ok()?.checked_sub(1)?)
    }

    /// The text of an atom by its index as it is in other chunks, 1 the first.
    pub fn text(&self, index: u32) -> Option<&str> {
        self.slot(index).map(|(text, _)| &**text)
    }

    /// The same, to be kept.
    pub fn get(&self, index: u32) -> Option<&Arc<str>> {
        self.slot(index)
            .map(|(text, shared)| shared.get_or_init(|| Arc::from(&**text)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts of all, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(text, _)| &**text)
    }
}

/// Rows of three numbers, as `ImpT`, `ExpT` and `LocT` hold them. Empty if the chunk is missing.
pub fn triples(chunks: &Chunks<'_>, id: &'static str) -> Result<Vec<[u32; 3]>, BeamError> {
    let Some(data) = <&ChunkId>::try_from(id.as_bytes())
        .ok()
        .and_then(|id| chunks.get(id))
    else {
        return Ok(Vec::new());
    };
    let mut data = ByteCursor::new(data);
    let count = data.count(12).ok_or(BeamError::BadChunk(id))?;
    let (rows, _) = data.rest().as_chunks::<12>();
    Ok(rows
        .iter()
        .take(count)
        .map(|row| [word(row, 0), word(row, 4), word(row, 8)])
        .collect())
}

fn word(row: &[u8; 12], at: usize) -> u32 {
    u32::from_be_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]])
}

/// The literal table: each literal's external term format, not yet decoded.
#[derive(Clone, Debug, Default)]
pub struct Literals<'a> {
    data: Cow<'a, [u8]>,
    spans: Vec<(usize, usize)>,
}

impl<'a> Literals<'a> {
    /// Reads `LitT`, zlib-compressed or plain. Empty if the chunk is missing.
    pub fn read(chunks: &Chunks<'a>) -> Result<Self, BeamError> {
        match chunks.get(b"LitT") {
            None => Ok(Self::default()),
            Some(data) => Self::parse(data).ok_or(BeamError::BadChunk("LitT")),
        }
    }

    fn parse(data: &'a [u8]) -> Option<Self> {
        let mut header = ByteCursor::new(data);
        let data = match u64::from(header.u32()?) {
            0 => Cow::Borrowed(header.rest()),
            size if size > MAX_BEAM => return None,
            size => Cow::Owned(inflate(header.rest(), size)?),
        };
        let mut table = ByteCursor::new(&data);
        let count = table.count(4)?;
        let mut spans = Vec::with_capacity(count);
        for _ in 0..count {
            let size = usize::try_from(table.u32()?).ok()?;
            let start = data.len() - table.left();
            table.take(size)?;
            spans.push((start, start + size));
        }
        Some(Self { data, spans })
    }

    /// How many literals there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The external term format of a literal, 0 the first.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (start, end) = *self.spans.get(index)?;
        self.data.get(start..end)
    }
}

/// Unpacks a zlib stream that has to give exactly `size` bytes.
fn inflate(packed: &[u8], size: u64) -> Option<Vec<u8>> {
    // The stated size is a claim: memory is taken as bytes really arrive.
    let mut plain = Vec::with_capacity(usize::try_from(size).ok()?.min(1 << 20));
    flate2::read::ZlibDecoder::new(packed)
        .take(size + 1)
        .read_to_end(&mut plain)
        .ok()?;
    (plain.len() as u64 == size).then_some(plain)
}

/// The line numbers of a `Line` chunk, by the index that `line` instructions use.
#[derive(Clone, Debug, Default)]
pub struct LineTable(Vec<u32>);

impl LineTable {
    /// Reads `Line`. Lines are a comfort: a missing or damaged chunk gives an empty table.
    pub fn read(chunks: &Chunks<'_>) -> Self {
        Self(
            chunks
                .get(b"Line")
                .and_then(Self::parse)
                .unwrap_or_default(),
        )
    }

    fn parse(data: &[u8]) -> Option<Vec<u32>> {
        let mut data = ByteCursor::new(data);
        let version = data.u32()?;
        let (_flags, _instructions, items, _names) =
            (data.u32()?, data.u32()?, data.u32()?, data.u32()?);
        let items = usize::try_from(items).ok()?;
        if version != 0 || items > data.left() {
            return None;
        }
        let mut lines = Vec::with_capacity(items);
        while lines.len() < items {
            match data.compact()? {
                (Tag::I, line) => {
                    lines.push(line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0))
                }
                // A file name for the lines that follow.
                (Tag::A, _) => {}
                _ => return None,
            }
        }
        Some(lines)
    }

    /// The line of an index, 1 the first; index 0 means "no line".
    pub fn get(&self, index: usize) -> Option<u32> {
        self.0
            .get(index.checked_sub(1)?)
            .copied()
            .filter(|line| *line > 0)
    }
}
