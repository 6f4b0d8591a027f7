//! What `persist` writes to a node's disk: said before anything is asked, of an upgrade and of a rollback.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{PreviewInput, footer, some_of};
use crate::diag::render::Style;
use crate::exec::rollback::WayBack;
use crate::facts::compare::restart::Rewrite;
use crate::facts::node::folders::folder_of;
use crate::name::Module;

/// What is written after success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Folders of the node in which beams are written.
    pub folders: BTreeSet<String>,
    /// The files with lists of modules that change: application files and boot files.
    pub lists: Vec<String>,
    /// The modules whose files are deleted.
    pub deleted: Vec<Module>,
}

impl Written {
    /// Of an upgrade; `None` without `persist`.
    pub fn by_upgrade(shown: &PreviewInput<'_>) -> Option<Self> {
        if !shown.plan.persist {
            return None;
        }
        let mut written = Self {
            lists: changing(shown.lists),
            ..Self::default()
        };
        for module in shown.rules.modules.keys() {
            let Some(changed) = shown.changes.modules.get(module) else {
                continue;
            };
            match &changed.new {
                Some(beam) => written
                    .folders
                    .extend(folder_of(&beam.file).map(str::to_owned)),
                None => written.deleted.push(module.clone()),
            }
        }
        Some(written)
    }

    /// Of a rollback; `None` when the run has not written.
    pub fn by_rollback(way: &WayBack) -> Option<Self> {
        if !way.is_persisting() {
            return None;
        }
        let mut written = Self {
            lists: changing(way.rewrites()),
            ..Self::default()
        };
        for (module, file, stays) in way.files() {
            match stays {
                true => written.folders.extend(folder_of(&file).map(str::to_owned)),
                false => written.deleted.push(module),
            }
        }
        Some(written)
    }

    /// As lines of a preview.
    pub fn lines(&self, most: usize, style: Style) -> Vec<String> {
        let some = |names: Vec<String>| (!names.is_empty()).then(|| some_of(&names, most, style));
        let folders = some(self.folders.iter().cloned().collect());
        let lists = some(self.lists.clone());
        let deleted = (!self.deleted.is_empty()).then(|| {
            let files = match self.deleted.len() {
                1 => "the file",
                _ => "the files",
            };
            let names = footer::names(&self.deleted, most, style);
            format!("{files} of {names} will be deleted")
        });
        let lines = [
            folders.map(|folders| format!("in {folders}")),
            lists.map(|lists| format!("lists of modules in {lists}")),
            deleted,
        ];
        let lines = lines.into_iter().flatten();
        lines.map(|line| format!("  persist  {line}")).collect()
    }

    /// For machines.
    pub fn json(&self) -> Value {
        json!({
            "folders": self.folders,
            "lists": self.lists,
            "deleted": self.deleted.iter().map(Module::as_str).collect::<Vec<_>>(),
        })
    }
}

fn changing(files: &[Rewrite]) -> Vec<String> {
    let files = files.iter().filter(|file| file.changes());
    files.map(|file| file.file.clone()).collect()
}
