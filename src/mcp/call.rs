//! One call of a tool: updo as a program of its own, within bounds of time and output.

#![expect(
    clippy::disallowed_methods,
    reason = "each tool is a command of updo, which is started again for it"
)]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long a call may take. What it does has bounds of its own, which are shorter.
const WITHIN: Duration = Duration::from_secs(15 * 60);

/// How long one may take to end after it was asked to: a rehearsal takes its modules back from the node.
const GRACE: Duration = Duration::from_secs(10);

/// How often a look is taken.
const LOOK: Duration = Duration::from_millis(10);

/// So many bytes of each of its outputs are kept: the first ones.
const KEPT: u64 = 8 << 20;

/// The variable that names a target; the folder, in which the server is already; and those that would make a command write
/// a file.
const TARGET: &str = "UPDO_TARGET";
const UNWANTED: [&str; 5] = [
    TARGET,
    "UPDO_DIRECTORY",
    "UPDO_OUTPUT",
    "UPDO_SAVE",
    "UPDO_LOG_FILE",
];

/// How a call ended.
pub(super) struct Called {
    /// Its exit code; none when it was ended.
    pub code: Option<i32>,
    /// Whether we have ended it.
    pub is_ended: bool,
    pub stdout: String,
    pub stderr: String,
    /// Whether some of the output is missing.
    pub is_cut: bool,
}

/// Runs updo to its end, or until `stop`. `target`: what goes with a plan that names none.
///
/// # Errors
/// Why it cannot be started.
pub(super) fn run(
    program: &Path,
    args: &[String],
    target: Option<&str>,
    stop: &AtomicBool,
) -> std::io::Result<Called> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in UNWANTED {
        command.env_remove(name);
    }
    if let Some(target) = target {
        command.env(TARGET, target);
    }
    let mut child = command.spawn()?;
    let out = child.stdout.take().map(|pipe| thread::spawn(|| kept(pipe)));
    let err = child.stderr.take().map(|pipe| thread::spawn(|| kept(pipe)));
    let (code, is_ended) = end(&mut child, stop)?;
    let text = |reader: Option<thread::JoinHandle<(Vec<u8>, bool)>>| {
        let (bytes, is_cut) = reader
            .and_then(|reader| reader.join().ok())
            .unwrap_or_default();
        (String::from_utf8_lossy(&bytes).into_owned(), is_cut)
    };
    let ((stdout, out_cut), (stderr, err_cut)) = (text(out), text(err));
    Ok(Called {
        code,
        is_ended,
        stdout,
        stderr,
        is_cut: out_cut || err_cut,
    })
}

/// The exit code, if there is one, and whether we have ended it.
fn end(child: &mut Child, stop: &AtomicBool) -> std::io::Result<(Option<i32>, bool)> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status.code(), false));
        }
        if stop.load(Ordering::Relaxed) || began.elapsed() > WITHIN {
            break;
        }
        thread::sleep(LOOK);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, Signal::TERM);
    }
    let asked = Instant::now();
    while asked.elapsed() < GRACE {
        if child.try_wait()?.is_some() {
            return Ok((None, true));
        }
        thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok((None, true))
}

/// The beginning of an output, and whether there was more, which is read so that its writer does not wait.
fn kept(mut pipe: impl Read) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let _ = (&mut pipe).take(KEPT).read_to_end(&mut bytes);
    let more = std::io::copy(&mut pipe, &mut std::io::sink());
    (bytes, more.is_ok_and(|more| more > 0))
}
