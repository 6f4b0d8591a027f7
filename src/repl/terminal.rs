//! The REPL's terminal: line editing, history, completion; or plain lines from a file or a pipe.
//!
//! It reads lines, hands them to a [`ReplSession`] and shows what comes back: values on standard output, what went wrong
//! on standard error. In a terminal Ctrl-C clears the line, or ends what is being evaluated; Ctrl-D leaves.

#![expect(
    clippy::disallowed_methods,
    reason = "the terminal, its history and the editor that it opens"
)]

use std::borrow::Cow;
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Editor, Helper};

use super::command;
use super::completion_data::Knowledge;
use super::evaluate::rest;
use super::highlight::coloured;
use super::session::{ReplSession, Reply};
use crate::diag::{Code, safe};
use crate::regular_file;
use crate::report::style;
use crate::syntax::{InputError, parse_input};
use crate::ui::Ui;

/// The longest text that comes back from an editor.
const MAX_EDITED: u64 = 16 << 20;

/// Lines of history that are kept.
const HISTORY: usize = 5_000;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// As its user wanted.
    Done,
    /// At an error, in a script.
    Failed(Code),
    /// To run the plan.
    Run,
}

/// Where a session keeps things.
#[derive(Clone, Copy, Debug)]
pub struct HistoryFiles<'a> {
    /// The file of the history.
    pub history: &'a Path,
    /// How many lines of it are kept, when that is configured.
    pub lines: Option<usize>,
    /// The file that `:edit` edits.
    pub edited: &'a Path,
}

/// Whether there is a user at the terminal.
pub fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Runs a session over the lines of a text until its end or its first error.
pub fn script(
    session: &mut ReplSession,
    ui: &Ui,
    name: &str,
    lines: &mut dyn BufRead,
) -> SessionEnd {
    let (mut pending, mut began, mut number) = (String::new(), 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        number += 1;
        let text = match lines.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => String::from_utf8_lossy(&line),
            Err(why) => {
                ui.error_line(&format!("{name} cannot be read: {why}"));
                return SessionEnd::Failed(Code::E802);
            }
        };
        if pending.is_empty() {
            began = number;
        }
        pending.push_str(text.trim_end_matches(['\n', '\r']));
        match session.line(&pending) {
            Reply::More => {
                pending.push('\n');
                continue;
            }
            Reply::Text(text) => show(ui, &text),
            Reply::Error(fault) => {
                ui.error_line(fault.text.trim_end());
                ui.error_line(&format!("stopped at {name}:{began}"));
                return SessionEnd::Failed(fault.code);
            }
            Reply::Run => return SessionEnd::Run,
            Reply::Quit => return SessionEnd::Done,
            Reply::Clear | Reply::Edit(_) | Reply::Watch { .. } => {}
        }
        pending.clear();
    }
    if pending.trim().is_empty() {
        return SessionEnd::Done;
    }
    ui.error_line(&format!(
        "the input ends in the middle of something that began at {name}:{began}"
    ));
    SessionEnd::Failed(Code::E101)
}

/// Runs a session with a user at the terminal.
pub fn interactive(
    session: &mut ReplSession,
    ui: &Ui,
    places: HistoryFiles<'_>,
    interrupt: &Arc<AtomicBool>,
) -> SessionEnd {
    if let Err(why) = listen(interrupt) {
        ui.status(&format!("Ctrl-C cannot end a call here: {why}"));
    }
    let colour = ui.out_style.color;
    let config = Config::builder()
        .max_history_size(places.lines.unwrap_or(HISTORY))
        .and_then(|config| config.history_ignore_dups(true));
    let config = match config {
        Ok(config) => config
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .color_mode(if colour {
                ColorMode::Enabled
            } else {
                ColorMode::Disabled
            })
            .build(),
        Err(_) => Config::default(),
    };
    let mut editor = match Editor::<Typing, FileHistory>::with_config(config) {
        Ok(editor) => editor,
        Err(why) => {
            ui.error_line(&format!("this terminal cannot be used: {why}"));
            return SessionEnd::Failed(Code::E802);
        }
    };
    if let Some(folder) = places.history.parent() {
        let _ = crate::atomic_file::private_folders(folder);
    }
    // Whatever was typed may be in it, so that it is there before the editor makes one readable by all.
    if let Ok(file) = crate::atomic_file::append_private(places.history) {
        let _ = crate::atomic_file::make_private(&file);
    }
    // The first session has no history yet, and one that cannot be kept is no reason to complain.
    let _ = editor.load_history(places.history);
    editor.set_helper(Some(Typing {
        knowledge: Knowledge::default(),
        colour,
        risky: false,
    }));
    loop {
        if let Some((columns, lines)) = editor.dimensions() {
            session.resize(usize::from(lines), usize::from(columns));
        }
        if let Some(typing) = editor.helper_mut() {
            typing.knowledge.refresh(session);
            typing.risky = session.is_risky();
        }
        let line = match editor.readline(safe::line(&session.prompt()).as_ref()) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => {
                // What comes next does not belong behind the prompt.
                ui.error_line("");
                return SessionEnd::Done;
            }
            Err(why) => {
                ui.error_line(&format!("the terminal is gone: {why}"));
                return SessionEnd::Failed(Code::E802);
            }
        };
        if given_up(&line) || line.trim() == "." {
            continue;
        }
        if editor.add_history_entry(line.trim_end()).unwrap_or(false) {
            let _ = editor.append_history(places.history);
        }
        interrupt.store(false, Ordering::SeqCst);
        match session.line(&line) {
            Reply::Text(text) => show(ui, &text),
            Reply::Error(fault) => ui.error_line(fault.text.trim_end()),
            Reply::Clear => {
                let _ = editor.clear_screen();
            }
            Reply::Edit(text) => edit(session, ui, places.edited, &text),
            Reply::Watch { every, expression } => {
                watch(session, ui, every, &expression, interrupt);
            }
            Reply::Run => return SessionEnd::Run,
            Reply::Quit => return SessionEnd::Done,
            // The validator would not have let it through.
            Reply::More => ui.error_line("the input is not complete"),
        }
    }
}

/// While a line is typed, Ctrl-C is a key; while something is evaluated, it is a signal. A call takes the first one
/// back within moments. Where no call does, because a node that hangs is being compared, the second one leaves.
fn listen(interrupt: &Arc<AtomicBool>) -> std::io::Result<()> {
    const NOTHING_WAS_CHANGED: i32 = 14;
    let signal = signal_hook::consts::SIGINT;
    let seen = || Arc::clone(interrupt);
    // In this order, so that the second finds the trace of the first.
    signal_hook::flag::register_conditional_shutdown(signal, NOTHING_WAS_CHANGED, seen())?;
    signal_hook::flag::register(signal, seen())?;
    Ok(())
}

fn show(ui: &Ui, text: &str) {
    if !text.is_empty() {
        ui.data(&format!("{}\n", text.trim_end_matches('\n')));
    }
}

/// Whether the last of several lines is a lone dot.
fn given_up(text: &str) -> bool {
    text.rsplit_once('\n')
        .is_some_and(|(before, last)| last.trim() == "." && !is_complete(before))
}

/// Whether Enter ends the input. It does not exactly when something is missing at its end.
fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    let command = trimmed.starts_with(':') || command::bare(trimmed).is_some();
    if trimmed.is_empty() || command || trimmed.starts_with('%') {
        return true;
    }
    !matches!(parse_input(text, 0), Err(InputError::Incomplete))
}

/// `:watch`
fn watch(
    session: &mut ReplSession,
    ui: &Ui,
    every: Duration,
    expression: &str,
    interrupt: &Arc<AtomicBool>,
) {
    let began = Instant::now();
    loop {
        match session.line(expression) {
            Reply::Text(text) => {
                let time = style::faint(ui.out_style, &style::time(began.elapsed()));
                show(ui, &format!("{time}  {text}"));
            }
            Reply::Error(fault) => {
                ui.error_line(fault.text.trim_end());
                break;
            }
            _ => {
                ui.error_line("`:watch` repeats expressions");
                break;
            }
        }
        if !rest(every, interrupt) {
            // Behind the `^C` that the terminal has written.
            ui.error_line("");
            break;
        }
    }
    interrupt.store(false, Ordering::SeqCst);
}

/// `:edit`
fn edit(session: &mut ReplSession, ui: &Ui, path: &Path, text: &str) {
    let name = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let editor = name("VISUAL").or_else(|| name("EDITOR"));
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    if let Some(folder) = path.parent() {
        let _ = crate::atomic_file::private_folders(folder);
    }
    if let Err(why) = crate::atomic_file::replace_private(path, text.as_bytes()) {
        return ui.error_line(&format!("cannot write {}: {why}", path.display()));
    }
    // The variable may have arguments in it, as git and others take it.
    let ended = std::process::Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(path)
        .status();
    let edited = regular_file::read_text(path, MAX_EDITED);
    let _ = std::fs::remove_file(path);
    match (ended, edited) {
        (Ok(status), Ok(edited)) if status.success() => match session.edited(&edited) {
            Reply::Text(text) => show(ui, &text),
            Reply::Error(fault) => ui.error_line(fault.text.trim_end()),
            _ => {}
        },
        (Ok(status), Ok(_)) => ui.error_line(&format!("`{editor}` {status}; nothing changed")),
        (Err(why), _) => ui.error_line(&format!("`{editor}` cannot be started: {why}")),
        (_, Err(why)) => ui.error_line(&format!("what was edited cannot be read: {why}")),
    }
}

/// What the line editor asks while a user types.
struct Typing {
    knowledge: Knowledge,
    colour: bool,
    risky: bool,
}

impl Completer for Typing {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, found) = self.knowledge.complete(line, pos);
        // The editor writes by itself; a name that must not be written raw is not offered.
        let found = found
            .into_iter()
            .filter(|candidate| is_safe(&candidate.shown) && is_safe(&candidate.text));
        let pairs = found.map(|candidate| Pair {
            display: candidate.shown,
            replacement: candidate.text,
        });
        Ok((start, pairs.collect()))
    }
}

fn is_safe(text: &str) -> bool {
    matches!(safe::line(text), Cow::Borrowed(_))
}

/// Text behind the cursor.
struct Behind {
    text: String,
    taken: bool,
}

impl Hint for Behind {
    fn display(&self) -> &str {
        &self.text
    }

    fn completion(&self) -> Option<&str> {
        self.taken.then_some(self.text.as_str())
    }
}

impl Hinter for Typing {
    type Hint = Behind;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Behind> {
        let (text, taken) = self.knowledge.hint(line, pos)?;
        is_safe(&text).then_some(Behind { text, taken })
    }
}

impl Highlighter for Typing {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if self.colour {
            Cow::Owned(coloured(line))
        } else {
            Cow::Borrowed(line)
        }
    }

    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, _: bool) -> Cow<'b, str> {
        match (self.colour, self.risky) {
            (true, true) => Cow::Owned(format!("\x1b[1;31m{prompt}\x1b[0m")),
            (true, false) => Cow::Owned(format!("\x1b[1m{prompt}\x1b[0m")),
            (false, _) => Cow::Borrowed(prompt),
        }
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        if self.colour {
            Cow::Owned(format!("\x1b[2m{hint}\x1b[0m"))
        } else {
            Cow::Borrowed(hint)
        }
    }

    fn highlight_char(&self, _: &str, _: usize, _: CmdKind) -> bool {
        self.colour
    }
}

impl Validator for Typing {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        Ok(if given_up(text) || is_complete(text) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Helper for Typing {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_ends_what_is_complete() {
        for text in [
            "",
            "1 + 1",
            "1 + 1.",
            ":why a",
            "% note",
            "a depends on b",
            "1 + )",
        ] {
            assert!(is_complete(text), "{text}");
        }
        for text in ["{1,", "case X of", "\"open", "a depends on", "f(1,\n2,"] {
            assert!(!is_complete(text), "{text}");
        }
    }

    #[test]
    fn a_lone_dot_gives_up() {
        assert!(given_up("case X of\n."));
        assert!(given_up("{1,\n2,\n  . "));
        assert!(!given_up("{1,\n2}\n."));
        assert!(!given_up("."));
    }
}
