//! Frames: a length of four bytes, then that many. A frame of length zero is a tick.
//!
//! Takes the two halves of a stream, gives whole frames and takes whole frames. A frame's buffer grows
//! with the bytes that arrive, never by the length that a peer announces, and no frame is larger than
//! [`MAX_FRAME`]. Every byte read or written is noted in the [`Clock`], by which the keeper decides
//! whether to tick and whether the peer still lives.

use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::stream::is_pause;

/// Largest frame, in bytes, either way.
pub(crate) const MAX_FRAME: usize = 256 << 20;

/// Capacity given to a frame before any of it has arrived.
const FIRST_CAPACITY: usize = 64 << 10;

/// How long a write may make no progress before the connection counts as lost.
const MAX_STALL: Duration = Duration::from_secs(60);

/// When something was last heard and last written, in milliseconds since the start; and the end.
pub(crate) struct Clock {
    start: Instant,
    heard: AtomicU64,
    wrote: AtomicU64,
    closed: AtomicBool,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            heard: AtomicU64::new(0),
            wrote: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn since(&self, then: &AtomicU64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(then.load(Ordering::Relaxed)))
    }

    /// Notes that something came in.
    pub(crate) fn hear(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    /// Time since the last byte came in.
    pub(crate) fn since_heard(&self) -> Duration {
        self.since(&self.heard)
    }

    /// Time since the last byte went out.
    pub(crate) fn since_wrote(&self) -> Duration {
        self.since(&self.wrote)
    }

    /// Stops writers that are blocked.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// The reading half.
pub(crate) struct FrameReader<'a, R> {
    inner: BufReader<Noting<'a, R>>,
}

struct Noting<'a, R>(R, &'a Clock);

impl<R: Read> Read for Noting<'_, R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(bytes)?;
        self.1.hear();
        Ok(n)
    }
}

impl<'a, R: Read> FrameReader<'a, R> {
    pub(crate) fn new(inner: R, clock: &'a Clock) -> Self {
        Self {
            inner: BufReader::with_capacity(FIRST_CAPACITY, Noting(inner, clock)),
        }
    }

    /// The next frame; empty for a tick. `UnexpectedEof` when the stream ends.
    pub(crate) fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.inner.read_exact(&mut head)?;
        let length = u32::from_be_bytes(head) as usize;
        if length > MAX_FRAME {
            let text = format!("it announced a frame of {length} bytes; the limit is {MAX_FRAME}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let mut frame = Vec::with_capacity(length.min(FIRST_CAPACITY));
        (&mut self.inner)
            .take(length as u64)
            .read_to_end(&mut frame)?;
        if frame.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(frame)
    }
}

/// Writes all of some whole frames, patiently, but not for ever.
pub(crate) fn write_frames(
    writer: &mut dyn Write,
    mut bytes: &[u8],
    clock: &Clock,
) -> io::Result<()> {
    let mut moved = Instant::now();
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                moved = Instant::now();
                clock.wrote.store(clock.now(), Ordering::Relaxed);
            }
            Err(error) if is_pause(&error) => {
                if clock.closed.load(Ordering::Relaxed) {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                if moved.elapsed() > MAX_STALL {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "it takes no more data",
                    ));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8]) -> (Vec<Vec<u8>>, io::ErrorKind) {
        let clock = Clock::new();
        let mut reader = FrameReader::new(bytes, &clock);
        let mut frames = Vec::new();
        loop {
            match reader.next() {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, error.kind()),
            }
        }
    }

    #[test]
    fn frames_and_ticks() {
        let (frames, end) = read_all(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1, 9]);
        assert_eq!(frames, [vec![7, 8], vec![], vec![9]]);
        assert_eq!(end, io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_length_alone_allocates_nothing() {
        assert_eq!(
            read_all(&[0xff, 0xff, 0xff, 0xff, 1]).1,
            io::ErrorKind::InvalidData
        );
        // 256 MiB announced, one byte sent.
        let (frames, end) = read_all(&[0x10, 0, 0, 0, 1]);
        assert_eq!((frames.len(), end), (0, io::ErrorKind::UnexpectedEof));
        assert_eq!(read_all(&[0, 0, 1]).1, io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn writing_stops_when_the_session_does() {
        struct Stuck;
        impl Write for Stuck {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::WouldBlock.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let clock = Clock::new();
        clock.close();
        let error = write_frames(&mut Stuck, b"x", &clock).expect_err("stuck");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
