//! The REPL's terminal: line editing, history, completion; or plain lines from a pipe.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal};
use std::path::Path;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};

use super::session::{Reply, Session};
use crate::ui::Ui;

/// Runs a session until its end. From a pipe it stops at the first error; `false` tells that it did.
pub fn run(session: &mut Session<'_>, ui: &Ui, history: &Path) -> bool {
    if std::io::stdin().is_terminal() {
        ui.status(&session.banner());
        interactive(session, ui, history);
        return true;
    }
    piped(session, ui)
}

fn piped(session: &mut Session<'_>, ui: &Ui) -> bool {
    let mut pending = String::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return false };
        pending.push_str(&line);
        match session.line(&pending) {
            Reply::More => {
                pending.push('\n');
                continue;
            }
            Reply::Text(text) => show(ui, &text),
            Reply::Error(text) => {
                ui.error_line(&text);
                return false;
            }
            Reply::Quit => return true,
        }
        pending.clear();
    }
    if !pending.trim().is_empty() {
        ui.error_line("the input ends in the middle of something");
        return false;
    }
    true
}

fn interactive(session: &mut Session<'_>, ui: &Ui, history: &Path) {
    let Ok(mut editor) = Editor::<Words, FileHistory>::new() else {
        let _ = piped(session, ui);
        return;
    };
    // The first session has no history yet.
    let _ = editor.load_history(history);
    let mut pending = String::new();
    loop {
        editor.set_helper(Some(Words(session.words())));
        let prompt = if pending.is_empty() {
            session.prompt()
        } else {
            "... ".to_owned()
        };
        match editor.readline(&prompt) {
            Ok(line) if line.trim() == "." && !pending.is_empty() => pending.clear(),
            Ok(line) => {
                pending.push_str(&line);
                let reply = session.line(&pending);
                if reply == Reply::More {
                    pending.push('\n');
                    continue;
                }
                let _ = editor.add_history_entry(pending.trim());
                pending.clear();
                match reply {
                    Reply::Text(text) => show(ui, &text),
                    Reply::Error(text) => ui.error_line(&text),
                    Reply::Quit => break,
                    Reply::More => {}
                }
            }
            Err(ReadlineError::Interrupted) => pending.clear(),
            Err(_) => break,
        }
    }
    if let Some(folder) = history.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    // A history that cannot be kept is no reason to complain at the end.
    let _ = editor.save_history(history);
}

fn show(ui: &Ui, text: &str) {
    if !text.is_empty() {
        ui.data(&format!("{}\n", text.trim_end()));
    }
}

/// What Tab completes.
struct Words(BTreeSet<String>);

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..pos).unwrap_or_default();
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '@' | '.' | ':')))
            .map_or(0, |at| at + 1);
        let word = before.get(start..).unwrap_or_default();
        let fits = self
            .0
            .iter()
            .filter(|known| !word.is_empty() && known.starts_with(word));
        Ok((start, fits.cloned().collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}
