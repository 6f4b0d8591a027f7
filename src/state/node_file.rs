//! Files of the state folder that hold a term about one node: written beside and renamed, read within a limit.
//!
//! What cannot be read (not there, damaged, too large, of another format) is `None`: what is kept here only saves work.

#![expect(
    clippy::disallowed_methods,
    reason = "what is remembered of a node is a file of the state folder"
)]

use std::path::{Path, PathBuf};

use super::beams::hex;
use crate::name::NodeName;
use crate::regular_file;
use crate::term::{Term, etf};

/// The file of a node in a folder of the state folder.
pub(super) fn path(state: &Path, folder: &str, node: &NodeName, extension: &str) -> PathBuf {
    // A node's name may hold anything but `/`; its digest is a file name everywhere.
    let digest = <md5::Md5 as md5::Digest>::digest(node.as_str().as_bytes());
    state
        .join(folder)
        .join(format!("{}.{extension}", hex(&digest)))
}

/// The term in a file of at most so many bytes.
pub(super) fn read(path: &Path, most: u64) -> Option<Term> {
    etf::decode(&regular_file::read(path, most).ok()?).ok()
}

/// Puts a term in place of what the file holds; the file and its folder are the user's alone.
///
/// # Errors
/// When the state folder cannot be written.
pub(super) fn write(path: &Path, term: &Term) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    crate::atomic_file::private_folders(folder)?;
    crate::atomic_file::replace_private(path, &etf::encode(term))
}
