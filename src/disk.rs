//! Files that are never half: what is written takes the place of what was there in one step, or not at all.
//!
//! Takes a path and its new content. It writes beside the file, waits until that is on the disk, and renames; after a crash
//! at any instant the file holds all of the old content or all of the new. The rights of the old file are kept, a symbolic
//! link stays one and its target is replaced. A failure leaves nothing behind. It makes no folders.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::Builder;

/// What begins the names of files that are not finished: `.updo-`. One is left behind only when updo is killed.
pub const UNFINISHED: &str = ".updo-";

/// Replaces the content of a file, or makes it with the rights that the umask leaves.
///
/// # Errors
/// When its folder is not there or cannot be written, or the disk is full; the file is as it was.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = target(path)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut beside = Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    beside.write_all(content)?;
    if let Ok(known) = fs::metadata(&target) {
        beside.as_file().set_permissions(known.permissions())?;
    }
    beside.as_file().sync_all()?;
    beside.persist(&target).map_err(|failed| failed.error)?;
    // The new name is on the disk when its folder is.
    File::open(folder)?.sync_all()
}

/// The file behind symbolic links; a link may lead to a file that is not there yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    /// As many links as Linux follows.
    const LINKS: usize = 40;
    match path.canonicalize() {
        Ok(real) => return Ok(real),
        // A file that is open and has no name any more (`/proc/self/fd/3`) has no place that could be taken.
        Err(nameless) if path.exists() => return Err(nameless),
        Err(_) => {}
    }
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("")).join(link),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().display().to_string())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        let metadata = fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o777
    }

    #[test]
    fn rights_and_links_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        // A new one is as any other new file.
        replace(&at("new"), b"1").expect("written");
        fs::write(at("ordinary"), b"").expect("written");
        assert_eq!(mode(&at("new")), mode(&at("ordinary")));
        fs::set_permissions(at("new"), Permissions::from_mode(0o640)).expect("changed");
        replace(&at("new"), b"22").expect("written");
        assert_eq!(
            (mode(&at("new")), fs::read(at("new")).ok()),
            (0o640, Some(b"22".to_vec()))
        );

        // Through links, to what is there and to what is not.
        fs::create_dir(at("plans")).expect("a folder");
        fs::write(at("plans/a"), b"old").expect("written");
        symlink("plans/a", at("one")).expect("a link");
        symlink("one", at("two")).expect("a link");
        replace(&at("two"), b"3").expect("written");
        assert_eq!(fs::read(at("plans/a")).ok(), Some(b"3".to_vec()));
        assert!(at("one").is_symlink() && at("two").is_symlink());
        symlink("plans/b", at("three")).expect("a link");
        replace(&at("three"), b"4").expect("written");
        assert_eq!(fs::read(at("plans/b")).ok(), Some(b"4".to_vec()));
        symlink("round", at("round")).expect("a link");
        assert!(replace(&at("round"), b"").is_err());
        assert_eq!(
            names(folder.path()),
            ["new", "one", "ordinary", "plans", "round", "three", "two"]
        );
        assert_eq!(names(&at("plans")), ["a", "b"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("place");
        // A folder cannot be replaced by a file: it fails at the last step.
        fs::create_dir(&place).expect("a folder");
        assert!(replace(&place, b"x").is_err());
        assert!(replace(&folder.path().join("nowhere/file"), b"x").is_err());
        assert_eq!(names(folder.path()), ["place"]);
    }

    /// Killed at any instant, the file is whole: who reads it meanwhile sees one content or the other, and what a killed
    /// writer leaves is not the file.
    #[test]
    fn killed_at_any_instant() {
        const SIZE: usize = 1 << 20;
        if let Some(path) = std::env::var_os("UPDO_TEST_WRITES") {
            let path = PathBuf::from(path);
            for byte in (b'a'..=b'z').cycle() {
                replace(&path, &vec![byte; SIZE]).expect("written");
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        replace(&path, &vec![b'-'; SIZE]).expect("written");
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..12_u64 {
            let mut writer =
                std::process::Command::new(std::env::current_exe().expect("this test"))
                    .args(["disk::tests::killed_at_any_instant", "--exact"])
                    .env("UPDO_TEST_WRITES", &path)
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .expect("it starts");
            let until =
                std::time::Instant::now() + std::time::Duration::from_millis(30 + 17 * number);
            while std::time::Instant::now() < until {
                let content = fs::read(&path).expect("it is there");
                assert_eq!(content.len(), SIZE);
                assert!(content.iter().all(|byte| *byte == content[0]));
                seen.insert(content[0]);
            }
            writer.kill().expect("killed");
            writer.wait().expect("it ends");
        }
        assert!(seen.len() > 2, "nothing was written: {seen:?}");
        for name in names(folder.path()) {
            assert!(name == "file" || name.starts_with(UNFINISHED), "{name}");
        }
    }
}
