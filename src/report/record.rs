//! The record of a run: `<state>/runs/<run>/` with the plan as it was, every event, and the way back.
//!
//! | file | what |
//! |---|---|
//! | `meta.json` | node, plan, who, when, how it ended; written beside and renamed |
//! | `events.jsonl` | the stream of events, as `run --json` gives it |
//! | `plan.updo` | the plan's text |
//! | `back.etf` | the steps and beams of the way back, in the external term format |
//!
//! The only place of this stage that writes files. A record that cannot be written never stops a run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::name::NodeName;
use crate::term::{Term, etf};

/// All records of a state folder.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

/// What is known of a run from its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Four hexadecimal digits.
    pub run: String,
    /// The node.
    pub node: NodeName,
    /// The plan's title.
    pub title: String,
    /// The plan's file, absolute.
    pub plan: PathBuf,
    /// `user@host`.
    pub owner: String,
    /// When it began, in seconds since 1970.
    pub began: u64,
    /// `new`, `old`, `mixed`, `unknown`; `running` when the record was never finished.
    pub state: String,
}

impl Records {
    /// The records of a state folder; nothing is created before a run begins.
    pub fn new(state: &Path) -> Self {
        Self {
            folder: state.join("runs"),
        }
    }

    /// Whether a run of this name is recorded.
    pub fn has(&self, run: &str) -> bool {
        self.folder.join(run).exists()
    }

    /// Begins a record.
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn begin(&self, summary: &Summary, plan: &str, back: Option<&Term>) -> io::Result<Record> {
        let folder = self.folder.join(&summary.run);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("plan.updo"), plan)?;
        if let Some(back) = back {
            replace(&folder.join("back.etf"), &etf::encode(back))?;
        }
        let record = Record {
            events: File::create(folder.join("events.jsonl"))?,
            folder,
            summary: summary.clone(),
        };
        record.meta()?;
        Ok(record)
    }

    /// Every run, the oldest first; records that cannot be read are left out.
    pub fn all(&self) -> Vec<Summary> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut all: Vec<Summary> = entries
            .filter_map(|entry| read(&entry.ok()?.path()))
            .collect();
        all.sort_by(|a, b| (a.began, &a.run).cmp(&(b.began, &b.run)));
        all
    }

    /// One run: by its name, or the newest that went through on any node.
    pub fn find(&self, run: Option<&str>) -> Option<Summary> {
        match run {
            Some(run) => read(&self.folder.join(plain(run)?)),
            None => self.all().into_iter().rfind(|s| s.state == "new"),
        }
    }

    /// The file with the events of a run.
    pub fn events(&self, run: &str) -> Option<PathBuf> {
        let path = self.folder.join(plain(run)?).join("events.jsonl");
        path.is_file().then_some(path)
    }

    /// The way back of a run.
    pub fn back(&self, run: &str) -> Option<Term> {
        let bytes = fs::read(self.folder.join(plain(run)?).join("back.etf")).ok()?;
        etf::decode(&bytes).ok()
    }
}

/// A run's name, if it is one: nothing that leads out of the folder.
fn plain(run: &str) -> Option<&str> {
    (!run.is_empty() && run.chars().all(|c| c.is_ascii_alphanumeric())).then_some(run)
}

/// A record being written.
#[derive(Debug)]
pub struct Record {
    folder: PathBuf,
    events: File,
    summary: Summary,
}

impl Record {
    /// Appends an event.
    pub fn event(&mut self, line: &Value) {
        // A full disk must not stop a run that is on its way.
        let _ = writeln!(self.events, "{line}");
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
            "node": summary.node.as_str(),
            "title": summary.title,
            "plan": summary.plan.display().to_string(),
            "owner": summary.owner,
            "began": summary.began,
            "state": summary.state,
        });
        replace(
            &self.folder.join("meta.json"),
            format!("{meta:#}\n").as_bytes(),
        )
    }
}

/// Writes beside, syncs, renames: a crash leaves the old file or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn read(folder: &Path) -> Option<Summary> {
    let text = fs::read_to_string(folder.join("meta.json")).ok()?;
    let meta: Value = serde_json::from_str(&text).ok()?;
    let field = |name: &str| Some(meta.get(name)?.as_str()?.to_owned());
    Some(Summary {
        run: field("run")?,
        node: NodeName::new(field("node")?),
        title: field("title")?,
        plan: PathBuf::from(field("plan")?),
        owner: field("owner")?,
        began: meta.get("began")?.as_u64()?,
        state: field("state")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::new(folder.path());
        assert_eq!(records.all(), []);
        let summary = Summary {
            run: "7f2a".to_owned(),
            node: NodeName::new("shop@localhost"),
            title: "Taxes".to_owned(),
            plan: PathBuf::from("/plans/shop.updo"),
            owner: "anna@ops1".to_owned(),
            began: 1,
            state: "running".to_owned(),
        };
        let back = Term::tuple([Term::atom("back"), Term::Int(1)]);
        let mut record = records
            .begin(&summary, "plan \"x\".\n", Some(&back))
            .expect("can write");
        record.event(&json!({ "type": "stream" }));
        assert_eq!(
            records.find(Some("7f2a")).map(|s| s.state),
            Some("running".to_owned())
        );
        assert_eq!(records.find(None), None);
        record.finish("new");
        assert_eq!(records.find(None).map(|s| s.run), Some("7f2a".to_owned()));
        assert_eq!(records.back("7f2a"), Some(back));
        assert_eq!(records.find(Some("../7f2a")), None);
        assert_eq!(records.back("../../etc"), None);
    }
}
