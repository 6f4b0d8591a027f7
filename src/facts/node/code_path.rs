//! Where beams lie on a node: folders of the code path and of running applications, and what is in them.
//!
//! Takes listings, gives for a module its files in the order in which the code server would find them. Folders of
//! OTP that no running application uses are not looked into.

use std::collections::{BTreeMap, BTreeSet};

use super::folders::folder_of;
use super::node_facts::{CORE, CodeOrigin, NodeFacts};
use super::node_files::Disk;
use crate::diag::Result;
use crate::name::Module;

/// A file that a module can come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::facts) struct BeamLocation {
    /// Its folder.
    pub(in crate::facts) folder: String,
    /// Whether the code path leads there.
    pub(in crate::facts) in_path: bool,
    /// The file.
    pub(in crate::facts) file: String,
}

/// All that was listed.
#[derive(Debug, Default)]
pub(in crate::facts) struct CodePathListing {
    modules: BTreeMap<Module, Vec<BeamLocation>>,
    specs: BTreeSet<String>,
}

impl CodePathListing {
    /// Lists the folders that matter on a node; instead of those that are `left`, those that take their place.
    pub(in crate::facts) fn list(
        facts: &NodeFacts,
        left: &BTreeMap<String, String>,
        disk: &mut Disk<'_>,
    ) -> Result<Self> {
        let mut seen = BTreeSet::new();
        let (here, folders): (Vec<String>, Vec<String>) = folders(facts)
            .into_iter()
            .map(|folder| (left.get(&folder).unwrap_or(&folder).clone(), folder))
            .filter(|(shown, _)| seen.insert(shown.clone()))
            .map(|(shown, folder)| (folder, shown))
            .unzip();
        let listings = disk.list(&folders)?;
        let path: BTreeSet<&str> = facts.path.iter().map(String::as_str).collect();
        let mut places = Self::default();
        for ((folder, was), names) in folders.iter().zip(&here).zip(listings) {
            for name in names {
                let file = format!("{folder}/{name}");
                if name.ends_with(".app") {
                    places.specs.insert(file);
                } else if let Some(module) = name.strip_suffix(".beam") {
                    let spot = BeamLocation {
                        folder: folder.clone(),
                        in_path: path.contains(was.as_str()),
                        file,
                    };
                    places
                        .modules
                        .entry(Module::new(module))
                        .or_default()
                        .push(spot);
                }
            }
        }
        Ok(places)
    }

    /// The files of a module, the one that the code server would take first.
    pub(in crate::facts) fn of(&self, module: &Module) -> &[BeamLocation] {
        self.modules
            .get(module)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Every module that has a file, with its files.
    pub(in crate::facts) fn all(&self) -> impl Iterator<Item = (&Module, &[BeamLocation])> {
        self.modules.iter().map(|(m, spots)| (m, spots.as_slice()))
    }

    /// Whether an application's specification is there.
    pub(in crate::facts) fn has_spec(&self, file: &str) -> bool {
        self.specs.contains(file)
    }
}

/// The code path outside of OTP, then the folders of running applications, then those of other loaded modules.
fn folders(facts: &NodeFacts) -> Vec<String> {
    let core: BTreeSet<&str> = CORE
        .iter()
        .filter_map(|app| facts.folder_of_app(&crate::name::App::new(app)))
        .collect();
    let of_apps: BTreeSet<&str> = facts
        .apps
        .keys()
        .filter_map(|app| facts.folder_of_app(app))
        .collect();
    let outside = |folder: &&str| folder.starts_with('/') && !facts.is_otp(folder);
    let path = facts.path.iter().map(String::as_str);
    let path = path.filter(|folder| outside(folder) || of_apps.contains(folder));
    let loaded = facts
        .loaded
        .values()
        .filter_map(|loaded| match &loaded.origin {
            CodeOrigin::File(file) if file.ends_with(".beam") => folder_of(file),
            _ => None,
        });
    let mut seen = BTreeSet::new();
    path.chain(of_apps.iter().copied())
        .chain(loaded.filter(outside))
        .filter(|folder| !core.contains(folder) && seen.insert(*folder))
        .map(str::to_owned)
        .collect()
}
