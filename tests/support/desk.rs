//! An operator's desk: a folder with plans, a cookie file and updo's state, from which the real binary is run.
//!
//! Every run is bounded in time. The cookie must not be in anything that a run prints or leaves behind:
//! this is checked after every run and when the desk is cleared.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{COOKIE, PATIENCE, TestNode, write_cookie};

/// The binary under test.
pub const UPDO: &str = env!("CARGO_BIN_EXE_updo");

/// A folder to work in.
pub struct Desk {
    folder: TempDir,
    rehearses: bool,
    converts_after: bool,
}

impl Desk {
    /// An empty one with the test nodes' cookie.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_cookie(&folder.path().join("cookie"), COOKIE);
        Self {
            folder,
            rehearses: false,
            converts_after: false,
        }
    }

    /// The same, and runs rehearse first, as they do without the environment of a test.
    pub fn rehearsing() -> Self {
        let mut desk = Self::new();
        desk.rehearses = true;
        desk
    }

    /// The same, and every conversion is after the switch, for tests of an undo and of what happens behind the switch.
    pub fn converting_after_the_switch() -> Self {
        let mut desk = Self::new();
        desk.converts_after = true;
        desk
    }

    /// Where updo keeps compiled agents.
    pub fn agents(&self) -> PathBuf {
        self.path().join("state/agents")
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file, a plan for instance.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// Content of a file.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// A command with the environment of this desk only.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("LC_ALL", "C.UTF-8")
            .env("COLUMNS", "400")
            .env("USER", "anna")
            // Two seconds for each run of each test would be most of their time; those about it ask for it.
            .env("UPDO_SOAK", "0s")
            // Most tests of failures are about what happens in the window, where a rehearsal would not let them come.
            .env("UPDO_NO_REHEARSAL", if self.rehearses { "0" } else { "1" })
            .env(
                "UPDO_CONVERT_AFTER_SWITCH",
                if self.converts_after { "1" } else { "0" },
            )
            .env("UPDO_COOKIE_FILE", self.path().join("cookie"))
            .env("UPDO_STATE_DIR", self.path().join("state"))
            .current_dir(self.path());
        command
    }

    /// updo with arguments, and no node.
    pub fn updo(&self, args: &[&str]) -> Updo<'_> {
        let mut command = self.command(UPDO);
        command.args(args);
        Updo {
            desk: self,
            command,
            input: None,
        }
    }

    /// updo with arguments, aimed at a node.
    pub fn on(&self, node: &TestNode, args: &[&str]) -> Updo<'_> {
        // Compiling the agent is the longest part of a short run: what a run of an earlier test has kept is taken along.
        copy_agents(&shared_agents(), &self.agents());
        self.updo(args)
            .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
            .env("UPDO_TARGET", node.name())
    }

    /// `updo eval` on a node.
    pub fn eval(&self, node: &TestNode, expression: &str) -> Updo<'_> {
        self.on(node, &["eval", node.name(), expression])
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            copy_agents(&self.agents(), &shared_agents());
            let mut files = Vec::new();
            walk(self.path(), &mut files);
            for file in files.iter().filter(|file| !file.ends_with("cookie")) {
                let bytes = fs::read(file).expect("a file can be read");
                let found = bytes
                    .windows(COOKIE.len())
                    .any(|window| window == COOKIE.as_bytes());
                assert!(!found, "the cookie is in {}", file.display());
                if file.extension().is_some_and(|end| end == "jsonl") {
                    super::events::valid(&String::from_utf8_lossy(&bytes), file);
                }
            }
        }
    }
}

/// Compiled agents of all tests.
pub fn shared_agents() -> PathBuf {
    super::kept().join("agents")
}

/// Copies what is there and not yet here, each file at once.
pub fn copy_agents(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).into_iter().flatten().flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let finished = source.extension().is_some_and(|end| end == "beam");
        if !finished || target.exists() || updo::atomic_file::private_folders(to).is_err() {
            continue;
        }
        let beside = to.join(format!(
            "{}.{}",
            entry.file_name().display(),
            std::process::id()
        ));
        if fs::copy(&source, &beside).is_ok() {
            let _ = fs::rename(&beside, &target);
        }
    }
}

/// All files below a folder.
pub fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// A command line that is about to be run.
pub struct Updo<'a> {
    desk: &'a Desk,
    command: Command,
    input: Option<String>,
}

impl Updo<'_> {
    /// Wraps a command made with [`Desk::command`].
    pub fn of(desk: &Desk, command: Command) -> Updo<'_> {
        Updo {
            desk,
            command,
            input: None,
        }
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    /// Its standard input; nothing by default.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let output = tempfile::tempdir().expect("a temporary folder");
        let file =
            |name: &str| File::create(output.path().join(name)).expect("a file can be written");
        self.command.stdout(file("out")).stderr(file("err"));
        self.command.stdin(if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        let line = format!(
            "{:?} in {}",
            self.command.get_args(),
            self.desk.path().display()
        );
        let mut child = self.command.spawn().expect("updo starts");
        if let (Some(text), Some(mut stdin)) = (self.input, child.stdin.take()) {
            // One that ends before it has read everything is judged by what it says.
            let _ = stdin.write_all(text.as_bytes());
        }
        Running {
            child,
            output,
            line,
        }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        self.start().wait()
    }
}

/// A command that is running. Dropped, it is killed.
pub struct Running {
    child: Child,
    output: TempDir,
    line: String,
}

impl Running {
    /// Kills it as nothing can prevent, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Sends it a signal: `-INT`, `-TERM`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.expect("kill starts").success());
    }

    /// Waits until it has said something on standard error.
    pub fn await_says(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        let file = self.output.path().join("err");
        loop {
            let is_over = Instant::now() >= until || self.has_ended();
            if fs::read_to_string(&file).unwrap_or_default().contains(text) {
                return;
            }
            if is_over {
                // What goes on for ever would be waited for.
                let _ = self.child.kill();
                panic!("does not say `{text}`: {}", self.ran());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("it can be looked at")
            .is_some()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ran {
        let until = Instant::now() + PATIENCE;
        while !self.has_ended() {
            if Instant::now() > until {
                self.kill();
                panic!("does not end: {}", self.ran());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
        self.ran()
    }

    /// The same, and the most memory it has had resident, in KiB.
    pub fn wait_with_peak(mut self) -> (Ran, u64) {
        let status = format!("/proc/{}/status", self.child.id());
        let (mut peak, until) = (0, Instant::now() + PATIENCE);
        loop {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            peak = peak.max(kib.unwrap_or(0));
            if self.has_ended() {
                assert!(peak > 0, "nothing was measured");
                return (self.ran(), peak);
            }
            assert!(Instant::now() < until, "does not end: {}", self.line);
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn ran(&mut self) -> Ran {
        let status = self.child.wait().expect("it has ended");
        let text = |name: &str| {
            let bytes = fs::read(self.output.path().join(name)).expect("its output is there");
            String::from_utf8(bytes).expect("its output is UTF-8")
        };
        let ran = Ran {
            line: self.line.clone(),
            code: status.code(),
            stdout: text("out"),
            stderr: text("err"),
        };
        assert!(
            !ran.stdout.contains(COOKIE) && !ran.stderr.contains(COOKIE),
            "the cookie is in the output: {ran}"
        );
        ran
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What became of a command.
pub struct Ran {
    line: String,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} ended with {:?}\n--- out\n{}\n--- err\n{}",
            self.line, self.code, self.stdout, self.stderr
        )
    }
}

impl Ran {
    /// The name of the run that it was, from its last line about one.
    #[track_caller]
    pub fn name(&self) -> String {
        let named = self.stderr.lines().rev().find_map(|line| {
            let (_, name) = line.rsplit_once("run ")?;
            let is_name = name.len() == 4 && name.bytes().all(|b| b.is_ascii_hexdigit());
            is_name.then(|| name.to_owned())
        });
        named.unwrap_or_else(|| panic!("names no run: {self}"))
    }

    /// Insists on an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Insists on texts in standard error.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "does not say `{text}`: {self}");
        }
        self
    }

    /// Insists on texts in standard output.
    #[track_caller]
    pub fn prints(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.stdout.contains(text),
                "does not print `{text}`: {self}"
            );
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|why| panic!("{why}: {self}"))
    }
}
