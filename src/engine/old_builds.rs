//! `old from git`: the beams of the running version, built anew from the revision that it was built from.
//!
//! The revision gets a worktree of its own in a temporary folder, the build command runs in it, and all beams that
//! appear there are kept in the store of copies, by MD5: whether they are what runs decides the comparison, as for every
//! copy. What a build has given is remembered by commit and command, so that it is built once. The worktree is removed
//! in every case, also when this process is killed: a shell waits for that ([`JANITOR`]). Nothing is built for a node of
//! which there are copies of everything.

#![expect(
    clippy::disallowed_methods,
    reason = "the build command of a plan runs in a worktree, and what it gave is kept in the state folder"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use md5::Digest;

use super::Settings;
use crate::atomic_file;
use crate::diag::{Code, Diagnostic, Result};
use crate::facts::change::ChangeSet;
use crate::facts::local::files;
use crate::name::{Md5, Module};
use crate::plan::GitBuild;
use crate::state::beams::{Store, hex};

/// How often is looked whether a build has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Beams of a build that are looked at; more than any project has.
const MOST_BEAMS: usize = 50_000;

/// Lines of a build's output that a diagnostic shows.
const LINES: usize = 20;

/// How many modules a diagnostic names.
const NAMED: usize = 8;

/// Waits until nothing holds its standard input any more. Should the worktree still be there then, this process was killed:
/// it ends the build, whose group it has read, and removes what is left.
const JANITOR: &str = r#"group=
while read -r line; do group=$line; done
[ -d "$1" ] || exit 0
[ -z "$group" ] || kill -s KILL -- "-$group"
git -C "$2" worktree remove --force --force "$1" || rm -rf "$1"
git -C "$2" worktree prune
rmdir "${1%/*}""#;

/// Variables that tell git where its repository is: those of a hook in which updo may run are about another one.
const FOREIGN: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_COMMON_DIR",
];

/// What a build has given, by module; a module may be in it more than once (`_build/test`).
type Built = BTreeMap<Module, Vec<Md5>>;

/// The running versions of which there is no copy.
pub(super) fn lacking(changes: &ChangeSet) -> BTreeMap<Module, Md5> {
    let lacking = changes.modules.iter().filter_map(|(module, changed)| {
        let running = changed.loaded.as_ref().filter(|_| changed.old.is_none())?;
        Some((module.clone(), running.md5))
    });
    lacking.collect()
}

/// Builds what gives copies of running versions, as far as they are lacking; they are in the store then. Gives a warning
/// for each source that has other versions (W641).
///
/// # Errors
/// E805 when a revision cannot be had, E806 when its build fails.
pub(super) fn build(
    sources: &[GitBuild],
    settings: &Settings,
    store: &Store,
    otp: u32,
    lacking: &mut BTreeMap<Module, Md5>,
) -> Result<Vec<Diagnostic>> {
    // Several nodes are prepared at a time, and want the same.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut warnings = Vec::new();
    for source in sources {
        if lacking.is_empty() {
            break;
        }
        let source = Source::find(source)?;
        let known = source.known(settings, otp);
        // A copy that the store has dropped since is built again.
        let is_whole = |built: &Built| {
            lacking.iter().all(|(module, md5)| {
                let gives = built.get(module).is_some_and(|all| all.contains(md5));
                !gives || store.want(md5)
            })
        };
        let built = match known.filter(is_whole) {
            Some(built) => built,
            None if settings.no_builds => continue,
            None => source.built(settings, store, otp)?,
        };
        lacking.retain(|module, md5| !built.get(module).is_some_and(|all| all.contains(md5)));
        warnings.extend(source.other_versions(&built, lacking));
    }
    Ok(warnings)
}

/// A source whose commit is known.
struct Source<'a> {
    what: &'a GitBuild,
    /// The repository, and the plan's folder in it.
    top: PathBuf,
    inside: String,
    commit: String,
}

impl<'a> Source<'a> {
    fn find(what: &'a GitBuild) -> Result<Self> {
        let base = match what.base.as_os_str().is_empty() {
            true => Path::new("."),
            false => &what.base,
        };
        let unusable = |why: String| {
            let title = format!("the revision `{}` cannot be had from git", what.revision);
            let diagnostic = Diagnostic::new(Code::E805, title).label(what.span, "this revision");
            let folder = fs::canonicalize(base).unwrap_or_else(|_| base.to_owned());
            Box::new(
                diagnostic
                    .note(why)
                    .note(format!("in {}", folder.display())),
            )
        };
        let ask = |args: &[&str]| -> Result<String> {
            let output = git(base).args(args).output();
            let output = output.map_err(|why| unusable(format!("git: {why}")))?;
            match output.status.success() {
                true => Ok(String::from_utf8_lossy(&output.stdout)
                    .trim_end()
                    .to_owned()),
                false => Err(unusable(said(&output))),
            }
        };
        let places = ask(&["rev-parse", "--show-toplevel", "--show-prefix"])?;
        let (top, inside) = places.split_once('\n').unwrap_or((&places, ""));
        let commit = format!("{}^{{commit}}", what.revision);
        let commit = ask(&["rev-parse", "--verify", "--end-of-options", &commit])?;
        Ok(Self {
            what,
            top: PathBuf::from(top),
            inside: inside.to_owned(),
            commit,
        })
    }

    fn short(&self) -> &str {
        self.commit.get(..10).unwrap_or(&self.commit)
    }

    /// The file that says what the build has given to nodes of an OTP release, whose digests differ.
    fn index(&self, settings: &Settings, otp: u32) -> PathBuf {
        let key = format!(
            "{}\n{}\n{}\n{otp}",
            self.commit, self.inside, self.what.build
        );
        let name = hex(&md5::Md5::digest(key.as_bytes()));
        settings.state_dir.join("builds").join(name)
    }

    /// What it gave when it was built before.
    fn known(&self, settings: &Settings, otp: u32) -> Option<Built> {
        let text = fs::read_to_string(self.index(settings, otp)).ok()?;
        let mut built = Built::new();
        for line in text.lines() {
            let (md5, module) = line.split_once(' ')?;
            let md5 = digest(md5)?;
            built.entry(Module::new(module)).or_default().push(md5);
        }
        Some(built)
    }

    /// Builds it, and keeps what it gives.
    fn built(&self, settings: &Settings, store: &Store, otp: u32) -> Result<Built> {
        let line = format!(
            "building {} ({}) for copies of the running version: {}",
            self.what.revision,
            self.short(),
            self.what.build
        );
        if let Some(announce) = settings.announce {
            announce(&line);
        }
        let mut tree = Worktree::add(self)?;
        self.run(&mut tree, settings)?;
        let (mut built, mut index) = (Built::new(), String::new());
        for path in beams_below(&tree.path()) {
            let Ok(beam) = files::read_beam_file(&path) else {
                continue;
            };
            let facts = beam.facts.on(otp);
            // A store that cannot be written has no copies: said where they lack.
            let _ = store.put(&facts.md5, &beam.bytes);
            index += &format!("{} {}\n", facts.md5, facts.module.as_str());
            built.entry(facts.module).or_default().push(facts.md5);
        }
        let file = self.index(settings, otp);
        // Without it the revision is built again the next time.
        let _ = file
            .parent()
            .map_or(Ok(()), atomic_file::private_folders)
            .and_then(|()| atomic_file::replace_private(&file, index.as_bytes()));
        Ok(built)
    }

    /// Runs the command; all of its processes end with it.
    fn run(&self, tree: &mut Worktree<'_>, settings: &Settings) -> Result<()> {
        let failed = |title: &str| {
            let title = format!("the build of `{}` {title}", self.what.revision);
            let label = format!("`{}`, in a worktree of {}", self.what.build, self.short());
            Diagnostic::new(Code::E806, title).label(self.what.span, label)
        };
        let cannot = |why: std::io::Error| Box::new(failed("cannot begin").note(why.to_string()));
        // A file, not a pipe: what it starts in the background may keep that open.
        let mut log = tempfile::tempfile().map_err(cannot)?;
        let mut command = Command::new("sh");
        for variable in FOREIGN {
            command.env_remove(variable);
        }
        let child = command
            .args(["-c", &self.what.build])
            .current_dir(tree.path().join(&self.inside))
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(cannot)?)
            .stderr(log.try_clone().map_err(cannot)?)
            .process_group(0)
            .spawn();
        let mut build = Build(child.map_err(cannot)?);
        tree.entrust(build.0.id());
        let began = Instant::now();
        let ended: std::result::Result<ExitStatus, &str> = loop {
            if let Some(status) = build.0.try_wait().map_err(cannot)? {
                break Ok(status);
            }
            if began.elapsed() >= self.what.within {
                break Err("took too long");
            }
            if settings.interrupt.sleep(LOOK, 1) {
                break Err("was interrupted");
            }
        };
        drop(build);
        let diagnostic = match ended {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => failed("failed").note(status.to_string()),
            Err(title) => {
                let within = humantime::format_duration(self.what.within);
                failed(title)
                    .note(format!("it may take {within}"))
                    .help("`within => 30m` gives it more time")
            }
        };
        let lines = last_lines(&mut log);
        let diagnostic = lines.into_iter().fold(diagnostic, Diagnostic::note);
        Err(Box::new(diagnostic.note("nothing was changed")))
    }

    /// W641: what runs was built from something else.
    fn other_versions(&self, built: &Built, lacking: &BTreeMap<Module, Md5>) -> Option<Diagnostic> {
        if lacking.is_empty() {
            return None;
        }
        let title = format!(
            "the build of `{}` has no copy of what runs of {}",
            self.what.revision,
            match lacking.len() {
                1 => "1 module".to_owned(),
                many => format!("{many} modules"),
            }
        );
        let mut diagnostic = Diagnostic::new(Code::W641, title).label(self.what.span, self.short());
        for (module, running) in lacking.iter().take(NAMED) {
            let why = match built.get(module).and_then(|all| all.first()) {
                Some(other) => format!(
                    "`{module}`: {} runs, the build gives {}",
                    running.short(),
                    other.short()
                ),
                None => format!("`{module}`: the build gives no such module"),
            };
            diagnostic = diagnostic.note(why);
        }
        if lacking.len() > NAMED {
            diagnostic = diagnostic.note(format!("and {} more", lacking.len() - NAMED));
        }
        Some(diagnostic.help(
            "name the revision that runs, and build it as that was built: the same OTP and Elixir, the same profile",
        ))
    }
}

/// An MD5 as it is printed.
fn digest(text: &str) -> Option<Md5> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    Md5::from_bytes(&bytes?)
}

/// git in a folder.
fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    for variable in FOREIGN {
        git.env_remove(variable);
    }
    // Hooks of the repository are not what was asked for.
    git.arg("-C")
        .arg(folder)
        .args(["-c", "core.hooksPath=/dev/null"]);
    git.stdin(Stdio::null());
    git
}

/// What a program said of its failure.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    let text = text.strip_prefix("fatal: ").unwrap_or(text);
    match text.is_empty() {
        true => output.status.to_string(),
        false => text.chars().take(500).collect(),
    }
}

/// A worktree in a temporary folder; it goes when this is dropped.
struct Worktree<'a> {
    source: &'a Source<'a>,
    folder: tempfile::TempDir,
    janitor: Option<Child>,
}

impl<'a> Worktree<'a> {
    fn add(source: &'a Source<'a>) -> Result<Self> {
        let failed = |why: String| {
            let title = format!("no worktree of `{}` can be made", source.what.revision);
            let diagnostic = Diagnostic::new(Code::E805, title);
            Box::new(
                diagnostic
                    .label(source.what.span, "this revision")
                    .note(why),
            )
        };
        let folder = tempfile::Builder::new().prefix("updo-old-").tempdir();
        let folder = folder.map_err(|why| failed(why.to_string()))?;
        let mut tree = Self {
            source,
            folder,
            janitor: None,
        };
        let mut janitor = Command::new("sh");
        for variable in FOREIGN {
            janitor.env_remove(variable);
        }
        // Without it only a killed process leaves something.
        tree.janitor = janitor
            .args(["-c", JANITOR, "sh"])
            .args([tree.path(), source.top.clone()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .ok();
        let output = git(&source.top)
            .args(["worktree", "add", "--detach", "--force", "--quiet"])
            .arg(tree.path())
            .arg(&source.commit)
            .output();
        match output {
            Ok(output) if output.status.success() => Ok(tree),
            Ok(output) => Err(failed(said(&output))),
            Err(why) => Err(failed(why.to_string())),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Says which processes end with this one.
    fn entrust(&mut self, group: u32) {
        let input = self
            .janitor
            .as_mut()
            .and_then(|janitor| janitor.stdin.as_mut());
        if let Some(input) = input {
            let _ = writeln!(input, "{group}");
        }
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        let top = &self.source.top;
        let removed = git(top)
            .args(["worktree", "remove", "--force", "--force"])
            .arg(self.path())
            .output();
        if !removed.is_ok_and(|removed| removed.status.success()) {
            // The repository forgets it when its folder is gone.
            let _ = fs::remove_dir_all(self.path());
            let _ = git(top).args(["worktree", "prune"]).output();
        }
        if let Some(mut janitor) = self.janitor.take() {
            drop(janitor.stdin.take());
            let _ = janitor.wait();
        }
    }
}

/// A running build and what it has started; killed when this is dropped.
struct Build(Child);

impl Drop for Build {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id())
            && let Some(group) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// The last lines that a build has written.
fn last_lines(log: &mut fs::File) -> Vec<String> {
    const TAIL: u64 = 16 * 1024;
    let mut bytes = Vec::new();
    let length = log.metadata().map_or(0, |known| known.len());
    let read = log
        .seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .and_then(|_| log.take(TAIL).read_to_end(&mut bytes));
    if read.is_err() {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let is_shown = |c: &char| !c.is_control() || *c == '\t';
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines: Vec<String> = lines
        .map(|line| {
            without_colours(line)
                .chars()
                .filter(is_shown)
                .take(300)
                .collect()
        })
        .collect();
    lines[lines.len().saturating_sub(LINES)..].to_vec()
}

/// A line without the sequences that colour it.
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic());
        plain += end.and_then(|end| part.get(end + 1..)).unwrap_or_default();
    }
    plain
}

/// All beams below a folder; links are not followed.
fn beams_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && entry.file_name() != ".git" => folders.push(path),
                Ok(kind) if kind.is_file() && path.extension().is_some_and(|end| end == "beam") => {
                    found.push(path);
                }
                _ => {}
            }
            if found.len() >= MOST_BEAMS {
                return found;
            }
        }
    }
    found.sort();
    found
}
