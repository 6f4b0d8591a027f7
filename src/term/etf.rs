//! The external term format: bytes to terms and back.
//!
//! Takes the bytes of `erlang:term_to_binary/1` or of a distribution frame, gives a [`Term`]; and the
//! other way round. Follows "External Term Format" of the ERTS user's guide.
//!
//! The crate `eetf` decodes, but only what the scan in `scan` has read to the end before: alone it
//! allocates what a peer's count says and recurses as deep as a peer likes. Encoding is our own, because
//! `eetf` sends `[-1]` as `[255]` and cuts the length of long strings to 16 bits.
//!
//! Must never panic, and never use more memory than the limits below allow, whatever the bytes are.

// What is read here others have written: nothing is cut at a place that was computed.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::string_slice))]

mod convert;
mod encode;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use super::Term;
use scan::Scan;

pub use encode::encode;

/// Deepest nesting of a term that is accepted. Terms this deep can be compared, printed and dropped on
/// a thread with a stack of 2 MB.
pub const MAX_DEPTH: usize = 512;

/// Most bytes a compressed term may inflate to.
pub const MAX_INFLATED: usize = 64 * 1024 * 1024;

/// Most bytes that one compressed byte may inflate to. zlib itself goes up to a thousand, for one byte over and over: what
/// no node has to say.
pub const MAX_RATIO: usize = 100;

/// Bytes that a compressed term may inflate to whatever the ratio.
const INFLATED_ANYWAY: usize = 1024 * 1024;

/// Most values in one term; each element of a string counts, because it becomes a value of its own, and a pair of a map
/// for four. While it is decoded a value takes about 128 bytes, so that a term takes half a gigabyte at most besides the
/// bytes of its binaries, however few bytes it came in.
pub const MAX_VALUES: u64 = 4 * 1024 * 1024;

/// Most bytes of an integer: 157,827 decimal digits. Larger ones would take too long to print.
pub const MAX_INTEGER_BYTES: usize = 64 * 1024;

/// Nesting up to which decoding happens on the caller's stack; deeper terms get a thread of their own.
const SHALLOW: usize = 48;

/// Stack of that thread: 64 KB for a level, far more than `eetf` needs even in a debug build.
const DEEP_STACK: usize = 32 * 1024 * 1024;

const VERSION: u8 = 131;
const COMPRESSED: u8 = 80;

/// Why bytes are not a term, or not one that is accepted. `at` counts bytes from the start of the input,
/// or of the inflated bytes when the term is compressed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EtfError {
    /// The bytes end before the term does, or a count promises more than there is.
    Truncated {
        /// Where the missing bytes should have been.
        at: usize,
    },
    /// The first byte is not 131.
    Version {
        /// What it is instead; nothing if there are no bytes.
        found: Option<u8>,
    },
    /// A tag that is unknown, or known and not accepted.
    Tag {
        /// The tag byte.
        tag: u8,
        /// Where it is.
        at: usize,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep {
        /// Where the limit was passed.
        at: usize,
    },
    /// More than [`MAX_VALUES`] values.
    TooManyValues {
        /// Where the limit was passed.
        at: usize,
    },
    /// An integer of more than [`MAX_INTEGER_BYTES`].
    IntegerTooLong {
        /// Its size in bytes.
        bytes: usize,
    },
    /// A compressed term of more than [`MAX_INFLATED`] bytes.
    InflatedTooLong {
        /// The size it claims.
        bytes: usize,
    },
    /// A compressed term that would inflate to more than [`MAX_RATIO`] times its bytes.
    InflatedTooMuch {
        /// The size it claims.
        bytes: usize,
        /// The compressed bytes there are.
        from: usize,
    },
    /// Compressed bytes that do not inflate to what they claim.
    Inflate,
    /// Something else is wrong with the value at this place.
    Malformed {
        /// What is wrong with it, in words.
        what: &'static str,
        /// Where it is.
        at: usize,
    },
    /// A map with the same key twice.
    DuplicateKey,
    /// Bytes after the end of the term.
    Trailing {
        /// How many bytes there are.
        bytes: usize,
    },
    /// The decoder refused what the scan accepted.
    Decoder(String),
}

impl fmt::Display for EtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "the term is cut off at byte {at}"),
            Self::Version { found: None } => write!(f, "no bytes where a term should be"),
            Self::Version { found: Some(byte) } => {
                write!(f, "an external term starts with 131, this with {byte}")
            }
            Self::Tag { tag, at } => match refused_tag(*tag) {
                Some(name) => write!(f, "{name} (tag {tag}) at byte {at} is not supported"),
                None => write!(f, "unknown tag {tag} at byte {at}"),
            },
            Self::TooDeep { at } => {
                write!(f, "nested deeper than {MAX_DEPTH} levels at byte {at}")
            }
            Self::TooManyValues { at } => {
                write!(f, "more than {MAX_VALUES} values in one term at byte {at}")
            }
            Self::IntegerTooLong { bytes } => write!(
                f,
                "an integer of {bytes} bytes, at most {MAX_INTEGER_BYTES} are accepted"
            ),
            Self::InflatedTooLong { bytes } => write!(
                f,
                "a compressed term of {bytes} bytes, at most {MAX_INFLATED} are accepted"
            ),
            Self::InflatedTooMuch { bytes, from } => write!(
                f,
                "a compressed term of {bytes} bytes in {from}, at most {MAX_RATIO} times as many are accepted"
            ),
            Self::Inflate => write!(f, "a compressed term does not inflate to its stated size"),
            Self::Malformed { what, at } => write!(f, "{what} at byte {at}"),
            Self::DuplicateKey => write!(f, "a map has the same key twice"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes after the end of the term"),
            Self::Decoder(text) => write!(f, "cannot decode the term: {text}"),
        }
    }
}

impl std::error::Error for EtfError {}

/// The names of tags that exist and are refused.
fn refused_tag(tag: u8) -> Option<&'static str> {
    match tag {
        68 => Some("a distribution header, DIST_HEADER"),
        69 => Some("a fragment header, DIST_FRAG_HEADER"),
        80 => Some("a compressed term inside of a term, COMPRESSED"),
        82 => Some("a reference to the atom cache, ATOM_CACHE_REF"),
        117 => Some("a fun of the old kind, FUN_EXT"),
        121 => Some("a node's private encoding, LOCAL_EXT"),
        _ => None,
    }
}

/// Decodes one external term that fills `bytes`, the leading 131 included.
///
/// Unlike `erlang:binary_to_term/1` it also refuses bytes after the term.
///
/// # Errors
/// Anything that is not exactly one term within limits: [`MAX_DEPTH`] levels, 4,194,304 values, integers of 64 KiB, 64 MiB
/// of inflated bytes, and no more than 100 of them for a compressed one.
pub fn decode(bytes: &[u8]) -> Result<Term, EtfError> {
    let (term, used) = decode_prefix(bytes)?;
    match bytes.len() - used {
        0 => Ok(term),
        extra => Err(EtfError::Trailing { bytes: extra }),
    }
}

/// Decodes the external term at the start of `bytes` and says how many bytes it took, the leading 131
/// included. For distribution frames, where the payload follows the control message.
pub fn decode_prefix(bytes: &[u8]) -> Result<(Term, usize), EtfError> {
    match bytes.first() {
        Some(&VERSION) => {}
        found => {
            return Err(EtfError::Version {
                found: found.copied(),
            });
        }
    }
    if bytes.get(1) == Some(&COMPRESSED) {
        let (body, used) = inflate(bytes)?;
        let scan = scan::scan(&body, 1)?;
        if scan.end != body.len() {
            return Err(EtfError::Inflate);
        }
        return Ok((build(&body, &scan)?, used));
    }
    let scan = scan::scan(bytes, 1)?;
    let whole = bytes.get(..scan.end).unwrap_or(bytes);
    Ok((build(whole, &scan)?, scan.end))
}

/// The bytes of an external term, inflated where it is compressed, without looking at what they say.
///
/// # Errors
/// As [`decode`], of the compression.
pub(crate) fn plain(bytes: &[u8]) -> Result<Cow<'_, [u8]>, EtfError> {
    match bytes.get(1) {
        Some(&COMPRESSED) => Ok(Cow::Owned(inflate(bytes)?.0)),
        _ => Ok(Cow::Borrowed(bytes)),
    }
}

/// Inflates a compressed term. Gives the plain external term, with its 131, and the bytes used.
fn inflate(bytes: &[u8]) -> Result<(Vec<u8>, usize), EtfError> {
    let Some(([_, _, header @ ..], packed)) = bytes.split_first_chunk::<6>() else {
        return Err(EtfError::Truncated { at: bytes.len() });
    };
    let size = u32::from_be_bytes(*header) as usize;
    if size > MAX_INFLATED {
        return Err(EtfError::InflatedTooLong { bytes: size });
    }
    let from = packed.len();
    if size > INFLATED_ANYWAY && size / MAX_RATIO > from {
        return Err(EtfError::InflatedTooMuch { bytes: size, from });
    }
    let mut decoder = flate2::bufread::ZlibDecoder::new(packed);
    let mut body = vec![VERSION];
    // One byte more than stated: it makes a wrong size visible, and lets a right one reach the checksum.
    (&mut decoder)
        .take(size as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|_| EtfError::Inflate)?;
    if body.len() != size + 1 {
        return Err(EtfError::Inflate);
    }
    let used = usize::try_from(decoder.total_in()).map_err(|_| EtfError::Inflate)?;
    Ok((body, 6 + used))
}

/// Makes the term out of bytes the scan has accepted.
fn build(whole: &[u8], scan: &Scan) -> Result<Term, EtfError> {
    let bytes = scan.patched(whole);
    let large = scan.large.iter();
    let large: Vec<&[u8]> = large
        .map(|at| whole.get(at.clone()).unwrap_or_default())
        .collect();
    let run = || run(&bytes, scan, &large);
    if scan.depth <= SHALLOW {
        return run();
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("etf".to_owned())
            .stack_size(DEEP_STACK)
            .spawn_scoped(scope, run)
            .map_err(|error| EtfError::Decoder(error.to_string()))?
            .join()
            .unwrap_or_else(|_| Err(EtfError::Decoder("the decoder crashed".to_owned())))
    })
}

fn run(bytes: &[u8], scan: &Scan, large: &[&[u8]]) -> Result<Term, EtfError> {
    let wire = eetf::Term::decode(bytes).map_err(|error| EtfError::Decoder(error.to_string()))?;
    convert::convert(wire, scan, large)
}

#[cfg(test)]
mod tests;
