//! Former versions of modules that take part and are not loaded: what the node would load by itself if they were called
//! before the switch. Such a module is not new, and its callers do not have to wait for what it has had before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::compared_node::ComparedNode;
use super::local_beams::local;
use crate::diag::{Result, Span};
use crate::facts::beam::BeamFacts;
use crate::facts::change::Beam;
use crate::facts::node::queries;
use crate::name::Module;

/// What the node would load by itself.
#[derive(Debug, Default)]
pub(super) struct FormerVersions {
    /// The versions that differ from the new ones.
    pub(super) versions: BTreeMap<Module, Beam>,
    /// Modules that are on the code path as they are pushed: nothing has to be done for them.
    pub(super) on_demand: BTreeSet<Module>,
}

/// Finds them for modules of `beams` that are not loaded, on a node that loads on demand: by the file that its code path
/// leads to when code is `pushed`, and in `old_from` when that file is the new version.
pub(super) fn versions(
    node: &mut ComparedNode<'_>,
    beams: &BTreeMap<Module, Beam>,
    pushed: bool,
    old_from: &[(Vec<(String, Span)>, PathBuf)],
) -> Result<FormerVersions> {
    let asleep: Vec<Module> = beams
        .keys()
        .filter(|module| !node.facts.loaded.contains_key(*module))
        .cloned()
        .collect();
    let mut found = BTreeMap::new();
    if node.facts.embedded || asleep.is_empty() {
        return Ok(FormerVersions::default());
    }
    let otp = node.facts.otp;
    if pushed {
        let files = on_path(node, &asleep)?;
        let paths: Vec<String> = files.iter().map(|(_, file)| file.clone()).collect();
        for ((module, file), bytes) in files.into_iter().zip(node.disk.read(&paths)?) {
            let Some(bytes) = bytes else { continue };
            let facts = BeamFacts::read(&bytes).map(|facts| facts.on(otp));
            if let Some(facts) = facts.ok().filter(|facts| facts.module == module) {
                found.insert(module, Beam::new(bytes, file, facts));
            }
        }
    } else {
        for (patterns, base) in old_from {
            for file in local(patterns, base, otp)? {
                let module = file.facts.module.clone();
                if asleep.contains(&module) {
                    let there = beams[&module].file.clone();
                    let beam = Beam::new(file.bytes, there, file.facts);
                    found.entry(module).or_insert(beam);
                }
            }
        }
    }
    let is_same = |module: &Module, beam: &Beam| beams[module].facts.md5 == beam.facts.md5;
    let (same, differing): (BTreeMap<_, _>, _) =
        found.into_iter().partition(|(m, beam)| is_same(m, beam));
    // What `old from` has as the new version has does not say what the code path has.
    let on_demand = match pushed {
        true => same.into_keys().collect(),
        false => BTreeSet::new(),
    };
    Ok(FormerVersions {
        versions: differing,
        on_demand,
    })
}

/// The files of modules as the node would load them; without those that it has none of.
fn on_path(node: &ComparedNode<'_>, modules: &[Module]) -> Result<Vec<(Module, String)>> {
    let files = queries::where_is_file(node.session, modules)?;
    let found = modules.iter().zip(files);
    let found = found.filter_map(|(module, file)| Some((module.clone(), file?)));
    Ok(found.collect())
}
