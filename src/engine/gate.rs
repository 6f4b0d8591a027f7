//! The command of a `gate`: run on this machine between two stages, within bounds of time and of what is kept of its
//! output.
//!
//! Takes a [`Gate`] and variables, gives how the command ended. It runs as `sh -c COMMAND` in the folder of the plan's
//! file, in a process group of its own, with nothing as its input. Whatever it has started ends with it: its group, and
//! processes that have left the group, which are found by a variable that all of them have inherited.

#![expect(
    clippy::disallowed_methods,
    reason = "a gate is a command of this machine, with variables of its own"
)]

use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::diag::{Code, Diagnostic, safe};
use crate::exec::Interrupt;
use crate::plan::{CookieFrom, Gate, Plan};

/// How often a look is taken.
const LOOK: Duration = Duration::from_millis(20);

/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);

/// How long what is left in the pipe is waited for, once all processes are ended.
const REST: Duration = Duration::from_millis(500);

/// So many bytes of the output are kept: the last ones.
const KEPT: usize = 16 * 1024;

/// So many lines of it are shown.
const LINES: usize = 10;

/// So many characters of a line.
const WIDTH: usize = 200;

/// The variable by which processes of a gate are found.
const MARK: &str = "UPDO_GATE_ID";

/// Variables that hold a cookie.
const SECRET: [&str; 2] = ["UPDO_COOKIE", "RELEASE_COOKIE"];

/// How a command ended.
#[derive(Debug)]
pub(super) enum GateEnd {
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
pub(super) struct GateRun {
    /// How.
    pub end: GateEnd,
    /// How long it took.
    pub took: Duration,
    /// The last lines that it wrote, to standard output or error.
    pub lines: Vec<String>,
}

impl GateRun {
    /// The exit code, when it ended by itself.
    pub fn exit(&self) -> Option<i32> {
        match self.end {
            GateEnd::Exit(code) => Some(code),
            _ => None,
        }
    }
}

/// Runs a command until it ends, its time is over, or the end is requested.
pub(super) fn run(
    gate: &Gate,
    plan: &Plan,
    id: &str,
    variables: &[(&str, String)],
    interrupt: &Interrupt,
) -> GateRun {
    let began = Instant::now();
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let started = start(gate, plan, id, variables, &tail);
    let (mut child, reader) = match started {
        Ok(started) => started,
        Err(why) => {
            return GateRun {
                end: GateEnd::NotStarted(why.to_string()),
                took: began.elapsed(),
                lines: Vec::new(),
            };
        }
    };
    let asked = interrupt.count();
    let cut = loop {
        if is_over(&child) {
            break None;
        }
        if interrupt.count() > asked {
            break Some(GateEnd::Stopped);
        }
        if began.elapsed() >= gate.within {
            break Some(GateEnd::TooLong);
        }
        thread::sleep(LOOK);
    };
    let took = began.elapsed();
    if cut.is_some() {
        signal(&child, id, Signal::TERM);
        let asked = Instant::now();
        while !is_over(&child) && asked.elapsed() < GRACE {
            thread::sleep(LOOK);
        }
    }
    // What it has left behind, and itself. Its number is its own until it is waited for.
    signal(&child, id, Signal::KILL);
    let status = child.wait();
    let asked = Instant::now();
    while !reader.is_finished() && asked.elapsed() < REST {
        thread::sleep(LOOK);
    }
    let end = cut.unwrap_or_else(|| match status {
        Err(why) => GateEnd::NotStarted(why.to_string()),
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => GateEnd::Exit(code),
            (None, signal) => GateEnd::Signal(signal.unwrap_or_default()),
        },
    });
    let tail = tail.lock().map(|tail| tail.clone()).unwrap_or_default();
    let (first, second) = tail.as_slices();
    GateRun {
        end,
        took,
        lines: last_lines(&[first, second].concat()),
    }
}

fn start(
    gate: &Gate,
    plan: &Plan,
    id: &str,
    variables: &[(&str, String)],
    tail: &Arc<Mutex<VecDeque<u8>>>,
) -> std::io::Result<(Child, thread::JoinHandle<()>)> {
    // One pipe for both, so that lines are in the order in which they were written.
    let (mut output, input) = std::io::pipe()?;
    let mut command = Command::new("sh");
    command
        .args(["-c", &gate.command])
        .current_dir(&gate.folder)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input)
        .env(MARK, id);
    for (name, value) in variables {
        command.env(name, value);
    }
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

/// Signals everything that a command has started: its group, and those with its mark.
fn signal(child: &Child, id: &str, signal: Signal) {
    if let Some(pid) = pid(child) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
    /// A process that forks while it is looked for is found the next time.
    const LOOKS: u32 = 5;
    for _ in 0..LOOKS {
        let others = marked(id);
        let others = others
            .into_iter()
            .filter(|other| Some(*other) != pid(child));
        let mut found = false;
        for other in others {
            found |= rustix::process::kill_process(other, signal).is_ok();
        }
        if !found || signal != Signal::KILL {
            return;
        }
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

/// E646: why the next stage is not begun.
pub(super) fn refusal(gate: &Gate, run: &GateRun, before: &str) -> Diagnostic {
    let within = humantime::format_duration(gate.within);
    let why = match &run.end {
        GateEnd::Exit(code) => format!("exit code {code}"),
        GateEnd::Signal(signal) => format!("ended by signal {signal}"),
        GateEnd::TooLong => format!("it took longer than {within} and was ended"),
        GateEnd::Stopped => "it was ended on request".to_owned(),
        GateEnd::NotStarted(why) => format!("it could not be started: {why}"),
    };
    let title = format!(
        "the gate `{}` does not let {before} begin: {why}",
        gate.name
    );
    let mut diagnostic = Diagnostic::new(Code::E646, title).label(gate.span, "this command");
    diagnostic.notes = match run.lines.is_empty() {
        true => vec!["it wrote nothing".to_owned()],
        false => std::iter::once("its last lines:".to_owned())
            .chain(run.lines.iter().map(|line| format!("  {line}")))
            .collect(),
    };
    let folder = match gate.folder.to_str() {
        Some(".") => "the folder of the plan".to_owned(),
        _ => gate.folder.display().to_string(),
    };
    diagnostic.help(format!("run it by hand, with `sh -c`, in {folder}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;

    fn gate(command: &str, within: Duration) -> Gate {
        Gate {
            name: "g".to_owned(),
            command: command.to_owned(),
            within,
            folder: std::env::temp_dir(),
            span: Span::new(0, 0),
        }
    }

    fn ran(command: &str, within: u64, interrupt: &Interrupt) -> GateRun {
        let engine = crate::engine::Engine::open_text("plan \"p\".", Default::default());
        let plan = engine.engine.expect("a plan").plan;
        let id = format!("{}-{command:p}", std::process::id());
        let gate = gate(command, Duration::from_millis(within));
        let run = run(
            &gate,
            &plan,
            &id,
            &[("UPDO_STAGE", "a b".to_owned())],
            interrupt,
        );
        assert_eq!(marked(&id), [], "{command} has left something");
        run
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
        assert!(matches!(killed.end, GateEnd::Signal(9)), "{killed:?}");
        let mut nowhere = gate("true", Duration::from_secs(1));
        nowhere.folder = "/nonexistent".into();
        let engine = crate::engine::Engine::open_text("plan \"p\".", Default::default());
        let plan = engine.engine.expect("a plan").plan;
        let run = super::run(&nowhere, &plan, "x", &[], &interrupt);
        assert!(matches!(run.end, GateEnd::NotStarted(_)), "{run:?}");
    }

    /// In its group, in a session of its own, daemons, and those that ignore a signal.
    #[test]
    fn whatever_it_has_started_ends_with_it() {
        let interrupt = Interrupt::default();
        let forks = "trap '' TERM; (trap '' TERM; sleep 100) & setsid sleep 100 & \
                     setsid sh -c '(sleep 100 &)' & ";
        let long = ran(&format!("{forks} sleep 100"), 400, &interrupt);
        assert!(matches!(long.end, GateEnd::TooLong), "{long:?}");
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
        assert!(matches!(run.end, GateEnd::TooLong), "{run:?}");
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
        assert!(matches!(run.end, GateEnd::Stopped), "{run:?}");
        assert!(run.took < Duration::from_secs(5), "{run:?}");
        thread.join().expect("it presses");
    }
}
