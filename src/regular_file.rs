//! Regular files, read within a limit: what every stage uses to look at a file whose name or place somebody else chose.
//!
//! A FIFO in place of a file would make a reader wait for a writer that never comes, a device would never end, and a
//! file may be larger than the memory. Opened here, each of them is an error at once. What is opened is what is looked
//! at: another file of the same name between the look and the reading changes nothing.

#![expect(
    clippy::disallowed_methods,
    reason = "files are opened here, for all stages"
)]

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file to be read, and what is known of it.
///
/// # Errors
/// Those of opening it; "not a regular file" for a folder, a FIFO, a socket or a device.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Without this flag, opening a FIFO waits for its other end (open(2)).
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let known = checked(&file)?;
    Ok((file, known))
}

/// Opens a regular file that is there, to be appended to.
///
/// # Errors
/// The same.
pub fn append(path: &Path) -> io::Result<File> {
    let file = File::options()
        .append(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    checked(&file).map(|_| file)
}

fn checked(file: &File) -> io::Result<Metadata> {
    let known = file.metadata()?;
    match known.is_file() {
        true => Ok(known),
        false => Err(io::Error::other("not a regular file")),
    }
}

/// The bytes of a regular file of at most so many.
///
/// # Errors
/// The same; `FileTooLarge` for a file with more.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let (file, known) = open(path)?;
    let too_large = || {
        let title = format!("larger than {}", shown(most));
        Err(io::Error::new(io::ErrorKind::FileTooLarge, title))
    };
    if known.len() > most {
        return too_large();
    }
    // A byte more than it has: then its end is seen without another buffer. Some files (those of /proc) are longer
    // than they say.
    let size = usize::try_from(known.len()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => too_large(),
        false => Ok(bytes),
    }
}

/// The text of a regular file of at most so many bytes.
///
/// # Errors
/// The same; `InvalidData` for what is not UTF-8, with the place.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        let title = format!("not UTF-8 at byte {place}");
        io::Error::new(io::ErrorKind::InvalidData, title)
    })
}

fn shown(bytes: u64) -> String {
    match bytes {
        most if most >= 1 << 20 && most % (1 << 20) == 0 => format!("{} MiB", most >> 20),
        most if most >= 1 << 10 && most % (1 << 10) == 0 => format!("{} KiB", most >> 10),
        most => format!("{most} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why<T>(result: io::Result<T>) -> String {
        result.err().map(|why| why.to_string()).unwrap_or_default()
    }

    #[test]
    fn only_regular_files_within_a_limit() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"12345").expect("written");
        std::fs::write(at("noise"), b"12\xff").expect("written");
        std::os::unix::fs::symlink(at("file"), at("link")).expect("made");
        assert_eq!(read(&at("file"), 5).expect("read"), b"12345");
        assert_eq!(read_text(&at("link"), 5).expect("read"), "12345");
        assert_eq!(why(read(&at("file"), 4)), "larger than 4 bytes");
        assert_eq!(why(read(&at("file"), 0)), "larger than 0 bytes");
        assert_eq!(why(read_text(&at("noise"), 5)), "not UTF-8 at byte 2");
        assert_eq!(
            read(&at("none"), 5).expect_err("not there").kind(),
            io::ErrorKind::NotFound
        );
        let fifo = at("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .expect("made");
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("made");
        for odd in [&fifo, Path::new("/dev/zero"), folder.path()] {
            assert_eq!(why(read(odd, 5)), "not a regular file", "{odd:?}");
        }
        assert!(read(&at("socket"), 5).is_err());
        // Nothing waits for a reader of it either.
        assert!(append(&fifo).is_err());
        assert!(append(&at("none")).is_err());
        append(&at("file")).expect("opened");
        // Its size is unknown before it is read.
        assert!(
            !read(Path::new("/proc/self/stat"), 1 << 20)
                .expect("read")
                .is_empty()
        );
        assert_eq!(
            why(read(Path::new("/proc/self/stat"), 1)),
            "larger than 1 bytes"
        );
    }
}
