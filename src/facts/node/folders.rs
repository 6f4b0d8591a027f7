//! Folders of a node, by their names alone.

/// The folder of a file.
pub fn folder_of(file: &str) -> Option<&str> {
    Some(file.rsplit_once('/')?.0)
}
