//! The agent ready made: compiled once per OTP release, kept in the state folder, sent as a beam afterwards.
//!
//! A node compiles the agent in about a second of one processor, which is most of what a short run costs it. So the
//! first run fetches the beam that the node made, and later ones send it. Where none is kept, or the node does not take
//! it, the text is sent and compiled as ever.
//!
//! A beam that one node made runs on others: those that have the same cookie, for its hash is part of the name of the
//! file. Any node that has the cookie can run what it likes on all of them anyway, so a beam of one of them gives it
//! nothing new; a node of another cookie never gets it. The folder is the owner's alone (E803), and each file ends in
//! the digest of what is before it, so a torn one is taken for none.

#![expect(
    clippy::disallowed_methods,
    reason = "compiled agents are kept in the state folder"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::atomic_file;
use crate::regular_file;

/// Bytes of a digest.
const DIGEST: usize = 32;

/// No agent is larger: it has 350 kB.
const LARGEST: u64 = 4 << 20;

/// What the names of the agent's modules, and of compiled questions, begin with; four hexadecimal digits follow.
pub const PREFIX: &str = "updo_agent_";

/// Where the agents that are compiled from a source, for nodes of a cookie, are kept: the path of a file but for the OTP
/// release. Of the cookie only a digest is wanted.
pub fn place(state: &Path, source: &str, cookie: [u8; 16]) -> PathBuf {
    let mut hash = Sha256::new();
    hash.update(source);
    hash.update([0]);
    hash.update(cookie);
    let name: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    state.join("agents").join(name)
}

fn file(place: &Path, otp: &str) -> PathBuf {
    place.with_extension(format!("otp{otp}.beam"))
}

/// The agent for an OTP release, under the name of a run; `None` when none is kept, or what is kept is not whole.
pub fn load(place: &Path, otp: &str, run: &str) -> Option<Arc<[u8]>> {
    let path = file(place, otp);
    let mut bytes = regular_file::read(&path, LARGEST).ok()?;
    let digest = bytes.split_off(bytes.len().checked_sub(DIGEST)?);
    if Sha256::digest(&bytes)[..] != digest[..] {
        return None;
    }
    renamed(bytes, run).map(Arc::from)
}

/// Keeps an agent that a node has compiled. What cannot be kept is compiled again the next time.
pub fn keep(place: &Path, otp: &str, beam: &[u8]) {
    let path = file(place, otp);
    let digest = Sha256::digest(beam);
    if let Some(folder) = path.parent()
        && atomic_file::private_folders(folder).is_ok()
    {
        let _ = atomic_file::replace_private(&path, &[beam, &digest[..]].concat());
    }
}

/// The same beam under the name of another run: the first atom, which is as long. `None` when it is not there.
fn renamed(mut beam: Vec<u8>, run: &str) -> Option<Vec<u8>> {
    let table = beam.windows(4).position(|id| id == b"AtU8")?;
    // Behind the chunk's head: the number of atoms, then the length of the first in one byte, in both formats.
    let at = table + 4 + 4 + 4 + 1;
    let name = beam.get_mut(at..at + PREFIX.len() + 4)?;
    if !name.starts_with(PREFIX.as_bytes()) || run.len() != 4 {
        return None;
    }
    let digits = name.iter_mut().skip(PREFIX.len());
    digits
        .zip(run.bytes())
        .for_each(|(byte, digit)| *byte = digit);
    Some(beam)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn beam(name: &str) -> Vec<u8> {
        let mut bytes = b"FOR1\0\0\0\0BEAMAtU8\0\0\0\x1c\0\0\0\x02".to_vec();
        bytes.push(15);
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b"\x04more");
        bytes
    }

    #[test]
    fn kept_and_given_under_another_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("agents").join("x");
        assert_eq!(load(&place, "25", "beef"), None);
        keep(&place, "25", &beam("updo_agent_0a1b"));
        let loaded = load(&place, "25", "beef");
        assert_eq!(loaded.as_deref(), Some(&beam("updo_agent_beef")[..]));
        assert_eq!(load(&place, "27", "beef"), None);
        assert_eq!(load(&place, "25", "toolong"), None);
    }

    #[test]
    fn a_node_of_another_cookie_gets_another_one() {
        let of = |source, cookie| place(Path::new("/state"), source, cookie);
        assert_eq!(of("-module(a).", [1; 16]), of("-module(a).", [1; 16]));
        assert_ne!(of("-module(a).", [1; 16]), of("-module(a).", [2; 16]));
        assert_ne!(of("-module(a).", [1; 16]), of("-module(b).", [1; 16]));
    }

    #[test]
    fn incomplete_values_are_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("x");
        keep(&place, "25", &beam("updo_agent_0a1b"));
        let path = file(&place, "25");
        let whole = fs::read(&path).expect("kept");
        for cut in [0, 10, 31, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).expect("written");
            assert_eq!(load(&place, "25", "beef"), None, "{cut}");
        }
        let mut other = whole;
        other[30] ^= 1;
        fs::write(&path, other).expect("written");
        assert_eq!(load(&place, "25", "beef"), None);
        // Not an agent at all.
        keep(&place, "25", b"FOR1");
        assert_eq!(load(&place, "25", "beef"), None);
    }
}
