//! The terminal: the only place that writes to standard output and error, or asks a question. All it writes goes through
//! [`safe`]: no text from outside reaches a terminal raw.
//!
//! Data goes to standard output, everything else to standard error. A closed pipe is the reader's wish
//! and no error.

#![expect(
    clippy::disallowed_methods,
    reason = "everything that is printed and asked goes through here"
)]

use std::io::{self, BufRead, IsTerminal, Write};

use crate::diag::render::{self, Style};
use crate::diag::{Diagnostic, Severity, SourceMap, fold, safe};
use crate::report::github;
use crate::report::wrap;

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal that can.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisplayMode {
    /// On a terminal: lines, and a block below them that is drawn anew.
    Live,
    /// On a terminal that cannot go back: lines.
    Lines,
    /// On no terminal: the lines of a log, with clock and heartbeat.
    Log,
    /// What went wrong, and the last line.
    Quiet,
}

/// Columns of the terminal that standard error or standard output is.
pub fn columns() -> Option<usize> {
    let columns = |size: rustix::termios::Winsize| usize::from(size.ws_col);
    rustix::termios::tcgetwinsize(io::stderr())
        .or_else(|_| rustix::termios::tcgetwinsize(io::stdout()))
        .ok()
        .map(columns)
        .filter(|columns| *columns > 0)
}

/// How to talk.
#[derive(Clone, Debug)]
pub struct Ui {
    /// Look of what goes to standard error.
    pub style: Style,
    /// Look of what goes to standard output.
    pub out_style: Style,
    /// Say less: errors only.
    pub quiet: bool,
    /// Say more: advice too.
    pub verbose: u8,
    /// Machine output on standard output.
    pub json: bool,
    /// Never ask.
    pub no_input: bool,
    /// How a run is shown.
    pub display: DisplayMode,
    /// The width that was asked for; otherwise it is the terminal's.
    pub given_width: Option<usize>,
    /// Whether GitHub Actions reads what we write.
    pub github: bool,
    /// Whether many diagnostics of one code are all shown.
    pub full: bool,
    /// Whether standard output is a terminal.
    pub out_terminal: bool,
}

/// Writes a line to standard error, for what has no [`Ui`].
pub fn announce(line: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{}", safe::terminal(line));
}

impl Ui {
    /// By flags, environment and what a person has set (`own_width`; `NO_COLOR`, `CLICOLOR_FORCE`, `TERM`, the locale).
    pub fn new(
        colour: Colour,
        no_unicode: bool,
        width: Option<usize>,
        own_width: Option<usize>,
    ) -> Self {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let dumb = env("TERM").is_some_and(|term| term == "dumb");
        let wants = |terminal: bool| match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto if env("NO_COLOR").is_some() => false,
            Colour::Auto if env("CLICOLOR_FORCE").is_some_and(|v| v != "0") => true,
            Colour::Auto => terminal && !dumb,
        };
        let locale = env("LC_ALL")
            .or_else(|| env("LC_CTYPE"))
            .or_else(|| env("LANG"))
            .unwrap_or_default();
        let utf8 = locale
            .to_ascii_lowercase()
            .replace('-', "")
            .contains("utf8");
        let unicode = !no_unicode && (utf8 || io::stderr().is_terminal());
        let given_width = width
            .or_else(|| env("COLUMNS")?.parse().ok())
            .or(own_width)
            .map(|width| width.clamp(40, 400));
        let width = given_width.or_else(columns).unwrap_or(100).clamp(40, 400);
        let style = |terminal| Style {
            color: wants(terminal),
            unicode,
            width,
        };
        Self {
            style: style(io::stderr().is_terminal()),
            out_style: style(io::stdout().is_terminal()),
            quiet: false,
            verbose: 0,
            json: false,
            no_input: !io::stdin().is_terminal(),
            display: match io::stderr().is_terminal() {
                true if dumb => DisplayMode::Lines,
                true => DisplayMode::Live,
                false => DisplayMode::Log,
            },
            given_width,
            github: env("GITHUB_ACTIONS").is_some_and(|value| value == "true"),
            full: true,
            out_terminal: io::stdout().is_terminal(),
        }
    }

    /// Says more. What goes over the connection is reported at any time, so nothing is drawn anew below it.
    pub fn set_verbose(&mut self, verbose: u8) {
        self.verbose = verbose;
        if verbose > 1 && self.display == DisplayMode::Live {
            self.display = DisplayMode::Lines;
        }
    }

    /// Says less, or not.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
        if quiet {
            self.display = DisplayMode::Quiet;
        }
    }

    /// Writes data; what must not reach a terminal raw is [escaped](safe::terminal), also where none is: what is piped
    /// into a file is looked at later.
    pub fn data(&self, text: &str) {
        self.exact(&safe::terminal(text));
    }

    /// Writes a JSON document.
    pub fn json(&self, document: &str) {
        self.exact(&safe::json(document));
    }

    /// Writes a file's content as it is, unless a terminal would get it.
    pub fn content(&self, text: &str) {
        match io::stdout().is_terminal() {
            true => self.data(text),
            false => self.exact(text),
        }
    }

    fn exact(&self, text: &str) {
        let mut out = io::stdout().lock();
        // The reader has gone: nothing left to do for it.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Writes one line of status, unless asked to be quiet.
    pub fn status(&self, line: &str) {
        if !self.quiet {
            self.error_line(line);
        }
    }

    /// The same for sentences: on a terminal they break between words.
    pub fn status_text(&self, text: &str) {
        if !self.quiet {
            self.error_text(text);
        }
    }

    /// Writes one line to standard error.
    pub fn error_line(&self, line: &str) {
        let mut err = io::stderr().lock();
        let _ = writeln!(err, "{}", safe::terminal(line));
    }

    /// Writes a text of several lines to standard error; on a terminal no line is longer than it, and none breaks inside
    /// of a word.
    pub fn error_text(&self, text: &str) {
        match io::stderr().is_terminal() {
            true => self.error_line(&wrap::wrapped(text, self.style.width)),
            false => self.error_line(text),
        }
    }

    /// Writes diagnostics: errors always, warnings unless quiet, advice when verbose. Errors come last, so that the cause
    /// is what one sees at the bottom; many of one code are one block.
    pub fn diagnostics(&self, diagnostics: &[Diagnostic], sources: &SourceMap) {
        let shown = |diagnostic: &&Diagnostic| match diagnostic.severity() {
            Severity::Error => true,
            Severity::Warning => !self.quiet,
            Severity::Advice => self.verbose > 0,
        };
        let mut all: Vec<Diagnostic> = diagnostics.iter().filter(shown).cloned().collect();
        all.sort_by_key(Diagnostic::severity);
        for block in fold::folded(&all, self.full) {
            match render::is_bare(&block) {
                true => self.error_text(&render::one_line(&block, self.style)),
                false => self.error_line(&render::render(&block, sources, self.style)),
            }
        }
        if self.github {
            for line in all.iter().flat_map(|one| github::annotations(one, sources)) {
                self.error_line(&line);
            }
        }
    }

    /// Asks a question; only the word `yes` is a yes. `None` when standard input is not a terminal.
    pub fn confirm(&self, question: &str) -> Option<bool> {
        if self.no_input {
            return None;
        }
        self.question(question);
        self.answer()
    }

    /// Writes a question, without waiting for the answer.
    pub fn question(&self, question: &str) {
        let wrapped = wrap::wrapped(question, self.style.width);
        let question = match io::stderr().is_terminal() {
            true => wrapped.as_str(),
            false => question,
        };
        let mut err = io::stderr().lock();
        let question = safe::terminal(question);
        let _ = write!(err, "{question} Type yes: ").and_then(|()| err.flush());
    }

    /// Reads the answer to a question; only the word `yes` is a yes.
    pub fn answer(&self) -> Option<bool> {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).ok()?;
        Some(answer.trim() == "yes")
    }
}
