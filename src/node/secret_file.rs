//! Files that hold a secret: cookies, keys.
//!
//! Takes a path, gives the bytes, or a diagnostic with the caller's code. A file that others than its owner may access
//! is refused, by the rule of kernel's `auth`; so is anything that is no regular file, for opening a FIFO would wait for
//! its other end. What is read is never part of a message.

#![expect(
    clippy::disallowed_methods,
    reason = "cookies and private keys are files, and so are their rights"
)]

use std::io::Read;
use std::path::Path;

use super::cookie::plain;
use crate::diag::{Code, Diagnostic, Result};
use crate::regular_file;

/// What kind of file is read, for the messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretFile {
    /// With its article: `the cookie file`.
    pub(crate) what: &'static str,
    /// Of the diagnostics.
    pub(crate) code: Code,
    /// No more bytes than that are read.
    pub(crate) limit: usize,
}

impl SecretFile {
    /// Its first `limit` bytes, when only its owner may access it.
    pub(crate) fn read(self, path: &Path) -> Result<Vec<u8>> {
        self.read_as(path, true)
    }

    /// The same for a file that others may know.
    pub(crate) fn read_public(self, path: &Path) -> Result<Vec<u8>> {
        self.read_as(path, false)
    }

    fn read_as(self, path: &Path, secret: bool) -> Result<Vec<u8>> {
        let (what, shown) = (self.what, path.display());
        let unreadable = |error: std::io::Error| {
            let why = plain(&error);
            Box::new(Diagnostic::new(
                self.code,
                format!("cannot read {what} {shown}: {why}"),
            ))
        };
        let (file, known) = regular_file::open(path).map_err(unreadable)?;
        if secret && let Some(open) = open_to_others(&known) {
            return Err(Box::new(self.is_open(path, open)));
        }
        // Room for all of it: growing would leave copies behind.
        let mut bytes = Vec::with_capacity(self.limit);
        file.take(self.limit as u64)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Ok(bytes)
    }

    /// The diagnostic for a file that others than its owner may access.
    pub(crate) fn is_open(self, path: &Path, mode: u32) -> Diagnostic {
        let (what, shown) = (self.what, path.display());
        let title = format!("{what} {shown} is open to others than its owner (mode {mode:04o})");
        Diagnostic::new(self.code, title).help(format!("chmod 400 {shown}"))
    }
}

/// The mode of a file, when it lets others than the owner in.
#[cfg(unix)]
pub(crate) fn open_to_others(meta: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = meta.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
pub(crate) fn open_to_others(_meta: &std::fs::Metadata) -> Option<u32> {
    None
}
