//! Text that is longer than the terminal goes through a pager, as git does it.
//!
//! Only when standard output is a terminal that can go back, and only data: what a run says, and questions, never. Which
//! program, in this order: `--no-pager`, UPDO_PAGER, PAGER, the person's own setting `pager`, `less`. An empty name or
//! `cat` means none. A pager that cannot be started is no reason to show nothing.

#![expect(clippy::disallowed_methods, reason = "starts a person's pager")]

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anstream::adapter::strip_str;
use signal_hook::consts::SIGINT;
use unicode_width::UnicodeWidthStr;

use super::context::Context;
use crate::diag::safe;

/// What `sh` says about a program that does not exist.
const NOT_FOUND: i32 = 127;

/// Writes a text to standard output, through a pager where that helps.
pub(super) fn show(context: &Context<'_>, text: &str) {
    if !std::io::stdout().is_terminal() || context.ui.json || !paged(context, text) {
        context.ui.data(text);
    }
}

/// The pager and where it was configured; `None` for none.
pub(super) fn choice(
    context: &Context<'_>,
    env: &dyn Fn(&str) -> Option<String>,
) -> (Option<String>, String) {
    let (program, by) = if context.global.no_pager {
        (String::new(), "flag".to_owned())
    } else if let Some(program) = env("UPDO_PAGER") {
        (program, "env UPDO_PAGER".to_owned())
    } else if let Some(program) = env("PAGER") {
        (program, "env PAGER".to_owned())
    } else if let Some(program) = &context.config.pager {
        (program.clone(), "own settings".to_owned())
    } else {
        ("less".to_owned(), "default".to_owned())
    };
    let none = matches!(program.trim(), "" | "cat");
    ((!none).then_some(program), by)
}

/// Whether a pager has shown it.
fn paged(context: &Context<'_>, text: &str) -> bool {
    let env = |name: &str| std::env::var(name).ok();
    let (Some(program), _) = choice(context, &env) else {
        return false;
    };
    let dumb = env("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let Ok(size) = rustix::termios::tcgetwinsize(std::io::stdout()) else {
        return false;
    };
    let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
    if dumb || rows < 2 || lines(text, columns.max(1)) < rows {
        return false;
    }
    through(&program, text)
}

/// How many lines of the screen a text takes; escapes take no room.
fn lines(text: &str, columns: usize) -> usize {
    let plain = strip_str(text).to_string();
    let lines = plain.lines();
    lines
        .map(|line| line.width().div_ceil(columns).max(1))
        .sum()
}

fn through(program: &str, text: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", program]).stdin(Stdio::piped());
    // Colours as they are, and no second screen for what fits after all: what git sets.
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    if std::env::var_os("LV").is_none() {
        command.env("LV", "-c");
    }
    // Ctrl-C is the pager's: whoever ended before it would leave it a terminal that two read.
    let seen = Arc::new(AtomicBool::new(false));
    let signal = signal_hook::flag::register(SIGINT, seen);
    let ended = command.spawn().and_then(|mut child| {
        if let Some(mut input) = child.stdin.take() {
            // A user may close it before the end.
            let _ = input.write_all(safe::terminal(text).as_bytes());
        }
        child.wait()
    });
    if let Ok(signal) = signal {
        signal_hook::low_level::unregister(signal);
    }
    ended.is_ok_and(|status| status.code() != Some(NOT_FOUND))
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn lines_of_the_screen_are_counted() {
        assert_eq!(lines("", 80), 0);
        assert_eq!(lines("a\n\nb", 80), 3);
        assert_eq!(lines(&"x".repeat(161), 80), 3);
        assert_eq!(
            lines(&format!("\x1b[1;31m{}\x1b[0m", "x".repeat(80)), 80),
            1
        );
        // Wide characters take two columns.
        assert_eq!(lines(&"日".repeat(41), 80), 2);
    }
}
