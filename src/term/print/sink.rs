//! Where printed text goes: to its end, up to a limit, or only counted.
//!
//! Each is a writer that may refuse to take more; printing stops at once where that happens.

use std::fmt::{self, Write};

/// A writer that knows how much it will take at most.
pub(super) trait Sink: Write {
    /// Characters that there is room for; printing may skip looking for the shape of what is longer anyway.
    fn room(&self) -> usize {
        usize::MAX
    }
}

/// Takes everything that another writer takes.
pub(super) struct Whole<'a, W>(pub &'a mut W);

impl<W: Write> Write for Whole<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(text)
    }
}

impl<W: Write> Sink for Whole<'_, W> {}

/// Hands on so many bytes, whole characters only, and then refuses.
pub(super) struct Limited<W> {
    inner: W,
    room: usize,
    full: bool,
}

impl<W: Write> Limited<W> {
    pub fn new(inner: W, limit: usize) -> Self {
        Self {
            inner,
            room: limit,
            full: false,
        }
    }

    /// Whether something was refused.
    pub fn is_full(&self) -> bool {
        self.full
    }
}

impl<W: Write> Write for Limited<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.full {
            return Err(fmt::Error);
        }
        if text.len() <= self.room {
            self.room -= text.len();
            return self.inner.write_str(text);
        }
        let mut fits = self.room;
        while !text.is_char_boundary(fits) {
            fits -= 1;
        }
        self.full = true;
        self.inner.write_str(&text[..fits])?;
        Err(fmt::Error)
    }
}

impl<W: Write> Sink for Limited<W> {}

/// Counts characters up to a bound.
pub(super) struct Count {
    pub seen: usize,
    pub bound: usize,
}

impl Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.seen += text.chars().count();
        if self.seen < self.bound {
            return Ok(());
        }
        self.seen = self.bound;
        Err(fmt::Error)
    }
}

impl Sink for Count {
    fn room(&self) -> usize {
        self.bound - self.seen
    }
}
