//! Who calls whom: the `calls` edges between the modules of a set.
//!
//! Takes light facts and gives what `xref` in modules mode answers to `strict ME || AM`: module to
//! module, read from import tables, without loops, without built-in functions, and only into modules
//! of the set. It adds no judgement; which edges matter is for the graph.

use std::collections::{BTreeSet, HashSet};

use super::beam::BeamFacts;
use super::bifs::bifs;
use crate::name::Module;

/// The edges among `modules` as an OTP of release `otp` would see them: caller, callee.
pub fn call_edges(modules: &[&BeamFacts], otp: u32) -> BTreeSet<(Module, Module)> {
    let bifs = bifs(otp);
    let set: HashSet<&Module> = modules.iter().map(|facts| &facts.module).collect();
    let mut edges = Vec::new();
    for facts in modules {
        // Imports are sorted by module, so equal callees are neighbours.
        let mut last = None;
        for import in &facts.imports {
            let callee = &import.module;
            if last == Some(callee) || *callee == facts.module || bifs.contains(import) {
                continue;
            }
            if set.contains(callee) {
                last = Some(callee);
                edges.push((facts.module.clone(), callee.clone()));
            }
        }
    }
    edges.into_iter().collect()
}
