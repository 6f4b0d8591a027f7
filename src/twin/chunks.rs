//! Tables of rows and the file around all chunks, as a twin has them.

use crate::facts::beam::BeamError;
use crate::facts::beam::chunk::{ChunkId, Chunks};
use crate::facts::beam::cursor::ByteCursor;

use super::error::NoTwin;

/// A chunk that is a count and rows of numbers.
pub(super) struct Rows<'a> {
    id: &'static str,
    there: bool,
    width: usize,
    cells: Vec<u32>,
    /// What is behind the rows.
    tail: &'a [u8],
}

impl<'a> Rows<'a> {
    /// Reads a chunk with rows of `size` bytes; one that is missing has no row.
    pub(super) fn read(chunks: &Chunks<'a>, id: &'static str, size: usize) -> Result<Self, NoTwin> {
        let mut rows = Self {
            id,
            there: false,
            width: size / 4,
            cells: Vec::new(),
            tail: &[],
        };
        let name = <&ChunkId>::try_from(id.as_bytes()).ok();
        if let Some(data) = name.and_then(|name| chunks.get(name)) {
            let bad = || BeamError::BadChunk(id);
            let mut data = ByteCursor::new(data);
            let count = data.count(size).ok_or_else(bad)?;
            rows.there = true;
            rows.cells.reserve(count * rows.width);
            for _ in 0..count * rows.width {
                rows.cells.push(data.u32().ok_or_else(bad)?);
            }
            rows.tail = data.rest();
        }
        Ok(rows)
    }

    pub(super) fn id(&self) -> &'static ChunkId {
        self.id.as_bytes().first_chunk().unwrap_or(b"ImpT")
    }

    pub(super) fn is_there(&self) -> bool {
        self.there
    }

    pub(super) fn len(&self) -> usize {
        self.cells.len() / self.width
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.cells.chunks_exact(self.width)
    }

    pub(super) fn each(
        &mut self,
        mut change: impl FnMut(&mut [u32]) -> Result<(), NoTwin>,
    ) -> Result<(), NoTwin> {
        self.cells
            .chunks_exact_mut(self.width)
            .try_for_each(&mut change)
    }

    /// Adds a row and gives its index, 0 the first.
    pub(super) fn push(&mut self, row: [u32; 3]) -> Result<u32, NoTwin> {
        let index = u32::try_from(self.len()).map_err(|_| NoTwin::TooBig)?;
        self.there = true;
        self.cells.extend(row);
        Ok(index)
    }

    pub(super) fn encoded(&self) -> Vec<u8> {
        let count = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let mut chunk = count.to_be_bytes().to_vec();
        chunk.extend(self.cells.iter().flat_map(|cell| cell.to_be_bytes()));
        chunk.extend(self.tail);
        chunk
    }
}

/// A beam file in the making.
#[derive(Default)]
pub(super) struct Builder(Vec<u8>);

impl Builder {
    pub(super) fn chunk(&mut self, id: &ChunkId, data: &[u8]) -> Result<(), NoTwin> {
        let size = u32::try_from(data.len()).map_err(|_| NoTwin::TooBig)?;
        self.0.extend(id);
        self.0.extend(size.to_be_bytes());
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        Ok(())
    }

    pub(super) fn file(self) -> Result<Vec<u8>, NoTwin> {
        let size = u32::try_from(self.0.len() + 4).map_err(|_| NoTwin::TooBig)?;
        let mut file = Vec::with_capacity(self.0.len() + 12);
        file.extend(b"FOR1");
        file.extend(size.to_be_bytes());
        file.extend(b"BEAM");
        file.extend(self.0);
        Ok(file)
    }
}
