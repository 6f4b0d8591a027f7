//! What of the versions that have to go is in use: the question, of the modules that take part.

use std::collections::BTreeMap;

use crate::diag::Result;
use crate::facts::change::Changed;
use crate::facts::node::old_code::{self, OldCodeQuery, OldCodeUse};
use crate::facts::node::processes::{Example, Start};
use crate::name::Module;
use crate::node::Session;

/// Looks for processes and funs of old versions of the modules that take part.
pub(super) fn inspect(
    session: &Session,
    modules: &BTreeMap<Module, Changed>,
) -> Result<OldCodeUse> {
    let loaded = modules.iter().filter_map(|(module, changed)| {
        let running = changed.loaded.as_ref()?;
        let new = changed.new.as_ref().map(|beam| beam.facts.md5);
        let kept = [Some(running.md5), new].into_iter().flatten();
        Some((module, kept.collect()))
    });
    let servers = modules.iter().filter(|(_, changed)| {
        let mut kinds = changed.module_processes.kinds.iter();
        kinds.any(|(start, (_, shown)): (&Start, &(usize, Example))| {
            *start == Start::Supervisor || shown.in_behaviour()
        })
    });
    let with_funs = modules.iter().filter(|(_, changed)| {
        let running = changed.old.as_ref().or(changed.new.as_ref());
        running.is_some_and(|beam| beam.facts.funs > 0)
    });
    let by_loop = modules
        .values()
        .flat_map(|changed| &changed.module_processes.by_loop);
    let query = OldCodeQuery {
        loaded: loaded.collect(),
        servers: servers.map(|(module, _)| module).collect(),
        with_funs: with_funs.map(|(module, _)| module).collect(),
        by_loop: by_loop.collect(),
    };
    old_code::inspect(session, &query)
}
