//! The record of a run: `<state>/runs/<run>/` with the plan as it was, every event, and the way back.
//!
//! | file | what |
//! |---|---|
//! | `meta.json` | node, plan, user, time, how it ended; written beside and renamed |
//! | `events.jsonl` | the stream of events, as `run --json` gives it |
//! | `plan.updo` | the plan's text |
//! | `script.etf` | the steps, and per module the MD5 before and after, for `updo attach` |
//! | `back.etf` | the steps and beams of the way back, in the external term format |
//! | `states.etf` | of a run that ended with new code and could not go back: the processes with a state of the old one |
//!
//! A record that cannot be written never stops a run.

#![expect(
    clippy::disallowed_methods,
    reason = "the records of runs are files of the state folder"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::unchanged_files::UnchangedFiles;
use crate::atomic_file::{self, replace_private};
use crate::diag::safe;
use crate::name::NodeName;
use crate::regular_file;
use crate::term::{Term, etf};

/// The largest file of events that is read.
const MAX_EVENTS: u64 = 256 << 20;

/// The largest other file of a record: a script of some thousand modules has some hundred KiB.
const MAX_FILE: u64 = 64 << 20;

/// The largest summary.
const MAX_META: u64 = 1 << 20;

/// How many runs are kept by default; the oldest go first, those that may still be going on never.
const KEPT: usize = 200;

/// How long a record that has no `meta.json` may be one that is being begun.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);

/// All records of a state folder.
#[derive(Clone, Debug)]
pub struct RunRecords {
    folder: PathBuf,
    /// How many are kept.
    kept: usize,
}

/// What is known of a run from its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRun {
    /// Four hexadecimal digits.
    pub run: String,
    /// The rollout that it is part of, named like a run; `None` when it is a run of its own.
    pub rollout: Option<String>,
    /// The node.
    pub node: NodeName,
    /// The incarnation of the node when the run began: another number after a restart. `None` in records of earlier
    /// versions.
    pub creation: Option<u32>,
    /// The plan's title.
    pub title: String,
    /// The plan's file, absolute.
    pub plan: PathBuf,
    /// `user@host`.
    pub owner: String,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// `new`, `old`, `mixed`, `unknown`; `running` when the record was never finished; `undone` after a rollback.
    pub state: String,
    /// What success makes of the node: `new`, or `old` for a rollback.
    pub goal: String,
    /// What was reported about it when it began (`--message`).
    pub note: Option<String>,
    /// Until when it is not forgotten, in seconds since 1970 (`rollback … #{keep_old => D}`).
    pub keep: u64,
    /// What it was a part of.
    pub part: RunPart,
}

/// What a run was a part of: for what is decided later about all nodes of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunPart {
    /// What the node runs when it went through, by its name in [`versions`](super::versions).
    pub version: Option<String>,
    /// How many nodes, this one among them, have to be new for all of the target to be.
    pub of: Option<usize>,
    /// The target of its plan; empty when the plan has none for the node.
    pub target: String,
    /// Whether the node went first, as a canary of the plan's `rollout`.
    pub canary: bool,
    /// The run or rollout to whose version the node was brought (`updo reconcile`).
    pub to: Option<String>,
}

impl RecordedRun {
    /// The name by which it is undone as a whole: that of its rollout, else its own.
    pub fn name(&self) -> &str {
        self.rollout.as_deref().unwrap_or(&self.run)
    }
}

impl RunRecords {
    /// The records of a state folder; nothing is created before a run begins.
    pub fn new(state: &Path) -> Self {
        Self {
            folder: state.join("runs"),
            kept: KEPT,
        }
    }

    /// The same, with so many kept.
    #[must_use]
    pub fn keeping(self, kept: Option<usize>) -> Self {
        Self {
            kept: kept.unwrap_or(KEPT),
            ..self
        }
    }

    /// Whether a run or a rollout of this name is recorded.
    pub fn has(&self, run: &str) -> bool {
        self.folder.join(run).exists()
            || self
                .all()
                .iter()
                .any(|one| one.rollout.as_deref() == Some(run))
    }

    /// The runs of a rollout, the oldest first; none when there is no such rollout.
    pub fn rollout(&self, rollout: &str) -> Vec<RecordedRun> {
        let mut all = self.all();
        all.retain(|run| run.rollout.as_deref() == Some(rollout));
        all
    }

    /// The runs that have brought nodes to the version of a rollout later, the oldest first.
    pub fn brought_to(&self, rollout: &str) -> Vec<RecordedRun> {
        let mut all = self.all();
        all.retain(|run| run.part.to.as_deref() == Some(rollout));
        all
    }

    /// Begins a record.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn begin(
        &self,
        summary: &RecordedRun,
        plan: &str,
        back: Option<&Term>,
        script: Option<&Term>,
    ) -> io::Result<RunRecord> {
        self.forget(self.kept.saturating_sub(1), summary.rollout.as_deref());
        let folder = self.folder.join(&summary.run);
        atomic_file::private_folders(&self.folder)?;
        // Two that have made up the same name at once: one of them gets it.
        atomic_file::private_folder(&folder)?;
        let moment = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        let begun = begin(folder.clone(), (summary, moment), plan, back, script);
        if begun.is_err() {
            // What cannot be read again must not be there as a run.
            let _ = fs::remove_dir_all(folder);
        }
        begun
    }

    /// Removes the oldest finished runs until so many are left, but none of a rollout that is going on, and none that
    /// `updo reconcile` would bring a node to. What cannot be removed stays.
    fn forget(&self, left: usize, rollout: Option<&str>) {
        let all = self.all();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        let meant = meant(&all);
        let finished = all.iter().filter(|run| {
            (rollout.is_none() || run.rollout.as_deref() != rollout)
                && run.keep <= now
                && !meant.contains(run.name())
                && !matches!(run.state.as_str(), "running" | "unknown")
        });
        for run in finished.take(all.len().saturating_sub(left)) {
            // First what makes it a record: a crash in between leaves a folder that is not listed.
            let folder = self.folder.join(&run.run);
            let _ = fs::remove_file(folder.join("meta.json"));
            let _ = fs::remove_dir_all(folder);
        }
        self.forget_unfinished();
    }

    /// Removes what an updo has left that was killed while it began a record: without `meta.json`, and a day old.
    fn forget_unfinished(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let is_old = |path: &Path| {
            let changed = fs::symlink_metadata(path).and_then(|about| about.modified());
            changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNFINISHED))
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_run = path
                .file_name()
                .and_then(|name| plain(name.to_str()?))
                .is_some();
            if is_run && path.is_dir() && !path.join("meta.json").exists() && is_old(&path) {
                let _ = fs::remove_dir_all(path);
            }
        }
    }

    /// Every run, the oldest first; records that cannot be read are left out.
    pub fn all(&self) -> Vec<RecordedRun> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut all: Vec<(RecordedRun, u64)> = entries
            .filter_map(|entry| read(&entry.ok()?.path()))
            .collect();
        // Names are made by chance, and two runs may well begin in one second.
        all.sort_by(|(a, at), (b, bt)| (a.began, at, &a.run).cmp(&(b.began, bt, &b.run)));
        all.into_iter().map(|(summary, _)| summary).collect()
    }

    /// One run: by its name, or the newest that can be undone on any node.
    pub fn find(&self, run: Option<&str>) -> Option<RecordedRun> {
        match run {
            Some(run) => Some(read(&self.folder.join(plain(run)?))?.0),
            None => self.all().into_iter().rfind(|run| self.is_undoable(run)),
        }
    }

    /// Whether a run has left new code: it went through, or it could not go back and says which states are old.
    pub fn is_undoable(&self, run: &RecordedRun) -> bool {
        run.goal == "new"
            && (run.state == "new" || run.state == "mixed" && self.old_states(&run.run).is_some())
    }

    /// The processes that have kept a state of the old version, by module; `None` where a run says nothing of them.
    pub fn old_states(&self, run: &str) -> Option<Term> {
        self.term(run, "states.etf")
    }

    /// The processes of those whose conversion can be tried again, as the agent has sent them.
    pub fn to_convert(&self, run: &str) -> Option<Term> {
        self.term(run, "convert.etf")
    }

    /// The file with the events of a run.
    pub fn events(&self, run: &str) -> Option<PathBuf> {
        let path = self.folder.join(plain(run)?).join("events.jsonl");
        path.is_file().then_some(path)
    }

    /// The lines of that file.
    pub fn event_lines(&self, run: &str) -> Option<String> {
        regular_file::read_text(&self.events(run)?, MAX_EVENTS).ok()
    }

    /// Goes on with a record: events are appended, and how it ended is reported anew.
    ///
    /// # Errors
    /// When it is not there or cannot be written.
    pub fn resume(&self, summary: &RecordedRun) -> io::Result<RunRecord> {
        let folder = self.folder.join(&summary.run);
        let path = folder.join("events.jsonl");
        let (mut events, mine) = journal(&path)?;
        // A process that was killed while writing has left half a line.
        if mine && !ends_in_a_line(&path)? {
            events.write_all(b"\n")?;
        }
        Ok(RunRecord {
            events,
            moment: read(&folder).map_or(0, |(_, moment)| moment),
            folder,
            summary: summary.clone(),
        })
    }

    /// Whether another updo is writing a record right now: its run is going on, wherever it has come to.
    pub fn is_written(&self, summary: &RecordedRun) -> bool {
        let path = self.folder.join(&summary.run).join("events.jsonl");
        let file = regular_file::append(&path);
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// The way back of a run.
    pub fn rollback_term(&self, run: &str) -> Option<Term> {
        self.term(run, "back.etf")
    }

    /// The steps and modules of a run.
    pub fn script(&self, run: &str) -> Option<Term> {
        self.term(run, "script.etf")
    }

    /// The text of its plan.
    pub fn plan(&self, run: &str) -> Option<String> {
        let path = self.folder.join(plain(run)?).join("plan.updo");
        regular_file::read_text(&path, MAX_FILE).ok()
    }

    fn term(&self, run: &str, name: &str) -> Option<Term> {
        let path = self.folder.join(plain(run)?).join(name);
        let bytes = regular_file::read(&path, MAX_FILE).ok()?;
        etf::decode(&bytes).ok()
    }
}

/// The newest run of each plan whose version is known, and what nodes were brought to since.
fn meant(all: &[RecordedRun]) -> BTreeSet<&str> {
    let mut newest: BTreeMap<&Path, &str> = BTreeMap::new();
    let with_version = all
        .iter()
        .filter(|run| run.goal == "new" && run.state == "new" && run.part.version.is_some());
    let own = with_version.clone().filter(|run| run.part.to.is_none());
    newest.extend(own.map(|run| (run.plan.as_path(), run.name())));
    let to = with_version.filter_map(|run| run.part.to.as_deref());
    newest.into_values().chain(to).collect()
}

/// Writes what a record begins with.
fn begin(
    folder: PathBuf,
    (summary, moment): (&RecordedRun, u64),
    plan: &str,
    back: Option<&Term>,
    script: Option<&Term>,
) -> io::Result<RunRecord> {
    replace_private(&folder.join("plan.updo"), plan.as_bytes())?;
    for (name, term) in [("back.etf", back), ("script.etf", script)] {
        if let Some(term) = term {
            replace_private(&folder.join(name), &etf::encode(term))?;
        }
    }
    let record = RunRecord {
        events: journal(&folder.join("events.jsonl"))?.0,
        folder,
        summary: summary.clone(),
        moment,
    };
    record.meta()?;
    Ok(record)
}

/// A run's name, if it is one: nothing that leads out of the folder.
fn plain(run: &str) -> Option<&str> {
    (!run.is_empty() && run.chars().all(|c| c.is_ascii_alphanumeric())).then_some(run)
}

/// A record being written.
#[derive(Debug)]
pub struct RunRecord {
    folder: PathBuf,
    events: File,
    summary: RecordedRun,
    /// When it began, in nanoseconds since 1970: what order runs of one second have.
    moment: u64,
}

impl RunRecord {
    /// Appends an event.
    pub fn event(&mut self, line: &Value) {
        self.line(&line.to_string());
    }

    /// The same for one that is written out.
    pub fn line(&mut self, line: &str) {
        // In one piece. A full disk must not stop a run that is on its way.
        let _ = self
            .events
            .write_all(safe::json(&format!("{line}\n")).as_bytes());
    }

    /// Says which processes have kept a state of the old version, by module.
    pub fn old_states(&self, kept: Option<&Term>) {
        if let Some(kept) = kept {
            let _ = replace_private(&self.folder.join("states.etf"), &etf::encode(kept));
        }
    }

    /// Says which processes can be converted once more.
    pub fn to_convert(&self, these: Option<&Term>) {
        if let Some(these) = these {
            let _ = replace_private(&self.folder.join("convert.etf"), &etf::encode(these));
        }
    }

    /// Says how it ended.
    pub fn finish(mut self, state: &str) {
        state.clone_into(&mut self.summary.state);
        let _ = self.events.sync_all();
        let _ = self.meta();
    }

    fn meta(&self) -> io::Result<()> {
        let summary = &self.summary;
        let meta = json!({
            "schema": "updo.run/1.0",
            "run": summary.run,
            "rollout": summary.rollout,
            "keep": summary.keep,
            "note": summary.note,
            "node": summary.node.as_str(),
            "creation": summary.creation,
            "title": summary.title,
            "plan": summary.plan.display().to_string(),
            "owner": summary.owner,
            "began": summary.began,
            "moment": self.moment,
            "state": summary.state,
            "goal": summary.goal,
            "version": summary.part.version,
            "of": summary.part.of,
            "target": summary.part.target,
            "canary": summary.part.canary,
            "to": summary.part.to,
        });
        replace_private(
            &self.folder.join("meta.json"),
            safe::json(&format!("{meta:#}\n")).as_bytes(),
        )
    }
}

/// Whether a file is empty, or its last line is whole.
fn ends_in_a_line(path: &Path) -> io::Result<bool> {
    let (mut file, _) = regular_file::open(path)?;
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == [b'\n'])
}

/// The file of events, to be appended to, and whether it is ours: two may watch the same run, and then the first one
/// writes. The other gets a file that forgets.
fn journal(path: &Path) -> io::Result<(File, bool)> {
    let file = atomic_file::append_private(path)?;
    // One of an earlier version may be open to others.
    atomic_file::make_private(&file)?;
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok((file, true)),
        Err(TryLockError::WouldBlock) => {
            Ok((File::options().append(true).open("/dev/null")?, false))
        }
    }
}

/// What is known of a run, and the moment it began; 0 in the records of older versions. A command looks at all records
/// several times for each node.
fn read(folder: &Path) -> Option<(RecordedRun, u64)> {
    static KNOWN: UnchangedFiles<(RecordedRun, u64)> = UnchangedFiles::new();
    KNOWN.read(&folder.join("meta.json"), parse)
}

/// The same, read now.
fn parse(path: &Path) -> Option<(RecordedRun, u64)> {
    let text = regular_file::read_text(path, MAX_META).ok()?;
    let meta: Value = serde_json::from_str(&text).ok()?;
    let field = |name: &str| Some(meta.get(name)?.as_str()?.to_owned());
    let moment = meta.get("moment").and_then(Value::as_u64).unwrap_or(0);
    let summary = RecordedRun {
        run: field("run")?,
        rollout: field("rollout"),
        note: field("note"),
        keep: meta.get("keep").and_then(Value::as_u64).unwrap_or(0),
        node: NodeName::new(field("node")?),
        creation: meta
            .get("creation")
            .and_then(Value::as_u64)
            .and_then(|creation| u32::try_from(creation).ok()),
        title: field("title")?,
        plan: PathBuf::from(field("plan")?),
        owner: field("owner")?,
        began: meta.get("began")?.as_u64()?,
        state: field("state")?,
        goal: field("goal").unwrap_or_else(|| "new".to_owned()),
        part: RunPart {
            version: field("version"),
            of: meta
                .get("of")
                .and_then(Value::as_u64)
                .and_then(|of| usize::try_from(of).ok()),
            target: field("target").unwrap_or_default(),
            canary: meta.get("canary").and_then(Value::as_bool).unwrap_or(false),
            to: field("to"),
        },
    };
    Some((summary, moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(run: &str, began: u64) -> RecordedRun {
        RecordedRun {
            run: run.to_owned(),
            rollout: None,
            node: NodeName::new("shop@localhost"),
            creation: Some(7),
            title: "Taxes".to_owned(),
            plan: PathBuf::from("/plans/shop.updo"),
            owner: "anna@ops1".to_owned(),
            began,
            state: "running".to_owned(),
            goal: "new".to_owned(),
            note: None,
            keep: 0,
            part: RunPart {
                version: Some("5f".to_owned()),
                of: Some(3),
                target: "shop".to_owned(),
                canary: true,
                to: None,
            },
        }
    }

    #[test]
    fn the_oldest_finished_runs_are_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = RunRecords::new(folder.path());
        for number in 0..6_u64 {
            let summary = begun(&format!("000{number}"), number);
            let record = records.begin(&summary, "", None, None).expect("can write");
            if number != 1 {
                record.finish("new");
            }
        }
        records.forget(3, None);
        let left: Vec<String> = records.all().into_iter().map(|s| s.run).collect();
        assert_eq!(left, ["0001", "0004", "0005"]);
        assert!(!folder.path().join("runs/0000").exists());
    }

    /// Many nodes that come later do not push out what they are brought to.
    #[test]
    fn what_nodes_are_brought_to_is_not_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = RunRecords::new(folder.path());
        let mut all = vec![begun("aaaa", 0), begun("bbbb", 1), begun("cccc", 2)];
        // Of another plan, never used again.
        all[0].plan = PathBuf::from("/plans/other.updo");
        all[0].part.version = None;
        for number in 0..4_u64 {
            let mut later = begun(&format!("000{number}"), 3 + number);
            later.part.to = Some("bbbb".to_owned());
            all.push(later);
        }
        for run in &all {
            let record = records.begin(run, "", None, None).expect("can write");
            record.finish("new");
        }
        records.forget(1, None);
        let left: Vec<String> = records.all().into_iter().map(|s| s.run).collect();
        assert_eq!(
            left,
            ["bbbb", "cccc"],
            "those meant by name, and the newest of the plan"
        );
    }

    /// Their names say nothing: the newest is the one that began last, also after it was finished later than another.
    #[test]
    fn what_a_killed_updo_began_goes_after_a_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = RunRecords::new(folder.path());
        let (fresh, old) = (records.folder.join("00aa"), records.folder.join("00bb"));
        for path in [&fresh, &old] {
            fs::create_dir_all(path).expect("a folder");
        }
        let yesterday = SystemTime::now() - 2 * UNFINISHED;
        let opened = File::open(&old).expect("a folder");
        opened.set_modified(yesterday).expect("a time");
        records.forget(KEPT, None);
        assert!(fresh.exists() && !old.exists());
    }

    #[test]
    fn runs_of_one_second_keep_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = RunRecords::new(folder.path());
        let names = ["7f2a", "00ff", "c0de", "beef"];
        let mut all = Vec::new();
        for run in names {
            let summary = begun(run, 7);
            all.push(records.begin(&summary, "", None, None).expect("can write"));
        }
        for record in all.into_iter().rev() {
            record.finish("unknown");
        }
        let first = records.find(Some("7f2a")).expect("it is recorded");
        records.resume(&first).expect("can write").finish("new");
        let found: Vec<String> = records.all().into_iter().map(|s| s.run).collect();
        assert_eq!(found, names);
    }

    #[test]
    fn a_torn_line_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = RunRecords::new(folder.path());
        let summary = begun("7f2a", 1);
        let mut record = records.begin(&summary, "", None, None).expect("can write");
        record.event(&json!({ "seq": 1 }));
        let path = folder.path().join("runs/7f2a/events.jsonl");
        let mut text = fs::read_to_string(&path).expect("it is there");
        text.push_str("{\"seq\":");
        fs::write(&path, text).expect("can write");
        // As long as the first writes, the second must not.
        let mut second = records.resume(&summary).expect("it is there");
        second.event(&json!({ "seq": 2 }));
        drop((record, second));
        let mut record = records.resume(&summary).expect("it is there");
        record.event(&json!({ "seq": 2 }));
        let text = fs::read_to_string(&path).expect("it is there");
        assert_eq!(text, "{\"seq\":1}\n{\"seq\":\n{\"seq\":2}\n");
    }

    #[test]
    fn a_record_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = RunRecords::new(folder.path());
        assert_eq!(records.all(), []);
        let summary = begun("7f2a", 1);
        let back = Term::tuple([Term::atom("back"), Term::Int(1)]);
        let mut record = records
            .begin(&summary, "plan \"x\".\n", Some(&back), None)
            .expect("can write");
        record.event(&json!({ "type": "stream" }));
        assert_eq!(
            records.find(Some("7f2a")).map(|s| s.state),
            Some("running".to_owned())
        );
        assert_eq!(records.all(), [summary]);
        assert_eq!(records.find(None), None);
        record.finish("new");
        assert_eq!(records.find(None).map(|s| s.run), Some("7f2a".to_owned()));
        assert_eq!(records.rollback_term("7f2a"), Some(back));
        assert_eq!(records.find(Some("../7f2a")), None);
        assert_eq!(records.rollback_term("../../etc"), None);
    }
}
