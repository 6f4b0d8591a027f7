//! A page, executed: files are written, commands typed, screens compared.

use std::collections::VecDeque;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::docs;
use crate::normal::{normal, same};
use crate::page::{Block, Typed, blocks, is_prompt};
use crate::support::desk::{UPDO, copy_agents, shared_agents};
use crate::support::terminal::{ENTER, Terminal};
use crate::support::{COOKIE, Epmd, PATIENCE, write_cookie};

/// Lines and columns: no page of a pager, and lines as wide as those of the documents.
const SIZE: (u16, u16) = (400, 100);

/// What a program prints before it waits for an answer.
const QUESTION: &str = "Type yes: ";

/// Commands that go on until they are interrupted; what they print is shown by blocks that begin with output.
const LASTING: &[&str] = &["updo watch "];

/// Commands that read input until they are ended.
const SHELLS: &[&str] = &["erl ", "iex ", "rebar3 shell"];

/// A login shell goes on while what it has started detaches itself; when it ends first, that gets a SIGHUP.
const LEADER: &str = r#"sh -c "$0"; code=$?; sleep 0.5; exit $code"#;

/// Ends all processes that have a mark in their environment once its standard input is closed: nodes that a page has
/// started detached. Twice, for one that was just being made.
const WATCHDOG: &str = r#"cat >/dev/null; for round in 1 2; do for p in /proc/[0-9]*; do
if grep -qszx "UPDO_BOOK=$0" "$p/environ"; then kill -9 "${p#/proc/}" 2>/dev/null; fi; done; done"#;

/// The root of another system, with updo installed as a package or an archive, in which the pages are executed instead
/// (`scripts/test_fresh.sh`).
fn fresh_root() -> Option<PathBuf> {
    std::env::var_os("UPDO_BOOK_ROOT").map(PathBuf::from)
}

/// A computer of the reader's.
struct Player {
    page: String,
    folder: TempDir,
    /// Where everything is that the reader's computer has, when it is not this one.
    root: Option<PathBuf>,
    mark: String,
    watchdog: Child,
    epmd: Epmd,
    /// Below the home, as `cd` has changed it.
    place: PathBuf,
    variables: Vec<(String, String)>,
    /// How the last command has ended.
    code: i32,
    /// The terminal with a program that goes on, and how many lines of it the page has shown.
    other: Option<(Terminal, usize)>,
    /// What a screen showed instead of what the page shows.
    renewed: Vec<(Range<usize>, Vec<String>)>,
    /// What it showed where only names and times differ: written together with the former, so that a page has one run.
    fresh: Vec<(Range<usize>, Vec<String>)>,
    differences: Vec<String>,
}

impl Drop for Player {
    fn drop(&mut self) {
        self.other = None;
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
        if !std::thread::panicking() {
            copy_agents(&self.agents(), &shared_agents());
        }
    }
}

/// Executes a page, and fails where it does not show what happens.
pub fn page(name: &str) {
    let file = docs().join(name);
    let text = fs::read_to_string(&file).unwrap_or_else(|why| panic!("{name}: {why}"));
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut player = Player::new(name);
    for block in blocks(&text) {
        if block.not_run().is_none() {
            player.block(&block, &lines);
        }
    }
    assert_eq!(
        player.code,
        0,
        "{name}: the last command has failed, and the page does not show it (`$ echo $?`):\n{}",
        player.differences.join("\n")
    );
    let bless = std::env::var_os("UPDO_BLESS").is_some();
    if bless && !player.renewed.is_empty() {
        let mut lines = lines;
        let mut all = std::mem::take(&mut player.renewed);
        all.append(&mut player.fresh);
        all.sort_by_key(|(range, _)| (range.start, range.end));
        for (range, new) in all.into_iter().rev() {
            lines.splice(range, new);
        }
        fs::write(&file, lines.join("\n") + "\n").expect("the page can be written");
        player.differences.clear();
    }
    let differences = player.differences.join("\n");
    drop(player);
    assert!(
        differences.is_empty(),
        "docs/{name} is not what happens (UPDO_BLESS=1 writes it anew):\n{differences}"
    );
}

impl Player {
    fn new(page: &str) -> Self {
        let root = fresh_root();
        let folder = match &root {
            Some(root) => tempfile::tempdir_in(root.join("tmp")),
            None => tempfile::tempdir(),
        };
        let folder = folder.expect("a temporary folder");
        let mark = format!("{}-{}", std::process::id(), page.replace('/', "-"));
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, &mark])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let player = Self {
            page: page.to_owned(),
            mark,
            watchdog,
            epmd: Epmd::start(),
            place: PathBuf::new(),
            variables: Vec::new(),
            code: 0,
            other: None,
            renewed: Vec::new(),
            fresh: Vec::new(),
            differences: Vec::new(),
            folder,
            root,
        };
        let home = player.home();
        fs::create_dir_all(&home).expect("a home");
        write_cookie(&home.join(".erlang.cookie"), COOKIE);
        if player.root.is_none() {
            let programs = player.folder.path().join("bin");
            fs::create_dir(&programs).expect("a folder");
            std::os::unix::fs::symlink(UPDO, programs.join("updo")).expect("a link");
        }
        // Compiling the agent is the longest part of a short run: what another test has kept is taken along.
        copy_agents(&shared_agents(), &player.agents());
        player
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home/anna")
    }

    fn agents(&self) -> PathBuf {
        self.home().join(".local/state/updo/agents")
    }

    fn block(&mut self, block: &Block, lines: &[String]) {
        if block.language != "console" {
            if let Some(path) = block.file() {
                let path = self.home().join(&self.place).join(path);
                fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
                if path.exists() {
                    // rebar3 compiles what is younger than its beam, by whole seconds.
                    std::thread::sleep(Duration::from_millis(1100));
                }
                fs::write(&path, block.lines.join("\n") + "\n").expect("a file can be written");
            }
            return;
        }
        let mut typed: VecDeque<Typed> = block.typed().into();
        while let Some(one) = typed.pop_front() {
            let is_shell = one.prompt != "$"
                || (SHELLS.iter().any(|shell| one.text.starts_with(shell))
                    && !one.text.ends_with("-detached"));
            let inside = typed
                .iter()
                .take_while(|next| is_shell && next.prompt != "$")
                .count();
            let inputs: Vec<Typed> = typed.drain(..inside).collect();
            match one.prompt.as_str() {
                "" => self.more(one.output, lines),
                "$" if inputs.is_empty() => self.command(&one, lines),
                "$" => {
                    let terminal = self.terminal(&one.text);
                    self.other = Some((terminal, 0));
                    self.inside(Some(&one), &inputs, lines);
                }
                _ => {
                    let all: Vec<Typed> = std::iter::once(one).chain(inputs).collect();
                    self.inside(None, &all, lines);
                }
            }
        }
    }

    /// A path as the reader's computer has it.
    fn seen(&self, path: &Path) -> PathBuf {
        let below = self
            .root
            .as_ref()
            .and_then(|root| path.strip_prefix(root).ok());
        below.map_or_else(|| path.to_owned(), |below| Path::new("/").join(below))
    }

    /// A shell in a folder of the reader's.
    fn shell(&self, folder: &Path) -> Command {
        let Some(root) = &self.root else {
            let mut shell = Command::new("sh");
            let path = std::env::var("PATH").unwrap_or_default();
            let programs = self.folder.path().join("bin");
            let path = format!("{}:{path}", programs.display());
            shell.env_clear().env("PATH", path).current_dir(folder);
            return shell;
        };
        let mut shell = Command::new("chroot");
        shell
            .arg(root)
            .args(["env", "-C"])
            .arg(self.seen(folder))
            .arg("sh")
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        shell
    }

    fn terminal(&self, command: &str) -> Terminal {
        let mut shell = self.shell(&self.home().join(&self.place));
        let detaches = ["-detached", " daemon", " &"]
            .iter()
            .any(|word| command.contains(word));
        if detaches {
            shell.args(["-c", LEADER, command]);
        } else {
            shell.args(["-c", command]);
        }
        shell
            .env("HOME", self.seen(&self.home()))
            .env("USER", "anna")
            .env("LC_ALL", "C.UTF-8")
            .env("UPDO_BOOK", &self.mark)
            .env("ERL_EPMD_PORT", self.epmd.port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            // Schedulers with nothing to do take the processors from the other tests.
            .env(
                "ERL_AFLAGS",
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
            )
            // Two seconds for each run would be most of a page's time.
            .env("UPDO_SOAK", "300ms")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut terminal = Terminal::sized(shell, "xterm-256color", SIZE);
        terminal.echo();
        terminal
    }

    /// A command, from its start to its end.
    fn command(&mut self, typed: &Typed, lines: &[String]) {
        let text = typed.text.as_str();
        if let Some(place) = text.strip_prefix("cd ") {
            self.place = self.place.join(place);
            if place == ".." {
                self.place = self
                    .place
                    .parent()
                    .and_then(|p| p.parent())
                    .expect("a folder")
                    .to_owned();
            }
            assert!(self.home().join(&self.place).is_dir(), "{text}");
            return;
        }
        if let Some((name, value)) = text.strip_prefix("export ").and_then(|t| t.split_once('=')) {
            self.variables.push((name.to_owned(), value.to_owned()));
            return;
        }
        if text == "echo $?" {
            let code = std::mem::take(&mut self.code);
            self.compare(typed.output.clone(), lines, vec![code.to_string()]);
            return;
        }
        assert_eq!(
            self.code,
            0,
            "{}: the command before `{text}` has failed, and the page does not show it (`$ echo $?`):\n{}",
            self.page,
            self.differences.join("\n")
        );
        let mut terminal = self.terminal(text);
        if LASTING.iter().any(|lasting| text.contains(lasting)) {
            self.other = Some((terminal, 0));
            self.more(typed.output.clone(), lines);
            return;
        }
        for line in &lines[typed.output.clone()] {
            if let Some((_, answer)) = line.split_once(QUESTION) {
                terminal.await_text(QUESTION.trim_end());
                terminal.keys(answer);
                terminal.keys(ENTER);
            }
        }
        let waits = |screen: &str| screen.ends_with(QUESTION.trim_end());
        let status = terminal.end_unless(waits);
        let code = status.trim_end_matches(')').rsplit(' ').next();
        self.code = code.and_then(|code| code.parse().ok()).unwrap_or(-1);
        let shown = self.screen(&terminal);
        self.compare(typed.output.clone(), lines, shown);
    }

    /// What is on a screen, with the folder as the reader has it.
    fn screen(&self, terminal: &Terminal) -> Vec<String> {
        let folder = self.seen(self.folder.path()).display().to_string();
        let text = terminal.text().replace(&folder, "");
        let lines = text
            .trim_end()
            .lines()
            .map(|line| line.trim_end().to_owned());
        lines.collect()
    }

    /// Inputs of the program in the other terminal. `started`: the command that has just started it.
    fn inside(&mut self, started: Option<&Typed>, inputs: &[Typed], lines: &[String]) {
        let Some((mut terminal, mut seen)) = self.other.take() else {
            panic!("{}: no program waits for `{}`", self.page, inputs[0].text);
        };
        let waits = |screen: &str, seen: usize| {
            let last = screen.trim_end().lines().last().unwrap_or_default();
            let waiting = last.strip_suffix('>').is_some_and(is_prompt);
            waiting && screen.trim_end().lines().count() > seen
        };
        terminal.await_screen("prompt", |screen| waits(screen, seen));
        if let Some(started) = started {
            // rebar3 begins with a shell that it replaces by another one: what is typed into the first is lost.
            terminal.settle(Duration::from_millis(300));
            let mut shown = self.screen(&terminal);
            shown.pop();
            seen = shown.len();
            self.compare(started.output.clone(), lines, shown);
        }
        for input in inputs {
            let prompt = self.screen(&terminal).pop().unwrap_or_default();
            let at = input.output.start - 1;
            let line = format!("{prompt} {}", input.text);
            self.compare(at..at + 1, lines, vec![line]);
            terminal.keys(&input.text);
            if !terminal.shows_soon(&input.text) {
                terminal.keys(&input.text);
            }
            terminal.keys(ENTER);
            let ends = ["q().", "halt().", "System.halt"];
            if ends.iter().any(|end| input.text.starts_with(end)) {
                terminal.end();
                return;
            }
            terminal.await_screen("prompt", |screen| waits(screen, seen + 1));
            let mut shown = self.screen(&terminal);
            shown.pop();
            let output = shown[seen + 1..].to_vec();
            seen = shown.len();
            self.compare(input.output.clone(), lines, output);
        }
        self.other = Some((terminal, seen));
    }

    /// What the program in the other terminal prints by itself.
    fn more(&mut self, output: Range<usize>, lines: &[String]) {
        let Some((mut terminal, seen)) = self.other.take() else {
            panic!("{}: no program is running that could print this", self.page);
        };
        let page = &lines[output.clone()];
        let bless = std::env::var_os("UPDO_BLESS").is_some();
        let patience = if bless {
            Duration::from_secs(6)
        } else {
            PATIENCE / 2
        };
        let until = Instant::now() + patience;
        let shown = loop {
            terminal.look();
            let shown = self.screen(&terminal);
            let shown = shown[seen.min(shown.len())..].to_vec();
            if same(page, &shown) || Instant::now() > until {
                break shown;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let seen = seen + shown.len();
        self.compare(output, lines, shown);
        self.other = Some((terminal, seen));
    }

    /// Holds what a screen shows against lines of the page.
    fn compare(&mut self, range: Range<usize>, lines: &[String], shown: Vec<String>) {
        let page = &lines[range.clone()];
        // Empty lines at the end of a block are only the page's.
        let end = page
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |at| at + 1);
        let shown: Vec<String> = shown.into_iter().skip_while(String::is_empty).collect();
        let begin = page
            .iter()
            .position(|line| !line.is_empty())
            .unwrap_or(0)
            .min(end);
        if same(&page[begin..end], &shown) {
            if page.iter().all(|line| line.trim() != "…") {
                self.fresh.push((range, shown));
            }
            return;
        }
        let all = |lines: &[String]| normal(&lines.join("\n"));
        self.differences.push(format!(
            "line {}, the page has\n{}\nand the screen\n{}\n",
            range.start + 1,
            all(page),
            all(&shown)
        ));
        self.renewed.push((range, shown));
    }
}
