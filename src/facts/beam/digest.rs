//! The digest of a module: what `module_info(md5)` answers once a node has loaded the beam.
//!
//! Takes chunks and gives one digest for each way of counting them. The chunks that count are those of `beam_file.c` and
//! `beam_lib:md5_chunks/0`, and they have become more: the same file has one digest on an old node and another one on
//! a new node. Where the two disagree (doubled chunks, a Latin-1 atom table beside the other), the loader is followed:
//! what is compared is what runs.

use md5::{Digest, Md5 as Hasher};

use super::chunk::{ChunkId, Chunks};
use crate::name::Md5;

/// What every release counts, in this order; before them the atom table.
const ALWAYS: [&ChunkId; 6] = [b"Code", b"StrT", b"ImpT", b"ExpT", b"FunT", b"LitT"];

/// The releases that began to count more, and what they count behind that.
const LATER: [(u32, &[&ChunkId]); 3] = [
    (25, &[b"Meta"]),
    (28, &[b"Meta", b"DbgB"]),
    (29, &[b"Meta", b"Recs", b"DbgB"]),
];

/// The digests of one beam.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    first: Md5,
    later: [Md5; LATER.len()],
}

impl Digests {
    /// The digests of a beam with these chunks.
    pub fn of(chunks: &Chunks<'_>) -> Self {
        let mut md5 = Hasher::new();
        // The Latin-1 table counts only where it is the one that is read.
        let atoms = chunks.get(b"AtU8").filter(|table| !table.is_empty());
        md5.update(atoms.or_else(|| chunks.get(b"Atom")).unwrap_or_default());
        for id in ALWAYS {
            let data = chunks.get(id).unwrap_or_default();
            if id == b"FunT" {
                without_old_uniq(&mut md5, data);
            } else {
                md5.update(data);
            }
        }
        let later = LATER.map(|(_, more)| {
            let mut md5 = md5.clone();
            for id in more {
                md5.update(chunks.get(id).unwrap_or_default());
            }
            finish(md5)
        });
        Self {
            first: finish(md5),
            later,
        }
    }

    /// The digest on a node of an OTP release.
    pub fn on(&self, otp: u32) -> Md5 {
        let mut known = LATER.iter().zip(&self.later);
        let found = known.rfind(|((since, _), _)| otp >= *since);
        found.map_or(self.first, |(_, digest)| *digest)
    }
}

fn finish(md5: Hasher) -> Md5 {
    Md5::from(<[u8; 16]>::from(md5.finalize()))
}

/// The fun table with `OldUniq` of each fun zeroed: that field depends on the compiler's machine and not on the code.
fn without_old_uniq(md5: &mut Hasher, data: &[u8]) {
    let (count, rows) = data.split_at(data.len().min(4));
    md5.update(count);
    let (rows, tail) = rows.as_chunks::<24>();
    for row in rows {
        md5.update(&row[..20]);
        md5.update([0; 4]);
    }
    md5.update(tail);
}
