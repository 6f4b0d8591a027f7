//! Files that are never half: what is written takes the place of what was there in one step, or not at all.
//!
//! Takes a path and its new content. It writes beside the file, waits until that is on the disk, and renames; after a crash
//! at any instant the file holds all of the old content or all of the new. The rights of the old file are kept, a symbolic
//! link stays one and its target is replaced; a device, a FIFO or a folder is refused. A failure leaves nothing behind.
//! It makes no folders.
//! What records users, runs or outcomes is readable only by its owner: files of 0600 in folders of 0700, whatever
//! the umask.

#![expect(
    clippy::disallowed_methods,
    reason = "files are replaced and made private here, for all stages"
)]

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::diag::{Code, Diagnostic};
use crate::parallel::in_parallel;

/// The rights of a file that only its owner may read.
const PRIVATE: u32 = 0o600;

/// How many threads write files: they wait for the disk, not for a processor.
const WRITERS: usize = 8;

/// Opens a file to be written anew. When it is not there, it is made for its owner alone; one that is there keeps the
/// rights that it was given.
///
/// # Errors
/// Those of opening it.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE)
        .open(path)
}

/// The same, to be appended to. A FIFO that no process reads is an error; it is not waited for.
///
/// # Errors
/// Those of opening it.
pub fn append_private(path: &Path) -> io::Result<File> {
    let file = File::options()
        .append(true)
        .create(true)
        .mode(PRIVATE)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    // What is written afterwards is waited for: half a line would be left.
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - rustix::fs::OFlags::NONBLOCK)?;
    Ok(file)
}

/// Makes an open file its owner's alone.
///
/// # Errors
/// When it belongs to another user.
pub fn make_private(file: &File) -> io::Result<()> {
    let known = file.metadata()?;
    match known.is_file() && known.permissions().mode() & 0o777 != PRIVATE {
        true => file.set_permissions(Permissions::from_mode(PRIVATE)),
        false => Ok(()),
    }
}

/// Makes a folder that only its owner may enter.
///
/// # Errors
/// When it is there already, or cannot be made.
pub fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Makes such a folder and those above it that are missing; what is there stays as it is.
///
/// # Errors
/// When one cannot be made.
pub fn private_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(path)
}

/// Refuses a folder of updo's own in which others may put things, or one of its folders: what is in them decides what
/// code a node is given back. One that is not there yet is fine.
///
/// # Errors
/// E803, with what mends it.
pub fn check_owned(folder: &Path) -> Result<(), Box<Diagnostic>> {
    check_one(folder)?;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            check_one(&path)?;
        }
    }
    Ok(())
}

fn check_one(folder: &Path) -> Result<(), Box<Diagnostic>> {
    let Ok(known) = fs::metadata(folder) else {
        return Ok(());
    };
    let (mode, shown) = (known.permissions().mode() & 0o7777, folder.display());
    let us = rustix::process::geteuid().as_raw();
    let refused = |title: String, help: String| {
        let why = "what is kept there decides what code a node gets back";
        Err(Box::new(
            Diagnostic::new(Code::E803, title).note(why).help(help),
        ))
    };
    if known.uid() != us && known.uid() != 0 {
        let title = format!(
            "the state folder {shown} belongs to another user (uid {})",
            known.uid()
        );
        let help = "set UPDO_STATE_DIR to a folder of your own, and `chmod 700` it".to_owned();
        return refused(title, help);
    }
    if mode & 0o022 != 0 {
        let title = format!(
            "the state folder {shown} may be written by others than its owner (mode {mode:04o})"
        );
        return refused(title, format!("chmod 700 {shown}"));
    }
    Ok(())
}

/// What begins the names of files that are not finished: `.updo-`. One is left behind only when updo is killed.
pub const UNFINISHED: &str = ".updo-";

/// Replaces the content of a file, or makes it with the rights that the umask leaves.
///
/// # Errors
/// When its folder is not there or cannot be written, or the disk is full; the file is as it was.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, None)
}

/// The same for what is only its owner's business, whatever the umask and the rights of the old file.
///
/// # Errors
/// As [`replace`].
pub fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    put(path, content, Some(PRIVATE))
}

/// The same for many files, some at a time, each of them completely written or as it was. All are on the disk when this
/// returns: a disk takes several at a time about as fast as one.
///
/// # Errors
/// As [`replace`], for the first that fails; the others are written nevertheless.
pub fn replace_all_private(files: &[(PathBuf, &[u8])]) -> io::Result<()> {
    let written = in_parallel(
        files,
        WRITERS,
        || (),
        |(), (path, content)| beside(path, content, Some(PRIVATE)),
    );
    let mut failed = None;
    let mut folders = BTreeSet::new();
    for folder in written {
        match folder {
            Ok(folder) => drop(folders.insert(folder)),
            Err(why) => drop(failed.get_or_insert(why)),
        }
    }
    let folders: Vec<PathBuf> = folders.into_iter().collect();
    let synced = in_parallel(&folders, WRITERS, || (), |(), folder| sync_folder(folder));
    let synced = synced.into_iter().filter_map(Result::err);
    failed.into_iter().chain(synced).next().map_or(Ok(()), Err)
}

fn put(path: &Path, content: &[u8], mode: Option<u32>) -> io::Result<()> {
    sync_folder(&beside(path, content, mode)?)
}

/// The new name of a file is on the disk when its folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes beside a file and renames; the folder, which is not on the disk yet.
fn beside(path: &Path, content: &[u8], mode: Option<u32>) -> io::Result<PathBuf> {
    let target = target(path)?;
    // Renaming would put a file in the place of a device: as root, in that of `/dev/null`.
    if fs::symlink_metadata(&target).is_ok_and(|known| !known.is_file()) {
        return Err(io::Error::other("not a regular file"));
    }
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut beside = Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(mode.unwrap_or(0o666)))
        .tempfile_in(folder)?;
    beside.write_all(content)?;
    if let Some(mode) = mode {
        beside
            .as_file()
            .set_permissions(Permissions::from_mode(mode))?;
    } else if let Ok(known) = fs::metadata(&target) {
        beside.as_file().set_permissions(known.permissions())?;
    }
    beside.as_file().sync_all()?;
    beside.persist(&target).map_err(|failed| failed.error)?;
    Ok(folder.to_owned())
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
    fn what_is_no_file_stays_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("made");
        fs::create_dir(at("folder")).expect("made");
        for odd in ["socket", "folder"] {
            symlink(at(odd), at(&format!("{odd} link"))).expect("made");
            for name in [odd.to_owned(), format!("{odd} link")] {
                for refused in [replace(&at(&name), b"1"), replace_private(&at(&name), b"1")] {
                    let why = refused.expect_err("refused").to_string();
                    assert_eq!(why, "not a regular file", "{name}");
                }
            }
            let known = fs::symlink_metadata(at(odd)).expect("it is there");
            assert!(!known.is_file(), "{odd}");
        }
        assert_eq!(names(folder.path()).len(), 4);
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

    /// What is the owner's alone is so from its first byte on, also where an older file was not.
    #[test]
    fn a_secret_file_is_private_even_when_it_existed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        replace_private(&at("new"), b"1").expect("written");
        fs::write(at("open"), b"").expect("written");
        fs::set_permissions(at("open"), Permissions::from_mode(0o666)).expect("changed");
        replace_private(&at("open"), b"2").expect("written");
        append_private(&at("log")).expect("made");
        create_private(&at("report")).expect("made");
        for name in ["new", "open", "log", "report"] {
            assert_eq!(mode(&at(name)), 0o600, "{name}");
        }
        fs::set_permissions(at("log"), Permissions::from_mode(0o644)).expect("changed");
        make_private(&append_private(&at("log")).expect("opened")).expect("ours");
        assert_eq!(mode(&at("log")), 0o600);
        private_folders(&at("a/b")).expect("made");
        private_folder(&at("a/b/c")).expect("made");
        for name in ["a", "a/b", "a/b/c"] {
            assert_eq!(mode(&at(name)), 0o700, "{name}");
        }
        assert!(private_folder(&at("a")).is_err());
        private_folders(&at("a/b")).expect("it is there");
    }

    /// A folder of updo's own, or one in it, in which others may write is refused with what mends it.
    #[test]
    fn folders_that_others_may_write_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (state, runs) = (
            folder.path().join("state"),
            folder.path().join("state/runs"),
        );
        assert!(check_owned(&state).is_ok(), "not there yet");
        private_folders(&runs).expect("made");
        for (path, open) in [
            (&state, 0o770),
            (&state, 0o707),
            (&runs, 0o720),
            (&runs, 0o1777),
        ] {
            fs::set_permissions(path, Permissions::from_mode(open)).expect("changed");
            let diagnostic = check_owned(&state).expect_err("others may write");
            assert_eq!(diagnostic.code, Code::E803);
            assert_eq!(
                diagnostic.help,
                Some(format!("chmod 700 {}", path.display()))
            );
            assert!(
                diagnostic.title.contains(&format!("{open:04o}")),
                "{}",
                diagnostic.title
            );
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("changed");
            assert!(check_owned(&state).is_ok());
        }
    }

    #[test]
    fn many_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let texts: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let mut files: Vec<(PathBuf, &[u8])> = texts
            .iter()
            .map(|text| (folder.path().join(text), text.as_bytes()))
            .collect();
        files.insert(50, (folder.path().join("nowhere/file"), b""));
        assert!(replace_all_private(&files).is_err());
        for text in &texts {
            let path = folder.path().join(text);
            assert_eq!(fs::read_to_string(&path).ok().as_ref(), Some(text));
            assert_eq!(mode(&path), 0o600);
        }
        assert_eq!(names(folder.path()).len(), 100);
        replace_all_private(&[]).expect("nothing to be done");
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

    /// Killed at any instant, the file is whole: a concurrent reader sees one content or the other, and what a killed
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
                    .args(["atomic_file::tests::killed_at_any_instant", "--exact"])
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
