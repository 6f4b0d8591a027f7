//! The lines at the bottom of a terminal that are drawn anew, below the lines that stay.
//!
//! Writes to standard error only. What stays and the block are written at one go, so that nothing flickers. A screen
//! that cannot be written is not an error.

#![expect(clippy::disallowed_methods, reason = "draws on the terminal")]

use std::io::Write;

use unicode_width::UnicodeWidthChar;

use crate::diag::safe;

/// A block, nothing of which is on the screen yet.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Lines that stand on the screen.
    drawn: usize,
    /// What the taskbar shows.
    taskbar: Option<String>,
}

impl Block {
    /// Writes what stays, and the block below it. `width`: columns of the screen.
    pub(super) fn write(&mut self, stays: Option<&str>, lines: &[String], width: usize) {
        let mut out = String::new();
        self.erase(&mut out);
        if let Some(text) = stays {
            out += &safe::terminal(text);
            out.push('\n');
        }
        // The cursor stays behind the last line of the block.
        for (at, line) in lines.iter().enumerate() {
            if at > 0 {
                out.push('\n');
            }
            // A line that reached the last column would be two lines in some terminals.
            out += &cut(&safe::terminal(line), width.max(20) - 1);
        }
        self.drawn = lines.len();
        write(&out);
    }

    /// Shows in the taskbar how far it is; `None` when unknown.
    pub(super) fn taskbar(&mut self, percent: Option<u32>) {
        if !has_taskbar() {
            return;
        }
        let now = match percent {
            Some(percent) => format!("1;{percent}"),
            None => "3;0".to_owned(),
        };
        if self.taskbar.as_ref() != Some(&now) {
            write(&format!("\x1b]9;4;{now}\x1b\\"));
            self.taskbar = Some(now);
        }
    }

    /// Takes the block away.
    pub(super) fn close(&mut self) {
        let mut out = String::new();
        self.erase(&mut out);
        if self.taskbar.take().is_some() {
            out += "\x1b]9;4;0;0\x1b\\";
        }
        write(&out);
    }

    fn erase(&mut self, out: &mut String) {
        if self.drawn > 0 {
            out.push('\r');
            if self.drawn > 1 {
                *out += &format!("\x1b[{}A", self.drawn - 1);
            }
            *out += "\x1b[J";
            self.drawn = 0;
        }
    }
}

fn write(text: &str) {
    if !text.is_empty() {
        let mut err = std::io::stderr().lock();
        let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }
}

/// Terminals known to show progress for OSC 9;4. Others may take it for a notification.
fn has_taskbar() -> bool {
    let env = |name: &str| std::env::var(name).unwrap_or_default();
    !env("WT_SESSION").is_empty()
        || env("ConEmuANSI") == "ON"
        || matches!(env("TERM_PROGRAM").as_str(), "WezTerm" | "ghostty")
}

/// So much of a line as fits; escape sequences take no room, and those that end a colour are kept.
fn cut(line: &str, width: usize) -> String {
    let (mut out, mut used, mut escape) = (String::new(), 0, false);
    for c in line.chars() {
        if escape || c == '\x1b' {
            escape = c == '\x1b' || !c.is_ascii_alphabetic();
            out.push(c);
            continue;
        }
        used += c.width().unwrap_or(0);
        if used <= width && !c.is_control() {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_and_colours_end() {
        assert_eq!(cut("abc", 5), "abc");
        assert_eq!(cut("abcdef", 4), "abcd");
        assert_eq!(cut("ab\x1b[2mcdef\x1b[0m", 3), "ab\x1b[2mc\x1b[0m");
        // Wide characters take two columns; control characters none, and are not written.
        assert_eq!(cut("日本語", 5), "日本");
        assert_eq!(cut("a\rb\nc", 9), "abc");
    }
}
