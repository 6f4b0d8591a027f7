//! A project of a build tool, with updo in its path: not on a desk, since the cookie is in its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::desk::{UPDO, copy_agents, shared_agents};
use crate::support::terminal::{ENTER, Terminal};
use crate::support::{COOKIE, TestNode};

/// Notes the arguments of every call, and is updo then.
const NOTING: &str = "#!/bin/sh\nprintf '%s\\n' \"$*\" >>\"$NOTES\"\nexec \"$REAL\" \"$@\"\n";

/// How a command ended, and all that it has printed.
pub struct Ended {
    pub code: i32,
    pub text: String,
}

impl Ended {
    /// Insists on an exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// Insists on texts.
    #[track_caller]
    pub fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(
                self.text.contains(text),
                "does not say `{text}`: {}",
                self.text
            );
        }
        self
    }
}

pub struct Project {
    folder: TempDir,
    /// Where epmd of the nodes listens.
    epmd: Option<u16>,
}

impl Project {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let project = Self { folder, epmd: None };
        for name in ["home", "bin", "project"] {
            fs::create_dir(project.folder.path().join(name)).expect("a folder");
        }
        let updo = project.folder.path().join("bin/updo");
        fs::write(&updo, NOTING).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&updo, mode).expect("it can be executed");
        copy_agents(
            &shared_agents(),
            &project.folder.path().join("state/agents"),
        );
        project
    }

    /// Its root.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        if path.exists() {
            // rebar3 and mix compile what is younger than its beam, by whole seconds.
            std::thread::sleep(Duration::from_millis(1100));
        }
        fs::write(path, text).expect("a file can be written");
    }

    /// The epmd of a node.
    pub fn near(&mut self, node: &TestNode) {
        self.at(node.epmd_port());
    }

    /// An epmd by its port.
    pub fn at(&mut self, epmd: u16) {
        self.epmd = Some(epmd);
    }

    /// What is in front of a person: no cookie and no target in the environment.
    pub fn command(&self, program: &str, args: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let bin = self.folder.path().join("bin");
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", self.folder.path().join("home"))
            .env("LC_ALL", "C.UTF-8")
            .env("USER", "anna")
            .env("COLUMNS", "200")
            .env("UPDO_SOAK", "0s")
            .env("UPDO_STATE_DIR", self.folder.path().join("state"))
            .env("NOTES", self.notes())
            .env("REAL", UPDO)
            .current_dir(self.root());
        if let Some(port) = self.epmd {
            command.env("ERL_EPMD_PORT", port.to_string());
        }
        command
    }

    fn notes(&self) -> PathBuf {
        self.folder.path().join("notes")
    }

    /// Runs a command to its end.
    pub fn run(&self, program: &str, args: &[&str]) -> Ended {
        Self::ended(self.command(program, args))
    }

    pub fn ended(mut command: Command) -> Ended {
        let output = command
            .stdin(std::process::Stdio::null())
            .output()
            .expect("the command starts");
        let text = [output.stdout, output.stderr].concat();
        Ended {
            code: output.status.code().unwrap_or(-1),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    /// The same at a terminal, with an answer to the question of a run.
    pub fn answered(&self, program: &str, args: &[&str], answer: &str) -> Ended {
        let command = self.command(program, args);
        let mut terminal = Terminal::sized(command, "xterm-256color", (200, 160));
        terminal.await_text("Run it? Type yes:");
        terminal.keys(answer);
        terminal.keys(ENTER);
        terminal.await_screen("the answer", |screen| !screen.ends_with("Type yes:"));
        Self::at_end(&mut terminal)
    }

    /// At a terminal where nothing is asked.
    pub fn unasked(&self, program: &str, args: &[&str]) -> Ended {
        let command = self.command(program, args);
        let mut terminal = Terminal::sized(command, "xterm-256color", (200, 160));
        Self::at_end(&mut terminal)
    }

    fn at_end(terminal: &mut Terminal) -> Ended {
        let status = terminal.end_unless(|screen| screen.ends_with("Type yes:"));
        let code = status.trim_end_matches(')').rsplit(' ').next();
        Ended {
            code: code.and_then(|code| code.parse().ok()).unwrap_or(-1),
            text: terminal.text(),
        }
    }

    /// How updo was called since the last time: never with the cookie.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.notes()).unwrap_or_default();
        let _ = fs::remove_file(self.notes());
        assert!(!text.contains(COOKIE), "the cookie is an argument: {text}");
        text.lines().map(str::to_owned).collect()
    }
}

/// Copies a folder of this project's sources.
pub fn copied(from: &str, to: &Path) {
    fs::create_dir_all(to.parent().expect("it has one")).expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(from);
    let status = Command::new("cp").arg("-R").arg(&from).arg(to).status();
    assert!(status.expect("cp starts").success(), "{}", from.display());
}
