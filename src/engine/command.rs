//! Commands of the operator's machine that a plan names: run within bounds of time and of what is kept of their output.
//!
//! Takes a [`BoundedCommand`], gives how it ended. It runs as `sh -c` in a process group of its own, with nothing as its input and
//! without what holds a cookie. Whatever it has started ends with it: its group, and processes that have left the group,
//! which are found by a variable that all of them have inherited.

#![expect(
    clippy::disallowed_methods,
    reason = "a gate and the build of old code are commands of this machine, with variables of their own"
)]

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::diag::safe;
use crate::exec::Interrupt;
use crate::plan::{CookieFrom, Plan};

/// How long a signal may take from the terminal to updo's count of keys.
const COUNTED: Duration = Duration::from_millis(200);

/// How often a look is taken.
const LOOK: Duration = Duration::from_millis(20);

/// How long a command may take to end after it was asked to, and after it was killed.
const GRACE: Duration = Duration::from_millis(500);

/// How long what is left in the pipe is waited for, once all processes are ended.
const REST: Duration = Duration::from_millis(500);

/// So many bytes of the output are kept: the last ones.
const KEPT: usize = 16 * 1024;

/// So many lines of it are shown.
const LINES: usize = 20;

/// So many characters of a line.
const WIDTH: usize = 200;

/// The variable by which processes of a command are found.
const MARK: &str = "UPDO_COMMAND_ID";

/// Variables that hold a cookie.
const SECRET: [&str; 2] = ["UPDO_COOKIE", "RELEASE_COOKIE"];

/// What is run.
pub(super) struct BoundedCommand<'a> {
    /// For `sh -c`.
    pub text: &'a str,
    /// Where.
    pub folder: PathBuf,
    /// How long it may take.
    pub within: Duration,
    /// What its processes are found by: different for each that runs at a time.
    pub id: String,
    /// Variables that it gets.
    pub variables: Vec<(&'a str, String)>,
    /// Variables that it does not get.
    pub without: &'a [&'a str],
}

/// How a command ended.
#[derive(Debug)]
pub(super) enum CommandEnd {
    /// By itself, with this code.
    Exit(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// It took too long, and was ended.
    TooLong,
    /// The end was requested, and it was ended.
    Stopped,
    /// It could not be started.
    NotStarted(String),
}

/// A command that is over.
#[derive(Debug)]
pub(super) struct CommandRun {
    /// How.
    pub end: CommandEnd,
    /// How long it took.
    pub took: Duration,
    /// The last lines that it wrote, to standard output or error.
    pub lines: Vec<String>,
    /// Processes of it that could not be ended, those of another user for instance.
    pub left: Vec<i32>,
}

impl CommandRun {
    /// The exit code, when it ended by itself.
    pub fn exit(&self) -> Option<i32> {
        match self.end {
            CommandEnd::Exit(code) => Some(code),
            _ => None,
        }
    }

    /// How it ended, in words; `within`: how long it might take.
    pub fn why(&self, within: Duration) -> String {
        match &self.end {
            CommandEnd::Exit(code) => format!("exit code {code}"),
            CommandEnd::Signal(signal) => format!("ended by signal {signal}"),
            CommandEnd::TooLong => {
                let within = humantime::format_duration(within);
                format!("it took longer than {within} and was ended")
            }
            CommandEnd::Stopped => "it was ended on request".to_owned(),
            CommandEnd::NotStarted(why) => format!("it could not be started: {why}"),
        }
    }

    /// The processes that are left, in words; `None` when there are none.
    pub fn left_in_words(&self) -> Option<String> {
        let left: Vec<String> = self.left.iter().map(ToString::to_string).collect();
        let words = format!("processes that could not be ended: {}", left.join(", "));
        (!left.is_empty()).then_some(words)
    }
}

/// Takes away the variables of this process that hold a cookie, or may.
pub(super) fn without_cookies(command: &mut Command, plan: &Plan) {
    for (name, value) in std::env::vars_os() {
        // Flags of `erl` may have a cookie in them.
        let is_secret = name.to_str().is_some_and(|name| SECRET.contains(&name))
            || value.to_string_lossy().contains("setcookie");
        if is_secret {
            command.env_remove(name);
        }
    }
    for target in &plan.targets {
        if let Some(CookieFrom::Env(name)) = &target.cookie {
            command.env_remove(name);
        }
    }
}

/// Runs a command until it ends, its time is over, or the end has been requested more than `asked` times. `begun` gets its
/// process group, before anything of the command runs: killed in between, this process leaves nothing that goes on.
pub(super) fn run(
    what: &BoundedCommand<'_>,
    plan: &Plan,
    interrupt: &Interrupt,
    asked: u32,
    begun: &mut dyn FnMut(u32),
) -> CommandRun {
    let began = Instant::now();
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let (mut child, reader) = match start(what, plan, &tail) {
        Ok(started) => started,
        Err(why) => {
            return CommandRun {
                end: CommandEnd::NotStarted(why.to_string()),
                took: began.elapsed(),
                lines: Vec::new(),
                left: Vec::new(),
            };
        }
    };
    begun(child.id());
    if let Some(mut go) = child.stdin.take() {
        let _ = go.write_all(b"\n");
    }
    let cut = loop {
        if is_over(&child) {
            break None;
        }
        if interrupt.count() > asked {
            break Some(CommandEnd::Stopped);
        }
        if began.elapsed() >= what.within {
            break Some(CommandEnd::TooLong);
        }
        thread::sleep(LOOK);
    };
    let took = began.elapsed();
    if cut.is_some() {
        signal(&child, &what.id, Signal::TERM);
        await_end(&child);
    }
    // What it has left behind, and itself. Its number is its own until it is waited for.
    signal(&child, &what.id, Signal::KILL);
    // What belongs to another user by now (`sudo`) is not killed, and not waited for.
    await_end(&child);
    let mut left = killed(&what.id);
    let end = match cut {
        // Without a cut it is over, and this does not wait.
        None => match child.wait() {
            Ok(status) => match (status.code(), status.signal().unwrap_or_default()) {
                (Some(code), _) => CommandEnd::Exit(code),
                (None, INT) if is_asked(interrupt, asked) => CommandEnd::Stopped,
                (None, signal) => CommandEnd::Signal(signal),
            },
            Err(why) => CommandEnd::NotStarted(why.to_string()),
        },
        Some(cut) => {
            match is_over(&child) {
                true => _ = child.wait(),
                false => left.extend(pid(&child).filter(|pid| !left.contains(pid))),
            }
            cut
        }
    };
    let waited = Instant::now();
    while !reader.is_finished() && waited.elapsed() < REST {
        thread::sleep(LOOK);
    }
    let tail = tail.lock().map(|tail| tail.clone()).unwrap_or_default();
    let (first, second) = tail.as_slices();
    CommandRun {
        end,
        took,
        lines: last_lines(&[first, second].concat()),
        left: left.into_iter().map(Pid::as_raw_pid).collect(),
    }
}

/// The signal of Ctrl-C, as a status has it.
const INT: i32 = libc::SIGINT;

/// Whether the end was asked for, or is at this moment. A terminal sends the signal of Ctrl-C to updo's own group of
/// processes, and a command is in that one for an instant before it has its own: it may end before updo has counted
/// the key.
fn is_asked(interrupt: &Interrupt, asked: u32) -> bool {
    let since = Instant::now();
    while interrupt.count() <= asked && since.elapsed() < COUNTED {
        thread::sleep(LOOK);
    }
    interrupt.count() > asked
}

/// Those that cannot be killed. One that was is there for as long as the kernel needs to take it away, and one that had
/// just forked has a child that no signal has reached.
fn killed(id: &str) -> Vec<Pid> {
    let asked = Instant::now();
    loop {
        let left = marked(id);
        if left.is_empty() || asked.elapsed() >= GRACE {
            return left;
        }
        for pid in left {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        thread::sleep(LOOK);
    }
}

fn await_end(child: &Child) {
    let asked = Instant::now();
    while !is_over(child) && asked.elapsed() < GRACE {
        thread::sleep(LOOK);
    }
}

/// Waits for a line, and runs the command in its own place. At the end of its input it runs nothing.
const WAIT: &str = r#"read -r _ || exit; exec sh -c "$1" </dev/null"#;

fn start(
    what: &BoundedCommand<'_>,
    plan: &Plan,
    tail: &Arc<Mutex<VecDeque<u8>>>,
) -> std::io::Result<(Child, thread::JoinHandle<()>)> {
    // One pipe for both, so that lines are in the order in which they were written.
    let (mut output, input) = std::io::pipe()?;
    let mut command = Command::new("sh");
    command
        .args(["-c", WAIT, "sh", what.text])
        .current_dir(&what.folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(input.try_clone()?)
        .stderr(input)
        .env(MARK, &what.id);
    for (name, value) in &what.variables {
        command.env(name, value);
    }
    for name in what.without {
        command.env_remove(name);
    }
    without_cookies(&mut command, plan);
    let child = command.spawn()?;
    // Our ends of the pipe are closed with the command: the end of all processes is the end of the output.
    drop(command);
    let tail = Arc::clone(tail);
    let reader = thread::spawn(move || {
        let mut part = [0; 8192];
        loop {
            match output.read(&mut part) {
                Ok(0) => return,
                Ok(count) => {
                    let Ok(mut tail) = tail.lock() else { return };
                    tail.extend(&part[..count]);
                    let more = tail.len().saturating_sub(KEPT);
                    tail.drain(..more);
                }
                Err(why) if why.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    Ok((child, reader))
}

/// Whether it has ended; it stays there to be waited for.
fn is_over(child: &Child) -> bool {
    let Some(pid) = pid(child) else { return true };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(
        rustix::process::waitid(WaitId::Pid(pid), options),
        Ok(None) | Err(rustix::io::Errno::INTR)
    )
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Signals everything that a command has started: its group, and those with its mark. One that forks while it is looked
/// for is left to [`killed`].
fn signal(child: &Child, id: &str, signal: Signal) {
    if let Some(pid) = pid(child) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
    let others = marked(id).into_iter();
    for other in others.filter(|other| Some(*other) != pid(child)) {
        let _ = rustix::process::kill_process(other, signal);
    }
}

/// The processes that have inherited the mark. Where there is no `/proc`, the group is all that is known.
fn marked(id: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={id}");
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let is_marked = |folder: &std::path::Path| {
        // Of other users' processes it cannot be read; of one that has ended it is empty.
        let environ = std::fs::read(folder.join("environ")).unwrap_or_default();
        environ
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number: i32 = entry.file_name().to_str()?.parse().ok()?;
            let pid = Pid::from_raw(number)?;
            is_marked(&entry.path()).then_some(pid)
        })
        .collect()
}

/// The last lines of an output, each as long as a screen allows, without what a terminal would obey.
fn last_lines(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let first = lines.len().saturating_sub(LINES);
    lines[first..]
        .iter()
        .map(|line| {
            let line = safe::line(line.trim_end());
            match line.char_indices().nth(WIDTH) {
                Some((end, _)) => format!("{}…", &line[..end]),
                None => line.into_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_folder(
        command: &str,
        folder: PathBuf,
        within: u64,
        interrupt: &Interrupt,
    ) -> CommandRun {
        watched(command, folder, within, interrupt, &mut |_| {})
    }

    fn watched(
        command: &str,
        folder: PathBuf,
        within: u64,
        interrupt: &Interrupt,
        begun: &mut dyn FnMut(u32),
    ) -> CommandRun {
        let engine = crate::engine::Engine::open_text("plan \"p\".", Default::default());
        let plan = engine.engine.expect("a plan").plan;
        let what = BoundedCommand {
            text: command,
            folder,
            within: Duration::from_millis(within),
            id: format!("{}-{command:p}", std::process::id()),
            variables: vec![("UPDO_STAGE", "a b".to_owned())],
            without: &["LANG"],
        };
        let run = run(&what, &plan, interrupt, interrupt.count(), begun);
        assert_eq!(
            (marked(&what.id), &run.left),
            (vec![], &vec![]),
            "{command} has left something"
        );
        run
    }

    fn ran(command: &str, within: u64, interrupt: &Interrupt) -> CommandRun {
        in_a_folder(command, std::env::temp_dir(), within, interrupt)
    }

    #[test]
    fn a_command_ends_by_itself() {
        let interrupt = Interrupt::default();
        let run = ran(
            "echo \"$UPDO_STAGE\"; pwd >&2; read X; exit 3",
            10_000,
            &interrupt,
        );
        assert_eq!(run.exit(), Some(3), "{run:?}");
        assert_eq!(run.lines[0], "a b", "{run:?}");
        assert_eq!(run.lines.len(), 2, "{run:?}");
        let killed = ran("kill -9 $$", 10_000, &interrupt);
        assert!(matches!(killed.end, CommandEnd::Signal(9)), "{killed:?}");
        let run = in_a_folder("true", "/nonexistent".into(), 1000, &interrupt);
        assert!(matches!(run.end, CommandEnd::NotStarted(_)), "{run:?}");
    }

    #[test]
    fn nothing_of_a_command_runs_before_its_group_is_known() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = folder.path().join("made");
        let mut group = 0;
        let mut begun = |id| {
            thread::sleep(Duration::from_millis(300));
            assert!(!made.exists(), "it runs already");
            group = id;
        };
        let interrupt = Interrupt::default();
        let run = watched(
            "echo $$ >made",
            folder.path().to_owned(),
            10_000,
            &interrupt,
            &mut begun,
        );
        assert_eq!(run.exit(), Some(0), "{run:?}");
        let by = std::fs::read_to_string(&made).expect("it has run");
        assert_eq!(by.trim(), group.to_string());
    }

    /// In its group, in a session of its own, daemons, and those that ignore a signal.
    #[test]
    fn whatever_it_has_started_ends_with_it() {
        let interrupt = Interrupt::default();
        let forks = "trap '' TERM; (trap '' TERM; sleep 100) & setsid sleep 100 & \
                     setsid sh -c '(sleep 100 &)' & ";
        let long = ran(&format!("{forks} sleep 100"), 400, &interrupt);
        assert!(matches!(long.end, CommandEnd::TooLong), "{long:?}");
        assert!(long.took < Duration::from_secs(3), "{long:?}");
        // And when it ends well: nothing goes on behind our back.
        let well = ran(&format!("{forks} sleep 0.2"), 10_000, &interrupt);
        assert_eq!(well.exit(), Some(0), "{well:?}");
    }

    #[test]
    fn a_flood_of_output_costs_nothing() {
        let interrupt = Interrupt::default();
        let run = ran(
            "yes \"$(head -c 300 /dev/zero | tr '\\0' x)\"",
            500,
            &interrupt,
        );
        assert!(matches!(run.end, CommandEnd::TooLong), "{run:?}");
        assert_eq!(run.lines.len(), LINES, "{run:?}");
        assert!(
            run.lines
                .iter()
                .all(|line| line.chars().count() <= WIDTH + 1)
        );
        // One line without an end, with what a terminal would obey.
        let run = ran(
            "head -c 1000000 /dev/zero; printf '\\033[31mred\\n'; exit 1",
            10_000,
            &interrupt,
        );
        assert_eq!((run.exit(), run.lines.len()), (Some(1), 1), "{run:?}");
        assert!(!run.lines[0].contains('\u{1b}'), "{run:?}");
    }

    #[test]
    fn a_request_to_stop_ends_it() {
        let interrupt = Interrupt::default();
        // One from before is none to end this.
        interrupt.press();
        let pressed = interrupt.clone();
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            pressed.press();
        });
        let run = ran("sleep 100", 60_000, &interrupt);
        assert!(matches!(run.end, CommandEnd::Stopped), "{run:?}");
        assert!(run.took < Duration::from_secs(5), "{run:?}");
        thread.join().expect("it presses");
    }

    /// A command that Ctrl-C has met in the instant before it had a group of its own was stopped by the user.
    #[test]
    fn a_key_that_the_command_gets_too_is_the_users() {
        let interrupt = Interrupt::default();
        let pressed = interrupt.clone();
        let key = thread::spawn(move || {
            thread::sleep(Duration::from_millis(60));
            pressed.press();
        });
        let run = ran("kill -INT $$", 60_000, &interrupt);
        key.join().expect("it ends");
        assert!(matches!(run.end, CommandEnd::Stopped));
        // No key was pressed: the command has sent that to itself.
        let run = ran("kill -INT $$", 60_000, &interrupt);
        assert!(matches!(run.end, CommandEnd::Signal(2)));
    }
}
