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

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use md5::Digest;

use super::Settings;
use super::command::{self, BoundedCommand, CommandEnd, without_cookies};
use crate::atomic_file;
use crate::diag::{Code, Diagnostic, Result};
use crate::facts::change::ChangeSet;
use crate::facts::local::files;
use crate::name::{Md5, Module, NodeName};
use crate::plan::{GitBuild, Plan};
use crate::regular_file;
use crate::state::beams::{Store, hex};

/// The largest list of what a build gave.
const MAX_INDEX: u64 = 16 << 20;

/// How long git may take to make a worktree: with a partial clone it fetches what it lacks.
const CHECKOUT: Duration = Duration::from_secs(300);

/// Beams of a build that are looked at; more than any project has.
const MOST_BEAMS: usize = 50_000;

/// How many beams are read before their copies are written, at the same time.
const AT_ONCE: usize = 256;

/// How many modules a diagnostic names.
const NAMED: usize = 8;

/// Waits until nothing holds its standard input any more. Should the worktree still be there then, this process was killed:
/// it ends the build, whose group it has read, and removes what is left.
const JANITOR: &str = r#"group=
while read -r line; do group=$line; done
[ -z "$group" ] || kill -s KILL -- "-$group"
[ -d "$1" ] || { rmdir "${1%/*}"; exit 0; }
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

/// What a build is for.
pub(super) struct Workshop<'a> {
    /// Where the sources are, and what must not reach a command.
    pub plan: &'a Plan,
    /// Where what was built is remembered.
    pub settings: &'a Settings,
    /// Where copies are kept.
    pub store: &'a Store,
    /// What has failed before.
    pub failed: &'a FailedBuilds,
    /// The node that it is for.
    pub node: &'a NodeName,
    /// The release of the node, by which digests differ.
    pub otp: u32,
}

/// Builds that have failed since the plan was opened: other nodes of a rollout need not wait for the same. A node that
/// asks again (`watch`, `:refresh`) has it tried anew: what was wrong with the network may be over.
#[derive(Debug, Default)]
pub(super) struct FailedBuilds(Mutex<BTreeMap<FailedBuild, (Diagnostic, BTreeSet<NodeName>)>>);

/// The file that would remember what the build gives, and how long it might take.
type FailedBuild = (PathBuf, Duration);

impl FailedBuilds {
    fn all(&self) -> MutexGuard<'_, BTreeMap<FailedBuild, (Diagnostic, BTreeSet<NodeName>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What another node was refused.
    fn before(&self, build: &FailedBuild, node: &NodeName) -> Option<Diagnostic> {
        let mut all = self.all();
        let (why, nodes) = all.get_mut(build)?;
        if nodes.insert(node.clone()) {
            return Some(why.clone());
        }
        all.remove(build);
        None
    }

    fn keep(&self, build: FailedBuild, node: &NodeName, why: &Diagnostic) {
        let nodes = BTreeSet::from([node.clone()]);
        self.all().insert(build, (why.clone(), nodes));
    }
}

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
    workshop: &Workshop<'_>,
    lacking: &mut BTreeMap<Module, Md5>,
) -> Result<Vec<Diagnostic>> {
    // Several nodes are prepared at a time, and want the same.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut warnings = Vec::new();
    for source in &workshop.plan.old_git {
        if lacking.is_empty() {
            break;
        }
        let source = Source::find(source, workshop.plan)?;
        let known = source.known(workshop);
        // A copy that the store has dropped since is built again.
        let is_whole = |built: &Built| {
            lacking.iter().all(|(module, md5)| {
                let gives = built.get(module).is_some_and(|all| all.contains(md5));
                !gives || workshop.store.want(md5)
            })
        };
        let built = match known.filter(is_whole) {
            Some(built) => built,
            None if workshop.settings.no_builds => continue,
            None => source.built_once(workshop)?,
        };
        lacking.retain(|module, md5| !built.get(module).is_some_and(|all| all.contains(md5)));
        let remembered = source.index(workshop);
        warnings.extend(source.other_versions(&built, lacking, &remembered));
    }
    // What one source does not have another may.
    if lacking.is_empty() {
        warnings.clear();
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
    fn find(what: &'a GitBuild, plan: &Plan) -> Result<Self> {
        let base = match what.base.as_os_str().is_empty() {
            true => Path::new("."),
            false => &what.base,
        };
        let unusable = |why: String| {
            let title = format!("the revision `{}` cannot be had from git", what.revision);
            let diagnostic = Diagnostic::new(Code::E805, title).label(what.span, "this revision");
            let folder = fs::canonicalize(base).unwrap_or_else(|_| base.to_owned());
            let look = format!("git -C {} rev-parse '{}'", folder.display(), what.revision);
            Box::new(
                diagnostic
                    .note(why)
                    .help(format!("look what git says: {look}")),
            )
        };
        let ask = |args: &[&str]| -> Result<String> {
            let output = git(base, plan).args(args).output();
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
    fn index(&self, workshop: &Workshop<'_>) -> PathBuf {
        let key = format!(
            "{}\n{}\n{}\n{}",
            self.commit, self.inside, self.what.build, workshop.otp
        );
        let name = hex(&md5::Md5::digest(key.as_bytes()));
        workshop.settings.state_dir.join("builds").join(name)
    }

    /// What it gave when it was built before.
    fn known(&self, workshop: &Workshop<'_>) -> Option<Built> {
        let text = regular_file::read_text(&self.index(workshop), MAX_INDEX).ok()?;
        let mut built = Built::new();
        for line in text.lines() {
            let (md5, module) = line.split_once(' ')?;
            let md5 = digest(md5)?;
            built.entry(Module::new(module)).or_default().push(md5);
        }
        Some(built)
    }

    /// Builds it, unless that has failed for another node.
    fn built_once(&self, workshop: &Workshop<'_>) -> Result<Built> {
        let build = (self.index(workshop), self.what.within);
        if let Some(before) = workshop.failed.before(&build, workshop.node) {
            return Err(Box::new(before));
        }
        let built = self.built(workshop);
        if let Err(why) = &built
            && workshop.settings.interrupt.count() == 0
        {
            workshop.failed.keep(build, workshop.node, why);
        }
        built
    }

    /// Builds it, and keeps what it gives.
    fn built(&self, workshop: &Workshop<'_>) -> Result<Built> {
        let line = format!(
            "building {} ({}) for copies of the running version: {}",
            self.what.revision,
            self.short(),
            self.what.build
        );
        if let Some(announce) = workshop.settings.announce {
            announce(&line);
        }
        let mut tree = Worktree::add(self, workshop)?;
        self.run(&mut tree, workshop)?;
        let (mut built, mut index) = (Built::new(), String::new());
        for some in beams_below(&tree.path()).chunks(AT_ONCE) {
            let beams = some.iter().filter_map(|path| {
                let beam = files::read_beam_file(path).ok()?;
                Some((beam.facts.on(workshop.otp), beam.bytes))
            });
            let beams: Vec<_> = beams.collect();
            let copies = beams.iter().map(|(facts, bytes)| (facts.md5, &bytes[..]));
            // A store that cannot be written has no copies: said where they lack.
            let _ = workshop.store.put_missing(&copies.collect());
            for (facts, _) in beams {
                index += &format!("{} {}\n", facts.md5, facts.module.as_str());
                built.entry(facts.module).or_default().push(facts.md5);
            }
        }
        let file = self.index(workshop);
        // Without it the revision is built again the next time.
        let _ = file
            .parent()
            .map_or(Ok(()), atomic_file::private_folders)
            .and_then(|()| atomic_file::replace_private(&file, index.as_bytes()));
        Ok(built)
    }

    /// Runs the command; all of its processes end with it.
    fn run(&self, tree: &mut Worktree<'_>, workshop: &Workshop<'_>) -> Result<()> {
        let what = BoundedCommand {
            text: &self.what.build,
            folder: tree.path().join(&self.inside),
            within: self.what.within,
            id: format!("build-{}-{}", self.short(), std::process::id()),
            variables: Vec::new(),
            without: &FOREIGN,
        };
        let interrupt = &workshop.settings.interrupt;
        let mut begun = |group| tree.entrust(Some(group));
        let run = command::run(&what, workshop.plan, interrupt, 0, &mut begun);
        tree.entrust(None);
        let (title, help) = match &run.end {
            CommandEnd::Exit(0) => return Ok(()),
            CommandEnd::Exit(_) | CommandEnd::Signal(_) => ("failed", None),
            CommandEnd::TooLong => ("took too long", Some("`within => 30m` gives it more time")),
            CommandEnd::Stopped => ("was interrupted", None),
            CommandEnd::NotStarted(_) => ("cannot begin", None),
        };
        let title = format!("the build of `{}` {title}", self.what.revision);
        let label = format!("`{}`, in a worktree of {}", self.what.build, self.short());
        let mut diagnostic = Diagnostic::new(Code::E806, title)
            .label(self.what.span, label)
            .note(run.why(self.what.within));
        diagnostic.help = help.map(str::to_owned);
        diagnostic.notes.extend(run.left_in_words());
        let diagnostic = run.lines.into_iter().fold(diagnostic, Diagnostic::note);
        Err(Box::new(diagnostic.note("nothing was changed")))
    }

    /// W641: what runs was built from something else.
    fn other_versions(
        &self,
        built: &Built,
        lacking: &BTreeMap<Module, Md5>,
        remembered: &Path,
    ) -> Option<Diagnostic> {
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
        // Built with another OTP or Elixir, the same revision gives something else.
        diagnostic = diagnostic.note(format!(
            "to build it once more, remove {}",
            remembered.display()
        ));
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

/// git in a folder. It asks for no password: nothing would answer.
fn git(folder: &Path, plan: &Plan) -> Command {
    let mut git = Command::new("git");
    for variable in FOREIGN {
        git.env_remove(variable);
    }
    without_cookies(&mut git, plan);
    git.env("GIT_TERMINAL_PROMPT", "0");
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
    plan: &'a Plan,
    folder: tempfile::TempDir,
    janitor: Option<Child>,
}

impl<'a> Worktree<'a> {
    fn add(source: &'a Source<'a>, workshop: &Workshop<'a>) -> Result<Self> {
        let failed = |why: String| {
            let title = format!("no worktree of `{}` can be made", source.what.revision);
            let diagnostic = Diagnostic::new(Code::E805, title);
            let look = format!("git -C {} worktree list", source.top.display());
            Box::new(
                diagnostic
                    .label(source.what.span, "this revision")
                    .note(why)
                    .help(format!("look what git says: {look}")),
            )
        };
        let folder = tempfile::Builder::new().prefix("updo-old-").tempdir();
        let folder = folder.map_err(|why| failed(why.to_string()))?;
        let mut tree = Self {
            source,
            plan: workshop.plan,
            folder,
            janitor: None,
        };
        let mut janitor = Command::new("sh");
        for variable in FOREIGN {
            janitor.env_remove(variable);
        }
        without_cookies(&mut janitor, workshop.plan);
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
        let (top, path) = (tree.source.top.clone(), tree.path());
        let text = "exec git -C \"$UPDO_TOP\" -c core.hooksPath=/dev/null worktree add --detach --force --quiet \
                    \"$UPDO_TREE\" \"$UPDO_COMMIT\"";
        let what = BoundedCommand {
            text,
            folder: top.clone(),
            within: CHECKOUT,
            id: format!("checkout-{}-{}", source.short(), std::process::id()),
            variables: vec![
                ("UPDO_TOP", top.display().to_string()),
                ("UPDO_TREE", path.display().to_string()),
                ("UPDO_COMMIT", source.commit.clone()),
                ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            ],
            without: &FOREIGN,
        };
        let interrupt = &workshop.settings.interrupt;
        let mut begun = |group| tree.entrust(Some(group));
        let run = command::run(&what, workshop.plan, interrupt, 0, &mut begun);
        tree.entrust(None);
        if run.exit() == Some(0) {
            return Ok(tree);
        }
        let said = run.lines.join(" ");
        let said = said.strip_prefix("fatal: ").unwrap_or(&said);
        let mut diagnostic = failed(run.why(CHECKOUT));
        diagnostic.notes.extend(run.left_in_words());
        if !said.is_empty() {
            diagnostic.notes.push(said.to_owned());
        }
        Err(diagnostic)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// Says which processes end with this one; `None`: those have ended.
    fn entrust(&mut self, group: Option<u32>) {
        let input = self
            .janitor
            .as_mut()
            .and_then(|janitor| janitor.stdin.as_mut());
        if let Some(input) = input {
            let _ = match group {
                Some(group) => writeln!(input, "{group}"),
                None => writeln!(input),
            };
        }
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        let top = &self.source.top;
        let removed = git(top, self.plan)
            .args(["worktree", "remove", "--force", "--force"])
            .arg(self.path())
            .output();
        if !removed.is_ok_and(|removed| removed.status.success()) {
            // The repository forgets it when its folder is gone.
            let _ = fs::remove_dir_all(self.path());
            let _ = git(top, self.plan).args(["worktree", "prune"]).output();
        }
        if let Some(mut janitor) = self.janitor.take() {
            drop(janitor.stdin.take());
            let _ = janitor.wait();
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_is_not_tried_for_other_nodes_and_is_for_one_that_asks_again() {
        let failed = FailedBuilds::default();
        let build = |within| (PathBuf::from("index"), Duration::from_secs(within));
        let (one, two) = (NodeName::new("one@host"), NodeName::new("two@host"));
        let why = Diagnostic::new(Code::E806, "it failed");
        assert_eq!(failed.before(&build(1), &one), None);
        failed.keep(build(1), &one, &why);
        assert_eq!(failed.before(&build(1), &two), Some(why.clone()));
        assert_eq!(failed.before(&build(2), &two), None, "it may take longer");
        assert_eq!(failed.before(&build(1), &two), None, "it asks again");
        failed.keep(build(1), &two, &why);
        assert_eq!(failed.before(&build(1), &one), Some(why));
    }
}
