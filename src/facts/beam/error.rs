//! What can be wrong with a beam file, in a few kinds.
//!
//! Gives a sentence for each; the caller adds the file name and makes it a diagnostic (E214). It never
//! carries text of the file itself, so that a hostile file cannot speak through an error message.

use std::fmt;

/// Why bytes cannot be used as a beam file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BeamError {
    /// Neither `FOR1 … BEAM` nor a gzip file that holds it.
    NotABeam,
    /// The file ends before the size that its header states.
    Truncated {
        /// Bytes that the header announces.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The file, or what it unpacks to, is larger than the limit.
    TooBig {
        /// The limit in bytes.
        limit: u64,
    },
    /// The gzip stream cannot be unpacked.
    BadGzip,
    /// A chunk that has to be there is missing.
    MissingChunk(&'static str),
    /// A chunk contradicts itself or ends too early.
    BadChunk(&'static str),
}

impl std::error::Error for BeamError {}

impl fmt::Display for BeamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABeam => f.write_str("this is not a beam file"),
            Self::Truncated { expected, found } => {
                write!(f, "the file is truncated: {found} bytes of {expected}")
            }
            Self::TooBig { limit } => write!(f, "more than {limit} bytes"),
            Self::BadGzip => f.write_str("the file is compressed and cannot be unpacked"),
            Self::MissingChunk(id) => write!(f, "the chunk {id} is missing"),
            Self::BadChunk(id) => write!(f, "the chunk {id} is damaged"),
        }
    }
}
