//! A connection through `ssh`: started here, ended here, and its errors as a diagnostic.
//!
//! Takes a [`Via`], a host and a port; gives one end of a pair of sockets whose other end is the input and output of
//! `ssh -W HOST:PORT DESTINATION`: no port is opened on this machine, no command runs on the other one, and the host is
//! looked up there. It uses the person's own configuration, keys and agent, and asks for nothing (`BatchMode`): nothing
//! here waits for a password. It runs in a process group of its own, so that ctrl-c reaches updo alone, under a shell
//! that ends the group when a pipe is closed: that is done by `Forward::end`, and by the kernel when updo is killed.
//! (`ssh -W` alone outlives a killed updo when the node is frozen: it waits for the other side to close.) Variables that
//! hold secrets are not passed on.

#![expect(
    clippy::disallowed_methods,
    reason = "ssh is a program of this machine, with the environment of updo"
)]

use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::state::lock;
use super::trace;
use crate::diag::{Code, Diagnostic, safe};

/// Started with the connection as its standard output and the pipe as its input. Whichever of both dies first, the group is ended
/// when the pipe is closed, and the shell ends with what the program ended with.
const SCRIPT: [&str; 2] = [
    "exec 3<&0\n",
    r#" "$@" <&1 3<&- &
p=$!
exec >/dev/null 2>&1
( trap '' TERM; read x <&3; kill -TERM 0; sleep 1; kill -KILL 0 ) &
w=$!
exec 3<&-
wait $p; s=$?
kill -KILL $w
exit $s"#,
];

/// Variables that hold secrets.
const SECRET: [&str; 4] = [
    "UPDO_COOKIE",
    "RELEASE_COOKIE",
    "UPDO_TLS_KEY",
    "UPDO_TLS_CERT",
];

/// So many of them may be on their way at a time: an sshd drops logins at random when more than ten are not through
/// (`MaxStartups`).
const AT_A_TIME: usize = 8;

/// How many are.
static ON_THEIR_WAY: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// How long a program that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// How long its last words are waited for, once the connection has ended.
const REST: Duration = Duration::from_secs(2);

/// How often a look is taken.
const LOOK: Duration = Duration::from_millis(5);

/// So many bytes of what it says are kept: the last ones.
const KEPT: usize = 4096;

/// So many lines of it are shown.
const LINES: usize = 6;

/// So many characters of a line.
const WIDTH: usize = 200;

/// `ssh("user@bastion")`: through which machine a node is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// `[user@]host` or `ssh://[user@]host[:port]`, as ssh takes it; also a name of its configuration.
    destination: String,
    /// What is run in place of `ssh`, for a shell: `ssh -F FILE`.
    command: Option<String>,
    /// More variables that hold secrets.
    without: Vec<String>,
}

impl Via {
    /// `None` when the text can be no destination: empty, an option of ssh, with blanks or control characters.
    pub fn ssh(destination: &str) -> Option<Self> {
        let bad = |c: char| c.is_whitespace() || c.is_control();
        let fits = !destination.is_empty()
            && destination.len() <= 255
            && !destination.starts_with('-')
            && !destination.contains(bad);
        fits.then(|| Self {
            destination: destination.to_owned(),
            command: None,
            without: Vec::new(),
        })
    }

    /// With another command than `ssh`, which a shell takes apart; empty: `ssh`.
    #[must_use]
    pub fn command(mut self, command: Option<String>) -> Self {
        self.command = command.filter(|text| !text.trim().is_empty());
        self
    }

    /// Without a variable of the environment that holds a secret.
    #[must_use]
    pub fn without(mut self, variable: &str) -> Self {
        self.without.push(variable.to_owned());
        self
    }

    /// Where the connection goes through.
    pub fn destination(&self) -> &str {
        &self.destination
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh {}", self.destination)
    }
}

/// What the program is to reach, as `-W` wants it.
fn target(host: &str, port: u16) -> String {
    let bare = host.trim_matches(['[', ']']);
    match bare.contains(':') {
        true => format!("[{bare}]:{port}"),
        false => format!("{bare}:{port}"),
    }
}

/// A program that passes a connection on.
#[derive(Debug)]
pub(crate) struct Forward {
    child: Mutex<Child>,
    /// Closed to have it ended.
    life: Mutex<Option<ChildStdin>>,
    said: Arc<Mutex<Said>>,
    via: Via,
    to: String,
}

/// A place among those that are on their way, until it is dropped.
#[derive(Debug)]
pub(crate) struct OnItsWay(());

impl OnItsWay {
    /// Waits for a place.
    fn begin(left: Duration) -> io::Result<Self> {
        let (count, changed) = &ON_THEIR_WAY;
        let full = |count: &mut usize| *count >= AT_A_TIME;
        let waited = changed.wait_timeout_while(lock(count), left, full);
        let (mut count, late) = waited.unwrap_or_else(PoisonError::into_inner);
        if late.timed_out() {
            let title = format!(
                "{AT_A_TIME} connections by ssh are on their way, and none got through in time"
            );
            let diagnostic = Diagnostic::new(Code::E511, title)
                .help("the machine in between is slow or does not answer: try it by hand");
            return Err(io::Error::other(NotForwarded(Box::new(diagnostic))));
        }
        *count += 1;
        Ok(Self(()))
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let (count, changed) = &ON_THEIR_WAY;
        *lock(count) -= 1;
        changed.notify_one();
    }
}

/// What it has said.
#[derive(Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    ended: bool,
}

/// The way to a node failed before its end was reached.
#[derive(Debug)]
struct NotForwarded(Box<Diagnostic>);

impl fmt::Display for NotForwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.title)
    }
}

impl std::error::Error for NotForwarded {}

/// The diagnostic behind an error of reading or writing, when a program on the way has caused it.
pub(crate) fn cause(error: &io::Error) -> Option<Box<Diagnostic>> {
    let inner = error.get_ref()?.downcast_ref::<NotForwarded>()?;
    Some(inner.0.clone())
}

impl Forward {
    /// Starts it. The last of what it gives is to be dropped when the other end has sent something.
    pub(crate) fn start(
        via: &Via,
        host: &str,
        port: u16,
        left: Duration,
    ) -> io::Result<(UnixStream, Self, OnItsWay)> {
        let began = Instant::now();
        let on_its_way = OnItsWay::begin(left)?;
        let left = left.saturating_sub(began.elapsed());
        let (ours, theirs) = UnixStream::pair()?;
        let to = target(host, port);
        let program = via.command.as_deref().unwrap_or("ssh");
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(SCRIPT.join(program))
            .arg("updo-ssh")
            .args(["-o", "BatchMode=yes", "-o"])
            .arg(format!("ConnectTimeout={}", left.as_secs().max(1)))
            .args(["-W", &to, "--", &via.destination])
            .stdin(Stdio::piped())
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .process_group(0);
        for name in SECRET
            .into_iter()
            .chain(via.without.iter().map(String::as_str))
        {
            command.env_remove(name);
        }
        trace::tell(|| format!("ssh     {to} through {}", via.destination));
        let mut child = command.spawn().map_err(|error| {
            let title = format!("no shell can be started for ssh: {error}");
            io::Error::other(NotForwarded(Box::new(Diagnostic::new(Code::E511, title))))
        })?;
        // Without the command our copy of the other end would keep the connection open.
        drop(command);
        let life = child.stdin.take();
        let said = Arc::new(Mutex::new(Said::default()));
        match child.stderr.take() {
            Some(pipe) => {
                let into = Arc::clone(&said);
                // It ends with the pipe. One that a connection of ssh in the background (`ControlPersist`) keeps open
                // is nothing to wait for.
                std::thread::Builder::new()
                    .name("updo-ssh".to_owned())
                    .spawn(move || listen(pipe, &into))?;
            }
            None => lock(&said).ended = true,
        }
        let forward = Self {
            child: Mutex::new(child),
            life: Mutex::new(life),
            said,
            via: via.clone(),
            to,
        };
        Ok((ours, forward, on_its_way))
    }

    /// What made an attempt fail. `None` when the program has done its part, and the other end has closed.
    pub(crate) fn failure(&self, error: &io::Error) -> Option<io::Error> {
        let late = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        let status = match late {
            true => lock(&self.child).try_wait().ok().flatten(),
            false => self.ended(),
        };
        if status.is_some_and(|status| status.success()) {
            return None;
        }
        let lines = self.lines();
        // It waits for the node, or for the way to it: which of both is not known.
        if status.is_none() && late && lines.is_empty() {
            let title = format!("nothing came from {} through {} in time", self.to, self.via);
            let diagnostic = Diagnostic::new(Code::E511, title).help(format!(
                "`ssh {} true` shows whether that machine answers; then the node is overloaded or stopped, or something else listens there",
                self.via.destination
            ));
            return Some(io::Error::other(NotForwarded(Box::new(diagnostic))));
        }
        Some(io::Error::other(NotForwarded(Box::new(
            self.diagnostic(&lines, status),
        ))))
    }

    /// Why a connection that was up has ended, when that was on the way.
    pub(crate) fn lost(&self) -> Option<String> {
        let status = self.ended()?;
        if status.success() || lock(&self.life).is_none() {
            return None;
        }
        let last = self.lines().pop();
        Some(format!(
            "{} ended: {}",
            self.via,
            last.unwrap_or_else(|| status.to_string())
        ))
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        // The shell ends the group.
        drop(lock(&self.life).take());
    }

    /// How it ended; waits a moment for that.
    fn ended(&self) -> Option<ExitStatus> {
        let until = Instant::now() + REST;
        loop {
            match lock(&self.child).try_wait() {
                Ok(None) if Instant::now() < until => {}
                other => return other.ok().flatten(),
            }
            std::thread::sleep(LOOK);
        }
    }

    /// The last lines that it has said, safe to show.
    fn lines(&self) -> Vec<String> {
        let until = Instant::now() + GRACE;
        while !lock(&self.said).ended && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        let bytes = lock(&self.said).bytes.clone();
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let from = all.len().saturating_sub(LINES);
        all.iter()
            .skip(from)
            .map(|line| {
                let short: String = line.chars().take(WIDTH).collect();
                safe::line(&short).into_owned()
            })
            .collect()
    }

    fn diagnostic(&self, lines: &[String], status: Option<ExitStatus>) -> Diagnostic {
        let (to, destination) = (&self.to, &self.via.destination);
        let says = |word: &str| lines.iter().any(|line| line.contains(word));
        // What a shell says of a command that is not there, or no program.
        let not_there = matches!(status.and_then(|s| s.code()), Some(126 | 127));
        let (what, help) = if not_there {
            (
                "ssh cannot be started".to_owned(),
                "install OpenSSH's client, or say in UPDO_SSH what is to be run: `UPDO_SSH='/usr/bin/ssh -F FILE'`".to_owned(),
            )
        } else if says("administratively prohibited") {
            (
                format!("{destination} does not forward to {to}"),
                "its sshd needs `AllowTcpForwarding yes` (or `local`), and no `PermitOpen` that leaves this port out".to_owned(),
            )
        } else if says("open failed") {
            (
                format!("{destination} cannot reach {to}"),
                format!(
                    "host and port are those that {destination} sees: `address => \"HOST:PORT\"` when the node's host has another name there, `port => PORT` when it has no epmd"
                ),
            )
        } else if says("Host key verification failed") || says("host key is known") {
            (
                format!("the host key of {destination} is not trusted"),
                format!("compare it and accept it once, by hand: ssh {destination}"),
            )
        } else if says("Permission denied") || says("Too many authentication failures") {
            (
                format!("{destination} does not let us in"),
                format!(
                    "updo has ssh ask for no password: load the key into the agent (`ssh-add`), or name it in ~/.ssh/config; `ssh -o BatchMode=yes {destination} true` must do without a question"
                ),
            )
        } else {
            (
                format!("no way to {to} through {}", self.via),
                format!("try it by hand: ssh -o BatchMode=yes -W {to} {destination}"),
            )
        };
        let text = lines
            .iter()
            .fold(Diagnostic::new(Code::E511, what), |text, line| {
                text.note(format!("ssh: {line}"))
            });
        match (lines.is_empty(), status) {
            (true, Some(status)) => text.note(format!("it ended without a word, {status}")),
            _ => text,
        }
        .help(help)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.end();
        let child = self
            .child
            .get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let until = Instant::now() + GRACE;
        while let Ok(None) = child.try_wait() {
            if Instant::now() >= until {
                // Not waited for, so its group is still its own.
                if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = kill_process_group(pid, Signal::KILL);
                }
                let _ = child.wait();
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Keeps the end of what comes.
fn listen(mut pipe: ChildStderr, said: &Mutex<Said>) {
    let mut piece = [0; 1024];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                let mut said = lock(said);
                said.bytes
                    .extend_from_slice(piece.get(..n).unwrap_or_default());
                let surplus = said.bytes.len().saturating_sub(KEPT);
                said.bytes.drain(..surplus);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    lock(said).ended = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        for good in ["bastion", "deploy@bastion", "ssh://deploy@bastion:2222"] {
            assert!(Via::ssh(good).is_some(), "{good}");
        }
        for bad in ["", "-oProxyCommand=x", "a b", "a\nb", &"x".repeat(300)] {
            assert!(Via::ssh(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn targets_of_w() {
        assert_eq!(target("web1", 4369), "web1:4369");
        assert_eq!(target("::1", 9100), "[::1]:9100");
        assert_eq!(target("[fdaa::3]", 9100), "[fdaa::3]:9100");
    }

    /// A shell in place of ssh: `sh -c '…' ssh` takes the arguments as they are.
    fn with(command: &str) -> Link {
        let via = Via::ssh("there").expect("a destination");
        let via = via.command(Some(command.to_owned()));
        let deadline = Deadline::after(Duration::from_secs(30));
        Link::through(&via, ("host", 1), deadline).expect("it starts")
    }

    use crate::node::stream::{Deadline, Link, Stream};

    fn failed(command: &str) -> Box<Diagnostic> {
        let mut link = with(command);
        let deadline = Deadline::after(Duration::from_secs(2));
        let error = link.read_some(&mut [0; 8], deadline).expect_err("no way");
        cause(&error).unwrap_or_else(|| panic!("{command}: {error:?}"))
    }

    #[test]
    fn what_it_says_is_shown_and_bounded() {
        let ssh = "sh -c 'yes noise | head -c 1000000 >&2; echo \"ssh: \\033[2Jno\" >&2; exit 255'";
        let why = failed(ssh);
        assert_eq!(why.code, Code::E511);
        assert_eq!(why.notes.len(), LINES, "{why:?}");
        assert!(why.notes.iter().all(|note| !note.contains('\u{1b}')));
        let silent = failed("sh -c 'exit 255'");
        assert!(silent.notes[0].contains("without a word"), "{silent:?}");
        let missing = failed("/nowhere/ssh");
        assert_eq!(missing.title, "ssh cannot be started");
        let frozen = failed("sh -c 'sleep 60'");
        assert!(frozen.title.contains("in time"), "{frozen:?}");
    }

    #[test]
    fn bytes_go_both_ways_and_the_end_is_its_end() {
        let mut link = with("sh -c cat");
        let deadline = Deadline::after(Duration::from_secs(5));
        link.write_all(b"there and back", deadline).expect("there");
        let mut bytes = [0; 14];
        link.read_exact(&mut bytes, deadline).expect("back");
        assert_eq!(&bytes, b"there and back");
        let began = Instant::now();
        drop(link);
        assert!(began.elapsed() < Duration::from_millis(400));
    }

    /// Those that are on their way wait for each other; those that are through do not count.
    #[test]
    fn few_are_on_their_way_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let shown = folder.path().display().to_string();
        // Each leaves a file while it is on its way, and says how many there are.
        let ssh =
            format!("sh -c 'touch {shown}/$$; sleep 0.1; ls {shown} | wc -l; rm {shown}/$$; cat'");
        let links: Vec<(Link, usize)> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..3 * AT_A_TIME)
                .map(|_| {
                    scope.spawn(|| {
                        let mut link = with(&ssh);
                        let mut bytes = [0; 16];
                        let deadline = Deadline::after(Duration::from_secs(30));
                        let n = link.read_some(&mut bytes, deadline).expect("a number");
                        let text = String::from_utf8_lossy(&bytes[..n]);
                        (link, text.trim().parse().expect("a number"))
                    })
                })
                .collect();
            let ends = all
                .into_iter()
                .map(|thread| thread.join().expect("no panic"));
            ends.collect()
        });
        // All are open now. One that has just said its number may not have removed its file yet.
        assert_eq!(links.len(), 3 * AT_A_TIME);
        let most = links.iter().map(|(_, count)| *count).max();
        assert!(most.is_some_and(|most| most <= 2 * AT_A_TIME), "{most:?}");
    }

    #[test]
    fn one_that_does_not_want_to_end_is_killed() {
        let via = Via::ssh("there").expect("a destination").command(Some(
            "sh -c 'trap \"\" TERM; while :; do sleep 1; done'".to_owned(),
        ));
        let (_socket, forward, _) =
            Forward::start(&via, "host", 1, Duration::from_secs(5)).expect("it starts");
        let group = lock(&forward.child).id().to_string();
        std::thread::sleep(Duration::from_millis(300));
        let began = Instant::now();
        drop(forward);
        assert!(began.elapsed() < Duration::from_secs(3));
        // The shell is gone at once, and what it has left ends the group a second later.
        let left = || {
            let stats = std::fs::read_dir("/proc").expect("/proc").flatten();
            let stats =
                stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
            let of_group = |stat: &String| {
                let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
                fields.get(2) == Some(&group.as_str()) && fields[0] != "Z"
            };
            stats.filter(of_group).count()
        };
        while left() > 0 {
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{} are left",
                left()
            );
            std::thread::sleep(LOOK);
        }
    }
}
