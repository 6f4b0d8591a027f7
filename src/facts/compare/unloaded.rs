//! Former versions of modules that take part and are not loaded: what the node would load by itself if they were called
//! before the switch. Such a module is not new, and its callers do not have to wait for what it has had before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::comparison::{Comparison, OldBeamSources, local};
use crate::diag::Result;
use crate::facts::beam::BeamFacts;
use crate::facts::change::{Beam, Notice};
use crate::facts::node::node_facts::{self, function};
use crate::name::Module;
use crate::node::Session;
use crate::term::Term;

/// Finds them, and takes out of `beams` what is not loaded and would not differ: on a node that loads on demand, by the
/// file that its code path leads to when code is pushed, and in `old from` when that file is the new version.
pub(super) fn versions(
    comparison: &mut Comparison<'_>,
    beams: &mut BTreeMap<Module, Beam>,
    old: OldBeamSources<'_>,
) -> Result<BTreeMap<Module, Beam>> {
    let asleep: Vec<Module> = beams
        .keys()
        .filter(|module| !comparison.facts.loaded.contains_key(*module))
        .cloned()
        .collect();
    let mut found = BTreeMap::new();
    if comparison.facts.embedded || asleep.is_empty() {
        return Ok(found);
    }
    let otp = comparison.facts.otp;
    if comparison.pushed {
        let files = on_path(comparison, &asleep)?;
        let paths: Vec<String> = files.iter().map(|(_, file)| file.clone()).collect();
        for ((module, file), bytes) in files.into_iter().zip(comparison.disk.read(&paths)?) {
            let Some(bytes) = bytes else { continue };
            let facts = BeamFacts::read(&bytes).map(|facts| facts.on(otp));
            if let Some(facts) = facts.ok().filter(|facts| facts.module == module) {
                let bytes = Arc::from(bytes);
                found.insert(module, Beam { bytes, file, facts });
            }
        }
    } else {
        for (patterns, base) in old.patterns {
            for file in local(patterns, base, otp)? {
                let module = file.facts.module.clone();
                if asleep.contains(&module) {
                    let beam = Beam {
                        bytes: Arc::from(file.bytes),
                        file: beams[&module].file.clone(),
                        facts: file.facts,
                    };
                    found.entry(module).or_insert(beam);
                }
            }
        }
    }
    let is_same = |module: &Module, beam: &Beam| beams[module].facts.md5 == beam.facts.md5;
    let (same, differing): (BTreeMap<_, _>, _) =
        found.into_iter().partition(|(m, beam)| is_same(m, beam));
    // What `old from` has as the new version has does not say what the code path has.
    if comparison.pushed && !same.is_empty() {
        let modules: Vec<Module> = same.into_keys().collect();
        beams.retain(|module, _| !modules.contains(module));
        let app = None;
        comparison
            .set
            .notices
            .push(Notice::OnDemand { app, modules });
    }
    Ok(differing)
}

/// The files of modules as the node would load them; without those that it has none of.
fn on_path(comparison: &Comparison<'_>, modules: &[Module]) -> Result<Vec<(Module, String)>> {
    let files = where_is_file(comparison.session, modules)?;
    let found = modules.iter().zip(files);
    let found = found.filter_map(|(module, file)| Some((module.clone(), file?)));
    Ok(found.collect())
}

/// The file that a node would load each of the modules from, in their order; `None` without one. `code:where_is_file/1`.
pub(super) fn where_is_file(session: &Session, modules: &[Module]) -> Result<Vec<Option<String>>> {
    let names = modules
        .iter()
        .map(|m| Term::string(&format!("{}.beam", m.as_str())));
    let args = vec![function("code", "where_is_file", 1), Term::list(names)];
    let answer = session
        .call("lists", "map", args, node_facts::TIMEOUT)
        .map_err(|error| node_facts::call_failed("code:where_is_file/1", error))?;
    let files = answer.as_list().unwrap_or_default().iter();
    let file = |file: &Term| match file.as_atom() {
        Some(_) => None,
        None => file.to_text(),
    };
    Ok(files.map(file).collect())
}
