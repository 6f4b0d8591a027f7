//! Copies of beams, kept by MD5, because a node cannot give back the binary of what it runs.
//!
//! One file per version: `<state>/beams/<first two digits>/<md5>.beam`, written beside and renamed, so that
//! a crash leaves a whole file or none. What is read back is checked against the MD5 by the caller's
//! reader, so a damaged store is an empty store.

use std::fs;
use std::path::PathBuf;

use crate::disk;

/// A folder of beams.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in a state folder; nothing is created before something is put.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            folder: state.into().join("beams"),
        }
    }

    fn path(&self, md5: &[u8; 16]) -> PathBuf {
        let name = hex(md5);
        self.folder.join(&name[..2]).join(format!("{name}.beam"))
    }

    /// The copy of a version, if there is one.
    pub fn get(&self, md5: &[u8; 16]) -> Option<Vec<u8>> {
        fs::read(self.path(md5)).ok()
    }

    /// Keeps a copy.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn put(&self, md5: &[u8; 16], bytes: &[u8]) -> std::io::Result<()> {
        let path = self.path(md5);
        if path.exists() {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        disk::replace(&path, bytes)
    }
}

/// Lowercase hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::Store;

    #[test]
    fn what_is_put_can_be_got() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Store::new(folder.path());
        let md5 = [7; 16];
        assert_eq!(store.get(&md5), None);
        store.put(&md5, b"beam").expect("can write");
        store.put(&md5, b"other").expect("a second put is nothing");
        assert_eq!(store.get(&md5).as_deref(), Some(&b"beam"[..]));
        assert_eq!(
            std::fs::read_dir(folder.path().join("beams/07"))
                .expect("is there")
                .count(),
            1
        );
    }
}
