//! The atom table of a twin: the old one with another first name, and names added behind.

use std::collections::HashMap;

use crate::facts::beam::BeamError;
use crate::facts::beam::chunk::{Atoms, ChunkId, Chunks};
use crate::facts::beam::cursor::Tag;
use crate::name::Module;

use super::encode::compact;
use super::error::NoTwin;

/// The longest atom, in characters.
const MAX_ATOM: usize = 255;

/// How a table is written. The twin's is written as its module's: what the node accepted once it accepts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// `Atom`: a byte for each character.
    Latin1,
    /// `AtU8`, with a byte for each length.
    Utf8,
    /// `AtU8` of OTP 28 and later, with compact numbers for lengths.
    LongUtf8,
}

impl Table {
    /// The kind of table that a beam has.
    pub(super) fn of(chunks: &Chunks<'_>) -> Result<Self, BeamError> {
        match chunks.get(b"AtU8") {
            None => Ok(Self::Latin1),
            Some([high, ..]) if high & 0x80 != 0 => Ok(Self::LongUtf8),
            Some([_, ..]) => Ok(Self::Utf8),
            Some([]) => Err(BeamError::BadChunk("AtU8")),
        }
    }

    pub(super) fn id(self) -> &'static ChunkId {
        match self {
            Self::Latin1 => b"Atom",
            Self::Utf8 | Self::LongUtf8 => b"AtU8",
        }
    }
}

/// The atoms of a twin while it is made.
pub(super) struct NewAtoms<'a> {
    old: &'a Atoms<'a>,
    twin: &'a Module,
    /// Behind the old ones: first the real name, then the twins of others.
    added: Vec<String>,
    /// Twins of others, by the index of the real name.
    others: HashMap<u32, u32>,
}

impl<'a> NewAtoms<'a> {
    pub(super) fn new(old: &'a Atoms<'a>, twin: &'a Module) -> Result<Self, NoTwin> {
        if twin.as_str().chars().count() > MAX_ATOM {
            return Err(NoTwin::LongName);
        }
        let own = old.text(1).unwrap_or_default().to_owned();
        Ok(Self {
            old,
            twin,
            added: vec![own],
            others: HashMap::new(),
        })
    }

    /// The index of the real name, where it is data.
    pub(super) fn own(&self) -> u32 {
        // A table's length is a number of 31 bits.
        u32::try_from(self.old.len() + 1).unwrap_or(u32::MAX)
    }

    /// An index as it is for a twin where it is data: index 1 has become the twin's name.
    pub(super) fn data(&self, index: u32) -> u32 {
        match index {
            1 => self.own(),
            other => other,
        }
    }

    /// The index of the twin's name of another module.
    pub(super) fn twin_of(&mut self, index: u32, name: &str) -> Result<u32, NoTwin> {
        if let Some(known) = self.others.get(&index) {
            return Ok(*known);
        }
        let twin = super::name(&Module::new(name));
        if twin.as_str().chars().count() > MAX_ATOM {
            return Err(NoTwin::LongName);
        }
        self.added.push(twin.as_str().to_owned());
        let new = u32::try_from(self.old.len() + self.added.len()).map_err(|_| NoTwin::TooBig)?;
        self.others.insert(index, new);
        Ok(new)
    }

    /// The chunk.
    pub(super) fn encoded(&self, table: Table) -> Result<Vec<u8>, NoTwin> {
        let count = self.old.len() + self.added.len();
        let count = i32::try_from(count).map_err(|_| NoTwin::TooBig)?;
        let count = match table {
            Table::LongUtf8 => -count,
            Table::Latin1 | Table::Utf8 => count,
        };
        let mut chunk = count.to_be_bytes().to_vec();
        let kept = self.old.texts().skip(1);
        let added = self.added.iter().map(String::as_str);
        for text in [self.twin.as_str()].into_iter().chain(kept).chain(added) {
            let latin: Option<Vec<u8>>;
            let raw = match table {
                Table::Latin1 => {
                    latin = text.chars().map(|c| u8::try_from(c).ok()).collect();
                    latin.as_deref().ok_or(NoTwin::LongName)?
                }
                Table::Utf8 | Table::LongUtf8 => text.as_bytes(),
            };
            match table {
                Table::LongUtf8 => {
                    let size = u32::try_from(raw.len()).map_err(|_| NoTwin::TooBig)?;
                    chunk.extend(compact(Tag::U, size));
                }
                Table::Latin1 | Table::Utf8 => {
                    chunk.push(u8::try_from(raw.len()).map_err(|_| NoTwin::LongName)?);
                }
            }
            chunk.extend(raw);
        }
        Ok(chunk)
    }
}
