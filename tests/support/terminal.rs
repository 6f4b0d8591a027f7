//! A person at a terminal: updo behind a real pseudo-terminal, with an emulator that keeps the screen as a person
//! would see it. Every wait is for something on the screen and bounded in time.

use std::io::{ErrorKind, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use expectrl::Session;
use expectrl::session::OsSession;

use super::desk::{Desk, UPDO};
use super::{PATIENCE, TestNode};

/// Lines and columns.
const SIZE: (u16, u16) = (40, 100);

pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const TAB: &str = "\t";
pub const ENTER: &str = "\r";
pub const UP: &str = "\x1b[A";

/// updo in a terminal.
pub struct Terminal {
    session: OsSession,
    screen: vt100::Parser,
    prompt: String,
    /// Everything that was written, as it was written.
    pub raw: Vec<u8>,
}

impl Terminal {
    /// `updo repl` on a node, waiting for its first input.
    pub fn repl(desk: &Desk, node: &TestNode, args: &[&str]) -> Self {
        let mut command = desk.command(UPDO);
        command
            .arg("repl")
            .args(args)
            .env("UPDO_EPMD_PORT", node.epmd_port().to_string())
            .env("UPDO_TARGET", node.name());
        Self::start(command, node)
    }

    /// Any command that shows the prompt of a node.
    pub fn start(command: Command, node: &TestNode) -> Self {
        let mut terminal = Self::watch(command, "xterm-256color");
        terminal.prompt = format!("{}>", node.short());
        terminal.await_prompt();
        terminal
    }

    /// Any command, in a terminal that calls itself so.
    pub fn watch(command: Command, term: &str) -> Self {
        Self::sized(command, term, SIZE)
    }

    /// The same, with so many lines and columns.
    pub fn sized(mut command: Command, term: &str, size: (u16, u16)) -> Self {
        command.env("TERM", term).env_remove("COLUMNS");
        let mut session = Session::spawn(command).expect("a pseudo-terminal");
        let process = session.get_process_mut();
        process.set_window_size(size.1, size.0).expect("its size");
        Self {
            session,
            screen: vt100::Parser::new(size.0, size.1, 0),
            prompt: String::new(),
            raw: Vec::new(),
        }
    }

    /// Waits until the prompt is the last thing on the screen.
    #[track_caller]
    pub fn await_prompt(&mut self) -> String {
        let prompt = self.prompt.clone();
        self.await_screen("prompt", |screen| screen.trim_end().ends_with(&prompt))
    }

    /// Presses Ctrl-C and waits for an empty line. What is typed together with it is lost, as with every reader
    /// of lines.
    #[track_caller]
    pub fn interrupt(&mut self) {
        self.keys(CTRL_C);
        self.await_prompt();
    }

    /// The colour of the prompt.
    pub fn prompt_colour(&self) -> vt100::Color {
        self.colour_of(&self.prompt)
    }

    /// Presses keys.
    pub fn keys(&mut self, keys: &str) {
        self.session.write_all(keys.as_bytes()).expect("it reads");
        self.session.flush().expect("it reads");
    }

    /// Types a line and waits until something is on the screen behind it.
    pub fn line(&mut self, line: &str, then: &str) -> String {
        self.keys(line);
        self.keys(ENTER);
        self.await_text(then)
    }

    /// Takes what has been written; `false` when there will be no more.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        match self.session.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(n) => {
                self.screen.process(&buffer[..n]);
                self.raw.extend_from_slice(&buffer[..n]);
                true
            }
            Err(why) if why.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
                true
            }
            // Linux says EIO when the other side is closed.
            Err(_) => false,
        }
    }

    /// What is typed is shown, as on every terminal where no test listens.
    pub fn echo(&mut self) {
        let process = self.session.get_process_mut();
        process
            .set_echo(true, Some(std::time::Duration::from_secs(1)))
            .expect("it can echo");
    }

    /// Takes what has been written up to now.
    pub fn look(&mut self) {
        loop {
            let before = self.raw.len();
            if !self.read() || self.raw.len() == before {
                return;
            }
        }
    }

    /// Waits until nothing has been written for some time.
    pub fn settle(&mut self, quiet: Duration) {
        let mut changed = Instant::now();
        while changed.elapsed() < quiet {
            let before = self.raw.len();
            self.look();
            if self.raw.len() != before {
                changed = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether a text that was typed is on the screen within a while.
    pub fn shows_soon(&mut self, text: &str) -> bool {
        let until = Instant::now() + PATIENCE / 6;
        while Instant::now() < until {
            self.look();
            if self.text().trim_end().ends_with(text) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    /// The screen as text.
    pub fn text(&self) -> String {
        self.screen.screen().contents()
    }

    /// Waits until a text is on the screen; gives the screen.
    #[track_caller]
    pub fn await_text(&mut self, text: &str) -> String {
        self.await_screen(&format!("`{text}`"), |screen| screen.contains(text))
    }

    /// Waits until the screen is as it should be.
    #[track_caller]
    pub fn await_screen(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let open = self.read();
            let screen = self.text();
            if is(&screen) {
                return screen;
            }
            assert!(
                open && Instant::now() < until,
                "no {what} on the screen:\n{screen}"
            );
        }
    }

    /// Clears the screen, so that nothing old is found on it.
    pub fn clear(&mut self) {
        self.keys("\x0c");
        self.await_screen("empty screen", |screen| screen.trim().lines().count() == 1);
    }

    /// The colour of the first character of the line that holds a text.
    fn colour_of(&self, text: &str) -> vt100::Color {
        let screen = self.screen.screen();
        let row = screen
            .rows(0, SIZE.1)
            .position(|row| row.contains(text))
            .unwrap_or_else(|| panic!("no `{text}` on the screen"));
        let row = u16::try_from(row).expect("a row of the screen");
        screen.cell(row, 0).expect("a cell").fgcolor()
    }

    /// Whether the program itself has ended: all that is left is to ask for its status.
    fn is_over(&self) -> bool {
        let pid = self.session.get_process().pid();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_none_or(|(_, rest)| rest.starts_with('Z'))
    }

    /// Waits for the end; the exit status as text.
    #[track_caller]
    pub fn end(&mut self) -> String {
        self.end_unless(|_| false)
    }

    /// The same, but fails once the screen shows that it waits for an answer.
    #[track_caller]
    pub fn end_unless(&mut self, waits: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        let mut changed = Instant::now();
        loop {
            let before = self.raw.len();
            if !self.read() {
                break;
            }
            if self.raw.len() != before {
                changed = Instant::now();
                continue;
            }
            // What it has started in the background may keep the terminal.
            if changed.elapsed() > Duration::from_millis(100) && self.is_over() {
                // It may have written something since.
                self.look();
                break;
            }
            let asks = changed.elapsed() > Duration::from_secs(3) && waits(self.text().trim_end());
            assert!(
                !asks && Instant::now() < until,
                "does not end:\n{}",
                self.text()
            );
        }
        let status = self.session.get_process().wait().expect("it has ended");
        format!("{status:?}")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.session.get_process_mut().exit(true);
    }
}
