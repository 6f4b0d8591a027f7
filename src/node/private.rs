//! Files that hold a secret: cookies, keys.
//!
//! Takes a path, gives the bytes, or a diagnostic with the caller's code. A file that others than its owner may access
//! is refused, by the rule of kernel's `auth`; so is anything that is no regular file, for opening a FIFO would wait for
//! its other end. What is read is never part of a message.

use std::io::Read;
use std::path::Path;

use super::cookie::plain;
use crate::diag::{Code, Diagnostic, Result};

/// What kind of file is read, for the messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    /// With its article: `the cookie file`.
    pub(crate) what: &'static str,
    /// Of the diagnostics.
    pub(crate) code: Code,
    /// No more bytes than that are read.
    pub(crate) limit: usize,
}

impl File {
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
        // Looked at before it is opened.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            let title = format!("{what} {shown} is not a regular file");
            return Err(Box::new(Diagnostic::new(self.code, title)));
        }
        let file = std::fs::File::open(path).map_err(unreadable)?;
        if secret {
            self.check_owner_only(path, &file.metadata().map_err(unreadable)?)?;
        }
        // Room for all of it: growing would leave copies behind.
        let mut bytes = Vec::with_capacity(self.limit);
        file.take(self.limit as u64)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        Ok(bytes)
    }

    #[cfg(unix)]
    fn check_owner_only(self, path: &Path, meta: &std::fs::Metadata) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            return Ok(());
        }
        let (what, shown) = (self.what, path.display());
        let title = format!("{what} {shown} is open to others than its owner (mode {mode:04o})");
        Err(Box::new(
            Diagnostic::new(self.code, title).help(format!("chmod 400 {shown}")),
        ))
    }

    #[cfg(not(unix))]
    fn check_owner_only(self, _path: &Path, _meta: &std::fs::Metadata) -> Result<()> {
        Ok(())
    }
}

/// Overwrites a secret that is no longer needed.
pub(crate) fn forget(bytes: &mut [u8]) {
    bytes.fill(0);
    std::hint::black_box(bytes);
}
