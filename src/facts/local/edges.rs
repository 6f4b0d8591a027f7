//! The `calls` edges between the modules of a set.
//!
//! Takes light facts and gives what `xref` in modules mode answers to `strict ME || AM`: module to
//! module, read from import tables, without loops, without built-in functions, and only into modules
//! of the set. It adds no judgement; which edges matter is for the graph.

use std::collections::{BTreeSet, HashSet};

use crate::facts::beam::BeamFacts;
use crate::facts::beam::bifs::{Bifs, bifs};
use crate::name::Module;

/// The edges among `modules` as an OTP of release `otp` would see them: caller, callee.
pub fn call_edges(modules: &[&BeamFacts], otp: u32) -> BTreeSet<(Module, Module)> {
    let bifs = bifs(otp);
    let set: HashSet<&Module> = modules.iter().map(|facts| &facts.module).collect();
    // Callers in order, and each one's callees are: the edges come out sorted.
    let mut callers = modules.to_vec();
    callers.sort_unstable_by_key(|facts| &facts.module);
    let edges = callers.into_iter().flat_map(|facts| {
        let set = &set;
        callees(facts, bifs)
            .filter(move |callee| **callee != facts.module && set.contains(callee))
            .map(move |callee| (facts.module.clone(), callee.clone()))
    });
    edges.collect()
}

/// The modules that an import table names with at least one function that is not built in, in order.
fn callees<'a>(facts: &'a BeamFacts, bifs: &'a Bifs) -> impl Iterator<Item = &'a Module> {
    let mut imports = facts.imports.iter().peekable();
    std::iter::from_fn(move || {
        loop {
            let module = &imports.peek()?.module;
            let functions = bifs.of_module(module.as_str());
            let mut called = false;
            // Imports are sorted by module: take all of this one.
            while let Some(import) = imports.next_if(|import| import.module == *module) {
                called = called
                    || functions.is_none_or(|f| !f.contains(&(&*import.function, import.arity)));
            }
            if called {
                return Some(module);
            }
        }
    })
}
